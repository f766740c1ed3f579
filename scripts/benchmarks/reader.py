#!/usr/bin/env python
"""Measure how fast datasets are read back, beside dl1-data-handler on a ctapipe-process file of the same events.

    reader.py DATASET.h5 [--dl1 DL1.h5 --dl1dh_python ENV/bin/python] [--as_it_is OTHER.h5 ...]

DATASET is written again in several layouts (in a temporary folder); each, and others as they are, is read in batches,
one core, warm cache, labels included, in epochs of its own process; one layout of each compression also in whole events
(batches of 16), and as three files. Rounds alternate between readers; the median counts. dl1-data-handler runs in the
environment of --dl1dh_python: its DLImageReader with the AxialMapper, channels image and peak_time. memcpy copies as
many bytes as the batches of images have, from memory that holds all of them.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

LAYOUTS = {
    "none, large chunks": ("none", 1 << 29),
    "none, 64 KiB": ("none", 1 << 16),
    "lz4, 64 KiB": ("lz4", 1 << 16),
    "lz4, one image": ("lz4", 1),
    "zstd, 64 KiB": ("zstd", 1 << 16),
    "zstd, one image": ("zstd", 1),
}
#: Layouts that are also read in other ways.
MORE_WAYS = ("none, large chunks", "lz4, one image", "zstd, one image")
ORDERS = ("sequential", "random", "blocks")


def lay_out(source, target, compression, chunk_bytes):
    """Copy a dataset, its image arrays with another compression and chunk size."""
    from image_extractor.hdf5 import dataset_files, nodes

    filters = nodes.filters(compression)
    with dataset_files.open_dataset(source) as old, dataset_files.open_file(target, "w") as new:
        old.root._v_attrs._f_copy(new.root)
        for node in old.walk_nodes("/"):
            if not node._v_depth:
                continue
            parent = new.get_node(node._v_parent._v_pathname)
            if hasattr(node, "chunkshape") and node._v_name[0] == "T" and node._v_name[1:].isdigit():
                rows = min(max(1, chunk_bytes // node.rowsize), max(1, node.nrows))
                node.copy(parent, filters=filters, chunkshape=(rows, *node.shape[1:]))
            elif hasattr(node, "nrows"):
                node.copy(parent)
            else:
                new.create_group(parent, node._v_name)
                node._v_attrs._f_copy(new.get_node(node._v_pathname))


def epoch_dataset(paths, table, batch_size, view="telescope"):
    """Return {order: function that reads an epoch and returns its number of images}."""
    from image_extractor.dataset import ImageDataset

    dataset = ImageDataset(paths.split(os.pathsep), table=table, view=view)

    def run(**options):
        batches = dataset.batches(batch_size, **options)
        return sum(int(batch["mask"].sum()) if view == "event" else len(batch["image"]) for batch in batches)

    return {
        "sequential": run,
        "random": lambda: run(shuffle="random", seed=1),
        "blocks": lambda: run(shuffle="blocks", seed=1),
    }


def epoch_events(paths, table, batch_size):
    """As epoch_dataset, whole events."""
    return epoch_dataset(paths, table, batch_size // 4, "event")


def epoch_memcpy(path, table, batch_size):
    """As epoch_dataset, but images lie in memory as they are handed on, and are copied batch by batch."""
    import numpy as np

    from image_extractor.dataset import ImageDataset

    with ImageDataset(path, table=table) as dataset:
        images = dataset[:]["image"]
    order, batch = np.random.default_rng(1).permutation(len(images)), np.empty_like(images[:batch_size])

    def in_order():
        for first in range(0, len(images), batch_size):
            block = images[first : first + batch_size]
            batch[: len(block)] = block
        return len(images)

    def at_random():
        for first in range(0, len(images), batch_size):
            rows = order[first : first + batch_size]
            images.take(rows, axis=0, out=batch[: len(rows)], mode="clip")
        return len(images)

    return {"sequential": in_order, "random": at_random}


def epoch_dl1dh(path, _, batch_size):
    """As epoch_dataset, with dl1-data-handler."""
    import numpy as np
    from dl1_data_handler.reader import DLImageReader

    reader = DLImageReader(
        input_url_signal=[Path(path)],
        mode="mono",
        channels=["image", "peak_time"],
        image_mapper_type="AxialMapper",
        focal_length_choice="EQUIVALENT",
    )
    n = len(reader.example_identifiers)

    def run(order):
        return sum(
            len(reader.generate_mono_batch(order[i : i + batch_size])["features"]) for i in range(0, n, batch_size)
        )

    return {"sequential": lambda: run(np.arange(n)), "random": lambda: run(np.random.default_rng(1).permutation(n))}


#: How each kind of reader reads an epoch.
KINDS = {"dataset": epoch_dataset, "events": epoch_events, "memcpy": epoch_memcpy, "dl1dh": epoch_dl1dh}


def measure(arguments):
    """Print the images/s of each order, after an epoch that warms the cache up; runs in a process of its own."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    path, table, batch_size = arguments.path, arguments.table, arguments.batch_size
    epochs = KINDS[arguments.measure](path, table, batch_size)
    rates = {}
    for order, epoch in epochs.items():
        epoch()
        n, seconds, start = 0, [], time.perf_counter()
        while time.perf_counter() - start < arguments.seconds:
            begin = time.perf_counter()
            n = epoch()
            seconds.append(time.perf_counter() - begin)
        rates[order] = n / statistics.median(seconds)
    print(json.dumps(rates))


