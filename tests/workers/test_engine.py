"""Tasks on any concurrent.futures.Executor, and what may go wrong there."""

import concurrent.futures
import gc
import multiprocessing
import threading
import tracemalloc

import pytest
from helpers.odd_extractors import Deadly
from helpers.reading import content

from image_extractor import ConfigError, ImageExtractor
from image_extractor.batch import many_files, tasks
from image_extractor.batch.many_files import Progress
from image_extractor.batch.parts_folder import hold_parts_folder
from image_extractor.conversion import converter
from image_extractor.hdf5 import provenance
from image_extractor.workers import crew, engine, work

EXECUTORS = {
    "threads": lambda: concurrent.futures.ThreadPoolExecutor(2),
    "processes": lambda: concurrent.futures.ProcessPoolExecutor(2, multiprocessing.get_context("spawn")),
}


class Counting(Progress):
    def __init__(self):
        self.n_events, self.n_files = 0, 0

    def read(self, file, n_events, fraction):
        self.n_events += n_events

    def done(self, run):
        self.n_files += 1


@pytest.mark.slow
@pytest.mark.parametrize("kind", EXECUTORS)
def test_any_executor_gives_the_same_and_is_left_open(kind, production, config, convert, tmp_path):
    expected = content(convert(f"{production[0].parent}/*", config))
    files = [next(p for p in production if p.name == name) for name, *_ in sorted_runs(expected)]
    extractor, progress = ImageExtractor.from_config(tmp_path / "o.h5", None, config), Counting()
    with EXECUTORS[kind]() as executor:
        report = extractor.process_files(files, executor=executor, progress=progress)
        assert executor.submit(sum, (1, 2)).result() == 3
    assert [run["status"] for run in report.outcomes] == ["written"] * 4
    assert (progress.n_files, progress.n_events) == (4, sum(run["events_read"] for run in report.outcomes))
    assert content(tmp_path / "o.h5") == expected
    assert not (tmp_path / "o.h5.parts").exists()


def sorted_runs(found):
    """Return the file names of a dataset's content, in the order of its Run_Table."""
    _, data, _ = found["/Run_Table"]
    names = [b"gamma_run1.simtel.gz", b"gamma_run2.simtel.zst", b"gamma_run10.simtel", b"proton_run1.simtel.gz"]
    return [(name.decode(),) for name in sorted(names, key=data.index)]


@pytest.mark.slow
def test_an_executor_that_breaks_ends_the_run_in_a_state_to_go_on_from(
    production, config, convert, tmp_path, monkeypatch
):
    """Unlike workers of our own, an executor that lost a process is of no more use."""
    extractor = ImageExtractor.from_config(tmp_path / "o.h5", None, config)
    with EXECUTORS["processes"]() as executor, monkeypatch.context() as patch:
        patch.setattr(converter, "Converter", Deadly)
        with pytest.raises(OSError, match="a worker process died"):
            extractor.process_files(production, executor=executor)
    assert not (tmp_path / "o.h5").exists()
    again = ImageExtractor.from_config(tmp_path / "o.h5", None, config)
    assert not again.process_files(production).failed


@pytest.mark.slow
def test_a_file_that_kills_has_no_effect_on_others_of_the_pool(production, config, tmp_path, monkeypatch):
    monkeypatch.setattr(converter, "Converter", Deadly)
    report = ImageExtractor.from_config(tmp_path / "o.h5", None, config).process_files(production, jobs=2)
    assert [run["status"] for run in report.outcomes] == ["written", "failed", "written", "written"]
    assert report.failed[0]["reason"] == f"{production[1]}: its worker process died 3 times"


def test_workers_with_other_software_are_refused(production, config, tmp_path, monkeypatch):
    """Their parts would not be what this run makes."""
    here, versions = threading.get_ident(), provenance.versions
    monkeypatch.setattr(
        provenance,
        "versions",
        lambda: versions() | ({} if threading.get_ident() == here else {"ctapipe_version": "0.1"}),
    )
    extractor = ImageExtractor.from_config(tmp_path / "o.h5", None, config)
    with EXECUTORS["threads"]() as executor, pytest.raises(ConfigError, match=r"has ctapipe 0\.1, this run"):
        extractor.process_files(production, executor=executor)


def test_workers_that_do_not_see_the_folder_are_named(production, config, tmp_path, monkeypatch):
    monkeypatch.setattr(work.SharedTool, "check_wanted", lambda self: self.path.unlink())
    extractor = ImageExtractor.from_config(tmp_path / "o.h5", None, config)
    with EXECUTORS["threads"]() as executor, pytest.raises(OSError, match="do all workers see this folder"):
        extractor.process_files(production, executor=executor)


class Pretending(converter.Converter):
    """Converts nothing, but reports as if."""

    def convert(self, data_file, *_):
        return self.report | {"file_name": data_file.name}


@pytest.fixture
def many(production, config, tmp_path):
    """Return a function that has so many inputs pretended to be converted; it returns the outcomes."""
    extractor = ImageExtractor.from_config(tmp_path / "one.h5", None, config)
    report = extractor.process_files(production[:1]).outcomes[0]
    pretending = Pretending(extractor.settings, None)
    pretending.report = report

    def run(n_files, executor, begun=lambda _: None):
        def conversions():
            for i in range(n_files):
                begun(i)
                path = tmp_path / f"run{i}.simtel"
                path.touch()
                yield tasks.ConversionTask(str(path), path, parts_folder.part_path(path), tasks.Options())

        with (
            hold_parts_folder(tmp_path / "o.h5") as parts_folder,
            crew.Crew(pretending, parts_folder.folder, executor, 1) as here,
        ):
            return many_files.convert_all(here, conversions(), n_files, "stop", Progress())

    return run


def test_tasks_are_submitted_in_a_bounded_window(many, monkeypatch):
    """And tasks are made only then."""
    monkeypatch.setattr(engine, "WINDOW", 5)
    submitted, finished, most, begun = [], [], [], []

    class Counting(concurrent.futures.ThreadPoolExecutor):
        def submit(self, *arguments):
            future = super().submit(*arguments)
            submitted.append(future)
            most.append(len(submitted) - len(finished))
            return future

    def noted(index):
        begun.append(index)
        finished[:] = [future for future in submitted if future.done()]
        assert len(begun) <= len(finished) + 5

    with Counting(2) as executor:
        runs = many(60, executor, noted)
    assert [run["file_name"] for run in runs] == [f"run{i}.simtel" for i in range(60)]
    assert len(submitted) == 60
    assert max(most) <= 5


@pytest.mark.slow
def test_memory_grows_by_a_small_record_for_each_file(many, monkeypatch):
    """Its outcome in the report, which is what a caller asks for."""
    monkeypatch.setattr(engine, "WINDOW", 50)
    with concurrent.futures.ThreadPoolExecutor(2) as executor:
        many(100, executor)
        tracemalloc.start()
        runs = many(1000, executor)
        gc.collect()
        grown, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert len(runs) == 1000
    assert grown < 1000 * 2000
    assert most < grown + (1 << 20)
