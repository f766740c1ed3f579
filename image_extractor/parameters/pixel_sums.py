"""What follows from sums over the pixels kept: statistics, leakage, the Hillas ellipse, concentrations.

Charges are added up in their own precision and in NumPy's order where ctapipe does so: the same numbers, bit for bit.
Where rounding decides what ctapipe gives (pixels in a line, round images, a pixel on the ellipse), loops say that they
are not sure, and ctapipe is asked itself.
"""

import numpy as np

from ..compiled import compiled

#: What is made of an image.
NOTHING, SURE, UNSURE = 0, 1, 2

#: NumPy adds up so many numbers in 8 sums side by side, more of them in halves.
BLOCK, SIDE_BY_SIDE = 128, 8

#: Halves of halves of as many numbers as memory holds.
DEPTH = 64

#: Squares of width and length are apart from 0 and from each other by this part of the larger one, ...
APART = 1e-4

#: ... and their sum is larger than this [deg2].
LEAST_SPREAD = 1e-10

#: Uncertainties of width and length are larger than this part of what they come from.
LEAST_UNCERTAINTY = 1e-5

#: Pixels are apart from the ellipse, and its axis from the latitude, by this part.
AWAY = 1e-8


@compiled
def _block(values, begin, end):
    """Add values[begin:end] up, BLOCK at most."""
    n = end - begin
    if n < SIDE_BY_SIDE:
        total = values.dtype.type(0)
        for i in range(begin, end):
            total += values[i]
        return total
    a, b, c, d = values[begin], values[begin + 1], values[begin + 2], values[begin + 3]
    e, f, g, h = values[begin + 4], values[begin + 5], values[begin + 6], values[begin + 7]
    whole = end - n % SIDE_BY_SIDE
    for i in range(begin + SIDE_BY_SIDE, whole, SIDE_BY_SIDE):
        a += values[i]
        b += values[i + 1]
        c += values[i + 2]
        d += values[i + 3]
        e += values[i + 4]
        f += values[i + 5]
        g += values[i + 6]
        h += values[i + 7]
    total = ((a + b) + (c + d)) + ((e + f) + (g + h))
    for i in range(whole, end):
        total += values[i]
    return total


@compiled
def _total(values, begin, end):
    """Add values[begin:end] up in NumPy's order: halves of halves, down to blocks.

    Not by recursion: numba crashes where it reads compiled functions that call themselves from its cache.
    """
    if end - begin <= BLOCK:
        return _block(values, begin, end)
    ends, first_half, is_second = np.empty(DEPTH, np.int64), np.empty(DEPTH, values.dtype), np.zeros(DEPTH, np.bool_)
    depth, ends[0] = 0, end
    while True:
        while ends[depth] - begin > BLOCK:
            half = (ends[depth] - begin) // 2
            depth += 1
            ends[depth], is_second[depth] = begin + half - half % SIDE_BY_SIDE, False
        total, begin = _block(values, begin, ends[depth]), ends[depth]
        while is_second[depth]:
            total = first_half[depth] + total
            depth -= 1
        if depth == 0:
            return total
        first_half[depth], is_second[depth], ends[depth] = total, True, ends[depth - 1]


@compiled
def _sum(values):
    return _total(values, 0, len(values))


@compiled
def statistics(values, row):
    """Describe how values are distributed, as ctapipe's descriptive_statistics.

    Parameters
    ----------
    values : float array (n,)
    row : float array (6,)
        Written: largest, smallest, mean, standard deviation, skewness, kurtosis.
    """
    largest = smallest = values[0]
    for value in values:
        largest = value if value > largest or value != value else largest
        smallest = value if value < smallest or value != value else smallest
    mean = values.dtype.type(_sum(values) / len(values))
    deviations = values - mean
    std = np.sqrt(values.dtype.type(_sum(deviations * deviations) / len(values)))
    row[0], row[1], row[2], row[3] = largest, smallest, mean, std
    # ctapipe's compiled functions divide in double precision
    wide_std = np.float64(std)
    row[4] = np.mean((deviations / wide_std) ** 3)
    row[5] = np.mean((deviations / wide_std) ** 4) - 3.0


@compiled
def _leakage(charges, kept, borders, total, row):
    """Write the parts of the pixels, and of their charge, in the outer row and in the two outer rows."""
    outer = np.empty_like(charges)
    for width in range(2):
        n = 0
        for i in range(len(kept)):
            if borders[width, kept[i]]:
                outer[n] = charges[i]
                n += 1
        row[width] = n / len(kept)
        row[2 + width] = charges.dtype.type(_total(outer, 0, n) / total)


