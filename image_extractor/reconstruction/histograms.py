"""Histograms of width, length and energy in cells of (size, impact distance), which add up in any order.

Entries are whole numbers, and so are weights, in units of WEIGHT_UNIT: sums of them do not depend on which file, job or
machine comes first. Rows, each a bin that has entries, are sorted and unique, so equal content is equal rows.
"""

from dataclasses import dataclass

import numpy as np

from ..errors import InputError


@dataclass(frozen=True)
class Axis:
    """Equal bins low <= value < high."""

    n_bins: int
    low: float
    high: float

    def find(self, values):
        """Return the bins of values, int64 array of their shape; -1 outside, and for NaN."""
        with np.errstate(invalid="ignore"):
            place = (np.asarray(values, np.float64) - self.low) / (self.high - self.low) * self.n_bins
            inside = (place >= 0) & (place < self.n_bins)
        return np.where(inside, np.where(inside, place, 0).astype(np.int64), -1)

    @property
    def centres(self):
        """Middles of the bins, float array (n_bins,)."""
        return self.low + (np.arange(self.n_bins) + 0.5) * (self.high - self.low) / self.n_bins


#: EventDisplay's axes for photo-electrons: log10 of the size, and the distance from the reconstructed axis [m].
SIZE = Axis(45, 1.0, 7.75)
DISTANCE = Axis(75, 0.0, 1500.0)
N_CELLS = SIZE.n_bins * DISTANCE.n_bins

#: What is in a cell: width and length [deg], log10 of energy by size [TeV per p.e.]. EventDisplay has 500 bins up to
#: 1 degree, which change sigma by 4 %.
QUANTITIES = {"width": Axis(2000, 0.0, 1.0), "length": Axis(2000, 0.0, 1.0), "energy": Axis(2000, -8.0, 2.0)}

#: `half` is the parity of the shower, so that showers can be looked up in tables that they did not fill.
ROW = np.dtype([("half", "<i4"), ("cell", "<i4"), ("bin", "<i4"), ("entries", "<i8"), ("weight", "<i8")])

WEIGHT_UNIT = 2.0**-20

#: Above it sums of weights might not fit, nor would tables of such images say much of others.
LARGEST_WEIGHT = 1e6


def weights_in_units(weights, name):
    """Return weights in whole WEIGHT_UNITs, at least one, int64 array.

    name : str or Path
        Of the file, for the message of InputError where one is too large, or no number.
    """
    weights = np.asarray(weights, np.float64)
    if not (weights < LARGEST_WEIGHT).all():
        raise InputError(
            f"{name}: an image would count {np.max(weights):g} times: its simulated spectrum is too far from "
            "[reconstruction] spectral_index"
        )
    return np.maximum(np.rint(weights / WEIGHT_UNIT).astype(np.int64), 1)


def cells(size, distance):
    """Return the cells of images, int64 array (n_images,); -1 outside.

    size : float array (n_images,) [p.e.]
    distance : float array (n_images,) [m]
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        x, y = SIZE.find(np.log10(size)), DISTANCE.find(distance)
    return np.where((x >= 0) & (y >= 0), x * DISTANCE.n_bins + y, -1)


def histogram(quantity, values, cell, half, weight):
    """Return images as rows.

    Parameters
    ----------
    quantity : str
        Of QUANTITIES.
    values : float array (n_images,)
    cell : int array (n_images,), see :func:`cells`
    half : int array (n_images,), 0 or 1
    weight : int array (n_images,), in WEIGHT_UNITs

    Returns
    -------
    array of ROW
        Images outside of the cells, or with a value outside of its axis, are left out.
    """
    found = QUANTITIES[quantity].find(values)
    inside = (found >= 0) & (cell >= 0)
    rows = np.zeros(np.count_nonzero(inside), ROW)
    for name, column in (("half", half), ("cell", cell), ("bin", found), ("weight", weight)):
        rows[name] = column[inside]
    rows["entries"] = 1
    return added(rows)


def added(*parts):
    """Return the sum of arrays of ROW, sorted and unique."""
    rows = np.concatenate([np.empty(0, ROW), *parts])
    rows = rows[np.lexsort((rows["bin"], rows["cell"], rows["half"]))]
    if not len(rows):
        return rows
    keys = rows[["half", "cell", "bin"]]
    first = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    total = rows[first]
    for name in ("entries", "weight"):
        total[name] = np.add.reduceat(rows[name], first)
    return total
