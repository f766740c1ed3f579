"""What samples and batches are made of, as type hints; shapes stand where they are used."""

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.integer[Any]]
Floats = NDArray[np.floating[Any]]

#: A structured array: rows of a table.
Records = NDArray[np.void]

#: Arrays by name, whose first axis counts samples; in the view 'types' some are dicts of arrays by telescope type.
Batch = dict[str, Any]


def map_arrays(function: Callable[[NDArray[Any]], Any], batch: Batch) -> dict[str, Any]:
    """Return a batch with a function applied to each of its arrays."""
    return {
        name: map_arrays(function, values) if isinstance(values, dict) else function(values)
        for name, values in batch.items()
    }


class Batches(Protocol):
    """The batches of an epoch, as frameworks ask for them."""

    def __iter__(self) -> Iterator[Batch]: ...

    def __next__(self) -> Batch: ...

    def state_dict(self, n_batches: int | None = None) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...

    def n_seen(self) -> int: ...

    def start_at(self, n_samples: int) -> None: ...

    def write_to(self, allocate: Callable[[int], NDArray[np.uint8]]) -> None: ...


class Samples(Protocol):
    """What frameworks ask of an ImageDataset."""

    layout: str

    def __len__(self) -> int: ...

    def __getitem__(self, key: Any) -> Batch: ...

    def batches(self, *args: Any, **options: Any) -> Batches:
        """Return the batches of an epoch."""
