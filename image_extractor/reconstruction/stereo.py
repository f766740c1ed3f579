"""Direction, core and height of showers, of the axes of their images: what ctapipe's HillasReconstructor finds.

Telescopes of an event point where their array does. On the ground x is to the north, y to the west, z up, and the core
lies at z = 0, the height of the array's centre, as in ctapipe.
"""

import math

import numpy as np

from ..compiled import compiled

#: What is reconstructed of an event; NaN where it has fewer than two images, or all their axes are parallel.
#: `core_x`, `core_y` [m], `alt`, `az` [rad], `h_max` [m above sea level], `emission_height` [km].
STEREO = np.dtype([(name, "<f8") for name in ("alt", "az", "core_x", "core_y", "h_max", "emission_height")])

#: Images that a reconstruction needs.
FEWEST = 2

#: The emission height where there are fewer images, and where no pair of them gives one [km]: EventDisplay's values
#: before anything is reconstructed, and after. Cuts on heights from 0 on remove the first and let the second pass.
TOO_FEW, NO_PAIR = -99.0, 0.0

#: Of the axis that ctapipe crosses with others, its second point lies this part of the camera's radius from the first.
_STEP = 0.1

#: Equations whose determinant is so small, where coefficients are of order 1, have no answer: axes are parallel.
_SINGULAR = 1e-14


def reconstruct(images, first, pointing, telescopes):
    """Reconstruct events of their selected images.

    Parameters
    ----------
    images : array of `images.IMAGE`, (n_images,)
    first : int array (n_events + 1,)
        Images of event i are those from first[i] up to first[i + 1].
    pointing : float array (n_events, 2)
        Azimuth and altitude of the array [rad].
    telescopes : Telescopes

    Returns
    -------
    array of STEREO, (n_events,)
    """
    at = images["telescope"]
    axes = np.radians(
        [
            images["hillas_fov_lon"],
            images["hillas_fov_lat"],
            images["hillas_psi"],
            _STEP * telescopes.camera_radius[at],
        ]
    ).T
    size = np.ascontiguousarray(images["hillas_intensity"])
    found = np.empty((len(first) - 1, len(STEREO)))
    weight = size * images["hillas_length"] / images["hillas_width"]
    position = np.ascontiguousarray(telescopes.position[at])
    first, pointing = np.ascontiguousarray(first, np.int64), np.ascontiguousarray(pointing, np.float64)
    _reconstruct(np.ascontiguousarray(axes), weight, size, position, first, pointing, found)
    found[:, STEREO.names.index("h_max")] += telescopes.altitude
    return found.view(STEREO)[:, 0]


def impact_distances(stereo, first, position):
    """Return the distances of images' telescopes from the reconstructed axes, float array (n_images,) [m].

    stereo : array of STEREO, (n_events,)
    first : int array (n_events + 1,), as for :func:`reconstruct`
    position : float array (n_images, 3), of each image's telescope [m]
    """
    event = np.repeat(np.arange(len(stereo)), np.diff(first))
    alt, az = stereo["alt"][event], stereo["az"][event]
    direction = np.stack([np.cos(alt) * np.cos(az), -np.cos(alt) * np.sin(az), np.sin(alt)], axis=1)
    x, y, z = position.T
    offset = np.stack([x - stereo["core_x"][event], y - stereo["core_y"][event], z], axis=1)
    return np.linalg.norm(np.cross(offset, direction), axis=1)


