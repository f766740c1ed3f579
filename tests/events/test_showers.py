"""A split keeps all uses of a shower together, whatever the bins, files and passes; and meets its fractions."""

import collections
import re
import shutil

import numpy as np
import pytest
import tables
from helpers.eventio_bytes import kind, objects_of, unpacked
from helpers.resealed import changed
from hypothesis import example, given, settings
from hypothesis import strategies as st

from image_extractor import ImageExtractor, config
from image_extractor.batch import merge, table_passes
from image_extractor.cuts.dictionary import save
from image_extractor.dataset import ImageDataset
from image_extractor.demo import cuts as demo_cuts
from image_extractor.events import showers

BINS = {"energy_bins_min": -1, "energy_bins_max": 0, "energy_bins_bin_size": 0.125}
FRACTIONS = {"Training": 0.6, "Validation": 0.25, "Test": 0.15}
SPLIT = "--split", "0.6,0.25,0.15"


CLOSING, MC_SHOWER, MC_EVENT, CALIBRATION = 100, 2020, 2021, (2022, 2023)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Four runs whose showers are used five times: gammas 1, 2, 3 and protons 1."""
    from image_extractor.demo import write_demo_file

    folder = tmp_path_factory.mktemp("runs")
    for primary, run in (("gamma", 1), ("gamma", 2), ("gamma", 3), ("proton", 1)):
        path = folder / f"{primary}_run{run}.simtel"
        write_demo_file(
            path, events=30, telescopes="LST:1", primary=primary, run=run, reuse=5, energy="0.15,0.8", scatter=150
        )
    return folder


@pytest.fixture(scope="module")
def cuts(runs):
    """A dictionary whose reconstructed energies put the uses of most showers into several bins."""
    keywords = {"mode": "gh_class", **BINS}
    entries = demo_cuts.make_entries(
        sorted(runs.glob("gamma*.simtel")), config.energy_bins(config.from_keywords(keywords))
    )
    save(runs / "cuts.pkl", entries)
    return runs / "cuts.pkl"


@pytest.fixture
def by_dictionary(make_config):
    return make_config("dictionary.config", storage_mode="mapped", telescope_type_mode="LST", use_pkl_dict=True, **BINS)


@pytest.fixture
def plain(make_config):
    return make_config("plain.config", storage_mode="mapped", telescope_type_mode="LST")


def events(path):
    """Return {(run number, primary, event number): (group, table, reconstructed energy)} with plain PyTables."""
    found = {}
    with tables.open_file(path) as file:
        for table in file.walk_nodes("/", "Table"):
            if table._v_name.startswith("Events"):
                for row in table[:]:
                    key = int(row["run_number"]), int(row["gamma_hadron_label"]), int(row["event_number"])
                    assert key not in found
                    found[key] = table._v_parent._v_name, table._v_name, float(row["mc_energy"])
    return found


def showers_of(found):
    """Return {(run number, primary, shower): [(group, table), ...]} of what `events` returns."""
    uses = collections.defaultdict(list)
    for (run, primary, event), (group, table, _) in found.items():
        uses[run, primary, event // 100].append((group, table))
    return uses


def assert_whole(found):
    """Check that no shower is in two tables; there must be showers that could be."""
    uses = showers_of(found)
    assert max(map(len, uses.values())) > 2
    assert all(len({table for _, table in places}) == 1 for places in uses.values())
    return uses


def sizes(found, group=None):
    return collections.Counter(table for where, table, _ in found.values() if group in (None, where))


def assert_fractions(counts, largest):
    """Check that tables have their fractions but for the part of a shower."""
    n = sum(counts.values())
    for name, fraction in FRACTIONS.items():
        assert abs(counts[f"Events_{name}"] - fraction * n) <= largest, counts


@pytest.mark.slow
@pytest.mark.parametrize("order", [(), ("--shuffle", "--seed", 4)])
def test_uses_in_several_bins_stay_in_one_table(runs, cuts, by_dictionary, convert, order):
    found = events(convert(f"{runs}/gamma*", by_dictionary, *SPLIT, "--bins_cuts_dict", cuts, *order))
    uses = assert_whole(found)
    assert sum(len({group for group, _ in places}) > 1 for places in uses.values()) > len(uses) / 3
    largest = max(map(len, uses.values()))
    assert_fractions(sizes(found), largest / 2)
    for group in {group for group, *_ in found.values()}:
        assert_fractions(sizes(found, group), largest)
    whole = events(convert(f"{runs}/gamma*", by_dictionary, "--bins_cuts_dict", cuts, output="whole.h5"))
    assert {key: group for key, (group, *_) in whole.items()} == {key: group for key, (group, *_) in found.items()}


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "storage_mode"), [("gh_class", "mapped"), ("energy_recon", "all")])
def test_command_class_and_reader_split_alike(runs, convert, make_config, tmp_path, mode, storage_mode, monkeypatch):
    """Also in blocks of a few rows."""
    made = make_config(
        mode=mode, storage_mode=storage_mode, telescope_type_mode="LST", energy_recon_bins_min=-3,
        energy_recon_bins_max=2, energy_recon_bins_bin_size=0.5, energy_recon_gamma_only=False,
        energy_bins_bin_size=0.5,
    )  # fmt: skip
    by_command = events(convert(f"{runs}/*.simtel", made, *SPLIT, output="command.h5"))
    assert_whole(by_command)
    assert_fractions(sizes(by_command), 3)
    path = convert(f"{runs}/*.simtel", made, output="class.h5")
    whole, parts = events(path), {}
    with ImageDataset(path, table="Events", view="event") as dataset:
        for name, part in dataset.split(FRACTIONS, seed=0).items():
            labels = part.labels(("obs_id", "primary", "event_id"))
            for key in zip(*(labels[column].tolist() for column in ("obs_id", "primary", "event_id")), strict=True):
                parts[key] = f"Events_{name}"
    assert parts == {key: table for key, (_, table, _) in by_command.items()}
    monkeypatch.setattr(table_passes, "BLOCK_BYTES", 2000)
    monkeypatch.setattr(showers, "STRETCH", 7)
    ImageExtractor(tmp_path / "unused.h5", {}, "gh_class").split_data(path, FRACTIONS)
    assert events(path) == by_command
    assert events(path).keys() == whole.keys()


@pytest.mark.slow
def test_without_shuffle_tables_are_in_input_order(runs, plain, convert):
    whole = list(events(convert(f"{runs}/*.simtel", plain, output="whole.h5")))
    found = events(convert(f"{runs}/*.simtel", plain, *SPLIT))
    for name in FRACTIONS:
        order = [whole.index(key) for key, (_, table, _) in found.items() if table == f"Events_{name}"]
        assert order == sorted(order)
        assert len({key[:2] for key, (_, table, _) in found.items() if table == f"Events_{name}"}) > 2  # of all runs


@pytest.mark.slow
def test_the_summary_says_what_came_out(runs, plain, convert, capsys):
    for options in ((), ("--files_per_output", 3)):
        output = convert(f"{runs}/*.simtel", plain, *SPLIT, *options, output="set.h5")
        [line] = re.findall(r"^split: .*", capsys.readouterr().out, re.MULTILINE)
        paths = sorted(output.parent.glob("set_*.h5")) or [output]
        counts = sum((sizes(events(path)) for path in paths), collections.Counter())
        n = sum(counts.values())
        shares = [
            f"{name} {counts[f'Events_{name}']} ({100 * counts[f'Events_{name}'] / n:.1f} %)" for name in FRACTIONS
        ]
        assert line == f"split: {', '.join(shares)} of {n} events"
    convert(f"{runs}/*run3*", plain, output="plain.h5")
    assert "split: " not in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("order", [(), ("--shuffle",)])
def test_appended_showers_are_whole_and_old_events_stay(runs, plain, convert, order):
    output = convert(f"{runs}/gamma_run[12]*", plain, *SPLIT, *order)
    before = events(output)
    convert(f"{runs}/*.simtel", plain, *SPLIT, *order)
    after = events(output)
    assert {key: after[key] for key in before} == before
    assert_whole(after)
    new = {key: value for key, value in after.items() if key not in before}
    assert {key[:2] for key in new} == {(3, 0), (1, 101)}
    assert_fractions(sizes(new), 3)


@pytest.mark.slow
def test_no_shower_spans_numbered_outputs(runs, plain, convert, tmp_path):
    convert(f"{runs}/*.simtel", plain, *SPLIT, "--files_per_output", 2, output="set.h5")
    outputs = [events(path) for path in sorted(tmp_path.glob("set_*.h5"))]
    assert len(outputs) == 2
    first, second = (set(assert_whole(found)) for found in outputs)
    assert not first & second
    for found in outputs:
        assert_fractions(sizes(found), 3)


@pytest.mark.slow
@pytest.mark.parametrize("reuse", [0, 1])
def test_without_reuse_events_go_by_themselves(runs, plain, convert, tmp_path, reuse):
    """Whatever their numbers are; runs of a header that does not say are such, too."""
    path = convert(f"{runs}/gamma_run[12]*", plain)
    with changed(path) as file:
        file.root.Run_Table.modify_column(column=np.array([reuse, 5]), colname="shower_reuse")
    ImageExtractor(tmp_path / "unused.h5", {}, "gh_class").split_data(path, FRACTIONS)
    found = events(path)
    assert_whole({key: value for key, value in found.items() if key[0] == 2})
    uses = showers_of({key: value for key, value in found.items() if key[0] == 1})
    assert sum(len(set(places)) > 1 for places in uses.values()) > len(uses) / 3


def test_showers_of_a_real_run_are_whole(real, make_config, convert):
    """Six protons of three showers, each used twenty times at other cores, of which up to four triggered."""
    path = real("proton_lst_flashcam.simtel.zst")
    found = events(convert(path, make_config(telescope_type_mode="ALL"), "--split", "0.6,0.4"))
    uses = assert_whole(found)
    assert (len(found), len(uses)) == (6, 3)
    assert sizes(found) == {"Events_Training": 4, "Events_Validation": 2}


# -- a run in several files -----------------------------------------------------------------------


@pytest.fixture
def halves(runs, plain, convert, tmp_path):
    """Return a function that makes datasets of every other use of the same showers, and a path to merge to."""
    whole = convert(f"{runs}/gamma_run1*", plain, output="whole.h5")

    def make(name, use, change=lambda rows: rows):
        path = shutil.copy(whole, tmp_path / name)
        with changed(path) as file:
            rows = file.root.E0.Events[:]
            rows = change(rows[rows["event_number"] % 2 == use])
            file.root.E0.Events.remove_rows()
            file.root.E0.Events.append(rows)
            file.root.Run_Table.modify_column(column=np.array([len(rows)]), colname="events_written")
        return path

    return make


def merged(paths, target, split):
    merge.build(paths, target, target.parent, split=split)
    return target


@pytest.mark.slow
def test_the_rest_of_a_shower_follows_it(halves, tmp_path):
    """Two extracts of one run, each with some uses of the same showers: at once, and the second appended."""

    def of_even_showers(rows):
        return rows[rows["event_number"] // 100 % 2 == 0]

    first, second = halves("first.h5", 0, of_even_showers), halves("second.h5", 1)
    assert_whole(events(merged([first, second], tmp_path / "at_once.h5", FRACTIONS)))
    old = merged([first], tmp_path / "old.h5", {"Training": 0.2, "Validation": 0.8})
    before = events(old)
    after = events(merged([old, second], tmp_path / "new.h5", {"Training": 0.8, "Validation": 0.2}))
    assert {key: after[key] for key in before} == before
    assert_whole(after)
    others = {table for (_, _, event), (_, table, _) in after.items() if event // 100 % 2}
    assert others == {"Events_Training"}  # for those that follow are more than the fraction of Validation already


@pytest.mark.slow
@pytest.mark.parametrize("at_once", [True, False])
def test_a_run_in_several_files_is_in_one_numbered_output_or_split_alike(runs, plain, convert, tmp_path, at_once):
    """Uses of a shower that are in two inputs must not be learnt in one output and tested in the other."""
    path = next(runs.glob("gamma_run1*"))
    objects = objects_of(unpacked(path))
    halves = tmp_path / "halves"
    halves.mkdir()
    for use in (0, 1):
        kept, drop = [], False
        for one in objects:
            if kind(one) == MC_EVENT:
                drop = int.from_bytes(one[8:12], "little") % 2 != use
            elif kind(one) in (MC_SHOWER, CLOSING):
                drop = False
            kept += [] if drop and kind(one) not in CALIBRATION else [one]
        (halves / f"half{use}.simtel").write_bytes(b"".join(kept))
    options = "--split", "0.5,0.5", "--files_per_output", 1
    for name in ["half*"] if at_once else ["half0*", "half*"]:
        convert(f"{halves}/{name}", plain, *options, output="set.h5")
    outputs = sorted(tmp_path.glob("set_*.h5"))
    assert len(outputs) == (1 if at_once else 2)
    found = {key: value for path in outputs for key, value in events(path).items()}
    assert len(found) == len(events(convert(path, plain, "--split", output="whole.h5")))
    assert_whole(found)
    assert len(sizes(found)) == 2


def test_another_production_of_the_same_numbers_does_not(halves, tmp_path):
    """Its showers only have the numbers of old ones: they are shared out as asked."""

    def other(rows):
        rows["mc_energy"] *= 1.01
        return rows

    old = merged([halves("first.h5", 0)], tmp_path / "old.h5", {"Training": 0.2, "Validation": 0.8})
    new = merged([old, halves("second.h5", 1, other)], tmp_path / "new.h5", {"Training": 0.8, "Validation": 0.2})
    counts = sizes({key: value for key, value in events(new).items() if key[2] % 2})
    assert abs(counts["Events_Training"] - 0.8 * sum(counts.values())) <= 3


# -- the rule -------------------------------------------------------------------------------------


@st.composite
def made_showers(draw):
    """Return the shower and bin of events, in any order, and fractions."""
    uses = draw(st.lists(st.lists(st.integers(-1, 5), min_size=1, max_size=8), max_size=40))
    shower = np.repeat(np.arange(len(uses)), list(map(len, uses)))
    order = draw(st.permutations(range(len(shower))))
    weights = np.array(draw(st.lists(st.floats(0.01, 1), min_size=1, max_size=3)))
    bins = np.array([energy_bin for bins in uses for energy_bin in bins], np.int64)
    return shower[order], bins[order], weights / weights.sum()


#: Showers of 8, 6 and 4 events, and a small table between two large ones.
BESIDE_A_SMALL_TABLE = np.repeat([0, 1, 2], [4, 6, 8]), np.zeros(18, np.int64), np.array([8, 1, 8]) / 17


@settings(deadline=None, max_examples=200)
@example(BESIDE_A_SMALL_TABLE, 0, 1)
@given(made_showers(), st.integers(0, 2**64), st.integers(1, 20))
def test_shares_are_whole_complete_and_near(made, seed, stretch):
    shower, bins, fractions = made
    rows = np.zeros(len(shower), [("run_number", "i8"), ("gamma_hadron_label", "i4"), ("event_number", "i8")])
    rows["run_number"], rows["event_number"] = 7, 100 * shower + np.arange(len(shower)) % 100
    run = np.array([(7, 8)], [("run_number", "i8"), ("shower_reuse", "i8")])
    keys = showers.Showers(run, seed).keys(rows)
    shares = showers.Shares(keys.copy(), bins, fractions)
    table = shares.tables_of(keys)
    largest = np.bincount(shower).max() if len(shower) else 0
    for number in np.unique(shower):
        assert len(set(table[shower == number])) == 1
    for i, fraction in enumerate(fractions):
        assert shares.counts()[i] == (table == i).sum()
        assert abs((table == i).sum() - fraction * len(table)) <= largest
        for energy_bin in np.unique(bins):
            assert shares.counts(energy_bin)[i] == ((table == i) & (bins == energy_bin)).sum()
    assert shares.counts(99) == [0] * len(fractions)
    order = np.random.default_rng(1).permutation(len(keys))
    before, showers.STRETCH = showers.STRETCH, stretch
    try:
        again = showers.Shares(keys[order], bins[order], fractions)
    finally:
        showers.STRETCH = before
    assert np.array_equal(again.tables_of(keys), table)


def test_another_seed_chooses_other_showers():
    rows = np.zeros(1000, [("run_number", "i8"), ("gamma_hadron_label", "i4"), ("event_number", "i8")])
    rows["event_number"] = np.arange(1000)
    run = np.array([(0, 0)], [("run_number", "i8"), ("shower_reuse", "i8")])
    chosen = []
    for seed in (0, 0, 1):
        keys = showers.Showers(run, seed).keys(rows)
        chosen.append(showers.Shares(keys.copy(), np.zeros(1000, int), [0.5, 0.5]).tables_of(keys))
    assert np.array_equal(chosen[0], chosen[1])
    assert 400 < (chosen[0] != chosen[2]).sum() < 600


def test_events_that_change_while_they_are_read_are_noticed():
    shares = showers.Shares(np.array([1 << 40, 2 << 40], np.uint64), np.zeros(2, int), [0.5, 0.5])
    with pytest.raises(OSError, match="other numbers than before"):
        shares.tables_of(np.array([3 << 40], np.uint64))
