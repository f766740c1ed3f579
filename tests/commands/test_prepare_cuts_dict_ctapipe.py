"""prepare_cuts_dict.py with columns that ctapipe wrote, without lookup tables."""

import json

import numpy as np
import pytest
import tables

from image_extractor import config
from image_extractor.commands.prepare_cuts_dict import main
from image_extractor.cuts import dictionary
from image_extractor.errors import ConfigError

NO_CUTS = ("MSCW", "MSCL", "EChi2S", "ErecS", "EmissionHeight", "dES")
BINS = ["[energy_bins]", "min = -2", "max = 3", "bin_size = 2.5"]


@pytest.fixture
def trained(ctapipe_events, tmp_path):
    """A file with what ctapipe-apply-models adds, energies in GeV, one event left out; energies, scores by event."""
    path = tmp_path / "trained.dl2.h5"
    path.write_bytes(ctapipe_events.hdf5.read_bytes())
    rng = np.random.default_rng(0)
    keys = ctapipe_events.index
    energies, scores = 10 ** rng.uniform(-1.5, 1.5, len(keys)), rng.random(len(keys))
    kinds = [("obs_id", "<i4"), ("event_id", "<i8")]
    with tables.open_file(path, "a") as file:
        for group, name, values, unit in (
            ("energy", "RandomForestRegressor_energy", energies * 1000, "GeV"),
            ("classification", "RandomForestClassifier_prediction", scores, ""),
        ):
            rows = np.array([(*key, value) for key, value in zip(keys, values, strict=True)], [*kinds, (name, "<f4")])
            rows = rows[1:][::-1]
            where = f"/dl2/event/subarray/{group}"
            table = file.create_table(where, name.partition("_")[0], rows, createparents=True)
            if unit:
                table.attrs.CTAFIELD_2_UNIT = unit
    return path, dict(zip(keys, zip(energies, scores, strict=True), strict=True))


def settings_file(folder, *cuts, column="RandomForestRegressor_energy", open_cuts=NO_CUTS):
    lines = [*BINS, f"column = {column}", "[preselection_cuts]", *(f"{name} = None, None" for name in open_cuts), *cuts]
    path = folder / "settings.config"
    path.write_text("\n".join(lines))
    return path


def prepare(path, folder, settings, code=0):
    output = folder / "cuts.pkl"
    assert main([path, output, settings, "--jobs", 1]) == code
    return output


def test_cuts_on_columns(trained, ctapipe_events, tmp_path):
    path, events = trained
    cuts = "NImages = 3, None", "RandomForestClassifier_prediction = 0.25, None", "HillasReconstructor_h_max = 0, 20000"
    found = dictionary.load(prepare(path, tmp_path, settings_file(tmp_path, *cuts)))
    expected = {}
    for key, geometry in zip(ctapipe_events.index[1:], ctapipe_events.geometry[1:], strict=True):
        energy, score = events[key]
        passes = score >= 0.25 and len(geometry.telescopes) >= 3 and 0 <= geometry.h_max.to_value("m") < 20_000
        if passes:
            expected[key] = (int(np.log10(energy) >= 0.5), pytest.approx(energy, rel=1e-6))
    assert 3 < len(expected) < len(events) - 3
    assert found == expected
    assert found.primary == 0


@pytest.mark.parametrize(
    ("cuts", "column", "open_cuts", "message"),
    [
        ([], "RandomForestRegressor_energy", NO_CUTS[1:], "without --tables there is no MSCW: give tables, or set"),
        ([], "ErecS", NO_CUTS, "without --tables there is no ErecS"),
        ([], "RandomForestRegressor_enery", NO_CUTS, "no column 'RandomForestRegressor_enery'; nearest: RandomForestReg"),
        (["HillasReconstructor_telescopes = 1, 2"], "RandomForestRegressor_energy", NO_CUTS, "not one number for each"),
    ],
)  # fmt: skip
def test_what_is_refused(trained, tmp_path, capsys, cuts, column, open_cuts, message):
    output = prepare(trained[0], tmp_path, settings_file(tmp_path, *cuts, column=column, open_cuts=open_cuts), code=1)
    assert message in capsys.readouterr().err
    assert not output.exists()


TRAINING = {
    "TrainEnergyRegressor": {
        "CrossValidator": {"n_cross_validations": 0},
        "EnergyRegressor": {
            "model_cls": "RandomForestRegressor",
            "log_target": True,
            "model_config": {"n_estimators": 3, "max_depth": 4, "n_jobs": 1, "random_state": 0},
            "features": ["hillas_intensity", "hillas_width", "HillasReconstructor_tel_impact_distance"],
            "stereo_combiner_cls": "StereoMeanCombiner",
            "QualityQuery": {"quality_criteria": [["width", "hillas_width > 0"]]},
        },
    }
}


@pytest.mark.slow
def test_files_of_ctapipe_apply_models(ctapipe_events, tmp_path):
    """Trained and applied by ctapipe's own tools, of whichever version is installed."""
    from ctapipe.core import run_tool
    from ctapipe.io import read_table
    from ctapipe.tools.apply_models import ApplyModels
    from ctapipe.tools.train_energy_regressor import TrainEnergyRegressor

    (tmp_path / "train.json").write_text(json.dumps(TRAINING))
    model, applied = tmp_path / "energy.pkl", tmp_path / "applied.dl2.h5"
    arguments = [f"--input={ctapipe_events.hdf5}", f"--output={model}", f"--config={tmp_path / 'train.json'}"]
    assert run_tool(TrainEnergyRegressor(), argv=[*arguments, "--quiet"], cwd=tmp_path) == 0
    arguments = [f"--input={ctapipe_events.hdf5}", f"--output={applied}", f"--reconstructor={model}"]
    assert run_tool(ApplyModels(), argv=[*arguments, "--quiet"], cwd=tmp_path) == 0
    found = dictionary.load(prepare(applied, tmp_path, settings_file(tmp_path, "NImages = 2, None")))
    energies = read_table(applied, "/dl2/event/subarray/energy/RandomForestRegressor")
    expected = {
        (int(row["obs_id"]), int(row["event_id"])): row["RandomForestRegressor_energy"]
        for row in energies
        if row["RandomForestRegressor_is_valid"]
    }
    several = {
        key
        for key, geometry in zip(ctapipe_events.index, ctapipe_events.geometry, strict=True)
        if geometry.telescopes is not None and len(geometry.telescopes) >= 2
    }
    assert found.keys() == expected.keys() & several
    assert len(found) > 10
    for key, (_, energy) in found.items():
        assert energy == pytest.approx(expected[key], rel=1e-6)


def test_simtel_files_have_no_columns(ctapipe_events, tmp_path, capsys):
    prepare(ctapipe_events.simtel, tmp_path, settings_file(tmp_path), code=2)
    assert "needs --tables" in capsys.readouterr().err


def test_slips_in_names_of_cuts():
    with pytest.raises(ConfigError, match=r"\[preselection_cuts\] unknown key MSWC = 1.0, 2.0; did you mean MSCW\?$"):
        config.loads("[preselection_cuts]\nMSWC = 1, 2")
    assert config.loads("[preselection_cuts]\na_b = 1, None")["preselection_cuts"]["a_b"] == [1, None]
    assert "column" not in config.dumps(config.defaults())
