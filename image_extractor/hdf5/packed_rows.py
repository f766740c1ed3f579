"""Rows in chunks that are read past HDF5, which takes several times as long to find, read and unpack each of them."""

import itertools
import os
import struct

import numpy as np

from ..errors import DamagedDatasetError
from . import dataset_files, nodes

#: Bytes of unpacked chunks that are handed on at once: they stay in the processor's cache.
HELD_BYTES = 1 << 20

#: Of a chunk that Blosc compressed: flags, bytes of an item, bytes unpacked, those of a block, and those it has.
HEADER = struct.Struct("<2xBBIII")

#: Where the flags are, and which of them says that bytes of items were shuffled.
FLAGS, SHUFFLED = 2, 1


def can_unpack(node):
    """Say whether chunks of a table or array are plain, or compressed by Blosc alone."""
    filters = node.filters
    return not filters.fletcher32 and (not filters.complevel or str(filters.complib).partition(":")[0] == "blosc")


class PackedRows:
    """Reads chunks by their places and unpacks them.

    Parameters
    ----------
    node : tables.Table or tables.EArray
    dtype : numpy.dtype
        Of one row.
    places : structured array (n_chunks,)
        See :mod:`chunk_places`.
    sums : checksums.NodeSums, optional
        Against which chunks are held; they must be made of whole blocks of it.
    """

    def __init__(self, node, dtype, places, sums=None):
        import blosc2  # takes a while, and files that are not compressed do without

        self._blosc = blosc2
        self._node, self._path, self._descriptor = node, node._v_file.filename, node._v_file.fileno()
        self._compressed, self._sums = bool(node.filters.complevel), sums
        self._offsets, self._sizes = places["offset"].astype(np.int64), places["size"].astype(np.int64)
        self._masks, self._n_rows, self._per_chunk = places["mask"], node.shape[0], node.chunkshape[0]
        kind, shape = dtype.subdtype or (dtype, ())
        at_once = min(nodes.rows_of(HELD_BYTES, dtype.itemsize * self._per_chunk), len(places))
        self._rows = np.empty((at_once * self._per_chunk, *shape), kind)
        self._bytes = self._rows.view(np.uint8).reshape(at_once, -1)
        self._packed = memoryview(bytearray())

    def blocks(self, rows):
        """As :meth:`stored_rows.MappedRows.blocks`; a block holds until the next is asked for."""
        chunk_of_row = rows // self._per_chunk
        is_new = np.empty(len(rows), bool)
        is_new[:1], is_new[1:] = True, chunk_of_row[1:] != chunk_of_row[:-1]
        starts = np.flatnonzero(is_new)  # the first row of each chunk
        chunks, number_of_row = chunk_of_row[starts], np.cumsum(is_new) - 1
        for first in range(0, len(chunks), len(self._bytes)):
            some = chunks[first : first + len(self._bytes)]
            self._unpack(some)
            stop = first + len(some)
            part = slice(int(starts[first]), int(starts[stop]) if stop < len(starts) else len(rows))
            in_chunk = rows[part] - chunk_of_row[part] * self._per_chunk
            yield part, self._rows, (number_of_row[part] - first) * self._per_chunk + in_chunk

    def _unpack(self, chunks):
        """Put some chunks, ascending, at the beginning of the rows that are held."""
        with dataset_files.damage(self._path):
            for number, chunk, target in zip(chunks.tolist(), self._read(chunks), self._bytes, strict=False):
                if not self._compressed or self._masks[number]:
                    target[...] = np.frombuffer(chunk, np.uint8)
                elif not self._decompress(chunk, target):
                    self._ask_hdf5(number, target)
        if self._sums:
            for place, number in enumerate(chunks.tolist()):
                first = number * self._per_chunk
                n_rows = min(self._per_chunk, self._n_rows - first)
                self._sums.check(first, self._rows[place * self._per_chunk :][:n_rows])

    def _read(self, chunks):
        """Yield chunks as they are stored, each until the next is asked for; neighbours are read at once."""
        offsets, sizes = self._offsets[chunks], self._sizes[chunks]
        ends = offsets + sizes
        edges = [0, *(np.flatnonzero(offsets[1:] != ends[:-1]) + 1).tolist(), len(chunks)]
        offsets, ends = offsets.tolist(), ends.tolist()
        for first, stop in itertools.pairwise(edges):
            begin, size = offsets[first], ends[stop - 1] - offsets[first]
            if size > len(self._packed):
                self._packed = memoryview(bytearray(size))
            if os.preadv(self._descriptor, [self._packed[:size]], begin) != size:
                raise DamagedDatasetError(self._path, "damaged: it ends within its images")
            for place in range(first, stop):
                yield self._packed[offsets[place] - begin : ends[place] - begin]

    def _decompress(self, chunk, target):
        """Say whether a chunk could be unpacked."""
        if len(chunk) < HEADER.size:
            return False
        flags, item_size, n_bytes, of_block, packed = HEADER.unpack_from(chunk)
        if (n_bytes, packed) != (target.nbytes, len(chunk)):
            return False
        if item_size == 1 and flags & SHUFFLED:  # single bytes can't be shuffled, but Blosc 2 takes its time over it
            chunk[FLAGS] = flags & ~SHUFFLED
        try:
            if n_bytes <= of_block:
                self._blosc.decompress(chunk, dst=target)
            else:  # the other function would start threads, beside those of workers
                self._blosc.decompress2(chunk, dst=target, nthreads=1)
        except (ValueError, RuntimeError):
            return False
        return True

    def _ask_hdf5(self, number, target):
        """Let HDF5 unpack a chunk, or say what is wrong with it: it may read what is damaged a little."""
        first = number * self._per_chunk
        rows = self._node.read(first, min(first + self._per_chunk, self._n_rows))
        target[: rows.nbytes] = np.ascontiguousarray(rows).view(np.uint8).ravel()
