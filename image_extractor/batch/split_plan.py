"""Which new events of several datasets go to which split table: showers stay whole, in whatever bins their uses are."""

import re

import numpy as np
import tables

from ..errors import DamagedDatasetError
from ..events.showers import COLUMNS, Shares, Showers
from ..hdf5 import dataset_files, nodes, schema
from . import compatibility

#: What tells a shower from one of the same number in another file of the same run number and primary.
TRUTH = ("mc_energy",)

LABEL = schema.RECON_LABEL[0]


class SplitPlan:
    """The split table of each event that is in none yet.

    Memory: 12 bytes an event, and a byte a shower more, while it is made; then 9 a shower.

    Parameters
    ----------
    paths : list of str or Path
        Datasets.
    split : dict
        {'Training': 0.9, ...}.
    seed : int
    """

    def __init__(self, paths, split, seed):
        self.names = [f"{schema.EVENTS}_{name}" for name in split]
        self._paths, self._runs, self._has, self._n_events = list(paths), [], [], 0
        for path in paths:
            self._look_at(path)
        self._showers = Showers(np.concatenate(self._runs), seed)
        shared = self._shared_runs()
        old = self._old_showers(shared)
        keys, bins, settled = self._new_events(shared, old)
        self._shares = Shares(keys, bins, list(split.values()), settled)

    def counts(self, group):
        """Return how many events of a group go to each table."""
        return self._shares.counts(None if group == "/" else _bin_of(group))

    def tables_of(self, rows):
        """Return the table of each event, int array (n,)."""
        return self._shares.tables_of(self._showers.keys(rows))

    def _look_at(self, path):
        """Note the runs of a dataset, and in which tables it has events."""
        with dataset_files.damage(path), dataset_files.open_dataset(path, rows_only=True) as file:
            runs = nodes.leaf(file, "/", schema.RUN_TABLE, tables.Table)[:]
            self._runs.append(runs[["run_number", "shower_reuse"]])
            counts = compatibility.counts(file)
            self._has.append({name for rows in counts.values() for name, n_rows in rows.items() if n_rows})
            self._n_events += sum(rows.get(schema.EVENTS, 0) for rows in counts.values())

    def _shared_runs(self):
        """Return the run numbers of new events that events of split tables have, too."""
        new = [runs["run_number"] for runs, has in zip(self._runs, self._has, strict=True) if schema.EVENTS in has]
        old = [runs["run_number"] for runs, has in zip(self._runs, self._has, strict=True) if has & set(self.names)]
        return np.intersect1d(np.concatenate(new), np.concatenate(old)) if new and old else np.empty(0, np.int64)

    def _old_showers(self, shared):
        """Return the keys, sorted, of showers of shared runs that are in split tables, and their tables' numbers."""
        keys, places = [np.empty(0, np.uint64)], [np.empty(0, np.uint8)]
        for number, name in enumerate(self.names if len(shared) else ()):
            for _, rows in self._rows(name):
                found = np.unique(self._showers.keys(rows[np.isin(rows["run_number"], shared)], TRUTH))
                keys.append(found)
                places.append(np.full(len(found), number, np.uint8))
        keys, first = np.unique(np.concatenate(keys), return_index=True)
        return keys, np.concatenate(places)[first]

    def _new_events(self, shared, old):
        """Return keys and energy bins of all new events, and the showers among them that are in split tables."""
        keys, bins = np.empty(self._n_events, np.uint64), np.empty(self._n_events, np.int32)
        settled, n = [(np.empty(0, np.uint64), np.empty(0, np.uint8))], 0
        for group, rows in self._rows(schema.EVENTS):
            here = slice(n, n + len(rows))
            keys[here], bins[here] = self._showers.keys(rows), _bins_of(group, rows)
            n += len(rows)
            if len(old[0]):
                rows = rows[np.isin(rows["run_number"], shared)]
                truth = self._showers.keys(rows, TRUTH)
                place = np.minimum(np.searchsorted(old[0], truth), len(old[0]) - 1)
                is_old = old[0][place] == truth
                settled.append((self._showers.keys(rows[is_old]), old[1][place[is_old]]))
        known, places = (np.concatenate(part) for part in zip(*settled, strict=True))
        known, first = np.unique(known, return_index=True)
        return keys, bins, (known, places[first])

    def _rows(self, name):
        """Yield the path of the group and rows of all tables of a name, block by block."""
        for path, has in zip(self._paths, self._has, strict=True):
            if name not in has:
                continue
            with dataset_files.damage(path), dataset_files.open_dataset(path, rows_only=True) as file:
                groups = [group for group, rows in compatibility.counts(file).items() if rows.get(name)]
                for group in groups:
                    if not re.fullmatch(r"/(E\d+)?", group):
                        raise DamagedDatasetError(path, f"damaged: it counts events in {group}")
                    table = nodes.leaf(file, group, name, tables.Table)
                    columns = [*COLUMNS, *TRUTH, *({LABEL} & set(table.colnames))]
                    for rows in nodes.blocks(table):
                        yield group, rows[columns]


def _bin_of(group):
    return int(group.rpartition("/")[2][1:])


def _bins_of(group, rows):
    """Return the energy bin of each event: the group's, or its label."""
    if group != "/":
        return _bin_of(group)
    return rows[LABEL] if LABEL in rows.dtype.names else 0
