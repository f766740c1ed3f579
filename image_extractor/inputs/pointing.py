"""Where the telescopes of a run look, and whether that is where their array looks.

Directions are (azimuth, altitude) [rad], azimuth from north to east.
"""

import math

import numpy as np

#: Telescopes that look this far from the array's pointing, or less, look where it does [rad]: 20 arc seconds. Of
#: parallel telescopes sim_telarray writes the very numbers of the run's header.
TOLERANCE = 1e-4

#: An altitude at the zenith as float32 holds it is larger than pi / 2, which astropy refuses.
_ZENITH = float(np.float32(np.pi / 2))

NOWHERE = (math.nan, math.nan)


class OwnPointing(Exception):
    """A signal: a telescope looks elsewhere than its array, so events need the pointings of their telescopes."""


def altitude(value):
    """Return an altitude [rad] as a float that astropy takes: that of the zenith, rounded by float32, is pi / 2."""
    value = float(value)
    return math.copysign(math.pi / 2, value) if math.pi / 2 < abs(value) <= _ZENITH else value


def of_tracking(position):
    """Return where a telescope looks by its tracking position, as ctapipe takes it: corrected if it is, else raw.

    position : dict of eventio's TrackingPosition
    """
    corrected = [position.get(f"{axis}_cor", math.nan) for axis in ("azimuth", "altitude")]
    azimuth, alt = (
        position.get(f"{axis}_raw", math.nan) if math.isnan(value) else value
        for axis, value in zip(("azimuth", "altitude"), corrected, strict=True)
    )
    return float(azimuth), altitude(alt)


def separation(one, other):
    """Return the angle between two directions [rad]; NaN if one is unknown. At the zenith azimuths don't matter."""
    (az, alt), (other_az, other_alt) = one, other
    haversine = (
        math.sin((alt - other_alt) / 2) ** 2 + math.cos(alt) * math.cos(other_alt) * math.sin((az - other_az) / 2) ** 2
    )
    return 2 * math.asin(min(1.0, math.sqrt(haversine)))


def mean(directions):
    """Return the direction in the middle of some, NOWHERE of none; unknown ones do not count."""
    directions = [direction for direction in directions if not any(map(math.isnan, direction))]
    if not directions:
        return NOWHERE
    az, alt = np.array(directions, np.float64).T
    x, y, z = (np.cos(alt) * np.cos(az)).mean(), (np.cos(alt) * np.sin(az)).mean(), np.sin(alt).mean()
    return float(np.arctan2(y, x) % (2 * np.pi)), float(np.arctan2(z, np.hypot(x, y)))


class Pointings:
    """Where the array and the telescopes of a run look, as far as its events tell.

    Parameters
    ----------
    array : (float, float), optional
        Pointing of the array; without one it is the middle of the telescopes' in the first event.

    Attributes
    ----------
    array : (float, float)
    telescopes : {tel_id: (azimuth, altitude) in its first event}
    largest : float
        Largest separation of a telescope from the array, in its first event or later [rad].
    elsewhere : set of int
        Telescopes that looked elsewhere than the array, by more than TOLERANCE.
    """

    def __init__(self, array=None):
        self.array = NOWHERE if array is None else array
        self.telescopes = {}
        self.largest = 0.0
        self.elsewhere = set()
        self._is_fixed = array is not None

    def add(self, directions):
        """Take the pointings of an event's telescopes, {tel_id: (azimuth, altitude)}."""
        if not self._is_fixed:
            self.array, self._is_fixed = mean(list(directions.values())), True
        for tel_id, direction in directions.items():
            self.telescopes.setdefault(tel_id, direction)
            if direction == self.array:
                continue
            distance = separation(direction, self.array)
            if not distance <= TOLERANCE:  # NaN is elsewhere too
                self.elsewhere.add(tel_id)
                self.largest = max(self.largest, distance)

    def of(self, tel_id):
        """Return a telescope's own pointing; the array's, of parallel telescopes, if no event tells."""
        return self.telescopes.get(tel_id, NOWHERE if self.elsewhere or not self._is_fixed else self.array)
