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
        self._runs = {}

    def append(self, node, rows):
        """Append rows to a table or array, and note them."""
        rows = np.ascontiguousarray(rows, node.dtype)
        self._note("rows", node, len(rows), rows)
        node.append(rows)

    def write_chunk(self, node, coordinates, chunk, filter_mask=0):
        """Write a chunk of one row as it is stored, compressed or not, and note it; rows must come in order."""
        self._note("chunks", node, 1, chunk)
        node.write_chunk(coordinates, chunk, filter_mask)

    def _note(self, kind, node, n_rows, data):
        runs = self._runs.setdefault(node._v_pathname, [])
        if not runs or runs[-1][0] != kind:
            runs.append([kind, 0, 0])
        runs[-1][1] += n_rows
        runs[-1][2] = zlib.crc32(data, runs[-1][2])

    def agrees(self, node):
        """Say whether a node, read again, holds the rows that were written to it."""
        first = 0
        for kind, n_rows, expected in self._runs.get(node._v_pathname, ()):
            found = 0
            for data in _rows(node, first, n_rows) if kind == "rows" else _chunks(node, first, n_rows):
                found = zlib.crc32(data, found)
            if found != expected:
                return False
            first += n_rows
        return first == node.nrows or node._v_pathname not in self._runs


def _rows(node, first, n_rows):
    step = max(1, BLOCK_BYTES // max(node.rowsize, 1))
    for start in range(first, first + n_rows, step):
        yield np.ascontiguousarray(node[start : min(start + step, first + n_rows)])


def _chunks(node, first, n_rows):
    rest = (0,) * (node.ndim - 1)
    for row in range(first, first + n_rows):
        yield node.read_chunk((row, *rest))


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
        raise OSError(errno.EIO, "not all that was written got there; is the disk full, or failing?") from cause
