"""Reading a dataset back gives what was put in, whatever the settings, shuffle and split."""

import numpy as np
import pytest
import tables
from helpers.made_dataset import TELESCOPES, layout, write_dataset
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from image_extractor.errors import DatasetError
from image_extractor.viewing.event_images import open_events

SETTINGS = st.fixed_dictionaries(
    {
        "mode": st.sampled_from(["gh_class", "energy_recon"]),
        "storage_mode": st.sampled_from(["all", "mapped"]),
        "image_mode": st.sampled_from(
            [
                "PIXELS_1C",
                "PIXELS_3C",
                "PIXELS_TIMING_2C",
                "PIXELS_TIMING_3C",
                "PIXELS_MASK_2C",
                "PIXELS_TIMING_MASK_3C",
            ]
        ),
        "image_cleaned": st.booleans(),
        "image_scale_factor": st.sampled_from([1, 2, 3]),
        "image_dtype": st.sampled_from(["uint16", "int32", "float32"]),
        "image_dim_order": st.sampled_from(["channels_last", "channels_first"]),
        "image_charge_scale": st.sampled_from([100.0, 20.0]),
        "image_mapping": st.sampled_from(["shifting", "axial"]),
        "seed": st.sampled_from([None, 3]),
        "split": st.sampled_from([None, {"Training": 0.5, "Validation": 0.5}]),
    }
)


@pytest.mark.slow
@hypothesis_settings(deadline=None, max_examples=12, suppress_health_check=list(HealthCheck))
@given(SETTINGS)
def test_every_event_comes_back(tmp_path_factory, settings):
    path = tmp_path_factory.mktemp("made") / "made.h5"
    made = {(event.primary, event.event): event for event in write_dataset(path, (4, 3), **settings)}
    exact = settings["image_dtype"] == "float32"
    charge_error = 1e-6 if exact else 0.5 / settings["image_charge_scale"] + 1e-9
    with open_events(path) as dataset:
        seen = set()
        for table in dataset.tables():
            for row in range(table.nrows):
                event = dataset.event(table, row)
                key = event.values["gamma_hadron_label"], event.values["event_number"]
                seen.add(key)
                truth = made[key].pixels
                assert [image.tel_id for image in event.images] == list(truth)
                for image in event.images:
                    assert image.tel_type == TELESCOPES[image.tel_id][0]
                    mask = truth[image.tel_id].image_mask
                    kept = mask if settings["image_cleaned"] else True
                    assert image.is_cleaned == settings["image_cleaned"]
                    charge = np.where(kept, truth[image.tel_id].image, 0)
                    np.testing.assert_allclose(image.charge, charge, atol=charge_error)
                    if "TIMING" in settings["image_mode"]:
                        error = 1e-6 if exact else 0.005 + 1e-6
                        time = np.where(kept, truth[image.tel_id].peak_time, 0)
                        np.testing.assert_allclose(image.peak_time, time, atol=error)
                    else:
                        assert image.peak_time is None
                    if "MASK" in settings["image_mode"]:
                        assert image.mask.dtype == bool
                        assert np.array_equal(image.mask, mask)
                    else:
                        assert image.mask is image.mask_array is None
    assert seen == set(made)


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_a_resampled_mask_is_the_share_of_the_cell_at_a_pixel(tmp_path, dtype):
    settings = {"image_mode": "PIXELS_MASK_2C", "image_dtype": dtype, "image_mapping": "rebinning"}
    made = {(event.primary, event.event): event for event in write_dataset(tmp_path / "made.h5", (3, 2), **settings)}
    with open_events(tmp_path / "made.h5") as dataset:
        grids = layout(dataset.settings).grids
        for place in dataset.random(5):
            event = dataset.event(*place)
            truth = made[event.values["gamma_hadron_label"], event.values["event_number"]].pixels
            for image in event.images:
                grid = grids[image.tel_id]
                shares = grid.mask_arrays(truth[image.tel_id].image_mask[np.newaxis])[0]
                error = 0.005 + 1e-6 if dtype == "uint16" else 0
                np.testing.assert_allclose(image.mask_array[::2, ::2], shares, rtol=0, atol=error)
                expected = shares[grid.array_x, grid.array_y]
                np.testing.assert_allclose(image.mask, expected, rtol=0, atol=error)


def test_geometry_is_that_of_the_camera(tmp_path):
    write_dataset(tmp_path / "made.h5", (2, 2))
    with open_events(tmp_path / "made.h5") as dataset:
        for _, original in TELESCOPES.values():
            geometry = dataset.cameras[original.name].geometry()
            np.testing.assert_array_equal(geometry.pix_x, original.pix_x)
            np.testing.assert_array_equal(geometry.pix_y, original.pix_y)
            assert geometry.pix_type == original.pix_type
            np.testing.assert_allclose(geometry.pix_rotation.deg, original.pix_rotation.deg)


def test_find_tells_primaries_apart_that_share_a_run_number(tmp_path):
    write_dataset(tmp_path / "made.h5", (6, 4))
    with open_events(tmp_path / "made.h5") as dataset:
        both = [dataset.event(*place).values for place in dataset.find(4, 200)]
        one = [dataset.event(*place).values for place in dataset.find(4, 600)]
        assert sorted(values["gamma_hadron_label"] for values in both) == [0, 101]
        assert {values["event_number"] for values in both} == {200}
        assert [values["gamma_hadron_label"] for values in one] == [0]
        assert dataset.find(5, 200) == []


@pytest.mark.parametrize("mode", ["gh_class", "energy_recon"])
def test_random_events_are_distinct_repeatable_and_of_the_bin(tmp_path, mode):
    made = write_dataset(tmp_path / "made.h5", (30, 20), mode=mode)
    with open_events(tmp_path / "made.h5") as dataset:
        drawn = [(table._v_pathname, row) for table, row in dataset.random(10, seed=5)]
        again = [(table._v_pathname, row) for table, row in dataset.random(10, seed=5)]
        other = [(table._v_pathname, row) for table, row in dataset.random(10, seed=6)]
        assert len(set(drawn)) == 10
        assert drawn == again != other
        assert len(dataset.random(1000)) == len(made)
        energy_bin = 2 if mode == "gh_class" else 40  # both hold energies from 1 TeV
        in_bin = [dataset.event(*place).values["mc_energy"] for place in dataset.random(1000, energy_bin=energy_bin)]
        high = 10**0.5 if mode == "gh_class" else 10**0.05
        assert sorted(in_bin) == sorted(event.energy for event in made if 1 <= event.energy < high)


def test_no_dataset(tmp_path):
    path = tmp_path / "other.h5"
    tables.open_file(str(path), "w").close()
    with pytest.raises(DatasetError, match="not an image_extractor dataset"), open_events(path):
        pass


def test_a_missing_node_is_named(tmp_path):
    path = tmp_path / "made.h5"
    write_dataset(path, (2, 2))
    with tables.open_file(str(path), "a") as file:
        file.remove_node("/Run_Table")
    with pytest.raises(DatasetError, match="/Run_Table is missing"), open_events(path):
        pass
