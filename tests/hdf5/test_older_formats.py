"""Datasets of format 1.0, written by the first version: read, checked, shuffled, split and merged with new ones."""

import lzma
from pathlib import Path

import numpy as np
import pytest
import tables
from helpers.processes import called
from helpers.reading import read_dataset

from image_extractor import DatasetError, config
from image_extractor.batch import merge, outputs
from image_extractor.dataset import ImageDataset
from image_extractor.hdf5 import schema
from image_extractor.viewing.dataset_check import check

VARIANTS = ("mapped", "all")


@pytest.fixture(params=VARIANTS)
def old(request, tmp_path):
    packed = Path(__file__).parents[1] / "resources" / f"format_1_0_{request.param}.h5.xz"
    path = tmp_path / "old.h5"
    path.write_bytes(lzma.decompress(packed.read_bytes()))
    return path


def by_event(path):
    """Return {(primary, event): (energy, pixels)} and check that rows name their run."""
    with tables.open_file(path) as file:
        runs, version = file.root.Run_Table[:], str(file.root._v_attrs.format_version)
    found = {}
    for event in read_dataset(path):
        key = event["gamma_hadron_label"], event["event_number"]
        assert key not in found
        found[key] = event["mc_energy"], {tel: array.tobytes() for tel, array in event["pixels"].items()}
        if version != "1.0":
            assert runs["primary"][event["run_index"]] == event["gamma_hadron_label"]
    return found


def test_is_what_it_says(old):
    with tables.open_file(old) as file:
        assert str(file.root._v_attrs.format_version) == "1.0"
        assert all(
            "run_index" not in table.colnames for table in file.walk_nodes("/", "Table") if "Ev" in table._v_name
        )


def test_read(old):
    assert check(old)[0] == []
    checked = called("read_data", old, "--check")
    assert (checked.returncode, checked.stderr) == (0, "")
    table = "Training" if "Training" in "".join(_tables(old)) else "Events"
    with ImageDataset(old, table=table, telescopes="LST", columns=("run_index", "primary", "energy")) as data:
        batch = data[:]
        assert (data.runs["primary"][batch["run_index"]] == batch["primary"]).all()
        assert len(batch["image"]) == len(data) > 0
        assert (data.runs["uses_read"] == -1).all()


def _tables(path):
    with tables.open_file(path) as file:
        return [node._v_name for node in file.walk_nodes("/", "Table")]


@pytest.mark.one_in(3)
@pytest.mark.parametrize("split", [None, {"Training": 0.5, "Validation": 0.5}])
def test_rewritten_as_the_present_format(old, split):
    before = by_event(old)
    is_split = "Events_Training" in _tables(old)
    merge.rewrite(old, seed=5, split=None if is_split else split)
    with tables.open_file(old) as file:
        assert str(file.root._v_attrs.format_version) == schema.FORMAT_VERSION
        table = next(node for node in file.walk_nodes("/", "Table") if node._v_name.startswith("Events"))
        names = [table._v_attrs[f"CTAFIELD_{i}_NAME"] for i in range(len(table.colnames))]
        assert names == table.colnames
        assert table.dtype["alt"] == np.float64
        assert np.isnan(file.root.Tel_Table.col("mirror_area")).all()
        assert (file.root.Run_Table.col("complete") == 1).all()
    assert by_event(old) == before
    assert check(old)[0] == []


def test_merged_with_a_new_one(old, tmp_path):
    """What is appended to it stands beside it, and the settings it was made with are still read."""
    from helpers import made_dataset

    with tables.open_file(old) as file:
        settings = config.loads(str(file.root._v_attrs.config))
    made_dataset.write_dataset(
        tmp_path / "new.h5",
        n_events=(5, 2),
        storage_mode=settings["storage_mode"],
        image_mode=settings["image"]["mode"],
        image_dtype="uint16",
        image_scale_factor=1,
        energy_bins_bin_size=1.0,
        split={"Training": 0.5, "Validation": 0.5} if "Events_Training" in _tables(old) else None,
    )
    n_old, n_new = len(read_dataset(old)), len(read_dataset(tmp_path / "new.h5"))
    merge.build([old, tmp_path / "new.h5"], tmp_path / "both.h5", tmp_path)
    with tables.open_file(tmp_path / "both.h5") as file:
        runs = file.root.Run_Table[:]
    events = read_dataset(tmp_path / "both.h5")
    assert len(events) == n_old + n_new
    assert sorted({event["run_index"] for event in events}) == [0, 1, 2, 3]
    assert all(runs["primary"][event["run_index"]] == event["gamma_hadron_label"] for event in events)


