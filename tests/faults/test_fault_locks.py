"""File systems without locks, and HDF5 without its own: one run at a time writes an output, and readers go on."""

import itertools
import os
import subprocess
import sys

import pytest
from helpers.reading import content

from image_extractor import DatasetError, ImageExtractor
from image_extractor.dataset import ImageDataset

WITHOUT = """
import fcntl, sys, time
def flock(*_):
    raise OSError(95, "Operation not supported")
if sys.argv[1] == "without":
    fcntl.flock = flock
"""
HOLD = (
    WITHOUT
    + """
from image_extractor.batch.parts_folder import hold_parts_folder
with hold_parts_folder(sys.argv[2]): print(1, flush=True); sys.stdin.read()
"""
)
RACE = (
    WITHOUT
    + """
import threading
from image_extractor.batch import parts_folder
from image_extractor.errors import DatasetError
print("ready", flush=True)
sys.stdin.readline()
try:
    with parts_folder.hold_parts_folder(sys.argv[2]):
        begin = time.monotonic()
        time.sleep(3)
        print("held", begin, time.monotonic(), flush=True)
except DatasetError as err:
    print(err, flush=True)
"""
)
COMMAND = (
    WITHOUT
    + """
from image_extractor.commands.convert import main
sys.exit(main(sys.argv[2:]))
"""
)


@pytest.fixture(autouse=True)
def no_hdf5_locks(monkeypatch):
    monkeypatch.setenv("HDF5_USE_FILE_LOCKING", "FALSE")


@pytest.fixture
def config(make_config):
    return make_config(telescope_type_mode="SST", storage_mode="mapped", image_scale_factor=1)


def start(program, *arguments):
    command = [sys.executable, "-P", "-c", program, *map(str, arguments)]
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    return subprocess.Popen(command, text=True, env=os.environ, **pipes)


@pytest.mark.parametrize("locks", ["with", "without"])
def test_an_output_that_is_written_is_refused_and_read(locks, small_runs, config, tmp_path):
    output = tmp_path / "o.h5"
    first = start(COMMAND, locks, small_runs[0], output, config, "--jobs", 1)
    assert first.wait(120) == 0, first.stderr.read()
    first.communicate()
    before = content(output)
    with ImageDataset(output, "Events") as opened:
        samples = opened[:]
        holder = start(HOLD, locks, output)
        assert holder.stdout.readline() == "1\n"
        second = start(COMMAND, locks, small_runs[1], output, config, "--jobs", 1)
        _, said = second.communicate(timeout=120)
        assert second.returncode == 2
        *waited, error = said.splitlines()
        assert error.startswith(f"ERROR: {output}.parts: in use by another run (")
        assert ["waiting 60 s for a sign of life" in line for line in waited] == [True] * (locks == "without")
        for action in ("shuffle_data", "split_data") if locks == "with" else ():  # this process has locks
            with pytest.raises(DatasetError, match="in use by another run"):
                getattr(ImageExtractor(output, {}, "gh_class"), action)(output)
        assert content(output) == before
        holder.communicate("")
        third = start(COMMAND, locks, small_runs[1], output, config, "--jobs", 1, "--shuffle")
        assert third.wait(120) == 0
        third.communicate()
        assert content(output) != before
        # who has opened the old one goes on with it, whatever has taken its place
        assert all((opened[:][name] == values).all() for name, values in samples.items())
    with pytest.raises(DatasetError, match=r"o\.h5: has changed since this dataset was opened: open it anew"):
        opened[:]


@pytest.mark.parametrize("locks", ["with", "without"])
def test_runs_that_start_at_once_never_have_the_output_both(locks, tmp_path):
    """One has it; the others are refused, or, without locks, may have it when that one is done."""
    for number in range(3):
        output = tmp_path / f"{number}.h5"
        runs = [start(RACE, locks, output) for _ in range(4)]
        for run in runs:
            assert run.stdout.readline() == "ready\n"
        for run in runs:
            run.stdin.write("\n")
            run.stdin.flush()
        said = [run.communicate(timeout=100)[0].strip() for run in runs]
        held = sorted(tuple(map(float, line.split()[1:])) for line in said if line.startswith("held"))
        refused = [line for line in said if line.startswith(f"{output}.parts: in use by another run (")]
        assert len(held) + len(refused) == len(runs)
        assert held
        assert refused or locks == "without"
        assert all(end <= begin for (_, end), (begin, _) in itertools.pairwise(held))
