"""prepare_cuts_dict.py: which events of EventDisplay's files get into the dictionary, what is said of the rest."""

import math
import os
import pickle
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from image_extractor import config, cuts, mscw
from image_extractor.errors import InputError
from image_extractor.input_files import find_files
from image_extractor.preselection import total

uproot = pytest.importorskip("uproot", reason="needs uproot, from the extra [scripts]")

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "scripts" / "prepare_cuts_dict.py"

INTEGERS = ("runNumber", "eventNumber", "NImages")
#: float64 up to EventDisplay_v4 v490 and in Eventdisplay, float32 since v492
VARYING = ("MSCW", "MSCL", "EChi2S", "ErecS", "dES")
DOUBLES = ("MCxoff", "MCyoff")
FLOATS = (*VARYING, "EmissionHeight", *DOUBLES)

#: An event that passes every default cut.
GOOD = {
    "runNumber": 1, "eventNumber": 100, "NImages": 4, "MSCW": 0.1, "MSCL": 0.2, "EChi2S": 1.5, "ErecS": 0.5,
    "dES": 0.1, "EmissionHeight": 11.0, "MCxoff": 0.3, "MCyoff": -0.4,
}  # fmt: skip


def branch_types(version):
    types = dict.fromkeys(INTEGERS, "int32") | dict.fromkeys(VARYING, version)
    return (
        types
        | {"NImages": "int32" if version == "float32" else "uint32", "EmissionHeight": "float32"}
        | (dict.fromkeys(DOUBLES, "float64"))
    )


def write_mscw(path, baskets, version="float64", without=(), more=None):
    """Write rows, {branch: value}, as a mscw file: a list of lists, each a basket."""
    types = {name: kind for name, kind in branch_types(version).items() if name not in without}
    with uproot.recreate(path) as file:
        tree = file.mktree("data", types | (more or {}))
        for rows in baskets:
            if rows:
                columns = {name: np.array([row[name] for row in rows], dtype=kind) for name, kind in types.items()}
                tree.extend(columns | {name: np.zeros(len(rows), kind) for name, kind in (more or {}).items()})
    return path


def with_settings(**changes):
    """Return settings with some cuts, or energy_bins, that differ from the defaults."""
    sections = {"energy_bins": changes.pop("energy_bins", {}), "preselection_cuts": changes}
    lines = []
    for section, values in sections.items():
        lines.append(f"[{section}]")
        lines += [
            f"{key} = {', '.join(map(str, value)) if isinstance(value, list) else value}"
            for key, value in values.items()
        ]
    return config.loads("\n".join(lines))


# -- the truth, computed another way: one row after the other ------------------------------------


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
            mscw.build(files, chosen, block_rows=block_rows)
        return
    if conflict:
        with pytest.raises(InputError, match=f"run {conflict[0]}, event {conflict[1]} comes twice with different"):
            mscw.build(files, chosen, block_rows=block_rows)
        return
    entries, flows = mscw.build(files, chosen, block_rows=block_rows)
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
    assert cuts.check(entries) == entries


anything = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


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


# -- what files may look like ---------------------------------------------------------------------


def test_default_bins(tmp_path):
    energies = [0.0999, 0.1, 0.3, 0.4, 0.9999, 1.0, 9.99, 10.0, 0.0, -99.0]
    events = [GOOD | {"eventNumber": i, "ErecS": energy} for i, energy in enumerate(energies)]
    entries, flows = mscw.build([write_mscw(tmp_path / "a.root", [events])], config.defaults())
    assert entries == {
        (1, 1): (0, 0.1), (1, 2): (0, 0.3), (1, 3): (1, 0.4), (1, 4): (1, 0.9999), (1, 5): (2, 1.0), (1, 6): (3, 9.99)
    }  # fmt: skip
    (flow,) = flows.values()
    assert flow.outside == 3
    assert flow.after["ErecS"] == 9
    assert flow.no_energy == 1


