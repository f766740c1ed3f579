"""What is in a dataset, on one screen."""

import os
import textwrap
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..hdf5 import content_hash
from ..image_scales import channel_names, scales
from ..terminal.text_table import aligned, plural, printable
from ..times import utc_text
from . import cut_flow
from .row_count import count_rows

WIDTH = 120
#: So many energy groups are shown, the others summed up.
MAX_GROUPS = 12
#: Images are given for each telescope where a type has at most so many.
MAX_LISTED = 8


def summary(path):
    """Return a screenful about a dataset: events, images, energies, primaries, telescopes, settings, provenance.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    str

    Raises
    ------
    DatasetError
        If the file is no dataset.
    """
    from .event_images import open_events

    with open_events(path) as dataset:
        found = parts(dataset, count_rows(dataset))
        cut_runs = _cut_runs(dataset.runs)
        shown = [
            _wrapped(found.facts),
            aligned(found.events, left=2),
            aligned(found.primaries),
            aligned(found.telescopes, left=2),
            [*aligned(found.runs), *cut_runs],
            [*cut_flow.events(dataset.runs, dataset.is_observed), *cut_flow.passed_over(dataset.runs)],
            cut_flow.images(dataset.runs),
            _settings(found.differences),
        ]
    return "\n\n".join("\n".join(lines) for lines in shown if lines) + "\n"


@dataclass
class Parts:
    """What is told of a dataset: facts by their names, and tables as rows of cells, the header first.

    Attributes
    ----------
    facts : {name: text}
    events, primaries, telescopes, runs : list of lists of str
    differences : str
        Settings that are not the default.
    """

    facts: dict
    events: list
    primaries: list
    telescopes: list
    runs: list
    differences: str


def parts(dataset, count):
    """Return the :class:`Parts` of an open dataset, event_images.DatasetEvents, by the Count of its rows."""
    from .. import config

    differences = [f"{name} = {value}" for name, value in _differences(dataset.settings, config.defaults())]
    return Parts(
        _facts(dataset, count),
        _events(dataset, count),
        _primaries(dataset, count),
        _telescopes(dataset, count),
        _runs(dataset),
        "; ".join(differences),
    )


# -- parts of the screen ---------------------------------------------------------------------------------


def _facts(dataset, count):
    """Return what the file is and how it was made."""
    attributes = {name: dataset.file.root._v_attrs[name] for name in dataset.file.root._v_attrs._f_list("user")}
    settings, image_settings = dataset.settings, dataset.settings["image"]
    n_events = sum(table.nrows for table in dataset.tables())
    versions = [f"{name} {attributes.get(f'{name}_version', '?')}" for name in ("ctapipe", "eventio", "tables")]
    made = f"{attributes.get('utc_time', '?')} by image_extractor {attributes.get('image_extractor_version', '?')}"
    seed, split = attributes.get("shuffle_seed"), attributes.get("split")
    order = [
        f"shuffled, seed {seed}" if seed is not None else "not shuffled",
        f"split {split}" if split else "not split",
    ]
    return {
        "file": f"{dataset.path}, {_size(Path(dataset.path).stat().st_size)}, format {attributes['format_version']}",
        "content": f"{plural(n_events, 'event')}, {plural(sum(count.images), 'image')} of "
        f"{plural(len(dataset.tel_table), 'telescope')}; "
        f"mode {settings['mode']}, storage {settings['storage_mode']}",
        "images": f"{_channels(image_settings)}, {image_settings['dim_order']}, {_numbers(image_settings)}, "
        f"scale_factor {image_settings['scale_factor']}, {_mappings(dataset)}",
        "made": f"{made} with {', '.join(versions)}",
        **_observed(dataset, count),
        "command": attributes.get("command_line") or "none (made from Python)",
        "order": ", ".join(order),
        "SHA-256": attributes.get(content_hash.ATTRIBUTE, "none, an older format has no checksums"),
        "dictionary": _dictionaries(dataset),
    }


def _wrapped(facts):
    lines = []
    for name, text in facts.items():
        lines += textwrap.wrap(f"{name:11}{text}", WIDTH, subsequent_indent=" " * 11, break_on_hyphens=False)
    return lines


def _observed(dataset, count):
    """Return when observed events came, as a fact to be shown; nothing of simulated ones."""
    if not dataset.is_observed:
        return {}
    if not count.times:
        return {"observed": "no time is known"}
    return {"observed": " to ".join(dict.fromkeys(map(utc_text, (min(count.times), max(count.times)))))}


