"""The command prepare_cuts_dict.py: a bins_cuts_dict of mscw files."""

import argparse
import os
import sys
import traceback
from pathlib import Path

from .. import config
from ..cuts import dictionary
from ..cuts.eventdisplay import build, need_uproot, primaries_of
from ..cuts.preselection import (
    cut_flow_table,
    total,
)
from ..errors import ConfigError, InputError
from ..input_files import find_files
from ..primaries import primary_id, primary_name
from ..terminal.arguments import Parser, user_path
from ..terminal.exit_codes import OK, code_of
from ..terminal.one_line_errors import one_line_errors


def _parser():
    parser = Parser(
        prog="prepare_cuts_dict.py",
        description="Select events of EventDisplay's mscw files and sort them into energy bins: "
        "the bins_cuts_dict for image_extractor.py, one for each particle type.",
        epilog="example: prepare_cuts_dict.py 'gamma/*.mscw.root' gamma_cuts.pkl settings.config",
    )
    parser.add_argument("mscw_files", metavar="MSCW_FILES", help="a mscw.root file or a quoted wildcard")
    parser.add_argument("output", metavar="OUTPUT", type=user_path, help="the dictionary to write")
    parser.add_argument(
        "config_path", metavar="CONFIG", type=user_path, help="settings with [preselection_cuts] and [energy_bins]"
    )
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
        prepare(**vars(options))
    except (ConfigError, InputError) as err:
        if options.debug:
            traceback.print_exc()
        for line in str(err).splitlines():
            sys.stderr.write(f"{line}\n")
        return code_of(err)
    except KeyboardInterrupt as interrupt:
        sys.stderr.write("interrupted: nothing was written\n")
        return code_of(interrupt)
    return OK


def prepare(mscw_files, output, config_path, file_format="pickle", primary=None, overwrite=False, debug=False):
    """Do what the command does: read, write, print the cut flow.

    Raises
    ------
    ConfigError, InputError
        If nothing was written, with the reason.
    """
    output, config_path = Path(output), Path(config_path)
    settings = config.load(config_path)
    files = find_files(mscw_files)
    _check_output(output, [*files, config_path], overwrite)
    rows, flows = _build_with_progress(files, settings)
    primary = _known_primary(files, primary)
    dictionary.save(output, rows, file_format, _attributes(settings), flows, primary)
    if debug and len(flows) > 1:
        for path, flow in flows.items():
            sys.stdout.write(cut_flow_table(flow, settings, f"cut flow of {path}") + "\n")
    title = f"cut flow of {files[0]}" if len(files) == 1 else f"cut flow of {len(files)} files"
    sys.stdout.write(cut_flow_table(total(flows.values()), settings, title))
    if not len(rows):
        sys.stdout.write("warning: no event passes the cuts and is in a bin: the dictionary is empty\n")
    of = "" if primary is None else f" of {primary_name(primary)}"
    sys.stdout.write(f"{output}: {len(rows):,} events{of} written\n")


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


def _check_output(output, inputs, overwrite):
    if output.is_dir() or not output.parent.is_dir() or not os.access(output.parent, os.W_OK):
        what = "is a folder" if output.is_dir() else f"{output.parent} is not a folder that can be written to"
        raise ConfigError(f"{output}: can't be written: {what}")
    if not output.exists():
        return
    if any(output.samefile(path) for path in inputs):
        raise ConfigError(f"{output}: is an input of this command; choose another name for the output")
    if not overwrite:
        raise ConfigError(f"{output}: exists already; choose another name or add --overwrite")


def _attributes(settings):
    """Return what an HDF5 dictionary tells of its making: energy bins, cuts, version."""
    bins = {f"energy_bins_{key}": value for key, value in settings["energy_bins"].items()}
    text = config.dumps({"preselection_cuts": settings["preselection_cuts"]})
    return {**bins, "preselection_cuts": text, "uproot_version": need_uproot().__version__}
