#!/usr/bin/env python3
"""How fast images of ctapipe's HDF5 files become a dataset: reading alone, and the conversion as a whole.

An LST array is simulated by the demo generator and processed by ctapipe-process; its events are repeated, under new
numbers, until there are enough images, in ctapipe's default layout and in an uncompressed one. Ways take turns in one
process; seconds are those of its processor, medians of the turns. Start and imports are not in them.
"""

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import tables

from image_extractor import ImageExtractor
from image_extractor.demo import write_demo_file
from image_extractor.inputs.open_runs import open_runs

#: Tables in which every row is of an event.
OF_EVENTS = ("/dl1/event/subarray/trigger", "/simulation/event/subarray/shower")
OF_IMAGES = ("/dl1/event/telescope/images", "/simulation/event/telescope/images")
LAYOUTS = {"ctapipe's default": tables.Filters(5, "blosc:zstd", fletcher32=True), "uncompressed": tables.Filters(0)}
SETTINGS = {
    "use_pkl_dict": False,
    "storage_mode": "mapped",
    "telescope_type_mode": "LST",
    "image_scale_factor": 1,
    "energy_bins_min": -3.0,
    "energy_bins_max": 3.0,
    "energy_bins_bin_size": 6.0,
}


def made_file(folder, n_events):
    """Return a file that ctapipe-process made of simulated events of four LSTs."""
    simtel, made = folder / "lst.simtel.gz", folder / "lst.h5"
    write_demo_file(simtel, events=n_events, telescopes="LST:4")
    script = "import sys; from ctapipe.tools.process import main; sys.exit(main())"
    command = [sys.executable, "-c", script, f"--input={simtel}", f"--output={made}", "--write-images", "--quiet"]
    subprocess.run(command, check=True, cwd=folder)
    return made


def repeated(path, target, filters, n_images):
    """Copy a file with its events repeated; return the number of images."""
    with tables.open_file(str(path)) as file:
        groups = [list(file.list_nodes(where, "Table")) for where in OF_IMAGES]
        many = [node._v_pathname for node in (*groups[0], *groups[1])] + [*OF_EVENTS]
        own = int(sum(node.nrows for node in groups[0]))
        times = -(-n_images // own)
        step = int(file.get_node(OF_EVENTS[0]).col("event_id").max()) + 1
        with tables.open_file(str(target), "w") as copy:
            file.root._f_copy_children(copy.root, recursive=True)
            for name in many:
                _repeat(copy, name, filters, times, step)
    return own * times


def _repeat(file, name, filters, times, step):
    old = file.get_node(name)
    rows, attributes = old.read(), {key: old.attrs[key] for key in old.attrs._v_attrnamesuser}
    parent = old._v_parent
    old.remove()
    table = file.create_table(
        parent, name.rpartition("/")[2], rows.dtype, filters=filters, expectedrows=len(rows) * times
    )
    for key, value in attributes.items():
        table.attrs[key] = value
    for _ in range(times):
        table.append(rows)
        rows["event_id"] += step


def read(path):
    """Read all images of a file."""
    with open_runs(path) as runs:
        for run in runs:
            run.select(run.subarray.tel, lambda *_: True)
            for _ in run:
                pass
            run.check_end()


def convert(path, output, **settings):
    """Convert a file, mapped with shifting at scale_factor 1."""
    ImageExtractor(output, None, "gh_class", image_mode="PIXELS_1C", **SETTINGS, **settings).process_data(path)
    output.unlink()


def main(arguments=None):
    """Measure; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--events", type=int, default=100, help="simulated, then repeated")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = made_file(folder, options.events)
        steps = {}
        for layout, filters in LAYOUTS.items():
            path = folder / f"{len(steps)}.h5"
            n_images = repeated(made, path, filters, options.images)
            steps |= {
                (layout, "reading"): lambda path=path: read(path),
                (layout, "conversion, lz4"): lambda path=path: convert(path, folder / "out.h5"),
                (layout, "conversion, no compression"): lambda path=path: convert(
                    path, folder / "out.h5", output_compression="none"
                ),
            }
        seconds = {step: [] for step in steps}
        for turn in range(options.repeats + 1):
            for step, run in steps.items():
                start = time.process_time()
                run()
                if turn:  # the first one compiles, and fills caches
                    seconds[step].append(time.process_time() - start)
    rates = {" / ".join(step): n_images / statistics.median(found) for step, found in seconds.items()}
    for step, rate in rates.items():
        sys.stdout.write(f"{step:45s} {rate:10.0f} images/s of one processor\n")
    if options.json:
        machine = {"processor": platform.processor() or platform.machine(), "python": platform.python_version()}
        options.json.write_text(json.dumps({"images": n_images, "rates": rates, "machine": machine}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