def _channels(image_settings):
    """Return the mode of images and what their channels hold."""
    names = [name for name in channel_names(image_settings["mode"]) if name != "empty"]
    cleaned = ", cleaned" if image_settings["cleaned"] else ""
    return f"{image_settings['mode']} ({', '.join(names)}{cleaned})"


def _numbers(image_settings):
    """Return the dtype of images, and what its numbers mean."""
    names, per = channel_names(image_settings["mode"]), scales(image_settings)
    if image_settings["dtype"] == "float32":
        return "float32 (p.e. and ns as they are)"
    units = {"charge": "p.e.", "time": "ns", "mask": "whole cell"}
    meanings = [f"{per[f'{name}_scale']:g} per {unit}" for name, unit in units.items() if name in names]
    return f"{image_settings['dtype']} ({', '.join(meanings)})"


def _mappings(dataset):
    """Return the mapping of the cameras, or that of each where they differ."""
    mappings = {name: camera.attributes.get("mapping", "?") for name, camera in dataset.cameras.items()}
    if len(set(mappings.values())) == 1:
        return f"mapping {next(iter(mappings.values()))}"
    return "mappings " + ", ".join(f"{name} {mapping}" for name, mapping in sorted(mappings.items()))


def _dictionaries(dataset):
    found = {
        (os.fsdecode(row["bins_cuts_dict"]), row["bins_cuts_dict_sha256"].decode()[:12])
        for row in dataset.file.root["Run_Table"][:]
        if row["bins_cuts_dict_sha256"]
    }
    return ", ".join(f"{name} (SHA-256 {digest}...)" for name, digest in sorted(found)) or "none"


def _size(n_bytes):
    units = ["B", "kB", "MB", "GB", "TB"]
    while n_bytes >= 999.5 and len(units) > 1:
        n_bytes /= 1000
        del units[0]
    return f"{n_bytes:.3g} {units[0]}"


def _events(dataset, count):
    """Return events per energy group and table, with the range of their true energies."""
    from ..hdf5 import nodes

    groups = nodes.events_groups(dataset.file)
    names = list(dict.fromkeys(name for group in groups for name in nodes.events_tables(group)))
    rows = []
    for group in groups:
        events_tables = nodes.events_tables(group)
        numbers = [events_tables[name].nrows if name in events_tables else 0 for name in names]
        energies = [
            count.energies[node._v_pathname] for node in events_tables.values() if node._v_pathname in count.energies
        ]
        rows.append((_group_name(group), _edges(group), numbers, energies))
    shown = rows if len(rows) <= MAX_GROUPS else [row for row in rows if sum(row[2])]
    left_out = shown[MAX_GROUPS:]
    cells = [
        [name, edges, *map(str, n), str(sum(n)), _range(energies)] for name, edges, n, energies in shown[:MAX_GROUPS]
    ]
    if left_out or len(shown) < len(rows):
        n_others = sum(sum(numbers) for *_, numbers, _ in left_out)
        others = [n for _, _, n, _ in left_out] or [[0] * len(names)]
        sums = [str(sum(column)) for column in zip(*others, strict=True)]
        cells.append([f"{len(rows) - len(shown[:MAX_GROUPS])} others", "", *sums, str(n_others), ""])
    totals = [sum(row[2][position] for row in rows) for position in range(len(names))]
    if len(rows) > 1:
        everything = [energies for *_, found in rows for energies in found]
        cells.append(["all", "", *map(str, totals), str(sum(totals)), _range(everything)])
    header = ["events", "bin", *(name.removeprefix("Events_") for name in names), "total", "true energy"]
    return [header, *cells]


def _group_name(group):
    return group._v_name if group._v_pathname != "/" else "Events"


def _edges(group):
    attributes = group._v_attrs
    if group._v_pathname == "/":
        edges = getattr(attributes, "energy_bin_edges", None)
        if edges is None:
            return ""
        span = f"{len(edges) - 1} labels, {edges[0]:g} to {edges[-1]:g}"
    else:
        span = f"{attributes.min_energy:g} to {attributes.max_energy:g}"
    unit = f"log10({attributes.units})" if attributes.scale == "log10" else attributes.units
    return f"{span} {unit}"


def _range(energies):
    if not energies:
        return "-"
    return _span(min(low for low, _ in energies), max(high for _, high in energies)) + " TeV"


def _span(low, high, kind=".4g"):
    return f"{low:{kind}}" if low == high else f"{low:{kind}} to {high:{kind}}"


