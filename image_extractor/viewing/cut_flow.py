"""What became of the events and images of a dataset's inputs: the cut flow that Run_Table tells of."""

import numpy as np

from ..hdf5 import schema
from ..primaries import primary_name
from ..terminal.text_table import aligned


def events(runs, is_observed=False):
    """Return the rows of :func:`event_rows` as lines."""
    return aligned(event_rows(runs, is_observed))


def event_rows(runs, is_observed=False):
    """Return rows of cells: events read, dropped for each reason, and written, by primary.

    runs : structured array, Run_Table
    is_observed : bool
        Whether they are runs of observed data.
    """
    reasons = [f"dropped_{reason}" for reason in schema.REASONS if f"dropped_{reason}" in runs.dtype.names]
    shown = ["events_read", *(name for name in reasons if runs[name].any()), "events_written"]
    primaries = sorted(set(runs["primary"].tolist()))
    names = [primary_name(primary, is_observed) for primary in primaries]
    rows = [["cut flow", *names, *(["all"] if len(primaries) > 1 else [])]]
    for name in shown:
        counts = [int(runs[name][runs["primary"] == primary].sum()) for primary in primaries]
        counts += [sum(counts)] if len(primaries) > 1 else []
        sign = "-" if name.startswith("dropped_") else ""
        rows.append([name.removeprefix("dropped_").replace("_", " "), *(f"{sign}{n}" if n else "0" for n in counts)])
    return rows


def passed_over(runs):
    """Return a line: events that are no showers, by type; nothing where there are none, or only older formats' runs.

    runs : structured array, Run_Table
    """
    counts = np.maximum(runs["passed_over"], 0).sum(axis=0, dtype=np.int64)
    words = [f"{n} {name.replace('_', ' ')}" for name, n in zip(schema.EVENT_TYPES, counts.tolist(), strict=True) if n]
    return [f"passed over: {', '.join(words)}"] if words else []


def images(runs):
    """Return the rows of :func:`image_rows` as lines, and of how many runs they are if some don't tell."""
    rows = image_rows(runs)
    return [*aligned(rows), *unknown_images(runs)] if rows else []


def unknown_images(runs):
    """Return a line: of how many runs the cut flow of images is; nothing if it is of all."""
    n_known = int((runs["images_calibrated"][:, 0] >= 0).sum())
    is_part = n_known < len(runs)
    return [f"(of {n_known} of {len(runs)} runs: the others are of an older format)"] if is_part else []


def image_rows(runs):
    """Return rows of cells: images calibrated, cut by each parameter, dropped with their events, and written, by type.

    Nothing where no image was cut or dropped, or runs of an older format do not tell.

    runs : structured array, Run_Table
    """
    cut = [name for name in runs.dtype.names if name.startswith(schema.IMAGES_CUT)]
    known = runs[runs["images_calibrated"][:, 0] >= 0]
    left_out = [name for name in (*cut, "images_dropped") if known[name].any()]
    if not cut and not left_out:
        return []
    totals = {name: known[name].sum(axis=0) for name in ("images_calibrated", *cut, "images_dropped", "images_written")}
    types = np.flatnonzero(totals["images_calibrated"])
    rows = [["images", *(schema.COUNTED_TYPES[kind] for kind in types), *(["all"] if len(types) > 1 else [])]]
    for name, counts in totals.items():
        sign = "-" if name in (*cut, "images_dropped") else ""
        numbers = counts[types].tolist()
        numbers += [sum(numbers)] if len(types) > 1 else []
        rows.append([_word(name), *(f"{sign}{n}" if n else "0" for n in numbers)])
    return rows


def _word(name):
    words = {"images_calibrated": "calibrated", "images_dropped": "of events with too few", "images_written": "written"}
    return words.get(name) or name.removeprefix(schema.IMAGES_CUT)
