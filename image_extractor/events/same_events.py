"""When two rows are the same event: their run number, primary and event number are equal, and so are the true showers.

Productions share run numbers, and so event numbers: files of one run number at other pointings hold other events.
"""

from collections import Counter

import numpy as np

from ..hdf5 import dataset_files, nodes

NUMBERS = ("run_number", "gamma_hadron_label", "event_number")
TRUTH = ("core_x", "core_y", "h_first_int", "mc_energy", "alt", "az")

#: float32 has every value as the first format stored it, and as sim_telarray does.
DTYPE = np.dtype([*((name, "<i8") for name in NUMBERS), *((name, "<f4") for name in TRUTH)])


def identity(rows):
    """Return what tells the events of rows apart, structured array (n,)."""
    found = np.empty(len(rows), DTYPE)
    for name in DTYPE.names:
        found[name] = rows[name]
    return found


def repeats(old, new):
    """Return {path of a new dataset: name of a file before it, or itself, that has some of its events too}.

    Tables are read only where a run number and primary come twice, one run after the other.

    old, new : lists of (path, [(file name, run number, primary), ...])
    """
    counts = Counter((number, primary) for _, runs in (*old, *new) for _, number, primary in runs)
    places = {}
    for path, runs in (*old, *new):
        for name, *run in runs:
            if counts[tuple(run)] > 1:
                places.setdefault(tuple(run), {}).setdefault(path, name)
    found, trusted = {}, {path for path, _ in old}
    for run, names in places.items():
        seen = []
        for path, name in names.items():
            events, has_repeats = _events(path, *run)
            twin = next((other for other, others in seen if not events.isdisjoint(others)), None)
            twin = twin or (name if has_repeats else None)
            if twin and path not in trusted:
                found[path] = twin
            else:
                seen.append((name, events))
    return found


def _events(path, run_number, primary):
    """Return the events of a run number and primary of a dataset as a set of bytes, and whether some come twice."""
    events, n_rows = set(), 0
    with dataset_files.damage(path), dataset_files.open_dataset(path) as file:
        for group in nodes.events_groups(file):
            for table in nodes.events_tables(group).values():
                is_run = (table.col("run_number") == run_number) & (table.col("gamma_hadron_label") == primary)
                if is_run.any():
                    rows = np.rec.fromarrays([table.col(name)[is_run] for name in DTYPE.names], names=DTYPE.names)
                    events.update(row.tobytes() for row in identity(rows))
                    n_rows += len(rows)
    return events, len(events) < n_rows