def test_bins_of_the_cuts_also_in_energy_recon(tmp_path):
    """The label of energy_recon is another matter: the dictionary's bins are [energy_bins]."""
    chosen = config.loads("mode = energy_recon")
    entries, _ = mscw.build([write_mscw(tmp_path / "a.root", [[GOOD]])], chosen)
    assert entries == {(1, 100): (1, 0.5)}


def test_branch_booked_twice_and_arrays(tmp_path):
    """EventDisplay books some names of per-image branches twice, and many branches are not one number."""
    path = tmp_path / "a.root"
    more = {"dcen_A": "float32", "dcen_B": ("float64", (4,)), "width": "float32"}
    write_mscw(path, [[GOOD], [GOOD | {"eventNumber": 200}]], more=more)
    path.write_bytes(path.read_bytes().replace(b"dcen_A", b"dcen_x").replace(b"dcen_B", b"dcen_x"))
    with uproot.open(path) as file:
        assert [branch.name for branch in file["data"].branches].count("dcen_x") == 2
    entries, _ = mscw.build([path], config.defaults())
    assert entries == {(1, 100): (1, 0.5), (1, 200): (1, 0.5)}


@pytest.mark.parametrize("name", ["a:b.root", "a::b#c.root", "a[1].root", "a b*.root", "é.root"])
def test_names_of_files(tmp_path, name):
    write_mscw(tmp_path / "plain.root", [[GOOD]])
    path = (tmp_path / "plain.root").rename(tmp_path / name)
    files = find_files(str(path))
    assert files == [path]
    assert len(mscw.build(files, config.defaults())[0]) == 1


def test_files_in_natural_order(tmp_path):
    for name in ("run10.root", "run2.root", "run1.root", "notes.txt"):
        (tmp_path / name).touch()
    files = find_files(str(tmp_path / "*.root"))
    assert [path.name for path in files] == ["run1.root", "run2.root", "run10.root"]


def test_blocks_are_bounded(tmp_path):
    events = [[GOOD | {"eventNumber": 10 * basket + i} for i in range(10)] for basket in range(5)]
    path = write_mscw(tmp_path / "a.root", events)
    blocks = list(mscw.read_blocks(path, ["eventNumber", "ErecS"], block_rows=7))
    assert [len(block["ErecS"]) for block in blocks] == [7] * 7 + [1]
    assert {tuple(block) for block in blocks} == {("eventNumber", "ErecS")}
    assert np.concatenate([block["eventNumber"] for block in blocks]).tolist() == list(range(50))


def test_open_cut_needs_no_branch(tmp_path):
    """As real data need it, which have no MC branches."""
    path = write_mscw(tmp_path / "a.root", [[GOOD]], without=("MCxoff", "MCyoff", "dES"))
    chosen = with_settings(MC_Offset=["MCxoff", "MCyoff", None, None], dES=[None, None])
    assert mscw.build([path], chosen)[0] == {(1, 100): (1, 0.5)}


def test_other_offset_branches(tmp_path):
    path = write_mscw(tmp_path / "a.root", [[GOOD]], without=("MCxoff", "MCyoff"), more={"Xoff": "f8", "Yoff": "f8"})
    assert mscw.build([path], with_settings(MC_Offset=["Xoff", "Yoff", 0, 1]))[0]
    assert not mscw.build([path], with_settings(MC_Offset=["Xoff", "Yoff", 0.5, 1]))[0]


def test_file_of_no_events_among_others(tmp_path):
    files = [write_mscw(tmp_path / "a.root", []), write_mscw(tmp_path / "b.root", [[GOOD]])]
    entries, flows = mscw.build(files, config.defaults())
    assert len(entries) == 1
    assert [flow.read for flow in flows.values()] == [0, 1]


def test_conflict_names_both_files(tmp_path):
    gammas = write_mscw(tmp_path / "gamma.root", [[GOOD]])
    middle = write_mscw(tmp_path / "middle.root", [[GOOD | {"runNumber": 2}]])
    protons = write_mscw(tmp_path / "proton.root", [[GOOD | {"ErecS": 2.0}]])
    with pytest.raises(InputError) as error:
        mscw.build([gammas, middle, protons], config.defaults())
    assert str(error.value) == (
        "run 1, event 100 comes twice with different values: "
        f"bin 1, 0.5 TeV in {gammas} and bin 2, 2.0 TeV in {protons}; "
        "runs of different particles share numbers: build one dictionary per particle type"
    )


