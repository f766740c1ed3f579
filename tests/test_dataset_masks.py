"""Masks in batches: shares from 0 to 1, whatever the numbers that files hold."""

import numpy as np
import pytest
import tables
from helpers.made_dataset import layout, write_dataset
from helpers.marks import quick_and_slow

from image_extractor import config
from image_extractor.dataset import ImageDataset
from image_extractor.errors import DatasetError, MissingNameError

SAMPLE = ("primary", "event_id", "tel_id")


def truth(made):
    """Return {sample: mask} of the made events."""
    return {
        (event.primary, event.event, tel_id): camera.image_mask
        for event in made
        for tel_id, camera in event.pixels.items()
    }


@pytest.mark.parametrize("cleaned", [False, True])
def test_what_masks_mean_outlives_merging_and_splitting(tmp_path, cleaned):
    settings = {"image_mode": "PIXELS_MASK_2C", "image_dtype": "int16", "image_cleaned": cleaned}
    split = {"Training": 0.5, "Test": 0.5}
    write_dataset(tmp_path / "made.h5", (4, 3), seed=1, split=split, **settings)
    with tables.open_file(tmp_path / "made.h5") as file:
        nodes = [file.root.E0.T1, file.root.E0.T7, file.root.E0.Events_Training, file.root.E0.Events_Test]
        assert [node.attrs.mask_scale for node in nodes] == [100] * 4
        assert [getattr(node.attrs, "cleaned", False) for node in nodes] == [cleaned] * 4


def samples(batch):
    return zip(*(batch[name].tolist() for name in SAMPLE), strict=True)


@pytest.mark.one_in(5)
@pytest.mark.parametrize(
    ("mode", "way"),
    [
        ("PIXELS_MASK_2C", {"storage_mode": "all", "image_dim_order": "channels_first"}),
        ("PIXELS_TIMING_MASK_3C", {}),
    ],
    ids=["all", "mapped"],
)
@pytest.mark.parametrize("dtype", quick_and_slow(["int16", "uint32", "float32"], "int16", "float32"))
@pytest.mark.parametrize("mapping", ["shifting", "bilinear"])
def test_masks_come_back_as_shares(tmp_path, mode, dtype, way, mapping):
    settings = {"image_mode": mode, "image_dtype": dtype, "image_mapping": mapping, "image_scale_factor": 1, **way}
    masks = truth(write_dataset(tmp_path / "made.h5", (6, 4), **settings))
    grid = layout(config.from_keywords({"image_mapping": mapping})).grids[1]
    dataset = ImageDataset(tmp_path / "made.h5", table="Events", telescopes="LST", columns=SAMPLE)
    assert dataset.channel_names == ["charge", *(["time"] if "TIMING" in mode else []), "mask"]
    batch = dataset[:]
    alone = ImageDataset(
        tmp_path / "made.h5", table="Events", telescopes="LST", channels="mask", columns=SAMPLE, dtype="float64"
    )[:]
    error = 0 if mapping == "shifting" or dtype == "float32" else 0.005 + 1e-6
    for image, share, sample in zip(batch["image"], alone["image"], samples(batch), strict=True):
        expected = grid.mask_arrays(masks[sample][np.newaxis].astype(np.float32))[0]
        np.testing.assert_allclose(image[..., -1], expected, rtol=0, atol=error)
        np.testing.assert_allclose(share[..., 0], image[..., -1], rtol=1e-7)
        assert (image[..., -1] == 1).any() == (expected == 1).any()
        assert image.max() > 1 >= image[..., -1].max()


@pytest.mark.slow
def test_files_of_other_numbers_are_one_dataset(tmp_path):
    """Masks of integers and of floats are the same shares."""
    masks = {}
    for dtype in ("int16", "float32"):
        settings = {"image_mode": "PIXELS_MASK_2C", "image_dtype": dtype, "image_scale_factor": 1}
        masks = truth(write_dataset(tmp_path / f"{dtype}.h5", (6, 4), **settings))
    paths = [tmp_path / "int16.h5", tmp_path / "float32.h5"]
    dataset = ImageDataset(paths, table="Events", telescopes="SST", channels="mask", columns=SAMPLE)
    grid, batch = layout(config.defaults()).grids[7], dataset[:]
    assert len(dataset) == 2 * sum(tel_id == 7 for *_, tel_id in masks)
    for image, sample in zip(batch["image"], samples(batch), strict=True):
        assert np.array_equal(image[..., 0][grid.array_x, grid.array_y], masks[sample])
    with pytest.raises(DatasetError, match="dtype = None can't mix them"):
        ImageDataset(paths, table="Events", telescopes="SST", dtype=None)


def test_cleaned_images_and_others_are_not_mixed(tmp_path):
    for cleaned in (False, True):
        write_dataset(tmp_path / f"{cleaned}.h5", (3, 2), image_cleaned=cleaned)
    with pytest.raises(DatasetError, match=r"True\.h5: made with cleaned = True, .*False\.h5 with False"):
        ImageDataset([tmp_path / "False.h5", tmp_path / "True.h5"], table="Events", telescopes="LST")


def test_other_modes_have_no_mask(tmp_path):
    write_dataset(tmp_path / "made.h5", (3, 2), image_mode="PIXELS_TIMING_3C")
    with pytest.raises(MissingNameError, match="'mask'"):
        ImageDataset(tmp_path / "made.h5", table="Events", telescopes="LST", channels="mask")
