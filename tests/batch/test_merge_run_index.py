"""Every event names its run: the row in Run_Table, through append, merge, shuffle, split and numbered outputs."""

import pytest
import tables
from helpers.processes import called
from helpers.reading import dl1_events, read_dataset

from image_extractor.dataset import ImageDataset
from image_extractor.demo import write_demo_file

KEY = ("run_number", "event_number", "gamma_hadron_label")


def twins(folder):
    """Two files of one run number and primary that hold other events of the same numbers, as of two pointings."""
    paths = [folder / "az0_run1.simtel.gz", folder / "az180_run1.simtel.gz"]
    for seed, path in enumerate(paths):
        write_demo_file(path, events=8, telescopes="LST:2", run=1, seed=seed)
    return paths


def truth(path):
    """Return the energies of the events of a simtel file by number, from ctapipe."""
    return {event.index.event_id: event.simulation.shower.energy.to_value("TeV") for _, event in dl1_events(path)}


def check_links(output, inputs):
    """Every event must be, by energy, of the file that Run_Table names in its row; returns the number of events."""
    energies = {path.name: truth(path) for path in inputs}
    with tables.open_file(output) as file:
        runs = file.root.Run_Table[:]
    found = read_dataset(output)
    for event in found:
        run = runs[event["run_index"]]
        assert (run["run_number"], run["primary"]) == (event["run_number"], event["gamma_hadron_label"])
        assert abs(energies[run["file_name"].decode()][event["event_number"]] / event["mc_energy"] - 1) < 1e-6
    return len(found)


def test_runs_of_one_number_and_primary(config, convert, tmp_path):
    paths = twins(tmp_path)
    output = convert(f"{tmp_path}/*run1.simtel.gz", config)
    assert check_links(output, paths) == 16
    assert sum(len(set(truth(path)) & set(truth(paths[0]))) for path in paths[1:])  # numbers do come twice
    checked = called("read_data", output, "--check")
    assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.slow
def test_appended_shuffled_split_numbered(production, config, convert):
    paths = [path for path in production]
    output = convert(paths[0], config)
    convert(f"{paths[0].parent}/*", config, "--shuffle", "--split", "0.5,0.5")
    assert check_links(output, paths) == len(read_dataset(output)) > 20
    convert(f"{paths[0].parent}/*", config, "--shuffle", "--files_per_output", 3, output="many.h5")
    first, second = (output.with_name(f"many_{i:04}.h5") for i in range(2))
    assert check_links(first, paths) + check_links(second, paths) == len(read_dataset(output))


def test_numbered_outputs_read_together(production, config, convert):
    """ImageDataset counts the runs of all files; column run_index leads to the row of `runs`."""
    output = convert(f"{production[0].parent}/*", config, "--files_per_output", 2, output="many.h5")
    names = f"{output.parent}/many_*.h5"
    with ImageDataset(names, table="Events", columns=("run_index", "obs_id", "primary"), telescopes="LST") as data:
        assert len(data.runs) == 4
        batch = data[:]
        runs = data.runs[batch["run_index"]]
        assert (runs["run_number"] == batch["obs_id"]).all()
        assert (runs["primary"] == batch["primary"]).all()


def test_the_same_events_again_are_refused(config, convert, tmp_path, caplog):
    """A copy under another name: its run has number, primary and showers of one that is there."""
    path = twins(tmp_path)[0]
    output = convert(path, config)
    (tmp_path / "copy.simtel.gz").write_bytes(path.read_bytes())
    convert(tmp_path / "copy.simtel.gz", config, code=1)
    assert "it has the same events as az0_run1.simtel.gz" in caplog.text
    assert len(read_dataset(output)) == 8


# -- runs without events ------------------------------------------------------------------------------


def test_a_file_without_a_kept_event_does_not_decide_the_telescopes(make_config, convert, tmp_path, capsys):
    """Its energies are outside all bins, and its array is another."""
    config = make_config(
        telescope_type_mode="ALL", storage_mode="mapped", energy_bins_min=0, energy_bins_max=2, energy_bins_bin_size=1
    )
    write_demo_file(tmp_path / "a1.simtel.gz", events=4, telescopes="LST:3", energy="0.1,0.5")
    write_demo_file(tmp_path / "b2.simtel.gz", events=4, telescopes="LST:2", energy="2,50", run=2)
    output = convert(f"{tmp_path}/*.simtel.gz", config)
    with tables.open_file(output) as file:
        assert file.root.Tel_Table.nrows == 2
        assert file.root.Run_Table.col("run_number").tolist() == [2]
    assert len(read_dataset(output)) == 4
    out = capsys.readouterr().out
    assert "a1.simtel.gz" in out
    assert "telescopes" in out


def test_runs_without_events_that_fit_stay_for_the_weights(make_config, convert, tmp_path):
    config = make_config(
        telescope_type_mode="ALL", storage_mode="mapped", energy_bins_min=0, energy_bins_max=2, energy_bins_bin_size=1
    )
    write_demo_file(tmp_path / "a1.simtel.gz", events=4, telescopes="LST:2", energy="0.1,0.5")
    write_demo_file(tmp_path / "b2.simtel.gz", events=4, telescopes="LST:2", energy="2,50", run=2)
    output = convert(f"{tmp_path}/*.simtel.gz", config)
    with tables.open_file(output) as file:
        assert file.root.Run_Table.col("events_written").tolist() == [0, 4]
    assert {event["run_index"] for event in read_dataset(output)} == {1}


def test_nothing_is_written_without_any_event(make_config, tmp_path):
    config = make_config(telescope_type_mode="ALL", energy_bins_min=0, energy_bins_max=2, energy_bins_bin_size=1)
    write_demo_file(tmp_path / "a1.simtel.gz", events=4, telescopes="LST:2", energy="0.1,0.5")
    ended = called("convert", tmp_path / "a1.simtel.gz", tmp_path / "o.h5", config)
    assert ended.returncode == 1
    assert not (tmp_path / "o.h5").exists()
    assert "not written" in ended.stdout
    assert "Traceback" not in ended.stderr
