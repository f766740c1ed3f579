"""Parts to outputs: in one merge; by way of merges on the workers, where parts are many; or to numbered outputs."""

import contextlib
import errno
import re
from dataclasses import dataclass, replace
from pathlib import Path

import tables

from .. import whole_files
from ..hdf5 import dataset_files, nodes, schema
from ..workers.work import MAX_DEATHS
from . import compatibility, merge, older_datasets
from .images_ahead import ImagesAhead
from .tasks import MergeTask, merge_parts

#: More parts than these are merged by workers first, in groups, so that the last merge opens few files, each of which
#: takes 10 ms or more. It is only done where parts are smaller than SMALL on average (200 images): copying
#: those of larger ones takes longer than to open them, and everything is written twice (scripts/benchmarks/scale.py).
#: Parts of a group: what is open at once, and merged once more, is bounded.
MANY, SMALL, GROUP = 10_000, 2 << 20, 30


@dataclass
class Target:
    """What a run is to write.

    Attributes
    ----------
    path : Path
    files_per_output : int or None
        Several outputs of so many inputs each, PATH_0000.h5, ...; None: one.
    seed : int or None
    split : dict or None
    overwrite : bool
    """

    path: Path
    files_per_output: int | None
    seed: int | None
    split: dict | None
    overwrite: bool

    def existing(self, settings, tables_sha256=""):
        """Return MergeSources of what is there and stays; refuse a file that is none of ours, or was made otherwise.

        See :func:`compatibility.check_settings`.

        Telescopes are compared with those of the first that has events, so others do without theirs.
        """
        found = []
        for path in self._paths():
            if self.overwrite:
                dataset_files.open_dataset(path).close()
                continue
            old = compatibility.inspect(path)
            compatibility.check_settings(old, settings, tables_sha256)
            compatibility.check_split(old, self.split)
            older_datasets.check(path)
            has_example = any(one.n_events for one in found)
            found.append(replace(old, settings={}, tel_table=None, cameras={}) if has_example else old)
        return found

    def images_ahead(self, old, folder, settings, n_files):
        """Return an ImagesAhead, in a context; None where images can't go ahead.

        That is where they do not go to one new file, straight from parts, or their number must be known first.
        """
        is_straight = not self.files_per_output and n_files <= MANY
        is_compressed = settings["storage_mode"] == "mapped" and settings["output"]["compression"] != "none"
        if not (is_straight and is_compressed):
            return contextlib.nullcontext()
        return ImagesAhead(self.path, folder, old[0] if old else None)

    def _paths(self):
        if not self.files_per_output:
            return [self.path] if self.path.exists() else []
        numbers = {self._number(path): path for path in self.path.parent.glob("*") if self._number(path) is not None}
        return [numbers[number] for number in sorted(numbers)]

    def _number(self, path):
        pattern = re.escape(self.path.stem) + r"_(\d{4,})" + re.escape(self.path.suffix)
        found = re.fullmatch(pattern, path.name)
        return int(found[1]) if found else None

    def write(self, parts, crew, folder, attributes, progress, ahead=None):
        """Write the output, or outputs; returns their paths.

        Parameters
        ----------
        parts : {Path: list of (file name, run number, primary)}
            At least one, in order, with their runs.
        crew : Crew
        folder : Path
            For what is temporary.
        attributes : dict
            For the root.
        progress : callable
            Called after each part, or merge.
        ahead : ImagesAhead, optional
            What has copied images of some of them to one output.
        """
        if self.files_per_output:
            return self._write_numbered(parts, crew, folder, attributes, progress)
        old, parts = [] if self.overwrite else self._paths(), list(parts)
        if len(parts) > MANY and not crew.is_alone and _are_small(parts):
            groups = [tuple(parts[i : i + GROUP]) for i in range(0, len(parts), GROUP)]
            merges = [MergeTask(group, folder / f"group_{i:05}.h5", None, None) for i, group in enumerate(groups)]
            _merge_all(merges, crew, progress)
            parts = [one.target for one in merges]
        if len(old + parts) == 1 and self.seed is None and not self.split:
            merge.adopt(parts[0], self.path, attributes)
        else:
            options = {"seed": self.seed, "split": self.split, "attributes": attributes}
            options |= {"progress": progress, "ahead": ahead}
            merge.build(old + parts, self.path, folder, **options)
        return [self.path]

    def _write_numbered(self, parts, crew, folder, attributes, progress):
        """Write all outputs to the folder of parts, then put them in place: a set is never there in halves for long."""
        old = self._paths()
        first = self._number(old[-1]) + 1 if old and not self.overwrite else 0
        runs = {path: {(number, primary) for _, number, primary in names} for path, names in parts.items()}
        groups = _groups(runs, self.files_per_output, bool(self.split))
        old_runs = _runs_of(old) if self.split and not self.overwrite else {}
        names = [f"{self.path.stem}_{first + i:04}{self.path.suffix}" for i in range(len(groups))]
        merges = []
        for group, name in zip(groups, names, strict=True):
            wanted = set().union(*(runs[path] for path in group))
            beside = tuple(path for path, found in old_runs.items() if not wanted.isdisjoint(found))
            merges.append(MergeTask(group, folder / f"{name}.h5", self.seed, self.split, beside))
        _merge_all(merges, crew, progress)
        written = [self.path.with_name(name) for name in names]
        for one, path in zip(merges, written, strict=True):
            merge.adopt(one.target, path, attributes)
        if self.overwrite:
            for path in old:
                if path not in written:
                    whole_files.remove(path)
        return written


def _groups(parts, n, whole_runs):
    """Return parts in groups of n, tuples of paths.

    With `whole_runs` those of one run number and primary, which may hold uses of the same showers, are in one group.

    parts : {path: {(run number, primary), ...}}, in order
    """
    groups, group_of = [[]], {}
    for path, runs in parts.items():
        known = sorted({group_of[run] for run in runs if run in group_of}) if whole_runs else []
        if not known and len(groups[-1]) >= n:
            groups.append([])
        place = known[0] if known else len(groups) - 1
        for other in known[1:]:
            groups[place] += groups[other]
            groups[other] = []
            group_of = {run: place if group == other else group for run, group in group_of.items()}
        groups[place].append(path)
        group_of |= dict.fromkeys(runs, place)
    return [tuple(group) for group in groups if group]


def _runs_of(paths):
    """Return {path: {(run number, primary), ...}} of datasets."""
    found = {}
    for path in paths:
        with dataset_files.damage(path), dataset_files.open_dataset(path, rows_only=True) as file:
            rows = nodes.leaf(file, "/", schema.RUN_TABLE, tables.Table)[:]
            found[path] = set(rows[["run_number", "primary"]].tolist())
    return found


def _are_small(parts):
    """Say whether parts are, by every hundredth of them."""
    sizes = [path.stat().st_size for path in parts[::100]]
    return sum(sizes) < SMALL * len(sizes)


def _merge_all(merges, crew, progress):
    for _, task, result in crew.results(merge_parts, merges):
        if result is None:
            raise OSError(errno.ECHILD, f"merging {task.target.name} killed its worker {MAX_DEATHS} times")
        progress()
