"""Cameras resampled onto a square grid in true x and y: a sparse matrix per camera and method.

What each promises of a camera whose pixels hold charges q:

============  ==============================================================  ==========  ==========
method        a cell holds                                                    sum is kept flat stays
============  ==============================================================  ==========  ==========
oversampling  its share of the one pixel its centre is in                     yes         no
nearest       the charge of the pixel its centre is in                        no          yes
bilinear      the charge interpolated between the pixels around its centre    no          yes
bicubic       the same, with more pixels and weights that may be negative     no          yes
rebinning     of each pixel the part whose area it covers                     yes         yes
============  ==============================================================  ==========  ==========

Cells whose centre (rebinning: whose area) is in no pixel hold 0. Flat fields stay flat inside the camera: of
rebinning that is true of cells that lie in it whole.

Masks are the same under all of them: a cell holds the share of its area that kept pixels cover.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse

from . import cell_loops, cell_overlap, interpolation
from .lattice import FOLD

#: Cells whose weights are worked out at a time.
BLOCK_CELLS = 1 << 16

#: Oversampling gives a cell at a pixel's corner so much less of it than one at its centre.
EDGE_LOSS = 0.75

#: And to no cell less than this part of that, to keep the centre of gravity.
LEAST_SHARE = 0.1

#: Fewest cells per side.
LEAST_SIDE = 8

#: Interpolations of which pixels stand in the middle of cells, where the lattice lets them, to be broadened least.
CENTRED = ("bilinear", "bicubic")

#: Rounds of balancing the weights of pixels at the edge, and the most that balancing scales one by.
BALANCING_ROUNDS = 10
MOST_SCALING = 10

#: Cells that the pixels cover up to this are covered whole: positions in files are rounded, so that pixels overlap or
#: gape by a hair.
HAIR = 2e-3

#: Shares of pixels in cells are whole multiples of 1 / SHARE_UNITS, which float32 adds up without rounding.
SHARE_UNITS = 1 << 20


@dataclass(frozen=True, eq=False)
class ResampledGrid:
    """Square cells in the camera frame, and how much of each pixel they hold.

    Attributes
    ----------
    shape : tuple of int
        Cells along x and y.
    array_x, array_y : int array (n_pixels,)
        Cell that the centre of each pixel is in.
    cell_size : float
        Side of a cell [m].
    first_cell : tuple of float
        x and y of the centre of cell [0, 0] [m].
    charge_weights, time_weights : sparse array (n_cells, n_pixels)
        Cell [i, j] is row i * shape[1] + j. The weights of times are at least 0 and add up to 1, or to 0 without pixel.
    corners : float array (n_pixels, n_corners, 2)
        x and y of the corners of the pixels, counter-clockwise [m].
    angle : float
        0: axis 0 is the camera's x.
    """

    shape: tuple
    array_x: np.ndarray
    array_y: np.ndarray
    cell_size: float
    first_cell: tuple
    charge_weights: sparse.csr_array
    time_weights: sparse.csr_array
    corners: np.ndarray
    angle: float = 0.0

    #: Values must be mapped before they are rounded.
    is_lossless = False

    def arrays(self, charges):
        """Resample charges, float array (n_images, n_pixels), to arrays (n_images, n_x, n_y)."""
        return self._laid_out(charges, self._charge_entries)

    def time_arrays(self, peak_times):
        """Resample peak times: means of the pixels that a cell holds a part of, 0 where there is none."""
        return self._laid_out(peak_times, self._time_entries)

    def mask_arrays(self, masks):
        """Return how much of each cell's area pixels cover, 0 to 1, float32 array (n_images, n_x, n_y).

        masks : float or bool array (n_images, n_pixels), 1 for pixels that count, else 0
        """
        return self._laid_out(masks, self._mask_entries)

    def _laid_out(self, values, entries):
        arrays = _empty_lines(len(values), self.shape[0] * self.shape[1])
        cell_loops.blend(np.ascontiguousarray(values, np.float32), *entries, arrays)
        return arrays.reshape(-1, *self.shape)

    @cached_property
    def _charge_entries(self):
        return _entries(self.charge_weights)

    @cached_property
    def _time_entries(self):
        return _entries(self.time_weights)

    @cached_property
    def _mask_entries(self):
        origin = np.array(self.first_cell) - self.cell_size / 2
        return _entries(_compact(_covered(self.corners, origin, self.cell_size, self.shape[0])))

    def cell_positions(self):
        """Return x and y of the centres of all cells, float arrays (n_x, n_y) [m]."""
        x, y = (
            first + self.cell_size * np.arange(cells) for first, cells in zip(self.first_cell, self.shape, strict=True)
        )
        return tuple(np.meshgrid(x, y, indexing="ij"))

    def attributes(self):
        """Return what a reader needs to know the cells' positions (at scale_factor 1)."""
        x, y = self.first_cell
        return {"cell_size_m": self.cell_size, "first_cell_x_m": x, "first_cell_y_m": y}


