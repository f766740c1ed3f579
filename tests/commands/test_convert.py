"""The command as people type it: help, arguments, messages, exit codes, what is installed."""

import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.marks import quick_and_slow
from helpers.processes import ROOT, called, run_command
from helpers.reading import read_dataset

from image_extractor.dataset import ImageDataset
from image_extractor.errors import one_line
from image_extractor.hdf5 import dataset_files
from image_extractor.viewing import dataset_report
from image_extractor.viewing.dataset_check import check


def test_help_needs_no_heavy_import():
    code = "import sys, image_extractor.commands.convert as c\ntry: c.main(['--help'])\nexcept SystemExit as e: assert e.code == 0\n"
    code += "heavy = {'ctapipe', 'tables', 'numba', 'astropy', 'scipy', 'tqdm', 'dask'} & set(sys.modules)\nassert not heavy, heavy"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    options = (
        "--bins_cuts_dict --max_events --shuffle --split --jobs --scheduler --files_per_output --overwrite --on_error"
    )
    for option in options.split():
        assert option in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{tmp}/none*.gz", "{tmp}/o.h5", "{config}"], "none*.gz: no file matches"),
        (["{tmp}/none.gz", "{tmp}/o.h5", "{config}"], "none.gz: no file matches"),
        (["{tmp}", "{tmp}/o.h5", "{config}"], "is a folder: give a file, or a quoted wildcard such as"),
        (["{config}", "{tmp}/missing/o.h5", "{config}"], "does not exist"),
        (["{config}", "{tmp}", "{config}"], "is a folder"),
        (["{config}", "{binary}", "{config}"], "binary: not an HDF5 file, and left as it is: choose another OUTPUT"),
        (["{config}", "{tmp}/o.h5", "{tmp}/none.config"], "none.config: can't be read: No such file"),
        (["{config}", "{tmp}/o.h5", "{bad}"], "bad.config: mode = x: must be one of gh_class, energy_recon"),
        (["{config}", "{tmp}/o.h5", "{default}"], "use_pkl_dict = True but no bins_cuts_dict is given"),
        (["{config}", "{tmp}/o.h5", "{default}", "{tmp}/none.pkl"], "none.pkl: the dictionary can't be read"),
        (["{config}", "{tmp}/o.h5", "{default}", "{config}"], "refused as a bins_cuts_dict"),
        (["{config}", "{tmp}/o.h5", "{default}", "a", "--bins_cuts_dict", "b"], "two dictionaries are given"),
        (
            ["{config}", "{tmp}/o.h5", "{config}", "--split", "0.9,0.2"],
            "must be up to three fractions that add up to 1, such as 0.9,0.1, not to 1.1;",
        ),
        (["{config}", "{tmp}/o.h5", "{config}", "--max_events", "0"], "0: must be a whole number, 1 or more"),
        (["{config}", "{tmp}/o.h5", "{config}", "--jobs", "two"], "--jobs: two: must be a whole number, 1 or more"),
        (["{config}", "{tmp}/o.h5", "{config}", "--seed", "-1"], "-1: must be a whole number, 0 or more"),
        (["{config}", "{tmp}/o.h5", "{config}", "--seed", str(2**63)], "must be below 2**63"),
        (["{config}", "{tmp}/o.h5", "{config}", "--shufle"], "--shufle (did you mean --shuffle?); --help shows"),
        (
            ["{config}", "{tmp}/o.h5", "{config}", "--max-evens", "3"],
            "--max-evens 3 (did you mean --max_events?); --help",
        ),
        (["{config}", "{tmp}/o.h5", "{config}", "--max-events", "0"], "0: must be a whole number, 1 or more"),
        (["{binary}", "{binary}", "{tmp}/o.h5", "{config}"], "choose another OUTPUT (put a wildcard in quotes)"),
        (["{binary}", "{binary}", "o.h5", "{config}", "--files-per-output=1"], "OUTPUT (put a wildcard in quotes)"),
        (["1.gz", "2.gz", "3.gz", "4.gz", "o.h5", "{config}"], "arguments: o.h5 {config} (put a wildcard in quotes)"),
        (["--split", "{config}", "{tmp}/o.h5", "{config}"], "write --split=..., or --split after the other arguments"),
        (["{config}", "{tmp}/o.h5", "{binary}"], "binary: can't be read: not a text file"),
        (
            ["{config}", "{tmp}/o.h5", "{default}", "{binary}"],
            "binary: refused as a bins_cuts_dict: neither a pickle nor",
        ),
        (["{config}", "{tmp}/o.h5", "{default}", "{outside}"], "{outside}: (1, 100): bin 4 is not among the 4 of"),
        (["{config}", "{tmp}/o.h5"], "required: CONFIG"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_2(arguments, message, make_config, tmp_path):
    (tmp_path / "bad.config").write_text("mode = x")
    (tmp_path / "default.config").write_text("")
    (tmp_path / "binary").write_bytes(b"\x1f\x8b\x08\x00")
    (tmp_path / "outside.pkl").write_bytes(pickle.dumps({(1, 100): (4, 1.0)}))
    names = {
        "tmp": tmp_path,
        "config": make_config(),
        "bad": tmp_path / "bad.config",
        "default": tmp_path / "default.config",
        "binary": tmp_path / "binary",
        "outside": tmp_path / "outside.pkl",
    }
    done = called("convert", *(argument.format(**names) for argument in arguments))
    assert done.returncode == 2
    assert message.format(**names) in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.glob("o.h5*"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_unwritable_folder_is_exit_2(make_config, tmp_path):
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)
    done = run_command(make_config(), folder / "o.h5", make_config())
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)


