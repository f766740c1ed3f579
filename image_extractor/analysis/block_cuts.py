"""Blocks of events, looked up in tables and sorted by cuts, and what becomes of them: entries of a dictionary."""

import dataclasses
import logging
import math

import numpy as np
import tables as pytables

from .. import config
from ..cuts.entries import DTYPE
from ..cuts.preselection import ENERGY, CutFlow, choose, preselection_cuts
from ..errors import InputError
from ..hdf5 import nodes
from ..hdf5.dataset_files import damage, open_file
from ..hdf5.replacing import replacing
from ..reconstruction.events import LookupCounts, known, looked_up, reconstructed
from .ctapipe_columns import N_IMAGES

log = logging.getLogger(__name__)

#: Branches that are looked up in tables or reconstructed, and those that are known.
LOOKED_UP = frozenset(("MSCW", "MSCL", "EChi2S", "ErecS", "dES", "EmissionHeight", N_IMAGES))
KNOWN = frozenset(("runNumber", "eventNumber", "MCxoff", "MCyoff"))

#: The table of a file of entries.
ROWS = "Entries"


class BlockCuts:
    """The cuts of [preselection_cuts], and the energy bins, for blocks of events; small, it travels to workers.

    Parameters
    ----------
    settings : dict
        As :mod:`image_extractor.config` makes them.
    tables : LookupTables or None
        None, where all cuts and the energy are of columns that ctapipe wrote.
    name : str
        By which the tables are known.
    """

    def __init__(self, settings, tables, name):
        self.settings, self._tables, self._name = settings, tables, name
        self._cuts, self._bins = preselection_cuts(settings), config.dictionary_bins(settings)
        self._reader = None

    @property
    def n_bins(self):
        """Number of energy bins."""
        return self._bins.n_bins

    def columns(self):
        """Return which columns cuts and energy need besides what is known or looked up in tables, sorted names."""
        names = {name for cut in self._cuts if not cut.is_open for name in cut.branches}
        names.add(self.settings["energy_bins"]["column"])
        return sorted(names - KNOWN - (LOOKED_UP if self._tables is not None else set()))

    def choose(self, block):
        """Return which events of an EventBlock pass, int array (n_passing,); their entries, CutFlow, LookupCounts."""
        if self._tables is None:
            branches, counts = known(block), LookupCounts()
        else:
            branches, counts = looked_up(self._the_reader(), reconstructed(block, self.settings["reconstruction"]))
        branches |= {ENERGY: branches[self.settings["energy_bins"]["column"]]}
        return *choose(branches, self._cuts, self._bins), counts

    def _the_reader(self):
        if self._reader is None:  # it does not travel to workers, which make their own
            section = self.settings["reconstruction"]
            self._reader = self._tables.reader(section["min_entries"], section["widen"])
        return self._reader

    def __getstate__(self):
        return self.__dict__ | {"_reader": None}

    def is_fitting(self, path, recipe):
        """Return whether it is known how events were made: of some runs only the first ones tell where they point.

        Raises InputError unless it is as those of the tables; warns of what can't be compared.
        """
        if self._tables is None:
            return True
        if math.isnan(recipe.common["pointing_alt"]):
            return False
        problems = list(self._tables.recipe.differences(recipe))
        if problems:
            raise InputError(f"{path}: does not fit the tables {self._name}: {'; '.join(problems)}")
        unknown = self._tables.recipe.unknown(recipe)
        if unknown:
            where = ", ".join(unknown)
            log.warning("%s: whether it fits the tables %s can't be told of: %s", path, self._name, where)
        return True


class FoundEntries:
    """What was found of the events of a file.

    Parameters
    ----------
    n_bins : int

    Attributes
    ----------
    flow : CutFlow
    counts : LookupCounts
    primaries : set of int
    """

    def __init__(self, n_bins):
        self.flow, self.counts = CutFlow(np.zeros(n_bins, np.int64)), LookupCounts()
        self.primaries = set()
        self._rows = [np.empty(0, DTYPE)]

    def add(self, block, rows, flow, counts):
        """Take what :meth:`BlockCuts.choose` gives of an EventBlock."""
        self._rows.append(rows)
        self.flow += flow
        self.counts += counts
        self.primaries.update(np.unique(block.events["primary"]).tolist())

    def __iadd__(self, other):
        self._rows += other._rows
        self.flow += other.flow
        self.counts += other.counts
        self.primaries |= other.primaries
        return self

    @property
    def rows(self):
        """Events that pass, array of entries.DTYPE."""
        return np.concatenate(self._rows)

    def facts(self):
        """Return all but the rows for a report, plain values; see :func:`facts_of`."""
        return {
            "primaries": sorted(self.primaries),
            "flow": dataclasses.asdict(self.flow) | {"bins": self.flow.bins.tolist()},
            "counts": dataclasses.asdict(self.counts) | {"kinds_without": sorted(self.counts.kinds_without)},
        }

    def write(self, path, attributes):
        """Write the rows to a file, which appears whole or not at all."""
        with replacing(path) as file:
            table = nodes.create_table(file, "/", ROWS, DTYPE, nodes.filters("zlib"), {})
            nodes.append(table, self.rows)
            nodes.set_attributes(file.root, attributes)


def facts_of(report):
    """Return CutFlow and LookupCounts of a report that has :meth:`FoundEntries.facts`."""
    flow, counts = CutFlow(**report["flow"]), LookupCounts(**report["counts"])
    flow.bins = np.array(flow.bins, np.int64)
    return flow, counts


def read_rows(path):
    """Return the rows that :meth:`FoundEntries.write` wrote."""
    with open_file(path) as file, damage(path):
        return nodes.leaf(file, "/", ROWS, pytables.Table).read().astype(DTYPE)