# -- what a file may suffer from ------------------------------------------------------------------


def truncated(path):
    rng = np.random.default_rng(0)
    write_mscw(path, [[GOOD | {"eventNumber": i, "MSCL": rng.random()} for i in range(500)] for _ in range(3)])
    path.write_bytes(path.read_bytes()[:-1])


def damaged(path):
    rng = np.random.default_rng(0)
    write_mscw(path, [[GOOD | {"eventNumber": i, "MSCL": rng.random()} for i in range(5000)]])
    with uproot.open({str(path): None}) as file:
        basket = file["data"]["MSCL"].basket(0)
        start = file["data"]["MSCL"].member("fBasketSeek")[0] + basket.member("fKeylen")
    content = bytearray(path.read_bytes())
    content[start + 9 : start + 2000] = bytes(1991)
    path.write_bytes(content)


def other_tree(path):
    with uproot.recreate(path) as file:
        file["showerpars"] = {"runNumber": np.arange(3)}


def not_a_tree(path):
    with uproot.recreate(path) as file:
        file["data"] = "words"


SUFFERING = {
    "nothing in it": (lambda path: path.write_bytes(b""), "can't be read as a ROOT file"),
    "text": (lambda path: path.write_text("not ROOT\n" * 100), "can't be read as a ROOT file"),
    "head of a file": (lambda path: path.write_bytes(b"root" + bytes(100)), "no tree 'data'"),
    "truncated": (truncated, r"truncated: \d+ bytes of \d+; copy or make it again"),
    "damaged": (damaged, "can't be read as a ROOT file"),
    "other tree": (other_tree, "no tree 'data', it has showerpars; is this a mscw file"),
    "no tree": (not_a_tree, "no tree 'data'"),
    "no object": (lambda path: uproot.recreate(path).close(), "no tree 'data', it is empty"),
    "no events": (lambda path: write_mscw(path, []), "no events in the tree 'data'"),
    "real data": (lambda path: write_mscw(path, [[GOOD]], without=DOUBLES), "no branch MCxoff; real data have no MC"),
    "no NImages": (lambda path: write_mscw(path, [[GOOD]], without=["NImages"]), "no branch NImages; .*None, None"),
    "no ErecS": (lambda path: write_mscw(path, [[GOOD]], without=["ErecS"]), "no branch ErecS; every dictionary"),
    "array": (
        lambda path: write_mscw(path, [[GOOD]], without=["MSCW"], more={"MSCW": ("f8", (4,))}),
        "branch MSCW is .*, must be one number per event",
    ),
    "broken numbers": (
        lambda path: write_mscw(path, [[GOOD]], without=["runNumber"], more={"runNumber": "f8"}),
        "branch runNumber is double, must be a whole number per event",
    ),
}


@pytest.mark.parametrize("what", SUFFERING)
def test_bad_file_is_one_line(tmp_path, what):
    make, message = SUFFERING[what]
    make(tmp_path / "bad.root")
    with pytest.raises(InputError, match=message) as error:
        mscw.build([tmp_path / "bad.root"], config.defaults())
    assert str(error.value).startswith(f"{tmp_path / 'bad.root'}: ")
    assert "\n" not in str(error.value)


def test_bad_file_among_good_ones_is_found_before_reading(tmp_path):
    good = write_mscw(tmp_path / "a.root", [[GOOD]])
    (tmp_path / "b.root").write_text("no")
    blocks = []
    with pytest.raises(InputError, match=r"b\.root"):
        mscw.build([good, tmp_path / "b.root"], config.defaults(), progress=lambda *done: blocks.append(done))
    assert not blocks


# -- the command ----------------------------------------------------------------------------------


