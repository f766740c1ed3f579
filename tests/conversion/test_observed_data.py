"""Observed data through the command: a plugin's source of a night whose showers are those of a simtel file."""

import pickle

import astropy.units as u
import numpy as np
import pytest
import tables
from astropy.table import QTable
from ctapipe.containers import EventType
from ctapipe.io import write_table
from helpers import night
from helpers.night import OFF_AXIS, pointing_of, process_night, showers_of, time_of, write_night
from helpers.processes import called

from image_extractor import config
from image_extractor.dataset import ImageDataset
from image_extractor.demo import write_demo_file
from image_extractor.errors import ConfigError
from image_extractor.hdf5 import schema
from image_extractor.times import to_nanoseconds, to_utc

ONE_BIN = {"energy_bins_min": -1, "energy_bins_max": 1, "energy_bins_bin_size": 2}
SETTINGS = {
    "storage_mode": "mapped", "image_mode": "PIXELS_TIMING_2C", "telescope_type_mode": "ALL", "image_scale_factor": 1,
}  # fmt: skip


@pytest.fixture(scope="module")
def simtel(tmp_path_factory):
    path = tmp_path_factory.mktemp("simtel") / "gamma_run5.simtel.gz"
    write_demo_file(path, events=7, telescopes="LST:2,SSTC:1", run=5)
    return path


@pytest.fixture(scope="module")
def showers(simtel):
    return showers_of(simtel)


def rows_of(path):
    with tables.open_file(str(path)) as file:
        return [row for table in file.walk_nodes("/", "Table") if table._v_name == "Events" for row in table[:]]


@pytest.mark.parametrize("storage_mode", ["mapped", "all"])
@pytest.mark.parametrize("level", ["dl1", "r1"])
def test_a_night_becomes_a_dataset(level, storage_mode, simtel, showers, make_config, convert, tmp_path):
    """All showers in one group, with ctapipe's images, times to the nanosecond, pointings, and no truth."""
    write_night(tmp_path / "a.night", simtel, level)
    output = convert(tmp_path / "a.night", make_config(**SETTINGS | {"storage_mode": storage_mode}))
    rows = rows_of(output)
    assert [int(row["event_number"]) for row in rows] == [night.FIRST_EVENT_ID + number for number, _ in showers]
    for row, (number, _) in zip(rows, showers, strict=True):
        assert row["run_number"] == night.FIRST_OBS_ID
        assert row["gamma_hadron_label"] == -1
        assert row["time"] == to_nanoseconds(time_of(number))
        assert abs((to_utc(row["time"]) - time_of(number)).to_value("ns")) < 0.01
        assert (row["pointing_az"], row["pointing_alt"]) == pytest.approx(pointing_of(number), abs=1e-15)
        assert all(np.isnan(row[name]) for name in (*schema.TRUTH_COLUMNS, "reconstructed_energy"))
        for tel_id, (azimuth, altitude) in zip((1, 2, 3), row["tel_pointing"], strict=True):
            if not np.isnan(azimuth):
                assert (azimuth, altitude - OFF_AXIS * tel_id) == pytest.approx(pointing_of(number), abs=1e-15)
    with ImageDataset(output, "Events", telescopes="LST", columns=("event_id", "tel_id")) as data:
        batch = data[:]
    found = {
        (int(e), int(t)): image for e, t, image in zip(batch["event_id"], batch["tel_id"], batch["image"], strict=True)
    }
    expected = {
        (night.FIRST_EVENT_ID + number, tel_id): camera
        for number, event in showers
        for tel_id, camera in event.dl1.tel.items()
        if tel_id in (1, 2)
    }
    assert found.keys() == expected.keys()
    with tables.open_file(str(output)) as file:
        cells = file.root.Cameras.LSTCam[:]
        assert str(file.root._v_attrs.kind) == "observed"
    for key, camera in expected.items():
        pixels = found[key][cells["array_x"], cells["array_y"]]
        assert np.array_equal(pixels[:, 0], camera.image.astype("f4"))
        assert np.array_equal(pixels[:, 1], camera.peak_time.astype("f4"))
    assert called("read_data", output, "--check").returncode == 0


