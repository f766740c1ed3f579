"""Events, images and parameters of a dataset are those that ctapipe-process keeps with the same trigger and cuts."""

import warnings

import numpy as np
import pytest
import tables
from astropy.coordinates import AltAz, SkyCoord
from ctapipe.coordinates import MissingFrameAttributeWarning, TelescopeFrame
from ctapipe.io import SimTelEventSource
from helpers import ctapipe_process
from helpers.marks import quick_and_slow
from helpers.real_files import real_file

from image_extractor import ImageExtractor, demo
from image_extractor.parameters.columns import IMAGE_COLUMNS

#: Real files with shower events, and the focal length that they have.
WITH_SHOWERS = {
    "history_meta_75.simtel.zst": "EFFECTIVE",
    "gamma_prod6_tel_event_header_v4.simtel.zst": "EFFECTIVE",
    "proton_lst_flashcam.simtel.zst": "EFFECTIVE",
    "lst_muons.simtel.zst": "EQUIVALENT",
    "gct_checs_muons.simtel.zst": "EFFECTIVE",
}

ALL = {
    "use_pkl_dict": False, "storage_mode": "mapped", "image_mode": "PIXELS_TIMING_2C", "image_scale_factor": 1,
    "telescope_type_mode": "ALL", "energy_bins_min": -3, "energy_bins_max": 4, "energy_bins_bin_size": 7,
    "parameters_store": True,
}  # fmt: skip


@pytest.fixture(scope="module")
def many_types(tmp_path_factory, pytestconfig):
    """Events of a demo production with showers used several times: LSTs, MSTs and SSTs of two kinds each.

    Eighty where slow tests run, too.
    """
    events = 80 if pytestconfig.getoption("slow") else 20
    path = tmp_path_factory.mktemp("types") / "gamma.simtel.gz"
    telescopes = "LST:4,MSTN:3,MSTF:2,SSTC:3,SSTA:2"
    demo.write_demo_file(path, events=events, telescopes=telescopes, energy=(0.05, 20), reuse=5, run=9, seed=3)
    return path


def convert(path, folder, **settings):
    """Convert a file; return {(tel_id, obs_id, event_id): row of parameters}, and Run_Table."""
    output = folder / "dataset.h5"
    ImageExtractor(output, None, "gh_class", **(ALL | settings)).process_files([path])
    found = {}
    with tables.open_file(str(output)) as file:
        events, tel_ids = file.root.E0.Events[:], file.root.Tel_Table.col("tel_id").tolist()
        for position, tel_id in enumerate(tel_ids):
            rows = file.root.E0[f"P{tel_id}"][:] if f"P{tel_id}" in file.root.E0 else []
            assert len(rows) == file.root.E0[f"T{tel_id}"].nrows
            for event in events[events["tel_map"][:, position] >= 0]:
                key = tel_id, int(event["run_number"]), int(event["event_number"])
                found[key] = rows[event["tel_map"][position]]
        assert len(found) == sum(file.root.E0[f"T{tel_id}"].nrows for tel_id in tel_ids)
        return found, file.root.Run_Table[:]


def assert_same_parameters(ours, theirs):
    """Compare rows of parameters: integers exactly, floats to rounding; theirs are {tel_id: rows}."""
    expected = {
        (tel_id, int(row["obs_id"]), int(row["event_id"])): row for tel_id, rows in theirs.items() for row in rows
    }
    for key, row in ours.items():
        for name, kind, *_ in IMAGE_COLUMNS:
            value, other = row[name], expected[key][name]
            if kind == "<i4":
                assert value == other, (key, name)
            else:
                np.testing.assert_allclose(value, other, rtol=1e-5, atol=1e-6, err_msg=f"{key} {name}")


@pytest.mark.slow
def test_a_stereo_trigger_keeps_what_ctapipes_keeps(many_types, tmp_path, monkeypatch):
    trigger = {"min_telescopes": 2, "min_telescopes_of_type": [["type", "*", 0], ["type", "LST*", 2]]}
    theirs = ctapipe_process.process(many_types, tmp_path, monkeypatch, trigger=trigger)
    everything = ctapipe_process.process(many_types, tmp_path, monkeypatch)
    ours, runs = convert(
        many_types, tmp_path, trigger_min_telescopes=2, trigger_min_telescopes_of_type=["LST:2"]
    )  # fmt: skip
    kept = {(tel_id, *map(int, row)) for tel_id, rows in theirs.items() for row in rows[["obs_id", "event_id"]]}
    assert set(ours) == kept
    assert len(kept) < sum(map(len, everything.values()))
    n_events = len({key[1:] for key in kept})
    assert runs["events_written"][0] == n_events
    assert runs["dropped_no_trigger"][0] == runs["events_read"][0] - n_events > 0
    assert_same_parameters(ours, theirs)


