"""Compiled loops over waveforms: ADC differences to calibrated samples, and these to charges and peak times.

They give the bits of eventio's parser, of ctapipe's R1 calibration and of its image extractors, in a fraction of the
time: samples of a row are worked on side by side where the order of their operations does not matter, and rows of gains
that are not chosen are passed over.
"""

import numpy as np

from ...compiled import compiled

#: Rows of waveforms are this many samples long, or a multiple: what the widest registers take at once.
STRIDE = 16
#: What rows hold behind their last sample: lower than any sum of samples, and sums of it are numbers.
PADDING = np.float32(-1e30)
ZERO = np.float32(0)
LOWEST, HIGHEST = np.int32(-(2**31)), np.int32(2**31 - 1)


class WaveformRows:
    """Room for the waveforms of a camera, which is used again and again.

    Attributes
    ----------
    samples : float32 array (n_pixels + 1, n_samples and PADDING)
        The last row is of zeros.
    n_samples : int
    """

    def __init__(self, n_pixels, n_samples):
        self.n_samples = n_samples
        self.samples = np.full((n_pixels + 1, -(-n_samples // STRIDE) * STRIDE), PADDING, np.float32)
        self.samples[-1, :n_samples] = 0


@compiled
def _code_length(first):
    """Return how many bytes an integer takes that begins with this one, 0 if none does."""
    if first < 0x80:  # the number of leading ones is the number of further bytes
        return 1
    if first < 0xC0:
        return 2
    if first < 0xE0:
        return 3
    if first < 0xF0:
        return 4
    return 5 if first < 0xF8 else 0


@compiled
def _are_short(data, position, n):
    """Say whether the next `n` integers are there and take a byte each."""
    if position + n > len(data):
        return False
    bytes_, bits = data[position : position + n], np.uint8(0)
    for i in range(n):
        bits |= bytes_[i]
    return bits < 0x80


@compiled
def _read_code(data, position):
    """Return the integer at a position, and the position behind it; -1 if there is none."""
    if position >= len(data):
        return np.int32(0), -1
    first = data[position]
    length = _code_length(first)
    if length == 0 or position + length > len(data):
        return np.int32(0), -1
    code = np.int32(first) & np.int32(0xFF >> length)
    for i in range(1, length):
        code = np.int32((code << 8) | data[position + i])
    return code, position + length


@compiled
def _pass_over(data, position, n):
    """Return the position behind `n` integers, -1 if they are not there."""
    for _ in range(n):
        length = _code_length(data[position]) if position < len(data) else 0
        if length == 0 or position + length > len(data):
            return -1
        position += length
    return position


@compiled
def _read_long(data, position, value, counts):
    """Decode the counts behind one of this value; returns the position behind them, -1 if they are not there."""
    for i in range(len(counts)):
        code, position = _read_code(data, position)
        if position < 0:
            return -1
        value += (code >> 1) ^ -(code & 1)
        counts[i] = value
    return position


@compiled
def read_waveforms(data, n_samples, pedestal, factor, shift, threshold, waveforms, gain):
    """Decode ADC counts, choose the gain of each pixel and calibrate its samples: (counts - pedestal) * factor + shift.

    In single precision and in the order of ctapipe's apply_simtel_r1_calibration, with a ThresholdGainSelector.

    Parameters
    ----------
    data : uint8 array
        Traces as differences of successive samples, the first one from 0, in zigzag variable-length integers: all
        pixels of gain 0, then those of gain 1. Never read beyond its end, whatever it holds.
    n_samples : int
    pedestal, factor : float32 array (n_gains, n_pixels)
        Counts per sample, and p.e. per count.
    shift : float32
        In p.e.
    threshold : float
        Counts of gain 0 above which gain 1 is taken.
    waveforms : float32 array (at least n_pixels, at least n_samples)
        Filled.
    gain : int8 array (n_pixels,)
        Filled.

    Returns
    -------
    bool
        False if the data ended before the last sample, or hold no such integers.
    """
    n_gains, n_pixels = pedestal.shape
    counts, n_rest = np.empty(n_samples, np.uint16), n_samples - 1
    further = counts[1:]
    position = 0
    gain[:] = 0
    for channel in range(n_gains):
        for pixel in range(n_pixels):
            # the first code is that of the pedestal, a long one; nearly all rows have no other
            code, position = _read_code(data, position)
            if position < 0:
                return False
            is_short = _are_short(data, position, n_rest)
            if channel != gain[pixel]:
                position = position + n_rest if is_short else _pass_over(data, position, n_rest)
                if position < 0:
                    return False
                continue
            value = (code >> 1) ^ -(code & 1)
            counts[0] = value
            if is_short:  # here: a call would take as long as the loop
                codes = data[position : position + n_rest]
                for i in range(n_rest):
                    code = np.int32(codes[i])
                    value += (code >> 1) ^ -(code & 1)
                    further[i] = value
                position += n_rest
            else:
                position = _read_long(data, position, value, further)
                if position < 0:
                    return False
            if channel == 0 and n_gains > 1:
                highest = np.uint16(0)
                for sample in range(n_samples):
                    highest = max(highest, counts[sample])
                if highest > threshold:
                    gain[pixel] = 1
                    continue
            offset, scale, target = pedestal[channel, pixel], factor[channel, pixel], waveforms[pixel]
            for sample in range(n_samples):
                target[sample] = (np.float32(counts[sample]) - offset) * scale + shift
    return True


@compiled
def _ordered(bits):
    """Return an integer that is ordered as the number of these bits, which is no NaN, and no -0.; its own inverse."""
    return np.int32(bits ^ np.int32(np.int32(bits >> 31) & HIGHEST))


@compiled
def _first_maximum(bits):
    """Return where a row of float32 numbers, given by their bits, is highest, the first place of several."""
    highest, end = LOWEST, np.int32(len(bits))
    for i in range(len(bits)):  # integers: for floats, compilers do not work on several of them at once
        highest = max(highest, _ordered(bits[i]))
    highest, first = _ordered(highest), end
    for i in range(len(bits)):
        place = np.int32(i) if bits[i] == highest else end
        first = place if place < first else first
    return first


@compiled
def highest_sums(waveforms, rows, peaks):
    """Find where the sum of some rows of waveforms is highest, for each pixel.

    Parameters
    ----------
    waveforms : float32 array
        Of :class:`WaveformRows`.
    rows : int32 array (n_pixels, 6, 8, ...)
        Numbers of the rows, in the order in which they are added.
    peaks : int32 array (n_pixels,)
        Filled: the first sample of several.
    """
    n_samples, n_rows = waveforms.shape[1], rows.shape[1]
    total = np.empty(n_samples, np.float32)
    bits = total.view(np.int32)
    for pixel in range(len(rows)):
        one, two, three = waveforms[rows[pixel, 0]], waveforms[rows[pixel, 1]], waveforms[rows[pixel, 2]]
        four, five, six = waveforms[rows[pixel, 3]], waveforms[rows[pixel, 4]], waveforms[rows[pixel, 5]]
        for i in range(n_samples):  # from zero, so that no sum is -0.
            total[i] = ((((ZERO + one[i] + two[i]) + three[i]) + four[i]) + five[i]) + six[i]
        for further in range(6, n_rows, 2):
            one, two = waveforms[rows[pixel, further]], waveforms[rows[pixel, further + 1]]
            for i in range(n_samples):
                total[i] = (total[i] + one[i]) + two[i]
        peaks[pixel] = _first_maximum(bits)


@compiled
def sum_around_peaks(waveforms, n_samples, peaks, width, shift, rate, correction, delay, gain, charge, peak_time):
    """Sum samples of a window around the peak of each pixel, and take the mean of their times.

    As ctapipe's extract_around_peak and the correction of its extractors do, and CameraCalibrator with shifts in time.

    Parameters
    ----------
    waveforms : float32 array
        Of :class:`WaveformRows`.
    n_samples : int
    peaks : int32 array (n_pixels,)
        Samples.
    width, shift : int
        Of the window, which begins `shift` samples before the peak.
    rate : float
        Samples per ns.
    correction : float64 array (n_gains,)
        By which sums are multiplied.
    delay : float32 array (n_gains, n_pixels)
        Of each pixel [ns], subtracted from its time.
    gain : int8 array (n_pixels,)
    charge, peak_time : float32 array (n_pixels,)
        Filled: p.e. and ns.
    """
    for pixel in range(len(peaks)):
        row, peak = waveforms[pixel], peaks[pixel]
        total = weighted = positive = 0.0
        for sample in range(max(0, peak - shift), min(peak - shift + width, n_samples)):
            value = np.float64(row[sample])
            total += value
            light = value if value > 0 else 0.0
            weighted += light * sample
            positive += light
        mean = np.float32(weighted / positive) if positive > 0 else np.float32(peak)
        charge[pixel] = np.float64(np.float32(total)) * correction[gain[pixel]]
        peak_time[pixel] = np.float32(np.float64(mean) / rate) - delay[gain[pixel], pixel]