def test_unknown_extractor_is_one_line(production, make_config, tmp_path):
    done = called(
        "convert",
        production[0],
        tmp_path / "o.h5",
        make_config(calibration_extractor="Best", telescope_type_mode="ALL"),
    )
    assert done.returncode == 2
    assert "[calibration] extractor = Best: must be one of " in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.glob("o.h5*"))


def test_extractor_without_peak_time_is_one_line(production, make_config, tmp_path):
    config = make_config(
        calibration_extractor="VarianceExtractor", image_mode="PIXELS_TIMING_2C", telescope_type_mode="ALL"
    )
    done = called("convert", production[0], tmp_path / "o.h5", config)
    assert done.returncode == 2
    assert "gives no peak time" in done.stderr


def test_a_dictionary_of_other_runs_is_warned_of(production, make_config, convert, tmp_path, caplog):
    """Inputs that are appended are in the output then, with no event: the right dictionary would be refused."""
    config = make_config(use_pkl_dict=True, telescope_type_mode="ALL", storage_mode="mapped")
    (tmp_path / "cuts.pkl").write_bytes(pickle.dumps({(1, 100): (0, 1.0)}))
    convert(production[0], config, tmp_path / "cuts.pkl")
    assert not [record for record in caplog.records if record.levelname == "WARNING"]
    convert(production[1], config, tmp_path / "cuts.pkl")
    (warning,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert warning.startswith(f"{tmp_path / 'cuts.pkl'} has no event of 1 file, which will not be converted again: ")


def test_what_was_asked_of_a_run_without_selected_telescopes_is_named(production, make_config, convert, capsys):
    config = make_config(telescope_type_mode="SST", telescope_tel_ids=[99])
    convert(production[0], config, code=1)
    assert "no selected telescope, it has 2 LST LSTCam, 2 SST CHEC, none of type_mode = SST with tel_ids = 99\n" in (
        capsys.readouterr().out
    )


def test_a_file_without_triggered_events_is_said_so(real, make_config, convert, caplog):
    output = convert(real("calib_events.simtel.gz"), make_config(telescope_type_mode="ALL"), code=1)
    assert not output.exists()
    assert "no file has a shower event of a selected telescope: nothing is written" in caplog.text


def test_the_class_names_what_it_leaves_out(production, tmp_path, caplog):
    from image_extractor import ImageExtractor

    (tmp_path / "bad.simtel").write_text("no")
    settings = {"use_pkl_dict": False, "telescope_type_mode": "ALL", "storage_mode": "mapped"}
    extractor = ImageExtractor(tmp_path / "o.h5", None, "gh_class", **settings)
    shutil.copy(production[0], tmp_path / "good.simtel.gz")
    report = extractor.process_files(f"{tmp_path}/*.simtel*")
    assert len(report.outcomes) == 2
    assert [run["file"] for run in report.failed] == [str(tmp_path / "bad.simtel")]
    assert f"{tmp_path / 'bad.simtel'}: not a simtel (EventIO) file" in caplog.text


@pytest.mark.slow
def test_example_line_of_the_first_readme(production, make_config, tmp_path):
    """image_extractor.py "*.simtel.gz" ./dataset.h5 ./settings.config ./bins_cuts_dict.pkl --shuffle --split"""
    config = make_config(use_pkl_dict=True, telescope_type_mode="ALL", storage_mode="mapped")
    (tmp_path / "cuts.pkl").write_bytes(
        pickle.dumps({(1, 100 * i + j): (0, 1.0) for i in range(100) for j in range(2)})
    )
    pattern = f"{production[0].parent}/gamma*.simtel.gz"
    done = run_command(pattern, "./dataset.h5", config, "./cuts.pkl", "--shuffle", "--split", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "gamma_run1.simtel.gz" in done.stdout
    assert "./dataset.h5: written" in done.stdout
    assert "1/1 gamma_run1.simtel.gz" in done.stderr  # a log line per file where there is no terminal


def test_installed_command_and_its_trap(production, make_config, tmp_path):
    """image_extractor.py in bin/ has the package's name: also other scripts beside it must get the package."""
    script = Path(sys.executable).with_name("image_extractor.py")
    if not script.exists():
        pytest.skip("image_extractor.py is not installed beside this Python")
    done = subprocess.run([script, "--version"], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.stdout.startswith("image_extractor 1.")
    neighbour = tmp_path / "neighbour.py"
    neighbour.write_text(
        "from image_extractor import ImageExtractor, image_extractor\nprint(image_extractor.__name__)\n"
    )
    (tmp_path / "image_extractor.py").write_text((ROOT / "scripts" / "image_extractor.py").read_text())
    done = subprocess.run([sys.executable, neighbour], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.stdout == "image_extractor.image_extractor\n", done.stderr


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("on_error", ["skip", "stop"])
def test_debug_shows_the_traceback_of_an_input_that_failed(jobs, on_error, production, config, tmp_path):
    """Where it was raised, also if that was in a worker process."""
    for name in ("one", "two"):
        (tmp_path / f"{name}.gz").write_bytes(production[0].read_bytes()[:20_000])
    arguments = [tmp_path / "*.gz", tmp_path / "o.h5", config, "--jobs", jobs, "--on_error", on_error]
    done = called("convert", *arguments)
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    debug = called("convert", *arguments, "--debug")
    assert debug.returncode == 1
    frames = [line.split() for line in debug.stderr.splitlines() if line.startswith('  File "')]
    assert any(frame[1].endswith('tasks.py",') and frame[-1] == "convert" for frame in frames)
    assert len(frames) > 2
    assert "image_extractor.errors.CutError: " in debug.stderr


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 2])
def test_debug_says_what_a_file_holds_and_what_becomes_of_it(jobs, production, make_config, tmp_path):
    config = make_config(telescope_type_mode="SST", energy_bins_min=-1, energy_bins_max=6)
    files = f"{production[0].parent}/gamma_run*.simtel.*"
    done = run_command(files, tmp_path / "o.h5", config, "--debug", "--jobs", jobs)
    assert done.returncode == 0, done.stderr
    for path, run, n_events in zip(production[:2], (1, 2), (6, 9), strict=True):
        lines = [line for line in done.stderr.splitlines() if line.startswith(f"DEBUG: {path}: ")]
        assert len(lines) == 2
        assert f": run {run}, it has 2 LST LSTCam, 2 SST CHEC, selected: SST 3, 4; simulated 0.05 to 50 TeV" in lines[0]
        assert f": primary gamma, {n_events} events read, dropped: " in lines[1]
    blocks = [line for line in done.stderr.splitlines() if "a block of" in line]
    assert len(blocks) == 1  # the first run has no image of a selected telescope


@pytest.mark.parametrize("spelling", ["--max-events", "--max_events", "--max-ev"])
def test_long_options_take_both_spellings(spelling, production, config, convert):
    import tables

    with tables.open_file(convert(production[2], config, spelling, 2)) as file:
        assert file.root.E0.Events.nrows == 2


def test_a_quoted_tilde_is_the_home_folder(production, make_config, tmp_path, monkeypatch):
    make_config(use_pkl_dict=True, telescope_type_mode="ALL")
    shutil.copy(production[0], tmp_path / "run.simtel.gz")
    (tmp_path / "cuts.pkl").write_bytes(pickle.dumps({(1, 100): (0, 1.0)}))
    names = ["~/*.simtel.gz", "~/o.h5", "~/test.config", "~/cuts.pkl"]
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    done = called("convert", *names, "--jobs", 1, cwd=elsewhere)
    assert (done.returncode, (tmp_path / "o.h5").exists()) == (0, True), done.stderr
    assert not list(elsewhere.iterdir())


def test_bins_that_hold_no_event_are_named_with_the_energies(production, make_config, tmp_path):
    """One line, exit code 1; in both modes."""
    for mode, section in (("gh_class", "[energy_bins]"), ("energy_recon", "[energy_recon] [[bins]]")):
        keys = {"min": 500, "max": 900, "bin_size": 100, "scale": "linear"}
        place = "energy_bins" if mode == "gh_class" else "energy_recon_bins"
        settings = {f"{place}_{key}": value for key, value in keys.items()}
        config = make_config(mode=mode, telescope_type_mode="ALL", **settings)
        done = called("convert", f"{production[0].parent}/gamma*", tmp_path / f"{mode}.h5", config)
        assert done.returncode == 1
        line = done.stderr.splitlines()[-1]
        assert line.startswith(
            f"ERROR: {production[0].parent}/gamma*: no event passes, 26 of 26 are outside the 4 bins of"
        )
        assert f"{section}, 500 to 900 TeV" in line


def test_energies_that_were_seen_are_named():
    """As the report of each run has them."""
    from image_extractor import config
    from image_extractor.batch.many_files import Report
    from image_extractor.batch.summary import nothing_written

    settings = config.from_keywords({"use_pkl_dict": False})
    runs = [
        {"status": "written", "events_read": 4, "dropped_outside_energy_bins": 4, "events_written": 0}
        | {"energy_seen_min": low, "energy_seen_max": high}
        for low, high in ((200.0, 300.0), (0.012, 0.05))
    ]
    assert nothing_written(Report(runs), settings).endswith("10 TeV (true energies read: 0.012 to 300 TeV)")
    assert nothing_written(Report([*runs, {"status": "known"}]), settings) == ""
    assert (
        nothing_written(Report([*runs, {"status": "written", "events_read": 4, "events_written": 4}]), settings) == ""
    )


def test_files_of_one_name_are_told_apart(production, config, tmp_path):
    for folder in ("north/a", "south/a", "south/b"):
        (tmp_path / folder).mkdir(parents=True)
    shutil.copy(production[0], tmp_path / "north" / "a" / "run.gz")
    shutil.copy(production[1], tmp_path / "south" / "a" / "run.gz")
    shutil.copy(production[2], tmp_path / "south" / "b" / "other.simtel")
    done = called("convert", f"{tmp_path}/*/*/*", tmp_path / "o.h5", config, "--jobs", 1)
    assert done.returncode == 0, done.stderr
    names = ["north/a/run.gz", "south/a/run.gz", "other.simtel"]
    assert [line.split()[0] for line in done.stdout.splitlines()[1:4]] == names
    lines = [line for line in done.stderr.splitlines() if line.startswith("INFO: ")]
    assert [line.split()[2] for line in lines] == [f"{name}:" for name in names]
    assert lines[0].endswith("north/a/run.gz: converted: 6 events read, 6 selected")


@pytest.mark.slow
@pytest.mark.parametrize("jobs", quick_and_slow([1, 2], 1))
def test_names_that_are_not_utf8_and_a_terminal_that_can_not_print_them(jobs, production, make_config, tmp_path):
    """Of inputs, folder, settings, output: all is there in the end, and in the log in a way that ASCII has."""
    folder = tmp_path / os.fsdecode(b"f\xff")
    folder.mkdir()
    names = [os.fsdecode(name) for name in (b"gamma\xe9.simtel.gz", b"caf\xc3\xa9.simtel.zst")]
    for source, name in zip(production, names, strict=False):
        shutil.copy(source, folder / name)
    (folder / os.fsdecode(b"bad\xff.simtel.gz")).write_text("none")
    config, output = folder / os.fsdecode(b"s\xff.config"), folder / os.fsdecode(b"o\xff.h5")
    make_config(telescope_type_mode="SST").rename(config)
    ascii_only = os.environ | {"PYTHONIOENCODING": "ascii"}
    arguments = [f"{folder}/*.simtel*", output, config, "--jobs", jobs]
    done = run_command(*arguments, env=ascii_only)
    assert (done.returncode, "Traceback" in done.stderr) == (1, False), done.stderr
    assert (done.stdout + done.stderr).isascii()
    assert "bad\\udcff.simtel.gz: not a simtel (EventIO) file\n" in done.stderr
    again = run_command(*arguments, env=ascii_only)
    assert (again.returncode, again.stdout.count("in the output already, skipped")) == (1, 2)
    report = dataset_report.summary(output)
    assert "o\\xff.h5" in report.partition("command")[2]  # an attribute, in which text is UTF-8
    assert check(output)[0] == []
    with dataset_files.open_dataset(output) as file:
        assert {os.fsdecode(name) for name in file.root.Run_Table.col("file_name")} == set(names)
    with ImageDataset(output, "Events") as dataset:
        assert len(dataset) > 0


@pytest.mark.slow
def test_compiled_code_that_can_not_be_kept_is_one_line(production, config, tmp_path):
    """As in an installation that is read-only, without a home folder: numba finds no place for its cache."""
    (tmp_path / "sitecustomize.py").write_text(
        "import tempfile\ndef refuse(*args, **options): raise OSError(30, 'Read-only file system')\n"
        "tempfile.TemporaryFile = refuse\n"
    )
    env = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    done = run_command(production[0], tmp_path / "o.h5", config, env=env)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
    assert "set NUMBA_CACHE_DIR to a folder that can" in done.stderr
    assert not list(tmp_path.glob("o.h5*"))


@pytest.mark.parametrize(
    ("text", "line"), [("a\n b ", "a b"), ("x" * 200, "x" * 200), ("y " * 150, "y " * 98 + "y...")]
)
def test_what_others_say_is_one_line_of_200_characters(text, line):
    assert one_line(text) == line


def test_tracebacks_only_with_debug(make_config, tmp_path):
    arguments = [tmp_path / "none", tmp_path / "o.h5", make_config()]
    assert "Traceback" not in run_command(*arguments).stderr
    assert "Traceback" in run_command(*arguments, "--debug").stderr


def test_ptdump_opens_a_dataset(production, make_config, convert):
    output = convert(production[0], make_config(telescope_type_mode="ALL", storage_mode="mapped"))
    code = "import sys; from tables.scripts.ptdump import main; sys.argv = ['ptdump', sys.argv[1]]; main()"
    done = subprocess.run([sys.executable, "-c", code, output], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for node in ("/Tel_Table", "/Run_Table", "/Cameras/LSTCam", "/E0/Events", "/E0/T1"):
        assert f"{node} " in done.stdout


def test_packaging_files_agree():
    setup = (ROOT / "setup.py").read_text()
    assert "requirements.txt" in setup
    needed = (ROOT / "requirements.txt").read_text().lower()
    for package in ("ctapipe>=0.28", "eventio", "tables", "numpy", "astropy", "configobj", "tqdm"):
        assert package in needed


@pytest.mark.slow
@pytest.mark.parametrize("stdout", ["closed pipe", "full"])
def test_a_summary_that_can_not_be_printed_changes_nothing(stdout, production, config, tmp_path):
    """The dataset is written, and the exit code says so."""
    command = [sys.executable, "-P", "-m", "image_extractor", production[0], tmp_path / "o.h5", config, "--jobs", "1"]
    if stdout == "full":
        with Path("/dev/full").open("w") as full:
            ended = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=300, check=False)
        assert "the summary can't be printed: No space left on device" in ended.stderr
    else:
        read_end, write_end = os.pipe()
        os.close(read_end)
        ended = subprocess.run(command, stdout=write_end, stderr=subprocess.PIPE, text=True, timeout=300, check=False)
        os.close(write_end)
    assert ended.returncode == 0
    assert "as it was" not in ended.stderr
    assert "Traceback" not in ended.stderr
    assert len(read_dataset(tmp_path / "o.h5")) == 6
