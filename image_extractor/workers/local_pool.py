"""Worker processes of this machine."""

import concurrent.futures
import contextlib
import logging
import multiprocessing
import os
import signal
import threading
import time
from concurrent.futures.process import BrokenProcessPool

from ..terminal.logs import PACKAGE, start_logging
from .engine import Engine


class LocalPool(Engine):
    """Worker processes, each an executor of its own, so that the death of one is no other's.

    Parameters
    ----------
    workers : int
    preload : list of str
        Modules that are imported once, in the process that workers are forked from.
    """

    def __init__(self, workers, preload=()):
        self._context = _context(preload)
        self._messages = self._context.SimpleQueue()
        self._n_workers, self._workers, self._idle = workers, [], []
        self.tell = _QueueTeller()

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
        log_level = logging.getLogger(PACKAGE).level
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


class _QueueTeller:
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


def prepare(preload):
    """Let the process that workers are forked from start, and import, while this one goes on; see LocalPool."""
    _start_fork_server(_context(preload))


def _context(preload):
    # forkserver: workers inherit neither open HDF5 files nor threads, and import only once
    methods = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    context.set_forkserver_preload([f"{__package__}.before_imports", *preload, f"{__package__}.after_imports"])
    return context


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
