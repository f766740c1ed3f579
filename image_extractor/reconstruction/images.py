"""Images of events in flat arrays, the telescopes that they are of, and which images are good enough."""

from dataclasses import dataclass

import numpy as np

from .. import telescopes

#: A row for each image, those of an event one after the other: (name, dtype). Names and meanings are ctapipe's, lengths
#: in degrees around where the telescope points; `telescope` is the place of the telescope in :class:`Telescopes`.
IMAGE = np.dtype(
    [
        ("telescope", "<i4"),
        ("hillas_intensity", "<f8"),
        ("hillas_width", "<f8"),
        ("hillas_length", "<f8"),
        ("hillas_fov_lon", "<f8"),
        ("hillas_fov_lat", "<f8"),
        ("hillas_psi", "<f8"),
        ("leakage_intensity_width_1", "<f8"),
        ("morphology_n_pixels", "<i4"),
    ]
)

#: Images of fewer pixels lose less light at the edge of the camera, or they are no good: the two values of max_loss.
FEW_PIXELS = 10


@dataclass(frozen=True)
class Telescopes:
    """The telescopes of an array, in the order of their ids.

    Attributes
    ----------
    tel_ids : int array (n_telescopes,)
    position : float array (n_telescopes, 3)
        On the ground: to the north, to the west, up [m].
    camera_radius : float array (n_telescopes,)
        As ctapipe guesses it [deg].
    names : list of str, (n_telescopes,)
        What lookup tables are kept by: ctapipe's descriptions. Types alone would mix cameras.
    is_used : bool array (n_telescopes,)
        Which take part in the reconstruction.
    altitude : float
        Of the array above sea level [m].
    focal_lengths : dict
        {name: the focal length that directions were made with [m]}.
    """

    tel_ids: np.ndarray
    position: np.ndarray
    camera_radius: np.ndarray
    names: list
    is_used: np.ndarray
    altitude: float
    focal_lengths: dict


def telescopes_of(subarray, type_mode="ALL"):
    """Return the :class:`Telescopes` of a ctapipe SubarrayDescription.

    type_mode : str
        Which of them take part, as in [telescope] type_mode.
    """
    tel_ids = np.array(sorted(subarray.tel), np.int64)
    selected = {tel_id for ids in telescopes.select(subarray, type_mode).values() for tel_id in ids}
    found = [subarray.tel[tel_id] for tel_id in tel_ids]
    focal_length = [telescope.camera.geometry.frame.focal_length.to_value("m") for telescope in found]
    known = {}
    for telescope in found:
        if telescope.camera not in known:
            known[telescope.camera] = telescope.camera.geometry.guess_radius().to_value("m")
    radius = [known[telescope.camera] for telescope in found]
    names = [str(telescope) for telescope in found]
    return Telescopes(
        tel_ids,
        np.array([subarray.positions[tel_id].to_value("m") for tel_id in tel_ids], np.float64).reshape(-1, 3),
        np.degrees(np.array(radius, np.float64) / np.array(focal_length, np.float64)),
        names,
        np.isin(tel_ids, list(selected)),
        float(subarray.reference_location.geodetic.height.to_value("m")),
        dict(zip(names, map(float, focal_length), strict=True)),
    )


def good_images(images, telescopes, settings):
    """Say which images are selected: those that take part in the reconstruction, and in the tables.

    Parameters
    ----------
    images : array of IMAGE, (n_images,)
    telescopes : Telescopes
    settings : dict
        The section [reconstruction].

    Returns
    -------
    bool array (n_images,)
        An image without parameters, or of no width, which says nothing of the axis, is none of them.
    """
    few_loss, loss = settings["max_loss"]
    limit = np.where(images["morphology_n_pixels"] < FEW_PIXELS, few_loss, loss)
    return (
        telescopes.is_used[images["telescope"]]
        & (images["hillas_intensity"] > settings["min_size"])
        & (images["morphology_n_pixels"] >= settings["min_pixels"])
        & (images["leakage_intensity_width_1"] < limit)
        & (images["hillas_width"] > 0)
        & (images["hillas_length"] > 0)
        & np.isfinite(images["hillas_psi"])
    )
