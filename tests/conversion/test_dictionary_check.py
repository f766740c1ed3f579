"""A dictionary of another particle: refused where it tells its primary, else known by energies that make no sense."""

import hashlib
import pickle

import numpy as np
import pytest
import tables
from helpers.made_mscw import GOOD, write_mscw

from image_extractor import ConfigError
from image_extractor import config as settings_of
from image_extractor.commands import prepare_cuts_dict
from image_extractor.commands.convert import main
from image_extractor.conversion.dictionary_check import DictionaryCheck
from image_extractor.cuts import dictionary as cuts
from image_extractor.cuts import eventdisplay as mscw
from image_extractor.demo import cuts as demo_cuts
from image_extractor.demo import write_demo_file
from image_extractor.energy_bins import EnergyBins
from image_extractor.errors import InputError
from image_extractor.primaries import primary_id

WIDE = EnergyBins("TeV", "log10", -3, 4, 7)
SETTINGS = {"use_pkl_dict": True, "telescope_type_mode": "ALL", "storage_mode": "mapped", "image_scale_factor": 1}


@pytest.fixture(scope="module")
def twins(tmp_path_factory):
    """Gammas and protons of one run number, and the dictionary of each, {name: (path, entries)}."""
    folder, found = tmp_path_factory.mktemp("twins"), {}
    for primary, seed in (("gamma", 3), ("proton", 4)):
        path = folder / f"{primary}_run1.simtel.gz"
        write_demo_file(
            path, events=30, telescopes="LST:1", primary=primary, run=1, seed=seed, energy=(0.3, 100), scatter=80
        )
        found[primary] = path, demo_cuts.make_entries([path], WIDE)
    return found


@pytest.fixture(params=cuts.FORMATS)
def file_format(request):
    return request.param


def warnings_of(caplog):
    return [record.getMessage() for record in caplog.records if "scatters" in record.getMessage()]


def test_what_tells_its_primary_is_a_dictionary_to_all(tmp_path, file_format):
    entries = {(1, 100): (0, 1.0), (1, 200): (0, 2.0)}
    for primary in (0, 101, -1, None):
        path = tmp_path / f"{primary}"
        cuts.save(path, entries, file_format, primary=primary)
        assert cuts.load(path) == entries
        assert cuts.load(path).primary == primary
        if file_format == "pickle":  # as the first version reads it
            with path.open("rb") as file:
                assert pickle.load(file) == entries
        else:
            with tables.open_file(path) as file:
                assert len(file.root.bins_cuts_dict) == 2
                assert ("primary" in file.root.bins_cuts_dict.attrs) == (primary is not None)


@pytest.mark.parametrize(
    ("behind", "refused"),
    [
        (b"", False),
        (pickle.dumps({"my own": "notes"}), False),
        (pickle.dumps({"image_extractor": "bins_cuts_dict", "primary": 0})[:-1], True),
        (pickle.dumps({"image_extractor": "bins_cuts_dict", "primary": "gamma"}), True),
        (pickle.dumps({"image_extractor": "bins_cuts_dict"}), True),
        (pickle.dumps(np.array), True),
        (b"\xff" * 20, True),
    ],
)
def test_what_stands_behind_a_pickle(behind, refused, tmp_path):
    """Nothing in it is run, and what was cut is not taken for a dictionary without primary."""
    path = tmp_path / "cuts.pkl"
    path.write_bytes(pickle.dumps({(1, 100): (0, 1.0)}) + behind)
    if refused:
        with pytest.raises(ConfigError, match=r"cuts\.pkl: refused as a bins_cuts_dict: ") as error:
            cuts.load(path)
        assert "\n" not in str(error.value)
    else:
        found = cuts.load(path)
        assert (found, found.primary) == ({(1, 100): (0, 1.0)}, None)


