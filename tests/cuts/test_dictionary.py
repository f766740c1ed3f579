"""The bins_cuts_dict as a file: both formats, whole or not at all, and nothing run on loading."""

import contextlib
import pickle
import pickletools
from pathlib import Path

import numpy as np
import pytest
import tables
from hypothesis import given, settings
from hypothesis import strategies as st

from image_extractor.cuts import dictionary as cuts
from image_extractor.cuts.entries import DTYPE
from image_extractor.errors import ConfigError

ENTRIES = {(1, 107): (0, 0.1251), (1, 2**31 - 1): (3, 9.5), (31012, 100): (2, 1.0)}

int64 = st.integers(-(2**63), 2**63 - 1)
dictionaries = st.dictionaries(
    st.tuples(int64, int64),
    st.tuples(st.integers(0, 999), st.floats(0, allow_infinity=False)),
    max_size=30,
)


class Trap:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (Path(self.path),)


@pytest.fixture(params=cuts.FORMATS)
def file_format(request):
    return request.param


@pytest.mark.one_in(2)
@pytest.mark.parametrize("file_format", cuts.FORMATS)
@settings(max_examples=20, deadline=None)  # a process each
@given(entries=dictionaries)
def test_what_is_saved_is_loaded(tmp_path_factory, file_format, entries):
    path = tmp_path_factory.mktemp("cuts") / "cuts"
    cuts.save(path, entries, file_format)
    loaded = cuts.load(path)
    assert loaded == entries
    assert list(loaded) == sorted(entries)
    assert {type(part) for key in loaded for part in key} <= {int}
    assert {(type(index), type(energy)) for index, energy in loaded.values()} <= {(int, float)}


def test_more_entries_than_a_block(tmp_path, file_format, monkeypatch):
    entries = {(run, event): (event % 4, event / 10) for run in range(3) for event in range(100)}
    monkeypatch.setattr(cuts, "BLOCK_ROWS", 7)
    cuts.save(tmp_path / "cuts", entries, file_format)
    assert cuts.load(tmp_path / "cuts") == entries


def test_a_pickle_is_plain(tmp_path):
    """Any Python reads it, and nothing in it asks for a class or function."""
    cuts.save(tmp_path / "cuts.pkl", ENTRIES)
    content = (tmp_path / "cuts.pkl").read_bytes()
    assert pickle.loads(content) == ENTRIES
    names = {opcode.name for opcode, _, _ in pickletools.genops(content)}
    assert not names & {"GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD", "INST", "OBJ", "NEWOBJ"}


def test_table_has_units_and_its_making(tmp_path):
    read_table = pytest.importorskip("ctapipe.io").read_table
    path = tmp_path / "cuts.h5"
    sources = [f"/data/run{i}_é.mscw.root" for i in range(5000)]
    cuts.save(path, ENTRIES, "hdf5", {"energy_bins_units": "TeV", "energy_bins_min": -1.0}, sources)
    table = read_table(path, "/bins_cuts_dict")
    assert table.colnames == ["run_number", "event_number", "bin", "reconstructed_energy"]
    assert [table[name].dtype for name in table.colnames] == ["i8", "i8", "i4", "f8"]
    assert table["reconstructed_energy"].unit == "TeV"
    assert table["reconstructed_energy"].description == "Reconstructed energy"
    assert table.meta["energy_bins_units"] == "TeV"
    assert table.meta["energy_bins_min"] == -1.0
    assert {"image_extractor_version", "tables_version", "created_utc"} <= set(table.meta)
    with tables.open_file(path) as file:
        assert [name.decode() for name in file.root.source_files.read()] == sources
        attributes = file.root.bins_cuts_dict.attrs
        values = [attributes[name] for name in attributes._f_list("user")]
    assert all(isinstance(value, str | np.integer | np.floating) for value in values)


def test_pickle_that_runs_code_is_refused(tmp_path):
    made = tmp_path / "made"
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        path = tmp_path / f"cuts{protocol}.pkl"
        path.write_bytes(pickle.dumps({(1, 2): Trap(made)}, protocol))
        with pytest.raises(ConfigError, match=rf"cuts{protocol}.pkl: refused.*only dict, tuple"):
            cuts.load(path)
    assert not made.exists()
    pickle.loads(path.read_bytes())
    assert made.exists(), "the trap does not work"


