"""Pixel vectors to square arrays: pure functions on NumPy arrays, and where each pixel goes.

An array is image[x, y]: axis 0 grows with the pixels' x, axis 1 with their y, in the camera frame.
Everything about a camera comes from its geometry; none is known by name.
"""

from dataclasses import dataclass

import numpy as np

#: Lattice directions around a pixel: a hexagonal lattice repeats every 60 degrees, a square one every 90.
FOLD = {"hexagon": 6, "circle": 6, "square": 4}

#: Two directions closer to each other than this are one: a tie goes to the positive angle.
TIE = np.radians(0.5)


@dataclass(frozen=True, eq=False)
class PixelGrid:
    """Where the pixels of a camera stand in its array.

    Attributes
    ----------
    shape : tuple of int
        Cells along x and y.
    array_x, array_y : int array (n_pixels,)
        Cell of each pixel.
    angle : float
        Angle from the camera's +x to axis 0 of the array [rad].
    """

    shape: tuple
    array_x: np.ndarray
    array_y: np.ndarray
    angle: float

    def arrays(self, values):
        """Lay pixel vectors out on the grid, all at once.

        values : array (n_images, n_pixels)
        returns : array (n_images, n_x, n_y) of the same dtype; 0 where the camera has no pixel
        """
        arrays = np.zeros((len(values), self.shape[0] * self.shape[1]), values.dtype)
        arrays[:, self.array_x * self.shape[1] + self.array_y] = values
        return arrays.reshape(-1, *self.shape)


def pixel_grid(geometry, mapping="shifting"):
    """Make the lossless grid of a camera: one cell per pixel.

    Parameters
    ----------
    geometry : ctapipe CameraGeometry
        Only read, never changed.
    mapping : str
        For hexagonal cameras. 'shifting': rows of pixels stay rows, every second one moves by half a
        pixel; 'axial': the two lattice directions nearest to x and y become the axes.

    Raises
    ------
    ValueError
        If the pixels are on no regular lattice, so that two would share a cell.
    """
    x = np.asarray(geometry.pix_x.to_value("m"), dtype=np.float64)
    y = np.asarray(geometry.pix_y.to_value("m"), dtype=np.float64)
    fold = FOLD[geometry.pix_type.value]
    pitch, pairs = _neighbours(x, y)
    angle = _lattice_angle(x, y, pairs, fold)
    if fold == 4:
        column, row = (_rank(values, 0.5 * pitch) for values in _rotated(x, y, angle))
    else:
        column, row = _hexagon_indices(x, y, angle, pairs, mapping)
    column, row = column - column.min(), row - row.min()
    shape = int(column.max()) + 1, int(row.max()) + 1
    if len(np.unique(column * shape[1] + row)) != len(x):
        raise ValueError(f"camera {geometry.name}: its pixels are on no regular {geometry.pix_type.value} lattice")
    return PixelGrid(shape, column, row, angle)


def _neighbours(x, y):
    """Return the usual distance of neighbours and the pairs of pixels that touch, int array (n_pairs, 2)."""
    if len(x) < 2:
        return 0.0, np.empty((0, 2), int)
    from scipy.spatial import cKDTree  # here, because readers of datasets import this room too

    tree = cKDTree(np.column_stack([x, y]))
    pitch = np.median(tree.query(tree.data, k=2)[0][:, 1])
    return pitch, tree.query_pairs(1.3 * pitch, output_type="ndarray")


def _lattice_angle(x, y, pairs, fold):
    """Return the angle [rad] of the lattice direction nearest to +x."""
    if not len(pairs):
        return 0.0
    first, second = pairs.T
    directions = np.arctan2(y[second] - y[first], x[second] - x[first])
    angle = np.angle(np.exp(1j * fold * directions).mean()) / fold
    return float(angle + 2 * np.pi / fold if angle < -np.pi / fold + TIE else angle) + 0.0  # never -0.0


def _rank(values, limit):
    """Number groups of (nearly) equal values from 0; gaps between modules do not count.

    Columns of curved cameras bend by a hair, far less than `limit`, half a pixel.
    """
    order = np.argsort(values, kind="stable")
    rank = np.empty(len(values), dtype=np.int64)
    rank[order] = np.cumsum(np.diff(values[order], prepend=values.min()) > limit)
    return rank


