"""Geometries of cameras: those of real files, and some that nobody built."""

import astropy.units as u
import numpy as np
from ctapipe.instrument import CameraGeometry
from ctapipe.instrument.camera import PixelShape
from helpers.real_files import real_file

CAMERAS = ["LSTCam", "NectarCam", "FlashCam", "ASTRICam", "CHEC", "DigiCam", "SCTCam"]


def real_geometry(camera, name="calib_events.simtel.gz"):
    import warnings

    from ctapipe.io import SimTelEventSource

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        source = SimTelEventSource(real_file(name), focal_length_choice="EQUIVALENT")
    return next(t.camera.geometry for t in source.subarray.tel.values() if t.camera.name == camera)


def lattice(shape, rotation_deg, pitch, radius, missing=()):
    """Make an unknown camera: pixels of a rotated lattice within a circle."""
    i, j = np.meshgrid(np.arange(-radius, radius + 1), np.arange(-radius, radius + 1))
    x, y = (i + 0.5 * j, np.sqrt(3) / 2 * j) if shape == "hexagon" else (i, j)
    inside = np.hypot(x, y) <= radius * 0.85 + 0.01
    angle = np.radians(rotation_deg)
    x, y = x[inside] * pitch, y[inside] * pitch
    x, y = x * np.cos(angle) - y * np.sin(angle), x * np.sin(angle) + y * np.cos(angle)
    keep = np.setdiff1d(np.arange(len(x)), np.asarray(missing, int) % len(x))
    area = pitch**2 * (np.sqrt(3) / 2 if shape == "hexagon" else 1)
    return CameraGeometry(
        "Unknown",
        pix_id=np.arange(len(keep)),
        pix_x=x[keep] * u.m,
        pix_y=y[keep] * u.m,
        pix_area=np.full(len(keep), area) * u.m**2,
        pix_type=PixelShape(shape),
        pix_rotation=rotation_deg * u.deg,
    )
