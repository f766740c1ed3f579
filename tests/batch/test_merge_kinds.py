"""Observed and simulated events do not mix in one dataset."""

import pytest
import tables
from helpers.made_dataset import write_dataset
from helpers.reading import content
from helpers.resealed import changed

from image_extractor.batch import merge
from image_extractor.errors import DatasetError

ONE_BIN = {"energy_bins_min": -1, "energy_bins_max": 1, "energy_bins_bin_size": 2}


def test_they_do_not_merge(tmp_path):
    paths = [tmp_path / "observed.h5", tmp_path / "simulated.h5"]
    for path in paths:
        write_dataset(path, observed=path.name == "observed.h5", **ONE_BIN)
    for given in (paths, paths[::-1]):
        with pytest.raises(DatasetError, match="they do not mix in one dataset") as refused:
            merge.build(given, tmp_path / "both.h5", tmp_path)
        assert all(str(path) in str(refused.value) for path in paths)
        assert not (tmp_path / "both.h5").exists()


@pytest.mark.parametrize("storage_mode", ["mapped", "all"])
def test_observed_events_keep_time_and_kind(storage_mode, tmp_path):
    """Shuffled and split, no event is lost, and each has its time."""
    write_dataset(tmp_path / "o.h5", observed=True, storage_mode=storage_mode, **ONE_BIN)
    before = _times(tmp_path / "o.h5")
    merge.rewrite(tmp_path / "o.h5", seed=3, split={"Training": 0.5, "Validation": 0.5})
    assert _times(tmp_path / "o.h5") == before
    assert len(before) == 20
    with tables.open_file(str(tmp_path / "o.h5")) as file:
        assert str(file.root._v_attrs.kind) == "observed"
        assert file.root.E0.Events_Training.nrows + file.root.E0.Events_Validation.nrows == 20
        attributes = file.root.E0.Events_Training.attrs
        place = file.root.E0.Events_Training.colnames.index("time")
        assert (attributes[f"CTAFIELD_{place}_NAME"], attributes[f"CTAFIELD_{place}_UNIT"]) == ("time", "ns")


def test_files_without_the_attribute_are_simulated(tmp_path):
    write_dataset(tmp_path / "s.h5", **ONE_BIN)
    write_dataset(tmp_path / "t.h5", **ONE_BIN)
    with changed(tmp_path / "s.h5") as file:
        del file.root._v_attrs.kind
    merge.build([tmp_path / "s.h5", tmp_path / "t.h5"], tmp_path / "both.h5", tmp_path)
    assert content(tmp_path / "both.h5")["/"][2]["kind"] == "simulated"


def _times(path):
    with tables.open_file(str(path)) as file:
        return {
            (int(row["run_number"]), int(row["event_number"]), int(row["time"]))
            for table in file.walk_nodes("/", "Table")
            if table._v_name.startswith("Events")
            for row in table[:]
        }
