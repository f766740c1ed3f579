"""Telescopes that look elsewhere than their array, arrays that follow the sky, and altitudes at the zenith."""

import math
import struct
import warnings

import numpy as np
import pytest
import tables
from helpers.simtel_objects import edited
from hypothesis import given
from hypothesis import strategies as st

from image_extractor.demo import write_demo_file
from image_extractor.inputs import pointing

RUN_HEADER, SHOWER, ARRAY_EVENT = 2000, 2020, 2010
TRACKING_MODE, DIRECTION = 12, 20  # where they stand in a run header
FAST = pytest.mark.parametrize("fast", [True, False])


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("pointing") / "gamma_run1.simtel"
    write_demo_file(path, events=8, telescopes="LST:3,SSTC:2", seed=3, scatter=200, energy="1,10")
    return path


def pointed(source, target, where, header=None):
    """Write a copy of a file whose telescopes look elsewhere.

    where : callable, (number of the event, tel_id) to (azimuth, altitude) or None for what it was; or four numbers, raw and
        corrected; or (azimuth, altitude, None, None) without corrected ones
    header : callable, optional, that edits the run header
    """
    n_events = 0

    def change(one):
        nonlocal n_events
        if one.type == RUN_HEADER and header:
            header(one)
        if one.type == ARRAY_EVENT:
            inside = one.inside()
            for tracking in inside:
                if tracking.type % 1000 // 100 == 1:
                    _point(tracking, where(n_events, tracking.type % 100))
            one.put_inside(inside)
            n_events += 1

    return edited(source, target, change)


def _point(tracking, numbers):
    if numbers is None:
        return
    if len(numbers) == 2:
        numbers = (*numbers, *numbers)
    elif numbers[2] is None:
        tracking.id &= ~0x200
        tracking.payload = tracking.payload[:8]
        numbers = numbers[:2]
    struct.pack_into(f"<{len(numbers)}f", tracking.payload, 0, *numbers)


def ctapipe_pointings(path):
    """Return {event: {tel_id: (azimuth, altitude)}} as ctapipe's source tells them."""
    from ctapipe.io import SimTelEventSource

    with SimTelEventSource(path) as source:
        return {
            event.index.event_id: {
                tel_id: (
                    event.monitoring.tel[tel_id].pointing.azimuth.to_value("rad"),
                    event.monitoring.tel[tel_id].pointing.altitude.to_value("rad"),
                )
                for tel_id in event.r1.tel
            }
            for event in source
        }


def stored(path):
    """Return {event: row}, Tel_Table and the row of Run_Table."""
    with tables.open_file(path) as file:
        rows = {
            row["event_number"]: row
            for table in file.walk_nodes("/", "Table")
            if table._v_name == "Events"
            for row in table[:]
        }
        return rows, file.root.Tel_Table[:], file.root.Run_Table[0]


def check_against_ctapipe(path, rows, tel_ids):
    expected = ctapipe_pointings(path)
    assert set(rows) == set(expected)
    n_missing = 0
    for event, telescopes in expected.items():
        for tel_id, found in zip(tel_ids, rows[event]["tel_pointing"], strict=True):
            np.testing.assert_array_equal(found, telescopes.get(tel_id, (np.nan, np.nan)))
            n_missing += tel_id not in telescopes
    return n_missing


@pytest.mark.one_in(3)
@FAST
@pytest.mark.parametrize("mode", ["gh_class", "energy_recon"])
@pytest.mark.parametrize("storage_mode", ["mapped", "all"])
def test_divergent_telescopes(run, tmp_path, convert, make_config, caplog, fast, mode, storage_mode):
    """Each telescope looks elsewhere, and telescope 2 has raw positions only: ctapipe's own pointings are stored."""

    def where(_, tel_id):
        raw = (6.2 + 0.05 * tel_id, 1.2 + 0.01 * tel_id)
        return (*raw, None, None) if tel_id == 2 else (*raw, raw[0] + 0.001, raw[1] - 0.002)

    path = pointed(run, tmp_path / "divergent.simtel", where)
    config = make_config(
        mode=mode, storage_mode=storage_mode, telescope_type_mode="ALL", calibration_fast=fast,
        energy_recon_bins_min=-3, energy_recon_bins_max=4,
    )  # fmt: skip
    rows, telescopes, facts = stored(convert(path, config))
    assert check_against_ctapipe(path, rows, telescopes["tel_id"].tolist()) > 0
    np.testing.assert_array_equal(telescopes["pointing"][1], np.float32([6.3, 1.22]).astype(float))
    np.testing.assert_array_equal(telescopes["pointing"][2], np.float32([6.351, 1.228]).astype(float))
    np.testing.assert_array_equal(
        telescopes["run_array_direction"], [[facts["pointing_az"], facts["pointing_alt"]]] * 5
    )
    assert facts["tracking_mode"] == 0
    assert "5 of 5 telescopes look elsewhere than the array, up to" in caplog.text
    from image_extractor.viewing.dataset_check import check

    assert check(tmp_path / "dataset.h5")[0] == []


@pytest.mark.slow
@FAST
def test_a_late_change_is_noticed_and_nothing_is_there_twice(run, tmp_path, convert, make_config, fast):
    """Only in the fifth event a telescope looks elsewhere: events before it have the column, too."""
    path = pointed(
        run, tmp_path / "late.simtel", lambda event, tel_id: (0.1, 1.2) if (event, tel_id) == (5, 1) else None
    )
    config = make_config(storage_mode="mapped", telescope_type_mode="ALL", calibration_fast=fast)
    rows, telescopes, facts = stored(convert(path, config))
    check_against_ctapipe(path, rows, telescopes["tel_id"].tolist())
    plain, *_ = stored(convert(run, config, output="plain.h5"))
    assert len(rows) == facts["events_written"] == len(plain)
    assert "tel_pointing" not in next(iter(plain.values())).dtype.names


