"""Image parameters as ctapipe's ImageProcessor computes them, and how ours are compared with them."""

import astropy.units as u
import numpy as np
from ctapipe import fitting
from ctapipe.containers import ArrayEventContainer
from ctapipe.image import ImageProcessor
from numpy.testing import assert_allclose, assert_array_equal
from traitlets.config import Config

from image_extractor.parameters.cleaning import thresholds
from image_extractor.parameters.columns import IMAGE_COLUMNS

AUTO = {
    "method": "tailcuts", "picture": "auto", "boundary": "auto", "neighbours": 2,
    "picture_of": {}, "boundary_of": {}, "neighbours_of": {},
}  # fmt: skip
NAMES = [name for name, *_ in IMAGE_COLUMNS]
CONTAINERS = {"intensity": "intensity_statistics", "peak_time": "peak_time_statistics"}
#: Equal to the last bit; all others but for rounding.
EXACT = [
    name for name in NAMES
    if name.startswith(("leakage", "concentration", "morphology", "intensity", "peak_time"))
    or name in ("hillas_intensity", "hillas_fov_lon", "hillas_fov_lat")
]  # fmt: skip


def processor(subarray, settings=AUTO):
    """Return an ImageProcessor with the thresholds of settings."""
    own = {tel_id: thresholds(telescope, settings) for tel_id, telescope in subarray.tel.items()}
    cleaner = {
        trait: [("id", tel_id, getattr(one, name)) for tel_id, one in own.items()]
        for trait, name in {
            "picture_threshold_pe": "picture",
            "boundary_threshold_pe": "boundary",
            "min_picture_neighbors": "neighbours",
        }.items()
    }
    return ImageProcessor(subarray, config=Config({"TailcutsImageCleaner": cleaner}))


def ctapipe_values(process, tel_id, image, peak_time, mask=None, new_generator=True):
    """Return mask and row of ctapipe's, as of the first image of a process; mask: instead of the cleaning's."""
    if new_generator:
        fitting.FIT_RNG.bit_generator.state = np.random.default_rng(0).bit_generator.state
    event = ArrayEventContainer()
    event.dl1.tel[tel_id].image, event.dl1.tel[tel_id].peak_time = image, peak_time
    clean = process.clean
    if mask is not None:
        process.clean = lambda *args, **kwargs: mask
    try:
        with np.errstate(all="ignore"):
            process(event)
    finally:
        process.clean = clean
    parameters = event.dl1.tel[tel_id].parameters
    return event.dl1.tel[tel_id].image_mask, np.array([_value(parameters, *column[:3]) for column in IMAGE_COLUMNS])


def _value(parameters, name, _, unit):
    group = next(group for group in (*CONTAINERS, *parameters.keys()) if name.startswith(f"{group}_"))
    value = parameters[CONTAINERS.get(group, group)][name[len(group) + 1 :]]
    return value.to_value(unit) if isinstance(value, u.Quantity) else float(value)


def assert_same(found, expected):
    """Compare two rows: what is exact exactly, the rest to 1e-10, or to rounding where it is near 0."""
    found, expected = dict(zip(NAMES, found, strict=True)), dict(zip(NAMES, expected, strict=True))
    assert_array_equal([found[name] for name in EXACT], [expected[name] for name in EXACT])
    # ctapipe's line through times that are all the same is off by rounding, which grows with the times
    times_round = 1e-12 * max(1, abs(expected["timing_intercept"]))
    at_zero = {"hillas_skewness": 1e-11, "hillas_psi": 1e-10, "timing_deviation": times_round}
    if expected["hillas_length"] > 0:
        at_zero["timing_slope"] = 1e-12 * abs(expected["timing_intercept"]) / expected["hillas_length"]
    for name in set(NAMES) - set(EXACT):
        assert_allclose(found[name], expected[name], rtol=1e-10, atol=at_zero.get(name, 1e-15), err_msg=name)
