"""The image parameters of events: those of ctapipe's image processing, and what the simulation knows besides."""

import numpy as np

from .. import sky_offsets
from ..mapping import images
from ..parameters import columns
from ..parameters.camera_parameters import camera_parameters


def are_needed(settings):
    """Say whether image parameters are stored, or cut on."""
    return settings["parameters"]["store"] or bool(settings["image_cuts"])


def is_cleaning_needed(settings):
    """Say whether anything is asked for that needs the cleaning mask."""
    return are_needed(settings) or images.needs_masks(settings["image"])


class Parameterization:
    """Cleans the images of a run, and works out their parameters.

    Parameters
    ----------
    run : a run, see inputs/open_runs.py
    tel_ids : iterable of int
        The selected telescopes.
    settings : dict
    """

    def __init__(self, run, tel_ids, settings):
        self._run, self._needs_values = run, are_needed(settings)
        self._of = {tel_id: camera_parameters(run.subarray.tel[tel_id], settings["cleaning"]) for tel_id in tel_ids}
        self._positions = {tel_id: run.subarray.positions[tel_id].to_value("m") for tel_id in tel_ids}

    def __call__(self, event):
        """Give each image of a ctapipe event its `image_mask`.

        Returns
        -------
        {tel_id: float array (len(columns.COLUMNS),)}
            Empty where they are neither stored nor cut on.
        """
        values, dl1 = {}, event.dl1.tel
        for tel_id, camera in dl1.items():
            parameters = self._of[tel_id]
            camera.image_mask = parameters.clean(camera.image)
            if self._needs_values:
                values[tel_id] = parameters.values(camera.image, camera.image_mask, camera.peak_time)
        if not self._needs_values:
            return {}
        truth = self._truth(self._run.true_shower(event), list(dl1))
        return {tel_id: np.concatenate([values[tel_id], row]) for tel_id, row in zip(dl1, truth, strict=True)}

    def _truth(self, shower, tel_ids):
        """Return the TRUE_COLUMNS of telescopes, float array (n, len(columns.TRUE_COLUMNS))."""
        found = np.empty((len(tel_ids), len(columns.TRUE_COLUMNS)))
        pointing = np.array([self._run.event_pointings[tel_id] for tel_id in tel_ids])
        found[:, 0] = [self._run.true_image_sum(tel_id) for tel_id in tel_ids]
        found[:, 1] = self._impact_distance(shower, tel_ids)
        found[:, 2], found[:, 3] = sky_offsets.offsets(shower.az, shower.alt, pointing[:, 0], pointing[:, 1])
        return found

    def _impact_distance(self, shower, tel_ids):
        """Return the distance of telescopes from the true axis [m], as ctapipe.coordinates.impact_distance."""
        core, azimuth, altitude = np.array([shower.core_x, shower.core_y, 0.0]), shower.az, shower.alt
        # x to the north and y to the west; azimuth from north to east
        axis = np.cos(altitude) * np.cos(azimuth), -np.cos(altitude) * np.sin(azimuth), np.sin(altitude)
        across = np.cross([self._positions[tel_id] for tel_id in tel_ids] - core, axis)
        return np.linalg.norm(across, axis=1)
