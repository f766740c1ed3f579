"""Where pixels go: for every camera from its geometry alone, right way up, the same in every production."""

import astropy.units as u
import numpy as np
import pytest
from ctapipe.instrument import CameraGeometry
from ctapipe.instrument.camera import PixelShape
from helpers.geometries import CAMERAS, ORIGINS, demo_geometry, lattice, real_geometry
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from image_extractor import config
from image_extractor.mapping import cell_loops, images, resampling

SQUARE = ["ASTRICam", "CHEC", "SCTCam"]

#: Modules of 8 x 8 pixels in each row of the SCT's camera, from the bottom, as the first version had them.
SCT_MODULES = [5, 9, 11, 13, 13, 15, 15, 15, 15, 15, 13, 13, 11, 9, 5]


def check_lattice(geometry, mapping):
    """Check what holds for every lossless grid."""
    grid = images.pixel_grid(geometry, mapping)
    cells = set(zip(grid.array_x.tolist(), grid.array_y.tolist(), strict=True))
    assert len(cells) == geometry.n_pixels
    assert (grid.array_x.min(), grid.array_y.min()) == (0, 0)
    assert grid.shape == (grid.array_x.max() + 1, grid.array_y.max() + 1)
    # neighbours in the rows of the array are neighbours in the camera, one step along axis 0
    index = np.full(grid.shape, -1)
    index[grid.array_x, grid.array_y] = np.arange(geometry.n_pixels)
    x, y = geometry.pix_x.to_value("m"), geometry.pix_y.to_value("m")
    first, second = index[:-1].ravel(), index[1:].ravel()
    both = (first >= 0) & (second >= 0)
    step_x, step_y = x[second[both]] - x[first[both]], y[second[both]] - y[first[both]]
    pitch = np.sqrt(
        np.median(geometry.pix_area.to_value("m2")) / (np.sqrt(3) / 2 if grid_is_hexagonal(geometry) else 1)
    )
    # the first CHEC has gaps of a pixel's width between its modules
    assert np.all(np.hypot(step_x, step_y) < 2.5 * pitch)
    np.testing.assert_allclose(np.arctan2(step_y, step_x), grid.angle, atol=0.05)
    assert abs(np.degrees(grid.angle)) <= (30.6 if grid_is_hexagonal(geometry) else 45.6)
    # axis 1 grows with y
    low, high = index[:, :-1].ravel(), index[:, 1:].ravel()
    both = (low >= 0) & (high >= 0)
    assert np.all(y[high[both]] - y[low[both]] > 0)
    return grid


def grid_is_hexagonal(geometry):
    return geometry.pix_type is PixelShape.HEXAGON


@pytest.mark.parametrize("mapping", ["shifting", "axial"])
@pytest.mark.parametrize("camera", CAMERAS)
@pytest.mark.parametrize("origin", ORIGINS)
def test_known_cameras(origin, camera, mapping):
    geometry = ORIGINS[origin](camera)
    before = geometry.pix_x.copy(), geometry.pix_y.copy(), geometry.pix_rotation
    grid = check_lattice(geometry, mapping)
    assert np.array_equal(before[0], geometry.pix_x)
    assert np.array_equal(before[1], geometry.pix_y)
    assert before[2] == geometry.pix_rotation
    pixels = np.random.default_rng(1).normal(size=(5, geometry.n_pixels)).astype(np.float32)
    assert np.array_equal(grid.arrays(pixels)[:, grid.array_x, grid.array_y], pixels)
    assert grid.arrays(pixels).sum(axis=(1, 2)) == pytest.approx(pixels.sum(axis=1), abs=1e-3)


@pytest.mark.parametrize("camera", SQUARE)
@pytest.mark.parametrize("origin", ORIGINS)
def test_square_cameras_grow_with_x_and_y(origin, camera):
    geometry = ORIGINS[origin](camera)
    grid = images.pixel_grid(geometry)
    for cells, positions in ((grid.array_x, geometry.pix_x), (grid.array_y, geometry.pix_y)):
        values = positions.to_value("m")
        means = np.array([values[cells == cell].mean() for cell in range(cells.max() + 1)])
        assert np.all(np.diff(means) > 0)
        assert all(np.ptp(values[cells == cell]) < 1e-3 for cell in range(cells.max() + 1))


