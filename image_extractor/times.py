"""Times of observed events: whole nanoseconds of TAI since 1970-01-01T00:00:00 TAI, as datasets hold them.

TAI has no leap seconds, so that every moment has a number of its own and differences are right; astropy knows the leap
seconds, and gives UTC exactly. ctapipe counts from the same moment in its HDF5 files.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

if TYPE_CHECKING:
    from astropy.time import Time

#: Of an event of which no time is known: what NumPy's datetime64 takes for NaT.
NOT_KNOWN = -(2**63)

NS_PER_S = 10**9
NS_PER_DAY = 86_400 * NS_PER_S

#: Julian day of noon of 1970-01-01: astropy counts days from noon to noon, and the rest from -0.5 to 0.5.
FIRST_NOON = 2_440_588


def to_nanoseconds(time: "Time") -> Any:
    """Return times as a dataset holds them, int64 array of the shape of `time`.

    Times up to 1970 are not known: ctapipe has these where a source tells none.
    """
    tai = time.tai
    days, rest = np.asarray(tai.jd1, np.float64), np.asarray(tai.jd2, np.float64)
    unknown = np.isnan(days + rest) | np.asarray(tai.mask)
    days, rest = np.where(unknown, 0, days - FIRST_NOON), np.where(unknown, -1, rest + 0.5)
    found = days.astype(np.int64) * NS_PER_DAY + np.rint(rest * NS_PER_DAY).astype(np.int64)
    return np.where(found > 0, found, NOT_KNOWN)


def to_utc(nanoseconds: ArrayLike) -> "Time":
    """Return the column `time` of a dataset as astropy Time in UTC, exact to the nanosecond; masked where not known."""
    from astropy.time import Time

    given = np.asarray(nanoseconds, np.int64)
    unknown = given == NOT_KNOWN
    seconds, rest = np.divmod(np.where(unknown, 0, given), NS_PER_S)
    if unknown.any():
        seconds = np.ma.MaskedArray(seconds, unknown)
    return Time(seconds, rest * 1e-9, format="unix_tai", scale="tai", precision=9).utc


def utc_text(nanoseconds: ArrayLike) -> str:
    """Return a time, as :func:`to_utc` takes it, as text in UTC to the nanosecond."""
    time = to_utc(nanoseconds)
    return "at an unknown time" if time.mask else f"{time.isot} UTC"
