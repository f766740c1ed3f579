"""Masks of a sound dataset pass the check, and what they can't be is named."""

import shutil

import numpy as np
import pytest
from helpers import resealed
from helpers.made_dataset import write_dataset
from helpers.marks import quick_and_slow

from image_extractor.mapping import resampling
from image_extractor.viewing.dataset_check import check

VARIANTS = [
    {"image_mode": "PIXELS_MASK_2C", "image_dtype": "int16", "image_mapping": "axial"},
    {"image_mode": "PIXELS_MASK_2C", "image_dim_order": "channels_first", "storage_mode": "all", "image_cleaned": True},
    {"image_mode": "PIXELS_TIMING_MASK_3C", "image_dtype": "int32", "image_cleaned": True},
    {"image_mode": "PIXELS_1C", "image_cleaned": True},
]
METHODS = [method for method in resampling.METHODS if method != "oversampling"]  # no choice of square cameras
CLEANED = {"image_mode": "PIXELS_TIMING_MASK_3C", "image_cleaned": True, "image_dtype": "uint16"}


def check_sound(path, variant):
    made = write_dataset(path, (4, 3), **variant)
    assert any(camera.image_mask.any() for event in made for camera in event.pixels.values())
    problems, n_events, _ = check(path)
    assert (problems, n_events) == ([], len(made))


@pytest.mark.one_in(3)
@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_a_sound_dataset_passes(tmp_path, variant):
    check_sound(tmp_path / "made.h5", variant)


@pytest.mark.parametrize("method", quick_and_slow(METHODS, "bilinear"))
def test_a_sound_resampled_dataset_passes(tmp_path, method):
    check_sound(tmp_path / "made.h5", CLEANED | {"image_mapping": method})


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """Datasets to be damaged: uint16 masks and cleaned images, in each storage; and resampled ones."""
    folder = tmp_path_factory.mktemp("sound")
    for name, more in {
        "mapped": {},
        "all": {"storage_mode": "all"},
        "float32": {"image_dtype": "float32"},
        "whole": {"image_cleaned": False},
        "rebinning": {"image_mapping": "rebinning"},
    }.items():
        write_dataset(folder / f"{name}.h5", (4, 3), image_scale_factor=1, **CLEANED | more)
    return folder


def changed(path, change):
    """Change the first image of telescope 1 in a dataset: a function of (charges, times, mask)."""
    with resealed.changed(path) as file:
        if "T1" in file.root.E0:
            image = file.root.E0.T1[0]
            change(*np.moveaxis(image, -1, 0))
            file.root.E0.T1[0] = image
            return
        table = file.root.E0.Events
        row = int(np.flatnonzero(table.col("trig_list")[:, 0])[0])
        rows = table.read(row, row + 1)
        change(*np.moveaxis(rows["T1"][0], -1, 0))
        table.modify_rows(row, row + 1, rows=rows)


def a_share(charges, times, mask):
    mask[tuple(np.argwhere(mask > 0)[0])] = 1 if mask.dtype.kind == "f" else 40
    mask *= 0.5 if mask.dtype.kind == "f" else 1


def too_much(charges, times, mask):
    mask[tuple(np.argwhere(mask > 0)[0])] = 101


def no_number(charges, times, mask):
    mask[tuple(np.argwhere(mask > 0)[0])] = np.nan


def charge_left(charges, times, mask):
    charges[tuple(np.argwhere(mask == 0)[0])] = 7


def time_left(charges, times, mask):
    middle = tuple(size // 2 for size in mask.shape)
    mask[middle] = 0
    times[middle] = 7


@pytest.mark.one_in(3)
@pytest.mark.parametrize(
    ("variant", "damage", "line"),
    [
        ("mapped", a_share, "/E0/T1: a mask that is neither 0 nor 100 in 1 row, first in row 0"),
        ("all", a_share, "/E0/Events, T1: a mask that is neither 0 nor 100 in 1 row"),
        ("float32", a_share, "/E0/T1: a mask that is neither 0 nor 1 in 1 row, first in row 0"),
        ("rebinning", a_share, None),
        ("mapped", too_much, "/E0/T1: a mask that is not within 0 and 100 in 1 row"),
        ("float32", too_much, "/E0/T1: a mask that is not within 0 and 1 in 1 row"),
        ("rebinning", too_much, "/E0/T1: a mask that is not within 0 and 100 in 1 row"),
        ("float32", no_number, "/E0/T1: a mask that is not within 0 and 1 in 1 row"),
        ("mapped", charge_left, "/E0/T1: not 0 where the mask is, though cleaned is set, in 1 row"),
        ("all", charge_left, "/E0/Events, T1: not 0 where the mask is, though cleaned is set, in 1 row"),
        ("mapped", time_left, "/E0/T1: not 0 where the mask is, though cleaned is set, in 1 row"),
        ("whole", time_left, None),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_mask_that_can_not_be_is_named(sound, tmp_path, variant, damage, line):
    path = tmp_path / "damaged.h5"
    shutil.copy(sound / f"{variant}.h5", path)
    changed(path, damage)
    problems, *_ = check(path)
    if line is None:
        assert problems == []
    else:
        assert any(line in problem for problem in problems), problems
