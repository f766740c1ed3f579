"""Image parameters against those of ctapipe's ImageProcessor, image by image."""

import copy
import warnings

import astropy.units as u
import numpy as np
import pytest
from ctapipe.calib import CameraCalibrator
from ctapipe.io import SimTelEventSource
from helpers.ctapipe_parameters import AUTO, NAMES, assert_same, ctapipe_values, processor
from helpers.marks import quick_and_slow
from helpers.real_files import REAL_FILES
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from image_extractor.demo.cameras import CAMERAS
from image_extractor.parameters import camera_parameters as room
from image_extractor.parameters.camera_parameters import CameraParameters, camera_parameters
from image_extractor.parameters.cleaning import Thresholds

LOW = {**AUTO, "picture": 3.0, "neighbours": 0}


class Side:
    """Both ways beside each other, for the telescopes of a file."""

    def __init__(self, path):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with SimTelEventSource(path, focal_length_choice="EQUIVALENT") as source:
                self.subarray = source.subarray
        self.by_camera = {str(tel.camera.name): tel_id for tel_id, tel in self.subarray.tel.items()}
        self._processors = {}

    def compare(self, tel_id, image, peak_time, settings=AUTO, mask=None):
        """Compare masks and rows of an image; return ours."""
        key = repr(settings)
        if key not in self._processors:
            self._processors[key] = processor(self.subarray, settings)
        process = self._processors[key]
        camera = camera_parameters(self.subarray.tel[tel_id], settings)
        expected_mask, expected = ctapipe_values(process, tel_id, image, peak_time, mask)
        if mask is None:
            mask = camera.clean(image)
            np.testing.assert_array_equal(mask, expected_mask)
        found = camera.values(image, mask, peak_time)
        assert_same(found, expected)
        return found

    def geometry(self, camera):
        return self.subarray.tel[self.by_camera[camera]].camera.geometry

    def kept(self, camera, pixels, charges=10.0):
        """Compare an image of these pixels and no others, with peak times that rise; return ours."""
        geometry = self.geometry(camera)
        image, mask = np.zeros(geometry.n_pixels, np.float32), np.zeros(geometry.n_pixels, bool)
        image[pixels], mask[pixels] = charges, True
        times = (20 + 3 * geometry.pix_x.to_value("m")).astype(np.float32)
        return self.compare(self.by_camera[camera], image, times, mask=mask)


@pytest.fixture(scope="session")
def side(gammas):
    return Side(gammas[0])


def column(row, name):
    return row[NAMES.index(name)]


@pytest.mark.slow
@pytest.mark.parametrize("settings", quick_and_slow([AUTO, LOW], LOW), ids=["auto", "low"])
def test_bright_demo_images_of_all_cameras(side, gamma_images, settings):
    n = 0
    for _, tel_id, _, dl1, _ in gamma_images:
        n += np.isfinite(side.compare(tel_id, dl1.image, dl1.peak_time, settings)[0])
    assert n > 100


