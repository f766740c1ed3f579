"""HDF5 files that appear whole or not at all, and are read again before they do."""

import contextlib
import errno
from pathlib import Path

import tables

from .. import whole_files
from .checksums import Seal
from .dataset_files import NewFile, PlainFile, hdf5_errors, open_file
from .nodes import set_attributes


@contextlib.contextmanager
def replacing(path, folder=None, sealed=False):
    """Write a new HDF5 file that takes the place of `path` when the block ends well, and not before.

    Yields the open file, under a temporary name in `folder` (default: that of `path`), which must be
    on the same file system. With `sealed` it gets checksums that readers find in it.

    Raises
    ------
    OSError
        If something could not be written. The finished file is read again to be sure of it: HDF5 and PyTables are
        silent about some of what they can't write, and leave a hole in the file.
    """
    path = Path(path)
    with hdf5_errors(path), whole_files.whole(path, folder) as temporary:
        with NewFile(temporary) as file:
            yield file
            file.flush()
            ledger = file.ledger
            seal = Seal.of(file, ledger)
            if sealed:
                seal.write(file)
            checksum = seal.of_root(file)
        with _written(temporary) as file:
            _check(lambda: seal.of_root(file) == checksum and seal.check(file, sealed, ledger) is None)
            if sealed:  # the checksums that it holds are those that were written, too
                _check(lambda: Seal.read(file) is not None)


def change_attributes(path, new, removed=()):
    """Set and remove attributes of the root of a finished, sealed file, and make sure that they got there."""
    with hdf5_errors(path):
        with open_file(path, "a") as file:
            seal = Seal.read(file)
            for name in removed:
                if name in file.root._v_attrs:
                    del file.root._v_attrs[name]
            set_attributes(file.root, new)
            seal.sign(file)
            file.flush()
            checksum = seal.of_root(file)
        with _written(path) as file:
            _check(lambda: seal.of_root(file) == checksum)


def _written(path):
    """Open a file that has just been written."""
    try:
        return PlainFile(str(path))
    except tables.HDF5ExtError as err:
        raise _incomplete() from err


def _check(agrees):
    """Raise OSError if something differs, or can't be read."""
    cause = None
    try:
        right = agrees()
    except (
        tables.HDF5ExtError, tables.NodeError, OSError, ValueError, TypeError, LookupError, RuntimeError,
    ) as err:  # fmt: skip
        right, cause = False, err
    if not right:
        raise _incomplete() from cause


def _incomplete():
    """Return what to raise where a file does not hold what was written to it."""
    return OSError(errno.EIO, "not all that was written got there; is the disk full, or failing?")
