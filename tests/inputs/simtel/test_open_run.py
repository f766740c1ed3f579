"""What may stand in a simtel file besides one plain run: further runs, torn ones, showers among the headers, garbage."""

import gc
import logging
import zlib

import numpy as np
import pytest
import zstandard
from ctapipe.calib import CameraCalibrator
from ctapipe.io import SimTelEventSource
from helpers.eventio_bytes import kind, objects_of, packed
from helpers.reading import calibrator_of, dl1_events, read_dataset

from image_extractor import demo
from image_extractor.commands.convert import main
from image_extractor.demo import cuts, eventio_writer
from image_extractor.energy_bins import EnergyBins
from image_extractor.errors import CutError, InputError
from image_extractor.inputs.simtel import open_run

SUFFIXES = [".simtel", ".gz", ".zst"]
HISTORY, CLOSING, MC_SHOWER, MC_EVENT, ARRAY_EVENT, ATMOSPHERE = 70, 100, 2020, 2021, 2010, 1216


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The bytes of two runs of different number, primary, telescopes and spectrum, and their files."""
    folder = tmp_path_factory.mktemp("runs")
    settings = [
        {"run": 1, "telescopes": "LST:2", "reuse": 2, "events": 4},
        {"run": 2, "telescopes": "SSTC:3", "primary": "proton", "spectral_index": -2.5, "events": 5, "energy": (1, 50)},
    ]
    paths = [folder / f"run{one['run']}.simtel" for one in settings]
    for path, one in zip(paths, settings, strict=True):
        demo.write_demo_file(path, **one)
    return [path.read_bytes() for path in paths], paths


def calibrated(run, n_events=None):
    """Return {(run, event): {telescope: charges}} of the events of a run."""
    calibrate = calibrator_of(run, image_extractor_type="NeighborPeakWindowSum")
    found = {}
    for event in run:
        calibrate(event)
        found[event.index.obs_id, event.index.event_id] = {i: dl1.image for i, dl1 in event.dl1.tel.items()}
        if len(found) == n_events:
            return found
    run.check_end()
    return found


def by_ctapipe(path):
    return {
        (event.index.obs_id, event.index.event_id): {i: dl1.image for i, dl1 in event.dl1.tel.items()}
        for _, event in dl1_events(path)
    }


def all_of(path, fast=True, **options):
    """Return the events of all runs of a file."""
    with open_run.open_runs(path, fast, **options) as file:
        return {number: images for run in file for number, images in calibrated(run).items()}


def assert_same(found, expected):
    assert expected
    assert list(found) == list(expected)
    for number, images in expected.items():
        assert list(found[number]) == list(images)
        assert all(np.array_equal(found[number][tel_id], image) for tel_id, image in images.items())


def write(path, data):
    path.write_bytes(data)
    return path


# -- further runs ------------------------------------------------------------------------------------


@pytest.mark.one_in(5)
@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("how", ["concatenated", "without a block between"])
def test_each_run_has_its_own_events_headers_and_telescopes(how, suffix, fast, runs, tmp_path):
    (one, two), paths = runs
    if how == "concatenated":
        data = packed(one, suffix) + packed(two, suffix)
    else:
        assert kind(objects_of(one)[-1]) == CLOSING
        data = packed(b"".join(objects_of(one)[:-1]) + two, suffix)
    path = write(tmp_path / f"both{suffix}", data)
    found, facts, telescopes = {}, [], []
    with open_run.open_runs(path, fast) as file:
        for run in file:
            found |= calibrated(run)
            facts.append(run.facts())
            telescopes.append([run.subarray.tel[i].camera.name for i in run.subarray.tel])
        file.check_unchanged()
    assert_same(found, by_ctapipe(paths[0]) | by_ctapipe(paths[1]))
    assert telescopes == [["LSTCam"] * 2, ["CHEC"] * 3]
    assert [row["run_number"] for row in facts] == [1, 2]
    assert [row["primary"] for row in facts] == [0, 101]
    assert [row["spectral_index"] for row in facts] == [-2.0, -2.5]
    for row, data in zip(facts, (one, two), strict=True):
        kinds = [kind(each) for each in objects_of(data)]
        assert row["showers_read"] == row["n_showers"] == kinds.count(MC_SHOWER)
        assert row["uses_read"] == row["n_showers"] * row["shower_reuse"] == kinds.count(MC_EVENT)
        assert (row["complete"], row["core_pos_mode"], row["tracking_mode"]) == (True, 1, 0)


@pytest.mark.parametrize("fast", [True, False])
def test_a_run_may_be_left_early(fast, runs, tmp_path):
    one, two = runs[0]
    paths = runs[1]
    path = write(tmp_path / "both.gz", packed(one + two, ".gz"))
    with open_run.open_runs(path, fast) as file:
        runs_of_file = iter(file)
        run = next(runs_of_file)
        (number,) = calibrated(run, n_events=1)
        objects = objects_of(one)
        up_to = [kind(each) for each in objects[: [kind(each) for each in objects].index(ARRAY_EVENT)]]
        assert number[0] == 1
        assert (run.showers_read, run.uses_read) == (up_to.count(MC_SHOWER), up_to.count(MC_EVENT))
        assert_same(calibrated(next(runs_of_file)), by_ctapipe(paths[1]))
        assert next(runs_of_file, None) is None
        assert (run.showers_read, run.uses_read) == (up_to.count(MC_SHOWER), up_to.count(MC_EVENT))


def test_history_within_a_run_begins_no_run(runs, tmp_path):
    objects = objects_of(runs[0][0])
    history = objects[0]
    assert kind(history) == HISTORY
    place = [kind(each) for each in objects].index(ARRAY_EVENT) + 1
    path = write(tmp_path / "run.simtel", b"".join([*objects[:place], history, *objects[place:]]))
    assert_same(all_of(path), by_ctapipe(runs[1][0]))


def test_a_dictionary_of_a_demo_file_has_all_runs(runs, tmp_path):
    path = write(tmp_path / "both.simtel", b"".join(runs[0]))
    entries = cuts.make_entries([path], EnergyBins("TeV", "log10", -3, 4, 7))
    assert {run for run, _ in entries} == {1, 2}


def behind(what, one, two):
    """Return a gzipped file with something behind its closing block, and what is to be said of it."""
    half, header = len(two) // 2, len(b"".join(objects_of(two)[:3]))
    return {
        "bytes": (
            packed(one + b"garbage", ".gz"),
            "behind the closing block of its run is something that is no EventIO",
        ),
        "plain bytes": (one + b"7\n", "behind the closing block of its run is something that is no EventIO"),
        "bytes, not compressed": (packed(one, ".gz") + b"garbage", "behind its compressed content"),
        "bytes behind zstd": (packed(one, ".zst") + b"garbage", "behind its compressed content"),
        "torn within events": (one + two[:half], "truncated"),
        "torn stream": (packed(one, ".gz") + packed(two, ".gz")[:-400], "truncated"),
        "torn within its header": (one + two[:header], "truncated"),
        "torn within its history": (
            one + two[:40],
            "truncated: behind the closing block of its run another one begins",
        ),
        "torn within a mark": (one + two[:2], "truncated: behind the closing block of its run another one begins"),
        "an event": (
            one + next(each for each in objects_of(one) if kind(each) == ARRAY_EVENT),
            "behind the closing block of its run is an EventIO block of type 2010",
        ),
    }[what]


@pytest.mark.one_in(3)
@pytest.mark.parametrize(
    "what",
    [
        "bytes", "plain bytes", "bytes, not compressed", "bytes behind zstd", "torn within events", "torn stream",
        "torn within its header", "torn within its history", "torn within a mark", "an event",
    ],
)  # fmt: skip
def test_whatever_else_is_behind_the_closing_block_is_named(what, runs, tmp_path, caplog, make_config):
    data, words = behind(what, *runs[0])
    path = write(tmp_path / "run.simtel", data)
    with pytest.raises(InputError) as caught:
        all_of(path)
    assert words in str(caught.value)
    config = make_config(telescope_type_mode="ALL", storage_mode="mapped")
    assert main([path, tmp_path / "o.h5", config, "--jobs", "1"]) == 1
    (error,) = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert str(path) in error
    assert not (tmp_path / "o.h5").exists()


def test_padding_behind_a_gzip_stream_is_nothing(runs, tmp_path):
    path = write(tmp_path / "run.gz", packed(runs[0][0], ".gz") + bytes(1000))
    assert_same(all_of(path), by_ctapipe(runs[1][0]))


# -- within a run --------------------------------------------------------------------------------------


def moved_forward(data, n_first, n_objects):
    """Return a run, its first objects of showers moved between the descriptions of its telescopes."""
    objects = objects_of(data)
    kinds = [kind(each) for each in objects]
    shower, place = kinds.index(MC_SHOWER), kinds.index(2007) + n_first
    moved = [*objects[:place], *objects[shower : shower + n_objects], *objects[place:shower]]
    return b"".join([*moved, *objects[shower + n_objects :]])


@pytest.mark.one_in(3)
@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("reuse", [1, 10])
def test_the_first_shower_may_stand_between_the_telescopes(reuse, fast, tmp_path):
    path = tmp_path / "sound.simtel"
    demo.write_demo_file(path, telescopes="LST:3", events=2, reuse=reuse, energy=(1, 5), scatter=80)
    data = path.read_bytes()
    kinds = [kind(each) for each in objects_of(data)]
    assert ARRAY_EVENT in kinds[: kinds.index(MC_EVENT) + 30]  # the first use triggers
    sound = by_ctapipe(path)
    # to the whole of an event, of which ctapipe loses what it meets there
    for n_objects in (1, 2, 3, kinds.index(ARRAY_EVENT) - kinds.index(MC_SHOWER) + 1):
        merged = write(tmp_path / f"merged{n_objects}.simtel", moved_forward(data, 3, n_objects))
        if n_objects == 2:
            assert_same(by_ctapipe(merged), sound)
        assert_same(all_of(merged, fast), sound)


def test_one_shower_of_ten_uses_between_the_telescopes_is_converted(tmp_path, convert, make_config):
    path = tmp_path / "sound.simtel"
    demo.write_demo_file(path, telescopes="LST:3", events=1, reuse=10, energy=(3, 5), scatter=80)
    data = path.read_bytes()
    objects = objects_of(data)
    showers = [i for i, each in enumerate(objects) if kind(each) == MC_SHOWER]
    first_to_trigger = next(i for i in showers[::-1] if i < [kind(each) for each in objects].index(ARRAY_EVENT))
    data = b"".join([*objects[: showers[0]], *objects[first_to_trigger:]])
    merged = write(tmp_path / "merged.simtel", moved_forward(data, 3, 2))
    config = make_config(telescope_type_mode="ALL", storage_mode="mapped", image_dtype="float32")
    events = read_dataset(convert(merged, config))
    expected = by_ctapipe(path)
    assert [event["event_number"] for event in events] == [number for _, number in expected]
    for event, images in zip(events, expected.values(), strict=True):
        assert all(np.array_equal(event["pixels"][tel_id][0], image) for tel_id, image in images.items())


@pytest.mark.parametrize("fast", [True, False])
def test_the_name_of_the_atmosphere_need_not_be_text(fast, runs, tmp_path):
    objects = objects_of(runs[0][0])
    place = [kind(each) for each in objects].index(ATMOSPHERE)
    payload, length = objects[place][16:], 127
    name = b"/a/long/folder/" * 8 + b"atm\xe5\xff\x80\x01"
    assert (len(name), payload[0] < 128) == (length, True)  # a length in one byte
    changed = bytes([length]) + name + payload[1 + payload[0] :]
    objects[place] = eventio_writer.eventio_object(ATMOSPHERE, changed, object_id=1, version=1)
    path = write(tmp_path / "prod6.simtel", b"".join(objects))
    with pytest.raises(UnicodeDecodeError):
        by_ctapipe(path)
    assert_same(all_of(path, fast), by_ctapipe(runs[1][0]))


@pytest.mark.parametrize("fast", [True, False])
def test_a_real_file_of_prod6_with_such_a_name(fast, real, convert, make_config):
    path = real("lst_prod6_atmosphere_name.simtel.zst")
    with pytest.raises(UnicodeDecodeError):
        SimTelEventSource(path)
    with SimTelEventSource(path, atmosphere_profile_choice="NONE") as source:
        calibrate = CameraCalibrator(source.subarray, image_extractor_type="NeighborPeakWindowSum")
        (expected,) = [calibrate(event) or event for event in source]
    config = make_config(
        telescope_type_mode="ALL", storage_mode="mapped", image_dtype="float32", calibration_fast=fast
    )  # fmt: skip
    (event,) = read_dataset(convert(path, config))
    assert len(event["pixels"]) == len(expected.dl1.tel) == 3
    for tel_id, dl1 in expected.dl1.tel.items():
        assert np.array_equal(event["pixels"][tel_id][0], dl1.image)


# -- cut files -------------------------------------------------------------------------------------------


def whole_events(data):
    """Return how many array events are whole in the bytes of a run, and how many showers and uses."""
    kinds = [kind(each) for each in objects_of(data)]
    return kinds.count(ARRAY_EVENT), kinds.count(MC_SHOWER), kinds.count(MC_EVENT)


def there(data, suffix):
    """Return what can be decompressed of a cut file."""
    if suffix == ".gz":
        return zlib.decompressobj(31).decompress(data)
    return zstandard.ZstdDecompressor().decompressobj().decompress(data) if suffix == ".zst" else data


@pytest.mark.slow
@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_whole_events_of_a_cut_file_are_kept_if_that_is_wanted(suffix, fast, runs, tmp_path, caplog):
    data, sound = runs[0][0], by_ctapipe(runs[1][0])
    file, objects = packed(data, suffix), objects_of(data)
    first = len(b"".join(objects[: [kind(each) for each in objects].index(MC_SHOWER) + 1]))
    sizes = [len(file) - 3, *(len(file) * i // 7 for i in range(2, 7))]
    if suffix == ".simtel":  # also at the ends of the last objects, of the closing block and of the last events
        sizes += [len(b"".join(objects[:-i])) for i in range(1, 12)]
    kept = set()
    for size in sizes:
        path = write(tmp_path / f"cut{suffix}", file[:size])
        left = there(file[:size], suffix)
        if len(left) < first:
            continue
        with pytest.raises(CutError, match="truncated"):
            all_of(path, fast)
        gc.collect()  # Python 3.12.1 crashes here if the error holds a part of a buffer
        caplog.clear()
        seen = []
        with open_run.open_runs(path, fast, on_truncated="keep") as file_runs:
            run = next(iter(file_runs))
            run.select(run.subarray.tel, lambda event_id, shower, _, seen=seen: seen.append(event_id) or True)
            found = calibrated(run)
            n_events, n_showers, n_uses = whole_events(left)
            assert len(found) == len(seen) == n_events
            assert_same(found or sound, dict(list(sound.items())[:n_events]) or sound)
            assert run.complete is False
            assert (run.showers_read, run.uses_read) == (n_showers, n_uses)
        (warning,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
        assert str(path) in warning
        kept.add(n_events)
    assert len(kept) > 1


@pytest.mark.parametrize("fast", [True, False])
def test_a_whole_file_is_complete_with_keep_too(fast, runs):
    with open_run.open_runs(runs[1][0], fast, on_truncated="keep") as file:
        for run in file:
            assert_same(calibrated(run), by_ctapipe(runs[1][0]))
            assert run.complete is True


def test_what_is_cut_within_its_header_is_refused_all_the_same(runs, tmp_path):
    data = runs[0][0]
    for size in (2, 10, 3000, len(b"".join(objects_of(data)[:9]))):
        path = write(tmp_path / "cut.simtel", data[:size])
        with pytest.raises(InputError, match="truncated"):
            all_of(path, on_truncated="keep")


def test_a_second_run_that_is_cut(runs, tmp_path, caplog):
    (one, two), paths = runs
    path = write(tmp_path / "both.simtel", one + two[: len(two) * 3 // 4])
    with open_run.open_runs(path, True, on_truncated="keep") as file:
        found = {}
        complete = [(found.update(calibrated(run)), run.complete)[1] for run in file]
    assert complete == [True, False]
    sound = by_ctapipe(paths[1])
    n_events = whole_events(two[: len(two) * 3 // 4])[0]
    assert 0 < n_events < len(sound)
    assert_same(found, by_ctapipe(paths[0]) | dict(list(sound.items())[:n_events]))
    for size in (2, 40, len(b"".join(objects_of(two)[:9]))):
        caplog.clear()
        write(path, one + two[:size])
        assert_same(all_of(path, on_truncated="keep"), by_ctapipe(paths[0]))
        (warning,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
        assert "nothing of it is kept" in warning
        assert str(path) in warning


def test_what_is_damaged_is_not_taken_for_cut(runs, tmp_path):
    data, objects = runs[0][0], objects_of(runs[0][0])
    places = [len(b"".join(objects[:i])) for i, each in enumerate(objects) if kind(each) == MC_EVENT]
    place = places[len(places) // 2]
    length = (1 << 30) - 1
    damaged = {
        "mark": data[:place] + b"\0" + data[place + 1 :],
        "length": data[: place + 12] + length.to_bytes(4, "little") + data[place + 16 :],
    }
    crc = bytearray(packed(data, ".gz"))
    crc[-8] ^= 1
    damaged["checksum"] = bytes(crc)
    flipped = bytearray(packed(data, ".zst"))
    flipped[-1] ^= 1
    damaged["zstd checksum"] = bytes(flipped)
    for what, changed in damaged.items():
        path = write(tmp_path / "damaged", changed)
        with pytest.raises(InputError, match=r"damaged|corrupt") as caught:
            all_of(path, on_truncated="keep")
        assert not isinstance(caught.value, CutError), what


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_an_intact_stream_may_end_in_showers_that_did_not_trigger(suffix, runs, tmp_path, caplog):
    objects, sound = objects_of(runs[0][0]), by_ctapipe(runs[1][0])
    kinds = [kind(each) for each in objects]
    last = len(kinds) - kinds[::-1].index(ARRAY_EVENT)  # behind the last event
    shower, use = (objects[kinds.index(each)] for each in (MC_SHOWER, MC_EVENT))
    sums = objects[kinds.index(2026)]
    for end in ([], [shower], [shower, use], [shower, use, sums], [shower, use, use, sums, shower, use]):
        path = write(tmp_path / f"extract{suffix}", packed(b"".join([*objects[:last], *end]), suffix))
        caplog.clear()
        assert_same(all_of(path), sound)
        (warning,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
        assert "taken for an extract" in warning
    true_image = objects[kinds.index(1204)]
    for end in ([shower, use, true_image], [shower, use, true_image, sums]):  # as an event without its array data
        path = write(tmp_path / f"extract{suffix}", packed(b"".join([*objects[:last], *end]), suffix))
        with pytest.raises(CutError, match="the closing block of the run is missing"):
            all_of(path)