def test_parallel_telescopes_have_no_column(run, tmp_path, convert, make_config, caplog):
    """Less than 20 arc seconds apart; a whole turn of azimuth is none; what telescopes not selected do, does not matter."""

    def where(_, tel_id):
        az, alt = 0.0, math.radians(70)
        return {1: (az + 2 * math.pi, alt), 2: (az, alt + 9e-5), 3: None}.get(tel_id, (2.0, 1.0))

    path = pointed(
        run, tmp_path / "parallel.simtel", where, lambda one: one.put("<2f", DIRECTION, 0.0, math.radians(70))
    )
    rows, telescopes, _ = stored(convert(path, make_config(telescope_type_mode="LST", telescope_tel_ids=[1, 2])))
    assert "tel_pointing" not in next(iter(rows.values())).dtype.names
    assert telescopes["pointing"].shape == (2, 2)
    assert "elsewhere" not in caplog.text


def test_azimuth_is_nothing_at_the_zenith(run, tmp_path, convert, make_config, caplog):
    zenith = float(np.float32(np.pi / 2))
    path = pointed(
        run, tmp_path / "zenith.simtel", lambda _, tel_id: (tel_id, zenith), lambda one: one.put("<2f", DIRECTION, 3.0, zenith)
    )  # fmt: skip
    rows, telescopes, facts = stored(convert(path, make_config(telescope_type_mode="ALL")))
    assert "tel_pointing" not in next(iter(rows.values())).dtype.names
    assert facts["pointing_alt"] == np.pi / 2
    assert (telescopes["pointing"][:, 1] == np.pi / 2).all()
    assert "elsewhere" not in caplog.text


@FAST
def test_tracking_of_the_sky(run, tmp_path, convert, make_config, caplog, fast):
    """Right ascension and declination stand in the header: they are in no column of azimuth and altitude."""

    def header(one):
        one.put("<i", TRACKING_MODE, 1)
        one.put("<2f", DIRECTION, 1.4596, 0.3842)

    path = pointed(run, tmp_path / "sky.simtel", lambda event, _: (0.5 + 0.01 * event, 1.1 + 0.002 * event), header)
    config = make_config(storage_mode="mapped", telescope_type_mode="ALL", calibration_fast=fast)
    rows, telescopes, facts = stored(convert(path, config))
    check_against_ctapipe(path, rows, telescopes["tel_id"].tolist())
    np.testing.assert_allclose([facts["pointing_az"], facts["pointing_alt"]], [0.5, 1.1], atol=1e-6)
    np.testing.assert_allclose(telescopes["run_array_direction"], [[0.5, 1.1]] * 5, atol=1e-6)
    assert not np.isin(np.float32([1.4596, 0.3842]).astype(float), telescopes["pointing"]).any()
    assert facts["tracking_mode"] == 1
    assert "tracking_mode 1: its telescopes follow a point of the sky" in caplog.text


def test_altitudes_at_the_zenith_are_taken_by_astropy(run, tmp_path, convert, make_config):
    """As float32, pi / 2 is larger than pi / 2."""
    import astropy.units as u
    from astropy.coordinates import AltAz
    from ctapipe.io import read_table

    zenith = float(np.float32(np.pi / 2))
    assert zenith > np.pi / 2

    def change(one):
        if one.type == RUN_HEADER:
            one.put("<f", DIRECTION + 4, zenith)
        if one.type == SHOWER:
            one.put("<f", 12, zenith)
        if one.type == ARRAY_EVENT:
            inside = one.inside()
            for tracking in inside:
                if tracking.type % 1000 // 100 == 1:
                    tracking.put("<f", 4, zenith)
                    tracking.put("<f", 12, zenith)
            one.put_inside(inside)

    output = convert(edited(run, tmp_path / "up.simtel", change), make_config(telescope_type_mode="ALL"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        events, telescopes, runs = (read_table(output, path) for path in ("/E0/Events", "/Tel_Table", "/Run_Table"))
    assert len(events) == 8
    for az, alt in (
        (events["az"].quantity, events["alt"].quantity),
        telescopes["run_array_direction"].quantity.T,
        telescopes["pointing"].quantity.T,
        (runs["pointing_az"].quantity, runs["pointing_alt"].quantity),
    ):
        assert AltAz(az=az, alt=alt).alt.to_value(u.deg).tolist() == [90.0] * len(alt)


@given(st.floats(0, 2 * math.pi), st.floats(-1.57, 1.57), st.floats(0, 2 * math.pi), st.floats(-1.57, 1.57))
def test_separation_is_astropys(az, alt, other_az, other_alt):
    from astropy.coordinates import angular_separation

    expected = angular_separation(az, alt, other_az, other_alt)
    assert pointing.separation((az, alt), (other_az, other_alt)) == pytest.approx(expected, abs=1e-7)


def test_unknown_directions_are_elsewhere():
    found = pointing.Pointings((0.0, 1.0))
    found.add({1: (0.0, 1.0), 2: pointing.NOWHERE})
    assert found.elsewhere == {2}
    assert found.of(1) == (0.0, 1.0)
    assert math.isnan(found.of(7)[0])
