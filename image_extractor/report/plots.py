"""Plots of a page, as SVG within it; beside each what it shows, in words and as a table."""

import io
import itertools
from dataclasses import dataclass

import numpy as np

from ..primaries import primary_name
from ..terminal.text_table import plural
from ..viewing import overlays, pictures

#: Inches and dots per inch of a plot; a cell of an image is a pixel or more.
SIZE, DPI = (5.0, 3.1), 110

#: Colours that people tell apart who see few of them (Wong, Nature Methods 8, 441, doi:10.1038/nmeth.1618).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")


@dataclass
class Plot:
    """A plot of the page.

    Attributes
    ----------
    title, svg : str
    alt : str
        What it shows, in words.
    rows : list of lists of str
        The same as a table, its header first; empty where a picture has none.
    note : str
        What it does not show.
    """

    title: str
    svg: str
    alt: str
    rows: list
    note: str = ""


def histogram(title, quantity, found, name_of, what="events"):
    """Return the Plot of an event_counts.Histogram; None if nothing is in it.

    quantity : str
        With unit, below the axis.
    name_of : callable
        Returns what a name of the histogram is called.
    """
    trimmed = found.trimmed()
    if trimmed is None:
        return None
    edges, counts = trimmed
    figure, axes = _figure()
    for (name, numbers), colour in zip(sorted(counts.items()), _colours(), strict=False):
        axes.stairs(numbers, edges, color=colour, linewidth=1.6, label=name_of(name))
        axes.stairs(numbers, edges, color=colour, alpha=0.12, fill=True)
    axes.set(xlabel=quantity, ylabel=what, xlim=(edges[0], edges[-1]))
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, fontsize=8)
    names = sorted(counts)
    words = [f"{name_of(name)} {counts[name].sum()}, median near {found.median(name):.3g}" for name in names]
    outside = sum(found.outside.values())
    note = f"{plural(outside, what.removesuffix('s'))} beyond these bins, or not above 0." if outside else ""
    alt = f"Histogram of {quantity}: {'; '.join(words)}."
    rows = [[quantity, *map(name_of, names)]]
    for first, (low, high) in enumerate(itertools.pairwise(edges)):
        rows.append([f"{low:.4g} to {high:.4g}", *(str(counts[name][first]) for name in names)])
    return Plot(title, _svg(figure), alt, rows, note)


def shares(title, quantity, found, name_of):
    """Return the Plot of an event_counts.Histogram, each name's counts as shares of its own; None if it is empty."""
    trimmed = found.trimmed(20)
    if trimmed is None:
        return None
    edges, counts = trimmed
    names = [name for name in sorted(counts) if counts[name].sum()]
    figure, axes = _figure()
    for name, colour in zip(names, _colours(), strict=False):
        axes.stairs(100 * counts[name] / counts[name].sum(), edges, color=colour, linewidth=1.6, label=name_of(name))
    axes.set(xlabel=quantity, ylabel="% of the table", xlim=(edges[0], edges[-1]))
    axes.legend(frameon=False, fontsize=8)
    rows = [[quantity, *map(name_of, names)]]
    for first, (low, high) in enumerate(itertools.pairwise(edges)):
        rows.append(
            [f"{low:.4g} to {high:.4g}", *(f"{100 * counts[name][first] / counts[name].sum():.1f} %" for name in names)]
        )
    words = ", ".join(f"{name_of(name)} {counts[name].sum()}" for name in names)
    return Plot(title, _svg(figure), f"Histograms of {quantity}, as shares: {words}.", rows)


def layout(tel_table, images):
    """Return the Plot of where telescopes stand."""
    figure, axes = _figure((5.6, 4.6))
    types = sorted({name.decode() for name in tel_table["tel_type"].tolist()})
    for tel_type, colour in zip(types, _colours(), strict=False):
        mine = tel_table[tel_table["tel_type"] == tel_type.encode()]
        axes.scatter(mine["tel_x"], mine["tel_y"], s=42, color=colour, label=f"{tel_type} ({len(mine)})")
    for row in tel_table:
        place = row["tel_x"], row["tel_y"]
        axes.annotate(str(row["tel_id"]), place, xytext=(4, 4), textcoords="offset points", fontsize=7)
    axes.set_aspect("equal", "datalim")
    axes.margins(0.1)
    axes.set(xlabel="x [m], to the north", ylabel="y [m], to the west")
    axes.legend(frameon=False, fontsize=8)
    rows = [["tel_id", "type", "camera", "x [m]", "y [m]", "images"]]
    for row, n_images in zip(tel_table, images.tolist(), strict=True):
        words = [row[name].decode() for name in ("tel_type", "camera")]
        rows.append([str(row["tel_id"]), *words, f"{row['tel_x']:.1f}", f"{row['tel_y']:.1f}", str(n_images)])
    alt = f"Map of {plural(len(tel_table), 'telescope')}: " + ", ".join(
        f"{(tel_table['tel_type'] == name.encode()).sum()} {name}" for name in types
    )
    return Plot("Where the telescopes stand", _svg(figure), f"{alt}.", rows)


def image_pair(image, size):
    """Return the Plot of an image: the array beside the camera; `size` says of which it is one."""
    panel = 2.3
    figure, _ = _figure((2 * panel + 1.0, panel + 0.2))
    figure.clear()
    width, height = figure.get_size_inches()
    left, right, bar = (
        figure.add_axes([place / width, 0.1 / height, side / width, panel / height])
        for place, side in ((0.05, panel), (panel + 0.15, panel), (2 * panel + 0.25, 0.1))
    )
    colours = pictures.CHARGE_COLOURS
    pictures.draw_pair(left, right, bar, image.camera, image.charge_array, image.charge, "charge [p.e.]", colours)
    for collection in right.collections:  # thousands of pixels: as a picture within the SVG
        collection.set_rasterized(True)
    overlays.draw(right, image)
    n_x, n_y = image.charge_array.shape
    finite = image.charge[np.isfinite(image.charge)]
    brightest = f"{finite.max():.0f} p.e. in the brightest pixel" if len(finite) else "no finite charge"
    alt = f"{size}: telescope {image.tel_id}, array of {n_x} x {n_y} cells and the camera; {brightest}."
    return Plot(f"{image.camera.name}, {size}", _svg(figure), alt, [])


def primaries_named(is_observed):
    """Return the function from a primary to its name."""
    return lambda primary: primary_name(primary, is_observed)


def _colours():
    return itertools.chain(COLOURS, itertools.repeat(COLOURS[-1]))


def _figure(size=SIZE):
    """Return a matplotlib Figure and its Axes."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, dpi=DPI)
    axes = figure.add_axes([0.13, 0.16, 0.84, 0.8]) if size == SIZE else figure.add_subplot()
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.tick_params(labelsize=8)
    return figure, axes


def _svg(figure):
    """Return a figure as an SVG element: text stays text, and nothing tells of when it was drawn."""
    import matplotlib

    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "image_extractor"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None}, dpi=DPI)
    text = buffer.getvalue()
    return text[text.index("<svg") :]
