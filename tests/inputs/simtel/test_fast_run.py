"""The fast reader against ctapipe's own loop: the same images, bit for bit, and the same refusals."""

import contextlib
import gzip
import importlib.metadata
import io
import logging

import numpy as np
import pytest
import tables
from ctapipe.io import SimTelEventSource
from eventio import EventIOFile
from eventio.simtel.objects import ADCSamples, ADCSums, ArrayEvent, CalibrationEvent
from helpers.eventio_bytes import unpacked
from helpers.reading import calibrator_of
from helpers.real_files import REAL_FILES

from image_extractor import ImageExtractor
from image_extractor.demo import write_demo_file
from image_extractor.errors import InputError
from image_extractor.inputs.simtel import fast_run, run_objects, simtel_run, traces
from image_extractor.inputs.simtel.array_events import parse_array_event
from image_extractor.inputs.simtel.open_run import open_run, run_class

CLASSES = {kind.eventio_type: kind for kind in (ADCSums, ADCSamples)}


def ctapipe_source(path, **options):
    try:
        return SimTelEventSource(path, **options)
    except RuntimeError:
        return SimTelEventSource(path, focal_length_choice="EQUIVALENT", **options)


def images(source, extractor="NeighborPeakWindowSum"):
    """Return truth, and charges and peak times by telescope, of all events of a source, in their order."""
    calibrate = calibrator_of(source, image_extractor_type=extractor)
    events = []
    for event in source:
        with getattr(source, "reading", contextlib.nullcontext)():
            calibrate(event)
        shower = event.simulation.shower
        names = ("energy", "alt", "az", "core_x", "core_y", "h_first_int")
        truth = [event.index.event_id, event.index.obs_id, shower.shower_primary_id]
        truth += [getattr(shower, name).value for name in names]
        events.append((truth, {tel_id: (dl1.image, dl1.peak_time) for tel_id, dl1 in event.dl1.tel.items()}))
    return events


def fast_images(path, **options):
    with open_run(path, fast=True) as run:
        assert isinstance(run, fast_run.FastRun)
        events = images(run, **options)
        run.check_end()
    return events


def assert_same_bits(events, expected):
    assert [truth for truth, _ in events] == [truth for truth, _ in expected]
    for (_, pixels), (_, expected_pixels) in zip(events, expected, strict=True):
        assert list(pixels) == list(expected_pixels)
        for tel_id, arrays in pixels.items():
            for array, other in zip(arrays, expected_pixels[tel_id], strict=True):
                assert array.dtype == other.dtype
                assert array.tobytes() == other.tobytes()


@pytest.mark.parametrize("name", REAL_FILES)
def test_the_images_of_all_telescopes_are_those_of_ctapipe(name, real):
    with ctapipe_source(real(name)) as source:
        expected = images(source)
    assert any(pixels for _, pixels in expected)
    assert_same_bits(fast_images(real(name)), expected)


@pytest.mark.one_in(2)
@pytest.mark.parametrize("extractor", ["NeighborPeakWindowSum", "LocalPeakWindowSum", "FlashCamExtractor"])
def test_every_camera_with_one_gain_and_two(all_cameras, extractor):
    with ctapipe_source(all_cameras) as source:
        gains = {telescope.camera.readout.n_channels for telescope in source.subarray.tel.values()}
        expected = images(source, extractor)
    assert gains == {1, 2}
    assert {tel_id for _, pixels in expected for tel_id in pixels} == set(source.subarray.tel)
    assert_same_bits(fast_images(all_cameras, extractor=extractor), expected)


def test_selected_telescopes_have_the_images_they_have_among_all(all_cameras):
    tel_ids = {1, 4, 7}
    with ctapipe_source(all_cameras) as source:
        expected = images(source)
    with open_run(all_cameras, fast=True) as run:
        run.select(tel_ids, lambda *_: True)
        events = images(run)
    chosen = [(truth, {i: arrays for i, arrays in pixels.items() if i in tel_ids}) for truth, pixels in expected]
    assert_same_bits(events, [event for event in chosen if event[1]])


def test_flasher_images_of_every_camera_are_decoded_and_calibrated_as_ctapipe_does(real):
    path, compared = real("calib_events.simtel.gz"), set()
    with ctapipe_source(path, skip_calibration_events=False, select_gain=True) as source:
        expected = {tel_id: (event.r0.tel[tel_id].waveform, event.r1.tel[tel_id])
                    for event in source for tel_id in event.r0.tel}  # fmt: skip
        calibration = source.file_.camera_monitorings, source.file_.laser_calibrations
    with EventIOFile(path) as file:
        for top in file:
            if not isinstance(top, CalibrationEvent):
                continue
            array_event = next(top)
            array_event.seek(0)
            header, payload = array_event.header, io.BytesIO(array_event.read())
            header.content_address = 0
            event = parse_array_event(fast_run.ArrayEvent(header, payload))
            event["camera_monitorings"], event["laser_calibrations"] = calibration
            compared |= _compare_flasher(event, expected, path)
    assert compared == set(expected)


