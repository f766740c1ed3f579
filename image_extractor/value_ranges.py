"""Ranges low <= value < high, as settings and readers give them: [low, high), with None for an open end."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray


def is_open(limits: Sequence[float | None]) -> bool:
    """Say whether a range [low, high) has two open ends, so that everything is in it."""
    return limits[0] is None and limits[1] is None


def within(values: ArrayLike, limits: Sequence[float | None]) -> NDArray[np.bool_]:
    """Say which values are in a range [low, high), bool array; NaN is only in one with two open ends."""
    values, (low, high) = np.asarray(values), limits
    passing = np.ones(values.shape, bool)
    if low is not None:
        passing &= values >= low
    if high is not None:
        passing &= values < high
    return passing
