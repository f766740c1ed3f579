"""Events of simtel files and of ctapipe's own, against what ctapipe finds; and what is refused."""

import numpy as np
import pytest
import tables

from image_extractor import config
from image_extractor.analysis import ctapipe_events as ctapipe_room
from image_extractor.analysis.open_events import open_events
from image_extractor.errors import InputError
from image_extractor.reconstruction.events import reconstructed

SETTINGS = {"cleaning_picture": 4.0, "cleaning_boundary": 2.0, "reconstruction_max_loss": [1.0, 1.0]}


def read(path, **settings):
    """Return the blocks of a file of one run, and the run."""
    (run, blocks), *others = [
        (run, list(run)) for run in open_events(path, config.from_keywords(SETTINGS | settings)).runs()
    ]
    assert not others
    return run, blocks


@pytest.mark.parametrize("kind", ["simtel", "hdf5"])
def test_agrees_with_ctapipe(ctapipe_events, kind):
    run, (block,) = read(getattr(ctapipe_events, kind))
    assert run.run_number == 7
    assert run.n_read == len(block.events) == len(ctapipe_events.index)
    assert list(zip(block.events["run_number"], block.events["event_id"], strict=True)) == ctapipe_events.index
    for name, unit in (("energy", "TeV"), ("alt", "rad"), ("az", "rad")):
        expected = [getattr(shower, name).to_value(unit) for shower in ctapipe_events.simulated]
        np.testing.assert_allclose(block.events[name], expected, rtol=1e-6, err_msg=name)
    np.testing.assert_allclose(block.pointing, ctapipe_events.pointing, atol=1e-7)
    # the demo's spectrum is that of the default
    assert (block.events["weight"] == 1).all()
    found = reconstructed(block, config.from_keywords(SETTINGS)["reconstruction"])
    used = ctapipe_events.images[ctapipe_events.used]
    several = np.repeat(found.n_images >= 2, found.n_images)
    for name in used.dtype.names:
        np.testing.assert_allclose(found.block.images[name][several], used[name], rtol=1e-6, atol=1e-7, err_msg=name)
    valid = [geometry.is_valid for geometry in ctapipe_events.geometry]
    assert (np.isfinite(found.stereo["alt"]) == valid).all()
    for name, unit, tolerance in (("alt", "rad", 1e-7), ("core_x", "m", 1e-3), ("h_max", "m", 0.1)):
        expected = [getattr(geometry, name).to_value(unit) for geometry in ctapipe_events.geometry]
        np.testing.assert_allclose(found.stereo[name], expected, rtol=0, atol=tolerance, err_msg=name)
    np.testing.assert_allclose(found.distance[several], ctapipe_events.impact[ctapipe_events.used], rtol=0, atol=1e-3)


def test_recipes_agree_as_far_as_files_tell(ctapipe_events):
    of_simtel, of_hdf5 = (read(path)[0].recipe() for path in (ctapipe_events.simtel, ctapipe_events.hdf5))
    assert (
        of_simtel.telescopes.keys()
        == of_hdf5.telescopes.keys()
        == {str(t) for t in ctapipe_events.subarray.tel.values()}
    )
    assert not list(of_simtel.differences(of_hdf5))
    assert of_simtel.unknown(of_hdf5) == ["boundary", "extractor", "focal_length_choice", "neighbours", "picture"]
    facts = of_simtel.telescopes["MST_SCT_SCTCam"]
    assert (facts["picture"], facts["boundary"], facts["neighbours"]) == (4, 2, 2)
    assert facts["n_pixels"] == 11328


def test_weights_are_of_the_spectrum_that_is_asked_for(ctapipe_events):
    for path in (ctapipe_events.simtel, ctapipe_events.hdf5):
        _, (block,) = read(path, reconstruction_spectral_index=-2.5)
        np.testing.assert_allclose(block.events["weight"], block.events["energy"] ** -0.5)


@pytest.mark.parametrize("kind", ["simtel", "hdf5"])
def test_only_some_telescopes_take_part(ctapipe_events, kind):
    run, (block,) = read(getattr(ctapipe_events, kind), reconstruction_telescopes="SCT+LST")
    good = reconstructed(block, config.from_keywords(SETTINGS)["reconstruction"]).block.images
    names = {block.telescopes.names[place] for place in good["telescope"]}
    assert names == {"LST_LST_LSTCam", "MST_SCT_SCTCam"} == run.recipe().telescopes.keys()
    with pytest.raises(InputError, match=r"none of \[reconstruction\] telescopes = FlashCam$"):
        read(getattr(ctapipe_events, kind), reconstruction_telescopes="FlashCam")


def _without(node):
    def change(file):
        file.remove_node(node, recursive=True)

    return change


