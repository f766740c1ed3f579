#!/usr/bin/env python3
"""Measure shuffle and split of a `mapped` dataset against PyTables' Table.copy, each in a process of its own."""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import tables

PREPARE = """
import json, resource, shutil, sys, time
import tables
from image_extractor import ImageExtractor
source, target = sys.argv[1:]
extractor = ImageExtractor(target, {}, "gh_class")
"""
FRACTIONS = '{"Training": 0.8, "Validation": 0.1, "Test": 0.1}'
STEPS = {
    "PyTables Table.copy": """
with tables.open_file(source) as file, tables.open_file(target, "w") as new:
    for table in file.walk_nodes("/", "Table"):
        table.copy(new.root, table._v_pathname.strip("/").replace("/", "_"))
""",
    "shuffle_data": "extractor.shuffle_data(target, seed=1)",
    "split_data": f"extractor.split_data(target, {FRACTIONS})",
    "shuffle and split in one pass, as the command does": f"""
from image_extractor.batch import merge
merge.rewrite(target, seed=1, split={FRACTIONS})
""",
}
MEASURE = """
start = time.perf_counter()
{code}
print(json.dumps([time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))
"""


def main():
    """Print a line per step: seconds, ratio to the copy, peak memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="events (default: 1000000)")
    parser.add_argument("--repeats", type=int, default=3, help="times each step is run (default: 3)")
    parser.add_argument(
        "--telescopes", default="LST:4,MSTN:15,SSTC:40", help="of the array (default: LST:4,MSTN:15,SSTC:40)"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source = make_dataset(Path(folder), options.telescopes, options.rows)
        print(f"{options.rows} events in one table, {source.stat().st_size / 1e6:.0f} MB")
        results = {name: [] for name in STEPS}
        for _ in range(options.repeats):
            for name, code in STEPS.items():
                results[name].append(measure(code, source, Path(folder) / "target.h5"))
    seconds = {name: statistics.median(row[0] for row in rows) for name, rows in results.items()}
    reference = next(iter(seconds.values()))
    for name, rows in results.items():
        peak = max(row[1] for row in rows)
        print(f"{name:52} {seconds[name]:7.2f} s  {seconds[name] / reference:5.2f} of the copy  peak {peak:5.0f} MB")
    both = seconds["shuffle_data"] + seconds["split_data"]
    print(f"{'shuffle_data, then split_data':52} {both:7.2f} s  {both / reference:5.2f} of the copy")


def make_dataset(folder, telescopes, n_rows):
    """Convert a few synthetic showers, and fill up the table with rows of random truth and random triggers."""
    from image_extractor import ImageExtractor
    from image_extractor.demo import write_demo_file

    path, dataset = folder / "gamma.simtel.gz", folder / "source.h5"
    write_demo_file(path, telescopes=telescopes, events=20)
    extractor = ImageExtractor(
        dataset, None, "gh_class", use_pkl_dict=False, storage_mode="mapped", telescope_type_mode="ALL",
        image_scale_factor=1, energy_bins_min=-3, energy_bins_max=3, energy_bins_bin_size=6,
    )  # fmt: skip
    extractor.process_data(path)
    with tables.open_file(dataset, "a") as file:
        table = file.root.E0.Events
        rows, random = table[:], np.random.default_rng(1)
        step = 100_000
        for start in range(table.nrows, n_rows, step):
            block = np.resize(rows, min(step, n_rows - start))
            block["event_number"] = np.arange(start, start + len(block))
            for name in ("core_x", "core_y", "h_first_int", "mc_energy", "alt", "az", "reconstructed_energy"):
                block[name] = random.normal(size=len(block))
            block["tel_map"][random.random(block["tel_map"].shape) < 0.7] = -1
            table.append(block)
        file.root.Run_Table.modify_column(0, column=[n_rows], colname="events_written")
    return dataset


def measure(code, source, target):
    """Return seconds and peak memory in MB; a step that changes a dataset gets a fresh copy, not counted."""
    prepare = "" if "Table.copy" in code or "table.copy" in code else "shutil.copy(source, target)\n"
    script = PREPARE + prepare + MEASURE.format(code=code.strip())
    done = subprocess.run([sys.executable, "-c", script, source, target], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout)


if __name__ == "__main__":
    main()
