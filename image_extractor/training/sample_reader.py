"""Samples into batches: their images and columns, by sample numbers."""

import copy
import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..hdf5.stored_rows import OpenFiles, stretches
from . import sample_columns, stored_images
from .event_weights import EventWeight
from .sample_index import SampleIndex
from .sample_parameters import SampleParameters
from .sample_types import Batch, Integers

#: Turns images as they are stored into values.
Values = Callable[[NDArray[Any]], NDArray[Any]]


class SampleReader:
    """Reads batches of an index of samples.

    Parameters
    ----------
    files : OpenFiles
    index : SampleIndex
    conversions : list of Conversion
        Of each source of the index.
    columns : list of str or EventWeight
        Of a batch.
    cells : int array (n_pixels,), optional
        Cells of an image, x and y being one axis, that are handed on instead of all.

    Attributes
    ----------
    index : SampleIndex
    functions : {name: function of sample_columns.Rows}
        What computes the columns of a batch.
    """

    def __init__(
        self,
        files: OpenFiles,
        index: SampleIndex,
        conversions: Sequence[stored_images.Conversion],
        columns: Sequence[str | EventWeight],
        cells: Integers | None = None,
    ) -> None:
        self._files, self.index, self._conversions, self._columns = files, index, conversions, columns
        self._cells = cells
        self._by_event = index.row.ndim == 2
        self._one_scale = all(conversion.agrees(conversions[0]) for conversion in conversions)
        self._pool = stored_images.BufferPool()
        self._parameters = SampleParameters(files)
        self._set_up_columns()

    def _set_up_columns(self) -> None:
        self._class_weights: dict[int, float] | None = None
        self.functions = sample_columns.functions(self._columns)
        if self._by_event:
            self.functions = {"tel_position": sample_columns.COLUMNS["tel_position"]} | self.functions

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "functions"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._set_up_columns()

    def select(self, numbers: Integers) -> "SampleReader":
        """Return a reader of some of the samples, in that order."""
        return self.of(self.index.select(numbers))

    def of(self, index: SampleIndex) -> "SampleReader":
        """Return a reader of another index of the same sources."""
        part = copy.copy(self)
        part.index, part._class_weights = index, None
        return part

    def scales(self) -> list[float]:
        """Return stored counts per p.e., ns or whole cell of each channel; DatasetError unless all sources agree."""
        stored_images.check_stored_numbers(self.index.sources)
        return list(self._conversions[0].stored[1])

    def in_memory(self, allocate: Callable[[int], NDArray[np.uint8]]) -> "SampleReader":
        """Return a reader whose images are written to memory of another kind; see BufferPool."""
        part = copy.copy(self)
        part._pool = stored_images.BufferPool(allocate=allocate)
        return part

    def stored(self) -> "tuple[SampleReader, Values] | tuple[None, None]":
        """Return (a reader of the numbers as they are stored, a function that turns such images into values).

        None, None where files store different numbers for the same values.
        """
        if not self._one_scale or len({conversion.stored for conversion in self._conversions}) > 1:
            return None, None
        reader = copy.copy(self)
        reader._conversions = [conversion.without_scales() for conversion in self._conversions]
        reader._pool, reader._cells = stored_images.BufferPool(kept=1, largest=None), None
        return reader, self._values

    def _values(self, stored: NDArray[Any]) -> NDArray[Any]:
        images = self._pool.empty(stored.shape, self._conversions[0].dtype)
        self._conversions[0].convert(images, stored)
        return self._laid_out(images)

    def _laid_out(self, images: NDArray[Any]) -> NDArray[Any]:
        """Return images (..., x, y, channel) as pixel vectors (..., n_pixels, channel), if that is asked for."""
        if self._cells is None:
            return images
        *lead, n_x, n_y, n_channels = images.shape
        vectors = self._pool.empty((*lead, len(self._cells), n_channels), images.dtype)
        # any mode but 'raise' writes to where it is told at once
        images.reshape(*lead, n_x * n_y, n_channels).take(self._cells, axis=-2, out=vectors, mode="clip")
        return vectors

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Of one image of a batch."""
        shape = self._conversions[0].shape
        return shape if self._cells is None else (len(self._cells), shape[-1])

    # -- columns ---------------------------------------------------------------------------------------

    def class_weights(self) -> dict[int, float]:
        """Return {primary: weight} of the samples."""
        if self._class_weights is None:
            self._class_weights = sample_columns.class_weights(self.index.primaries())
        return self._class_weights

    def columns(self, numbers: Integers, functions: dict[str, sample_columns.Column] | None = None) -> Batch:
        """Return {name: array (n, ...)} of samples; `functions` as of :func:`sample_columns.functions`."""
        functions = self.functions if functions is None else functions
        tels = self._all_telescopes(numbers) if self._by_event else self.index.tel[numbers]
        return self.compute(functions, numbers, tels, functools.partial(self.parameter, numbers))

    def parameter(self, numbers: Integers, name: str) -> NDArray[Any]:
        """Return an image parameter of samples, array (n,) or (n, n_tel) in the order of the index."""
        return self._parameters.of(self.index, numbers, name)

    def compute(
        self,
        functions: dict[str, sample_columns.Column],
        numbers: Integers,
        tels: Integers,
        parameters: Callable[[str], NDArray[Any]],
    ) -> Batch:
        """Return columns of samples with these telescopes: rows of the index's, int array (n,) or (n, n_tel)."""
        weights = self.class_weights() if "class_weight" in functions else {}
        events, telescopes = self.index.events[self.index.event[numbers]], self.index.telescopes[tels]
        rows = sample_columns.Rows(events, telescopes, self.index.runs, weights, parameters)
        # NumPy takes a field of one record for contiguous, PyTorch minds its stride: so always a copy
        return {name: np.array(function(rows), order="C") for name, function in functions.items()}

    def _all_telescopes(self, numbers: Integers) -> Integers:
        """Return the telescopes of events, those that have no image, too, int array (n, n_tel)."""
        return self.first_telescopes(numbers)[:, None] + np.arange(self.index.row.shape[1])

    def first_telescopes(self, numbers: Integers) -> Integers:
        """Return the first telescope of the file of each sample, int array (n,)."""
        first = np.array([source.first_tel for source in self.index.sources], np.int64)
        return first[self.index.source[numbers]]

    # -- images ----------------------------------------------------------------------------------------

    def batch(self, numbers: Integers, columns: Batch | None = None) -> Batch:
        """Return a batch, a dict; `columns` are those of the samples where they are known already."""
        batch: Batch = {"image": self._images(numbers)}
        if self._by_event:
            batch["mask"] = self.index.row[numbers] >= 0
        return batch | (self.columns(numbers) if columns is None else columns)

    def _images(self, numbers: Integers) -> NDArray[Any]:
        tels = self._all_telescopes(numbers) if self._by_event else self.index.tel[numbers]
        return self.images_of(numbers, tels, self.index.row[numbers])

    def images_of(self, numbers: Integers, tels: Integers, rows: Integers) -> NDArray[Any]:
        """Return images of samples, array (n, ...) or (n, n_tel, ...), 0 where there is none.

        numbers : int array (n,)
        tels, rows : int array (n,) or (n, n_tel)
            Telescopes, rows of the index's, and the rows of their images, -1 where a telescope has none.
        """
        first = self._conversions[0]
        images = self._pool.empty((*rows.shape, *first.shape), first.dtype)
        images[rows < 0] = 0
        place = np.flatnonzero(rows.ravel() >= 0)
        sources = np.broadcast_to(self.index.source[numbers].reshape(-1, *[1] * (rows.ndim - 1)), rows.shape)
        chosen = (values.ravel()[place] for values in (sources, tels, rows))
        self._read(images.reshape(-1, *first.shape), place, *chosen)
        return self._laid_out(images)

    def _read(
        self, images: NDArray[Any], positions: Integers, sources: Integers, tels: Integers, rows: Integers
    ) -> None:
        """Read images[positions[i]]: source by source, each in the order of its file."""
        for number in np.unique(sources).tolist() if len(self.index.sources) > 1 else [0]:
            chosen = np.flatnonzero(sources == number)
            source, conversion = self.index.sources[number], self._conversions[number]
            reader = stored_images.SourceImages(self._files, source, conversion)
            chosen = chosen[reader.order(tels[chosen], rows[chosen])]
            reader.fill(images, positions[chosen], tels[chosen] - source.first_tel, rows[chosen])
            if not self._one_scale:
                self._undo_scales(conversion, images, np.sort(positions[chosen]))
        if self._one_scale:
            self._conversions[0].undo_scales(images)

    @staticmethod
    def _undo_scales(conversion: stored_images.Conversion, images: NDArray[Any], positions: Integers) -> None:
        for stretch in stretches(positions - np.arange(len(positions))):
            conversion.undo_scales(images[positions[stretch.start] : positions[stretch.stop - 1] + 1])
