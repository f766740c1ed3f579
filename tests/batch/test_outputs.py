"""Parts to outputs: by way of groups, and to numbered outputs; always the same content."""

import pytest
from helpers.processes import called
from helpers.reading import content, read_dataset

from image_extractor import DatasetError, ImageExtractor
from image_extractor.batch import merge, outputs, tasks
from image_extractor.dataset import ImageDataset
from image_extractor.workers import crew, work

ORDER = "--shuffle", "--split", "0.6,0.4"


@pytest.fixture
def groups(monkeypatch):
    """Merge by way of groups of three parts, however few there are; returns the groups that were merged."""
    merged, build = [], merge.build
    monkeypatch.setattr(outputs, "MANY", 1)
    monkeypatch.setattr(outputs, "GROUP", 3)
    monkeypatch.setattr(
        merge, "build", lambda paths, *rest, **options: merged.append(len(paths)) or build(paths, *rest, **options)
    )
    return merged


@pytest.fixture
def threads():
    """Workers in this process, which see what is patched."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(2) as executor:
        yield executor


def events(path):
    return [(event["run_number"], event["gamma_hadron_label"], event["event_number"]) for event in read_dataset(path)]


@pytest.mark.slow
def test_a_tree_of_merges_gives_what_one_merge_gives(groups, threads, production, config, convert, tmp_path):
    """In order, and shuffled and split; appended to, too."""
    options = {"seed": 0, "split": {"Training": 0.6, "Validation": 0.4}}
    extractor = ImageExtractor.from_config(tmp_path / "tree.h5", None, config)
    extractor.process_files(production, executor=threads, **options)
    assert sorted(groups) == [1, 2, 3]  # groups of three and one, and these two
    direct = ImageExtractor.from_config(tmp_path / "direct.h5", None, config)
    direct.process_files(production, **options)
    assert content(tmp_path / "tree.h5") == content(tmp_path / "direct.h5")
    assert not (tmp_path / "tree.h5.parts").exists()


def test_large_parts_are_not_merged_in_groups(groups, threads, production, config, tmp_path, monkeypatch):
    """Their images would be written twice, which takes longer than to open them."""
    monkeypatch.setattr(outputs, "SMALL", 1000)
    extractor = ImageExtractor.from_config(tmp_path / "o.h5", None, config)
    extractor.process_files(production, executor=threads)
    assert groups == [4]


@pytest.mark.slow
def test_a_tree_goes_on_where_it_was_interrupted(groups, threads, production, config, tmp_path, monkeypatch):
    extractor = ImageExtractor.from_config(tmp_path / "o.h5", None, config)
    build = merge.build

    def full(paths, target, *rest, **options):
        if target == tmp_path / "o.h5":
            raise OSError(28, "No space left on device")
        build(paths, target, *rest, **options)

    with monkeypatch.context() as patch:
        patch.setattr(merge, "build", full)
        with pytest.raises(OSError, match="No space"):
            extractor.process_files(production, executor=threads)
    assert len(list((tmp_path / "o.h5.parts").glob("group_*.h5"))) == 2
    groups.clear()
    extractor.process_files(production, executor=threads)
    assert groups == [2]  # only the last merge was left to do
    direct = ImageExtractor.from_config(tmp_path / "direct.h5", None, config)
    direct.process_files(production)
    assert content(tmp_path / "o.h5") == content(tmp_path / "direct.h5")


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 2])
def test_numbered_outputs_are_those_of_runs_of_their_own(jobs, production, config, convert, tmp_path, capsys):
    pattern = f"{production[0].parent}/*"
    convert(pattern, config, *ORDER, "--files_per_output", 3, "--jobs", jobs, output="set.h5")
    assert f"{tmp_path}/set_0000.h5 ... {tmp_path}/set_0001.h5: written" in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.glob("set*")) == ["set_0000.h5", "set_0001.h5"]
    first = ImageExtractor.from_config(tmp_path / "first.h5", None, config)
    first.process_files(production[:3], seed=0, split={"Training": 0.6, "Validation": 0.4})
    assert content(tmp_path / "set_0000.h5") == content(tmp_path / "first.h5")
    whole = convert(pattern, config, *ORDER, output="whole.h5")
    numbered = sorted(tmp_path.glob("set_*.h5"))
    assert sorted(event for path in numbered for event in events(path)) == sorted(events(whole))
    sizes = []
    for table in ("Training", "Validation"):
        with ImageDataset(numbered, table, telescopes="LST") as dataset:
            sizes.append(len(dataset))
    with (
        ImageDataset(whole, "Training", telescopes="LST") as training,
        ImageDataset(whole, "Validation", telescopes="LST") as validation,
    ):
        assert sum(sizes) == len(training) + len(validation)


@pytest.mark.slow
def test_numbered_outputs_grow_by_new_ones(production, config, convert, tmp_path, capsys):
    """What any of them holds is not written again; --overwrite starts afresh and leaves no old one."""
    for i, pattern in enumerate(("gamma*", "*", "*")):
        convert(f"{production[0].parent}/{pattern}", config, "--files_per_output", 2, output="set.h5")
        assert len(list(tmp_path.glob("set_*.h5"))) == 2 + (i > 0)
    assert capsys.readouterr().out.count("in the output already, skipped") == 3 + 4
    assert len(events(tmp_path / "set_0002.h5")) == 5
    assert sorted(event for path in tmp_path.glob("set_*.h5") for event in events(path)) == sorted(
        events(convert(f"{production[0].parent}/*", config, output="whole.h5"))
    )
    convert(production[1], config, "--files_per_output", 2, "--overwrite", output="set.h5")
    [left] = tmp_path.glob("set_*.h5")
    assert {run for run, *_ in events(left)} == {2}


def test_events_of_another_numbered_output_are_refused(production, config, convert, tmp_path, caplog):
    convert(production[0], config, "--files_per_output", 1, output="set.h5")
    copy = tmp_path / "copy_of_run1.simtel.gz"
    copy.write_bytes(production[0].read_bytes())
    convert(copy, config, "--files_per_output", 1, output="set.h5", code=1)
    assert f"{copy}: it has the same events as {production[0].name}" in caplog.text
    assert len(list(tmp_path.glob("set_*.h5"))) == 1


def test_a_numbered_output_that_is_not_ours_is_refused(production, config, tmp_path):
    (tmp_path / "set_0000.h5").write_text("my thesis")
    done = called("convert", production[0], tmp_path / "set.h5", config, "--files_per_output", 2)
    assert done.returncode == 2
    assert "set_0000.h5: not a readable HDF5 file" in done.stderr
    assert (tmp_path / "set_0000.h5").read_text() == "my thesis"


def test_a_merge_that_kills_its_workers_ends_the_run(groups, threads, production, config, tmp_path, monkeypatch):
    monkeypatch.setattr(work, "MAX_DEATHS", 0)
    parts = tmp_path / "o.h5.parts"
    merges = [tasks.MergeTask((), parts / "group.h5", None, None)]
    parts.mkdir()
    with (
        crew.Crew(None, parts, threads, 2) as here,
        pytest.raises(OSError, match=r"merging group\.h5 killed its worker"),
    ):
        outputs._merge_all(merges, here, lambda: None)
    with pytest.raises(DatasetError):
        merge.build([tmp_path / "missing.h5"], tmp_path / "o.h5", parts)
