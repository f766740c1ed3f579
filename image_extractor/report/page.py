"""The page of a dataset: one HTML file that needs no network."""

import json
import os
from pathlib import Path

from .. import whole_files
from ..errors import ConfigError
from ..hdf5 import nodes
from ..primaries import primary_name
from ..terminal.text_table import plural, printable
from ..viewing import cut_flow, dataset_report
from ..viewing.event_images import open_events
from . import plots
from .event_counts import EventCounts
from .findings import findings
from .image_sample import ImageSample

TEMPLATE = "page.html.jinja"

#: What a page says of itself, in its first bytes: pages take the place of pages alone.
MARK, MARK_WITHIN = b'content="image_extractor"', 500

#: Inputs that are listed; of others their number is told.
MAX_INPUTS = 200


def write(path, target):
    """Write the page of a dataset.

    Parameters
    ----------
    path : str or Path
        Of the dataset.
    target : str or Path
        Of the page, such as report.html.

    Raises
    ------
    DatasetError
        If the file is no dataset, or damaged.
    ConfigError
        If the page would take the place of a file that is none.
    OSError
        If it can't be written.
    """
    target = Path(target)
    if target.suffix.lower() not in (".html", ".htm"):
        raise ConfigError(f"{target}: a page's name ends in .html")
    if target.exists() and not _is_page(target):
        raise ConfigError(f"{target}: is there, and no page of a dataset: name another")
    whole_files.write(target, html(path).encode())


def _is_page(path):
    with path.open("rb") as file:
        return MARK in file.read(MARK_WITHIN)


def html(path):
    """Return the page of a dataset as text; raises as :func:`write`."""
    import jinja2

    with open_events(path) as dataset:
        content = _content(dataset)
    loader = jinja2.PackageLoader("image_extractor.report", ".")
    environment = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.get_template(TEMPLATE).render(**content)


def _content(dataset):
    """Return what the template asks for, by its names."""
    counts, sample = EventCounts.of(dataset), ImageSample.of(dataset)
    summary, images_cut = dataset_report.parts(dataset, counts.summary), cut_flow.image_rows(dataset.runs)
    notes = [*cut_flow.passed_over(dataset.runs), *(cut_flow.unknown_images(dataset.runs) if images_cut else [])]
    return {
        "name": Path(dataset.path).name,
        "headline": f"{plural(sum(sum(p.values()) for p in counts.primaries.values()), 'event')}, "
        f"{plural(int(counts.images.sum()), 'image')} of {plural(len(counts.images), 'telescope')}",
        "facts": summary.facts,
        "findings": findings(dataset, counts),
        "tables": [
            ("Events by energy bin", summary.events),
            ("Events by primary", summary.primaries),
            ("Telescopes", summary.telescopes),
            ("Runs", summary.runs),
            ("Cut flow of events", cut_flow.event_rows(dataset.runs, dataset.is_observed)),
            ("Cut flow of images", images_cut),
        ],
        "notes": notes,
        "distributions": [plot for plot in _distributions(dataset, counts, sample) if plot],
        "sampled": f"{plural(sample.n_images, 'image')} of {plural(sample.n_events, 'event')}",
        "pixels": _pixels(dataset, sample),
        "gallery": [
            plots.image_pair(image, size)
            for pair in sample.gallery.values()
            for image, size in zip(pair, ("little light", "much light"), strict=True)
        ],
        "layout": plots.layout(dataset.tel_table, counts.images),
        "settings": json.dumps(dataset.settings, indent=2),
        "differences": summary.differences,
        "inputs": _inputs(dataset),
        "n_more_inputs": max(len(dataset.runs) - MAX_INPUTS, 0),
        "attributes": [
            (name, str(value))
            for name, value in sorted(nodes.user_attributes(dataset.file.root).items())
            if name not in ("config", "report")
        ],
    }


def _distributions(dataset, counts, sample):
    """Yield the plots of events and images, None where there is nothing to be shown."""
    named = plots.primaries_named(dataset.is_observed)
    if not dataset.is_observed:
        yield plots.histogram("True energy", "log10(true energy / TeV)", counts.log10_energy, named)
        yield plots.histogram("Distance of the core", "core to the array's centre [m]", counts.core_distance, named)
        yield plots.histogram("Offset", "direction to the pointing [deg]", counts.offset, named)
    yield plots.histogram("Multiplicity", "telescopes with an image", counts.multiplicity, named)
    yield plots.histogram("Image size", "log10(sum of charges / p.e.)", sample.log10_size, named, "images")
    yield plots.histogram("Peak time", "peak time of the brightest pixel [ns]", sample.peak_time, named, "images")
    if len(counts.primaries) > 1 and not dataset.is_observed:
        by_table = counts.log10_energy_by_table
        yield plots.shares(
            "Split: true energy", "log10(true energy / TeV)", by_table, lambda name: name.removeprefix("Events_")
        )


def _pixels(dataset, sample):
    """Return rows of a table: clipped and not finite pixels of each telescope that was looked at."""
    rows = [["telescope", "type", "images", "pixels", "clipped", "not finite"]]
    for telescope in dataset.tel_table:
        found = sample.telescopes.get(int(telescope["tel_id"]))
        if found:
            numbers = (found.n_images, found.n_pixels, found.n_clipped, found.n_not_finite)
            rows.append([str(telescope["tel_id"]), telescope["tel_type"].decode(), *map(str, numbers)])
    return rows


def _inputs(dataset):
    rows = [["file", "MB", "run", "primary", "events read", "written", "images"]]
    for run in dataset.runs[:MAX_INPUTS]:
        numbers = [str(int(run[name])) for name in ("events_read", "events_written", "images")]
        name = printable(os.fsdecode(run["file_name"]))
        primary = primary_name(run["primary"], dataset.is_observed)
        rows.append([name, f"{run['file_size'] / 1e6:.1f}", str(run["run_number"]), primary, *numbers])
    return rows
