"""The top-level EventIO objects of a file, one after the other, each whole or not at all."""

import io
from collections import deque

from eventio.base import read_header
from eventio.constants import SYNC_MARKER_LITTLE_ENDIAN as SYNC

from ...errors import CutError, InputError
from .byte_stream import CHUNK, ByteStream

#: Bytes of an object that are believed without a look.
LARGE = 64 << 20


class TopObject:
    """An object: its header, and its payload, which is read when it is asked for."""

    def __init__(self, header, stream):
        self.header, self.type = header, header.type
        self._stream, self._start, self._payload, self._left_at = stream, b"", None, None

    def start(self, size):
        """Return the first bytes of the payload, fewer if it is shorter."""
        if self._payload is not None or self._left_at is not None:
            return bytes(self.payload().getbuffer()[:size])
        missing = min(size, self.header.content_size) - len(self._start)
        if missing > 0:
            self._start += self._stream.read(missing)
        return self._start[:size]

    def payload(self):
        """Return the payload, an io.BytesIO; read whole, so that a truncated one is noticed."""
        size = self.header.content_size
        if self._payload is not None:
            pass
        elif self._left_at is not None:
            with self._stream.back_at(self._left_at):
                self._left_at = None
                self.payload()
        elif size > LARGE:  # or damaged: memory for what is there, not for what it says
            self._payload = io.BytesIO(self._start + self._stream.read(size - len(self._start)))
        else:
            self._payload = io.BytesIO(bytes(size))
            # read in place: events are large. What an error's traceback holds of a buffer crashes Python 3.12.1
            with self._payload.getbuffer() as buffer, buffer[len(self._start) :] as missing:
                buffer[: len(self._start)] = self._start
                self._stream.fill(missing)
        return self._payload

    def leave(self):
        """Leave the payload for later: it may never be asked for. A compressed one is read at once."""
        if self._stream.compressed:
            self.payload()
        elif self._payload is None:
            self._left_at = self._stream.position
            self.skip()

    def skip(self):
        """Pass over the payload."""
        if self._payload is None:
            self._stream.skip(self.header.content_size - len(self._start))


class TopObjects:
    """The objects of a file; what was read too far can be put back.

    Attributes
    ----------
    position : int
        Where the last object read begins, in bytes of the decompressed file.
    """

    def __init__(self, path):
        self.path = path
        self.stream = ByteStream(path)
        self.position = 0
        self._put_back = deque()

    def next(self, place=""):
        """Return the next :class:`TopObject`, None at the end of the file; `place` is where, in words."""
        if self._put_back:
            return self._put_back.popleft()
        self.position = self.stream.position
        sync = self.stream.read_some(len(SYNC))
        if not sync:
            return None
        if not SYNC.startswith(sync):
            what = f"{place} is something that is no EventIO" if place else "no EventIO block begins where one must"
            raise InputError(f"{self.path}: damaged: {what}, at byte {self.position:,} of its content")
        if len(sync) < len(SYNC):
            raise CutError(f"{self.path}: truncated: it ends within an EventIO block")
        return TopObject(read_header(self.stream, offset=0, toplevel=True), self.stream)

    def put_back(self, objects):
        """Let these objects, the payloads of which were read, come next."""
        self._put_back.extend(objects)

    def goes_on(self):
        """Say whether other objects follow within the last one, which thus ends where it says only by damage.

        Of plain files; where a compressed stream is cut, nothing follows, and a damaged one does not decode.
        """
        if self.stream.compressed:
            return False
        tail = b""
        self.stream.seek(self.position + len(SYNC))
        while piece := self.stream.read_some(CHUNK):
            if SYNC in tail + piece:
                return True
            tail = piece[-len(SYNC) :]
        return False

    def close(self):
        """Close the file."""
        self.stream.close()
