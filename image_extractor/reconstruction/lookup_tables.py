"""Lookup tables: width, length and energy of images of gammas, by kind of telescope, size and impact distance."""

import numpy as np

from ..errors import InputError
from . import histograms
from .cell_values import cell_values

#: Where the tables come from, a row for each run of a file: name, checksum as of `input_files.digest`, run number,
#: events read, images in the tables.
INPUT = np.dtype([("file", "S255"), ("digest", "S64"), ("run_number", "<i8"), ("events", "<i8"), ("images", "<i8")])

#: Which showers fill what is looked up in: of even numbers, of odd ones, or all.
EVEN, ODD, ALL = 0, 1, 2


class LookupTables:
    """Histograms by kind of telescope, which add up, and what they say.

    Parameters
    ----------
    recipe : Recipe
        How the images were made.
    histograms : dict, optional
        {description of a telescope: {quantity: array of histograms.ROW}}.
    inputs : array of INPUT, optional
    """

    def __init__(self, recipe, histograms=None, inputs=None):
        self.recipe = recipe
        self.histograms = histograms or {}
        self.inputs = np.empty(0, INPUT) if inputs is None else inputs

    def fill(self, name, size, distance, values, half, weight):
        """Put images of one kind of telescope in.

        Parameters
        ----------
        name : str
            The telescope's description.
        size, distance : float arrays (n_images,) [p.e., m]
        values : dict
            {quantity: float array (n_images,)} [deg; log10 of energy by size, TeV per p.e.].
        half : int array (n_images,)
            See :func:`halves`.
        weight : int array (n_images,)
            In `histograms.WEIGHT_UNIT`.
        """
        cell = histograms.cells(size, distance)
        mine = self.histograms.setdefault(name, {})
        for quantity, column in values.items():
            rows = histograms.histogram(quantity, column, cell, half, weight)
            mine[quantity] = histograms.added(mine.get(quantity, rows[:0]), rows)

    def add(self, other, where):
        """Take in the content of other tables.

        where : str or Path
            Stands for them in the message of InputError, where these were made another way, or of the same runs.
        """
        problems = list(self.recipe.differences(other.recipe))
        if problems:
            raise InputError(f"{where}: can't be in the same tables as the first: {'; '.join(problems)}")
        keys = ["digest", "run_number"]
        twice = np.isin(other.inputs[keys], self.inputs[keys])
        if twice.any():
            raise InputError(f"{where}: its run {other.inputs['run_number'][twice][0]} is in the tables already")
        for name, facts in other.recipe.telescopes.items():
            self.recipe.telescopes.setdefault(name, facts)
        for name, quantities in other.histograms.items():
            mine = self.histograms.setdefault(name, {})
            for quantity, rows in quantities.items():
                mine[quantity] = histograms.added(mine.get(quantity, rows[:0]), rows)
        inputs = np.concatenate([self.inputs, other.inputs])
        self.inputs = inputs[np.argsort(inputs, order=["file", "run_number", "digest"], kind="stable")]

    @property
    def n_images(self):
        """Images by kind of telescope, {description: number}."""
        return {name: int(found["width"]["entries"].sum()) for name, found in sorted(self.histograms.items())}

    def reader(self, min_entries, widen):
        """Return the :class:`TableReader` of these tables, by [reconstruction] min_entries and widen."""
        return TableReader(self, min_entries, widen)


class TableReader:
    """Says what images of gammas should look like.

    Parameters
    ----------
    tables : LookupTables
    min_entries, widen : int
        See :func:`cell_values.cell_values`.
    """

    def __init__(self, tables, min_entries, widen):
        self.tables = tables
        self._settings = min_entries, widen
        self._cells = {}
        self._runs = np.unique(tables.inputs["run_number"])

    def cells(self, name, quantity, part=ALL):
        """Return the CellValues of a kind of telescope; None if there is no table of it."""
        rows = self.tables.histograms.get(name, {}).get(quantity)
        if rows is None:
            return None
        key = name, quantity, part
        if key not in self._cells:
            rows = rows if part == ALL else rows[rows["half"] == part]
            self._cells[key] = cell_values(quantity, rows, *self._settings)
        return self._cells[key]

    def parts(self, primary, run_numbers, event_ids):
        """Return which part of the tables events are to be looked up in, int array (n_events,).

        A gamma of a run that filled the tables is looked up among the showers of the other half; all others in the sum.
        """
        own = (np.asarray(primary) == 0) & np.isin(run_numbers, self._runs)
        return np.where(own, 1 - halves(event_ids), ALL)

    def look_up(self, telescope, names, size, distance, part):
        """Return what tables say of images.

        Parameters
        ----------
        telescope : int array (n_images,)
            Places in `names`.
        names : list of str
            Descriptions of the telescopes of the array.
        size, distance : float arrays (n_images,) [p.e., m]
        part : int array (n_images,), see :meth:`parts`

        Returns
        -------
        expected : dict
            {"width", "length", "energy": (median, sigma)}, float arrays (n_images,) [deg, TeV]; a median of 0 or less:
            no entry.
        is_missing, is_widened : bool arrays (n_images,)
            Images of which a quantity has no entry, and those whose cell has taken in its neighbours.
        """
        kinds = sorted(set(names))
        kind = np.array([kinds.index(name) for name in names], np.int64)[telescope] if len(names) else telescope
        expected = {quantity: (np.zeros(len(size)), np.zeros(len(size))) for quantity in histograms.QUANTITIES}
        is_widened = np.zeros(len(size), bool)
        for number, which in np.unique(np.stack([kind, part], axis=1), axis=0):
            here = np.flatnonzero((kind == number) & (part == which))
            for quantity, (medians, sigmas) in expected.items():
                cells = self.cells(kinds[number], quantity, int(which))
                if cells is None:
                    continue
                medians[here], sigmas[here], widened = cells.look_up(size[here], distance[here])
                is_widened[here] |= widened
        energy, sigma = expected["energy"]
        is_entry = energy > 0  # elsewhere it is no energy, but a sentinel
        expected["energy"] = np.where(is_entry, energy * size, energy), np.where(is_entry, sigma * size, sigma)
        is_missing = ~np.all([median > 0 for median, _ in expected.values()], axis=0)
        return expected, is_missing, is_widened & ~is_missing


def halves(event_ids):
    """Return the parity of the showers of events, int array; uses of one shower are in the same half."""
    return (np.asarray(event_ids, np.int64) // 100) % 2
