"""Datasets into one: parts to the output, with shuffle and split on the way; always a new file."""

import logging
import shutil
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tables

from .. import split_fractions, whole_files
from ..errors import DamagedDatasetError, DatasetError
from ..events.shuffled_order import ShuffledOrder
from ..hdf5 import content_hash, dataset_files, nodes, older_formats, replacing, schema
from ..hdf5.image_places import has_image
from . import compatibility, older_datasets
from .parts_folder import hold_parts_folder
from .split_plan import SplitPlan
from .table_passes import Append, Shuffle, Split

log = logging.getLogger(__name__)

#: Root attributes that only parts have, and those that are made anew.
PART_ATTRIBUTES = ("fingerprint", "report", schema.COUNTS)
OF_ONE_FILE = (*PART_ATTRIBUTES, schema.CHECKSUM, content_hash.ATTRIBUTE)

#: Rows of an image array that tel_map, of 32 bits, can point to.
LARGEST_TEL_MAP = 2**31 - 1


def check_fractions(split):
    """Return split fractions {name: fraction}; raise ValueError unless they are positive and add up to 1."""
    unknown = set(split) - set(schema.SPLIT_NAMES)
    if unknown:
        raise ValueError(f"split into {', '.join(sorted(unknown))}: must be of {', '.join(schema.SPLIT_NAMES)}")
    split_fractions.check(split.values())
    return {name: float(split[name]) for name in schema.SPLIT_NAMES if name in split}


def rewrite(path, seed=None, split=None):
    """Shuffle (if a seed is given) and split (if fractions are) a dataset in place, by way of a new file.

    Raises DatasetError if the file is no dataset, or is to be split and is so already.
    """
    with hold_parts_folder(path) as parts:
        if split and compatibility.inspect(path).is_split:
            raise DatasetError(f"{path}: is split already")
        older_datasets.check(path)
        build([path], path, parts.folder, seed=seed, split=split, split_seed=_shuffle_seed(path))


def upgrade(path):
    """Put in the place of a dataset a copy in the present format, with checksums; returns False if it has some.

    Raises
    ------
    DatasetError
        If it is none, is damaged, or is being written.
    """
    if older_datasets.has_checksums(path):
        return False
    rewrite(path)
    return True


def _shuffle_seed(path):
    """Return the seed with which a dataset was shuffled, None if it was not: both passes at once use one seed."""
    with dataset_files.damage(path), dataset_files.open_dataset(path) as file:
        seed = getattr(file.root._v_attrs, "shuffle_seed", None)
        return None if seed is None else int(seed)


def build(
    paths, target, folder, *,
    seed=None, split=None, split_seed=None, beside=(), attributes=None, progress=None, ahead=None,
):  # fmt: skip
    """Write a new dataset with the runs of others, in their order, and put it in the place of `target`.

    One file at a time is open, and nothing of it is kept: memory does not grow with their number.

    Parameters
    ----------
    paths : list of str or Path
        Datasets of equal telescopes and settings. Events keep the split table they are in; the others
        are shared out if `split` is given, all uses of a shower to one table.
    target : str or Path
    folder : str or Path
        For what is temporary, on the same file system as `target`.
    seed : int, optional
        Shuffle every table with it.
    split : dict, optional
        {'Training': 0.9, ...}.
    split_seed : int, optional
        Chooses the showers of each table; by default `seed`, or 0.
    beside : list of str or Path, optional
        Other datasets that were split: showers that are in them go to the table of the same name here.
    attributes : dict, optional
        For the root.
    progress : callable, optional
        Called after each dataset.
    ahead : ImagesAhead, optional
        What has copied images of some of them.
    """
    split, target = check_fractions(split) if split else None, Path(target)
    scratch_path = Path(folder) / f"{target.name}.buckets{whole_files.TEMPORARY}"
    totals = _totals(paths)
    plan = _plan([*beside, *paths], split, seed, split_seed) if split else None
    taken = ahead.take_over(paths) if ahead else None
    new_file, *copied = taken or (replacing.replacing(target, folder, sealed=True), {}, 0)
    with new_file as file, dataset_files.open_file(scratch_path, "w") as scratch:
        builder = _Builder(file, scratch, totals.rows, seed, plan, *copied)
        with dataset_files.open_dataset(totals.example, verify=True) as example:
            builder.create_nodes(example, totals.own_pointings)
        for path in paths:
            with dataset_files.open_dataset(path, rows_only=True, verify=True) as part:
                builder.add(part)
            if progress:
                progress()
        builder.finish()
        _note_order(file, target, seed, len(paths))
        if split:
            file.root._v_attrs["split"] = ", ".join(f"{name} {fraction}" for name, fraction in split.items())
        nodes.set_attributes(file.root, attributes or {})
    whole_files.remove(scratch_path)