def auto_shape(lattice):
    """Return the number of cells per side that suits a camera: every pixel has the centre of a cell in it.

    Hexagonal: twice its rows of pixels (of the three directions, the one with most rows), about 4.5 cells per
    pixel. Square: as many as pixels fit side by side into the camera, more where they stand aslant.
    """
    places = lattice.places
    if lattice.fold == 6:
        return max(LEAST_SIDE, 2 * int(np.ptp(np.column_stack([places, places.sum(axis=1)]), axis=0).max() + 1))
    size = np.ptp(lattice.corners.reshape(-1, 2), axis=0).max()
    width = lattice.half_widths.sum(axis=2).min()
    side = int(np.ceil(size / width * (abs(np.cos(lattice.angle)) + abs(np.sin(lattice.angle))) - 1e-6))
    return max(LEAST_SIDE, side)


def resample(lattice, method, shape="auto"):
    """Make the grid of a camera for a method that resamples.

    Parameters
    ----------
    lattice : Lattice
    method : str
        One of METHODS; 'oversampling' for hexagonal pixels only.
    shape : int or 'auto'
        Cells per side; see :func:`auto_shape`.

    Returns
    -------
    ResampledGrid
        The square around the camera; of hexagonal ones under CENTRED methods shifted by up to half a cell, so that the
        middle pixel stands in the middle of one.
    """
    side = auto_shape(lattice) if shape == "auto" else shape
    low, high = (extreme(lattice.corners.reshape(-1, 2), axis=0) for extreme in (np.min, np.max))
    size = (high - low).max() / side
    origin = (low + high - size * side) / 2
    if lattice.fold == 6 and method in CENTRED:
        middle = lattice.positions[np.argmin(np.hypot(*(lattice.positions - (low + high) / 2).T))]
        origin += _beside_middle((middle - origin) / size) * size
    cells = ((lattice.positions - origin) / size + 1e-9).astype(np.int64).clip(0, side - 1)
    charge, time = METHODS[method](lattice, origin, size, side)
    charge, time = _compact(charge), _compact(_means(time))
    first = tuple(float(edge + size / 2) for edge in origin)
    return ResampledGrid((side, side), *cells.T, float(size), first, charge, time, lattice.corners)


def _beside_middle(place):
    """Return how far places, in cells, are from the middle of theirs, -0.5 to 0.5."""
    return place - np.floor(place) - 0.5


def methods_for(pixel_shape):
    """Return the methods that make sense for 'hexagon', 'circle' or 'square' pixels."""
    # square pixels are cells as they are
    return [method for method in METHODS if FOLD[pixel_shape] == 6 or method != "oversampling"]


# -- the methods: (lattice, origin, size, side) to weights of charges and of times ---------------------------


def _nearest(lattice, origin, size, side):
    weights, _ = _by_cell(interpolation.constant, lattice, origin, size, side)
    return weights, weights


def _bilinear(lattice, origin, size, side):
    kernel = interpolation.linear_hexagonal if lattice.fold == 6 else interpolation.linear_square
    weights, edge = _by_cell(kernel, lattice, origin, size, side)
    weights = _balanced(weights, edge, lattice.areas / size**2)
    return weights, weights


def _bicubic(lattice, origin, size, side):
    # times: weights below 0 would carry a mean beyond the times it is made of, so they are the bilinear ones
    _, times = _bilinear(lattice, origin, size, side)
    kernel = interpolation.cubic_hexagonal if lattice.fold == 6 else interpolation.cubic_square
    return _by_cell(kernel, lattice, origin, size, side)[0], times


