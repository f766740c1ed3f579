"""The command visualize_events.py: events as pictures."""

import sys

from ..terminal.arguments import Parser, not_negative, positive, user_path
from ..terminal.exit_codes import OK
from ..terminal.one_line_errors import need, one_line_errors
from ..viewing.draw_events import visualize


def main(arguments=None):
    """Run the command visualize_events.py; returns the exit code."""
    parser = Parser(
        prog="visualize_events.py",
        description="Draw events of a dataset: each telescope's stored array beside its camera, one PNG per event.",
    )
    add = parser.add_argument
    add("datasets", metavar="DATASET", nargs="+", help="HDF5 files that image_extractor.py wrote, or wildcards")
    add("--run", metavar="R", type=int, help="run number of the event to draw")
    add("--event", metavar="E", type=int, help="its event number")
    add("--random", metavar="N", type=positive, help="draw N events chosen at random (default: 1)")
    add("--bin", metavar="B", type=not_negative, help="only events of this energy bin (group E<B>, or label)")
    add("--seed", metavar="S", type=not_negative, default=0, help="of the random choice (default: 0)")
    add("--together", action="store_true", help="all events in one picture")
    add("--all_times", action="store_true", help="peak times of all pixels, not only of those with light")
    add(
        "--output",
        metavar="DIR",
        type=user_path,
        default=".",
        help="folder for the pictures, or the PNG file if it is one (default: here)",
    )
    options = parser.parse_args(arguments)
    if (options.run is None) != (options.event is None):
        parser.error("--run and --event go together")
    if options.run is not None and options.random is not None:
        parser.error("give either --run and --event, or --random")
    return one_line_errors(_visualize, options)


def _visualize(options):
    need("matplotlib")
    pictures = visualize(
        options.datasets,
        options.output,
        run=options.run,
        event=options.event,
        n_random=options.random or 1,
        energy_bin=options.bin,
        seed=options.seed,
        together=options.together,
        all_times=options.all_times,
    )
    for picture in pictures:
        sys.stdout.write(f"{picture}\n")
    return OK
