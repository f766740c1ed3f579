"""What runs tasks: any Executor of somebody else, and what the engines of this package share."""

import concurrent.futures
import errno

#: Tasks that are submitted at a time: enough for as many workers, and a small load for a scheduler.
WINDOW = 1000


class Engine:
    """Tasks on a concurrent.futures.Executor that somebody else owns.

    Attributes
    ----------
    lost : tuple of exceptions
        What a future raises if its worker died.
    tell : callable or None
        Goes to the workers, see :func:`work.work`; what it is told comes out of :meth:`messages`.
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
