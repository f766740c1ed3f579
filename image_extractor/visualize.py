"""The command visualize_events.py: a picture of each chosen event."""

import sys
from pathlib import Path

from .arguments import Parser, not_negative, positive
from .errors import ConfigError
from .primaries import primary_name
from .viewer_commands import need_matplotlib, one_line_errors


def visualize(path, output=".", *, run=None, event=None, n_random=1, energy_bin=None, seed=0, together=False):
    """Draw events of a dataset, one PNG file each or all in one.

    Parameters
    ----------
    path : str or Path
    output : str or Path
        Folder for the pictures; it is made if it is missing. For one picture it may be the PNG file.
    run, event : int, optional
        This event; where runs of several primaries share the number, one of each.
    n_random : int
        Without run and event: so many events drawn at random.
    energy_bin : int, optional
        Only of this energy group (gh_class) or label (energy_recon).
    seed : int
        Of the random choice.
    together : bool
        All events in one picture.

    Yields
    ------
    Path
        Of each picture, when it is written.

    Raises
    ------
    ConfigError
        If there is no such event.
    DatasetError
        If the file is no dataset, or damaged.
    """
    from .event_images import open_events

    output = Path(output)
    with open_events(path) as dataset:
        if energy_bin is not None and energy_bin >= dataset.n_bins:
            raise ConfigError(f"{path}: no bin {energy_bin}: it has {dataset.n_bins} bins, from 0")
        if run is not None:
            chosen = dataset.find(run, event, energy_bin)
            what = f"no run {run} event {event}"
        else:
            chosen = dataset.random(n_random, seed, energy_bin)
            what = "no events"
        if not chosen:
            raise ConfigError(f"{path}: {what}" + ("" if energy_bin is None else f" in bin {energy_bin}"))
        is_picture = _names_a_picture(output, 1 if together else len(chosen))
        from .pictures import events_figure, save

        events = (dataset.event(table, row) for table, row in chosen)
        for group in [list(events)] if together else ([one] for one in events):
            name = "events.png" if together else picture_name(group[0].values)
            picture = output if is_picture else output / name
            picture.parent.mkdir(parents=True, exist_ok=True)
            save(events_figure(group), picture)
            yield picture


def _names_a_picture(output, n_pictures):
    """Say whether the output is the PNG file, not the folder; raise ConfigError if it can be neither."""
    if output.is_dir():
        return False
    if output.suffix.lower() == ".png":
        if n_pictures > 1:
            raise ConfigError(f"{output}: is one file, for {n_pictures} pictures: name a folder, or add --together")
        return True
    if output.exists():
        raise ConfigError(f"{output}: is a file; --output is a folder, or a name that ends in .png")
    return False


def picture_name(values):
    """Return the file name of an event's picture, from its columns."""
    primary = primary_name(values["gamma_hadron_label"]).replace(" ", "")
    return f"run{values['run_number']}_event{values['event_number']}_{primary}.png"


def main(arguments=None):
    """Run the command visualize_events.py; returns the exit code."""
    parser = Parser(
        prog="visualize_events.py",
        description="Draw events of a dataset: each telescope's stored array beside its camera, one PNG per event.",
    )
    add = parser.add_argument
    add("dataset", metavar="DATASET", help="HDF5 file that image_extractor.py wrote")
    add("--run", metavar="R", type=int, help="run number of the event to draw")
    add("--event", metavar="E", type=int, help="its event number")
    add("--random", metavar="N", type=positive, help="draw N events chosen at random (default: 1)")
    add("--bin", metavar="B", type=not_negative, help="only events of this energy bin (group E<B>, or label)")
    add("--seed", metavar="S", type=not_negative, default=0, help="of the random choice (default: 0)")
    add("--together", action="store_true", help="all events in one picture, events.png")
    add(
        "--output",
        metavar="DIR",
        default=".",
        help="folder for the pictures, or the PNG file if it is one (default: here)",
    )
    options = parser.parse_args(arguments)
    if (options.run is None) != (options.event is None):
        parser.error("--run and --event go together")
    if options.run is not None and options.random is not None:
        parser.error("give either --run and --event, or --random")
    return one_line_errors(_run, options)


def _run(options):
    need_matplotlib()
    pictures = visualize(
        options.dataset,
        options.output,
        run=options.run,
        event=options.event,
        n_random=options.random or 1,
        energy_bin=options.bin,
        seed=options.seed,
        together=options.together,
    )
    for picture in pictures:
        sys.stdout.write(f"{picture}\n")
    return 0
