"""The command visualize_events.py: a picture of each chosen event."""

import contextlib
import itertools
from pathlib import Path

from ..errors import ConfigError
from ..input_files import find_all
from ..primaries import primary_name
from . import picture_files


def visualize(
    paths, output=".", *, run=None, event=None, n_random=1, energy_bin=None, seed=0, together=False, all_times=False
):
    """Draw events of datasets, one PNG file each or all in one.

    Parameters
    ----------
    paths : str, Path, or several
        Datasets, or wildcards.
    output : str or Path
        Folder for the pictures; it is made if it is missing. For one picture it may be the PNG file.
    run, event : int, optional
        This event; where several runs share the number, one of each.
    n_random : int
        Without run and event: so many events drawn at random.
    energy_bin : int, optional
        Only of this energy group (gh_class) or label (energy_recon).
    seed : int
        Of the random choice.
    together : bool
        All events in one picture.
    all_times : bool
        Draw peak times of all pixels; else of those with light.

    Yields
    ------
    Path
        Of each picture, when it is written.

    Raises
    ------
    ConfigError
        If there is no such event, or a file of the picture's name that shows something else.
    DatasetError
        If a file is no dataset, or damaged.
    """
    output, paths = Path(output), find_all(paths)
    if run is None:
        chosen = _random(paths, n_random, seed, energy_bin)
        what = "no events"
    else:
        chosen = [(path, *place) for path in paths for place in _find(path, run, event, energy_bin)]
        what = f"no run {run} event {event}"
    if not chosen:
        where = f"{paths[0]}" + (f" and {len(paths) - 1} more" if paths[1:] else "")
        raise ConfigError(f"{where}: {what}" + ("" if energy_bin is None else f" in bin {energy_bin}"))
    is_picture = _names_a_picture(output, 1 if together else len(chosen))
    times = {"all_times": True} if all_times else {}
    if together:
        request = {"run": run, "event": event, "random": n_random, "bin": energy_bin, "seed": seed} | times
        groups = [(list(_events(chosen)), f"{picture_files.name_of(paths)}_events.png", paths, request)]
    else:
        groups = (
            ([one], f"{picture_files.name_of([path])}_{picture_name(one)}", [path], _identity(one.values) | times)
            for (path, *_), one in zip(chosen, _events(chosen), strict=True)
        )
    from .pictures import events_figure

    for events, name, inputs, request in groups:
        picture = output if is_picture else output / name
        picture.parent.mkdir(parents=True, exist_ok=True)
        shows = {"picture": "visualize_events.py", "inputs": [str(path.absolute()) for path in inputs]}
        yield picture_files.write(events_figure(events, all_times), picture, shows | {"shows": request}, is_picture)


# -- choosing events ---------------------------------------------------------------------------------


@contextlib.contextmanager
def _opened(path, energy_bin):
    """Open a dataset that has a bin, if one is asked for."""
    from .event_images import open_events

    with open_events(path) as dataset:
        if energy_bin is not None and energy_bin >= dataset.n_bins:
            raise ConfigError(f"{path}: no bin {energy_bin}: it has {dataset.n_bins} bins, from 0")
        yield dataset


def _find(path, run, event, energy_bin):
    """Return [(path of the table, row), ...] of an event."""
    with _opened(path, energy_bin) as dataset:
        return [(table._v_pathname, row) for table, row in dataset.find(run, event, energy_bin)]


def _random(paths, n_events, seed, energy_bin):
    """Return [(path, path of the table, row), ...] of events drawn from all datasets alike."""
    from .event_images import drawn

    counts = []
    for path in paths:
        with _opened(path, energy_bin) as dataset:
            counts.append(dataset.count(energy_bin))
    numbers, chosen, first = drawn(sum(counts), n_events, seed), [], 0
    for path, count in zip(paths, counts, strict=True):
        mine = [int(number) - first for number in numbers if first <= number < first + count]
        first += count
        if mine:
            with _opened(path, energy_bin) as dataset:
                chosen += [(path, table._v_pathname, row) for table, row in dataset.places(mine, energy_bin)]
    return chosen


def _events(chosen):
    """Yield the events of [(path, path of the table, row), ...], opening each dataset once."""
    for path, places in itertools.groupby(chosen, lambda place: place[0]):
        with _opened(path, None) as dataset:
            for _, table, row in places:
                yield dataset.event(dataset.file.get_node(table), row)


def _identity(values):
    """Return what is not the same for two events of a dataset."""
    names = ("run_number", "event_number", "gamma_hadron_label", "run_index", "mc_energy", "core_x", "core_y")
    # what an observed event does not have is NaN, which is not the same as itself
    return {name: None if values.get(name) != values.get(name) else values.get(name) for name in names}


# -- names -------------------------------------------------------------------------------------------


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


def picture_name(event):
    """Return the end of the file name of an event's picture; runs of one number and primary have their run_index."""
    values = event.values
    index = f"_index{values['run_index']}" if event.run else ""
    primary = primary_name(values["gamma_hadron_label"], event.is_observed).replace(" ", "")
    return f"run{values['run_number']}{index}_event{values['event_number']}_{primary}.png"
