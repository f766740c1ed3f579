"""HDF5 files that appear whole or not at all, and are read again before they do."""

import contextlib
from pathlib import Path

import tables

from .. import whole_files
from .dataset_files import NewFile, PlainFile, hdf5_errors, open_file
from .nodes import set_attributes
from .verification import incomplete, outline, root_outline, verify, verify_root


@contextlib.contextmanager
def replacing(path, folder=None):
    """Write a new HDF5 file that takes the place of `path` when the block ends well, and not before.

    Yields the open file, under a temporary name in `folder` (default: that of `path`), which must be
    on the same file system.

    Raises
    ------
    OSError
        If something could not be written. The finished file is read again to be sure of it.
    """
    path = Path(path)
    with hdf5_errors(path), whole_files.whole(path, folder) as temporary:
        with NewFile(temporary) as file:
            ledger = file.ledger
            yield file
            file.flush()
            expected = outline(file)
        with _written(temporary) as written:
            verify(written, expected, ledger)


def change_attributes(path, new, removed=()):
    """Set and remove attributes of the root of a finished file, and make sure that they got there."""
    with hdf5_errors(path):
        with open_file(path, "a") as file:
            for name in removed:
                if name in file.root._v_attrs:
                    del file.root._v_attrs[name]
            set_attributes(file.root, new)
            file.flush()
            expected = root_outline(file)
        with _written(path) as written:
            verify_root(written, expected)


def _written(path):
    """Open a file that has just been written."""
    try:
        return PlainFile(str(path))
    except tables.HDF5ExtError as err:
        raise incomplete() from err
