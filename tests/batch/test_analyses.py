"""Lookup tables and dictionaries of many files: the same content for any workers, and after deaths."""

import importlib.util
import os
import signal
import subprocess
import sys
import time

import pytest
from helpers.made_tables import LOOKUP_CONFIG, content_of_tables
from helpers.processes import ROOT, run_script

from image_extractor.commands import make_lookup_tables, prepare_cuts_dict
from image_extractor.cuts import dictionary

#: Moments of a run, by what is there in the folder of parts.
MOMENTS = {
    "started": lambda parts: parts.exists(),
    "first part open": lambda parts: any(parts.glob("*.h5.*.tmp")),
    "first part done": lambda parts: len(list(parts.glob("*.simtel*.h5"))) >= 1,
    "all parts done": lambda parts: len(list(parts.glob("*.simtel*.h5"))) >= 3,
}


def content_of_dictionary(path):
    found = dictionary.load(path)
    return list(found.items()), found.primary


CONTENT = {"make_lookup_tables": content_of_tables, "prepare_cuts_dict": content_of_dictionary}


@pytest.fixture(scope="module")
def undisturbed(production, tmp_path_factory):
    """Arguments of each command but for the output, and the content that it writes in one process."""
    folder = tmp_path_factory.mktemp("undisturbed")
    gammas, settings, tables = f"{production[0].parent}/gamma*", folder / "settings.config", folder / "tables.h5"
    settings.write_text(LOOKUP_CONFIG)
    assert make_lookup_tables.main([gammas, tables, settings, "--jobs", 1]) == 0
    assert prepare_cuts_dict.main([gammas, folder / "cuts.pkl", settings, "--tables", tables, "--jobs", 1]) == 0
    assert len(dictionary.load(folder / "cuts.pkl")) > 3
    return {
        "make_lookup_tables": ((gammas, settings), content_of_tables(tables)),
        "prepare_cuts_dict": ((gammas, settings, "--tables", tables), content_of_dictionary(folder / "cuts.pkl")),
    }


def line_of(arguments, output):
    files, *others = arguments
    return [str(word) for word in (files, output, *others)]


@pytest.mark.slow
@pytest.mark.parametrize("workers", [("--jobs", "2"), ("--scheduler", "local", "--jobs", "2")], ids=["jobs", "dask"])
@pytest.mark.parametrize("command", CONTENT)
def test_content_does_not_depend_on_workers(command, workers, undisturbed, tmp_path):
    if "--scheduler" in workers and importlib.util.find_spec("distributed") is None:
        pytest.skip("dask is not installed")
    arguments, expected = undisturbed[command]
    output = tmp_path / "output"
    done = run_script(f"{command}.py", *line_of(arguments, output), *workers)
    assert done.returncode == 0, done.stderr
    assert CONTENT[command](output) == expected
    assert [path.name for path in tmp_path.iterdir()] == ["output"]


@pytest.mark.slow
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("jobs", ["1", "2"])
@pytest.mark.parametrize("command", CONTENT)
def test_a_killed_run_is_resumed(command, jobs, moment, undisturbed, tmp_path):
    arguments, expected = undisturbed[command]
    output, parts = tmp_path / "output", tmp_path / "output.parts"
    words = [*line_of(arguments, output), "--jobs", jobs]
    process = subprocess.Popen(
        [sys.executable, ROOT / "scripts" / f"{command}.py", *words],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    while process.poll() is None and not MOMENTS[moment](parts):
        time.sleep(0.001)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not output.exists() or CONTENT[command](output) == expected
    again = run_script(f"{command}.py", *words, "--overwrite")
    assert again.returncode == 0, again.stderr
    assert CONTENT[command](output) == expected
    assert not parts.exists()


@pytest.mark.slow
@pytest.mark.parametrize("command", CONTENT)
def test_finished_parts_are_used_again(command, undisturbed, production, tmp_path, caplog):
    """What was read before a file failed is not read again, and the content is the same."""
    arguments, expected = undisturbed[command]
    folder = tmp_path / "inputs"
    folder.mkdir()
    for path in production[:3]:
        (folder / path.name).write_bytes(path.read_bytes())
    bad, good = folder / production[2].name, production[2].read_bytes()
    bad.write_bytes(good[: len(good) // 2])
    words = [*line_of((f"{folder}/*", *arguments[1:]), tmp_path / "output"), "--jobs", "1"]
    main = {"make_lookup_tables": make_lookup_tables.main, "prepare_cuts_dict": prepare_cuts_dict.main}[command]
    assert main([*words, "--on_error", "stop"]) == 1
    assert not (tmp_path / "output").exists()
    bad.write_bytes(good)
    with caplog.at_level("INFO"):
        assert main(words) == 0
    assert caplog.text.count(" by an earlier run: ") == 2
    assert CONTENT[command](tmp_path / "output") == expected
