"""The line through peak times along the axis of an image: ctapipe's least trimmed squares in a compiled loop.

ctapipe starts from pairs of pixels that a generator draws, which goes on from image to image: its result depends on
what was fitted before. Here every image gets the pairs of a new generator, those that ctapipe gives the first image of
a process, so that a result depends on the image alone.

Where rounding decides (the 85 % of pixels that are nearest to a line, the best of the five lines), the loop says that
it is not sure, and ctapipe is asked itself.
"""

from functools import lru_cache

import numpy as np
from ctapipe.fitting import choose_two_without_replacement, lts_linear_regression

from ..compiled import compiled

#: As in ctapipe's timing_parameters and the defaults of its lts_linear_regression.
SAMPLES, PART, MOST_STEPS = 5, 0.85, 20

#: Three pixels are fitted by each of their pairs without any error: rounding would choose.
FEWEST = 4

#: Squares of distances of the first two pixels are larger than this [deg2]; ctapipe refuses 4e-16.
LEAST_DETERMINANT = 1e-9

#: Rounding of times on a line is smaller than this part of them, for a matrix of condition 1.
ROUNDING = 1e-13

#: Different sums of squared errors are apart by this part, ...
APART = 1e-9

#: ... and the errors are larger than this part of the times.
LEAST_ERROR = 1e-4

_GENERATOR = np.random.default_rng(0)
_NEW = np.random.default_rng(0).bit_generator.state


def arrival_line(along, times, row):
    """Fill in the line through peak times.

    Parameters
    ----------
    along : float64 array (n,)
        Positions along the major axis [deg].
    times : float array (n,)
        Peak times [ns].
    row : float64 array (3,)
        Written: intercept [ns], deviation [ns] (root mean square of all pixels), slope [ns/deg].

    Returns
    -------
    bool
        False: not sure, nothing is written; :func:`ctapipe_line` is to be asked.
    """
    return len(along) >= FEWEST and trimmed_line(along, times.astype(np.float64), first_pairs(len(along)), row)


def ctapipe_line(along, times):
    """Return the same by ctapipe's own fit, as the first of a process; NaN where no line is defined.

    Positions must be ctapipe's to the last bit: of three pixels, it is the one that chooses the line.
    """
    times = times.astype(np.float64)
    _GENERATOR.bit_generator.state = _NEW
    with np.errstate(all="ignore"):
        slope, intercept = lts_linear_regression(along, times, samples=SAMPLES, rng=_GENERATOR)[0]
        return intercept, np.sqrt(np.mean((along * slope + intercept - times) ** 2)), slope


@lru_cache(maxsize=4096)
def first_pairs(n):
    """Return the pairs among n pixels that ctapipe starts from, int array (SAMPLES, 2)."""
    generator = np.random.default_rng(0)
    return np.array([choose_two_without_replacement(generator, n) for _ in range(SAMPLES)])


