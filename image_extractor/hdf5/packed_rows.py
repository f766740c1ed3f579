"""Rows in chunks that are read past HDF5, which takes several times as long to find, read and unpack each of them."""

import itertools
import os
import struct

import numpy as np

from ..errors import DamagedDatasetError
from . import dataset_files, nodes

#: Bytes of unpacked chunks that are handed on at once: they stay in the processor's cache.
HELD_BYTES = 1 << 20

#: Of the header of a chunk that Blosc compressed, from byte 4 on: its bytes unpacked, those of a block, those it has.
HEADER = struct.Struct("<III")


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
        self._bytes = self._rows.view(np.uint8).reshape(at_once, -1) if at_once else None

    def blocks(self, rows):
        """As :meth:`stored_rows.MappedRows.blocks`; a block holds until the next is asked for."""
        chunks, chunk_of_row = np.unique(rows // self._per_chunk, return_inverse=True)
        in_chunk = rows - chunks[chunk_of_row] * self._per_chunk
        for first in range(0, len(chunks), len(self._bytes)):
            some = chunks[first : first + len(self._bytes)]
            self._unpack(some)
            begin, end = np.searchsorted(chunk_of_row, [first, first + len(some)]).tolist()
            at = (chunk_of_row[begin:end] - first) * self._per_chunk + in_chunk[begin:end]
            yield slice(begin, end), self._rows, at

    def _unpack(self, chunks):
        """Put some chunks, ascending, at the beginning of the rows that are held."""
        with dataset_files.damage(self._path):
            for place, number, chunk in zip(range(len(chunks)), chunks.tolist(), self._read(chunks), strict=True):
                self._unpack_one(number, chunk, self._bytes[place])
        if self._sums:
            for place, number in enumerate(chunks.tolist()):
                first = number * self._per_chunk
                n_rows = min(self._per_chunk, self._n_rows - first)
                self._sums.check(first, self._rows[place * self._per_chunk :][:n_rows])

    def _read(self, chunks):
        """Yield chunks as they are stored; those that lie one behind the other are read at once."""
        offsets, sizes = self._offsets[chunks], self._sizes[chunks]
        ends = offsets + sizes
        edges = [0, *(np.flatnonzero(offsets[1:] != ends[:-1]) + 1).tolist(), len(chunks)]
        offsets, sizes, ends = offsets.tolist(), sizes.tolist(), ends.tolist()
        for first, stop in itertools.pairwise(edges):
            data = os.pread(self._descriptor, ends[stop - 1] - offsets[first], offsets[first])
            if len(data) != ends[stop - 1] - offsets[first]:
                raise DamagedDatasetError(self._path, "damaged: it ends within its images")
            if stop - first == 1:
                yield data
                continue
            begin, view = offsets[first], memoryview(data)
            for place in range(first, stop):
                yield view[offsets[place] - begin : ends[place] - begin]

    def _unpack_one(self, number, chunk, target):
        if not self._compressed or self._masks[number]:
            target[...] = np.frombuffer(chunk, np.uint8)
            return
        try:
            self._decompress(chunk, target)
        except (ValueError, RuntimeError, struct.error):  # HDF5 says what it is: it may read what is damaged a little
            first = number * self._per_chunk
            rows = self._node.read(first, min(first + self._per_chunk, self._n_rows))
            target[: rows.nbytes] = np.ascontiguousarray(rows).view(np.uint8).ravel()

    def _decompress(self, chunk, target):
        n_bytes, of_block, packed = HEADER.unpack_from(chunk, 4)
        if (n_bytes, packed) != (target.nbytes, len(chunk)):
            raise ValueError("not of its size")
        if n_bytes <= of_block:
            self._blosc.decompress(chunk, dst=target)
        else:  # the other function would start threads, beside those of workers
            self._blosc.decompress2(chunk, dst=target, nthreads=1)
