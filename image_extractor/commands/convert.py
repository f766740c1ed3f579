"""The command image_extractor.py: arguments, one call, exit code."""

import argparse
import logging
import math
import os
import shlex
import sys
import time
from pathlib import Path

from ..batch.progress import display
from ..batch.summary import nothing_written, summary
from ..errors import ConfigError, DatasetError, InputError, cache_errors, one_line
from ..input_files import find_files, is_hdf5, may_be_simtel
from ..split_fractions import are_right
from ..terminal.arguments import Parser, not_negative, positive, user_path
from ..terminal.exit_codes import FAILED, OK, USAGE, code_of
from ..terminal.interruption import deaf_at_exit, interruptible
from ..terminal.logs import start_logging
from ..terminal.one_line_errors import stop_writing
from ..terminal.text_table import plural
from ..version import __version__
from ..workers.start_up import import_frozen
from .lookup_lines import table_lines
from .output_file import check_output
from .worker_options import add_worker_options, executor

log = logging.getLogger("image_extractor")

DEFAULT_SPLIT = "0.9,0.1"


def main(arguments=None):
    """Convert simtel files to an image dataset; returns the exit code."""
    arguments = sys.argv[1:] if arguments is None else [str(argument) for argument in arguments]
    parser = _parser()
    options = parser.parse_args(arguments)
    start_logging(logging.DEBUG if options.debug else logging.INFO)
    try:
        with interruptible(), cache_errors():
            return _convert(options, shlex.join(["image_extractor.py", *arguments]))
    except KeyboardInterrupt as interrupt:
        log.error("interrupted: the output is as it was; the same command goes on with the finished parts")
        return code_of(interrupt)
    except (ConfigError, DatasetError) as err:
        return _fail(err, USAGE, options.debug)
    except InputError as err:
        return _fail(err, FAILED, options.debug)
    except OSError as err:
        reason = err.strerror or one_line(err)
        message = f"{err.filename or options.output}: {reason}: the output is as it was; the same command goes on"
        return _fail(message, FAILED, options.debug)
    finally:
        deaf_at_exit()


def _parser():
    parser = Parser(
        prog="image_extractor.py",
        description="Convert simulated telescope events (simtel) to a dataset of calibrated camera images (HDF5).",
        epilog="Example: image_extractor.py '/data/*.simtel.gz' dataset.h5 settings.config cuts.pkl --shuffle --split",
    )
    add = parser.add_argument
    add("path", metavar="PATH", help="simtel file (.simtel, .gz, .zst), another that ctapipe reads, or quoted wildcard")
    add("output", metavar="OUTPUT", type=user_path, help="HDF5 file to write; an existing dataset is appended to")
    add(
        "config",
        metavar="CONFIG",
        type=user_path,
        help="configuration file; python -m image_extractor.config FILE makes one",
    )
    add(
        "cuts",
        metavar="BINS_CUTS_DICT",
        type=user_path,
        nargs="?",
        help="which events to keep; prepare_cuts_dict.py makes one",
    )
    add("--bins_cuts_dict", metavar="FILE", type=user_path, help="another way to give it")
    add(
        "--tables",
        metavar="TABLES",
        type=user_path,
        help="lookup tables in the place of BINS_CUTS_DICT: events are reconstructed and cut on in this pass; "
        "make_lookup_tables.py makes them",
    )
    add(
        "--save_cuts_dict",
        metavar="FILE",
        type=user_path,
        help="with --tables: also write the dictionary, as prepare_cuts_dict.py; a table if FILE ends with .h5",
    )
    add("--max_events", metavar="N", type=positive, help="events saved per input file, at most")
    add("--shuffle", action="store_true", help="shuffle every Events table")
    add("--seed", metavar="S", type=_seed, default=0, help="makes the shuffle repeatable (default: 0)")
    add(
        "--split",
        metavar="T,V,TEST",
        type=_fractions,
        nargs="?",
        const=_fractions(DEFAULT_SPLIT),
        help=f"split every Events table into Training, Validation (and Test) (default: {DEFAULT_SPLIT})",
    )
    add_worker_options(parser)
    add("--files_per_output", metavar="N", type=positive, help="write OUTPUT_0000.h5, ... of N input files each")
    add("--overwrite", action="store_true", help="start OUTPUT afresh instead of appending, and replace the dictionary")
    add("--debug", action="store_true", help="log at debug level, and show tracebacks")
    add("--version", action="version", version=f"image_extractor {__version__}")
    return parser


def _seed(text):
    number = not_negative(text)
    if number >= 2**63:
        raise argparse.ArgumentTypeError(f"{text}: must be below 2**63")
    return number


def _fractions(text):
    try:
        numbers = [float(piece) for piece in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) > 3 or not are_right(numbers):
        message = f"{text}: must be up to three fractions that add up to 1, such as {DEFAULT_SPLIT}"
        if not numbers:  # --split without fractions has taken the argument behind it
            message += "; write --split=..., or --split after the other arguments"
        elif len(numbers) > 3:
            message += f"; {len(numbers)} are too many"
        elif min(numbers) <= 0:
            message += "; each must be above 0"
        elif math.isfinite(sum(numbers)):
            message += f", not to {sum(numbers):.6g}"
        raise argparse.ArgumentTypeError(message)
    return dict(zip(("Training", "Validation", "Test"), numbers, strict=False))


def _fail(message, code, debug):
    for line in str(message).splitlines():
        log.error("%s", line)
    if debug and isinstance(message, BaseException):
        log.error("traceback:", exc_info=message)
    return code