def _compare_flasher(event, expected, path):
    with open_run(path, fast=True) as run:
        for tel_id, found in event["telescope_events"].items():
            samples, r1 = expected[tel_id]
            assert np.array_equal(found.parsed(CLASSES[found.kind]).reshape(samples.shape), samples)
            waveform, gain = traces.Traces(found, run._calibration(tel_id, event)).waveforms()
            assert waveform.dtype == r1.waveform.dtype
            assert waveform.tobytes() == r1.waveform.tobytes()
            assert np.array_equal(gain, r1.selected_gain_channel)
    return set(event["telescope_events"])


def test_a_dataset_is_the_same_with_and_without(all_cameras, tmp_path):
    for fast in (True, False):
        output = tmp_path / f"{fast}.h5"
        settings = {"storage_mode": "mapped", "image_mode": "PIXELS_TIMING_2C", "telescope_type_mode": "ALL"}
        bins = {"energy_bins_min": -3, "energy_bins_max": 3, "energy_bins_bin_size": 2}
        extractor = ImageExtractor(
            output, None, "gh_class", use_pkl_dict=False, calibration_fast=fast, **settings, **bins
        )
        extractor.process_data(all_cameras)
    n_compared = 0
    with tables.open_file(tmp_path / "True.h5") as one, tables.open_file(tmp_path / "False.h5") as other:
        for node in one.walk_nodes("/", "Leaf"):
            assert node[:].tobytes() == other.get_node(node._v_pathname)[:].tobytes()
            n_compared += node.nrows
    assert n_compared > 0


# -- what is damaged ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small_run(tmp_path_factory):
    """A synthetic run of one event, with images of all its telescopes."""
    path = tmp_path_factory.mktemp("small") / "gamma_run1.simtel.zst"
    write_demo_file(path, events=1, telescopes="LST:3,MSTN:1,MSTF:2,SSTA:1", energy="10,10", scatter=50)
    return path


@pytest.fixture(params=["demo", "history_meta_75.simtel.zst"])
def plain(request, small_run, real, tmp_path):
    """A run as plain bytes, and a function that writes others to a file."""
    data = unpacked(small_run if request.param == "demo" else real(request.param))

    def write(data):
        path = tmp_path / "changed.simtel"
        path.write_bytes(data)
        return path

    return data, write


def sub_objects(path, kinds):
    """Return [(position, header), ...] of the objects of these types in array events and photo-electrons."""
    found = []

    def look(parent):
        for inner in parent:
            if inner.header.type in kinds:
                found.append((inner.address - inner.header.header_size, inner.header))
            if inner.only_subobjects:
                look(inner)

    with EventIOFile(path) as file:
        for top in file:
            if isinstance(top, ArrayEvent) or top.header.type == run_objects.TELESCOPE_DATA:
                look(top)
    return found


@pytest.fixture(scope="module")
def several_events(tmp_path_factory):
    """A synthetic run of several events."""
    path = tmp_path_factory.mktemp("several") / "gamma_run1.simtel.gz"
    write_demo_file(path, events=7, telescopes="LST:2,SSTA:1", energy="10,10", scatter=50)
    return path


@pytest.mark.parametrize("keep", [lambda n: n % 2, lambda n: n % 3 == 0, lambda _n: True, lambda _n: False])
@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("is_plain", [False, True])
def test_chosen_events_have_all_their_parts(is_plain, fast, keep, several_events, tmp_path):
    """What stands before the array event, such as true images, is passed over in plain files until it is wanted."""
    path, offered = several_events, []
    if is_plain:
        path = tmp_path / "plain.simtel"
        path.write_bytes(unpacked(several_events))
    with open_run(path, fast=fast) as run:
        run.select(run.subarray.tel, lambda event_id, *_: offered.append(event_id) or keep(len(offered)))
        events = images(run) if fast else [photons(event) for event in run]
        run.check_end()
    with ctapipe_source(path) as source:
        expected = images(source) if fast else [photons(event) for event in source]
    assert len(offered) == len(expected) >= 4
    expected = [event for number, event in enumerate(expected, 1) if keep(number)]
    if fast:
        assert_same_bits(events, expected)
    else:
        assert [(event_id, found.keys()) for event_id, found in events] == [(i, found.keys()) for i, found in expected]
        for (_, found), (_, others) in zip(events, expected, strict=True):
            for tel_id, (true_image, true_sum) in others.items():
                assert np.array_equal(found[tel_id][0], true_image)
                assert found[tel_id][1] == true_sum


