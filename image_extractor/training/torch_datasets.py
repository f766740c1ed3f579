"""ImageDatasets as PyTorch datasets; the only room that imports torch."""

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset, IterableDataset, get_worker_info
from torch.utils.data._utils.collate import default_collate_fn_map

from .sample_types import Batch, Batches, Samples, map_arrays


class WholeBatch(dict[str, torch.Tensor]):
    """A batch that was read as one, which default_collate hands on as it is."""


def _hand_on(batch: Sequence[WholeBatch], *, collate_fn_map: Any = None) -> dict[str, torch.Tensor]:
    return dict(batch[0])


# PyTorch's documented way to teach default_collate a type; spawned workers import this room, too
default_collate_fn_map[WholeBatch] = _hand_on


def to_tensors(dataset: Samples, batch: Batch) -> dict[str, torch.Tensor]:
    """Return a batch, or a sample, as tensors that share its memory; arrays become (..., channel, x, y)."""
    tensors = map_arrays(lambda values: torch.from_numpy(np.asarray(values)), batch)
    if dataset.layout == "pixels":
        return tensors
    return tensors | map_arrays(_channels_first, {"image": tensors["image"]})


def _channels_first(images: Any) -> Any:
    return images.movedim(-1, -3)


class TorchSamples(Dataset[dict[str, torch.Tensor]]):
    """A map-style dataset: DataLoader with any sampler, number of workers and the default collate function.

    Each batch is read as one. A collate function of one's own gets a list that holds the batch as a dict.
    """

    def __init__(self, dataset: Samples) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, i: int) -> dict[str, torch.Tensor]:
        return to_tensors(self.dataset, self.dataset[i])

    def __getitems__(self, numbers: Sequence[int]) -> list[WholeBatch]:
        """Return a list of one batch; DataLoader calls this."""
        return [WholeBatch(to_tensors(self.dataset, self.dataset[numbers]))]


def pinned_memory(size: int) -> NDArray[np.uint8]:
    """Return so many bytes of pinned memory."""
    memory: NDArray[np.uint8] = torch.empty(size, dtype=torch.uint8, pin_memory=True).numpy()
    return memory


#: Workers of a DataLoader that can be told to go on.
MAX_WORKERS = 1023


class TorchBatches(IterableDataset[dict[str, torch.Tensor]]):
    """An iterable dataset of whole batches, each epoch in an order of its own: DataLoader(batches, batch_size=None).

    Workers share the batches out; all together see every sample once. ``state_dict()`` and ``load_state_dict()`` are
    those of :class:`epochs.EpochBatches`. Workers do not tell how far they are: with those of a DataLoader a state is
    ``state_dict(n_batches)`` of the batches that came out of it. torchdata's StatefulDataLoader asks the workers.

    With `pin_memory` images are written once, to pinned memory, from where they go to a GPU at once
    (``images.to("cuda", non_blocking=True)``). Workers can't: with them it is up to DataLoader(..., pin_memory=True).
    """

    def __init__(self, dataset: Samples, batch_size: int, pin_memory: bool = False, **options: Any) -> None:
        self.dataset, self.batch_size, self.options = dataset, batch_size, options
        self.pin_memory = pin_memory
        self._current = dataset.batches(batch_size, **options)  # says at once what is wrong with the options
        # in shared memory, so that workers that live longer than an epoch see it change: the epoch, samples of it that
        # were seen before, and which workers (and, first, this process) have not yet taken notice of these
        self._place = torch.tensor([options.get("epoch", 0), 0]).share_memory_()
        self._is_new = torch.zeros(1 + MAX_WORKERS, dtype=torch.bool).share_memory_()
        self._of_worker: dict[str, Any] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_current"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._current = self._batches()

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of the next pass; of the epoch that a state was taken in, the rest."""
        if epoch != int(self._place[0]):
            self._go_to(epoch, 0)

    def _go_to(self, epoch: int, start: int) -> None:
        self._place[0], self._place[1] = epoch, start
        self._is_new.fill_(start > 0)
        self._current = self._batches()
        self._current.start_at(start)

    def state_dict(self, n_batches: int | None = None) -> dict[str, Any]:
        """Return where the epoch is, when each rank has seen so many batches of it; default: those given here."""
        return self._current.state_dict(n_batches)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Let the next pass go on where a state was taken; then epochs are whole again."""
        if get_worker_info():
            self._of_worker = state
            return
        reached = self._batches()
        reached.load_state_dict(state)
        self._go_to(int(state["epoch"]), reached.n_seen())

    def _batches(self, **share: Any) -> Batches:
        return self.dataset.batches(self.batch_size, **self.options | {"epoch": int(self._place[0])} | share)

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        worker = get_worker_info()
        slot = worker.id + 1 if worker else 0
        self._current = self._batches(worker=(worker.id, worker.num_workers) if worker else (0, 1))
        if self._of_worker:
            self._current.load_state_dict(self._of_worker)
            self._of_worker = None
        elif self._is_new[slot]:
            self._current.start_at(int(self._place[1]))
        self._is_new[slot] = False
        if self.pin_memory and not worker and torch.cuda.is_available():
            self._current.write_to(pinned_memory)
        return map(functools.partial(to_tensors, self.dataset), self._current)
