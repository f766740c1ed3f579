"""Pixel vectors to square arrays: pure functions on NumPy arrays, and where each pixel goes.

An array is image[x, y]: axis 0 grows with the pixels' x, axis 1 with their y, in the camera frame.
Everything about a camera comes from its geometry; none is known by name.
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np

from ..errors import ConfigError, InputError
from ..image_scales import has_mask, scales
from . import cell_loops, resampling
from .lattice import TIE, find_lattice
from .methods import LOSSLESS


@dataclass(frozen=True, eq=False)
class PixelGrid:
    """Where the pixels of a camera stand in its array, each in a cell of its own.

    Attributes
    ----------
    shape : tuple of int
        Cells along x and y.
    array_x, array_y : int array (n_pixels,)
        Cell of each pixel.
    angle : float
        Angle from the camera's +x to axis 0 of the array [rad].
    pix_x, pix_y : float array (n_pixels,)
        Positions of the pixels [m].
    """

    shape: tuple
    array_x: np.ndarray
    array_y: np.ndarray
    angle: float
    pix_x: np.ndarray
    pix_y: np.ndarray

    #: Values may be rounded before they are mapped.
    is_lossless = True

    def arrays(self, values):
        """Lay pixel vectors out on the grid, all at once.

        values : array (n_images, n_pixels)
        returns : array (n_images, n_x, n_y) of the same dtype; 0 where the camera has no pixel
        """
        arrays = np.empty((len(values), self.shape[0] * self.shape[1]), values.dtype)
        values = np.ascontiguousarray(values)
        if self._rows is None:
            cell_loops.place(values, self._cell, arrays)
        else:
            cell_loops.place_rows(values, self._rows, arrays)
        return arrays.reshape(-1, *self.shape)

    @cached_property
    def _cell(self):
        return (self.array_x * self.shape[1] + self.array_y).astype(np.uint32)

    @cached_property
    def _rows(self):
        """First pixel of each ROW cells, -1 if there is none; None where pixels don't come in such rows of modules."""
        n_cells, row = self.shape[0] * self.shape[1], cell_loops.ROW
        pixel = np.full(-(-n_cells // row) * row, -1, np.int32)
        pixel[self._cell] = np.arange(len(self._cell))
        pixel = pixel.reshape(-1, row)
        is_row = (np.diff(pixel, axis=1) == 1).all(axis=1) | (pixel < 0).all(axis=1)
        return np.ascontiguousarray(pixel[:, 0]) if is_row.all() and n_cells % row == 0 else None

    #: Peak times and masks are laid out like charges.
    time_arrays = mask_arrays = arrays

    def cell_positions(self):
        """Return x and y of the pixel in each cell, float arrays (n_x, n_y) [m]; NaN where the camera has none."""
        x, y = np.full((2, *self.shape), np.nan)
        x[self.array_x, self.array_y], y[self.array_x, self.array_y] = self.pix_x, self.pix_y
        return x, y

    def attributes(self):
        """Return what a reader needs besides to know the cells' positions: nothing, they are the pixels'."""
        return {}


def pixel_grid(geometry, mapping="shifting", shape="auto"):
    """Make the grid of a camera, once per process.

    Parameters
    ----------
    geometry : ctapipe CameraGeometry
        Only read, never changed.
    mapping : str
        For hexagonal cameras. 'shifting': rows of pixels stay rows, every second one moves by half a
        pixel; 'axial': the two lattice directions nearest to x and y become the axes. Square cameras are
        the same under both. Or one of ``resampling.METHODS``.
    shape : int or 'auto'
        Cells per side, for the methods that resample.

    Returns
    -------
    PixelGrid or resampling.ResampledGrid

    Raises
    ------
    ConfigError
        If the mapping makes no sense for the camera's pixels.
    InputError
        If they are on no regular lattice, so that two would share a cell; also of a damaged file.
    """
    pixel_shape = geometry.pix_type.value
    suitable = [*LOSSLESS, *resampling.methods_for(pixel_shape)]
    if mapping not in suitable:
        raise ConfigError(
            f"[image] mapping = {mapping}: camera {geometry.name} has {pixel_shape} pixels: "
            f"must be one of {', '.join(suitable)}: give it one of its own, {geometry.name} = {LOSSLESS[0]} in "
            "[image] [[mapping_of]], or leave it out with [telescope] type_mode"
        )
    x, y = (np.asarray(values.to_value("m"), dtype=np.float64) for values in (geometry.pix_x, geometry.pix_y))
    area = float(np.median(geometry.pix_area.to_value("m2")))
    try:
        return _grid(x.tobytes(), y.tobytes(), pixel_shape, area, mapping, shape)
    except ValueError as err:
        raise InputError(f"camera {geometry.name}: {err}: leave it out with [telescope] type_mode") from err


@lru_cache(maxsize=32)
def _grid(x, y, pixel_shape, area, mapping, shape):
    lattice = find_lattice(np.frombuffer(x), np.frombuffer(y), pixel_shape, area)
    return _lossless(lattice, mapping) if mapping in LOSSLESS else resampling.resample(lattice, mapping, shape)


def _lossless(lattice, mapping):
    column, row = lattice.places.T
    if lattice.fold == 6:
        column, row = _hexagon_indices(column, row, lattice.angle, mapping)
    column, row = column - column.min(), row - row.min()
    shape = int(column.max()) + 1, int(row.max()) + 1
    return PixelGrid(shape, column, row, lattice.angle, *lattice.positions.T)


def _hexagon_indices(column, row, angle, mapping):
    """Return column and row in the array of the pixels at these steps along lattice directions 60 degrees apart."""
    if mapping == "axial":
        # Axis 1 is the lattice direction nearest to +y: 120 degrees from axis 0, or 60 if that is nearer.
        return (column + row, row) if angle < TIE else (column, row)
    rows = row - row.min()
    # every second row moves half a pixel down or up in x: the narrower array has fewer empty cells
    column = column + row
    return min((column - (rows + 1) // 2, column - rows // 2), key=np.ptp), rows


# -- channels and stored numbers ------------------------------------------------------------------


def n_channels(mode):
    """Return the number of channels of an image mode such as 'PIXELS_TIMING_3C'."""
    return int(mode[-2])


def has_timing(mode):
    """Say whether channel 1 of an image mode is the peak time."""
    return "TIMING" in mode


def needs_masks(image_settings):
    """Say whether images are made with the masks of a cleaning; `image_settings` are the section [image]."""
    return has_mask(image_settings["mode"]) or image_settings["cleaned"]


def array_shape(grid, image_settings):
    """Return the shape of one stored array; `image_settings` are the section [image] of the settings."""
    size = tuple(cells * image_settings["scale_factor"] for cells in grid.shape)
    channels = n_channels(image_settings["mode"])
    return (channels, *size) if image_settings["dim_order"] == "channels_first" else (*size, channels)


class PixelCounts(NamedTuple):
    """Pixels of images that could not be stored as they are; cells (of scale_factor 1) where the mapping resamples.

    Because there it is the cells' values that are rounded. Int arrays (n_images,).

    Attributes
    ----------
    clipped : charge or time did not fit the dtype, apart from what is below 0 in an unsigned one
    negative : charge below 0, stored as 0 by an unsigned dtype
    negative_time : the same of the peak time
    not_finite : charge or time is not finite; 0 in integer dtypes
    """

    clipped: np.ndarray
    negative: np.ndarray
    negative_time: np.ndarray
    not_finite: np.ndarray


#: Marks of pixels for each of these; numbers in a channel have the first, second or last one.
_MARKS = PixelCounts(cell_loops.CLIPPED, cell_loops.NEGATIVE, cell_loops.NEGATIVE << 1, cell_loops.NOT_FINITE)


def encode(values, dtype, scale):
    """Turn values into stored numbers: round(value * scale) for integers, the value itself for floats.

    values : float array, p.e. or ns
    returns : array of `dtype`, and a uint8 array that marks what was not stored as it is: `cell_loops.CLIPPED`,
        NEGATIVE (0 in an unsigned dtype) or NOT_FINITE (0 in integers).
    """
    dtype = np.dtype(dtype)
    if dtype.kind == "f":
        return values.astype(dtype, copy=False), np.where(np.isfinite(values), 0, cell_loops.NOT_FINITE).astype(
            np.uint8
        )
    low, high = float(np.iinfo(dtype).min), float(np.iinfo(dtype).max)
    values = np.ascontiguousarray(values)
    stored, marks = np.empty(values.shape, dtype), np.empty(values.shape, np.uint8)
    cell_loops.round_off(values.ravel(), float(scale), low, high, stored.ravel(), marks.ravel())
    return stored, marks


def make_images(charges, peak_times, grid, image_settings, masks=None):
    """Make the stored arrays of one telescope's images.

    Parameters
    ----------
    charges, peak_times : float array (n_images, n_pixels)
        Photo-electrons and ns, in the camera's pixel order; peak_times is ignored without TIMING.
    grid : PixelGrid or ResampledGrid
    image_settings : dict
        The section [image] of the settings.
    masks : bool array (n_images, n_pixels), optional
        Pixels that the cleaning keeps: for a channel of its own, 1 (in the dtype's scale) in their cells or, where the
        mapping resamples, the share of a cell's area that they cover; or to leave out all others as ``cleaned`` asks.

    Returns
    -------
    images : array (n_images, *array_shape(grid, image_settings))
    counts : PixelCounts
        Without what ``cleaned`` left out.

    Raises
    ------
    ValueError
        If the settings need masks and there are none, or none of these images.
    """
    dtype, per = image_settings["dtype"], scales(image_settings)
    if needs_masks(image_settings):
        _check_masks(masks, charges)
    if image_settings["cleaned"]:
        charges, peak_times = (_cleaned(values, masks) for values in (charges, peak_times))
    arrays, marks = _stored(charges, grid.arrays, grid, dtype, per["charge_scale"])
    channels = [arrays]
    if has_timing(image_settings["mode"]):
        arrays, of_times = _stored(peak_times, grid.time_arrays, grid, dtype, per["time_scale"])
        of_times[of_times == _MARKS.negative] = _MARKS.negative_time
        channels.append(arrays)
        marks = marks | of_times
    if has_mask(image_settings["mode"]):
        shares, _ = _stored(masks.astype(np.float32), grid.mask_arrays, grid, dtype, per["mask_scale"])
        channels.append(shares)
    images = np.zeros((len(charges), *array_shape(grid, image_settings)), image_settings["dtype"])
    for target, arrays in zip(_channels(images, grid, image_settings), channels, strict=False):
        target[...] = _widened(arrays, image_settings["scale_factor"])[:, :, np.newaxis]
    marks = marks.reshape(len(charges), -1)
    return images, PixelCounts(*(np.count_nonzero(marks & mark, axis=1) for mark in _MARKS))


def _check_masks(masks, charges):
    if masks is None:
        raise ValueError("masks: [image] mode with MASK and cleaned = True need the pixels that the cleaning keeps")
    if masks.dtype != bool or masks.shape != charges.shape:
        raise ValueError(f"masks: {masks.dtype} {masks.shape}, must be bool {charges.shape} as the charges are")


def _cleaned(values, masks):
    return None if values is None else np.where(masks, values, values.dtype.type(0))


def _stored(values, lay_out, grid, dtype, scale):
    """Return arrays of stored numbers, and the marks of what was not stored as it is."""
    if grid.is_lossless:  # there are fewer pixels than cells
        stored, marks = encode(values, dtype, scale)
        return lay_out(stored), marks
    return encode(lay_out(values), dtype, scale)


def _channels(images, grid, image_settings):
    """Return views of the channels of stored arrays, (n_images, n_x, scale_factor, scale_factor * n_y) each."""
    rows = grid.shape[0], image_settings["scale_factor"], grid.shape[1] * image_settings["scale_factor"]
    if image_settings["dim_order"] == "channels_first":
        return np.moveaxis(images.reshape(len(images), -1, *rows), 1, 0)
    return np.moveaxis(images.reshape(len(images), *rows, -1), -1, 0)


def _widened(arrays, factor):
    return arrays if factor == 1 else arrays.repeat(factor, axis=2)
