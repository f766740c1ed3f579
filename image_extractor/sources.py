"""What must be known of datasets before they are merged, and whether they fit together."""

import hashlib
import json
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from . import config, row_types, storage
from .errors import DamagedDatasetError, DatasetError

#: Settings that may differ between the runs of a dataset: they only make the dictionary, or only say which events pass.
FREE_SETTINGS = ("use_pkl_dict", "preselection_cuts", "output", "[calibration] fast")


@dataclass
class Source:
    """A dataset that others are to fit."""

    path: Path
    settings: dict
    tel_table: np.ndarray
    cameras: dict
    tables: set
    runs: list

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
        runs = [
            (os.fsdecode(row["file_name"]), int(row["run_number"]), int(row["primary"]))
            for row in file.root[row_types.RUN_TABLE][:]
        ]
        return Source(Path(path), settings, file.root[row_types.TEL_TABLE][:], cameras, names, runs)


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


def known_runs(sources):
    """Return {file name: {(run number, primary), ...}} of the runs that datasets hold."""
    known = {}
    for source in sources:
        for name, *run in source.runs:
            known.setdefault(name, set()).add(tuple(run))
    return known


def digest(tel_table, cameras):
    """Return a text that is the same for the same telescopes: ids, positions, cameras; see :func:`difference`."""
    facts = hashlib.sha256()
    for column in ("tel_id", "camera", "tel_x", "tel_y", "tel_z"):
        facts.update(np.ascontiguousarray(tel_table[column]))
    for name in sorted(cameras):
        facts.update(name.encode())
        facts.update(np.ascontiguousarray(cameras[name]))
    return facts.hexdigest()[:16]


def repeats(old, new):
    """Return {path of a new dataset: name of a file before it that has some of its events too}.

    Productions share run numbers, and so event numbers. Events are the same if their true showers are, too.
    Tables are read only where a run number and primary come from two datasets, one run after the other.

    old, new : lists of (path, [(file name, run number, primary), ...]); a new dataset has one run
    """
    counts = Counter(run for _, runs in (*old, *new) for run in {(number, primary) for _, number, primary in runs})
    places = {}
    for path, runs in (*old, *new):
        for name, *run in runs:
            if counts[tuple(run)] > 1:
                places.setdefault(tuple(run), {}).setdefault(path, name)
    found, trusted = {}, {path for path, _ in old}
    for run, names in places.items():
        seen = []
        for path, name in names.items():
            events = _showers(path, run)
            twin = next((other for other, others in seen if not events.isdisjoint(others)), None)
            if twin and path not in trusted:
                found[path] = twin
            else:
                seen.append((name, events))
    return found


def _showers(path, run):
    """Return the events of a run of a dataset as a set of bytes: event number and true shower."""
    columns = [name for name, *_ in row_types.EVENT_COLUMNS if name != "reconstructed_energy"]
    events = set()
    with storage.damage(path), storage.open_dataset(path) as file:
        for group in storage.events_groups(file):
            for table in storage.events_tables(group).values():
                is_run = (table.col("run_number") == run[0]) & (table.col("gamma_hadron_label") == run[1])
                values = [table.col(name)[is_run] for name in columns]
                rows = np.rec.fromarrays(values) if is_run.any() else []
                events.update(row.tobytes() for row in rows)
    return events


def check_settings(source, settings):
    """Raise DatasetError, naming the first difference, if a dataset was made with other settings."""
    difference = _first_difference(source.settings, settings)
    if difference:
        key, old, new = difference
        raise DatasetError(f"{source.path}: made with {key} = {old}, now {new}: use the same, or --overwrite")


def _first_difference(old, new, prefix=""):
    for key, value in old.items():
        if prefix + key in FREE_SETTINGS:
            continue
        if isinstance(value, dict):
            found = _first_difference(value, new[key], f"{prefix}[{key}] ")
            if found:
                return found
        elif value != new[key]:
            return prefix + key, value, new[key]
    return None


def difference(one, other):
    """Return in words how the telescopes of two sources differ, '' if they don't: ids, positions, cameras."""
    ids, other_ids = (source.tel_table["tel_id"].tolist() for source in (one, other))
    if ids != other_ids:
        return f"telescopes {_listed(other_ids)}, not {_listed(ids)}"
    for a, b in zip(one.tel_table, other.tel_table, strict=True):
        where = f"telescope {a['tel_id']} "
        if a["camera"] != b["camera"]:
            return f"{where}has camera {b['camera'].decode()}, not {a['camera'].decode()}"
        if any(abs(a[axis] - b[axis]) > 0.01 for axis in ("tel_x", "tel_y", "tel_z")):
            return f"{where}stands elsewhere"
    for name, pixels in one.cameras.items():
        if not np.array_equal(pixels, other.cameras.get(name)):
            return f"camera {name} has another geometry"
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
