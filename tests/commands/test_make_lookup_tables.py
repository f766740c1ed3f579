"""make_lookup_tables.py, and prepare_cuts_dict.py with its tables: what they write, say and refuse."""

import re

import numpy as np
import pytest
from helpers.made_tables import LOOKUP_CONFIG
from helpers.simtel_objects import edited

from image_extractor import config as settings_room
from image_extractor.analysis.open_events import open_events
from image_extractor.commands import make_lookup_tables, prepare_cuts_dict
from image_extractor.cuts import dictionary
from image_extractor.reconstruction import table_files
from image_extractor.reconstruction.events import reconstructed

#: The EventIO object that holds focal lengths.
CAMERA_SETTINGS = 2002


@pytest.fixture
def settings(tmp_path):
    path = tmp_path / "settings.config"
    path.write_text(LOOKUP_CONFIG)
    return path


def make(path, output, settings, *options, jobs=1, code=0):
    assert make_lookup_tables.main([path, output, settings, "--jobs", jobs, *options]) == code
    return output


def prepare(path, output, settings, *options, jobs=1, code=0):
    assert prepare_cuts_dict.main([path, output, settings, "--jobs", jobs, *options]) == code
    return output


def gammas(production):
    return f"{production[0].parent}/gamma*"


@pytest.mark.slow
def test_tables_of_several_files(production, tmp_path, settings, capsys):
    tables = make(gammas(production), tmp_path / "tables.h5", settings, "--plot", tmp_path / "plots")
    found = table_files.load(tables)
    assert [name.decode() for name in found.inputs["file"]] == [
        "gamma_run1.simtel.gz", "gamma_run10.simtel", "gamma_run2.simtel.zst"
    ]  # fmt: skip
    assert set(found.n_images) <= {"LST_LST_LSTCam", "SST_GCT_CHEC"}
    n_images = sum(found.n_images.values())
    assert n_images == found.inputs["images"].sum() > 20
    said = capsys.readouterr().out
    assert re.search(r"^LST_LST_LSTCam +\d+ ", said, re.MULTILINE)
    assert "3 files, " in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["plots", "settings.config", "tables.h5"]
    assert sorted(path.name for path in (tmp_path / "plots").iterdir()) == [
        f"tables_{name}.png" for name in sorted(found.n_images)
    ]


def test_tables_equal_sums_of_numpy(ctapipe_events, tmp_path, settings):
    """Each image that ctapipe used is in the table of its telescope."""
    tables = table_files.load(make(ctapipe_events.hdf5, tmp_path / "tables.h5", settings))
    used = ctapipe_events.images[ctapipe_events.used]
    subarray = ctapipe_events.subarray
    names = np.array([str(subarray.tel[tel_id]) for tel_id in sorted(subarray.tel)])[used["telescope"]]
    for name, of_name in tables.histograms.items():
        for quantity in ("width", "length"):
            values = used[f"hillas_{quantity}"][names == name]
            values = values[values < 1]
            rows = of_name[quantity]
            centres = (rows["bin"] + 0.5) / 2000
            assert rows["entries"].sum() == len(values)
            assert np.average(centres, weights=rows["entries"]) == pytest.approx(values.mean(), abs=3e-4)
    assert set(tables.histograms) == set(names)


