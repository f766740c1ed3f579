"""OUTPUT.parts/: everything that is not finished yet, held by one run at a time."""

import contextlib
import errno
import fcntl
import hashlib
import logging
import os
import socket
from pathlib import Path

from . import storage
from .errors import ConfigError, DatasetError

log = logging.getLogger(__name__)


class Workspace:
    """The folder of unfinished work of an output."""

    def __init__(self, output):
        self.output = Path(output)
        self.folder = self.output.with_name(self.output.name + ".parts")

    def part_path(self, data_file):
        """Return the path of an input's part; inputs of one name in different folders differ."""
        data_file = Path(data_file).absolute()
        place = hashlib.sha256(str(data_file.parent).encode()).hexdigest()[:12]
        stem = data_file.name if len(data_file.name) < 200 else hashlib.sha256(data_file.name.encode()).hexdigest()
        return self.folder / f"{stem}.{place}.h5"

    def clear(self):
        """Remove the parts: what they hold is in the output now."""
        for path in self.folder.glob("*.h5"):
            path.unlink()

    def remove_temporary(self):
        """Remove what a run that died left half-written."""
        for path in self.folder.glob(f"*{storage.TEMPORARY}"):
            path.unlink()


@contextlib.contextmanager
def workspace(output):
    """Hold the workspace of an output; no second run gets it until the block ends or this process dies.

    Raises
    ------
    DatasetError
        If another run holds it.
    ConfigError
        If the folder of the output is missing or not writable.
    """
    work = Workspace(output)
    parent = work.output.absolute().parent
    if not parent.is_dir():
        raise ConfigError(f"{output}: its folder {parent} does not exist: make it first")
    try:
        work.folder.mkdir(exist_ok=True)
        lock = _locked(work.folder / "lock")
    except OSError as err:
        raise ConfigError(f"{output}: its folder is not writable: {err.strerror or err}") from err
    try:
        work.remove_temporary()
        yield work
    finally:
        work.remove_temporary()
        lock_path = work.folder / "lock"
        if not any(path != lock_path for path in work.folder.iterdir()):
            lock_path.unlink()
            work.folder.rmdir()
        os.close(lock)


def _locked(path):
    """Return the descriptor of the lock file, locked; the system unlocks it when this process ends."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as err:
            holder = os.read(descriptor, 200).decode(errors="replace").strip() or "unknown"
            if err.errno in (errno.EWOULDBLOCK, errno.EACCES):
                os.close(descriptor)
                raise DatasetError(f"{path.parent}: in use by another run ({holder}): wait for it, or end it") from err
            log.warning("%s: this file system has no locks; make sure that no second run writes here", path)
        # the run that held it before may have removed the file since it was opened here
        if path.exists() and path.stat().st_ino == os.fstat(descriptor).st_ino:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{socket.gethostname()} pid {os.getpid()}\n".encode(), 0)
            return descriptor
        os.close(descriptor)
