#!/usr/bin/env python3
"""Measure what very many files cost beside their conversion: tasks of a dask cluster, and merges of their parts.

A few real parts are made of demo files and timed. Tasks then wait instead of converting (that time, scaled down by
--scale), and link one of these parts to where theirs belongs; inputs are empty files. Scheduler, workers and client are
processes of their own, and run the code that --scheduler runs. Merges are real ones.
"""

import argparse
import contextlib
import functools
import itertools
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from image_extractor import config
from image_extractor.batch import many_files, outputs, tasks
from image_extractor.batch.parts_folder import hold_parts_folder
from image_extractor.conversion.converter import Converter
from image_extractor.demo import write_demo_file
from image_extractor.workers.crew import Crew
from image_extractor.workers.dask_engine import connect

SETTINGS = {"mode": "gh_class", "storage_mode": "mapped", "image_mode": "PIXELS_TIMING_2C", "image_scale_factor": 1}
SETTINGS |= {"use_pkl_dict": False, "telescope_type_mode": "ALL", "energy_bins_min": -3, "energy_bins_max": 4}
SETTINGS |= {"energy_bins_bin_size": 7}

MB = 1 << 20


class Pretender(Converter):
    """Waits instead of converting."""

    def convert(self, data_file, part_path, *_):
        """Link one of the real parts to where the part belongs."""
        number = int(data_file.stem.removeprefix("run"))
        time.sleep(self.seconds)
        path, report = self.parts[number % len(self.parts)]
        part_path.unlink(missing_ok=True)
        os.link(path, part_path)
        return report | {"file_name": data_file.name, "run_number": number, "seconds": self.seconds}


def make_parts(folder, name, n_files, events, telescopes):
    """Convert demo files; return [(path of the part, its report)] and the seconds that a part takes."""
    converter = Converter(config.from_keywords(SETTINGS), None)
    parts, seconds = [], []
    for number in range(n_files):
        path, target = folder / f"{name}{number}.simtel", folder / f"{name}{number}.h5"
        write_demo_file(path, events=events, telescopes=telescopes, run=number + 1)
        task = tasks.ConversionTask(str(path), path, target, tasks.Options())
        start = time.monotonic()
        report = tasks.convert(converter, task)
        seconds.append(time.monotonic() - start)
        parts.append((target, {key: value for key, value in report.items() if key != "file"}))
        path.unlink()
    return parts, min(seconds)  # the first one imports


@contextlib.contextmanager
def cluster(folder, n_workers):
    """Start scheduler and workers as separate commands; yield the scheduler file and the scheduler's process."""
    scheduler_file = folder / "scheduler.json"
    dask = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--no-dashboard", "--port", "0"]
    worker = [sys.executable, "-m", "distributed.cli.dask_worker", "--no-dashboard", "--nworkers", str(n_workers)]
    worker += ["--nthreads", "1", "--local-directory", str(folder)]
    file = ["--scheduler-file", str(scheduler_file)]
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": os.environ | {"PYTHONPATH": path}}
    with subprocess.Popen([*dask, *file], **quiet) as scheduler, subprocess.Popen([*worker, *file], **quiet) as workers:
        try:
            while not scheduler_file.exists():
                time.sleep(0.1)
            yield scheduler_file, psutil.Process(scheduler.pid)
        finally:
            workers.terminate()
            scheduler.terminate()


class Usage:
    """CPU seconds and memory of a process since this was made."""

    def __init__(self, process):
        self._process, self._cpu, self.start = process, sum(process.cpu_times()[:2]), process.memory_info().rss

    def cpu(self):
        """Return CPU seconds."""
        return sum(self._process.cpu_times()[:2]) - self._cpu

    def memory(self):
        """Return bytes."""
        return self._process.memory_info().rss


def measure_tasks(folder, n_tasks, n_workers, parts, seconds):
    """Run tasks that wait; print what they cost."""
    inputs = folder / "inputs"
    inputs.mkdir()
    files = [inputs / f"run{number}.simtel" for number in range(n_tasks)]
    for file in files:
        file.touch()
    from scale import Pretender as Importable  # as the workers know it

    converter = Importable(config.from_keywords(SETTINGS), None)
    converter.parts, converter.seconds = parts, seconds
    with (
        cluster(folder, n_workers) as (scheduler_file, scheduler),
        connect(str(scheduler_file), 1) as client,
        hold_parts_folder(folder / "dataset.h5") as parts_folder,
    ):
        client.wait_for_workers(n_workers)
        with Crew(converter, parts_folder.folder, client, 1) as crew:  # workers import
            warm_up = (conversion(file, parts_folder) for file in files[: 4 * n_workers])
            many_files.convert_all(crew, warm_up, 4 * n_workers, "stop", many_files.Progress())
        parts_folder.clear()
        at_client, at_scheduler, start = Usage(psutil.Process()), Usage(scheduler), time.monotonic()
        with Crew(converter, parts_folder.folder, client, 1) as crew:
            conversions = (conversion(file, parts_folder) for file in files)
            progress = Half(n_tasks, at_client, at_scheduler)
            outcomes = many_files.convert_all(crew, conversions, n_tasks, "stop", progress)
        wall = time.monotonic() - start
        print(f"{n_tasks} tasks of {seconds * 1e3:.0f} ms on {n_workers} workers: {wall:.0f} s, {n_tasks / wall:.0f}/s")
        overhead = n_workers * wall / n_tasks - seconds
        cores = f"all processes on {os.cpu_count()} cores"
        print(f"  a worker is busy {overhead * 1e3:.1f} ms per task beside the wait ({cores})")
        for name, usage in (("scheduler", at_scheduler), ("client", at_client)):
            grown = usage.memory() - usage.start
            print(
                f"  {name}: {usage.cpu() / n_tasks * 1e3:.2f} ms CPU per task, memory {usage.memory() / MB:.0f} MB, "
                f"{grown / MB:.0f} MB ({grown / n_tasks / 1e3:.2f} kB per task) more than at the start"
            )
        start = time.monotonic()
        fitting = many_files.mergeable(many_files.Report(outcomes), parts_folder, [])
        print(f"  checks before the merge: {time.monotonic() - start:.1f} s for {len(fitting)} parts", flush=True)
        parts_folder.clear()


