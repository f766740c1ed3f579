"""Memory of batches: used again, but never while somebody holds an array on it."""

import pickle

import numpy as np
import pytest

from image_extractor.training.stored_images import LARGEST_KEPT, SMALLEST_KEPT, BufferPool

SHAPE = (SMALLEST_KEPT // 32, 16)


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