def _note_order(file, target, seed, n_sources):
    """Let the root say whether the events of a new file are shuffled; it has the attributes of the first source."""
    attributes = file.root._v_attrs
    if seed is not None:
        attributes["shuffle_seed"] = seed
    elif n_sources > 1 and "shuffle_seed" in attributes:
        del attributes["shuffle_seed"]
        log.warning("%s: its events were shuffled, the new ones stand behind them: --shuffle mixes them", target)


def adopt(finished, target, attributes):
    """Make a copy of a dataset of the folder of parts, complete as it is, the output.

    A copy of its bytes: a part is never changed under its name, or a loss of power would leave one that looks finished.
    """
    target = Path(target)
    with whole_files.whole(target, finished.parent) as temporary:
        shutil.copyfile(finished, temporary)
        replacing.change_attributes(temporary, attributes, PART_ATTRIBUTES)


def _plan(paths, split, *seeds):
    return SplitPlan(paths, split, next((seed for seed in seeds if seed is not None), 0))


@dataclass
class _Totals:
    """What must be known of all sources before the first is copied.

    Attributes
    ----------
    rows : {path of a group: {name of a table or image array: rows}}
    example : path of the first source that has events: it says what the telescopes are
    own_pointings : whether a source has telescopes that point elsewhere than the array
    kind : whether events were simulated or observed
    """

    rows: dict
    example: str | Path
    own_pointings: bool = False
    kind: str = ""


def _totals(paths):
    totals, has_events = _Totals(defaultdict(Counter), paths[0]), False
    for path in paths:
        with dataset_files.damage(path), dataset_files.open_dataset(path, rows_only=True) as file:
            counts = compatibility.counts(file)
            totals.own_pointings |= schema.TEL_POINTING in file.root._v_attrs
            kind = schema.kind(file)
        totals.kind = totals.kind or kind
        mismatch = compatibility.other_kind(kind, path, totals.kind, paths[0])
        if mismatch:
            raise DatasetError(mismatch)
        for group, rows in counts.items():
            totals.rows[group].update(rows)
        if not has_events and compatibility.n_events(counts):
            totals.example, has_events = path, True
    for group, rows in totals.rows.items():
        for name, n_rows in rows.items():
            if name[0] == "T":
                _check_image_count(paths[0], group, name, n_rows)
    return totals


def _check_image_count(path, group, name, n_images):
    """Raise DatasetError if tel_map could not point to all images."""
    if n_images > LARGEST_TEL_MAP:
        raise DatasetError(
            f"{path}: {n_images} images of telescope {name[1:]} in {group}, tel_map can point to "
            f"{LARGEST_TEL_MAP}: write the rest to another dataset, or several with --files_per_output"
        )


def _point(rows, first, n_images, path):
    """Let rows of Events point to images that were appended to others from `first` on; each telescope has so many."""
    with dataset_files.damage(path):
        if (rows["tel_map"] >= n_images).any():
            raise DamagedDatasetError(path, "damaged: events point to images that are not there")
    if first.any():
        np.add(rows["tel_map"], first, out=rows["tel_map"], where=has_image(rows))


