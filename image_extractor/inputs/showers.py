"""What simulations know of the shower of an event, plain numbers: the same from every kind of input."""

import math
from typing import NamedTuple

from astropy import units as u

GRAMMAGE = u.g / u.cm**2


class TrueShower(NamedTuple):
    """The shower of an event.

    Attributes
    ----------
    primary : int
    energy : float
        [TeV]
    alt, az : float
        [rad]
    core_x, core_y, h_first_int : float
        [m]
    x_max : float
        [g/cm2]
    """

    primary: int
    energy: float
    alt: float
    az: float
    core_x: float
    core_y: float
    h_first_int: float
    x_max: float


#: Of an event that was observed.
UNKNOWN_SHOWER = TrueShower(-1, *[math.nan] * 7)


def of_container(shower):
    """Return the TrueShower of ctapipe's SimulatedShowerContainer."""
    return TrueShower(
        shower.shower_primary_id,
        shower.energy.to_value("TeV"),
        shower.alt.to_value("rad"),
        shower.az.to_value("rad"),
        shower.core_x.to_value("m"),
        shower.core_y.to_value("m"),
        shower.h_first_int.to_value("m"),
        shower.x_max.to_value(GRAMMAGE),
    )