def test_what_is_passed_over_is_counted_by_type(simtel, showers, make_config, tmp_path):
    write_night(tmp_path / "a.night", simtel)
    ended = called("convert", tmp_path / "a.night", tmp_path / "o.h5", make_config(**SETTINGS), "--jobs", 1)
    assert ended.returncode == 0
    assert "passed over: 4 flatfield, 2 sky pedestal, 2 muon, 2 unknown\n" in ended.stdout
    with tables.open_file(str(tmp_path / "o.h5")) as file:
        (run,) = file.root.Run_Table[:]
    counts = dict(zip(schema.EVENT_TYPES, run["passed_over"].tolist(), strict=True))
    assert {name: n for name, n in counts.items() if n} == {"flatfield": 4, "sky_pedestal": 2, "muon": 2, "unknown": 2}
    assert run["calibration_events"] == 6
    assert (run["events_read"], run["events_written"], run["primary"]) == (7, 7, -1)
    assert (
        "passed over: 4 flatfield, 2 sky pedestal, 2 muon, 2 unknown" in called("read_data", tmp_path / "o.h5").stdout
    )


def test_the_types_are_ctapipes():
    """In the schema's order, calibrations first; showers are not passed over."""
    assert {name.upper() for name in schema.EVENT_TYPES} == EventType.__members__.keys() - {"SUBARRAY"}
    values = [EventType[name.upper()].value for name in schema.EVENT_TYPES]
    assert [value < EventType.MUON.value for value in values] == [
        name in schema.CALIBRATION_TYPES for name in schema.EVENT_TYPES
    ]


def test_a_night_without_showers(simtel, make_config, tmp_path):
    write_night(tmp_path / "a.night", simtel, only=["FLATFIELD", "MUON"])
    ended = called("convert", tmp_path / "a.night", tmp_path / "o.h5", make_config(**SETTINGS), "--jobs", 1)
    assert ended.returncode == 1
    assert "no shower event, 4 flatfield, 2 muon passed over" in ended.stdout
    assert not (tmp_path / "o.h5").exists()


def test_a_dictionary_selects_as_ever(simtel, showers, make_config, tmp_path, convert):
    """By numbers of more than 32 bits, into the bins of reconstructed energies; others are counted."""
    numbers = [number for number, _ in showers]
    entries = {
        (night.FIRST_OBS_ID, night.FIRST_EVENT_ID + number): (i % 2, [0.5, 5.0][i % 2])
        for i, number in enumerate(numbers[:5])
    }
    (tmp_path / "cuts.pkl").write_bytes(pickle.dumps(entries))
    write_night(tmp_path / "a.night", simtel)
    config = make_config(**SETTINGS | ONE_BIN | {"energy_bins_bin_size": 1, "use_pkl_dict": True})
    output = convert(tmp_path / "a.night", config, tmp_path / "cuts.pkl")
    with tables.open_file(str(output)) as file:
        assert [file.root.E0.Events.nrows, file.root.E1.Events.nrows] == [3, 2]
        for group, energy in ((file.root.E0, 0.5), (file.root.E1, 5.0)):
            assert np.all(group.Events.col("reconstructed_energy") == np.float32(energy))
            assert np.isnan(group.Events.col("mc_energy")).all()
        assert file.root.Run_Table[0]["dropped_not_in_dictionary"] == 2
    assert called("read_data", output, "--check").returncode == 0


def refused(path, config, output, *options, jobs=1):
    """Return the line that refuses an input; nothing is written."""
    ended = called("convert", path, output, config, *options, "--jobs", jobs)
    assert (ended.returncode, ended.stdout) == (2, ""), ended.stderr
    assert not output.exists()
    (line,) = [line for line in ended.stderr.splitlines() if "ERROR" in line]
    return line


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"mode": "energy_recon"}, "mode = energy_recon labels events by true energies: set mode = gh_class"),
        (
            {"energy_bins_bin_size": 1},
            "and [energy_bins] has 7 bins: give one, or set a bin_size that makes it one bin",
        ),
        (
            {"event_cuts_true_energy": [1, None]},
            "[event_cuts] true_energy cuts on what is not known of them: leave it out",
        ),
        (
            {"event_cuts_true_offset": [None, 2]},
            "[event_cuts] true_offset cuts on what is not known of them: leave it out",
        ),
    ],
)
def test_what_needs_a_truth_is_refused_in_one_line(settings, words, simtel, make_config, tmp_path):
    write_night(tmp_path / "a.night", simtel)
    line = refused(tmp_path / "a.night", make_config(**SETTINGS | settings), tmp_path / "o.h5")
    assert f"{tmp_path / 'a.night'}: is observed data" in line
    assert line.endswith(words)


