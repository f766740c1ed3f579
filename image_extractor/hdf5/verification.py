"""Is what was written in the file? HDF5 and PyTables are silent about some of what could not be written.

A full disk or a failing one may leave a hole in the file where a block of data, an attribute or a node
belongs; nothing is raised when the node or the file is closed. So what goes into a new file is noted, and
the finished file is read and compared before it takes its place.
"""

import errno
import zlib

import numpy as np
import tables

#: Bytes that are read and compared at once.
BLOCK_BYTES = 1 << 20

#: What PyTables itself keeps up to date, at a time of its own choice.
CHANGING_ATTRIBUTES = ("NROWS",)


class Ledger:
    """Checksums of the rows that were appended to the nodes of a file."""

    def __init__(self):
        self._sums = {}

    def append(self, node, rows):
        """Append rows to a table or array, and note them."""
        rows = np.ascontiguousarray(rows, node.dtype)
        self._note(node, rows)
        node.append(rows)

    def write_chunks(self, node, first, chunks, rows):
        """Write chunks of one row each as they are stored, and note the rows that they hold; they must come in order.

        HDF5 looks through all chunks to find one as it is stored, so they are not what is compared.
        """
        self._note(node, np.ascontiguousarray(rows, node.dtype))
        write_chunks(node, first, chunks)

    def _note(self, node, rows):
        n_rows, checksum = self._sums.get(node._v_pathname, (0, 0))
        self._sums[node._v_pathname] = n_rows + len(rows), zlib.crc32(rows, checksum)

    def agrees(self, node):
        """Say whether a node, read again, holds the rows that were written to it."""
        if node._v_pathname not in self._sums:
            return True
        n_rows, expected = self._sums[node._v_pathname]
        found = 0
        for rows in _rows(node):
            found = zlib.crc32(rows, found)
        return (n_rows, expected) == (node.nrows, found)


def write_chunks(node, first, chunks):
    for row, (chunk, filter_mask) in enumerate(chunks, first):
        node.write_chunk((row, *(0,) * (node.ndim - 1)), chunk, filter_mask)


def _rows(node):
    step = max(1, BLOCK_BYTES // max(node.rowsize, 1))
    for start in range(0, node.nrows, step):
        yield np.ascontiguousarray(node[start : start + step])


def outline(file):
    """Return what a file is to hold beside its rows: {path of a node: (kind, type, shape, attributes)}."""
    return {node._v_pathname: _description(node) for node in file.walk_nodes("/")}


def root_outline(file):
    """Return the part of it that a change of the root's attributes may touch: these, and the names of its nodes."""
    return _description(file.root), sorted(file.root._v_children)


def _description(node):
    attributes = {
        name: (value.dtype.str, value.tobytes())
        for name, value in ((name, np.asarray(node._v_attrs[name])) for name in node._v_attrs._f_list("all"))
        if name not in CHANGING_ATTRIBUTES
    }
    return type(node).__name__, str(getattr(node, "dtype", "")), getattr(node, "shape", ()), attributes


def verify(file, expected, ledger):
    """Raise OSError unless a file, opened again, has this outline and the rows of the ledger."""
    _check(
        lambda: (
            outline(file) == expected
            and all(ledger.agrees(node) for node in file.walk_nodes("/") if isinstance(node, tables.Leaf))
        )
    )


def verify_root(file, expected):
    """Raise OSError unless a file, opened again, has this :func:`root_outline`."""
    _check(lambda: root_outline(file) == expected)


def _check(agrees):
    """Raise OSError if something differs, or can't be read."""
    cause = None
    try:
        right = agrees()
    except (tables.HDF5ExtError, tables.NodeError, OSError, ValueError, TypeError, LookupError, RuntimeError) as err:
        right, cause = False, err
    if not right:
        raise incomplete() from cause


def incomplete():
    """Return what to raise where a file does not hold what was written to it."""
    return OSError(errno.EIO, "not all that was written got there; is the disk full, or failing?")
