"""Are two datasets the same, node by node?"""

import numpy as np
import tables

#: What differs between a file and another one of the same events.
OF_FILES = ("file_name", "file_size", "file_digest")

#: ctapipe stores directions in degrees: they come back but for the last bit.
ROUNDING = {"f4": 3e-7, "f8": 1e-12}


def nodes(path):
    """Return {path of a node: array}; columns of Run_Table that tell of the input's file are left out, and checksums."""
    found = {}
    with tables.open_file(path) as file:
        for node in file.walk_nodes("/", "Leaf"):
            if node._v_pathname.startswith("/Checksums"):
                continue
            rows = node[:]
            if node._v_name == "Run_Table":
                rows = rows[[name for name in rows.dtype.names if name not in OF_FILES]]
            found[node._v_pathname] = rows
    return found


def assert_same(one, other, but=()):
    """Compare two datasets: images and whole numbers bit by bit, other numbers to their rounding.

    but : iterable of str
        Columns that are left out.
    """
    first, second = nodes(one), nodes(other)
    assert first.keys() == second.keys()
    for name, rows in first.items():
        for column in set(rows.dtype.names or ()).difference(but):
            is_image = column.startswith("T") and column[1:].isdigit()
            _assert_equal(rows[column], second[name][column], f"{name} {column}", is_image)
        if not rows.dtype.names:
            _assert_equal(rows, second[name], name, is_image=True)


def _assert_equal(mine, theirs, name, is_image):
    rounding = ROUNDING.get(mine.dtype.base.str[1:])
    if is_image or rounding is None:
        np.testing.assert_array_equal(mine, theirs, err_msg=name)
    else:
        np.testing.assert_allclose(mine, theirs, rtol=rounding, atol=rounding, err_msg=name)
