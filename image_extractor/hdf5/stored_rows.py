"""Rows of HDF5 tables and arrays as NumPy arrays: mapped, unpacked chunk by chunk, or read by PyTables in blocks."""

import itertools
import os
import weakref

import numpy as np

from ..errors import DatasetError, one_line
from . import content_hash, dataset_files, nodes
from .chunk_places import chunk_places
from .packed_rows import PackedRows, can_unpack

#: Bytes that are read from a compressed table or array at once.
BLOCK_BYTES = 8 << 20

#: Stretches of uncompressed chunks that are mapped: more of them are small, and cheaper to copy than to keep as arrays.
MAX_MAPPED = 2000

#: What has happened to a file that is not the one that was opened.
CHANGED = "has changed since this dataset was opened: open it anew"


class OpenFiles:
    """Dataset files, opened at first use and anew in every process.

    A file must be the one that it was when the samples were looked up: its identity is checked whenever it is read.

    Parameters
    ----------
    paths : list of str
    verify : bool
        Hold what is read against the checksums of the files.
    """

    def __init__(self, paths, verify=False):
        self._identity = {path: _identity(path) for path in paths}
        self.verify = verify
        self._reset()

    def _reset(self):
        self._process = os.getpid()
        self._files, self._rows, self._maps = {}, {}, {}
        # PyTables complains of files that are open at exit; this runs before
        self._finalizer = weakref.finalize(self, _close, self._files, self._process)

    def __getstate__(self):
        return {"_identity": self._identity, "verify": self.verify}

    def __setstate__(self, state):
        self.__dict__.update(state)
        self._reset()

    def rows(self, path, node_path):
        """Return the :class:`StoredRows` of a table or array."""
        self._take_over()
        key = path, node_path
        if key not in self._rows:
            self._rows[key] = self._make(path, self._file(path).get_node(node_path))
        elif _identity_of(os.fstat(self._files[path].fileno())) != self._identity[path]:
            raise DatasetError(f"{path}: {CHANGED}")
        return self._rows[key]

    def content_sha256(self, path):
        """Return the hash of a file's content, '' of formats that have none."""
        self._take_over()
        return str(getattr(self._file(path).root._v_attrs, content_hash.ATTRIBUTE, ""))

    def _take_over(self):
        if self._process != os.getpid():  # a fork: what the parent opened is the parent's
            self._finalizer.detach()
            self._reset()

    def _file(self, path):
        if path not in self._files:
            if _identity(path) != self._identity[path]:
                raise DatasetError(f"{path}: {CHANGED}")
            self._files[path] = open_to_read(path, self.verify)
        return self._files[path]

    def _make(self, path, node):
        sums = node._v_file.seal.sums(node) if self.verify else None
        with dataset_files.damage(path):
            places = chunk_places(node) if can_unpack(node) and _is_native(node) else None
        if places is None or (sums and len(places) > 1 and node.chunkshape[0] % sums.block):
            return StoredRows(node, sums)
        offsets = places["offset"].astype(np.int64)
        if node.filters.complevel or len(first_chunks(node, offsets)) > MAX_MAPPED:
            return StoredRows(node, sums, PackedRows(node, row_dtype(node), places, sums))
        if path not in self._maps:
            self._maps[path] = np.memmap(path, mode="r")
        return MappedRows(node, self._maps[path], offsets, sums)

    def close(self):
        """Close what is open; it opens again when it is needed."""
        self._rows.clear()
        self._maps.clear()
        _close(self._files, self._process)


def open_to_read(path, verify=False):
    """Open a dataset; to be verified it must have checksums.

    Raises
    ------
    DatasetError
        If it is none, or has no checksums; DamagedDatasetError if it is not what was written.
    """
    file = dataset_files.open_dataset(path, verify=verify)
    if verify and file.seal is None:
        file.close()
        raise DatasetError(f"{path}: of a format without checksums: `read_data.py --upgrade {path}` adds them")
    return file


def _identity(path):
    try:
        status = os.stat(path)  # noqa: PTH116, strings and paths alike
    except OSError as err:
        raise DatasetError(f"{path}: {(err.strerror or one_line(err)).lower()}") from err
    return _identity_of(status)


def _identity_of(status):
    return status.st_ino, status.st_size, status.st_mtime_ns


def _close(files, process):
    if os.getpid() == process:
        for file in files.values():
            file.close()
    files.clear()


def row_dtype(node):
    """Return the dtype of one row of a table, or of an array as a subarray dtype."""
    return node.dtype if hasattr(node, "colnames") else np.dtype((node.dtype, node.shape[1:]))


def _is_native(node):
    return np.little_endian and node.byteorder in ("little", "irrelevant")


