"""What is said of a run while it goes on: a bar on a terminal, else a log line per file."""

import logging
import sys
from dataclasses import dataclass

from ..hdf5.schema import OBSERVED
from ..input_files import short_names
from ..primaries import primary_name
from ..terminal.text_table import plural
from .summary import passed_over_words, state

log = logging.getLogger("image_extractor")


@dataclass(frozen=True)
class Words:
    """What is said of a file that is done.

    Attributes
    ----------
    done : str
        What was done with it.
    taken : str
        What the events are that an outcome calls `events_written`.
    """

    done: str
    taken: str


CONVERSION = Words("converted", "selected")
TABLES = Words("put in tables", "of at least 2 good images")
SELECTION = Words("looked through", "pass the cuts and are in a bin")


def display(base, files, words=CONVERSION):
    """Return the display as a context manager.

    Parameters
    ----------
    base : class
        many_files.Progress.
    files : list of Path
        All inputs.
    words : Words
    """
    from tqdm import tqdm
    from tqdm.contrib.logging import logging_redirect_tqdm

    class EventsBar(base):
        """One bar over all events; their number is estimated from how far the files are read."""

        def __enter__(self):
            self.names = short_names(files)
            self.bar = tqdm(unit=" events", disable=not sys.stderr.isatty(), dynamic_ncols=True)
            self.redirect = logging_redirect_tqdm() if not self.bar.disable else None
            if self.redirect:
                self.redirect.__enter__()
            return self

        def __exit__(self, *error):
            self.bar.close()
            if self.redirect:
                self.redirect.__exit__(*error)

        def started(self, n_files):
            self.n_files, self.fractions, self.n_done = n_files, {}, 0

        def read(self, file, n_events, fraction):
            self.fractions[file] = fraction
            part = (self.n_done + sum(self.fractions.values())) / self.n_files
            self.bar.total = max(round((self.bar.n + n_events) / max(part, 1e-3)), 1)
            self.bar.update(n_events)

        def done(self, outcome):
            self.fractions.pop(outcome["file"], None)
            self.n_done += 1
            if outcome["status"] == "failed":  # its reason is an error line at the end
                log.debug("%s: %s", outcome["file"], outcome.get("traceback", "no traceback: its worker died"))
                return
            if outcome["status"] == "written":
                log.debug("%s: %s", outcome["file"], _events_in_words(outcome, words))
            if self.bar.disable:
                name = self.names.get(outcome["file"], outcome["file"])
                log.info("%d/%d %s: %s", self.n_done, self.n_files, name, _in_words(outcome, words))

        def merging(self, n_sources):
            self.bar.set_description_str(f"merging {n_sources} parts")
            log.debug("merging %d parts", n_sources)

    return EventsBar()


def _in_words(outcome, words):
    """Return in words what became of a file; whether its part gets into the output, turns out later."""
    if outcome["status"] != "written":
        return state(outcome)
    before = " by an earlier run" if outcome.get("resumed") else ""
    return f"{words.done}{before}: {_numbers(outcome, words)}"


def _events_in_words(outcome, words):
    """Return in words what became of the events of a file: an outcome of many_files.Report."""
    dropped = {
        name.removeprefix("dropped_").replace("_", " "): n for name, n in outcome.items() if name[:8] == "dropped_"
    }
    listed = ", ".join(f"{n} {reason}" for reason, n in dropped.items() if n) or "none"
    primary = "observed" if outcome.get("kind") == OBSERVED else f"primary {primary_name(outcome['primary'])}"
    passed_over = passed_over_words([outcome.get("passed_over")])
    passed_over = passed_over or plural(outcome["calibration_events"], "calibration event")
    return (
        f"{primary}, {_numbers(outcome, words, listed if dropped else '')}, "
        f"{plural(outcome['images'], 'image')}, {passed_over} passed over, {outcome['seconds']:.2f} s"
    )


def _numbers(outcome, words, dropped=""):
    of_dropped = f"dropped: {dropped}, " if dropped else ""
    return f"{plural(outcome['events_read'], 'event')} read, {of_dropped}{outcome['events_written']} {words.taken}"
