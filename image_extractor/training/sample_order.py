"""Orders of samples, the same for the same seed and epoch, and how batches of them are shared out among processes."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .sample_types import Integers

#: Batches of a process that are planned at once.
AHEAD = 16


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


@dataclass(frozen=True)
class Order:
    """The order in which all processes together see the samples of an epoch.

    Attributes
    ----------
    n_samples : int
    shuffle : str
        'no', 'random' or 'blocks'.
    seed, epoch : int
    block, buffer : int
        Samples of a block and of the buffer, with 'blocks'.
    """

    n_samples: int
    shuffle: str
    seed: int
    epoch: int
    block: int
    buffer: int

    def facts(self) -> dict[str, int | str]:
        """Return what must be the same for the orders of all epochs to be the same."""
        found: dict[str, int | str] = {"samples": self.n_samples, "shuffle": self.shuffle}
        found |= {"seed": self.seed} if self.shuffle != "no" else {}
        return found | ({"block": self.block, "buffer": self.buffer} if self.shuffle == "blocks" else {})

    def pieces(self, size: int) -> Iterator[Integers]:
        """Yield the order in pieces: with 'blocks' windows, else so many samples."""
        if self.shuffle == "blocks":
            yield from windows(self.n_samples, self.block, self.buffer, self.seed, self.epoch)
            return
        shuffled = random_order(self.n_samples, self.seed, self.epoch) if self.shuffle == "random" else None
        for first in range(0, self.n_samples, size):
            stop = min(first + size, self.n_samples)
            yield np.arange(first, stop) if shuffled is None else shuffled[first:stop]


@dataclass(frozen=True)
class Share:
    """Which batches of an order a process gets: every n-th of all, in turns with the other ranks, and their workers.

    Attributes
    ----------
    batch_size : int
    drop_last : bool
        Leave out what does not fill a batch for each rank.
    rank, world_size : int
    worker, n_workers : int
        Of this rank.
    """

    batch_size: int
    drop_last: bool = False
    rank: int = 0
    world_size: int = 1
    worker: int = 0
    n_workers: int = 1

    def groups(self, order: Order, start: int = 0) -> Iterator[list[Integers]]:
        """Yield groups of this process's batches: those that end in one piece of the order.

        start : int
            Samples of the order that were seen before the batches were shared out.
        """
        n_shards, size = self.world_size * self.n_workers, self.batch_size
        number, stop = 0, self._stop(order.n_samples, start)
        passed, left = 0, np.empty(0, np.int64)
        for piece in order.pieces(AHEAD * size * n_shards):
            begin, passed = passed, passed + len(piece)
            numbers = np.concatenate([left, piece[max(start - begin, 0) : max(stop - begin, 0)]])
            n_full = len(numbers) // size
            yield [numbers[i * size : (i + 1) * size] for i in range(n_full) if self._is_mine(number + i)]
            number, left = number + n_full, numbers[n_full * size :]
        if len(left) and self._is_mine(number):
            yield [left]

    def _stop(self, n_samples: int, start: int) -> int:
        of_all = self.batch_size * self.world_size
        return start + (n_samples - start) // of_all * of_all if self.drop_last else n_samples

    def _is_mine(self, number: int) -> bool:
        return number % self.world_size == self.rank and number // self.world_size % self.n_workers == self.worker
