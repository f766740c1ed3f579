#!/usr/bin/env python3
"""Measure lookup tables on synthetic showers: MSCW, energy resolution, separation of protons, CPU time per event.

Tables are made of gammas, and applied to other gammas and protons. The showers are the demo's, not CORSIKA's: numbers
show that the chain works, not what it reaches.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from image_extractor import config
from image_extractor.analysis.open_events import open_events
from image_extractor.conversion.calibration import Calibrator
from image_extractor.demo import write_demo_file
from image_extractor.input_files import natural_order
from image_extractor.inputs.simtel.open_run import open_runs
from image_extractor.reconstruction.events import fill, looked_up, reconstructed
from image_extractor.reconstruction.lookup_tables import LookupTables

#: Events of a file, and the first run number of those that fill the tables, of test gammas and of protons.
EVENTS_PER_FILE = 100
KINDS = {"tables": ("gamma", 1), "gamma": ("gamma", 1001), "proton": ("proton", 1)}

#: How often files are gone through to measure times.
ROUNDS = 3

#: The demo has little noise; cells of few entries are widened.
SETTINGS = {"cleaning_picture": 4.0, "cleaning_boundary": 2.0, "telescope_type_mode": "ALL"}


def files_of(kind, n_events, folder, telescopes):
    """Return the files of a kind, written where they are not there yet."""
    primary, first_run = KINDS[kind]
    paths = []
    for number in range(-(-n_events // EVENTS_PER_FILE)):
        n = min(EVENTS_PER_FILE, n_events - number * EVENTS_PER_FILE)
        paths.append(folder / f"{kind}_run{first_run + number}_{n}.simtel.zst")
        if not paths[-1].exists():
            write_demo_file(paths[-1], events=n, telescopes=telescopes, primary=primary, run=first_run + number, seed=1)
    return sorted(paths, key=natural_order)


def blocks_of(paths, settings):
    """Yield runs and what is reconstructed of their blocks."""
    for path in paths:
        for run in open_events(path, settings).runs():
            for block in run:
                yield run, reconstructed(block, settings["reconstruction"])


def make(paths, settings):
    """Return the tables of files."""
    total = None
    for run, found in blocks_of(paths, settings):
        tables = LookupTables(run.recipe())
        fill(tables, found, "demo")
        if total is None:
            total = tables
        else:
            total.add(tables, "demo")
    return total


def apply(paths, settings, tables):
    """Return the branches of files, with the true energies."""
    reader = tables.reader(settings["reconstruction"]["min_entries"], settings["reconstruction"]["widen"])
    parts, counts = [], None
    for _, found in blocks_of(paths, settings):
        branches, of_block = looked_up(reader, found)
        parts.append(branches | {"energy": found.block.events["energy"]})
        counts = of_block if counts is None else counts
        if counts is not of_block:
            counts += of_block
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}, counts


def calibrate_only(paths, settings):
    """Read and calibrate files, and nothing else."""
    for path in paths:
        with open_runs(path, fast=True) as runs:
            for run in runs:
                run.select(run.subarray.tel, lambda *_: True)
                calibrate = Calibrator(run, settings)
                for event in run:
                    calibrate(event)


def area_under_curve(signal, background):
    """Return how often a value of the signal is below one of the background."""
    values = np.concatenate([signal, background])
    ranks = values.argsort().argsort()[: len(signal)] + 1
    above = ranks.sum() - len(signal) * (len(signal) + 1) / 2
    return 1 - above / (len(signal) * len(background))


def beside_calibration(what, paths, n_events, settings, function, *arguments):
    """Return a line on the CPU time of a function of files beside reading and calibrating them alone.

    Both take turns at every file, because the speed of a machine changes within minutes.
    """
    rounds = []
    for _ in range(ROUNDS):
        times = np.zeros(2)
        for path in paths:
            times += cpu(calibrate_only, [path], settings), cpu(function, [path], settings, *arguments)
        rounds.append(1000 * times / n_events)
    alone, its = min(rounds, key=sum)
    ratios = ", ".join(f"{its / alone:.3f}" for alone, its in rounds)
    return (
        f"CPU per event of {n_events}, {what}: {its:.2f} ms, reading and calibrating alone {alone:.2f} ms; "
        f"ratios of {ROUNDS} rounds {ratios}"
    )


def cpu(function, *arguments):
    """Return the CPU seconds of a call."""
    start = time.process_time()
    function(*arguments)
    return time.process_time() - start


def lines_of(gammas, protons):
    """Yield what is to be said of the events of both."""
    for name, events in (("gammas", gammas), ("protons", protons)):
        good = events["MSCW"] > -90
        median = np.median(events["MSCW"][good])
        half = np.subtract(*np.percentile(events["MSCW"][good], [84, 16])) / 2
        yield f"{name}: {len(good)} events, {np.sum(events['NImages'] >= 2)} reconstructed, {good.sum()} with MSCW"
        error = np.sqrt(np.pi / 2 / good.sum()) * half
        yield f"{name}: MSCW median {median:+.3f} +- {error:.3f}, std {events['MSCW'][good].std():.2f}"
    good = gammas["ErecS"] > 0
    ratio = np.log10(gammas["ErecS"][good] / gammas["energy"][good])
    half = np.subtract(*np.percentile(ratio, [84, 16])) / 2
    yield (
        f"gammas: log10 of reconstructed / true energy: median {np.median(ratio):+.3f}, RMS "
        f"{np.sqrt(np.mean(ratio**2)):.3f}, half of 68 % {half:.3f}"
    )
    for least in (2, 3):
        chosen = [events["MSCW"][(events["MSCW"] > -90) & (events["NImages"] >= least)] for events in (gammas, protons)]
        yield f"area under the curve of MSCW, {least} images and more: {area_under_curve(*chosen):.3f}"


def draw(path, gammas, protons):
    """Draw MSCW, MSCL and energies."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 4), layout="constrained")
    axes = figure.subplots(1, 3)
    for axis, name, edges in ((axes[0], "MSCW", np.linspace(-3, 12, 76)), (axes[1], "MSCL", np.linspace(-3, 8, 56))):
        for label, events in (("gammas", gammas), ("protons", protons)):
            axis.hist(
                np.clip(events[name][events[name] > -90], -3, edges[-1] - 0.01), edges, histtype="step", label=label
            )
        axis.set_xlabel(name)
        axis.legend()
    good = gammas["ErecS"] > 0
    axes[2].loglog(gammas["energy"][good], gammas["ErecS"][good], ".", ms=3)
    axes[2].loglog([0.03, 60], [0.03, 60], lw=0.8)
    axes[2].set_xlabel("true energy [TeV]")
    axes[2].set_ylabel("ErecS [TeV]")
    figure.savefig(path, dpi=90)


