"""Scaled parameters against straight loops over EventDisplay's formulas, with every sentinel."""

import math
import statistics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from image_extractor.reconstruction import scaled
from image_extractor.reconstruction.images import IMAGE


def mean_scaled(values, median, sigma):
    """MSCW or MSCL of the images of an event."""
    if len(values) < 2:
        return -99
    numerator = denominator = 0
    for x, m, s in zip(values, median, sigma, strict=True):
        if m > 0:
            if s <= 0:
                return -99
            if x > 0:
                numerator += (x - m) / s * (m / s) ** 2
                denominator += (m / s) ** 2
    return numerator / denominator if denominator else -99


def energy(distances, energies, sigmas):
    """ErecS, EChi2S, dES of the images of an event."""
    if len(distances) < 2:
        return -99, -99, -99
    kept = [(r, e, s) for r, e, s in zip(distances, energies, sigmas, strict=True) if e > 0]
    if not kept:
        return -99, 0, 0
    if any(s <= 0 for _, _, s in kept):
        return -99, -99, -99
    only = [e for _, e, _ in kept]
    mean, median = statistics.fmean(only), statistics.median(only)
    error = statistics.fmean(abs(e - mean) for e in only)
    numerator = denominator = 0
    for r, e, s in kept:
        if len(kept) >= 5 and abs(e - median) >= 5 * error:
            continue
        weight = e / s**2 * 100 * (1 if r < 400 else math.exp(-(r - 400) / 200))
        numerator += weight * e
        denominator += weight
    value = numerator / denominator if denominator else 0
    if len(kept) == 1:
        return value, 0, 0
    chi2 = sum((value - e) ** 2 / s**2 for _, e, s in kept) / (len(kept) - 1)
    return value, chi2, statistics.fmean(s / e for _, e, s in kept)


expected_value = st.one_of(st.sampled_from([0.0, -99.0]), st.floats(0.01, 10))
image = st.tuples(
    st.one_of(st.just(0.0), st.floats(0.001, 1)),
    st.one_of(st.just(0.0), st.floats(0.001, 1)),
    st.sampled_from([0.0, 100.0, 399.999, 400.0, 400.001, 900.0]) | st.floats(0, 1500),
    *[st.tuples(expected_value, st.one_of(st.just(0.0), st.floats(0.01, 10))) for _ in range(3)],
)
events = st.lists(st.lists(image, max_size=8), max_size=5)


def scale(production):
    images = np.zeros(sum(map(len, production)), IMAGE)
    rows = [row for event in production for row in event]
    for position, name in enumerate(("hillas_width", "hillas_length")):
        images[name] = [row[position] for row in rows]
    pairs = {
        name: tuple(np.array([row[place][side] for row in rows], float) for side in (0, 1))
        for place, name in ((3, "width"), (4, "length"), (5, "energy"))
    }
    first = np.concatenate([[0], np.cumsum([len(event) for event in production], dtype=int)])
    return scaled.scale(first, np.array([row[2] for row in rows], float), images, pairs)


def compare(production):
    found = scale(production)
    for row, event in zip(found, production, strict=True):
        columns = list(zip(*event, strict=True)) if event else [()] * 6
        pairs = [list(zip(*column, strict=True)) or [(), ()] for column in columns[3:]]
        want = [
            mean_scaled(columns[0], *pairs[0]),
            mean_scaled(columns[1], *pairs[1]),
            *energy(columns[2], *pairs[2]),
        ]
        np.testing.assert_allclose(row.tolist(), want, rtol=1e-9, atol=1e-12)


@settings(deadline=None)
@given(production=events)
def test_agrees_with_loops(production):
    compare(production)


GOOD = (0.1, 0.2, 100.0, (0.09, 0.02), (0.2, 0.05), (1.0, 0.3))


def changed(**changes):
    row = list(GOOD)
    for name, value in changes.items():
        row[{"width": 3, "length": 4, "energy": 5, "r": 2}[name]] = value
    return tuple(row)


NONE, NO_SIGMA = (0.0, 0.0), (1.0, 0.0)


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ([], [-99] * 5),
        ([GOOD], [-99] * 5),
        ([changed(width=NONE, length=NONE, energy=NONE)] * 2, [-99, -99, -99, 0, 0]),
        ([GOOD, changed(width=NO_SIGMA)], {"MSCW": -99, "MSCL": 0, "ErecS": 1}),
        ([GOOD, changed(energy=NO_SIGMA)], {"MSCL": 0, "ErecS": -99, "EChi2S": -99, "dES": -99}),
        ([GOOD, changed(energy=(-99.0, -99.0))], {"ErecS": 1, "EChi2S": 0, "dES": 0}),
        ([GOOD, GOOD], {"MSCW": 0.5, "MSCL": 0, "ErecS": 1, "EChi2S": 0, "dES": 0.3}),
        # five equal energies have no error, so each is an outlier
        ([GOOD] * 5, {"ErecS": 0, "dES": 0.3}),
        ([GOOD] * 4, {"ErecS": 1}),
    ],
)
def test_sentinels(event, expected):
    found = scale([event])
    if isinstance(expected, list):
        expected = dict(zip(found.dtype.names, expected, strict=True))
    for name, value in expected.items():
        assert found[name][0] == pytest.approx(value, abs=1e-12), name
    compare([event])


def test_an_outlier_is_dropped():
    many = [changed(energy=(1 + step / 100, 0.3)) for step in range(20)]
    outlier = changed(energy=(30.0, 0.3))
    assert scale([[*many, outlier]])["ErecS"][0] == pytest.approx(scale([many])["ErecS"][0])
    assert scale([[*many[:2], outlier]])["ErecS"][0] > 25
    compare([[*many, outlier]])
