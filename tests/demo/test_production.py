"""What the synthetic files hold, seen through eventio and ctapipe, and that the same settings give the same bytes."""

import gzip

import astropy.units as u
import numpy as np
import pytest
from ctapipe.containers import EventType
from ctapipe.io import SimTelEventSource
from eventio import EventIOFile, SimTelFile
from helpers.demo_images import TYPES

from image_extractor import demo
from image_extractor.demo import production
from image_extractor.demo.cameras import CAMERAS

pytestmark = pytest.mark.usefixtures("warnings_are_errors")


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


@pytest.mark.slow
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
    array = production.make_array(dict.fromkeys(CAMERAS, 12))
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
