"""Observed data looked at: reports, checks and pictures that know of no truth."""

import math
import re

import numpy as np
import pytest
from helpers.made_dataset import write_dataset
from helpers.processes import called
from helpers.resealed import changed

ONE_BIN = {"energy_bins_min": -1, "energy_bins_max": 1, "energy_bins_bin_size": 2}


@pytest.fixture(params=["mapped", "all"])
def observed(request, tmp_path):
    write_dataset(tmp_path / "o.h5", observed=True, storage_mode=request.param, **ONE_BIN)
    return tmp_path / "o.h5"


def test_the_summary_tells_times_and_no_primaries(observed, warnings_are_errors):
    ended = called("read_data", observed)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "observed   2016-12-31T23:59:60.123456789 UTC to 2017-01-01T00:00:10.1234568" in ended.stdout
    assert "passed over: 6 flatfield, 4 muon" in ended.stdout
    for word in ("positron", "nan", "inf "):
        assert word not in ended.stdout
    assert "primary   Events\nobserved      20\n" in ended.stdout
    assert re.search("^cut flow +observed$", ended.stdout, re.M)


def test_rows_show_utc(observed):
    ended = called("read_data", observed, "--events", 1)
    assert ended.returncode == 0
    header, units, row = ended.stdout.splitlines()[1:4]
    assert "time" in header
    assert "UTC" in units
    assert "2016-12-31T23:59:60.123456789" in row


def test_a_sound_dataset_passes_the_check(observed):
    ended = called("read_data", observed, "--check")
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize(("column", "value"), [("mc_energy", 1.0), ("gamma_hadron_label", 0), ("fov_lon", 0.5)])
def test_a_truth_is_found(observed, column, value):
    with changed(observed) as file:
        file.root.E0.Events.modify_column(0, 1, column=np.array([value]), colname=column)
    ended = called("read_data", observed, "--check")
    assert ended.returncode == 1
    assert "/E0/Events: a true value, though it is observed, in 1 row, first in row 0" in ended.stdout + ended.stderr


def test_several_bins_without_energies_are_found(tmp_path):
    write_dataset(tmp_path / "o.h5", observed=True)
    ended = called("read_data", tmp_path / "o.h5", "--check")
    assert ended.returncode == 1
    assert "no energy, though there are several bins, in 20 rows" in ended.stdout + ended.stderr


def test_a_dictionarys_bins_are_checked_as_ever(tmp_path):
    write_dataset(tmp_path / "o.h5", observed=True, dictionary=True)
    assert called("read_data", tmp_path / "o.h5", "--check").returncode == 0
    with changed(tmp_path / "o.h5") as file:
        table = next(node for node in file.walk_nodes("/", "Table") if node._v_name == "Events" and node.nrows)
        table.modify_column(0, 1, column=np.array([1e4], "f4"), colname="reconstructed_energy")
    ended = called("read_data", tmp_path / "o.h5", "--check")
    assert "reconstructed energy outside the bin in 1 row" in ended.stdout + ended.stderr


def test_pictures_say_when(observed, tmp_path):
    from image_extractor.viewing.event_images import open_events
    from image_extractor.viewing.pictures import _titles

    ended = called("visualize_events", observed, "--output", tmp_path / "pictures")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert [path.name.rpartition("_")[2] for path in (tmp_path / "pictures").iterdir()] == ["observed.png"]
    again = called("visualize_events", observed, "--output", tmp_path / "pictures")
    assert again.returncode == 0  # it is the same picture, though nothing is known of its truth
    with open_events(observed) as dataset:
        event = dataset.event(dataset.tables()[0], 0)
    text = " ".join(_titles(event, 20))
    assert "observed 2016-12-31T23:59:60.123456789 UTC" in text.replace("\u00a0", " ")
    assert f"pointing altitude {math.degrees(1.2):.2f}°" in text.replace("\u00a0", " ")
    assert "nan" not in text


def test_multiplicities_are_counted(observed, tmp_path):
    ended = called("plot_numtel", observed, "--output", tmp_path / "n.png")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "events" in ended.stdout