def test_goes_on_with_finished_parts(production, tmp_path, settings, caplog):
    folder = tmp_path / "data"
    folder.mkdir()
    for path in production[:2]:
        (folder / path.name).write_bytes(path.read_bytes())
    good = (folder / production[1].name).read_bytes()
    (folder / production[1].name).write_bytes(good[: len(good) // 2])
    output = tmp_path / "tables.h5"
    make(f"{folder}/*", output, settings, "--on_error", "stop", code=1)
    assert not output.exists()
    assert len(list((tmp_path / "tables.h5.parts").glob("*.h5"))) == 1
    make(f"{folder}/*", output, settings, code=1)
    assert len(table_files.load(output).inputs) == 1
    (folder / production[1].name).write_bytes(good)
    with caplog.at_level("INFO"):
        make(f"{folder}/*", output, settings, "--overwrite")
    assert "gamma_run1.simtel.gz: put in tables by an earlier run" in caplog.text
    assert re.search(
        r"gamma_run2.simtel.zst: put in tables: \d+ events read, \d+ of at least 2 good images$",
        caplog.text,
        re.MULTILINE,
    )
    assert len(table_files.load(output).inputs) == 2
    assert not (tmp_path / "tables.h5.parts").exists()


def test_only_gammas_fill_tables(production, tmp_path, settings, caplog):
    make(production[3], tmp_path / "tables.h5", settings, code=1)
    assert "is of proton: lookup tables are made of gammas" in caplog.text
    assert not (tmp_path / "tables.h5").exists()


@pytest.fixture(scope="session")
def tables(ctapipe_events, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tables")
    (folder / "settings.config").write_text(LOOKUP_CONFIG)
    return make(ctapipe_events.simtel, folder / "tables.h5", folder / "settings.config")


@pytest.mark.slow
def test_dictionaries_of_both_kinds_of_files_agree(ctapipe_events, tables, tmp_path, settings, capsys, caplog):
    found = []
    for path in (ctapipe_events.simtel, ctapipe_events.hdf5):
        output = prepare(path, tmp_path / f"{path.suffix}.h5", settings, "--tables", tables, "--format", "hdf5")
        found.append(dictionary.load(output))
    of_simtel, of_hdf5 = found
    assert of_simtel.keys() == of_hdf5.keys()
    assert len(of_simtel) > 5
    for key, (energy_bin, energy) in of_simtel.items():
        assert (energy_bin, pytest.approx(energy, rel=1e-4)) == of_hdf5[key]
    assert of_simtel.primary == 0
    said = capsys.readouterr().out
    assert "good images without an entry in the tables: " in said
    assert "events of fewer than 2 good images, not reconstructed: " in said
    assert "can't be told of: boundary, extractor, focal_length_choice, neighbours, picture" in caplog.text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ("[cleaning]\npicture = 8.5", r"LST_LST_LSTCam: picture is 8.5, not 4"),
        ("[reconstruction]\nmin_size = 70", "min_size is 70, not 50"),
        ("[calibration]\nextractor = LocalPeakWindowSum", "extractor is LocalPeakWindowSum, not NeighborPeakWindowSum"),
    ],
)
def test_other_settings_are_refused_by_name(ctapipe_events, tables, tmp_path, capsys, changes, message):
    asked, base = (settings_room.ConfigObj(text.splitlines(), list_values=False) for text in (changes, LOOKUP_CONFIG))
    base.merge(asked)
    path = tmp_path / "other.config"
    path.write_text("\n".join(base.write()))
    prepare(ctapipe_events.simtel, tmp_path / "cuts.pkl", path, "--tables", tables, code=1)
    assert re.search(f"gamma_run7.simtel.gz: does not fit the tables tables.h5: .*{message}", capsys.readouterr().err)
    assert not (tmp_path / "cuts.pkl").exists()


def test_wrong_usage(ctapipe_events, tables, tmp_path, settings, capsys):
    simtel, cuts = ctapipe_events.simtel, tmp_path / "cuts.pkl"
    mscw = tmp_path / "a.root"
    mscw.write_bytes(b"root")
    for arguments, message in [
        ((simtel, cuts, settings), "needs --tables TABLES"),
        ((mscw, cuts, settings, "--tables", tables), "mscw files have been looked up"),
        ((simtel, cuts, settings, "--tables", ctapipe_events.hdf5), "no lookup tables"),
        ((simtel, tables, settings, "--tables", tables, "--overwrite"), "is an input of this command"),
    ]:
        prepare(*arguments, code=1 if "no lookup" in message else 2)
        assert message in capsys.readouterr().err
    make(simtel, tables, settings, code=2)
    prepare(simtel, cuts, settings, "--tables", tables, "--primary", "proton", code=1)
    assert "events of gamma, not of proton, as --primary says" in capsys.readouterr().err
    assert not cuts.exists()


def test_images_outside_of_the_tables_are_said(real, tmp_path, capsys):
    """One event whose axis is found more than 2 km away."""
    path = tmp_path / "settings.config"
    path.write_text("[reconstruction]\n")
    make(real("lst_prod6_atmosphere_name.simtel.zst"), tmp_path / "tables.h5", path)
    assert "2 of 2 good images are left out: too large, or too far from the axis" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("telescopes", "message"), [("LST:1", "can't be reconstructed"), ("SCT:3", ""), ("SSTC:4", "")]
)
def test_small_arrays(tables, tmp_path, settings, capsys, telescopes, message):
    from image_extractor.demo import write_demo_file

    path = tmp_path / "gamma.simtel.gz"
    write_demo_file(path, events=6, telescopes=telescopes, energy=(1, 20), run=8)
    prepare(path, tmp_path / "cuts.pkl", settings, "--tables", tables)
    said = capsys.readouterr().out
    assert ("no event has two good images: single telescopes can't be reconstructed" in said) == bool(message)
    assert "events in " in said
    capsys.readouterr()
    make(path, tmp_path / "own.h5", settings)
    assert len(table_files.load(tmp_path / "own.h5").histograms) == (0 if message else 1)
    assert ("the tables are empty" in capsys.readouterr().out) == bool(message)