def _elsewhere(file):
    table = file.get_node("/configuration/telescope/pointing/tel_002")
    rows = table.read()
    rows["telescope_pointing_altitude"] += 1
    table.remove_rows(0, len(rows) - 1) if len(rows) > 1 else None
    table.append(rows[:1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_without("/simulation"), "no /simulation/event/subarray/shower; only simulations are read"),
        (_without("/dl1/event/telescope/parameters"), "--write-parameters stores them"),
        (_without("/configuration/instrument"), "is it a file of ctapipe-process?"),
        (_without("/configuration/instrument/telescope/optics"), "damaged, or no file of ctapipe-process"),
        (_elsewhere, "tel_002 looks elsewhere than the array"),
    ],
)
def test_what_is_refused(ctapipe_events, tmp_path, change, message):
    path = tmp_path / "changed.h5"
    path.write_bytes(ctapipe_events.hdf5.read_bytes())
    with tables.open_file(path, "a") as file:
        change(file)
    with pytest.raises(InputError, match=f"changed.h5: .*{message}"):
        read(path)


def _other_order(file):
    table = file.get_node("/dl1/event/telescope/parameters/tel_001")
    rows = table.read()
    table.modify_rows(0, len(rows), rows=rows[::-1])


def _twice(file):
    table = file.get_node("/simulation/event/subarray/shower")
    table.modify_rows(1, 2, rows=table.read(0, 1))


def _unknown_event(file):
    table = file.get_node("/dl1/event/telescope/parameters/tel_001")
    rows = table.read(0, 1)
    rows["event_id"] = 12345
    table.append(rows)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            _other_order,
            r"/tel_001 has event \d+ of run 7, which /simulation/.*/shower does not have, or not in this order",
        ),
        (_unknown_event, "/tel_001 has event 12345 of run 7, which"),
        (_twice, "/simulation/event/subarray/shower has an event twice"),
    ],
)
def test_rows_of_other_events_are_refused(ctapipe_events, tmp_path, monkeypatch, change, message):
    monkeypatch.setattr(ctapipe_room, "BLOCK_EVENTS", 5)
    test_what_is_refused(ctapipe_events, tmp_path, change, message)


@pytest.fixture(scope="module")
def merged(ctapipe_events, tmp_path_factory):
    """What ctapipe's own merger makes of the file and of a copy of another run number."""
    from ctapipe.io import HDF5Merger

    folder = tmp_path_factory.mktemp("merged")
    paths = [folder / "run7.h5", folder / "run3.h5"]
    for path in paths:
        path.write_bytes(ctapipe_events.hdf5.read_bytes())
    with tables.open_file(paths[1], "a") as file:
        for table in file.walk_nodes("/", "Table"):
            rows = table.read()
            for name in {"obs_id", "obs_ids"} & set(table.colnames):
                rows[name] = 3
            table.modify_rows(0, len(rows), rows=rows) if len(rows) else None
    with HDF5Merger(output_path=folder / "merged.h5") as merge:
        for path in paths:
            merge(path)
    return folder / "merged.h5"


@pytest.mark.slow
@pytest.mark.parametrize("block_events", [3, 25, 1000])
def test_blocks_of_merged_files_are_those_of_each(ctapipe_events, merged, monkeypatch, block_events):
    settings, name = config.from_keywords(SETTINGS), "HillasReconstructor_core_x"
    ((_, (expected,)),) = [
        (run, list(run)) for run in open_events(ctapipe_events.hdf5, settings, columns=[name]).runs()
    ]
    monkeypatch.setattr(ctapipe_room, "BLOCK_EVENTS", block_events)
    n_runs, told = 0, []
    runs = open_events(merged, settings, columns=[name]).runs(lambda n_events, part: told.append((n_events, part)))
    for run, number in zip(runs, (7, 3), strict=True):
        blocks = list(run)
        n_runs += 1
        assert run.run_number == number
        assert max(len(block.events) for block in blocks) == min(block_events, len(expected.events))
        events = np.concatenate([block.events for block in blocks])
        assert (events["run_number"] == number).all()
        assert (events[["event_id", "energy", "alt"]] == expected.events[["event_id", "energy", "alt"]]).all()
        images = np.concatenate([block.images for block in blocks])
        for of_image in images.dtype.names:
            np.testing.assert_array_equal(images[of_image], expected.images[of_image], err_msg=of_image)
        counts = np.concatenate([np.diff(block.first) for block in blocks])
        assert counts.tolist() == np.diff(expected.first).tolist()
        columns = np.concatenate([block.columns[name] for block in blocks])
        np.testing.assert_array_equal(columns, expected.columns[name])
    assert n_runs == 2
    assert sum(n_events for n_events, _ in told) == 2 * len(expected.events)
    assert [part for _, part in told] == sorted(part for _, part in told)
    assert told[-1][1] == 1


def test_no_file(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        open_events(tmp_path / "none", config.defaults())
