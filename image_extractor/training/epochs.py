"""The batches of an epoch: in which order samples are read, and how far ahead."""

import itertools
from collections.abc import Iterator

import numpy as np

from .sample_reader import SampleReader, Values
from .sample_types import Batch, Integers

#: Batches whose columns are computed at once: for one batch that takes as long as its images.
AHEAD = 16


def batches(reader: SampleReader, orders: Iterator[Integers]) -> Iterator[Batch]:
    """Yield batches of samples.

    reader : SampleReader
    orders : iterator of int array, the samples of each batch
    """
    while group := list(itertools.islice(orders, AHEAD)):
        columns, first = reader.columns(np.concatenate(group)), 0
        for numbers in group:
            here = {name: values[first : first + len(numbers)] for name, values in columns.items()}
            first += len(numbers)
            yield reader.batch(numbers, here)


def buffered(reader: SampleReader, windows: Iterator[Integers], size: int, drop_last: bool) -> Iterator[Batch]:
    """Yield batches of windows that are read as a whole, in file order; what is left goes to the next one.

    reader : SampleReader
    windows : iterator of int array, samples in the order in which they shall come
    """
    left: Integers = np.empty(0, np.int64)
    whole, values = reader.stored()  # takes less memory than what it stands for
    for window in windows:
        numbers = np.concatenate([left, window])
        full = len(numbers) // size * size
        yield from _cut(whole or reader, values, numbers[:full], size)
        left = numbers[full:]
    if len(left) and not drop_last:
        yield from _cut(whole or reader, values, left, size)


def _cut(reader: SampleReader, values: Values | None, numbers: Integers, size: int) -> Iterator[Batch]:
    if not len(numbers):
        return
    order = np.argsort(numbers)
    held = reader.batch(numbers[order])
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    for first in range(0, len(numbers), size):
        batch = {name: array[place[first : first + size]] for name, array in held.items()}
        if values:
            batch["image"] = values(batch["image"])
        yield batch
