"""The example of a training: what it says where there is nothing to learn, and how it goes on."""

import importlib.util
import os
import subprocess
import sys

import pytest
from helpers.made_dataset import write_dataset
from helpers.processes import ROOT, called, run_script

from image_extractor.demo import write_demo_file


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


#: Ends at the n-th checkpoint, as by SIGKILL.
KILLED = """
import os, sys
sys.path.insert(0, "scripts")
import train_demo
train_demo.CHECKPOINT_BATCHES = 1
keep, left = train_demo.Training._keep, [int(sys.argv.pop(1))]
def killed(self):
    keep(self)
    left[0] -= 1
    if left[0] == 0:
        sys.stdout.flush()
        os.kill(os.getpid(), 9)
train_demo.Training._keep = killed
sys.exit(train_demo.main())
"""


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="torch is not installed")
def test_an_interrupted_training_ends_as_if_it_was_not(tmp_path):
    """Killed in the middle of an epoch, at its end, and in the last one."""
    import torch
    from conftest import write_config

    for primary, run_number in (("gamma", 5), ("proton", 105)):
        path = tmp_path / f"{primary}.simtel.gz"
        write_demo_file(path, events=100, telescopes="LST:3", primary=primary, run=run_number, seed=run_number)
    settings = write_config(tmp_path / "s.config", telescope_type_mode="LST", image_scale_factor=1)
    options = "--shuffle", "--split", "0.7,0.3", "--jobs", 1
    assert called("convert", tmp_path / "*.simtel.gz", tmp_path / "train.h5", settings, *options).returncode == 0
    options = tmp_path / "train.h5", "--epochs", 3

    def run(n_checkpoints, *more):
        command = [sys.executable, "-P", "-c", KILLED, n_checkpoints, *options, *more]
        ended = subprocess.run([*map(str, command)], cwd=ROOT, capture_output=True, text=True, env=with_torch(tmp_path))
        assert ended.returncode in (0, -9), ended.stderr
        return ended.returncode, ended.stdout.splitlines()

    code, whole = run(0, "--save", tmp_path / "whole.pt")
    assert code == 0
    assert "images/s" in whole[3]
    checkpoint, seen = tmp_path / "training.pt", []
    for n_checkpoints in (2, 3, 1):
        code, lines = run(n_checkpoints, "--checkpoint", checkpoint)
        assert code == -9
        seen += lines
    code, lines = run(0, "--checkpoint", checkpoint, "--save", tmp_path / "resumed.pt")
    assert code == 0
    seen += lines
    epochs = [line for line in seen if line.startswith("epoch ")]
    assert epochs == [line for line in whole if line.startswith("epoch ")]
    assert "goes on in epoch 1 after 2 batches" in seen[0]
    networks = [torch.load(tmp_path / f"{name}.pt", weights_only=True)["network"] for name in ("whole", "resumed")]
    assert all(torch.equal(networks[0][name], networks[1][name]) for name in networks[0])
