"""Masks as a channel: exact where pixels keep their cells, else areas; and what a cleaned image leaves out."""

import astropy.units as u
import numpy as np
import pytest
from ctapipe.image import tailcuts_clean
from ctapipe.instrument.camera import PixelShape
from helpers.geometries import demo_geometry, lattice, real_geometry
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from image_extractor import config
from image_extractor.image_scales import scales
from image_extractor.mapping import images, resampling

GEOMETRIES = {
    "LSTCam": (demo_geometry, "LSTCam"),
    "real LSTCam": (real_geometry, "LSTCam"),
    "real DigiCam": (real_geometry, "DigiCam"),
    "SCTCam": (demo_geometry, "SCTCam"),
    "CHEC": (demo_geometry, "CHEC"),
    "hexagonal": (lattice, "hexagon", 17.3, 0.031, 11, (5, 60, 61)),
    "square": (lattice, "square", 31.0, 0.004, 11, (5, 60, 61)),
}

#: Samples along x and y of a cell.
SAMPLES = 32


@pytest.fixture(scope="module", params=GEOMETRIES)
def geometry(request):
    make, *arguments = GEOMETRIES[request.param]
    return make(*arguments)


def section(**keywords):
    return config.defaults()["image"] | {"mode": "PIXELS_MASK_2C", "scale_factor": 1} | keywords


def light(geometry, n_images=4, seed=1):
    """Return charges of showers on noise, peak times, and ctapipe's masks of them."""
    random = np.random.default_rng(seed)
    x, y = (axis.to_value("m") for axis in (geometry.pix_x, geometry.pix_y))
    reach = np.hypot(x, y).max()
    charges = random.normal(0, 1, (n_images, len(x)))
    for image in charges:
        along, across = (axis - random.uniform(-0.6, 0.6) * reach for axis in (x, y))
        image += 60 * np.exp(-(along**2) / (0.1 * reach**2) - across**2 / (0.02 * reach**2))
    charges, times = charges.astype(np.float32), random.uniform(5, 40, charges.shape).astype(np.float32)
    masks = [tailcuts_clean(geometry, image, 8, 4, min_number_picture_neighbors=2) for image in charges]
    return charges, times, np.stack(masks)


def methods_of(geometry):
    return resampling.methods_for(geometry.pix_type.value)


def inner_pixels(geometry):
    """Say which pixels have all their neighbours, bool array (n_pixels,); ctapipe does not for squares that are turned."""
    points = np.column_stack([geometry.pix_x.to_value("m"), geometry.pix_y.to_value("m")])
    tree = cKDTree(points)
    pitch = np.median(tree.query(points, k=2)[0][:, 1])
    n_near = np.array([len(near) for near in tree.query_ball_point(points, 1.5 * pitch)])
    return n_near == (7 if geometry.pix_type is PixelShape.HEXAGON else 9)


def pixel_areas(grid):
    """Return the areas of the pixels of a grid by the shoelace formula [m2]."""
    x, y = np.moveaxis(grid.corners, -1, 0)
    return 0.5 * (x * np.roll(y, -1, axis=1) - np.roll(x, -1, axis=1) * y).sum(axis=1)


@pytest.mark.parametrize(
    ("mode", "order"), [("PIXELS_MASK_2C", "channels_first"), ("PIXELS_TIMING_MASK_3C", "channels_last")]
)
@pytest.mark.parametrize("dtype", ["uint16", "uint32", "int16", "int32", "float32"])
def test_a_lossless_mask_comes_back(geometry, mode, order, dtype):
    charges, times, masks = light(geometry)
    assert masks.any(axis=1).all()
    settings_ = section(mode=mode, dim_order=order, dtype=dtype, scale_factor=2)
    for mapping in images.LOSSLESS:
        grid = images.pixel_grid(geometry, mapping)
        made, _ = images.make_images(charges, times, grid, settings_, masks)
        without, _ = images.make_images(
            charges, times, grid, settings_ | {"mode": mode.replace("_MASK", "")[:-2] + "1C"}
        )
        made = made if order == "channels_first" else np.moveaxis(made, -1, 1)
        without = without if order == "channels_first" else np.moveaxis(without, -1, 1)
        shares = made[:, -1] / scales(settings_)["mask_scale"]
        assert np.array_equal(shares[:, ::2, ::2][:, grid.array_x, grid.array_y], masks)
        assert np.array_equal(shares.sum(axis=(1, 2)), 4 * masks.sum(axis=1))  # nothing beside the pixels
        assert np.array_equal(made[:, 0], without[:, 0])
        if "TIMING" in mode and dtype == "float32":
            assert np.array_equal(made[:, 1], np.kron(grid.arrays(times), np.ones((1, 2, 2))))


