"""What goes wrong in a source of ctapipe or of a plugin, in one line."""

import warnings

from ...errors import ConfigError, InputError, one_line


class reading_source:  # noqa: N801 - used as a with statement's verb
    """Turn whatever a source raises into one InputError that names file and source; its warnings are for developers.

    Parameters
    ----------
    path : Path
    kind : type
        Of the source.
    """

    def __init__(self, path, kind):
        self._path, self._kind = path, kind
        self._warnings = warnings.catch_warnings()

    def __enter__(self):
        self._warnings.__enter__()
        warnings.simplefilter("ignore")
        return self

    def __exit__(self, kind, err, traceback):
        self._warnings.__exit__(kind, err, traceback)
        if err is None or isinstance(err, InputError | ConfigError) or not isinstance(err, Exception):
            return False
        what = one_line(err) or kind.__name__
        raise InputError(f"{self._path}: {self._kind.__name__} fails on it: {what}") from err
