"""What runs tasks: worker processes of this machine, or any Executor; what a dead worker left undone is done again."""

import concurrent.futures
import contextlib
import errno
import functools
import itertools
import logging
import multiprocessing
import os
import queue
import signal
import threading
import time
from collections import Counter
from concurrent.futures.process import BrokenProcessPool

from . import __version__
from .errors import ConfigError
from .logs import start_logging
from .tasks import MAX_DEATHS, shared, work

#: Tasks that are submitted at a time: enough for as many workers, and a small load for a scheduler.
WINDOW = 1000


class Engine:
    """Tasks on a concurrent.futures.Executor that somebody else owns.

    Attributes
    ----------
    lost : tuple of exceptions
        What a future raises if its worker died.
    tell : callable or None
        Goes to the workers, see :func:`tasks.work`; what it is told comes out of :meth:`messages`.
    """

    lost = (concurrent.futures.BrokenExecutor, concurrent.futures.CancelledError)
    tell = None

    def __init__(self, executor):
        self._executor = executor

    def __enter__(self):
        return self

    def __exit__(self, kind, err, traceback):
        pass

    def submit(self, function, *args):
        """Return a concurrent.futures.Future."""
        return self._executor.submit(function, *args)

    def window(self):
        """Return how many tasks are to be under way at a time."""
        return WINDOW

    def messages(self):
        """Return what workers told since the last call: (file, events read, fraction read)."""
        return ()

    def recover(self):
        """Get ready to take a task again whose worker died; raise OSError if there is no hope."""
        raise OSError(errno.ECHILD, "a worker process died, and with it the executor that it was given")

    def cancel(self, futures):
        """Take back tasks."""
        for future in futures:
            future.cancel()


def engine(executor, jobs):
    """Return the engine of an executor or dask client, or of `jobs` local workers; None: this process does it alone."""
    if executor is None:
        return LocalPool(jobs) if jobs > 1 else None
    if hasattr(executor, "get_executor"):
        from .cluster import DaskEngine

        return DaskEngine(executor)
    return Engine(executor)


class Crew:
    """Does the tasks of a run until the block ends: an engine's workers, or this process alone.

    Parameters
    ----------
    extractor : ImageExtractor or None
        For the functions that are called.
    folder : Path
        The folder of parts.
    executor, jobs
        As for :func:`engine`.
    """

    def __init__(self, extractor, folder, executor, jobs):
        self._extractor, self._folder = extractor, folder
        self._engine = engine(executor, jobs)
        self._stack = contextlib.ExitStack()

    def __enter__(self):
        if self._engine:
            self._stack.enter_context(self._engine)
        return self

    def __exit__(self, *error):
        return self._stack.__exit__(*error)

    @property
    def is_alone(self):
        """Whether there are no workers."""
        return self._engine is None

    def results(self, function, tasks, on_message=lambda *_: None):
        """Yield (index, task, function(extractor, task, progress)) of tasks as they finish; see :func:`tasks.work`.

        Parameters
        ----------
        function : callable
        tasks : iterable
            Taken as there is room: so many tasks as the engine's window are under way.
        on_message : callable
            Called with a task's name, events read, fraction read.
        """
        if self._engine:
            shared_extractor = self._stack.enter_context(shared(self._extractor, self._folder))
            yield from _results(self._engine, shared_extractor, function, enumerate(tasks), on_message)
            return
        for index, task in enumerate(tasks):
            yield index, task, function(self._extractor, task, functools.partial(on_message, getattr(task, "name", "")))


def _results(engine, shared_extractor, function, tasks, on_message):
    """Yield (index, task, result) as workers finish them, whatever dies."""
    under_way, losses, finished = {}, Counter(), queue.SimpleQueue()

    def submit(index, task):
        future = engine.submit(work, shared_extractor, function, task.absolute(), engine.tell)
        under_way[future] = index, task
        future.add_done_callback(finished.put)

    try:
        while True:
            for index, task in itertools.islice(tasks, max(0, engine.window() - len(under_way))):
                submit(index, task)
            if not under_way:
                return
            future = _next(finished)
            for message in engine.messages():
                on_message(*message)
            if future is None:
                continue
            index, task = under_way.pop(future)
            try:
                result = _result(future)
            except engine.lost as err:
                losses[index] += 1
                if losses[index] > MAX_DEATHS:  # a task that kills leaves marks, and ends before
                    raise OSError(errno.EAGAIN, "workers can't be started, or are ended at once") from err
                engine.recover()
                submit(index, task)
            else:
                yield index, task, result
    finally:
        engine.cancel(list(under_way))


