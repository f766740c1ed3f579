"""Columns of events that ctapipe reconstructed, by their names."""

import numpy as np

from ..errors import InputError, MissingNameError
from ..inputs.ctapipe_hdf5.event_rows import RowsOfEvents, column_in, unit_of

#: Where ctapipe keeps what it reconstructed of events: geometry, energy, classification by each algorithm.
EVENTS = "/dl2/event/subarray"

#: Units of numbers in cuts, of what ctapipe stores in others; all else is taken as it is stored.
UNITS = {"energy": "TeV"}

#: What EventDisplay calls NImages, where ctapipe's own reconstruction says which telescopes it used.
N_IMAGES, TELESCOPES = "NImages", "HillasReconstructor_telescopes"


class EventColumns:
    """Columns of reconstructed events, read in blocks.

    Parameters
    ----------
    file : tables.File
    path : Path
        For messages.
    names : iterable of str
        As ctapipe calls them, with the algorithm before: RandomForestRegressor_energy; or NImages.
    reference : str
        Which table has all the events, for messages.

    Raises
    ------
    InputError
        If the file has no such column, or the column has not one number for each event.
    """

    def __init__(self, file, path, names, reference):
        found = list(file.walk_nodes(EVENTS, "Table")) if EVENTS in file else []
        where = {name: table for table in found for name in table.colnames if "event_id" in table.colnames}
        self._names = {name: _table_of(path, where, name) for name in names}
        self._rows = {
            table._v_pathname: RowsOfEvents(path, table, reference) for table in dict.fromkeys(self._names.values())
        }

    def take(self, keys):
        """Return the columns of the next events, {name: float64 array (n_events,)}; NaN for those that are not there.

        Energies are in TeV, all else as it is stored.

        keys : int array (n_events,), see `event_rows.keys_of`
        """
        taken = {pathname: rows.take(keys) for pathname, rows in self._rows.items()}
        columns = {}
        for name, table in self._names.items():
            rows, event = taken[table._v_pathname]
            columns[name] = np.full(len(keys), np.nan)
            columns[name][event] = _numbers(table, name, rows)
        return columns

    def finish(self):
        """Raise InputError if there are more events."""
        for rows in self._rows.values():
            rows.finish()


def _table_of(path, where, name):
    """Return the table of a column; raise InputError unless it is there, a number for each event."""
    stored = TELESCOPES if name == N_IMAGES else name
    if stored not in where:
        known = [column for column in where if column not in ("obs_id", "event_id")]
        raise InputError(f"{MissingNameError(path, 'column', stored, known)}")
    table = where[stored]
    kind = table.coldtypes[stored]
    if name != N_IMAGES and (kind.shape != () or kind.kind not in "iufb"):
        raise InputError(f"{path}: column {name} of {table._v_pathname} is {kind}, not one number for each event")
    return table


def _numbers(table, name, rows):
    if name == N_IMAGES:
        return rows[TELESCOPES].sum(axis=1, dtype=np.float64)
    unit = UNITS.get(name.rpartition("_")[2])
    return column_in(table, name, unit, rows) if unit and unit_of(table, name) else rows[name].astype(np.float64)