@pytest.mark.one_in(2)
def test_another_primary_is_refused_by_name(twins, file_format, make_config, tmp_path, caplog):
    """Both files in one run: the gammas are written, the protons, which have the same numbers, are left out."""
    (gammas, entries), (protons, _) = twins["gamma"], twins["proton"]
    dictionary, output = tmp_path / "gamma_cuts", tmp_path / "o.h5"
    cuts.save(dictionary, entries, file_format, primary=0)
    assert main([f"{gammas.parent}/*.simtel.gz", output, make_config(**SETTINGS), dictionary, "--jobs", 1]) == 1
    errors = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert errors == [
        f"{protons}: is of proton, the dictionary gamma_cuts of gamma: give the dictionary of this particle"
    ]
    with tables.open_file(output) as file:
        events = file.root.E0.Events[:]
        sha256 = file.root.Run_Table[0]["bins_cuts_dict_sha256"].decode()
    assert sorted(events["event_number"].tolist()) == sorted(event for _, event in entries)
    assert set(events["gamma_hadron_label"].tolist()) == {0}
    assert sha256 == hashlib.sha256(dictionary.read_bytes()).hexdigest()
    assert not warnings_of(caplog)


def test_without_a_primary_the_scatter_is_told(twins, make_config, tmp_path, caplog):
    for given, converted in (("proton", "gamma"), ("gamma", "proton")):
        caplog.clear()
        dictionary, path = tmp_path / f"{given}.pkl", twins[converted][0]
        cuts.save(dictionary, twins[given][1])
        output = tmp_path / f"{given}.h5"
        assert main([path, output, make_config(**SETTINGS), dictionary, "--jobs", 1]) == 0
        with tables.open_file(output) as file:
            events = file.root.E0.Events[:]
        ratios = np.log10(events["reconstructed_energy"] / events["mc_energy"])[:100]
        low, median, high = np.percentile(ratios, [15.87, 50, 84.13])
        start = (
            f"{path}: log10(reconstructed/true energy) of its first {len(ratios)} events in the dictionary {given}.pkl "
        )
        (said,) = warnings_of(caplog)
        assert said.startswith(f"{start}scatters by {(high - low) / 2:.2f} around {median:.2f}, as of no energy")
        assert (high - low) / 2 > 0.3


def test_the_right_dictionary_is_not_warned_of(twins, make_config, tmp_path, caplog):
    for primary, (path, entries) in twins.items():
        cuts.save(tmp_path / f"{primary}.pkl", entries)
        assert main([path, tmp_path / f"{primary}.h5", make_config(**SETTINGS), tmp_path / f"{primary}.pkl"]) == 0
    assert not warnings_of(caplog)


@pytest.mark.parametrize(
    ("scatter", "bias", "n_events", "is_said"),
    [
        (0.08, 0.0, 100, False),
        (0.3, -0.5, 100, False),  # protons taken for gammas
        (0.3, -0.5, 20, False),
        (0.9, 0.0, 100, True),
        (0.7, 0.0, 9, False),  # too few to say
        (0.1, 3.0, 100, True),  # GeV for TeV
    ],
)
def test_what_scatters_too_much(scatter, bias, n_events, is_said, caplog):
    check, dice = DictionaryCheck("run.simtel", "cuts.pkl", None), np.random.default_rng(1)
    for true in 10 ** dice.uniform(-1, 1, n_events):
        check.add({"primary_id": 0, "energy": true}, float(true * 10 ** dice.normal(bias, scatter)))
        check.add({"primary_id": 0, "energy": true}, None)  # which the dictionary does not have
    check.finish()
    assert bool(warnings_of(caplog)) == is_said


@pytest.mark.parametrize("width", [0.3, 0.434, 0.7])
def test_energies_of_other_showers(width, caplog):
    """However wide the spectrum: they tell nothing of the true ones."""
    check, dice = DictionaryCheck("run.simtel", "cuts.pkl", None), np.random.default_rng(1)
    for true, reconstructed in 10 ** dice.exponential(width, (100, 2)):
        check.add({"primary_id": 0, "energy": true}, float(reconstructed))
    check.finish()
    assert len(warnings_of(caplog)) == 1


