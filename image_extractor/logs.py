"""Log lines, the same in the command and in its workers."""

import logging
import warnings


def start_logging(level):
    """Send this package's log lines of `level` and above, and others' warnings, to stderr."""
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    logging.getLogger(__package__).setLevel(level)
    if level > logging.DEBUG:
        warnings.filterwarnings("ignore", module="eventio|ctapipe|tables")
