"""Damaged inputs: named and left out whole, or converted to what they were; never a crash, a hang or a gigantic demand."""

import gzip
import os
import shutil

import numpy as np
import pytest
import zstandard
from helpers.faults.tally import IS_LONG, Tally, chosen, seeded
from helpers.marks import quick_and_slow
from helpers.reading import content, dl1_events, read_dataset, without_checksums
from helpers.real_files import REAL_FILES, real_file
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

LIMITS = {"RLIMIT_AS": 6 << 30}
ENERGIES = {"energy_bins_min": -3, "energy_bins_max": 4, "energy_bins_bin_size": 7}
DEMO = ("plain", "gz", "zst")
DAMAGES = {"cut": 300, "byte flipped": 300, "block zeroed": 100}


@pytest.fixture
def config(make_config):
    return make_config(
        telescope_type_mode="ALL", storage_mode="mapped", image_scale_factor=1, image_dtype="float32", **ENERGIES
    )


def packed(data, compression):
    if compression == "gz":
        return gzip.compress(data, 6)
    return zstandard.ZstdCompressor(write_checksum=True).compress(data) if compression == "zst" else data


def has_checksum(data):
    """Say whether every byte of a file is covered: gzip always, zstd if its frame says so."""
    return data[:2] == b"\x1f\x8b" or (data[:4] == b"\x28\xb5\x2f\xfd" and bool(data[4] & 4))


def damages(data, kind):
    """Yield (place, damaged bytes), the same ones every time."""
    dice = seeded(f"{len(data)} {kind}")
    for _ in range(DAMAGES[kind]):
        place = dice.randrange(len(data))
        if kind == "cut":
            yield place, data[:place]
        elif kind == "byte flipped":
            yield place, data[:place] + bytes([data[place] ^ 1 << dice.randrange(8)]) + data[place + 1 :]
        else:
            yield place, data[:place] + bytes(min(512, len(data) - place)) + data[place + 512 :]


class Bench:
    """Converts one damaged file after the other and compares with the sound one."""

    def __init__(self, server, folder, config):
        self._server, self._folder, self._config = server, folder, config
        self._output = folder / "out.h5"
        folder.mkdir()

    def convert(self, data, name):
        shutil.rmtree(self._folder)
        self._folder.mkdir()
        path = self._folder / name
        path.write_bytes(data)
        ended = self._server.run([path, self._output, self._config], self._folder, limits=LIMITS, timeout=120)
        return ended, self._content() if self._output.exists() else None

    def _content(self):
        found = without_checksums(content(self._output))
        del found["/Run_Table"]  # it has the size of the file
        return found

    def sound(self, data, name):
        """Convert what the damaged files are to be compared with."""
        ended, self._sound = self.convert(data, name)
        assert ended.code == 0, ended.stderr
        self._images = images_of(charges_of(self._output))

    def judge(self, data, name, tally, place):
        """Convert damaged data, and tell the tally."""
        ended, found = self.convert(data, name)
        if ended.improper():
            tally.lost(place, ended.improper())
        elif ended.code and (len(ended.errors) != 1 or name not in ended.errors[0]):
            tally.lost(place, ended.stderr)
        elif ended.code and found:
            tally.lost(place, "an output in spite of the error")
        elif ended.code:
            tally.survived("named")
        elif found == self._sound:
            tally.survived("content as of the sound file")
        elif has_checksum(data):
            tally.lost(place, "another content")
        else:
            self._compare_with_ctapipe(self._folder / name, tally, place)

    def _compare_with_ctapipe(self, path, tally, place):
        """Tell the tally what became of a damage that the format can't reveal."""
        ours, theirs = charges_of(self._output), charges_by_ctapipe(path)
        what = "other numbers" if images_of(ours) == self._images else "other events or images"
        if theirs is None:
            tally.survived(f"not to be seen: {what}, and ctapipe finds fault")
        elif same_charges(ours, theirs):
            tally.survived(f"not to be seen: {what}, as ctapipe reads them")
        else:
            tally.lost(place, f"{what} than ctapipe's")


def charges_of(output):
    """Return [(event number, {telescope: charges})] of a dataset."""
    return [
        (event["event_number"], {tel_id: pixels[0] for tel_id, pixels in event["pixels"].items()})
        for event in read_dataset(output)
    ]


