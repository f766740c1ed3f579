"""prepare_cuts_dict.py as a command: what it writes, what it says, what it refuses."""

import os
import pickle
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.made_mscw import GOOD, write_mscw
from helpers.processes import called

from image_extractor import config
from image_extractor.cuts import dictionary, eventdisplay
from image_extractor.cuts.entries import as_dict
from image_extractor.input_files import find_files

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "prepare_cuts_dict.py"


def run(*arguments):
    return called("prepare_cuts_dict", *arguments)


def run_as_process(*arguments, path=ROOT, **options):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, [path, ROOT]))}
    return subprocess.run(
        [sys.executable, SCRIPT, *arguments], capture_output=True, text=True, env=environment, check=False, **options
    )


@pytest.fixture
def folder(tmp_path):
    """A production of two files, the settings for it, and the folder both are in."""
    events = [GOOD | {"eventNumber": i, "ErecS": 0.05 * (i + 1)} for i in range(20)]
    no_height = GOOD | {"eventNumber": 50, "EmissionHeight": 1e-10}
    failed = GOOD | {"eventNumber": 51, "MSCW": -99.0, "ErecS": -99.0}
    no_energy = GOOD | {"eventNumber": 52, "ErecS": 0.0}
    write_mscw(tmp_path / "run2.mscw.root", [events, [no_height, failed, no_energy]])
    again = [row | {"runNumber": 10} for row in events] + events[5:8]
    write_mscw(tmp_path / "run10.mscw.root", [again])
    (tmp_path / "settings.config").write_text(config.default_text())
    return tmp_path


@pytest.mark.parametrize("file_format", dictionary.FORMATS)
def test_command_writes_what_the_converter_reads(folder, file_format):
    done = run_as_process(folder / "run*.root", folder / "cuts", folder / "settings.config", "--format", file_format)
    assert (done.returncode, done.stderr) == (0, "")
    expected = as_dict(eventdisplay.build(find_files(str(folder / "*.root")), config.defaults())[0])
    assert len(expected) == 39
    assert dictionary.load(folder / "cuts") == expected
    assert sorted(path.name for path in folder.iterdir() if "cuts" in path.name) == ["cuts"]
    if file_format == "pickle":
        assert pickle.loads((folder / "cuts").read_bytes()) == expected


def test_what_the_command_says(folder):
    done = run(folder / "run*.root", folder / "cuts.pkl", folder / "settings.config")
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert lines == [
        "cut flow of 2 files",
        "events of read failed",
        "events in 46 100.00%",
        "MSCW [-2, 2) 45 97.83% 1",
        *(f"{name} 45 97.83% 0" for name in ("MSCL [-2, 5)", "EChi2S [0, inf)", "ErecS [0, inf)")),
        "EmissionHeight [0, 50) 45 97.83% 0",
        "MC_Offset [0, 3) of MCxoff, MCyoff 45 97.83% 0",
        "NImages [3, inf) 45 97.83% 0",
        "dES [0, inf) 45 97.83% 0",
        "bin 0: [0.1, 0.3162) TeV 11 23.91%",
        "bin 1: [0.3162, 1) TeV 29 63.04%",
        "bin 2: [1, 3.162) TeV 2 4.35%",
        "bin 3: [3.162, 10) TeV 0 0.00%",
        "outside all bins 3 6.52%",
        "failed: events that this cut removed because a reconstruction failed (-99, -9999 or NaN)",
        "note: passing the EmissionHeight cut without a height (0 or 1e-10), as EventDisplay lets them: 1",
        "note: passing all cuts without an energy (ErecS 0 or less), in no bin: 1",
        "note: coming again with the same values, kept once: 3",
        f"{folder / 'cuts.pkl'}: 39 events written",
    ]


def test_debug_shows_each_file_in_order(folder):
    done = run(folder / "run*.root", folder / "cuts.pkl", folder / "settings.config", "--debug")
    titles = [line for line in done.stdout.splitlines() if line.startswith("cut flow")]
    assert titles == [
        f"cut flow of {folder / 'run2.mscw.root'}", f"cut flow of {folder / 'run10.mscw.root'}", "cut flow of 2 files"
    ]  # fmt: skip


