"""Many files: conversion, resume, merge, and a report on each file."""

import contextlib
import errno
import functools
import logging
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .. import whole_files
from ..errors import ConfigError, DamagedDatasetError, InputError
from ..events import same_events, same_telescopes
from ..hdf5 import provenance, schema
from ..tested_versions import untested
from ..workers.crew import Crew
from ..workers.work import MAX_DEATHS
from . import compatibility, merge, outputs, tasks
from .found_cuts import FoundCuts, tables_attributes
from .known_inputs import KnownInputs
from .parts_folder import hold_parts_folder

log = logging.getLogger(__name__)

#: Names of dictionaries that are saved as tables end like this; all others are pickles.
HDF5_SUFFIXES = (".h5", ".hdf5")

#: What became of one file: its name, its status, and what was counted.
Outcome = dict[str, Any]


@dataclass
class Report:
    """What became of each file, in the order of the input.

    ``outcomes[i]`` is a dict with ``file`` and ``status``: 'written', 'known' (the output has it already),
    'no telescope' (none selected), 'no shower', 'no event' (none was kept, and it does not fit the others, or there is
    no other), or 'failed' with a ``reason``; written ones have the counts of Run_Table too, those of the runs of a file
    added up. ``outputs`` are the paths of the datasets that were written. ``runs`` is an older name of ``outcomes``.
    ``cuts`` is what cuts with lookup tables found, None without these.
    """

    outcomes: list[Outcome] = field(default_factory=list)
    outputs: list[Path] = field(default_factory=list)
    cuts: FoundCuts | None = None

    @property
    def runs(self) -> list[Outcome]:
        """The outcomes, by their older name."""
        return self.outcomes

    @property
    def failed(self) -> list[Outcome]:
        """The outcomes of files that could not be converted."""
        return [outcome for outcome in self.outcomes if outcome["status"] == "failed"]

    @property
    def has_events(self) -> bool:
        """Whether any file had a shower event and a selected telescope, or is in the output already."""
        return any(outcome["status"] == "known" or outcome.get("events_read") for outcome in self.outcomes)


def convert_files(
    converter,
    output_path,
    files,
    max_events=None,
    jobs=1,
    *,
    executor=None,
    files_per_output=None,
    seed=None,
    split=None,
    overwrite=False,
    on_error="skip",
    on_truncated="refuse",
    command_line="",
    progress=None,
    save_cuts_dict=None,
):
    """Convert files to parts and merge these into the output.

    Parameters
    ----------
    converter : conversion.converter.Converter
    output_path : Path
    files : list of str or Path
        In the order in which their events are to stand.
    others
        As for :meth:`ImageExtractor.process_files`.

    Returns
    -------
    Report

    Raises
    ------
    DatasetError
        If the output is no dataset, was made otherwise, holds an input that was converted otherwise, or is being
        written by another run.
    OSError
        If something can't be written, or no worker is left to do it; the same call goes on.
    """
    target = outputs.Target(
        output_path, files_per_output, seed, merge.check_fractions(split) if split else None, overwrite
    )
    files = once([Path(file) for file in files])
    if max_events is not None and max_events < 1:
        raise ValueError(f"max_events = {max_events}: must be 1 or more, or None for all")
    _check_cuts_dict(save_cuts_dict, converter, max_events)
    progress = progress or Progress()
    problem = untested("ctapipe", "eventio") if converter.settings["calibration"]["fast"] else ""
    if problem:
        log.warning("the fast reader is not used, as with [calibration] fast = False: %s", problem)
    with hold_parts_folder(output_path) as parts_folder:
        chooser = converter.chooser
        old = target.existing(converter.settings, chooser.sha256 if chooser else "")
        word = "dictionary or tables" if chooser else "dictionary"
        known = KnownInputs(old, max_events, *converter.dictionary.values(), word)
        report = Report([{"file": str(file), "status": "known"} if known.holds(file) else None for file in files])
        left = [index for index, outcome in enumerate(report.outcomes) if outcome is None]
        conversions = (
            tasks.ConversionTask(
                str(files[index]),
                files[index],
                parts_folder.part_path(files[index]),
                tasks.Options(
                    max_events,
                    on_truncated,
                    known.of_name(files[index]),
                    parts_folder.entries_path(files[index]) if save_cuts_dict else None,
                ),
            )
            for index in left
        )
        progress.started(len(files))
        for outcome in filter(None, report.outcomes):
            progress.done(outcome)
        with (
            _damaged_parts_removed(parts_folder.folder),
            target.images_ahead(old, parts_folder.folder, converter.settings, len(left)) as ahead,
        ):
            with Crew(converter, parts_folder.folder, executor, jobs if len(files) > 1 else 1, tasks.MODULES) as crew:
                converted = convert_all(crew, conversions, len(left), on_error, progress, ahead=ahead)
            for index, outcome in zip(left, converted, strict=True):
                report.outcomes[index] = outcome
            _warn_of_names(report.outcomes)
            if chooser:
                report.cuts = _found_cuts(report.outcomes, converter, parts_folder, save_cuts_dict)
            parts = mergeable(report, parts_folder, old)
            if report.failed and on_error == "stop":
                raise InputError(report.failed[0]["reason"])
            if parts:
                attributes = (
                    provenance.provenance(converter.settings) | converter.dictionary | {"command_line": command_line}
                )
                progress.merging(len(parts))
                with Crew(None, parts_folder.folder, executor, jobs, tasks.MODULES) as crew:
                    report.outputs = target.write(parts, crew, parts_folder.folder, attributes, progress.merged, ahead)
        parts_folder.clear()
    return report


