"""Kills, deaths of workers and interruptions at random moments of runs with workers."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import termios
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from helpers.faults.harness import Ended
from helpers.faults.tally import Tally, chosen, seeded
from helpers.marks import quick_and_slow
from helpers.reading import content

from image_extractor.viewing.dataset_check import check

CODES = {"SIGINT": 130, "SIGTERM": 143, "SIGKILL": -9}


@dataclass
class Goal:
    """A run that is disturbed: what it starts from, what it is to end with, and how long it takes."""

    arguments: list
    folder: Path
    old: dict
    new: dict
    duration: float = 0.0

    def reset(self):
        """Put the output back to what it was before the run."""
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(self.folder.with_name("start"), self.folder)

    def found(self):
        return contents(self.folder)


def contents(folder):
    """Return {name: content} of the datasets of a folder."""
    return {path.name: content(path) for path in sorted(folder.glob("*.h5"))}


class Forked:
    """Starts runs as forks of the server, which has everything imported: moments fall into the work itself."""

    def __init__(self, server):
        self._server = server

    def start(self, arguments):
        # images of small parts are copied ahead, too
        return self._server.start(arguments, "", patches={"batch.images_ahead.FEWEST": 1})

    def ended(self):
        return self._server.ended()


class Fresh:
    """Starts runs as a user does; their moments fall into the start of the interpreter as well."""

    def start(self, arguments):
        command = [sys.executable, "-P", "-m", "image_extractor", *map(str, arguments)]
        self._process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        return self._process.pid

    def ended(self):
        try:
            _, said = self._process.communicate(timeout=120)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            return Ended(None, "", [])
        return Ended(self._process.returncode, said, [])


def members(session):
    """Return {pid: parent} of the processes of a session but its leader."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent, _, its_session = stat.read_text().rpartition(")")[2].split()[:4]
        except OSError:
            continue
        if int(its_session) == session and int(stat.parent.name) != session and state != "Z":
            found[int(stat.parent.name)] = int(parent)
    return found


def orphans(session, seconds=20):
    """End the processes that outlive their run by so many seconds, and return them."""
    deadline = time.monotonic() + seconds
    while (left := members(session)) and time.monotonic() < deadline:
        time.sleep(0.01)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    return list(left)


@pytest.fixture
def goals(small_runs, make_config, tmp_path):
    """Return a function that makes the two Goals of options of the command: afresh, and appending."""

    def make(way, *options):
        config = make_config(telescope_type_mode="SST", storage_mode="mapped", image_scale_factor=1)
        return [make_goal(way, tmp_path / name, config, small_runs, options) for name in ("afresh", "append")]

    return make


def make_goal(way, folder, config, small_runs, options):
    (folder / "start").mkdir(parents=True)
    output = folder / "out" / "o.h5"
    arguments = [small_runs[0].parent / "*", output, config, *options, "--jobs", 2]
    if folder.name == "append":
        undisturbed(way, [small_runs[0], folder / "start" / "o.h5", *arguments[2:]])
    goal = Goal(arguments, output.parent, contents(folder / "start"), {})
    goal.reset()
    goal.duration = undisturbed(way, arguments)
    goal.new = goal.found()
    assert not [problem for path in goal.folder.glob("*.h5") for problem in check(path)[0]]
    return goal


def undisturbed(way, arguments):
    """Run the command; return how long it took."""
    start = time.monotonic()
    way.start(arguments)
    ended = way.ended()
    assert ended.code == 0, ended.stderr
    return time.monotonic() - start


def cases(goals, n, quick, seed):
    """Return (goal, moment from 0 to 1), in turn afresh and appending."""
    dice = seeded(seed)
    return chosen([(goals[i % 2], dice.random()) for i in range(n)], quick)


def ended_by(way, again, goal, pid, name):
    """Say how a run ended that was given a signal, and whether it can be done `again`: (what is wrong or '', how)."""
    ended, left = way.ended(), orphans(pid)
    number = getattr(signal, name)
    if ended.code is None:
        return "it hung", ""
    if left:
        return f"orphans {left}", ""
    # before the program's first line runs, and after its last, the system's own way to end holds
    if ended.code not in (0, CODES[name], -number) or ("Traceback" in ended.stderr and ended.code != -number):
        return f"exit code {ended.code}: {ended.stderr[-500:]}", ""
    if goal.found() not in (goal.old, goal.new):
        return "half written", ""
    again.start(goal.arguments)
    ended_again = again.ended()
    if ended_again.code or goal.found() != goal.new:
        return f"not finished by the same command: {ended_again}", ""
    if list(goal.folder.iterdir()) != [goal.folder / name for name in goal.new]:
        return f"left behind: {sorted(path.name for path in goal.folder.iterdir())}", ""
    return "", FINISHED if ended.code == 0 else f"ended with {ended.code}"


