"""Geometries of cameras: those of the demo and of real files, and some that nobody built."""

import astropy.units as u
import numpy as np
from astropy.coordinates import Angle
from ctapipe.instrument import CameraGeometry
from ctapipe.instrument.camera import PixelShape
from helpers.real_files import real_file

#: Cameras, and the telescopes of the demo that have them.
DEMO = {
    "LSTCam": "LST",
    "NectarCam": "MSTN",
    "FlashCam": "MSTF",
    "ASTRICam": "SSTA",
    "CHEC": "SSTC",
    "DigiCam": "SSTD",
    "SCTCam": "SCT",
}
CAMERAS = list(DEMO)


def demo_geometry(camera, turn_deg=0):
    """Return the geometry that a reader makes of a demo camera: its rotation undone, and that of its pixels said.

    A turned one has its pixels at other places of the file, and the rotation with which a reader turns them back.
    """
    from image_extractor.demo.cameras import SQUARE, build_camera

    camera = build_camera(DEMO[camera])
    rotation = camera.rotation + np.radians(turn_deg)
    cos, sin = np.cos(rotation), np.sin(rotation)
    x, y = cos * camera.pixel_x - sin * camera.pixel_y, sin * camera.pixel_x + cos * camera.pixel_y
    shape = PixelShape.SQUARE if camera.pixel_shape == SQUARE else PixelShape.HEXAGON
    area = np.full(len(x), camera.pixel_area) * u.m**2
    return CameraGeometry(
        camera.name, np.arange(len(x)), x * u.m, y * u.m, area, shape, pix_rotation=Angle(rotation * u.rad)
    )


def real_geometry(camera, name="calib_events.simtel.gz"):
    import warnings

    from ctapipe.io import SimTelEventSource

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        source = SimTelEventSource(real_file(name), focal_length_choice="EQUIVALENT")
    return next(t.camera.geometry for t in source.subarray.tel.values() if t.camera.name == camera)


#: Where the geometry of a camera is from.
ORIGINS = {"demo": demo_geometry, "real": real_geometry}


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