@compiled
def _ellipse(charges, kept, pixels, row, across, along):
    """Write Hillas parameters [deg], and where pixels are across and along the axis; say whether rounding is harmless.

    The steps are those of ctapipe's hillas_parameters; the centroid is the same to the bit.
    """
    n = len(kept)
    weight, moment, x, y = np.empty(n), np.empty(n), np.empty(n), np.empty(n)
    for i in range(n):
        weight[i], x[i], y[i] = charges[i], pixels[0, kept[i]], pixels[1, kept[i]]
        if not 0 <= weight[i] < np.inf:
            return False
    size = _sum(weight)
    if not 0 < size < np.inf:
        return False
    for i in range(n):
        moment[i] = x[i] * weight[i]
    cog_x = _sum(moment) / size
    for i in range(n):
        moment[i] = y[i] * weight[i]
    cog_y = _sum(moment) / size
    x -= cog_x
    y -= cog_y
    xx, yy, xy = _covariance(x, y, weight, size)
    mean, half = (xx + yy) / 2, np.hypot((xx - yy) / 2, xy)
    larger, smaller = mean + half, mean - half
    if not (mean > LEAST_SPREAD and smaller > APART * larger and 2 * half > APART * larger):
        return False
    if yy > xx and abs(xy) < AWAY * larger:
        return False
    width, length, psi = np.sqrt(smaller), np.sqrt(larger), np.arctan2(2 * xy, xx - yy) / 2

    sin, cos = np.sin(psi), np.cos(psi)
    third = fourth = per_area = per_area_l = per_area_ll = 0.0
    for i in range(n):
        along[i], across[i] = x[i] * cos + y[i] * sin, x[i] * -sin + y[i] * cos
        square, light = along[i] * along[i], weight[i] / pixels[2, kept[i]]
        third += weight[i] * square * along[i]
        fourth += weight[i] * square * square
        per_area += light
        per_area_l += light * along[i]
        per_area_ll += light * square
    # a straight line through the pixels, weighted by light per area: the inverse of its 2 x 2 matrix
    determinant = per_area * per_area_ll - per_area_l * per_area_l
    if not determinant > 0:
        return False
    turn = 0.0
    for i in range(n):
        turn += weight[i] / pixels[2, kept[i]] * across[i] * (per_area * along[i] - per_area_l)
    turn /= determinant

    a, b, c = (1 + np.cos(2 * psi)) / 2, (1 - np.cos(2 * psi)) / 2, np.sin(2 * psi)
    of_length = of_width = 0.0
    for i in range(n):
        dxx, dyy, dxy = (x[i] * x[i] - xx) / size, (y[i] * y[i] - yy) / size, (x[i] * y[i] - xy) / size
        of_length += (a * dxx + b * dyy + c * dxy) ** 2 * weight[i]
        of_width += (b * dxx + a * dyy - c * dxy) ** 2 * weight[i]
    length_uncertainty, width_uncertainty = np.sqrt(of_length) / (2 * length), np.sqrt(of_width) / (2 * width)
    least = LEAST_UNCERTAINTY * larger / np.sqrt(size)
    if not (length_uncertainty > least / length and width_uncertainty > least / width):
        return False

    row[0], row[1], row[2] = size, third / size / length**3, fourth / size / length**4
    row[3], row[4] = cog_x, cog_y
    row[5], row[6] = np.sqrt(cog_x * cog_x + cog_y * cog_y), np.degrees(np.arctan2(cog_y, cog_x))
    row[7], row[8], row[9], row[10] = length, length_uncertainty, width, width_uncertainty
    row[11] = np.degrees(psi)
    elongation = 1 + np.tan(width / length * np.pi / 2) ** 2
    row[12] = np.degrees(np.sqrt(per_area / determinant + turn * turn) * elongation)
    row[13] = np.sqrt(per_area_ll / determinant * (1 + np.sin(turn) ** 2))
    return True


@compiled
def _covariance(x, y, weight, size):
    mean_x = mean_y = xx = yy = xy = 0.0
    for i in range(len(x)):
        mean_x += x[i] * weight[i]
        mean_y += y[i] * weight[i]
    mean_x /= size
    mean_y /= size
    for i in range(len(x)):
        dx, dy = x[i] - mean_x, y[i] - mean_y
        xx += dx * dx * weight[i]
        yy += dy * dy * weight[i]
        xy += dx * dy * weight[i]
    return xx / size, yy / size, xy / size


@compiled
def _concentration(charges, kept, pixels, hillas, across, along, row):
    """Write the parts of the charge near the centroid, in the ellipse, in the brightest pixel; say whether sure."""
    size, ll, ww = hillas[0], hillas[7] * hillas[7], hillas[9] * hillas[9]
    near, inside, brightest = np.empty_like(charges), np.empty_like(charges), charges[0]
    n_near = n_inside = 0
    for i in range(len(kept)):
        brightest = max(brightest, charges[i])
        x, y, width = pixels[0, kept[i]] - hillas[3], pixels[1, kept[i]] - hillas[4], pixels[3, kept[i]]
        if x * x + y * y < width * width:
            near[n_near] = charges[i]
            n_near += 1
        distance = along[i] * along[i] / ll + across[i] * across[i] / ww
        if abs(distance - 1) < AWAY:
            return False
        if distance <= 1:
            inside[n_inside] = charges[i]
            n_inside += 1
    row[0], row[1], row[2] = _total(near, 0, n_near) / size, _total(inside, 0, n_inside) / size, brightest / size
    return True


@compiled
def image_sums(charges, kept, pixels, borders, along, hillas, leakage, concentration, intensity):
    """Fill in what follows from charges and places of the pixels kept.

    Parameters
    ----------
    charges : float array (n_kept,)
        Of the pixels kept [p.e.].
    kept : int array (n_kept,)
    pixels : float64 array (4, n_pixels)
        x and y [deg], area [deg2], width [deg] of all pixels, in the TelescopeFrame.
    borders : bool array (2, n_pixels)
        Pixels of the outer row, and of the two outer rows.
    along : float64 array (n_kept,)
        Written: positions along the major axis [deg].
    hillas, leakage, concentration, intensity : float64 array (14,), (4,), (3,), (6,)
        Written, in the order of ``columns``.

    Returns
    -------
    int
        NOTHING: no parameters, by the rule of ctapipe's ImageQualityQuery; nothing is written. UNSURE: along, hillas
        and concentration are ctapipe's to compute.
    """
    if len(kept) < 2:
        return NOTHING
    total = _sum(charges)
    if not total > 0:
        return NOTHING
    statistics(charges, intensity)
    _leakage(charges, kept, borders, total, leakage)
    across = np.empty(len(kept))
    if not _ellipse(charges, kept, pixels, hillas, across, along):
        return UNSURE
    return SURE if _concentration(charges, kept, pixels, hillas, across, along, concentration) else UNSURE
