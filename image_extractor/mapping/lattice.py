"""The lattice of a camera's pixels, found from their positions alone: directions, spacing, each pixel's place.

Nothing is known by a camera's name, and its stated rotation is not used: the positions say it all.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.spatial import cKDTree

#: Lattice directions around a pixel: a hexagonal lattice repeats every 60 degrees, a square one every 90.
FOLD = {"hexagon": 6, "circle": 6, "square": 4}

#: Two directions closer to each other than this are one: a tie goes to the positive angle.
TIE = np.radians(0.5)

#: Neighbours further apart than this, in pitches, have a gap between them that belongs to no pixel.
WIDE_GAP = 1.5

#: Pixels reach this much further than half their pitch, so that no crack opens between those of a curved camera.
TOLERANCE = 0.02

#: Corners of a hexagonal pixel in lattice coordinates (directions at 0 and 60 degrees), counter-clockwise.
HEXAGON = np.array([(1, 1), (-1, 2), (-2, 1), (-1, -1), (1, -2), (2, -1)]) / 3


@dataclass(frozen=True, eq=False)
class Lattice:
    """Pixels and their places on a lattice.

    Attributes
    ----------
    positions : float array (n_pixels, 2)
        x and y of the pixels [m].
    fold : int
        6 (hexagonal) or 4 (square).
    pitch : float
        Usual distance of neighbours [m].
    angle : float
        Angle from +x to the lattice direction nearest to it [rad].
    places : int array (n_pixels, 2)
        Steps of each pixel along the lattice directions at `angle` and 60 (hexagonal) or 90 degrees further.
        Gaps between the modules of square pixels are no steps.
    vectors : float array (2, 2)
        A step along each of the two, in rows [m].
    """

    positions: np.ndarray
    fold: int
    pitch: float
    angle: float
    places: np.ndarray
    vectors: np.ndarray

    @cached_property
    def _table(self):
        """Pixel by place, -1 where there is none, and the place of its first entry."""
        first = self.places.min(axis=0) - 1
        table = np.full(self.places.max(axis=0) - first + 2, -1, np.int32)
        table[tuple((self.places - first).T)] = np.arange(len(self.places))
        return table, first

    def pixel_at(self, places):
        """Return the pixel at each place, -1 where there is none; places : int array (..., 2)."""
        table, first = self._table
        i, j = np.moveaxis(places - first, -1, 0)
        # beyond the table is as good as its empty rim
        return table[np.clip(i, 0, table.shape[0] - 1), np.clip(j, 0, table.shape[1] - 1)]

    @cached_property
    def _steps(self):
        """Distances to the next square pixel of row and column, float array (n_pixels, axis, side) [m]."""
        along = self.positions @ _axes(self.angle).T
        steps = np.full((len(along), 2, 2), self.pitch)
        for axis in range(2):
            for side, sign in enumerate((-1, 1)):
                neighbour = self.pixel_at(self.places + sign * np.eye(2, dtype=int)[axis])
                known = neighbour >= 0
                steps[known, axis, side] = sign * (along[neighbour[known], axis] - along[known, axis])
        return steps

    @cached_property
    def half_widths(self):
        """How far square pixels reach from their centres, float array (n_pixels, axis, side) [m].

        Half the way to the neighbour: small gaps between modules are shared out, wide ones are left empty.
        """
        return np.where(self._steps < WIDE_GAP * self.pitch, self._steps, self.pitch) / 2

    @cached_property
    def corners(self):
        """Corners of the pixels, counter-clockwise, float array (n_pixels, n_corners, 2) [m]."""
        if self.fold == 6:
            return self.positions[:, np.newaxis] + HEXAGON @ self.vectors
        low, high = np.moveaxis(self.half_widths * (-1, 1), -1, 0)
        offsets = np.stack([low, np.stack([high[:, 0], low[:, 1]], 1), high, np.stack([low[:, 0], high[:, 1]], 1)], 1)
        return self.positions[:, np.newaxis] + offsets @ _axes(self.angle)

    @cached_property
    def areas(self):
        """Areas of the pixels, float array (n_pixels,) [m2]."""
        (x, y), (next_x, next_y) = (np.moveaxis(np.roll(self.corners, -step, axis=1), -1, 0) for step in (0, 1))
        return (x * next_y - y * next_x).sum(axis=1) / 2

    def locate(self, points):
        """Find the pixels that points are in.

        points : float array (n, 2), x and y [m]
        returns : int array (n,), the pixel, -1 outside of all of them; and float array (n, 2), the points in
            lattice coordinates, whole numbers at the centres of pixels
        """
        return self._locate_in_hexagons(points) if self.fold == 6 else self._locate_in_squares(points)

    @cached_property
    def _tree(self):
        return cKDTree(self.positions)

    def _locate_in_hexagons(self, points):
        pixel = self._tree.query(points)[1]
        offset = (points - self.positions[pixel]) @ np.linalg.inv(self.vectors)
        q, r = offset.T
        reach = np.abs([2 * q + r, q + 2 * r, q - r]).max(axis=0)  # 1 on the edge of the hexagon
        return np.where(reach <= 1 + TOLERANCE, pixel, -1), self.places[pixel] + offset

    def _locate_in_squares(self, points):
        # the pixel that a point is in need not be the nearest one where gaps make pixels oblong
        n_near = min(5, len(self.positions))
        near = self._tree.query(points, k=n_near)[1].reshape(len(points), n_near)
        offset = (points[:, np.newaxis] - self.positions[near]) @ _axes(self.angle).T
        side = (offset > 0).astype(int)
        axis = np.arange(2)
        reach = np.abs(offset) / self.half_widths[near[..., np.newaxis], axis, side]
        best = reach.max(axis=2).argmin(axis=1)
        rows = np.arange(len(points))
        pixel, offset, side = near[rows, best], offset[rows, best], side[rows, best]
        inside = reach[rows, best].max(axis=1) <= 1 + TOLERANCE
        fraction = offset / self._steps[pixel[:, np.newaxis], axis, side]
        return np.where(inside, pixel, -1), self.places[pixel] + fraction


def find_lattice(x, y, pixel_shape, area):
    """Find the lattice that pixels are on.

    Parameters
    ----------
    x, y : float array (n_pixels,)
        Pixel positions [m].
    pixel_shape : str
        'hexagon', 'circle' (taken as hexagonal) or 'square'.
    area : float
        Usual area of a pixel [m2]; it tells the pitch of a camera of a single pixel.

    Returns
    -------
    Lattice

    Raises
    ------
    ValueError
        If the pixels are on no regular lattice, so that two would share a place.
    """
    fold = FOLD[pixel_shape]
    pitch, pairs = _neighbours(x, y)
    pitch = pitch or np.sqrt(area * (2 / np.sqrt(3) if fold == 6 else 1))
    angle = _lattice_angle(x, y, pairs, fold)
    if fold == 4:
        places = np.column_stack([_rank(values, 0.5 * pitch) for values in _rotated(x, y, angle)])
        vectors = pitch * _axes(angle)
    else:
        places, vectors = _hexagonal_places(*_rotated(x, y, angle), pitch, pairs)
        vectors = vectors @ _axes(angle)
    if len(np.unique(places, axis=0)) != len(x):
        raise ValueError(f"its pixels are on no regular {pixel_shape} lattice")
    return Lattice(np.column_stack([x, y]), fold, float(pitch), angle, places, vectors)


def _neighbours(x, y):
    """Return the usual distance of neighbours and the pairs of pixels that touch, int array (n_pairs, 2)."""
    if len(x) < 2:
        return 0.0, np.empty((0, 2), int)
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


def _hexagonal_places(u, v, pitch, pairs):
    """Return places, steps along the lattice directions at 0 and 60 degrees, and these two steps.

    The steps are fitted to all pixels, so that small gaps between modules do not add up.
    """
    height = pitch * np.sqrt(3) / 2
    if len(pairs):
        points = np.column_stack([u, v])
        pitch = np.hypot(*(points[pairs[:, 1]] - points[pairs[:, 0]]).T).mean()
        height = pitch * np.sqrt(3) / 2
    start = np.argmin(np.hypot(u - u.mean(), v - v.mean()))
    for _ in range(5):
        row = np.rint((v - v[start]) / height)
        column = np.rint((u - u[start]) / pitch - 0.5 * row)
        pitch, height = _fitted(column + 0.5 * row, u, pitch), _fitted(row, v, height)
    return np.column_stack([column, row]).astype(np.int64), np.array([[pitch, 0], [0.5 * pitch, height]])


def _fitted(index, position, step):
    """Return the step that fits positions to indices best; the given one where there is only one index."""
    index = index - index.mean()
    return index @ (position - position.mean()) / (index @ index) if index.any() else step


def _axes(angle):
    """Return the unit vectors at `angle` and 90 degrees further, in rows."""
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[cos, sin], [-sin, cos]])


def _rotated(x, y, angle):
    return _axes(angle) @ np.stack([x, y])
