"""Masks on their way into a part: an event's containers in, arrays and attributes out."""

import numpy as np
import pytest
import tables
from ctapipe.containers import DL1CameraContainer
from ctapipe.image import tailcuts_clean
from helpers import made_dataset

from image_extractor import config
from image_extractor.conversion import part_writer
from image_extractor.hdf5 import dataset_files
from image_extractor.mapping import images

TRUTH = (100, 4, 0, 1.0, 2.0, 2e4, 1.5, 1.2, 0.3, np.nan)


def events(n_events=5, with_masks=True):
    """Return {tel_id: ctapipe's container} of each event, masks by ctapipe."""
    random, found = np.random.default_rng(1), []
    for number in range(n_events):
        dl1 = {}
        for tel_id in list(made_dataset.TELESCOPES)[: 1 + number % 3]:
            geometry = made_dataset.TELESCOPES[tel_id][1]
            image = random.gamma(0.5, 8, geometry.n_pixels).astype(np.float32)
            mask = tailcuts_clean(geometry, image, 8, 4) if with_masks else None
            times = random.uniform(5, 40, geometry.n_pixels).astype(np.float32)
            dl1[tel_id] = DL1CameraContainer(image=image, peak_time=times, image_mask=mask)
        found.append(dl1)
    return found


def written(path, added, **keywords):
    """Write events into a part."""
    settings = config.from_keywords(
        {"mode": "gh_class", "telescope_type_mode": "ALL", "use_pkl_dict": False, "image_scale_factor": 1, **keywords}
        | {"energy_bins_min": -1, "energy_bins_max": 1, "energy_bins_bin_size": 2}
    )
    layout = made_dataset.layout(settings)
    with dataset_files.open_file(path, "w") as file:
        writer = part_writer.PartWriter(file, settings, layout)
        for dl1 in added:
            writer.add(0, TRUTH, dl1)
        counts = writer.run_counts()
        writer.end_run(counts)
        writer.finish()
    return settings, layout, counts


@pytest.mark.parametrize("storage_mode", ["mapped", "all"])
@pytest.mark.parametrize("dtype", ["int16", "float32"])
@pytest.mark.parametrize("mode", ["PIXELS_MASK_2C", "PIXELS_TIMING_MASK_3C"])
def test_masks_are_stored_with_their_scale(tmp_path, mode, dtype, storage_mode):
    added = events()
    way = {"image_mode": mode, "image_dtype": dtype, "storage_mode": storage_mode}
    _, layout, _ = written(tmp_path / "part.h5", added, **way)
    scale = {"int16": 100, "float32": 1}[dtype]
    with tables.open_file(tmp_path / "part.h5") as file:
        table = file.root.E0.Events
        assert table.attrs.mask_scale == scale
        for position, tel_id in enumerate(made_dataset.TELESCOPES):
            grid = layout.grids[tel_id]
            masks = [dl1[tel_id].image_mask for dl1 in added if tel_id in dl1]
            if storage_mode == "mapped":
                assert file.root.E0[f"T{tel_id}"].attrs.mask_scale == scale
                stored = file.root.E0[f"T{tel_id}"][:]
            else:
                stored = table.col(f"T{tel_id}")[table.col("trig_list")[:, position] == 1]
            assert stored.shape[-1] == int(mode[-2])
            pixels = stored[..., -1][:, grid.array_x, grid.array_y]
            assert np.array_equal(pixels == scale, masks)
            assert np.array_equal(pixels == 0, ~np.array(masks))


def test_cleaned_images_need_no_channel(tmp_path):
    added = events()
    for dl1 in added:
        for camera in dl1.values():
            camera.image[~camera.image_mask] = np.nan
    way = {"image_mode": "PIXELS_1C", "image_cleaned": True, "storage_mode": "mapped"}
    settings, layout, counts = written(tmp_path / "part.h5", added, **way)
    assert counts["not_finite_pixels"] == 0
    with tables.open_file(tmp_path / "part.h5") as file:
        assert "mask_scale" not in file.root.E0.T1.attrs
        masks = np.stack([dl1[1].image_mask for dl1 in added])
        charges = np.stack([np.nan_to_num(dl1[1].image) for dl1 in added])
        assert not charges[~masks].any()
        assert charges.any()
        expected, _ = images.make_images(charges, None, layout.grids[1], settings["image"] | {"cleaned": False})
        assert np.array_equal(file.root.E0.T1[:], expected)


@pytest.mark.parametrize("way", [{"image_mode": "PIXELS_MASK_2C"}, {"image_cleaned": True}])
def test_images_without_masks_are_refused(tmp_path, way):
    with pytest.raises(ValueError, match="need the pixels that the cleaning keeps"):
        written(tmp_path / "part.h5", events(with_masks=False), **way)


def test_other_settings_ask_for_no_masks(tmp_path):
    written(tmp_path / "part.h5", events(with_masks=False), image_mode="PIXELS_3C", storage_mode="mapped")
    with tables.open_file(tmp_path / "part.h5") as file:
        assert "mask_scale" not in file.root.E0.T1.attrs
        assert "mask_scale" not in file.root.E0.Events.attrs
