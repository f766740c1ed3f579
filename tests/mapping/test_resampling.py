"""Resampled cameras: charge is kept where promised, flat fields stay flat, light is where its x and y say."""

import astropy.units as u
import numpy as np
import pytest
import tables
from ctapipe.instrument import CameraGeometry
from ctapipe.instrument.camera import PixelShape
from helpers.geometries import CAMERAS, ORIGINS, demo_geometry, lattice, real_geometry
from helpers.processes import called
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from image_extractor import config
from image_extractor.errors import ConfigError, InputError
from image_extractor.mapping import images, resampling

CONSERVING = ["oversampling", "rebinning"]
INTERPOLATING = ["nearest", "bilinear", "bicubic"]
METHODS = [*CONSERVING, *INTERPOLATING]

GEOMETRIES = {
    **{f"{origin} {camera}": (make, camera) for origin, make in ORIGINS.items() for camera in CAMERAS},
    "real prod6 LSTCam": (real_geometry, "LSTCam", "history_meta_75.simtel.zst"),
    "real curved CHEC": (real_geometry, "CHEC", "gct_checs_muons.simtel.zst"),
    "unknown hexagonal": (lattice, "hexagon", 17.3, 0.031, 11, (5, 60, 61)),
    "unknown square": (lattice, "square", 31.0, 0.004, 11, (5, 60, 61)),
}


@pytest.fixture(scope="module", params=GEOMETRIES)
def geometry(request):
    make, *arguments = GEOMETRIES[request.param]
    return make(*arguments)


def positions(geometry):
    return np.column_stack([geometry.pix_x.to_value("m"), geometry.pix_y.to_value("m")])


def pitch_of(geometry):
    points = positions(geometry)
    return np.median(cKDTree(points).query(points, k=2)[0][:, 1])


def methods_of(geometry, methods=METHODS):
    square = geometry.pix_type is PixelShape.SQUARE
    return [method for method in methods if not (square and method == "oversampling")]


def cells(grid):
    return np.column_stack([values.ravel() for values in grid.cell_positions()])