def test_a_dictionary_of_gammas_is_refused(simtel, make_config, tmp_path):
    from image_extractor.cuts import dictionary

    dictionary.save(tmp_path / "cuts.pkl", {(night.FIRST_OBS_ID, 1): (0, 1.0)}, primary=0)
    write_night(tmp_path / "a.night", simtel)
    config = make_config(**SETTINGS | ONE_BIN | {"use_pkl_dict": True})
    ended = called("convert", tmp_path / "a.night", tmp_path / "o.h5", config, tmp_path / "cuts.pkl", "--jobs", 1)
    assert ended.returncode == 1
    assert f"{tmp_path / 'a.night'}: is observed data, the dictionary cuts.pkl of gamma: give their own" in ended.stderr


@pytest.mark.parametrize("first", ["simtel", "night"])
def test_observed_and_simulated_inputs_do_not_mix(first, simtel, make_config, tmp_path, convert):
    """In one run of the command, and by appending: one line names both, and what fits is written."""
    names = ["a.x", "b.x"]
    paths = {
        kind: tmp_path / name
        for kind, name in zip(("simtel", "night") if first == "simtel" else ("night", "simtel"), names, strict=True)
    }
    paths["simtel"].write_bytes(simtel.read_bytes())
    write_night(paths["night"], simtel)
    other = paths["night" if first == "simtel" else "simtel"]
    config, words = make_config(**SETTINGS), {"simtel": "simulated", "night": "observed data"}
    ended = called("convert", tmp_path / "?.x", tmp_path / "o.h5", config, "--jobs", 1)
    assert ended.returncode == 1
    second = words["night" if first == "simtel" else "simtel"]
    line = f"{other}: is {second}, {paths[first]} is {words[first]}: they do not mix in one dataset"
    assert line in ended.stderr
    before = (tmp_path / "o.h5").read_bytes()
    ended = called("convert", other, tmp_path / "o.h5", config, "--jobs", 1)
    assert ended.returncode == 1
    assert f"{other}: is {second}, {tmp_path / 'o.h5'} is {words[first]}: they do not mix" in ended.stderr
    assert (tmp_path / "o.h5").read_bytes() == before
    ended = called("convert", tmp_path / "?.x", tmp_path / "n.h5", config, "--jobs", 1, "--files_per_output", 1)
    assert ended.returncode == 1
    assert line in ended.stderr
    assert [path.name for path in tmp_path.glob("n*.h5")] == ["n_0000.h5"]


def test_nights_are_appended_and_not_taken_twice(simtel, make_config, tmp_path, convert):
    write_night(tmp_path / "a.night", simtel)
    write_night(tmp_path / "b.night", simtel, first_event=night.FIRST_EVENT_ID + 10**6)
    write_night(tmp_path / "c.night", simtel, **{"only": ["SUBARRAY"]})
    config = make_config(**SETTINGS)
    convert(tmp_path / "a.night", config)
    output = convert(tmp_path / "?.night", config, code=1)
    rows = rows_of(output)
    assert len({(int(row["run_number"]), int(row["event_number"])) for row in rows}) == len(rows) == 14
    assert {int(row["run_index"]) for row in rows} == {0, 1}
    ended = called("convert", tmp_path / "c.night", output, config, "--jobs", 1)
    assert "it has the same events as a.night" in ended.stderr


def test_an_event_without_time_is_said(simtel, showers, make_config, tmp_path):
    write_night(tmp_path / "a.night", simtel, without_time=[0, 3])
    ended = called("convert", tmp_path / "a.night", tmp_path / "o.h5", make_config(**SETTINGS), "--jobs", 1)
    assert ended.returncode == 0
    assert f"a.night: run {night.FIRST_OBS_ID}: no time is known of 2 events" in ended.stderr
    times = [int(row["time"]) for row in rows_of(tmp_path / "o.h5")]
    assert [i for i, time in enumerate(times) if time == -(2**63)] == [0, 3]