@pytest.mark.filterwarnings("ignore::tables.FlavorWarning")
@pytest.mark.parametrize("where", ["/", "/bins_cuts_dict"])
@pytest.mark.parametrize("name", ["note", "FLAVOR", "FIELD_0_FILL", "FILTERS"])
def test_hdf5_attribute_that_runs_code_is_not_run(tmp_path, where, name):
    """PyTables unpickles attributes on opening a node."""
    path, made = tmp_path / "cuts.h5", tmp_path / "made"
    cuts.save(path, ENTRIES, "hdf5")
    with tables.open_file(path, "a") as file:
        attributes = file.get_node(where)._v_attrs
        attributes._g_setattr(attributes._v_node, name, np.array(pickle.dumps(Trap(made), 0)))
    with contextlib.suppress(ConfigError):
        assert cuts.load(path) == ENTRIES
    assert not made.exists()
    if name == "note":
        with tables.open_file(path) as file:
            file.get_node(where)._v_attrs[name]
        assert made.exists(), "the trap does not work"


def table_file(path, rows, dtype=None):
    dtype = dtype or DTYPE
    with tables.open_file(path, "w") as file:
        file.create_table("/", "bins_cuts_dict", np.array(rows, dtype))
    return path


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([(1, 2, -1, 0.5)], r"\(1, 2\).*must be \(bin, reconstructed energy\)"),
        ([(1, 2, 0, -0.5)], r"\(1, 2\): energy -0.5"),
        ([(1, 2, 0, np.nan)], r"\(1, 2\): energy nan"),
        ([(1, 2, 0, 0.5), (1, 3, 0, 0.5), (1, 2, 0, 0.5)], r"\(1, 2\) comes twice"),
    ],
)
def test_wrong_entry_of_a_table_is_named(tmp_path, rows, message):
    with pytest.raises(ConfigError, match=message):
        cuts.load(table_file(tmp_path / "cuts.h5", rows))


def test_key_twice_in_different_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(cuts, "BLOCK_ROWS", 2)
    path = table_file(tmp_path / "cuts.h5", [(1, event % 4, 0, 0.5) for event in range(5)])
    with pytest.raises(ConfigError, match=r"\(1, 0\) comes twice"):
        cuts.load(path)


def test_wrong_columns(tmp_path):
    path = tmp_path / "cuts.h5"
    with pytest.raises(ConfigError, match="no column bin, reconstructed_energy"):
        cuts.load(table_file(path, [(1, 2)], [("run_number", "i8"), ("event_number", "i8")]))
    floats = [(name, "f8") for name in DTYPE.names]
    with pytest.raises(ConfigError, match=r"must be \(run number, event number\)"):
        cuts.load(table_file(path, [(1, 2, 3, 4)], floats))
    vectors = [(name, "f8", 2) for name in DTYPE.names]
    with pytest.raises(ConfigError, match=r"cuts\.h5: refused"):
        cuts.load(table_file(path, np.zeros(2, vectors), vectors))


def test_hdf5_of_another_kind(tmp_path):
    path = tmp_path / "dataset.h5"
    with tables.open_file(path, "w") as file:
        file.create_group("/", "E0")
    with pytest.raises(ConfigError, match=r"dataset\.h5: refused as a bins_cuts_dict: this HDF5 file has no table"):
        cuts.load(path)
    with tables.open_file(path, "a") as file:
        file.create_group("/", "bins_cuts_dict")
    with pytest.raises(ConfigError, match="has no table /bins_cuts_dict"):
        cuts.load(path)


def test_truncated_file(tmp_path, file_format):
    path = tmp_path / "cuts"
    cuts.save(path, ENTRIES, file_format)
    content = path.read_bytes()
    for size in (0, 1, 8, 20, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:size])
        with pytest.raises(ConfigError) as error:
            cuts.load(path)
        assert str(error.value).startswith(f"{path}: ")
        assert "\n" not in str(error.value)


def test_what_can_not_be_written_leaves_the_old_file(tmp_path, file_format):
    path = tmp_path / "cuts"
    cuts.save(path, ENTRIES, file_format)
    before = path.read_bytes()
    not_plain = {(1, 2): (0, lambda: 0)}
    with pytest.raises(ConfigError, match="cuts: can't be written"):
        cuts.save(path, not_plain, file_format)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["cuts"]


def test_missing_folder(tmp_path, file_format):
    with pytest.raises(ConfigError, match="can't be written"):
        cuts.save(tmp_path / "none" / "cuts", ENTRIES, file_format)


def test_file_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match="the dictionary can't be read: No such file"):
        cuts.load(tmp_path / "none.pkl")
