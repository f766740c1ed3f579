"""The command prepare_cuts_dict.py: a bins_cuts_dict of mscw files, or of simtel files and lookup tables."""

import argparse
import functools
import logging
import sys
import traceback
from pathlib import Path

from .. import config
from ..cuts import dictionary
from ..cuts.eventdisplay import build, need_uproot, primaries_of
from ..cuts.preselection import attributes_of, cut_flow_table, total
from ..errors import ConfigError, DatasetError, InputError
from ..input_files import find_files, is_hdf5, may_be_simtel
from ..primaries import primary_id, primary_name
from ..terminal.arguments import Parser, user_path
from ..terminal.exit_codes import FAILED, OK, code_of
from ..terminal.logs import start_logging
from ..terminal.one_line_errors import one_line_errors
from .lookup_lines import table_lines
from .output_file import check_output
from .worker_options import add_worker_options, executor


def _parser():
    parser = Parser(
        prog="prepare_cuts_dict.py",
        description="Select events of EventDisplay's mscw files, or of simtel files and HDF5 files of ctapipe-process "
        "with lookup tables, and sort them into energy bins: the bins_cuts_dict for image_extractor.py, one for each "
        "particle type.",
        epilog="example: prepare_cuts_dict.py 'gamma/*.mscw.root' gamma_cuts.pkl settings.config",
    )
    parser.add_argument("files", metavar="FILES", help="a mscw.root, simtel or HDF5 file, or a quoted wildcard")
    parser.add_argument("output", metavar="OUTPUT", type=user_path, help="the dictionary to write")
    parser.add_argument(
        "config_path", metavar="CONFIG", type=user_path, help="settings with [preselection_cuts] and [energy_bins]"
    )
    parser.add_argument(
        "--tables",
        metavar="TABLES",
        type=user_path,
        help="lookup tables of gammas, for simtel and HDF5 files; make_lookup_tables.py makes them",
    )
    add_worker_options(parser)
    parser.add_argument(
        "--format",
        dest="file_format",
        choices=dictionary.FORMATS,
        default="pickle",
        help="hdf5: a table that is safe to pass around; the converter reads either (default: pickle)",
    )
    parser.add_argument(
        "--primary",
        metavar="NAME_OR_ID",
        type=_primary,
        help="whose events these are: gamma, proton, ... or sim_telarray's number; the converter refuses other files",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace OUTPUT if it exists")
    parser.add_argument("--debug", action="store_true", help="show the cut flow of each file, and tracebacks")
    return parser


def _primary(word):
    try:
        return primary_id(word)
    except ValueError as err:
        raise argparse.ArgumentTypeError(err) from None


def main(arguments=None):
    """Run the command prepare_cuts_dict.py; returns the exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    return one_line_errors(_prepare, options)


def _prepare(options):
    try:
        return prepare(**vars(options))
    except (ConfigError, DatasetError, InputError) as err:
        if options.debug:
            traceback.print_exc()
        for line in str(err).splitlines():
            sys.stderr.write(f"{line}\n")
        return code_of(err)
    except KeyboardInterrupt as interrupt:
        sys.stderr.write("interrupted: nothing was written\n")
        return code_of(interrupt)


def prepare(
    files,
    output,
    config_path,
    tables=None,
    file_format="pickle",
    primary=None,
    overwrite=False,
    debug=False,
    **worker_options,
):
    """Do what the command does: read, write, print the cut flow; returns the exit code.

    Raises
    ------
    ConfigError, InputError
        If nothing was written, with the reason.
    """
    output, config_path = Path(output), Path(config_path)
    settings = config.load(config_path)
    files = find_files(files)
    are_events = _are_events(files, tables)
    check_output(output, [*files, config_path, *([Path(tables)] if tables else [])], overwrite)
    write = functools.partial(_write, output, settings, file_format, debug)
    if are_events:
        return _prepare_with_tables(files, output, settings, tables, primary, debug, worker_options, write)
    rows, flows = _build_with_progress(files, settings)
    write(rows, flows, _known_primary(files, primary), {"uproot_version": need_uproot().__version__})
    return OK


def _are_events(files, tables):
    """Say whether files are simtel or ctapipe's HDF5; raise ConfigError for what does not go together."""
    with_tables = [path for path in files if path.is_file() and (is_hdf5(path) or may_be_simtel(path))]
    if not with_tables:
        if tables:
            raise ConfigError(f"{files[0]}: --tables is for simtel and HDF5 files: mscw files have been looked up")
        return False
    if len(with_tables) < len(files):
        other = next(path for path in files if path not in with_tables)
        raise ConfigError(f"{other}: is no simtel or HDF5 file, as {with_tables[0]} is: give those of one kind")
    if not tables and not is_hdf5(with_tables[0]):
        raise ConfigError(f"{with_tables[0]}: needs --tables TABLES; make_lookup_tables.py makes them")
    return True


def _write(output, settings, file_format, debug, rows, flows, primary, attributes, more=""):
    """Write the dictionary and print the cut flow, and what more there is to say."""
    dictionary.save(output, rows, file_format, attributes_of(settings) | attributes, flows, primary)
    if debug and len(flows) > 1:
        for path, flow in flows.items():
            sys.stdout.write(cut_flow_table(flow, settings, f"cut flow of {path}") + "\n")
    title = f"cut flow of {next(iter(flows))}" if len(flows) == 1 else f"cut flow of {len(flows)} files"
    sys.stdout.write(cut_flow_table(total(flows.values()), settings, title) + more)
    if not len(rows):
        sys.stdout.write("warning: no event passes the cuts and is in a bin: the dictionary is empty\n")
    of = "" if primary is None else f" of {primary_name(primary)}"
    sys.stdout.write(f"{output}: {len(rows):,} events{of} written\n")


# -- with lookup tables ---------------------------------------------------------------------------


def _prepare_with_tables(files, output, settings, tables, primary, debug, worker_options, write):
    """Look events of files up in tables, if there are any, and write those that pass; returns the exit code."""
    from ..batch import many_files
    from ..batch.found_cuts import tables_attributes
    from ..batch.many_cuts import select_events
    from ..batch.progress import SELECTION, display
    from ..reconstruction import table_files

    start_logging(logging.DEBUG if debug else logging.INFO)
    options = argparse.Namespace(**worker_options)
    found, name, sha256 = None, "", ""
    if tables:
        found, name, sha256 = table_files.load_identified(tables)
    with (
        executor(options) as client,
        display(many_files.Progress, files, SELECTION) as progress,
        select_events(
            settings,
            found,
            name,
            sha256,
            output,
            files,
            options.on_truncated,
            jobs=options.jobs,
            executor=client,
            on_error=options.on_error,
            progress=progress,
        ) as report,
    ):
        if report.flows:
            if primary is not None and primary != report.primary:
                what = f"events of {primary_name(report.primary)}, not of {primary_name(primary)}, as --primary says"
                raise InputError(f"{next(iter(report.flows))}: {what}")
            attributes = tables_attributes(name, sha256) if tables else {}
            more = "".join(f"{line}\n" for line in table_lines(report.counts)) if tables else ""
            write(report.rows, report.flows, report.primary, attributes, more)
    for outcome in report.failed:
        sys.stderr.write(f"{outcome['reason']}\n")
    if not report.flows and not report.failed:
        raise InputError(f"{files[0]}: no shower event: nothing is written")
    return FAILED if report.failed else OK


# -- without ----------------------------------------------------------------------------------------


def _known_primary(files, given):
    """Return the primary of all events of the files, None if nobody says; raise InputError if there are several."""
    found = {} if given is None else {given: "--primary"}
    for path in files:
        for primary in primaries_of(path):
            found.setdefault(primary, path)
    if len(found) > 1:
        listed = " and ".join(f"{primary_name(primary)} ({where})" for primary, where in found.items())
        raise InputError(f"{files[0]}: events of {listed}: build one dictionary per particle type")
    return next(iter(found), None)


def _build_with_progress(files, settings):
    need_uproot()
    from tqdm import tqdm

    # disable=None: no bar unless on a terminal
    with tqdm(unit=" events", unit_scale=True, disable=None, leave=False) as bar:

        def progress(n_done, n_events):
            bar.total = n_events
            bar.update(n_done)

        return build(files, settings, progress)