# -- the run --------------------------------------------------------------------------------------


def _convert(options, command_line):
    if options.cuts and options.bins_cuts_dict and options.cuts != options.bins_cuts_dict:
        raise ConfigError(f"two dictionaries are given, {options.cuts} and {options.bins_cuts_dict}: give one")
    if options.save_cuts_dict and not options.tables:
        raise ConfigError(f"{options.save_cuts_dict}: --save_cuts_dict goes with --tables, of which it is made")
    files = find_files(options.path)
    _check_output(Path(options.output), options.files_per_output)
    if options.save_cuts_dict:
        _check_cuts_dict(options, files)
    _import(options, len(files))
    from ..batch import many_files
    from ..image_extractor import ImageExtractor

    extractor = ImageExtractor.from_config(
        options.output, options.bins_cuts_dict or options.cuts, options.config, options.tables
    )
    start = time.monotonic()
    with executor(options) as client, display(many_files.Progress, files) as progress:
        report = many_files.convert_files(
            extractor.converter,
            extractor.output_path,
            files,
            max_events=options.max_events,
            jobs=options.jobs,
            executor=client,
            files_per_output=options.files_per_output,
            seed=options.seed if options.shuffle else None,
            split=options.split,
            overwrite=options.overwrite,
            on_error=options.on_error,
            on_truncated=options.on_truncated,
            command_line=command_line,
            progress=progress,
            save_cuts_dict=options.save_cuts_dict,
        )
    _print(summary(report, options.output, time.monotonic() - start) + _cuts_text(report, extractor.settings, options))
    for outcome in report.failed:
        log.error("%s", outcome["reason"])
    reason = "" if report.failed or report.outputs else nothing_written(report, extractor.settings)
    if reason:
        raise InputError(f"{options.path}: {reason}: nothing is written")
    _warn_of_wrong_dictionary(report, options)
    return FAILED if report.failed else OK


def _import(options, n_files):
    """Import what a run takes; what converts in workers of this machine does so at the same time."""
    from ..batch import tasks

    modules = ["image_extractor.batch.many_files", "image_extractor.image_extractor"]
    if options.jobs == 1 or n_files == 1:
        modules += [] if options.scheduler else tasks.MODULES
    elif not options.scheduler:
        from ..workers import local_pool

        local_pool.prepare(tasks.MODULES)
    import_frozen(modules)


def _check_cuts_dict(options, files):
    """Raise ConfigError unless the dictionary can be saved there."""
    output, path = Path(options.output), Path(options.save_cuts_dict)
    if path.absolute() == output.absolute():
        raise ConfigError(f"{path}: is OUTPUT; choose another name for the dictionary")
    inputs = [*files, Path(options.config), Path(options.tables), output]
    # the run that wrote it may have been interrupted behind that: then the same command goes on
    is_unfinished = output.with_name(output.name + ".parts").is_dir()
    check_output(path, [one for one in inputs if one.exists()], options.overwrite or is_unfinished)


def _cuts_text(report, settings, options):
    """Return what is to be said of cuts with lookup tables."""
    if report.cuts is None or not report.cuts.flows:
        return ""
    from ..cuts.preselection import cut_flow_table, total

    title = f"cut flow of events reconstructed with {Path(options.tables).name}"
    text = cut_flow_table(total(report.cuts.flows.values()), settings, title)
    text += "".join(f"{line}\n" for line in table_lines(report.cuts.counts))
    if options.save_cuts_dict:
        text += f"{options.save_cuts_dict}: {plural(len(report.cuts.rows), 'event')} written\n"
    return text


def _print(text):
    """Write to stdout; what becomes of that changes nothing: the run is done."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, such as head, has seen enough
        stop_writing()
    except (OSError, AttributeError) as err:  # closed, it is None
        log.warning("the summary can't be printed: %s", getattr(err, "strerror", None) or "stdout is closed")


def _warn_of_wrong_dictionary(report, options):
    """Say so if a dictionary has no event of all that were read: it may be that of other runs."""
    written = [outcome for outcome in report.outcomes if outcome["status"] == "written" and outcome["events_read"]]
    if written and all(outcome.get("dropped_not_in_dictionary") == outcome["events_read"] for outcome in written):
        if options.tables:
            log.warning(
                "no event of %s passes [preselection_cuts] with %s; they will not be converted again: to do so with "
                "other tables, start afresh with --overwrite",
                plural(len(written), "file"),
                options.tables,
            )
            return
        log.warning(
            "%s has no event of %s, which will not be converted again: "
            "if it is the wrong dictionary, start afresh with the right one and --overwrite",
            options.bins_cuts_dict or options.cuts,
            plural(len(written), "file"),
        )


def _check_output(output, is_numbered):
    folder = output.absolute().parent
    if not folder.is_dir():
        raise ConfigError(f"{output}: its folder {folder} does not exist: make it first")
    if output.is_dir():
        raise ConfigError(f"{output}: is a folder; OUTPUT is the HDF5 file to write")
    if not os.access(folder, os.W_OK):
        raise ConfigError(f"{output}: its folder {folder} is not writable")
    if not output.is_file() or is_hdf5(output):
        return
    is_input = may_be_simtel(output)  # the shell made OUTPUT of a wildcard that matches two files
    if is_input or not is_numbered:
        hint = " (put a wildcard in quotes)" if is_input else ""
        raise ConfigError(f"{output}: not an HDF5 file, and left as it is: choose another OUTPUT{hint}")
