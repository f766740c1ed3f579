"""One file in, the entries of a dictionary out: its events, looked up in tables and sorted by cuts."""

import json
import time

from .. import config
from ..errors import InputError
from ..terminal.logs import noted
from .block_cuts import LOOKED_UP, BlockCuts, FoundEntries
from .ctapipe_columns import N_IMAGES
from .open_events import open_events


class CutsSelector:
    """Selects events of files one by one.

    Parameters
    ----------
    settings : dict
        As :mod:`image_extractor.config` makes them.
    tables : LookupTables or None
        None, where all cuts and the energy are of columns that ctapipe wrote.
    tables_name, tables_sha256 : str
        By which the tables are known.
    on_truncated : 'refuse' or 'keep'
    """

    def __init__(self, settings, tables, tables_name, tables_sha256, on_truncated="refuse"):
        self.settings, self._has_tables, self._on_truncated = settings, tables is not None, on_truncated
        self._cuts, self._sha256 = BlockCuts(settings, tables, tables_name), tables_sha256

    def facts(self):
        """Return what a part depends on besides its file, {name: text}."""
        return {
            "kind": "entries of a dictionary",
            "config": config.dumps(self.settings),
            "tables": self._sha256,
            "on_truncated": self._on_truncated,
        }

    def analyse(self, path, target, attributes, progress=None):
        """Write the entries of a file to `target`; returns a report as `many_files.Report` has it.

        The report has the :meth:`FoundEntries.facts`.

        Raises
        ------
        InputError
            If the file is damaged, of several primaries, or was made with other settings than the tables.
        """
        start = time.monotonic()
        found = FoundEntries(self._cuts.n_bins)
        report = {"status": "written", "events_read": 0, "calibration_events": 0}
        with noted() as warnings:
            file = open_events(path, self.settings, self._on_truncated, self._columns(path), self._has_tables)
            for run in file.runs(progress):
                is_checked = self._cuts.is_fitting(path, run.recipe())
                for block in run:
                    is_checked = is_checked or self._cuts.is_fitting(path, run.recipe())
                    _, *chosen = self._cuts.choose(block)
                    found.add(block, *chosen)
                report["events_read"] += run.n_read
                report["calibration_events"] += run.n_calibration
        report |= {
            "events_written": len(found.rows),
            "images": found.counts.images,
            "primary": min(found.primaries, default=-1),
            "seconds": time.monotonic() - start,
            "warnings": warnings.lines,
            **found.facts(),
        }
        if not found.primaries:
            return report | {"status": "no shower"}
        found.write(target, attributes | {"report": json.dumps(report)})
        return report

    def _columns(self, path):
        """Return the names of columns that the file must have; raise InputError for those that need tables."""
        names = self._cuts.columns()
        missing = sorted(LOOKED_UP.intersection(names) - {N_IMAGES})
        if missing:
            raise InputError(
                f"{path}: without --tables there is no {', '.join(missing)}: give tables, or set these cuts to "
                "None, None, and [energy_bins] column to one that ctapipe wrote"
            )
        return names
