"""read_data.py says what is in a dataset."""

import re
import shlex
import subprocess
import sys

import numpy as np
import pytest
import tables
from helpers.geometries import CAMERAS
from helpers.made_dataset import write_dataset
from helpers.processes import ROOT, called, run_script
from helpers.reading import dl1_events

from image_extractor import ImageExtractor
from image_extractor.viewing.dataset_report import summary
from image_extractor.viewing.first_rows import first_rows


def lines_from(text, start):
    """Return the words of the paragraph that starts with a word."""
    paragraph = next(part for part in text.split("\n\n") if part.startswith(start))
    return [re.split(r"  +", line.strip()) for line in paragraph.splitlines()]


@pytest.mark.parametrize("storage_mode", ["all", "mapped"])
def test_summary_counts_what_was_written(tmp_path, storage_mode):
    split = {"Training": 0.75, "Validation": 0.25}
    path = tmp_path / "made.h5"
    made = write_dataset(path, (60, 40), storage_mode=storage_mode, seed=4, split=split)
    text = summary(path)
    n_images = sum(len(event.pixels) for event in made)
    assert f"100 events, {n_images} images of 3 telescopes; mode gh_class, storage {storage_mode}" in text
    assert "shuffled, seed 4, split Training 0.75, Validation 0.25" in text
    assert "command    a test" in text

    groups = {row[0]: row for row in lines_from(text, "events")}
    for index, (low, high) in enumerate([(-1, -0.5), (-0.5, 0), (0, 0.5), (0.5, 1)]):
        energies = [event.energy for event in made if low <= np.log10(event.energy) < high]
        _, edges, training, validation, total, span = groups[f"E{index}"]
        assert edges == f"{low:g} to {high:g} log10(TeV)"
        assert int(training) + int(validation) == int(total) == len(energies)
        assert span == f"{min(energies):.4g} to {max(energies):.4g} TeV"
    primaries = lines_from(text, "primary")
    assert [(row[0], int(row[-1])) for row in primaries[1:]] == [("gamma (0)", 60), ("proton (101)", 40)]
    shares = [float(re.search(r"\((.*) %\)", cell)[1]) for cell in primaries[1][1:3]]
    assert sum(shares) == pytest.approx(100, abs=0.11)
    lst, sst = lines_from(text, "telescopes")[1:]
    per_telescope = [sum(tel_id in event.pixels for event in made) for tel_id in (1, 2, 7)]
    assert lst[:2] == ["LST", "HexCam"]
    assert lst[6] == ", ".join(map(str, per_telescope[:2]))
    assert (sst[5], sst[7]) == (str(per_telescope[2]), "7")


@pytest.mark.one_in(3)
@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"image_dtype": "int16"}, "PIXELS_3C (charge), channels_last, int16 (100 per p.e.), scale_factor 2"),
        (
            {"image_mode": "PIXELS_MASK_2C"},
            "PIXELS_MASK_2C (charge, mask), channels_last, float32 (p.e. and ns as they",
        ),
        (
            {"image_mode": "PIXELS_TIMING_MASK_3C", "image_dtype": "int16", "image_cleaned": True},
            "(charge, time, mask, cleaned), channels_last, int16 (100 per p.e., 100 per ns, 100 per whole cell)",
        ),
    ],
)
def test_summary_says_what_channels_hold(tmp_path, settings, words):
    write_dataset(tmp_path / "made.h5", (2, 2), **settings)
    assert words in " ".join(summary(tmp_path / "made.h5").split())


@pytest.mark.slow
def test_summary_fits_a_screen(tmp_path):
    path = tmp_path / "made.h5"
    bins = {"energy_bins_min": -4.0, "energy_bins_max": 4.0, "energy_bins_bin_size": 0.2}
    write_dataset(path, (30, 30), image_dtype="float32", split={"Training": 0.9, "Validation": 0.1}, **bins)
    lines = summary(path).splitlines()
    assert len(lines) <= 50
    assert max(map(len, lines)) <= 140
    others = next(line for line in lines if "others" in line).split()
    shown = [line.split() for line in lines if re.match(r"E\d+ ", line)]
    assert int(others[0]) + len(shown) == 40
    everything = next(line for line in lines if line.startswith("all ")).split()
    assert everything[3] == "60"


