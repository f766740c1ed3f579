"""Tasks on any concurrent.futures.Executor, and what may go wrong there."""

import concurrent.futures
import multiprocessing
import threading

import pytest
from odd_extractors import Deadly
from reading import content

from image_extractor import ConfigError, ImageExtractor, part
from image_extractor.batch import Progress

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


@pytest.mark.parametrize("kind", EXECUTORS)
def test_any_executor_gives_the_same_and_is_left_open(kind, production, config, convert, tmp_path):
    expected = content(convert(f"{production[0].parent}/*", config))
    files = [next(p for p in production if p.name == name) for name, *_ in sorted_runs(expected)]
    extractor, progress = ImageExtractor.from_config(tmp_path / "o.h5", None, config), Counting()
    with EXECUTORS[kind]() as executor:
        report = extractor.process_files(files, executor=executor, progress=progress)
        assert executor.submit(sum, (1, 2)).result() == 3
    assert [run["status"] for run in report.runs] == ["written"] * 4
    assert (progress.n_files, progress.n_events) == (4, sum(run["events_read"] for run in report.runs))
    assert content(tmp_path / "o.h5") == expected
    assert not (tmp_path / "o.h5.parts").exists()


def sorted_runs(found):
    """Return the file names of a dataset's content, in the order of its Run_Table."""
    _, data, _ = found["/Run_Table"]
    names = [b"gamma_run1.simtel.gz", b"gamma_run2.simtel.zst", b"gamma_run10.simtel", b"proton_run1.simtel.gz"]
    return [(name.decode(),) for name in sorted(names, key=data.index)]


def test_an_executor_that_breaks_ends_the_run_in_a_state_to_go_on_from(production, config, convert, tmp_path):
    """Unlike workers of our own, an executor that lost a process is of no more use."""
    extractor = Deadly.from_config(tmp_path / "o.h5", None, config)
    with EXECUTORS["processes"]() as executor, pytest.raises(OSError, match="a worker process died"):
        extractor.process_files(production, executor=executor)
    assert not (tmp_path / "o.h5").exists()
    again = ImageExtractor.from_config(tmp_path / "o.h5", None, config)
    assert not again.process_files(production).failed


def test_a_file_that_kills_has_no_effect_on_others_of_the_pool(production, config, tmp_path):
    report = Deadly.from_config(tmp_path / "o.h5", None, config).process_files(production, jobs=2)
    assert [run["status"] for run in report.runs] == ["written", "failed", "written", "written"]
    assert report.failed[0]["reason"] == f"{production[1]}: its worker process died 3 times"


def test_workers_with_other_software_are_refused(production, config, tmp_path, monkeypatch):
    """Their parts would not be what this run makes."""
    here, versions = threading.get_ident(), part.versions
    monkeypatch.setattr(
        part, "versions", lambda: versions() | ({} if threading.get_ident() == here else {"ctapipe_version": "0.1"})
    )
    extractor = ImageExtractor.from_config(tmp_path / "o.h5", None, config)
    with EXECUTORS["threads"]() as executor, pytest.raises(ConfigError, match=r"has ctapipe 0\.1, this run"):
        extractor.process_files(production, executor=executor)


def test_workers_that_do_not_see_the_folder_are_named(production, config, tmp_path, monkeypatch):
    from image_extractor import tasks

    monkeypatch.setattr(tasks.SharedExtractor, "check_wanted", lambda self: self.path.unlink())
    extractor = ImageExtractor.from_config(tmp_path / "o.h5", None, config)
    with EXECUTORS["threads"]() as executor, pytest.raises(OSError, match="do all workers see this folder"):
        extractor.process_files(production, executor=executor)