def _next(finished):
    with contextlib.suppress(queue.Empty):
        return finished.get(timeout=0.1)


def _result(future):
    try:
        return future.result()
    except ImportError as err:
        raise ConfigError(f"a worker has no {err.name}: install image_extractor {__version__} there") from err


# -- worker processes of this machine ----------------------------------------------------------------


class LocalPool(Engine):
    """Worker processes, each an executor of its own, so that the death of one is no other's."""

    def __init__(self, workers):
        # forkserver: workers inherit neither open HDF5 files nor threads, and import only once
        methods = multiprocessing.get_all_start_methods()
        self._context = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
        self._context.set_forkserver_preload(["image_extractor.simtel", "image_extractor.part", "ctapipe.calib"])
        self._messages = self._context.SimpleQueue()
        self._n_workers, self._workers, self._idle = workers, [], []
        self.tell = _Tell()

    def __exit__(self, kind, err, traceback):
        # on an error, or Ctrl-C, work in progress is of no use
        processes = [process for worker in self._workers for process in (worker._processes or {}).values()]
        if kind is not None:
            for process in processes:  # before the queues go, of which a worker that just starts would complain
                process.kill()
            for process in processes:
                process.join()
        for worker in self._workers:
            worker.shutdown(wait=False, cancel_futures=True)
        if kind is None:
            for worker in self._workers:
                worker.shutdown()

    def window(self):
        """Return how many workers there are: each has one task."""
        return self._n_workers

    def submit(self, function, *args):
        """Return the future of a call in an idle worker."""
        try:
            with _signals_later():  # a worker that is being started must be known to be ended
                worker = self._idle.pop() if self._idle else self._new_worker()
                future = worker.submit(function, *args)
        except (OSError, EOFError, BrokenProcessPool) as err:  # or the process that workers are forked from is gone
            future = concurrent.futures.Future()
            future.set_exception(BrokenProcessPool(str(err)))
            return future
        future.add_done_callback(lambda future: self._free(worker, future))
        return future

    def _new_worker(self):
        _start_fork_server(self._context)
        log_level = logging.getLogger(__package__).level
        worker = concurrent.futures.ProcessPoolExecutor(
            1, self._context, initializer=_start_worker, initargs=(self._messages, log_level)
        )
        self._workers.append(worker)
        return worker

    def _free(self, worker, future):
        if future.cancelled() or not isinstance(future.exception(), BrokenProcessPool):
            self._idle.append(worker)
        else:
            self._workers.remove(worker)

    def messages(self):
        """Return what workers told since the last call."""
        while not self._messages.empty():
            yield self._messages.get()

    def recover(self):
        """Wait a little: what was killed may still count as running."""
        time.sleep(0.5)


class _Tell:
    """How a worker process tells its progress."""

    every = 0.1

    def __call__(self, *message):
        _messages.put(message)


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


def _start_fork_server(context):
    """Start the process that workers are forked from."""
    if context.get_start_method() == "forkserver":
        from multiprocessing import forkserver

        with deaf_children():
            forkserver.ensure_running()


@contextlib.contextmanager
def deaf_children():
    """Let processes that are started in the block not hear Ctrl-C, which would show where they are."""
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # it would end the blocking
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start_worker(messages, log_level):
    """Set up a worker process: quiet, one thread, gone when its parent is."""
    import tables

    global _messages
    _messages = messages
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent says when to stop
    start_logging(log_level)
    tables.set_blosc_max_threads(1)  # each worker has one core
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent():
    multiprocessing.parent_process().join()
    os._exit(1)
