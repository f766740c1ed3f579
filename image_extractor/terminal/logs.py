"""Log lines, the same in the command and in its workers."""

import logging
import sys
import warnings

from ..errors import one_line

#: The logger of all rooms, whose names begin with it.
PACKAGE = "image_extractor"


def print_all_names():
    """Let stdout and stderr show names of files that they can't print in another way, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def start_logging(level):
    """Send this package's log lines of `level` and above, and others' warnings, to stderr."""
    log_to_stderr(logging.WARNING)
    logging.getLogger(PACKAGE).setLevel(level)
    if level > logging.DEBUG:
        warnings.filterwarnings("ignore", module="eventio|ctapipe|tables|numpy|numba")


def log_to_stderr(level, text="%(levelname)s: %(message)s"):
    """Send all log lines of `level` and above to stderr, unless the program that calls has seen to that."""
    logging.basicConfig(format=text, level=level)
    # PyTables' words for damage that is named in a line of its own
    warnings.filterwarnings("ignore", message="Unsupported type for attribute")


class noted(logging.Handler):  # noqa: N801 - used as a with statement's verb
    """Keep the text of this package's warnings until the block ends, in :attr:`lines`."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.lines = []

    def emit(self, record):
        self.lines.append(record.getMessage())

    def __enter__(self):
        logging.getLogger(PACKAGE).addHandler(self)
        return self

    def __exit__(self, *error):
        logging.getLogger(PACKAGE).removeHandler(self)


def quiet(name):
    """Let a logger that ctapipe makes for a class of ours give warnings only, each in one line."""
    logger = logging.getLogger(name)
    logger.setLevel(logging.WARNING)
    logger.addFilter(_one_line)


def _one_line(record):
    """Make a warning of what ctapipe logs with a traceback before it goes on."""
    if record.exc_info:
        record.msg, record.args = f"{record.getMessage()}: {one_line(record.exc_info[1])}", ()
        record.exc_info, record.levelno, record.levelname = None, logging.WARNING, "WARNING"
    return True
