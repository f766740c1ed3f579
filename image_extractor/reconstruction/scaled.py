"""Mean scaled width and length, and energy, of what tables say of images: EventDisplay's formulas and sentinels.

As in VTableCalculator::calc of EventDisplay 5. Its sigma is q84 - q16, so values of MSCW are about half of what others
call a mean reduced scaled width.
"""

import math

import numpy as np

from ..compiled import compiled
from .stereo import FEWEST

#: Of an event: mean scaled width and length, energy [TeV], its reduced chi2 and its mean relative error.
SCALED = np.dtype([(name, "<f8") for name in ("MSCW", "MSCL", "ErecS", "EChi2S", "dES")])

#: What stands for a value that could not be made.
FAILED = -99.0

#: Images of telescopes further from the axis than this count less, by a factor e each LIGHT_POOL_SCALE [m].
LIGHT_POOL, LIGHT_POOL_SCALE = 400.0, 200.0

#: From so many energies on, those are dropped that are off the median by so many mean absolute errors.
OUTLIERS_FROM, OUTLIER_ERRORS = 5, 5.0


def scale(first, distance, images, expected):
    """Return the scaled parameters of events.

    Parameters
    ----------
    first : int array (n_events + 1,)
        Images of event i are those from first[i] up to first[i + 1].
    distance : float array (n_images,)
        From the reconstructed axis [m].
    images : array of `images.IMAGE`, (n_images,)
    expected : dict
        {"width", "length", "energy": (median, sigma), float arrays (n_images,)} as tables say [deg, TeV]; a median of 0
        or less: no entry.

    Returns
    -------
    array of SCALED, (n_events,)
        MSCW, MSCL : FAILED without any entry, and where a sigma is not positive.
        ErecS, EChi2S, dES : FAILED, 0, 0 without any entry; FAILED where a sigma is not positive; of one image the last
        two are 0; an energy of 0 is what is left where all were dropped.
        An event of fewer than two images fails in all.
    """
    first = np.ascontiguousarray(first, np.int64)
    found = np.full((len(first) - 1, len(SCALED)), FAILED)
    for place, name in enumerate(("width", "length")):
        median, sigma = expected[name]
        _mean_scaled(first, np.ascontiguousarray(images[f"hillas_{name}"]), median, sigma, found[:, place])
    energy, sigma = expected["energy"]
    _mean_energy(first, np.ascontiguousarray(distance), energy, sigma, found[:, 2:])
    found[np.diff(first) < FEWEST] = FAILED
    return found.view(SCALED)[:, 0]


@compiled
def _mean_scaled(first, values, median, sigma, result):
    for event in range(len(first) - 1):
        total = weights = 0.0
        failed = False
        for image in range(first[event], first[event + 1]):
            if not median[image] > 0:
                continue
            if not sigma[image] > 0:
                failed = True
            elif values[image] > 0:
                weight = (median[image] / sigma[image]) ** 2
                total += weight * (values[image] - median[image]) / sigma[image]
                weights += weight
        result[event] = total / weights if weights > 0 and not failed else FAILED


@compiled
def _mean_energy(first, distance, energy, sigma, result):
    """Fill result, float array (n_events, 3): energy, chi2, relative error."""
    for event in range(len(first) - 1):
        found = np.array([image for image in range(first[event], first[event + 1]) if energy[image] > 0], np.int64)
        n = len(found)
        if n == 0:
            result[event, 0], result[event, 1], result[event, 2] = FAILED, 0.0, 0.0
            continue
        if not (sigma[found] > 0).all():
            result[event] = FAILED
            continue
        mean, median = energy[found].mean(), np.median(energy[found])
        limit = OUTLIER_ERRORS * np.abs(energy[found] - mean).mean()
        total = weights = 0.0
        for image in found:
            if n < OUTLIERS_FROM or abs(energy[image] - median) < limit:
                weight = energy[image] / sigma[image] ** 2
                if distance[image] >= LIGHT_POOL:
                    weight *= math.exp(-(distance[image] - LIGHT_POOL) / LIGHT_POOL_SCALE)
                total += weight * energy[image]
                weights += weight
        value = total / weights if weights > 0 else 0.0
        result[event, 0], result[event, 1], result[event, 2] = value, 0.0, 0.0
        if n > 1:
            result[event, 1] = (((value - energy[found]) / sigma[found]) ** 2).sum() / (n - 1)
            result[event, 2] = (sigma[found] / energy[found]).mean()
