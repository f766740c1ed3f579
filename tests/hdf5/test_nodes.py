"""Image arrays: copied as they are stored, and the same whatever the way."""

import numpy as np
import pytest

from image_extractor.hdf5 import dataset_files, nodes

SHAPE = (20, 21, 2)


def stack(n_images, seed=0):
    """Return images that compress well, that compress badly, and empty ones, in turn."""
    random = np.random.default_rng(seed)
    images = random.integers(0, 2**16, (n_images, *SHAPE), dtype=np.uint16)
    images[::3] //= 256
    images[1::3] = 0
    return images


def make(file, name, images, compression, **options):
    array = nodes.create_image_array(file, "/", name, images.dtype, SHAPE, nodes.filters(compression), {}, **options)
    if len(images):
        array.append(images)
    return array


@pytest.mark.parametrize("compression", nodes.COMPRESSORS)
@pytest.mark.parametrize("n_there", [0, 1, 7])
@pytest.mark.parametrize("n_new", [0, 1, 8])
def test_copied_images_follow_those_that_were_there(tmp_path, compression, n_there, n_new):
    there, new = stack(n_there, 1), stack(n_new, 2)
    with (
        dataset_files.open_file(tmp_path / "a.h5", "w") as one,
        dataset_files.open_file(tmp_path / "b.h5", "w") as other,
    ):
        source, target = make(one, "T1", new, compression), make(other, "T1", there, compression)
        nodes.copy_images(source, target)
        target.append(there)  # it goes on growing as any array does
        assert target.nrows == 2 * n_there + n_new
    with dataset_files.open_file(tmp_path / "b.h5") as file:
        assert np.array_equal(file.root.T1[:], np.concatenate([there, new, there]))


@pytest.mark.parametrize(("compression", "chunk"), [("lz4", 1), ("zstd", 5), ("none", 2)])
def test_arrays_stored_otherwise_are_copied_too(tmp_path, compression, chunk):
    there, new = stack(3, 1), stack(7, 2)
    with dataset_files.open_file(tmp_path / "a.h5", "w") as file:
        source, target = make(file, "T1", new, compression, chunk=chunk), make(file, "T2", there, "zstd")
        nodes.copy_images(source, target)
        assert np.array_equal(target[:], np.concatenate([there, new]))