class MappedRows:
    """Rows that lie uncompressed in the file, as arrays on a memory map of it.

    Parameters
    ----------
    node : tables.Table or tables.EArray
    file_map : numpy.memmap
    offsets : int array (n_chunks,)
    sums : checksums.NodeSums, optional

    Attributes
    ----------
    n_rows : int
    dtype : numpy.dtype
        Of one row.
    """

    def __init__(self, node, file_map, offsets, sums=None):
        self._sums = sums
        self.n_rows, self.dtype = node.shape[0], row_dtype(node)
        kind, shape = self.dtype.subdtype or (self.dtype, ())
        chunks = first_chunks(node, offsets)
        self._first = np.append(chunks * node.chunkshape[0], self.n_rows)
        self._stretches = [
            np.ndarray((stop - first, *shape), kind, file_map, offset)
            for (first, stop), offset in zip(
                itertools.pairwise(self._first.tolist()), offsets[chunks].tolist(), strict=True
            )
        ]

    def blocks(self, rows):
        """Yield (positions, block, places) that together hold given rows, nothing else being promised of a block.

        rows : int array, ascending; duplicates are allowed
        positions : slice of `rows`; places : int array, ascending, where in the block (an array) these rows are
        """
        if self._sums:
            self._check(rows)
        if len(self._stretches) == 1:
            yield slice(0, len(rows)), self._stretches[0], rows
            return
        of_rows = self._stretch_of(rows)
        for part in stretches(of_rows):
            number = int(of_rows[part.start])
            yield part, self._stretches[number], rows[part] - self._first[number]

    def _stretch_of(self, rows):
        return np.searchsorted(self._first, rows, side="right") - 1

    def _check(self, rows):
        """Hold the blocks of some rows against their checksums."""
        first_rows = np.unique(rows // self._sums.block) * self._sums.block
        for first, number in zip(first_rows.tolist(), self._stretch_of(first_rows).tolist(), strict=True):
            begin = first - int(self._first[number])
            self._sums.check(first, self._stretches[number][begin : begin + self._sums.block])

    def all_blocks(self):
        """Yield (first row, block) over all rows."""
        step = _step(self.dtype, self._sums)
        for start, stretch in zip(self._first.tolist(), self._stretches, strict=False):
            for first in range(0, len(stretch), step):
                rows = stretch[first : first + step]
                if self._sums:
                    self._sums.check(start + first, rows)
                yield start + first, rows


def first_chunks(node, offsets):
    """Return the first chunk of each stretch of uncompressed chunks that lie one behind the other, int array."""
    size = node.chunkshape[0] * node.rowsize
    return np.flatnonzero(np.diff(offsets, prepend=offsets[:1]) != size)


def _step(dtype, sums):
    """Return how many rows are read at once: of what is verified whole blocks."""
    step = nodes.rows_of(BLOCK_BYTES, dtype.itemsize)
    return max(step // sums.block, 1) * sums.block if sums else step


class StoredRows:
    """Rows that PyTables reads (and decompresses), as :class:`MappedRows`; by their numbers PackedRows, if it can."""

    def __init__(self, node, sums=None, packed=None):
        self._packed = packed
        self._node, self.n_rows, self.dtype = node, node.shape[0], row_dtype(node)
        self._path, self._sums = node._v_file.filename, sums
        self._per_chunk = node.chunkshape[0] if node.chunkshape else 1
        self._step = _step(self.dtype, sums)

    def blocks(self, rows):
        """As :meth:`MappedRows.blocks`: rows of the same or of neighbouring chunks are read together."""
        return self._packed.blocks(rows) if self._packed else self._read_blocks(rows)

    def _read_blocks(self, rows):
        chunks = rows // self._per_chunk
        for part in stretches(np.cumsum(np.diff(chunks, prepend=chunks[:1]) > 1)):
            start = part.start
            while start < part.stop:
                first = int(rows[start])
                stop = start + int(np.searchsorted(rows[start : part.stop], first + self._step))
                first, end = self._whole_blocks(first, int(rows[stop - 1]) + 1)
                yield slice(start, stop), self._read(first, end), rows[start:stop] - first
                start = stop

    def _whole_blocks(self, first, stop):
        return self._sums.whole_blocks(first, stop) if self._sums else (first, stop)

    def all_blocks(self):
        """Yield (first row, block) over all rows."""
        for first in range(0, self.n_rows, self._step):
            yield first, self._read(first, first + self._step)

    def _read(self, first, stop):
        with dataset_files.damage(self._path):
            rows = self._node.read(first, stop)
        if self._sums:
            self._sums.check(first, rows)
        return rows


def stretches(values):
    """Yield slices of equal neighbours in an array."""
    edges = np.flatnonzero(np.diff(values)) + 1
    bounds = [0, *edges.tolist(), len(values)] if len(values) else []
    for start, stop in itertools.pairwise(bounds):
        yield slice(start, stop)
