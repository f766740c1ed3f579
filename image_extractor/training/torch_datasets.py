"""ImageDatasets as PyTorch datasets; the only room that imports torch."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset, IterableDataset, get_worker_info
from torch.utils.data._utils.collate import default_collate_fn_map

from .sample_types import Batch, Samples


class WholeBatch(dict[str, torch.Tensor]):
    """A batch that was read as one, which default_collate hands on as it is."""


def _hand_on(batch: Sequence[WholeBatch], *, collate_fn_map: Any = None) -> dict[str, torch.Tensor]:
    return dict(batch[0])


# PyTorch's documented way to teach default_collate a type; spawned workers import this room, too
default_collate_fn_map[WholeBatch] = _hand_on


def to_tensors(batch: Batch) -> dict[str, torch.Tensor]:
    """Return a batch, or a sample, as tensors that share its memory; images become (..., channel, x, y)."""
    tensors = {name: torch.from_numpy(np.asarray(values)) for name, values in batch.items()}
    image = tensors["image"]
    return tensors | {"image": image.movedim(-1, -3)}


class TorchSamples(Dataset):
    """A map-style dataset: DataLoader with any sampler, number of workers and the default collate function.

    Each batch is read as one. A collate function of one's own gets a list that holds the batch as a dict.
    """

    def __init__(self, dataset: Samples) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, i: int) -> dict[str, torch.Tensor]:
        return to_tensors(self.dataset[i])

    def __getitems__(self, numbers: Sequence[int]) -> list[WholeBatch]:
        """Return a list of one batch; DataLoader calls this."""
        return [WholeBatch(to_tensors(self.dataset[numbers]))]


class TorchBatches(IterableDataset):
    """An iterable dataset of whole batches, each epoch in an order of its own: DataLoader(batches, batch_size=None).

    Workers share the batches out; all together see every sample once.
    """

    def __init__(self, dataset: Samples, batch_size: int, **options: Any) -> None:
        self.dataset, self.batch_size, self.options = dataset, batch_size, options
        # in shared memory, so that workers that live longer than an epoch see it change
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of the next pass."""
        self._epoch.fill_(epoch)

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        worker = get_worker_info()
        shard = (worker.id, worker.num_workers) if worker else (0, 1)
        options = {"epoch": int(self._epoch), **self.options}
        for batch in self.dataset.batches(self.batch_size, shard=shard, **options):
            yield to_tensors(batch)
