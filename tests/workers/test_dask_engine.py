"""Conversion on a dask cluster: the same content and the same manners as on one machine, whatever goes away."""

import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers.processes import ROOT, TESTS, called, run_command
from helpers.reading import content

from image_extractor import ImageExtractor, InputError
from image_extractor.batch import merge, outputs
from image_extractor.batch.many_files import Progress
from image_extractor.workers import dask_engine

needs_dask = pytest.mark.skipif(importlib.util.find_spec("distributed") is None, reason="dask is not installed")

#: Workers and commands find the tests' extractors; what can't be reached is given up soon.
ENVIRONMENT = os.environ | {
    "PYTHONPATH": os.pathsep.join([str(TESTS), str(ROOT), os.environ.get("PYTHONPATH", "")]),
    "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "3s",
}


class Cluster:
    """A scheduler and two workers, started as on three hosts: they have a folder in common, nothing else."""

    def __init__(self, folder, n_workers=2):
        self.file = folder / "scheduler.json"
        self._folder = folder
        self.scheduler = self._start("scheduler", "--port", "0")
        wait_for(self.file.exists, self.scheduler)
        self.workers = [self._start("worker", "--nthreads", "1", "--name", f"host{i}") for i in range(n_workers)]

    def _start(self, kind, *options):
        place = self._folder / f"place{len(list(self._folder.glob('place*')))}"
        place.mkdir()
        command = [sys.executable, "-P", "-m", f"distributed.cli.dask_{kind}", "--no-dashboard", *options]
        with (place / "log").open("w") as log:
            return subprocess.Popen(
                [*command, "--scheduler-file", str(self.file)], cwd=place, env=ENVIRONMENT, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip

    def end(self):
        for process in (*self.workers, self.scheduler):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    started = Cluster(tmp_path_factory.mktemp("cluster"))
    yield started
    started.end()


@contextlib.contextmanager
def client(cluster):
    import distributed

    with distributed.Client(scheduler_file=str(cluster.file), set_as_default=False) as connected:
        connected.wait_for_workers(1, timeout=60)
        yield connected


def wait_for(condition, process=None, seconds=120):
    deadline = time.monotonic() + seconds
    while not condition():
        assert process is None or process.poll() is None, "it ended"
        assert time.monotonic() < deadline, "it hangs"
        time.sleep(0.005)


def start(extractor, *arguments):
    """Start the command with one of the tests' extractors."""
    code = f"from helpers import odd_extractors; odd_extractors.command({extractor!r})"
    command = [sys.executable, "-P", "-c", code, *map(str, arguments)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT, start_new_session=True
    )


def lines_of(stderr):
    """Return what was said, but for the files that are done."""
    return [line for line in stderr.splitlines() if not line.startswith("INFO: ")]


@pytest.mark.slow
@needs_dask
def test_a_local_cluster_gives_the_same(production, config, undisturbed, tmp_path):
    options = "--shuffle", "--split", "--scheduler", "local", "--jobs", 2
    done = run_command(f"{production[0].parent}/*", tmp_path / "o.h5", config, *options)
    assert done.returncode == 0, done.stderr
    assert not lines_of(done.stderr)
    assert "gamma_run10.simtel" in done.stdout
    assert content(tmp_path / "o.h5") == undisturbed
    assert not (tmp_path / "o.h5.parts").exists()


@needs_dask
@pytest.mark.slow
def test_workers_of_two_hosts_give_the_same(cluster, production, config, undisturbed, tmp_path):
    """Relative paths too, although each worker has a working directory of its own."""
    inputs = os.path.relpath(production[0].parent, tmp_path)
    options = "--shuffle", "--split", "--scheduler", cluster.file
    done = run_command(f"{inputs}/*", "o.h5", config, *options, cwd=tmp_path, env=ENVIRONMENT)
    assert done.returncode == 0, done.stderr
    assert not lines_of(done.stderr)
    assert content(tmp_path / "o.h5") == undisturbed
    again = run_command(f"{inputs}/*", "o.h5", config, *options, cwd=tmp_path, env=ENVIRONMENT)
    assert again.stdout.count("in the output already, skipped") == len(production)
    assert all(worker.poll() is None for worker in cluster.workers)


@needs_dask
@pytest.mark.slow
def test_a_worker_that_is_killed_in_mid_task_changes_nothing(cluster, production, config, undisturbed, tmp_path):
    address = json.loads(cluster.file.read_text())["address"]
    options = "--shuffle", "--split", "--scheduler", address
    process = start("Waiting", f"{production[0].parent}/*", tmp_path / "o.h5", config, *options)
    wait_for(lambda: list(tmp_path.glob("begun.*")), process)
    first = next(tmp_path.glob("begun.*"))
    os.kill(int(first.suffix[1:]), signal.SIGKILL)
    wait_for(lambda: len(list(tmp_path.glob("begun.*"))) > 1, process)
    (tmp_path / "go").touch()
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 0, stderr
    assert not lines_of(stderr)
    assert content(tmp_path / "o.h5") == undisturbed


@needs_dask
@pytest.mark.slow
def test_a_file_that_kills_its_worker_three_times_is_left_out(cluster, production, config, tmp_path):
    options = "--scheduler", cluster.file
    process = start("Deadly", f"{production[0].parent}/*", tmp_path / "o.h5", config, *options)
    _, stderr = process.communicate(timeout=240)
    assert process.returncode == 1, stderr
    assert lines_of(stderr) == [f"ERROR: {production[1]}: its worker process died 3 times"]
    others = [path for path in production if path != production[1]]
    assert content(tmp_path / "o.h5")["/Run_Table"][0][1] == (len(others),)
    assert not (tmp_path / "o.h5.parts").exists()


@needs_dask
@pytest.mark.slow
def test_interrupted_tasks_are_cancelled_and_workers_stay(cluster, production, config, undisturbed, tmp_path):
    options = "--shuffle", "--split", "--scheduler", cluster.file
    process = start("Waiting", f"{production[0].parent}/*", tmp_path / "o.h5", config, *options)
    wait_for(lambda: list(tmp_path.glob("begun.*")), process)
    os.killpg(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert [line.split(":")[:2] for line in lines_of(stderr)] == [["ERROR", " interrupted"]]
    assert not (tmp_path / "o.h5").exists()
    with client(cluster) as connected:
        wait_for(lambda: not connected.run_on_scheduler(n_tasks))
    (tmp_path / "go").touch()
    assert all(worker.poll() is None for worker in cluster.workers)
    again = run_command(f"{production[0].parent}/*", tmp_path / "o.h5", config, *options, env=ENVIRONMENT)
    assert again.returncode == 0, again.stderr
    assert content(tmp_path / "o.h5") == undisturbed


@needs_dask
@pytest.mark.slow
def test_interrupting_a_local_cluster_is_one_line(production, config, tmp_path):
    """Ctrl-C reaches all processes of a terminal."""
    options = "--scheduler", "local", "--jobs", 2
    process = start("Waiting", f"{production[0].parent}/*", tmp_path / "o.h5", config, *options)
    wait_for(lambda: list(tmp_path.glob("begun.*")), process)
    os.killpg(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert [line.split(":")[:2] for line in lines_of(stderr)] == [["ERROR", " interrupted"]]


@needs_dask
@pytest.mark.slow
def test_the_class_takes_a_client_and_leaves_it(cluster, production, config, undisturbed, tmp_path):
    options = {"seed": 0, "split": {"Training": 0.9, "Validation": 0.1}}
    with client(cluster) as connected:
        extractor = ImageExtractor.from_config(tmp_path / "o.h5", None, config)
        with pytest.raises(InputError, match="missing"):
            extractor.process_files([tmp_path / "missing"], executor=connected, on_error="stop")
        extractor.process_files(production, executor=connected, **options)
        assert connected.submit(sum, (1, 2)).result() == 3
    assert content(tmp_path / "o.h5") == undisturbed


class Noting(Progress):
    """Notes what is told of each file: the events of each message, and None when it is done."""

    def __init__(self):
        self.told = {}

    def read(self, file, n_events, fraction):
        self.told.setdefault(Path(file).name, []).append(n_events)

    def done(self, run):
        self.told.setdefault(Path(run["file"]).name, []).append(None)


@needs_dask
@pytest.mark.slow
@pytest.mark.parametrize("every", [0.0, 1000.0])
def test_workers_tell_how_far_they_are(every, cluster, production, config, tmp_path, monkeypatch):
    """While they work, not too often; no event is counted twice, and nothing is left on the scheduler."""
    monkeypatch.setattr(dask_engine, "TELL_EVERY", every)
    progress = Noting()
    with client(cluster) as connected:
        extractor = ImageExtractor.from_config(tmp_path / "o.h5", None, config)
        report = extractor.process_files(production, executor=connected, progress=progress)
        wait_for(lambda: not connected.run_on_scheduler(n_tasks))
    for path, run in zip(production, report.outcomes, strict=True):
        *messages, end = progress.told[path.name]
        assert end is None
        assert sum(messages) == run["events_read"] > 0
        assert (len(messages) > 1) == (every == 0 and run["events_read"] > 10)


def n_tasks(dask_scheduler):
    return len(dask_scheduler.tasks)


@needs_dask
@pytest.mark.slow
def test_parts_are_merged_on_the_workers(cluster, production, config, undisturbed, tmp_path, monkeypatch):
    monkeypatch.setattr(outputs, "MANY", 1)
    monkeypatch.setattr(outputs, "GROUP", 3)
    merged, build = [], merge.build
    monkeypatch.setattr(
        merge, "build", lambda paths, *rest, **options: merged.append(len(paths)) or build(paths, *rest, **options)
    )
    with client(cluster) as connected:
        extractor = ImageExtractor.from_config(tmp_path / "o.h5", None, config)
        extractor.process_files(production, executor=connected, seed=0, split={"Training": 0.9, "Validation": 0.1})
    assert merged == [2]  # here; groups of three and one there
    assert content(tmp_path / "o.h5") == undisturbed


@needs_dask
@pytest.mark.slow
def test_a_scheduler_that_goes_away_leaves_a_state_to_go_on_from(production, config, undisturbed, tmp_path):
    (tmp_path / "cluster").mkdir()
    cluster = Cluster(tmp_path / "cluster", n_workers=1)
    try:
        options = "--shuffle", "--split"
        arguments = f"{production[0].parent}/*", tmp_path / "o.h5", config, *options
        process = start("Waiting", *arguments, "--scheduler", cluster.file)
        wait_for(lambda: list(tmp_path.glob("begun.*")), process)
        os.killpg(cluster.scheduler.pid, signal.SIGKILL)
        _, stderr = process.communicate(timeout=120)
    finally:
        cluster.end()
    assert process.returncode == 1
    assert stderr.count("ERROR") == 1, stderr
    [line] = lines_of(stderr)
    assert "the dask scheduler tcp://" in line
    assert "has gone away" in line
    assert not (tmp_path / "o.h5").exists()
    n_parts = len(list((tmp_path / "o.h5.parts").glob("*.h5")))
    assert n_parts == 2  # those before run 10
    again = run_command(*arguments, "--jobs", 1)
    assert again.returncode == 0, again.stderr
    assert content(tmp_path / "o.h5") == undisturbed


@needs_dask
@pytest.mark.parametrize(
    ("scheduler", "message"),
    [
        ("tcp://127.0.0.1:9", "nobody answers at tcp://127.0.0.1:9"),
        ("no_scheduler.json", "No such file or directory; neither an address"),
        (__file__, "is no scheduler file"),
    ],
)
def test_a_scheduler_that_is_not_there_is_one_line(scheduler, message, production, config, tmp_path):
    import dask

    with dask.config.set({"distributed.comm.timeouts.connect": "3s"}):
        done = called("convert", production[0], tmp_path / "o.h5", config, "--scheduler", scheduler)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.glob("o.h5*"))


@pytest.mark.slow
def test_without_dask_one_line_says_what_to_install(production, config, tmp_path):
    (tmp_path / "distributed.py").write_text("raise ModuleNotFoundError(name='distributed')")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    done = run_command(production[0], tmp_path / "o.h5", config, "--scheduler", "local", env=environment)
    assert done.returncode == 2
    assert done.stderr == "ERROR: --scheduler needs dask: pip install '.[dask]'\n"
