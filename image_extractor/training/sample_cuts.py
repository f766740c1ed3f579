"""Cuts at reading time: samples whose columns are in ranges [low, high), and how many pass."""

from collections.abc import Mapping, Sequence

import numpy as np

from .. import value_ranges
from ..hdf5.older_formats import UNKNOWN
from . import sample_columns
from .sample_index import SampleIndex
from .sample_reader import SampleReader
from .type_reader import TypeReader

#: {column: [low, high)}, None for an open end.
Where = Mapping[str, Sequence[float | None]]


def check(where: Where) -> None:
    """Raise ValueError unless every range is two numbers, low < high, or None for an open end."""
    for name, limits in where.items():
        given = f"where: {name} = {limits!r}"
        if not isinstance(limits, list | tuple) or len(limits) != 2:
            raise ValueError(f"{given}: must be two numbers, low < high, or None for an open end")
        low, high = limits
        if any(end is not None and not isinstance(end, int | float | np.number) for end in limits):
            raise ValueError(f"{given}: must be two numbers, low < high, or None for an open end")
        if low is not None and high is not None and not low < high:
            raise ValueError(f"{given}: low must be below high")


def apply(reader: SampleReader | TypeReader, where: Where) -> tuple[SampleIndex, dict[str, int]]:
    """Apply cuts, one after the other.

    Parameters
    ----------
    reader : SampleReader or TypeReader
    where : {column: (low, high)}
        Columns of one number per sample, or per telescope: in the event view, a cut on one of these takes images from
        events, and events of which none is left.

    Returns
    -------
    index : SampleIndex
        Of the samples that pass.
    passed : {column: int}
        Samples left after each cut; under 'samples' those before the first.

    Raises
    ------
    ValueError
        For a column of several numbers.
    """
    index = reader.index
    passed = {"samples": len(index.event)}
    for name, limits in where.items():
        reader = reader.of(index)
        values = reader.columns(np.arange(len(index.event)), sample_columns.functions([name]))[name]
        if values.shape not in (index.event.shape, index.row.shape):
            raise ValueError(f"where: {name} has {values[0].size} numbers a sample: cut on a column of one")
        passing: np.ndarray = value_ranges.within(values, limits)
        if passing.ndim == 2:
            rows = np.where(passing, index.row, np.int32(UNKNOWN))
            index = index.with_rows(rows)
            passing = rows.max(axis=1) >= 0
        index = index.select(np.flatnonzero(passing))
        passed[name] = len(index.event)
    return index, passed
