"""What workers do: files to parts, parts to datasets. A task may run twice, on any machine that sees the files.

Whoever runs them, processes of this machine or a cluster's: a task finds the extractor in the folder of parts, and
leaves a mark there as long as it runs, so that a file that kills its workers is known by its marks.
"""

import contextlib
import errno
import functools
import hashlib
import json
import logging
import os
import pickle
import socket
import threading
import time
import traceback
import uuid
from dataclasses import dataclass, replace
from pathlib import Path

from . import merge, part, storage
from .errors import ConfigError, DatasetError, InputError, one_line

log = logging.getLogger(__name__)

#: A file whose worker dies this often is left out.
MAX_DEATHS = 3

#: Seconds between two looks whether the run still goes on.
LOOK_EVERY = 1.0

#: PyTables is not made for threads, and a death must have one task to blame.
_one_at_a_time = threading.Lock()


# -- files to parts -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Options:
    """What may differ between two conversions with the same settings.

    Attributes
    ----------
    max_events : int or None
        Events written, at most.
    on_truncated : str
        'refuse' a file that ends early, or 'keep' its whole events.
    known : KnownInputs or None
        What the output holds of files of this name.
    """

    max_events: int | None = None
    on_truncated: str = "refuse"
    known: object = None


@dataclass(frozen=True)
class Conversion:
    """One file to convert; small, it travels to a worker. `name` is the file as the user gave it."""

    name: str
    file: Path
    target: Path
    options: Options

    def absolute(self):
        """Return it for a worker, which has a working directory of its own."""
        return replace(self, file=self.file.absolute(), target=self.target.absolute())


def convert(extractor, task, progress=None):
    """Convert one file to its part, unless a good part is there; returns a run of the Report."""
    result = {"file": task.name}
    try:
        fingerprint = _fingerprint(extractor, task)
        finished = _finished(task.target, fingerprint)
        if finished:
            for line in finished.pop("warnings", ()):
                log.warning("%s", line)
            return result | finished | {"resumed": True}
        return result | extractor.convert(task.file, task.target, task.options, {"fingerprint": fingerprint}, progress)
    except InputError as err:
        reason = str(err).replace(str(task.file), task.name)  # as the user gave it
        return result | {"status": "failed", "reason": reason, "traceback": traceback.format_exc()}


def _fingerprint(extractor, task):
    """Return what a part depends on, as text: the input's size and time, settings, dictionary, versions."""
    try:
        stat = task.file.stat()
    except OSError as err:
        raise InputError(f"{task.file}: {err.strerror}") from err
    facts = part.provenance(extractor.settings)
    del facts["utc_time"]
    facts |= {
        "input": [str(task.file.absolute()), stat.st_size, stat.st_mtime_ns],
        "max_events": task.options.max_events,
        "on_truncated": task.options.on_truncated,
        "bins_cuts_dict_sha256": extractor.dictionary_sha256,
    }
    return json.dumps(facts, sort_keys=True)


def _finished(path, fingerprint):
    """Return the report of a part that a run before this one finished, None if there is no good one."""
    if not path.exists():
        return None
    try:
        with storage.open_dataset(path) as file:
            attributes = file.root._v_attrs
            return json.loads(str(attributes["report"])) if str(attributes["fingerprint"]) == fingerprint else None
    except (DatasetError, KeyError, ValueError):
        return None


# -- parts to datasets ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Merge:
    """Parts to merge into one dataset, which is itself part of something: of the output, or of a set of outputs."""

    parts: tuple
    target: Path
    seed: int | None
    split: dict | None
    beside: tuple = ()

    def absolute(self):
        """Return it for a worker, which has a working directory of its own."""
        parts, beside = (tuple(Path(path).absolute() for path in paths) for paths in (self.parts, self.beside))
        return replace(self, parts=parts, beside=beside, target=self.target.absolute())


