"""Disks that fill up, or can't be written to: real file systems in memory, where one may be mounted."""

import contextlib
import shutil
import subprocess

import pytest
from helpers.faults.harness import judge
from helpers.faults.tally import Tally, chosen
from helpers.marks import quick_and_slow
from helpers.reading import content

KILOBYTES = range(4, 2404, 32)


@contextlib.contextmanager
def disk(folder, size):
    """Mount an empty file system of so many kB; skip the test where that is not allowed."""
    folder.mkdir(exist_ok=True)
    if shutil.which("mount") is None or mount("-t", "tmpfs", "-o", f"size={size}k", "tmpfs", folder):
        pytest.skip("needs the right to mount a file system")
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


def mount(*arguments):
    return subprocess.run(["mount", *map(str, arguments)], capture_output=True, check=False).returncode


@pytest.fixture
def config(make_config):
    return make_config(
        telescope_type_mode="SST", storage_mode="mapped", output_compression="none", image_scale_factor=1
    )


@pytest.mark.parametrize("goal", quick_and_slow(["afresh", "append"], "append"))
def test_disk_that_fills_up(goal, server, small_runs, config, tmp_path, record_property):
    """One line, the output as it was, and the same command finishes when there is room."""
    start, folder = tmp_path / "start.h5", tmp_path / "disk"
    arguments = [small_runs[0].parent / "*", folder / "o.h5", config, "--shuffle", "--split"]
    if goal == "append":
        assert server.run([small_runs[0], start, *arguments[2:]], folder).code == 0
    with disk(folder, 64 << 10):
        new = finish(server, arguments, folder, start)
    tally, old = Tally(record_property, f"full disk, {goal}"), content(start) if start.exists() else None
    smallest = start.stat().st_size >> 10 if start.exists() else 0
    for size in chosen([smallest + n for n in KILOBYTES], 6):
        with disk(folder, size):
            if start.exists():
                shutil.copy(start, folder / "o.h5")
            ended = server.run(arguments, folder)
            why = judge(ended, folder / "o.h5", old, new, "fails once")
            assert mount("-o", "remount,size=64m", folder) == 0
            if not why and finish(server, arguments, folder) != new:
                why = "not finished by the same command"
            if why:
                tally.lost(f"{size} kB", why)
            else:
                tally.survived("in one line" if ended.code else "it was enough")
    tally.finish()


def finish(server, arguments, folder, start=None):
    """Run the command, on a copy of a dataset if there is one; return the content of the output."""
    if start and start.exists():
        shutil.copy(start, folder / "o.h5")
    ended = server.run(arguments, folder)
    assert ended.code == 0, ended
    assert list(folder.iterdir()) == [folder / "o.h5"]
    return content(folder / "o.h5")


@pytest.mark.parametrize("goal", ["afresh", "append"])
def test_read_only_folder(goal, server, small_runs, config, tmp_path):
    folder = tmp_path / "disk"
    arguments = [small_runs[1], folder / "o.h5", config]
    with disk(folder, 64 << 10):
        if goal == "append":
            assert server.run([small_runs[0], *arguments[1:]], folder).code == 0
        before = {path.name: path.read_bytes() for path in folder.iterdir()}
        assert mount("-o", "remount,ro", folder) == 0
        ended = server.run(arguments, folder)
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert (ended.code, len(ended.errors), ended.improper()) == (2, 1, ""), ended
