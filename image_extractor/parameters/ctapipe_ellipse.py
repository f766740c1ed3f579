"""The Hillas ellipse by ctapipe itself: of images where rounding decides what it gives."""

import astropy.units as u
import numpy as np
from ctapipe.image import HillasParameterizationError, concentration_parameters, hillas_parameters

#: Names of the numbers in ctapipe's containers, in the order of ``columns``.
HILLAS_FIELDS = (
    "intensity", "skewness", "kurtosis", "fov_lon", "fov_lat", "r", "phi", "length", "length_uncertainty", "width",
    "width_uncertainty", "psi", "psi_uncertainty", "transverse_cog_uncertainty",
)  # fmt: skip
CONCENTRATION_FIELDS = ("cog", "core", "pixel")


def ctapipe_ellipse(geometry, image, mask):
    """Return what ctapipe gives; None where it raises an error, as of charges below 0.

    Parameters
    ----------
    geometry : ctapipe CameraGeometry
        In the TelescopeFrame.
    image : float array (n_pixels,)
        Charges [p.e.].
    mask : bool array (n_pixels,)
        Pixels kept.

    Returns
    -------
    hillas, concentration : float array (14,), (3,)
        In the order and the units of ``columns``.
    along : float array (n_kept,)
        Positions of the pixels kept along the major axis [deg].
    """
    kept, charges = geometry[mask], image[mask]
    with np.errstate(all="ignore"):
        try:
            ellipse = hillas_parameters(kept, charges)
        except (ValueError, HillasParameterizationError):
            return None
        concentration = concentration_parameters(kept, charges, ellipse)
    psi = ellipse.psi.to_value(u.rad)
    x, y = (
        (position - centre).to_value(u.deg)
        for position, centre in ((kept.pix_x, ellipse.fov_lon), (kept.pix_y, ellipse.fov_lat))
    )
    return (
        np.array([_in_degrees(ellipse[name]) for name in HILLAS_FIELDS]),
        np.array([concentration[name] for name in CONCENTRATION_FIELDS]),
        x * np.cos(psi) + y * np.sin(psi),
    )


def _in_degrees(value):
    return value.to_value(u.deg) if isinstance(value, u.Quantity) else value
