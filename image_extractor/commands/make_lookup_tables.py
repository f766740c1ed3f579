"""The command make_lookup_tables.py: tables of width, length and energy of gammas, for prepare_cuts_dict.py."""

import logging
import shlex
import sys
import time
from pathlib import Path

from .. import config
from ..batch.progress import TABLES, display
from ..errors import ConfigError, DatasetError, InputError, cache_errors, one_line
from ..input_files import find_files
from ..terminal.arguments import Parser, user_path
from ..terminal.exit_codes import FAILED, OK, code_of
from ..terminal.interruption import deaf_at_exit, interruptible
from ..terminal.logs import start_logging
from ..terminal.text_table import aligned, plural
from ..version import __version__
from .output_file import check_output
from .worker_options import add_worker_options, executor

log = logging.getLogger("image_extractor")


def main(arguments=None):
    """Make lookup tables; returns the exit code."""
    arguments = sys.argv[1:] if arguments is None else [str(argument) for argument in arguments]
    options = _parser().parse_args(arguments)
    start_logging(logging.DEBUG if options.debug else logging.INFO)
    try:
        with interruptible(), cache_errors():
            return _make(options, shlex.join(["make_lookup_tables.py", *arguments]))
    except KeyboardInterrupt as interrupt:
        log.error("interrupted: the output is as it was; the same command goes on with the finished parts")
        return code_of(interrupt)
    except (ConfigError, DatasetError, InputError) as err:
        for line in str(err).splitlines():
            log.error("%s", line)
        if options.debug:
            log.error("traceback:", exc_info=err)
        return code_of(err)
    except OSError as err:
        reason = err.strerror or one_line(err)
        log.error("%s: %s: the output is as it was; the same command goes on", err.filename or options.output, reason)
        return FAILED
    finally:
        deaf_at_exit()


def _parser():
    parser = Parser(
        prog="make_lookup_tables.py",
        description="Make lookup tables of images of gammas: width, length and energy by size and impact distance. "
        "With them prepare_cuts_dict.py selects events without EventDisplay.",
        epilog="Example: make_lookup_tables.py '/data/gamma/*.simtel.zst' tables.h5 settings.config --plot plots",
    )
    add = parser.add_argument
    add("path", metavar="GAMMAS", help="simtel file, HDF5 file of ctapipe-process, or quoted wildcard")
    add("output", metavar="TABLES", type=user_path, help="HDF5 file to write")
    add("config", metavar="CONFIG", type=user_path, help="settings with [reconstruction], [cleaning], [calibration]")
    add("--plot", metavar="DIR", type=user_path, help="draw the tables, and where they are empty, to this folder")
    add_worker_options(parser)
    add("--overwrite", action="store_true", help="replace TABLES if it exists")
    add("--debug", action="store_true", help="log at debug level, and show tracebacks")
    add("--version", action="version", version=f"image_extractor {__version__}")
    return parser


def _make(options, command_line):
    output = Path(options.output)
    settings = config.load(options.config)
    files = find_files(options.path)
    check_output(output, [*files, Path(options.config)], options.overwrite)
    if options.plot:
        from ..terminal.one_line_errors import need

        need("matplotlib")
    from ..batch import many_files
    from ..batch.many_tables import make_tables

    start = time.monotonic()
    with executor(options) as client, display(many_files.Progress, files, TABLES) as progress:
        report = make_tables(
            settings,
            output,
            files,
            command_line,
            options.on_truncated,
            jobs=options.jobs,
            executor=client,
            on_error=options.on_error,
            progress=progress,
        )
    for outcome in report.failed:
        log.error("%s", outcome["reason"])
    if report.tables is None:
        if not report.failed:
            log.error("%s: no shower event: nothing is written", options.path)
        return FAILED
    sys.stdout.write(summary(report, settings["reconstruction"], output, time.monotonic() - start))
    if options.plot:
        from ..viewing.draw_tables import draw_tables

        for path in draw_tables(report.tables, settings["reconstruction"], Path(options.plot)):
            sys.stdout.write(f"{path}: written\n")
    return FAILED if report.failed else OK


def summary(report, settings, output, seconds):
    """Return what is in tables, in lines.

    report : many_tables.TablesReport
    settings : dict, the section [reconstruction]
    """
    reader = report.tables.reader(settings["min_entries"], settings["widen"])
    rows = [["telescope", "images", "cells", "of their own", "widened"]]
    for name, n_images in report.tables.n_images.items():
        cells = reader.cells(name, "width")
        n_used, n_widened = int((cells.median > 0).sum()), int(cells.is_widened.sum())
        rows.append([name, f"{n_images:,}", str(n_used), str(n_used - n_widened), str(n_widened)])
    n_read = sum(outcome.get("events_read", 0) for outcome in report.outcomes)
    n_used = sum(outcome.get("events_written", 0) for outcome in report.outcomes)
    n_files = len(report.outcomes) - len(report.failed)
    n_images, n_outside = (
        sum(outcome.get(name, 0) for outcome in report.outcomes) for name in ("images", "images_outside")
    )
    outside = f"{n_outside:,} of {n_images:,} good images are left out: too large, or too far from the axis"
    lines = [
        *aligned(rows),
        *([outside] if n_outside else []),
        *([] if report.tables.n_images else ["warning: no event has two good images: the tables are empty"]),
        f"{plural(n_files, 'file')}, {n_read:,} events of gammas, {n_used:,} of at least 2 good images",
        f"{output}: written, {seconds:.1f} s in all",
    ]
    return "\n".join(lines) + "\n"