def _hexagon_indices(x, y, angle, pairs, mapping):
    """Return column and row of hexagonal pixels in the array."""
    along, across = _lattice_coordinates(x, y, angle, pairs)
    if mapping == "axial":
        # Axis 1 is the lattice direction nearest to +y: 120 degrees from axis 0, or 60 if that is nearer.
        return (along, across) if angle < TIE else (along - across, across)
    rows = across - across.min()
    # every second row moves half a pixel down or up in x: the narrower array has fewer empty cells
    return min((along - (rows + 1) // 2, along - rows // 2), key=np.ptp), rows


def _lattice_coordinates(x, y, angle, pairs):
    """Return integer coordinates along lattice directions at `angle` and `angle` + 120 degrees.

    The lattice vectors are fitted to all pixels, so that small gaps between modules do not add up.
    """
    u, v = _rotated(x, y, angle)
    if not len(pairs):
        return np.zeros(len(u), np.int64), np.zeros(len(u), np.int64)
    pitch = np.hypot(*(np.column_stack([u, v])[pairs[:, 1]] - np.column_stack([u, v])[pairs[:, 0]]).T).mean()
    height = pitch * np.sqrt(3) / 2
    start = np.argmin(np.hypot(u - u.mean(), v - v.mean()))
    for _ in range(5):
        across = np.rint((v - v[start]) / height)
        along = np.rint((u - u[start]) / pitch + 0.5 * across)
        pitch, height = _fitted(along - 0.5 * across, u, pitch), _fitted(across, v, height)
    return along.astype(np.int64), across.astype(np.int64)


def _fitted(index, position, step):
    """Return the step that fits positions to indices best; the given one where there is only one index."""
    index = index - index.mean()
    return index @ (position - position.mean()) / (index @ index) if index.any() else step


def _rotated(x, y, angle):
    cos, sin = np.cos(angle), np.sin(angle)
    return x * cos + y * sin, y * cos - x * sin


# -- channels and stored numbers ------------------------------------------------------------------


def n_channels(mode):
    """Return the number of channels of an image mode such as 'PIXELS_TIMING_3C'."""
    return int(mode[-2])


def has_timing(mode):
    """Say whether channel 1 of an image mode is the peak time."""
    return "TIMING" in mode


def array_shape(grid, image):
    """Return the shape of one stored array; `image` is the [image] section of the settings."""
    size = tuple(cells * image["scale_factor"] for cells in grid.shape)
    channels = n_channels(image["mode"])
    return (channels, *size) if image["dim_order"] == "channels_first" else (*size, channels)


def encode(values, dtype, scale):
    """Turn values into stored numbers: round(value * scale) for integers, the value itself for floats.

    values : float array, p.e. or ns
    returns : array of `dtype`, and a bool array that marks what did not fit and was clipped. Negative
        values become 0 in unsigned dtypes, as in the first version; that is not counted as clipped.
    """
    dtype = np.dtype(dtype)
    if dtype.kind == "f":
        return values.astype(dtype, copy=False), np.zeros(values.shape, bool)
    limits = np.iinfo(dtype)
    # float64, because float32 has too few digits for uint32 and for exact halves
    stored = np.rint(np.nan_to_num(values, nan=0.0).astype(np.float64) * scale)
    clipped = stored > limits.max
    if dtype.kind == "i":
        clipped |= stored < limits.min
    return np.clip(stored, limits.min, limits.max).astype(dtype), clipped


def make_images(charges, peak_times, grid, image):
    """Make the stored arrays of one telescope's images.

    Parameters
    ----------
    charges, peak_times : float array (n_images, n_pixels)
        Photo-electrons and ns, in the camera's pixel order; peak_times is ignored without TIMING.
    grid : PixelGrid
    image : dict
        The [image] section of the settings.

    Returns
    -------
    images : array (n_images, *array_shape(grid, image))
    n_clipped : int array (n_images,)
        Pixels of each image in which a value did not fit the dtype.
    """
    channels = [encode(charges, image["dtype"], image["charge_scale"])]
    if has_timing(image["mode"]):
        channels.append(encode(peak_times, image["dtype"], image["time_scale"]))
    first = image["dim_order"] == "channels_first"
    images = np.zeros((len(charges), *array_shape(grid, image)), image["dtype"])
    for channel, (stored, _) in enumerate(channels):
        target = images[:, channel] if first else images[..., channel]
        target[...] = _enlarged(grid.arrays(stored), image["scale_factor"])
    clipped = np.logical_or.reduce([marks for _, marks in channels])
    return images, clipped.sum(axis=1)


def _enlarged(arrays, factor):
    return arrays if factor == 1 else arrays.repeat(factor, axis=1).repeat(factor, axis=2)
