"""The command plot_numtel.py: how many telescopes see an event."""

import sys
from pathlib import Path

from ..errors import ConfigError, InputError
from ..input_files import find_all
from ..terminal.arguments import Parser, user_path
from ..terminal.exit_codes import OK
from ..terminal.one_line_errors import need, one_line_errors
from ..terminal.text_table import plural
from ..viewing import picture_files
from ..viewing.multiplicity import count_telescopes, table


def main(arguments=None):
    """Run the command plot_numtel.py; returns the exit code."""
    parser = Parser(
        prog="plot_numtel.py",
        description="Show how many telescopes have an image of an event, all together and by type.",
    )
    add = parser.add_argument
    add(
        "paths",
        metavar="DATASET_OR_SIMTEL",
        nargs="+",
        help="datasets or simtel files (.simtel, .gz, .zst) of the same telescopes, or wildcards: shown as one",
    )
    add(
        "--bins_cuts_dict",
        metavar="FILE",
        type=user_path,
        help="also show the events that are in this dictionary: those that pass",
    )
    add(
        "--output",
        metavar="PNG",
        type=user_path,
        help="the picture (default: name of the file with _numtel.png, in this folder)",
    )
    return one_line_errors(_plot, parser.parse_args(arguments))


def _plot(options):
    need("matplotlib")
    paths = find_all(options.paths)
    output = Path(options.output or f"{picture_files.name_of(paths)}_numtel.png")
    if not output.absolute().parent.is_dir():
        raise ConfigError(f"{output}: its folder does not exist: make it first")
    passing = None
    if options.bins_cuts_dict:
        from ..cuts import dictionary

        passing = dictionary.load(options.bins_cuts_dict)
    multiplicity = _of_all(paths, passing)
    if not multiplicity.n_events("all"):
        raise InputError(f"{paths[0]}: no shower event with an image" + (", nor in the others" if paths[1:] else ""))
    from ..viewing.pictures import numtel_figure

    name = " ... ".join(dict.fromkeys(path.name for path in (paths[0], paths[-1])))
    title = f"{name}: {plural(multiplicity.n_events('all'), 'event')}"
    sys.stdout.write("\n".join(table(multiplicity)) + "\n")
    shows = {
        "picture": "plot_numtel.py",
        "inputs": [str(path.absolute()) for path in paths],
        "bins_cuts_dict": str(Path(options.bins_cuts_dict).absolute()) if options.bins_cuts_dict else "",
    }
    picture = picture_files.write(numtel_figure(multiplicity, title), output, shows, bool(options.output))
    sys.stdout.write(f"{picture}\n")
    return OK


def _of_all(paths, passing):
    """Return the Multiplicity of several files together; they must have the same telescopes."""
    total = count_telescopes(paths[0], passing)
    for path in paths[1:]:
        more = count_telescopes(path, passing)
        if more.n_telescopes != total.n_telescopes:
            raise InputError(f"{path}: has other telescopes than {paths[0]}: give files of the same ones")
        for kind, counts in more.counts.items():
            for name, numbers in counts.items():
                total.counts[kind][name] += numbers
    return total
