"""Pictures of lookup tables: medians and sigmas by size and impact distance, and where they are empty or widened."""

import re

import numpy as np

from ..errors import ConfigError
from ..reconstruction.histograms import DISTANCE, QUANTITIES, SIZE
from . import picture_files

LABELS = {"width": "width [deg]", "length": "length [deg]", "energy": "energy / size [TeV / p.e.]"}


def draw_tables(tables, settings, folder):
    """Draw lookup tables, a PNG file for each kind of telescope.

    Parameters
    ----------
    tables : LookupTables
    settings : dict
        The section [reconstruction].
    folder : Path
        Is made if it is not there.

    Returns
    -------
    list of Path
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise ConfigError(f"{folder}: can't be made: {err.strerror}") from err
    reader = tables.reader(settings["min_entries"], settings["widen"])
    paths = []
    for name, n_images in tables.n_images.items():
        path = folder / f"tables_{re.sub(r'[^A-Za-z0-9_-]', '_', name)}.png"
        shows = {"tables": name, "inputs": sorted(digest.decode() for digest in tables.inputs["digest"].tolist())[:20]}
        figure = draw(name, {quantity: reader.cells(name, quantity) for quantity in QUANTITIES}, n_images)
        paths.append(picture_files.write(figure, path, shows, is_chosen=False))
    return paths


def draw(name, cells, n_images):
    """Return the matplotlib Figure of the tables of one kind of telescope.

    name : str
    cells : {quantity: CellValues}
    n_images : int
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.colors import BoundaryNorm, ListedColormap, LogNorm
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 7.5), layout="constrained")
    axes = figure.subplots(2, 4)
    figure.suptitle(f"{name}: {n_images:,} images of gammas")
    filled = cells["width"].median > 0
    for column, (quantity, label) in enumerate(LABELS.items()):
        for row, part in enumerate(("median", "sigma")):
            values = getattr(cells[quantity], part)
            shown = np.ma.masked_where(cells[quantity].median <= 0, values)
            norm = LogNorm() if quantity == "energy" and shown.count() else None
            title = f"{'median of ' if part == 'median' else 'q84 - q16 of '}{label}"
            _panel(figure, axes[row, column], shown, title, filled, norm=norm)
    entries = cells["width"].entries
    norm = LogNorm() if entries.any() else None
    _panel(figure, axes[0, 3], np.ma.masked_equal(entries, 0), "images in the cell", filled, norm=norm)
    kind = np.ma.masked_equal(np.where(cells["width"].is_widened, 1, np.where(filled, 2, 0)), 0)
    colours, bounds = ListedColormap(["tab:orange", "tab:blue"]), BoundaryNorm([0.5, 1.5, 2.5], 2)
    bar = _panel(figure, axes[1, 3], kind, "where values are from", filled, cmap=colours, norm=bounds)
    bar.set_ticks([1, 2], labels=["widened", "own"])
    return figure


def _panel(figure, axis, values, title, filled, **how):
    """Draw one array (SIZE.n_bins, DISTANCE.n_bins), no further than cells are filled; returns the colour bar."""
    edges = [np.linspace(one.low, one.high, one.n_bins + 1) for one in (SIZE, DISTANCE)]
    mesh = axis.pcolormesh(*edges, values.T, **how)
    for one, along, limits in (
        (SIZE, filled.any(axis=1), axis.set_xlim),
        (DISTANCE, filled.any(axis=0), axis.set_ylim),
    ):
        places = np.flatnonzero(along)
        step = (one.high - one.low) / one.n_bins
        if len(places):
            limits(one.low + step * (places[0] - 1), one.low + step * (places[-1] + 2))
    axis.set_title(title, fontsize=9)
    axis.set_xlabel("log10 of size [p.e.]")
    axis.set_ylabel("impact distance [m]")
    return figure.colorbar(mesh, ax=axis)
