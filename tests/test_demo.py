"""What the synthetic files promise, seen through eventio and ctapipe, and through the command."""

import gzip
import os
import subprocess
import sys
import warnings
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from ctapipe.calib import CameraCalibrator
from ctapipe.containers import EventType
from ctapipe.image import hillas_parameters, number_of_islands, tailcuts_clean
from ctapipe.io import SimTelEventSource
from eventio import EventIOFile, SimTelFile
from traitlets.config import Config

from image_extractor import demo, demo_production, demo_readout, demo_showers, eventio_writer
from image_extractor.demo_cameras import CAMERAS, build_camera
from image_extractor.errors import ConfigError

ALL_CAMERAS = dict.fromkeys(CAMERAS, 2)
TYPES = {
    "LST": "LST_LST_LSTCam",
    "MSTN": "MST_MST_NectarCam",
    "MSTF": "MST_MST_FlashCam",
    "SCT": "MST_SCT_SCTCam",
    "SSTC": "SST_GCT_CHEC",
    "SSTA": "SST_ASTRI_ASTRICam",
    "SSTD": "SST_1M_DigiCam",
}
# Samples that hold the pulse and the light's spread in time.
WINDOWS = {"LSTCam": 8, "NectarCam": 12, "FlashCam": 8, "SCTCam": 8, "CHEC": 16, "ASTRICam": 1, "DigiCam": 8}

REAL_CAMERAS = "calib_events.simtel.gz"
REAL_FOLDERS = [os.environ.get("IMAGE_EXTRACTOR_TEST_DATA"), Path(__file__).parents[2] / "shared/simtel"]


@pytest.fixture(autouse=True)
def warnings_are_errors():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.fixture(scope="module")
def gammas(tmp_path_factory):
    """Bright gammas in all cameras: the path, the settings, and what the generator handed to the byte writer."""
    path = tmp_path_factory.mktemp("gamma") / "gamma.simtel.gz"
    settings = {"events": 30, "telescopes": ALL_CAMERAS, "energy": (0.5, 30), "reuse": 2, "run": 42, "seed": 7}
    written = {"mc_shower": {}, "mc_event": {}, "telescope_event": {}, "photoelectrons": []}

    def spy(name, keep):
        original = getattr(eventio_writer, name)

        def wrapped(*args):
            keep(written[name], args)
            return original(*args)

        return wrapped

    with pytest.MonkeyPatch.context() as patch:
        for name, keep in {
            "mc_shower": lambda kept, args: kept.update({args[0]: args[1]}),
            "mc_event": lambda kept, args: kept.update({args[0]: args[1:]}),
            "telescope_event": lambda kept, args: kept.update({args[:2]: args[2:]}),
            "photoelectrons": lambda kept, args: kept.append(args),
        }.items():
            patch.setattr(eventio_writer, name, spy(name, keep))
        summary = demo.write_demo_file(path, **settings)
    return path, summary, written


@pytest.fixture(scope="module")
def protons(tmp_path_factory):
    path = tmp_path_factory.mktemp("proton") / "proton.simtel.zst"
    demo.write_demo_file(path, events=25, telescopes=ALL_CAMERAS, energy=(1, 30), primary="proton", seed=7)
    return path


