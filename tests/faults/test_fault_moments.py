"""Kills, deaths of workers and interruptions at random moments of runs with workers."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from harness import small_runs
from reading import content
from tally import Tally, chosen

CODES = {"SIGINT": 130, "SIGTERM": 143, "SIGKILL": -9}


def start(arguments):
    command = [sys.executable, "-P", "-m", "image_extractor", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


def members(session):
    """Return the processes of a session but its leader."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session and int(stat.parent.name) != session and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return found


def orphans(session, seconds=20):
    """Return the processes that outlive their run by so many seconds."""
    deadline = time.monotonic() + seconds
    while members(session) and time.monotonic() < deadline:
        time.sleep(0.05)
    return members(session)


@pytest.fixture
def run(small_runs, make_config, tmp_path):
    config = make_config(telescope_type_mode="SST", storage_mode="mapped", image_scale_factor=1)
    arguments = [small_runs[0].parent / "*", tmp_path / "o.h5", config, "--shuffle", "--split", "--jobs", 2]
    started = time.monotonic()
    process = start(arguments)
    assert process.communicate(timeout=200)[1].count("ERROR") == 0
    return arguments, time.monotonic() - started, content(tmp_path / "o.h5")


@pytest.mark.parametrize("to", ["the group", "the parent"])
@pytest.mark.parametrize("name", CODES)
def test_signals_at_random_moments(name, to, run, tmp_path, record_property):
    """The output is absent or complete, nobody is left, and the same command finishes."""
    arguments, duration, new = run
    output, dice = tmp_path / "o.h5", random.Random(f"{name} {to}")
    tally = Tally(record_property, f"{name} to {to} at random moments")
    for moment in chosen([dice.random() for _ in range(67)], 1):
        output.unlink(missing_ok=True)
        process = start(arguments)
        time.sleep(moment * duration)
        number = getattr(signal, name)
        (os.killpg if to == "the group" else os.kill)(process.pid, number)
        try:
            _, said = process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            tally.lost(moment, "it hung")
            continue
        left = orphans(process.pid)
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        code = process.returncode
        # before the program's first line runs, the system's own way to end holds
        expected = {0, CODES[name], -number}
        if left:
            tally.lost(moment, f"orphans {left}")
        elif code not in expected or ("Traceback" in said and code != -number):
            tally.lost(moment, f"exit code {code}: {said[-500:]}")
        elif output.exists() and content(output) != new:
            tally.lost(moment, "half written")
        else:
            again = start(arguments)
            said = again.communicate(timeout=200)[1]
            if again.returncode or content(output) != new:
                tally.lost(moment, f"not finished by the same command: {said}")
            else:
                tally.survived("finished before" if code == 0 else f"ended with {code}")
    tally.finish()


def test_workers_that_are_killed(run, tmp_path, record_property):
    """As the system does when memory runs out: the run goes on, or names the file that kills its worker."""
    arguments, duration, new = run
    output, dice = tmp_path / "o.h5", random.Random(5)
    tally = Tally(record_property, "workers killed at random moments")
    for moment in chosen([dice.random() for _ in range(67)], 2):
        output.unlink(missing_ok=True)
        process = start(arguments)
        time.sleep(moment * duration)
        for pid in members(process.pid)[-1:]:
            os.kill(pid, signal.SIGKILL)
        try:
            _, said = process.communicate(timeout=120)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            tally.lost(moment, "it hung")
            continue
        if process.returncode or content(output) != new or "Traceback" in said:
            tally.lost(moment, f"exit code {process.returncode}: {said[-700:]}")
        else:
            tally.survived("complete")
    tally.finish()


def test_a_file_that_always_kills_its_worker(small_runs, make_config, tmp_path):
    """It is left out and named, the others are converted."""
    script = (
        "import os, sys\n"
        "from image_extractor import ImageExtractor, batch\n"
        "class Deadly(ImageExtractor):\n"
        "    def convert(self, file, *rest):\n"
        "        if 'run1' in file.name: os.kill(os.getpid(), 9)\n"
        "        return super().convert(file, *rest)\n"
        "if __name__ == '__main__':\n"
        "    extractor = Deadly.from_config(sys.argv[1], None, sys.argv[2])\n"
        "    report = extractor.process_files(sys.argv[3:], jobs=2)\n"
        "    print([run['status'] for run in report.runs], report.failed[0]['reason'])\n"
    )
    (tmp_path / "deadly.py").write_text(script)
    config = make_config(telescope_type_mode="SST", storage_mode="mapped", image_scale_factor=1)
    command = [sys.executable, tmp_path / "deadly.py", tmp_path / "o.h5", config, *small_runs]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode == 0, ended.stderr
    assert "['failed', 'written']" in ended.stdout
    assert "run1.simtel.gz: its worker process died 3 times" in ended.stdout
    assert content(tmp_path / "o.h5")["/Run_Table"][0][1] == (1,)