def offsets(alt, az, pointing):
    """Return directions as offsets from the pointing in the tangent plane, two float arrays (n_events,) [deg].

    alt, az : float arrays (n_events,) [rad]
    pointing : float array (n_events, 2), azimuth and altitude [rad]
    returns : to larger azimuths, and to larger altitudes; NaN for a direction 90 degrees or more away
    """
    az_0, alt_0 = pointing.T
    along = np.sin(alt) * np.sin(alt_0) + np.cos(alt) * np.cos(alt_0) * np.cos(az - az_0)
    x = np.cos(alt) * np.sin(az - az_0)
    y = np.sin(alt) * np.cos(alt_0) - np.cos(alt) * np.sin(alt_0) * np.cos(az - az_0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return tuple(np.where(along > 0, np.degrees(part / along), np.nan) for part in (x, y))


# -- the loops ------------------------------------------------------------------------------------


@compiled
def _reconstruct(axes, weight, size, position, first, pointing, found):
    """Fill `found`, float array (n_events, 6), as STEREO says, but h_max above the array's centre.

    axes : float array (n_images, 4), longitude, latitude, psi, length of a step along the axis [rad]
    """
    most = 0
    for event in range(len(found)):
        most = max(most, first[event + 1] - first[event])
    centroid, normal = np.empty((most, 3)), np.empty((most, 3))
    for event in range(len(found)):
        start, stop = first[event], first[event + 1]
        found[event] = np.nan
        if stop - start < FEWEST:
            found[event, 5] = TOO_FEW
            continue
        frame = _frame(pointing[event, 0], pointing[event, 1])
        for image in range(start, stop):
            _plane(axes[image], frame, centroid[image - start], normal[image - start])
        n = stop - start
        found[event, 0], found[event, 1] = _direction(normal[:n], weight[start:stop])
        found[event, 2], found[event, 3] = _core(axes[start:stop], position[start:stop], frame)
        found[event, 4] = _height(centroid[:n], position[start:stop])
        found[event, 5] = _emission_height(axes[start:stop], size[start:stop], position[start:stop], frame[0])


@compiled
def _frame(az, alt):
    """Return unit vectors on the ground: to the pointing, to larger azimuths, to larger altitudes; array (3, 3)."""
    sin_az, cos_az, sin_alt, cos_alt = math.sin(az), math.cos(az), math.sin(alt), math.cos(alt)
    return np.array(
        [
            [cos_alt * cos_az, -cos_alt * sin_az, sin_alt],
            [-sin_az, -cos_az, 0.0],
            [-sin_alt * cos_az, sin_alt * sin_az, cos_alt],
        ]
    )


@compiled
def _to_ground(lon, lat, frame, vector):
    along, aside, up = math.cos(lat) * math.cos(lon), math.cos(lat) * math.sin(lon), math.sin(lat)
    for k in range(3):
        vector[k] = along * frame[0, k] + aside * frame[1, k] + up * frame[2, k]


@compiled
def _cross(a, b, result):
    result[0] = a[1] * b[2] - a[2] * b[1]
    result[1] = a[2] * b[0] - a[0] * b[2]
    result[2] = a[0] * b[1] - a[1] * b[0]


@compiled
def _plane(axis, frame, centroid, normal):
    """Fill in the direction of an image's centroid, and the normal of the plane of its axis."""
    lon, lat, psi, step = axis[0], axis[1], axis[2], axis[3]
    second = np.empty(3)
    _to_ground(lon, lat, frame, centroid)
    _to_ground(lon + step * math.cos(psi), lat + step * math.sin(psi), frame, second)
    _cross(centroid, second, normal)


@compiled
def _direction(normal, weight):
    """Return altitude and azimuth [rad]: the weighted mean of where pairs of planes cross."""
    total, crossing = np.zeros(3), np.empty(3)
    for i in range(len(normal)):
        for j in range(i + 1, len(normal)):
            _cross(normal[i], normal[j], crossing)
            sign = -1.0 if crossing[2] < 0 else 1.0
            total += sign * weight[i] * weight[j] * crossing
    if total[0] == 0 and total[1] == 0 and total[2] == 0:
        return np.nan, np.nan
    across = math.hypot(total[0], total[1])
    return math.atan2(total[2], across), math.atan2(-total[1], total[0]) % (2 * math.pi)


@compiled
def _core(axes, position, frame):
    """Return where the axes meet in the plane across the pointing, projected to the ground along it: x, y [m]."""
    a_xx = a_xy = a_yy = b_x = b_y = 0.0
    for image in range(len(axes)):
        # from the plane's x and y, which ctapipe has against altitude and azimuth
        x = -(position[image] * frame[2]).sum()
        y = -(position[image] * frame[1]).sum()
        along_x, along_y = math.sin(axes[image, 2]), math.cos(axes[image, 2])
        n_xx, n_xy, n_yy = along_y * along_y, -along_x * along_y, along_x * along_x
        a_xx, a_xy, a_yy = a_xx + n_xx, a_xy + n_xy, a_yy + n_yy
        b_x += n_xx * x + n_xy * y
        b_y += n_xy * x + n_yy * y
    determinant = a_xx * a_yy - a_xy * a_xy
    if not abs(determinant) > _SINGULAR:
        return np.nan, np.nan
    x = (a_yy * b_x - a_xy * b_y) / determinant
    y = (a_xx * b_y - a_xy * b_x) / determinant
    ground = -x * frame[2] - y * frame[1]
    slide = ground[2] / frame[0, 2]
    return ground[0] - slide * frame[0, 0], ground[1] - slide * frame[0, 1]


@compiled
def _height(centroid, position):
    """Return the height [m] of the point that is nearest to the lines of sight to all centroids."""
    matrix, right = np.zeros((3, 3)), np.zeros(3)
    for image in range(len(centroid)):
        for k in range(3):
            for m in range(3):
                entry = (1.0 if k == m else 0.0) - centroid[image, k] * centroid[image, m]
                matrix[k, m] += entry
                right[k] += entry * position[image, m]
    row_12, row_20, row_01 = np.empty(3), np.empty(3), np.empty(3)
    _cross(matrix[1], matrix[2], row_12)
    _cross(matrix[2], matrix[0], row_20)
    _cross(matrix[0], matrix[1], row_01)
    determinant = (matrix[0] * row_12).sum()
    if not abs(determinant) > _SINGULAR:
        return np.nan
    return (right[0] * row_12[2] + right[1] * row_20[2] + right[2] * row_01[2]) / determinant


@compiled
def _emission_height(axes, size, position, pointing):
    """Return EventDisplay's emission height [km]: along the pointing, above the telescopes."""
    total = weights = 0.0
    offset, across = np.empty(3), np.empty(3)
    for i in range(len(axes)):
        for j in range(i + 1, len(axes)):
            angle = math.tan(math.hypot(axes[i, 0] - axes[j, 0], axes[i, 1] - axes[j, 1]))
            log_i, log_j = math.log10(size[i]), math.log10(size[j])
            if not angle > 0 or not log_i + log_j > 0:
                continue
            for k in range(3):
                offset[k] = position[j, k] - position[i, k]
            _cross(offset, pointing, across)
            height = math.sqrt((across * across).sum()) / angle / 1000
            weight = log_i * log_j / (log_i + log_j)
            total += weight * height
            weights += weight
    return total / weights if weights > 0 else NO_PAIR
