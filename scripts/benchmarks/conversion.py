#!/usr/bin/env python3
"""How long the ways through a simtel file take: ctapipe's, eventio's and ours, as whole processes, in turn.

Each step is a process of its own, start and imports included, on one core unless said. Steps take turns,
so that other load on the machine hits all of them; medians and ratios are what counts.
"""

import argparse
import concurrent.futures
import contextlib
import functools
import gzip
import importlib.metadata
import json
import multiprocessing
import os
import pickle
import platform
import re
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from image_extractor.errors import ConfigError, InputError

#: EventIO: type of the run header, size of a top-level object's header, and bytes in which the run header is found.
RUN_HEADER, OBJECT_HEADER_SIZE, HEADER_BYTES = 2000, 16, 64 << 20

CONFIG = """\
mode = gh_class
storage_mode = {storage_mode}
use_pkl_dict = {use_pkl_dict}
[image]
mode = PIXELS_TIMING_2C
scale_factor = {scale_factor}
[telescope]
type_mode = ALL
[energy_bins]
min = -3.0
max = 3.0
bin_size = 1.0
"""

OPEN_CUTS = """\
[preselection_cuts]
MSCW = None, None
MSCL = None, None
EChi2S = None, None
ErecS = None, None
EmissionHeight = None, None
MC_Offset = MCxoff, MCyoff, None, None
NImages = None, None
dES = None, None
"""
MAKE_TABLES = "import sys; from image_extractor.commands.make_lookup_tables import main; sys.exit(main())"

CTAPIPE = """
import sys
from ctapipe.io import SimTelEventSource
from ctapipe.calib import CameraCalibrator
try:
    source = SimTelEventSource(sys.argv[1])
except RuntimeError:
    source = SimTelEventSource(sys.argv[1], focal_length_choice="EQUIVALENT")
"""
DECOMPRESS = """
import sys
from image_extractor.inputs.simtel.byte_stream import ByteStream
stream, buffer = ByteStream(sys.argv[1]), bytearray(1 << 22)
while stream.fill_some(buffer):
    pass
"""
EVENTIO = """
import sys
from eventio import SimTelFile
for event in SimTelFile(sys.argv[1]):
    pass
"""
SOURCE = CTAPIPE + "for event in source: pass\n"
CALIBRATOR = CTAPIPE + "calibrate = CameraCalibrator(subarray=source.subarray)\nfor event in source: calibrate(event)\n"
IMAGES = """
import sys
from image_extractor.workers.start_up import begin
begin()
from image_extractor.inputs.simtel.open_run import open_runs
with open_runs(sys.argv[1], fast=True) as runs:
    for run in runs:
        calibrate = run.fast_calibrator(subarray=run.subarray)
        for event in run:
            calibrate(event)
"""
IMPORTS = "import ctapipe.io, ctapipe.calib"
OUR_IMPORTS = """
from image_extractor.workers.start_up import import_frozen
import_frozen(["image_extractor.batch.many_files", "image_extractor.inputs.simtel.fast_run", "ctapipe.calib"])
"""

NAMES = {
    "i": "start: import ctapipe.io, ctapipe.calib",
    "j": "start: imports of image_extractor.py",
    "a": "decompression alone",
    "b": "eventio SimTelFile",
    "c": "SimTelEventSource",
    "d": "SimTelEventSource + CameraCalibrator",
    "e": "ctapipe-process --write-images",
    "f": "image_extractor.py --jobs 1",
    "g": "image_extractor.py, all cores, {n_files} files, --shuffle --split",
    "h": "image_extractor.py --jobs 1, 10 % of the events",
    "l": "our events and images, nothing written",
    "o": "image_extractor.py --jobs 1, 1 % of the events",
    "k": "image_extractor.py --jobs 1, `all` storage, scale_factor 2",
    "p": "image_extractor.py --jobs 1, [parameters] store = True",
    "t": "image_extractor.py --jobs 1 --tables, all cuts open",
}
ALL_CORES = "g"

#: The command that makes what step t needs.
BEFORE_TABLES = "tables"


def measure(command, all_cores=False):
    """Run a command, on one core unless `all_cores`.

    Returns
    -------
    dict
        Seconds by the clock ('wall'), seconds of computing of all its processes ('cpu'), and the largest memory of
        one of them in MB ('peak').

    Raises
    ------
    InputError
        If the command fails; with the end of what it wrote to stderr.
    """
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    pin = (lambda: os.sched_setaffinity(0, cores[-1:])) if cores and not all_cores else None
    with tempfile.TemporaryFile() as messages:
        start = time.perf_counter()
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=messages, preexec_fn=pin, start_new_session=True
        )
        workers = _used_by_workers(process) if all_cores else {}
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            messages.seek(0)
            reason = messages.read().decode(errors="replace").strip().splitlines()[-1:]
            raise InputError(f"{' '.join(map(str, command))[:200]}: exit {process.returncode}: {' '.join(reason)}")
    cpu = usage.ru_utime + usage.ru_stime + sum(seconds for seconds, _ in workers.values())
    return {"wall": wall, "cpu": cpu, "peak": max([usage.ru_maxrss / 1024, *(peak for _, peak in workers.values())])}


