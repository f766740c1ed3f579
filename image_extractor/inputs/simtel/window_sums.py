"""ctapipe's image extractors that sum a window around a peak, in compiled loops."""

import functools

import numpy as np
from ctapipe.image import extractor as extractors

from .waveforms import highest_sums, sum_around_peaks

#: What :func:`waveforms.highest_sums` sums for each pixel: this many rows at least, or an even number beyond.
FEWEST_ROWS = 6


class WindowSum:
    """An extractor as it is for one telescope.

    Parameters
    ----------
    extractor : ctapipe ImageExtractor
        Of a class that KINDS has.
    tel_id : int
    calibration : traces.R1Calibration
    correction : float64 array (n_gains,)
        What charges are multiplied by.
    """

    def __init__(self, extractor, tel_id, calibration, correction):
        n_pixels = calibration.pedestal.shape[1]
        self._width, self._shift = extractor.window_width.tel[tel_id], extractor.window_shift.tel[tel_id]
        self._rate, self._delay = extractor.sampling_rate_ghz[tel_id], calibration.time_shift
        self._correction = correction
        self._peaks = np.empty(n_pixels, np.int32)
        self._find = KINDS[type(extractor)](extractor, tel_id, calibration)

    def __call__(self, waveforms, gain):
        """Return charges [p.e.] and peak times [ns], float32 arrays (n_pixels,).

        Parameters
        ----------
        waveforms : waveforms.WaveformRows
        gain : int8 array (n_pixels,)
        """
        charge, peak_time = np.empty(len(gain), np.float32), np.empty(len(gain), np.float32)
        self._find(waveforms.samples, self._peaks)
        sum_around_peaks(
            waveforms.samples, waveforms.n_samples, self._peaks, self._width, self._shift, self._rate,
            self._correction, self._delay, gain, charge, peak_time,
        )  # fmt: skip
        return charge, peak_time


def _at_highest_sum(rows):
    return lambda samples, peaks: highest_sums(samples, rows, peaks)


def _of_neighbors(extractor, tel_id, calibration):
    geometry = extractor.subarray.tel[tel_id].camera.geometry
    own = [np.arange(geometry.n_pixels)[:, np.newaxis]] if extractor.local_weight.tel[tel_id] else []
    return _at_highest_sum(rows_of_neighbors(_neighbors(_OfPixels(geometry)), calibration.broken[0], own))


class _OfPixels:
    """A camera geometry, equal to those that have the same pixels: every telescope of every file has its own."""

    def __init__(self, geometry):
        self.geometry = geometry
        places = (axis.to_value("m").tobytes() for axis in (geometry.pix_x, geometry.pix_y))
        self._key = geometry.name, geometry.pix_type, *places

    def __eq__(self, other):
        return self._key == other._key

    def __hash__(self):
        return hash(self._key)


@functools.lru_cache(64)
def _neighbors(of_pixels):
    """Return the neighbours of pixels, csr matrix; ctapipe looks for them anew in each geometry, for 2 ms."""
    return of_pixels.geometry.neighbor_matrix_sparse


def _of_pixel(_extractor, _tel_id, calibration):
    pixels = np.arange(calibration.pedestal.shape[1])[:, np.newaxis]
    return _at_highest_sum(_filled_up([pixels], len(pixels)))


def _fixed(extractor, tel_id, _calibration):
    peak = extractor.peak_index.tel[tel_id]
    return lambda samples, peaks: peaks.fill(peak)


def rows_of_neighbors(neighbors, is_broken, own=()):
    """Return which rows of waveforms are summed for each pixel, int32 array (n_pixels, 6, 8, ...).

    Parameters
    ----------
    neighbors : scipy csr matrix (n_pixels, n_pixels)
    is_broken : bool array (n_pixels,)
        Are not summed.
    own : list of int array (n_pixels, 1)
        What is summed before them.
    """
    n_pixels = len(is_broken)
    numbers = np.diff(neighbors.indptr)
    rows = np.full((n_pixels, numbers.max(initial=0)), n_pixels)
    pixel = np.repeat(np.arange(n_pixels), numbers)
    rows[pixel, np.arange(len(pixel)) - neighbors.indptr[pixel]] = np.where(
        is_broken[neighbors.indices], n_pixels, neighbors.indices
    )
    return _filled_up([*own, rows], n_pixels)


def _filled_up(columns, n_pixels):
    """Join columns of rows, with that of zeros in the place of what is missing to a number that loops can sum."""
    n_columns = sum(part.shape[1] for part in columns)
    n_missing = max(FEWEST_ROWS - n_columns, n_columns % 2)
    zeros = np.full((n_pixels, n_missing), n_pixels)
    return np.ascontiguousarray(np.hstack([*columns, zeros]), np.int32)


#: {class of extractors: what makes the finder of peaks of a telescope}
KINDS = {
    extractors.NeighborPeakWindowSum: _of_neighbors,
    extractors.LocalPeakWindowSum: _of_pixel,
    extractors.FixedWindowSum: _fixed,
}


def window_sum(extractor, tel_id, calibration):
    """Return the :class:`WindowSum` of a telescope, None where loops do not know what to do."""
    n_pixels, n_gains = extractor.subarray.tel[tel_id].camera.geometry.n_pixels, len(calibration.pedestal)
    if type(extractor) not in KINDS or not calibration.suits_window_sums(n_pixels):
        return None
    weight = extractor.local_weight.tel[tel_id] if type(extractor) is extractors.NeighborPeakWindowSum else 0
    correction = np.ones(n_gains)
    if extractor.apply_integration_correction.tel[tel_id]:
        correction = np.asarray(extractor._calculate_correction(tel_id=tel_id), np.float64)
    if weight not in (0, 1) or len(correction) != n_gains:
        return None
    return WindowSum(extractor, tel_id, calibration, correction)
