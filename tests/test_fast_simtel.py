"""The fast reader against ctapipe's own loop: the same images, bit for bit, and the same refusals."""

import os
from pathlib import Path

import pytest
from ctapipe.calib import CameraCalibrator
from ctapipe.io import SimTelEventSource

from image_extractor import simtel
from image_extractor.fast_simtel import FastRun

HERE = Path(__file__).parent
DATA = Path(os.environ.get("IMAGE_EXTRACTOR_TEST_DATA", HERE.parent.parent / "shared/simtel"))
FILES = (
    "history_meta_75.simtel.zst",
    "gamma_prod6_tel_event_header_v4.simtel.zst",
    "lst_muons.simtel.zst",
    "gct_checs_muons.simtel.zst",
)


def real(name):
    path = DATA / name
    if not path.exists():
        pytest.skip(f"{path} is not there")
    return path


def ctapipe_source(path, **kwargs):
    try:
        return SimTelEventSource(path, **kwargs)
    except RuntimeError:
        return SimTelEventSource(path, focal_length_choice="EQUIVALENT", **kwargs)


def images(source):
    """Return truth, telescopes, charges and peak times of all events of a source, in their order."""
    calibrate = CameraCalibrator(subarray=source.subarray)
    events = []
    for event in source:
        calibrate(event)
        shower = event.simulation.shower
        truth = [
            event.index.event_id,
            event.index.obs_id,
            shower.shower_primary_id,
            *(getattr(shower, name).value for name in ("energy", "alt", "az", "core_x", "core_y", "h_first_int")),
        ]
        pixels = {tel_id: (dl1.image, dl1.peak_time) for tel_id, dl1 in event.dl1.tel.items()}
        events.append((truth, pixels))
    return events


def assert_same_bits(events, expected):
    assert [truth for truth, _ in events] == [truth for truth, _ in expected]
    for (_, pixels), (_, expected_pixels) in zip(events, expected, strict=True):
        assert list(pixels) == list(expected_pixels)
        for tel_id, arrays in pixels.items():
            for array, other in zip(arrays, expected_pixels[tel_id], strict=True):
                assert array.dtype == other.dtype
                assert array.tobytes() == other.tobytes()


@pytest.mark.parametrize("name", FILES)
def test_the_images_of_all_telescopes_are_those_of_ctapipe(name):
    path = real(name)
    with ctapipe_source(path) as source:
        expected = images(source)
    with simtel.open_run(path, fast=True) as run:
        assert isinstance(run, FastRun)
        events = images(run)
        run.check_end()
    assert expected
    assert any(pixels for _, pixels in expected)
    assert_same_bits(events, expected)


def test_selected_telescopes_have_the_images_they_have_among_all():
    path, tel_ids = real("history_meta_75.simtel.zst"), {1, 5, 17}
    with ctapipe_source(path) as source:
        expected = [
            (truth, {tel_id: arrays for tel_id, arrays in pixels.items() if tel_id in tel_ids})
            for truth, pixels in images(source)
        ]
    with simtel.open_run(path, fast=True) as run:
        run.select(tel_ids, lambda event_id, shower: True)
        assert_same_bits(images(run), expected)