class _Builder:
    """Copies sources into a new file, one after the other.

    rows : {path of a group: {name of a table or image array: rows}} over all sources
    plan : SplitPlan or None
    arrays : {path of a group: {name: image array}}, which are there already, with the images of `n_copied` sources
    """

    def __init__(self, file, scratch, rows, seed, plan, arrays, n_copied):
        self._file, self._scratch, self._rows, self._seed, self._plan = file, scratch, rows, seed, plan
        self._arrays, self._n_ahead, self._n_images = arrays, n_copied, {}
        # nodes of the new file that are not held would be opened anew for every source
        self._runs, self._event_dtype, self._parameters, self._steps = None, None, {}, {}

    # -- nodes of the new file -----------------------------------------------------------------------

    def create_nodes(self, example, own_pointings):
        """Create them after those of a source, as the present format has them."""
        with dataset_files.damage(example.filename):
            nodes.check_kinds(example)
            tel_table, cameras = example.root[schema.TEL_TABLE], example.root[schema.CAMERAS]
            telescopes = older_formats.tel_table(nodes.all_rows(tel_table))
            settings = nodes.user_attributes(example.root)
            cameras = list(cameras._f_iter_nodes("Table"))
            groups = [
                (group, nodes.events_tables(group), nodes.image_arrays(group)) for group in nodes.events_groups(example)
            ]
        kept = {name: value for name, value in settings.items() if name not in OF_ONE_FILE}
        kept |= {"format_version": schema.FORMAT_VERSION, schema.KIND: schema.kind(example)}
        nodes.set_attributes(self._file.root, kept)
        if own_pointings:
            nodes.set_attributes(self._file.root, {schema.TEL_POINTING: True})
        self._create_table(tel_table, schema.TEL_COLUMNS, telescopes)
        for table in cameras:
            self._copy(table)
        runs = example.root[schema.RUN_TABLE]
        self._runs = self._create_table(runs, schema.run_columns(runs.colnames), None)
        for group, event_tables, arrays in groups:
            events = next(iter(event_tables.values()))
            self._event_dtype = older_formats.event_dtype(events.dtype, len(telescopes), own_pointings)
            self._create_group(group, events, arrays)

    def _copy(self, table):
        place = table._v_parent._v_pathname, table._v_name
        attributes = nodes.user_attributes(table)
        copy = nodes.create_table(self._file, *place, table.dtype, table.filters, attributes, table.nrows)
        for rows in nodes.blocks(table):
            nodes.append(copy, rows)

    def _create_table(self, example, columns, rows):
        """Create a table like one of a source, with these rows, if any."""
        n_rows = 0 if rows is None else len(rows)
        table = self._empty_table(example, example._v_parent._v_pathname, example._v_name, columns, n_rows)
        if rows is not None:
            nodes.append(table, rows)
        return table

    def _create_group(self, group, example, arrays):
        path = group._v_pathname
        columns = list(schema.described(self._event_dtype))
        self._steps[path] = self._group_steps(
            path, lambda name, n_rows: self._empty_table(example, path, name, columns, n_rows)
        )
        if path != "/":
            nodes.set_attributes(self._file.get_node(path), nodes.user_attributes(group))
        if path not in self._arrays:
            self._arrays[path] = nodes.create_image_arrays(self._file, path, arrays, self._rows[path])
        self._n_images[path] = np.zeros(len(self._arrays[path]), np.int32)
        self._parameters[path] = {
            name: nodes.create_parameter_table(self._file, path, int(name[1:]), example.filters, n_images)
            for name, n_images in sorted(self._rows[path].items())
            if name[0] == "P" and n_images
        }

    def _empty_table(self, example, where, name, columns, n_rows=0):
        """Create a table of these columns, with the other attributes and filters of a source's."""
        attributes = nodes.user_attributes(example)
        attributes = {key: value for key, value in attributes.items() if not key.startswith("CTAFIELD_")}
        attributes |= schema.column_attributes(columns)
        dtype = schema.dtype(columns)
        return nodes.create_table(self._file, where, name, dtype, example.filters, attributes, n_rows)

    def _group_steps(self, group, create):
        """Return {table name of a source: the step that takes its rows}, and create the tables of the group."""
        rows = {name: n for name, n in self._rows[group].items() if name in schema.EVENTS_TABLES}
        pool = rows.get(schema.EVENTS, 0)
        kept = {name: n for name, n in rows.items() if name != schema.EVENTS}
        if not self._plan:
            names = kept or {schema.EVENTS: 0}
            return {name: self._shuffled(Append(create(name, rows.get(name, 0))), rows.get(name, 0)) for name in names}
        steps = {}
        for name, count in zip(self._plan.names, self._plan.counts(group), strict=True):
            steps[name] = Append(create(name, kept.get(name, 0) + count))
            if kept:  # old rows of the table and its share of new ones are mixed
                steps[name] = self._shuffled(steps[name], kept.get(name, 0) + count)
        pooled = self._shuffled(Split(steps.values(), self._plan.tables_of), pool)
        return {**steps, schema.EVENTS: pooled}

    def _shuffled(self, step, n_rows):
        if self._seed is None:
            return step
        return Shuffle(step, n_rows, ShuffledOrder(self._seed).keys, self._scratch)

    # -- rows ----------------------------------------------------------------------------------------

    def add(self, part):
        """Copy one source; of its nodes only those that have rows are opened."""
        with dataset_files.damage(part.filename):
            counts = compatibility.counts(part)
            runs = older_formats.run_table(nodes.all_rows(nodes.leaf(part, "/", schema.RUN_TABLE, tables.Table)))
            if (
                not counts.keys() <= self._steps.keys()
                or compatibility.n_events(counts) != runs["events_written"].sum()
            ):
                raise DamagedDatasetError(part.filename, "damaged: events are missing")
        present = older_formats.EventRows(part.filename, runs, self._runs.nrows, self._event_dtype)
        nodes.append(self._runs, runs)
        for group, n_rows in counts.items():
            first = self._n_images[group]
            n_images = np.array([n_rows.get(name, 0) for name in self._arrays[group]], np.int32)
            self._n_images[group] = first + n_images
            for name in filter(n_rows.get, () if self._n_ahead > 0 else self._arrays[group]):
                images = nodes.leaf(part, group, name, tables.EArray, n_rows[name])
                nodes.copy_images(images, self._arrays[group][name])
            self._add_parameters(part, group, n_rows)
            for name in filter(n_rows.get, schema.EVENTS_TABLES):
                for rows in nodes.blocks(nodes.leaf(part, group, name, tables.Table, n_rows[name])):
                    rows = present(rows)
                    if len(first):
                        _point(rows, first, n_images, part.filename)
                    self._steps[group][name].add(rows)
        self._n_ahead -= 1

    def _add_parameters(self, part, group, n_rows):
        """Copy the parameters of a source's images, which are as many as these."""
        for name, table in self._parameters[group].items():
            n_images = n_rows.get(schema.image_name(name[1:]), 0)
            if n_rows.get(name, 0) != n_images:
                raise DamagedDatasetError(part.filename, f"damaged: {group}: parameters are missing in {name}")
            if n_images:
                for rows in nodes.blocks(nodes.leaf(part, group, name, tables.Table, n_images)):
                    nodes.append(table, rows)

    def finish(self):
        """Pass on what the steps still hold."""
        for steps in self._steps.values():
            # the pool feeds the split tables, so it must finish before (and finishes) them
            pool = steps.get(schema.EVENTS)
            for step in [pool] if pool else steps.values():
                step.finish()