def charges_by_ctapipe(path):
    """Return what :func:`charges_of` a dataset with all of a file should be; None if ctapipe can't read it."""
    low, high = ENERGIES["energy_bins_min"], ENERGIES["energy_bins_max"]
    try:
        return [
            (event.index.event_id, {tel_id: camera.image for tel_id, camera in event.dl1.tel.items()})
            for _, event in dl1_events(path)
            if event.dl1.tel and low <= np.log10(event.simulation.shower.energy.to_value("TeV")) < high
        ]
    except Exception:  # noqa: BLE001 - of all kinds
        return None


def images_of(charges):
    return [(number, sorted(images)) for number, images in charges]


def same_charges(ours, theirs):
    return images_of(ours) == images_of(theirs) and all(
        np.array_equal(images[tel_id], others[tel_id], equal_nan=True)
        for (_, images), (_, others) in zip(ours, theirs, strict=True)
        for tel_id in images
    )


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("file", quick_and_slow([*DEMO, *REAL_FILES], "plain", "gz"))
def test_damaged_file(file, damage, server, small_runs, config, tmp_path, record_property):
    if file in DEMO:
        data = packed(gzip.decompress(small_runs[0].read_bytes()), file)
        name = {"plain": "demo.simtel"}.get(file, f"demo.simtel.{file}")
    elif not IS_LONG:
        pytest.skip("real files in the long part only")
    else:
        data, name = real_file(file).read_bytes(), file
    bench = Bench(server, tmp_path / "in", config)
    bench.sound(data, name)
    tally = Tally(record_property, f"{file}: {damage}")
    for place, damaged in chosen(damages(data, damage), 3):
        bench.judge(damaged, name, tally, place)
    tally.finish()


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("file", ["calib_events.simtel.gz", "extracted_pedestals.simtel.zst"])
def test_damaged_file_without_showers(file, damage, server, config, tmp_path, record_property):
    """It is named, for its damage or for what it lacks, and never taken for a run with events."""
    if not IS_LONG:
        pytest.skip("real files in the long part only")
    data, bench = real_file(file).read_bytes(), Bench(server, tmp_path / "in", config)
    _, sound = bench.convert(data, file)
    tally = Tally(record_property, f"{file}: {damage}")
    for place, damaged in chosen(damages(data, damage), 3):
        ended, found = bench.convert(damaged, file)
        if ended.improper() or ended.code != 1 or len(ended.errors) != 1 or found not in (None, sound):
            tally.lost(place, f"{ended}")
        else:
            tally.survived("without showers" if "no file has" in ended.errors[0] else "named")
    tally.finish()


INTEGERS = [b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"\0\0\0\x10", b"\0\0\1\0", b"\0\0\0\0"]


def test_wrong_numbers_within_eventio(server, small_runs, config, tmp_path, record_property):
    """Lengths, counts and versions in headers and first words of blocks: huge, negative, zero."""
    data = gzip.decompress(small_runs[0].read_bytes())
    starts, offset = [], 0
    while offset < len(data):
        starts.append(offset)
        offset += 16 + (int.from_bytes(data[offset + 12 : offset + 16], "little") & 0x3FFFFFFF)
    dice = seeded(7)
    bench = Bench(server, tmp_path / "in", config)
    bench.sound(data, "demo.simtel")
    tally = Tally(record_property, "wrong numbers in EventIO headers")
    cases = [
        (min(dice.choice(starts) + 4 * dice.randrange(24), len(data) - 4), dice.choice(INTEGERS)) for _ in range(500)
    ]
    for place, number in chosen(cases, 8):
        bench.judge(data[:place] + number + data[place + 4 :], "demo.simtel", tally, place)
    tally.finish()


def test_history_that_is_no_text(server, small_runs, config, tmp_path):
    """Ctapipe logs a traceback and goes on; the user is told in one line."""
    data = gzip.decompress(small_runs[0].read_bytes())
    place = data.index(b"\n") - 4  # in the first line of the simulation's history
    assert place < 200
    ended, found = Bench(server, tmp_path / "in", config).convert(
        data[:place] + b"\xff" * 4 + data[place + 4 :], "demo.simtel"
    )
    assert (ended.code, ended.improper()) == (0, ""), ended
    assert ended.stderr.count("can't decode byte") == 1
    assert found