def check_conservation(geometry, shape="auto"):
    charges = np.random.default_rng(1).exponential(20, (6, geometry.n_pixels)).astype(np.float32)
    charges[0] = 0
    charges[0, geometry.n_pixels // 3] = 659.6
    for method in methods_of(geometry, CONSERVING):
        arrays = images.pixel_grid(geometry, method, shape).arrays(charges)
        sums = arrays.sum(axis=(1, 2), dtype=np.float64)
        np.testing.assert_allclose(sums, charges.sum(axis=1, dtype=np.float64), rtol=1e-5)
        assert arrays.min() >= 0


def check_flat_field(geometry, shape="auto"):
    flat = np.full((1, geometry.n_pixels), 3.0, np.float32)
    pitch = pitch_of(geometry)
    # a pixel reaches at least half a pitch from its centre, and at most to its corners; small gaps are bridged
    corner = pitch / np.sqrt(3) if geometry.pix_type is PixelShape.HEXAGON else 1.5 * pitch / np.sqrt(2)
    for method in INTERPOLATING:
        grid = images.pixel_grid(geometry, method, shape)
        values = grid.arrays(flat).ravel()
        distance = cKDTree(positions(geometry)).query(cells(grid))[0]
        np.testing.assert_allclose(values[distance < 0.48 * pitch], 3.0, rtol=1e-5)
        assert not values[distance > 1.04 * corner].any()
        np.testing.assert_allclose(values[values != 0], 3.0, rtol=1e-5)


def check_single_pixels(geometry):
    n_pixels = geometry.n_pixels
    lit = np.unique(np.linspace(0, n_pixels - 1, 80).astype(int))
    light = np.zeros((len(lit), n_pixels), np.float32)
    light[np.arange(len(lit)), lit] = 1
    for method in methods_of(geometry):
        grid = images.pixel_grid(geometry, method)
        arrays = grid.arrays(light).reshape(len(lit), -1).clip(0)
        assert np.all(arrays.sum(axis=1) > 0)
        centroids = arrays @ cells(grid) / arrays.sum(axis=1, keepdims=True)
        shift = np.hypot(*(centroids - positions(geometry)[lit]).T)
        assert shift.max() < 0.75 * pitch_of(geometry)
        # the cell of its centre is the one that /Cameras names
        named = np.column_stack([axis[grid.array_x[lit], grid.array_y[lit]] for axis in grid.cell_positions()])
        assert np.abs(named - positions(geometry)[lit]).max() <= 0.5001 * grid.cell_size


@pytest.mark.one_in(5)
@pytest.mark.parametrize("n_images", [1, 33])
def test_arrays_are_the_product_with_the_matrix(geometry, n_images):
    charges = np.random.default_rng(3).normal(0, 20, (n_images, geometry.n_pixels)).astype(np.float32)
    charges[0, 5] = np.nan
    for method in methods_of(geometry):
        grid = images.pixel_grid(geometry, method)
        for arrays, weights in ((grid.arrays, grid.charge_weights), (grid.time_arrays, grid.time_weights)):
            found = arrays(charges).reshape(n_images, -1)
            np.testing.assert_allclose(found, (weights @ charges.T).T, rtol=1e-5, atol=1e-4)


def test_charge_is_conserved(geometry):
    check_conservation(geometry)


def test_flat_field_stays_flat_and_outside_is_zero(geometry):
    check_flat_field(geometry)


def test_single_lit_pixel_is_where_its_position_says(geometry):
    check_single_pixels(geometry)


def test_array_grows_with_x_and_y(geometry):
    """The light of a slope along x or y: cells hold the x and y that they are at."""
    pitch = pitch_of(geometry)
    for method in INTERPOLATING:
        grid = images.pixel_grid(geometry, method)
        x, y = grid.cell_positions()
        assert np.all(np.diff(x, axis=0) > 0)
        assert np.all(np.diff(y, axis=1) > 0)
        slopes = grid.arrays(positions(geometry).T.astype(np.float32))
        lit = grid.arrays(np.ones((1, geometry.n_pixels), np.float32))[0] > 0
        assert np.abs(slopes[0] - x)[lit].max() < 0.8 * pitch
        assert np.abs(slopes[1] - y)[lit].max() < 0.8 * pitch


@pytest.mark.parametrize("origin", ORIGINS)
def test_rebinning_keeps_density(origin):
    """Inside of a hexagonal camera, a cell holds the light of its own area."""
    geometry = ORIGINS[origin]("FlashCam")
    grid = images.pixel_grid(geometry, "rebinning", 90)
    pitch = pitch_of(geometry)
    values = grid.arrays(np.ones((1, geometry.n_pixels), np.float32)).ravel()
    n_near = [len(near) for near in cKDTree(positions(geometry)).query_ball_point(cells(grid), 2.5 * pitch)]
    inside = np.array(n_near) >= 18
    assert inside.mean() > 0.4
    np.testing.assert_allclose(values[inside], grid.cell_size**2 / (pitch**2 * np.sqrt(3) / 2), rtol=1e-3)


@pytest.mark.parametrize("shape", ["hexagon", "square"])
@pytest.mark.parametrize("rotation", [0, 13, 30, 45])
def test_interpolations_are_as_exact_as_their_degree(shape, rotation):
    geometry = lattice(shape, rotation, 0.05, 14)
    x, y = positions(geometry).T
    for method, degree in (("bilinear", 1), ("bicubic", 2)):
        grid = images.pixel_grid(geometry, method)
        centres = cells(grid)
        inside = np.hypot(*centres.T) < 0.4
        light = (1 + 2 * x - y) ** degree
        found = grid.arrays(light[np.newaxis].astype(np.float32)).ravel()
        np.testing.assert_allclose(
            found[inside], ((1 + 2 * centres[:, 0] - centres[:, 1]) ** degree)[inside], atol=1e-4
        )


def edge_sums(geometry, method):
    """Return how much pixels at the edge of a hexagonal camera and the others add to an array, for each 1 in them."""
    sums = images.pixel_grid(geometry, method).charge_weights.sum(axis=0)
    points = positions(geometry)
    n_near = np.array([len(near) for near in cKDTree(points).query_ball_point(points, 1.3 * pitch_of(geometry))])
    return sums[n_near < 7], sums[n_near == 7]


@pytest.mark.parametrize("camera", ["LSTCam", "FlashCam", "DigiCam"])
@pytest.mark.parametrize("origin", ORIGINS)
def test_pixels_at_the_edge_weigh_as_much_as_others(origin, camera):
    """The centres of the few cells beyond the outermost pixels fall into the camera or not as it happens."""
    geometry = ORIGINS[origin](camera)
    at_edge, inside = edge_sums(geometry, "bilinear")
    by_chance, _ = edge_sums(geometry, "bicubic")
    assert inside.std() < 0.02 * inside.mean()
    assert at_edge.mean() == pytest.approx(inside.mean(), rel=0.02)
    assert at_edge.std() < 0.07 * inside.mean()
    assert at_edge.std() < 0.6 * by_chance.std()


def test_bicubic_is_sharper_than_bilinear():
    geometry = lattice("hexagon", 0, 0.05, 14)
    x, y = positions(geometry).T
    light = np.exp(-(x**2 + y**2) / 0.005).astype(np.float32)
    worst = {}
    for method in ("bilinear", "bicubic"):
        grid = images.pixel_grid(geometry, method)
        true = np.exp(-(cells(grid) ** 2).sum(axis=1) / 0.005)
        worst[method] = np.abs(grid.arrays(light[np.newaxis]).ravel() - true).max()
    assert worst["bicubic"] < 0.5 * worst["bilinear"]


def test_times_are_averaged_never_summed(geometry):
    rng = np.random.default_rng(2)
    times = rng.uniform(10, 30, (4, geometry.n_pixels)).astype(np.float32)
    times[0] = 25.0
    for method in methods_of(geometry):
        grid = images.pixel_grid(geometry, method)
        lit = grid.arrays(np.ones((1, geometry.n_pixels), np.float32))[0] != 0
        arrays = grid.time_arrays(times)
        np.testing.assert_allclose(arrays[0][lit], 25.0, rtol=1e-5)
        assert not arrays[:, ~lit].any()
        assert arrays[:, lit].min() >= 10 - 1e-4
        assert arrays[:, lit].max() <= 30 + 1e-4


def test_geometry_is_only_read(geometry):
    columns = ("pix_x", "pix_y", "pix_area", "pix_rotation", "cam_rotation")
    before = {name: getattr(geometry, name).copy() for name in columns}
    for method in methods_of(geometry):
        images.pixel_grid(geometry, method)
    for name, value in before.items():
        assert np.array_equal(getattr(geometry, name).value, value.value), name


def test_grids_are_made_once_per_geometry():
    one, same, other = (lattice("hexagon", angle, 0.05, 6) for angle in (0, 0, 20))
    grid = images.pixel_grid(one, "bilinear")
    assert images.pixel_grid(same, "bilinear") is grid
    assert images.pixel_grid(same, "bilinear", 30) is not grid
    assert images.pixel_grid(other, "bilinear") is not grid  # although its name is the same


@pytest.mark.parametrize("origin", ORIGINS)
def test_a_gap_between_modules_stays_dark(origin):
    """The first CHEC has gaps of nearly a pixel between its modules; no light is made up for them."""
    geometry = ORIGINS[origin]("CHEC")
    for method in INTERPOLATING:
        lit = images.pixel_grid(geometry, method, 400).arrays(np.ones((1, 2048), np.float32))[0] > 0
        columns = lit[:, 150:250].any(axis=1).astype(int)
        assert np.sum(np.diff(columns, prepend=0) == 1) == 6  # six modules side by side


@pytest.mark.one_in(3)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("origin", ORIGINS)
def test_lst_is_the_same_picture_in_prod3_and_prod6(origin, method):
    """In prod6 its pixels are told 60 degrees apart."""
    if origin == "demo":
        prod3, prod6 = demo_geometry("LSTCam"), demo_geometry("LSTCam", turn_deg=-60)
    else:
        prod3, prod6 = real_geometry("LSTCam"), real_geometry("LSTCam", "history_meta_75.simtel.zst")
    light = [np.exp(-((g.pix_x.value - 0.3) ** 2 + (g.pix_y.value + 0.5) ** 2) / 0.02) for g in (prod3, prod6)]
    grids = [images.pixel_grid(geometry, method) for geometry in (prod3, prod6)]
    one, other = (grid.arrays(values[np.newaxis])[0] for grid, values in zip(grids, light, strict=True))
    assert grids[0].shape == grids[1].shape == (110, 110)
    if method in ("bilinear", "bicubic", "rebinning"):  # in the others a cell's centre may lie on the edge of a pixel
        np.testing.assert_allclose(one, other, atol=5e-3)
    x, y = grids[0].cell_positions()
    for axis in (x, y):
        assert (axis * one).sum() / one.sum() == pytest.approx((axis * other).sum() / other.sum(), abs=1e-3)


@pytest.mark.parametrize(
    ("camera", "side"), [("LSTCam", 110), ("NectarCam", 110), ("FlashCam", 112), ("DigiCam", 96), ("SCTCam", 122)]
)
@pytest.mark.parametrize("origin", ORIGINS)
def test_auto_shape(origin, camera, side):
    assert images.pixel_grid(ORIGINS[origin](camera), "bilinear").shape == (side, side)


@settings(deadline=None, max_examples=40)
@given(
    shape=st.sampled_from(["hexagon", "square"]),
    rotation=st.floats(-180, 180),
    pitch=st.floats(0.002, 0.2),
    radius=st.integers(1, 14),
    missing=st.lists(st.integers(0, 600), max_size=5),
    side=st.integers(8, 90),
)
def test_unknown_cameras(shape, rotation, pitch, radius, missing, side):
    geometry = lattice(shape, rotation, pitch, radius, missing)
    # nothing tells the lattice of pixels of which most lack all neighbours
    if geometry.n_pixels < 4 or pitch_of(geometry) > 1.01 * pitch:
        return
    check_conservation(geometry)
    check_conservation(geometry, side)
    check_flat_field(geometry)
    check_flat_field(geometry, side)
    check_single_pixels(geometry)


def test_camera_of_one_pixel():
    for shape in PixelShape.HEXAGON, PixelShape.SQUARE:
        metres = np.array([0.02]) * u.m
        geometry = CameraGeometry("One", np.arange(1), metres, -metres, np.array([0.0025]) * u.m**2, shape)
        check_conservation(geometry, 9)
        array = images.pixel_grid(geometry, "nearest", 9).arrays(np.ones((1, 1), np.float32))
        assert array[0, 4, 4] == 1


# -- settings, stored images, files ------------------------------------------------------------------------


def test_settings_know_the_same_mappings():
    allowed = config.spec()["image"]["mapping"]
    assert [name for name in (*images.LOSSLESS, *resampling.METHODS) if f"'{name}'" not in allowed] == []
    assert allowed.count("'") == 2 * (len(images.LOSSLESS) + len(resampling.METHODS) + 1)  # and the default


def test_square_pixels_refuse_oversampling_in_one_line():
    with pytest.raises(ConfigError) as error:
        images.pixel_grid(lattice("square", 0, 0.006, 8), "oversampling")
    message = str(error.value)
    assert "\n" not in message
    assert "mapping = oversampling: camera Unknown has square pixels" in message
    for method in ("shifting", "axial", "nearest", "bilinear", "bicubic", "rebinning"):
        assert method in message


def test_pixels_on_no_lattice_are_refused():
    x, y = np.random.default_rng(3).uniform(-1, 1, (2, 200)) * u.m
    geometry = CameraGeometry("Random", np.arange(200), x, y, np.full(200, 0.01) * u.m**2, PixelShape.HEXAGON)
    with pytest.raises(InputError, match=r"camera Random: .* no regular hexagon lattice"):
        images.pixel_grid(geometry, "rebinning")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("order", ["channels_first", "channels_last"])
def test_values_are_mapped_before_they_are_rounded(method, order):
    geometry = lattice("hexagon", 40.9, 0.05, 6)
    section = {
        "mode": "PIXELS_TIMING_3C",
        "dim_order": order,
        "scale_factor": 2,
        "charge_scale": 1.0,
        "dtype": "uint16",
    }
    section = config.defaults()["image"] | section
    charge, time = np.random.default_rng(4).uniform(0, 9, (2, 3, geometry.n_pixels)).astype(np.float32)
    charge[1, 5] = 1e6
    grid = images.pixel_grid(geometry, method)
    made, counts = images.make_images(charge, time, grid, section)
    made = made if order == "channels_first" else np.moveaxis(made, -1, 1)
    expected = grid.arrays(charge).astype(float).round().clip(0, 65535)
    assert np.array_equal(made[:, 0], np.kron(expected, np.ones((1, 2, 2))))
    expected = (grid.time_arrays(time).astype(float) * 100).round()
    assert np.array_equal(made[:, 1], np.kron(expected, np.ones((1, 2, 2))))
    assert not made[:, 2].any()
    # what is counted are cells, not pixels and not the enlarged cells
    assert counts.clipped.tolist() == [0, int((grid.arrays(charge)[1] > 65535.5).sum()), 0]
    assert counts.clipped[1] > 0


@pytest.mark.parametrize("mapping", ["shifting", "axial"])
def test_positions_of_lossless_cells_are_those_of_the_pixels(mapping):
    geometry = lattice("hexagon", 40.9, 0.05, 6)
    grid = images.pixel_grid(geometry, mapping)
    x, y = grid.cell_positions()
    assert np.array_equal(x[grid.array_x, grid.array_y], geometry.pix_x.value)
    assert np.array_equal(y[grid.array_x, grid.array_y], geometry.pix_y.value)
    assert np.isfinite(x).sum() == geometry.n_pixels


def test_dataset_says_where_its_cells_are(production, convert, make_config):
    settings = {"image_mapping": "rebinning", "image_shape": 50, "image_mode": "PIXELS_1C", "image_dtype": "float32"}
    config_file = make_config(telescope_type_mode="LST", storage_mode="mapped", image_scale_factor=1, **settings)
    lossless = make_config("lossless.config", **(settings | {"image_mapping": "axial", "image_shape": "auto"}),
                           telescope_type_mode="LST", storage_mode="mapped", image_scale_factor=1)  # fmt: skip
    with tables.open_file(convert(production[0], config_file)) as file:
        camera, images_ = file.root.Cameras.LSTCam, file.root.E0.T1[:]
        attributes, pixels = camera.attrs, camera[:]
    assert images_.shape[1:] == (50, 50, 1)
    assert attributes.array_shape.tolist() == [50, 50]
    assert attributes.mapping == "rebinning"
    assert attributes.axis_0_angle_deg == 0
    for axis, first in (("x", attributes.first_cell_x_m), ("y", attributes.first_cell_y_m)):
        centres = first + attributes.cell_size_m * pixels[f"array_{axis}"]
        assert np.abs(centres - pixels[f"pix_{axis}"]).max() <= 0.5001 * attributes.cell_size_m
    with tables.open_file(convert(production[0], lossless, output="axial.h5")) as file:
        exact = file.root.E0.T1[:]
    assert len(exact) == len(images_) > 0
    np.testing.assert_allclose(images_.sum(axis=(1, 2, 3)), exact.sum(axis=(1, 2, 3)), rtol=1e-4, atol=1e-2)


def test_command_refuses_what_makes_no_sense(production, make_config, tmp_path):
    config_file = make_config(telescope_type_mode="LST+SST", image_mapping="oversampling")
    result = called("convert", production[0], tmp_path / "out.h5", config_file)
    assert result.returncode == 2
    errors = [text for text in result.stderr.splitlines() if "oversampling" in text]
    assert len(errors) == 1
    assert "CHEC" in errors[0]
    assert "nearest, bilinear, bicubic, rebinning" in errors[0]
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "out.h5").exists()
