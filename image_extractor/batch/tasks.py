"""What is to be done: files to parts, parts to datasets. A task may run twice, on any machine that sees the files."""

import hashlib
import json
import logging
import os
import traceback
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import DatasetError, InputError
from ..hdf5 import dataset_files, provenance
from . import merge

log = logging.getLogger(__name__)

#: What workers that do these tasks import.
MODULES = ("image_extractor.conversion.converter", "ctapipe.calib")


# -- files to parts -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Options:
    """What may differ between two conversions with the same settings.

    Attributes
    ----------
    max_events : int or None
        Events written, at most.
    on_truncated : str
        'refuse' a file that ends early, or 'keep' its whole events.
    known : KnownInputs or None
        What the output holds of files of this name.
    entries : Path or None
        Where the entries of the dictionary that lookup tables make are kept; None: nowhere.
    """

    max_events: int | None = None
    on_truncated: str = "refuse"
    known: object = None
    entries: Path | None = None


@dataclass(frozen=True)
class ConversionTask:
    """One file to convert; small, it travels to a worker. `name` is the file as the user gave it."""

    name: str
    file: Path
    target: Path
    options: Options

    def absolute(self):
        """Return it for a worker, which has a working directory of its own."""
        entries = self.options.entries and self.options.entries.absolute()
        options = replace(self.options, entries=entries)
        return replace(self, file=self.file.absolute(), target=self.target.absolute(), options=options)


def convert(converter, task, progress=None):
    """Convert one file to its part, unless a good part is there; returns an outcome of the Report."""
    result = {"file": task.name}
    try:
        fingerprint = _fingerprint(converter, task)
        finished = _finished(task.target, fingerprint)
        if finished and _has_entries(task.options.entries, fingerprint):
            for line in finished.pop("warnings", ()):
                log.warning("%s", line)
            return result | finished | {"resumed": True}
        return result | converter.convert(task.file, task.target, task.options, {"fingerprint": fingerprint}, progress)
    except InputError as err:
        reason = str(err).replace(str(task.file), task.name)  # as the user gave it
        return result | {"status": "failed", "reason": reason, "traceback": traceback.format_exc()}


def _fingerprint(converter, task):
    """Return what a part depends on, as text: the input's size and time, settings, dictionary, versions."""
    try:
        stat = task.file.stat()
    except OSError as err:
        raise InputError(f"{task.file}: {err.strerror}") from err
    facts = provenance.provenance(converter.settings)
    del facts["utc_time"]
    facts |= {
        "input": [str(task.file.absolute()), stat.st_size, stat.st_mtime_ns],
        "max_events": task.options.max_events,
        "on_truncated": task.options.on_truncated,
        "bins_cuts_dict_sha256": converter.dictionary["bins_cuts_dict_sha256"],
    }
    return json.dumps(facts, sort_keys=True)


def _finished(path, fingerprint):
    """Return the report of a part that a run before this one finished, None if there is no good one.

    What has been lying about is read once: a damaged part is converted anew here, not found by the merge.
    """
    if not path.exists():
        return None
    try:
        with dataset_files.damage(path), dataset_files.open_dataset(path) as file:
            attributes = file.root._v_attrs
            is_ours = str(attributes["fingerprint"]) == fingerprint and _is_whole(file)
            return json.loads(str(attributes["report"])) if is_ours else None
    except (DatasetError, KeyError, ValueError):
        return None


def _is_whole(file):
    """Say that a part is what was written; raise DamagedDatasetError if it is not."""
    seal = dataset_files.seal_of(file)
    if seal:
        seal.check(file)
    return bool(seal)


def _has_entries(path, fingerprint):
    """Say whether the entries of a finished part are there, if they are to be kept."""
    if path is None:
        return True
    try:
        with dataset_files.open_file(path) as file, dataset_files.damage(path):
            return str(file.root._v_attrs["fingerprint"]) == fingerprint
    except (DatasetError, KeyError):
        return False


# -- parts to datasets ----------------------------------------------------------------------------


@dataclass(frozen=True)
class MergeTask:
    """Parts to merge into one dataset, which is itself part of something: of the output, or of a set of outputs."""

    parts: tuple
    target: Path
    seed: int | None
    split: dict | None
    beside: tuple = ()

    def absolute(self):
        """Return it for a worker, which has a working directory of its own."""
        parts, beside = (tuple(Path(path).absolute() for path in paths) for paths in (self.parts, self.beside))
        return replace(self, parts=parts, beside=beside, target=self.target.absolute())


def merge_parts(_, task, progress=None):
    """Merge parts, unless that was done; returns the number of parts."""
    status = {path: os.stat(path) for path in (*task.parts, *task.beside)}  # noqa: PTH116 - strings and paths alike
    files = [(Path(path).name, facts.st_size, facts.st_mtime_ns) for path, facts in status.items()]
    fingerprint = hashlib.sha256(json.dumps([files, task.seed, task.split]).encode()).hexdigest()
    if not _is_merged(task.target, fingerprint):
        merge.build(
            task.parts, task.target, task.target.parent, seed=task.seed, split=task.split, beside=task.beside,
            attributes={"fingerprint": fingerprint}, progress=(lambda: progress(0, 1.0)) if progress else None,
        )  # fmt: skip
    return len(task.parts)


def _is_merged(path, fingerprint):
    try:
        with dataset_files.damage(path), dataset_files.open_dataset(path) as file:
            return str(file.root._v_attrs["fingerprint"]) == fingerprint and _is_whole(file)
    except (DatasetError, KeyError):
        return False


# -- in a worker ----------------------------------------------------------------------------------
