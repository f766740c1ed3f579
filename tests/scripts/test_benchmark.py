"""The benchmarks run for real, on small inputs."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from image_extractor import ImageExtractor

BENCHMARKS = Path(__file__).parents[2] / "scripts" / "benchmarks"
STEPS = "ijabcdefghkp"


def run(name, *arguments, folder=None):
    command = [sys.executable, "-P", BENCHMARKS / f"{name}.py", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, check=False, cwd=folder)


@pytest.mark.slow
def test_every_step_is_measured(production, tmp_path):
    report, here = tmp_path / "report.json", tmp_path / "here"
    here.mkdir()
    result = run(
        "conversion", production[0], "--repeats", 1, "--files", 2, "--steps", STEPS, "--json", report,
        "--folder", tmp_path, folder=here,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert not list(here.iterdir())  # ctapipe-process leaves its log nowhere else
    numbers = json.loads(report.read_text())
    steps = {row["step"]: row for row in numbers["steps"]}
    assert set(steps) == set(STEPS)
    assert all(row["wall"] > 0 for row in steps.values())
    assert all(steps[letter]["peak"] > 50 for letter in "fg")
    assert steps["g"]["cpu"] > 0
    assert steps["d"]["wall_to_d"] == steps["f"]["wall_to_f"] == 1
    assert numbers["events"] >= 6
    assert numbers["machine"]["versions"]["ctapipe"]
    assert all(f"({letter})" in result.stdout for letter in steps)


@pytest.mark.parametrize(
    ("arguments", "reason"), [(["nowhere.simtel"], "no such file"), (["--steps", "xyz"], "must be of")]
)
def test_what_can_not_be_measured_is_said_in_one_line(arguments, reason):
    result = run("conversion", *arguments)
    assert result.returncode == 2
    assert reason in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.slow
def test_compressions_are_compared(production, tmp_path):
    settings = {"storage_mode": "mapped", "telescope_type_mode": "ALL", "energy_bins_min": -3, "energy_bins_max": 3}
    ImageExtractor(tmp_path / "d.h5", None, "gh_class", use_pkl_dict=False, **settings).process_data(production[0])
    report = tmp_path / "report.json"
    result = run("compression", tmp_path / "d.h5", "--repeats", 1, "--json", report)
    assert result.returncode == 0, result.stderr
    rows = {(row["compression"], row["chunk"]): row for row in json.loads(report.read_text())}
    assert {chunk for _, chunk in rows} >= {1, 16, 64}
    assert rows["zstd", 1]["size"] < rows["none", 1]["size"]
    assert len(result.stdout.splitlines()) == 2 + len(rows)


def test_compression_needs_a_dataset(tmp_path):
    result = run("compression", tmp_path / "none.h5")
    assert result.returncode == 2
    assert "no such file" in result.stderr


@pytest.mark.slow
def test_stored_images_are_measured(tmp_path):
    report = tmp_path / "report.json"
    done = run("stored_images", "--images", 60, "--events", 4, "--repeats", 1, "--json", report)
    assert done.returncode == 0, done.stderr
    rates = json.loads(report.read_text())["rates"]
    assert len(rates) == 6
    assert all(rate > 0 for rate in rates.values())


@pytest.mark.slow
def test_lookup_tables_are_measured(tmp_path):
    picture = tmp_path / "lookup.png"
    done = run("lookup", "--tables", 30, "--test", 30, "--folder", tmp_path, "--plot", picture)
    assert done.returncode == 0, done.stderr
    assert "gammas: MSCW median " in done.stdout
    assert "area under the curve of MSCW, 2 images and more: " in done.stdout
    assert picture.stat().st_size > 10_000
