"""What one pass over the rows of a dataset tells."""

from collections import Counter

import numpy as np

from ..hdf5 import schema
from ..hdf5.image_places import has_image
from ..times import NOT_KNOWN


class Count:
    """What one pass over the rows tells.

    Attributes
    ----------
    energies : {path of a table: (lowest, highest)}
        True energies [TeV].
    primaries : {path of a table: Counter of primaries}
    images : list of int
        Of each row of Tel_Table.
    times : list of int
        Among them the first and the last [ns].
    """

    def __init__(self, n_telescopes):
        self.energies = {}
        self.primaries = {}
        self.images = [0] * n_telescopes
        self.times = []

    def add(self, table, rows):
        """Count a block of rows."""
        path, energy = table._v_pathname, rows["mc_energy"]
        energy = energy[~np.isnan(energy)]
        if len(energy):
            old = self.energies.get(path, (float("inf"), -float("inf")))
            self.energies[path] = min(old[0], float(energy.min())), max(old[1], float(energy.max()))
        if schema.TIME[0] in rows.dtype.names:
            times = rows[schema.TIME[0]]
            times = times[times != NOT_KNOWN]
            self.times += [int(times.min()), int(times.max())] if len(times) else []
        self.primaries.setdefault(path, Counter()).update(_counted(rows["gamma_hadron_label"]))
        self.images = [old + int(new) for old, new in zip(self.images, has_image(rows).sum(axis=0), strict=True)]


def _counted(values):
    return dict(zip(*(part.tolist() for part in np.unique(values, return_counts=True)), strict=True))


def count_rows(dataset):
    """Return the Count of an open dataset, event_images.DatasetEvents."""
    from .event_images import row_blocks

    count = Count(len(dataset.tel_table))
    for table in dataset.tables():
        for _, rows in row_blocks(table):
            count.add(table, rows)
    return count
