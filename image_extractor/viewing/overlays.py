"""What is drawn over the picture of a camera: which pixels the cleaning keeps, and the Hillas ellipse."""

from collections import Counter

import numpy as np

#: Corners of neighbouring pixels are the same point if they agree to this part of a pixel's size.
SAME_POINT = 0.05

#: Standard deviations of the noise by which a pixel stands out.
SIGMAS = 5

#: Points along an ellipse.
STEPS = 73


def kept_pixels(image):
    """Return which pixels of a TelescopeImage the cleaning keeps, bool array (n_pixels,); None if it can't be told.

    By the stored mask; without one, by cleaning the stored image anew, if a cleaning was asked for.
    """
    if image.mask is not None:
        return image.mask if image.camera.is_lossless else image.mask >= 0.5
    if image.thresholds is None or not image.camera.is_lossless:
        return None
    from ..parameters.camera_parameters import CameraParameters
    from ..parameters.cleaning import Thresholds

    parameters = CameraParameters(image.geometry, Thresholds(*image.thresholds))
    return parameters.clean(image.charge.astype(np.float32))


def lit_pixels(image):
    """Return which pixels of a TelescopeImage have light, bool array (n_pixels,): those that the cleaning keeps.

    Where no cleaning was asked for, those that stand out of the noise, of which most pixels have nothing else.
    """
    kept = kept_pixels(image)
    if kept is not None:
        return kept
    finite = image.charge[np.isfinite(image.charge)]
    if not len(finite):
        return np.zeros(len(image.charge), bool)
    median, one_sigma_up = np.percentile(finite, [50, 84.13])
    return image.charge > median + SIGMAS * (one_sigma_up - median)


def lit_cells(image, lit):
    """Return which cells of its array belong to such pixels, bool array (n_x, n_y)."""
    pixels = image.camera.pixel_of_cell(image.charge_array.shape)
    return (pixels >= 0) & lit[pixels]


def outline(camera, kept):
    """Return the edges that kept pixels do not share with each other, float array (n_edges, 2 points, 2) [m].

    camera : event_images.StoredCamera
    kept : bool array (n_pixels,)
    """
    corners = camera.lattice().corners[kept]
    if not len(corners):
        return np.zeros((0, 2, 2))
    size = np.ptp(corners, axis=1).max() * SAME_POINT
    edges = np.stack([corners, np.roll(corners, -1, axis=1)], axis=2).reshape(-1, 2, 2)
    keys = [tuple(sorted(map(tuple, np.round(edge / size).astype(int).tolist()))) for edge in edges]
    uses = Counter(keys)
    return edges[[uses[key] == 1 for key in keys]]


def ellipse(parameters, focal_length):
    """Return the Hillas ellipse, of one standard deviation, in the camera: x and y, float arrays (STEPS,) [m].

    In ctapipe's TelescopeFrame longitude is the camera's y and latitude its x, as angles at the focal length.

    parameters : record with hillas_...; angles in degrees
    focal_length : float [m]
    """
    turn = np.linspace(0, 2 * np.pi, STEPS)
    psi = np.radians(float(parameters["hillas_psi"]))
    along = float(parameters["hillas_length"]) * np.cos(turn)
    across = float(parameters["hillas_width"]) * np.sin(turn)
    longitude = float(parameters["hillas_fov_lon"]) + along * np.cos(psi) - across * np.sin(psi)
    latitude = float(parameters["hillas_fov_lat"]) + along * np.sin(psi) + across * np.cos(psi)
    return np.radians(latitude) * focal_length, np.radians(longitude) * focal_length


def draw(axes, image):
    """Draw both over the camera of a TelescopeImage, as far as they are known."""
    from matplotlib.collections import LineCollection

    kept = kept_pixels(image)
    if kept is not None:
        lines = LineCollection(outline(image.camera, kept), colors="white", linewidths=0.9)
        axes.add_collection(lines)
    if image.parameters is not None and np.isfinite(image.parameters["hillas_psi"]):
        x, y = ellipse(image.parameters, image.focal_length)
        axes.plot(x, y, color="white", linewidth=2.2)
        axes.plot(x, y, color="tab:red", linewidth=1.2)
