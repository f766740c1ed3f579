"""What is said of a run while it goes on: a bar on a terminal, else a log line per file."""

import logging
import sys

from ..input_files import short_names
from ..primaries import primary_name
from ..terminal.text_table import plural
from .summary import state

log = logging.getLogger("image_extractor")


def display(base, files):
    """Return the display as a context manager.

    Parameters
    ----------
    base : class
        many_files.Progress.
    files : list of Path
        All inputs.
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
                log.debug("%s: %s", outcome["file"], _events_in_words(outcome))
            if self.bar.disable:
                name = self.names.get(outcome["file"], outcome["file"])
                log.info("%d/%d %s: %s", self.n_done, self.n_files, name, _in_words(outcome))

        def merging(self, n_sources):
            self.bar.set_description_str(f"merging {n_sources} parts")
            log.debug("merging %d parts", n_sources)

    return EventsBar()


def _in_words(outcome):
    """Return in words what the conversion of a file gave; whether that is written, turns out later."""
    if outcome["status"] != "written":
        return state(outcome)
    before = " by an earlier run" if outcome.get("resumed") else ""
    return f"converted{before}: {plural(outcome['events_read'], 'event')} read, {outcome['events_written']} selected"


def _events_in_words(outcome):
    """Return in words what became of the events of a converted file: an outcome of many_files.Report."""
    dropped = {
        name.removeprefix("dropped_").replace("_", " "): n for name, n in outcome.items() if name[:8] == "dropped_"
    }
    words = ", ".join(f"{n} {reason}" for reason, n in dropped.items() if n) or "none"
    return (
        f"primary {primary_name(outcome['primary'])}, {plural(outcome['events_read'], 'event')} read, "
        f"dropped: {words}, "
        f"{outcome['events_written']} selected with {plural(outcome['images'], 'image')}, "
        f"{plural(outcome['calibration_events'], 'calibration event')} passed over, {outcome['seconds']:.2f} s"
    )
