"""ADC data in ways that eventio does not read: one line by either reader, never other numbers."""

import struct

import pytest
from helpers import adc_kinds
from helpers.reading import calibrator_of

from image_extractor.demo.eventio_writer import differences
from image_extractor.errors import InputError
from image_extractor.inputs.simtel import open_run

REDUCED, LIST_KNOWN, OTHER_SUPPRESSION = 1 << 5, 1 << 10, 3


def with_flags(flags):
    """Return a function that leaves counts as they are, and says that they are not."""

    def code(adc):
        n_gains, n_pixels, n_samples = adc.shape
        size = struct.pack("<ih", n_pixels, n_gains)
        if n_samples == 1:
            return flags, size + differences(adc[..., 0])
        return flags, size + struct.pack("<h", n_samples) + differences(adc)

    return code


def n_events(path, fast):
    """Return how many events of a run are calibrated."""
    with open_run.open_run(path, fast) as run:
        calibrate = calibrator_of(run)
        n_calibrated = 0
        for event in run:
            with run.reading():
                calibrate(event)
            n_calibrated += 1
    return n_calibrated


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize(
    ("telescopes", "flags"),
    [("SSTC:1", REDUCED), ("LST:1", LIST_KNOWN), ("SSTA:1", REDUCED), ("SSTA:1", OTHER_SUPPRESSION)],
)
def test_it_is_refused(telescopes, flags, fast, tmp_path):
    whole = adc_kinds.write_with_cameras(
        tmp_path / "whole.simtel", adc_kinds.as_it_is, events=1, telescopes=telescopes, scatter=50, energy="5,5"
    )
    path = adc_kinds.recoded(whole, tmp_path / "reduced.simtel", with_flags(flags))
    assert n_events(whole, fast) == 1
    with pytest.raises(InputError) as error:
        n_events(path, fast)
    said = str(error.value)
    assert said.startswith(f"{path}: ")
    assert "\n" not in said
    assert "data_red_mode" in said
