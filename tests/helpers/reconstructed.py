"""Events that ctapipe's ImageProcessor and HillasReconstructor made, and their images as rows of ours."""

import contextlib
import warnings
from types import SimpleNamespace

import numpy as np
from ctapipe.calib import CameraCalibrator
from ctapipe.image import ImageProcessor
from ctapipe.io import DataWriter, SimTelEventSource
from ctapipe.reco import HillasReconstructor
from traitlets.config import Config

from image_extractor.reconstruction.images import IMAGE

CLEANING = {
    "TailcutsImageCleaner": {
        "picture_threshold_pe": 4.0,
        "boundary_threshold_pe": 2.0,
        "min_picture_neighbors": 2,
    }
}
QUALITY = {
    "StereoQualityQuery": {
        "quality_criteria": [
            ("size", "parameters.hillas.intensity > 50"),
            ("pixels", "parameters.morphology.n_pixels >= 5"),
            ("width", "parameters.hillas.width.value > 0"),
        ]
    }
}


def image_row(telescope, parameters):
    """Return the fields of IMAGE by ctapipe's parameters of an image."""
    hillas = parameters.hillas
    return (
        telescope,
        hillas.intensity,
        hillas.width.to_value("deg"),
        hillas.length.to_value("deg"),
        hillas.fov_lon.to_value("deg"),
        hillas.fov_lat.to_value("deg"),
        hillas.psi.to_value("deg"),
        parameters.leakage.intensity_width_1,
        parameters.morphology.n_pixels,
    )


def reconstructed_by_ctapipe(path, hdf5=None, cleaning=CLEANING, **source_options):
    """Return ctapipe's results of a simtel file, which are written to the file `hdf5` as ctapipe-process does.

    `cleaning` are settings of ImageProcessor's TailcutsImageCleaner, the options those of SimTelEventSource.

    Attributes
    ----------
    subarray : SubarrayDescription
    images : array of IMAGE, of all that are parameterised
    first : int array (n_events + 1,)
    pointing : float array (n_events, 2), azimuth and altitude [rad]
    used : bool array (n_images,), whether HillasReconstructor took it
    geometry : list of ReconstructedGeometryContainer
    impact : float array (n_images,), distances of telescopes [m]
    simulated : list of SimulatedShowerContainer
    index : list of (obs_id, event_id)
    """
    writing = {"write_dl1_parameters": True, "write_dl2": True}
    found = SimpleNamespace(images=[], first=[0], pointing=[], geometry=[], impact=[], used=[], simulated=[], index=[])
    with warnings.catch_warnings(), contextlib.ExitStack() as stack:
        warnings.simplefilter("ignore")
        source = stack.enter_context(SimTelEventSource(path, **source_options))
        found.subarray = subarray = source.subarray
        calibrate = CameraCalibrator(subarray, image_extractor_type="NeighborPeakWindowSum")
        process = ImageProcessor(subarray, config=Config({"ImageProcessor": cleaning, **cleaning}))
        reconstruct = HillasReconstructor(subarray, config=Config(QUALITY))
        write = stack.enter_context(DataWriter(source, output_path=hdf5, **writing)) if hdf5 else lambda _: None
        indices = {tel_id: index for index, tel_id in enumerate(sorted(subarray.tel))}
        for event in source:
            for step in (calibrate, process, reconstruct, write):
                step(event)
            geometry = event.dl2.stereo.geometry["HillasReconstructor"]
            for tel_id, dl1 in event.dl1.tel.items():
                if dl1.parameters.morphology.n_pixels < 1:
                    continue
                found.images.append(image_row(indices[tel_id], dl1.parameters))
                found.used.append(tel_id in geometry.telescopes)
                impact = event.dl2.tel[tel_id].impact["HillasReconstructor"].distance
                found.impact.append(impact.to_value("m"))
            found.first.append(len(found.images))
            pointing = event.monitoring.pointing if hasattr(event.monitoring, "pointing") else event.pointing
            found.pointing.append((pointing.array_azimuth.to_value("rad"), pointing.array_altitude.to_value("rad")))
            found.geometry.append(geometry)
            found.simulated.append(event.simulation.shower)
            found.index.append((event.index.obs_id, event.index.event_id))
    found.images = np.array(found.images, IMAGE)
    found.first, found.pointing, found.impact = map(np.array, (found.first, found.pointing, found.impact))
    found.used = np.array(found.used)
    return found