def merge_parts(_, task, progress=None):
    """Merge parts, unless that was done; returns the number of parts."""
    status = {path: os.stat(path) for path in (*task.parts, *task.beside)}  # noqa: PTH116 - strings and paths alike
    files = [(Path(path).name, facts.st_size, facts.st_mtime_ns) for path, facts in status.items()]
    fingerprint = hashlib.sha256(json.dumps([files, task.seed, task.split]).encode()).hexdigest()
    if not _is_merged(task.target, fingerprint):
        merge.build(
            task.parts, task.target, task.target.parent, seed=task.seed, split=task.split, beside=task.beside,
            attributes={"fingerprint": fingerprint}, progress=(lambda: progress(0, 1.0)) if progress else None,
        )  # fmt: skip
    return len(task.parts)


def _is_merged(path, fingerprint):
    try:
        with storage.open_dataset(path) as file:
            return str(file.root._v_attrs["fingerprint"]) == fingerprint
    except (DatasetError, KeyError):
        return False


# -- in a worker ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class SharedExtractor:
    """An extractor in a file, which every worker reads once: with its dictionary it is too large to go with each task.

    A file serves any number of workers of any engine, also those that come late, and costs a scheduler no memory.
    It is there as long as the run goes on; when it is gone, tasks stop. Its checksum comes with the task, so that
    nobody else's pickle is read.
    """

    path: Path
    sha256: str

    def load(self):
        """Return the extractor; raise OSError if it is not there, ConfigError if this worker can't use it."""
        try:
            data = self.path.read_bytes()
        except OSError as err:
            reason = f"{err.strerror} on worker {socket.gethostname()}: do all workers see this folder?"
            raise OSError(err.errno, reason, str(self.path)) from err
        if hashlib.sha256(data).hexdigest() != self.sha256:
            raise OSError(errno.EIO, "is not what the run wrote", str(self.path))
        try:
            versions, extractor = pickle.loads(data)  # known by its checksum
        except (AttributeError, ImportError) as err:
            raise ConfigError(f"worker {socket.gethostname()} can't load the extractor: {one_line(err)}") from err
        _check_versions(versions)
        return extractor

    def check_wanted(self):
        """Raise OSError if the run does not go on."""
        if not self.path.exists():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self.path))


@contextlib.contextmanager
def shared(extractor, folder):
    """Put an extractor where workers find it, until the block ends; yields the SharedExtractor."""
    data = pickle.dumps((part.versions(), extractor), pickle.HIGHEST_PROTOCOL)
    path = Path(folder).absolute() / f"run-{uuid.uuid4().hex}{storage.TEMPORARY}"
    path.touch(0o600)
    path.write_bytes(data)
    try:
        yield SharedExtractor(path, hashlib.sha256(data).hexdigest())
    finally:
        storage.remove(path)


def _check_versions(versions):
    """Raise ConfigError if what a worker makes would not be what the run makes."""
    for name, here in part.versions().items():
        if versions[name] != here:
            what, host = name.removesuffix("_version"), socket.gethostname()
            raise ConfigError(f"worker {host} has {what} {here}, this run {versions[name]}: install the same there")


@functools.lru_cache(1)
def _load(shared_extractor):
    return shared_extractor.load()


def work(shared_extractor, function, task, tell=None):
    """Call function(extractor, task, progress) in a worker.

    Parameters
    ----------
    shared_extractor : SharedExtractor
    function : callable
        `convert` or `merge_parts`.
    task : Conversion or Merge
    tell : callable, optional
        Called now and then with file, events read and the fraction read; its attribute `every` are the seconds between.

    Returns
    -------
    What the function returns; None if it killed MAX_DEATHS workers before.
    """
    with _one_at_a_time:
        shared_extractor.check_wanted()
        extractor = _load(shared_extractor)
        with _marked(task.target) as may_run:
            return function(extractor, task, _Reporter(shared_extractor, task, tell)) if may_run else None


@contextlib.contextmanager
def _marked(target):
    """Leave a mark as long as the block runs, which stays if the worker dies; yields whether few are there."""
    for mark in (target.with_name(f"{target.stem}.try{i}{storage.TEMPORARY}") for i in range(MAX_DEATHS)):
        try:
            mark.touch(exist_ok=False)
        except FileExistsError:
            continue
        try:
            yield True
        finally:
            storage.remove(mark)
        return
    yield False


class _Reporter:
    """The progress of a task: passes it on, not too often, and stops a task that is no longer wanted."""

    def __init__(self, shared_extractor, task, tell):
        self._shared, self._tell, self._n_events = shared_extractor, tell, 0
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