def _used_by_workers(process):
    """Wait for the end of a command; return {pid: (CPU seconds, peak memory in MB)} of its workers.

    They are nobody's children when it ends, so the system is asked now and then while they are there.
    """
    used = {}
    while os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        for folder in Path("/proc").glob("[0-9]*"):
            if folder.name != str(process.pid):
                with contextlib.suppress(OSError, TypeError):  # it just ended
                    fields = (folder / "stat").read_text().rpartition(")")[2].split()
                    if int(fields[3]) == process.pid:  # its session
                        cpu = sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")
                        peak = re.search(r"VmHWM:\s+(\d+)", (folder / "status").read_text())
                        used[folder.name] = cpu, int(peak[1]) / 1024
        time.sleep(0.2)
    return used


def copy_with_run_number(path, target, run_number):
    """Copy a simtel file, decompressed, as another run: a dataset admits no event twice."""
    from image_extractor.inputs.simtel.byte_stream import ByteStream

    stream = ByteStream(path)
    data, offset = bytearray(stream.read_some(HEADER_BYTES)), 0
    while True:
        _, type_word, _, length = struct.unpack_from("<IIiI", data, offset)
        if type_word & 0xFFFF == RUN_HEADER:
            break
        offset += OBJECT_HEADER_SIZE + (length & 0x3FFFFFFF)
    struct.pack_into("<i", data, offset + 8, run_number)
    struct.pack_into("<i", data, offset + OBJECT_HEADER_SIZE, run_number)
    with gzip.open(target, "wb", 1) if target.suffix == ".gz" else target.open("wb") as copy:
        while data:
            copy.write(data)
            data = stream.read_some(HEADER_BYTES)
    stream.close()


def commands(path, events, focal_length, folder, n_files, with_copies=True):
    """Return {letter: command} of the steps over a simtel file, of which `facts` are known; they write to `folder`."""
    python = sys.executable
    snippets = {
        "i": IMPORTS, "j": OUR_IMPORTS, "a": DECOMPRESS, "b": EVENTIO, "c": SOURCE, "d": CALIBRATOR, "l": IMAGES,
    }  # fmt: skip
    result = {letter: [python, "-c", code, path] for letter, code in snippets.items()}
    options = ["--write-images", "--no-write-parameters", "--overwrite", "--provenance-log", folder / "provenance.log"]
    result["e"] = [python, "-m", "ctapipe.tools.process", "-i", path, "-o", folder / "ctapipe.h5", *options]
    result["e"] += ["--SimTelEventSource.focal_length_choice", focal_length]
    for name, step in (("tenth", 10), ("hundredth", 100)):
        (folder / f"{name}.pkl").write_bytes(pickle.dumps(dict.fromkeys(events[::step], (3, 2.0))))
    kinds = {"f": (False, "mapped", 1), "h": (True, "mapped", 1), "o": (True, "mapped", 1), "k": (False, "all", 2)}
    for letter, settings in kinds.items():
        text = CONFIG.format(**dict(zip(("use_pkl_dict", "storage_mode", "scale_factor"), settings, strict=True)))
        (folder / f"{letter}.config").write_text(text)
    (folder / "p.config").write_text((folder / "f.config").read_text() + "[parameters]\nstore = True\n")
    (folder / "t.config").write_text((folder / "h.config").read_text() + OPEN_CUTS)
    tables = folder / "tables.h5"
    result[BEFORE_TABLES] = [python, "-c", MAKE_TABLES, path, tables, folder / "t.config", "--jobs", "1"]
    ours = [python, "-m", "image_extractor"]
    chosen_by = {
        "f": [],
        "h": [folder / "tenth.pkl"],
        "o": [folder / "hundredth.pkl"],
        "k": [],
        "p": [],
        "t": ["--tables", tables],
    }
    for letter, words in chosen_by.items():
        files = [path, folder / f"{letter}.h5", folder / f"{letter}.config", *words]
        result[letter] = [*ours, *files, "--overwrite", "--jobs", "1"]
    for i in range(n_files if with_copies else 0):
        copy_with_run_number(path, folder / f"copy{i}_{path.name}", 100_000 + i)
    pattern = folder / f"copy*_{path.name}"
    result["g"] = [*ours, pattern, folder / "g.h5", folder / "f.config", "--overwrite", "--shuffle", "--split"]
    return result


def facts(path):
    """Return [(run number, event number), ...] of the triggered events, and which focal length the file has."""
    from image_extractor.inputs.simtel import open_run

    events = []
    with open_run.open_runs(path) as runs:
        for run in runs:
            note = functools.partial(lambda obs_id, event_id, *_: events.append((obs_id, event_id)), run.obs_id)
            run.select([], note)  # which returns None: refused
            for _ in run:
                pass
    return events, run.focal_length_choice.name


