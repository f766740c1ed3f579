"""Datasets into one: parts to the output, with shuffle and split on the way; always a new file."""

import logging
import math
import zlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from . import config, row_types, storage
from .errors import DatasetError
from .table_passes import Append, Shuffle, Split, blocks, shares
from .workspace import workspace

log = logging.getLogger(__name__)

#: Settings that may differ between the runs of a dataset: they only make the dictionary, or only say which events pass.
FREE_SETTINGS = ("use_pkl_dict", "preselection_cuts", "output", "[calibration] fast")


#: Root attributes that only parts have.
PART_ATTRIBUTES = ("fingerprint", "report")

#: Rows of an image array that tel_map, of 32 bits, can point to.
LARGEST_TEL_MAP = 2**31 - 1


@dataclass
class Source:
    """What must be known of a dataset before its rows are copied."""

    path: Path
    settings: dict
    tel_table: np.ndarray
    cameras: dict
    n_rows: dict
    runs: list
    n_images: dict

    @property
    def is_split(self):
        """Whether its events are in tables Events_Training, ... already."""
        return any(name != row_types.EVENTS for tables_ in self.n_rows.values() for name in tables_)


def inspect(path):
    """Return the Source of a dataset; raise DatasetError if it is none, or damaged."""
    with storage.damage(path), storage.open_dataset(path) as file:
        storage.check_kinds(file)
        cameras = {node._v_name: node[:] for node in file.root[row_types.CAMERAS]._f_iter_nodes("Table")}
        n_rows = {
            group._v_name: {name: int(table.nrows) for name, table in storage.events_tables(group).items()}
            for group in storage.events_groups(file)
        }
        n_images = {
            group._v_name: {tel_id: int(array.nrows) for tel_id, array in storage.image_arrays(group).items()}
            for group in storage.events_groups(file)
        }
        settings = config.loads(str(file.root._v_attrs["config"]), f"{path}: config")
        runs = [
            (row["file_name"].decode(), int(row["run_number"]), int(row["primary"]))
            for row in file.root[row_types.RUN_TABLE][:]
        ]
        return Source(Path(path), settings, file.root[row_types.TEL_TABLE][:], cameras, n_rows, runs, n_images)


def known_runs(path):
    """Return {file name: {(run number, primary), ...}} of the runs that a dataset holds."""
    known = {}
    for name, *run in inspect(path).runs:
        known.setdefault(name, set()).add(tuple(run))
    return known


def repeats(sources):
    """Return {path of a source: name of the file that has some of its events too}; the earlier source is left out.

    Productions share run numbers, and so event numbers. Events are the same if their true showers are, too.
    Tables are read only where a run number and primary come from two sources.
    """
    places = {}
    for source in sources:
        for name, *run in source.runs:
            places.setdefault(tuple(run), {}).setdefault(source.path, name)
    shared = {run for run, paths in places.items() if len(paths) > 1}
    found, seen = {}, {}
    for source in sources if shared else ():
        here = {run: _showers(source.path, run) for run in shared & {tuple(run) for _, *run in source.runs}}
        for run, events in here.items():
            name = next((name for name, others in seen.get(run, ()) if not events.isdisjoint(others)), None)
            if name:
                found[source.path] = name
        if source.path not in found:
            for run, events in here.items():
                seen.setdefault(run, []).append((places[run][source.path], events))
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


def check_fractions(split):
    """Return split fractions {name: fraction}; raise ValueError unless they are positive and add up to 1."""
    unknown = set(split) - set(row_types.SPLIT_NAMES)
    if unknown:
        raise ValueError(f"split into {', '.join(sorted(unknown))}: must be of {', '.join(row_types.SPLIT_NAMES)}")
    if not all(0 < fraction <= 1 for fraction in split.values()) or not math.isclose(
        sum(split.values()), 1, abs_tol=1e-6
    ):
        raise ValueError(f"split fractions {', '.join(map(str, split.values()))}: must be above 0 and add up to 1")
    return {name: float(split[name]) for name in row_types.SPLIT_NAMES if name in split}


