"""Reads the pickle of a bins_cuts_dict in a process of its own, where it can do no harm.

No class is looked up but the harmless ones of :mod:`cuts`, but that is not all a hostile pickle can do: a few bytes
of it can ask for gigabytes, hash for ever, or overflow the C stack and so end the interpreter. This process may take
memory and time in proportion to the file; when it dies, the file is refused.
"""

import io
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np

from ..errors import ConfigError
from . import dictionary

#: An entry takes some 20 bytes in a pickle and 700 as objects, before and after it is checked.
MEMORY, MEMORY_PER_BYTE = 2 << 30, 100
#: CPU seconds; 10 MB are read and checked in 2 s or so.
SECONDS, SECONDS_PER_MB = 5, 2


def load_pickle(path):
    """Return the checked entries of a pickle as a structured array of `dictionary.DTYPE`, and the primary or None.

    Raises ConfigError if it is refused.
    """
    root = str(Path(__file__).parents[2])
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))}
    environment |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-P", "-m", __name__, os.fspath(path)]
    ended = subprocess.run(command, capture_output=True, env=environment, stdin=subprocess.DEVNULL, check=False)
    if ended.returncode == 0:
        output = io.BytesIO(ended.stdout)
        return np.load(output, allow_pickle=False), json.loads(output.read())
    try:
        reason = json.loads(ended.stdout)
    except ValueError:
        reason = (
            f"{path}: refused as a bins_cuts_dict: reading it takes more memory or time than a dictionary of its size"
        )
    raise ConfigError(reason)


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


def main(path):
    """Write the array, or why there is none, to stdout."""
    try:
        _confine(Path(path).stat().st_size)
        entries, primary = dictionary.unpickled(path)
        entries = dictionary.check(entries, path)
        np.save(sys.stdout.buffer, dictionary.as_array(entries))
        sys.stdout.buffer.write(json.dumps(primary).encode())
        sys.stdout.buffer.flush()
    except ConfigError as err:
        sys.stdout.write(json.dumps(str(err)))
        return 1
    return 0


if __name__ == "__main__":
    code = main(sys.argv[1])
    sys.stdout.flush()
    os._exit(code)  # taking millions of objects apart one by one is of no use
