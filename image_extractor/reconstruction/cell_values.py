"""What a lookup table says: medians and widths of the histograms of its cells, and what lies between cells.

Definitions are EventDisplay's (VTableCalculator): sigma is q84 - q16, two standard deviations of a normal distribution;
quantiles are linear within bins; between the middles of cells values are interpolated, along the distance first.
"""

from dataclasses import dataclass

import numpy as np

from ..compiled import compiled
from .histograms import DISTANCE, N_CELLS, QUANTITIES, SIZE

#: Quantiles of a normal distribution at one standard deviation below and above the middle, as EventDisplay rounds them.
LOW, MIDDLE, HIGH = 0.16, 0.5, 0.84

#: A neighbour stands for an empty cell where so much of the weight is its own, or more.
_ENOUGH = 0.5


@dataclass(frozen=True)
class CellValues:
    """The cells of one quantity, arrays (SIZE.n_bins, DISTANCE.n_bins).

    Attributes
    ----------
    median, sigma : float arrays
        In deg, or TeV per p.e.; 0 where there are too few entries.
    entries : int array
        Of the cell itself.
    is_widened : bool array
        Where the value is that of the cell and of its neighbours.
    """

    median: np.ndarray
    sigma: np.ndarray
    entries: np.ndarray
    is_widened: np.ndarray

    def look_up(self, size, distance):
        """Return what images of gammas should have.

        Parameters
        ----------
        size : float array (n_images,) [p.e.]
        distance : float array (n_images,) [m]

        Returns
        -------
        median, sigma : float arrays (n_images,)
            0 or less where the table has no entry.
        is_widened : bool array (n_images,)
            Whether the cell in which the image lies has taken in its neighbours.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            x = np.log10(np.asarray(size, np.float64))
        distance = np.asarray(distance, np.float64)
        column, row = SIZE.find(x), DISTANCE.find(distance)
        inside = (column >= 0) & (row >= 0)
        found = []
        for values in (self.median, self.sigma):
            result = np.zeros(len(x))
            _interpolate(values, x, distance, column, row, SIZE.centres, DISTANCE.centres, result)
            found.append(result)
        return *found, inside & self.is_widened[column, row]


def cell_values(quantity, rows, min_entries, widen):
    """Return the :class:`CellValues` of a histogram.

    Parameters
    ----------
    quantity : str
        Of `histograms.QUANTITIES`.
    rows : array of `histograms.ROW`
        Both halves count, if both are there.
    min_entries : int
        A cell is used if it has more.
    widen : int
        A cell with fewer takes in those up to so many cells away in both directions, as few as are enough; but only a
        cell that has entries or touches one that has: tables do not grow into what was never seen.
    """
    rows = rows[np.argsort(rows["cell"], kind="stable")]
    first = np.searchsorted(rows["cell"], np.arange(N_CELLS + 1))
    shape = SIZE.n_bins, DISTANCE.n_bins
    entries = np.zeros(N_CELLS, np.int64)
    np.add.at(entries, rows["cell"], rows["entries"])
    entries = entries.reshape(shape)
    reach = _reach(entries, min_entries, widen)
    axis = QUANTITIES[quantity]
    low, median, high = quantiles = np.zeros((3, *shape))
    columns = (np.ascontiguousarray(rows[name]) for name in ("bin", "weight"))
    _quantiles(first, *columns, reach, axis.n_bins, np.array([LOW, MIDDLE, HIGH]), quantiles)
    for values in quantiles:
        values[:] = axis.low + values * ((axis.high - axis.low) / axis.n_bins)
        if quantity == "energy":
            values[:] = 10.0**values
    used = reach >= 0
    return CellValues(np.where(used, median, 0), np.where(used, high - low, 0), entries, reach > 0)


def _reach(entries, min_entries, widen):
    """Return how far cells are widened, int array of the shape of `entries`; -1: not even so is it enough."""
    padded = np.pad(entries, widen + 1).cumsum(0).cumsum(1)
    padded = np.pad(padded, ((1, 0), (1, 0)))
    reach = np.where(entries > min_entries, 0, -1)
    n_x, n_y = entries.shape

    def around(far):
        """Return the entries of the cells up to so far."""
        start, stop = widen + 1 - far, widen + 2 + far
        return (
            padded[stop : stop + n_x, stop : stop + n_y]
            - padded[start : start + n_x, stop : stop + n_y]
            - padded[stop : stop + n_x, start : start + n_y]
            + padded[start : start + n_x, start : start + n_y]
        )

    touched = around(1) > 0
    for far in range(1, widen + 1):
        reach[(reach < 0) & touched & (around(far) > min_entries)] = far
    return reach


@compiled
def _quantiles(first, bins, weight, reach, n_bins, wanted, quantiles):
    """Fill quantiles, float array (n_wanted, n_x, n_y), in bins from the lower end of the axis."""
    n_x, n_y = reach.shape
    content = np.zeros(n_bins, np.int64)
    for x in range(n_x):
        for y in range(n_y):
            far = reach[x, y]
            if far < 0:
                continue
            content[:] = 0
            total = 0
            for near_x in range(max(0, x - far), min(n_x, x + far + 1)):
                for near_y in range(max(0, y - far), min(n_y, y + far + 1)):
                    cell = near_x * n_y + near_y
                    for row in range(first[cell], first[cell + 1]):
                        content[bins[row]] += weight[row]
                        total += weight[row]
            below, place = 0, 0
            for number in range(len(wanted)):
                target = wanted[number] * total
                while place < n_bins - 1 and below + content[place] < target:
                    below += content[place]
                    place += 1
                inside = (target - below) / content[place] if content[place] > 0 else 0.0
                quantiles[number, x, y] = place + inside


@compiled
def _interpolate(values, x, y, column, row, centre_x, centre_y, result):
    """Fill result, float array (n_images,); 0 outside of the table, below 0 between cells that are too empty."""
    n_x, n_y = values.shape
    for image in range(len(x)):
        i, j = column[image], row[image]
        if i < 0 or j < 0:
            result[image] = 0.0
            continue
        if i == n_x - 1 or j == n_y - 1:
            result[image] = values[i, j]
            continue
        if x[image] < centre_x[i]:
            i -= 1
        if y[image] < centre_y[j]:
            j -= 1
        # before the first cell there is nothing, as in ROOT's bin of what lies below
        width_x, width_y = centre_x[1] - centre_x[0], centre_y[1] - centre_y[0]
        part_x = (x[image] - centre_x[0]) / width_x - i
        part_y = (y[image] - centre_y[0]) / width_y - j
        lower = _between(_at(values, i, j), _at(values, i, j + 1), part_y)
        upper = _between(_at(values, i + 1, j), _at(values, i + 1, j + 1), part_y)
        if lower > 0 and upper > 0:
            result[image] = lower * (1 - part_x) + upper * part_x
        else:
            # along the size EventDisplay takes the only one, however far
            result[image] = max(lower, upper)


@compiled
def _at(values, i, j):
    return values[i, j] if i >= 0 and j >= 0 else 0.0


@compiled
def _between(one, other, part):
    """Return the value at a part of the way from one to the other; -99 if the nearer of them is empty."""
    if one > 0 and other > 0:
        return one * (1 - part) + other * part
    if one > 0 and 1 - part > _ENOUGH:
        return one
    if other > 0 and part > _ENOUGH:
        return other
    return -99.0