def test_others_may_stand_between_those_of_the_dictionary():
    """In a file of two primaries; but none of them is in the dictionary of the other."""
    check = DictionaryCheck("run.simtel", "cuts.pkl", 0)
    check.add({"primary_id": 0, "energy": 1.0}, 1.0)
    check.add({"primary_id": 101, "energy": 1.0}, None)
    with pytest.raises(InputError, match=r"is of proton, the dictionary cuts[.]pkl of gamma"):
        check.add({"primary_id": 101, "energy": 1.0}, 1.0)


# -- where the primary comes from --------------------------------------------------------------------


def prepared(tmp_path, *options, known=()):
    """Run prepare_cuts_dict.py over files of events of these primaries; returns exit code and primary."""
    (tmp_path / "settings.config").write_text(settings_of.default_text())
    paths = [tmp_path / f"run{i}.mscw.root" for i in range(max(1, len(known)))]
    for i, path in enumerate(paths):
        write_mscw(path, [[GOOD | {"runNumber": i}]], more={"MCprimary": "int32"} if known else None)
    code = prepare_cuts_dict.main(
        [str(tmp_path / "run*.root"), str(tmp_path / "cuts"), str(tmp_path / "settings.config"), *options]
    )
    return code, cuts.load(tmp_path / "cuts").primary if code == 0 else None


@pytest.mark.parametrize(
    ("options", "primary"),
    [([], None), (["--primary", "gamma"], 0), (["--primary", "Proton"], 101), (["--primary", "1407"], 1407)],
)
def test_the_primary_is_stored(options, primary, file_format, tmp_path):
    assert prepared(tmp_path, *options, "--format", file_format) == (0, primary)


def test_the_primary_that_a_file_knows(tmp_path, monkeypatch, capsys):
    """No EventDisplay so far fills the branch; one that does is believed, and must agree with what is said."""
    stored = {"run0.mscw.root": [101], "run1.mscw.root": [101]}
    original = mscw.read_blocks

    def read_blocks(path, branches, *rest):
        if branches != [mscw.PRIMARY]:
            return original(path, branches, *rest)
        assert [set(block) for block in original(path, branches)] == [{mscw.PRIMARY}]
        return [{mscw.PRIMARY: np.array(stored[path.name], np.int32)}]

    monkeypatch.setattr(mscw, "read_blocks", read_blocks)
    assert prepared(tmp_path, known=[101, 101]) == (0, 101)
    assert prepared(tmp_path, "--primary", "gamma", "--overwrite", known=[101, 101]) == (1, None)
    assert "events of gamma (--primary) and proton (" in capsys.readouterr().err
    stored["run1.mscw.root"] = [0]
    assert prepared(tmp_path, "--overwrite", known=[101, 0]) == (1, None)
    assert "build one dictionary per particle type" in capsys.readouterr().err
    stored |= {"run0.mscw.root": [-99], "run1.mscw.root": [-99]}
    assert prepared(tmp_path, "--overwrite", known=[-99, -99]) == (0, None)


def test_a_word_that_is_no_particle(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        prepared(tmp_path, "--primary", "gama")
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert "gama: must be gamma, electron, " in error
    assert error.count("\n") == 1
    assert [primary_id(word) for word in ("gamma", "iron", "-1")] == [0, 5626, -1]


def test_a_dictionary_of_simtel_files_knows_its_primary(twins, make_config, tmp_path, capsys):
    path = tmp_path / "cuts.pkl"
    for primary, number in (("gamma", 0), ("proton", 101)):
        assert demo_cuts.main([str(twins[primary][0]), str(path), str(make_config(**SETTINGS))]) == 0
        found = cuts.load(path)
        assert (found, found.primary) == (twins[primary][1], number)
