"""Many files: conversion in worker processes, resume, merge, and a report on each file."""

import concurrent.futures
import contextlib
import errno
import json
import logging
import multiprocessing
import os
import signal
import threading
import time
from collections import Counter
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path

from . import __version__, merge, part, row_types, storage
from .errors import DatasetError, InputError
from .logs import start_logging
from .tested_versions import untested
from .workspace import workspace

log = logging.getLogger(__name__)

#: A file whose worker dies this often is left out.
MAX_DEATHS = 3


@dataclass
class Report:
    """What became of each file of a run, in the order of the input.

    ``runs[i]`` is a dict with ``file`` and ``status``: 'written', 'known' (the output has it already),
    'no telescope' (none selected), 'no shower', or 'failed' with a ``reason``; written ones have the
    counts of Run_Table too.
    """

    runs: list = field(default_factory=list)
    merged: bool = False

    @property
    def failed(self):
        """The runs that could not be converted."""
        return [run for run in self.runs if run["status"] == "failed"]

    @property
    def has_events(self):
        """Whether any file had a shower event and a selected telescope, or is in the output already."""
        return any(run["status"] == "known" or run.get("events_read") for run in self.runs)


def run(
    extractor,
    files,
    max_events=None,
    jobs=1,
    *,
    seed=None,
    split=None,
    overwrite=False,
    on_error="skip",
    command_line="",
    progress=None,
):
    """Convert files to parts and merge these into the extractor's output.

    Parameters
    ----------
    extractor : ImageExtractor
    files : list of str or Path
        In the order in which their events are to stand.
    max_events : int, optional
        Events written per file, at most.
    jobs : int
        Worker processes; 1 converts in this one.
    seed : int, optional
        Shuffle with it.
    split : dict, optional
        {'Training': 0.9, ...}.
    overwrite : bool
        Start the output afresh.
    on_error : str
        'skip' leaves out a file that can't be converted; 'stop' raises its InputError, and the output
        stays as it was.
    command_line : str
        For the file's provenance.
    progress : Progress, optional
        Told of events read, files done and the merge.

    Returns
    -------
    Report

    Raises
    ------
    DatasetError
        If the output is no dataset, was made otherwise, or is being written by another run.
    """
    split = merge.check_fractions(split) if split else None
    files = [Path(file) for file in files]
    progress = progress or Progress()
    problem = untested() if extractor.settings["calibration"]["fast"] else ""
    if problem:
        log.warning("the fast reader is not used, as with [calibration] fast = False: %s", problem)
    with workspace(extractor.output_path) as work:
        old = _existing(extractor, split, overwrite)
        known = merge.known_runs(old.path) if old else {}
        tasks = [Task(file, work.part_path(file), max_events, known.get(file.name, ())) for file in _once(files)]
        report = Report(_convert_all(extractor, tasks, jobs, on_error, progress))
        sources = _mergeable(tasks, report, old)
        if sources and (len(sources) > (old is not None)):
            attributes = part.provenance(extractor.settings) | _dictionary(extractor, command_line)
            progress.merging(len(sources))
            merge.build(
                sources, extractor.output_path, work.folder,
                seed=seed, split=split, attributes=attributes, progress=progress.merged,
            )  # fmt: skip
            report.merged = True
        work.clear()
    return report


def _existing(extractor, split, overwrite):
    """Return the Source of the output if it is to be appended to; refuse a file that is none of ours."""
    if not extractor.output_path.exists():
        return None
    old = merge.inspect(extractor.output_path)
    if overwrite:
        return None
    merge.check_settings(old, extractor.settings)
    merge.check_split(old, split)
    return old


def _once(files):
    """Return the files without those named twice."""
    return list({file.absolute(): file for file in reversed(files)}.values())[::-1]


def _dictionary(extractor, command_line):
    return {
        "bins_cuts_dict": extractor.dictionary_name,
        "bins_cuts_dict_sha256": extractor.dictionary_sha256,
        "command_line": command_line,
    }