def calibrated(path):
    """Every telescope image of a file: (ctapipe event, telescope id, telescope, calibrated DL1, true image)."""
    with SimTelEventSource(path) as source:
        cameras = {str(tel.camera.name): tel_id for tel_id, tel in source.subarray.tel.items()}
        widths = [("id", cameras[name], WINDOWS[name]) for name in cameras]
        widths += [("id", tel_id, WINDOWS[str(tel.camera.name)]) for tel_id, tel in source.subarray.tel.items()]
        shifts = [(kind, tel_id, width // 2) for kind, tel_id, width in widths]
        window = {"window_width": widths, "window_shift": shifts}
        config = Config({"CameraCalibrator": {"NeighborPeakWindowSum": window}})
        calibrator = CameraCalibrator(source.subarray, config=config, image_extractor_type="NeighborPeakWindowSum")
        for event in source:
            calibrator(event)
            for tel_id, dl1 in event.dl1.tel.items():
                true = event.simulation.tel[tel_id].true_image
                yield event, tel_id, source.subarray.tel[tel_id], dl1, true


@pytest.fixture(scope="module")
def gamma_images(gammas):
    return list(calibrated(gammas[0]))


@pytest.fixture(scope="module")
def proton_images(protons):
    return list(calibrated(protons))


def cleaned(telescope, dl1):
    """Which pixels are left of an image; smaller pixels get less light."""
    picture = 3 if telescope.camera.name == "SCTCam" else 6  # p.e.
    geometry = telescope.camera.geometry
    return tailcuts_clean(geometry, dl1.image, picture, picture / 2, min_number_picture_neighbors=1)


def hillas(telescope, dl1):
    """Hillas parameters of the cleaned image in the camera frame (m), and its pixels."""
    mask = cleaned(telescope, dl1)
    return hillas_parameters(telescope.camera.geometry[mask], dl1.image[mask]), mask


# The file as a whole


def test_eventio_reads_back_every_event(gammas):
    path, summary, written = gammas
    with SimTelFile(path, skip_non_triggered=False) as file:
        assert (file.header["run"], file.n_telescopes) == (42, 14)
        events = list(file)
        assert file.histograms[0]["id"] == 6
    assert [event["event_id"] for event in events] == list(written["mc_event"])
    triggered = {}
    for event in events:
        shower_id, core_x, core_y = written["mc_event"][event["event_id"]]
        assert event["event_id"] // 100 == shower_id == event["mc_shower"]["shower"]
        assert event["mc_event"]["xcore"] == np.float32(core_x)
        assert event["mc_event"]["ycore"] == np.float32(core_y)
        truth, read = written["mc_shower"][shower_id], event["mc_shower"]
        names = {"primary_id": "primary_id", "energy": "energy", "azimuth": "az", "altitude": "alt", "xmax": "xmax"}
        for name, ours in names.items():
            assert read[name] == np.float32(truth[ours])
        assert read["h_first_int"] == np.float32(truth["h_first_int"])
        triggered.update({(event["event_id"], tel): data for tel, data in event.get("telescope_events", {}).items()})
    assert set(triggered) == set(written["telescope_event"])
    for key, data in triggered.items():
        adc = written["telescope_event"][key][3]
        read = data["adc_samples"] if "adc_samples" in data else data["adc_sums"][..., np.newaxis]
        np.testing.assert_array_equal(read, adc)
    assert len({event_id for event_id, _ in triggered}) == summary.events


def test_ctapipe_reads_ids_truth_telescopes_and_triggers(gammas, gamma_images):
    path, summary, written = gammas
    with SimTelEventSource(path) as source:
        events = list(source)
        distribution = source.simulated_shower_distributions[42]
    telescopes = {}
    for event_id, tel_id in written["telescope_event"]:
        telescopes.setdefault(event_id, []).append(tel_id)
    assert [event.index.event_id for event in events] == list(telescopes)
    for event in events:
        shower_id, core_x, core_y = written["mc_event"][event.index.event_id]
        truth, shower = written["mc_shower"][shower_id], event.simulation.shower
        assert event.index.obs_id == 42
        assert event.trigger.event_type is EventType.SUBARRAY
        assert list(event.trigger.tels_with_trigger) == telescopes[event.index.event_id] == list(event.r1.tel)
        assert len(event.r1.tel) >= 2
        assert shower.energy.to_value("TeV") == np.float32(truth["energy"])
        assert (shower.core_x.to_value("m"), shower.core_y.to_value("m")) == (np.float32(core_x), np.float32(core_y))
        assert shower.shower_primary_id == 0
        for tel_id, trigger in event.trigger.tel.items():
            assert list(trigger.trigger_pixels) == list(written["telescope_event"][event.index.event_id, tel_id][4])
    assert distribution.n_entries == distribution.histogram.sum() == summary.simulated == len(written["mc_event"])


def test_true_images_are_the_injected_photoelectrons(gammas, gamma_images):
    injected = [(tel_id, pixel) for tel_id, pixel, _, _ in gammas[2]["photoelectrons"]]
    assert len(injected) == len(gamma_images)
    for (tel_id, pixel), (event, read_id, _, _, true) in zip(injected, gamma_images, strict=True):
        assert tel_id == read_id
        np.testing.assert_array_equal(true, np.bincount(pixel, minlength=true.size))
        assert event.simulation.tel[tel_id].true_image_sum == pixel.size


def test_untriggered_showers_have_no_array_event(tmp_path):
    path = tmp_path / "dim.simtel"
    summary = demo.write_demo_file(path, events=4, telescopes="LST:2", energy=(0.02, 0.05), reuse=3)
    objects, last = [], None
    with EventIOFile(path) as file:
        for item in file:
            if item.header.type in (2020, 2021, 2010):
                objects.append((item.header.type, item.header.id))
            last = item.header.type
    events = [object_id for kind, object_id in objects if kind == 2021]
    triggered = [object_id for kind, object_id in objects if kind == 2010]
    assert last == 100
    assert events == [100 * shower + use for shower in range(1, summary.showers + 1) for use in range(3)]
    assert len(triggered) == summary.events >= 4
    assert len(triggered) < len(events) == summary.simulated
    for kind, object_id in objects:
        if kind == 2010:  # comes right after its MCEvent
            assert objects[objects.index((2010, object_id)) - 1] == (2021, object_id)


def test_header_tells_how_the_showers_were_made(tmp_path):
    path = tmp_path / "proton.simtel"
    summary = demo.write_demo_file(
        path, events=3, telescopes="MSTF:3", primary="proton", energy="0.5,20", spectral_index=-2.7, run=9, reuse=2
    )
    with SimTelEventSource(path) as source:
        (config,) = source.simulation_config.values()
        pointing = source.observation_blocks[9].subarray_pointing_lat
        directions = [(event.simulation.shower.alt, event.simulation.shower.az) for event in source]
        assert source.atmosphere_density_profile is not None
    assert (config.run_number, config.n_showers, config.shower_reuse) == (9, summary.showers, 2)
    assert (config.energy_range_min, config.energy_range_max) == (0.5 * u.TeV, 20 * u.TeV)
    assert config.spectral_index == np.float32(-2.7)
    assert config.max_scatter_range == 350 * u.m
    assert (config.diffuse, config.max_viewcone_radius) == (1, 2 * u.deg)
    assert config.min_alt.to_value("deg") == pytest.approx(70)
    for alt, az in directions:
        assert np.hypot((alt - pointing).to_value("deg"), np.sin(az.rad) * np.cos(alt.rad) * 180 / np.pi) <= 2.01


def test_default_array_triggers_on_most_showers(tmp_path):
    path = tmp_path / "default.simtel.zst"
    summary = demo.write_demo_file(path, events=12)
    assert summary.events >= 0.5 * summary.simulated
    with SimTelEventSource(path) as source:
        assert [str(tel) for tel in source.subarray.tel.values()] == [
            *[TYPES["LST"]] * 4,
            *[TYPES["MSTN"]] * 6,
            *[TYPES["MSTF"]] * 3,
            *[TYPES["SCT"]] * 5,
            *[TYPES["SSTC"]] * 4,
        ]
        assert any(len(event.r1.tel) < len(source.subarray.tel) for event in source)


@pytest.mark.parametrize("tel_type", CAMERAS)
def test_one_telescope_alone(tmp_path, tel_type):
    path = tmp_path / "one.simtel.gz"
    demo.write_demo_file(path, events=2, telescopes={tel_type: 1}, energy=(3, 30))
    with SimTelEventSource(path) as source:
        assert str(source.subarray.tel[1]) == TYPES[tel_type]
        assert [list(event.r1.tel) for event in source] == [[1]] * len(list(SimTelFile(path)))


def test_telescopes_do_not_stand_on_each_other():
    array = demo_production.make_array(dict.fromkeys(CAMERAS, 12))
    distance = np.linalg.norm(array.position[:, np.newaxis, :2] - array.position[np.newaxis, :, :2], axis=-1)
    assert distance[np.triu_indices(len(distance), 1)].min() > 15


@pytest.mark.parametrize("primary", ["gamma", "electron", "proton", "helium"])
def test_primaries(tmp_path, primary):
    path = tmp_path / "out.simtel"
    demo.write_demo_file(path, events=2, telescopes="LST:2", primary=primary)
    with SimTelEventSource(path) as source:
        found = {event.simulation.shower.shower_primary_id for event in source}
    assert found == {{"gamma": 0, "electron": 1, "proton": 101, "helium": 402}[primary]}


# Same settings, same bytes


@pytest.mark.parametrize("suffix", [".simtel", ".simtel.gz", ".simtel.zst"])
def test_same_settings_give_the_same_bytes(tmp_path, suffix):
    settings = {"events": 2, "telescopes": "LST:1,SSTA:1", "energy": "1,10"}
    paths = [tmp_path / f"{name}{suffix}" for name in ("a", "b", "other_seed", "other_run")]
    for path, extra in zip(paths, ({}, {}, {"seed": 1}, {"run": 2}), strict=True):
        demo.write_demo_file(path, **settings, **extra)
    first, second, *others = (path.read_bytes() for path in paths)
    assert first == second
    assert first not in others
    assert others[0] != others[1]
    magic = {".simtel": b"\x37\x8a\x1f\xd4", ".simtel.gz": b"\x1f\x8b\x08\x00\x00\x00\x00\x00"}
    assert first.startswith(magic.get(suffix, b"\x28\xb5\x2f\xfd"))


def test_suffix_only_changes_the_compression(tmp_path):
    paths = [tmp_path / f"a{suffix}" for suffix in (".simtel", ".simtel.gz")]
    for path in paths:
        demo.write_demo_file(path, events=1, telescopes="LST:1")
    assert gzip.decompress(paths[1].read_bytes()) == paths[0].read_bytes()


def test_more_events_begin_with_the_same_showers(tmp_path):
    energies = []
    for events in (2, 5):
        path = tmp_path / f"{events}.simtel"
        demo.write_demo_file(path, events=events, telescopes="LST:2")
        with SimTelEventSource(path) as source:
            energies.append([float(event.simulation.shower.energy.value) for event in source])
    assert energies[0] == energies[1][:2]


# Cameras


@pytest.fixture(scope="module")
def real_cameras():
    """Camera settings and organisation of the real telescopes by number of pixels and focal length."""
    paths = [Path(folder) / REAL_CAMERAS for folder in REAL_FOLDERS if folder]
    path = next((path for path in paths if path.exists()), None)
    if path is None:
        pytest.skip(f"no {REAL_CAMERAS} at hand: set IMAGE_EXTRACTOR_TEST_DATA")
    with SimTelFile(path) as file:
        described = list(file.telescope_descriptions.values())
    return {
        (d["camera_settings"]["n_pixels"], round(float(d["camera_settings"]["focal_length"]), 2)): d for d in described
    }


@pytest.mark.parametrize("tel_type", CAMERAS)
def test_pixels_are_those_of_the_real_camera(real_cameras, tel_type):
    camera = build_camera(tel_type)
    real = real_cameras[camera.n_pixels, round(camera.focal_length, 2)]
    settings, organization = real["camera_settings"], real["camera_organization"]
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


# Images


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


def test_major_axis_points_to_the_source(gamma_images):
    misses = []
    for event, _, telescope, dl1, true in gamma_images:
        if true.sum() < 500:
            continue
        focal_length = telescope.camera.geometry.frame.focal_length.to_value("m")
        shower, pointing = event.simulation.shower, event.monitoring.pointing
        offset = (shower.alt - pointing.array_altitude).to_value("rad")
        assert offset == pytest.approx(np.deg2rad(0.5), rel=1e-3)  # the source, above the pointing
        parameters, _ = hillas(telescope, dl1)
        dx = focal_length * np.tan(offset) - parameters.x.to_value("m")
        dy = -parameters.y.to_value("m")
        psi = parameters.psi.to_value("rad")
        misses.append(abs(dy * np.cos(psi) - dx * np.sin(psi)) / focal_length)
    assert len(misses) > 50
    assert np.rad2deg(np.median(misses)) < 0.3


def test_stereo_reconstruction_finds_direction_and_core(gamma_images):
    """Where all conventions meet: pointing, camera frame, ground frame, cores."""
    axes = demo_showers.sky_axes(*demo_production.POINTING)
    found = {}
    for event, tel_id, telescope, dl1, true in gamma_images:
        if true.sum() > 500:
            found.setdefault(event.index.event_id, [event, []])[1].append(
                (telescope, tel_id, hillas(telescope, dl1)[0])
            )
    offsets = []
    for event, images in found.values():
        if len(images) < 4:
            continue
        normals, rows = [], []
        for telescope, _, parameters in images:
            f = telescope.camera.geometry.frame.focal_length
            x, y = (parameters.x / f).to_value(""), (parameters.y / f).to_value("")
            psi = parameters.psi.to_value("rad")
            centre, ahead = np.array([1, x, y]) @ axes, np.array([1, x + np.cos(psi), y + np.sin(psi)]) @ axes
            normal = np.cross(centre, ahead)
            normals.append(normal / np.linalg.norm(normal))
            rows.append(parameters.intensity)
        weights = np.sqrt(rows)[:, np.newaxis]
        direction = np.linalg.svd(np.array(normals) * weights)[2][-1]
        shower = event.simulation.shower
        offsets.append(np.arccos(abs(direction @ demo_showers.direction_to(shower.az.rad, shower.alt.rad))))
    assert len(offsets) >= 5
    assert np.rad2deg(np.median(offsets)) < 0.1


def test_images_grow_with_energy_and_fade_with_distance():
    array = demo_production.make_array({"LST": 1})
    core = np.zeros(2)

    def light(energy, distance, primary="gamma"):
        place = np.array([[0.0, distance, 0.0]])
        total = 0.0
        for seed in range(10):
            shower = demo_showers.make_shower(np.random.default_rng(seed), primary, energy, *demo_production.POINTING)
            total += demo_showers.expected_photoelectrons(shower, core, place, array.light_area)[0].sum()
        return total

    by_energy = [light(energy, 100) for energy in (0.1, 0.3, 1, 3, 10)]
    by_distance = [light(1, distance) for distance in (50, 100, 150, 200, 300, 500)]
    assert np.all(np.diff(by_energy) > 0)
    assert 5 < by_energy[2] / by_energy[0] < 40  # ten times the energy
    assert np.all(np.diff(by_distance) < 0)
    assert light(1, 100, "proton") < light(1, 100)


def test_gamma_images_have_a_time_gradient(gamma_images):
    """Far from the core, light from further away along the image comes later or earlier, steadily."""
    correlations = []
    for event, tel_id, telescope, dl1, true in gamma_images:
        distance = event.simulation.tel[tel_id].impact.distance.to_value("m")
        if true.sum() < 500 or distance < 120 or telescope.camera.readout.n_samples == 1:
            continue
        parameters, mask = hillas(telescope, dl1)
        psi = parameters.psi.to_value("rad")
        geometry = telescope.camera.geometry[mask]
        along = geometry.pix_x.to_value("m") * np.cos(psi) + geometry.pix_y.to_value("m") * np.sin(psi)
        correlations.append(abs(np.corrcoef(along, dl1.peak_time[mask])[0, 1]))
    assert len(correlations) > 5
    assert np.median(correlations) > 0.7


def test_protons_are_wider_and_more_irregular_than_gammas(gamma_images, proton_images):
    widths, islands = [], []
    for images in (gamma_images, proton_images):
        width, island = [], []
        for _, _, telescope, dl1, true in images:
            if true.sum() < 300 or cleaned(telescope, dl1).sum() < 5:
                continue
            parameters, mask = hillas(telescope, dl1)
            width.append((parameters.width / telescope.camera.geometry.frame.focal_length).to_value(""))
            island.append(number_of_islands(telescope.camera.geometry, mask)[0])
        widths.append(np.rad2deg(width))
        islands.append(np.mean(island))
    gamma, proton = widths
    assert min(len(gamma), len(proton)) > 50
    assert proton.mean() > 1.2 * gamma.mean()
    assert islands[1] > islands[0]
    # Even this one number tells them apart, so that a network has something to learn.
    assert (proton[:, np.newaxis] > gamma).mean() > 0.7


# Wrong usage and interruptions


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required: OUT"),
        (["out.simtel", "--events", "0"], "events: '0' is not a whole number from 1"),
        (["out.simtel", "--events", "many"], "events: 'many'"),
        (["out.simtel", "--events", "1.5"], "events: '1.5'"),
        (["out.simtel", "--telescopes", "LST:4,XST:2"], "type 'XST' is not known; there are: LST, MSTN"),
        (["out.simtel", "--telescopes", "LST"], "'LST' is not a type and a number"),
        (["out.simtel", "--telescopes", "LST:0"], "number of LST: '0'"),
        (["out.simtel", "--telescopes", "LST:1,LST:2"], "type LST is there twice"),
        (["out.simtel", "--telescopes", "LST:300,SCT:300"], "600 telescopes"),
        (["out.simtel", "--primary", "iron"], "primary 'iron' is not known; there are: gamma"),
        (["out.simtel", "--energy", "5"], "energy: '5' is not two energies"),
        (["out.simtel", "--energy", "5,1"], "from the higher to the lower"),
        (["out.simtel", "--energy", "0,1"], "energy: '0'"),
        (["out.simtel", "--energy", "nan,1"], "energy: 'nan'"),
        (["out.simtel", "--energy", "1,inf"], "energy: 'inf'"),
        (["out.simtel", "--reuse", "101"], "reuse: '101' is not a whole number from 1 to 100"),
        (["out.simtel", "--seed", "-1"], "seed: '-1'"),
        (["out.simtel", "--run", "0"], "run: '0'"),
        (["out.simtel", "--event", "3"], "unrecognized arguments: --event 3"),
        (["missing/out.simtel"], "can't write missing/out.simtel: No such file or directory"),
        (["."], "can't write .: is not a regular file"),
        (["/dev/null"], "can't write /dev/null: is not a regular file"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_2(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert demo.main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert message in err
    assert list(tmp_path.iterdir()) == []


def test_showers_that_never_trigger_are_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(demo_production, "MIN_SHOWERS", 20)
    with pytest.raises(ConfigError, match=r"only 0 of 1 events triggered in 200 showers: raise --energy"):
        demo.write_demo_file(tmp_path / "out.simtel", events=1, telescopes="SSTD:2", energy=(0.001, 0.002))
    assert list(tmp_path.iterdir()) == []


def test_unknown_settings_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="unknown setting 'event'; there are: events"):
        demo.write_demo_file(tmp_path / "out.simtel", event=3)


@pytest.mark.parametrize("value", [float("inf"), None, "x", 2.5])
def test_values_of_a_wrong_kind_are_refused(value):
    with pytest.raises(ConfigError, match="events: "):
        demo.check_settings(events=value)


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [(KeyboardInterrupt(), 130, "interrupted"), (OSError(28, "No space left on device"), 2, "No space left on device")],
)
def test_what_stops_half_way_leaves_the_old_file(tmp_path, monkeypatch, capsys, error, code, message):
    path = tmp_path / "out.simtel.gz"
    path.write_bytes(b"old")
    digitise = demo_readout.digitise
    calls = []

    def stop_later(*args):
        calls.append(args)
        if len(calls) > 3:
            raise error
        return digitise(*args)

    monkeypatch.setattr(demo_readout, "digitise", stop_later)
    assert demo.main([str(path), "--events", "5", "--telescopes", "LST:2"]) == code
    assert len(calls) == 4
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == b"old"


def test_the_command_writes_and_says_what(tmp_path):
    path = tmp_path / "out.simtel.gz"
    command = [sys.executable, "-W", "error", "-m", "image_extractor.demo", str(path)]
    command += ["--events", "2", "--telescopes", "LST:2", "--spectral_index", "-2"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("\n") == 1
    assert f"{path}: 2 events of " in done.stdout
    assert "4 LSTCam" in done.stdout or "3 LSTCam" in done.stdout
    with SimTelFile(path) as file:
        assert len(list(file)) == 2


def test_help_needs_none_of_the_heavy_packages():
    code = (
        "import sys\nfrom image_extractor import demo\n"
        "try:\n    demo.main(['--help'])\nexcept SystemExit as stop:\n    assert stop.code == 0\n"
        "print(sorted({'numpy', 'scipy', 'ctapipe', 'eventio', 'tables'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("[]\n")
    assert all(f"--{name}" in done.stdout for name in demo.SETTINGS)
