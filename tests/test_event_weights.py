"""Weights: classes in balance, and events as a target spectrum has them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_dataset import write_dataset

from image_extractor import row_types
from image_extractor.dataset import ImageDataset
from image_extractor.errors import DatasetError
from image_extractor.event_weights import CRAB, PROTONS, EventWeight, PowerLaw, simulated_flux


def test_class_weights_balance_the_classes(tmp_path):
    paths = [write_dataset(tmp_path / f"{n}.h5", primary=p, n_events=n) for n, p in ((60, 0), (15, 101))]
    dataset = ImageDataset(paths, table="Events", columns=("primary", "class_weight"))
    labels = dataset.labels()
    sums = [labels["class_weight"][labels["primary"] == primary].sum() for primary in (0, 101)]
    assert sums == pytest.approx([len(dataset) / 2] * 2, rel=1e-5)


@settings(max_examples=20, deadline=None)
@given(st.floats(-3, -0.5), st.floats(0.01, 0.5), st.floats(1, 100))
def test_simulated_flux_integrates_to_the_showers(index, low, high):
    run = np.zeros(2, row_types.dtype(row_types.RUN_COLUMNS))
    for name, value in (("n_showers", 500), ("shower_reuse", 4), ("max_scatter_range", 100), ("min_scatter_range", 50)):
        run[name] = value
    run["energy_range_min"], run["energy_range_max"], run["spectral_index"] = low, high, index
    run["max_viewcone_radius"], run["core_pos_mode"] = 5, row_types.CORE_CIRCLE
    energy = np.geomspace(run["energy_range_min"][0], run["energy_range_max"][0], 20001)
    area = np.pi * (100**2 - 50**2)
    solid_angle = 2 * np.pi * (1 - np.cos(np.radians(5)))
    assert np.trapezoid(simulated_flux(energy, run, diffuse=False), energy) * area == pytest.approx(4000, rel=1e-3)
    diffuse = np.trapezoid(simulated_flux(energy, run, diffuse=True), energy) * area * solid_angle
    assert diffuse == pytest.approx(4000, rel=1e-3)


def test_event_weights_are_target_over_simulation(tmp_path):
    paths = [
        write_dataset(tmp_path / "gammas.h5"),
        write_dataset(tmp_path / "protons.h5", primary=101, cone=(0.0, 5.0)),
    ]
    hour = EventWeight({0: CRAB, 101: PROTONS}, time=3600.0, name="hour")
    labels = ImageDataset(paths, table="Events", columns=("event_weight", hour, "energy", "primary")).labels()
    np.testing.assert_allclose(labels["hour"], 3600 * labels["event_weight"])
    energy = labels["energy"].astype(np.float64)
    simulated = 3000 * energy**-2 / (1 / 0.1 - 1 / 10) / (np.pi * 500**2)
    gamma = labels["primary"] == 0
    np.testing.assert_allclose(labels["event_weight"][gamma], (CRAB(energy) / simulated)[gamma], rtol=1e-5)
    cone = 2 * np.pi * (1 - np.cos(np.radians(5)))
    np.testing.assert_allclose(labels["event_weight"][~gamma], (PROTONS(energy) * cone / simulated)[~gamma], rtol=1e-5)


def test_weights_that_can_not_be_are_refused(tmp_path):
    helium = write_dataset(tmp_path / "helium.h5", primary=402)
    with pytest.raises(DatasetError, match="no target spectrum for primary 402"):
        ImageDataset(helium, table="Events", columns=("event_weight",))
    point = write_dataset(tmp_path / "point.h5")
    diffuse = EventWeight({0: PowerLaw(1.0, -2.7, diffuse=True)})
    with pytest.raises(DatasetError, match="no view cone"):
        ImageDataset(point, table="Events", columns=(diffuse,))
