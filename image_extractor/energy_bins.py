"""Energy bins: equal steps in energy or in its logarithm."""

import functools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

UNITS = ("eV", "keV", "MeV", "GeV", "TeV", "PeV")
TEV_IN = {"eV": 1e12, "keV": 1e9, "MeV": 1e6, "GeV": 1e3, "TeV": 1.0, "PeV": 1e-3}
MAX_BINS = 1000

#: Relative error of energies that were rounded, as to float32, at the edge of a bin.
ROUNDING = 1e-6
ROUNDINGS = (1, 1 - ROUNDING, 1 + ROUNDING)


@dataclass(frozen=True)
class EnergyBins:
    """Bins [low, high) of energy, or of log10(energy), in `units`.

    Raises ValueError unless (max - min) is a whole number of bins, at least one.
    """

    units: str
    scale: str
    min: float
    max: float
    bin_size: float

    def __post_init__(self) -> None:
        given = f"min = {self.min}, max = {self.max}, bin_size = {self.bin_size}"
        if not all(map(math.isfinite, (self.min, self.max, self.bin_size))):
            raise ValueError(f"{given}: must be finite numbers")
        if self.bin_size <= 0 or self.max <= self.min:
            raise ValueError(f"{given}: bin_size must be above 0 and max above min")
        ratio = (self.max - self.min) / self.bin_size
        # 4 / 0.05 is not always 80 in floating point, but 4.02 / 0.05 is never meant to be 80
        if ratio > MAX_BINS or abs(ratio - round(ratio)) > 1e-6 * ratio or round(ratio) < 1:
            raise ValueError(f"{given}: max - min must be a whole number of bins, from 1 to {MAX_BINS}")
        if self.scale == "log10" and max(abs(self.min), abs(self.max)) > 100:
            raise ValueError(f"{given}: with scale = log10 these are exponents, from -100 to 100")

    @functools.cached_property
    def n_bins(self) -> int:
        """Number of bins."""
        return round((self.max - self.min) / self.bin_size)

    @functools.cached_property
    def edges(self) -> NDArray[np.float64]:
        """Edges in the units and scale of the bins, float array (n_bins + 1,), read-only."""
        edges = np.linspace(self.min, self.max, self.n_bins + 1)
        edges.flags.writeable = False
        return edges

    def describe(self, index: int) -> str:
        """Return a bin in words, such as [0.1, 0.3162) TeV."""
        edges = self.edges[index : index + 2]
        low, high = 10.0**edges if self.scale == "log10" else edges
        return f"[{low:.4g}, {high:.4g}) {self.units}"

    def contain(self, index: ArrayLike, energy: ArrayLike) -> NDArray[np.bool_]:
        """Say which energies are in these bins, give or take ROUNDING at the edges, bool array.

        index : int or int array (n,)
        energy : float array (n,), TeV
        """
        with np.errstate(over="ignore"):
            nearby = [self.find(np.multiply(energy, factor, dtype=np.float64)) == index for factor in ROUNDINGS]
        near: NDArray[np.bool_] = np.logical_or.reduce(nearby)
        return near

    def find(self, energy: ArrayLike) -> NDArray[np.int64]:
        """Return the bin of each energy, -1 outside all bins.

        energy : float or array, TeV
        returns : int array of the same shape
        """
        energy = np.asarray(energy, dtype=np.float64) * TEV_IN[self.units]
        if self.scale == "log10":
            # zero and negative energies (failed reconstructions) are in no bin
            energy = np.log10(energy, where=energy > 0, out=np.full(energy.shape, -np.inf))
        index = np.searchsorted(self.edges, energy, side="right") - 1
        return np.where((index < self.n_bins) & ~np.isnan(energy), index, -1)