def conversion(file, parts_folder):
    """Return the task of a file."""
    return tasks.ConversionTask(str(file), file, parts_folder.part_path(file), tasks.Options())


class Half(many_files.Progress):
    """Prints memory in the middle, so that growth can be told from what the start takes."""

    def __init__(self, n_tasks, *usages):
        self._n_tasks, self._n_done, self._usages = n_tasks, 0, usages

    def done(self, _):
        """Count a file."""
        self._n_done += 1
        if self._n_done == self._n_tasks // 2:
            client, scheduler = (usage.memory() / MB for usage in self._usages)
            print(f"  in the middle: scheduler {scheduler:.0f} MB, client {client:.0f} MB", flush=True)


def linked(folder, parts, n_parts):
    """Return the paths of so many links to parts, and the number of their images."""
    folder.mkdir()
    chosen = list(itertools.islice(itertools.cycle(parts), n_parts))
    paths = [folder / f"run{i}.h5" for i in range(n_parts)]
    for path, (source, _) in zip(paths, chosen, strict=True):
        os.link(source, path)
    return paths, sum(report["images"] for _, report in chosen)


def measure_merge(folder, title, parts, n_parts, n_workers, group):
    """Merge links to parts at once, and by way of groups on worker processes; print what it takes."""
    folder.mkdir()
    for kind, jobs, many in (("one merge", 1, n_parts), (f"groups of {group}, {n_workers} workers", n_workers, 0)):
        paths, n_images = linked(folder / f"parts{jobs}", parts, n_parts)
        outputs.MANY, outputs.SMALL, outputs.GROUP = many, float("inf"), group
        target = outputs.Target(folder / f"o{jobs}.h5", None, 0, {"Training": 0.9, "Validation": 0.1}, False)
        moments, started = [], time.monotonic()
        process = Usage(psutil.Process())
        with Crew(None, folder / f"parts{jobs}", None, jobs) as crew:
            done = functools.partial(_note, moments)
            target.write(dict.fromkeys(paths, ()), crew, folder / f"parts{jobs}", {}, done)
        seconds, size = time.monotonic() - started, (folder / f"o{jobs}.h5").stat().st_size
        n_groups = -(-n_parts // group) if jobs > 1 else 0
        last = f", last step {started + seconds - moments[n_groups - 1]:.1f} s" if n_groups else ""
        print(
            f"{title}, {n_parts} parts, {n_images} images, {size / 1e9:.2f} GB, {kind}: {seconds:.1f} s{last}; "
            f"{seconds / n_parts * 1e3:.1f} ms per part, {seconds / n_images * 1e6:.0f} s per million images, "
            f"memory +{(process.memory() - process.start) / MB:.0f} MB",
            flush=True,
        )
        for path in (folder / f"o{jobs}.h5", *(folder / f"parts{jobs}").glob("*")):
            path.unlink()


def _note(moments):
    moments.append(time.monotonic())


def main():
    """Print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--tasks", type=int, nargs="*", default=[10_000, 100_000], help="default: 10000 100000")
    add("--workers", type=int, default=4, help="processes (default: 4)")
    add("--scale", type=float, default=100, help="tasks wait by so much less than a part takes (default: 100)")
    add("--events", type=int, default=100, help="of each real file (default: 100)")
    add("--telescopes", default="LST:4,MSTN:6,SSTC:4", help="of the real files (default: LST:4,MSTN:6,SSTC:4)")
    add("--parts", type=int, default=1000, help="real parts to merge (default: 1000)")
    add("--small_parts", type=int, default=10_000, help="parts of two events to merge (default: 10000)")
    add("--group", type=int, default=outputs.GROUP, help=f"parts of a group (default: {outputs.GROUP})")
    add("--folder", help="for temporary files (default: the system's)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        parts, seconds = make_parts(folder, "real", 4, options.events, options.telescopes)
        images = sum(report["images"] for _, report in parts) / len(parts)
        size = sum(path.stat().st_size for path, _ in parts) / len(parts) / 1e6
        wait = seconds / options.scale
        facts = f"{images:.0f} images, {size:.1f} MB, converted in {seconds:.1f} s; tasks wait {wait:.3f} s"
        print(f"a real part: {facts}", flush=True)
        for n_tasks in options.tasks:
            with tempfile.TemporaryDirectory(dir=folder) as place:
                measure_tasks(Path(place), n_tasks, options.workers, parts, wait)
        small, _ = make_parts(folder, "small", 4, 2, options.telescopes)
        merges = [("real parts", parts, options.parts), ("small parts", small, options.small_parts)]
        for title, these, n_parts in merges:
            if n_parts:
                measure_merge(folder / title, title, these, n_parts, 2, options.group)


if __name__ == "__main__":
    main()
