"""A function called in a process of its own: damaged metadata can end HDF5, and with it the process that reads them."""

import concurrent.futures
import multiprocessing
from concurrent.futures.process import BrokenProcessPool

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
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=fork) as one:
        try:
            return one.submit(function, path).result()
        except BrokenProcessPool as err:
            raise DamagedDatasetError(path, "damaged: HDF5 crashes when it reads it") from err
