"""Pixel vectors, and cameras as graphs and as hexagonal arrays: held against ctapipe and HexagDLy."""

import importlib.util

import numpy as np
import pytest
from helpers.geometries import CAMERAS, demo_geometry, lattice
from helpers.random_dataset import write_pixels
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from image_extractor import DatasetError
from image_extractor.dataset import ImageDataset
from image_extractor.errors import MissingNameError
from image_extractor.mapping import images
from image_extractor.training.camera_pixels import CameraPixels
from image_extractor.viewing.event_images import open_events

HAS_HEXAGDLY = all(importlib.util.find_spec(name) for name in ("torch", "hexagdly"))

SETTINGS = {
    "telescope_type_mode": "ALL", "image_mode": "PIXELS_TIMING_2C", "image_scale_factor": 1, "image_dtype": "int16",
}  # fmt: skip


def pixels_of(geometry, mapping="shifting", scale_factor=1):
    """Return the CameraPixels of a geometry, as a dataset would have them."""
    grid = images.pixel_grid(geometry, mapping)
    x, y, area = (values.to_value(unit) for values, unit in zip(
        (geometry.pix_x, geometry.pix_y, geometry.pix_area), ("m", "m", "m2"), strict=True))  # fmt: skip
    place = grid.array_x, grid.array_y, grid.shape, scale_factor
    return CameraPixels(geometry.name, geometry.pix_type.value, mapping, x, y, area, *place)


def matrix(camera):
    n = len(camera.pix_x)
    return csr_array((np.ones(len(camera.indices), bool), camera.indices, camera.indptr), shape=(n, n))


def unknown_cameras():
    return st.builds(
        lattice,
        st.sampled_from(["hexagon", "square"]),
        st.floats(-180, 180),
        st.floats(0.005, 0.1),
        st.integers(2, 9),
        st.lists(st.integers(0, 200), max_size=8),
    )


def has_near_neighbours(geometry):
    """Say whether each pixel touches another: ctapipe gives lonely ones neighbours that are far."""
    positions = np.stack([geometry.pix_x.value, geometry.pix_y.value], 1)
    distance = np.hypot(*(positions[:, None] - positions).T)
    np.fill_diagonal(distance, np.inf)
    return distance.min(axis=0).max() < 1.1 * distance.min()


@pytest.mark.parametrize("mapping", ["shifting", "axial"])
@pytest.mark.parametrize("name", CAMERAS)
def test_neighbours_of_cameras_are_ctapipes(name, mapping):
    geometry = demo_geometry(name)
    camera = pixels_of(geometry, mapping)
    expected = geometry.neighbor_matrix
    assert (matrix(camera).toarray() == expected).all()
    assert (camera.edge_index == np.array(np.nonzero(expected))).all()


@settings(max_examples=60, deadline=None)
@given(unknown_cameras(), st.sampled_from(["shifting", "axial"]))
def test_neighbours_of_any_camera_are_ctapipes(geometry, mapping):
    assume(geometry.n_pixels > 7)
    assume(has_near_neighbours(geometry))
    # ctapipe measures square pixels along x and y, whatever their rotation: it finds them all when they are upright
    assume(geometry.pix_type.value == "hexagon" or abs(geometry.pix_rotation.deg) < 5)
    assert (matrix(pixels_of(geometry, mapping)).toarray() == geometry.neighbor_matrix).all()


def hexagonal_sums(array, parity):
    """Sum each cell and the six around it, odd rows (along axis 1) standing half a cell further along axis 0."""
    padded = np.pad(array, ((1, 1), (1, 1)))
    n_x, n_y = array.shape
    found = sum(padded[1 + x : 1 + x + n_x, 1 : 1 + n_y] for x in (-1, 0, 1))
    for row in range(n_y):
        steps = (0, 1) if row % 2 == parity else (-1, 0)
        found[:, row] += sum(padded[1 + x : 1 + x + n_x, 1 + row + y] for x in steps for y in (-1, 1))
    return found


def by_hexagdly(array, parity):
    """Convolve with an all-ones kernel of HexagDLy, an empty row before the first where odd rows are not shifted."""
    import hexagdly
    import torch

    rows_before = 1 - parity
    image = torch.nn.functional.pad(torch.from_numpy(array)[None, None].float(), (rows_before, 0))
    layer = hexagdly.Conv2d(1, 1, kernel_size=1, stride=1, bias=False)
    for weights in layer.parameters():
        weights.data.fill_(1)
    return layer(image).detach().numpy()[0, 0, :, rows_before:]


def assert_convolves(geometry, convolve):
    camera = pixels_of(geometry)
    values = np.random.default_rng(1).integers(0, 100, geometry.n_pixels)
    array = np.zeros(camera.array_shape)
    array[camera.array_x, camera.array_y] = values
    found = convolve(array, camera.shifted_rows)[camera.array_x, camera.array_y]
    np.testing.assert_array_equal(found, values + geometry.neighbor_matrix.astype(int) @ values)


