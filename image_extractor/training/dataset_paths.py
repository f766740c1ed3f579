"""The files of a dataset, as people name them."""

import glob
import os
from collections.abc import Iterable

from ..errors import ConfigError, DatasetError
from ..input_files import find_files

#: Paths, or wildcards, as people give them: one or several.
Paths = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]


def find_datasets(path_or_paths: Paths) -> list[str]:
    """Return paths, given one by one or by wildcards, as a list of strings; those of a wildcard in natural order."""
    given = [path_or_paths] if isinstance(path_or_paths, str | os.PathLike) else path_or_paths
    paths: list[str] = []
    try:
        for path in [os.fspath(one) for one in given]:
            paths += map(str, find_files(path)) if glob.has_magic(path) else [path]
    except ConfigError as err:
        raise DatasetError(str(err)) from err
    if not paths:
        raise DatasetError("no dataset is given: give at least one file")
    return paths