def _rebinning(lattice, origin, size, side):
    pixel, i, j, area = cell_overlap.with_cells(lattice.corners, origin, size, side)
    weights = sparse.csr_array((area, (i * side + j, pixel)), (side**2, len(lattice.positions)))
    weights.data /= weights.sum(axis=0)[weights.indices]
    return weights, weights


def _oversampling(lattice, origin, size, side):
    """Share each pixel among the cells whose centres are in it.

    Cells near the pixel's edge get less than those near its centre, because equal shares broaden an image more.
    """
    cell, pixel = _nearest(lattice, origin, size, side)[0].nonzero()
    without = np.setdiff1d(np.arange(len(lattice.positions)), pixel)  # with a coarse shape
    i, j = ((lattice.positions[without] - origin) / size).astype(np.int64).clip(0, side - 1).T
    cell, pixel = np.concatenate([cell, i * side + j]), np.concatenate([pixel, without])
    offsets = (_centres(cell, origin, size, side) - lattice.positions[pixel]) / (lattice.pitch / np.sqrt(3))
    weights = sparse.csr_array((_shares(offsets, pixel), (cell, pixel)), (side**2, len(lattice.positions)))
    return weights, weights


def _shares(offsets, pixel):
    """Return the shares of cells in their pixels that keep the pixels' centres of gravity.

    They are s (1 + a . (r - mean of r)), where s goes as 1 - EDGE_LOSS r^2 and adds up to 1 in a pixel, and `a` is
    what moves their mean to the pixel's centre; held back where a share would become too small.

    offsets : float array (n_cells, 2)
        r, from the pixel's centre in units of the distance of its corners.
    pixel : int array (n_cells,)
    """
    share = 1 - EDGE_LOSS * (offsets**2).sum(axis=1).clip(0, 1)
    share /= np.bincount(pixel, share)[pixel]
    mean = np.column_stack([np.bincount(pixel, share * offsets[:, axis]) for axis in range(2)])
    offsets = offsets - mean[pixel]
    spread = [[np.bincount(pixel, share * offsets[:, a] * offsets[:, b]) for a in range(2)] for b in range(2)]
    slope = -(np.linalg.pinv(np.moveaxis(spread, -1, 0), rcond=1e-6, hermitian=True) @ mean[..., np.newaxis])[..., 0]
    change = (offsets * slope[pixel]).sum(axis=1)
    lowest = np.zeros(len(mean))
    np.minimum.at(lowest, pixel, change)
    damping = np.minimum(1, (1 - LEAST_SHARE) / np.maximum(-lowest, 1e-9))
    return share * (1 + damping[pixel] * change)


METHODS = {
    "oversampling": _oversampling,
    "nearest": _nearest,
    "bilinear": _bilinear,
    "bicubic": _bicubic,
    "rebinning": _rebinning,
}


def _covered(corners, origin, size, side):
    """Return the shares of cells' areas that are in pixels, sparse array (n_cells, n_pixels).

    They add up to 1 at most, and to exactly that in cells within the camera, in whatever order they are added.
    """
    pixel, i, j, area = cell_overlap.with_cells(corners, origin, size, side)
    cell = i * side + j
    order = np.lexsort((area, cell))
    pixel, cell, area = pixel[order], cell[order], area[order]
    covered = np.bincount(cell, area, side**2)
    is_whole = covered > 1 - HAIR
    units = np.rint(SHARE_UNITS * area / np.where(is_whole, covered, 1)[cell])
    missing = np.where(is_whole, SHARE_UNITS - np.bincount(cell, units, side**2), 0)
    largest = np.flatnonzero(np.diff(cell, append=-1))
    units[largest] += missing[cell[largest]]
    return sparse.csr_array((units / SHARE_UNITS, (cell, pixel)), (side**2, len(corners)))


def _means(weights):
    """Scale each row to a sum of 1."""
    return sparse.csr_array(sparse.diags_array(_inverse(weights.sum(axis=1))) @ weights)


def _inverse(values):
    """Return 1 / values, 0 where they are not above 0."""
    return np.divide(1, values, out=np.zeros_like(values), where=values > 0)


def _compact(weights):
    """Return weights in as little memory as will do: what a product reads is what it takes."""
    indices, indptr = weights.indices.astype(np.int32), weights.indptr.astype(np.int32)
    return sparse.csr_array((weights.data.astype(np.float32), indices, indptr), weights.shape)


