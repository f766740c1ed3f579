"""Many files: the same content whatever the jobs, deaths and bad inputs; nothing half-written."""

import gzip
import os
import signal
import subprocess
import sys
import time

import pytest
import tables
import zstandard
from helpers.marks import quick_and_slow
from helpers.processes import run_command
from helpers.reading import content, cut, read_dataset
from helpers.simtel_objects import read_objects, write_objects

from image_extractor import DatasetError, ImageExtractor, InputError
from image_extractor.conversion.converter import Converter

OF_SHOWERS = (1204, 2020, 2021, 2026)


def events_by_table(path):
    found = {}
    for event in read_dataset(path):
        key = event["run_number"], event["gamma_hadron_label"], event["event_number"]
        assert key not in found
        found[key] = event["table"]
    return found


def test_content_does_not_depend_on_jobs(production, config, undisturbed, convert):
    two = convert(f"{production[0].parent}/*", config, "--shuffle", "--split", "--jobs", 2, output="two.h5")
    assert content(two) == undisturbed


def test_files_are_taken_in_natural_order(production, config, convert):
    output = convert(f"{production[0].parent}/gamma*", config)
    with tables.open_file(output) as file:
        assert file.root.Run_Table[:]["run_number"].tolist() == [1, 2, 10]
    runs = [event["run_number"] for event in read_dataset(output)]
    assert runs == sorted(runs)


def test_productions_share_run_numbers(production, config, convert):
    """Gamma run 1 and proton run 1 are two runs, and their events too."""
    output = convert(f"{production[0].parent}/*run1.*", config)
    assert {(run, primary) for run, primary, _ in events_by_table(output)} == {(1, 0), (1, 101)}


# -- appending ------------------------------------------------------------------------------------


def test_append_skips_what_is_there_and_keeps_tables(production, config, convert, capsys):
    options = "--shuffle", "--split", "0.6,0.4"
    output = convert(production[0], config, *options)
    before = events_by_table(output)
    convert(f"{production[0].parent}/gamma*", config, *options)
    out = capsys.readouterr().out
    assert "gamma_run1.simtel.gz  in the output already, skipped" in out
    after = events_by_table(output)
    assert {key: table for key, table in after.items() if key in before} == before
    assert {run for run, _, _ in after} == {1, 2, 10}
    n_new = len(after) - len(before)
    n_training = sum(table == "Events_Training" for key, table in after.items() if key not in before)
    assert abs(n_training - 0.6 * n_new) <= 2  # a shower has two uses
    again = content(output)
    convert(f"{production[0].parent}/gamma*", config, *options)
    assert content(output) == again


def test_append_to_a_split_dataset_needs_split(production, config, convert, caplog):
    output = convert(production[0], config, "--split")
    before = output.read_bytes()
    convert(production[1], config, code=2)
    assert "is split into Training, Validation: give --split" in caplog.text
    convert(production[1], config, "--split", "0.8,0.1,0.1", code=2)
    assert output.read_bytes() == before


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"image_dtype": "int32"}, "[image] dtype = float32, now int32"),
        ({"mode": "energy_recon"}, "mode = gh_class, now energy_recon"),
        ({"energy_bins_bin_size": 3.5}, "[energy_bins] bin_size = 7.0, now 3.5"),
    ],
)
def test_append_with_other_settings_is_refused(change, named, production, config, convert, make_config, caplog):
    output = convert(production[0], config)
    before = output.read_bytes()
    settings = {
        "storage_mode": "mapped",
        "image_mode": "PIXELS_TIMING_2C",
        "telescope_type_mode": "ALL",
        "image_scale_factor": 1,
    }
    convert(production[1], make_config("other.config", **(settings | change)), code=2)
    assert named in caplog.text
    assert output.read_bytes() == before


def test_append_of_other_telescopes_is_refused(production, config, convert, tmp_path, caplog):
    from image_extractor.demo import write_demo_file

    output = convert(production[0], config)
    before = output.read_bytes()
    write_demo_file(tmp_path / "other.simtel", events=2, telescopes="LST:3", run=77)
    convert(tmp_path / "other.simtel", config, code=1)
    assert f"its telescopes do not fit the output {output}: telescopes 1, 2, 3, not 1, 2, 3, 4" in caplog.text
    assert output.read_bytes() == before


def test_overwrite_starts_afresh(production, config, convert):
    output = convert(production[0], config)
    convert(production[1], config, "--overwrite")
    assert {run for run, _, _ in events_by_table(output)} == {2}


# -- bad inputs -----------------------------------------------------------------------------------