@pytest.mark.parametrize("scale_factor", [1, 2])
@pytest.mark.parametrize("origin", ORIGINS)
def test_sct_is_the_first_versions_module_table(origin, scale_factor):
    """Modules row by row from the bottom, left to right; in a module, pixels row by row from the bottom."""
    geometry = ORIGINS[origin]("SCTCam")
    x, y = geometry.pix_x.to_value("m"), geometry.pix_y.to_value("m")
    size = np.sqrt(geometry.pix_area.to_value("m2")[0])
    section = config.defaults()["image"] | {"scale_factor": scale_factor, "mode": "PIXELS_1C", "dtype": "float32"}
    pixels = np.random.default_rng(2).uniform(0, 100, (1, geometry.n_pixels)).astype(np.float32)
    made, _ = images.make_images(pixels, None, images.pixel_grid(geometry), section)

    # the first version's way: every module is placed by the table, its 64 pixels by their order within it
    first = np.zeros((120, 120), np.float32)
    order = np.lexsort((x, np.round(y / size)))  # bottom to top, then left to right: 120 rows of pixels
    start = 0
    for module_row, n_modules in enumerate(SCT_MODULES):
        offset = (15 - n_modules) // 2 * 8
        for pixel_row in range(8):
            row = order[start : start + 8 * n_modules]
            row = row[np.argsort(x[row])]
            first[offset : offset + 8 * n_modules, module_row * 8 + pixel_row] = pixels[0, row]
            start += 8 * n_modules
    assert start == geometry.n_pixels == 11328
    assert np.array_equal(made[0, ..., 0], np.kron(first, np.ones((scale_factor, scale_factor), np.float32)))


@pytest.mark.parametrize("mapping", ["shifting", "axial"])
@pytest.mark.parametrize(
    ("old", "new", "new_name"),
    [
        ("calib_events.simtel.gz", "history_meta_75.simtel.zst", "LSTCam"),
        ("lst_muons.simtel.zst", "gamma_prod6_tel_event_header_v4.simtel.zst", "LSTcam"),
    ],
)
def test_lst_is_the_same_picture_in_prod3_and_prod6(old, new, new_name, mapping):
    """Their stated pixel rotations differ by 60 degrees, the light does not."""
    check_same_picture(real_geometry("LSTCam", old), real_geometry(new_name, new), mapping)


@pytest.mark.parametrize("mapping", ["shifting", "axial"])
@pytest.mark.parametrize("camera", ["LSTCam", "NectarCam"])
def test_a_camera_turned_to_itself_is_the_same_picture(camera, mapping):
    check_same_picture(demo_geometry(camera), demo_geometry(camera, turn_deg=-60), mapping)


def check_same_picture(prod3, prod6, mapping):
    """Check that it does not matter which way of two, 60 degrees apart, the pixels of a camera are told."""
    assert abs((prod3.pix_rotation - prod6.pix_rotation).to_value("deg")) == pytest.approx(60, abs=0.1)
    light = [np.exp(-((g.pix_x.value - 0.3) ** 2 + (g.pix_y.value + 0.5) ** 2) / 0.02) for g in (prod3, prod6)]
    grids = [images.pixel_grid(geometry, mapping) for geometry in (prod3, prod6)]
    arrays = [grid.arrays(values[np.newaxis])[0] for grid, values in zip(grids, light, strict=True)]
    assert grids[0].angle == pytest.approx(grids[1].angle, abs=1e-3)
    np.testing.assert_allclose(*arrays, atol=1e-3)


@settings(deadline=None, max_examples=60)
@given(
    shape=st.sampled_from(["hexagon", "square"]),
    rotation=st.floats(-180, 180),
    pitch=st.floats(0.002, 0.2),
    radius=st.integers(2, 30),
    missing=st.lists(st.integers(0, 3000), max_size=5),
    mapping=st.sampled_from(["shifting", "axial"]),
)
def test_unknown_cameras(shape, rotation, pitch, radius, missing, mapping):
    geometry = lattice(shape, rotation, pitch, radius, missing)
    if geometry.n_pixels >= 7:
        check_lattice(geometry, mapping)


