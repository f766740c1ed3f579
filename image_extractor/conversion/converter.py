"""One file in, a part out: its events are selected, calibrated and written."""

import json
import logging
import math
import time
from pathlib import Path
from types import SimpleNamespace

from .. import input_files, telescopes
from ..errors import InputError
from ..events import same_telescopes
from ..hdf5 import nodes, replacing, schema
from ..inputs import open_runs
from ..inputs.pointing import OwnPointing
from ..terminal.logs import noted
from . import array_layout, observed_data, run_description
from .part_writer import PartWriter
from .run_writer import RunWriter

log = logging.getLogger(__name__)

#: Counts of Run_Table that are added up over the runs of a file.
COUNTS = ("events_read", "events_written", "calibration_events", "images", "showers_read", "uses_read")
#: A count that the input does not tell.
UNKNOWN = -1
COUNT_ENDINGS = ("_pixels",)


class _NoPart(Exception):
    """No part is made of the file; `report` says why."""

    def __init__(self, **report):
        super().__init__(report["status"])
        self.report = report


class _OtherTelescopes(Exception):
    """A signal: the runs before this one have other telescopes, but no event; the part is to begin with it."""

    def __init__(self, first_run):
        super().__init__(first_run)
        self.first_run = first_run


class Converter:
    """Converts files one by one.

    Parameters
    ----------
    settings : dict
    cuts : cuts.dictionary.Dictionary or None
        The bins_cuts_dict.
    chooser : analysis.event_chooser.EventChooser, optional
        Chooses events in its place, in the pass that converts.

    Attributes
    ----------
    settings : dict
    chooser : EventChooser or None
    dictionary : dict
        The root attributes that tell of the bins_cuts_dict, or of the lookup tables in its place: name and checksum,
        empty without one.
    """

    def __init__(self, settings, cuts, chooser=None):
        self.settings, self._cuts, self.chooser = settings, cuts, chooser
        source = chooser if cuts is None else cuts
        name, sha256 = ("", "") if source is None else (source.name, source.sha256)
        self.dictionary = {"bins_cuts_dict": name, "bins_cuts_dict_sha256": sha256}

    def convert(self, data_file, part_path, options, attributes=None, progress=None):
        """Convert one file to a part: a dataset of its runs alone, which appears whole or not at all.

        Parameters
        ----------
        data_file, part_path : str or Path
        options : tasks.Options
        attributes : dict, optional
            Attributes of the part's root, such as a fingerprint.
        progress : callable, optional
            Called with the number of events read since the last call, and the fraction of the file read so far.

        Returns
        -------
        dict
            ``status`` ('written', 'known', 'no telescope', 'no shower') and counts.

        Raises
        ------
        InputError
            If the file is damaged, cut short, or can't be calibrated as set.
        DatasetError
            If the output holds a run of another file of this name.
        """
        choice = self.chooser.of_file() if self.chooser else None
        given = Path(data_file), Path(part_path), options, attributes or {}, progress, choice
        changes = {}
        while True:
            try:
                return self._convert(*given, **changes)
            except OwnPointing:
                changes["own_pointing"] = True
            except _OtherTelescopes as other:
                changes["first_run"] = other.first_run
            except _NoPart as end:
                return end.report

    def _convert(self, data_file, part_path, options, attributes, progress, choice, own_pointing=False, first_run=0):
        """Convert one file, from this run of it on.

        Raises OwnPointing where events need a column that they were not to have, and _OtherTelescopes.
        """
        start = time.monotonic()
        with noted() as warnings, replacing.replacing(part_path, sealed=True) as file:
            report = self._write_part(file, data_file, options, progress, choice, own_pointing, first_run)
            report |= {"seconds": time.monotonic() - start, "warnings": warnings.lines}
            if choice:
                report |= choice.facts()
                if options.entries:  # before the part: where that is, they are
                    choice.write(options.entries, attributes)
            nodes.set_attributes(file.root, attributes | {"report": json.dumps(report)})
        return report

    def _write_part(self, file, data_file, options, progress, choice, own_pointing, first_run):
        """Write the runs of a file; returns the report."""
        part, rows, left_out, passed_over = None, [], [], ""
        common = self.dictionary | {"max_events": options.max_events or 0}
        with open_runs.open_runs(data_file, self.settings["calibration"]["fast"], options.on_truncated) as runs:
            common["file_digest"] = input_files.digest(data_file)
            for number, run in enumerate(runs):
                if not run.is_simulation:
                    observed_data.check(data_file, self.settings, self._cuts, self.chooser)
                    own_pointing = True  # telescopes follow a point of the sky
                layout = self._layout(run)
                if number < first_run or not layout.types:
                    reason = self._nothing_selected(run) if not layout.types else "none of its events is kept"
                    left_out.append(f"run {run.obs_id}: {reason}")
                    continue
                if part is None:
                    if self._is_known(run, options):
                        raise _NoPart(status="known")
                    log.debug("%s: %s", data_file, run_description.header(run, layout.types))
                    kind = schema.SIMULATED if run.is_simulation else schema.OBSERVED
                    part, telescopes_of_part = PartWriter(file, self.settings, layout, own_pointing, kind), layout
                else:
                    self._check_telescopes(run, number, layout, telescopes_of_part, part)
                of_run = choice.of_run(number, run) if choice else None
                writer = RunWriter(
                    run, layout, part, self.settings, self._cuts, own_pointing,
                    options.max_events, of_run, options.entries is not None,
                )  # fmt: skip
                writer.write(progress)
                row = writer.row()
                passed_over = passed_over or ", ".join(f"{n} {name}" for name, n in writer.passed_over.items())
                if row is not None:
                    if not rows:
                        part.set_pointings(run.pointings)
                    if options.known and number > 0:
                        options.known.has_run(data_file, run.obs_id, row["primary"])  # refuses another file's
                    _log_pointings(run)
                    _log_missing_showers(run, row)
                    rows.append(row | common)
                    part.end_run(_columns(rows[-1]))
                if part.n_events == options.max_events:
                    break
            runs.check_unchanged()
        if part is None:
            raise _NoPart(status="no telescope", reason="; ".join(left_out).partition(": ")[2])
        if not rows:
            raise _NoPart(status="no shower", **({"reason": f"{passed_over} passed over"} if passed_over else {}))
        for line in left_out:
            log.warning("%s: %s: it is left out", data_file, line)
        part.finish()
        return _report(rows, telescopes_of_part, part) | {
            "unmatched": telescopes.unmatched(run.subarray, self.settings)
        }

    def _layout(self, run):
        """Return the telescopes and arrays of a run; a camera of a damaged file may be on no lattice."""
        try:
            with run.reading():
                return array_layout.describe(run.subarray, self.settings, run.pointing, run.focal_length_choice.name)
        except InputError as err:
            message = str(err).removeprefix(f"{run.input_url}: ")
            raise InputError(f"{run.input_url}: {message}") from err

    def _is_known(self, run, options):
        """Say whether the output has the first run of a file, as older formats know it."""
        return options.known and options.known.has_run(
            run.input_url, run.obs_id, open_runs.first_primary(run.input_url)
        )

    def _check_telescopes(self, run, number, layout, before, part):
        """Raise InputError if a run has other telescopes than those before; _OtherTelescopes if these gave nothing."""
        if _kind(layout) == _kind(before):
            return
        if not part.n_events:
            raise _OtherTelescopes(number)
        raise InputError(
            f"{run.input_url}: its run {run.obs_id} has other telescopes than the one before it: "
            f"{same_telescopes.difference(_described(before), _described(layout))}: give it a file of its own"
        )

    def _nothing_selected(self, run):
        """Return in words which telescopes a run has, and which were asked for."""
        section = self.settings["telescope"]
        asked = f"type_mode = {section['type_mode']}"
        if section["tel_ids"]:
            asked += f" with tel_ids = {', '.join(map(str, section['tel_ids']))}"
        return f"{open_runs.describe_telescopes(run)}, none of {asked}"


