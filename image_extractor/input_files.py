"""Which files a name or wildcard stands for, and in which order: run2 before run10; and which are HDF5."""

import glob
import hashlib
import os
import re
from pathlib import Path

from .errors import ConfigError

#: Bytes at either end of an input by which it is known again.
ENDS = 1 << 20

HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"


def find_files(pattern):
    """Return the files of a name or wildcard in natural order.

    A name is returned as it is if anything stands there, so that its reader can say what is wrong.

    Raises
    ------
    ConfigError
        If there is none, or it is a folder.
    """
    pattern = os.path.expanduser(pattern)  # noqa: PTH111 - a quoted wildcard is not yet a path
    if Path(pattern).is_dir():
        raise ConfigError(f"{pattern}: {why_no_file(pattern)}")
    if os.path.lexists(pattern):  # a file may be called what looks like a wildcard
        return [Path(pattern)]
    names = glob.glob(pattern, recursive=True) if glob.has_magic(pattern) else []  # noqa: PTH207 - Path.glob is relative
    if not names:
        raise ConfigError(f"{pattern}: no file matches; give a file or a quoted wildcard such as 'data/*.gz'")
    return sorted(map(Path, names), key=natural_order)


def digest(path):
    """Return the SHA-256 of a file's size and of its first and last MiB, hexadecimal: by it an input is known again."""
    found = hashlib.sha256()
    with Path(path).open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        found.update(size.to_bytes(8, "little"))
        found.update(file.read(ENDS))
        file.seek(max(size - ENDS, 0))
        found.update(file.read(ENDS))
    return found.hexdigest()


def name_bytes(path):
    """Return the name of a file as Run_Table has it: bytes, for not every name is UTF-8."""
    return os.fsencode(Path(path).name)


def is_hdf5(path):
    """Say whether a file begins like an HDF5 file."""
    with Path(path).open("rb") as file:
        return file.read(len(HDF5_SIGNATURE)) == HDF5_SIGNATURE


def why_no_file(path):
    """Return in words why a path that is no file is none, and what to do."""
    path = Path(path)
    if path.is_dir():
        return f"is a folder: give a file, or a quoted wildcard such as '{path / '*'}'"
    return "not a file" if path.exists() else "no such file"


def natural_order(path):
    """Return a sorting key in which numbers within names count as numbers."""
    pieces = re.split(r"(\d+)", str(path))
    return [(0, int(piece), "") if piece.isdecimal() else (1, 0, piece) for piece in pieces]
