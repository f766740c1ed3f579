#!/usr/bin/env python3
"""Size and speed of image arrays by compression and chunk: what chose the defaults of [output] and of hdf5/nodes.py."""

import argparse
import json
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import tables

from image_extractor.errors import DatasetError
from image_extractor.hdf5 import dataset_files, nodes

CHUNKS = (1, 4, 16, 64)
BATCH = 256
N_RANDOM = 400


def load(path, n_images):
    """Return stacks of up to `n_images` images of a dataset, one for each shape of image."""
    stacks = defaultdict(list)
    with dataset_files.open_dataset(path) as file:
        arrays = [array for group in nodes.events_groups(file) for array in nodes.image_arrays(group).values()]
        arrays = [array for array in arrays if array.nrows]
        for array in arrays:
            stacks[array.shape[1:]].append(array[: max(1, n_images // len(arrays))])
    return [np.concatenate(stack) for stack in stacks.values()]


def measure(images, compression, chunk, path):
    """Write and read images; returns bytes per byte, and microseconds per image of each way."""
    n_images = sum(map(len, images))
    n_bytes = sum(stack.nbytes for stack in images)
    filters = nodes.filters(compression)
    with dataset_files.open_file(path, "w") as file:
        start = time.process_time()
        for i, stack in enumerate(images):
            array = nodes.create_image_array(file, "/", f"T{i}", stack.dtype, stack.shape[1:], filters, {}, chunk=chunk)
            array.append(stack)
        file.flush()
        write = time.process_time() - start
    random = np.random.default_rng(0)
    with tables.open_file(path, CHUNK_CACHE_SIZE=0) as file:  # a dataset is larger than any cache
        arrays = list(nodes.image_arrays(file.root).values())
        start = time.process_time()
        for array in arrays:
            for first in range(0, array.nrows, BATCH):
                array[first : first + BATCH]
        sequential = time.process_time() - start
        picks = [(arrays[i], random.integers(arrays[i].nrows)) for i in random.integers(len(arrays), size=N_RANDOM)]
        start = time.process_time()
        for array, row in picks:
            array[row]
        at_random = time.process_time() - start
    return {
        "compression": compression,
        "chunk": chunk,
        "size": path.stat().st_size / n_bytes,
        "write": write / n_images * 1e6,
        "sequential": sequential / n_images * 1e6,
        "random": at_random / N_RANDOM * 1e6,
    }


def main(arguments=None):
    """Print the table; returns the exit code."""
    parser = argparse.ArgumentParser(prog="compression.py", description=__doc__)
    parser.add_argument("dataset", metavar="DATASET", help="a mapped dataset, whose images are used")
    parser.add_argument("--images", type=int, default=4000, help="images to use, at most (default: 4000)")
    parser.add_argument("--repeats", type=int, default=3, help="the least time of so many is taken (default: 3)")
    parser.add_argument("--json", metavar="OUT", help="where the numbers go")
    options = parser.parse_args(arguments)
    try:
        images = load(options.dataset, options.images)
    except DatasetError as err:
        sys.stderr.write(f"{err}\n")
        return 2
    if not images:
        sys.stderr.write(f"{options.dataset}: it has no image arrays: give a mapped dataset\n")
        return 2
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for chunk in CHUNKS:
            for compression in nodes.COMPRESSORS:
                runs = [measure(images, compression, chunk, Path(folder) / "test.h5") for _ in range(options.repeats)]
                rows.append(runs[0] | {key: min(run[key] for run in runs) for key in ("write", "sequential", "random")})
    n_images = sum(map(len, images))
    sys.stdout.write(f"{n_images} images; microseconds of computing per image\n")
    sys.stdout.write(
        f"{'compression':12} {'images/chunk':>12} {'size':>6} {'write':>6} {'read':>6} {'random read':>11}\n"
    )
    for row in rows:
        line = f"{row['compression']:12} {row['chunk']:12} {row['size']:6.3f} {row['write']:6.0f}"
        sys.stdout.write(f"{line} {row['sequential']:6.0f} {row['random']:11.0f}\n")
    if options.json:
        Path(options.json).write_text(json.dumps(rows, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
