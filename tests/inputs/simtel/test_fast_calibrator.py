"""What real files seldom have, read the fast way: the bits of ctapipe's own calibration, for every camera and extractor."""

import struct

import numpy as np
import pytest
from ctapipe.io import SimTelEventSource
from helpers import adc_kinds
from helpers.reading import calibrator_of
from helpers.simtel_objects import edited
from traitlets.config import Config

from image_extractor.demo import readout
from image_extractor.inputs.simtel import open_run, window_sums

TELESCOPES = "LST:1,MSTN:1,MSTF:1,SCT:1,SSTC:1,SSTA:1,SSTD:1"
DISABLED, CALIBRATION = 2005, 2023
#: Extractors and their settings. Windows reach beyond both ends of traces.
EXTRACTORS = {
    "neighbours": ("NeighborPeakWindowSum", {}),
    "neighbours, own": ("NeighborPeakWindowSum", {"local_weight": 1, "window_width": 60, "window_shift": 2}),
    "neighbours, own twice": ("NeighborPeakWindowSum", {"local_weight": 2}),
    "neighbours, as they are": ("NeighborPeakWindowSum", {"apply_integration_correction": False, "window_shift": 40}),
    "own": ("LocalPeakWindowSum", {"window_width": 1, "window_shift": 0}),
    "fixed": ("FixedWindowSum", {"peak_index": 11, "window_shift": 9}),
    "fixed, beyond": ("FixedWindowSum", {"peak_index": 500}),
    "global": ("GlobalPeakWindowSum", {}),
}
IN_LOOPS = {"neighbours", "neighbours, own", "neighbours, as they are", "own", "fixed", "fixed, beyond"}


@pytest.fixture(scope="module")
def write(tmp_path_factory):
    """Return a function that writes bright showers, up to 300 TeV, in all cameras."""
    folder = tmp_path_factory.mktemp("odd")
    showers = {"events": 3, "telescopes": TELESCOPES, "energy": "1,300", "spectral_index": -1.0, "scatter": 120}
    return lambda change: adc_kinds.write_with_cameras(folder / f"{change.__name__}.simtel", change, **showers)


@pytest.fixture(scope="module")
def usual(write):
    """As cameras count."""
    return write(adc_kinds.as_it_is)


@pytest.fixture(scope="module")
def equal_pixels(tmp_path_factory):
    """Pixels of a camera count alike, and coarsely: sums of neighbours are equal more often than not."""
    folder = tmp_path_factory.mktemp("ties")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(readout, "PEDESTAL_SPREAD", 0.0)
        patch.setattr(readout, "GAIN_SPREAD", 0.0)
        source = adc_kinds.write_with_cameras(
            folder / "fine.simtel", adc_kinds.as_it_is, events=2, telescopes=TELESCOPES, energy="1,300", scatter=120
        )

    def coarse(adc):
        n_gains, n_pixels, n_samples = adc.shape
        shape = (n_pixels, n_gains) if n_samples == 1 else (n_pixels, n_gains, n_samples)
        rows = adc[..., 0] if n_samples == 1 else adc
        return 0, struct.pack("<ih" if n_samples == 1 else "<ihh", *shape) + adc_kinds.differences(rows // 16 * 16)

    return adc_kinds.recoded(source, folder / "coarse.simtel", coarse)


@pytest.fixture(scope="module")
def broken_pixels(usual):
    """Every seventh pixel is switched off, and a whole neighbourhood."""

    def change(one):
        if one.type == DISABLED:
            off = [*range(0, 700, 7), *range(100, 120)]
            one.payload = bytearray(struct.pack("<ii", 0, len(off)) + np.array(off, "<i4").tobytes())

    return edited(usual, usual.with_name("broken.simtel"), change)


def with_factors(usual, name, *values):
    """Write a copy in which pixels 10, 11, ... have these p.e. per count."""

    def change(one):
        if one.type == CALIBRATION:
            for pixel, value in enumerate(values, 10):
                one.put("<f", 8 + 4 * pixel, value)

    return edited(usual, usual.with_name(f"{name}.simtel"), change)


@pytest.fixture(scope="module")
def files(write, usual, equal_pixels, broken_pixels):
    """All of them, by name."""
    return {
        "bright": usual,
        "16 bits": write(adc_kinds.sixteen_bits),
        "ties": equal_pixels,
        "broken pixels": broken_pixels,
        "no number": with_factors(usual, "nan", np.nan, np.inf, -np.inf),
        "beyond numbers": with_factors(usual, "large", 3e38, -3e38),
        "no light": with_factors(usual, "zero", 0.0, -0.0, -0.02),
    }


def options(extractor):
    name, settings = EXTRACTORS[extractor]
    return {"image_extractor_type": name, "config": Config({name: settings})}


def images(run, extractor):
    """Return {(event, telescope): (charges, peak times)} of a run, ctapipe's own or ours."""
    calibrate, found = calibrator_of(run, **options(extractor)), {}
    for event in run:
        calibrate(event)
        found |= {(event.index.event_id, i): (dl1.image, dl1.peak_time) for i, dl1 in event.dl1.tel.items()}
    return found


@pytest.mark.one_in(4)
@pytest.mark.parametrize("extractor", EXTRACTORS)
@pytest.mark.parametrize(
    "name", ["bright", "16 bits", "ties", "broken pixels", "no number", "beyond numbers", "no light"]
)
@pytest.mark.filterwarnings("ignore:.*encountered in .*:RuntimeWarning")
def test_images_have_the_bits_of_ctapipe(name, extractor, files):
    with SimTelEventSource(files[name]) as source, open_run.open_run(files[name], fast=True) as run:
        expected, found = images(source, extractor), images(run, extractor)
        run.check_end()
    assert len(expected) > 7
    assert list(found) == list(expected)
    for key, arrays in found.items():
        for array, other in zip(arrays, expected[key], strict=True):
            assert array.dtype == other.dtype
            assert array.tobytes() == other.tobytes(), key


@pytest.mark.parametrize("extractor", EXTRACTORS)
def test_loops_serve_the_extractors_that_they_know(extractor, files):
    """Of all cameras but those of one sample, and not where values are no numbers."""
    served = {}
    for name in ("bright", "broken pixels", "no number"):
        with open_run.open_run(files[name], fast=True) as run:
            calibrate = calibrator_of(run, **options(extractor))
            calibrate(next(iter(run)))
            found = [sums for _, sums in calibrate._sums.values()]
        served[name] = sum(isinstance(one, window_sums.WindowSum) for one in found)
    assert (served["bright"] > 0) == (extractor in IN_LOOPS)
    assert served["broken pixels"] == served["bright"]
    assert served["no number"] == 0


def test_files_are_what_they_say(files):
    """Codes of several bytes, ties of the highest sums of neighbours."""
    n_ties, steps = 0, []
    with SimTelEventSource(files["ties"]) as source:
        for event in source:
            for tel_id, r1 in event.r1.tel.items():
                neighbors = source.subarray.tel[tel_id].camera.geometry.neighbor_matrix_sparse
                total = neighbors.astype(np.float32) @ r1.waveform[0]
                n_ties += np.count_nonzero((total == total.max(axis=-1, keepdims=True)).sum(axis=-1) > 1)
    with SimTelEventSource(files["16 bits"]) as source:
        for event in source:
            steps += [np.abs(np.diff(r0.waveform.astype(int), axis=-1)).max(initial=0) for r0 in event.r0.tel.values()]
    assert n_ties > 1000
    assert max(steps) > 4096
