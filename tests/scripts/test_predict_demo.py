"""The example of a prediction: tables that ctapipe reads, joined with its own of the same file."""

import os
from pathlib import Path

import numpy as np
import pytest
from astropy.table import join
from ctapipe.io import HDF5Merger, TableLoader, read_table
from helpers.night import process_night, write_night
from helpers.processes import ROOT, called, run_script

from image_extractor.dataset import ImageDataset
from image_extractor.demo import write_demo_file

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.slow

SETTINGS = {
    "storage_mode": "mapped", "image_mode": "PIXELS_TIMING_2C", "telescope_type_mode": "LST", "image_scale_factor": 1,
}  # fmt: skip
IDS = ["obs_id", "event_id", "tel_id"]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A network of gammas and energies, ctapipe's file of a night, and the dataset made of that."""
    from conftest import write_config

    folder = tmp_path_factory.mktemp("predictions")
    for primary, run in (("gamma", 5), ("proton", 105)):
        write_demo_file(
            folder / f"{primary}.simtel.gz", events=12, telescopes="LST:3", primary=primary, run=run, seed=run
        )
    config = write_config(folder / "s.config", **SETTINGS)
    options = "--shuffle", "--split", "0.5,0.5", "--jobs", 1
    assert called("convert", folder / "*.simtel.gz", folder / "train.h5", config, *options).returncode == 0
    ended = run_script(
        "train_demo.py", folder / "train.h5", "--energy", "--epochs", 1, "--save", folder / "net.pt", env=environment()
    )
    assert ended.returncode == 0, ended.stderr
    write_night(folder / "a.night", folder / "gamma.simtel.gz")
    process_night(folder / "a.night", folder / "a.dl1.h5")
    assert called("convert", folder / "a.dl1.h5", folder / "night.h5", config, "--jobs", 1).returncode == 0
    return folder


def environment():
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(Path(torch.__file__).parents[1])])}