@pytest.mark.parametrize(
    "convolve",
    [hexagonal_sums, pytest.param(by_hexagdly, marks=pytest.mark.skipif(not HAS_HEXAGDLY, reason="no HexagDLy"))],
)
@pytest.mark.parametrize("name", [name for name in CAMERAS if demo_geometry(name).pix_type.value == "hexagon"])
@pytest.mark.parametrize("turn_deg", [0, 11, 30, 90])
def test_hexagonal_convolutions_sum_over_ctapipes_neighbours(name, turn_deg, convolve):
    assert_convolves(demo_geometry(name, turn_deg), convolve)


@settings(max_examples=60, deadline=None)
@given(unknown_cameras())
def test_hexagonal_convolutions_of_any_camera(geometry):
    assume(geometry.pix_type.value == "hexagon")
    assume(geometry.n_pixels > 7)
    assume(has_near_neighbours(geometry))
    assert_convolves(geometry, hexagonal_sums)


# -- from datasets --------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("storage_mode", ["mapped", "all"])
@pytest.mark.parametrize(("mapping", "scale_factor"), [("shifting", 1), ("axial", 2)])
def test_pixel_vectors_are_those_of_the_events(storage_mode, mapping, scale_factor, all_cameras, convert, make_config):
    made = SETTINGS | {"storage_mode": storage_mode, "image_mapping": mapping, "image_scale_factor": scale_factor}
    path = convert(all_cameras, make_config(**made))
    expected = {}
    with open_events(path) as events:
        for place in events.places(range(events.count())):
            event = events.event(*place)
            expected |= {(event.values["event_number"], image.tel_id): image for image in event.images}
        cameras = events.cameras
    for name in cameras:
        with ImageDataset(path, table="Events", telescopes=name, layout="pixels") as dataset:
            geometry = dataset.geometry()
            assert dataset.image_shape == (len(geometry.pix_x), 2)
            whole = dataset[:]
            for key, image in zip(zip(whole["event_id"], whole["tel_id"], strict=True), whole["image"], strict=True):
                np.testing.assert_array_equal(image[:, 0], expected[key].charge.astype(np.float32))
                np.testing.assert_array_equal(image[:, 1], expected[key].peak_time.astype(np.float32))
            with ImageDataset(path, table="Events", telescopes=name) as arrays:
                has_pixel = arrays.geometry(name).has_pixel
                assert has_pixel.sum() == scale_factor**2 * len(geometry.pix_x)
                assert has_pixel.shape == arrays.image_shape[:2]
                assert not arrays[:]["image"][:, ~has_pixel].any()
            expected_geometry = cameras[name].geometry()
            assert (matrix(geometry).toarray() == expected_geometry.neighbor_matrix).all()
            assert (geometry.pix_area == expected_geometry.pix_area.to_value("m2")).all()


@pytest.mark.parametrize("view", ["telescope", "event"])
def test_all_ways_to_read_give_the_same_vectors(view, tmp_path):
    path = write_pixels(tmp_path / "o.h5", image_time_scale=25.0, image_dtype="int16")
    arrays, vectors = (ImageDataset(path, table="Events", view=view, layout=layout) for layout in ("array", "pixels"))
    cells = vectors.geometry("LSTCam")
    expected = arrays[:]["image"][..., cells.array_x, cells.array_y, :]
    np.testing.assert_array_equal(vectors[:]["image"], expected)
    np.testing.assert_array_equal(vectors[3]["image"], expected[3])
    for shuffle in (False, "blocks"):
        batches = list(vectors.batches(7, shuffle=shuffle, block=4, buffer=16))
        order = list(arrays.select(slice(None)).batches(7, shuffle=shuffle, block=4, buffer=16))
        for batch, of_arrays in zip(batches, order, strict=True):
            assert (batch["event_id"] == of_arrays["event_id"]).all()
            taken = of_arrays["image"][..., cells.array_x, cells.array_y, :]
            np.testing.assert_array_equal(batch["image"], taken)
    if HAS_HEXAGDLY:
        assert vectors.as_torch()[0]["image"].shape == vectors[0]["image"].shape


def test_what_has_no_pixels_is_refused(all_cameras, convert, make_config, tmp_path):
    path = convert(all_cameras, make_config(**SETTINGS | {"storage_mode": "mapped"}))
    with pytest.raises(ValueError, match="layout = 'graph': must be 'array' or 'pixels'"):
        ImageDataset(path, table="Events", telescopes="LST", layout="graph")
    with ImageDataset(path, table="Events", telescopes="CHEC") as squares:
        with pytest.raises(MissingNameError, match="LSTCam"):
            squares.geometry("LSTCam")
        with pytest.raises(DatasetError, match="CHEC: square pixels, mapping = shifting: its arrays have no rows"):
            _ = squares.geometry().shifted_rows
    resampled = convert(
        all_cameras, make_config(**SETTINGS | {"storage_mode": "mapped", "image_mapping": "bilinear"}), output="b.h5"
    )
    with pytest.raises(DatasetError, match="camera LSTCam: mapping = bilinear resamples"):
        ImageDataset(resampled, table="Events", telescopes="LST", layout="pixels")
