"""The errors that a caller must tell apart; each is a built-in type too.

Every message is one line a user can act on: what is wrong, where, what to do.
"""

import contextlib
import difflib
from collections.abc import Iterable, Iterator
from typing import Any


def one_line(text: object, limit: int = 200) -> str:
    """Return what another library says in one line of at most `limit` characters."""
    line = " ".join(str(text).split())
    return line if len(line) <= limit else f"{line[: limit - 3]}..."


class ConfigError(ValueError):
    """A setting, argument or dictionary that can't be used; nothing was written."""


class InputError(ValueError):
    """An input file that can't be converted whole; it is left out and named."""


class CutError(InputError):
    """An input file that ends too early; what is whole before could be kept."""


class DatasetError(ValueError):
    """An HDF5 file that is not an image_extractor dataset, or does not fit what is asked of it."""


@contextlib.contextmanager
def cache_errors() -> Iterator[None]:
    """Raise what numba says where it can't write its cache as a ConfigError that says what to set."""
    try:
        yield
    except RuntimeError as err:
        if "cannot cache function" not in str(err):
            raise
        raise ConfigError(
            "compiled code can't be kept: neither this installation nor your home folder can be written to: "
            "set NUMBA_CACHE_DIR to a folder that can"
        ) from err


class MissingNameError(DatasetError, KeyError):
    """A table, telescope, energy bin, column or channel that a dataset does not have.

    The nearest of the `known` names are listed, or the first 12; with `list_all` the nearest, then all.
    """

    def __init__(self, path: object, kind: str, name: object, known: Iterable[object], list_all: bool = False) -> None:
        known = list(known)
        names = list(map(str, known))
        nearest = difflib.get_close_matches(str(name), names, 3, cutoff=0.5)
        hints = [f"nearest: {', '.join(nearest)}"] if nearest else []
        if list_all or not nearest:
            hints.append(f"it has: {', '.join(names if list_all else names[:12]) or 'none'}")
        super().__init__("; ".join([f"{path}: no {kind} {name!r}", *hints]))
        self._parts = path, kind, name, known, list_all

    def __reduce__(self) -> tuple[type, tuple[Any, ...]]:
        return type(self), self._parts

    def __str__(self) -> str:  # KeyError's own shows the message in quotes
        return str(self.args[0])


class DamagedDatasetError(DatasetError):
    """A dataset of which a part is missing or can't be read.

    Attributes
    ----------
    path : str or Path
    damage : str
        The message without the file.
    """

    def __init__(self, path: object, damage: str) -> None:
        super().__init__(f"{path}: {damage}")
        self.path, self.damage = path, damage

    def __reduce__(self) -> tuple[type, tuple[Any, ...]]:
        return type(self), (self.path, self.damage)
