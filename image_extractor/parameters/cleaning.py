"""Which pixels of an image are kept: ctapipe's tail cuts in a compiled loop, and the thresholds of a telescope."""

from typing import NamedTuple

from .. import telescopes
from ..compiled import compiled

#: Pictures of ctapipe's own configuration (resources/base_config.yaml) [p.e.]; its boundaries are half of them.
AUTO_PICTURE = {"LST": 8.5, "NectarCam": 9.0, "FlashCam": 9.0}

#: For all others: what ctapipe has for ASTRI with CHEC. It has nothing for SCT, GCT, DigiCam.
OTHER_PICTURE = 4.0


class Thresholds(NamedTuple):
    """What tail cuts ask of pixels.

    Attributes
    ----------
    picture, boundary : float
        Charges [p.e.].
    neighbours : int
        Neighbours above picture that a pixel above picture needs.
    """

    picture: float
    boundary: float
    neighbours: int


def thresholds(telescope, cleaning_settings):
    """Return the thresholds of a telescope: of its own line, else of all, else ctapipe's.

    Parameters
    ----------
    telescope : ctapipe TelescopeDescription
    cleaning_settings : dict
        The section [cleaning].

    Returns
    -------
    Thresholds
        The boundary is half of the picture, where it is not given.
    """
    picture = _setting(telescope, cleaning_settings, "picture")
    if picture == "auto":
        picture = AUTO_PICTURE.get(telescopes.best_key(telescope, AUTO_PICTURE), OTHER_PICTURE)
    boundary = _setting(telescope, cleaning_settings, "boundary")
    if boundary == "auto":
        boundary = picture / 2
    return Thresholds(float(picture), float(boundary), int(_setting(telescope, cleaning_settings, "neighbours")))


def _setting(telescope, cleaning_settings, name):
    of_single = cleaning_settings[f"{name}_of"]
    key = telescopes.best_key(telescope, of_single)
    return cleaning_settings[name] if key is None else of_single[key]


@compiled
def tailcuts(image, first, neighbour, first_of, is_of, picture, boundary, neighbours, mask):
    """Mark the pixels kept: ctapipe's tailcuts_clean without isolated pixels.

    Parameters
    ----------
    image : float array (n_pixels,)
        Charges [p.e.]; NaN is below every threshold.
    first, neighbour : int array (n_pixels + 1,), (n_neighbours,)
        neighbour[first[i]:first[i + 1]] are the neighbours of pixel i.
    first_of, is_of : likewise
        The pixels that have pixel i as a neighbour: others, where a damaged geometry is not symmetric.
    picture, boundary : float
        Thresholds [p.e.]; compared in the precision of the image, as NumPy does.
    neighbours : int
    mask : bool array (n_pixels,)
        Written, all False before.
    """
    high, low = image.dtype.type(picture), image.dtype.type(boundary)
    for pixel in range(len(image)):
        if not image[pixel] >= high:
            continue
        n_high, beside_low = 0, False
        for place in range(first[pixel], first[pixel + 1]):
            charge = image[neighbour[place]]
            n_high += charge >= high
            beside_low |= charge >= low
        if n_high < neighbours:
            continue
        mask[pixel] |= beside_low
        for place in range(first_of[pixel], first_of[pixel + 1]):
            other = is_of[place]
            mask[other] |= image[other] >= low
