"""Lookup tables in an HDF5 file, which appears whole or not at all."""

import datetime
import hashlib
from pathlib import Path

import numpy as np
import tables

from ..errors import DamagedDatasetError, DatasetError
from ..hdf5 import nodes, provenance
from ..hdf5.dataset_files import damage, open_file
from ..hdf5.replacing import replacing
from . import histograms
from .lookup_tables import INPUT, LookupTables
from .recipe import Recipe

#: Raise the second number when something is added, the first when a reader of old files would go wrong.
FORMAT, FORMAT_VERSION = "image_extractor lookup tables", "1.0"

INPUTS, TELESCOPE = "Inputs", "telescope"

#: Units and meanings of what is in a file, as attributes of its tables.
DESCRIPTIONS = {
    "width": "width of images [deg]",
    "length": "length of images [deg]",
    "energy": "log10 of energy by size [TeV per p.e.]",
}

#: Attributes of a root that are no facts of the recipe.
_OWN = ("format", "format_version", "utc_time", "command_line", "fingerprint", "report", "config")


def save(path, lookup_tables, attributes=None):
    """Write tables to a file.

    Parameters
    ----------
    path : str or Path
        An existing file is replaced once the new one is complete.
    lookup_tables : LookupTables
    attributes : dict, optional
        {name of _OWN: text} for the file's root.

    Raises
    ------
    OSError
        If something could not be written.
    """
    filters = nodes.filters("zlib")
    with replacing(path) as file:
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        own = {**provenance.versions(), "format": FORMAT, "format_version": FORMAT_VERSION, "utc_time": now}
        nodes.set_attributes(file.root, own | lookup_tables.recipe.common | _axes() | (attributes or {}))
        table = nodes.create_table(file, "/", INPUTS, INPUT, filters, {})
        nodes.append(table, lookup_tables.inputs)
        for number, (name, facts) in enumerate(sorted(lookup_tables.recipe.telescopes.items())):
            group = file.create_group("/", f"T{number}")
            nodes.set_attributes(group, {TELESCOPE: name, **facts})
            for quantity, rows in lookup_tables.histograms.get(name, {}).items():
                axis = histograms.QUANTITIES[quantity]
                facts_of_axis = {"content": DESCRIPTIONS[quantity], **_axis("bin", axis)}
                table = nodes.create_table(file, group, quantity, histograms.ROW, filters, facts_of_axis)
                nodes.append(table, rows)


def _axes():
    return {
        "cell": f"row of size * {histograms.DISTANCE.n_bins} + row of distance",
        "weight_unit": histograms.WEIGHT_UNIT,
        **_axis("size", histograms.SIZE),
        **_axis("distance", histograms.DISTANCE),
    }


def _axis(name, axis):
    return {f"{name}_bins": axis.n_bins, f"{name}_low": axis.low, f"{name}_high": axis.high}


def load(path):
    """Read tables of a file.

    Returns
    -------
    LookupTables

    Raises
    ------
    DatasetError
        If it is none, of a newer format, or damaged.
    """
    with open_file(path) as file, damage(path):
        root = _checked_attributes(file, path)
        axes = _axes()
        if any(root.get(name) != value for name, value in axes.items()):
            raise DatasetError(f"{path}: its cells are others than those of this version: make the tables again")
        own = {*_OWN, *axes, *(name for name in root if name.endswith("_version"))}
        recipe = Recipe({name: _plain(value) for name, value in root.items() if name not in own})
        found = LookupTables(recipe, inputs=nodes.leaf(file, "/", INPUTS, tables.Table).read().astype(INPUT))
        for group in file.root._f_iter_nodes("Group"):
            facts = {name: _plain(value) for name, value in nodes.user_attributes(group).items()}
            name = str(facts.pop(TELESCOPE))
            recipe.telescopes[name] = facts
            rows = {quantity: _rows(file, group, quantity) for quantity in histograms.QUANTITIES if quantity in group}
            if rows:
                found.histograms[name] = rows
    return found


def load_identified(path):
    """Read tables of a file as :func:`load`.

    Returns
    -------
    found : LookupTables
    name, sha256 : str
        Of the file.
    """
    return load(path), Path(path).name, hashlib.sha256(Path(path).read_bytes()).hexdigest()


def attributes(path):
    """Return the attributes of the root of a file of tables, {name: value}; raise DatasetError as :func:`load`."""
    with open_file(path) as file, damage(path):
        return _checked_attributes(file, path)


def _checked_attributes(file, path):
    root = nodes.user_attributes(file.root)
    if str(root.get("format")) != FORMAT:
        raise DatasetError(f"{path}: no lookup tables; make_lookup_tables.py makes them")
    if int(str(root["format_version"]).split(".")[0]) > int(FORMAT_VERSION.split(".")[0]):
        raise DatasetError(
            f"{path}: format {root['format_version']} is newer than {FORMAT_VERSION}: update image_extractor"
        )
    return root


def _rows(file, group, quantity):
    """Return the rows of a histogram; raise DamagedDatasetError for some that it can't have."""
    rows = nodes.leaf(file, group, quantity, tables.Table).read().astype(histograms.ROW)
    limits = {"half": 2, "cell": histograms.N_CELLS, "bin": histograms.QUANTITIES[quantity].n_bins}
    limits |= {"entries": 2**62, "weight": 2**62}
    if any(((rows[name] < 0) | (rows[name] >= limit)).any() for name, limit in limits.items()):
        raise DamagedDatasetError(file.filename, f"damaged: {group._v_pathname}/{quantity} has rows of no cell or bin")
    return histograms.added(rows)


def _plain(value):
    """Return an attribute as a plain type."""
    return str(value) if isinstance(value, str) else value.item() if isinstance(value, np.generic) else value
