#!/usr/bin/env python
"""Measure what checksums cost: writing and merging against an older checkout, reading with and without verify.

    checksums.py FILE.simtel --before CHECKOUT [--repeats 5]

Rounds alternate between the two checkouts, and between the ways to read; processor time (user and system) of whole
processes for writing, processor time of an epoch for reading; medians, and ratios to what was before. One core.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parents[2]

SETTINGS = {"use_pkl_dict": False, "energy_bins_min": -3, "energy_bins_max": 4, "energy_bins_bin_size": 7}
SETTINGS |= {"telescope_type_mode": "ALL", "storage_mode": "mapped", "image_mode": "PIXELS_TIMING_2C"}
SETTINGS |= {"image_dtype": "uint16", "image_scale_factor": 1}

CONVERT = """
import json, sys
from image_extractor import ImageExtractor
path, compression, files, settings = json.loads(sys.argv[1])
ImageExtractor(path, None, "gh_class", output_compression=compression, **settings).process_files(files, jobs=1)
"""
SHUFFLE = """
import json, sys
from image_extractor import ImageExtractor
ImageExtractor(json.loads(sys.argv[1])[0], {}, "gh_class").shuffle_data(seed=1)
"""
READ = """
import json, sys, time
from image_extractor.dataset import ImageDataset
path, tel_type, options = json.loads(sys.argv[1])
data = ImageDataset(path, table="Events", telescopes=tel_type, **options)
for epoch in range(3):
    start = time.process_time()
    n = sum(len(batch["image"]) for batch in data.batches(64, shuffle=True, epoch=epoch))
    seconds = time.process_time() - start
print(n / seconds)
"""


def ran(checkout, program, arguments):
    """Return (processor time in s, what was printed) of a program with the package of a checkout."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-P", "-c", program, json.dumps(arguments)]
    environment = os.environ | {"PYTHONPATH": str(checkout)}
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime, done.stdout


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--before", type=Path, required=True, help="a checkout of the package to compare with")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--tel_type", default="LST", help="telescopes that are read")
    options = parser.parse_args()
    checkouts = {"now": HERE, "before": options.before.resolve()}
    found = {}

    def note(what, which, value):
        found.setdefault(what, {}).setdefault(which, []).append(value)

    with tempfile.TemporaryDirectory() as folder:
        for _ in range(options.repeats):
            for which, checkout in checkouts.items():
                for compression in ("lz4", "none"):
                    path = Path(folder) / f"{which}_{compression}.h5"
                    path.unlink(missing_ok=True)
                    arguments = [str(path), compression, [str(options.file)], SETTINGS]
                    note(f"convert, {compression}: s", which, ran(checkout, CONVERT, arguments)[0])
                    note(f"copied once more, {compression}: s", which, ran(checkout, SHUFFLE, [str(path)])[0])
            for compression in ("lz4", "none"):
                for which, checkout, verify in (
                    ("now", HERE, {}),
                    ("before", checkouts["before"], {}),
                    ("verified", HERE, {"verify": True}),
                ):
                    path = Path(folder) / f"{'now' if which == 'verified' else which}_{compression}.h5"
                    rate = ran(checkout, READ, [str(path), options.tel_type, verify])[1]
                    note(f"read at random, {compression}: images/s", which, float(rate))
    for what, values in found.items():
        medians = {which: statistics.median(numbers) for which, numbers in values.items()}
        ratios = {
            f"{which} / before": round(medians[which] / medians["before"], 3) for which in medians if which != "before"
        }
        sys.stdout.write(f"{what}: {', '.join(f'{which} {value:.4g}' for which, value in medians.items())}; {ratios}\n")


if __name__ == "__main__":
    main()
