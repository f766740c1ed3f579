"""Simtel files as streams of decompressed bytes that notice when they are cut short or damaged."""

import gzip
import os
import zlib
from pathlib import Path

import zstandard

from .errors import InputError

CHUNK = 1 << 20
GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"


class ByteStream:
    """Forward reading of a plain, .gz or .zst file, recognised by its first bytes.

    Every byte asked for is delivered, or InputError says what is wrong with the file: the end that is
    missing, the checksum that differs.
    """

    def __init__(self, path):
        self.path = path
        self._raw = Path(path).open("rb")  # noqa: SIM115 - closed by close()
        self.size = os.fstat(self._raw.fileno()).st_size
        magic = self._raw.read(4)
        self._raw.seek(0)
        self.compressed = magic[:2] == GZIP or magic == ZSTD
        if magic[:2] == GZIP:
            self._file = gzip.GzipFile(fileobj=self._raw)
        else:
            self._file = _ZstdReader(self._raw) if magic == ZSTD else self._raw

    @property
    def fraction(self):
        """Part of the file that has been read, 0 to 1."""
        return self._raw.tell() / max(self.size, 1)

    def read_some(self, size):
        """Read up to `size` bytes; fewer only at the end of the stream."""
        try:
            return self._file.read(size)
        except EOFError as err:
            raise InputError(f"{self.path}: truncated: its compressed stream ends early") from err
        except (OSError, zlib.error, zstandard.ZstdError) as err:
            raise InputError(f"{self.path}: corrupt or unreadable: {err}") from err

    def read(self, size):
        """Read exactly `size` bytes."""
        if not self.compressed and self._raw.tell() + size > self.size:  # a damaged length may be anything
            raise InputError(f"{self.path}: truncated: it ends within an EventIO block")
        pieces, missing = [], size
        while missing > 0:  # memory for what is there, not for what a damaged length says
            pieces.append(self.read_some(min(missing, CHUNK)))
            if not pieces[-1]:
                raise InputError(f"{self.path}: truncated: it ends within an EventIO block")
            missing -= len(pieces[-1])
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def skip(self, size):
        """Pass over `size` bytes; where the file is plain, without reading them."""
        if self.compressed:
            while size > 0:
                size -= len(self.read(min(size, CHUNK)))
        elif self._raw.tell() + size > self.size:
            raise InputError(f"{self.path}: truncated: it ends within an EventIO block")
        else:
            self._raw.seek(size, os.SEEK_CUR)

    def drain(self):
        """Read to the end, so that the checksums of the compressed stream are compared."""
        while self.compressed and self.read_some(CHUNK):
            pass

    def close(self):
        """Close the file."""
        self._file.close()
        self._raw.close()


class _ZstdReader:
    """Reads zstd frames one after the other; zstandard's own reader takes a cut frame for the end."""

    def __init__(self, raw):
        self._raw = raw
        self._frame = None
        self._data = memoryview(b"")

    def read(self, size):
        parts, missing = [], size
        while missing > 0 and (self._data or self._refill()):
            part, self._data = self._data[:missing], self._data[missing:]
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)

    def _refill(self):
        """Decompress the next piece; False at the proper end of the last frame."""
        while not self._data:
            compressed = self._frame.unused_data if self._frame and self._frame.eof else b""
            compressed = compressed or self._raw.read(CHUNK)
            if not compressed:
                if self._frame and not self._frame.eof:
                    raise EOFError
                return False
            if self._frame is None or self._frame.eof:
                self._frame = zstandard.ZstdDecompressor().decompressobj()
            self._data = memoryview(self._frame.decompress(compressed))
        return True

    def close(self):
        self._data = memoryview(b"")
