"""`--check` sees parameters that are not those of the images beside them, and counts of images that do not add up."""

import shutil

import numpy as np
import pytest
from helpers import resealed

from image_extractor import ImageExtractor, demo
from image_extractor.viewing.dataset_check import check

SETTINGS = {
    "use_pkl_dict": False, "image_mode": "PIXELS_TIMING_2C", "image_scale_factor": 1, "telescope_type_mode": "ALL",
    "energy_bins_min": -3, "energy_bins_max": 4, "energy_bins_bin_size": 7, "parameters_store": True,
    "image_cuts": {"hillas_intensity": (50, None)},
}  # fmt: skip


@pytest.fixture(scope="module", params=["mapped", "all"])
def sound(request, tmp_path_factory):
    """A dataset with parameters."""
    folder = tmp_path_factory.mktemp(request.param)
    demo.write_demo_file(folder / "gamma.simtel", events=15, telescopes="LST:2,SSTC:2", energy=(0.5, 20), scatter=150)
    extractor = ImageExtractor(folder / "data.h5", None, "gh_class", storage_mode=request.param, **SETTINGS)
    extractor.process_files([folder / "gamma.simtel"])
    return folder / "data.h5"


def changed(path, target, change):
    """Copy a dataset and change parameters of its first image: change(values) of {name: number}."""
    shutil.copy(path, target)
    with resealed.changed(target) as file:
        events = file.root.E0.Events
        if "tel_map" in events.colnames:
            tel_id = next(tel_id for tel_id in file.root.Tel_Table.col("tel_id") if file.root.E0[f"P{tel_id}"].nrows)
            table = file.root.E0[f"P{tel_id}"]
            row = table[0:1]
            values = {name: row[name][0] for name in row.dtype.names}
            change(values)
            for name, value in values.items():
                row[name] = value
            table.modify_rows(0, 1, rows=row)
        else:
            row, names = events[0:1], events._v_attrs.parameters.split(",")
            tel_id = file.root.Tel_Table.col("tel_id")[np.argmax(row["trig_list"][0])]
            values = dict(zip(names, row[f"P{tel_id}"][0], strict=True))
            change(values)
            row[f"P{tel_id}"][0] = list(values.values())
            events.modify_rows(0, 1, rows=row)
    return target


def test_a_sound_dataset_passes(sound):
    problems, n_events, n_images = check(sound)
    assert problems == []
    assert 0 < n_events <= n_images


@pytest.mark.one_in(3)
@pytest.mark.parametrize(
    ("name", "factor", "message"),
    [
        ("hillas_width", 1.01, "that are not those of its image"),
        ("morphology_n_islands", 2, "that are not those of its image"),
        ("leakage_intensity_width_1", np.nan, "that are not those of its image"),
        ("hillas_intensity", 0.001, "hillas_intensity of telescope"),
        ("true_impact_distance", 1.1, "true_impact_distance of telescope"),
    ],
)
def test_a_changed_parameter_is_named(sound, tmp_path, name, factor, message):
    def change(values):
        values[name] = values[name] * factor

    problems, *_ = check(changed(sound, tmp_path / "changed.h5", change))
    assert problems
    assert any(message in problem for problem in problems), problems


def test_missing_parameters_are_named(sound, tmp_path):
    shutil.copy(sound, tmp_path / "less.h5")
    with resealed.changed(tmp_path / "less.h5") as file:
        if "tel_map" not in file.root.E0.Events.colnames:
            pytest.skip("parameters are in the rows of Events")
        table = file.root.E0.P1
        n_rows = table.nrows
        table.truncate(n_rows - 1)
    problems, *_ = check(tmp_path / "less.h5")
    assert f"/E0/P1: parameters of {n_rows - 1} images, not {n_rows}" in problems


def test_counts_of_images_that_do_not_add_up_are_named(sound, tmp_path):
    shutil.copy(sound, tmp_path / "counts.h5")
    with resealed.changed(tmp_path / "counts.h5") as file:
        row = file.root.Run_Table[:]
        row["images_cut_hillas_intensity"][0, 0] += 1
        file.root.Run_Table.modify_rows(0, 1, rows=row)
    problems, *_ = check(tmp_path / "counts.h5")
    assert problems == ["/Run_Table: run 1 (gamma): images calibrated are not those cut, dropped and written"]
