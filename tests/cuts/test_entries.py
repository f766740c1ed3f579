"""The bins_cuts_dict in memory: a dict to those who ask, arrays within; and of one file, whatever becomes of it."""

import hashlib
import io
import pickle
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_extractor import ImageExtractor
from image_extractor.cuts import confined, dictionary
from image_extractor.errors import ConfigError

OLD = {(1, 100): (0, 0.5), (1, 200): (1, 2.0), (7, 100): (0, 0.25)}
NEW = {(1, 100): (1, 2.0), (2, 300): (0, 0.5)}

few = st.integers(-3, 3)
numbers = st.one_of(few, st.integers(-(2**63), 2**63 - 1))
keys = st.tuples(numbers, numbers)
dictionaries = st.dictionaries(keys, st.tuples(st.integers(0, 999), st.floats(0, allow_infinity=False)), max_size=30)


@given(entries=dictionaries, others=st.lists(keys, max_size=20))
def test_it_is_as_the_dict(entries, others):
    found = dictionary.given(entries)
    assert found == entries
    assert (len(found), list(found), list(found.items())) == (len(entries), sorted(entries), sorted(entries.items()))
    asked = [*entries, *others]
    assert [found.get(key) for key in asked] == [entries.get(key) for key in asked]
    assert [key in found for key in asked] == [key in entries for key in asked]
    run_numbers, event_numbers = np.array(asked, np.int64).reshape(-1, 2).T
    assert found.contains(run_numbers, event_numbers).tolist() == [key in entries for key in asked]
    for run in {run for run, _ in asked}:
        assert found.of_run(run) == {key[1]: value for key, value in entries.items() if key[0] == run}
    assert pickle.loads(pickle.dumps(found)) == entries
    assert {type(part) for key in found for part in (*key, *found[key])} <= {int, float}


@pytest.mark.parametrize("key", [1, "ab", (1,), (1, 2, 3), ("a", "b"), (1, None), (1.5, 100), (2**70, 1), (1, 2**70)])
def test_what_is_no_key_is_not_in_it(key):
    found = dictionary.given(OLD)
    assert key not in found
    with pytest.raises(KeyError):
        found[key]


@given(entries=dictionaries)
def test_the_checksum_of_a_dict_is_that_of_datasets_of_before(entries):
    expected = hashlib.sha256("".join(map(repr, sorted(entries.items()))).encode()).hexdigest()
    assert dictionary.given(entries).sha256 == expected


def test_workers_get_no_more_than_before():
    rng = np.random.default_rng(0)
    entries = {
        (31000 + i // 500, 100 * (i % 500)): (i % 4, energy) for i, energy in enumerate(rng.random(20_000).tolist())
    }
    assert len(pickle.dumps(dictionary.given(entries))) < len(pickle.dumps(entries))


def test_that_of_another_extractor_is_a_dict_too(tmp_path):
    cuts = tmp_path / "cuts.pkl"
    dictionary.save(cuts, OLD, primary=0)
    first = ImageExtractor(tmp_path / "o.h5", cuts, "energy_recon")
    second = ImageExtractor(tmp_path / "o.h5", first.bins_cuts_dict, "energy_recon")
    third = ImageExtractor(tmp_path / "o.h5", OLD, "energy_recon")
    assert first.bins_cuts_dict == second.bins_cuts_dict == OLD
    assert second.converter.dictionary == third.converter.dictionary
    assert second.converter.dictionary["bins_cuts_dict"] == "dict"
    assert first.converter.dictionary == {
        "bins_cuts_dict": "cuts.pkl",
        "bins_cuts_dict_sha256": hashlib.sha256(cuts.read_bytes()).hexdigest(),
    }


@pytest.mark.parametrize("file_format", dictionary.FORMATS)
def test_what_was_loaded_is_saved_again(file_format, tmp_path):
    dictionary.save(tmp_path / "one", OLD, file_format)
    dictionary.save(tmp_path / "two", dictionary.load(tmp_path / "one"), file_format)
    assert dictionary.load(tmp_path / "two") == OLD
    if file_format == "pickle":
        assert pickle.loads((tmp_path / "two").read_bytes()) == OLD


# -- a file is read once --------------------------------------------------------------------------


def replaced(path, new):
    new.replace(path)


def overwritten(path, new):
    path.write_bytes(new.read_bytes())


def removed(path, new):
    path.unlink()


@pytest.mark.parametrize("formats", [("pickle", "pickle"), ("hdf5", "hdf5"), ("pickle", "hdf5"), ("hdf5", "pickle")])
@pytest.mark.parametrize("meanwhile", [replaced, removed, overwritten])
def test_a_file_that_changes_meanwhile_is_not_misnamed(meanwhile, formats, tmp_path, monkeypatch):
    """Right after it was opened: a pickle is not yet read then, of HDF5 the bytes are."""
    path, new = tmp_path / "cuts", tmp_path / "new"
    dictionary.save(path, OLD, formats[0], primary=0)
    dictionary.save(new, NEW, formats[1], primary=101)
    known = {hashlib.sha256(file.read_bytes()).hexdigest(): entries for file, entries in ((path, OLD), (new, NEW))}
    room, name = (confined.subprocess, "run") if formats[0] == "pickle" else (dictionary, "_open_table")
    original = getattr(room, name)

    def change_first(*arguments, **options):
        meanwhile(path, new)
        return original(*arguments, **options)

    monkeypatch.setattr(room, name, change_first)
    if meanwhile is overwritten and formats == ("pickle", "hdf5"):
        with pytest.raises(ConfigError, match="cuts: refused as a bins_cuts_dict: neither a pickle nor HDF5"):
            dictionary.load(path)
        return
    found = dictionary.load(path)
    is_old = meanwhile is not overwritten or formats[0] == "hdf5"
    assert (found, found.primary) == ((OLD, 0) if is_old else (NEW, 101))
    assert found == known[found.sha256]


class Changing(io.BytesIO):
    """A pickle that is another file as soon as some of it was read."""

    n_read = 0

    def readinto(self, buffer):
        n_bytes = super().readinto(memoryview(buffer)[:1000])
        self.n_read += n_bytes
        with self.getbuffer() as content:
            content[: self.tell()] = bytes(self.tell())
        return n_bytes


@pytest.mark.parametrize("protocol", range(6))
def test_a_pickle_is_hashed_as_it_is_read(protocol):
    """Every byte once, also of what stands behind."""
    entries = {(run, event): (event % 3, 0.5 * event) for run in range(5) for event in range(500)}
    data = pickle.dumps(entries, protocol) + pickle.dumps({"my own": "notes"}) + b"more" * 10_000
    file = Changing(data)
    rows, primary, sha256 = confined.read(file, "cuts.pkl")
    assert dictionary.Dictionary.of_rows(rows, "", "") == entries
    assert (primary, sha256, file.n_read) == (None, hashlib.sha256(data).hexdigest(), len(data))


def test_a_table_that_is_being_written_is_refused(tmp_path):
    path = tmp_path / "cuts.h5"
    dictionary.save(path, OLD, "hdf5")
    program = f"import tables\nfile = tables.open_file({str(path)!r}, 'a')\nprint(flush=True)\ninput()\nfile.close()"
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        writer.stdout.readline()
        with pytest.raises(ConfigError, match=r"cuts\.h5: refused as a bins_cuts_dict: Unable to open/create file"):
            dictionary.load(path)
        writer.communicate(b"\n")
    assert dictionary.load(path) == OLD
