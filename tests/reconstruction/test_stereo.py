"""Stereo reconstruction against ctapipe's HillasReconstructor, and emission heights against a straight loop."""

import itertools
import math

import numpy as np
import pytest

from image_extractor.reconstruction import images, stereo


def selected(events):
    """Return the images that ctapipe used, and where those of each event begin."""
    counts = np.add.reduceat(np.append(events.used, False), events.first[:-1]) * (np.diff(events.first) > 0)
    return events.images[events.used], np.concatenate([[0], np.cumsum(counts)]), counts


@pytest.fixture
def reconstructed(ctapipe_events):
    rows, first, counts = selected(ctapipe_events)
    telescopes = images.telescopes_of(ctapipe_events.subarray)
    return rows, first, counts, telescopes, stereo.reconstruct(rows, first, ctapipe_events.pointing, telescopes)


def test_agrees_with_ctapipe(ctapipe_events, reconstructed):
    rows, first, counts, telescopes, found = reconstructed
    expected = ctapipe_events.geometry
    valid = np.array([geometry.is_valid for geometry in expected])
    assert valid.sum() >= 15
    assert ((counts >= 2) == valid).all()
    columns = {
        "alt": ("alt", "rad", 1e-12),
        "az": ("az", "rad", 1e-12),
        "core_x": ("core_x", "m", 1e-5),
        "core_y": ("core_y", "m", 1e-5),
        "h_max": ("h_max", "m", 1e-5),
    }
    for name, (theirs, unit, tolerance) in columns.items():
        values = np.array([geometry[theirs].to_value(unit) for geometry in expected])
        np.testing.assert_allclose(found[name][valid], values[valid], rtol=0, atol=tolerance, err_msg=name)
        assert np.isnan(found[name][~valid]).all()
    distances = stereo.impact_distances(found, first, telescopes.position[rows["telescope"]])
    np.testing.assert_allclose(distances, ctapipe_events.impact[ctapipe_events.used], rtol=0, atol=1e-5)


def test_emission_height_agrees_with_a_loop(ctapipe_events, reconstructed):
    rows, first, counts, telescopes, found = reconstructed
    for event, (start, stop) in enumerate(itertools.pairwise(first)):
        if counts[event] < 2:
            assert found["emission_height"][event] == -99
            continue
        az, alt = ctapipe_events.pointing[event]
        axis = np.array([math.cos(alt) * math.cos(az), -math.cos(alt) * math.sin(az), math.sin(alt)])
        heights, weights = [], []
        for one, other in itertools.combinations(rows[start:stop], 2):
            d = math.hypot(
                one["hillas_fov_lon"] - other["hillas_fov_lon"], one["hillas_fov_lat"] - other["hillas_fov_lat"]
            )
            between = telescopes.position[other["telescope"]] - telescopes.position[one["telescope"]]
            distance = np.linalg.norm(between - (between @ axis) * axis)
            heights.append(distance / math.tan(math.radians(d)) / 1000)
            weights.append(1 / (1 / math.log10(one["hillas_intensity"]) + 1 / math.log10(other["hillas_intensity"])))
        expected = np.average(heights, weights=weights)
        assert found["emission_height"][event] == pytest.approx(expected, rel=1e-9)


def test_parallel_axes_have_no_answer(ctapipe_events):
    telescopes = images.telescopes_of(ctapipe_events.subarray)
    row = ctapipe_events.images[:1].copy()
    row["telescope"] = 0
    rows = np.repeat(row, 2)
    rows["telescope"][1] = 1
    # the same line of sight from two places: planes cross in it, but axes on the ground are parallel
    found = stereo.reconstruct(rows, np.array([0, 2]), ctapipe_events.pointing[:1], telescopes)[0]
    assert np.isnan([found["core_x"], found["core_y"], found["h_max"]]).all()
    assert found["emission_height"] == 0


def test_no_events():
    telescopes = images.Telescopes(np.zeros(0), np.zeros((0, 3)), np.zeros(0), [], np.zeros(0, bool), 0.0, {})
    found = stereo.reconstruct(np.zeros(0, images.IMAGE), np.array([0]), np.zeros((0, 2)), telescopes)
    assert found.shape == (0,)


def test_offsets_agree_with_ctapipe():
    """ctapipe's TelescopeFrame has angles, not the tangent plane: both have the same tangent of the separation."""
    import astropy.units as u
    from astropy.coordinates import AltAz, SkyCoord

    rng = np.random.default_rng(0)
    pointing = np.array([[0.3, 1.2], [6.2, 1.0], [0.0, np.pi / 2]])
    alt, az = pointing[:, 1] - rng.uniform(0.001, 0.05, 3), pointing[:, 0] + rng.uniform(-0.05, 0.05, 3)
    x, y = stereo.offsets(alt, az, pointing)
    there = SkyCoord(alt=alt * u.rad, az=az * u.rad, frame=AltAz())
    centre = SkyCoord(alt=pointing[:, 1] * u.rad, az=pointing[:, 0] * u.rad, frame=AltAz())
    separation = centre.separation(there).rad
    np.testing.assert_allclose(np.hypot(x, y), np.degrees(np.tan(separation)), rtol=1e-9)
    angle = centre.position_angle(there).rad
    np.testing.assert_allclose(np.arctan2(x, y) % (2 * np.pi), angle, atol=1e-9)


def test_good_images(ctapipe_events):
    telescopes = images.telescopes_of(ctapipe_events.subarray, "LST+SST")
    settings = {"min_size": 50.0, "min_pixels": 5, "max_loss": [0.1, 0.2]}
    names = [str(ctapipe_events.subarray.tel[tel_id].camera.name) for tel_id in telescopes.tel_ids]
    expected = [
        names[row["telescope"]] in ("LSTCam", "CHEC")
        and row["hillas_intensity"] > 50
        and row["morphology_n_pixels"] >= 5
        and row["leakage_intensity_width_1"] < (0.1 if row["morphology_n_pixels"] < 10 else 0.2)
        and row["hillas_width"] > 0
        for row in ctapipe_events.images
    ]
    found = images.good_images(ctapipe_events.images, telescopes, settings)
    assert found.tolist() == expected
    assert 0 < found.sum() < len(found)
    nothing = np.zeros(1, images.IMAGE)
    for name in nothing.dtype.names[1:8]:
        nothing[name] = np.nan
    assert not images.good_images(nothing, telescopes, settings).any()