@pytest.mark.parametrize(("shape", "fold"), [("hexagon", 60), ("square", 90)])
@pytest.mark.parametrize("mapping", ["shifting", "axial"])
@pytest.mark.parametrize("rotation", [0, 10, 29.99, 30, 44.9])
def test_picture_does_not_depend_on_the_rotation_stated(rotation, mapping, shape, fold):
    """A lattice turned by its own symmetry is the same lattice: so must be the array of the same light."""
    pictures = []
    for turns in range(3):
        geometry = lattice(shape, rotation + turns * fold, 0.05, 12)
        light = np.hypot(geometry.pix_x.value - 0.1, geometry.pix_y.value + 0.2)
        pictures.append(images.pixel_grid(geometry, mapping).arrays(light[np.newaxis])[0])
    np.testing.assert_allclose(pictures[1], pictures[0], atol=1e-9)
    np.testing.assert_allclose(pictures[2], pictures[0], atol=1e-9)


@pytest.mark.parametrize("rotation", [30, 30.0001, 29.9999, -30, 90.00001])
def test_tie_goes_to_the_positive_angle(rotation):
    grid = images.pixel_grid(lattice("hexagon", rotation, 0.05, 8), "shifting")
    assert np.degrees(grid.angle) == pytest.approx(30, abs=0.01)


def test_pixels_on_no_lattice_are_refused():
    rng = np.random.default_rng(3)
    x, y = rng.uniform(-1, 1, (2, 200)) * u.m
    geometry = CameraGeometry("Random", np.arange(200), x, y, np.full(200, 0.01) * u.m**2, PixelShape.HEXAGON)
    with pytest.raises(ValueError, match=r"camera Random: .* no regular hexagon lattice"):
        images.pixel_grid(geometry)


@settings(deadline=None)
@given(
    values=st.lists(st.floats(-1e9, 1e9, width=32), min_size=1, max_size=20),
    dtype=st.sampled_from(["uint16", "uint32", "int16", "int32"]),
    scale=st.sampled_from([0.5, 1.0, 100.0, 1000.0]),
)
def test_numbers_are_clipped_never_wrapped(values, dtype, scale):
    values, limits = np.array(values, np.float32), np.iinfo(dtype)
    stored, marks = images.encode(values, dtype, scale)
    for value, number, mark in zip(values.tolist(), stored.tolist(), marks.tolist(), strict=True):
        exact = round(value * scale)  # Python's integers have no limits
        assert number == min(max(exact, limits.min), limits.max)
        assert (mark == cell_loops.CLIPPED) == (exact > limits.max or (limits.min < 0 and exact < limits.min))
        assert (mark == cell_loops.NEGATIVE) == (limits.min == 0 and exact < 0)


def test_floats_are_stored_as_they_are():
    values = np.array([-1.5, 1e30, 659.6], np.float32)
    stored, marks = images.encode(values, "float32", 100.0)
    assert stored.dtype == np.float32
    assert np.array_equal(stored, values)
    assert not marks.any()


@pytest.mark.parametrize("dtype", ["uint16", "uint32", "int16", "int32", "float32"])
def test_what_is_not_finite_is_counted_and_0_in_integers(dtype):
    geometry = lattice("hexagon", 0, 0.05, 5)
    section = config.defaults()["image"] | {"mode": "PIXELS_TIMING_2C", "dtype": dtype, "scale_factor": 2}
    grid = images.pixel_grid(geometry)
    charge, time = np.random.default_rng(4).uniform(1, 2, (2, 3, geometry.n_pixels)).astype(np.float32)
    charge[0, :3], charge[0, 3], charge[2, 7] = (np.nan, np.inf, -np.inf), -1, -1e-3
    time[0, 2:5], time[1, 0] = (np.nan, np.inf, 1), -1
    made, counts = images.make_images(charge, time, grid, section)
    assert counts.not_finite.tolist() == [4, 0, 0]
    assert counts.negative.tolist() == [int(dtype[0] == "u"), 0, 0]  # -0.001 p.e. is 0 at 100 counts each
    assert counts.negative_time.tolist() == [0, int(dtype[0] == "u"), 0]
    assert not counts.clipped.any()
    pixels = made[:, ::2, ::2][:, grid.array_x, grid.array_y]
    expected = charge if dtype == "float32" else np.where(np.isfinite(charge), np.round(100 * charge), 0)
    assert np.array_equal(pixels[..., 0], expected.clip(0) if dtype[0] == "u" else expected, equal_nan=True)
    assert np.array_equal(np.isfinite(pixels[..., 1]), np.isfinite(time) | (dtype != "float32"))
    if dtype != "float32":
        assert (pixels[..., 1][~np.isfinite(time)] == 0).all()


