"""What datasets of older formats lack, filled in: tables and rows as the present format has them.

Format 1.0 has no run_index: a row is known by its run number and primary, where no two runs have both alike.
"""

import numpy as np

from .. import core_positions, sky_offsets
from ..errors import DatasetError
from . import schema
from .image_places import has_image

#: Of a number that an older format does not tell.
UNKNOWN = -1

RUN_DEFAULTS = {
    "complete": 1,  # an input that was cut was refused
    **dict.fromkeys(
        (
            "negative_pixels",
            "negative_time_pixels",
            "not_finite_pixels",
            "max_events",
            "showers_read",
            "uses_read",
            "tracking_mode",
            "images_calibrated",
            "images_dropped",
            "images_written",
            "passed_over",
        ),
        UNKNOWN,
    ),
    "core_pos_mode": core_positions.CORE_UNKNOWN,
}
#: Columns of Events that format 1.2 brought.
NEW_COLUMNS = ("x_max", "fov_lon", "fov_lat", "pointing_az", "pointing_alt")
TEL_DEFAULTS = {
    "effective_focal_length": np.nan,
    "mirror_area": np.nan,
    "cleaning_picture": np.nan,
    "cleaning_boundary": np.nan,
    "cleaning_neighbours": -1,
}


def run_table(rows):
    """Return rows of Run_Table with all columns of the present format, and what [image_cuts] left out."""
    return _completed(rows, schema.dtype(schema.run_columns(rows.dtype.names)), RUN_DEFAULTS)


def plain_run_table(rows):
    """Return rows of Run_Table with the columns that all datasets of the present format have."""
    return _completed(rows, schema.dtype(schema.RUN_COLUMNS), RUN_DEFAULTS)


def tel_table(rows):
    """Return rows of Tel_Table with all columns of the present format."""
    found = _completed(rows, schema.dtype(schema.TEL_COLUMNS), TEL_DEFAULTS)
    if "pointing" not in rows.dtype.names:
        found["pointing"] = np.nan
    return found


def _completed(rows, dtype, defaults):
    if rows.dtype == dtype:
        return rows
    found = np.zeros(rows.shape, dtype)
    for name in dtype.names:
        if name in rows.dtype.names:
            found[name] = rows[name]
        elif name in defaults:
            found[name] = defaults[name]
    return found


def event_columns(file, columns=schema.EVENT_COLUMNS):
    """Return, of columns of Events of the present format, those that a dataset has, with the types in it."""
    if not schema.has_run_index(file):
        kinds = {"alt": "<f4", "az": "<f4"}
        columns = [(name, kinds.get(name, kind), *rest) for name, kind, *rest in columns if name != "run_index"]
    if str(file.root._v_attrs["format_version"]) in ("1.0", "1.1"):
        columns = [column for column in columns if column[0] not in NEW_COLUMNS]
    return columns


def run_index(rows, runs):
    """Return the row of Run_Table of each event, int array (n,); UNKNOWN where an older format leaves it open.

    rows : structured array, rows of Events
    runs : structured array, Run_Table
    """
    if "run_index" in rows.dtype.names:
        return rows["run_index"]
    found = np.full(len(rows), UNKNOWN, np.int32)
    for number, primary in np.unique(runs[["run_number", "primary"]]).tolist():
        places = np.flatnonzero((runs["run_number"] == number) & (runs["primary"] == primary))
        if len(places) == 1:
            found[(rows["run_number"] == number) & (rows["gamma_hadron_label"] == primary)] = places[0]
    return found


def fill_new(rows, stored, runs, index):
    """Fill what format 1.2 brought, where rows are from an older one.

    Depths of maximum are NaN; directions around the array's pointing are known from Run_Table, but of an array that
    tracks the sky.

    Parameters
    ----------
    rows : structured array (n,)
        To be filled; az and alt are there.
    stored : structured array (n,)
        As they are in the file.
    runs : structured array
        Run_Table of the file.
    index : int array (n,)
        Row of each event's run in it, UNKNOWN where it is not known.
    """
    if set(NEW_COLUMNS).issubset(stored.dtype.names) or not len(runs):
        return
    runs, rows["x_max"] = runs[index], np.nan
    known = (index >= 0) & (runs["tracking_mode"] == 0)
    for name in ("pointing_az", "pointing_alt"):
        rows[name] = np.where(known, runs[name], np.nan)
    rows["fov_lon"], rows["fov_lat"] = sky_offsets.offsets(
        rows["az"], rows["alt"], rows["pointing_az"], rows["pointing_alt"]
    )


class EventRows:
    """Rows of Events of a source as the present format has them, for a file that holds those of several sources.

    Parameters
    ----------
    path : str
        The source, for messages.
    runs : structured array
        Its Run_Table.
    first_run : int
        Row of the new Run_Table where its runs begin.
    dtype : numpy.dtype
        Of the new rows, see :func:`event_dtype`.
    """

    def __init__(self, path, runs, first_run, dtype):
        self._path, self._runs, self._first_run, self._dtype = path, runs, first_run, dtype

    def __call__(self, rows):
        """Return them; `rows` may be changed.

        Raises
        ------
        DatasetError
            If it can't be told of which run an event is.
        """
        index = run_index(rows, self._runs)
        if len(index) and not 0 <= index.min() <= index.max() < len(self._runs):
            raise DatasetError(self._reason(index))
        if rows.dtype != self._dtype:
            rows = self._converted(rows, index)
        rows["run_index"] = index + self._first_run
        return rows

    def _reason(self, index):
        if (index == UNKNOWN).any():
            return (
                f"{self._path}: made by an older version, which does not tell runs of one number and primary apart: "
                "convert its inputs again"
            )
        return f"{self._path}: damaged: events point to runs that are not there"

    def _converted(self, rows, index):
        found = np.zeros(rows.shape, self._dtype)
        for name in self._dtype.names:
            if name in rows.dtype.names:
                found[name] = rows[name]
            elif name == schema.TEL_POINTING:
                found[name] = self._pointings(rows, self._runs[index])
        fill_new(found, rows, self._runs, index)
        return found

    @staticmethod
    def _pointings(rows, runs):
        """Return the pointing of each telescope that has an image: its run's, NaN where an older format leaves it open.

        returns : float array (n, n_tel, 2)
        """
        known = has_image(rows) & (runs["tracking_mode"] != UNKNOWN)[:, np.newaxis]
        pointing = np.stack([runs["pointing_az"], runs["pointing_alt"]], axis=-1)
        return np.where(known[..., np.newaxis], pointing[:, np.newaxis], np.nan)


def event_dtype(dtype, n_tel, own_pointings):
    """Return the dtype of rows of Events in the present format, made of that of a source.

    n_tel : telescopes
    own_pointings : whether there is a column tel_pointing
    """
    present = schema.dtype(schema.EVENT_COLUMNS)
    scalars = [(name, present[name]) for name in present.names]
    scalars += [(name, dtype[name]) for name, *_ in (schema.TIME, schema.RECON_LABEL) if name in dtype.names]
    pointing = [(schema.TEL_POINTING, ("<f8", (n_tel, 2)))] if own_pointings else []
    known = {*(name for name, _ in scalars), schema.TEL_POINTING}
    return np.dtype([*scalars, *pointing, *((name, dtype[name]) for name in dtype.names if name not in known)])
