"""The traces of a telescope in an event: ADC counts, where they lie, with what calibrates them to waveforms."""

import struct
from typing import NamedTuple

import numpy as np
from ctapipe.containers import MonitoringContainer
from eventio.simtel import objects

from .array_events import SAMPLES, SUMS
from .waveforms import read_waveforms

SHAPE = struct.Struct("<ihh")
SAMPLES_VERSION = 3
#: Bits of the id of ADC samples that announce zero suppression, data reduction, or a pixel list.
REDUCED = 0x7FF
#: Calibrated samples below this are summed without an overflow.
TAME = 1e25
MOST_COUNTS = 65_535


class R1Calibration:
    """What calibrates the counts of a telescope.

    Parameters
    ----------
    pedestal, factor : array (n_gains, n_pixels)
        Counts per sample, and p.e. per count.
    shift : float
        In p.e.
    gain_selector : ctapipe GainSelector
    time_shift : array (n_gains, n_pixels)
        [ns]
    broken : bool array (n_gains, n_pixels)

    Attributes
    ----------
    is_single : bool
        Whether counts are calibrated in single precision, which compiled loops do.
    has_broken : bool
        Whether there are broken pixels.
    monitoring : ctapipe container
        Of the telescope, for its CameraCalibrator.
    """

    def __init__(self, pedestal, factor, shift, gain_selector, time_shift, broken):
        self.pedestal, self.factor, self.shift, self.gain_selector = pedestal, factor, shift, gain_selector
        self.time_shift, self.broken, self.has_broken = time_shift, broken, bool(broken.any())
        self.is_single = pedestal.dtype == factor.dtype == np.float32 and pedestal.shape == factor.shape
        self.monitoring = MonitoringContainer().tel[0]
        self.monitoring.camera.coefficients.time_shift = time_shift
        self.monitoring.camera.coefficients.outlier_mask = broken

    def suits_window_sums(self, n_pixels):
        """Say whether compiled loops may sum windows of what it calibrates, of this many pixels: sums are numbers."""
        shape = self.pedestal.shape[0], n_pixels
        others = self.time_shift, self.broken
        if not self.is_single or any(array.shape != shape for array in (self.pedestal, *others)):
            return False
        with np.errstate(all="ignore"):
            largest = (MOST_COUNTS + np.abs(self.pedestal.astype(np.float64))) * np.abs(self.factor) + abs(self.shift)
        is_same = bool((self.broken == self.broken[0]).all()) and self.time_shift.dtype == np.float32
        return is_same and bool((largest < TAME).all())


class Traces(NamedTuple):
    """The traces of a telescope in an event.

    Attributes
    ----------
    found : array_events.Found
        ADC samples or sums.
    calibration : R1Calibration
    """

    found: object
    calibration: R1Calibration

    def n_samples(self):
        """Return the number of samples of traces that compiled loops can read, 0 of others."""
        found, calibration = self.found, self.calibration
        size = found.end - found.start - SHAPE.size
        is_plain = found.kind == SAMPLES and found.version == SAMPLES_VERSION and not found.id & REDUCED
        if not (is_plain and calibration.is_single) or size < 0:
            return 0
        n_pixels, n_gains, n_samples = SHAPE.unpack_from(found.memory, found.start)
        # each sample takes a byte at least: nothing is allocated that a damaged number asks for
        if (n_gains, n_pixels) != calibration.pedestal.shape or n_pixels * n_gains * n_samples > size:
            return 0
        return n_samples if n_samples > 1 else 0

    def read_into(self, waveforms, n_samples):
        """Fill waveforms of the chosen gains, float32 array (at least n_pixels, at least n_samples).

        Returns
        -------
        int8 array (n_pixels,)
            The gains.

        Raises
        ------
        ValueError
            If there are fewer samples than that.
        """
        found, calibration = self.found, self.calibration
        data = np.frombuffer(found.memory, np.uint8, found.end - found.start - SHAPE.size, found.start + SHAPE.size)
        gain = np.empty(calibration.pedestal.shape[1], np.int8)
        threshold = float(calibration.gain_selector.threshold)
        is_whole = read_waveforms(
            data, n_samples, calibration.pedestal, calibration.factor, np.float32(calibration.shift), threshold,
            waveforms, gain,
        )  # fmt: skip
        if not is_whole:
            raise ValueError("the samples of a telescope are cut or damaged")
        return gain

    def waveforms(self):
        """Return R1 waveforms, array (1, n_pixels, n_samples), and the gains that they are of, (n_pixels,)."""
        n_samples = self.n_samples()
        if n_samples:
            waveforms = np.empty((self.calibration.pedestal.shape[1], n_samples), np.float32)
            gain = self.read_into(waveforms, n_samples)
            return waveforms[np.newaxis], gain
        counts, calibration = self._counts(), self.calibration
        pedestal, factor = calibration.pedestal[..., np.newaxis], calibration.factor[..., np.newaxis]
        waveforms = (counts - pedestal) * factor + calibration.shift
        gain = calibration.gain_selector(counts)
        return waveforms[np.newaxis, gain, np.arange(len(gain))], gain

    def _counts(self):
        """Return ADC counts by eventio's parser, array (n_gains, n_pixels, n_samples)."""
        if self.found.kind == SUMS:
            return self.found.parsed(objects.ADCSums)[:, :, np.newaxis]
        return self.found.parsed(objects.ADCSamples)
