"""ImageDataset(where=...): samples whose columns are in ranges, and image parameters as columns."""

import numpy as np
import pytest

from image_extractor import ImageExtractor, demo
from image_extractor.dataset import ImageDataset
from image_extractor.errors import DatasetError

COLUMNS = ["obs_id", "event_id", "tel_id", "hillas_intensity", "morphology_n_pixels", "mc_energy", "fov_lon", "x_max"]
WHERE = {"hillas_intensity": (80, None), "morphology_n_pixels": (5, 60), "mc_energy": (0.3, None)}


@pytest.fixture(scope="module", params=["mapped", "all"])
def path(request, tmp_path_factory):
    """A dataset with parameters, shuffled."""
    folder = tmp_path_factory.mktemp(request.param)
    demo.write_demo_file(folder / "gamma.simtel", events=30, telescopes="LST:3", energy=(0.1, 20), reuse=5)
    extractor = ImageExtractor(
        folder / "data.h5", None, "gh_class", storage_mode=request.param, use_pkl_dict=False, telescope_type_mode="LST",
        image_scale_factor=1, energy_bins_min=-3, energy_bins_max=4, energy_bins_bin_size=7, parameters_store=True,
    )  # fmt: skip
    extractor.process_files([folder / "gamma.simtel"], seed=1)
    return folder / "data.h5"


def in_ranges(labels):
    return [
        (low is None or labels[name] >= low) & (high is None or labels[name] < high)
        for name, (low, high) in WHERE.items()
    ]


@pytest.mark.one_in(2)
def test_the_telescope_view_leaves_samples_out(path):
    everything, cut = (ImageDataset(path, "Events", columns=COLUMNS, where=where) for where in (None, WHERE))
    labels = everything.labels()
    one, two, three = in_ranges(labels)
    chosen = np.flatnonzero(one & two & three)
    assert 0 < len(cut) == len(chosen) < len(everything)
    for name, values in everything[chosen].items():
        np.testing.assert_array_equal(cut[:][name], values)
    numbers = [len(everything), one.sum(), (one & two).sum(), len(chosen)]
    assert cut.passed == dict(zip(("samples", *WHERE), numbers, strict=True))
    assert everything.passed == {"samples": len(everything)}


def test_the_event_view_leaves_images_out(path):
    everything, cut = (ImageDataset(path, "Events", "event", columns=COLUMNS, where=where) for where in (None, WHERE))
    labels = everything.labels()
    assert labels["hillas_intensity"].shape == (len(everything), 3)
    mask = everything[:]["mask"]
    assert (np.isnan(labels["hillas_intensity"]) >= ~mask).all()
    kept = mask & in_ranges(labels)[0] & in_ranges(labels)[1] & in_ranges(labels)[2][:, np.newaxis]
    chosen = np.flatnonzero(kept.any(axis=1))
    np.testing.assert_array_equal(cut[:]["mask"], kept[chosen])
    np.testing.assert_array_equal(cut[:]["event_id"], labels["event_id"][chosen])
    images = np.where(kept[chosen][..., np.newaxis, np.newaxis, np.newaxis], everything[chosen]["image"], 0)
    np.testing.assert_array_equal(cut[:]["image"], images)
    assert cut.passed["mc_energy"] == len(chosen)
    shared = cut.split({"Training": 0.5, "Test": 0.5})
    assert sum(map(len, shared.values())) == len(cut)


def test_parameters_are_those_beside_the_images(path):
    dataset = ImageDataset(path, "Events", columns=["hillas_intensity", "true_impact_distance", "impact"])
    labels = dataset.labels()
    np.testing.assert_allclose(labels["true_impact_distance"], labels["impact"], rtol=1e-4, atol=1e-2)
    bright = dataset[:]["image"][..., 0].clip(4).sum(axis=(1, 2))
    assert np.corrcoef(bright, np.nan_to_num(labels["hillas_intensity"]))[0, 1] > 0.9


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ({"hillas_intensity": 50}, "where: hillas_intensity = 50: must be two numbers"),
        ({"hillas_intensity": (50, "many")}, "must be two numbers, low < high, or None for an open end"),
        ({"hillas_intensity": (5, 2)}, r"where: hillas_intensity = \(5, 2\): low must be below high"),
        ({"core": (0, 100)}, "where: core has 2 numbers a sample: cut on a column of one"),
        ({"hilas_intensity": (0, 1)}, "hilas_intensity"),
    ],
)
def test_what_is_no_cut_is_refused(path, where, message):
    with pytest.raises(ValueError, match=message):
        ImageDataset(path, "Events", where=where)


def test_without_parameters_a_line_says_what_to_do(mapped_path):
    with pytest.raises(DatasetError, match=r"has no hillas_width: only \[parameters\] store = True stores"):
        ImageDataset(mapped_path, "Events", telescopes="LST", where={"hillas_width": (0, 1)})
