"""The one room that knows dask: tasks on a dask.distributed cluster whose workers share the file system."""

import concurrent.futures
import contextlib
import errno
import json
import logging
import queue
import re
import time
import uuid
from pathlib import Path

from ..errors import ConfigError
from .engine import WINDOW, Engine
from .local_pool import deaf_children

log = logging.getLogger(__name__)

#: Seconds between two questions how many workers there are.
COUNT_EVERY = 10.0

#: Seconds between two messages of a task; the scheduler passes them on and keeps the last ones, so there are to be few.
TELL_EVERY = 5.0


@contextlib.contextmanager
def connect(scheduler, jobs):
    """Connect to a dask cluster; yields its Client, and leaves the cluster as it is when the block ends.

    Parameters
    ----------
    scheduler : str
        Address such as 'tcp://host:8786', a scheduler file, or 'local': a cluster on this machine, for the block.
    jobs : int
        Worker processes of a local cluster.

    Raises
    ------
    ConfigError
        If dask is not installed, or nobody answers within dask's own time limit (distributed.comm.timeouts.connect).
    """
    try:
        import distributed
    except ImportError as err:
        raise ConfigError("--scheduler needs dask: pip install '.[dask]'") from err
    if not log.isEnabledFor(logging.DEBUG):
        _silence()
    with contextlib.ExitStack() as stack:
        target = _address(scheduler)
        if target is None:
            target = stack.enter_context(_local_cluster(jobs))
        try:
            client = distributed.Client(target, set_as_default=False)
        except (OSError, TimeoutError) as err:
            raise ConfigError(f"--scheduler {scheduler}: nobody answers at {target}") from err
        stack.callback(_close, client)
        n_workers = len(client.scheduler_info(n_workers=-1)["workers"])
        log.info("%s: %s", scheduler, f"{n_workers} workers" if n_workers else "no worker yet, waiting for some")
        yield client


def _local_cluster(jobs):
    import distributed

    # one thread each, as HDF5 and our loops know processes only
    options = {"threads_per_worker": 1, "processes": True, "dashboard_address": ":0"}
    with deaf_children():
        return distributed.LocalCluster(n_workers=jobs, silence_logs=logging.CRITICAL, **options)


def _silence():
    """Let nobody else log errors: what goes wrong is said in one line."""
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] in ("distributed", "tornado", "asyncio"):
            logging.getLogger(name).setLevel(logging.CRITICAL)


def _address(scheduler):
    """Return the address that --scheduler stands for, None for 'local'."""
    if scheduler == "local":
        return None
    if "://" in scheduler or (re.fullmatch(r"[\w.-]+:\d+", scheduler) and not Path(scheduler).exists()):
        return scheduler
    try:
        return json.loads(Path(scheduler).read_text())["address"]
    except OSError as err:
        reason = "neither an address such as tcp://host:8786, nor a scheduler file, nor 'local'"
        raise ConfigError(f"--scheduler {scheduler}: {err.strerror}; {reason}") from err
    except (ValueError, LookupError, TypeError) as err:
        raise ConfigError(f"--scheduler {scheduler}: is no scheduler file") from err


def _close(client):
    with contextlib.suppress(OSError, TimeoutError):
        client.close(timeout=5)


class DaskEngine(Engine):
    """Tasks on a dask.distributed Client; the scheduler gives those of a lost worker to another one."""

    def __init__(self, client):
        import distributed

        super().__init__(client)
        self.lost = (_LostError, distributed.KilledWorker)
        self.tell = _TopicTeller(f"image_extractor-{uuid.uuid4().hex}")
        self._client, self._address = client, client.scheduler.address
        self._messages = queue.SimpleQueue()
        self._tasks = {}
        self._window, self._counted = WINDOW, -COUNT_EVERY

    def __enter__(self):
        self._client.subscribe_topic(self.tell.topic, lambda event: self._messages.put(event[1]))
        return self

    def __exit__(self, kind, err, traceback):
        if self._client.status == "running":
            self._client.unsubscribe_topic(self.tell.topic)

    def submit(self, function, *args):
        """Return the future of a call on some worker; the scheduler forgets it when its result is here.

        That of `client.get_executor()` would never end if the scheduler goes away while a result is on its way.
        """
        # tasks are no pure functions: one that is submitted again is to run again
        task, future = self._client.submit(function, *args, pure=False), concurrent.futures.Future()
        self._tasks[future] = task
        self._client.loop.add_callback(self._pass_on, future)
        return future

    async def _pass_on(self, future):
        task = self._tasks[future]
        try:
            result = await self._client.gather(task, asynchronous=True)
        except BaseException as err:  # noqa: BLE001 - it is raised by the future
            del self._tasks[future]
            future.set_exception(err if task.status == "error" else _LostError(str(err)))
        else:
            del self._tasks[future]
            future.set_result(result)

    def window(self):
        """Return a number of tasks that keeps all workers of the moment busy."""
        self._check_alive()
        if time.monotonic() - self._counted > COUNT_EVERY and self._client.status == "running":
            with contextlib.suppress(OSError, TimeoutError):
                self._window = max(WINDOW, 2 * sum(self._client.nthreads().values()))
            self._counted = time.monotonic()
        return self._window

    def messages(self):
        """Return what workers told since the last call."""
        with contextlib.suppress(queue.Empty):
            while True:
                yield self._messages.get_nowait()

    def recover(self):
        """Wait for the scheduler, if it does not answer, as long as dask does."""
        while self._client.status == "connecting":
            time.sleep(0.1)
        self._check_alive()

    def _check_alive(self):
        if self._client.status not in ("running", "connecting"):
            raise OSError(errno.ECONNRESET, f"the dask scheduler {self._address} has gone away")

    def cancel(self, futures):
        """Take back all tasks that have not begun; those that have see that they are no longer wanted."""
        tasks = [self._tasks[future] for future in futures if future in self._tasks]
        if tasks and self._client.status == "running":
            with contextlib.suppress(OSError, TimeoutError):
                self._client.cancel(tasks)


class _LostError(Exception):
    """The result of a task was lost, by no fault of its own."""


class _TopicTeller:
    """How a worker tells its progress."""

    def __init__(self, topic):
        self.topic, self.every = topic, TELL_EVERY

    def __call__(self, *message):
        import distributed

        distributed.get_worker().log_event(self.topic, message)
