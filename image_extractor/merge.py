"""Datasets into one: parts to the output, with shuffle and split on the way; always a new file."""

import math
import zlib
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np

from . import row_types, storage
from .errors import DatasetError
from .sources import inspect
from .table_passes import Append, Shuffle, Split, blocks, shares
from .workspace import workspace

#: Root attributes that only parts have.
PART_ATTRIBUTES = ("fingerprint", "report")

#: Rows of an image array that tel_map, of 32 bits, can point to.
LARGEST_TEL_MAP = 2**31 - 1


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
        if split and inspect(path).is_split:
            raise DatasetError(f"{path}: is split already")
        build([path], path, work.folder, seed=seed, split=split)


def build(paths, target, folder, *, seed=None, split=None, attributes=None, progress=None):
    """Write a new dataset with the runs of others, in their order, and put it in the place of `target`.

    One file at a time is open, and nothing of it is kept: memory does not grow with their number.

    Parameters
    ----------
    paths : list of str or Path
        Datasets of equal telescopes and settings. Events keep the split table they are in; the others
        are shared out if `split` is given.
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
        Called after each dataset.
    """
    split, target = check_fractions(split) if split else None, Path(target)
    scratch_path = Path(folder) / f"{target.name}.buckets{storage.TEMPORARY}"
    rows, images = _totals(paths)
    with storage.replacing(target, folder) as file, storage.open_file(scratch_path, "w") as scratch:
        builder = _Builder(file, scratch, rows, images, seed, split)
        for path in paths:
            with storage.open_dataset(path) as part:
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


def adopt(finished, target, attributes):
    """Make a dataset of the folder of parts, complete as it is, the output itself."""
    storage.change_attributes(finished, attributes, PART_ATTRIBUTES)
    storage.put_in_place(finished, Path(target))


def _totals(paths):
    """Return {group: {table: rows}} and {group: {tel_id: images}} over all datasets."""
    rows, images = defaultdict(Counter), defaultdict(Counter)
    for path in paths:
        with storage.damage(path), storage.open_dataset(path) as file:
            storage.check_kinds(file)
            for group in storage.events_groups(file):
                tables = storage.events_tables(group).items()
                rows[group._v_name].update({name: int(table.nrows) for name, table in tables})
                arrays = storage.image_arrays(group).items()
                images[group._v_name].update({tel_id: int(array.nrows) for tel_id, array in arrays})
    for group, counts in images.items():
        for tel_id, n_images in counts.items():
            _check_image_count(paths[0], group, tel_id, n_images)
    return rows, images


def _check_image_count(path, group, tel_id, n_images):
    """Raise DatasetError if tel_map could not point to all images."""
    if n_images > LARGEST_TEL_MAP:
        raise DatasetError(
            f"{path}: {n_images} images of telescope {tel_id} in {group}, tel_map can point to "
            f"{LARGEST_TEL_MAP}: write the rest to another dataset, or several with --files_per_output"
        )


class _Builder:
    """Copies sources into a new file, one after the other.

    rows : {group: {table: rows}} over all sources
    images : {group: {tel_id: images}} over all sources
    """

    def __init__(self, file, scratch, rows, images, seed, split):
        self._file, self._scratch, self._seed, self._split = file, scratch, seed, split
        self._rows, self._images = rows, images
        self._steps = None

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
