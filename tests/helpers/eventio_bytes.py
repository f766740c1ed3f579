"""Sim_telarray files taken apart into their top-level objects, and put together otherwise."""

import gzip
from pathlib import Path

import zstandard

SYNC = b"\x37\x8a\x1f\xd4"


def unpacked(path):
    """Return the decompressed bytes of a file."""
    data = Path(path).read_bytes()
    if data[:2] == b"\x1f\x8b":
        return gzip.decompress(data)
    if data[:4] == b"\x28\xb5\x2f\xfd":
        return zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True).read()
    return data


def packed(data, suffix):
    """Return bytes compressed as the suffix says."""
    if suffix == ".gz":
        return gzip.compress(data, 1)
    return zstandard.ZstdCompressor(write_checksum=True).compress(data) if suffix == ".zst" else data


def objects_of(data):
    """Return the top-level objects, as bytes each; a last one that is cut is left out."""
    found, offset = [], 0
    while offset + 16 <= len(data):
        assert data[offset : offset + 4] == SYNC
        end = offset + 16 + (int.from_bytes(data[offset + 12 : offset + 16], "little") & 0x3FFFFFFF)
        if end > len(data):
            break
        found.append(data[offset:end])
        offset = end
    return found


def kind(one):
    """Return the type of an object."""
    return int.from_bytes(one[4:6], "little")


def with_version(one, version):
    """Return an object that says it is of another version."""
    word = int.from_bytes(one[4:8], "little") & 0xFFFFF | version << 20
    return one[:4] + word.to_bytes(4, "little") + one[8:]