def rewrite(path, seed=None, split=None):
    """Shuffle (if a seed is given) and split (if fractions are) a dataset in place, by way of a new file.

    Raises DatasetError if the file is no dataset, or is to be split and is so already.
    """
    with workspace(path) as work:
        source = inspect(path)
        if split and source.is_split:
            raise DatasetError(f"{path}: is split already")
        build([source], path, work.folder, seed=seed, split=split)


def check_split(old, split):
    """Raise DatasetError unless new events can join a dataset's tables with these split fractions."""
    if old is None or not old.is_split:
        return
    names = {name.removeprefix(f"{row_types.EVENTS}_") for tables_ in old.n_rows.values() for name in tables_}
    listed = ", ".join(name for name in row_types.SPLIT_NAMES if name in names)
    if not split:
        raise DatasetError(f"{old.path}: is split into {listed}: give --split to share out the new events too")
    if set(split) != names:
        raise DatasetError(f"{old.path}: is split into {listed}: give --split as many fractions")


def build(sources, target, folder, *, seed=None, split=None, attributes=None, progress=None):
    """Write a new dataset with the runs of all sources, in their order, and put it in the place of `target`.

    Parameters
    ----------
    sources : list of Source
        Of equal telescopes and settings. Events keep the split table they are in; the others are
        shared out if `split` is given.
    target : str or Path
    folder : str or Path
        For what is temporary, on the same file system as `target`.
    seed : int, optional
        Shuffle every table with it.
    split : dict, optional
        {'Training': 0.9, ...}.
    attributes : dict, optional
        For the root.
    progress : callable, optional
        Called after each source.
    """
    split = check_fractions(split) if split else None
    _check_image_counts(sources)
    if len(sources) == 1 and seed is None and not split:
        _adopt(sources[0].path, Path(target), attributes or {})
        return
    scratch_path = Path(folder) / f"buckets{storage.TEMPORARY}"
    with storage.replacing(target, folder) as file, storage.open_file(scratch_path, "w") as scratch:
        builder = _Builder(file, scratch, sources, seed, split)
        for source in sources:
            with storage.open_dataset(source.path) as part:
                builder.add(part)
            if progress:
                progress()
        builder.finish()
        if seed is not None:
            file.root._v_attrs["shuffle_seed"] = seed
        if split:
            file.root._v_attrs["split"] = ", ".join(f"{name} {fraction}" for name, fraction in split.items())
        storage.set_attributes(file.root, attributes or {})
    storage.remove(scratch_path)


def _check_image_counts(sources):
    """Raise DatasetError if tel_map could not point to all images."""
    total = Counter()
    for source in sources:
        for group, arrays in source.n_images.items():
            total.update({(group, tel_id): n_images for tel_id, n_images in arrays.items()})
    for (group, tel_id), n_images in total.items():
        if n_images > LARGEST_TEL_MAP:
            raise DatasetError(
                f"{sources[0].path}: {n_images} images of telescope {tel_id} in {group}, tel_map can point to "
                f"{LARGEST_TEL_MAP}: write the rest to another dataset"
            )


def _adopt(part_path, target, attributes):
    """Make the only part, complete as it is, the output itself."""
    storage.change_attributes(part_path, attributes, PART_ATTRIBUTES)
    storage.put_in_place(part_path, target)