@settings(deadline=None, max_examples=200 if IS_LONG else 5, suppress_health_check=list(HealthCheck))
@given(
    start=st.sampled_from([b"", b"\x37\x8a\x1f\xd4", b"\xd4\x1f\x8a\x37", b"\x1f\x8b\x08\0", b"\x28\xb5\x2f\xfd"]),
    rest=st.binary(max_size=300),
)
def test_garbage(start, rest, server, config, tmp_path_factory):
    folder = tmp_path_factory.mktemp("garbage")
    ended, found = Bench(server, folder / "in", config).convert(start + rest, "garbage.simtel.gz")
    assert not ended.improper()
    assert ended.code == 1
    assert len(ended.errors) == 1
    assert found is None


@pytest.mark.parametrize("made", ["two members", "wrong suffix", "trailing garbage", "no suffix"])
def test_unusual_packing(made, server, small_runs, config, tmp_path):
    packed_file = small_runs[0].read_bytes()
    data = gzip.decompress(packed_file)
    bench = Bench(server, tmp_path / "in", config)
    _, sound = bench.convert(packed_file, "demo.simtel.gz")
    half = len(data) // 2
    made_file, name = {
        "two members": (gzip.compress(data[:half]) + gzip.compress(data[half:]), "demo.simtel.gz"),
        "wrong suffix": (packed_file, "demo.simtel.zst"),
        "no suffix": (packed_file, "demo"),
        "trailing garbage": (packed_file + b"garbage", "demo.simtel.gz"),
    }[made]
    ended, found = bench.convert(made_file, name)
    if made == "trailing garbage":
        assert (ended.code, len(ended.errors), found) == (1, 1, None)
    else:
        assert ended.code == 0, ended.stderr
        assert found == sound


@pytest.mark.parametrize("what", ["grows", "vanishes", "is replaced"])
def test_input_that_changes_while_it_is_read(what, small_runs, config, tmp_path, monkeypatch):
    from image_extractor import ImageExtractor, InputError

    path = tmp_path / "run.simtel.gz"
    path.write_bytes(small_runs[0].read_bytes())

    def change(self, *arguments):
        if what == "grows":
            with path.open("ab") as file:
                file.write(b"more")
        elif what == "vanishes":
            path.unlink()
        else:
            (tmp_path / "other").write_bytes(small_runs[0].read_bytes())
            (tmp_path / "other").replace(path)
        return calibrator(self, *arguments)

    from image_extractor.conversion import calibration

    calibrator = calibration.Calibrator.__init__
    monkeypatch.setattr(calibration.Calibrator, "__init__", change)
    with pytest.raises(InputError, match=r"changed while it was read|corrupt|truncated"):
        ImageExtractor.from_config(tmp_path / "o.h5", None, config).process_data(path)
    assert not (tmp_path / "o.h5").exists()


def test_same_events_under_two_names_are_refused(server, small_runs, config, tmp_path):
    folder, output = tmp_path / "in", tmp_path / "o.h5"
    folder.mkdir()
    for name in ("a.simtel.gz", "b.simtel.gz"):
        (folder / name).write_bytes(small_runs[0].read_bytes())
    for _ in range(2):  # in one run, and beside what the output has
        ended = server.run([folder / "*", output, config], tmp_path)
        assert ended.code == 1
        assert len(ended.errors) == 1
        assert "b.simtel.gz: it has the same events as a.simtel.gz" in ended.errors[0]
        assert content(output)["/Run_Table"][0][1] == (1,)


def test_shared_numbers_are_not_the_same_events(server, small_runs, config, tmp_path):
    """Two productions may have the same runs and events of one primary, such as two pointings."""
    from image_extractor.demo import write_demo_file

    shutil.copy(small_runs[0], tmp_path / "a.simtel.gz")
    write_demo_file(tmp_path / "b.simtel.gz", events=3, telescopes="SSTC:2", run=1, seed=5)
    ended = server.run([tmp_path / "*.gz", tmp_path / "o.h5", config], tmp_path)
    assert ended.code == 0, ended.stderr
    assert content(tmp_path / "o.h5")["/Run_Table"][0][1] == (2,)


def test_fifo_and_device(server, config, tmp_path):
    os.mkfifo(tmp_path / "pipe.simtel")
    for path in (tmp_path / "pipe.simtel", "/dev/zero"):
        ended = server.run([path, tmp_path / "o.h5", config], tmp_path, timeout=60)
        assert ended.code == 1, ended
        assert "not a file" in ended.errors[0]
