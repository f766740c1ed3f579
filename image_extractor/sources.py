"""What must be known of datasets before they are merged, and whether they fit together."""

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from . import config, known_inputs, older_formats, row_types, storage
from .errors import DamagedDatasetError, DatasetError

#: Settings that may differ between the runs of a dataset: they only make the dictionary, or only say which events pass.
FREE_SETTINGS = ("use_pkl_dict", "preselection_cuts", "output", "[calibration] fast")

#: Columns of Tel_Table that tell of a telescope's optics: their names and units.
OPTICS = {
    "focal_length": ("an equivalent focal length of", "m"),
    "effective_focal_length": ("an effective focal length of", "m"),
    "mirror_area": ("a mirror of", "m2"),
}

#: Relative difference of such numbers, at most: they are stored as float32.
OPTICS_TOLERANCE = 1e-5


@dataclass
class Source:
    """A dataset that others are to fit."""

    path: Path
    settings: dict
    tel_table: np.ndarray
    cameras: dict
    tables: set
    runs: list
    known: dict
    n_events: int
    focal_length_choice: str = ""

    @property
    def is_split(self):
        """Whether its events are in tables Events_Training, ... already."""
        return bool(self.tables - {row_types.EVENTS})


def inspect(path):
    """Return the Source of a dataset; raise DatasetError if it is none, or damaged."""
    with storage.damage(path), storage.open_dataset(path) as file:
        storage.check_kinds(file)
        cameras = {node._v_name: node[:] for node in file.root[row_types.CAMERAS]._f_iter_nodes("Table")}
        names = {name for group in storage.events_groups(file) for name in storage.events_tables(group)}
        settings = config.loads(str(file.root._v_attrs["config"]), f"{path}: config")
        rows = older_formats.run_table(file.root[row_types.RUN_TABLE][:])
        runs = [
            (os.fsdecode(row["file_name"]), int(row["run_number"]), int(row["primary"]))
            for row in rows[["file_name", "run_number", "primary"]]
        ]
        node = file.root[row_types.TEL_TABLE]
        telescopes, n_rows = older_formats.tel_table(node[:]), n_events(counts(file))
        choice = str(storage.user_attributes(node).get(row_types.FOCAL_LENGTH_CHOICE, ""))
        known = known_inputs.known_runs(rows)
        return Source(Path(path), settings, telescopes, cameras, names, runs, known, n_rows, choice)


def counts(file):
    """Return {path of a group: {name of a table or image array: rows}} of an open dataset.

    Parts know it, and leave out what has no rows. Of others, every node is opened.
    """
    if row_types.COUNTS in file.root._v_attrs:
        found = json.loads(str(file.root._v_attrs[row_types.COUNTS]))
        if not all(type(n_rows) is int for rows in found.values() for n_rows in rows.values()):
            raise DamagedDatasetError(file.filename, "damaged: its counts are no numbers")
        return found
    storage.check_kinds(file)
    found = {}
    for group in storage.events_groups(file):
        arrays = {row_types.image_name(tel_id): array for tel_id, array in storage.image_arrays(group).items()}
        nodes = storage.events_tables(group) | arrays
        found[group._v_pathname] = {name: int(node.nrows) for name, node in nodes.items()}
    return found


def n_events(counts):
    """Return the number of events that :func:`counts` tells of."""
    return sum(n for rows in counts.values() for name, n in rows.items() if name in row_types.EVENTS_TABLES)


def digest(tel_table, cameras, focal_length_choice):
    """Return a text that is the same for the same telescopes: ids, places, cameras, optics; see :func:`difference`."""
    facts = hashlib.sha256(focal_length_choice.encode())
    for column in ("tel_id", "camera", "tel_x", "tel_y", "tel_z", *OPTICS):
        facts.update(np.ascontiguousarray(tel_table[column]))
    for name in sorted(cameras):
        facts.update(name.encode())
        facts.update(np.ascontiguousarray(cameras[name]))
    return facts.hexdigest()[:16]


def check_settings(source, settings):
    """Raise DatasetError, naming the first difference, if a dataset was made with other settings."""
    difference = _first_difference(source.settings, settings)
    if difference:
        key, old, new = difference
        raise DatasetError(f"{source.path}: made with {key} = {old}, now {new}: use the same, or --overwrite")


def _first_difference(old, new, prefix=""):
    for key in old | new:
        value, other = old.get(key, "unset"), new.get(key, "unset")
        if prefix + key in FREE_SETTINGS:
            continue
        if isinstance(value, dict) or isinstance(other, dict):
            # what only one of them has is unset in the other: values for single telescopes, settings of an extractor
            pair = (side if isinstance(side, dict) else {} for side in (value, other))
            found = _first_difference(*pair, f"{prefix}[{key}] ")
            if found:
                return found
        elif value != other:
            return prefix + key, value, other
    return None


def difference(one, other):
    """Return in words how the telescopes of two sources differ, '' if they don't: ids, places, cameras, optics."""
    ids, other_ids = (source.tel_table["tel_id"].tolist() for source in (one, other))
    if ids != other_ids:
        return f"telescopes {_listed(other_ids)}, not {_listed(ids)}"
    for a, b in zip(one.tel_table, other.tel_table, strict=True):
        where = f"telescope {a['tel_id']} "
        if a["camera"] != b["camera"]:
            return f"{where}has camera {b['camera'].decode()}, not {a['camera'].decode()}"
        if any(abs(a[axis] - b[axis]) > 0.01 for axis in ("tel_x", "tel_y", "tel_z")):
            return f"{where}stands elsewhere"
        optics = _other_optics(a, b)
        if optics:
            return f"{where}has {optics}"
    choices = one.focal_length_choice, other.focal_length_choice
    if all(choices) and choices[0] != choices[1]:
        return f"made with the {choices[1].lower()} focal lengths, not the {choices[0].lower()} ones"
    for name, pixels in one.cameras.items():
        if not np.array_equal(pixels, other.cameras.get(name)):
            return f"camera {name} has another geometry"
    return ""


def _other_optics(one, other):
    """Return in words what differs in two rows of Tel_Table; what one of them does not know, does not."""
    for column, (name, unit) in OPTICS.items():
        if column in one.dtype.names and column in other.dtype.names:
            values = float(one[column]), float(other[column])
            if not np.isnan(values).any() and not np.isclose(*values, rtol=OPTICS_TOLERANCE, atol=0):
                return f"{name} {values[1]:.6g} {unit}, not {values[0]:.6g} {unit}"
    return ""


def _listed(ids):
    return ", ".join(map(str, ids[:8])) + (f", ... ({len(ids)})" if len(ids) > 8 else "")


def check_split(old, split):
    """Raise DatasetError unless new events can join a dataset's tables with these split fractions."""
    if old is None or not old.is_split:
        return
    names = {name.removeprefix(f"{row_types.EVENTS}_") for name in old.tables}
    listed = ", ".join(name for name in row_types.SPLIT_NAMES if name in names)
    if not split:
        raise DatasetError(f"{old.path}: is split into {listed}: give --split to share out the new events too")
    if set(split) != names:
        raise DatasetError(f"{old.path}: is split into {listed}: give --split as many fractions")
