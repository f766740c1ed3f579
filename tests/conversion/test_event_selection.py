"""Which events are written: dictionary, bins, modes, telescopes; and every count adds up."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import tables
from helpers.reading import read_dataset
from hypothesis import given
from hypothesis import strategies as st

from image_extractor import ConfigError, ImageExtractor
from image_extractor.conversion.calibration import Calibrator
from image_extractor.energy_bins import EnergyBins


def run_rows(path):
    with tables.open_file(path) as file:
        return file.root.Run_Table[:]


def check_counts(path):
    """Events read, dropped for each reason, and written add up, and the rows are there."""
    events = read_dataset(path)
    rows = run_rows(path)
    for row in rows:
        dropped = sum(int(row[name]) for name in rows.dtype.names if name.startswith("dropped_"))
        assert row["events_read"] == dropped + row["events_written"]
    assert len(events) == rows["events_written"].sum()
    assert sum(len(event["pixels"]) for event in events) == rows["images"].sum()
    return events, rows


def write_dictionary(path, entries):
    path.write_bytes(pickle.dumps(entries))
    return path


@pytest.fixture
def all_events(production, convert, make_config):
    """All events of gamma run 10."""
    return read_dataset(convert(production[2], make_config(telescope_type_mode="ALL"), output="all.h5"))


@pytest.mark.parametrize("spelling", ["positional", "option"])
def test_dictionary_decides(spelling, production, all_events, convert, make_config, tmp_path):
    kept = [event["event_number"] for event in all_events[::3]]
    # bins are 0.001 to 3.16 and to 10,000 TeV
    entries = {(10, int(number)): (i % 2, 0.5 + 5 * (i % 2)) for i, number in enumerate(kept)} | {(99, 100): (0, 1.0)}
    dictionary = write_dictionary(tmp_path / "cuts.pkl", entries)
    config = make_config(use_pkl_dict=True, telescope_type_mode="ALL", energy_bins_bin_size=3.5)
    options = [dictionary] if spelling == "positional" else ["--bins_cuts_dict", dictionary]
    events, rows = check_counts(convert(production[2], config, *options))
    assert {event["event_number"] for event in events} == set(kept)
    for event in events:
        energy_bin, energy = entries[10, event["event_number"]]
        assert event["group"] == f"E{energy_bin}"
        assert event["reconstructed_energy"] == np.float32(energy)
    assert rows["dropped_not_in_dictionary"][0] == len(all_events) - len(kept)
    assert rows["bins_cuts_dict"][0] == b"cuts.pkl"


def test_dropped_events_are_never_calibrated(production, all_events, make_config, tmp_path, monkeypatch):
    calibrated = []
    original = Calibrator.__call__

    def spy(self, event):
        calibrated.append(event.index.event_id)
        return original(self, event)

    monkeypatch.setattr(Calibrator, "__call__", spy)
    kept = int(all_events[4]["event_number"])
    extractor = ImageExtractor(tmp_path / "o.h5", {(10, kept): (2, 1.0)}, "gh_class", telescope_type_mode="ALL")
    extractor.process_data(production[2])
    assert calibrated == [kept]


@pytest.mark.one_in(2)
@pytest.mark.parametrize("mode", ["gh_class", "energy_recon"])
def test_energy_bins_of_the_true_energy(mode, production, all_events, convert, make_config):
    bins = {"units": "GeV", "scale": "linear", "min": 100.0, "max": 1100.0, "bin_size": 250.0}
    prefix = "energy_bins_" if mode == "gh_class" else "energy_recon_bins_"
    settings = {prefix + key: value for key, value in bins.items()}
    config = make_config(mode=mode, telescope_type_mode="ALL", **({"energy_bins_bin_size": 7} | settings))
    events, rows = check_counts(convert(production[2], config))
    inside = {e["event_number"]: int((e["mc_energy"] * 1000 - 100) // 250) for e in all_events}
    inside = {number: index for number, index in inside.items() if 0 <= index < 4}
    assert rows["dropped_outside_energy_bins"][0] == len(all_events) - len(inside)
    if mode == "gh_class":
        assert {e["event_number"]: int(e["group"][1:]) for e in events} == inside
    else:
        assert {e["event_number"]: e["energy_reconstruction_bin_label"] for e in events} == inside
    assert all(np.isnan(event["reconstructed_energy"]) for event in events)


@pytest.mark.parametrize("gamma_only", [True, False])
def test_gamma_only(gamma_only, production, convert, make_config):
    config = make_config(
        mode="energy_recon", energy_recon_gamma_only=gamma_only, telescope_type_mode="ALL",
        energy_recon_bins_min=-3, energy_recon_bins_max=4,
    )  # fmt: skip
    events, rows = check_counts(convert(f"{production[0].parent}/*run1.*", config))
    gammas, protons = rows["events_read"]
    primaries = [event["gamma_hadron_label"] for event in events]  # more than 8 bits hold with a sign
    assert (primaries.count(0), primaries.count(101)) == (gammas, 0 if gamma_only else protons)
    assert rows["dropped_not_gamma"].tolist() == [0, protons if gamma_only else 0]


def test_telescope_types_and_ids(production, all_events, convert, make_config):
    config = make_config(telescope_type_mode="LST+SST", telescope_tel_ids=[2, 3])
    events, rows = check_counts(convert(production[2], config))
    expected = {e["event_number"]: set(e["pixels"]) & {2, 3} for e in all_events}
    assert {e["event_number"]: set(e["pixels"]) for e in events} == {n: t for n, t in expected.items() if t}
    assert rows["dropped_no_image"][0] == sum(not telescopes for telescopes in expected.values())
    config = make_config(telescope_type_mode="CHEC")
    chec = convert(production[2], config, output="chec.h5")
    with tables.open_file(chec) as file:
        assert file.root.Tel_Table[:]["tel_id"].tolist() == [3, 4]


def test_max_events(production, all_events, convert, make_config):
    config = make_config(telescope_type_mode="ALL")
    events, rows = check_counts(convert(production[2], config, "--max_events", 4))
    assert [e["event_number"] for e in events] == [e["event_number"] for e in all_events[:4]]
    assert rows["events_read"][0] == 4


class Malicious:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_malicious_pickle_is_refused(tmp_path):
    dictionary = write_dictionary(tmp_path / "bad.pkl", {(1, 100): (0, Malicious(tmp_path / "harm"))})
    with pytest.raises(ConfigError, match=r"bad.pkl: refused .*posix.mkdir"):
        ImageExtractor(tmp_path / "o.h5", dictionary, "gh_class")
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({(1, 100): (7, 1.0)}, r"\(1, 100\): bin 7 is not among"),
        ({(1, 100): (0, 1.0), (1.5, 2): (0, 1.0)}, r"\(1.5, 2\): must be \(run number"),
        ({"x": (0, 1.0)}, "'x': must be"),
        ({(1, 2): 0}, r"\(1, 2\): 0: must be \(bin"),
        ({(1, 2): (-1, 1.0)}, "must be"),
        ({(1, 2): (0, float("nan"))}, "energy nan"),
        ({(1, 2): (0, "1")}, "energy '1'"),
        ({(1, 2): (True, 1.0)}, "must be"),
        ([1, 2], "is a list"),
    ],
)
def test_wrong_entries_are_named(entries, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        ImageExtractor(tmp_path / "o.h5", write_dictionary(tmp_path / "cuts.pkl", entries), "gh_class")


def test_energies_outside_their_bins_are_refused(tmp_path):
    """Of bins that changed since, or of other units: the first wrong entry is named."""
    bins = {"energy_bins_min": -1, "energy_bins_max": 1, "energy_bins_bin_size": 0.5}
    edges = 10.0 ** np.arange(-1, 1.1, 0.5)
    right = {(1, 100 + 2 * i + j): (i, energy) for i in range(4) for j, energy in enumerate(
        (float(np.float32(edges[i])) * (1 - 2e-7), float(np.float32(edges[i + 1])) * (1 + 2e-7)))}  # fmt: skip
    assert len(right) == 8
    ImageExtractor(tmp_path / "o.h5", right, "gh_class", **bins)  # what was rounded to float32 at an edge is right
    path = write_dictionary(tmp_path / "cuts.pkl", right | {(7, 300): (1, 3.3), (7, 400): (0, 2.0)})
    with pytest.raises(ConfigError) as error:
        ImageExtractor(tmp_path / "o.h5", path, "gh_class", **bins)
    assert str(error.value) == (
        f"{path}: (7, 300): 3.3 TeV is not in bin 1 of [energy_bins], [0.3162, 1) TeV; so are 2 of 10 entries: "
        "must be TeV, and in the bins it was made with"
    )
    in_gev = {key: (index, 1000 * energy) for key, (index, energy) in right.items()}
    with pytest.raises(ConfigError, match=r"\(1, 100\): 100 TeV is not in bin 0 .* 8 of 8 entries"):
        ImageExtractor(tmp_path / "o.h5", in_gev, "gh_class", **bins)
    with pytest.raises(ConfigError, match=r"\(1, 2\): 0 TeV is not in bin 0"):
        ImageExtractor(tmp_path / "o.h5", {(1, 2): (0, 0.0)}, "gh_class", **bins)
    # bins of other units, the same energies
    units = {"energy_bins_units": "GeV", "energy_bins_min": 2, "energy_bins_max": 4, "energy_bins_bin_size": 0.5}
    ImageExtractor(tmp_path / "o.h5", right, "gh_class", **units)
    # the label is a bin of the true energy there, the dictionary's is not used
    ImageExtractor(tmp_path / "o.h5", path, "energy_recon", **bins)


@pytest.mark.parametrize("name", ["bins_cuts_dict", "bins_cuts_dict_1bin"])
def test_the_examples_fit(name, tmp_path):
    aux = Path(__file__).parents[2] / "aux"
    config = aux / "config" / f"{name.replace('bins_cuts_dict', 'test_pytables')}.config"
    ImageExtractor.from_config(tmp_path / "o.h5", aux / "bins_cuts_dict" / f"{name}.pkl", config)


@pytest.mark.parametrize("protocol", range(6))
def test_numpy_scalars_are_admitted(protocol, tmp_path):
    entries = {(np.int32(1), np.int64(100)): (np.int16(1), np.float32(0.5)), (1, 200): (np.uint8(2), np.float64(2))}
    path = tmp_path / "cuts.pkl"
    path.write_bytes(pickle.dumps(entries, protocol))
    extractor = ImageExtractor(tmp_path / "o.h5", path, "gh_class")
    assert extractor.bins_cuts_dict == {(1, 100): (1, 0.5), (1, 200): (2, 2.0)}
    assert {type(x) for pair in extractor.bins_cuts_dict.items() for x in (*pair[0], *pair[1])} == {int, float}


def test_dictionary_and_setting_must_agree(tmp_path):
    with pytest.raises(ConfigError, match="use_pkl_dict = True but no"):
        ImageExtractor(tmp_path / "o.h5", None, "gh_class")
    with pytest.raises(ConfigError, match="use_pkl_dict = False"):
        ImageExtractor(tmp_path / "o.h5", {}, "gh_class", use_pkl_dict=False)


@given(
    low=st.integers(-40, 40),
    n_bins=st.integers(1, 100),
    size=st.sampled_from([0.01, 0.05, 0.1, 0.2, 0.25, 0.5]),
    energies=st.lists(st.floats(1e-6, 1e6), max_size=20),
)
def test_energy_bins_hold_for_all_sizes(low, n_bins, size, energies):
    """4 / 0.05 is not always 80: bins are counted by rounding, and every energy is in the bin that its edges say."""
    bins = EnergyBins("TeV", "log10", low * size, (low + n_bins) * size, size)
    assert bins.n_bins == n_bins
    for energy, index in zip(energies, bins.find(np.array(energies)), strict=True):
        if index < 0:
            assert not bins.edges[0] <= np.log10(energy) < bins.edges[-1]
        else:
            assert bins.edges[index] <= np.log10(energy) < bins.edges[index + 1]


@pytest.mark.parametrize("energy", [0.0, -1.0, np.nan, np.inf])
def test_no_bin_for_what_is_no_energy(energy):
    assert EnergyBins("TeV", "log10", -300 / 100, 3, 1.0).find(energy) == -1