def _kind(layout):
    """Return a text that is the same for the same telescopes."""
    cameras = {name: table for name, (table, _) in layout.cameras.items()}
    return same_telescopes.digest(layout.tel_table, cameras, layout.attributes[schema.FOCAL_LENGTH_CHOICE])


def _described(layout):
    """Return what :func:`same_telescopes.difference` compares."""
    cameras = {name: table for name, (table, _) in layout.cameras.items()}
    return SimpleNamespace(
        tel_table=layout.tel_table,
        cameras=cameras,
        focal_length_choice=layout.attributes[schema.FOCAL_LENGTH_CHOICE],
    )


def _log_missing_showers(run, row):
    """Say so if a whole run holds other showers than its header announces: it is an extract, or was merged."""
    if not run.is_simulation:
        return
    if run.is_read and row["uses_read"] == UNKNOWN:
        log.warning(
            "%s: run %d: it does not say how many showers were simulated: weights take the number of its header",
            run.input_url, run.obs_id,
        )  # fmt: skip
    announced = int(row["n_showers"]) * int(row["shower_reuse"])
    if run.is_read and run.complete and row["uses_read"] not in (announced, UNKNOWN):
        log.warning(
            "%s: run %d: its header announces %d simulated events, the file holds %d: weights count these",
            run.input_url, run.obs_id, announced, row["uses_read"],
        )  # fmt: skip


def _log_pointings(run):
    """Say so if telescopes look elsewhere than the array, or the array where its header does not tell."""
    found, path = run.pointings, run.input_url
    if not run.is_simulation:
        return
    if run.tracking_mode != 0:
        log.warning(
            "%s: tracking_mode %d: its telescopes follow a point of the sky; the pointing of the array in Run_Table is "
            "that of its first event written, those of telescopes are in tel_pointing of Events",
            path, run.tracking_mode,
        )  # fmt: skip
    elif found.elsewhere:
        log.warning(
            "%s: %d of %d telescopes look elsewhere than the array, up to %.3g degrees: their own pointings are in "
            "tel_pointing of Events and in Tel_Table",
            path, len(found.elsewhere), len(found.telescopes), math.degrees(found.largest),
        )  # fmt: skip


def _columns(row):
    """Return what of a run's facts is in Run_Table."""
    return {name: value for name, value in row.items() if name != "energies_seen"}


def _report(rows, layout, part):
    """Return what became of a file, plain values: the facts of its first run, counts of all of them added up."""
    plain = {name: value.item() if hasattr(value, "item") else value for name, value in _columns(rows[0]).items()}
    for name, value in plain.items():
        if isinstance(value, list):  # by telescope type
            plain[name] = [sum(counts) for counts in zip(*(row[name] for row in rows), strict=True)]
        elif name in COUNTS or name.startswith("dropped_") or name.endswith(COUNT_ENDINGS):
            plain[name] = int(sum(row[name] for row in rows))
    seen = [energy for row in rows for energy in row["energies_seen"]]
    by_type = {short: sum(part.n_images[tel_id] for tel_id in ids) for short, ids in layout.types.items()}
    return {
        "status": "written",
        "kind": part.kind,
        **plain,
        "complete": all(row["complete"] for row in rows),
        "images_by_type": by_type,
        "telescopes": _kind(layout),
        "runs": [[int(row["run_number"]), int(row["primary"])] for row in rows],
        "energy_seen_min": min(seen, default=None),
        "energy_seen_max": max(seen, default=None),
    }