def _check_cuts_dict(path, converter, max_events):
    """Raise ConfigError unless the dictionary that is to be saved can be made, whole."""
    if path and not converter.chooser:
        raise ConfigError(f"{path}: a dictionary is made of lookup tables only: none are given")
    if path and max_events is not None:
        raise ConfigError(f"{path}: with max_events = {max_events} not all events are read: no dictionary can be saved")


def _found_cuts(outcomes, converter, parts_folder, save_cuts_dict):
    """Return the FoundCuts of files that were read, and save the dictionary, if that is asked for."""
    found, written = FoundCuts(), [outcome for outcome in outcomes if outcome["status"] == "written"]
    if not save_cuts_dict:
        found.take(written)
        return found
    found.take(written, [parts_folder.entries_path(outcome["file"]) for outcome in written])
    unread = [outcome["file"] for outcome in outcomes if outcome["status"] in ("known", "no telescope")]
    if unread:
        log.warning(
            "%s: %s %d files that were not read, such as %s: prepare_cuts_dict.py reads all",
            save_cuts_dict, "without the events of" if written else "not written:", len(unread), unread[0],
        )  # fmt: skip
    if written:
        file_format = "hdf5" if Path(save_cuts_dict).suffix in HDF5_SUFFIXES else "pickle"
        attributes = tables_attributes(converter.chooser.name, converter.chooser.sha256)
        found.save(save_cuts_dict, converter.settings, file_format, attributes)
    return found


@contextlib.contextmanager
def _damaged_parts_removed(folder):
    """Remove a part that turns out to be damaged, or the same command would find it again."""
    try:
        yield
    except DamagedDatasetError as err:
        path = Path(err.path)
        if path.absolute().parent != folder.absolute():
            raise
        whole_files.remove(path)
        raise OSError(errno.EIO, f"{err.damage}: this part is removed", str(path)) from err


def _warn_of_names(outcomes):
    """Say once which names of the settings name no telescope: what was asked for is not in the output."""
    places = {}
    for outcome in outcomes:
        for place in outcome.get("unmatched", ()):
            places.setdefault(place, []).append(outcome["file"])
    for place, files in places.items():
        where = files[0] if len(files) == 1 else f"{len(files)} files, such as {files[0]}"
        log.warning("%s: no telescope has this name in %s", place, where)


def once(files):
    """Return the files without those named twice."""
    return list({file.absolute(): file for file in reversed(files)}.values())[::-1]


def convert_all(crew, conversions, n_files, on_error, progress, function=tasks.convert, ahead=None):
    """Return the outcomes of the Report, in the order of the files; `function` does the tasks, in workers.

    ahead : ImagesAhead, optional
        Learns of the parts, and copies images while workers work.
    """
    outcomes, told = [None] * n_files, Counter()

    def read(file, n_events, fraction):
        told[file] += n_events
        progress.read(file, n_events, fraction)

    spare_time = (ahead.work,) if ahead else ()
    with contextlib.closing(crew.results(function, conversions, read, *spare_time)) as results:
        for index, conversion, outcome in results:
            if outcome is None:
                reason = f"{conversion.name}: its worker process died {MAX_DEATHS} times"
                outcome = {"file": conversion.name, "status": "failed", "reason": reason}
            n_rest = outcome.get("events_read", 0) - told.pop(conversion.name, 0)
            if n_rest > 0 and not outcome.get("resumed"):
                progress.read(conversion.name, n_rest, 1.0)
            outcomes[index] = {sys.intern(key): value for key, value in outcome.items()}  # one copy of the keys for all
            progress.done(outcome)
            if ahead:
                ahead.note(index, conversion.target, outcome)
            if outcome["status"] == "failed" and on_error == "stop":
                raise InputError(outcome["reason"])
    return outcomes


