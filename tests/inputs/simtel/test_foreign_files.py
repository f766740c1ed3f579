"""Files that are no run, or of another version: called what they are, in the same words by all commands."""

import gzip
import re

import pytest
from helpers.eventio_bytes import kind, objects_of, packed, with_version
from helpers.real_files import real_folder

from image_extractor import demo
from image_extractor.commands import plot_numtel
from image_extractor.commands.convert import main
from image_extractor.demo import cuts
from image_extractor.demo.eventio_writer import eventio_object
from image_extractor.errors import InputError
from image_extractor.inputs.simtel import open_run

PYTHON_NAMES = re.compile(r"\w+(Error|Exception|Iteration)\b|NoneType|Traceback|object has no")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The objects of a run."""
    path = tmp_path_factory.mktemp("run") / "run.simtel"
    demo.write_demo_file(path, telescopes="SSTC:2", events=2)
    return objects_of(path.read_bytes())


def with_kind(objects, number, change):
    """Return the bytes of a run, each object of a type changed."""
    return b"".join(change(one) if kind(one) == number else one for one in objects)


def inside(one, number, version):
    """Return an array event whose objects of a type say they are of another version."""
    data, place = bytearray(one), 16
    while place < len(one):
        word = int.from_bytes(data[place : place + 4], "little")
        if word & 0xFFFF == number:
            data[place : place + 4] = (word & 0xFFFFF | version << 20).to_bytes(4, "little")
        place += 12 + (int.from_bytes(data[place + 8 : place + 12], "little") & 0x3FFFFFFF)
    return bytes(data)


def photons():
    iact = [(1200, 1096), (1212, 448), (1201, 20), (1202, 1096), (1203, 16), (1204, 60), (1209, 1096), (1210, 16)]
    return b"".join(eventio_object(number, bytes(size)) for number, size in iact)


MADE = {
    "photons": (lambda run: photons(), "a CORSIKA IACT file"),
    "photons behind their input card": (lambda run: eventio_object(1212, bytes(40)) + photons(), "a CORSIKA IACT file"),
    "histograms": (lambda run: run[-1], "histograms of sim_telarray (.hdata)"),
    "history, then histograms": (lambda run: run[0] + run[-1], "histograms of sim_telarray (.hdata)"),
    "particles": (lambda run: (22932).to_bytes(4, "little") + b"RUNH" + bytes(5000), "CORSIKA particles"),
    "particles without marks": (lambda run: b"RUNH" + bytes(5000), "CORSIKA particles"),
    "other EventIO": (lambda run: eventio_object(9999, bytes(40)), "EventIO without the header of a run"),
    "big-endian": (lambda run: b"\xd4\x1f\x8a\x37" + bytes(40), "EventIO of a machine with big-endian numbers"),
    "text": (lambda run: b"text\n" * 100, "not a simtel (EventIO) file"),
    "version 2 of its header": (
        lambda run: with_kind(run, 2001, lambda one: with_version(one, 2)),
        "format version 2 of MCRunHeader; this reads 4 and newer",
    ),
    "version 5 of its header": (
        lambda run: with_kind(run, 2001, lambda one: with_version(one, 5)),
        "format version 5 of MCRunHeader; this reads up to 4",
    ),
    "version 0 of the cameras": (
        lambda run: with_kind(run, 2004, lambda one: with_version(one, 9)),
        "format version 9 of PixelSettings; this reads up to 3",
    ),
    "version 1 of the calibration": (
        lambda run: with_kind(run, 2023, lambda one: with_version(one, 1)),
        "format version 1 of LaserCalibration; this reads 2 and newer",
    ),
    "version 1 of the trigger": (
        lambda run: with_kind(run, 2010, lambda one: inside(one, 2009, 1)),
        "format version 1 of TriggerInformation; this reads 2 and newer",
    ),
    "a telescope not described": (
        lambda run: b"".join(one for i, one in enumerate(run) if i != [kind(o) for o in run].index(2005)),
        "damaged: not all telescopes of the run are described",
    ),
    "no run header": (lambda run: with_kind(run, 2000, lambda one: b""), "EventIO without the header of a run"),
    "no calibration": (lambda run: with_kind(run, 2023, lambda one: b""), "damaged or incomplete"),
}  # fmt: skip


@pytest.mark.parametrize("made", MADE)
def test_it_is_called_what_it_is_by_all_commands(made, run, tmp_path, make_config, caplog, capsys):
    make, words = MADE[made]
    path = tmp_path / "given.simtel.gz"
    path.write_bytes(packed(make(run), ".gz"))
    config = make_config(telescope_type_mode="ALL", storage_mode="mapped")
    assert main([path, tmp_path / "o.h5", config, "--jobs", "1"]) == 1
    (error,) = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert error.startswith(f"{path}: ")
    assert words in error
    assert "truncated" not in error
    assert not PYTHON_NAMES.search(error)
    assert not (tmp_path / "o.h5").exists()
    # the other commands may read less of it
    for command in (plot_numtel.main, cuts.main):
        capsys.readouterr()
        dictionary = [tmp_path / "cuts.pkl", config] if command is cuts.main else []
        code = command([str(each) for each in [path, *dictionary]])
        said = capsys.readouterr().err
        if command is plot_numtel.main or code:
            assert code
            assert error in said
            assert not PYTHON_NAMES.search(said)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("corsika_iact_one_shower.dat", "a CORSIKA IACT file"),
        ("corsika_particles.zst", "CORSIKA particles"),
        ("histograms.hdata.zst", "histograms of sim_telarray (.hdata)"),
    ],
)
def test_real_files_that_people_take_for_runs(name, words):
    folder = real_folder()
    path = folder and folder.parent / "not_simtel" / name
    if not path or not path.exists():
        pytest.skip(f"no real {name} at hand: it stands in not_simtel, beside IMAGE_EXTRACTOR_TEST_DATA")
    for fast in (True, False):
        with pytest.raises(InputError, match=re.escape(words)):
            open_run.open_runs(path, fast)


@pytest.mark.slow
def test_damage_is_never_told_in_pythons_words(run, tmp_path):
    """Objects left out, twice there, or of other types: whatever the parsers raise."""
    kinds = sorted({kind(one) for one in run})
    refused = 0
    for number in kinds:
        for what, change in {
            "left out": lambda one: b"",
            "emptied": lambda one, number=number: eventio_object(number, b"", object_id=1),
            "of zeros": lambda one: one[:16] + bytes(len(one) - 16),
            "of ones": lambda one: one[:16] + b"\xff" * (len(one) - 16),
        }.items():
            path = tmp_path / "run.gz"
            path.write_bytes(gzip.compress(with_kind(run, number, change), 1))
            for fast in (True, False):
                try:
                    with open_run.open_runs(path, fast) as file:
                        for one in file:
                            for _ in one:
                                pass
                            one.check_end()
                except InputError as err:
                    message = str(err)
                    assert message.startswith(f"{path}: "), (number, what)
                    assert not PYTHON_NAMES.search(message), (number, what, message)
                    assert "\n" not in message
                    assert len(message) < len(str(path)) + 260
                    refused += 1
    assert refused > len(kinds)