def test_where_telescopes_do_not_tell_the_array_does(simtel, showers, make_config, tmp_path, convert):
    write_night(tmp_path / "a.night", simtel, pointed=False)
    for row, (number, _) in zip(rows_of(convert(tmp_path / "a.night", make_config(**SETTINGS))), showers, strict=True):
        assert (row["pointing_az"], row["pointing_alt"]) == pytest.approx(pointing_of(number), abs=1e-15)
        own = row["tel_pointing"][~np.isnan(row["tel_pointing"][:, 0])]
        assert np.allclose(own, pointing_of(number), rtol=0, atol=1e-15)


@pytest.mark.parametrize("more", [{"obs_id": 2**63 + 1}, {"first_event": 2**63}])
def test_numbers_that_do_not_fit_are_refused(more, simtel, make_config, tmp_path):
    write_night(tmp_path / "a.night", simtel, **more)
    ended = called("convert", tmp_path / "a.night", tmp_path / "o.h5", make_config(**SETTINGS), "--jobs", 1)
    assert ended.returncode == 1
    assert "needs more than the 63 bits that a dataset has for it" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_parameters_have_no_truth(simtel, make_config, tmp_path, convert):
    write_night(tmp_path / "a.night", simtel)
    output = convert(tmp_path / "a.night", make_config(**SETTINGS | {"parameters_store": True, "cleaning_picture": 4}))
    with tables.open_file(str(output)) as file:
        found = file.root.E0.P1[:]
    assert np.isfinite(found["hillas_intensity"]).any()
    assert np.all(found["true_image_sum"] == -1)
    assert all(np.isnan(found[name]).all() for name in ("true_impact_distance", "true_fov_lon", "true_fov_lat"))
    assert called("read_data", output, "--check").returncode == 0


def test_shuffled_and_split(simtel, make_config, tmp_path, convert):
    write_night(tmp_path / "a.night", simtel)
    output = convert(tmp_path / "a.night", make_config(**SETTINGS), "--shuffle", "--split", "0.5,0.5")
    with tables.open_file(str(output)) as file:
        rows = np.concatenate([file.root.E0.Events_Training[:], file.root.E0.Events_Validation[:]])
    assert len(np.unique(rows["event_number"])) == 7
    assert np.all(np.diff(rows[np.argsort(rows["event_number"])]["time"]) > 0)


@pytest.fixture(scope="module")
def processed(simtel, tmp_path_factory):
    """A night, and what ctapipe-process makes of it."""
    folder = tmp_path_factory.mktemp("night")
    write_night(folder / "a.night", simtel)
    process_night(folder / "a.night", folder / "a.dl1.h5")
    return folder / "a.night", folder / "a.dl1.h5"


def test_ctapipes_file_of_a_night_gives_the_same_dataset(processed, make_config, tmp_path):
    """With numbers of more than 32 bits; all but pointings, which ctapipe-process leaves to monitoring files."""
    found, said = [], []
    for number, path in enumerate(processed):
        found.append(tmp_path / f"{number}.h5")
        ended = called("convert", path, found[-1], make_config(**SETTINGS), "--jobs", 1)
        assert ended.returncode == 0
        said.append([line for line in ended.stderr.splitlines() if "WARNING" in line])
    assert said[0] == []
    assert len(said[1]) == 1
    assert said[1][0].endswith(f"{processed[1]}: run {night.FIRST_OBS_ID}: no pointing is known of 7 events")
    pointings = "pointing_az", "pointing_alt", "tel_pointing"
    for row, other in zip(*map(rows_of, found), strict=True):
        for name in row.dtype.names:
            if name in pointings:
                assert np.isnan(other[name]).all()
            else:
                assert np.array_equal(row[name], other[name], equal_nan=row.dtype[name].kind == "f"), name
    with tables.open_file(str(found[0])) as one, tables.open_file(str(found[1])) as other:
        for array in one.root.E0._f_iter_nodes("EArray"):
            assert np.array_equal(array[:], other.get_node(array._v_pathname)[:])
        (run,), (of_file,) = one.root.Run_Table[:], other.root.Run_Table[:]
        for name in run.dtype.names:
            if name not in ("file_name", "file_size", "file_digest", *pointings):
                assert np.array_equal(run[name], of_file[name], equal_nan=run.dtype[name].kind == "f"), name
    assert called("read_data", found[1], "--check").returncode == 0


