"""Files of several runs, of two primaries, and cut ones, through the command: what Run_Table and weights say of them."""

import gzip
import itertools
import pickle

import numpy as np
import pytest
import tables
from helpers.eventio_bytes import kind, objects_of
from helpers.processes import called
from helpers.reading import dl1_events, read_dataset
from helpers.resealed import changed

from image_extractor.dataset import ImageDataset
from image_extractor.demo import write_demo_file
from image_extractor.training.event_weights import CRAB, EventWeight

CLOSING, MC_SHOWER, MC_EVENT, ARRAY_EVENT = 100, 2020, 2021, 2010


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """Files of runs 1 and 2: of the same telescopes, but another spectrum and reuse."""
    folder = tmp_path_factory.mktemp("two")
    paths = [folder / "run1.simtel", folder / "run2.simtel"]
    write_demo_file(paths[0], events=6, telescopes="LST:2", run=1, reuse=2)
    write_demo_file(paths[1], events=5, telescopes="LST:2", run=2, primary="proton", spectral_index=-2.5, scatter=150)
    return paths


def joined(paths, target, how):
    data = [path.read_bytes() for path in paths]
    if how == "without a block between":
        data[0] = b"".join(one for one in objects_of(data[0]) if kind(one) != CLOSING)
    target.write_bytes(b"".join(map(gzip.compress, data)))
    return target


def numbers(path):
    return [(event.index.obs_id, event.index.event_id) for _, event in dl1_events(path)]


def rows(path, *columns):
    with tables.open_file(path) as file:
        return [tuple(row) for row in file.root.Run_Table[:][list(columns)].tolist()]


@pytest.mark.one_in(2)
@pytest.mark.parametrize("how", ["concatenated", "without a block between"])
def test_both_runs_are_converted_each_with_its_own_row(how, two, config, convert, tmp_path, capsys):
    output = convert(joined(two, tmp_path / "both.simtel.gz", how), config)
    columns = "file_name", "run_number", "primary", "shower_reuse", "events_read", "events_written"
    n = [len(numbers(path)) for path in two]
    assert rows(output, *columns) == [
        (b"both.simtel.gz", 1, 0, 2, n[0], n[0]),
        (b"both.simtel.gz", 2, 101, 1, n[1], n[1]),
    ]
    assert rows(output, "spectral_index", "max_scatter_range") == [(-2.0, 350.0), (-2.5, 150.0)]
    found = read_dataset(output)
    expected = [(run, event, index) for index, path in enumerate(two) for run, event in numbers(path)]
    assert [(event["run_number"], event["event_number"], event["run_index"]) for event in found] == expected
    separate = convert(f"{two[0].parent}/run?.simtel", config, output="separate.h5")
    for one, other in zip(found, read_dataset(separate), strict=True):
        assert one["pixels"].keys() == other["pixels"].keys()
        assert all(np.array_equal(one["pixels"][tel], other["pixels"][tel]) for tel in one["pixels"])
    assert "2 runs: 1, 2" in capsys.readouterr().out
    assert called("read_data", output, "--check").returncode == 0


def test_a_dictionary_selects_from_the_right_run(two, make_config, convert, tmp_path):
    path = joined(two, tmp_path / "both.simtel.gz", "without a block between")
    wanted = numbers(two[1])[:3]
    (tmp_path / "cuts.pkl").write_bytes(pickle.dumps({key: (0, 1.0) for key in wanted}))
    config = make_config(use_pkl_dict=True, telescope_type_mode="LST", storage_mode="mapped", image_scale_factor=1)
    found = read_dataset(convert(path, config, tmp_path / "cuts.pkl"))
    assert [(event["run_number"], event["event_number"]) for event in found] == wanted


def test_max_events_count_for_the_file(two, config, convert, tmp_path):
    path = joined(two, tmp_path / "both.simtel.gz", "concatenated")
    n_first = len(numbers(two[0]))
    output = convert(path, config, "--max_events", n_first + 2)
    assert rows(output, "events_written", "max_events") == [(n_first, n_first + 2), (2, n_first + 2)]
    again = convert(path, config, "--max_events", n_first + 2)  # is known
    assert len(read_dataset(again)) == n_first + 2


def test_the_same_run_twice_in_a_file_is_refused(two, config, tmp_path):
    path = joined([two[0], two[0]], tmp_path / "twice.simtel.gz", "concatenated")
    ended = called("convert", path, tmp_path / "o.h5", config)
    assert ended.returncode == 1
    assert "twice.simtel.gz: it has the same events as another run" in ended.stderr
    assert not (tmp_path / "o.h5").exists()


def test_runs_of_other_telescopes_in_a_file_are_refused(two, config, tmp_path):
    write_demo_file(tmp_path / "other.simtel", events=3, telescopes="LST:3", run=3)
    path = joined([two[0], tmp_path / "other.simtel"], tmp_path / "both.simtel.gz", "concatenated")
    ended = called("convert", path, tmp_path / "o.h5", config)
    assert ended.returncode == 1
    assert "both.simtel.gz: its run 3 has other telescopes than the one before it" in ended.stderr