@compiled
def trimmed_line(x, y, pairs, row):
    """Fit a line to the PART of the points that are nearest to it, from each of the pairs; the best one counts.

    Parameters
    ----------
    x, y : float64 array (n,)
        FEWEST points at least.
    pairs : int array (n_samples, 2)
    row : float64 array (3,)
        Written: intercept, deviation, slope.

    Returns
    -------
    bool
        False: not sure, nothing is written.
    """
    n, size = len(x), int(PART * len(x))
    mean_x, mean_y, most_x, most_y, is_constant = x.mean(), y.mean(), 0.0, 0.0, True
    for i in range(n):
        most_x, most_y = max(most_x, abs(x[i])), max(most_y, abs(y[i]))
        is_constant &= y[i] == y[0]
        if not (np.isfinite(x[i]) and np.isfinite(y[i])):
            return False
    if is_constant:  # cameras with one sample have no times
        for sample in range(len(pairs)):
            if (x[pairs[sample, 0]] - x[pairs[sample, 1]]) ** 2 >= LEAST_DETERMINANT:
                row[0], row[1], row[2] = y[0], 0, 0
                return True
    x, y = x - mean_x, y - mean_y  # sums of products lose fewer digits
    squares = np.empty(n)
    seen, n_seen = np.empty((len(pairs) * MOST_STEPS, 2)), 0
    best, best_slope, best_intercept = np.inf, 0.0, 0.0
    for sample in range(len(pairs)):
        one, other = pairs[sample]
        determinant = (x[one] - x[other]) ** 2
        if determinant < LEAST_DETERMINANT:
            return False
        slope = (y[one] - y[other]) / (x[one] - x[other])
        intercept = y[one] - slope * x[one]
        condition = ((x[one] + mean_x) ** 2 + (x[other] + mean_x) ** 2 + 2) ** 2 / determinant
        for i in range(n):
            squares[i] = (y[i] - (x[i] * slope + intercept)) ** 2
        error, is_new = 0.0, True
        for _ in range(MOST_STEPS):
            cut, above = _cut(squares, size)
            rounding = ROUNDING * condition * (abs(slope) * most_x + 2 * most_y)
            if not np.sqrt(above) - np.sqrt(cut) > rounding:
                return False
            last_error, last_slope, last_intercept = error, slope, intercept
            slope, intercept, condition = _line(x, y, squares, cut, size, mean_x)
            if not condition < np.inf:
                return False
            if slope == last_slope and intercept == last_intercept:
                break
            if _is_among(seen[:n_seen], slope, intercept):  # an earlier pair came by: the rest is the same
                is_new = False
                break
            seen[n_seen] = slope, intercept
            n_seen += 1
            error = 0.0
            for i in range(n):
                square = (y[i] - (x[i] * slope + intercept)) ** 2
                error += square if squares[i] <= cut else 0.0
                squares[i] = square
            if abs(error - last_error) <= APART * (1 + error):
                return False
        else:
            return False
        if not is_new:
            continue
        if error < size * (LEAST_ERROR * most_y) ** 2 or abs(error - best) <= APART * error:
            return False
        if error < best:
            best, best_slope, best_intercept = error, slope, intercept
    total = 0.0
    for i in range(n):
        total += (x[i] * best_slope + best_intercept - y[i]) ** 2
    row[0], row[1], row[2] = best_intercept + mean_y - best_slope * mean_x, np.sqrt(total / n), best_slope
    return True


@compiled
def _cut(squares, size):
    """Return the largest of the `size` smallest squares, and the smallest of the others.

    Halves the range of the bits of floats, which are in the order of numbers that are not negative: counting needs no
    guess of the processor about what comes next, and several squares are counted at once.
    """
    bits = squares.view(np.int64)
    low, high = np.int64(-1), np.int64(0)
    for one in bits:
        high = max(high, one)
    while high - low > 1:
        middle = low + (high - low) // 2
        n_below = 0
        for one in bits:
            n_below += one <= middle
        if n_below == size:
            low = high = middle
        elif n_below < size:
            low = middle
        else:
            high = middle
    cut, above = 0.0, np.inf
    for i in range(len(squares)):
        cut = max(cut, squares[i] if bits[i] <= high else 0.0)
        above = min(above, squares[i] if bits[i] > high else np.inf)
    return cut, above if low == high else cut  # two are the same, and would both be below


@compiled
def _line(x, y, squares, cut, size, mean_x):
    """Return slope and intercept of the line through points, and the condition of ctapipe's matrix for it."""
    sum_x = sum_y = sum_xx = sum_xy = 0.0
    for i in range(len(x)):
        weight = 1.0 if squares[i] <= cut else 0.0
        sum_x += weight * x[i]
        sum_y += weight * y[i]
        sum_xx += weight * x[i] * x[i]
        sum_xy += weight * x[i] * y[i]
    xx = sum_xx - sum_x * sum_x / size
    if size * xx < LEAST_DETERMINANT:
        return np.nan, np.nan, np.inf
    slope = (sum_xy - sum_x * sum_y / size) / xx
    trace = xx + size * (mean_x + sum_x / size) ** 2 + size
    return slope, (sum_y - slope * sum_x) / size, trace**2 / (size * xx)


@compiled
def _is_among(lines, slope, intercept):
    for line in lines:  # noqa: SIM110 compiled
        if line[0] == slope and line[1] == intercept:
            return True
    return False