def expected_outputs(files, dataset, monkeypatch):
    """Return {(obs_id, event_id, tel_id): (gammaness, energy [TeV])}, image by image in NumPy's order."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    import train_demo

    kept = torch.load(files / "net.pt", weights_only=True)
    model = train_demo.network(2, 2)
    model.load_state_dict(kept["network"])
    model.eval()
    found = {}
    with ImageDataset(dataset, "Events", columns=("obs_id", "event_id", "tel_id")) as data, torch.no_grad():
        for i in range(len(data)):
            sample = train_demo.inputs(data[i : i + 1], data.channel_names)
            logit, log10_energy = model(torch.from_numpy(np.moveaxis(sample["image"], -1, 1).copy()))[0].tolist()
            key = tuple(int(sample[name][0]) for name in ("obs_id", "event_id", "tel_id"))
            found[key] = 1 / (1 + np.exp(-logit)), 10**log10_energy
    return found


def test_predictions_join_with_ctapipes_tables(files, monkeypatch, tmp_path):
    output = tmp_path / "a.dl1.h5"
    output.write_bytes((files / "a.dl1.h5").read_bytes())
    ended = run_script("predict_demo.py", files / "night.h5", files / "net.pt", output, env=environment())
    assert (ended.returncode, ended.stderr) == (0, "")
    expected = expected_outputs(files, files / "night.h5", monkeypatch)
    n_events = len({key[:2] for key in expected})
    assert ended.stdout == f"{output}: gammaness and energy of {len(expected)} images of {n_events} events\n"
    seen = set()
    for tel_id in (1, 2, 3):
        place = f"image_extractor/tel_{tel_id:03d}"
        images = read_table(output, f"/dl1/event/telescope/images/tel_{tel_id:03d}")
        joined = join(images, read_table(output, f"/dl2/event/telescope/particle_type/{place}"), keys=IDS)
        joined = join(joined, read_table(output, f"/dl2/event/telescope/energy/{place}"), keys=IDS)
        assert np.array_equal(
            joined["image_extractor_tel_is_valid_1"], np.isfinite(joined["image_extractor_tel_energy"])
        )
        assert len(joined) == len(images)
        for row in joined[joined["image_extractor_tel_is_valid_1"]]:
            key = tuple(int(row[name]) for name in IDS)
            assert row["image_extractor_tel_prediction"] == pytest.approx(expected[key][0], abs=1e-5)
            assert row["image_extractor_tel_energy"] == pytest.approx(expected[key][1], rel=1e-4)
            seen.add(key)
        assert joined["image_extractor_tel_energy"].unit == "TeV"
    assert seen == expected.keys()
    with TableLoader(output, dl2=True) as loader:
        table = loader.read_telescope_events(dl1_parameters=True)
        means = loader.read_subarray_events()
    predicted = table[np.isfinite(table["image_extractor_tel_prediction"])]
    assert {tuple(int(row[name]) for name in IDS) for row in predicted} == expected.keys()
    for row in means[np.isfinite(means["image_extractor_prediction"])]:
        own = [values for key, values in expected.items() if key[:2] == (row["obs_id"], row["event_id"])]
        assert row["image_extractor_prediction"] == pytest.approx(np.mean([one for one, _ in own]), abs=1e-5)
        assert np.log(row["image_extractor_energy"]) == pytest.approx(np.mean([np.log(e) for _, e in own]), abs=1e-4)
    with HDF5Merger(tmp_path / "merged.h5") as merge:
        merge(output)
    merged = read_table(tmp_path / "merged.h5", "/dl2/event/subarray/energy/image_extractor")
    assert np.array_equal(merged["image_extractor_energy"], means["image_extractor_energy"], equal_nan=True)
    again = run_script("predict_demo.py", files / "night.h5", files / "net.pt", output, env=environment())
    assert (again.returncode, again.stdout) == (2, "")
    assert again.stderr == f"ERROR: {output}: has predictions already: choose another OUTPUT\n"


def test_a_new_file_has_the_tables_alone(files, tmp_path):
    ended = run_script("predict_demo.py", files / "night.h5", files / "net.pt", tmp_path / "p.h5", env=environment())
    assert (ended.returncode, ended.stderr) == (0, "")
    table = read_table(tmp_path / "p.h5", "/dl2/event/subarray/particle_type/image_extractor")
    assert np.all((table["image_extractor_prediction"] > 0) & (table["image_extractor_prediction"] < 1))


def test_what_does_not_fit_is_one_line(files, tmp_path):
    from conftest import write_config

    config = write_config(tmp_path / "other.config", **SETTINGS | {"image_mapping": "axial"})
    assert called("convert", files / "a.night", tmp_path / "other.h5", config, "--jobs", 1).returncode == 0
    process_night(files / "proton.simtel.gz", tmp_path / "b.dl1.h5")
    (tmp_path / "no.pt").write_text("no network")
    for dataset, network, output, code, words in (
        (tmp_path / "other.h5", files / "net.pt", "p.h5", 2, "other.h5: images with cells = 55x55, the network of "),
        (files / "night.h5", tmp_path / "no.pt", "p.h5", 1, "no.pt: not a network of train_demo.py --save"),
        (
            files / "night.h5",
            files / "net.pt",
            "other.h5",
            2,
            "other.h5: not a file of ctapipe's events: choose another OUTPUT",
        ),
        (files / "night.h5", files / "net.pt", "b.dl1.h5", 2, "b.dl1.h5: has not all events of the dataset: "),
        (tmp_path / "absent.h5", files / "net.pt", "p.h5", 2, "absent.h5: no file matches"),
    ):
        ended = run_script("predict_demo.py", dataset, network, tmp_path / output, env=environment())
        assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (code, "", 1), ended.stderr
        assert words in ended.stderr
        assert not (tmp_path / "p.h5").exists()


def test_parameters_do_not_go_with_a_network():
    ended = run_script("train_demo.py", "x.h5", "--parameters", "--save", "net.pt", env=environment())
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)
    assert "--energy and --save go with a network, not with --parameters" in ended.stderr
