"""What one pass over the rows of Events tells, in bounded memory: histograms by primary and by table."""

from collections import Counter

import numpy as np

from ..errors import DatasetError
from ..hdf5.image_places import has_image
from ..training.event_weights import EventWeight
from ..viewing.event_images import row_blocks
from ..viewing.row_count import Count


class Histogram:
    """Counts in fixed bins, for each of several names.

    Attributes
    ----------
    edges : float array (n_bins + 1,)
    counts : {name: int array (n_bins,)}
    outside : {name: int}
        Values in no bin, infinite ones too; NaN, of what is not known, is not counted.
    """

    def __init__(self, edges):
        self.edges, self.counts, self.outside = np.asarray(edges, float), {}, {}

    def add(self, name, values):
        """Count values under a name."""
        values = values[~np.isnan(values)]
        found, _ = np.histogram(values, self.edges)
        self.counts[name] = self.counts.get(name, 0) + found
        self.outside[name] = self.outside.get(name, 0) + len(values) - int(found.sum())

    def trimmed(self, most=40):
        """Return (edges, counts) without empty bins at either end, in at most `most` bins; None if all are empty."""
        total = sum(self.counts.values(), np.zeros(len(self.edges) - 1, int))
        filled = np.flatnonzero(total)
        if not len(filled):
            return None
        first, stop = int(filled[0]), int(filled[-1]) + 1
        step = -(-(stop - first) // most)
        starts = np.arange(first, stop, step)
        edges = np.append(self.edges[starts], self.edges[min(stop, starts[-1] + step)])
        return edges, {
            name: np.add.reduceat(counts[first:stop], starts - first) for name, counts in self.counts.items()
        }

    def median(self, name):
        """Return the middle of the bin that holds the median, NaN if there is none."""
        running = np.cumsum(self.counts[name])
        if not running[-1]:
            return np.nan
        place = int(np.searchsorted(running, running[-1] / 2))
        return float((self.edges[place] + self.edges[place + 1]) / 2)


class EventCounts:
    """Histograms of all events of a dataset.

    Attributes
    ----------
    log10_energy, core_distance, offset, multiplicity : Histogram
        By primary: log10(TeV), m, degrees, telescopes with an image.
    log10_energy_by_table : Histogram
        By name of the table.
    summary : viewing.row_count.Count
    primaries : {name of a table: Counter of primaries}
    images : int array (n_tel,)
        Of each row of Tel_Table.
    """

    def __init__(self, n_telescopes):
        self.summary = Count(n_telescopes)
        self.log10_energy, self.log10_energy_by_table = (Histogram(np.arange(-30, 41) / 10) for _ in range(2))
        self.core_distance = Histogram(np.arange(0, 5001, 25))
        self.offset = Histogram(np.arange(0, 181) / 10)
        self.multiplicity = Histogram(np.arange(n_telescopes + 2) - 0.5)
        self._weights = {}

    @classmethod
    def of(cls, dataset):
        """Count all events of an open dataset, a :class:`viewing.event_images.DatasetEvents`."""
        counts, is_weighted = cls(len(dataset.tel_table)), not dataset.is_observed
        for table in dataset.tables():
            for _, rows in row_blocks(table):
                counts.summary.add(table, rows)
                counts._add(table._v_name, rows)
                is_weighted = is_weighted and counts._add_weights(table._v_name, rows, dataset.runs)
        return counts

    @property
    def primaries(self):
        found = {}
        for path, primaries in self.summary.primaries.items():
            found.setdefault(path.rpartition("/")[2], Counter()).update(primaries)
        return found

    @property
    def images(self):
        return np.array(self.summary.images, np.int64)

    def _add_weights(self, table, rows, runs):
        """Add up weights to the default spectra, and their squares; say whether that could be done."""
        energy, primaries = rows["mc_energy"].astype(float), rows["gamma_hadron_label"]
        try:
            weights = EventWeight()(energy, primaries, runs)
        except DatasetError:  # of primaries or runs that have no spectrum
            self._weights.clear()
            return False
        for primary in np.unique(primaries).tolist():
            mine = weights[primaries == primary]
            sums = self._weights.setdefault((table, primary), np.zeros(3))
            sums += len(mine), mine.sum(), (mine**2).sum()
        return True

    def statistics(self):
        """Return {(table, primary): (events, how many of one weight would say as much)}, where weights are known.

        The second is (sum of weights)^2 / sum of their squares: Kish, Survey Sampling (1965), section 11.7.
        """
        return {
            key: (int(n), total**2 / squares)
            for key, (n, total, squares) in self._weights.items()
            if np.isfinite(squares) and squares
        }

    def _add(self, table, rows):
        n_images = has_image(rows).sum(axis=1).astype(float)
        for primary in np.unique(rows["gamma_hadron_label"]).tolist():
            mine = rows["gamma_hadron_label"] == primary
            with np.errstate(divide="ignore", invalid="ignore"):
                energy = np.log10(rows["mc_energy"][mine].astype(float))
            self.log10_energy.add(primary, energy)
            self.log10_energy_by_table.add(table, energy)
            self.core_distance.add(primary, np.hypot(rows["core_x"][mine], rows["core_y"][mine]).astype(float))
            if "fov_lon" in rows.dtype.names:
                lon, lat = (np.radians(rows[name][mine]) for name in ("fov_lon", "fov_lat"))
                self.offset.add(primary, np.degrees(np.arccos(np.cos(lat) * np.cos(lon))))
            self.multiplicity.add(primary, n_images[mine])
