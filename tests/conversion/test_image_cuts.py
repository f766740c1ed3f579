"""[image_cuts] and [event_cuts]: a dataset made with them is the one made without, cut afterwards; counts add up."""

import numpy as np
import pytest
import tables
from astropy import units as u
from astropy.coordinates import AltAz, SkyCoord
from ctapipe.coordinates import TelescopeFrame
from helpers.marks import quick_and_slow
from helpers.processes import called
from helpers.reading import content, read_dataset

from image_extractor import ImageExtractor, demo
from image_extractor.hdf5.schema import COUNTED_TYPES
from image_extractor.viewing.multiplicity import count_telescopes

ALL = {
    "use_pkl_dict": False, "image_mode": "PIXELS_TIMING_2C", "image_scale_factor": 1, "telescope_type_mode": "ALL",
    "energy_bins_min": -3, "energy_bins_max": 4, "energy_bins_bin_size": 7, "parameters_store": True,
}  # fmt: skip
CUTS = {"hillas_intensity": (60, 5000), "leakage_intensity_width_2": (None, 0.3), "morphology_n_pixels": (4, None)}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Two runs of LSTs, MSTs and SSTs, some of whose events have one image."""
    folder = tmp_path_factory.mktemp("files")
    for run in (1, 2):
        path = folder / f"gamma{run}.simtel.gz"
        demo.write_demo_file(path, events=25, telescopes="LST:3,MSTN:2,SSTC:2", energy=(0.1, 20), reuse=5, run=run)
    return sorted(folder.iterdir())


def convert(files, output, jobs=1, seed=None, split=None, **settings):
    """Convert files; return the dataset's Run_Table."""
    extractor = ImageExtractor(output, None, "gh_class", **(ALL | settings))
    extractor.process_files(files, jobs=jobs, seed=seed, split=split)
    with tables.open_file(str(output)) as file:
        return file.root.Run_Table[:]


def parameters(path):
    """Return {(run, event, tel_id): {name: value}} of a dataset of either storage, read with plain PyTables."""
    found = {}
    with tables.open_file(str(path)) as file:
        tel_ids = file.root.Tel_Table.col("tel_id").tolist()
        for table in (node for node in file.walk_nodes("/", "Table") if node._v_name.startswith("Events")):
            for row in table[:]:
                for position, tel_id in enumerate(tel_ids):
                    if "tel_map" in row.dtype.names and row["tel_map"][position] >= 0:
                        values = table._v_parent[f"P{tel_id}"][row["tel_map"][position]]
                        values = {name: values[name] for name in values.dtype.names}
                    elif "trig_list" in row.dtype.names and row["trig_list"][position]:
                        values = dict(zip(table._v_attrs.parameters.split(","), row[f"P{tel_id}"], strict=True))
                    else:
                        continue
                    found[int(row["run_number"]), int(row["event_number"]), tel_id] = values
    return found


def passing(values):
    """Say whether an image passes CUTS; NaN does not."""
    return all(
        (low is None or values[name] >= low) and (high is None or values[name] < high)
        for name, (low, high) in CUTS.items()
    )


def assert_same(one, other):
    assert one.keys() == other.keys()
    np.testing.assert_array_equal(*([list(found[key].values()) for key in one] for found in (one, other)))


@pytest.mark.slow
@pytest.mark.parametrize("storage", quick_and_slow(["mapped", "all"], "mapped"))
def test_cut_while_converting_or_afterwards(files, storage, tmp_path):
    convert(files, tmp_path / "all.h5", storage_mode=storage)
    settings = {"image_cuts": CUTS, "event_cuts_min_images": 2, "event_cuts_min_images_of_type": ["LST:1"]}
    runs = convert(files, tmp_path / "cut.h5", storage_mode=storage, **settings)
    everything, lsts = parameters(tmp_path / "all.h5"), (1, 2, 3)
    kept = {key for key, values in everything.items() if passing(values)}
    by_event = {key[:2]: [tel_id for *event, tel_id in kept if tuple(event) == key[:2]] for key in everything}
    enough = {event for event, ids in by_event.items() if len(ids) >= 2 and set(ids) & set(lsts)}
    expected = {key: everything[key] for key in kept if key[:2] in enough}
    found = parameters(tmp_path / "cut.h5")
    assert found.keys() == expected.keys()
    assert 0 < len(found) < len(everything)
    assert_same(found, expected)
    before, after = (
        {(event["run_number"], event["event_number"]): event for event in read_dataset(tmp_path / name)}
        for name in ("all.h5", "cut.h5")
    )
    for key, event in after.items():
        for tel_id, pixels in event["pixels"].items():
            np.testing.assert_array_equal(pixels, before[key]["pixels"][tel_id])
    assert sum(len(event["pixels"]) for event in after.values()) == len(found)

    # and every count adds up
    assert (runs["events_written"] + runs["dropped_too_few_images"] == runs["events_read"]).all()
    cut = sum(runs[f"images_cut_{name}"] for name in CUTS)
    np.testing.assert_array_equal(runs["images_calibrated"], cut + runs["images_dropped"] + runs["images_written"])
    assert runs["images_calibrated"].sum() == len(everything)
    assert runs["images_written"].sum() == len(found) == runs["images"].sum()
    counted = count_telescopes(tmp_path / "cut.h5")
    assert counted.n_events("all") * counted.mean("all", "LST") == pytest.approx(sum(t in lsts for *_, t in found))
    lst = COUNTED_TYPES.index("LST")
    assert runs["images_written"][:, lst].sum() == sum(tel_id in lsts for *_, tel_id in found)
    first = next(iter(CUTS))
    n_failing = sum(not CUTS[first][0] <= values[first] < CUTS[first][1] for values in everything.values())
    assert runs[f"images_cut_{first}"].sum() == n_failing