def test_pointings_of_a_monitoring_table_are_those_of_each_event(processed, showers, make_config, tmp_path, convert):
    """ctapipe-merge brings them into a file; the array's is the middle of its telescopes'."""
    (tmp_path / "a.dl1.h5").write_bytes(processed[1].read_bytes())
    numbers = np.arange(showers[-1][0] + 1)
    azimuth, altitude = pointing_of(numbers)
    for tel_id in (1, 2, 3):
        own = {"azimuth": azimuth * u.rad, "altitude": (altitude + OFF_AXIS * tel_id) * u.rad}
        place = f"/dl0/monitoring/telescope/pointing/tel_{tel_id:03d}"
        write_table(QTable({"time": time_of(numbers), **own}), tmp_path / "a.dl1.h5", place)
    for row, (number, event) in zip(
        rows_of(convert(tmp_path / "a.dl1.h5", make_config(**SETTINGS))), showers, strict=True
    ):
        az, alt = pointing_of(number)
        assert row["pointing_az"] == pytest.approx(az, abs=1e-9)
        assert row["pointing_alt"] == pytest.approx(alt + OFF_AXIS * np.mean(list(event.dl1.tel)), abs=1e-9)
        for position, tel_id in enumerate((1, 2, 3)):
            if tel_id in event.dl1.tel:
                assert row["tel_pointing"][position] == pytest.approx([az, alt + OFF_AXIS * tel_id], abs=1e-9)


def test_a_dl1_file_without_its_truth(simtel, showers, make_config, convert, tmp_path):
    """The images of the simulation, as observed data."""
    process_night(simtel, tmp_path / "s.dl1.h5")
    config = make_config(**SETTINGS)
    simulated = convert(tmp_path / "s.dl1.h5", config, output="s.h5")
    with tables.open_file(str(tmp_path / "s.dl1.h5"), "a") as file:
        file.remove_node("/simulation", recursive=True)
    observed = convert(tmp_path / "s.dl1.h5", config, output="o.h5")
    with tables.open_file(str(simulated)) as one, tables.open_file(str(observed)) as other:
        assert [str(file.root._v_attrs.kind) for file in (one, other)] == ["simulated", "observed"]
        for array in one.root.E0._f_iter_nodes("EArray"):
            assert np.array_equal(array[:], other.get_node(array._v_pathname)[:])
        rows, found = one.root.E0.Events[:], other.root.E0.Events[:]
    assert np.array_equal(rows["event_number"], found["event_number"])
    assert np.array_equal(rows["tel_map"], found["tel_map"])
    assert all(np.isnan(found[name]).all() for name in schema.TRUTH_COLUMNS)
    assert [to_nanoseconds(event.trigger.time) for _, event in showers] == found["time"].tolist()
    assert np.array_equal(rows["pointing_az"], found["pointing_az"])


def test_lookup_tables_do_not_choose_among_observed_events(processed, make_config, tmp_path):
    from image_extractor.conversion import observed_data

    settings = config.load(make_config(**SETTINGS))
    with pytest.raises(ConfigError, match=r"a\.dl1\.h5: is observed data: lookup tables choose among simulated events"):
        observed_data.check(processed[1], settings, None, chooser=object())


def test_workers_refuse_in_the_same_line(processed, make_config, tmp_path):
    """What settings can't ask ends the run, wherever it turns out."""
    for name in ("a.dl1.h5", "b.dl1.h5"):
        (tmp_path / name).write_bytes(processed[1].read_bytes())
    config_path = make_config(**SETTINGS | {"energy_bins_bin_size": 1})
    line = refused(tmp_path / "?.dl1.h5", config_path, tmp_path / "o.h5", jobs=2)
    assert line.endswith("and [energy_bins] has 7 bins: give one, or set a bin_size that makes it one bin")