def test_the_scale_of_masks_is_that_of_the_dtype():
    assert scales(section(dtype="int16"))["mask_scale"] == 100
    assert scales(section(dtype="float32"))["mask_scale"] == 1
    assert "mask_scale" not in scales(section(mode="PIXELS_TIMING_3C", dtype="int16"))
    stored = {"image_mode": "PIXELS_MASK_2C", "dtype": "uint16", "charge_scale": 7, "time_scale": 9, "mask_scale": 50}
    assert scales(stored) == {"charge_scale": 7, "time_scale": 9, "mask_scale": 50}


def test_shares_add_up_to_the_area_of_the_pixels(geometry):
    masks = light(geometry)[2]
    for method in methods_of(geometry):
        grid = images.pixel_grid(geometry, method)
        low = np.array(grid.first_cell) - grid.cell_size / 2
        high = low + grid.cell_size * np.array(grid.shape)
        # interpolations shift the grid so that some pixels at the edge reach beyond it
        within = ((grid.corners >= low - 1e-9) & (grid.corners <= high + 1e-9)).all(axis=(1, 2))
        assert within.all() or method in resampling.CENTRED
        kept = masks & within
        arrays = grid.mask_arrays(kept)
        areas = arrays.sum(axis=(1, 2), dtype=np.float64) * grid.cell_size**2
        np.testing.assert_allclose(areas, kept @ pixel_areas(grid), rtol=1e-4)
        assert arrays.min() == 0
        assert arrays.max() <= 1


def test_shares_are_those_of_points_that_ctapipe_finds_in_kept_pixels():
    for shape, turn in (("hexagon", 17.3), ("square", 31.0)):
        geometry = lattice(shape, turn, 0.031, 9, (5, 60))
        # of the outermost pixels ctapipe looks at one point each
        inner = inner_pixels(geometry)
        masks = (np.random.default_rng(5).random((2, geometry.n_pixels)) < 0.4) & inner
        masks[1] = inner
        for method in methods_of(geometry):
            grid = images.pixel_grid(geometry, method, 20)
            offsets = ((np.arange(SAMPLES) + 0.5) / SAMPLES - 0.5) * grid.cell_size
            x, y = (axis[..., np.newaxis, np.newaxis] for axis in grid.cell_positions())
            x, y = np.broadcast_arrays(x + offsets[:, np.newaxis], y + offsets)
            pixel = geometry.position_to_pix_index(x.ravel() * u.m, y.ravel() * u.m).reshape(x.shape)
            expected = np.where(pixel >= 0, masks[:, pixel.clip(0)], False).mean(axis=(-2, -1))
            assert (expected[0] > 0).sum() > 50
            np.testing.assert_allclose(grid.mask_arrays(masks), expected, atol=1e-2)


def test_a_full_mask_is_1_within_the_camera_and_0_outside(geometry):
    masks = np.ones((1, geometry.n_pixels), bool)
    points = np.column_stack([geometry.pix_x.to_value("m"), geometry.pix_y.to_value("m")])
    reach = np.median(cKDTree(points).query(points, k=2)[0][:, 1])  # half a pitch and more, for corners and gaps
    for method in methods_of(geometry):
        grid = images.pixel_grid(geometry, method)
        shares = grid.mask_arrays(masks)[0]
        x, y = grid.cell_positions()
        steps = np.array([-0.5, 0, 0.5]) * grid.cell_size
        x, y = np.broadcast_arrays(x[..., None, None] + steps[:, None], y[..., None, None] + steps)
        touched = geometry.position_to_pix_index(x.ravel() * u.m, y.ravel() * u.m).reshape(x.shape)
        within = ((touched >= 0) & inner_pixels(geometry)[touched.clip(0)]).all(axis=(-2, -1))
        assert within.sum() > 0.2 * (shares > 0).sum()
        assert (shares[within] == 1).all()
        # beyond the corners of a pixel and of the cell there is none
        distance = cKDTree(points).query(np.stack(grid.cell_positions(), axis=-1))[0]
        assert not shares[distance > reach + grid.cell_size / np.sqrt(2)].any()
        stored, _ = images.make_images(masks * 1.0, None, grid, section(dtype="uint16"), masks)
        assert np.array_equal(stored[0, ..., 1], np.rint(100.0 * shares))
        assert stored[..., 1].max() == 100


