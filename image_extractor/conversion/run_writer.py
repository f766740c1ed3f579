"""One run into a part: its events are selected, calibrated, parameterised, cut on, and written."""

import logging
import math
from collections import Counter
from dataclasses import dataclass

from .. import sky_offsets
from ..hdf5 import schema
from ..inputs.pointing import OwnPointing, mean
from ..terminal.text_table import plural
from ..times import NOT_KNOWN, to_nanoseconds
from . import observed_data, stereo_trigger
from .calibration import Calibrator, StoredImages
from .dictionary_check import DictionaryCheck
from .event_selection import EventSelection
from .image_quality import ImageQuality
from .parameterization import Parameterization, is_cleaning_needed
from .stereo_trigger import StereoTrigger
from .waiting_events import WaitingEvents

log = logging.getLogger(__name__)

#: Events between two reports of progress.
PROGRESS_STEP = 10


@dataclass(frozen=True)
class _Stored:
    """What is stored of an event: `images` {tel_id: DL1CameraContainer}, `pointings` and `parameters` of these.

    `array_pointing` is None where it is to be made of these; `time` as schema.TIME has it, None of simulated events.
    """

    index: object
    shower: object
    images: dict
    pointings: dict
    array_pointing: tuple | None
    parameters: dict
    time: int | None


