#!/usr/bin/env python3
"""Measure prepare_cuts_dict.py: rows per second and peak memory, on generated files of 1 and 10 million events."""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

#: Share of the events that the cuts and bins leave, by cut on the number of images (0 to 999, flat).
PASSING = {"1 in 100": 990, "1 in 4": 750}

MEASURE = """
import json, resource, sys, time
from image_extractor import config
from image_extractor.cuts import dictionary, eventdisplay
from image_extractor.input_files import find_files
path, n_images, output, file_format = sys.argv[1:]
settings = config.loads(f"[preselection_cuts]\\nNImages = {n_images}, None")
start = time.perf_counter()
entries, _ = eventdisplay.build(find_files(path), settings)
built = time.perf_counter()
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
dictionary.save(output, entries, file_format)
print(json.dumps([len(entries), built - start, peak, time.perf_counter() - built,
                  resource.getrusage(resource.RUSAGE_SELF).ru_maxrss]))
"""


def write(path, n_rows, rows_per_basket=100_000):
    """Write a file of events that pass all cuts but that on the number of images."""
    import uproot

    rng = np.random.default_rng(0)
    whole = ("runNumber", "eventNumber", "NImages")
    real = ("MSCW", "MSCL", "EChi2S", "ErecS", "MCxoff", "MCyoff", "dES", "EmissionHeight")
    with uproot.recreate(path) as file:
        tree = file.mktree("data", dict.fromkeys(whole, "int32") | dict.fromkeys(real, "float64"))
        for start in range(0, n_rows, rows_per_basket):
            n = min(rows_per_basket, n_rows - start)
            columns = {name: rng.random(n) for name in real}
            columns["ErecS"] = 10 ** rng.uniform(-1, 1, n)
            columns |= {"runNumber": np.full(n, 31012), "eventNumber": 100 * np.arange(start, start + n)}
            tree.extend(columns | {"NImages": rng.integers(0, 1000, n)})


def main():
    """Print a table of what was measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--millions", type=float, nargs="+", default=[1, 10], help="events (default: 1 10)")
    options = parser.parse_args()
    head = f"{'events':>12}  {'passing':>9}  {'format':>7}  {'Mrows/s':>8}  {'build s':>8}  {'peak MB':>8}"
    print(f"{head}  {'write s':>8}  {'peak MB':>8}  {'file MB':>8}")
    with tempfile.TemporaryDirectory() as folder:
        for millions in options.millions:
            n_rows, path = round(millions * 1e6), Path(folder) / f"{millions}.root"
            write(path, n_rows)
            for (share, n_images), file_format in ((p, f) for p in PASSING.items() for f in ("pickle", "hdf5")):
                output = Path(folder) / "cuts"
                arguments = [sys.executable, "-c", MEASURE, path, str(n_images), output, file_format]
                done = subprocess.run(arguments, check=True, capture_output=True, text=True)
                _, built, peak, written, last = json.loads(done.stdout)
                print(
                    f"{n_rows:>12,}  {share:>9}  {file_format:>7}  {n_rows / built / 1e6:>8.2f}  {built:>8.1f}  "
                    f"{peak / 1024:>8.0f}  {written:>8.1f}  {last / 1024:>8.0f}  {output.stat().st_size / 1e6:>8.1f}"
                )


if __name__ == "__main__":
    main()