def run(*arguments, path=ROOT, **options):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, [path, ROOT]))}
    return subprocess.run(
        [sys.executable, SCRIPT, *arguments], capture_output=True, text=True, env=environment, check=False, **options
    )


@pytest.fixture
def folder(tmp_path):
    """A production of two files, the settings for it, and the folder both are in."""
    events = [GOOD | {"eventNumber": i, "ErecS": 0.05 * (i + 1)} for i in range(20)]
    no_height = GOOD | {"eventNumber": 50, "EmissionHeight": 1e-10}
    failed = GOOD | {"eventNumber": 51, "MSCW": -99.0, "ErecS": -99.0}
    no_energy = GOOD | {"eventNumber": 52, "ErecS": 0.0}
    write_mscw(tmp_path / "run2.mscw.root", [events, [no_height, failed, no_energy]])
    again = [row | {"runNumber": 10} for row in events] + events[5:8]
    write_mscw(tmp_path / "run10.mscw.root", [again])
    (tmp_path / "settings.config").write_text(config.default_text())
    return tmp_path


@pytest.mark.parametrize("file_format", cuts.FORMATS)
def test_command_writes_what_the_converter_reads(folder, file_format):
    done = run(folder / "run*.root", folder / "cuts", folder / "settings.config", "--format", file_format)
    assert (done.returncode, done.stderr) == (0, "")
    expected, _ = mscw.build(find_files(str(folder / "*.root")), config.defaults())
    assert len(expected) == 39
    assert cuts.load(folder / "cuts") == expected
    assert sorted(path.name for path in folder.iterdir() if "cuts" in path.name) == ["cuts"]
    if file_format == "pickle":
        assert pickle.loads((folder / "cuts").read_bytes()) == expected


def test_what_the_command_says(folder):
    done = run(folder / "run*.root", folder / "cuts.pkl", folder / "settings.config")
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert lines == [
        "cut flow of 2 files",
        "events of read failed",
        "events in 46 100.00%",
        "MSCW [-2, 2) 45 97.83% 1",
        *(f"{name} 45 97.83% 0" for name in ("MSCL [-2, 5)", "EChi2S [0, inf)", "ErecS [0, inf)")),
        "EmissionHeight [0, 50) 45 97.83% 0",
        "MC_Offset [0, 3) of MCxoff, MCyoff 45 97.83% 0",
        "NImages [3, inf) 45 97.83% 0",
        "dES [0, inf) 45 97.83% 0",
        "bin 0: [0.1, 0.3162) TeV 11 23.91%",
        "bin 1: [0.3162, 1) TeV 29 63.04%",
        "bin 2: [1, 3.162) TeV 2 4.35%",
        "bin 3: [3.162, 10) TeV 0 0.00%",
        "outside all bins 3 6.52%",
        "failed: events that this cut removed because a reconstruction failed (-99, -9999 or NaN)",
        "note: passing the EmissionHeight cut without a height (0 or 1e-10), as EventDisplay lets them: 1",
        "note: passing all cuts without an energy (ErecS 0 or less), in no bin: 1",
        "note: coming again with the same values, kept once: 3",
        f"{folder / 'cuts.pkl'}: 39 events written",
    ]


def test_debug_shows_each_file_in_order(folder):
    done = run(folder / "run*.root", folder / "cuts.pkl", folder / "settings.config", "--debug")
    titles = [line for line in done.stdout.splitlines() if line.startswith("cut flow")]
    assert titles == [
        f"cut flow of {folder / 'run2.mscw.root'}", f"cut flow of {folder / 'run10.mscw.root'}", "cut flow of 2 files"
    ]  # fmt: skip


def test_failures_that_a_wide_cut_admits_are_said(folder):
    (folder / "wide.config").write_text("[preselection_cuts]\nMSCW = None, 2\nErecS = None, None\n")
    done = run(folder / "run2*", folder / "cuts.pkl", folder / "wide.config")
    assert "note: passing the MSCW cut with a failed MSCW (-99 or -9999), which its low end admits: 1\n" in done.stdout
    assert "note: passing all cuts without an energy (ErecS 0 or less), in no bin: 2\n" in done.stdout
    assert "  ErecS not applied  " in done.stdout