def mergeable(report, parts_folder, old):
    """Return {part: its runs} of what the output is to get, in order; files that do not fit it become failed.

    Parts are opened only where their outcomes leave a question: there may be very many.
    """
    written = [outcome for outcome in report.outcomes if outcome["status"] == "written"]
    if not any(outcome["events_written"] for outcome in written) and not old:
        for outcome in written:
            outcome["status"] = _empty_status(outcome)
        return {}
    check = _TelescopeCheck(old, written, parts_folder)
    fitting, seen = [], set()
    for outcome in written:
        names = [(Path(outcome["file"]).name, number, primary) for number, primary in outcome["runs"]]
        mismatch, other_kind = check(outcome), check.other_kind(outcome)
        if (mismatch or other_kind) and not outcome["events_written"]:
            why = "it is of the other kind" if other_kind else f"its telescopes do not fit: {mismatch}"
            outcome |= {"status": _empty_status(outcome), "reason": why}
        elif other_kind:
            outcome |= {"status": "failed", "reason": other_kind}
        elif mismatch:
            _refuse(outcome, f"its telescopes do not fit {check.name_of_reference}: {mismatch}")
        elif not seen.isdisjoint(names):
            _refuse(outcome, "another input has the same name, run number and primary: give it another name")
        else:
            seen.update(names)
            fitting.append((parts_folder.part_path(outcome["file"]), names, outcome))
    twins = same_events.repeats([(one.path, one.runs) for one in old], [(path, names) for path, names, _ in fitting])
    for path, _, outcome in fitting:
        if path in twins:
            twin = twins[path] if twins[path] != Path(outcome["file"]).name else "another run, or file of its name"
            _refuse(outcome, f"it has the same events as {twin}, and no event may be there twice")
    return {path: names for path, names, _ in fitting if path not in twins}


class _TelescopeCheck:
    """Says how the telescopes of a file differ from those that it must have; opens a part of each other kind only.

    The first file with events says what the telescopes are; one without any may be of another array.
    """

    def __init__(self, old, written, parts_folder):
        self._parts_folder = parts_folder
        self._old = next((source for source in old if source.n_events), None)
        self._first = next(
            (outcome for outcome in written if outcome["events_written"]), written[0] if written else None
        )
        self._known = {} if self._old or not self._first else {self._first["telescopes"]: ""}

    @property
    def name_of_reference(self):
        """What says which the telescopes are."""
        return f"the output {self._old.path}" if self._old else f"the first run, of {self._first['file']}"

    def other_kind(self, outcome):
        """Return in words that a file is observed where the others are simulated, or the reverse; '' if it is not."""
        kind, path = (self._old.kind, self._old.path) if self._old else (_kind(self._first), self._first["file"])
        return compatibility.other_kind(_kind(outcome), outcome["file"], kind, path)

    def __call__(self, outcome):
        kind = outcome["telescopes"]
        if kind not in self._known:
            self._known[kind] = same_telescopes.difference(self._reference, self._inspect(outcome))
        return self._known[kind]

    @functools.cached_property
    def _reference(self):
        return self._old or self._inspect(self._first)

    def _inspect(self, outcome):
        return compatibility.inspect(self._parts_folder.part_path(outcome["file"]))


def _kind(outcome):
    return outcome.get("kind", schema.SIMULATED)  # parts of older versions do not tell


def _empty_status(outcome):
    return "no event" if outcome["events_read"] else "no shower"


def _refuse(outcome, reason):
    outcome |= {"status": "failed", "reason": f"{outcome['file']}: {reason}"}


class Progress:
    """Told what happens; this one keeps quiet."""

    def started(self, n_files: int) -> None:
        """Conversion begins."""

    def read(self, file: str, n_events: int, fraction: float) -> None:
        """So many more events of a file were read; it is read to this fraction."""

    def done(self, outcome: Outcome) -> None:
        """A file is done; `outcome` as in Report.outcomes."""

    def merging(self, n_sources: int) -> None:
        """The merge begins."""

    def merged(self) -> None:
        """One source is merged."""
