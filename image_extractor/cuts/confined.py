"""Reads the pickle of a bins_cuts_dict in a process of its own, where it can do no harm.

No class is looked up but the harmless ones of :mod:`plain_pickle`, but that is not all a hostile pickle can do: a few
bytes of it can ask for gigabytes, hash for ever, or overflow the C stack and so end the interpreter. This process may
take memory and time in proportion to the file; when it dies, the file is refused.
"""

import hashlib
import io
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np

from ..errors import ConfigError
from . import plain_pickle
from .entries import DTYPE, MARK, NODE, check, check_primary, reason

#: An entry takes some 20 bytes in a pickle and 700 as objects, before and after it is checked.
MEMORY, MEMORY_PER_BYTE = 2 << 30, 100
#: CPU seconds; 10 MB are read and checked in 2 s or so.
SECONDS, SECONDS_PER_MB = 5, 2

#: Exit code of a process that says why; Python's own of an error is 1.
REFUSED = 3

BLOCK_BYTES = 1 << 20


def load_pickle(file, path):
    """Return the checked entries of a pickle, and what else it tells.

    Parameters
    ----------
    file : binary file
        Open, with a file descriptor of its own that stands at the beginning.
    path : str or Path
        Its name in messages.

    Returns
    -------
    rows : structured array of `entries.DTYPE`, (n_entries,)
    primary : int or None
    sha256 : str
        Of the bytes that were read, hexadecimal.

    Raises
    ------
    ConfigError
        If it is refused.
    """
    root = str(Path(__file__).parents[2])
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))}
    environment |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-P", "-c", f"from {__name__} import main; main()", os.fspath(path)]
    ended = subprocess.run(command, capture_output=True, env=environment, stdin=file, check=False)
    head, end, _ = ended.stdout[:BLOCK_BYTES].partition(b"\n")
    if ended.returncode == 0:
        told = json.loads(head)
        return np.frombuffer(ended.stdout, DTYPE, offset=len(head + end)), told["primary"], told["sha256"]
    if ended.returncode == REFUSED:
        raise ConfigError(json.loads(head))
    raise ConfigError(
        f"{path}: refused as a bins_cuts_dict: reading it takes more memory or time than a dictionary of its size"
    )


class _Hashed(io.RawIOBase):
    """A file that is read once, from beginning to end, and hashed as it is read."""

    def __init__(self, file):
        self._file, self.digest = file, hashlib.sha256()

    def readable(self):
        """Say that it can be read."""
        return True

    def readinto(self, buffer):
        """Read some bytes; returns how many."""
        n_bytes = self._file.readinto(buffer)
        self.digest.update(memoryview(buffer)[:n_bytes])
        return n_bytes


def read(file, path):
    """Read an unbuffered file; returns what :func:`load_pickle` does. A hostile one may end the interpreter."""
    hashed = _Hashed(file)
    buffered = io.BufferedReader(hashed, BLOCK_BYTES)
    try:
        entries, primary = plain_pickle.load(buffered), _primary_behind(buffered, path)
        while buffered.read(BLOCK_BYTES):  # what stands behind is of the file, too
            pass
    except ConfigError:
        raise
    except plain_pickle.Refused as err:
        raise ConfigError(f"{path}: refused as a bins_cuts_dict: {err}") from err
    except Exception as err:  # a broken pickle raises errors of almost any kind
        told = f"neither a pickle nor HDF5, or damaged: {reason(err)}"
        raise ConfigError(f"{path}: refused as a bins_cuts_dict: {told}") from err
    return check(entries, path), primary, hashed.digest.hexdigest()


def _primary_behind(file, path):
    """Return the primary that a pickle of its own behind the dictionary's tells, None if there is none.

    pickle.load reads the first one only: other readers see a dictionary.
    """
    if not file.peek(1):
        return None
    description = plain_pickle.load(file)
    if not isinstance(description, dict) or description.get(MARK) != NODE:
        return None
    return check_primary(description.get("primary"), path)


# -- in the process ---------------------------------------------------------------------------------


def main():
    """Read stdin, a file whose name is the argument; write rows, or why there are none, to stdout; and end."""
    code = _answer(sys.argv[1], sys.stdout.buffer)
    sys.stdout.flush()
    os._exit(code)  # taking millions of objects apart one by one is of no use


def _answer(path, out):
    try:
        _confine(os.fstat(0).st_size)
        rows, primary, sha256 = read(io.FileIO(0, closefd=False), path)
        out.write(json.dumps({"primary": primary, "sha256": sha256}).encode() + b"\n")
        out.write(rows.view(np.uint8))
    except ConfigError as err:
        out.write(json.dumps(str(err)).encode())
        return REFUSED
    return 0


def _confine(size):
    """Limit the memory and time of this process."""
    for name, limit in (
        ("RLIMIT_AS", MEMORY + MEMORY_PER_BYTE * size),
        ("RLIMIT_CPU", SECONDS + SECONDS_PER_MB * size // (1 << 20)),
        ("RLIMIT_CORE", 0),
    ):
        kind = getattr(resource, name)
        allowed = resource.getrlimit(kind)[1]
        limit = limit if allowed == resource.RLIM_INFINITY else min(limit, allowed)
        resource.setrlimit(kind, (limit, allowed))