@pytest.mark.parametrize("mapping", resampling.METHODS)
@pytest.mark.parametrize("n_images", [1, 17])
def test_cells_that_touch_a_pixel_that_is_not_finite(mapping, n_images):
    """They are not finite either, and counted; no other cell of this image or of one beside it is."""
    geometry = lattice("hexagon", 10, 0.05, 7)
    grid = images.pixel_grid(geometry, mapping, "auto")
    section = config.defaults()["image"] | {"mode": "PIXELS_1C", "dtype": "float32", "scale_factor": 1}
    charge = np.random.default_rng(4).uniform(1, 2, (n_images, geometry.n_pixels)).astype(np.float32)
    clean, _ = images.make_images(charge, None, grid, section)
    charge[n_images // 2, 30] = np.nan
    made, counts = images.make_images(charge, None, grid, section)
    touched = grid.charge_weights.toarray()[:, 30] != 0
    expected = clean.reshape(n_images, -1).copy()
    expected[n_images // 2, touched] = np.nan
    assert np.array_equal(made.reshape(n_images, -1), expected, equal_nan=True)
    assert counts.not_finite.tolist() == [touched.sum() if i == n_images // 2 else 0 for i in range(n_images)]
    made, counts = images.make_images(charge, None, grid, section | {"dtype": "uint16"})
    assert (made.reshape(n_images, -1)[n_images // 2, touched] == 0).all()
    assert counts.not_finite[n_images // 2] == touched.sum() > 0


@pytest.mark.parametrize("mode", ["PIXELS_1C", "PIXELS_3C", "PIXELS_TIMING_2C", "PIXELS_TIMING_3C"])
@pytest.mark.parametrize("order", ["channels_first", "channels_last"])
def test_channels(mode, order):
    geometry = lattice("hexagon", 0, 0.05, 5)
    section = config.defaults()["image"] | {"mode": mode, "dim_order": order, "dtype": "float32", "scale_factor": 2}
    grid = images.pixel_grid(geometry)
    charge, time = np.random.default_rng(4).uniform(1, 2, (2, 3, geometry.n_pixels)).astype(np.float32)
    made, _ = images.make_images(charge, time, grid, section)
    assert made.shape[1:] == images.array_shape(grid, section)
    made = made if order == "channels_first" else np.moveaxis(made, -1, 1)
    assert made.shape[1] == int(mode[-2])
    assert np.array_equal(made[:, 0], np.kron(grid.arrays(charge), np.ones((1, 2, 2))))
    if made.shape[1] > 1:
        assert np.array_equal(made[:, 1].any(), "TIMING" in mode)
    if "TIMING" in mode:
        assert np.array_equal(made[:, 1, ::2, ::2], grid.arrays(time))
    assert not made[:, 2:].any()


def test_nearest_neighbours_stay_near():
    """In every lossless grid the six neighbours of a pixel are at most two cells away."""
    geometry = lattice("hexagon", 40.9, 0.05, 12)
    points = np.column_stack([geometry.pix_x.value, geometry.pix_y.value])
    pairs = cKDTree(points).query_pairs(0.06, output_type="ndarray")
    for mapping in ("shifting", "axial"):
        grid = images.pixel_grid(geometry, mapping)
        cells = np.column_stack([grid.array_x, grid.array_y])
        assert np.abs(cells[pairs[:, 0]] - cells[pairs[:, 1]]).max() == 1
