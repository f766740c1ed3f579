"""Simtel files as streams of decompressed bytes that notice when they are cut short or damaged."""

import contextlib
import os
import zlib
from pathlib import Path

import zstandard

from ...errors import CutError, InputError, one_line

try:  # takes a third of the time of zlib, and compares the same checksums
    from isal import isal_zlib as gzip_decoder
except ImportError:
    gzip_decoder = zlib

#: Bytes of a compressed file that are decompressed at once.
COMPRESSED_CHUNK = 1 << 17
CHUNK = 1 << 20
GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
SKIPPABLE = b"\x2a\x4d\x18"  # a zstd frame without content, behind a byte from 0x50 to 0x5f
WITH_GZIP_HEADER = 31  # zlib's wbits
DAMAGED = (OSError, zlib.error, gzip_decoder.error, zstandard.ZstdError)


class ByteStream:
    """Forward reading of a plain, .gz or .zst file, recognised by its first bytes.

    Every byte asked for is delivered, or InputError says what is wrong with the file: the end that is
    missing (then it is a CutError), the checksum that differs.

    Attributes
    ----------
    position : int
        Decompressed bytes read or passed over.
    """

    def __init__(self, path):
        self.path = path
        self._raw = Path(path).open("rb")  # noqa: SIM115 - closed by close()
        self.size = os.fstat(self._raw.fileno()).st_size
        magic = self._raw.read(4)
        self._raw.seek(0)
        self.position = 0
        self.compressed = magic[:2] == GZIP or magic == ZSTD
        if magic[:2] == GZIP:
            self._file = _FrameReader(self._raw, lambda: gzip_decoder.decompressobj(WITH_GZIP_HEADER), _is_gzip, b"\0")
        elif magic == ZSTD:
            self._file = _FrameReader(self._raw, lambda: zstandard.ZstdDecompressor().decompressobj(), _is_zstd)
        else:
            self._file = self._raw

    @property
    def fraction(self):
        """Part of the file that has been read, 0 to 1."""
        return self._raw.tell() / max(self.size, 1)

    def fill_some(self, buffer):
        """Fill a writable buffer of bytes; return how many there were, fewer only at the end of the stream."""
        return self._passed(self._file.readinto, buffer)

    def _passed(self, read, how):
        """Return how many bytes read(how) passes."""
        try:
            n_read = read(how)
        except EOFError as err:
            raise CutError(f"{self.path}: truncated: its compressed stream ends early") from err
        except DAMAGED as err:
            raise InputError(f"{self.path}: corrupt or unreadable: {one_line(err)}") from err
        except _TrailingBytesError as err:
            raise InputError(f"{self.path}: corrupt: behind its compressed content there is something else") from err
        self.position += n_read
        return n_read

    def fill(self, buffer):
        """Fill a writable buffer of bytes."""
        if self.fill_some(buffer) < len(buffer):
            raise self._cut()

    def read_some(self, size):
        """Read up to `size` bytes; fewer only at the end of the stream."""
        buffer = bytearray(size)
        return bytes(memoryview(buffer)[: self.fill_some(buffer)])

    def read(self, size):
        """Read exactly `size` bytes."""
        if not self.compressed and self._raw.tell() + size > self.size:  # a damaged length may be anything
            raise self._cut()
        pieces, missing = [], size
        while missing > 0:  # memory for what is there, not for what a damaged length says
            pieces.append(self.read_some(min(missing, CHUNK)))
            if not pieces[-1]:
                raise self._cut()
            missing -= len(pieces[-1])
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def skip(self, size):
        """Pass over `size` bytes; where the file is plain, without reading them."""
        if self.compressed:
            if self._passed(self._file.skip, size) < size:
                raise self._cut()
        elif self._raw.tell() + size > self.size:
            raise self._cut()
        else:
            self._raw.seek(size, os.SEEK_CUR)
            self.position += size

    def seek(self, position):
        """Go to a byte of a plain file."""
        self._raw.seek(position)
        self.position = position

    @contextlib.contextmanager
    def back_at(self, position):
        """Read at another place of a plain file in the block, and go on afterwards."""
        place = self.position
        self.seek(position)
        yield
        self.seek(place)

    def _cut(self):
        return CutError(f"{self.path}: truncated: it ends within an EventIO block")

    def close(self):
        """Close the file."""
        self._file.close()
        self._raw.close()


class _TrailingBytesError(Exception):
    """Behind a frame is something that is no frame."""


def _is_gzip(start):
    return GZIP.startswith(start[:2])


def _is_zstd(start):
    if 0x50 <= start[0] <= 0x5F:
        return SKIPPABLE.startswith(start[1:4])
    return ZSTD.startswith(start[:4])


class _FrameReader:
    """Reads compressed frames (members of a gzip file) one after the other; a frame that is cut raises EOFError.

    Python's gzip is slower, and zstandard's own reader takes a cut frame for the end.
    """

    def __init__(self, raw, new_frame, is_frame, padding=b""):
        self._raw, self._new_frame, self._is_frame, self._padding = raw, new_frame, is_frame, padding
        self._frame = None
        self._data = memoryview(b"")

    def readinto(self, buffer):
        n_read = 0
        with memoryview(buffer) as view:
            while n_read < len(view) and (self._data or self._refill()):
                part = self._data[: len(view) - n_read]
                view[n_read : n_read + len(part)] = part
                self._data = self._data[len(part) :]
                n_read += len(part)
        return n_read

    def skip(self, size):
        n_passed = 0
        while n_passed < size and (self._data or self._refill()):
            n = min(len(self._data), size - n_passed)
            self._data = self._data[n:]
            n_passed += n
        return n_passed

    def _refill(self):
        """Decompress the next piece; False at the proper end of the last frame."""
        while not self._data:
            compressed = self._next_compressed()
            if not compressed:
                if self._frame and not self._frame.eof:
                    raise EOFError
                return False
            if self._frame is None or self._frame.eof:
                if not self._is_frame(bytes(compressed[:4])):
                    raise _TrailingBytesError
                self._frame = self._new_frame()
            self._data = memoryview(self._frame.decompress(compressed))
        return True

    def _next_compressed(self):
        """Return what follows in the file, between frames without padding; nothing at its end."""
        if self._frame is None or not self._frame.eof:
            return self._raw.read(COMPRESSED_CHUNK)
        compressed = self._frame.unused_data or self._raw.read(COMPRESSED_CHUNK)
        while compressed and not (rest := compressed.lstrip(self._padding)):
            compressed = self._raw.read(COMPRESSED_CHUNK)
        return rest if compressed else b""

    def close(self):
        self._data = memoryview(b"")