@pytest.mark.slow
@settings(deadline=None)
@given(
    shape=st.sampled_from(["hexagon", "square"]),
    rotation=st.floats(-180, 180),
    radius=st.integers(4, 12),
    missing=st.lists(st.integers(0, 600), max_size=5),
    side=st.integers(8, 60),
    seed=st.integers(0, 99),
)
def test_unknown_cameras(shape, rotation, radius, missing, side, seed):
    geometry = lattice(shape, rotation, 0.02, radius, missing)
    masks = np.random.default_rng(seed).random((3, geometry.n_pixels)) < 0.5
    for method in methods_of(geometry):
        grid = images.pixel_grid(geometry, method, side)
        arrays, rest = grid.mask_arrays(masks), grid.mask_arrays(~masks)
        whole = grid.mask_arrays(np.ones_like(masks))
        assert np.array_equal(arrays + rest, whole)  # every part of a cell is counted once, without rounding
        assert arrays.min() >= 0
        assert whole.max() <= 1
        if method not in resampling.CENTRED:
            areas = arrays.sum(axis=(1, 2), dtype=np.float64) * grid.cell_size**2
            np.testing.assert_allclose(areas, masks @ pixel_areas(grid), rtol=1e-3, atol=1e-9)


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
@pytest.mark.parametrize("mapping", ["shifting", *resampling.METHODS])
@pytest.mark.parametrize("mode", ["PIXELS_TIMING_3C", "PIXELS_TIMING_MASK_3C"])
def test_cleaned_images_are_those_of_pixels_set_to_0(mapping, dtype, mode):
    geometry = lattice("hexagon", 10, 0.05, 9)
    charges, times, masks = light(geometry)
    grid = images.pixel_grid(geometry, mapping)
    cleaned = section(mode=mode, dtype=dtype, cleaned=True)
    spoilt, late = charges.copy(), times.copy()
    spoilt[~masks], late[~masks] = np.resize([np.nan, np.inf, -1e9, 1e9, -5], (~masks).sum()), np.nan
    before = spoilt.copy()
    made, counts = images.make_images(spoilt, late, grid, cleaned, masks)
    assert np.array_equal(spoilt, before, equal_nan=True)
    expected, _ = images.make_images(charges * masks, times * masks, grid, cleaned | {"cleaned": False}, masks)
    assert np.array_equal(made, expected)
    assert not any(count.any() for name, count in counts._asdict().items() if name != "negative")
    if mapping != "bicubic":  # whose weights may be negative
        assert not counts.negative.any()


def test_pixels_that_are_kept_are_counted():
    geometry = lattice("hexagon", 10, 0.05, 9)
    charges, times, masks = light(geometry)
    image, pixel = np.argwhere(masks)[0]
    charges[image, pixel], times[image, pixel] = np.nan, -3
    settings_ = section(mode="PIXELS_TIMING_MASK_3C", dtype="uint16", cleaned=True)
    made, counts = images.make_images(charges, times, images.pixel_grid(geometry), settings_, masks)
    assert (counts.not_finite.sum(), counts.negative_time.sum(), counts.negative.sum()) == (1, 1, 0)
    charges[image, pixel] = -3
    made, counts = images.make_images(charges, times, images.pixel_grid(geometry), settings_, masks)
    assert (counts.not_finite.sum(), counts.negative_time.sum(), counts.negative.sum()) == (0, 1, 1)
    assert (made[..., -1] == 100).sum() == masks.sum()


@pytest.mark.parametrize("wanted", [{}, {"mode": "PIXELS_TIMING_MASK_3C"}, {"mode": "PIXELS_1C", "cleaned": True}])
def test_masks_that_are_missing_or_others_are_refused(wanted):
    geometry = lattice("hexagon", 10, 0.05, 9)
    charges, times, masks = light(geometry)
    grid = images.pixel_grid(geometry)
    for wrong, message in (
        (None, "masks: .* mode with MASK and cleaned = True need the pixels that the cleaning keeps"),
        (masks[:2], r"masks: bool \(2, \d+\), must be bool \(4, "),
        (masks.astype(np.uint8), "masks: uint8 .*, must be bool"),
    ):
        with pytest.raises(ValueError, match=message):
            images.make_images(charges, times, grid, section(**wanted), wrong)


def test_other_modes_do_without_masks():
    geometry = lattice("hexagon", 10, 0.05, 9)
    charges, times, masks = light(geometry)
    grid, settings_ = images.pixel_grid(geometry), section(mode="PIXELS_TIMING_3C")
    without, _ = images.make_images(charges, times, grid, settings_)
    with_masks, _ = images.make_images(charges, times, grid, settings_, masks)
    assert np.array_equal(without, with_masks)
    assert not without[..., 2].any()