def test_no_event_passes(folder):
    (folder / "strict.config").write_text("[preselection_cuts]\nNImages = 400, None\n")
    done = run(folder / "run2*", folder / "cuts.pkl", folder / "strict.config")
    assert done.returncode == 0
    assert "warning: no event passes" in done.stdout
    assert cuts.load(folder / "cuts.pkl") == {}


def refused(folder, done, *words):
    """Check that a command ended with one line, with these words, and wrote nothing."""
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert all(word in done.stderr for word in words), done.stderr
    assert not done.stdout
    assert not [path for path in folder.iterdir() if "cuts" in path.name]


def test_what_the_command_refuses(folder):
    files, output, settings_ = folder / "run*.root", folder / "cuts.pkl", folder / "settings.config"
    refused(folder, run(folder / "no*.root", output, settings_), "no*.root: no file matches")
    refused(folder, run(files, output, folder / "none.config"), "none.config: can't be read")
    refused(folder, run(files, folder / "none" / "cuts.pkl", settings_), "none is not a folder")
    refused(folder, run(files, folder, settings_), "is a folder")
    refused(folder, run(files, settings_, settings_, "--overwrite"), "settings.config: is an input")
    refused(folder, run(files, folder / "run2.mscw.root", settings_, "--overwrite"), "run2.mscw.root: is an input")
    (folder / "wrong.config").write_text("[preselection_cuts]\nMSCW = 2, 1\n")
    refused(folder, run(files, output, folder / "wrong.config"), "wrong.config: [preselection_cuts] MSCW = 2, 1")
    (folder / "run3.root").write_text("no ROOT")
    refused(folder, run(files, output, settings_), "run3.root: can't be read as a ROOT file")


def test_traceback_only_with_debug(folder):
    done = run(folder / "no*", folder / "cuts.pkl", folder / "settings.config", "--debug")
    assert done.returncode == 2
    assert "Traceback" in done.stderr
    assert done.stderr.splitlines()[-1].startswith(f"{folder / 'no*'}: no file matches")


def test_wildcard_without_quotes(folder):
    done = run(*sorted(folder.glob("*.root")), folder / "run3", folder / "cuts.pkl", folder / "settings.config")
    assert done.returncode == 2
    assert "put a wildcard in quotes" in done.stderr


def test_existing_output(folder):
    arguments = folder / "run2*", folder / "cuts.pkl", folder / "settings.config"
    (folder / "cuts.pkl").write_text("precious")
    done = run(*arguments)
    assert done.returncode == 2
    assert done.stderr == f"{folder / 'cuts.pkl'}: exists already; choose another name or add --overwrite\n"
    assert (folder / "cuts.pkl").read_text() == "precious"
    assert run(*arguments, "--overwrite").returncode == 0
    assert len(cuts.load(folder / "cuts.pkl")) == 20


@pytest.mark.parametrize("file_format", cuts.FORMATS)
def test_full_disk_leaves_the_old_file(folder, file_format):
    (folder / "cuts").write_text("precious")
    done = run(
        folder / "run*", folder / "cuts", folder / "settings.config", "--overwrite", "--format", file_format,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200)),
    )  # fmt: skip
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert "cuts: can't be written" in done.stderr
    assert (folder / "cuts").read_text() == "precious"
    assert sorted(path.name for path in folder.iterdir() if "cuts" in path.name) == ["cuts"]


def test_without_uproot(folder):
    (folder / "hidden").mkdir()
    (folder / "hidden" / "uproot.py").write_text("raise ImportError('not installed')")
    arguments = folder / "run*", folder / "cuts.pkl", folder / "settings.config"
    done = run(*arguments, path=folder / "hidden")
    refused(folder, done, "prepare_cuts_dict.py needs uproot: pip install '.[scripts]'")
    assert run("--help", path=folder / "hidden").returncode == 0
