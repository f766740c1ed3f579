"""What a damaged HDF5 file makes PyTables raise, in one line."""

import warnings

import tables

from ...errors import ConfigError, DatasetError, InputError, one_line


class reading_hdf5:  # noqa: N801 - used as a with statement's verb
    """Turn whatever a damaged file makes PyTables or NumPy raise into one InputError that names the file."""

    def __init__(self, path):
        self._path = path
        self._warnings = warnings.catch_warnings()

    def __enter__(self):
        self._warnings.__enter__()
        warnings.simplefilter("ignore", tables.NaturalNameWarning)
        return self

    def __exit__(self, kind, err, traceback):
        self._warnings.__exit__(kind, err, traceback)
        if err is None or isinstance(err, InputError | ConfigError) or not isinstance(err, Exception):
            return False
        raise InputError(f"{self._path}: damaged, or no file of ctapipe-process: {_what_is_wrong(err)}") from err


def _what_is_wrong(err):
    """Say in the words of a user what an exception means: HDF5 gives the whole path through its own code."""
    if isinstance(err, DatasetError):
        return str(err)
    if isinstance(err, tables.HDF5ExtError):
        return "HDF5 can't read what is stored in it"
    return one_line(err) or type(err).__name__
