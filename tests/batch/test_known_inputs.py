"""What the output holds already: skipped where it is the same, refused by name where it was made otherwise."""

import pickle
import shutil

import pytest
import tables
from helpers.reading import content, read_dataset

from image_extractor.demo import write_demo_file


@pytest.fixture(scope="module")
def run1(tmp_path_factory):
    path = tmp_path_factory.mktemp("known") / "run1.simtel.gz"
    write_demo_file(path, events=8, telescopes="LST:2", run=1)
    return path


@pytest.fixture(scope="module")
def cuts(run1, tmp_path_factory):
    """Two dictionaries, of some and of other events."""
    from eventio.simtel import SimTelFile
    from helpers.processes import run_command

    with SimTelFile(str(run1)) as file:
        events = [(1, event["event_id"]) for event in file]
    folder = tmp_path_factory.mktemp("cuts")
    for name, keys in (("some.pkl", events[:4]), ("others.pkl", events[4:])):
        (folder / name).write_bytes(pickle.dumps({key: (0, 1.0) for key in keys}))
    assert run_command("--version").returncode == 0
    return folder


def refused(capsys, caplog, output, before):
    assert content(output) == before
    assert not output.with_name(f"{output.name}.parts").exists()
    capsys.readouterr()
    return caplog.records[-1].getMessage()


def test_the_same_command_again_skips(run1, config, convert, capsys):
    output = convert(run1, config)
    before = output.read_bytes()
    capsys.readouterr()
    convert(run1, config)
    assert "in the output already, skipped" in capsys.readouterr().out
    assert output.read_bytes() == before


def test_max_events_changed_since(run1, config, convert, capsys, caplog):
    output = convert(run1, config, "--max_events", 3)
    before = content(output)
    convert(run1, config, code=2)
    message = refused(capsys, caplog, output, before)
    assert "run1.simtel.gz: in the output already, but made with --max_events 3, now all events" in message
    assert "--overwrite" in message
    convert(run1, config, "--max_events", 3)
    assert content(output) == before
    convert(run1, config, "--overwrite")
    assert len(read_dataset(output)) == 8


def test_another_dictionary(run1, cuts, make_config, convert, capsys, caplog):
    config = make_config(use_pkl_dict=True, telescope_type_mode="LST", storage_mode="mapped", image_scale_factor=1)
    output = convert(run1, config, cuts / "some.pkl")
    before = content(output)
    convert(run1, config, cuts / "others.pkl", code=2)
    message = refused(capsys, caplog, output, before)
    assert "made with the dictionary some.pkl, now others.pkl" in message


def test_a_dictionary_of_the_same_name_but_other_content(run1, cuts, make_config, convert, caplog, tmp_path):
    config = make_config(use_pkl_dict=True, telescope_type_mode="LST", storage_mode="mapped", image_scale_factor=1)
    shutil.copy(cuts / "some.pkl", tmp_path / "cuts.pkl")
    convert(run1, config, tmp_path / "cuts.pkl")
    shutil.copy(cuts / "others.pkl", tmp_path / "cuts.pkl")
    convert(run1, config, tmp_path / "cuts.pkl", code=2)
    assert "made with another dictionary cuts.pkl" in caplog.records[-1].getMessage()


@pytest.mark.parametrize("events", [8, 5])
def test_another_file_of_that_name(run1, config, convert, capsys, caplog, tmp_path, events):
    """Of other size, or only of other content: its run number and primary are those of the run that is there."""
    output = convert(run1, config)
    before = content(output)
    other = tmp_path / "elsewhere" / "run1.simtel.gz"
    other.parent.mkdir()
    write_demo_file(other, events=events, telescopes="LST:2", run=1, seed=9)
    convert(other, config, code=2)
    assert "the output has run 1 of a file of that name" in refused(capsys, caplog, output, before)


def test_a_file_of_that_name_of_another_particle_is_another_input(run1, config, convert, tmp_path):
    output = convert(run1, config)
    other = tmp_path / "protons" / "run1.simtel.gz"
    other.parent.mkdir()
    write_demo_file(other, events=5, telescopes="LST:2", run=1, primary="proton")
    convert(other, config)
    with tables.open_file(output) as file:
        assert file.root.Run_Table.col("primary").tolist() == [0, 101]
        assert len(set(file.root.Run_Table.col("file_digest").tolist())) == 2
    convert(other, config)
    convert(run1, config)
    with tables.open_file(output) as file:
        assert file.root.Run_Table.nrows == 2
