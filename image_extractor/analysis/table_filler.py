"""One file of gammas in, its part of the lookup tables out."""

import json
import time

import numpy as np

from .. import config, input_files
from ..errors import InputError
from ..primaries import primary_name
from ..reconstruction import table_files
from ..reconstruction.events import fill, reconstructed
from ..reconstruction.lookup_tables import INPUT, LookupTables
from ..terminal.logs import noted
from .open_events import open_events

GAMMA = 0


class TableFiller:
    """Makes tables of files one by one.

    Parameters
    ----------
    settings : dict
        As :mod:`image_extractor.config` makes them.
    on_truncated : 'refuse' or 'keep'
    """

    def __init__(self, settings, on_truncated="refuse"):
        self.settings, self._on_truncated = settings, on_truncated

    def facts(self):
        """Return what a part depends on besides its file, {name: text}."""
        return {"kind": table_files.FORMAT, "config": config.dumps(self.settings), "on_truncated": self._on_truncated}

    def analyse(self, path, target, attributes, progress=None):
        """Write the tables of a file to `target`; returns a report as `many_files.Report` has it.

        Raises
        ------
        InputError
            If the file is damaged, or not of gammas.
        """
        start = time.monotonic()
        counts = dict.fromkeys(("events_read", "events_written", "calibration_events", "images", "images_outside"), 0)
        report = {"status": "written", "primary": GAMMA, **counts}
        with noted() as warnings:
            tables = None
            for run in open_events(path, self.settings, self._on_truncated).runs(progress):
                of_run = self._of_run(run, path, report)
                if of_run is not None and tables is not None:
                    tables.add(of_run, f"{path}: run {run.run_number}")
                tables = of_run if tables is None else tables
        if tables is None:
            return report | {"status": "no shower"}
        report |= {"seconds": time.monotonic() - start, "warnings": warnings.lines}
        table_files.save(target, tables, attributes | {"report": json.dumps(report)})
        return report

    def _of_run(self, run, path, report):
        """Return the tables of one run, None if it has no event; counts are added to the report."""
        tables, n_events = None, 0
        for block in run:
            others = set(np.unique(block.events["primary"]).tolist()) - {GAMMA}
            if others:
                raise InputError(f"{path}: is of {primary_name(min(others))}: lookup tables are made of gammas")
            tables = tables or LookupTables(run.recipe())
            found = reconstructed(block, self.settings["reconstruction"])
            n_images, n_outside = fill(tables, found, path)
            report["images"] += n_images
            report["images_outside"] += n_outside
            report["events_written"] += int(np.count_nonzero(found.n_images >= 2))
            n_events += len(block.events)
        report["events_read"] += run.n_read
        report["calibration_events"] += run.n_calibration
        if tables is not None:
            n_images = sum(tables.n_images.values())
            row = input_files.name_bytes(path), input_files.digest(path), run.run_number, n_events, n_images
            tables.inputs = np.array([row], INPUT)
        return tables
