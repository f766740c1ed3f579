"""Lookup tables of many files."""

from dataclasses import dataclass, field
from pathlib import Path

from ..analysis.table_filler import TableFiller
from ..errors import InputError
from ..reconstruction import table_files
from .analyses import analysed


@dataclass
class TablesReport:
    """What became of each file, as in `many_files.Report`, and the tables; None if no file has any image."""

    outcomes: list = field(default_factory=list)
    tables: object = None

    @property
    def failed(self):
        """The outcomes of files that are not in the tables."""
        return [outcome for outcome in self.outcomes if outcome["status"] == "failed"]


def make_tables(settings, output, files, command_line="", on_truncated="refuse", **how):
    """Make lookup tables of files of gammas.

    Parameters
    ----------
    settings : dict
    output : Path
        Appears whole or not at all; an existing file is replaced.
    files : list of Path
        Simtel files, or those of ctapipe-process; the content does not depend on their order.
    command_line : str, optional
        The file keeps it.
    on_truncated : 'refuse' or 'keep'
        A simtel file that ends early.
    **how
        As for :func:`analyses.analysed`.

    Returns
    -------
    TablesReport
    """
    from .. import config

    report = TablesReport()
    with analysed(TableFiller(settings, on_truncated), output, files, **how) as (report.outcomes, parts):
        written = [outcome for outcome in report.outcomes if outcome["status"] == "written"]
        for outcome, part in zip(written, parts, strict=True):
            _add(report, outcome, part, how.get("on_error", "skip"))
        if report.tables is not None:
            attributes = {"command_line": command_line, "config": config.dumps(settings)}
            table_files.save(Path(output), report.tables, attributes)
    return report


def _add(report, outcome, part, on_error):
    """Take the part of a file into the tables; one that does not fit becomes a failure."""
    found = table_files.load(part)
    if report.tables is None:
        report.tables = found
        return
    try:
        report.tables.add(found, outcome["file"])
    except InputError as err:
        outcome |= {"status": "failed", "reason": str(err)}
        if on_error == "stop":
            raise