def _mergeable(tasks, report, old):
    """Return the sources of the new output, in order; runs that do not fit it become failed."""
    parts = [
        (run, merge.inspect(task.part_path))
        for task, run in zip(tasks, report.runs, strict=True)
        if run["status"] == "written"
    ]
    # the first run with events says what the telescopes are; one without any may be of another array
    reference = old or next((source for run, source in parts if run["events_read"]), parts[0][1] if parts else None)
    sources, seen = [old] if old else [], set()
    for run, source in parts:
        name = Path(run["file"]).name, run["run_number"], run["primary"]
        mismatch = merge.difference(reference, source)
        if mismatch and not run["events_read"]:
            run["status"] = "no shower"
        elif mismatch:
            _refuse(run, f"its telescopes do not fit {'the output' if old else 'the first run'}: {mismatch}")
        elif name in seen:
            _refuse(run, "another input has the same name, run number and primary")
        else:
            seen.add(name)
            sources.append(source)
    twins = merge.repeats(sources)
    for run, source in parts:
        if source.path in twins:
            _refuse(run, f"it has the same events as {twins[source.path]}, and no event may be there twice")
    return [source for source in sources if source.path not in twins]


def _refuse(run, reason):
    run |= {"status": "failed", "reason": f"{run['file']}: {reason}"}


# -- converting -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Task:
    """One file to convert; small, it travels to a worker."""

    file: Path
    part_path: Path
    max_events: int | None
    known: tuple


class Progress:
    """Told what happens; this one keeps quiet."""

    def started(self, n_files):
        """Conversion begins."""

    def read(self, file, n_events, fraction):
        """So many more events of a file were read; it is read to this fraction."""

    def done(self, run):
        """A file is done; `run` as in Report.runs."""

    def merging(self, n_sources):
        """The merge begins."""

    def merged(self):
        """One source is merged."""


def convert(extractor, task, progress=None):
    """Convert one file to its part, unless a good part is there; returns a run of the Report."""
    result = {"file": str(task.file)}
    try:
        fingerprint = _fingerprint(extractor, task)
        finished = _finished(task.part_path, fingerprint)
        if finished and (finished["run_number"], finished["primary"]) in task.known:
            return result | {"status": "known"}  # a run before this one died between the merge and its tidying up
        if finished:
            return result | finished | {"resumed": True}
        attributes = {"fingerprint": fingerprint}
        return result | extractor.convert(
            task.file, task.part_path, task.max_events, set(task.known), attributes, progress
        )
    except InputError as err:
        return result | {"status": "failed", "reason": str(err)}


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
        "max_events": task.max_events,
        "bins_cuts_dict_sha256": extractor.dictionary_sha256,
        "format_version": row_types.FORMAT_VERSION,
        "image_extractor_version": __version__,
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


def _convert_all(extractor, tasks, jobs, on_error, progress):
    """Return the runs of the Report, in the order of the tasks."""
    progress.started(len(tasks))
    runs = {}
    results = _in_workers(extractor, tasks, jobs, progress) if jobs > 1 and len(tasks) > 1 else None
    for index, result in results or _in_process(extractor, tasks, progress):
        runs[index] = result
        progress.done(result)
        if result["status"] == "failed" and on_error == "stop":
            raise InputError(result["reason"])
    return [runs[index] for index in range(len(tasks))]


def _in_process(extractor, tasks, progress):
    for index, task in enumerate(tasks):
        yield index, convert(extractor, task, lambda n, fraction, file=str(task.file): progress.read(file, n, fraction))


def _in_workers(extractor, tasks, jobs, progress):
    """Yield (index, run) as workers finish them; what was under way when one died is tried again, one by one."""
    waiting, deaths, n_idle = dict(enumerate(tasks)), Counter(), 0
    while waiting:
        suspects = [index for index in deaths if index in waiting]
        batch = {suspects[0]: waiting[suspects[0]]} if suspects else dict(waiting)
        with _Pool(extractor, min(jobs, len(batch)), progress) as pool:
            try:
                for index, result in pool.map(batch):
                    del waiting[index]
                    yield index, result
                continue
            except BrokenProcessPool as err:
                deaths.update(pool.under_way())
                if not pool.under_way():
                    n_idle += 1
                    time.sleep(0.5)  # what was killed may still count as running
                if n_idle > MAX_DEATHS:
                    raise OSError(errno.EAGAIN, "worker processes can't be started, or are ended at once") from err
        for index in [index for index in waiting if deaths[index] >= MAX_DEATHS]:
            reason = f"{waiting.pop(index).file}: its worker process died {MAX_DEATHS} times"
            yield index, {"file": str(tasks[index].file), "status": "failed", "reason": reason}


