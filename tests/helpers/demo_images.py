"""Demo files with all cameras, their images as ctapipe calibrates them, and what is measured of an image."""

import pytest
from ctapipe.calib import CameraCalibrator
from ctapipe.image import hillas_parameters, tailcuts_clean
from ctapipe.io import SimTelEventSource
from traitlets.config import Config

from image_extractor import demo
from image_extractor.demo import eventio_writer
from image_extractor.demo.cameras import CAMERAS

ALL_CAMERAS = dict.fromkeys(CAMERAS, 2)
TYPES = {
    "LST": "LST_LST_LSTCam",
    "MSTN": "MST_MST_NectarCam",
    "MSTF": "MST_MST_FlashCam",
    "SCT": "MST_SCT_SCTCam",
    "SSTC": "SST_GCT_CHEC",
    "SSTA": "SST_ASTRI_ASTRICam",
    "SSTD": "SST_1M_DigiCam",
}
# Samples that hold the pulse and the light's spread in time.
WINDOWS = {"LSTCam": 8, "NectarCam": 12, "FlashCam": 8, "SCTCam": 8, "CHEC": 16, "ASTRICam": 1, "DigiCam": 8}


def write_gammas(path):
    """Write bright gammas in all cameras; return the summary, and what the generator handed to the byte writer."""
    settings = {"events": 30, "telescopes": ALL_CAMERAS, "energy": (0.5, 30), "reuse": 2, "run": 42, "seed": 7}
    written = {"mc_shower": {}, "mc_event": {}, "telescope_event": {}, "photoelectrons": []}

    def spy(name, keep):
        original = getattr(eventio_writer, name)

        def wrapped(*args):
            keep(written[name], args)
            return original(*args)

        return wrapped

    with pytest.MonkeyPatch.context() as patch:
        for name, keep in {
            "mc_shower": lambda kept, args: kept.update({args[0]: args[1]}),
            "mc_event": lambda kept, args: kept.update({args[0]: args[1:]}),
            "telescope_event": lambda kept, args: kept.update({args[:2]: args[2:]}),
            "photoelectrons": lambda kept, args: kept.append(args),
        }.items():
            patch.setattr(eventio_writer, name, spy(name, keep))
        summary = demo.write_demo_file(path, **settings)
    return summary, written


def write_protons(path):
    """Write protons in all cameras."""
    demo.write_demo_file(path, events=25, telescopes=ALL_CAMERAS, energy=(1, 30), primary="proton", seed=7)


def calibrated(path):
    """Every telescope image of a file: (ctapipe event, telescope id, telescope, calibrated DL1, true image)."""
    with SimTelEventSource(path) as source:
        cameras = {str(tel.camera.name): tel_id for tel_id, tel in source.subarray.tel.items()}
        widths = [("id", cameras[name], WINDOWS[name]) for name in cameras]
        widths += [("id", tel_id, WINDOWS[str(tel.camera.name)]) for tel_id, tel in source.subarray.tel.items()]
        shifts = [(kind, tel_id, width // 2) for kind, tel_id, width in widths]
        window = {"window_width": widths, "window_shift": shifts}
        config = Config({"CameraCalibrator": {"NeighborPeakWindowSum": window}})
        calibrator = CameraCalibrator(source.subarray, config=config, image_extractor_type="NeighborPeakWindowSum")
        for event in source:
            calibrator(event)
            for tel_id, dl1 in event.dl1.tel.items():
                true = event.simulation.tel[tel_id].true_image
                yield event, tel_id, source.subarray.tel[tel_id], dl1, true


def cleaned(telescope, dl1):
    """Which pixels are left of an image; smaller pixels get less light."""
    picture = 3 if telescope.camera.name == "SCTCam" else 6  # p.e.
    geometry = telescope.camera.geometry
    return tailcuts_clean(geometry, dl1.image, picture, picture / 2, min_number_picture_neighbors=1)


def hillas(telescope, dl1):
    """Hillas parameters of the cleaned image in the camera frame (m), and its pixels."""
    mask = cleaned(telescope, dl1)
    return hillas_parameters(telescope.camera.geometry[mask], dl1.image[mask]), mask