def _primaries(dataset, count):
    """Return events of each primary, and how a split shares them out."""
    from ..primaries import primary_name

    totals = {table._v_name: Counter() for table in dataset.tables()}
    for path, primaries in count.primaries.items():
        totals[path.rpartition("/")[2]].update(primaries)
    names = list(totals)
    everything = sum(totals.values(), Counter())
    rows = [["primary", *(name.removeprefix("Events_") for name in names), *(["total"] if len(names) > 1 else [])]]
    for primary, total in sorted(everything.items()):
        shares = [_share(totals[name][primary], total) if len(names) > 1 else str(total) for name in names]
        name = "observed" if dataset.is_observed else f"{primary_name(primary)} ({primary})"
        rows.append([name, *shares, *([str(total)] if len(names) > 1 else [])])
    return rows


def _share(number, total):
    return f"{number} ({100 * number / total:.1f} %)"


def _telescopes(dataset, count):
    """Return images per telescope, or per type and camera where telescopes are many."""
    import numpy as np

    n_images = dict(zip(dataset.tel_table["tel_id"].tolist(), count.images, strict=True))
    kinds = {}
    for row in dataset.tel_table:
        kinds.setdefault((row["tel_type"].decode(), row["camera"].decode()), []).append(int(row["tel_id"]))
    header = ["telescopes", "camera", "pixels", "array", "number", "images", "per telescope", "tel_id"]
    cells = []
    for (tel_type, name), ids in kinds.items():
        camera, numbers = dataset.cameras[name], [n_images[tel_id] for tel_id in ids]
        low, high = min(numbers), max(numbers)
        if low == high:
            spread = str(low)
        elif len(ids) <= MAX_LISTED:
            spread = ", ".join(map(str, numbers))
        else:
            spread = f"{low} to {high}, median {np.median(numbers):g}"
        shape = " x ".join(str(cells_ * dataset.settings["image"]["scale_factor"]) for cells_ in camera.shape)
        numbers = [str(len(camera.pixels)), shape, str(len(ids)), str(sum(numbers)), spread, _ids(ids)]
        cells.append([tel_type, name, *numbers])
    return [header, *cells]


def _ids(ids):
    """Return telescope ids in short: 1-4, 7."""
    spans = []
    for tel_id in ids:
        if spans and tel_id == spans[-1][1] + 1:
            spans[-1][1] = tel_id
        else:
            spans.append([tel_id, tel_id])
    words = [str(first) if first == last else f"{first}-{last}" for first, last in spans]
    return ", ".join(words[:8]) + (", ..." if len(words) > 8 else "")


def _runs(dataset):
    """Return what is told of the runs, by primary."""
    from ..primaries import primary_name

    table = dataset.runs
    pixels = ("negative_pixels", "negative_time_pixels", "not_finite_pixels")
    pixels = [name for name in pixels if (table[name] > 0).any()]
    columns = ["images", "clipped_pixels", *pixels]
    rows = [["runs", "files", "run numbers", "simulated TeV", *(name.replace("_", " ") for name in columns)]]
    for primary in sorted(set(table["primary"].tolist())):
        runs = table[table["primary"] == primary]
        run_numbers = _span(runs["run_number"].min(), runs["run_number"].max(), "d")
        simulated = runs["energy_range_min"].min(), runs["energy_range_max"].max()
        energies = "-" if dataset.is_observed else _span(*simulated)
        # -1 where an older format does not tell
        numbers = [str(int(runs[name][runs[name] > 0].sum())) for name in columns]
        n_files = len(np.unique(runs[["file_name", "file_digest"]]))
        rows.append([primary_name(primary, dataset.is_observed), str(n_files), run_numbers, energies, *numbers])
    return rows


def _cut_runs(table):
    """Return a line for each run of a file that is cut."""
    return [
        f"run {run['run_number']} of {printable(os.fsdecode(run['file_name']))} is cut short: its whole events are kept"
        for run in table[table["complete"] == 0]
    ]


def _settings(differences):
    """Return the settings that are not the default."""
    text = f"settings other than the default: {differences or 'all are the defaults'}"
    return textwrap.wrap(text, WIDTH, break_on_hyphens=False)


def _differences(settings, defaults, prefix="", depth=1):
    for key, value in settings.items():
        if isinstance(value, dict):
            section = "[" * depth + key + "]" * depth
            yield from _differences(value, defaults.get(key, {}), f"{prefix}{section} ", depth + 1)
        elif value != defaults.get(key):
            yield prefix + key, ", ".join(map(str, value)) if isinstance(value, list) else value
