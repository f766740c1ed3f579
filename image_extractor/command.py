"""The command image_extractor.py: arguments, progress, summary, exit code."""

import argparse
import contextlib
import logging
import math
import os
import shlex
import signal
import sys
import time
from pathlib import Path

from . import __version__
from .arguments import Parser, not_negative, positive, surplus_message
from .errors import ConfigError, DatasetError, InputError
from .input_files import find_files, is_hdf5
from .logs import start_logging
from .text_table import plural

log = logging.getLogger("image_extractor")

OK, SOME_FAILED, USAGE, INTERRUPTED, TERMINATED = 0, 1, 2, 130, 143
DEFAULT_SPLIT = "0.9,0.1"


def main(arguments=None):
    """Convert simtel files to an image dataset; returns the exit code."""
    arguments = sys.argv[1:] if arguments is None else [str(argument) for argument in arguments]
    parser = _parser()
    options, surplus = parser.parse_known_intermixed_args(arguments)
    if surplus:
        parser.error(surplus_message(surplus))
    start_logging(logging.DEBUG if options.debug else logging.INFO)
    signal.signal(signal.SIGTERM, _terminate)
    try:
        return _convert(options, shlex.join(["image_extractor.py", *arguments]))
    except KeyboardInterrupt as interrupt:
        log.error("interrupted: the output is as it was; the same command goes on with the finished parts")
        return TERMINATED if interrupt.args == (signal.SIGTERM,) else INTERRUPTED
    except (ConfigError, DatasetError) as err:
        return _fail(err, USAGE, options.debug)
    except InputError as err:
        return _fail(err, SOME_FAILED, options.debug)
    except OSError as err:
        reason = err.strerror or str(err).strip().splitlines()[-1]
        message = f"{err.filename or options.output}: {reason}: the output is as it was; the same command goes on"
        return _fail(message, SOME_FAILED, options.debug)


def _parser():
    parser = Parser(
        prog="image_extractor.py",
        description="Convert simulated telescope events (simtel) to a dataset of calibrated camera images (HDF5).",
        epilog="Example: image_extractor.py '/data/*.simtel.gz' dataset.h5 settings.config cuts.pkl --shuffle --split",
    )
    add = parser.add_argument
    add("path", metavar="PATH", help="simtel file (.simtel, .gz, .zst) or quoted wildcard")
    add("output", metavar="OUTPUT", help="HDF5 file to write; an existing dataset is appended to")
    add("config", metavar="CONFIG", help="configuration file; python -m image_extractor.config FILE makes one")
    add("cuts", metavar="BINS_CUTS_DICT", nargs="?", help="which events to keep; prepare_cuts_dict.py makes one")
    add("--bins_cuts_dict", metavar="FILE", help="another way to give it")
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
    add("--jobs", metavar="N", type=positive, default=_n_cores(), help="worker processes (default: all cores)")
    add(
        "--scheduler",
        metavar="ADDRESS",
        help="convert on a dask cluster: its address, its scheduler file, or 'local'; its workers see the same files",
    )
    add("--files_per_output", metavar="N", type=positive, help="write OUTPUT_0000.h5, ... of N input files each")
    add("--overwrite", action="store_true", help="start OUTPUT afresh instead of appending")
    add(
        "--on_error",
        choices=["skip", "stop"],
        default="skip",
        help="what an unreadable input does: leave it out, or end the run (default: skip)",
    )
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
    if not (1 <= len(numbers) <= 3 and all(number > 0 for number in numbers) and abs(sum(numbers) - 1) <= 1e-6):
        message = f"{text}: must be up to three fractions that add up to 1, such as {DEFAULT_SPLIT}"
        if not numbers:  # --split without fractions has taken the argument behind it
            message += "; write --split=..., or --split after the other arguments"
        elif math.isfinite(sum(numbers)):
            message += f", not to {sum(numbers):.6g}"
        raise argparse.ArgumentTypeError(message)
    return dict(zip(("Training", "Validation", "Test"), numbers, strict=False))


def _n_cores():
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _terminate(*_):
    raise KeyboardInterrupt(signal.SIGTERM)


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
    files = find_files(options.path)
    _check_output(Path(options.output), options.files_per_output)
    from . import batch
    from .image_extractor import ImageExtractor

    extractor = ImageExtractor.from_config(options.output, options.bins_cuts_dict or options.cuts, options.config)
    start = time.monotonic()
    with _executor(options) as executor, _progress(batch.Progress) as progress:
        report = batch.run(
            extractor,
            files,
            max_events=options.max_events,
            jobs=options.jobs,
            executor=executor,
            files_per_output=options.files_per_output,
            seed=options.seed if options.shuffle else None,
            split=options.split,
            overwrite=options.overwrite,
            on_error=options.on_error,
            command_line=command_line,
            progress=progress,
        )
    sys.stdout.write(_summary(report, options.output, time.monotonic() - start))
    for run in report.failed:
        log.error("%s", run["reason"])
    if not report.failed and not report.has_events:
        state = f"{options.output} holds none" if report.outputs else "nothing is written"
        raise InputError(f"{options.path}: no file has a shower event of a selected telescope: {state}")
    _warn_of_wrong_dictionary(report, options)
    return SOME_FAILED if report.failed else OK


def _warn_of_wrong_dictionary(report, options):
    """Say so if a dictionary has no event of all that were read: it may be that of other runs."""
    written = [run for run in report.runs if run["status"] == "written" and run["events_read"]]
    if written and all(run.get("dropped_not_in_dictionary") == run["events_read"] for run in written):
        log.warning(
            "%s has no event of %s, which will not be converted again: "
            "if it is the wrong dictionary, start afresh with the right one and --overwrite",
            options.bins_cuts_dict or options.cuts,
            plural(len(written), "file"),
        )


