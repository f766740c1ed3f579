"""Orders of samples: shuffled at random or by blocks, the same for the same seed and epoch."""

from collections.abc import Iterator

import numpy as np

from .sample_types import Integers


def random_order(n_samples: int, seed: int = 0, epoch: int = 0) -> Integers:
    """Return all samples in random order, int array (n_samples,)."""
    return np.random.default_rng([seed, epoch]).permutation(n_samples)


def windows(n_samples: int, block: int, buffer: int, seed: int = 0, epoch: int = 0) -> Iterator[Integers]:
    """Yield the samples in random order, window by window: what a shuffle buffer holds.

    The samples are cut into blocks, which are put into random order; the samples of as many of them as fit
    the buffer are then shuffled together. So reading goes by blocks, and a buffer bounds the memory.

    Parameters
    ----------
    n_samples : int
    block : int
        Consecutive samples that stay in one window.
    buffer : int
        Samples of a window, rounded to whole blocks, at least one.

    Yields
    ------
    int array
        The samples of a window, shuffled.
    """
    random = np.random.default_rng([seed, epoch])
    starts = random.permutation(np.arange(0, n_samples, block))
    per_window = max(1, buffer // block)
    for first in range(0, len(starts), per_window):
        chosen = starts[first : first + per_window]
        samples = (chosen[:, None] + np.arange(block)).ravel()
        yield random.permutation(samples[samples < n_samples])


def batches(order: Integers, size: int, drop_last: bool = False) -> Iterator[Integers]:
    """Yield the batches of an order, int array; the last may be smaller."""
    n_samples = len(order) // size * size if drop_last else len(order)
    for first in range(0, n_samples, size):
        yield order[first : min(first + size, n_samples)]
