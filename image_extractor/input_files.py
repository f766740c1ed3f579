"""Which files a name or wildcard stands for, and in which order: run2 before run10; and which are HDF5."""

import glob
import hashlib
import os
import re
from collections import Counter
from pathlib import Path

from .errors import ConfigError, InputError, one_line

#: Bytes at either end of an input by which it is known again.
ENDS = 1 << 20

HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"

#: gzip, zstd, and the mark of an EventIO block in either byte order.
SIMTEL_SIGNATURES = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"\x37\x8a\x1f\xd4", b"\xd4\x1f\x8a\x37")


def find_files(pattern):
    """Return the files of a name or wildcard in natural order.

    A name is returned as it is if anything stands there, so that its reader can say what is wrong.

    Raises
    ------
    ConfigError
        If there is none, or it is a folder.
    """
    try:
        return _found(pattern)
    except OSError as err:  # of a name that is too long
        raise ConfigError(f"{one_line(pattern, 60)}: {err.strerror}") from err


def _found(pattern):
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


def find_all(patterns):
    """Return the files of one or several names or wildcards, each once; see :func:`find_files`."""
    given = [patterns] if isinstance(patterns, str | os.PathLike) else patterns
    return list(dict.fromkeys(path for pattern in given for path in find_files(os.fspath(pattern))))


def short_names(paths):
    """Return {path as text: the shortest tail of it that tells it from the others}, the file's name for most."""
    names, depth = {}, 1
    parts = {str(path): Path(path).absolute().parts for path in paths}
    while parts:
        tails = {path: "/".join(pieces[-depth:]) for path, pieces in parts.items()}
        counts = Counter(tails.values())
        names |= {path: tail for path, tail in tails.items() if counts[tail] == 1 or depth >= len(parts[path])}
        parts = {path: pieces for path, pieces in parts.items() if path not in names}
        depth += 1
    return names


def is_hdf5(path):
    """Say whether a file begins like an HDF5 file."""
    with Path(path).open("rb") as file:
        return file.read(len(HDF5_SIGNATURE)) == HDF5_SIGNATURE


def may_be_simtel(path):
    """Say whether a file begins like a simtel file, compressed or not."""
    with Path(path).open("rb") as file:
        return file.read(4).startswith(SIMTEL_SIGNATURES)


def why_no_file(path):
    """Return in words why a path that is no file is none, and what to do."""
    path = Path(path)
    if path.is_dir():
        return f"is a folder: give a file, or a quoted wildcard such as '{path / '*'}'"
    return "not a file" if path.exists() else "no such file"


def check_readable(path):
    """Raise InputError unless a path is a file with something in it that may be read."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: {why_no_file(path)}")
    if path.stat().st_size == 0:
        raise InputError(f"{path}: empty, zero bytes")
    if not os.access(path, os.R_OK):
        raise InputError(f"{path}: not readable")


def natural_order(path):
    """Return a sorting key in which numbers within names count as numbers."""
    pieces = re.split(r"(\d+)", str(path))
    return [(0, int(piece), "") if piece.isdecimal() else (1, 0, piece) for piece in pieces]
