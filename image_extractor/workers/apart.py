"""A function called in a process of its own: damaged metadata can end HDF5, and with it the process that reads them."""

import multiprocessing
import signal

from ..errors import DamagedDatasetError


def read_apart(function, path):
    """Return what a function of a dataset's path returns, or raise what it raises; called in this process without fork.

    Raises
    ------
    DamagedDatasetError
        If the process that reads is ended by what it reads.
    """
    if "fork" not in multiprocessing.get_all_start_methods():
        return function(path)
    fork = multiprocessing.get_context("fork")
    reading, writing = fork.Pipe(duplex=False)
    child = fork.Process(target=_answer, args=(writing, function, path), daemon=True)
    child.start()
    writing.close()
    try:
        result, error = reading.recv()
    except EOFError as err:
        raise DamagedDatasetError(path, "damaged: HDF5 crashes when it reads it") from err
    finally:  # an interruption does not wait for it
        child.kill()
        child.join()
    if error:
        raise error
    return result


def _answer(writing, function, path):
    """Send (what a function returns, None), or (None, what it raises)."""
    for number in (signal.SIGINT, signal.SIGTERM):  # it is the parent that says what interrupts it
        signal.signal(number, signal.SIG_DFL)
    try:
        answer = function(path), None
    except Exception as err:  # noqa: BLE001 - whatever it is, it is raised in the parent
        answer = None, err
    writing.send(answer)
