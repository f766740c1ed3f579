"""What one should know of a dataset before training on it, in plain words."""

import math
import os
from collections import Counter

import numpy as np

from ..primaries import primary_name
from ..terminal.text_table import plural, printable

#: A table should have a primary's share of events to within this factor.
LOPSIDED = 3

#: Weights are uneven where they leave less than this part of the statistics, of no fewer events than MANY.
FEW, MANY = 0.05, 20

#: Runs that are named one by one.
MAX_RUNS = 10

#: Parts of clipped pixels that are worth a word.
MANY_CLIPPED = 1e-5


def findings(dataset, counts):
    """Return lines about a dataset: what is missing, uneven, or not what it seems.

    dataset : viewing.event_images.DatasetEvents
    counts : event_counts.EventCounts
    """
    found = [*_telescopes(dataset, counts), *_tables(dataset, counts), *_pixels(dataset, counts), *_runs(dataset)]
    return [*found, *_weights(counts)]


def _telescopes(dataset, counts):
    ids = dataset.tel_table["tel_id"][counts.images == 0].tolist()
    if len(ids) == len(counts.images):
        yield "There is no event: nothing can be learnt from this."
    elif ids:
        word = "Telescope" if len(ids) == 1 else "Telescopes"
        yield f"{word} {', '.join(map(str, ids))} without an image: what is learnt will not know them."


def _tables(dataset, counts):
    tables = counts.primaries
    everything = sum(tables.values(), Counter())
    for table, primaries in tables.items():
        if not sum(primaries.values()):
            yield f"{table} has no event."
            continue
        for primary, total in sorted(everything.items()):
            name = primary_name(primary, dataset.is_observed)
            expected = total * sum(primaries.values()) / sum(everything.values())
            if not primaries[primary]:
                yield f"{table} has no {name}, of which there are {total} in all: a figure of merit there says little."
            elif expected > 10 and not 1 / LOPSIDED < primaries[primary] / expected < LOPSIDED:
                yield f"{table} has {primaries[primary]} events of {name}, where its share would be {expected:.0f}."
    if len(everything) > 1 and max(everything.values()) > 10 * min(everything.values()):
        words = [f"{n} of {primary_name(primary)}" for primary, n in sorted(everything.items())]
        yield f"Primaries are uneven ({', '.join(words)}): class_weight balances them."


def _pixels(dataset, counts):
    runs, n_pixels = dataset.runs, _n_pixels(dataset, counts)
    clipped = int(np.maximum(runs["clipped_pixels"], 0).sum())
    if clipped > MANY_CLIPPED * n_pixels:
        scale = dataset.settings["image"]["charge_scale"]
        yield (
            f"{plural(clipped, 'pixel')} did not fit the dtype and were clipped: a smaller charge_scale than {scale:g} "
            "has room for brighter ones."
        )
    negative = int(np.maximum(runs["negative_pixels"], 0).sum())
    if negative:
        share = 100 * negative / max(n_pixels, 1)
        yield (
            f"{plural(negative, 'pixel')} of negative charge, {share:.0f} % of all, are stored as 0: "
            "sums over an image are too large. int16 holds them."
        )
    not_finite = int(np.maximum(runs["not_finite_pixels"], 0).sum())
    if not_finite:
        are = "is no finite number" if not_finite == 1 else "are no finite numbers"
        yield f"{plural(not_finite, 'pixel')} {are}: damaged calibration, or pixels that were off."


def _n_pixels(dataset, counts):
    """Return the number of pixels of all images; of cells where a mapping resamples, as Run_Table counts them."""
    cameras = [dataset.cameras[name.decode()] for name in dataset.tel_table["camera"].tolist()]
    sizes = [len(camera.pixels) if camera.is_lossless else math.prod(camera.shape) for camera in cameras]
    return int(counts.images @ np.array(sizes))


def _runs(dataset):
    cut = dataset.runs[dataset.runs["complete"] == 0]
    for run in cut[:MAX_RUNS]:
        yield f"Run {run['run_number']} of {printable(os.fsdecode(run['file_name']))} is cut short."
    if len(cut) > MAX_RUNS:
        yield f"{plural(len(cut) - MAX_RUNS, 'more run')} cut short."
    dropped = int(dataset.runs["dropped_no_image"].sum())
    read = int(dataset.runs["events_read"].sum())
    if read and dropped > read / 2:
        yield f"{dropped} of {read} events have no image of a selected telescope: were others meant?"


def _weights(counts):
    """Yield a line for each table and primary whose weights to a spectrum a few events dominate."""
    for (table, primary), (n_events, effective) in sorted(counts.statistics().items()):
        if n_events >= MANY and effective < FEW * n_events:
            yield (
                f"{table}: weighted to a spectrum (event_weight), {n_events} events of {primary_name(primary)} "
                f"count as {effective:.0f}: a few dominate."
            )