class RunWriter:
    """Writes the events of a run.

    Parameters
    ----------
    run : a run, see inputs/open_runs.py
    layout : ArrayLayout
        Of the selected telescopes.
    part : PartWriter
    settings : dict
    cuts : cuts.dictionary.Dictionary or None
    own_pointing : bool
        Whether events have a column of their telescopes' pointings.
    max_events : int or None
        In the part, at most.
    choice : object, optional
        Chooses events in the place of a dictionary; see :class:`WaitingEvents`.
    shows_all : bool
        Whether the choice sees also events that are refused by their headers.
    """

    def __init__(self, run, layout, part, settings, cuts, own_pointing, max_events=None, choice=None, shows_all=False):
        self._run, self._part, self._own_pointing, self._max_events = run, part, own_pointing, max_events
        self._n_before, self._n_reported = part.n_events, 0
        self._is_observed, self._unknown = not run.is_simulation, Counter()
        observed_data.check_number(run.input_url, "run", run.obs_id)
        self._check = None if cuts is None else DictionaryCheck(run.input_url, cuts.name, cuts.primary)
        trigger = None
        if stereo_trigger.is_asked_for(settings["trigger"]):
            trigger = StereoTrigger(run.subarray, layout.grids, settings["trigger"])
        self._selection = EventSelection(
            settings, cuts, run.obs_id, self._check, run.pointing, trigger, bool(choice), self._is_observed
        )
        self._calibrate = StoredImages(run, settings) if run.has_images else Calibrator(run, settings)
        self._parameterize = Parameterization(run, layout.grids, settings) if is_cleaning_needed(settings) else None
        self._quality = ImageQuality(run.subarray, layout.types, settings)
        self._waiting = None
        if choice:
            is_left = max_events is not None
            self._waiting = WaitingEvents(choice, self._selection, layout.grids, is_left, shows_all)
            run.select(self._waiting.tel_ids, self._waiting.accepts)
        else:
            run.select(layout.grids, self._selection.accepts)

    def write(self, progress):
        """Write the events.

        Raises
        ------
        OwnPointing
            Where a telescope looks elsewhere than its array, and events have no column for it.
        """
        try:
            self._write(progress)
        except OwnPointing:
            if progress:
                progress(-self._n_reported, 0.0)  # it starts again
            raise

    def _write(self, progress):
        run = self._run
        for event in run:
            if run.has_images:
                self._calibrate(event)
            else:
                with run.reading():
                    self._calibrate(event)
            self._take(event)
            if progress and self._selection.n_read - self._n_reported >= PROGRESS_STEP:
                self._report(progress)
            if self._part.n_events == self._max_events:
                break
        else:
            run.check_end()
        if self._waiting:
            self._write_waiting()
        self._warn_if_dark()
        if progress:
            self._report(progress)

    def _report(self, progress):
        n_read = self._selection.n_read
        progress(n_read - self._n_reported, self._run.fraction)
        self._n_reported = n_read

    def _take(self, event):
        """Write an event, or let it wait until it is known whether it passes."""
        if self._waiting:
            self._waiting.add(event, self._stored)
            if self._waiting.is_full:
                self._write_waiting()
        elif event.dl1.tel:
            self._write_event(self._stored(event), self._selection.entry(event.index.event_id))

    def _write_waiting(self):
        for stored, entry in self._waiting.take():
            self._write_event(stored, entry)

    def _stored(self, event):
        """Return what is stored of a calibrated event; it must be the last one that was read."""
        pointings = {tel_id: self._run.event_pointings[tel_id] for tel_id in event.dl1.tel}
        parameters = self._parameterize(event) if self._parameterize else {}
        time = int(to_nanoseconds(event.trigger.time)) if self._is_observed else None
        shower, array_pointing = self._run.true_shower(event), self._run.array_pointing
        return _Stored(event.index, shower, dict(event.dl1.tel), pointings, array_pointing, parameters, time)

    def _write_event(self, event, entry):
        run, selection, pointings, shower = self._run, self._selection, event.pointings, event.shower
        run.pointings.add(pointings)
        if not self._own_pointing and (run.tracking_mode != 0 or run.pointings.elsewhere):
            raise OwnPointing
        array_pointing = run.pointing
        if run.tracking_mode != 0:
            array_pointing = event.array_pointing or mean(list(pointings.values()))
        direction = shower.az, shower.alt
        if run.tracking_mode != 0 and not selection.is_on_axis(direction, array_pointing):
            selection.dropped["true_offset"] += 1
            return
        kept = self._quality(event.images, event.parameters)
        if not kept:
            selection.dropped["too_few_images"] += 1
            return
        energy_bin, reconstructed = selection.bin_and_energy(entry, shower.energy)
        values = *_truth(event.index, shower, direction), reconstructed, *_position(shower, direction, array_pointing)
        images = {tel_id: event.images[tel_id] for tel_id in kept}
        observed_data.check_number(run.input_url, "event", event.index.event_id)
        self._unknown["time"] += event.time == NOT_KNOWN
        self._unknown["pointing"] += self._is_observed and math.isnan(array_pointing[0])
        self._part.add(energy_bin, values, images, pointings, event.parameters, event.time)

    @property
    def passed_over(self):
        """Events that are no showers, {type: number}, by the names of schema.EVENT_TYPES, in their order."""
        found = dict.fromkeys(schema.EVENT_TYPES, 0)
        for name, n in self._run.passed_over.items():
            found[name.lower() if name.lower() in found else "unknown"] += n
        return {name: n for name, n in found.items() if n}

    def _warn_if_dark(self):
        if self._part.n_events > self._n_before and self._calibrate.is_dark:
            log.warning(
                "%s: run %d: every charge is 0: look at the settings of the extractor",
                self._run.input_url, self._run.obs_id,
            )  # fmt: skip

    def row(self):
        """Return the run's row of Run_Table, {column: value}, and `energies_seen`; None if it has no shower."""
        run, selection = self._run, self._selection
        if not run.has_events:
            return None
        if self._check:
            self._check.finish()
        if self._waiting:
            self._waiting.finish()
        for what, n in self._unknown.items():
            if n:
                log.warning("%s: run %d: no %s is known of %s", run.input_url, run.obs_id, what, plural(n, "event"))
        passed_over = self.passed_over
        # events without data of a selected telescope never come out of the source
        n_written = self._part.n_events - self._n_before
        selection.dropped["no_image"] = selection.n_read - sum(selection.dropped.values()) - n_written
        return {
            **run.facts(),
            "events_read": selection.n_read,
            **{f"dropped_{reason}": n for reason, n in selection.dropped.items()},
            "calibration_events": sum(passed_over.get(name, 0) for name in schema.CALIBRATION_TYPES),
            "passed_over": [passed_over.get(name, 0) for name in schema.EVENT_TYPES],
            **self._part.run_counts(),
            **self._quality.counts(),
            "energies_seen": selection.energies_seen,
        }


def _truth(index, shower, direction):
    """Return the EVENT_COLUMNS of an event up to the reconstructed energy.

    direction : (azimuth, altitude) [rad]
    """
    azimuth, altitude = direction
    return (
        index.event_id,
        index.obs_id,
        shower.primary,
        shower.core_x,
        shower.core_y,
        shower.h_first_int,
        shower.energy,
        altitude,
        azimuth,
    )


def _position(shower, direction, pointing):
    """Return the EVENT_COLUMNS behind the reconstructed energy, but run_index."""
    lon, lat = sky_offsets.offsets(*direction, *pointing)
    return shower.x_max, float(lon), float(lat), *map(float, pointing)