@pytest.mark.slow
@pytest.mark.parametrize("fast", [True, False])
def test_every_word_for_telescopes_is_one_of_ctapipes(fast, many_types, tmp_path, monkeypatch):
    of_type = [["type", "*", 0], ["type", "MST_MST_NectarCam", 2], ["type", "*CHEC", 3], ["type", "LST*", 3]]
    trigger = {"min_telescopes": 3, "min_telescopes_of_type": of_type}
    theirs = ctapipe_process.process(many_types, tmp_path, monkeypatch, trigger=trigger)
    words = ["MST_MST_NectarCam:2", "CHEC:3", "LST:3"]
    ours, _ = convert(
        many_types, tmp_path,
        trigger_min_telescopes=3, trigger_min_telescopes_of_type=words, calibration_fast=fast,
    )  # fmt: skip
    assert set(ours) == {
        (tel_id, *map(int, r)) for tel_id, rows in theirs.items() for r in rows[["obs_id", "event_id"]]
    }


@pytest.mark.slow
def test_image_cuts_keep_what_ctapipes_quality_query_keeps(many_types, tmp_path, monkeypatch):
    quality = [["enough_pixels", "np.count_nonzero(image) > 2"], ["enough_charge", "image.sum() > 50"]]
    theirs = ctapipe_process.process(many_types, tmp_path, monkeypatch, quality=quality)
    cuts = {"morphology_n_pixels": (3, None), "hillas_intensity": (50, None)}
    ours, runs = convert(many_types, tmp_path, image_cuts=cuts)
    assert set(ours) == ctapipe_process.identities(theirs)
    assert runs["images_cut_morphology_n_pixels"].sum() > 0 < runs["images_cut_hillas_intensity"].sum()
    assert_same_parameters(ours, theirs)


@pytest.mark.parametrize("name", quick_and_slow(WITH_SHOWERS, "gamma_prod6_tel_event_header_v4.simtel.zst"))
def test_parameters_of_real_files_are_ctapipes(name, tmp_path, monkeypatch):
    path = real_file(name)
    theirs = ctapipe_process.process(path, tmp_path, monkeypatch, focal_length=WITH_SHOWERS[name])
    ours, _ = convert(path, tmp_path)
    assert set(ours) == {
        (tel_id, *map(int, r)) for tel_id, rows in theirs.items() for r in rows[["obs_id", "event_id"]]
    }
    assert_same_parameters(ours, theirs)


@pytest.mark.slow
@pytest.mark.parametrize("fast", quick_and_slow([True, False], True))
def test_the_truth_of_telescopes_is_ctapipes(fast, many_types, tmp_path):
    ours, _ = convert(many_types, tmp_path, calibration_fast=fast)
    n_compared = 0
    with SimTelEventSource(many_types) as source, warnings.catch_warnings():
        warnings.simplefilter("ignore", MissingFrameAttributeWarning)
        for event in source:
            shower = event.simulation.shower
            direction = SkyCoord(alt=shower.alt, az=shower.az, frame=AltAz())
            for tel_id, camera in event.simulation.tel.items():
                row = ours[tel_id, event.index.obs_id, event.index.event_id]
                pointing = event.monitoring.tel[tel_id].pointing
                looks = SkyCoord(alt=pointing.altitude, az=pointing.azimuth, frame=AltAz())
                place = direction.transform_to(TelescopeFrame(telescope_pointing=looks))
                expected = {
                    "true_image_sum": camera.true_image_sum,
                    "true_impact_distance": camera.impact.distance.to_value("m"),
                    "true_fov_lon": place.fov_lon.to_value("deg"),
                    "true_fov_lat": place.fov_lat.to_value("deg"),
                }
                for name, value in expected.items():
                    assert row[name] == pytest.approx(value, rel=1e-5, abs=1e-5), name
                n_compared += 1
    assert n_compared == len(ours)