def rates_of(python, kind, path, arguments):
    """Measure in a new process."""
    command = [python, __file__, path, "--measure", kind, "--table", arguments.table]
    command += ["--batch_size", str(arguments.batch_size), "--seconds", str(arguments.seconds)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{python}: {done.stderr.strip().splitlines()[-1]}")
    return json.loads(done.stdout.splitlines()[-1])


def compare(arguments):
    """Measure all layouts and print the table."""
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        readers = {}
        if arguments.dl1:
            readers["dl1-data-handler"] = arguments.dl1dh_python, "dl1dh", arguments.dl1
        for number, (name, (compression, chunk_bytes)) in enumerate(LAYOUTS.items()):
            path = str(Path(folder) / f"{number}.h5")
            lay_out(arguments.path, path, compression, chunk_bytes)
            readers[name] = sys.executable, "dataset", path
            if name in MORE_WAYS:
                others = [shutil.copy(path, f"{path}.{copy}.h5") for copy in "ab"]
                readers[f"{name}, events"] = sys.executable, "events", path
                readers[f"{name}, 3 files"] = sys.executable, "dataset", os.pathsep.join([path, *others])
        readers["memcpy"] = sys.executable, "memcpy", str(Path(folder) / "0.h5")
        readers |= {Path(path).stem: (sys.executable, "dataset", path) for path in arguments.as_it_is}
        rounds = {name: [] for name in readers}
        for _ in range(arguments.rounds):
            for name, (python, kind, path) in readers.items():
                rounds[name].append(rates_of(python, kind, path, arguments))
        print(f"{'layout':28} {'MB':>7} " + " ".join(f"{order + ' images/s':>23}" for order in ORDERS))
        base = {}
        for name, measured in rounds.items():
            rates = {order: statistics.median(rates[order] for rates in measured) for order in measured[0]}
            base = base or rates
            cells = [f"{rates[o]:,.0f}" + (f" ({rates[o] / base[o]:.1f} x)" if o in base else "") for o in rates]
            print(f"{name:28} {_megabytes(readers[name][2]):7.1f} " + " ".join(f"{c:>23}" for c in cells))


def _megabytes(paths):
    return sum(Path(path).stat().st_size for path in paths.split(os.pathsep)) / 1e6


def main():
    """Read the arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", metavar="DATASET.h5", help="dataset of one camera, storage_mode = mapped")
    parser.add_argument("--table", default="Events", help="Events, Training, ... (default: Events)")
    parser.add_argument("--dl1", help="file of ctapipe-process --write-images with the same events")
    parser.add_argument("--dl1dh_python", default=sys.executable, help="Python that has dl1-data-handler")
    parser.add_argument("--as_it_is", metavar="OTHER.h5", nargs="*", default=[], help="datasets to read as they are")
    parser.add_argument("--batch_size", type=int, default=64, help="default: 64")
    parser.add_argument("--rounds", type=int, default=3, help="default: 3")
    parser.add_argument("--seconds", type=float, default=2.0, help="per order and round (default: 2)")
    parser.add_argument("--folder", help="for the layouts (default: the system's temporary folder)")
    parser.add_argument("--measure", choices=KINDS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    measure(arguments) if arguments.measure else compare(arguments)


if __name__ == "__main__":
    main()
