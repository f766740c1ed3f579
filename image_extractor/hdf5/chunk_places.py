"""Where the chunks of a table or array lie in its file, told by HDF5 in one pass over its index.

PyTables asks for one chunk at a time, and HDF5 looks through the whole index for each, so that all of them take a time
that grows with the square of their number. Upstream: a method of Leaf that calls H5Dchunk_iter, as h5py has it.
"""

import ctypes
import functools
import os

import numpy as np
import tables

#: From this version on callbacks have the arguments that stand below.
FIRST_HDF5 = 1, 14

#: Chunks that are looked up one by one where HDF5 can't be asked for all.
MAX_LOOKUPS = 2000

#: Of a chunk: its first row (in units that depend on the version), where it is, its bytes, and its filter mask.
PLACE = np.dtype([("row", np.uint64), ("offset", np.uint64), ("size", np.uint64), ("mask", np.uint32)])

_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_uint64), ctypes.c_uint, ctypes.c_uint64, ctypes.c_uint64, ctypes.c_void_p
)


def chunk_places(node):
    """Return where the chunks of a table or array are, in the order of their rows; each holds whole rows.

    Returns
    -------
    structured array (n_chunks,) of PLACE, or None
        None where that can't be told, or some chunk is not there.
    """
    n_rows, shape = node.shape[0], tuple(node.chunkshape or ())
    if not n_rows or shape[1:] != tuple(node.shape)[1:]:
        return None
    n_chunks = -(-n_rows // shape[0])
    found = _all_of(node) if _iterate() else _one_by_one(node, n_chunks)
    if found is None or len(found) != n_chunks:
        return None
    found = found[np.argsort(found["row"])]
    last = _place(node, (n_chunks - 1) * shape[0])
    return found if last is not None and last[1:] == found[-1].tolist()[1:] else None


@functools.cache
def _iterate():
    """Return H5Dchunk_iter of the HDF5 that PyTables uses, None if it can't be had."""
    if tuple(map(int, tables.hdf5_version.split(".")[:2])) < FIRST_HDF5:
        return None
    try:  # a library's symbols are also those of the libraries that it is linked to
        function = ctypes.CDLL(tables.hdf5extension.__file__).H5Dchunk_iter
    except (OSError, AttributeError):
        return None
    function.argtypes, function.restype = (ctypes.c_int64, ctypes.c_int64, _Callback, ctypes.c_void_p), ctypes.c_int
    return function


def _all_of(node):
    found = []

    def note(first, mask, offset, size, _):
        found.append((first[0], offset, size, mask))
        return 0

    failed = _iterate()(node._v_objectid, 0, _Callback(note), None)
    return None if failed else np.array(found, PLACE)


def _one_by_one(node, n_chunks):
    if n_chunks > MAX_LOOKUPS:
        return None
    places = [_place(node, number * node.chunkshape[0]) for number in range(n_chunks)]
    return None if None in places else np.array(places, PLACE)


def _place(node, row):
    info = node.chunk_info((row, *(0,) * (node.ndim - 1)))
    return None if info.offset is None else (row, info.offset, info.size, info.filter_mask)


def stored_chunks(node, places):
    """Yield chunks as they are stored, (bytes, filter mask): read past HDF5, which would look for each of them.

    places : structured array, of :func:`chunk_places`
    """
    descriptor = node._v_file.fileno()
    for _, offset, size, mask in places.tolist():
        yield os.pread(descriptor, size, offset), mask


def are_single(node):
    """Say whether the rows of a node are images, compressed, and each a chunk."""
    is_array = isinstance(node, tables.EArray) and node.filters.complevel
    return bool(is_array and tuple(node.chunkshape) == (1, *node.shape[1:]))
