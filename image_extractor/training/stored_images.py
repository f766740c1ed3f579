"""Stored images into batches: axes in the order (x, y, channel), scales undone, memory used again."""

import copy
import itertools
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..errors import DatasetError, MissingNameError
from ..hdf5 import schema
from ..hdf5.stored_rows import OpenFiles, stretches
from ..image_scales import channel_names, scales
from .sample_index import SampleSource, image_shape
from .sample_types import Floats, Integers

#: How channels are chosen: by numbers or names, one or several.
Channels = int | str | Iterable[int | str]

#: Memory that arrays are made on.
Bytes = NDArray[np.uint8]

#: Buffers that are kept for the next batches, and bytes of the smallest and largest of them: smaller ones the system
#: has at hand as fast.
BUFFERS_KEPT, SMALLEST_KEPT, LARGEST_KEPT = 8, 1 << 20, 1 << 26


class BufferPool:
    """Memory for batches: lent to arrays, and used again when it comes back, which it does with the last array on it.

    Fresh memory must be paged in, which costs more than filling it with images.

    Parameters
    ----------
    kept : int
        Pieces of memory that wait to be used again, at most.
    largest : int or None
        Bytes of the largest arrays that are lent memory, None: of any size; others get their own.
    allocate : callable, optional
        Returns so many bytes of memory of another kind, which arrays of any size are lent.
    """

    def __init__(
        self,
        kept: int = BUFFERS_KEPT,
        largest: int | None = LARGEST_KEPT,
        allocate: Callable[[int], Bytes] | None = None,
    ) -> None:
        self._free: deque[Bytes] = deque(maxlen=kept)
        self._smallest, self._largest = (SMALLEST_KEPT, largest) if allocate is None else (1, None)
        self._allocate = allocate or _plain_memory

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_free": deque(maxlen=self._free.maxlen)}

    def empty(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """Return an array as numpy.empty does."""
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        if size < self._smallest or (self._largest is not None and size > self._largest):
            return np.empty(shape, dtype)
        memory = self._taken(size)
        return np.asarray(_Loan(memory, memory[:size].view(dtype).reshape(shape), self._free))

    def _taken(self, size: int) -> Bytes:
        for _ in range(len(self._free)):
            try:
                memory = self._free.popleft()
            except IndexError:  # another thread has it
                break
            if size <= memory.nbytes <= 2 * size:
                return memory
            self._free.append(memory)
        return self._allocate(size)


def _plain_memory(size: int) -> Bytes:
    return np.empty(size, np.uint8)


class _Loan:
    """What an array on lent memory rests on, and all views of it: NumPy holds it as long as there is one."""

    def __init__(self, memory: Bytes, array: NDArray[Any], free: deque[Bytes]) -> None:
        self.__array_interface__ = array.__array_interface__
        self._memory, self._free = memory, free

    def __del__(self) -> None:
        self._free.append(self._memory)


class Conversion:
    """From stored numbers to values, in two steps: images are copied one by one, scales undone for whole batches.

    Parameters
    ----------
    attributes : dict
        Of the images.
    channels : list of int
    dtype : numpy.dtype or None
        None keeps the stored numbers.

    Attributes
    ----------
    dtype : numpy.dtype
        Of the values.
    stored : tuple
        What the stored numbers are: their dtype and scales.
    shape : tuple
        Of an image, (x, y, channel).

    Notes
    -----
    value = stored / scale, divided in `dtype` where stored numbers and scale fit it exactly, else in float64.
    """

    def __init__(self, attributes: dict[str, Any], channels: list[int], dtype: np.dtype[Any] | None) -> None:
        self._scales = channel_scales(attributes)[channels]
        chosen = _as_slice(channels)
        self._first = attributes["dim_order"] == "channels_first"
        # a slice of a memory map is a view of it, a list would read all of it
        self._slice = chosen if isinstance(chosen, slice) else slice(None)
        self._list = None if isinstance(chosen, slice) else chosen
        stored = np.dtype(attributes["dtype"])
        self.stored = stored, tuple(self._scales.tolist())
        self.shape = (*image_shape(attributes)[:-1], len(self._scales))
        self.dtype = stored if dtype is None else dtype
        self._divisor: Any = None
        self._wide: Floats | None = None
        if dtype is None or (self._scales == 1).all():
            return
        digits = 8 * stored.itemsize if stored.kind in "iu" else np.finfo(stored).nmant
        exact = digits <= np.finfo(dtype).nmant + 1 and (self._scales.astype(dtype) == self._scales).all()
        if exact and dtype != np.float16:
            self._divisor = _divisor(self._scales.astype(dtype), self.shape)
        else:
            self._wide = self._scales

    def without_scales(self) -> "Conversion":
        """Return a conversion that leaves numbers as they are stored."""
        same = copy.copy(self)
        same.dtype, same._divisor, same._wide = self.stored[0], None, None
        return same

    def agrees(self, other: "Conversion") -> bool:
        """Tell whether :meth:`undo_scales` does the same in both."""
        same = np.array_equal(self._scales, other._scales)
        return same and (self._divisor is None) == (other._divisor is None)

    def view(self, block: NDArray[Any]) -> NDArray[Any]:
        """Return a block of stored images as (n, x, y, channel), chosen channels only."""
        if self._first:
            block = np.moveaxis(block, -3, -1)
        return block[..., self._slice]

    def place(self, images: NDArray[Any], positions: Integers, block: NDArray[Any], rows: Integers) -> None:
        """Copy rows of a block to positions of the batch; :meth:`undo_scales` must follow.

        images : array (n, x, y, channel)
        positions : int array (n_rows,)
        rows : int array (n_rows,), ascending
        """
        # where hardly two lie together, to look for them would only cost time
        if len(rows) == 1 or rows[-1] - rows[0] >= 2 * len(rows):
            for position, row in zip(positions.tolist(), rows.tolist(), strict=True):
                self._copy(images[position], block[row])
            return
        edges = np.flatnonzero((np.diff(rows) != 1) | (np.diff(positions) != 1)) + 1
        for start, stop in itertools.pairwise([0, *edges.tolist(), len(rows)]):
            position, row = int(positions[start]), int(rows[start])
            self._copy(images[position : position + stop - start], block[row : row + stop - start])

    def _copy(self, target: NDArray[Any], source: NDArray[Any]) -> None:
        if self._list is not None:
            source = source[..., self._list]
        if self._wide is not None:
            np.divide(source, self._wide, out=target, dtype=np.float64, casting="unsafe")
        else:
            np.copyto(target, source, casting="unsafe")

    def convert(self, images: NDArray[Any], stored: NDArray[Any]) -> None:
        """Copy what a conversion without scales has read, scales undone."""
        if self._wide is not None:
            np.divide(stored, self._wide, out=images, dtype=np.float64, casting="unsafe")
        else:
            np.copyto(images, stored, casting="unsafe")
            self.undo_scales(images)

    def undo_scales(self, images: NDArray[Any]) -> None:
        """Turn images of a batch, (n, x, y, channel), into p.e., ns and shares of cells."""
        if self._divisor is not None:
            np.divide(images, self._divisor, out=images)


def _divisor(scales: Floats, shape: tuple[int, ...]) -> Any:
    """Return a number or, what is much faster than a number for each channel, an image of them."""
    return scales[0] if (scales == scales[0]).all() else np.broadcast_to(scales, shape).copy()


def _as_slice(numbers: list[int]) -> slice | list[int]:
    """Return a list of channel numbers as a slice where it is one, else as it is."""
    step = numbers[1] - numbers[0] if len(numbers) > 1 else 1
    if step < 1 or numbers != list(range(numbers[0], numbers[0] + step * len(numbers), step)):
        return numbers
    return slice(numbers[0], numbers[-1] + 1, step)


def channel_scales(attributes: dict[str, Any]) -> Floats:
    """Return the stored counts per p.e., ns or whole cell of each channel, float array (n_channels,)."""
    found = scales(attributes)
    names = channel_names(str(attributes["image_mode"]))
    return np.array([found.get(f"{name}_scale", 1.0) for name in names], np.float64)


def choose_channels(channels: Channels | None, names: list[str], path: str) -> list[int]:
    """Return channels, given by numbers or names, one or several, as a list of numbers; `path` is for messages."""
    if channels is None:
        return list(range(len(names)))
    given = [channels] if isinstance(channels, int | str | np.integer) else list(channels)
    for channel in given:
        if channel not in names and channel not in range(len(names)):
            raise MissingNameError(path, "channel", channel, [*names, *range(len(names))])
    if not given:
        raise ValueError("channels: choose at least one, or None for all")
    return [names.index(channel) if isinstance(channel, str) else int(channel) for channel in given]


def check_stored_numbers(sources: Sequence[SampleSource]) -> None:
    """Raise DatasetError unless the stored numbers of all sources mean the same."""
    first = sources[0]
    expected = _meaning(first)
    for source in sources[1:]:
        for key, new in _meaning(source).items():
            if new != expected[key]:
                raise DatasetError(
                    f"{source.path}: stored with {key} = {new}, {first.path} with {expected[key]}: "
                    "dtype = None can't mix them"
                )


def _meaning(source: SampleSource) -> dict[str, Any]:
    return {"dtype": source.attributes["dtype"]} | scales(source.attributes)


class SourceImages:
    """The images of a source, by telescope and row.

    Parameters
    ----------
    files : OpenFiles
    source : sample_index.SampleSource
    conversion : Conversion
    """

    def __init__(self, files: OpenFiles, source: SampleSource, conversion: Conversion) -> None:
        self._files, self._source, self._conversion = files, source, conversion

    def fill(self, images: NDArray[Any], positions: Integers, tels: Integers, rows: Integers) -> None:
        """Read images[positions[i]] = image of telescope `tels[i]` of the source in row `rows[i]`.

        The arguments are sorted as :meth:`order` says.
        """
        if self._source.mapped:
            for part in stretches(tels):
                self._fill_from_array(images, positions[part], int(tels[part.start]), rows[part])
        else:
            self._fill_from_table(images, positions, tels, rows)

    def order(self, tels: Integers, rows: Integers) -> Integers:
        """Return the order in which images lie in the file."""
        return np.lexsort((rows, tels) if self._source.mapped else (tels, rows))

    def _fill_from_array(self, images: NDArray[Any], positions: Integers, tel: int, rows: Integers) -> None:
        array = self._files.rows(self._source.path, self._source.image_path(self._source.tel_ids[tel]))
        for part, block, places in array.blocks(rows):
            self._conversion.place(images, positions[part], self._conversion.view(block), places)

    def _fill_from_table(self, images: NDArray[Any], positions: Integers, tels: Integers, rows: Integers) -> None:
        table = self._files.rows(self._source.path, self._source.table_path)
        names = [schema.image_name(tel_id) for tel_id in self._source.tel_ids]
        for part, block, places in table.blocks(rows):
            here = tels[part]
            for tel in np.unique(here).tolist():
                chosen = here == tel
                column = self._conversion.view(block[names[tel]])
                self._conversion.place(images, positions[part][chosen], column, places[chosen])
