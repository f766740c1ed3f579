"""Interpolation between the pixels around a point, as weights of places on the lattice.

Each function takes points in lattice coordinates, float array (n, 2), whole numbers at the centres of pixels, and
returns places, int array (n, k, 2), and their weights, float array (n, k), which add up to 1.
"""

import functools
import itertools
import math

import numpy as np

#: A place without pixel, whatever the camera.
NOWHERE = -(1 << 40)

#: Corners of a triangle of hexagonal pixels, and the way from a pixel to its neighbours, in steps along the lattice.
CORNERS = np.array([(0, 0), (1, 0), (0, 1)])
NEIGHBOURS = np.array([(1, 0), (0, 1), (-1, 1), (-1, 0), (0, -1), (1, -1)])


def constant(points):
    """All of the weight to the pixel that the point is in."""
    return np.full((len(points), 1, 2), NOWHERE), np.ones((len(points), 1))


def linear_hexagonal(points):
    """Interpolate between the corners of the triangle of pixels that a point is in (barycentric weights)."""
    return _in_triangle(points, CORNERS, lambda weights: weights)


def cubic_hexagonal(points):
    """Interpolate by a cubic in the triangle of pixels that a point is in: between twelve pixels.

    A triangular Bezier patch (G. Farin, Comput. Aided Geom. Des. 3 (1986) 83) whose slopes at a pixel are those of the
    plane fitted to its six neighbours; exact for polynomials up to the second degree.
    """
    places, powers, coefficients = _cubic_patch()
    counts = 6 / np.prod([[math.factorial(power) for power in row] for row in powers], axis=1)

    def weights_of(barycentric):
        return (counts * np.prod(barycentric[:, np.newaxis] ** powers, axis=2)) @ coefficients

    return _in_triangle(points, places, weights_of)


def linear_square(points):
    """Interpolate between four pixels."""
    return _separable(points, 0, lambda t: np.stack([1 - t, t], axis=-1))


def cubic_square(points):
    """Interpolate between sixteen pixels with cubic convolution; exact for polynomials up to the second degree.

    R. G. Keys, IEEE Trans. Acoust. Speech Signal Process. 29 (1981) 1153, with a = -1/2.
    """

    def weights(t):
        outer, inner = (-t * (1 - t) ** 2 / 2, 1 + t**2 * (3 * t - 5) / 2)
        t = 1 - t
        return np.stack([outer, inner, 1 + t**2 * (3 * t - 5) / 2, -t * (1 - t) ** 2 / 2], axis=-1)

    return _separable(points, -1, weights)


def _in_triangle(points, offsets, weights_of):
    """Weigh the pixels around the triangle that a point is in.

    offsets : int array (k, 2), places as seen from the triangle with CORNERS; the other kind is the same turned around
    weights_of : maps barycentric coordinates, float array (n, 3), to weights (n, k)
    """
    floor = np.floor(points)
    a, b = (points - floor).T
    upper = a + b > 1
    a, b = np.where(upper, (1 - a, 1 - b), (a, b))
    offsets = np.where(upper[:, np.newaxis, np.newaxis], 1 - offsets, offsets)
    return floor[:, np.newaxis].astype(np.int64) + offsets, weights_of(np.stack([1 - a - b, a, b], axis=1))


@functools.cache
def _cubic_patch():
    """Return the cubic in a triangle with CORNERS as places, powers of barycentric coordinates, and coefficients.

    places : int array (12, 2), the corners and the ring around them
    powers : int array (10, 3), which add up to 3
    coefficients : float array (10, 12), what each place adds to that of each power
    """
    places = np.unique((CORNERS[:, np.newaxis] + [(0, 0), *NEIGHBOURS]).reshape(-1, 2), axis=0)
    unit = np.eye(3, dtype=int)

    def value(place):
        return (places == place).all(axis=1).astype(float)

    def slope(place, way):
        cosines = NEIGHBOURS @ [[1, 0.5], [0.5, 1]] @ way
        return sum(cosine * value(place + neighbour) for cosine, neighbour in zip(cosines, NEIGHBOURS, strict=True)) / 3

    corners = {tuple(3 * unit[i]): value(CORNERS[i]) for i in range(3)}
    sides = {
        tuple(2 * unit[i] + unit[j]): value(CORNERS[i]) + slope(CORNERS[i], CORNERS[j] - CORNERS[i]) / 3
        for i, j in itertools.permutations(range(3), 2)
    }
    middle = {(1, 1, 1): 1.5 * np.mean([*sides.values()], axis=0) - 0.5 * np.mean([*corners.values()], axis=0)}
    patch = corners | sides | middle
    return places, np.array([*patch]), np.array([*patch.values()])


def _separable(points, first, weights_of):
    """Multiply the weights along both axes; `first` is the offset of the first place from the point's floor."""
    floor = np.floor(points)
    weights = weights_of(points - floor)  # (n, axis, k)
    n_points, _, k = weights.shape
    steps = np.arange(first, first + k)
    offsets = np.stack(np.meshgrid(steps, steps, indexing="ij"), axis=-1).reshape(-1, 2)
    product = weights[:, 0, :, np.newaxis] * weights[:, 1, np.newaxis, :]
    return floor[:, np.newaxis].astype(np.int64) + offsets, product.reshape(n_points, -1)
