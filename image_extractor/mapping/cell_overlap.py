"""Areas that convex polygons share with the cells of a square grid."""

import numpy as np


def with_cells(corners, origin, size, side):
    """Find the cells that polygons overlap with, and the areas.

    Parameters
    ----------
    corners : float array (n_polygons, n_corners, 2)
        x and y, counter-clockwise; convex. What is outside of the grid is left out.
    origin : float array (2,)
        x and y of the grid's corner.
    size : float
        Side of a cell.
    side : int
        Cells per side.

    Returns
    -------
    polygon, i, j : int array (n_overlaps,)
        The overlap of polygon and cell [i, j].
    area : float array (n_overlaps,)
        In units of a cell's area, above 0.
    """
    corners = (corners - origin) / size
    first = np.floor(corners.min(axis=1)).astype(np.int64)
    # the largest polygon says how many cells are looked at for each
    n_cells = int((np.ceil(corners.max(axis=1)) - first).max()) + 1
    edges = np.arange(n_cells + 1)
    below = np.zeros((len(corners), n_cells + 1, n_cells + 1))
    relative = corners - first[:, np.newaxis]
    for start, end in zip(np.moveaxis(relative, 1, 0), np.moveaxis(np.roll(relative, -1, axis=1), 1, 0), strict=True):
        below += _below_edge(start, end, edges)
    area = np.diff(np.diff(below, axis=1), axis=2)
    polygon, i, j = np.nonzero(area > 1e-9)
    area = area[polygon, i, j]
    cells = first[polygon] + np.column_stack([i, j])
    inside = ((cells >= 0) & (cells < side)).all(axis=1)
    return polygon[inside], *cells[inside].T, area[inside]


def _below_edge(start, end, edges):
    """Return the edge's part of the area of its polygon that lies left of X and below Y, for all X and Y of `edges`.

    That area is the sum over edges of -integral of min(y, Y) dx along the edge, as far as x < X (Green's theorem).

    start, end : float array (n_polygons, 2); edges : array (n,)
    returns : float array (n_polygons, n, n)
    """
    x0, x1 = start[:, :1], end[:, :1]
    y0, y1 = start[:, 1:], end[:, 1:]
    run = x1 - x0
    flat = np.abs(run) < 1e-12
    slope = np.where(flat, 0, (y1 - y0) / np.where(flat, 1, run))
    left, right = np.minimum(x0, edges), np.minimum(x1, edges)
    low, high = (y0 + slope * (x - x0) for x in (left, right))
    low, high = np.minimum(low, high)[..., np.newaxis], np.maximum(low, high)[..., np.newaxis]
    # the mean of min(y, Y) while y goes from low to high
    above = np.clip(edges - low, 0, high - low)
    missing = np.where(high > low, (high - low - above) ** 2 / np.where(high > low, 2 * (high - low), 1), 0)
    mean = np.minimum((low + high) / 2, np.where(edges < low, edges, (low + high) / 2 - missing))
    return -(right - left)[..., np.newaxis] * mean