def _empty_lines(n_images, n_cells):
    """Return an unset float32 array that begins with a line of the processor's cache, to be written in whole lines."""
    line = 64 // np.dtype(np.float32).itemsize
    memory = np.empty(n_images * n_cells + line, np.float32)
    start = -(memory.ctypes.data // memory.itemsize) % line
    return memory[start : start + n_images * n_cells].reshape(n_images, n_cells)


def _entries(weights):
    """Return a sparse array as :func:`cell_loops.blend` takes it: first entries of groups of cells, pixels, weights."""
    n_cells, n_pixels = weights.shape
    start = np.minimum(np.arange(0, n_cells, cell_loops.TILE), n_cells - cell_loops.TILE)
    cells = (start[:, np.newaxis] + np.arange(cell_loops.TILE)).reshape(-1, cell_loops.GROUP)
    n_entries = np.diff(weights.indptr)
    n_rows = n_entries[cells].max(axis=1)
    first = np.concatenate([[0], np.cumsum(n_rows)])
    cells = np.repeat(cells, n_rows, axis=0)
    row = (np.arange(first[-1]) - np.repeat(first[:-1], n_rows))[:, np.newaxis]
    # cells with fewer entries than others get more, of weight 0 and their own pixels: no NaN comes from elsewhere
    place = np.minimum(weights.indptr[cells] + np.clip(row, 0, n_entries[cells] - 1), weights.nnz - 1)
    pixel = np.where(n_entries[cells] > 0, weights.indices[place], n_pixels)
    weight = np.where(row < n_entries[cells], weights.data[place], np.float32(0))
    return (first * cell_loops.GROUP).astype(np.uint32), pixel.ravel().astype(np.uint32), weight.ravel()


def _centres(cell, origin, size, side):
    return origin + (np.column_stack(np.divmod(cell, side)) + 0.5) * size


# -- the matrix of an interpolation --------------------------------------------------------------------------


def _by_cell(kernel, lattice, origin, size, side):
    """Make the matrix of a kernel of interpolation, and mark the cells at the edge: those that lack a pixel.

    Where a place holds no pixel, its weight goes to the pixel that the cell is in: the edge does not fade.
    """
    blocks, edge = [], np.zeros(side**2, bool)
    for start in range(0, side**2, BLOCK_CELLS):
        cell = np.arange(start, min(start + BLOCK_CELLS, side**2))
        own, points = lattice.locate(_centres(cell, origin, size, side))
        row = np.flatnonzero(own >= 0)
        places, weights = kernel(points[row])
        pixel = lattice.pixel_at(places)
        edge[start + row] = (pixel < 0).any(axis=1)
        pixel = np.where(pixel >= 0, pixel, own[row, np.newaxis])
        rows = np.broadcast_to(row[:, np.newaxis], pixel.shape)
        block = (weights.ravel(), (rows.ravel(), pixel.ravel()))
        blocks.append(sparse.csr_array(block, (len(cell), len(lattice.positions))))
    weights = sparse.vstack(blocks, format="csr")
    weights.data[np.abs(weights.data) < 1e-9] = 0  # of points that coincide with pixels
    weights.eliminate_zeros()
    return weights, edge


def _balanced(weights, edge, wanted):
    """Scale pixels and cells by turns, until the rows of edge cells add up to 1 and each pixel to about what is wanted.

    Where the camera cuts a pixel's surroundings, it depends on a few cells' centres being in or out how much a pixel
    adds to an image. R. Sinkhorn, P. Knopp, Pacific J. Math. 21 (1967) 343; held back, since a pixel may have no cells.

    edge : bool array (n_cells,)
    wanted : float array (n_pixels,), sums of columns
    """
    at_edge = sparse.diags_array(edge.astype(float)) @ weights
    within = weights - at_edge
    wanted = wanted - within.sum(axis=0)
    of_pixel = np.ones(len(wanted))
    for _ in range(BALANCING_ROUNDS):
        of_cell = _inverse(at_edge @ of_pixel)
        of_pixel = np.clip(wanted * _inverse(at_edge.T @ of_cell), 1 / MOST_SCALING, MOST_SCALING)
    of_cell = _inverse(at_edge @ of_pixel)
    return sparse.csr_array(within + sparse.diags_array(of_cell) @ at_edge @ sparse.diags_array(of_pixel))
