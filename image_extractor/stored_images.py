"""Stored images into batches: axes in the order (x, y, channel), scales undone, memory used again."""

import sys

import numpy as np

from . import row_types
from .errors import DatasetError, MissingNameError

#: Bytes that are converted at once: they should stay in a processor's cache.
PIECE_BYTES = 1 << 20

#: Buffers that are kept for the next batches, and bytes of the largest of them.
BUFFERS_KEPT, LARGEST_KEPT = 8, 1 << 26


class BufferPool:
    """Memory for batches, used again as soon as nobody holds an array on it.

    Fresh memory must be paged in, which costs more than filling it with images.
    """

    def __init__(self):
        self._buffers = []

    def __getstate__(self):
        return {"_buffers": []}

    def empty(self, shape, dtype):
        """Return an array as numpy.empty does."""
        dtype = np.dtype(dtype)
        size = int(np.prod(shape)) * dtype.itemsize
        buffer = self._buffer(size) if size <= LARGEST_KEPT else np.empty(size, np.uint8)
        return buffer[:size].view(dtype).reshape(shape)

    def _buffer(self, size):
        for place in range(len(self._buffers)):
            # the list and the argument: arrays on a buffer hold further references to it
            fits = size <= self._buffers[place].nbytes <= 2 * size
            if fits and sys.getrefcount(self._buffers[place]) <= 2:
                return self._buffers[place]
        buffer = np.empty(size, np.uint8)
        self._buffers = [*self._buffers[1 - BUFFERS_KEPT :], buffer]
        return buffer


class Conversion:
    """From stored numbers to values.

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

    Notes
    -----
    value = stored / scale, divided in `dtype` where stored numbers and scale fit it exactly, else in float64.
    """

    def __init__(self, attributes, channels, dtype):
        channels = _as_slice(channels)
        self._first = attributes["dim_order"] == "channels_first"
        # a slice of a memory map is a view of it, a list would read all of it
        self._slice, self._list = (channels, None) if isinstance(channels, slice) else (slice(None), channels)
        stored = np.dtype(attributes["dtype"])
        self.dtype = stored if dtype is None else dtype
        self._divisor = self._wide = None
        scales = channel_scales(attributes)[channels]
        if dtype is None or (scales == 1).all():
            return
        scale = scales[0] if (scales == scales[0]).all() else scales
        digits = 8 * stored.itemsize if stored.kind in "iu" else np.finfo(stored).nmant
        exact = digits <= np.finfo(dtype).nmant + 1 and (np.asarray(scale, dtype) == scale).all()
        if exact and dtype != np.float16:
            self._divisor = np.asarray(scale, dtype)
        else:
            self._wide = np.asarray(scale, np.float64)

    def view(self, block):
        """Return a block of stored images as (n, x, y, channel), chosen channels only."""
        if self._first:
            block = np.moveaxis(block, -3, -1)
        return block[..., self._slice]

    def place(self, images, positions, block, rows):
        """Copy rows of a block to positions of the batch.

        images : array (n, x, y, channel)
        positions, rows : int array (n_rows,)
        """
        n = len(rows)
        if n > 1 and _consecutive(rows) and _consecutive(positions):
            step = max(1, PIECE_BYTES // images[0].nbytes)
            target, source = images[positions[0] : positions[0] + n], block[rows[0] : rows[0] + n]
            for first in range(0, n, step):
                self._place_piece(target[first : first + step], source[first : first + step])
        else:
            for position, row in zip(positions.tolist(), rows.tolist(), strict=True):
                self._place_piece(images[position], block[row])

    def _place_piece(self, target, source):
        if self._list is not None:
            source = source[..., self._list]
        if self._wide is not None:
            np.divide(source, self._wide, out=target, dtype=np.float64, casting="unsafe")
            return
        np.copyto(target, source, casting="unsafe")
        if self._divisor is not None:
            np.divide(target, self._divisor, out=target)


def _consecutive(values):
    return values[-1] - values[0] == len(values) - 1 and bool((np.diff(values) == 1).all())


def _as_slice(numbers):
    """Return a list of channel numbers as a slice where it is one, else as it is."""
    step = numbers[1] - numbers[0] if len(numbers) > 1 else 1
    if step < 1 or numbers != list(range(numbers[0], numbers[0] + step * len(numbers), step)):
        return numbers
    return slice(numbers[0], numbers[-1] + 1, step)


def channel_scales(attributes):
    """Return the stored counts per p.e. or ns of each channel, float array (n_channels,)."""
    names = channel_names(attributes)
    scales = {"charge": attributes["charge_scale"], "time": attributes["time_scale"]}
    return np.array([scales.get(name, 1.0) for name in names], np.float64)


def channel_names(attributes):
    """Return 'charge', 'time' or 'empty' for each channel."""
    n_channels = int(attributes["image_mode"][-2])
    second = "time" if "TIMING" in attributes["image_mode"] else "empty"
    return ["charge", second, "empty"][:n_channels]


def choose_channels(channels, names, path):
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


def check_stored_numbers(sources):
    """Raise DatasetError unless the stored numbers of all sources mean the same."""
    first = sources[0]
    for source in sources[1:]:
        for key in ("dtype", "charge_scale", "time_scale"):
            old, new = first.attributes[key], source.attributes[key]
            if old != new:
                raise DatasetError(
                    f"{source.path}: stored with {key} = {new}, {first.path} with {old}: dtype = None can't mix them"
                )


class SourceImages:
    """The images of a source, by telescope and row.

    Parameters
    ----------
    files : OpenFiles
    source : sample_index.Source
    conversion : Conversion
    """

    def __init__(self, files, source, conversion):
        self._files, self._source, self._conversion = files, source, conversion

    def fill(self, images, positions, tels, rows):
        """Read images[positions[i]] = image of telescope `tels[i]` of the source in row `rows[i]`.

        The arguments are sorted as :meth:`order` says.
        """
        if self._source.mapped:
            for tel in np.unique(tels).tolist():
                low, high = np.searchsorted(tels, [tel, tel + 1])
                self._fill_from_array(images, positions[low:high], tel, rows[low:high])
        else:
            self._fill_from_table(images, positions, tels, rows)

    def order(self, tels, rows):
        """Return the order in which images lie in the file."""
        return np.lexsort((rows, tels) if self._source.mapped else (tels, rows))

    def _fill_from_array(self, images, positions, tel, rows):
        array = self._files.rows(self._source.path, self._source.image_path(self._source.tel_ids[tel]))
        for part, block, first in array.blocks(rows):
            self._conversion.place(images, positions[part], self._conversion.view(block), rows[part] - first)

    def _fill_from_table(self, images, positions, tels, rows):
        table = self._files.rows(self._source.path, self._source.table_path)
        names = [row_types.image_name(tel_id) for tel_id in self._source.tel_ids]
        for part, block, first in table.blocks(rows):
            here = tels[part]
            for tel in np.unique(here).tolist():
                chosen = here == tel
                column = self._conversion.view(block[names[tel]])
                self._conversion.place(images, positions[part][chosen], column, rows[part][chosen] - first)
