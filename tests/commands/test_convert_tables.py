"""image_extractor.py --tables: the dataset and the dictionary are those of prepare_cuts_dict.py and its dictionary."""

import numpy as np
import pytest
import tables as pytables
from helpers.ctapipe_process import stored_by_ctapipe
from helpers.made_tables import RECONSTRUCTION
from helpers.marks import quick_and_slow
from helpers.reading import content, read_dataset, without_checksums
from helpers.same_datasets import assert_same

from image_extractor import DatasetError, ImageExtractor
from image_extractor.commands import make_lookup_tables, prepare_cuts_dict
from image_extractor.cuts import dictionary
from image_extractor.demo import write_demo_file

#: Cuts that some events pass.
CUTS = """
[preselection_cuts]
MSCW = -0.4, 0.4
NImages = 2, None
[energy_bins]
min = -2
max = 3
bin_size = 1
"""
STORED = """
storage_mode = mapped
{more}
[image]
mode = PIXELS_TIMING_2C
[telescope]
type_mode = {telescopes}
"""

#: Another selection, of telescopes and of events by their headers.
HEADERS = """
[trigger]
min_telescopes = 2
[event_cuts]
true_energy = 0.5, None
min_images = 2
[image_cuts]
hillas_intensity = 60, None
[parameters]
store = True
"""


@pytest.fixture(scope="module")
def production_and_tables(tmp_path_factory):
    """A folder with two files of test gammas, one of protons, and tables of other gammas."""
    folder = tmp_path_factory.mktemp("onepass")
    options = {"telescopes": "LST:3,MSTN:4", "energy": (0.2, 20), "scatter": 250}
    for name, events, more in (
        ("tables_run1", 30, {"run": 1}),
        ("gamma_run2", 12, {"run": 2}),
        ("gamma_run3", 9, {"run": 3}),
        ("proton_run2", 8, {"run": 2, "primary": "proton"}),
    ):
        write_demo_file(folder / f"{name}.simtel.gz", events=events, seed=events, **options, **more)
    (folder / "tables.config").write_text(RECONSTRUCTION)
    make_tables(folder, "tables_run1.simtel.gz", "tables.h5")
    return folder


def make_tables(folder, name, output):
    command = folder / name, folder / output, folder / "tables.config", "--jobs", 1
    assert make_lookup_tables.main(command) == 0


@pytest.fixture
def write_settings(tmp_path):
    def write(name="s.config", telescopes="ALL", more="", sections="", cuts=CUTS):
        path = tmp_path / name
        path.write_text(STORED.format(telescopes=telescopes, more=more) + RECONSTRUCTION + cuts + sections)
        return path

    return write


def prepare(folder, files, output, settings, *options):
    command = folder / files, output, settings, "--tables", folder / "tables.h5", "--jobs", 1, *options
    assert prepare_cuts_dict.main(command) == 0
    return output


def same_but_for_the_source(one, other):
    """Say whether datasets are equal, but for the name and checksum of what chose the events, and checksums over them."""
    found = without_checksums(content(one)), without_checksums(content(other))
    rows = []
    for path, nodes in zip((one, other), found, strict=True):
        del nodes["/Run_Table"]
        for name in ("bins_cuts_dict", "bins_cuts_dict_sha256"):
            del nodes["/"][2][name]
        with pytables.open_file(path) as file:
            table = file.root.Run_Table[:]
        rows.append(table[[name for name in table.dtype.names if not name.startswith("bins_cuts_dict")]])
    return found[0] == found[1] and rows[0].tolist().__repr__() == rows[1].tolist().__repr__()


@pytest.mark.slow
@pytest.mark.parametrize("selection", quick_and_slow(["all", "LST"], "all"))
def test_as_with_the_dictionary(selection, production_and_tables, write_settings, convert, tmp_path):
    settings = write_settings(telescopes="ALL" if selection == "all" else "LST")
    folder, files, lookup = production_and_tables, production_and_tables / "gamma*", "tables.h5"
    made = prepare(folder, "gamma*", tmp_path / "made.pkl", settings)
    by_dictionary = convert(files, settings, made, output="dictionary.h5")
    options = "--tables", folder / lookup
    saved = tmp_path / "saved.pkl"
    by_tables = convert(files, settings, *options, "--save_cuts_dict", saved, output="tables.h5")
    assert saved.read_bytes() == made.read_bytes()
    n_events = len(read_dataset(by_tables))
    assert 2 < n_events < 21
    assert same_but_for_the_source(by_tables, by_dictionary)
    by_two = convert(files, settings, *options, "--jobs", 2, output="two.h5")
    assert content(by_two) == content(by_tables)
    with pytables.open_file(by_tables) as file:
        assert set(file.root.Run_Table.col("bins_cuts_dict")) == {b"tables.h5"}
        assert all(len(digest) == 64 for digest in file.root.Run_Table.col("bins_cuts_dict_sha256"))


