"""Events whose telescopes have images of several shapes: an array for each type, padded to one multiplicity."""

import copy
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import sample_columns
from .sample_index import SampleIndex
from .sample_reader import SampleReader
from .sample_types import Batch, Integers

#: In which order the telescopes of a type stand: the brightest image first, or by their ids.
ORDERS = ("id", "size")

#: How many telescopes of a type an event keeps: of each type as many, or by type.
Maximum = int | Mapping[str, int] | None


class TypeReader:
    """Reads batches of events, the images of each telescope type as an array of their own.

    Parameters
    ----------
    readers : {type: SampleReader}
        Of the same index, whose samples are events, each with the conversions of its type.
    types : str array (n_tel,)
        Types of the index's telescopes, in the order of its rows.
    order : str
        'id' or 'size'.
    maximum : {type: int or None}
        Telescopes of a type that are kept, the first ones in this order; without one all.
    charge : int
        Channel whose sum is the size of an image.

    Attributes
    ----------
    index : SampleIndex
    n_telescopes : {type: int}
        Images of an event: the largest number that any event has, or the maximum.
    """

    def __init__(
        self,
        readers: dict[str, SampleReader],
        types: NDArray[np.str_],
        order: str,
        maximum: Mapping[str, int | None],
        charge: int,
    ) -> None:
        self._readers, self._order, self._maximum, self._charge = readers, order, maximum, charge
        self._places = {name: np.flatnonzero(types == name) for name in readers}
        self._plain = next(iter(readers.values()))
        self._count()

    def _count(self) -> None:
        self.n_telescopes = {}
        for name, place in self._places.items():
            most = int((self.index.row[:, place] >= 0).sum(axis=1).max(initial=1))
            maximum = self._maximum.get(name)
            self.n_telescopes[name] = most if maximum is None else min(most, maximum)

    @property
    def index(self) -> SampleIndex:
        return self._plain.index

    @property
    def image_shape(self) -> dict[str, tuple[int, ...]]:
        """Of one image of each type."""
        return {name: reader.image_shape for name, reader in self._readers.items()}

    def select(self, numbers: Integers) -> "TypeReader":
        """Return a reader of some of the samples, in that order, with as many telescopes."""
        return self._with(self.index.select(numbers))

    def of(self, index: SampleIndex) -> "TypeReader":
        """Return a reader of another index of the same sources."""
        part = self._with(index)
        part._count()
        return part

    def _with(self, index: SampleIndex) -> "TypeReader":
        part = copy.copy(self)
        part._readers = {name: reader.of(index) for name, reader in self._readers.items()}
        part._plain = next(iter(part._readers.values()))
        return part

    def scales(self) -> list[float]:
        """As of SampleReader; types have them in common."""
        return self._plain.scales()

    def in_memory(self, allocate: Callable[[int], NDArray[np.uint8]]) -> "TypeReader":
        """As of SampleReader; images in the order of their size are copied once more, to memory of NumPy's."""
        part = copy.copy(self)
        part._readers = {name: reader.in_memory(allocate) for name, reader in self._readers.items()}
        return part

    def stored(self) -> tuple[None, None]:
        """As of SampleReader: images that are held are values."""
        return None, None

    def class_weights(self) -> dict[int, float]:
        """Return {primary: weight} of the samples."""
        return self._plain.class_weights()

    def columns(self, numbers: Integers, functions: dict[str, sample_columns.Column] | None = None) -> Batch:
        """Return columns of samples, as of SampleReader; if none are named, those of batches that events have."""
        if functions is None:
            functions = {
                name: function
                for name, function in self._plain.functions.items()
                if name not in sample_columns.OF_TELESCOPES
            }
        return self._plain.columns(numbers, functions)

    def batch(self, numbers: Integers, columns: Batch | None = None) -> Batch:
        """Return a batch: image, mask and columns of telescopes are dicts by type; `columns` are those of events."""
        batch: Batch = {"image": {}, "mask": {}}
        of_telescopes = {
            name: function for name, function in self._plain.functions.items() if name in sample_columns.OF_TELESCOPES
        }
        batch |= {name: {} for name in of_telescopes}
        for name, reader in self._readers.items():
            images, chosen, rows = self._chosen(name, reader, numbers)
            batch["image"][name], batch["mask"][name] = images, rows >= 0
            for column, values in self._telescope_columns(of_telescopes, numbers, chosen).items():
                batch[column][name] = values
        return batch | (self.columns(numbers) if columns is None else columns)

    def _chosen(self, name: str, reader: SampleReader, numbers: Integers) -> tuple[NDArray[Any], Integers, Integers]:
        """Return images of a type, which of the index's telescopes they are of, and their rows, (n, n_telescopes)."""
        place, n_kept = self._places[name], self.n_telescopes[name]
        rows = self.index.row[numbers][:, place]
        if self._order == "id":
            chosen = np.argsort(rows < 0, axis=1, kind="stable")[:, :n_kept]
            rows = np.take_along_axis(rows, chosen, 1)
            return self._images(reader, numbers, place[chosen], rows), place[chosen], rows
        images = self._images(reader, numbers, np.broadcast_to(place, rows.shape), rows)
        cells = tuple(range(2, images.ndim - 1))
        size = images[..., self._charge].sum(axis=cells, dtype=np.float64)
        darkness = np.where(np.isnan(size), np.inf, -size)  # an image of which some pixel is no number is still one
        chosen = np.lexsort((darkness, rows < 0), axis=1)[:, :n_kept]
        images = np.take_along_axis(images, chosen.reshape(*chosen.shape, *[1] * (images.ndim - 2)), 1)
        return images, place[chosen], np.take_along_axis(rows, chosen, 1)

    def _images(self, reader: SampleReader, numbers: Integers, places: Integers, rows: Integers) -> NDArray[Any]:
        return reader.images_of(numbers, self._plain.first_telescopes(numbers)[:, None] + places, rows)

    def _telescope_columns(
        self, functions: dict[str, sample_columns.Column], numbers: Integers, places: Integers
    ) -> Batch:
        def parameter(name: str) -> NDArray[Any]:
            return np.take_along_axis(self._plain.parameter(numbers, name), places, 1)

        tels = self._plain.first_telescopes(numbers)[:, None] + places
        return self._plain.compute(functions, numbers, tels, parameter)
