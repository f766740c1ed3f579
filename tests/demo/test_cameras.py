"""The cameras of the demo: pixels, light and readout as in the real ones, and the light comes out of the calibration."""

import numpy as np
import pytest
from ctapipe.io import SimTelEventSource
from eventio import SimTelFile
from helpers.demo_images import TYPES, WINDOWS

from image_extractor.demo.cameras import CAMERAS, build_camera

pytestmark = pytest.mark.usefixtures("warnings_are_errors")


#: Mean of x and y (mm) of the pixels of the real cameras, as their file has them, weighted with cos(number of pixel^2):
#: another place, or another order, is another number.
WEIGHTED_PLACES = {
    "LST": (-2.7488, 9.3982),
    "MSTN": (-2.7488, 9.3982),
    "MSTF": (0.5914, -18.9126),
    "SCT": (1.7239, 0.1067),
    "SSTC": (0.5986, -0.8862),
    "SSTA": (-0.7816, -0.2345),
    "SSTD": (3.8008, 3.1061),
}


def weighted_place(x, y):
    """Return what WEIGHTED_PLACES has; x, y : float arrays (n_pixels,), m."""
    weights = np.cos(np.arange(len(x)) ** 2)
    return 1000 * np.mean(weights * x), 1000 * np.mean(weights * y)


@pytest.fixture(scope="module")
def real_cameras(real):
    """Camera settings and organisation of the real telescopes by number of pixels and focal length."""
    with SimTelFile(real("calib_events.simtel.gz")) as file:
        described = list(file.telescope_descriptions.values())
    return {
        (d["camera_settings"]["n_pixels"], round(float(d["camera_settings"]["focal_length"]), 2)): d for d in described
    }


@pytest.mark.parametrize("tel_type", CAMERAS)
def test_pixels_stand_where_those_of_the_real_camera_do(tel_type):
    camera = build_camera(tel_type)
    assert weighted_place(camera.pixel_x, camera.pixel_y) == pytest.approx(WEIGHTED_PLACES[tel_type], abs=3e-4)


@pytest.mark.parametrize("tel_type", CAMERAS)
def test_pixels_are_those_of_the_real_camera(real_cameras, tel_type):
    camera = build_camera(tel_type)
    real = real_cameras[camera.n_pixels, round(camera.focal_length, 2)]
    settings, organization = real["camera_settings"], real["camera_organization"]
    place = weighted_place(settings["pixel_x"], settings["pixel_y"])
    assert place == pytest.approx(WEIGHTED_PLACES[tel_type], abs=1e-4)
    near = 0.01e-3  # m
    np.testing.assert_allclose(camera.pixel_x, settings["pixel_x"], atol=near)
    np.testing.assert_allclose(camera.pixel_y, settings["pixel_y"], atol=near)
    assert camera.rotation == pytest.approx(settings["cam_rot"], abs=1e-5)
    assert camera.pixel_shape == settings["pixel_shape"][0]
    assert camera.pixel_area == pytest.approx(settings["pixel_area"][0], rel=1e-4)
    assert camera.mirror_area == pytest.approx(settings["mirror_area"], rel=0.03)
    assert camera.n_gains == organization["n_gains"]
    if tel_type != "SCT":  # whose real file counts each pixel as a module; ours are of 8 x 8 pixels
        np.testing.assert_array_equal(camera.module, organization["drawer"])


@pytest.mark.parametrize("tel_type", CAMERAS)
def test_light_finds_its_pixel_as_ctapipe_sees_it(gammas, tel_type):
    camera = build_camera(tel_type)
    with SimTelEventSource(gammas[0]) as source:
        telescope = source.subarray.tel[2 * list(CAMERAS).index(tel_type) + 1]
    assert str(telescope) == TYPES[tel_type]
    geometry = telescope.camera.geometry
    x, y = geometry.pix_x.to_value("m"), geometry.pix_y.to_value("m")
    rng = np.random.default_rng(3)
    reach = 0.33 * camera.pixel_size  # stays within any pixel
    for dx, dy in rng.uniform(-1, 1, (10, 2)) * reach:
        np.testing.assert_array_equal(camera.pixel_of(x + dx, y + dy), np.arange(camera.n_pixels))
    far = 3 * np.hypot(x, y).max()
    assert list(camera.pixel_of(np.array([far, 0.0]), np.array([0.0, -far]))) == [-1, -1]


@pytest.mark.parametrize("tel_type", CAMERAS)
def test_readout_is_described(gammas, tel_type):
    camera = build_camera(tel_type)
    with SimTelEventSource(gammas[0]) as source:
        described = source.subarray.tel[2 * list(CAMERAS).index(tel_type) + 1].camera.readout
    assert described.n_samples == camera.n_samples
    assert described.n_channels == camera.n_gains
    assert described.sampling_rate.to_value("GHz") == pytest.approx(1 / camera.sample_time)
    assert described.reference_pulse_shape.shape[0] == camera.n_gains
    assert described.reference_pulse_shape.max() == 1


@pytest.mark.parametrize("camera", WINDOWS)
def test_calibrated_charge_is_the_injected_one(gamma_images, camera):
    bright = [(dl1.image, true) for _, _, tel, dl1, true in gamma_images if tel.camera.name == camera]
    bright = [(image, true) for image, true in bright if true.sum() > 200]
    assert len(bright) >= 3
    image, true = (np.concatenate(values) for values in zip(*bright, strict=True))
    assert np.corrcoef(image, true)[0, 1] > 0.95
    # Where the light is: a window that searches a peak finds one in dark pixels too.
    ratio = np.array([image[true >= 2].sum() / true[true >= 2].sum() for image, true in bright])
    assert np.median(ratio) == pytest.approx(1, abs=0.05)
    assert np.mean(np.abs(ratio - 1) < 0.1) >= 0.9


def test_low_gain_takes_over_in_bright_pixels(gammas):
    low = 0
    with SimTelEventSource(gammas[0]) as source:
        for event in source:
            for tel_id, r1 in event.r1.tel.items():
                if source.subarray.tel[tel_id].camera.name not in ("LSTCam", "NectarCam"):
                    continue
                true = event.simulation.tel[tel_id].true_image
                switched = (r1.selected_gain_channel == 1) & (true > 0)
                assert (true[r1.selected_gain_channel == 1] > 50).all()
                if switched.any():
                    low += switched.sum()
                    ratio = r1.waveform[0][switched].sum() / true[switched].sum()
                    assert ratio == pytest.approx(1, abs=0.15)
    assert low > 10