def _executor(options):
    """Return what takes the tasks, as a context manager: the client of a dask cluster, or None."""
    if options.scheduler is None:
        return contextlib.nullcontext()
    from .cluster import connect

    return connect(options.scheduler, options.jobs)


def _check_output(output, is_numbered):
    folder = output.absolute().parent
    if not folder.is_dir():
        raise ConfigError(f"{output}: its folder {folder} does not exist: make it first")
    if output.is_dir():
        raise ConfigError(f"{output}: is a folder; OUTPUT is the HDF5 file to write")
    if not os.access(folder, os.W_OK):
        raise ConfigError(f"{output}: its folder {folder} is not writable")
    if output.is_file() and not is_numbered and not is_hdf5(output):
        raise ConfigError(f"{output}: not an HDF5 file, and left as it is: choose another OUTPUT")


# -- what the user sees ----------------------------------------------------------------------------


def _progress(base):
    """Return the progress display as a context manager: a bar on a terminal, else a log line per file."""
    from tqdm import tqdm
    from tqdm.contrib.logging import logging_redirect_tqdm

    class Display(base):
        """One bar over all events; their number is estimated from how far the files are read."""

        def __enter__(self):
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

        def done(self, run):
            self.fractions.pop(run["file"], None)
            self.n_done += 1
            if self.bar.disable and run["status"] != "failed":
                log.info("%d/%d %s", self.n_done, self.n_files, _run_line(run))

        def merging(self, n_sources):
            self.bar.set_description_str(f"merging {n_sources} parts")
            log.debug("merging %d parts", n_sources)

    return Display()


STATUS_WORDS = {
    "known": "in the output already, skipped",
    "no telescope": "no selected telescope",
    "no shower": "no shower event",
    "failed": "FAILED",
}


def _run_line(run):
    name = Path(run["file"]).name
    if run["status"] != "written":
        reason = f", {run['reason']}" if run["status"] == "no telescope" else ""
        return f"{name}: {STATUS_WORDS[run['status']]}{reason}"
    before = " by an earlier run" if run.get("resumed") else ""
    return f"{name}: {plural(run['events_read'], 'event')} read, {run['events_written']} written{before}"


def _summary(report, output, seconds):
    """Return the table at the end: a line per input file, then totals."""
    written = [run for run in report.runs if run["status"] == "written"]
    width = max([len(Path(run["file"]).name) for run in report.runs] + [5])
    lines = [f"{'file':{width}} {'read':>8} {'passed':>8} {'written':>8} {'s':>7} {'events/s':>9}  images"]
    for run in report.runs:
        name = Path(run["file"]).name
        if run["status"] == "written":
            lines.append(f"{name:{width}} " + _counts(run))
            if not run["events_read"]:
                lines.append(f"{'':{width}} no shower event triggered")
        else:
            lines.append(f"{name:{width}} {_run_line(run).removeprefix(name + ': ')}")
    if len(written) > 1:
        keys = ("events_read", "events_written", "dropped_no_image", "seconds")
        total = {key: sum(run[key] for run in written) for key in keys}
        types = {short for run in written for short in run["images_by_type"]}
        total["images_by_type"] = {t: sum(run["images_by_type"].get(t, 0) for run in written) for t in sorted(types)}
        lines.append(f"{'total':{width}} " + _counts(total))
    lines += _dropped_lines(written)
    clipped = sum(run["clipped_pixels"] for run in written)
    if clipped:
        lines.append(f"clipped pixels: {clipped}; a larger dtype or a smaller scale keeps what did not fit")
    lines += _split_lines(report.outputs)
    state = "written" if report.outputs else "unchanged" if Path(output).exists() else "not written"
    if report.outputs and Path(output) not in report.outputs:  # numbered ones
        output = " ... ".join(dict.fromkeys(str(path) for path in (report.outputs[0], report.outputs[-1])))
    lines.append(f"{output}: {state}, {seconds:.1f} s in all")
    return "\n".join(lines) + "\n"


def _split_lines(outputs):
    """Return how many events the split tables of all outputs hold, as showers allowed; nothing if there are none."""
    from . import row_types, storage

    totals = {}
    for path in outputs:
        with storage.damage(path), storage.open_dataset(path, rows_only=True) as file:
            for group in storage.events_groups(file):
                for name, table in storage.events_tables(group).items():
                    totals[name] = totals.get(name, 0) + int(table.nrows)
    if row_types.EVENTS in totals or not totals:
        return []
    everything = max(sum(totals.values()), 1)
    shares = [f"{name.partition('_')[2]} {n} ({100 * n / everything:.1f} %)" for name, n in totals.items()]
    return [f"split: {', '.join(shares)} of {plural(sum(totals.values()), 'event')}"]


def _counts(run):
    passed = run["events_written"] + run["dropped_no_image"]
    types = ", ".join(f"{n} {short}" for short, n in run["images_by_type"].items())
    rate = run["events_read"] / run["seconds"] if run["seconds"] else 0
    return f"{run['events_read']:8} {passed:8} {run['events_written']:8} {run['seconds']:7.1f} {rate:9.1f}  {types}"


def _dropped_lines(written):
    reasons = sorted({key for run in written for key in run if key.startswith("dropped_")})
    dropped = {key.removeprefix("dropped_").replace("_", " "): sum(run[key] for run in written) for key in reasons}
    words = [f"{n} {reason}" for reason, n in dropped.items() if n]
    return ["dropped: " + ", ".join(words)] if words else []
