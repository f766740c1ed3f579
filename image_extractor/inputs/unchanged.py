"""Is a file still the one that was opened?"""

from pathlib import Path

from ..errors import InputError


def check_unchanged(path, before):
    """Raise InputError unless a file has the :func:`identity` that it had before."""
    try:
        same = identity(path) == before
    except OSError:
        same = False
    if not same:
        raise InputError(f"{path}: it changed while it was read: convert it when it is complete")


def identity(path):
    """Return what is another when a file is written to, or replaced."""
    stat = Path(path).stat()
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns
