"""OUTPUT.parts/: everything that is not finished yet, held by one run at a time."""

import contextlib
import errno
import fcntl
import hashlib
import logging
import os
import socket
import threading
import time
from pathlib import Path

from .. import whole_files
from ..errors import ConfigError, DatasetError

log = logging.getLogger(__name__)

#: Seconds after which a run on another machine that gives no sign of life is taken for dead.
SILENCE = 60.0

#: Seconds after which what two runs write into one file has settled, on file systems without locks.
SETTLING = 1.0


class PartsFolder:
    """The folder of unfinished work of an output."""

    def __init__(self, output):
        self.output = Path(output)
        self.folder = self.output.with_name(self.output.name + ".parts")

    def part_path(self, data_file):
        """Return the path of an input's part; inputs of one name in different folders differ."""
        data_file = Path(data_file).absolute()
        place = hashlib.sha256(os.fsencode(data_file.parent)).hexdigest()[:12]
        stem = data_file.name if len(data_file.name) < 200 else hashlib.sha256(os.fsencode(data_file.name)).hexdigest()
        return self.folder / f"{stem}.{place}.h5"

    def entries_path(self, data_file):
        """Return where the entries of the dictionary that was made of an input are, beside its part."""
        return self.part_path(data_file).with_suffix(".entries.h5")

    def clear(self):
        """Remove the parts: what they hold is in the output now."""
        for path in self.folder.glob("*.h5"):
            whole_files.remove(path)

    def remove_temporary(self):
        """Remove what a run that died left half-written."""
        for path in self.folder.glob(f"*{whole_files.TEMPORARY}"):
            whole_files.remove(path)


@contextlib.contextmanager
def hold_parts_folder(output):
    """Hold the parts folder of an output; no second run gets it until the block ends or this process dies.

    Raises
    ------
    DatasetError
        If another run holds it, or the output is read-only.
    ConfigError
        If the folder of the output is missing or not writable.
    """
    parts = PartsFolder(output)
    parent = parts.output.absolute().parent
    if not parent.is_dir():
        raise ConfigError(f"{output}: its folder {parent} does not exist: make it first")
    if parts.output.exists() and not _is_writable(parts.output):
        raise DatasetError(f"{output}: read-only: make it writable, or choose another name")
    try:
        lock = _locked(parts.folder / "lock")
    except OSError as err:
        raise ConfigError(f"{output}: its folder is not writable: {err.strerror or err}") from err
    try:
        parts.remove_temporary()
        with _heartbeat(lock):
            yield parts
    finally:
        parts.remove_temporary()
        lock_path = parts.folder / "lock"
        with contextlib.suppress(OSError):  # an empty folder that stays is no reason to fail
            if not any(path != lock_path for path in parts.folder.iterdir()):
                lock_path.unlink()
                parts.folder.rmdir()
        os.close(lock)


def _is_writable(path):
    """Say whether a file may be replaced: who made it read-only did not want that, whatever root may do."""
    return bool(path.stat().st_mode & 0o222) and os.access(path, os.W_OK)


def _locked(path):
    """Return the descriptor of the lock file, locked; the system unlocks it when this process ends."""
    while True:
        whole_files.make_folder(path.parent)
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except FileNotFoundError:  # the run that held it before has just removed the folder
            continue
        try:
            has_locks = _claim(descriptor, path)
            # the run that held it before may have removed the file since it was opened here
            if path.exists() and path.stat().st_ino == os.fstat(descriptor).st_ino:
                _sign(descriptor, path, has_locks)
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _sign(descriptor, path, has_locks):
    """Write into the lock file whose it is; without locks, raise DatasetError if another run does so at that time."""
    name = f"{socket.gethostname()} pid {os.getpid()}\n".encode()
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, name, 0)
    if not has_locks:
        time.sleep(SETTLING)
        found = path.read_bytes() if path.exists() else b""
        if found != name:
            raise DatasetError(_in_use(path, found.decode(errors="replace").strip()))


def _claim(descriptor, path):
    """Raise DatasetError if another run holds the lock file; return whether the file system has locks.

    Not every file system has locks, and on some they only hold on one machine. So a run also shows that it
    lives by touching the file; a holder on another machine is given time to do so.
    """
    holder = os.pread(descriptor, 200, 0).decode(errors="replace").strip()
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        has_locks = True
    except OSError as err:
        if err.errno in (errno.EWOULDBLOCK, errno.EACCES):
            raise DatasetError(_in_use(path, holder)) from err
        has_locks = False
    host, _, pid = holder.partition(" pid ")
    is_known = host and pid.isdigit()  # else nobody wrote there, or what was written is lost with the power
    if not is_known or (host == socket.gethostname() and (has_locks or not _is_alive(pid))):
        return has_locks
    log.warning("%s: left by %s; waiting %d s for a sign of life", path, holder, SILENCE)
    touched, deadline = os.fstat(descriptor).st_mtime_ns, time.monotonic() + SILENCE
    while time.monotonic() < deadline:
        time.sleep(min(1.0, SILENCE / 10))
        try:
            with path.open("rb") as file:  # opened anew: network file systems then ask the server
                is_touched = os.fstat(file.fileno()).st_mtime_ns != touched
        except FileNotFoundError:  # its run has come to its end
            return has_locks
        if is_touched:
            raise DatasetError(_in_use(path, holder))
    return has_locks


def _in_use(path, holder):
    return f"{path.parent}: in use by another run ({holder or 'unknown'}): wait for it, or end it"


def _is_alive(pid):
    try:
        os.kill(int(pid), 0)
    except (ValueError, ProcessLookupError):
        return False
    except OSError:  # another user's
        return True
    return int(pid) != os.getpid()


@contextlib.contextmanager
def _heartbeat(descriptor):
    """Touch the lock file until the block ends."""
    ended = threading.Event()

    def beat():
        while not ended.wait(SILENCE / 6):
            with contextlib.suppress(OSError):
                os.utime(descriptor)

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
