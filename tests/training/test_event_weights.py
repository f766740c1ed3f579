"""Weights: classes in balance, and events as a target spectrum has them."""

import struct

import numpy as np
import pytest
import tables
from helpers.random_dataset import write_dataset
from helpers.simtel_objects import edited
from hypothesis import given, settings
from hypothesis import strategies as st

from image_extractor import core_positions
from image_extractor.dataset import ImageDataset
from image_extractor.demo import write_demo_file
from image_extractor.errors import DatasetError
from image_extractor.hdf5 import older_formats, schema
from image_extractor.training.event_weights import CRAB, PROTONS, EventWeight, PowerLaw, simulated_flux

MC_RUN_HEADER, MC_EVENT = 2001, 2021
CORE_POS_MODE = 36  # where it stands in the header, before the range


def test_class_weights_balance_the_classes(tmp_path):
    paths = [write_dataset(tmp_path / f"{n}.h5", primary=p, n_events=n) for n, p in ((60, 0), (15, 101))]
    dataset = ImageDataset(paths, table="Events", columns=("primary", "class_weight"))
    labels = dataset.labels()
    sums = [labels["class_weight"][labels["primary"] == primary].sum() for primary in (0, 101)]
    assert sums == pytest.approx([len(dataset) / 2] * 2, rel=1e-5)


@settings(max_examples=20, deadline=None)
@given(st.floats(-3, -0.5), st.floats(0.01, 0.5), st.floats(1, 100))
def test_simulated_flux_integrates_to_the_showers(index, low, high):
    run = np.zeros(2, schema.dtype(schema.RUN_COLUMNS))
    for name, value in (("n_showers", 500), ("shower_reuse", 4), ("max_scatter_range", 100), ("min_scatter_range", 50)):
        run[name] = value
    run["energy_range_min"], run["energy_range_max"], run["spectral_index"] = low, high, index
    run["max_viewcone_radius"], run["core_pos_mode"] = 5, core_positions.CORE_CIRCLE
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


def runs_of(**values):
    """Return a row of Run_Table of a run of gammas with events."""
    run = np.zeros(1, schema.dtype(schema.RUN_COLUMNS))
    known = {"events_written": 1, "n_showers": 500, "shower_reuse": 4, "energy_range_min": 0.1, "energy_range_max": 10}
    for name, value in {**known, "spectral_index": -2, "file_name": b"run1.simtel", "run_number": 1, **values}.items():
        run[name] = value
    return run


def test_a_rectangle_has_the_area_of_a_rectangle():
    """Cores of CORSIKA's CSCAT fall from -x to x and from -y to y: weights go with the area that they fall in."""
    random = np.random.default_rng(5)
    x, y = random.uniform(-300, 300, 20_000), random.uniform(-100, 100, 20_000)
    inside = np.count_nonzero(np.hypot(x, y) < 80) / len(x)  # of the rectangle's cores, in a circle in it
    rectangle = runs_of(core_pos_mode=2, min_scatter_range=300, max_scatter_range=100)
    circle = runs_of(core_pos_mode=1, max_scatter_range=80, n_showers=500 * inside)
    weigh = EventWeight({0: CRAB})
    energy, primary = np.array([0.2, 1.0, 5.0]), np.zeros(3, int)
    for runs in (rectangle, circle):
        weigh.check(runs)
    # showers in the circle have one weight, however they got there
    np.testing.assert_allclose(weigh(energy, primary, rectangle), weigh(energy, primary, circle), rtol=0.03)


@pytest.mark.parametrize(
    ("mode", "said"),
    [
        (0, r"run 1 of run1.simtel: its cores are at fixed places \(core_pos_mode 0\), so events can't be weighted"),
        (3, "its core_pos_mode 3 is not known"),
        (core_positions.AREA_WEIGHTED, "its events have area weights"),
    ],
)
def test_areas_that_are_not_known_are_refused(mode, said):
    runs = runs_of(core_pos_mode=mode, min_scatter_range=300, max_scatter_range=500)
    with pytest.raises(DatasetError, match=said):
        EventWeight().check(runs)


def test_old_datasets_are_taken_for_circles_with_a_warning(caplog):
    """Format 1.0 has no column core_pos_mode."""
    runs = runs_of(core_pos_mode=1, max_scatter_range=500)
    columns = [column for column in schema.RUN_COLUMNS if column[0] != "core_pos_mode"]
    old = np.zeros(1, schema.dtype(columns))
    for name in old.dtype.names:
        old[name] = runs[name]
    old = older_formats.run_table(old)
    EventWeight().check(old)
    assert "1 run of an older format: a circular core scatter area is assumed" in caplog.text
    energy = np.array([1.0])
    assert simulated_flux(energy, old, diffuse=False) == simulated_flux(energy, runs, diffuse=False)
    caplog.clear()
    runs["uses_read"] = 2000
    EventWeight().check(runs)
    assert not caplog.records


@pytest.mark.parametrize("fast", [True, False])
def test_core_scatter_of_converted_runs(tmp_path, convert, make_config, fast):
    """Rectangles and area weights, written as sim_telarray does: the mode of the header is stored, or that of events."""
    write_demo_file(tmp_path / "circle.simtel", events=2, telescopes="LST:1", seed=3, energy="1,10", scatter=100)

    def rectangle(one):
        if one.type == MC_RUN_HEADER:
            one.put("<i2f", CORE_POS_MODE, 2, 300.0, 100.0)

    def weighted(one):
        if one.type == MC_EVENT:
            one.version = 2
            one.payload += struct.pack("<f", 12.5)

    edited(tmp_path / "circle.simtel", tmp_path / "rectangle.simtel", rectangle)
    edited(tmp_path / "circle.simtel", tmp_path / "weighted.simtel", weighted)
    config = make_config(storage_mode="mapped", telescope_type_mode="LST", calibration_fast=fast)
    weights = {}
    for name, mode in (("circle", 1), ("rectangle", 2), ("weighted", core_positions.AREA_WEIGHTED)):
        output = convert(tmp_path / f"{name}.simtel", config, output=f"{name}.h5")
        with tables.open_file(output) as file:
            assert file.root.Run_Table[0]["core_pos_mode"] == mode
        if mode != core_positions.AREA_WEIGHTED:
            weights[name] = ImageDataset(output, table="Events", columns=("event_weight",)).labels()["event_weight"]
    np.testing.assert_allclose(weights["rectangle"] / weights["circle"], 600 * 200 / (np.pi * 100**2), rtol=1e-5)
    with pytest.raises(DatasetError, match="its events have area weights"):
        ImageDataset(output, table="Events", columns=("event_weight",))