def test_failures_that_a_wide_cut_admits_are_said(folder):
    (folder / "wide.config").write_text("[preselection_cuts]\nMSCW = None, 2\nErecS = None, None\n")
    done = run(folder / "run2*", folder / "cuts.pkl", folder / "wide.config")
    assert "note: passing the MSCW cut with a failed MSCW (-99 or -9999), which its low end admits: 1\n" in done.stdout
    assert "note: passing all cuts without an energy (ErecS 0 or less), in no bin: 2\n" in done.stdout
    assert "  ErecS not applied  " in done.stdout


def test_no_event_passes(folder):
    (folder / "strict.config").write_text("[preselection_cuts]\nNImages = 400, None\n")
    done = run(folder / "run2*", folder / "cuts.pkl", folder / "strict.config")
    assert done.returncode == 0
    assert "warning: no event passes" in done.stdout
    assert dictionary.load(folder / "cuts.pkl") == {}


def refused(folder, done, *words, code=2):
    """Check that a command ended with one line, with these words, and wrote nothing."""
    assert done.returncode == code
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert all(word in done.stderr for word in words), done.stderr
    assert not done.stdout
    assert not [path for path in folder.iterdir() if "cuts" in path.name]


def test_what_the_command_refuses(folder):
    files, output, settings_ = folder / "run*.root", folder / "cuts.pkl", folder / "settings.config"
    refused(folder, run(folder / "no*.root", output, settings_), "no*.root: no file matches")
    refused(folder, run(files, output, folder / "none.config"), "none.config: can't be read")
    refused(folder, run(files, folder / "none" / "cuts.pkl", settings_), "none is not a folder")
    refused(folder, run(files, folder, settings_), "is a folder")
    refused(folder, run(files, settings_, settings_, "--overwrite"), "settings.config: is an input")
    refused(folder, run(files, folder / "run2.mscw.root", settings_, "--overwrite"), "run2.mscw.root: is an input")
    (folder / "wrong.config").write_text("[preselection_cuts]\nMSCW = 2, 1\n")
    refused(folder, run(files, output, folder / "wrong.config"), "wrong.config: [preselection_cuts] MSCW = 2, 1")
    (folder / "run3.root").write_text("no ROOT")
    refused(folder, run(files, output, settings_), "run3.root: can't be read as a ROOT file", code=1)


def test_traceback_only_with_debug(folder):
    done = run(folder / "no*", folder / "cuts.pkl", folder / "settings.config", "--debug")
    assert done.returncode == 2
    assert "Traceback" in done.stderr
    assert done.stderr.splitlines()[-1].startswith(f"{folder / 'no*'}: no file matches")


def test_wildcard_without_quotes(folder):
    done = run(*sorted(folder.glob("*.root")), folder / "run3", folder / "cuts.pkl", folder / "settings.config")
    assert done.returncode == 2
    assert "put a wildcard in quotes" in done.stderr


def test_existing_output(folder):
    arguments = folder / "run2*", folder / "cuts.pkl", folder / "settings.config"
    (folder / "cuts.pkl").write_text("precious")
    done = run(*arguments)
    assert done.returncode == 2
    assert done.stderr == f"{folder / 'cuts.pkl'}: exists already; choose another name or add --overwrite\n"
    assert (folder / "cuts.pkl").read_text() == "precious"
    assert run(*arguments, "--overwrite").returncode == 0
    assert len(dictionary.load(folder / "cuts.pkl")) == 20


@pytest.mark.parametrize("file_format", dictionary.FORMATS)
def test_full_disk_leaves_the_old_file(folder, file_format):
    (folder / "cuts").write_text("precious")
    done = run_as_process(
        folder / "run*", folder / "cuts", folder / "settings.config", "--overwrite", "--format", file_format,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200)),
    )  # fmt: skip
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert "cuts: can't be written" in done.stderr
    assert (folder / "cuts").read_text() == "precious"
    assert sorted(path.name for path in folder.iterdir() if "cuts" in path.name) == ["cuts"]


def test_without_uproot(folder):
    (folder / "hidden").mkdir()
    (folder / "hidden" / "uproot.py").write_text("raise ImportError('not installed')")
    arguments = folder / "run*", folder / "cuts.pkl", folder / "settings.config"
    done = run_as_process(*arguments, path=folder / "hidden")
    refused(folder, done, "prepare_cuts_dict.py needs uproot: pip install '.[scripts]'")
    assert run_as_process("--help", path=folder / "hidden").returncode == 0
