"""Epochs: every sample once, in the order of the seed, from parts of a dataset and from several files."""

import numpy as np
import pytest
from helpers.random_dataset import N_EVENTS, assert_batch, keys_of, plain_images, write_dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from image_extractor.dataset import ImageDataset
from image_extractor.errors import DatasetError


@pytest.mark.one_in(3)
@pytest.mark.parametrize("shuffle", [False, True, "random", "blocks"])
@pytest.mark.parametrize("world_size", [1, 3])
def test_an_epoch_has_every_sample_once(dataset_path, shuffle, world_size):
    expected = plain_images(dataset_path)
    with ImageDataset(dataset_path, table="Events") as dataset:

        def epoch(seed, number):
            batches = []
            for rank in range(world_size):
                options = {"rank": rank, "world_size": world_size, "block": 8, "buffer": 24}
                batches += dataset.batches(10, shuffle=shuffle, seed=seed, epoch=number, **options)
            return batches

        first = epoch(1, 0)
        for batch in first:
            assert_batch(batch, expected)
        keys = [key for batch in first for key in keys_of(batch)]
        assert sorted(keys) == sorted(expected)
        assert [keys_of(batch) for batch in epoch(1, 0)] == [keys_of(batch) for batch in first]
        for seed, number in ((1, 1), (2, 0)):
            same = [key for batch in epoch(seed, number) for key in keys_of(batch)] == keys
            assert same == (shuffle is False)


def test_blocks_stay_together_in_the_buffer(mapped_path):
    dataset = ImageDataset(mapped_path, table="Events").select(slice(64))
    order = {key: i for i, key in enumerate(keys_of(dataset.labels()))}
    batches = list(dataset.batches(8, shuffle="blocks", block=8, buffer=16))
    assert len(batches) == 8
    for first, second in zip(batches[0::2], batches[1::2], strict=True):
        numbers = [order[key] for batch in (first, second) for key in keys_of(batch)]
        assert len({number // 8 for number in numbers}) == 2
        assert len({number // 8 for number in numbers[:8]}) == 2  # and the blocks are mixed


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.integers(2, 9))
def test_split_shares_out_showers(mapped_path, seed, tenths):
    fractions = {"Training": tenths / 10, "Validation": 1 - tenths / 10}
    parts, showers = {}, {}
    for view in ("telescope", "event"):
        dataset = ImageDataset(mapped_path, table="Events", view=view)
        parts[view] = dataset.split(fractions, seed=seed)
        assert sum(map(len, parts[view].values())) == len(dataset)
        showers[view] = {name: set(part.labels()["event_id"] // 100) for name, part in parts[view].items()}
        assert not showers[view]["Training"] & showers[view]["Validation"]
    assert showers["telescope"] == showers["event"]
    n_showers = N_EVENTS // 3
    assert abs(len(showers["event"]["Training"]) - tenths / 10 * n_showers) <= 0.5 + N_EVENTS / 21
    expected = plain_images(mapped_path)
    for part in parts["telescope"].values():
        assert_batch(part[:], expected)


@pytest.mark.parametrize("options", [{"shuffle": True}, {"shuffle": "blocks", "block": 8, "buffer": 40}, {}])
def test_several_files_are_one_dataset(tmp_path, options):
    first = write_dataset(tmp_path / "gammas.h5", seed=1, run=1)
    second = write_dataset(
        tmp_path / "protons.h5", seed=2, run=1, primary=101, storage_mode="all", image_charge_scale=7.0
    )
    expected = plain_images(first) | plain_images(second)
    dataset = ImageDataset([first, second], table="Events")
    assert len(dataset) == len(expected)
    assert len(dataset.runs) == 2
    seen = []
    for batch in dataset.batches(16, seed=5, **options):
        assert_batch(batch, expected)
        seen += keys_of(batch)
    assert sorted(seen) == sorted(expected)
    with pytest.raises(DatasetError, match="charge_scale"):
        ImageDataset([first, second], table="Events", dtype=None)


def test_files_by_wildcard_are_one_dataset(tmp_path):
    paths = [write_dataset(tmp_path / f"data_{i}.h5", seed=i, run=i, n_events=14) for i in (10, 9, 0)]
    expected = {key: image for path in paths for key, image in plain_images(path).items()}
    dataset = ImageDataset(tmp_path / "data_*.h5", table="Events")
    assert_batch(dataset[:], expected)
    assert sorted(keys_of(dataset.labels())) == sorted(expected)
    assert dataset.runs["run_number"].tolist() == [0, 9, 10]
    odd = write_dataset(tmp_path / "odd[1].h5", n_events=7)
    assert len(ImageDataset(odd, table="Events")) == len(plain_images(odd))
    with pytest.raises(DatasetError, match=r"other\*.h5: no file matches"):
        ImageDataset(tmp_path / "other*.h5")


@pytest.mark.one_in(3)
@pytest.mark.parametrize("shuffle", [True, "blocks"])
def test_epochs_of_events(dataset_path, shuffle):
    dataset = ImageDataset(dataset_path, table="Events", view="event")
    numbers = {key: i for i, key in enumerate(event_keys(dataset.labels()))}
    everything, seen = dataset[:], []
    for batch in dataset.batches(7, shuffle=shuffle, block=8, buffer=24):
        here = [numbers[key] for key in event_keys(batch)]
        for name, values in batch.items():
            np.testing.assert_array_equal(values, everything[name][here])
            assert values.flags.c_contiguous
        seen += here
    assert sorted(seen) == list(range(len(dataset)))
    assert seen != sorted(seen)


def event_keys(batch):
    return list(zip(batch["obs_id"].tolist(), batch["event_id"].tolist(), batch["primary"].tolist(), strict=True))


@pytest.mark.parametrize("options", [{"shuffle": "block"}, {"batch_size": 0}, {"shuffle": "blocks", "buffer": 0}])
def test_a_wrong_option_is_refused_at_once(mapped_path, options):
    with pytest.raises(ValueError, match="must be"):
        ImageDataset(mapped_path, table="Events").batches(**options)


def test_files_that_do_not_fit_are_named(tmp_path, mapped_path):
    other = write_dataset(tmp_path / "other.h5", image_mapping="axial")
    with pytest.raises(DatasetError, match=r"other.h5: made with mapping = axial, .*data.h5 with shifting"):
        ImageDataset([mapped_path, other], table="Events")
    fewer = write_dataset(tmp_path / "fewer.h5", tel_ids=(2, 5))
    with pytest.raises(DatasetError, match=r"fewer.h5: other telescopes than .*data.h5"):
        ImageDataset([mapped_path, fewer], table="Events", view="event")
    assert ImageDataset([mapped_path, fewer], table="Events", view="event", telescopes=2)