@pytest.mark.slow
def test_files_without_effective_focal_lengths(ctapipe_events, tables, tmp_path, settings, capsys, caplog):
    """As in the third production: they fit tables of their own kind only."""

    def without_effective(one):
        if one.type == CAMERA_SETTINGS:
            one.version = 4
            del one.payload[8:12]

    path = edited(ctapipe_events.simtel, tmp_path / "gamma_run7.simtel", without_effective)
    prepare(path, tmp_path / "cuts.pkl", settings, "--tables", tables, code=1)
    assert re.search(
        "does not fit the tables tables.h5: kind of focal length is EQUIVALENT, not", capsys.readouterr().err
    )
    assert not (tmp_path / "cuts.pkl").exists()
    own = make(path, tmp_path / "own.h5", settings)
    assert "no effective focal length, the equivalent one is used" in caplog.text
    assert table_files.load(own).recipe.common["focal_length_choice"] == "EQUIVALENT"
    prepare(path, tmp_path / "cuts.pkl", settings, "--tables", own)
    assert len(dictionary.load(tmp_path / "cuts.pkl")) > 5
    prepare(ctapipe_events.simtel, tmp_path / "other.pkl", settings, "--tables", own, code=1)
    assert "kind of focal length is EFFECTIVE, not EQUIVALENT" in capsys.readouterr().err


@pytest.mark.slow
def test_telescopes_that_the_tables_do_not_have(ctapipe_events, tmp_path, settings, capsys):
    """Tables of some telescopes: others have no entry, which is said, and their events fail."""
    from image_extractor.demo import write_demo_file

    paths = [tmp_path / f"gamma_run{run}.simtel.gz" for run in (8, 9)]
    for path, telescopes, run in zip(paths, ("LST:3", "SSTC:6"), (8, 9), strict=True):
        write_demo_file(path, events=6, telescopes=telescopes, energy=(2, 20), run=run)
    own = make(paths[0], tmp_path / "own.h5", settings)
    prepare(paths[1], tmp_path / "cuts.pkl", settings, "--tables", own)
    said = capsys.readouterr().out
    assert "warning: the tables have no SST_GCT_CHEC: make them of gammas with these" in said
    assert "warning: many images have no entry" in said
    assert "warning: no event passes the cuts and is in a bin: the dictionary is empty" in said
    assert not dictionary.load(tmp_path / "cuts.pkl")


def test_uses_of_a_shower_fill_the_same_half(production, tmp_path, settings):
    tables = table_files.load(make(production[2], tmp_path / "tables.h5", settings))
    chosen = settings_room.load(settings)
    expected = [0, 0]
    for run in open_events(production[2], chosen).runs():
        for block in run:
            found = reconstructed(block, chosen["reconstruction"])
            uses = {}
            for event_id, n_images in zip(block.events["event_id"].tolist(), found.n_images.tolist(), strict=True):
                uses.setdefault(event_id // 100, []).append(event_id)
                expected[event_id // 100 % 2] += n_images if n_images >= 2 else 0
            assert max(map(len, uses.values())) == 2
    rows = [of["width"] for of in tables.histograms.values()]
    assert [sum(int(one["entries"][one["half"] == half].sum()) for one in rows) for half in (0, 1)] == expected
    assert min(expected) > 0