def test_a_run_of_two_primaries_is_refused(two, config, tmp_path):
    data, n_showers = [], 0
    for one in objects_of(two[0].read_bytes()):
        if kind(one) == MC_SHOWER:
            n_showers += 1
            if n_showers == 2:  # its primary stands behind the header of 16 bytes
                one = one[:16] + (101).to_bytes(4, "little") + one[20:]
        data.append(one)
    (tmp_path / "mixed.simtel").write_bytes(b"".join(data))
    ended = called("convert", tmp_path / "mixed.simtel", tmp_path / "o.h5", config)
    assert ended.returncode == 1
    assert "mixed.simtel: its run has showers of two primaries, gamma and proton" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not (tmp_path / "o.h5").exists()


# -- what was simulated ----------------------------------------------------------------------------------


def weights(path):
    columns = ("event_number", "energy", EventWeight({0: CRAB}))
    with ImageDataset(path, table="Events", telescopes="LST", view="event", columns=columns) as data:
        batch = data[:]
        return dict(zip(batch["event_number"].tolist(), batch["event_weight"].tolist(), strict=True))


def up_to(data, n_events):
    """Return how many showers and uses stand before the n-th array event, itself counted."""
    kinds = [kind(one) for one in objects_of(data)]
    place = [i for i, one in enumerate(kinds) if one == ARRAY_EVENT][n_events - 1]
    return kinds[:place].count(MC_SHOWER), kinds[:place].count(MC_EVENT)


def test_weights_count_the_showers_that_were_read(two, config, convert):
    data = two[0].read_bytes()
    whole = convert(two[0], config, output="whole.h5")
    kinds = [kind(one) for one in objects_of(data)]
    n_showers, n_uses = kinds.count(MC_SHOWER), kinds.count(MC_EVENT)
    assert rows(whole, "showers_read", "uses_read", "complete") == [(n_showers, n_uses, 1)]
    part = convert(two[0], config, "--max_events", 3, output="part.h5")
    n_showers_3, n_uses_3 = up_to(data, 3)
    assert rows(part, "showers_read", "uses_read", "complete") == [(n_showers_3, n_uses_3, 1)]
    assert n_uses_3 < n_uses
    all_weights = weights(whole)
    for event, weight in weights(part).items():
        assert weight == pytest.approx(all_weights[event] * n_uses / n_uses_3, rel=1e-6)


def test_a_cut_file_is_kept_if_that_is_wanted(two, config, convert, tmp_path, capsys):
    data = two[0].read_bytes()
    objects = objects_of(data)
    place = [i for i, one in enumerate(objects) if kind(one) == ARRAY_EVENT][3]
    cut = tmp_path / "cut.simtel"
    cut.write_bytes(b"".join(objects[: place + 1]) + objects[place + 1][:20])
    ended = called("convert", cut, tmp_path / "o.h5", config)
    assert ended.returncode == 1
    assert "cut.simtel: truncated" in ended.stderr
    output = convert(cut, config, "--on_truncated", "keep", output="kept.h5")
    assert len(read_dataset(output)) == 4
    showers, uses = up_to(data, 4)
    assert rows(output, "complete", "showers_read", "uses_read", "events_written") == [(0, showers, uses, 4)]
    assert "cut short: its whole events are kept" in capsys.readouterr().out
    report = called("read_data", output)
    assert "cut" in report.stdout
    n_all = sum(kind(one) == MC_EVENT for one in objects)
    whole = weights(convert(two[0], config, output="whole.h5"))
    for event, weight in weights(output).items():
        assert weight == pytest.approx(whole[event] * n_all / uses, rel=1e-6)


def test_a_run_that_does_not_tell_its_showers_warns(two, config, convert, caplog):
    output = convert(two[0], config)
    with changed(output) as file:
        file.root.Run_Table.modify_column(column=[-1], colname="uses_read")
    weights(output)
    assert "all showers of their headers are taken to have been read" in caplog.text


def test_a_file_that_holds_fewer_showers_than_its_header_announces(two, config, convert, tmp_path, caplog):
    """As extracts do, which leave out what did not trigger: weights count what is there, and that is said."""
    objects = objects_of(two[1].read_bytes())
    kinds = [kind(one) for one in objects]
    showers = [i for i, one in enumerate(kinds) if one in (MC_SHOWER, CLOSING)]
    first, stop = next(pair for pair in itertools.pairwise(showers) if ARRAY_EVENT not in kinds[slice(*pair)])
    path = tmp_path / "extract.simtel"
    path.write_bytes(b"".join(objects[:first] + objects[stop:]))
    n_uses = kinds.count(MC_EVENT)
    output = convert(path, config)
    assert rows(output, "n_showers", "uses_read") == [(n_uses, n_uses - 1)]
    assert f"its header announces {n_uses} simulated events, the file holds {n_uses - 1}" in caplog.text
    caplog.clear()
    convert(two[1], config, output="whole.h5")
    assert "announces" not in caplog.text


