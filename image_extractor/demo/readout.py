"""From the p.e. of a camera to what its electronics write: trigger, traces, pedestals and calibration constants."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

TRIGGER_THRESHOLD = 15  # p.e. in a pixel and its neighbours
GAIN_SPREAD, PEDESTAL_SPREAD, CLOCK_SPREAD = 0.03, 0.02, 0.15  # relative, relative, ns: from pixel to pixel
SINGLE_PE_SPREAD = 0.2  # relative width of the charge of one p.e.
TRIGGER_POSITION = 0.35  # where in the trace the trigger's p.e. come

# Neighbours on a camera's grid: all eight squares, or the six hexagons (the grid's axes are 60 degrees apart).
SQUARE_NEIGHBOURS = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)]
HEXAGON_NEIGHBOURS = [(i, j) for i, j in SQUARE_NEIGHBOURS if i * j != 1]


@dataclass(frozen=True)
class Calibration:
    """One telescope's constants, as the monitoring objects of the file give them.

    Arrays (n_gains, n_pixels): pedestal in ADC counts per sample, counts_per_pe in summed ADC counts;
    time_shift (n_pixels,) in ns
    """

    pedestal: np.ndarray
    counts_per_pe: np.ndarray
    time_shift: np.ndarray


@dataclass(frozen=True)
class Image:
    """What one telescope sees of one event: pixel and time (ns) of each p.e., and the pixels that triggered."""

    pixel: np.ndarray  # (n_pe,)
    time: np.ndarray  # (n_pe,), since the shower front reached the core
    patch: np.ndarray  # empty without a trigger


def make_calibration(rng, camera):
    """Draw the `Calibration` of one telescope with this camera."""
    shape = (camera.n_gains, camera.n_pixels)
    spread = 0.0 if camera.n_samples == 1 else CLOCK_SPREAD  # without traces no time is measured
    return Calibration(
        pedestal=camera.pedestal * (1 + PEDESTAL_SPREAD * rng.standard_normal(shape)).astype(np.float32),
        counts_per_pe=np.array(camera.counts_per_pe)[:, np.newaxis] * (1 + GAIN_SPREAD * rng.standard_normal(shape)),
        time_shift=spread * rng.standard_normal(camera.n_pixels),
    )


def trigger_patch(camera, pixel):
    """The brightest pixel with its neighbours, if there is enough light in it for a trigger.

    pixel : int array (n_pe,), the pixel of each p.e.; returns int array of pixels, empty without a trigger
    """
    if pixel.size < TRIGGER_THRESHOLD:
        return np.zeros(0, dtype=int)
    index = camera.lattice.index
    charge = np.append(np.bincount(pixel, minlength=camera.n_pixels), 0)
    grid = np.pad(charge[index], 1)
    neighbours = HEXAGON_NEIGHBOURS if camera.lattice.hexagonal else SQUARE_NEIGHBOURS
    n_u, n_v = index.shape
    sums = sum(grid[1 + i : 1 + i + n_u, 1 + j : 1 + j + n_v] for i, j in neighbours)
    if sums.max() < TRIGGER_THRESHOLD:
        return np.zeros(0, dtype=int)
    u, v = np.unravel_index(sums.argmax(), sums.shape)
    around = np.pad(index, 1, constant_values=-1)
    patch = np.array([around[1 + u + i, 1 + v + j] for i, j in neighbours])
    patch = patch[patch >= 0]
    return np.sort(patch[charge[patch] > 0])


@lru_cache
def _response(sample_time, n_samples, pulse_bytes, pulse_step):
    """What a p.e. in each time bin adds to each sample: float array (n_bins, n_samples), rows sum to about 1.

    The bins begin so long before the trace that the tails of earlier night-sky light reach into it.
    """
    pulse = np.frombuffer(pulse_bytes, dtype="f2").astype(float)
    time = (np.arange(pulse.size) - pulse.argmax()) * pulse_step
    n_before = int(np.ceil(time[-1] / sample_time))
    lag = (np.arange(n_samples) - (np.arange(n_before + n_samples) - n_before)[:, np.newaxis]) * sample_time
    amplitude = np.interp(lag, time, pulse, left=0.0, right=0.0) * sample_time / (pulse.sum() * pulse_step)
    return amplitude.astype(np.float32), n_before


def _charge_per_sample(rng, camera, pixel, time):
    """P.e. in every sample, night sky and its mean taken off included: float array (n_pixels, n_samples)."""
    response, n_before = _response(camera.sample_time, camera.n_samples, camera.pulse.tobytes(), camera.pulse_step)
    n_bins = response.shape[0]
    weight = np.maximum(rng.normal(1.0, SINGLE_PE_SPREAD, pixel.size), 0.0)
    # Light between two bins is shared by them, which keeps its mean time.
    bin_position = time / camera.sample_time + n_before
    first = np.floor(bin_position).astype(int)
    share = bin_position - first
    night_sky, size = camera.night_sky * camera.sample_time, camera.n_pixels * n_bins
    night = rng.integers(0, size, rng.poisson(night_sky * size))
    bins = np.bincount(night, minlength=size).astype(np.float32)
    for shift, part in ((0, 1 - share), (1, share)):
        inside = (first + shift >= 0) & (first + shift < n_bins)
        at = pixel[inside] * n_bins + first[inside] + shift
        hit, place = np.unique(at, return_inverse=True)
        bins[hit] += np.bincount(place, (weight * part)[inside], minlength=hit.size)
    return bins.reshape(camera.n_pixels, n_bins) @ response - np.float32(night_sky)


def _charge(rng, camera, pixel):
    """P.e. in the only sample of a camera that measures the height of the peak: float array (n_pixels, 1)."""
    weight = np.maximum(rng.normal(1.0, SINGLE_PE_SPREAD, pixel.size), 0.0)
    signal = np.bincount(pixel, weight, minlength=camera.n_pixels)
    width = camera.pulse_rise + camera.pulse_fall
    night = rng.poisson(camera.night_sky * width, camera.n_pixels) - camera.night_sky * width
    return (signal + night)[:, np.newaxis].astype(np.float32)


def digitise(rng, camera, calibration, pixel, time):
    """The ADC counts of one image.

    pixel, time : int and float arrays (n_pe,), time in ns from the beginning of the trace
    returns : int array (n_gains, n_pixels, n_samples)
    """
    if camera.n_samples == 1:
        charge = _charge(rng, camera, pixel)
    else:
        charge = _charge_per_sample(rng, camera, pixel, time + calibration.time_shift[pixel])
    gain = calibration.counts_per_pe[..., np.newaxis].astype(np.float32)
    counts = charge * gain + calibration.pedestal[..., np.newaxis]
    noise = np.array(camera.noise, dtype=np.float32)[:, np.newaxis, np.newaxis]
    counts += noise * rng.standard_normal(counts.shape, dtype=np.float32)
    return np.clip(np.rint(counts), 0, camera.saturation).astype(np.int32)


def trigger_time(image):
    """When the light of the trigger came, ns on the clock of the image."""
    return np.median(image.time[np.isin(image.pixel, image.patch)])


def since_trace_start(camera, image):
    """Times of the p.e. from the beginning of the trace, which lets the light of the trigger come early in it, ns."""
    return image.time - trigger_time(image) + TRIGGER_POSITION * camera.sample_time * camera.n_samples