def test_images_of_ctapipe_files_give_the_same(production_and_tables, write_settings, convert, tmp_path):
    simtel = production_and_tables / "gamma_run2.simtel.gz"
    hdf5 = stored_by_ctapipe(simtel, tmp_path / "gamma_run2.dl1.h5", write_dl1_images=True)
    options = write_settings(), "--tables", production_and_tables / "tables.h5"
    of_simtel = convert(simtel, *options, output="simtel.h5")
    assert read_dataset(of_simtel)
    assert_same(of_simtel, convert(hdf5, *options, output="hdf5.h5"))


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["gh_class", "energy_recon"])
def test_with_cuts_on_headers_and_images(mode, production_and_tables, write_settings, convert, tmp_path):
    """Events that headers refuse are not in the dataset, but in the dictionary: so prepare_cuts_dict.py has it."""
    settings = write_settings(telescopes="MST", more=f"mode = {mode}", sections=HEADERS)
    folder = production_and_tables
    made = prepare(folder, "gamma*", tmp_path / "made.h5", settings, "--format", "hdf5")
    by_dictionary = read_dataset(convert(folder / "gamma*", settings, made, output="dictionary.h5"))
    options = "--tables", folder / "tables.h5"
    by_tables = convert(folder / "gamma*", settings, *options, output="tables.h5")
    saved = tmp_path / "saved.h5"
    with_saved = convert(folder / "gamma*", settings, *options, "--save_cuts_dict", saved, output="saved_too.h5")
    assert content(with_saved) == content(by_tables)
    found = read_dataset(by_tables)
    assert 2 < len(found) < len(dictionary.load(made))
    np.testing.assert_equal(found, by_dictionary)
    one, other = content(saved), content(made)
    for nodes in (one, other):
        del nodes["/bins_cuts_dict"][2]["created_utc"]
    assert one == other


@pytest.mark.slow
def test_protons_beside_gammas(production_and_tables, write_settings, convert, tmp_path, caplog):
    """Runs of both may share numbers, as no dictionary is looked up; but a dictionary is of one particle."""
    folder, settings = production_and_tables, write_settings(cuts=CUTS.replace("-0.4, 0.4", "-50, 50"))
    options = settings, "--tables", folder / "tables.h5"
    both = convert(folder / "[gp]*_run2*", *options, output="both.h5")
    assert {event["gamma_hadron_label"] for event in read_dataset(both)} == {0, 101}
    saved = tmp_path / "saved.pkl"
    convert(folder / "[gp]*_run2*", *options, "--save_cuts_dict", saved, output="none.h5", code=1)
    assert "events of gamma" in caplog.text
    assert "build one dictionary per particle type" in caplog.text
    assert not saved.exists()
    convert(folder / "[gp]*_run2*", *options, output="none.h5")
    assert not (tmp_path / "none.h5.parts").exists()


@pytest.mark.slow
def test_it_goes_on_where_entries_are(production_and_tables, write_settings, convert, tmp_path, monkeypatch):
    """Parts without the entries of the dictionary are made again, those with them are not."""
    from image_extractor.batch import merge

    folder, settings = production_and_tables, write_settings()
    command = folder / "gamma*", settings, "--tables", folder / "tables.h5"
    saved = tmp_path / "saved.pkl"
    whole = convert(*command, output="whole.h5")

    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(merge, "build", fail)
        convert(*command, code=1)
        parts = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "dataset.h5.parts").glob("*.h5")}
        convert(*command, "--save_cuts_dict", saved, code=1)
        again = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "dataset.h5.parts").glob("*.h5")}
        convert(*command, "--save_cuts_dict", saved, code=1)
        third = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "dataset.h5.parts").glob("*.h5")}
    assert len(parts) == 2
    assert len(again) == 4
    assert all(again[name] != time for name, time in parts.items())
    assert third == again
    assert content(convert(*command, "--save_cuts_dict", saved)) == content(whole)
    assert saved.read_bytes() == prepare(folder, "gamma*", tmp_path / "made.pkl", settings).read_bytes()


