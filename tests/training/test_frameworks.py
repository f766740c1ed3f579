"""Datasets in other processes and in the frameworks: every sample once, whoever reads."""

import importlib.util
import json
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
from helpers.random_dataset import SHAPE, VARIANTS, assert_batch, keys_of, plain_images, write_dataset

from image_extractor.dataset import ImageDataset


@pytest.mark.one_in(3)
def test_pickled_datasets_read_the_same(dataset_path):
    dataset = ImageDataset(dataset_path, table="Events")
    dataset[0]
    again = pickle.loads(pickle.dumps(dataset.select(np.arange(50)[::-1])))
    for name, values in dataset[np.arange(50)[::-1]].items():
        np.testing.assert_array_equal(again[:][name], values)
    dataset.close()
    assert_batch(dataset[:5], plain_images(dataset_path))  # opens again
    dataset.close()
    again.close()


@pytest.mark.one_in(3)
def test_forked_processes_read_at_once(dataset_path):
    dataset = ImageDataset(dataset_path, table="Events")
    expected = dataset[:]["image"].copy()
    children = [os.fork() for _ in range(1)]
    if children[0] == 0:
        same = all(np.array_equal(dataset[i]["image"], expected[i]) for i in range(len(dataset)))
        os._exit(0 if same else 1)
    for _ in range(3):
        np.testing.assert_array_equal(dataset[:]["image"], expected)
    assert os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1]) == 0
    dataset.close()


WITHOUT_OTHERS = (
    "import sys, json\n"
    "class Refuse:\n"
    "    def find_spec(self, name, path=None, target=None):\n"
    "        if name.split('.')[0] in ('ctapipe', 'astropy', 'scipy', 'configobj', 'torch', 'tensorflow',\n"
    "                                  'eventio', 'matplotlib'):\n"
    "            raise ImportError(name)\n"
    "sys.meta_path.insert(0, Refuse())\n"
    "from image_extractor.dataset import ImageDataset\n"
    "print(json.dumps(len(ImageDataset(sys.argv[1], table='Events'))))\n"
)


def test_reads_without_ctapipe_or_frameworks(mapped_path):
    done = subprocess.run([sys.executable, "-c", WITHOUT_OTHERS, mapped_path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == len(plain_images(mapped_path))


HAS_TORCH = importlib.util.find_spec("torch") is not None
HAS_TF = importlib.util.find_spec("tensorflow") is not None


def torch_keys(batches):
    return [key for batch in batches for key in keys_of(batch)]


@pytest.mark.skipif(not HAS_TORCH, reason="torch is not installed")
@pytest.mark.parametrize(("workers", "context"), [(0, None), (2, "fork"), (2, "spawn")])
@pytest.mark.parametrize("variant", ["mapped", "all compressed"])
def test_data_loader_sees_every_sample_once(tmp_path, workers, context, variant):
    from torch.utils.data import DataLoader

    path = write_dataset(tmp_path / "data.h5", **VARIANTS[variant])
    expected = plain_images(path)
    dataset = ImageDataset(path, table="Events")
    dataset[0]  # open before the workers come
    common = {"num_workers": workers, "multiprocessing_context": context}
    epochs = {
        "plain": DataLoader(dataset, batch_size=16, shuffle=True, **common),
        "torch": DataLoader(dataset.as_torch(), batch_size=16, shuffle=True, **common),
        "blocks": DataLoader(
            dataset.as_torch(16, shuffle="blocks", block=8, buffer=24, seed=2), batch_size=None, **common
        ),
    }
    part = dataset.split({"Training": 0.5, "Validation": 0.5})["Validation"]
    epochs["part"] = DataLoader(part.as_torch(), batch_size=16, shuffle=True, **common)
    for name, loader in epochs.items():
        batches = list(loader)
        wanted = sorted(keys_of(part.labels())) if name == "part" else sorted(expected)
        assert sorted(torch_keys(batches)) == wanted, name
        for batch in batches:
            image = batch["image"].numpy()
            image = image if name == "plain" else np.moveaxis(image, 1, -1)
            for one, key in zip(image, keys_of(batch), strict=True):
                np.testing.assert_array_equal(one, expected[key])
    dataset.close()


@pytest.mark.skipif(not HAS_TORCH, reason="torch is not installed")
def test_epochs_reach_workers_that_live_on(mapped_path):
    from torch.utils.data import DataLoader

    batches = ImageDataset(mapped_path, table="Events").as_torch(16, shuffle=True, seed=2)
    loader = DataLoader(batches, batch_size=None, num_workers=1, persistent_workers=True)
    orders = []
    for epoch in (0, 1, 0):
        batches.set_epoch(epoch)
        orders.append(torch_keys(loader))
    assert orders[0] == orders[2] != orders[1]


@pytest.mark.skipif(not HAS_TORCH, reason="torch is not installed")
def test_torch_images_are_channels_first_without_a_copy(mapped_path):
    import torch

    dataset = ImageDataset(mapped_path, table="Events").as_torch()
    assert dataset[0]["image"].shape == (3, *SHAPE)
    (batch,) = dataset.__getitems__([0, 1, 2])
    assert batch["image"].shape == (3, 3, *SHAPE)
    assert batch["image"].is_contiguous(memory_format=torch.channels_last)
    assert dataset.__getitems__([4])[0]["tel_id"].tolist() == [dataset[4]["tel_id"]]
    events = ImageDataset(mapped_path, table="Events", view="event").as_torch()
    assert events[0]["image"].shape == (3, 3, *SHAPE)


@pytest.mark.skipif(not HAS_TF, reason="tensorflow is not installed")
def test_tf_dataset_has_every_sample_once(mapped_path):
    expected = plain_images(mapped_path)
    dataset = ImageDataset(mapped_path, table="Events").as_tf(16, shuffle=True)
    first, second = (list(dataset.prefetch(2).as_numpy_iterator()) for _ in range(2))
    for batch in first + second:
        assert_batch(batch, expected)
        assert batch["image"].shape[1:] == (*SHAPE, 3)
    assert sorted(torch_keys(first)) == sorted(torch_keys(second)) == sorted(expected)
    assert torch_keys(first) != torch_keys(second)


@pytest.mark.skipif(not HAS_TF, reason="tensorflow is not installed")
def test_tf_datasets_read_at_once_in_threads_of_tensorflow(tmp_path):
    import tensorflow as tf

    path = write_dataset(tmp_path / "data.h5", output_compression="zstd")
    expected = plain_images(path)
    datasets = [ImageDataset(path, table="Events").as_tf(4, shuffle=True, seed=seed) for seed in (1, 2)]
    zipped = tf.data.Dataset.zip(*(dataset.prefetch(4) for dataset in datasets))
    both = list(zip(*zipped.as_numpy_iterator(), strict=True))
    for batches in both:
        for batch in batches:
            assert_batch(batch, expected)
        assert sorted(torch_keys(batches)) == sorted(expected)


@pytest.mark.skipif(HAS_TORCH, reason="torch is installed")
def test_without_torch_the_message_says_so(mapped_path):
    with pytest.raises(ImportError, match="torch"):
        ImageDataset(mapped_path, table="Events").as_torch()
