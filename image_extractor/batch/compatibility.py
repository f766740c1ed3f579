"""What must be known of datasets before they are merged, and whether they fit together."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .. import config
from ..errors import DamagedDatasetError, DatasetError
from ..hdf5 import dataset_files, nodes, older_formats, schema
from . import known_inputs

#: Settings that may differ between the runs of a dataset: they only make the dictionary, or only say which events pass.
FREE_SETTINGS = ("use_pkl_dict", "preselection_cuts", "output", "[calibration] fast")


@dataclass
class MergeSource:
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
    kind: str = schema.SIMULATED

    @property
    def is_split(self):
        """Whether its events are in tables Events_Training, ... already."""
        return bool(self.tables - {schema.EVENTS})


def inspect(path):
    """Return the MergeSource of a dataset; raise DatasetError if it is none, or damaged."""
    with dataset_files.damage(path), dataset_files.open_dataset(path, verify=True) as file:
        nodes.check_kinds(file)
        cameras = {node._v_name: nodes.all_rows(node) for node in file.root[schema.CAMERAS]._f_iter_nodes("Table")}
        names = {name for group in nodes.events_groups(file) for name in nodes.events_tables(group)}
        settings = config.loads(str(file.root._v_attrs["config"]), f"{path}: config")
        rows = older_formats.run_table(nodes.all_rows(file.root[schema.RUN_TABLE]))
        runs = [
            (os.fsdecode(row["file_name"]), int(row["run_number"]), int(row["primary"]))
            for row in rows[["file_name", "run_number", "primary"]]
        ]
        node = file.root[schema.TEL_TABLE]
        telescopes, n_rows = older_formats.tel_table(nodes.all_rows(node)), n_events(counts(file))
        choice = str(nodes.user_attributes(node).get(schema.FOCAL_LENGTH_CHOICE, ""))
        known, kind = known_inputs.known_runs(rows), schema.kind(file)
        return MergeSource(Path(path), settings, telescopes, cameras, names, runs, known, n_rows, choice, kind)


def counts(file):
    """Return {path of a group: {name of a table or image array: rows}} of an open dataset.

    Parts know it, and leave out what has no rows. Of others, every node is opened.
    """
    if schema.COUNTS in file.root._v_attrs:
        found = json.loads(str(file.root._v_attrs[schema.COUNTS]))
        if not all(type(n_rows) is int for rows in found.values() for n_rows in rows.values()):
            raise DamagedDatasetError(file.filename, "damaged: its counts are no numbers")
        return found
    nodes.check_kinds(file)
    found = {}
    for group in nodes.events_groups(file):
        arrays = {schema.image_name(tel_id): array for tel_id, array in nodes.image_arrays(group).items()}
        parameters = {schema.parameters_name(tel_id): table for tel_id, table in nodes.parameter_tables(group).items()}
        leaves = nodes.events_tables(group) | arrays | parameters
        found[group._v_pathname] = {name: int(node.nrows) for name, node in leaves.items()}
    return found


def other_kind(kind, path, known_kind, known_path):
    """Return in words that two sources, given by their kinds and paths, do not mix, '' if they are of one kind."""
    words = schema.KINDS
    if kind == known_kind:
        return ""
    return f"{path}: is {words[kind]}, {known_path} is {words[known_kind]}: they do not mix in one dataset"


def n_events(counts):
    """Return the number of events that :func:`counts` tells of."""
    return sum(n for rows in counts.values() for name, n in rows.items() if name in schema.EVENTS_TABLES)


def check_settings(source, settings, tables_sha256=""):
    """Raise DatasetError, naming the first difference, if a dataset was made with other settings.

    tables_sha256 : str
        Of the lookup tables that choose events now. If they chose events of the dataset, the cuts must be the same,
        too: those of a dictionary are told by its checksum, these are not.
    """
    is_chosen = any(run.dictionary_sha256 == tables_sha256 for runs in source.known.values() for run in runs)
    free = set(FREE_SETTINGS) - ({"preselection_cuts"} if tables_sha256 and is_chosen else set())
    difference = _first_difference(source.settings, settings, free)
    if difference:
        key, old, new = difference
        raise DatasetError(f"{source.path}: made with {key} = {old}, now {new}: use the same, or --overwrite")


def _first_difference(old, new, free, prefix=""):
    for key in old | new:
        value, other = old.get(key, "unset"), new.get(key, "unset")
        if prefix + key in free:
            continue
        if isinstance(value, dict) or isinstance(other, dict):
            # what only one of them has is unset in the other: values for single telescopes, settings of an extractor
            pair = (side if isinstance(side, dict) else {} for side in (value, other))
            found = _first_difference(*pair, free, f"{prefix}[{key}] ")
            if found:
                return found
        elif value != other:
            return prefix + key, value, other
    return None


def check_split(old, split):
    """Raise DatasetError unless new events can join a dataset's tables with these split fractions."""
    if old is None or not old.is_split:
        return
    names = {name.removeprefix(f"{schema.EVENTS}_") for name in old.tables}
    listed = ", ".join(name for name in schema.SPLIT_NAMES if name in names)
    if not split:
        raise DatasetError(f"{old.path}: is split into {listed}: give --split to share out the new events too")
    if set(split) != names:
        raise DatasetError(f"{old.path}: is split into {listed}: give --split as many fractions")