@pytest.mark.slow
@pytest.mark.parametrize("storage", ["mapped", "all"])
def test_parameters_stay_with_their_images(files, storage, tmp_path):
    """Whatever jobs, shuffle and split, and appended file after file."""
    settings = {"storage_mode": storage, "image_cuts": CUTS}
    convert(files, tmp_path / "one.h5", **settings)
    convert(files, tmp_path / "two.h5", jobs=2, **settings)
    assert content(tmp_path / "one.h5") == content(tmp_path / "two.h5")
    for file in files:
        convert([file], tmp_path / "appended.h5", **settings)
    assert_same(parameters(tmp_path / "one.h5"), parameters(tmp_path / "appended.h5"))
    convert(files, tmp_path / "shuffled.h5", seed=3, split={"Training": 0.5, "Validation": 0.5}, **settings)
    assert_same(parameters(tmp_path / "one.h5"), parameters(tmp_path / "shuffled.h5"))
    checked = called("read_data", "--check", *sorted(tmp_path.glob("*.h5")))
    assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.slow
def test_true_energy_and_offset_are_asked_on_headers(files, tmp_path):
    convert(files, tmp_path / "all.h5", storage_mode="mapped")
    with tables.open_file(str(tmp_path / "all.h5")) as file:
        events = file.root.E0.Events[:]
    middle = float(np.median(events["mc_energy"]))
    runs = convert(files, tmp_path / "cut.h5", storage_mode="mapped", event_cuts_true_energy=(middle, 10))
    kept = (events["mc_energy"] >= middle) & (events["mc_energy"] < 10)
    assert runs["dropped_true_energy"].sum() == np.count_nonzero(~kept)
    assert runs["images_calibrated"].sum() == runs["images"].sum()


def test_true_offset(tmp_path):
    path = tmp_path / "proton.simtel.gz"
    demo.write_demo_file(path, events=20, telescopes="LST:3", primary="proton", energy=(0.5, 20), view_cone=3)
    convert([path], tmp_path / "all.h5", storage_mode="mapped")
    with tables.open_file(str(tmp_path / "all.h5")) as file:
        events = file.root.E0.Events[:]
    source = SkyCoord(alt=events["alt"] * u.rad, az=events["az"] * u.rad, frame=AltAz())
    pointing = SkyCoord(alt=events["pointing_alt"] * u.rad, az=events["pointing_az"] * u.rad, frame=AltAz())
    frame = TelescopeFrame(telescope_pointing=pointing)
    seen = source.transform_to(frame)
    np.testing.assert_allclose(events["fov_lon"], seen.fov_lon.to_value("deg"), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(events["fov_lat"], seen.fov_lat.to_value("deg"), rtol=1e-9, atol=1e-9)
    offset = source.separation(pointing).to_value("deg")
    middle = float(np.median(offset)) + 1e-6
    runs = convert([path], tmp_path / "cut.h5", storage_mode="mapped", event_cuts_true_offset=(None, middle))
    assert runs["dropped_true_offset"][0] == np.count_nonzero(offset >= middle) > 0
    assert runs["events_written"][0] == np.count_nonzero(offset < middle)


@pytest.mark.slow
def test_max_events_counts_what_passes(files, tmp_path):
    extractor = ImageExtractor(tmp_path / "few.h5", None, "gh_class", **ALL, storage_mode="mapped", image_cuts=CUTS)
    outcome = extractor.process_files(files[:1], max_events=4).outcomes[0]
    assert outcome["events_written"] == 4
    assert outcome["events_read"] == 4 + outcome["dropped_too_few_images"]


@pytest.mark.slow
def test_nothing_is_computed_that_nobody_asks_for(files, tmp_path, monkeypatch):
    def never(*_):
        raise AssertionError

    monkeypatch.setattr("image_extractor.conversion.parameterization.camera_parameters", never)
    plain = {"storage_mode": "mapped", "parameters_store": False}
    runs = convert(files[:1], tmp_path / "plain.h5", **plain)
    assert runs["images_calibrated"].sum() == runs["images_written"].sum() > 0
    with pytest.raises(AssertionError):
        convert(files[:1], tmp_path / "cut.h5", **plain, image_cuts=CUTS)