FINISHED = "finished before"
SHORTEST = 1e-4


def signalled(tally, goal, delay, way, kill, name, again=None, begins=lambda: True):
    """Start a run, give it a signal after a delay, and tell the tally; too late, it is done with a shorter delay."""
    wrong, how = "", FINISHED
    while how == FINISHED and delay > SHORTEST:
        goal.reset()
        pid = way.start(goal.arguments)
        wait_for(begins)
        time.sleep(delay)
        strike(kill, pid, getattr(signal, name))
        wrong, how = ended_by(way, again or way, goal, pid, name)
        delay /= 2
    if wrong or how == FINISHED:
        tally.lost(delay, wrong or "it does not hear the signal")
    else:
        tally.survived(how)


@pytest.mark.parametrize("to", quick_and_slow(["the group", "the parent"], "the group"))
@pytest.mark.parametrize("name", quick_and_slow(CODES, "SIGINT", "SIGKILL"))
def test_signals_at_random_moments(name, to, server, goals, record_property):
    """The output is what it was or what it was to be, nobody is left, and the same command finishes."""
    way, kill = Forked(server), os.killpg if to == "the group" else os.kill
    n = 200 if (name, to) == ("SIGKILL", "the group") else 50
    tally = Tally(record_property, f"{name} to {to} at random moments")
    for goal, moment in cases(goals(way, "--shuffle", "--split"), n, 2, f"{name} {to}"):
        signalled(tally, goal, moment * goal.duration, way, kill, name)
    tally.finish()


@pytest.mark.slow
@pytest.mark.parametrize("name", CODES)
def test_signals_to_fresh_processes(name, server, goals, record_property):
    """As above, in processes of their own from the first instant on."""
    way, again = Fresh(), Forked(server)
    both = goals(again, "--shuffle", "--split")
    both[0].reset()
    duration = undisturbed(way, both[0].arguments)
    tally = Tally(record_property, f"{name} to the group of a fresh process")
    for goal, moment in cases(both, 20, 1, f"{name} fresh"):
        signalled(tally, goal, moment * duration, way, os.killpg, name, again)
    tally.finish()


@pytest.mark.slow
def test_kills_of_the_merge(server, goals, record_property):
    """The process that merges the parts is killed at random moments of that."""
    way = Forked(server)
    tally = Tally(record_property, "SIGKILL while parts are merged")
    for goal, moment in cases(goals(way, "--shuffle", "--split"), 200, 2, "merge"):
        delay, begins = moment * goal.duration / 2, lambda goal=goal: is_merging(goal.folder)
        signalled(tally, goal, delay, way, os.kill, "SIGKILL", begins=begins)
    tally.finish()


def strike(kill, pid, number):
    """Send a signal to what may have ended by itself."""
    with contextlib.suppress(ProcessLookupError):
        kill(pid, number)


def test_ctrl_c_in_a_terminal(small_runs, make_config, tmp_path):
    """The key reaches all processes of the terminal; its settings, cursor and last line are as after any command."""
    config = make_config(telescope_type_mode="SST", storage_mode="mapped", image_scale_factor=1)
    master, terminal = os.openpty()
    before = termios.tcgetattr(terminal)
    command = [sys.executable, "-P", "-m", "image_extractor", small_runs[0].parent / "*", tmp_path / "o.h5", config]
    process = subprocess.Popen(
        [sys.executable, "-c", IN_TERMINAL, *map(str, command), "--jobs", "2"],
        stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True,
    )  # fmt: skip
    wait_for(lambda: next(tmp_path.glob("o.h5.parts/*"), None))
    os.write(master, b"\x03")
    assert process.wait(60) == CODES["SIGINT"]
    assert not orphans(process.pid)
    assert termios.tcgetattr(terminal) == before
    said = os.read(master, 1 << 16).decode()
    last = said.replace("\r\n", "\n").rsplit("\n", 2)[-2:]
    assert last[0].startswith("ERROR: interrupted"), said
    assert last[1] == "", said
    os.close(master)
    os.close(terminal)