def in_process(function, *arguments):
    """Call a function in a process of its own: this one must stay small, or its children seem to be large."""
    with concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def run_steps(steps, letters, repeats):
    """Run the steps in turn, `repeats` times each; returns {letter: [measurement, ...]}."""
    results = {letter: [] for letter in letters}
    for _ in range(repeats):
        for letter in letters:
            results[letter].append(measure(steps[letter], all_cores=letter == ALL_CORES))
    return results


def summarise(results, n_events, n_files):
    """Return one dict per step: medians, and ratios of the wall time to that of (d) and (f)."""
    medians = {
        letter: {key: statistics.median(run[key] for run in runs) for key in ("wall", "cpu", "peak")}
        for letter, runs in results.items()
    }
    rows = []
    for letter, values in medians.items():
        row = {"step": letter, "name": NAMES[letter].format(n_files=n_files), **values}
        if letter not in "ij":
            share = n_files if letter == ALL_CORES else 1
            row["events_per_s"] = n_events * share / values["wall"]
            for other in ("d", "e", "f"):
                if other in medians:
                    row[f"wall_to_{other}"] = values["wall"] / share / medians[other]["wall"]
                    row[f"cpu_to_{other}"] = values["cpu"] / share / medians[other]["cpu"]
        rows.append(row)
    return rows


def table(rows):
    """Return the summary as text."""
    lines = [
        f"{'':60} {'wall s':>7} {'cpu s':>7} {'peak MB':>7} {'events/s':>8} {'/(d)':>6} {'/(f)':>6} {'cpu/(d)':>7}"
    ]
    for row in rows:
        cells = [f"({row['step']}) {row['name']:56} {row['wall']:7.2f} {row['cpu']:7.2f} {row['peak']:7.0f}"]
        for key, width, digits in (
            ("events_per_s", 8, 1),
            ("wall_to_d", 6, 2),
            ("wall_to_f", 6, 2),
            ("cpu_to_d", 7, 2),
        ):
            cells.append(f"{row[key]:{width}.{digits}f}" if key in row else " " * width)
        lines.append(" ".join(cells).rstrip())
    return "\n".join(lines) + "\n"


def machine():
    """Return what the times depend on beside the file: processor, cores, versions."""
    names = ("ctapipe", "eventio", "numba", "numpy", "tables", "zstandard", "isal")
    versions = {"python": platform.python_version()}
    for name in names:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"platform": platform.platform(), "processor": model, "cores": cores, "versions": versions}


def _input(given, folder):
    """Return the file to read: the given one, or synthetic showers."""
    if given:
        if not Path(given).is_file():
            raise ConfigError(f"{given}: no such file")
        return Path(given)
    try:
        from image_extractor.demo import write_demo_file
    except ImportError as err:
        raise ConfigError("no FILE is given, and this installation makes none: give a simtel file") from err
    path = folder / "demo.simtel"
    in_process(functools.partial(write_demo_file, path, telescopes="LST:4,MSTN:11", events=300))
    return path


def _parser():
    parser = argparse.ArgumentParser(prog="conversion.py", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("file", metavar="FILE", nargs="?", help="simtel file (default: synthetic showers are made)")
    add("--repeats", metavar="N", type=int, default=3, help="times each step is run (default: 3)")
    add("--files", metavar="N", type=int, default=8, help="files for step g (default: 8)")
    add("--steps", metavar="LETTERS", default="ijabcdefhg", help="which steps (default: all but k, l, o, p, t)")
    add("--json", metavar="OUT", default="benchmark.json", help="where the numbers go (default: benchmark.json)")
    add("--folder", metavar="DIR", help="where temporary files go (default: the system's)")
    return parser


def main(arguments=None):
    """Run the benchmark; returns the exit code."""
    options = _parser().parse_args(arguments)
    unknown = set(options.steps) - set(NAMES)
    try:
        if unknown:
            raise ConfigError(f"--steps {options.steps}: must be of {''.join(NAMES)}")
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            path = _input(options.file, Path(folder))
            events, focal_length = in_process(facts, path)
            n_events = len(events)
            steps = commands(path, events, focal_length, Path(folder), options.files, ALL_CORES in options.steps)
            if "t" in options.steps:
                measure(steps[BEFORE_TABLES])
            results = run_steps(steps, options.steps, options.repeats)
        rows = summarise(results, n_events, options.files)
        report = {"file": path.name, "bytes": Path(path).stat().st_size if options.file else None}
        report |= {"events": n_events, "machine": machine(), "steps": rows, "runs": results}
        Path(options.json).write_text(json.dumps(report, indent=1) + "\n")
    except (ConfigError, InputError) as err:
        sys.stderr.write(f"{err}\n")
        return 2 if isinstance(err, ConfigError) else 1
    sys.stdout.write(f"{path.name}, {n_events} events; {json.dumps(report['machine'])}\n{table(rows)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
