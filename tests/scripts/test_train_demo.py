"""The example of a training: what it says where there is nothing to learn."""

import importlib.util
import os

import pytest
from helpers.made_dataset import write_dataset
from helpers.processes import ROOT, run_script


def with_torch(folder):
    """Return an environment where torch can be imported: a stand-in where it is not installed."""
    if importlib.util.find_spec("torch") is None:
        (folder / "torch" / "utils" / "data").mkdir(parents=True)
        (folder / "torch" / "__init__.py").write_text("nn = None\n")
        (folder / "torch" / "utils" / "__init__.py").write_text("")
        (folder / "torch" / "utils" / "data" / "__init__.py").write_text("DataLoader = None\n")
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])}


@pytest.mark.slow
def test_one_class_is_one_line(tmp_path):
    """Gammas alone, protons alone; exit code 1. A file that is not there is wrong usage."""
    environment = with_torch(tmp_path)
    for n_events, words in (((20, 0), "and 0 of others"), ((0, 20), "has 0 images of gammas and ")):
        path = tmp_path / f"made{n_events[0]}.h5"
        write_dataset(path, n_events, seed=1, split={"Training": 0.5, "Validation": 0.5})
        result = run_script("train_demo.py", path, "--telescopes", "SST", env=environment)
        assert (result.returncode, result.stdout, result.stderr.count("\n")) == (1, "", 1), result.stderr
        assert result.stderr.startswith(f"ERROR: {path}: Training has ")
        assert words in result.stderr
    result = run_script("train_demo.py", tmp_path / "absent.h5", env=environment)
    assert (result.returncode, result.stderr.count("\n")) == (2, 1)