class _Builder:
    """Copies sources into a new file, one after the other."""

    def __init__(self, file, scratch, sources, seed, split):
        self._file, self._scratch, self._seed, self._split = file, scratch, seed, split
        self._rows = {group: self._count(sources, "n_rows", group) for group in sources[0].n_rows} if sources else {}
        self._images = {group: self._count(sources, "n_images", group) for group in self._rows}
        self._steps = None

    @staticmethod
    def _count(sources, what, group):
        """Return {table name: rows}, or {tel_id: images}, of a group over all sources."""
        total = {}
        for source in sources:
            for name, n in getattr(source, what)[group].items():
                total[name] = total.get(name, 0) + n
        return total

    def add(self, part):
        """Copy one source."""
        if self._steps is None:
            self._create_nodes(part)
        storage.append(self._file.root[row_types.RUN_TABLE], part.root[row_types.RUN_TABLE][:])
        for group in storage.events_groups(part):
            offsets = self._copy_images(group)
            for name, table in storage.events_tables(group).items():
                step = self._steps[group._v_name][name]
                for rows in blocks(table):
                    if offsets is not None and offsets.any():
                        tel_map = rows["tel_map"]
                        np.add(tel_map, offsets.astype(tel_map.dtype), out=tel_map, where=tel_map >= 0)
                    step.add(rows)

    def _copy_images(self, group):
        """Append a group's image arrays; return the rows they already had, by row of Tel_Table."""
        arrays = storage.image_arrays(group)
        if not arrays:
            return None
        target = self._file.get_node(group._v_pathname)
        offsets = []
        for tel_id in sorted(arrays):
            node = target._f_get_child(row_types.image_name(tel_id))
            offsets.append(node.nrows)
            storage.copy_images(arrays[tel_id], node)
        return np.array(offsets)

    # -- nodes of the new file, after the first source's ---------------------------------------------

    def _create_nodes(self, part):
        attributes = storage.user_attributes(part.root)
        storage.set_attributes(
            self._file.root, {name: value for name, value in attributes.items() if name not in PART_ATTRIBUTES}
        )
        self._copy_table(part.root[row_types.TEL_TABLE], "/")
        for camera in part.root[row_types.CAMERAS]._f_iter_nodes("Table"):
            self._copy_table(camera, f"/{row_types.CAMERAS}")
        self._empty_table(part.root[row_types.RUN_TABLE], "/", row_types.RUN_TABLE)
        self._steps = {}
        for group in storage.events_groups(part):
            self._create_group(group)

    def _create_group(self, group):
        path = group._v_pathname
        example = next(iter(storage.events_tables(group).values()))
        self._steps[group._v_name] = self._group_steps(
            group._v_name, lambda name, n_rows: self._empty_table(example, path, name, n_rows)
        )
        if path != "/":
            storage.set_attributes(self._file.get_node(path), storage.user_attributes(group))
        for tel_id, array in sorted(storage.image_arrays(group).items()):
            name = row_types.image_name(tel_id)
            kind, attributes = (array.atom.dtype, array.shape[1:], array.filters), storage.user_attributes(array)
            n_images = self._images[group._v_name].get(tel_id, 0)
            storage.create_image_array(self._file, path, name, *kind, attributes, n_images)

    def _group_steps(self, group, create):
        """Return {table name of a source: the step that takes its rows}, and create the tables of the group."""
        rows = self._rows[group]
        pool = rows.get(row_types.EVENTS, 0)
        kept = {name: n for name, n in rows.items() if name != row_types.EVENTS}
        if not self._split:
            names = kept or {row_types.EVENTS: 0}
            return {
                name: self._shuffled(Append(create(name, rows.get(name, 0))), rows.get(name, 0), group, name)
                for name in names
            }
        names = [f"{row_types.EVENTS}_{name}" for name in self._split]
        counts = shares(pool, self._split.values())
        steps = {}
        for name, count in zip(names, counts, strict=True):
            steps[name] = Append(create(name, kept.get(name, 0) + count))
            if kept:  # old rows of the table and its share of new ones are mixed
                steps[name] = self._shuffled(steps[name], kept.get(name, 0) + count, group, name)
        pooled = self._shuffled(Split(steps.values(), counts), pool, group, row_types.EVENTS)
        return {**steps, row_types.EVENTS: pooled}

    def _shuffled(self, step, n_rows, group, name):
        if self._seed is None:
            return step
        return Shuffle(step, n_rows, [self._seed, zlib.crc32(f"{group}/{name}".encode())], self._scratch)

    def _copy_table(self, table, where):
        storage.append(self._empty_table(table, where, table._v_name), table[:])

    def _empty_table(self, table, where, name, n_rows=0):
        attributes = storage.user_attributes(table)
        return storage.create_table(self._file, where, name, table.dtype, table.filters, attributes, n_rows)

    def finish(self):
        """Pass on what the steps still hold."""
        for steps in (self._steps or {}).values():
            # the pool feeds the split tables, so it must finish before (and finishes) them
            pool = steps.get(row_types.EVENTS)
            for step in [pool] if pool else steps.values():
                step.finish()
