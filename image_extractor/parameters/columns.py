"""The image parameters that a dataset can hold: ctapipe's names, with units, and what the simulation knows besides.

Columns are (name, dtype, unit, description). Directions are in ctapipe's TelescopeFrame, around where the telescope
points. An image that was not parameterised has NaN, and -1 where a column is of integers, as in ctapipe.
"""

import numpy as np

HILLAS = [
    ("hillas_intensity", "<f4", "", "sum of the charges of the pixels kept, p.e."),
    ("hillas_skewness", "<f4", "", "asymmetry along the major axis"),
    ("hillas_kurtosis", "<f4", "", "tailedness along the major axis; 3 for a normal distribution"),
    ("hillas_fov_lon", "<f4", "deg", "centroid, longitude around the pointing"),
    ("hillas_fov_lat", "<f4", "deg", "centroid, latitude around the pointing"),
    ("hillas_r", "<f4", "deg", "distance of the centroid from the pointing"),
    ("hillas_phi", "<f4", "deg", "polar angle of the centroid"),
    ("hillas_length", "<f4", "deg", "standard deviation along the major axis"),
    ("hillas_length_uncertainty", "<f4", "deg", "its uncertainty"),
    ("hillas_width", "<f4", "deg", "standard deviation along the minor axis"),
    ("hillas_width_uncertainty", "<f4", "deg", "its uncertainty"),
    ("hillas_psi", "<f4", "deg", "angle of the major axis to the longitude, -90 to 90"),
    ("hillas_psi_uncertainty", "<f4", "deg", "its uncertainty"),
    ("hillas_transverse_cog_uncertainty", "<f4", "deg", "uncertainty of the centroid across the major axis"),
]
TIMING = [
    ("timing_intercept", "<f4", "", "peak time at the centroid, ns"),
    ("timing_deviation", "<f4", "", "root mean square of peak times around the line, ns"),
    ("timing_slope", "<f4", "1/deg", "change of peak time along the major axis, ns per degree"),
]
LEAKAGE = [
    ("leakage_pixels_width_1", "<f4", "", "part of the pixels kept that are at the camera's edge"),
    ("leakage_pixels_width_2", "<f4", "", "part of the pixels kept in the two outer rows"),
    ("leakage_intensity_width_1", "<f4", "", "part of the charge in pixels at the camera's edge"),
    ("leakage_intensity_width_2", "<f4", "", "part of the charge in pixels of the two outer rows"),
]
CONCENTRATION = [
    ("concentration_cog", "<f4", "", "part of the charge within a pixel's diameter of the centroid"),
    ("concentration_core", "<f4", "", "part of the charge within the Hillas ellipse"),
    ("concentration_pixel", "<f4", "", "part of the charge in the brightest pixel"),
]
MORPHOLOGY = [
    ("morphology_n_pixels", "<i4", "", "pixels kept by the cleaning"),
    ("morphology_n_islands", "<i4", "", "groups of neighbours among them"),
    ("morphology_n_small_islands", "<i4", "", "those of 1 or 2 pixels"),
    ("morphology_n_medium_islands", "<i4", "", "those of 3 to 50 pixels"),
    ("morphology_n_large_islands", "<i4", "", "those of more than 50 pixels"),
]


def _statistics(prefix, what, unit):
    return [
        (f"{prefix}_max", "<f4", "", f"largest {what} of the pixels kept, {unit}"),
        (f"{prefix}_min", "<f4", "", f"smallest {what} of the pixels kept, {unit}"),
        (f"{prefix}_mean", "<f4", "", f"mean {what} of the pixels kept, {unit}"),
        (f"{prefix}_std", "<f4", "", f"standard deviation of it, {unit}"),
        (f"{prefix}_skewness", "<f4", "", "asymmetry of its distribution"),
        (f"{prefix}_kurtosis", "<f4", "", "tailedness of its distribution; 0 for a normal one"),
    ]


INTENSITY = _statistics("intensity", "charge", "p.e.")
PEAK_TIME = _statistics("peak_time", "peak time", "ns")

#: What follows from image and peak times alone; the loops fill rows of these.
IMAGE_COLUMNS = [*HILLAS, *TIMING, *LEAKAGE, *CONCENTRATION, *MORPHOLOGY, *INTENSITY, *PEAK_TIME]

#: What the simulation knows of a telescope's image.
TRUE_COLUMNS = [
    ("true_image_sum", "<i4", "", "photo-electrons of the shower, without noise; -1 if the file does not tell"),
    ("true_impact_distance", "<f4", "m", "distance of the telescope from the true shower axis"),
    ("true_fov_lon", "<f4", "deg", "true shower direction, longitude around where this telescope points"),
    ("true_fov_lat", "<f4", "deg", "true shower direction, latitude around where this telescope points"),
]

COLUMNS = [*IMAGE_COLUMNS, *TRUE_COLUMNS]
NAMES = [name for name, *_ in COLUMNS]

#: What needs peak times.
TIMED = [name for name, *_ in (*TIMING, *PEAK_TIME)]


def dtype(columns=COLUMNS):
    """Return the structured dtype of a row of parameters."""
    return np.dtype([(name, kind) for name, kind, *_ in columns])


def rows(values):
    """Return float array (n, len(COLUMNS)) as rows of COLUMNS, structured array (n,)."""
    found = np.zeros(len(values), dtype())
    for position, name in enumerate(NAMES):
        found[name] = values[:, position]
    return found
