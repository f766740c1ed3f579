"""Fixtures of the tests that disturb runs."""

from pathlib import Path

import pytest
from helpers.faults.harness import shared_server


@pytest.fixture
def server():
    """Runs the command in forks of one process; see Server."""
    return shared_server()


@pytest.fixture(scope="session")
def small_runs(tmp_path_factory):
    """Two runs of three events and two telescopes, .gz and .zst."""
    from image_extractor.demo import write_demo_file

    folder = tmp_path_factory.mktemp("small")
    paths = [folder / "run1.simtel.gz", folder / "run2.simtel.zst"]
    for run, path in enumerate(paths, 1):
        write_demo_file(path, events=3, telescopes="SSTC:2", run=run)
    return paths


@pytest.fixture(scope="session")
def many_telescopes(tmp_path_factory):
    """A run of two events and 400 telescopes."""
    from image_extractor.demo import write_demo_file

    path = tmp_path_factory.mktemp("many") / "many.simtel"
    write_demo_file(path, events=2, telescopes="SSTC:400", energy=(20.0, 50.0))
    return path


def pytest_collection_modifyitems(items):
    """Disturbances are tried by CI, and by whoever asks for them."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.slow)