def test_first_rows_have_units(tmp_path):
    path = tmp_path / "made.h5"
    write_dataset(path, (5, 5), mode="energy_recon")
    lines = first_rows(path, 3).splitlines()
    assert lines[0] == "/Events: 3 of 10 rows"
    names, units = re.split(r"  +", lines[1].strip()), lines[2].split()
    assert names[:3] == ["event_number", "run_number", "gamma_hadron_label"]
    assert units == [*["m", "m", "m", "TeV", "rad", "rad", "TeV", "g/cm2", "deg", "deg", "rad", "rad", "tel_id"]]
    assert len(lines) == 6
    with tables.open_file(str(path)) as file:
        row = file.root.Events[0]
        assert lines[3].split()[:3] == [str(row[name]) for name in names[:3]]
        assert f"{row['mc_energy']:.5g}" in lines[3]
    starts = {line.index(word) + len(word) for line, word in ((lines[1], "mc_energy"), (lines[2], "TeV"))}
    assert len(starts) == 1  # the unit stands below its column


def test_demo_data(tmp_path, all_cameras):
    settings = {"use_pkl_dict": False, "telescope_type_mode": "ALL", "storage_mode": "mapped", "image_dtype": "uint16"}
    extractor = ImageExtractor(tmp_path / "demo.h5", None, "gh_class", energy_bins_max=4, **settings)
    extractor.process_files([all_cameras])
    charges = [dl1.image for _, event in dl1_events(all_cameras) for dl1 in event.dl1.tel.values()]
    energies = [event.simulation.shower.energy.to_value("TeV") for _, event in dl1_events(all_cameras)]
    text = called("read_data", tmp_path / "demo.h5").stdout
    assert f"{len(energies)} events, {len(charges)} images of 10 telescopes" in text
    assert f"{min(energies):.4g}" in text
    assert f"{max(energies):.4g} TeV" in text
    assert lines_from(text, "telescopes")[1][:3] == ["LST", "LSTCam", "1855"]
    assert {row[1] for row in lines_from(text, "telescopes")[1:]} == set(CAMERAS)
    runs = dict(zip(*lines_from(text, "runs"), strict=True))
    found = [runs[name] for name in ("run numbers", "images", "clipped pixels", "negative pixels")]
    scaled = np.round(100.0 * np.concatenate(charges))
    n_clipped, n_negative = np.count_nonzero(scaled > 65535), np.count_nonzero(scaled < 0)
    assert found == ["3", str(len(charges)), str(n_clipped), str(n_negative)]
    assert lines_from(text, "cut flow")[1:] == [
        ["events read", str(len(energies))],
        ["events written", str(len(energies))],
    ]
    checked = called("read_data", tmp_path / "demo.h5", "--check")
    assert (checked.returncode, checked.stderr) == (0, "")


def test_real_data(tmp_path, real):
    extractor = ImageExtractor(
        tmp_path / "real.h5", None, "gh_class", use_pkl_dict=False, telescope_type_mode="LST+MST",
        storage_mode="mapped", image_dtype="uint16",
    )  # fmt: skip
    extractor.process_files([real("history_meta_75.simtel.zst")])
    text = called("read_data", tmp_path / "real.h5").stdout
    assert "1 event, 15 images of 19 telescopes" in text
    assert lines_from(text, "events")[3] == ["E2", "0 to 0.5 log10(TeV)", "1", "1", "1.296 TeV"]
    assert lines_from(text, "telescopes")[1][:6] == ["LST", "LSTCam", "1855", "94 x 110", "4", "4"]
    runs = dict(zip(*lines_from(text, "runs"), strict=True))
    assert (runs["run numbers"], runs["images"]) == ("4", "15")
    assert int(runs["clipped pixels"]) > 0  # the pixel of 659.6 p.e.
    assert int(runs["negative pixels"]) == 14561
    checked = called("read_data", tmp_path / "real.h5", "--check")
    assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.parametrize("script", ["read_data.py", "visualize_events.py", "plot_numtel.py"])
def test_help(script):
    result = run_script(script, "--help")
    assert result.returncode == 0
    assert result.stdout.startswith(f"usage: {script}")


@pytest.mark.parametrize("room", ["read_data", "visualize_events", "plot_numtel"])
def test_commands_start_light(room):
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\nimport image_extractor.commands.{room}\n"
        "print([name for name in ('ctapipe', 'tables', 'matplotlib', 'astropy', 'scipy') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert result.stdout.strip() == "[]"


def test_a_reader_that_stops_early_is_no_error(tmp_path):
    write_dataset(tmp_path / "made.h5", (200, 200))
    command = shlex.join([sys.executable, str(ROOT / "scripts/read_data.py"), str(tmp_path / "made.h5")])
    command = f"PYTHONPATH={ROOT} {command} --events 400 | head -1"
    result = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=60, check=True)
    assert result.stderr == ""
