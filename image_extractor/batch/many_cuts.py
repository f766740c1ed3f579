"""The entries of a dictionary, of many files whose events are looked up in tables."""

from contextlib import contextmanager
from dataclasses import dataclass, field

from ..analysis.cuts_selector import CutsSelector
from .analyses import analysed
from .found_cuts import FoundCuts


@dataclass
class CutsReport(FoundCuts):
    """What became of each file, and of its events.

    Attributes
    ----------
    outcomes : list of dict
        As in `many_files.Report`.
    """

    outcomes: list = field(default_factory=list)

    @property
    def failed(self):
        """The outcomes of files whose events are not among the rows."""
        return [outcome for outcome in self.outcomes if outcome["status"] == "failed"]


@contextmanager
def select_events(settings, tables, tables_name, tables_sha256, output, files, on_truncated="refuse", **how):
    """Select events of files by [preselection_cuts], as a context in which the caller writes them.

    Parameters
    ----------
    settings : dict
    tables : LookupTables or None
    tables_name, tables_sha256 : str
        By which the tables are known.
    output : Path
        Of the dictionary; parts are in a folder beside it, and stay there if the block does not end well.
    files : list of Path
    on_truncated : 'refuse' or 'keep'
        A simtel file that ends early.
    **how
        As for :func:`analyses.analysed`.

    Yields
    ------
    CutsReport

    Raises
    ------
    InputError
        If events of several primaries were read, or one comes twice with different values.
    """
    report = CutsReport()
    tool = CutsSelector(settings, tables, tables_name, tables_sha256, on_truncated)
    with analysed(tool, output, files, **how) as (report.outcomes, parts):
        written = [outcome for outcome in report.outcomes if outcome["status"] == "written"]
        report.take(written, parts)
        yield report