def photons(event):
    """Return the number of an event, and the true images of its telescopes."""
    return event.index.event_id, {
        tel_id: (camera.true_image, camera.true_image_sum) for tel_id, camera in event.simulation.tel.items()
    }


def read_all(path, fast):
    """Return the events of a run, or in words why it is refused."""
    try:
        with open_run(path, fast=fast) as run:
            events = images(run)
            run.check_end()
            return events
    except InputError:
        return "refused"


def test_a_bright_image_without_its_true_image_is_left_out_as_ctapipe_does(plain):
    data, write = plain
    tel_id = 5
    true_images = {header.id % 1000 + 1: position for position, header in sub_objects(write(data), {1208})}
    changed = bytearray(data)
    changed[true_images[tel_id] : true_images[tel_id] + 2] = (1299).to_bytes(2, "little")  # a type nobody knows
    with EventIOFile(write(data)) as file:
        sums = next(top for top in file if top.header.type == run_objects.PHOTOELECTRON_SUMS)
    place = sums.address + 8 + 4 * (tel_id - 1)
    changed[place : place + 4] = (2_000_000).to_bytes(4, "little")
    path = write(changed)
    with ctapipe_source(path) as source:
        expected = images(source)
    assert tel_id not in expected[0][1]
    assert_same_bits(fast_images(path), expected)


@pytest.mark.parametrize("fraction", [0.3, 0.6, 0.9, 0.99999])
def test_a_truncated_run_is_refused(plain, fraction):
    data, write = plain
    assert read_all(write(data[: int(fraction * len(data))]), fast=True) == "refused"


@pytest.mark.parametrize(("kind", "of_next", "fast"), [(2009, False, False), (2105, True, True)])
def test_an_event_that_claims_more_than_it_holds_is_no_end_of_an_extract(kind, of_next, fast, plain):
    """Extracts have no closing block, and eventio ends where bytes are missing, be it within an object."""
    data, write = plain
    with EventIOFile(write(data)) as file:
        last = [top for top in file if isinstance(top, ArrayEvent)][-1]
    position, header = sub_objects(write(data), {kind})[0]
    extract = bytearray(data[: last.address + last.header.content_size])
    assert read_all(write(gzip.compress(extract, 1)), fast) != "refused"
    # the highest byte of its own length, or the one in the next header that says whether the length is extended
    extract[position + header.header_size + (header.content_size + 2 if of_next else -1)] = 0x7F
    assert read_all(write(gzip.compress(extract, 1)), fast) == "refused"


def test_samples_that_end_early_or_claim_more_are_refused(plain):
    data, write = plain
    position, header = sub_objects(write(data), {2013})[0]
    start = position + header.header_size
    for offset, value in ((0, 2**31 - 1), (0, -5), (4, 2**15 - 1), (6, 2**15 - 1), (0, 0)):
        changed, size = bytearray(data), 4 if offset == 0 else 2
        changed[start + offset : start + offset + size] = value.to_bytes(size, "little", signed=True)
        path = write(changed)
        assert read_all(path, fast=True) == "refused"
        assert read_all(path, fast=False) == "refused"


def test_damaged_bytes_never_crash_and_are_never_read_otherwise_than_by_ctapipe(plain):
    data, write = plain
    objects = sub_objects(write(data), {2009, 2011, 2012, 2013})
    random = np.random.default_rng(0)
    n_read = 0
    for position, header in [objects[i] for i in random.integers(len(objects), size=6)]:
        changed = bytearray(data)
        for place in position + random.integers(header.header_size + 40, size=2):
            changed[place] = random.integers(256)
        path = write(changed)
        fast = read_all(path, fast=True)
        if fast != "refused":
            assert_same_bits(fast, read_all(path, fast=False))
            n_read += 1
    assert n_read < 6


# -- when it is not used -------------------------------------------------------------------------------


def test_other_versions_are_read_by_ctapipe_with_one_log_line(production, tmp_path, monkeypatch, caplog):
    installed = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "99.1" if name == "ctapipe" else installed(name))
    run_class.cache_clear()
    try:
        with open_run(production[0], fast=True) as run:
            assert type(run) is simtel_run.SimTelRun
        extractor = ImageExtractor(tmp_path / "out.h5", None, "gh_class", use_pkl_dict=False, telescope_type_mode="LST")
        with caplog.at_level(logging.WARNING):
            extractor.process_files(production[:2])
    finally:
        run_class.cache_clear()
    lines = [record.getMessage() for record in caplog.records if "fast" in record.getMessage()]
    assert len(lines) == 1
    assert "ctapipe 99.1" in lines[0]


def test_it_can_be_switched_off(production):
    with open_run(production[0]) as run:
        assert type(run) is simtel_run.SimTelRun
