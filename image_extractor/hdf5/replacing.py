"""Files that appear whole or not at all."""

import contextlib
import os
import uuid
from pathlib import Path

import tables

from .dataset_files import NewFile, PlainFile, hdf5_errors, open_file
from .nodes import set_attributes
from .verification import incomplete, outline, root_outline, verify, verify_root

#: Suffix of files that are still being written.
TEMPORARY = ".tmp"


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
    # two machines may be at one file, where a worker that was lost lives on; and processes of them have one number
    unique = f"{uuid.uuid4().hex[:8]}.{os.getpid()}"
    temporary = Path(folder or path.parent) / f"{path.name}.{unique}{TEMPORARY}"
    try:
        with hdf5_errors(path):
            with NewFile(temporary) as file:
                ledger = file.ledger
                yield file
                file.flush()
                expected = outline(file)
            with _written(temporary) as written:
                verify(written, expected, ledger)
            put_in_place(temporary, path)
    finally:
        remove(temporary)


def remove(path):
    """Remove a temporary file if it is there; one that can't be removed is no reason to fail."""
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)


def put_in_place(finished, path):
    """Let a finished file take the place of `path`, on the same file system, so that it lasts."""
    with finished.open("rb") as written:
        os.fsync(written.fileno())
    finished.replace(path)
    sync_folder(path.parent)


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


def sync_folder(folder):
    """Make a rename last: the folder's entry, too, must reach the disk."""
    with contextlib.suppress(OSError):  # not every network file system can; the rename itself is still atomic
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _written(path):
    """Open a file that has just been written."""
    try:
        return PlainFile(str(path))
    except tables.HDF5ExtError as err:
        raise incomplete() from err