# -- runs that give nothing ------------------------------------------------------------------------------


def test_a_first_run_without_selected_telescope_is_passed_over(two, make_config, convert, tmp_path, caplog):
    write_demo_file(tmp_path / "sct.simtel", events=2, telescopes="SCT:1", run=3, energy="5,50", scatter=100)
    path = joined([tmp_path / "sct.simtel", two[0]], tmp_path / "both.simtel.gz", "concatenated")
    config = make_config(telescope_type_mode="LST", storage_mode="mapped", image_scale_factor=1)
    found = read_dataset(convert(path, config))
    assert [(event["run_number"], event["event_number"]) for event in found] == numbers(two[0])
    assert "run 3: it has 1 SCT SCTCam, none of type_mode = LST: it is left out" in caplog.text


def test_a_first_run_without_kept_event_does_not_decide_the_telescopes(two, make_config, convert, tmp_path, caplog):
    write_demo_file(tmp_path / "other.simtel", events=3, telescopes="LST:3", run=3)
    path = joined([tmp_path / "other.simtel", two[0]], tmp_path / "both.simtel.gz", "concatenated")
    wanted = numbers(two[0])
    (tmp_path / "cuts.pkl").write_bytes(pickle.dumps({key: (0, 1.0) for key in wanted}))
    config = make_config(use_pkl_dict=True, telescope_type_mode="LST", storage_mode="mapped", image_scale_factor=1)
    output = convert(path, config, tmp_path / "cuts.pkl")
    assert [(event["run_number"], event["event_number"]) for event in read_dataset(output)] == wanted
    assert rows(output, "run_number", "primary") == [(1, 0)]
    assert "run 3: none of its events is kept: it is left out" in caplog.text


def test_a_run_of_another_file_of_that_name_is_refused_behind_others_too(two, config, convert, tmp_path, caplog):
    output = convert(two[0], config)
    other = tmp_path / "elsewhere" / "run1.simtel"
    other.parent.mkdir()
    write_demo_file(tmp_path / "again.simtel", events=3, telescopes="LST:2", run=1, seed=5)
    joined([two[1], tmp_path / "again.simtel"], other, "concatenated")
    convert(other, config, code=2)
    assert "the output has run 1 of a file of that name" in caplog.text
    assert rows(output, "run_number", "primary") == [(1, 0)]


def test_runs_of_one_number_may_stand_apart_in_a_file(two, config, convert, tmp_path):
    write_demo_file(tmp_path / "again.simtel", events=3, telescopes="LST:2", run=1, seed=5)
    path = joined([*two, tmp_path / "again.simtel"], tmp_path / "three.simtel.gz", "concatenated")
    output = convert(path, config)
    assert [number for number, _ in rows(output, "run_number", "primary")] == [1, 2, 1]
    checked = called("read_data", output, "--check")
    assert (checked.returncode, checked.stderr) == (0, "")


def test_no_event_of_a_dictionary_is_said(two, make_config, tmp_path):
    config = make_config(use_pkl_dict=True, telescope_type_mode="LST", storage_mode="mapped", image_scale_factor=1)
    (tmp_path / "cuts.pkl").write_bytes(pickle.dumps({(99, 5): (0, 1.0)}))
    ended = called("convert", two[0], tmp_path / "o.h5", config, tmp_path / "cuts.pkl")
    assert ended.returncode == 1
    n = len(numbers(two[0]))
    assert f"no event of {n} passes: {n} not in dictionary: nothing is written" in ended.stderr
    assert not (tmp_path / "o.h5").exists()


def test_on_error_stop_holds_for_what_does_not_fit(two, make_config, tmp_path):
    write_demo_file(tmp_path / "x9.simtel", events=3, telescopes="LST:3", run=9)
    (tmp_path / "a1.simtel").write_bytes(two[0].read_bytes())
    config = make_config(telescope_type_mode="LST", storage_mode="mapped", image_scale_factor=1)
    ended = called("convert", tmp_path / "*.simtel", tmp_path / "o.h5", config, "--on_error", "stop")
    assert ended.returncode == 1
    assert f"x9.simtel: its telescopes do not fit the first run, of {tmp_path / 'a1.simtel'}: " in ended.stderr
    assert not (tmp_path / "o.h5").exists()


def test_warnings_of_finished_parts_are_said_again(two, config, convert, tmp_path, caplog, monkeypatch):
    """A run that died after the conversion: the same command finishes, and says what the first said."""
    objects = objects_of(two[0].read_bytes())
    (tmp_path / "cut.simtel").write_bytes(b"".join(objects[:-1]))

    def die(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("image_extractor.batch.outputs.Target.write", die)
        convert(tmp_path / "cut.simtel", config, "--on_truncated", "keep", code=130)
    assert "what is whole before is kept" in caplog.text
    caplog.clear()
    convert(tmp_path / "cut.simtel", config, "--on_truncated", "keep")
    assert "by an earlier run" in caplog.text
    assert "what is whole before is kept" in caplog.text
