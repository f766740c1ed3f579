"""Thresholds of telescopes, and tail cuts, against ctapipe's."""

from importlib.resources import files

import numpy as np
import pytest
import yaml
from ctapipe.image import TailcutsImageCleaner, tailcuts_clean
from ctapipe.io import SimTelEventSource
from helpers.ctapipe_parameters import AUTO
from helpers.geometries import CAMERAS
from hypothesis import given, settings
from hypothesis import strategies as st
from traitlets.config import Config

from image_extractor.parameters.camera_parameters import CameraParameters
from image_extractor.parameters.cleaning import OTHER_PICTURE, Thresholds, thresholds

OURS: dict = {}


@pytest.fixture(scope="module")
def telescopes(gammas):
    with SimTelEventSource(gammas[0]) as source:
        return source.subarray


def of(subarray, camera, **settings):
    telescope = next(tel for tel in subarray.tel.values() if tel.camera.name == camera)
    return thresholds(telescope, {**AUTO, **settings})


def test_auto_is_what_ctapipe_has(telescopes):
    """And 4 and 2 p.e. where it has nothing."""
    config = yaml.safe_load((files("ctapipe") / "resources" / "base_config.yaml").read_text())
    traits = dict(config["ImageProcessor"]["TailcutsImageCleaner"])
    for name, other in (("picture_threshold_pe", OTHER_PICTURE), ("boundary_threshold_pe", OTHER_PICTURE / 2)):
        traits[name] = [("type", "*", other), *map(tuple, traits[name])]
    cleaner = TailcutsImageCleaner(telescopes, config=Config({"TailcutsImageCleaner": traits}))
    assert len({telescope.camera.name for telescope in telescopes.tel.values()}) == len(CAMERAS)
    for tel_id, telescope in telescopes.tel.items():
        expected = (
            cleaner.picture_threshold_pe.tel[tel_id],
            cleaner.boundary_threshold_pe.tel[tel_id],
            cleaner.min_picture_neighbors.tel[tel_id],
        )
        assert thresholds(telescope, AUTO) == expected


def test_a_line_of_its_own_counts_before_the_number_of_all(telescopes):
    settings = {"picture": 7.0, "picture_of": {"LST": 6.0}, "neighbours_of": {"SCT": 3}}
    assert of(telescopes, "LSTCam", **settings) == Thresholds(6.0, 3.0, 2)
    assert of(telescopes, "SCTCam", **settings) == Thresholds(7.0, 3.5, 3)
    assert of(telescopes, "NectarCam", boundary=3.0, boundary_of={"MST": 4.0}) == Thresholds(9.0, 4.0, 2)
    assert of(telescopes, "DigiCam", boundary=3.0) == Thresholds(4.0, 3.0, 2)


@pytest.mark.parametrize("camera", CAMERAS)
@settings(deadline=None)  # the first one compiles
@given(
    seed=st.integers(0, 1000),
    dtype=st.sampled_from(["f4", "f8"]),
    cuts=st.tuples(st.sampled_from([4.0, 8.3, 6.1]), st.sampled_from([0.0, 2.0, 4.1])),
    neighbours=st.integers(0, 4),
    light=st.sampled_from([1.0, 3.0]),
)
def test_masks_are_those_of_ctapipe(telescopes, camera, seed, dtype, cuts, neighbours, light):
    """Also of charges that are a threshold's, and of those that are not finite."""
    geometry = next(tel.camera.geometry for tel in telescopes.tel.values() if tel.camera.name == camera)
    generator = np.random.default_rng(seed)
    image = generator.gamma(0.5, 2 * light, geometry.n_pixels).astype(dtype)
    special = generator.integers(0, geometry.n_pixels, (5, 20))
    for pixels, value in zip(special, (*cuts, np.nan, np.inf, -1), strict=True):
        image[pixels] = value
    if camera not in OURS:
        OURS[camera] = CameraParameters(geometry, None)
    OURS[camera].thresholds = Thresholds(*cuts, neighbours)
    expected = tailcuts_clean(geometry, image, *cuts, min_number_picture_neighbors=neighbours)
    np.testing.assert_array_equal(OURS[camera].clean(image), expected)
