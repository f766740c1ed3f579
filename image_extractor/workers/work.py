"""What happens in a worker: a task runs once, leaves a mark as long as it runs, and stops when the run is gone."""

import contextlib
import errno
import functools
import hashlib
import os
import pickle
import socket
import threading
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

from .. import whole_files
from ..errors import ConfigError, one_line
from ..hdf5 import provenance

#: A file whose worker dies this often is left out.
MAX_DEATHS = 3

#: Seconds between two looks whether the run still goes on.
LOOK_EVERY = 1.0

#: PyTables is not made for threads, and a death must have one task to blame.
_one_at_a_time = threading.Lock()


@dataclass(frozen=True)
class SharedTool:
    """A tool in a file, which every worker reads once: with its dictionary it is too large to go with each task.

    A file serves any number of workers of any engine, also those that come late, and costs a scheduler no memory.
    It is there as long as the run goes on; when it is gone, tasks stop. Its checksum comes with the task, so that
    nobody else's pickle is read.
    """

    path: Path
    sha256: str

    def load(self):
        """Return the tool; raise OSError if it is not there, ConfigError if this worker can't use it."""
        try:
            data = self.path.read_bytes()
        except OSError as err:
            reason = f"{err.strerror} on worker {socket.gethostname()}: do all workers see this folder?"
            raise OSError(err.errno, reason, str(self.path)) from err
        if hashlib.sha256(data).hexdigest() != self.sha256:
            raise OSError(errno.EIO, "is not what the run wrote", str(self.path))
        try:
            versions, tool = pickle.loads(data)  # known by its checksum
        except (AttributeError, ImportError) as err:
            raise ConfigError(f"worker {socket.gethostname()} can't load the extractor: {one_line(err)}") from err
        _check_versions(versions)
        return tool

    def check_wanted(self):
        """Raise OSError if the run does not go on."""
        if not self.path.exists():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self.path))


@contextlib.contextmanager
def shared(tool, folder):
    """Put a tool where workers find it, until the block ends; yields the SharedTool."""
    data = pickle.dumps((provenance.versions(), tool), pickle.HIGHEST_PROTOCOL)
    path = Path(folder).absolute() / f"run-{uuid.uuid4().hex}{whole_files.TEMPORARY}"
    path.touch(0o600)
    path.write_bytes(data)
    try:
        yield SharedTool(path, hashlib.sha256(data).hexdigest())
    finally:
        whole_files.remove(path)


def _check_versions(versions):
    """Raise ConfigError if what a worker makes would not be what the run makes."""
    for name, here in provenance.versions().items():
        if versions[name] != here:
            what, host = name.removesuffix("_version"), socket.gethostname()
            raise ConfigError(f"worker {host} has {what} {here}, this run {versions[name]}: install the same there")


@functools.lru_cache(1)
def _load(shared_tool):
    return shared_tool.load()


def work(shared_tool, function, task, tell=None):
    """Call function(tool, task, progress) in a worker.

    Parameters
    ----------
    shared_tool : SharedTool
    function : callable
        `convert` or `merge_parts`.
    task : ConversionTask or MergeTask
    tell : callable, optional
        Called now and then with file, events read and the fraction read; its attribute `every` are the seconds between.

    Returns
    -------
    What the function returns; None if it killed MAX_DEATHS workers before.
    """
    with _one_at_a_time:
        shared_tool.check_wanted()
        tool = _load(shared_tool)
        with _marked(task.target) as may_run:
            return function(tool, task, _Reporter(shared_tool, task, tell)) if may_run else None


@contextlib.contextmanager
def _marked(target):
    """Leave a mark as long as the block runs, which stays if the worker dies; yields whether few are there."""
    for mark in (target.with_name(f"{target.stem}.try{i}{whole_files.TEMPORARY}") for i in range(MAX_DEATHS)):
        try:
            mark.touch(exist_ok=False)
        except FileExistsError:
            continue
        try:
            yield True
        finally:
            whole_files.remove(mark)
        return
    yield False


class _Reporter:
    """The progress of a task: passes it on, not too often, and stops a task that is no longer wanted."""

    def __init__(self, shared_tool, task, tell):
        self._shared, self._tell, self._n_events = shared_tool, tell, 0
        self._name = getattr(task, "name", "")
        self._looked = self._told = time.monotonic()

    def __call__(self, n_events, fraction):
        now = time.monotonic()
        if now - self._looked > LOOK_EVERY:
            self._shared.check_wanted()
            self._looked = now
        self._n_events += n_events
        # the result tells of the rest
        if self._tell and fraction < 1 and now - self._told > self._tell.every:
            self._tell(self._name, self._n_events, fraction)
            self._n_events, self._told = 0, now