#: Makes the terminal on stdin the one that this process hears, and becomes the command.
IN_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
)


def wait_for(is_there, seconds=20):
    """Wait until something is there; return how long it took, None if it did not come."""
    start = time.monotonic()
    while not is_there():
        if time.monotonic() - start > seconds:
            return None
        time.sleep(0.001)
    return time.monotonic() - start


def is_merging(folder):
    """Say whether a dataset is being written from parts."""
    return next(folder.glob("*.parts/*.buckets.tmp"), None) is not None


def workers_of(session):
    """Return the processes of a session that are forks of its fork server."""
    return [pid for pid, parent in members(session).items() if parent != session]


VICTIMS = {
    "a worker": lambda pid, _: workers_of(pid),
    "a worker that merges": lambda pid, folder: workers_of(pid) if is_merging(folder) else [],
    "the fork server": lambda pid, _: [parent for parent in members(pid).values() if parent != pid][:1],
}


@pytest.mark.parametrize("victim", quick_and_slow(VICTIMS, "a worker"))
def test_workers_that_are_killed(victim, server, goals, record_property):
    """As the system does when memory runs out: the run goes on and completes."""
    way, victims, dice = Forked(server), VICTIMS[victim], seeded(victim)
    # outputs of one input each are merged by workers
    options = ("--files_per_output", 1) if victim == "a worker that merges" else ()
    both = goals(way, "--shuffle", "--split", *options)
    lifetimes = {goal.folder: lifetime(way, goal, victims) for goal in both}
    tally = Tally(record_property, f"SIGKILL to {victim}")
    for goal, moment in cases(both, 200 if victim == "a worker" else 50, 2, victim):
        delay, killed = moment * lifetimes[goal.folder], []
        while not killed and delay > SHORTEST:
            goal.reset()
            pid = way.start(goal.arguments)
            wait_for(lambda pid=pid, goal=goal: victims(pid, goal.folder) or has_ended(pid))
            time.sleep(delay)
            killed = victims(pid, goal.folder)
            if killed:
                strike(os.kill, dice.choice(killed), signal.SIGKILL)
            ended, left = way.ended(), orphans(pid)
            delay /= 2  # there was none left to kill
        if not killed or ended.code or ended.improper() or left or goal.found() != goal.new:
            tally.lost(moment, f"{ended}, orphans {left}")
        else:
            tally.survived("complete")
    tally.finish()


def lifetime(way, goal, victims):
    """Return how long an undisturbed run has victims."""
    goal.reset()
    pid = way.start(goal.arguments)
    wait_for(lambda: victims(pid, goal.folder))
    lasts = wait_for(lambda: not victims(pid, goal.folder))
    assert way.ended().code == 0
    return lasts


def has_ended(pid):
    return not Path(f"/proc/{pid}").exists()


@pytest.mark.slow
def test_a_file_that_always_kills_its_worker(small_runs, make_config, tmp_path):
    """It is left out and named, the others are converted."""
    script = (
        "import os, sys\n"
        "from image_extractor import ImageExtractor\n"
        "from image_extractor.conversion.converter import Converter\n"
        "class Deadly(Converter):\n"
        "    def convert(self, file, *rest):\n"
        "        if 'run1' in file.name: os.kill(os.getpid(), 9)\n"
        "        return super().convert(file, *rest)\n"
        "if __name__ == '__main__':\n"
        "    import image_extractor.conversion.converter as room\n"
        "    room.Converter = Deadly\n"
        "    extractor = ImageExtractor.from_config(sys.argv[1], None, sys.argv[2])\n"
        "    report = extractor.process_files(sys.argv[3:], jobs=2)\n"
        "    print([run['status'] for run in report.outcomes], report.failed[0]['reason'])\n"
    )
    (tmp_path / "deadly.py").write_text(script)
    config = make_config(telescope_type_mode="SST", storage_mode="mapped", image_scale_factor=1)
    command = [sys.executable, tmp_path / "deadly.py", tmp_path / "o.h5", config, *small_runs]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode == 0, ended.stderr
    assert "['failed', 'written']" in ended.stdout
    assert "run1.simtel.gz: its worker process died 3 times" in ended.stdout
    assert content(tmp_path / "o.h5")["/Run_Table"][0][1] == (1,)
