"""The dictionary and the cut flow of mscw files against a straight loop over their rows."""

import math

import numpy as np
import pytest
from helpers.made_mscw import GOOD, branch_types, with_settings, write_mscw
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from image_extractor.cuts import eventdisplay
from image_extractor.cuts.entries import as_dict, check
from image_extractor.cuts.preselection import total
from image_extractor.errors import InputError


class Loop:
    """The dictionary and the cut flow of a straight loop over rows."""

    def __init__(self, chosen):
        self.cuts, self.bins = chosen["preselection_cuts"], chosen["energy_bins"]
        names = ["MSCW", "MSCL", "EChi2S", "ErecS", "EmissionHeight", "MC_Offset", "NImages", "dES"]
        step, low = self.bins["bin_size"], self.bins["min"]
        self.edges = [low + step * index for index in range(round((self.bins["max"] - low) / step) + 1)]
        self.entries, self.names = {}, names
        self.read = self.outside = self.no_energy = self.no_height = self.repeated = 0
        self.after, self.removed = dict.fromkeys(names, 0), dict.fromkeys(names, 0)
        self.counts = [0] * (len(self.edges) - 1)

    def add(self, row):
        self.read += 1
        for name in self.names:
            *branches, low, high = self.cuts[name]
            applied = low is not None or high is not None
            value = math.sqrt(sum(row[branch] * row[branch] for branch in branches)) if branches else row[name]
            if applied and (
                value != value or (low is not None and value < low) or (high is not None and value >= high)
            ):
                if value != value or value in (-99, -9999, -99999) or (name == "EmissionHeight" and abs(value) < 1e-9):
                    self.removed[name] += 1
                return
            if applied and name == "EmissionHeight" and (value < 1e-9):
                self.no_height += value > -1e-9 or value in (-99, -9999, -99999)
            self.after[name] += 1
        index = self.find(row["ErecS"])
        self.no_energy += not row["ErecS"] > 0
        if index is None:
            self.outside += 1
            return
        self.counts[index] += 1
        key, value = (row["runNumber"], row["eventNumber"]), (index, row["ErecS"])
        if key in self.entries and self.entries[key] != value:
            raise LookupError(key)
        self.repeated += key in self.entries
        self.entries[key] = value

    def find(self, energy):
        if not energy > 0:
            return None
        energy *= {"TeV": 1, "GeV": 1000}[self.bins["units"]]
        if self.bins["scale"] == "log10":
            energy = math.log10(energy)
        for index, (low, high) in enumerate(zip(self.edges, self.edges[1:], strict=False)):
            if low <= energy < high:
                return index
        return None


def as_stored(row, version):
    """Return a row as a reader of the file finds it."""
    types = branch_types(version)
    return {name: np.dtype(types[name]).type(value).item() for name, value in row.items()}


def value(*special, low=-200.0, high=200.0):
    return st.one_of(st.sampled_from([*special, -99.0, -9999.0, -99999.0, math.nan]), st.floats(low, high))


# a row is a good one with a few values replaced, so that many pass the first cuts
REPLACED = {
    "MSCW": value(-2.0, 2.0, 0.0, low=-3, high=3),
    "MSCL": value(-2.0, 5.0, 0.0, low=-3, high=6),
    "EChi2S": value(0.0, 1e-10, -0.0, math.inf),
    "dES": value(0.0, 1e-10, -0.0),
    "ErecS": value(0.0, -0.0, 0.01, 0.1, 1.0, 10.0, math.inf, 1e-300, 1e30, low=0.005, high=20),
    "EmissionHeight": value(0.0, 1e-10, 50.0, 49.999, 1e-8, -1.0, low=-1, high=60),
    "MCxoff": value(3.0, 0.0, 1e200, low=-4, high=4),
    "MCyoff": value(3.0, 0.0, low=-4, high=4),
    "NImages": st.integers(0, 5),
}
good_energies = st.floats(0.02, 15).map(lambda energy: {"ErecS": energy})
replacements = st.lists(st.sampled_from(sorted(REPLACED)), max_size=2, unique=True).flatmap(
    lambda names: st.fixed_dictionaries({name: REPLACED[name] for name in names})
)
rows = st.builds(lambda energy, changes: GOOD | energy | changes, good_energies, replacements)
productions = st.lists(st.lists(st.lists(rows, max_size=8), min_size=1, max_size=3), min_size=1, max_size=3)

