"""Tasks done by an engine, or by this process alone; what a dead worker left undone is done again."""

import contextlib
import errno
import functools
import itertools
import queue
from collections import Counter

from ..errors import ConfigError
from ..version import __version__
from .engine import Engine
from .local_pool import LocalPool
from .work import MAX_DEATHS, shared, work


def engine(executor, jobs, preload=()):
    """Return the engine of an executor or dask client, or of `jobs` local workers; None: this process does it alone."""
    if executor is None:
        return LocalPool(jobs, preload) if jobs > 1 else None
    if hasattr(executor, "get_executor"):
        from .dask_engine import DaskEngine

        return DaskEngine(executor)
    return Engine(executor)


class Crew:
    """Does the tasks of a run until the block ends: an engine's workers, or this process alone.

    Parameters
    ----------
    tool : object or None
        For the functions that are called.
    folder : Path
        The folder of parts.
    executor, jobs, preload
        As for :func:`engine`.
    """

    def __init__(self, tool, folder, executor, jobs, preload=()):
        self._tool, self._folder = tool, folder
        self._engine = engine(executor, jobs, preload)
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

    def results(self, function, tasks, on_message=lambda *_: None, spare_time=lambda: False):
        """Yield (index, task, function(tool, task, progress)) of tasks as they finish; see :func:`work.work`.

        Parameters
        ----------
        function : callable
        tasks : iterable
            Taken as there is room: so many tasks as the engine's window are under way.
        on_message : callable
            Called with a task's name, events read, fraction read.
        spare_time : callable
            Called while workers work; does something short and says so, or returns False.
        """
        if self._engine:
            shared_tool = self._stack.enter_context(shared(self._tool, self._folder))
            yield from _results(self._engine, shared_tool, function, enumerate(tasks), on_message, spare_time)
            return
        for index, task in enumerate(tasks):
            yield index, task, function(self._tool, task, functools.partial(on_message, getattr(task, "name", "")))


def _results(engine, shared_tool, function, tasks, on_message, spare_time):
    """Yield (index, task, result) as workers finish them, whatever dies."""
    under_way, losses, finished = {}, Counter(), queue.SimpleQueue()

    def submit(index, task):
        future = engine.submit(work, shared_tool, function, task.absolute(), engine.tell)
        under_way[future] = index, task
        future.add_done_callback(finished.put)

    try:
        while True:
            for index, task in itertools.islice(tasks, max(0, engine.window() - len(under_way))):
                submit(index, task)
            if not under_way:
                return
            future = _next(finished, spare_time)
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


def _next(finished, spare_time):
    """Return what is finished next; None if there was something else to do, or nothing for a while."""
    with contextlib.suppress(queue.Empty):
        return finished.get_nowait()
    if not spare_time():
        with contextlib.suppress(queue.Empty):
            return finished.get(timeout=0.1)
    return None


def _result(future):
    try:
        return future.result()
    except ImportError as err:
        raise ConfigError(f"a worker has no {err.name}: install image_extractor {__version__} there") from err


# -- worker processes of this machine ----------------------------------------------------------------
