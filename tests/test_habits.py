"""What developers are asked for: a line in the changelog, and one version everywhere."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from image_extractor import __version__

ROOT = Path(__file__).parents[1]


def git(folder, *arguments):
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def clone(tmp_path):
    """A repository with the check, a package and a changelog, all committed."""
    if shutil.which("git") is None:
        pytest.skip("git is not at hand")
    for name, text in {"CHANGELOG.md": "# Changes\n", "image_extractor/a.py": "", "doc/a.txt": ""}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "changelog", tmp_path / ".ci" / "changelog")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-q", "-m", "start")
    git(tmp_path, "branch", "landed")
    return tmp_path


def check_changelog(folder, base="landed"):
    environment = {"PATH": "/usr/bin:/bin:/usr/local/bin", "BASE": base}
    return subprocess.run([folder / ".ci" / "changelog"], env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        (["image_extractor/a.py"], 1),
        (["image_extractor/a.py", "CHANGELOG.md"], 0),
        (["doc/a.txt"], 0),
        ([], 0),
    ],
)
def test_a_change_has_a_line_in_the_changelog(clone, changed, code):
    for name in changed:
        (clone / name).write_text("changed\n")
    if changed:
        git(clone, "commit", "-a", "-q", "-m", "change")
    done = check_changelog(clone)
    assert done.returncode == code
    assert ("CHANGELOG.md: has no new line" in done.stderr) == bool(code)


def test_without_anything_to_compare_with_the_changelog_is_not_judged(clone):
    done = check_changelog(clone, base="nowhere")
    assert done.returncode == 0
    assert "nowhere is not known" in done.stdout


def test_one_version():
    citation = (ROOT / "CITATION.cff").read_text()
    assert re.search(r"^version: (.+)$", citation, re.MULTILINE)[1] == __version__
    assert f"\n## {__version__}\n" in (ROOT / "CHANGELOG.md").read_text()