CHOICES = [
    {},
    {"MSCW": [None, 1.0], "EChi2S": [None, None], "ErecS": [None, None], "dES": [None, None]},
    {"EmissionHeight": [None, 50.0], "MC_Offset": ["MCxoff", "MCyoff", 0.25, None], "NImages": [2, 4]},
    {"EmissionHeight": [1e-300, 50.0], "energy_bins": {"units": "GeV", "min": 1.5, "max": 3.5, "bin_size": 0.25}},
    {"ErecS": [None, None], "energy_bins": {"scale": "linear", "min": 0.0, "max": 10.0, "bin_size": 2.5}},
    {"ErecS": [None, None], "energy_bins": {"scale": "linear", "min": -100.0, "max": 100.0, "bin_size": 100.0}},
    {"ErecS": [0.5, 2], "energy_bins": {"scale": "linear", "units": "GeV", "min": 500, "max": 2000, "bin_size": 250}},
]


def compare(tmp_path, production, chosen, version, block_rows):
    """Build a dictionary of files and one by the loop; both must agree, in their errors too."""
    files, loop, conflict = [], Loop(chosen), None
    for number, baskets in enumerate(production):
        files.append(write_mscw(tmp_path / f"run{number}.mscw.root", baskets, version))
    try:
        for row in (row for baskets in production for rows_ in baskets for row in rows_):
            loop.add(as_stored(row, version))
    except LookupError as err:
        conflict = err.args[0]
    if not any(map(any, production)):
        with pytest.raises(InputError, match="no events"):
            eventdisplay.build(files, chosen, block_rows=block_rows)
        return
    if conflict:
        with pytest.raises(InputError, match=f"run {conflict[0]}, event {conflict[1]} comes twice with different"):
            eventdisplay.build(files, chosen, block_rows=block_rows)
        return
    rows, flows = eventdisplay.build(files, chosen, block_rows=block_rows)
    entries = as_dict(rows)
    flow = total(flows.values())
    assert entries == loop.entries
    assert list(entries) == list(loop.entries)
    assert all(type(part) is int for key in entries for part in key)
    assert all((type(index), type(energy)) == (int, float) for index, energy in entries.values())
    assert (flow.read, flow.after) == (loop.read, loop.after)
    assert (flow.bins.tolist(), flow.outside) == (loop.counts, loop.outside)
    assert (flow.no_energy, flow.repeated) == (loop.no_energy, loop.repeated)
    assert flow.failed_passed.get("EmissionHeight", 0) == loop.no_height
    assert {name: n for name, n in flow.failed_removed.items() if n} == {k: n for k, n in loop.removed.items() if n}
    # every event is somewhere
    assert list(flow.after.values())[-1] == sum(loop.counts) + loop.outside
    assert check(entries).tolist() == rows.tolist()


anything = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@anything
@given(
    production=productions,
    choice=st.sampled_from(CHOICES),
    version=st.sampled_from(["float32", "float64"]),
    block_rows=st.integers(1, 9),
)
def test_agrees_with_a_loop(tmp_path_factory, production, choice, version, block_rows):
    """Every event has a number of its own."""
    n = 0
    for rows_ in (rows_ for baskets in production for rows_ in baskets):
        for index, row in enumerate(rows_):
            n += 1
            rows_[index] = row | {"runNumber": n % 3, "eventNumber": 2**31 - 1 - n}
    compare(tmp_path_factory.mktemp("mscw"), production, with_settings(**choice), version, block_rows)


few = st.builds(
    lambda row, run, event: row | {"runNumber": run, "eventNumber": event},
    st.sampled_from([GOOD, GOOD, GOOD, GOOD | {"ErecS": 0.6}, GOOD | {"MSCW": -99.0}]),
    st.integers(1, 2),
    st.integers(1, 6),
)


@anything
@given(
    production=st.lists(st.lists(st.lists(few, max_size=4), min_size=1, max_size=2), min_size=1, max_size=3),
    block_rows=st.integers(1, 9),
)
def test_numbers_that_come_again_agree_with_a_loop(tmp_path_factory, production, block_rows):
    compare(tmp_path_factory.mktemp("mscw"), production, with_settings(), "float64", block_rows)
