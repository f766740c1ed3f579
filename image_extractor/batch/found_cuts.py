"""What cuts found in many files: entries of a dictionary, cut flows, and how often the tables had nothing to say."""

from dataclasses import dataclass, field

import numpy as np

from ..analysis.block_cuts import facts_of, read_rows
from ..analysis.event_chooser import EventChooser
from ..cuts import dictionary
from ..cuts.entries import DTYPE
from ..cuts.eventdisplay import unrepeated
from ..cuts.preselection import attributes_of
from ..errors import InputError
from ..primaries import primary_name
from ..reconstruction import table_files
from ..reconstruction.events import LookupCounts


@dataclass
class FoundCuts:
    """The sum of what was found in files.

    Attributes
    ----------
    flows : dict
        {file: CutFlow}, in the order of the files.
    counts : LookupCounts
    rows : array of entries.DTYPE
        Events that pass, in the order of the files; None where they are not kept.
    primary : int or None
        Of all these events; None without any.
    """

    flows: dict = field(default_factory=dict)
    counts: LookupCounts = field(default_factory=LookupCounts)
    rows: np.ndarray = None
    primary: int = None

    def take(self, written, paths=None):
        """Take in what was found.

        Parameters
        ----------
        written : list of dict
            Outcomes of files that were read, as in `many_files.Report`.
        paths : list of Path, optional
            Where the entries of each are.

        Raises
        ------
        InputError
            If there are entries, and events of several primaries, or one that comes twice with different values.
        """
        for outcome in written:
            self.flows[outcome["file"]], counts = facts_of(outcome)
            self.counts += counts
        if paths is None:
            return
        self.primary = _primary(written)
        found = [read_rows(path) for path in paths]
        ends = np.cumsum([len(rows) for rows in found], dtype=np.int64).tolist()
        self.rows = unrepeated(np.concatenate([np.empty(0, DTYPE), *found]), list(self.flows), ends, self.flows)

    def save(self, path, settings, file_format, attributes):
        """Write the dictionary; see :func:`dictionary.save`."""
        attributes = attributes_of(settings) | attributes
        dictionary.save(path, self.rows, file_format, attributes, self.flows, self.primary)


def _primary(written):
    """Return the primary of all events; raise InputError if there are several."""
    found = {}
    for outcome in written:
        for primary in outcome["primaries"]:
            found.setdefault(primary, outcome["file"])
    if len(found) > 1:
        listed = " and ".join(f"{primary_name(primary)} ({where})" for primary, where in found.items())
        raise InputError(f"{written[0]['file']}: events of {listed}: build one dictionary per particle type")
    return next(iter(found), None)


def tables_attributes(name, sha256):
    """Return what an HDF5 dictionary tells of the lookup tables that it was made with."""
    return {"lookup_tables": name, "lookup_tables_sha256": sha256}


def event_chooser(settings, path):
    """Return the EventChooser of a file of lookup tables; raise DatasetError if it is none."""
    return EventChooser(settings, *table_files.load_identified(path))
