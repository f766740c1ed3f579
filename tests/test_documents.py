"""The README and the site: their examples run as printed, their links lead somewhere."""

import importlib.util
import os
import re
import subprocess
import sys

import pytest
from helpers.documents import PAGES, ROOT, code, links
from helpers.processes import called, run_command

from image_extractor import ImageExtractor
from image_extractor.demo import write_demo_file

#: Pages that have an example of their own, a word of it, and what it needs.
EXAMPLES = [
    ("README.md", "image_extractor.dataset", None),
    ("docs/howto/training.md", "log10_energy", None),
    ("docs/howto/training.md", "import torch", "torch"),
    ("docs/howto/training.md", "import keras", "keras"),
    ("docs/howto/pixels.md", "import tables", None),
    ("docs/howto/pixels.md", "edge_index", None),
]


def is_missing(package):
    return package is not None and importlib.util.find_spec(package) is None


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with dataset.h5, gammas and protons of two LSTs, and the inputs of it."""
    folder = tmp_path_factory.mktemp("documents")
    files = []
    for primary, run in (("gamma", 1), ("proton", 101)):
        files.append(folder / f"{primary}_run{run}.simtel.gz")
        write_demo_file(files[-1], primary=primary, run=run, seed=run, events=60, telescopes="LST:2", energy=(0.2, 10))
    extractor = ImageExtractor.from_config(folder / "dataset.h5", None, ROOT / "aux/config/all_events.config")
    extractor.process_files(files, jobs=1, seed=0, split={"Training": 0.8, "Validation": 0.2})
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(("page", "word", "needs"), EXAMPLES, ids=[f"{page} {word}" for page, word, _ in EXAMPLES])
def test_examples_run_as_they_are_printed(folder, page, word, needs):
    if is_missing(needs):
        pytest.skip(f"{needs} is not installed")
    (folder / "example.py").write_text(code(page, word))
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    ended = subprocess.run(
        [sys.executable, "-P", "example.py"], cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )
    assert ended.returncode == 0, ended.stderr[-3000:]


@pytest.mark.slow
def test_the_class_works_as_the_readme_has_it(folder, tmp_path):
    for name in ("gamma_run1.simtel.gz", "proton_run101.simtel.gz"):
        (tmp_path / name).symlink_to(folder / name)
    (tmp_path / "settings.config").write_text((ROOT / "aux/config/all_events.config").read_text())
    (tmp_path / "example.py").write_text(code("README.md", "process_files"))
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    ended = subprocess.run(
        [sys.executable, "-P", "example.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    assert "all is well: 120 events" in called("read_data", tmp_path / "dataset.h5", "--check").stdout


def test_the_readme_is_one_that_is_read():
    text = (ROOT / "README.md").read_text()
    assert len(text) <= 7000
    assert "scripts/test.sh" in text


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_links_lead_somewhere(page):
    for link in links(page):
        if "://" in link:
            continue
        place, _, heading = link.partition("#")
        target = (page.parent / place) if place else page
        assert target.exists(), f"{page}: {link}"
        if heading:
            headings = re.findall(r"^#+ (.+)$", target.read_text(), re.M)
            assert heading in {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in headings}, link


def test_commands_tell_their_version_and_options():
    for arguments in (["--version"], ["--help"]):
        ended = run_command(*arguments)
        assert (ended.returncode, ended.stderr) == (0, "")
