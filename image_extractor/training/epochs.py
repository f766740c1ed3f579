"""The batches of an epoch: how they are read, how far ahead, and where one goes on after an interruption."""

import dataclasses
import itertools
import operator
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .sample_order import Order, Share
from .sample_reader import SampleReader
from .sample_types import Batch, Integers, map_arrays
from .type_reader import TypeReader

#: A state: numbers and texts, so that it goes into any checkpoint.
State = dict[str, Any]


class EpochBatches(Iterator[Batch]):
    """Iterates over the batches of an epoch that a process gets; it can tell where it is, and go on from there.

    Parameters
    ----------
    reader : SampleReader or TypeReader
    order : Order
    share : Share
    transform : callable, optional
        Called with each batch, returns a batch.
    """

    def __init__(
        self,
        reader: SampleReader | TypeReader,
        order: Order,
        share: Share,
        transform: Callable[[Batch], Batch] | None = None,
    ) -> None:
        self._reader, self._order, self._share, self._transform = reader, order, share, transform
        self._start, self._taken = 0, 0
        self._found: Iterator[Batch] | None = None

    def __next__(self) -> Batch:
        if self._found is None:
            self._found = self._read()
        batch = next(self._found)
        self._taken += 1
        return batch if self._transform is None else self._transform(batch)

    def state_dict(self, n_batches: int | None = None) -> State:
        """Return where the epoch is, to go on from by :meth:`load_state_dict`, with other ranks and batches, too.

        Parameters
        ----------
        n_batches : int, optional
            Batches that each rank has seen since the epoch, or what was left of it, began; default: those given here.

        Returns
        -------
        dict
            Of numbers and texts: it goes into any checkpoint.
        """
        share = self._share
        return {
            "version": 1,
            **self._order.facts(),
            "which": self._reader.index.fingerprint(),
            "epoch": self._order.epoch,
            "start": self._start,
            "batches": self._taken if n_batches is None else n_batches,
            **{name: getattr(share, name) for name in ("batch_size", "world_size", "n_workers")},
        }

    def write_to(self, allocate: Callable[[int], NDArray[np.uint8]]) -> None:
        """Let images be written to memory that a function allocates, so many bytes, and that is used again."""
        self._reader, self._found = self._reader.in_memory(allocate), None

    def n_seen(self) -> int:
        """Return how many samples of the epoch all ranks have seen, if each had as many batches as this one."""
        share = self._share
        seen = self._start + self._taken * share.world_size * share.n_workers * share.batch_size
        return min(seen, self._order.n_samples)

    def start_at(self, n_samples: int) -> None:
        """Share out what comes behind the first samples of the epoch."""
        self._start, self._taken, self._found = min(n_samples, self._order.n_samples), 0, None

    def load_state_dict(self, state: State) -> None:
        """Go on where a state was taken.

        All ranks are taken to have seen as many batches as the one of the state (a state of rank 0 is safe: no rank
        has seen more), and share out what is left.

        Raises
        ------
        ValueError
            If the state is of other samples, or of another order.
        """
        mine = self.state_dict()
        for name in ("version", *self._order.facts(), "which"):
            if state.get(name) != mine[name]:
                raise ValueError(f"this state has {name} = {state.get(name)}, these batches {mine[name]}")
        start, taken = int(state["start"]), int(state["batches"])
        if state["n_workers"] == 1:
            self.start_at(start + taken * int(state["world_size"]) * int(state["batch_size"]))
        elif all(state[name] == mine[name] for name in ("batch_size", "world_size", "n_workers")):
            self._start, self._taken = start, taken  # no worker knows how far others are
        else:
            raise ValueError(
                f"this state is of one of {state['n_workers']} workers: ranks and batches must be as before"
            )
        self._order, self._found = dataclasses.replace(self._order, epoch=int(state["epoch"])), None

    # -- reading ---------------------------------------------------------------------------------------

    def _groups(self) -> Iterator[list[Integers]]:
        """Yield groups of batches, without those that were taken."""
        left = self._taken
        for group in self._share.groups(self._order, self._start):
            if len(group) > left:
                yield group[left:]
            left = max(left - len(group), 0)

    def _read(self) -> Iterator[Batch]:
        read = self._read_whole if self._order.shuffle == "blocks" else self._read_one_by_one
        return itertools.chain.from_iterable(map(read(), self._groups()))

    def _read_one_by_one(self) -> Callable[[list[Integers]], Iterator[Batch]]:
        """Return a function that reads a group, its columns at once: for one batch they take as long as its images."""

        def batches(group: list[Integers]) -> Iterator[Batch]:
            columns, first = self._reader.columns(np.concatenate(group)), 0
            for numbers in group:
                part = slice(first, first + len(numbers))
                first = part.stop
                yield self._reader.batch(numbers, map_arrays(operator.itemgetter(part), columns))

        return batches

    def _read_whole(self) -> Callable[[list[Integers]], Iterator[Batch]]:
        """Return a function that reads a group as a whole, in file order."""
        whole, values = self._reader.stored()  # takes less memory than what it stands for
        reader = whole or self._reader

        def batches(group: list[Integers]) -> Iterator[Batch]:
            numbers = np.concatenate(group)
            order = np.argsort(numbers)
            held = reader.batch(numbers[order])
            place = np.empty_like(order)
            place[order] = np.arange(len(order))
            first = 0
            for part in group:
                batch = map_arrays(operator.itemgetter(place[first : first + len(part)]), held)
                first += len(part)
                yield batch | {"image": values(batch["image"])} if values else batch

        return batches
