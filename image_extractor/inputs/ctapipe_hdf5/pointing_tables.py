"""Where the array and its telescopes look, by the configuration in ctapipe's files."""

import math

import numpy as np

from ...errors import InputError
from ..pointing import altitude
from .event_rows import unit_of
from .node_names import FIXED_POINTINGS, OBSERVATIONS, POINTINGS, telescope_name

#: ctapipe's CoordinateFrameType.ALTAZ
ALTAZ = 0


def array_pointing(file, obs_id):
    """Return azimuth and altitude of the array in a run [rad], None if the file has others or none."""
    if OBSERVATIONS not in file:
        return None
    table = file.get_node(OBSERVATIONS)
    rows = np.flatnonzero(table.col("obs_id") == obs_id)
    if not len(rows) or table.col("subarray_pointing_frame")[rows[0]] != ALTAZ:
        return None
    lon, lat = (float(_angles(table, f"subarray_pointing_{name}")[rows[0]]) for name in ("lon", "lat"))
    return None if math.isnan(lon + lat) else (lon, altitude(lat))


def _angles(table, name):
    """Return a column [rad] in the precision in which it is stored: so ctapipe gives back what simulations say."""
    import astropy.units as u

    return u.Quantity(table.col(name), unit_of(table, name), copy=False).to_value("rad")


def fixed_pointings(file, obs_id, tel_ids):
    """Return {tel_id: (azimuth, altitude) [rad]} of the telescopes that look at one place for a whole run.

    Raises InputError if one looks at several places.
    """
    found = {}
    for tel_id in tel_ids:
        where = f"{FIXED_POINTINGS}/{telescope_name(tel_id)}"
        table = file.get_node(where) if where in file else None
        if table is None or "obs_id" not in table.colnames:
            continue
        azimuth, alt = (_angles(table, f"telescope_pointing_{name}") for name in ("azimuth", "altitude"))
        for row in np.flatnonzero(table.col("obs_id") == obs_id):
            direction = float(azimuth[row]), altitude(alt[row])
            if found.setdefault(tel_id, direction) != direction:
                name = telescope_name(tel_id)
                raise InputError(
                    f"{file.filename}: run {obs_id}: {name} looks elsewhere than the array for a time: {where} has "
                    "several directions"
                )
    return found


def pointings_at(file, times, tel_ids):
    """Return {tel_id: [(azimuth, altitude) [rad], ...]} of telescopes at some times, by ctapipe's interpolation.

    times : astropy Time (n_events,)
    """
    from ctapipe.monitoring.interpolation import PointingInterpolator

    interpolate, found = PointingInterpolator(h5file=file), {}
    for tel_id in tel_ids:
        if f"{POINTINGS}/{telescope_name(tel_id)}" in file:
            alt, azimuth = interpolate(tel_id, times)
            found[tel_id] = [
                (float(az), altitude(al)) for az, al in zip(azimuth.to_value("rad"), alt.to_value("rad"), strict=True)
            ]
    return found