def main():
    """Print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tables", type=int, default=1000, help="gammas that fill the tables (default: 1000)")
    parser.add_argument("--test", type=int, default=500, help="gammas, and protons, to apply them to (default: 500)")
    parser.add_argument("--telescopes", default="LST:4,MSTN:6", help="of the demo (default: LST:4,MSTN:6)")
    parser.add_argument("--folder", type=Path, help="of the files, which stay there (default: a temporary one)")
    parser.add_argument("--plot", type=Path, help="picture to draw")
    options = parser.parse_args()
    settings = config.from_keywords(SETTINGS)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        numbers = {"tables": options.tables, "gamma": options.test, "proton": options.test}
        paths = {kind: files_of(kind, number, folder, options.telescopes) for kind, number in numbers.items()}
        make(paths["gamma"][:1], settings)  # loops are compiled, and cameras known
        tables = make(paths["tables"], settings)
        gammas, counts = apply(paths["gamma"], settings, tables)
        protons, of_protons = apply(paths["proton"], settings, tables)
        times = [
            beside_calibration("making tables", paths["tables"], options.tables, settings, make),
            beside_calibration("applying them", paths["gamma"], options.test, settings, apply, tables),
        ]
    for line in lines_of(gammas, protons):
        print(line)
    for name, found in (("gammas", counts), ("protons", of_protons)):
        print(f"{name}: {found.images} images, {found.missing} without an entry, {found.widened} from widened cells")
    print(*times, sep="\n")
    if options.plot:
        draw(options.plot, gammas, protons)


if __name__ == "__main__":
    main()