def test_runs_that_it_does_not_tell_apart(old, tmp_path):
    """Two runs of one number and primary: readers say that they do not know, a merge refuses."""
    from image_extractor import DatasetError

    with tables.open_file(old, "a") as file:
        file.root.Run_Table.modify_column(1, 2, column=[0], colname="primary")
        for table in file.walk_nodes("/", "Table"):
            if table._v_name.startswith("Events") and table.nrows:
                table.modify_column(column=np.zeros(table.nrows, np.int32), colname="gamma_hadron_label")
        file.root.Run_Table.modify_column(1, 2, column=[b"another.simtel"], colname="file_name")
    with pytest.raises(DatasetError, match="does not tell runs of one number and primary apart"):
        merge.rewrite(old, seed=1)
    assert check(old)[0] == []


def test_what_it_does_not_tell_of_pixels_and_pointings(old, tmp_path):
    merge.rewrite(old, seed=1)
    checked = called("read_data", old, "--check")
    assert (checked.returncode, checked.stderr) == (0, "")
    assert "not finite" not in checked.stdout
    report = called("read_data", old)
    assert "-1" not in report.stdout.partition("runs ")[2].partition("settings")[0]
    with tables.open_file(old) as file:
        assert np.isnan(file.root.Tel_Table.col("pointing")).all()


# -- checksums, which older formats have not --------------------------------------------------------


def test_a_reader_that_is_to_verify_refuses_it(old):
    with pytest.raises(
        DatasetError, match=r"old\.h5: of a format without checksums: `read_data\.py --upgrade .*` adds"
    ):
        ImageDataset(old, telescopes="LST", verify=True)


def test_upgraded(old):
    """A copy with checksums takes its place; nothing else changes."""
    before = by_event(old)
    done = called("read_data", old, "--upgrade")
    assert (done.returncode, done.stdout) == (0, f"{old}: is of the present format now\n")
    assert by_event(old) == before
    assert check(old) == ([], 7, 16)
    checked = called("read_data", old, "--check")
    assert "without checksums" not in checked.stdout
    again = called("read_data", old, "--upgrade")
    assert (again.returncode, again.stdout) == (0, f"{old}: has checksums already, left as it is\n")
    with ImageDataset(old, table=_table(old), telescopes="LST", verify=True) as data:
        assert len(data[:]["image"]) > 0


def _table(path):
    return "Training" if "Training" in "".join(_tables(path)) else "Events"


def test_what_can_be_looked_at_is_looked_at_before_it_is_copied(old, caplog):
    merge.rewrite(old, seed=1)
    said = "old.h5: of a format without checksums: 7 events and 16 images agree with their counts, but changed pixels"
    assert [said in record.getMessage() for record in caplog.records].count(True) == 1
    caplog.clear()
    merge.rewrite(old, seed=2)
    assert not caplog.records


@pytest.mark.parametrize("action", ["shuffle", "split", "append", "upgrade"])
def test_what_does_not_agree_is_refused(action, old):
    is_split = _table(old) == "Training"
    if is_split and action == "split":
        pytest.skip("is split")
    with tables.open_file(old, "a") as file:
        file.root.Run_Table.modify_column(0, 1, column=[100], colname="images")
        settings = config.loads(str(file.root._v_attrs.config))
    before = old.read_bytes()
    fractions = {"Training": 0.5, "Validation": 0.5} if is_split else None
    actions = {
        "shuffle": lambda: merge.rewrite(old, seed=1),
        "split": lambda: merge.rewrite(old, split={"Training": 1.0}),
        "append": lambda: outputs.Target(old, None, None, fractions, overwrite=False).existing(settings),
        "upgrade": lambda: merge.upgrade(old),
    }
    with pytest.raises(DatasetError, match=r"old\.h5: /Run_Table: run 4 \(gamma\): images is 100, the tables have"):
        actions[action]()
    assert old.read_bytes() == before
