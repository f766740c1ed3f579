"""Simtel files as blocks of events: calibrated, cleaned and parameterised, all telescopes that take part."""

import json
import math

import numpy as np

from ..conversion.calibration import Calibrator, extractor
from ..errors import InputError
from ..inputs import open_runs
from ..inputs.pointing import TOLERANCE, mean, separation
from ..parameters.camera_parameters import camera_parameters
from ..reconstruction.events import BlockBuilder
from ..reconstruction.images import telescopes_of
from ..reconstruction.recipe import Recipe, quality
from ..settings.extractors import parameters

#: Events of a block: so few that memory does not grow with files.
BLOCK_EVENTS = 2000

#: Events between two reports of progress.
REPORT_EVERY = 10


class SimtelFile:
    """A simtel file, whose runs are read one after the other.

    Parameters
    ----------
    path : Path
    settings : dict
        As :mod:`image_extractor.config` makes them.
    on_truncated : 'refuse' or 'keep'
    """

    def __init__(self, path, settings, on_truncated="refuse"):
        self._path, self._settings, self._on_truncated = path, settings, on_truncated

    def runs(self, progress=None):
        """Yield a :class:`SimtelBlocks` for each run; each is to be read before the next is asked for.

        progress : callable, optional
            Called with the number of events read since the last call, and the fraction of the file read so far.
        """
        with open_runs.open_runs(self._path, self._settings["calibration"]["fast"], self._on_truncated) as runs:
            for run in runs:
                yield SimtelBlocks(run, self._settings, progress)
            runs.check_unchanged()


class SimtelBlocks:
    """The events of one run.

    Iterating gives EventBlock; attributes that depend on events are right afterwards.

    Attributes
    ----------
    run_number : int
    n_read : int
        Shower events read.
    """

    def __init__(self, run, settings, progress):
        self._run, self._settings, self._progress = run, settings, progress
        self._rows = SimtelRows(run, settings, run.pointings)
        self.run_number = int(run.obs_id)
        self.n_read = 0

    @property
    def primary(self):
        """The primary of the first shower, -1 if there is none yet."""
        return self._run.primary

    @property
    def n_calibration(self):
        """Calibration events passed over."""
        return self._run.n_calibration

    @property
    def complete(self):
        """False where the file is cut and what was whole before was kept."""
        return self._run.complete

    def recipe(self):
        """Return the Recipe of what was read, after reading it: only events tell where some arrays point."""
        return self._rows.recipe()

    def __iter__(self):
        run, n_reported = self._run, 0
        calibrate = Calibrator(run, self._settings)
        run.select(self._rows.tel_ids, self._count)
        builder = BlockBuilder(self._rows.telescopes)
        for event in run:
            with run.reading():
                calibrate(event)
                row = self._rows.of(event)
            builder.add(*row)
            if len(builder) == BLOCK_EVENTS:
                yield builder.take()
            if self._progress and self.n_read - n_reported >= REPORT_EVERY:
                self._progress(self.n_read - n_reported, run.fraction)
                n_reported = self.n_read
        run.check_end()
        if self._progress:
            self._progress(self.n_read - n_reported, run.fraction)
        if len(builder):
            yield builder.take()

    def _count(self, *_):
        """Take every event, counted: those without data of a telescope never come out of the source."""
        self.n_read += 1
        return True


class SimtelRows:
    """What the reconstruction takes of the calibrated events of a run: all telescopes that take part in it.

    Parameters
    ----------
    run : a run, see inputs/open_runs.py
    settings : dict
        As :mod:`image_extractor.config` makes them.
    pointings : Pointings
        Is told where these telescopes look.

    Attributes
    ----------
    telescopes : Telescopes
    tel_ids : list of int
        Those that take part.
    """

    def __init__(self, run, settings, pointings):
        self._run, self._settings, self._pointings = run, settings, pointings
        section = settings["reconstruction"]
        with run.reading():
            self.telescopes = telescopes_of(run.subarray, section["telescopes"])
        if not self.telescopes.is_used.any():
            raise InputError(
                f"{run.input_url}: {open_runs.describe_telescopes(run)}, none of [reconstruction] telescopes = "
                f"{section['telescopes']}"
            )
        self.tel_ids = self.telescopes.tel_ids[self.telescopes.is_used].tolist()
        places = {tel_id: place for place, tel_id in enumerate(self.telescopes.tel_ids.tolist())}
        self._of = {
            tel_id: (places[tel_id], camera_parameters(run.subarray.tel[tel_id], settings["cleaning"]))
            for tel_id in self.tel_ids
        }
        self._min_pixels, self._spectral_index = section["min_pixels"], section["spectral_index"]

    def of(self, event):
        """Return what `BlockBuilder.add` takes of a ctapipe event: a row of EVENT, and its images."""
        images = list(self._images(event))
        return self._event(event), images

    def _images(self, event):
        """Yield the places and parameters of the images of an event that may be good ones."""
        for tel_id, dl1 in event.dl1.tel.items():
            if tel_id not in self._of:
                continue
            place, camera = self._of[tel_id]
            image = np.asarray(dl1.image)
            mask = camera.clean(image)
            if np.count_nonzero(mask) >= self._min_pixels:
                yield place, camera.values(image, mask)

    def _event(self, event):
        """Return a row of EVENT."""
        run = self._run
        shower = run.true_shower(event)
        return (
            run.obs_id,
            event.index.event_id,
            shower.primary,
            shower.energy,
            shower.alt,
            shower.az,
            *self._pointing(event),
            shower.energy ** (self._spectral_index - run.spectral_index),
        )

    def _pointing(self, event):
        """Return where all telescopes of an event look; raise InputError if they do not look at one place."""
        known, run = self._run.event_pointings, self._run
        directions = {tel_id: known[tel_id] for tel_id in event.dl1.tel if tel_id in known and tel_id in self._of}
        self._pointings.add(directions)
        distinct = list(set(directions.values()))
        if len(distinct) == 1 or not distinct:
            return distinct[0] if distinct else self._pointings.array
        together = mean(distinct)
        if not all(separation(direction, together) <= TOLERANCE for direction in distinct):
            raise InputError(
                f"{run.input_url}: event {event.index.event_id}: telescopes look at different places: "
                "showers are reconstructed of parallel telescopes only"
            )
        return together

    def recipe(self):
        """Return the Recipe of the events so far: only they tell where some arrays point."""
        azimuth, altitude = self._pointings.array
        common = {
            "pointing_az": math.degrees(azimuth),
            "pointing_alt": math.degrees(altitude),
            "focal_length_choice": self._run.focal_length_choice.name,
            **quality(self._settings["reconstruction"]),
        }
        found = {str(self._run.subarray.tel[tel_id]): self._run.subarray.tel[tel_id] for tel_id in self.tel_ids}
        return Recipe(common, {name: self._facts(name, telescope) for name, telescope in found.items()})

    def _facts(self, name, telescope):
        calibration = self._settings["calibration"]
        chosen = extractor(telescope, calibration)
        own = parameters(calibration).get(chosen)
        return {
            **camera_parameters(telescope, self._settings["cleaning"]).thresholds._asdict(),
            "extractor": chosen if not own else f"{chosen} {json.dumps(own, sort_keys=True)}",
            "focal_length": self.telescopes.focal_lengths[name],
            "mirror_area": float(telescope.optics.mirror_area.to_value("m2")),
            "n_pixels": int(telescope.camera.geometry.n_pixels),
        }