class _Pool:
    """Worker processes, each with its own copy of the extractor."""

    def __init__(self, extractor, workers, progress):
        # forkserver: workers inherit neither open HDF5 files nor threads, and import only once
        methods = multiprocessing.get_all_start_methods()
        context = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
        context.set_forkserver_preload(["image_extractor.simtel", "image_extractor.part", "ctapipe.calib"])
        _start_fork_server(methods)
        self._messages = context.SimpleQueue()
        self._progress, self._workers = progress, workers
        self._executor = concurrent.futures.ProcessPoolExecutor(
            workers,
            context,
            initializer=_start_worker,
            initargs=(extractor, self._messages, logging.getLogger(__package__).level),
        )
        self._futures = {}

    def __enter__(self):
        return self

    def __exit__(self, kind, err, traceback):
        # on an error, or Ctrl-C, work in progress is of no use
        processes = list((self._executor._processes or {}).values())
        if kind is not None:
            for process in processes:  # before the queues go, of which a worker that just starts would complain
                process.kill()
            for process in processes:
                process.join()
        self._executor.shutdown(wait=kind is None, cancel_futures=True)

    def map(self, tasks):
        """Yield (index, run) of {index: task} as they finish; a few tasks a worker are under way at a time."""
        queue = iter(tasks.items())
        pending = True
        while pending or self._futures:
            while pending and len(self._futures) < 2 * self._workers:
                index, task = next(queue, (None, None))
                pending = task is not None
                if pending:
                    self._futures[self._submit(task)] = index
            finished, _ = concurrent.futures.wait(
                self._futures, timeout=0.1, return_when=concurrent.futures.FIRST_COMPLETED
            )
            self._pass_on_messages()
            for future in finished:
                yield self._futures[future], future.result()
                del self._futures[future]

    def _submit(self, task):
        try:
            with _signals_later():  # a worker that is being started must be known to be ended
                return self._executor.submit(_work, task)
        except (OSError, EOFError) as err:  # the process that workers are forked from is gone
            raise BrokenProcessPool("workers can't be started") from err

    def under_way(self):
        """Return the tasks that a worker may have died of."""
        return sorted(self._futures.values())

    def _pass_on_messages(self):
        while not self._messages.empty():
            self._progress.read(*self._messages.get())


@contextlib.contextmanager
def _signals_later():
    """Let SIGINT and SIGTERM wait for the end of the block."""
    if threading.current_thread() is not threading.main_thread():  # which alone is interrupted
        yield
        return
    came, before = [], {}
    for number in (signal.SIGINT, signal.SIGTERM):
        before[number] = signal.signal(number, lambda number, _: came.append(number))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        for number in came[:1]:
            signal.raise_signal(number)


def _start_fork_server(methods):
    """Start the process that workers are forked from deaf to Ctrl-C, which would show where its imports are."""
    if "forkserver" in methods:
        from multiprocessing import forkserver, resource_tracker

        resource_tracker.ensure_running()  # it would end the blocking
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            forkserver.ensure_running()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start_worker(extractor, messages, log_level):
    """Set up a worker process: quiet, one thread, gone when its parent is."""
    import tables

    global _extractor, _messages
    _extractor, _messages = extractor, messages
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent says when to stop
    start_logging(log_level)
    tables.set_blosc_max_threads(1)  # each worker has one core
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent():
    multiprocessing.parent_process().join()
    os._exit(1)


def _work(task):
    file = str(task.file)
    return convert(_extractor, task, lambda n, fraction: _messages.put((file, n, fraction)))
