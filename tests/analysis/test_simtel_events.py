"""Real simtel files: images, direction, core and height are those of ctapipe's ImageProcessor and HillasReconstructor."""

import numpy as np
import pytest
from helpers.ctapipe_process import CLEANING
from helpers.marks import quick_and_slow
from helpers.reconstructed import reconstructed_by_ctapipe

from image_extractor import config
from image_extractor.analysis.open_events import open_events
from image_extractor.reconstruction.events import reconstructed

#: Files with showers, how ctapipe is to read them, and how many events it can reconstruct.
FILES = {
    "history_meta_75.simtel.zst": ({}, 1),
    "gamma_prod6_tel_event_header_v4.simtel.zst": ({}, 1),
    "proton_lst_flashcam.simtel.zst": ({}, 4),
    "lst_prod6_atmosphere_name.simtel.zst": ({"atmosphere_profile_choice": "NONE"}, 1),
    "lst_muons.simtel.zst": ({"focal_length_choice": "EQUIVALENT"}, 0),
    "gct_checs_muons.simtel.zst": ({}, 0),
}


@pytest.mark.parametrize("name", quick_and_slow(FILES, "history_meta_75.simtel.zst"))
def test_agrees_with_ctapipe_on_real_files(name, real):
    options, n_reconstructed = FILES[name]
    expected = reconstructed_by_ctapipe(real(name), cleaning={"TailcutsImageCleaner": CLEANING}, **options)
    settings = config.from_keywords({"reconstruction_max_loss": [1.0, 1.0]})
    ((_, blocks),) = [(run, list(run)) for run in open_events(real(name), settings).runs()]
    (block,) = blocks
    assert list(zip(block.events["run_number"], block.events["event_id"], strict=True)) == expected.index
    np.testing.assert_allclose(block.pointing, expected.pointing, rtol=0, atol=1e-7)
    _assert_same_images(block.images, expected.images[expected.images["morphology_n_pixels"] >= 5])
    found = reconstructed(block, settings["reconstruction"])
    several = np.repeat(found.n_images >= 2, found.n_images)
    _assert_same_images(found.block.images[several], expected.images[expected.used])
    valid = np.array([geometry.is_valid for geometry in expected.geometry])
    assert valid.sum() == n_reconstructed
    assert (np.isfinite(found.stereo["alt"]) == valid).all()
    # 1e-11 deg; cores of axes that are nearly parallel amplify the rounding of ctapipe's tangent plane
    for column, unit, tolerance in (
        ("alt", "rad", 1.7e-13),
        ("az", "rad", 1e-12),
        ("core_x", "m", 1e-4),
        ("core_y", "m", 1e-4),
        ("h_max", "m", 1e-6),
    ):
        values = np.array([getattr(geometry, column).to_value(unit) for geometry in expected.geometry])
        np.testing.assert_allclose(found.stereo[column], values, rtol=0, atol=tolerance, err_msg=column)
    np.testing.assert_allclose(found.distance[several], expected.impact[expected.used], rtol=0, atol=1e-4)


def _assert_same_images(found, expected):
    assert len(found) == len(expected)
    for name in ("telescope", "hillas_intensity", "morphology_n_pixels"):
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name)
    for name in set(found.dtype.names) - {"telescope", "hillas_intensity", "morphology_n_pixels"}:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-13, atol=1e-14, err_msg=name)