@pytest.mark.slow
def test_the_same_file_with_other_tables_or_cuts(production_and_tables, write_settings, convert, caplog, tmp_path):
    folder, settings = production_and_tables, write_settings()
    file, lookup = folder / "gamma_run2.simtel.gz", folder / "tables.h5"
    output = convert(file, settings, "--tables", lookup)
    before = content(output)
    make_tables(folder, "gamma_run3.simtel.gz", "others.h5")
    other_cuts = write_settings("other.config", cuts=CUTS.replace("-0.4, 0.4", "-0.4, 2"))
    for given, tables_given, words in (
        (settings, folder / "others.h5", "made with the dictionary or tables tables.h5, now others.h5"),
        (other_cuts, lookup, "[preselection_cuts] MSCW = [-0.4, 0.4], now [-0.4, 2.0]"),
    ):
        convert(file, given, "--tables", tables_given, code=2)
        assert words in caplog.records[-1].getMessage()
        assert content(output) == before
    saved = tmp_path / "saved.pkl"
    convert(file, settings, "--tables", lookup, "--save_cuts_dict", saved)
    assert "saved.pkl: not written: 1 files that were not read" in caplog.text
    assert not saved.exists()


@pytest.mark.slow
def test_up_to_max_events(production_and_tables, write_settings, convert, tmp_path):
    folder, settings = production_and_tables, write_settings()
    made = prepare(folder, "gamma*", tmp_path / "made.pkl", settings)
    by_dictionary = convert(folder / "gamma*", settings, made, "--max_events", 2, output="dictionary.h5")
    by_tables = convert(folder / "gamma*", settings, "--tables", folder / "tables.h5", "--max_events", 2)
    assert same_but_for_the_source(by_tables, by_dictionary)


@pytest.mark.slow
def test_other_settings_than_the_tables(production_and_tables, write_settings, convert, caplog):
    folder, settings = production_and_tables, write_settings()
    settings.write_text(settings.read_text().replace("picture = 4", "picture = 8"))
    convert(folder / "gamma_run2*", settings, "--tables", folder / "tables.h5", code=1)
    found = "gamma_run2.simtel.gz: does not fit the tables tables.h5: LST_LST_LSTCam: picture is 8, not 4"
    assert found in caplog.text


@pytest.mark.slow
def test_wrong_usage(production_and_tables, write_settings, convert, tmp_path, caplog):
    folder, settings = production_and_tables, write_settings()
    file, lookup, cuts = folder / "gamma_run2.simtel.gz", folder / "tables.h5", tmp_path / "cuts.pkl"
    with_tables = "--tables", lookup
    columns = write_settings(
        "columns.config", cuts="[preselection_cuts]\nRandomForestClassifier_prediction = 0.5, None\n"
    )
    there = tmp_path / "there.pkl"
    there.write_text("a file")
    for options, words in (
        ((settings, cuts, *with_tables), "a bins_cuts_dict and lookup tables are given: give one of them"),
        ((write_settings("no.config", more="use_pkl_dict = False"), *with_tables), "but use_pkl_dict = False: set it"),
        ((settings, "--tables", file), "not a readable HDF5 file"),
        ((settings, lookup), "lookup tables are given as --tables"),
        ((settings, "--save_cuts_dict", cuts), "goes with --tables"),
        ((settings, *with_tables, "--save_cuts_dict", cuts, "--max_events", 1), "not all events are read"),
        ((settings, *with_tables, "--save_cuts_dict", there), "exists already"),
        ((settings, *with_tables, "--save_cuts_dict", lookup, "--overwrite"), "is an input of this command"),
        ((settings, *with_tables, "--save_cuts_dict", tmp_path / "dataset.h5"), "is OUTPUT"),
        ((columns, *with_tables), "a simtel file has no RandomForestClassifier_prediction"),
    ):
        assert not convert(file, *options, code=2).exists(), words
        assert words in caplog.records[-1].getMessage()


def test_what_the_command_says(production_and_tables, write_settings, convert, capsys, caplog):
    folder, settings = production_and_tables, write_settings()
    convert(folder / "gamma*", settings, "--tables", folder / "tables.h5")
    said = capsys.readouterr().out
    assert "cut flow of events reconstructed with tables.h5" in said
    assert "good images without an entry in the tables: " in said
    none = write_settings("none.config", cuts="[preselection_cuts]\nNImages = 100, None\n")
    convert(folder / "gamma*", none, "--tables", folder / "tables.h5", output="none.h5", code=1)
    assert "no event of 21 passes: 21 not passing the cuts, or in no bin: nothing is written" in caplog.text


@pytest.mark.slow
def test_the_class(production_and_tables, write_settings, convert, tmp_path):
    folder, settings = production_and_tables, write_settings()
    file, lookup = folder / "gamma_run2.simtel.gz", folder / "tables.h5"
    by_command = convert(file, settings, "--tables", lookup)
    ImageExtractor.from_config(tmp_path / "o.h5", None, settings, tables=lookup).process_data(file)
    assert content(tmp_path / "o.h5") == content(by_command)
    with pytest.raises(DatasetError, match="no lookup tables"):
        ImageExtractor(tmp_path / "o.h5", None, "gh_class", tables=by_command)
