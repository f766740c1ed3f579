"""Observed data read for prediction: in order, with what joins the results to other tables, and no truth made up."""

import numpy as np
import pytest
from helpers.made_dataset import FIRST_TIME, TIME_STEP, write_dataset

from image_extractor.dataset import ImageDataset
from image_extractor.errors import DatasetError
from image_extractor.times import to_utc

ONE_BIN = {"energy_bins_min": -1, "energy_bins_max": 1, "energy_bins_bin_size": 2}
JOIN = ("obs_id", "event_id", "tel_id", "time")


@pytest.fixture(scope="module", params=["mapped", "all"])
def observed(request, tmp_path_factory):
    """A dataset of two observed runs, and its events."""
    path = tmp_path_factory.mktemp("observed") / "observed.h5"
    return path, write_dataset(path, observed=True, storage_mode=request.param, **ONE_BIN)


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    path = tmp_path_factory.mktemp("simulated") / "simulated.h5"
    write_dataset(path, **ONE_BIN)
    return path


def test_images_come_with_what_joins_them(observed):
    path, made = observed
    with ImageDataset(path, "Events", telescopes="LST", columns=(*JOIN, "pointing_az")) as data:
        found = {}
        for batch in data.batches(7):
            for row, image in enumerate(batch["image"]):
                found[tuple(int(batch[name][row]) for name in JOIN[:3])] = image[..., 0].sum(), int(batch["time"][row])
            assert np.all(batch["pointing_az"] == 0.3)
        assert len(found) == len(data)
    expected = {
        (event.run, event.event, tel_id): (pixels.image.sum(), FIRST_TIME + (event.event // 100 - 1) * TIME_STEP)
        for event in made
        for tel_id, pixels in event.pixels.items()
        if tel_id in (1, 2)
    }
    assert found.keys() == expected.keys()
    for key, (charge, time) in expected.items():
        assert found[key][1] == time
        assert found[key][0] == pytest.approx(4 * charge, rel=1e-5)  # scale_factor 2


def test_events_come_in_order_with_all_telescopes(observed):
    path, made = observed
    with ImageDataset(path, "Events", view="event", telescopes="LST", columns=JOIN) as data:
        batch = data[:]
    kept = [event for event in made if {1, 2} & event.pixels.keys()]
    assert batch["event_id"].tolist() == [event.event for event in kept]
    assert batch["obs_id"].tolist() == [event.run for event in kept]
    assert batch["tel_id"].tolist() == [[1, 2]] * len(kept)
    assert batch["mask"].tolist() == [[tel_id in event.pixels for tel_id in (1, 2)] for event in kept]
    assert to_utc(batch["time"])[0].isot == "2016-12-31T23:59:60.123456789"


def test_truth_is_nan_and_the_primary_unknown(observed, warnings_are_errors):
    names = ("energy", "log10_energy", "core", "direction", "impact", "x_max", "fov_lon")
    with ImageDataset(observed[0], "Events", telescopes="SST", columns=("primary", *names)) as data:
        labels = data.labels()
    assert np.all(labels["primary"] == -1)
    assert all(np.isnan(labels[name]).all() for name in names)


@pytest.mark.parametrize("column", ["is_gamma", "class_weight", "event_weight"])
def test_what_follows_from_primaries_is_refused(observed, column):
    with pytest.raises(DatasetError, match=rf"observed\.h5: observed data have no column {column}: what they are of"):
        ImageDataset(observed[0], "Events", telescopes="LST", columns=(column,))
    with ImageDataset(observed[0], "Events", telescopes="LST") as data:
        with pytest.raises(DatasetError, match=f"no column {column}"):
            data.labels((column,))
        with pytest.raises(DatasetError, match="observed data have no column class_weight"):
            data.class_weights()


def test_simulated_events_have_no_time(simulated):
    for more in ({"columns": ("time",)}, {"where": {"time": (0, None)}}):
        with pytest.raises(DatasetError, match=r"simulated\.h5: simulated events have no column time"):
            ImageDataset(simulated, "Events", telescopes="LST", **more)


def test_a_cut_on_time(observed):
    with ImageDataset(
        observed[0],
        "Events",
        view="event",
        where={"time": (FIRST_TIME + TIME_STEP, None)},
        telescopes="SST",
        columns=("event_id",),
    ) as data:
        assert data.labels()["event_id"].min() > 100


def test_observed_and_simulated_are_not_read_as_one(observed, simulated):
    for paths in ([observed[0], simulated], [simulated, observed[0]]):
        with pytest.raises(DatasetError, match="they are not read as one dataset") as refused:
            ImageDataset(paths, "Events", telescopes="LST")
        assert all(str(path) in str(refused.value) for path in paths)


def test_split_keeps_each_event_once(observed):
    with ImageDataset(observed[0], "Events", view="event", telescopes="SST", columns=("obs_id", "event_id")) as data:
        parts = data.split({"Training": 0.5, "Validation": 0.5}).values()
        events = [
            list(zip(*(part.labels()[name].tolist() for name in ("obs_id", "event_id")), strict=True)) for part in parts
        ]
    assert len(set(events[0]) | set(events[1])) == len(events[0]) + len(events[1]) == len(data)