def make_bad(kind, production, folder):
    """Make one bad input beside good ones; returns its path."""
    gz, zst, plain = production[0], production[1], production[2]
    if kind == "truncated gz":
        return cut(gz, folder / "bad.simtel.gz", gz.stat().st_size * 2 // 3)
    if kind == "truncated zst":
        return cut(zst, folder / "bad.simtel.zst", zst.stat().st_size * 2 // 3)
    if kind in ("cut between objects", "cut between objects, then compressed"):
        cuts = list(object_starts(plain.read_bytes()))
        # before the closing block; and within an event, as a writer that died between two blocks leaves it
        size = cuts[-1] if kind == "cut between objects" else cuts[-3]
        data = plain.read_bytes()[:size]
        path = folder / ("bad.simtel" if kind == "cut between objects" else "bad.simtel.gz")
        path.write_bytes(data if path.suffix == ".simtel" else gzip.compress(data))
        return path
    if kind == "flipped byte":
        data = bytearray(gz.read_bytes())
        data[len(data) // 2] ^= 0x10
        (folder / "bad.simtel.gz").write_bytes(data)
    elif kind == "empty":
        (folder / "bad.simtel.gz").write_bytes(b"")
    elif kind == "text":
        (folder / "bad.simtel.gz").write_text("this is no simtel file\n" * 100)
    elif kind == "directory":
        (folder / "bad.simtel.gz").mkdir()
    elif kind == "dangling link":
        (folder / "bad.simtel.gz").symlink_to(folder / "nowhere")
    return folder / "bad.simtel.gz"


def object_starts(data):
    """Yield where the top-level EventIO objects begin."""
    offset = 0
    while offset < len(data):
        yield offset
        type_word, length = (int.from_bytes(data[offset + i : offset + i + 4], "little") for i in (4, 12))
        offset += 16 + (length & 0x3FFFFFFF)
        assert not type_word >> 17 & 1


BAD_KINDS = [
    "truncated gz", "truncated zst", "cut between objects", "cut between objects, then compressed", "flipped byte",
    "empty", "text", "directory", "dangling link",
]  # fmt: skip


@pytest.mark.one_in(4)
@pytest.mark.parametrize("kind", BAD_KINDS)
def test_a_bad_input_is_left_out_whole_and_named(kind, production, config, tmp_path, convert, caplog, capsys):
    folder = tmp_path / "inputs"
    folder.mkdir()
    bad = make_bad(kind, production, folder)
    for good in production[1:3]:
        os.link(good, folder / good.name)
    output = convert(folder / "*", config, code=1)
    errors = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert len(errors) == 1
    assert str(bad) in errors[0]
    assert "\n" not in errors[0]
    assert {run for run, _, _ in events_by_table(output)} == {2, 10}
    assert f"{bad.name}" in capsys.readouterr().out
    assert not (tmp_path / "dataset.h5.parts").exists()


@pytest.mark.parametrize("kind", ["truncated gz", "text"])
def test_on_error_stop_and_the_class_raise(kind, production, config, tmp_path, convert):
    folder = tmp_path / "inputs"
    folder.mkdir()
    bad = make_bad(kind, production, folder)
    output = convert(production[1], config)
    before = output.read_bytes()
    convert(folder / "*", config, "--on_error", "stop", code=1)
    extractor = ImageExtractor.from_config(output, None, config)
    with pytest.raises(InputError, match=r"bad\.simtel"):
        extractor.process_data(bad)
    assert output.read_bytes() == before


def test_every_truncation_is_noticed(production, config, tmp_path):
    """An interrupted run is not a short run, wherever it was cut."""
    extractor = ImageExtractor.from_config(tmp_path / "o.h5", None, config)
    data = production[2].read_bytes()
    starts = list(object_starts(data))
    sizes = [len(data) * i // 12 for i in range(1, 12)] + starts[1::40] + [starts[-1], len(data) - 1]
    for size in sizes:
        path = cut(production[2], tmp_path / "cut.simtel", size)
        with pytest.raises(InputError, match="truncated"):
            extractor.process_data(path)
    assert not (tmp_path / "o.h5").exists()


def test_zstd_in_two_frames_is_read_whole(production, config, tmp_path, convert):
    """ctapipe alone would stop at the end of the first, without a word."""
    data = production[2].read_bytes()
    path = tmp_path / production[2].with_suffix(".simtel.zst").name
    frame = zstandard.ZstdCompressor().compress
    path.write_bytes(frame(data[: len(data) // 2]) + frame(data[len(data) // 2 :]))
    assert events_by_table(convert(path, config)) == events_by_table(convert(production[2], config, output="plain.h5"))


@pytest.mark.parametrize("content_of", ["text", "hdf5", "empty"])
def test_output_that_is_not_ours_is_refused_untouched(content_of, production, config, convert, tmp_path, caplog):
    output = tmp_path / "dataset.h5"
    if content_of == "hdf5":
        with tables.open_file(output, "w") as file:
            file.create_array("/", "mine", [1, 2, 3])
    else:
        output.write_text("my thesis" if content_of == "text" else "")
    before = output.read_bytes()
    for options in ((), ("--overwrite",)):
        convert(production[0], config, *options, code=2)
    assert output.read_bytes() == before
    assert "dataset.h5: not a" in caplog.text


@pytest.mark.parametrize("name", ["demo", "extracted_pedestals.simtel.zst"])
def test_no_shower_anywhere_is_an_error(name, production, real, config, convert, tmp_path, caplog):
    """Events before any shower are those of pedestals and flashers."""
    if name == "demo":
        path = tmp_path / "calibration.simtel"
        write_objects(path, [one for one in read_objects(production[0]) if one.type not in OF_SHOWERS])
    else:
        path = real(name)
    convert(path, config, code=1)
    assert "no file has a shower event" in caplog.text
    assert not list(tmp_path.glob("dataset.h5*"))


def test_a_file_without_selected_telescopes_is_named(production, make_config, convert, tmp_path, caplog, capsys):
    from image_extractor.demo import write_demo_file

    folder = tmp_path / "in"
    folder.mkdir()
    write_demo_file(folder / "a_sst.simtel", events=2, telescopes="SSTC:2", run=5)
    os.link(production[0], folder / production[0].name)
    convert(folder / "*", make_config(telescope_type_mode="LST"))
    assert "no selected telescope, it has 2 SST CHEC" in capsys.readouterr().out


# -- interruptions --------------------------------------------------------------------------------


def start(arguments):
    command = [sys.executable, "-P", "-m", "image_extractor", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


#: Moments of a run, by what is there in the folder of parts.
MOMENTS = {
    "started": lambda parts: parts.exists(),
    "first part open": lambda parts: any(parts.glob("*.h5.*.tmp")),
    "first part done": lambda parts: len(list(parts.glob("*.simtel*.h5"))) >= 1,
    "all parts done": lambda parts: len(list(parts.glob("*.simtel*.h5"))) >= 4,
    "merging": lambda parts: any(parts.glob("*.buckets.tmp")),
}


@pytest.mark.slow
@pytest.mark.parametrize("moment", quick_and_slow(MOMENTS, "merging"))
@pytest.mark.parametrize("jobs", quick_and_slow([1, 2], 1))
def test_a_killed_run_leaves_nothing_half_written(moment, jobs, production, config, undisturbed, tmp_path):
    output, parts = tmp_path / "killed.h5", tmp_path / "killed.h5.parts"
    arguments = [f"{production[0].parent}/*", output, config, "--shuffle", "--split", "--jobs", jobs]
    process = start(arguments)
    while process.poll() is None and not MOMENTS[moment](parts):
        time.sleep(0.001)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert not output.exists() or content(output) == undisturbed
    again = run_command(*arguments)
    assert again.returncode == 0, again.stderr
    assert content(output) == undisturbed
    assert not parts.exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("jobs", quick_and_slow([1, 2], 2))
def test_an_interrupted_run_says_so_and_can_be_resumed(number, code, jobs, production, config, undisturbed, tmp_path):
    output, parts = tmp_path / "killed.h5", tmp_path / "killed.h5.parts"
    arguments = [f"{production[0].parent}/*", output, config, "--shuffle", "--split", "--jobs", jobs]
    process = start(arguments)
    while process.poll() is None and not MOMENTS["first part done"](parts):
        time.sleep(0.001)
    os.killpg(process.pid, number)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == code, stderr
    assert stderr.strip().splitlines()[-1].startswith("ERROR: interrupted")
    assert "Traceback" not in stderr
    assert not output.exists()
    assert not list(parts.glob("*.tmp"))
    again = run_command(*arguments)
    assert again.returncode == 0
    assert "converted by an earlier run: " in again.stderr
    assert content(output) == undisturbed


LOST_INTERRUPTION = """
import os, signal, sys, weakref
from image_extractor.batch import tasks
from image_extractor.commands import convert as command
convert = tasks.convert
class Dropped:
    pass
def interrupted_in_a_callback(*arguments):
    dropped = Dropped()
    reference = weakref.ref(dropped, lambda _: os.kill(os.getpid(), signal.{name}))
    del dropped
    return convert(*arguments)
tasks.convert = interrupted_in_a_callback
sys.exit(command.main(sys.argv[1:]))
"""


@pytest.mark.slow
@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), pytest.param("SIGTERM", 143, marks=pytest.mark.slow)])
def test_an_interruption_that_python_drops_is_not_lost(name, code, production, config, tmp_path):
    """Python prints and drops what is raised in a callback of a weak reference, also a KeyboardInterrupt."""
    arguments = [f"{production[0].parent}/*", tmp_path / "o.h5", config, "--jobs", "1"]
    script = LOST_INTERRUPTION.format(name=name)
    done = subprocess.run([sys.executable, "-P", "-c", script, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "o.h5").exists()


def test_parts_that_no_longer_match_are_made_anew(production, config, convert, make_config, tmp_path, undisturbed):
    """A part is only good for the settings and the input that it was made of."""
    other = make_config("other.config", storage_mode="mapped", telescope_type_mode="LST")
    extractor = ImageExtractor.from_config(tmp_path / "dataset.h5", None, other)
    with pytest.raises(InputError):
        extractor.process_files([production[0], tmp_path / "missing"], on_error="stop")
    assert list((tmp_path / "dataset.h5.parts").glob("*.h5"))
    output = convert(f"{production[0].parent}/*", config, "--shuffle", "--split")
    assert content(output) == undisturbed


def test_finished_parts_are_used_again(production, config, tmp_path, monkeypatch):
    extractor = ImageExtractor.from_config(tmp_path / "o.h5", None, config)
    with pytest.raises(InputError):
        extractor.process_files([production[0], tmp_path / "missing"], on_error="stop")
    converted = []
    original = Converter.convert
    monkeypatch.setattr(
        Converter, "convert", lambda self, file, *rest: converted.append(file) or original(self, file, *rest)
    )
    extractor.process_files(production[:2])
    assert converted == [production[1]]


@pytest.mark.slow
def test_what_is_appended_to_a_shuffled_dataset_is_not_said_to_be_shuffled(production, config, tmp_path, caplog):
    extractor = ImageExtractor.from_config(tmp_path / "o.h5", None, config)
    extractor.process_files(production[:1], seed=3)
    for seed, known in ((None, False), (5, True)):
        extractor.process_files(production[1:2] if seed is None else production[2:3], seed=seed)
        with tables.open_file(tmp_path / "o.h5") as file:
            assert ("shuffle_seed" in file.root._v_attrs) is known
    assert ["--shuffle mixes them" in record.getMessage() for record in caplog.records].count(True) == 1


@pytest.mark.one_in(2)
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_damaged_part_is_made_anew_by_the_same_command(jobs, production, config, tmp_path):
    extractor, parts = ImageExtractor.from_config(tmp_path / "o.h5", None, config), tmp_path / "o.h5.parts"
    with pytest.raises(InputError):
        extractor.process_files([*production[:2], tmp_path / "missing"], on_error="stop")
    victim = next(parts.glob(f"{production[1].name}*.h5"))
    with tables.open_file(victim, "a") as file:
        file.remove_node("/Run_Table")
    report = extractor.process_files(production[:2], jobs=jobs)
    assert [outcome.get("resumed", False) for outcome in report.outcomes] == [True, False]
    assert len(report.outputs) == 1


@pytest.mark.slow
def test_a_worker_that_dies_does_not_hang_the_run(production, config, tmp_path):
    process = start([f"{production[0].parent}/*", tmp_path / "o.h5", config, "--jobs", 2])
    parts = tmp_path / "o.h5.parts"
    while process.poll() is None and not MOMENTS["first part open"](parts):
        time.sleep(0.001)
    for temporary in parts.glob("*.h5.*.tmp"):
        os.kill(int(temporary.name.split(".")[-2]), signal.SIGKILL)
        break
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 0, stderr
    assert len(events_by_table(tmp_path / "o.h5")) >= 31


@pytest.mark.slow
def test_two_runs_never_mix(production, config, tmp_path):
    from image_extractor.batch.parts_folder import hold_parts_folder

    with hold_parts_folder(tmp_path / "o.h5"):
        second = run_command(production[0], tmp_path / "o.h5", config)
        assert second.returncode == 2
        assert "in use by another run" in second.stderr
        assert second.stderr.count("\n") == 1
    with pytest.raises(DatasetError, match=r"not a readable|no such file"):
        ImageExtractor.from_config(tmp_path / "o.h5", None, config).shuffle_data()
