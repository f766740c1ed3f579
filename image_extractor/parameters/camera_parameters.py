"""The image parameters of one camera: what is computed once of its geometry, and rows of numbers of its images."""

import copy
from dataclasses import dataclass, field
from functools import lru_cache

import astropy.units as u
import numpy as np
from ctapipe.coordinates import TelescopeFrame

from . import columns, pixel_sums
from .arrival_line import arrival_line, ctapipe_line
from .cleaning import tailcuts, thresholds
from .ctapipe_ellipse import ctapipe_ellipse
from .islands import morphology


def _places():
    """Return the slices of the groups of columns in a row."""
    groups = ("HILLAS", "TIMING", "LEAKAGE", "CONCENTRATION", "MORPHOLOGY", "INTENSITY", "PEAK_TIME")
    ends = np.cumsum([len(getattr(columns, name)) for name in groups])
    return [slice(int(end) - len(getattr(columns, name)), int(end)) for name, end in zip(groups, ends, strict=True)]


HILLAS, TIMING, LEAKAGE, CONCENTRATION, MORPHOLOGY, INTENSITY, PEAK_TIME = _places()

#: A row without parameters, as ctapipe has it.
NOTHING = np.array([-1 if "i" in kind else np.nan for _, kind, *_ in columns.IMAGE_COLUMNS])


class CameraParameters:
    """Cleaning and image parameters of a camera, equal to those of ctapipe's ImageProcessor.

    Parameters
    ----------
    geometry : ctapipe CameraGeometry
        In the CameraFrame; only read, never changed.
    thresholds : cleaning.Thresholds
    """

    def __init__(self, geometry, thresholds):
        self.thresholds = thresholds
        # ctapipe keeps what it computes with a geometry, and gives one without frame a frame
        geometry = copy.copy(geometry)
        geometry._border_cache = {}
        self.n_pixels = geometry.n_pixels
        self._telescope_geometry = geometry.transform_to(TelescopeFrame())
        # cleaning asks for neighbours in the camera, all else for those in the sky
        self._neighbours = _lists(geometry.neighbor_matrix_sparse)
        self._neighbours_of = _lists(geometry.neighbor_matrix_sparse.T.tocsr())
        in_sky = self._telescope_geometry
        self._neighbours_in_sky = _lists(in_sky.neighbor_matrix_sparse)
        border = in_sky.get_border_pixel_mask(1)
        # ctapipe's own second row takes a dense matrix of all pairs of pixels
        self._borders = np.array([border, in_sky.neighbor_matrix_sparse.dot(border)])
        self._pixels = np.array(
            [
                in_sky.pix_x.to_value(u.deg),
                in_sky.pix_y.to_value(u.deg),
                in_sky.pix_area.to_value(u.deg**2),
                in_sky.pixel_width.to_value(u.deg),
            ]
        )

    def clean(self, image):
        """Return which pixels the cleaning keeps.

        Parameters
        ----------
        image : float32 or float64 array (n_pixels,)
            Charges [p.e.]; pixels that are NaN are not kept.

        Returns
        -------
        bool array (n_pixels,)
        """
        image = self._checked("image", image)
        mask = np.zeros(self.n_pixels, bool)
        tailcuts(image, *self._neighbours, *self._neighbours_of, *self.thresholds, mask)
        return mask

    def values(self, image, mask, peak_time=None):
        """Return the parameters of an image.

        Parameters
        ----------
        image : float32 or float64 array (n_pixels,)
            Charges [p.e.].
        mask : bool array (n_pixels,)
            Pixels kept.
        peak_time : float32 or float64 array (n_pixels,), optional
            Peak times [ns]; without them, what needs them is NaN.

        Returns
        -------
        float64 array (n_columns,)
            In the order and the units of ``columns.IMAGE_COLUMNS``. NaN, and -1 for integers, if ctapipe's
            ImageQualityQuery refuses the image (no charge, fewer than two pixels), or if ctapipe raises an error, as
            of charges below 0.
        """
        image, mask = self._checked("image", image), self._checked("mask", mask, "?")
        row, kept = NOTHING.copy(), np.flatnonzero(mask)
        charges, along = image[kept], np.empty(len(kept))
        found = pixel_sums.image_sums(
            charges, kept, self._pixels, self._borders, along,
            row[HILLAS], row[LEAKAGE], row[CONCENTRATION], row[INTENSITY],
        )  # fmt: skip
        if found == pixel_sums.NOTHING:
            return row
        if found == pixel_sums.UNSURE:
            ellipse = self._by_ctapipe(image, mask)
            if ellipse is None:
                return NOTHING.copy()
            row[HILLAS], row[CONCENTRATION], along = ellipse
        morphology(mask, kept, *self._neighbours_in_sky, row[MORPHOLOGY])
        if peak_time is None:
            return row
        times = self._checked("peak_time", peak_time)[kept]
        pixel_sums.statistics(times, row[PEAK_TIME])
        if not arrival_line(along, times, row[TIMING]):
            if found == pixel_sums.SURE:
                along = self._by_ctapipe(image, mask)[-1]
            row[TIMING] = ctapipe_line(along, times)
        return row

    def _by_ctapipe(self, image, mask):
        return ctapipe_ellipse(self._telescope_geometry, image, mask)

    def _checked(self, name, values, kinds="fd"):
        """Return values as compiled loops need them, which read what is not there without a word."""
        values = np.ascontiguousarray(values)
        if values.shape != (self.n_pixels,) or values.dtype.char not in kinds:
            raise ValueError(
                f"{name} of {self._telescope_geometry.name}: {values.dtype} array {values.shape}, "
                f"must be {' or '.join(str(np.dtype(kind)) for kind in kinds)} ({self.n_pixels},)"
            )
        return values


def camera_parameters(telescope, cleaning_settings):
    """Return the CameraParameters of a telescope; telescopes with the same pixels and thresholds share one.

    Parameters
    ----------
    telescope : ctapipe TelescopeDescription
    cleaning_settings : dict
        The section [cleaning].

    Returns
    -------
    CameraParameters
    """
    return _of_camera(_ExactGeometry.of(telescope.camera.geometry), thresholds(telescope, cleaning_settings))


@lru_cache(maxsize=32)
def _of_camera(exact, thresholds):
    return CameraParameters(exact.geometry, thresholds)


@dataclass(frozen=True)
class _ExactGeometry:
    """A geometry that equals another only if all numbers do: ctapipe's are equal for two focal lengths."""

    numbers: tuple
    geometry: object = field(compare=False)

    @classmethod
    def of(cls, geometry):
        frame, neighbours = geometry.frame, geometry._neighbors
        grid = getattr(geometry, "grid_type", None)  # ctapipe 0.29 and newer
        lengths = [getattr(frame, name, None) for name in ("focal_length", "rotation")]
        arrays = [geometry.pix_x, geometry.pix_y, geometry.pix_area, geometry.pix_rotation, geometry.cam_rotation]
        numbers = [(str(array.unit), array.value.tobytes()) for array in (*arrays, *lengths) if array is not None]
        if neighbours is not None:
            numbers.append((neighbours.indptr.tobytes(), neighbours.indices.tobytes()))
        return cls((geometry.name, geometry.pix_type, grid, type(frame), *numbers), geometry)


def _lists(neighbours):
    """Return where the neighbours of each pixel begin, and their numbers."""
    return neighbours.indptr.astype(np.int64), neighbours.indices.astype(np.int64)
