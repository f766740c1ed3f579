"""Pedestals and factors of damaged calibrations: what is not finite is counted, said and found."""

import numpy as np
import pytest
import tables
from helpers.reading import dl1_events
from helpers.resealed import changed
from helpers.simtel_objects import edited

from image_extractor.commands import read_data
from image_extractor.demo import write_demo_file

pytestmark = pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")

MONITORING, LASER = 2022, 2023
PEDESTALS, FACTORS = 32, 8  # where they begin, of an LST; the numbers before pedestals are of variable length


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of which telescope 1 has a pixel with a NaN pedestal, and one with an infinite factor."""
    folder = tmp_path_factory.mktemp("not_finite")
    write_demo_file(folder / "whole.simtel", events=4, telescopes="LST:2", seed=3)

    def change(one):
        if one.type == MONITORING and one.id & 0xFF == 1:
            one.put("<f", PEDESTALS + 4 * 100, np.nan)
        if one.type == LASER and one.id == 1:
            one.put("<f", FACTORS + 4 * 700, np.inf)

    return edited(folder / "whole.simtel", folder / "gamma.simtel", change)


def not_finite(path):
    """Return the pixels of ctapipe's own images that are not finite: of charge, and of charge or time."""
    charges = both = 0
    for _, event in dl1_events(path):
        for dl1 in event.dl1.tel.values():
            charges += np.count_nonzero(~np.isfinite(dl1.image))
            both += np.count_nonzero(~np.isfinite(dl1.image) | ~np.isfinite(dl1.peak_time))
    return charges, both


@pytest.mark.parametrize(
    ("storage_mode", "dtype", "fast"),
    [("mapped", "float32", True), ("all", "float32", False), ("mapped", "uint16", False), ("all", "int32", True)],
)
def test_they_are_counted_and_0_in_integers(run, convert, make_config, capsys, storage_mode, dtype, fast):
    config = make_config(
        storage_mode=storage_mode, telescope_type_mode="LST", image_dtype=dtype, image_scale_factor=1,
        image_mode="PIXELS_TIMING_2C", calibration_fast=fast,
    )  # fmt: skip
    output = convert(run, config)
    charges, expected = not_finite(run)
    assert charges > 0
    assert f"pixels that are not finite (NaN or infinite): {expected}; 0 in integer dtypes" in capsys.readouterr().out
    with tables.open_file(output) as file:
        row = file.root.Run_Table[0]
        nodes = [table for table in file.walk_nodes("/") if table._v_name == "T1"]
        nodes = nodes or [table.cols.T1 for table in file.walk_nodes("/", "Table") if table._v_name == "Events"]
        stored = np.concatenate([node[:] for node in nodes])
    assert row["not_finite_pixels"] == expected
    assert np.count_nonzero(~np.isfinite(stored[..., 0])) == (charges if dtype == "float32" else 0)
    assert read_data.main([str(output), "--check"]) == 0
    assert f"not finite, as their runs say: {expected} pixels" in capsys.readouterr().out


@pytest.mark.parametrize("storage_mode", ["mapped", "all"])
def test_check_finds_what_the_runs_do_not_tell(run, tmp_path, convert, make_config, capsys, storage_mode):
    whole = run.parent / "whole.simtel"
    config = make_config(
        storage_mode=storage_mode, telescope_type_mode="LST", image_dtype="float32", image_scale_factor=2
    )
    output = convert(whole, config)
    with changed(output) as file:
        if storage_mode == "mapped":
            images = next(node for node in file.walk_nodes("/", "EArray") if node._v_name == "T2")
            image = images[1]
            image[4:6, 20:22] = np.nan
            images[1] = image
        else:
            table = next(node for node in file.walk_nodes("/", "Table") if node._v_name == "Events" and len(node))
            rows = table[:]
            row = np.flatnonzero(rows["trig_list"][:, 1])[0]
            rows["T2"][row, 40:42, 40:42] = np.inf
            table[:] = rows
    assert read_data.main([str(output), "--check"]) == 1
    assert "/Run_Table: not_finite_pixels is 0, the images have 1, first in /E0/" in capsys.readouterr().out


def test_resampled_cells_are_counted(run, convert, make_config):
    config = make_config(
        storage_mode="mapped", telescope_type_mode="LST", image_dtype="float32", image_scale_factor=1,
        image_mapping="bilinear", image_mode="PIXELS_1C",
    )  # fmt: skip
    output = convert(run, config)
    with tables.open_file(output) as file:
        images = np.concatenate([node[:] for node in file.walk_nodes("/", "EArray")])
        assert file.root.Run_Table[0]["not_finite_pixels"] == np.count_nonzero(~np.isfinite(images)) > 0
    assert read_data.main([str(output), "--check"]) == 0
