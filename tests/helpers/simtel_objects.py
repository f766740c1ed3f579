"""EventIO files as lists of objects, to make inputs that nobody simulates but that exist."""

import gzip
import struct
from pathlib import Path

from image_extractor.demo.eventio_writer import ONLY_SUBOBJECTS, SYNC_MARKER, eventio_object

LENGTH = ONLY_SUBOBJECTS - 1


class SimtelObject:
    """An EventIO object: type, version, id, payload; its lengths are made anew."""

    def __init__(self, type_word, object_id, length_word, payload, top_level):
        self.type, self.version = type_word & 0xFFFF, type_word >> 20
        self.id, self.payload = object_id, bytearray(payload)
        self._kind = {"top_level": top_level, "only_subobjects": bool(length_word & ONLY_SUBOBJECTS)}

    def bytes(self):
        """Return it as it stands in a file."""
        return eventio_object(self.type, bytes(self.payload), object_id=self.id, version=self.version, **self._kind)

    def inside(self):
        """Return the objects in it."""
        return _parse(bytes(self.payload), top_level=False)

    def put_inside(self, objects):
        """Replace the objects in it."""
        self.payload = bytearray(b"".join(one.bytes() for one in objects))

    def put(self, kind, offset, *values):
        """Overwrite numbers of its payload."""
        struct.pack_into(kind, self.payload, offset, *values)


def _parse(data, top_level):
    objects, position, sync = [], 0, 4 if top_level else 0
    while position < len(data):
        assert not sync or struct.unpack_from("<I", data, position) == (SYNC_MARKER,)
        words = struct.unpack_from("<IiI", data, position + sync)
        start = position + sync + 12
        position = start + (words[2] & LENGTH)
        objects.append(SimtelObject(*words, data[start:position], top_level))
    return objects


def read_objects(path):
    """Return the top-level objects of a plain file or a .gz."""
    data = Path(path).read_bytes()
    return _parse(gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data, top_level=True)


def write_objects(path, objects):
    """Write top-level objects to a plain file; returns its path."""
    path = Path(path)
    path.write_bytes(b"".join(one.bytes() for one in objects))
    return path


def edited(source, target, change):
    """Write a copy of a file whose objects went through change(object), which edits them or returns others."""
    objects = read_objects(source)
    for one in objects:
        change(one)
    return write_objects(target, objects)
