"""Memory of batches: used again, but never while somebody holds an array on it."""

import pickle

import numpy as np
import pytest
from helpers.random_dataset import write_pixels

from image_extractor.dataset import ImageDataset
from image_extractor.training.stored_images import LARGEST_KEPT, SMALLEST_KEPT, BufferPool

SHAPE = (SMALLEST_KEPT // 32, 16)


@pytest.fixture(scope="module")
def pixels_path(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pixels")
    return write_pixels(folder / "o.h5", image_time_scale=25.0, image_charge_scale=100.0, image_dtype="int16")


def address(array):
    return array.__array_interface__["data"][0]


def test_memory_comes_back_with_the_last_array_on_it():
    pool = BufferPool()
    first = pool.empty(SHAPE, np.float32)
    place, view = address(first), first[1:].T
    first[...] = 7
    del first
    second = pool.empty(SHAPE, np.float32)
    second[...] = 1
    assert address(second) != place
    assert (view == 7).all()
    del view
    third = pool.empty((SHAPE[0] - 10, 16), np.float32)
    assert address(third) == place
    assert third.flags.writeable
    assert third.flags.c_contiguous


def test_as_many_batches_as_are_kept_are_apart():
    pool = BufferPool(kept=2)
    batches = [pool.empty(SHAPE, np.float32) for _ in range(20)]
    for number, batch in enumerate(batches):
        batch[...] = number
    assert all((batch == number).all() for number, batch in enumerate(batches))


@pytest.mark.parametrize("shape", [(0, 4), (1,), (3, 5, 2), (LARGEST_KEPT // 4 + 1,)])
def test_small_and_huge_arrays_are_their_own(shape):
    pool = BufferPool()
    array = pool.empty(shape, np.int16)
    assert (array.shape, array.dtype) == (shape, np.int16)


def test_a_pool_travels_without_its_memory():
    pool = BufferPool(kept=3)
    pool.empty(SHAPE, np.float32)
    assert len(pickle.dumps(pool)) < 1000
    assert pickle.loads(pickle.dumps(pool)).empty(SHAPE, np.float32).shape == SHAPE


@pytest.mark.parametrize("layout", ["array", "pixels"])
@pytest.mark.parametrize("shuffle", [True, "blocks"])
@pytest.mark.parametrize("view", ["telescope", "event", "types"])
def test_images_are_written_to_the_memory_that_is_given(view, shuffle, layout, pixels_path):
    """As pinned memory of a GPU is: the same numbers, and every image is in it."""
    given = []

    def allocate(size):
        given.append(np.empty(size, np.uint8))
        return given[-1]

    def inside(image):
        return any(np.shares_memory(image, memory) for memory in given)

    with ImageDataset(pixels_path, table="Events", view=view, layout=layout, telescopes="LST") as dataset:
        expected = list(dataset.batches(7, shuffle=shuffle, seed=1, block=4, buffer=16))
        batches = dataset.batches(7, shuffle=shuffle, seed=1, block=4, buffer=16)
        batches.write_to(allocate)
        for batch, other in zip(batches, expected, strict=True):
            image, same = (found["image"] for found in (batch, other))
            if view == "types":
                image, same = image["LST_LSTCam"], same["LST_LSTCam"]
            np.testing.assert_array_equal(image, same)
            assert (view, shuffle) == ("types", "blocks") or inside(image)
    assert len(given) < 20, "memory is used again"


def test_stored_integers_and_their_scales(pixels_path):
    """What a GPU is sent as it is stored, and scales itself."""
    values, stored = (ImageDataset(pixels_path, table="Events", dtype=dtype) for dtype in ("float32", None))
    assert stored[:]["image"].dtype == np.int16
    scaled = stored[:]["image"].astype(np.float32) / np.array(stored.channel_scales, np.float32)
    np.testing.assert_array_equal(scaled, values[:]["image"])
