"""Directions around where something points: longitude and latitude as in ctapipe's TelescopeFrame."""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def offsets(
    az: ArrayLike, alt: ArrayLike, pointing_az: ArrayLike, pointing_alt: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return longitude and latitude of directions in the frame whose x axis is the pointing, float arrays [deg].

    All are azimuths (from north to east) and altitudes [rad], which are broadcast together. The frame is astropy's
    SkyOffsetFrame without rotation, as ctapipe's TelescopeFrame: the direction is turned about the vertical until the
    pointing is at azimuth 0, then about the horizontal axis until it is at altitude 0.
    """
    turned = np.asarray(az, np.float64) - pointing_az
    alt, pointing_alt = np.asarray(alt, np.float64), np.asarray(pointing_alt, np.float64)
    x, y, z = np.cos(alt) * np.cos(turned), np.cos(alt) * np.sin(turned), np.sin(alt)
    along = x * np.cos(pointing_alt) + z * np.sin(pointing_alt)
    up = z * np.cos(pointing_alt) - x * np.sin(pointing_alt)
    return np.degrees(np.arctan2(y, along)), np.degrees(np.arctan2(up, np.hypot(along, y)))