@pytest.mark.parametrize("name", quick_and_slow(REAL_FILES, "history_meta_75.simtel.zst"))
def test_real_images(real, name):
    path = real(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        side = Side(path)
        with SimTelEventSource(path, focal_length_choice="EQUIVALENT", skip_calibration_events=True) as source:
            calibrate, n = CameraCalibrator(source.subarray), 0
            for event in source:
                calibrate(event)
                for tel_id, dl1 in event.dl1.tel.items():
                    for settings in (AUTO, LOW):
                        side.compare(tel_id, dl1.image, dl1.peak_time, settings)
                        n += 1
    assert n


@pytest.mark.slow
def test_ctapipe_itself_is_seldom_asked(gamma_images, monkeypatch):
    asked = []
    monkeypatch.setattr(room, "ctapipe_ellipse", lambda *args: asked.append(args))
    monkeypatch.setattr(room, "ctapipe_line", lambda *args: asked.append(args))
    n = 0
    for _, _, telescope, dl1, _ in gamma_images:
        camera = camera_parameters(telescope, AUTO)
        mask = camera.clean(dl1.image)
        if mask.sum() > 3:
            camera.values(dl1.image, mask, dl1.peak_time)
            n += 1
    assert len(asked) < 0.03 * n


@pytest.mark.parametrize("camera", [name for name, *_ in CAMERAS.values()])
@examples(deadline=None)  # the first one compiles
@given(data=st.data())
def test_any_clusters(side, camera, data):
    """Of one pixel or hundreds, with charges that are random or all the same, with times or without."""
    geometry = side.geometry(camera)
    generator = np.random.default_rng(data.draw(st.integers(0, 10_000), "seed"))
    mask = np.zeros(geometry.n_pixels, bool)
    for size in data.draw(st.lists(st.sampled_from([1, 2, 3, 4, 6, 15, 60, 300]), min_size=1, max_size=3), "sizes"):
        mask[cluster(geometry, generator, size)] = True
    charges = {
        "equal": np.full(geometry.n_pixels, 7.3),
        "whole": generator.integers(1, 4, geometry.n_pixels).astype(float),
        "any": generator.gamma(1, 30, geometry.n_pixels),
    }[data.draw(st.sampled_from(["any", "equal", "whole"]), "charges")]
    times = {
        "any": generator.normal(20, 3, geometry.n_pixels),
        "line": 20 + 10 * geometry.pix_x.to_value("m") + generator.normal(0, 0.1, geometry.n_pixels),
        "equal": np.full(geometry.n_pixels, 12.5),
        "not finite": np.where(generator.random(geometry.n_pixels) < 0.1, np.nan, 5 + generator.random()),
    }[data.draw(st.sampled_from(["any", "line", "equal", "not finite"]), "times")]
    dtype = data.draw(st.sampled_from(["f4", "f8"]), "dtype")
    charges[~mask & (generator.random(geometry.n_pixels) < 0.5)] = np.nan
    times = None if data.draw(st.booleans(), "no times") else times.astype(dtype)
    side.compare(side.by_camera[camera], charges.astype(dtype), times, mask=mask)


def cluster(geometry, generator, size):
    """Return connected pixels."""
    neighbours = geometry.neighbor_matrix_sparse
    pixels, border = set(), {int(generator.integers(geometry.n_pixels))}
    while border and len(pixels) < size:
        pixel = sorted(border)[generator.integers(len(border))]
        pixels.add(pixel)
        border |= set(neighbours.indices[neighbours.indptr[pixel] : neighbours.indptr[pixel + 1]].tolist())
        border -= pixels
    return sorted(pixels)


@pytest.mark.parametrize("camera", ["LSTCam", "FlashCam", "CHEC"])
def test_few_pixels(side, camera):
    neighbours = side.geometry(camera).neighbor_matrix_sparse
    beside = neighbours.indices[neighbours.indptr[100] : neighbours.indptr[101]]
    for pixels in ([], [100]):
        row = side.kept(camera, pixels)
        assert np.isnan(column(row, "hillas_intensity"))
        assert column(row, "morphology_n_pixels") == -1
    assert column(side.kept(camera, [100, beside[0]], [3, 4]), "morphology_n_pixels") == 2
    side.kept(camera, [100, beside[0]])
    side.kept(camera, [100, *beside[:2]])
    side.kept(camera, [100, *beside[:2]], [5, 6, 8])


@pytest.mark.parametrize("camera", ["LSTCam", "FlashCam", "ASTRICam", "SCTCam"])
def test_pixels_in_a_line_and_round_images(side, camera):
    geometry = side.geometry(camera)
    x, y = geometry.pix_x.to_value("m"), geometry.pix_y.to_value("m")
    centre = np.argmin(np.hypot(x, y))
    width = geometry.pixel_width[0].to_value("m")
    distance = np.hypot(x - x[centre], y - y[centre])
    for radius in (1.3, 2.1, 4.1):
        side.kept(camera, np.flatnonzero(distance < radius * width))
    nearest = np.argsort(distance)[1]
    angle = np.arctan2(y[nearest] - y[centre], x[nearest] - x[centre])
    for turn in np.radians([0, 60, 90]):
        across = (x - x[centre]) * -np.sin(angle + turn) + (y - y[centre]) * np.cos(angle + turn)
        line = np.flatnonzero((abs(across) < 0.1 * width) & (distance < 6 * width))
        side.kept(camera, line)
        side.kept(camera, line, np.linspace(5, 9, len(line)))


@pytest.mark.parametrize("value", [np.inf, -1.0, np.nan])
def test_charges_that_no_cleaning_keeps(side, value):
    """As ctapipe has it, and no parameters at all where it raises an error."""
    tel_id = side.by_camera["NectarCam"]
    camera, process = camera_parameters(side.subarray.tel[tel_id], AUTO), processor(side.subarray)
    image, mask = np.full(camera.n_pixels, 5, np.float32), np.ones(camera.n_pixels, bool)
    image[7] = value
    try:
        _, expected = ctapipe_values(process, tel_id, image, image, mask)
    except (ValueError, RuntimeError):
        expected = np.where(np.char.startswith(NAMES, "morphology"), -1, np.nan)
    assert_same(camera.values(image, mask, image), expected)


def test_what_is_no_image_of_the_camera_is_refused(side):
    camera = camera_parameters(side.subarray.tel[side.by_camera["CHEC"]], AUTO)
    image, mask = np.ones(camera.n_pixels, np.float32), np.ones(camera.n_pixels, bool)
    for wrong in [
        lambda: camera.clean(image[:-1]),
        lambda: camera.clean(image.astype(int)),
        lambda: camera.values(image, mask[:-1]),
        lambda: camera.values(image, mask.astype(int)),
        lambda: camera.values(image, mask, image[1:]),
    ]:
        with pytest.raises(ValueError, match=r"of CHEC: .* array .* must be"):
            wrong()


def test_one_result_whatever_came_before(side, gamma_images):
    """ctapipe's own lines through peak times depend on it."""
    for _, _, telescope, dl1, _ in gamma_images[:20]:
        camera = camera_parameters(telescope, LOW)
        mask = camera.clean(dl1.image)
        first = camera.values(dl1.image, mask, dl1.peak_time)
        side.kept("LSTCam", [1, 2, 3])
        np.testing.assert_array_equal(camera.values(dl1.image, mask, dl1.peak_time), first)


def test_same_cameras_share_one_but_not_with_another_focal_length(side):
    telescope = side.subarray.tel[side.by_camera["LSTCam"]]
    other, longer = copy.deepcopy(telescope), copy.deepcopy(telescope)
    frame = longer.camera.geometry.frame
    longer.camera.geometry.frame = type(frame)(focal_length=frame.focal_length * 1.05, rotation=frame.rotation)
    assert longer.camera.geometry == telescope.camera.geometry
    one = camera_parameters(telescope, AUTO)
    assert camera_parameters(other, AUTO) is one
    assert camera_parameters(longer, AUTO) is not one
    assert camera_parameters(telescope, LOW) is not one


def test_the_geometry_stays_as_it_is(side):
    geometry = copy.deepcopy(side.geometry("FlashCam"))
    before = dict(vars(geometry))
    CameraParameters(geometry, Thresholds(9.0, 4.5, 2))
    assert vars(geometry).keys() == before.keys()
    assert all(vars(geometry)[name] is value for name, value in before.items())
    assert geometry.pix_x.unit == u.m
    assert not geometry._border_cache or geometry._border_cache == before["_border_cache"]
