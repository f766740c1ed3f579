"""Files that appear whole or not at all: written beside their place under another name, then put there."""

import contextlib
import os
import uuid
from pathlib import Path

#: Suffix of files that are still being written.
TEMPORARY = ".tmp"

#: Bytes of a file's name that its temporary name takes over: file systems have room for 255.
NAME_BYTES = 200


@contextlib.contextmanager
def whole(path, folder=None):
    """Yield a temporary path; what is written there takes the place of `path` when the block ends well, not before.

    path : Path
    folder : Path, optional
        Of the temporary file, on the same file system (default: that of `path`).
    """
    # two machines may be at one file, where a worker that was lost lives on; and processes of them have one number
    unique = f"{uuid.uuid4().hex[:8]}.{os.getpid()}"
    name = os.fsdecode(os.fsencode(path.name)[:NAME_BYTES])
    temporary = Path(folder or path.parent) / f"{name}.{unique}{TEMPORARY}"
    try:
        yield temporary
        put_in_place(temporary, path)
    finally:
        remove(temporary)


def write(path, data):
    """Write bytes to a file, which may be there."""
    with whole(path) as temporary:
        temporary.write_bytes(data)


def write_new(path, data):
    """Write bytes to a file that must not be there yet; raise FileExistsError if it is."""
    path.open("xb").close()  # the name is taken
    try:
        write(path, data)
    except BaseException:
        remove(path)
        raise


def put_in_place(finished, path):
    """Let a finished file take the place of `path`, on the same file system, so that it lasts."""
    with finished.open("rb") as written:
        os.fsync(written.fileno())
    finished.replace(path)
    _sync_folder(path.parent)


def make_folder(path):
    """Make a folder, unless it is there, so that it lasts."""
    if not path.is_dir():
        path.mkdir(exist_ok=True)
        _sync_folder(path.parent)


def remove(path):
    """Remove a temporary file if it is there; one that can't be removed is no reason to fail."""
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)


def _sync_folder(folder):
    """Make a rename last: the folder's entry, too, must reach the disk."""
    with contextlib.suppress(OSError):  # not every network file system can; the rename itself is still atomic
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
