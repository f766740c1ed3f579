"""Rows of ctapipe's tables by their events, a block after the other: memory does not grow with files."""

import itertools
from collections import Counter

import numpy as np

from ...errors import InputError

#: Rows of which run numbers are looked through at once.
_MANY_ROWS = 1 << 18


def column_in(table, name, unit, rows=None):
    """Return a column in a unit, float64 array (n_rows,).

    table : tables.Table
        Its attributes tell the unit in which the column is stored.
    rows : structured array (n_rows,), optional
        Of the table; all of it, if not given.
    """
    import astropy.units as u

    values = table.col(name) if rows is None else rows[name]
    return u.Quantity(values.astype(np.float64), unit_of(table, name)).to_value(unit)


def unit_of(table, name):
    """Return the unit in which a column is stored, '' without."""
    return str(getattr(table.attrs, f"CTAFIELD_{table.colnames.index(name)}_UNIT", ""))


def times_in(table, name, rows):
    """Return a column of times, astropy Time (n_rows,).

    Since ctapipe 0.31 they are stored as seconds since 1970 (TAI) and quarters of a nanosecond.
    """
    from astropy.time import Time

    prefix = f"CTAFIELD_{table.colnames.index(name)}_TIME"
    kind, scale = (str(getattr(table.attrs, f"{prefix}_{what}", "")) for what in ("FORMAT", "SCALE"))
    if kind == "ctao_high_res":
        seconds, quarters = rows[name].T.astype(np.float64)
        return Time(seconds, quarters * 0.25e-9, format="unix_tai")
    return Time(rows[name], format=kind or "mjd", scale=scale.lower() or "tai")


def keys_of(rows):
    """Return what events are known by within a file, int64 array (n_rows,).

    Numbers may need all of their 64 bits. Those of one run are all different; and of two runs, as far as 64 bits can
    be, for the bits of run numbers are mixed (splitmix64, Steele et al. 2014, OOPSLA 453).

    rows : structured array (n_rows,) with obs_id and event_id
    """
    mixed = rows["obs_id"].astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return (mixed ^ rows["event_id"].astype(np.uint64)).view(np.int64)


def rows_of_runs(table, path):
    """Return the runs of a table of events, [(run number, first row, last row + 1), ...].

    Raises InputError if rows of a run are not one after the other.
    """
    found = []
    for start in range(0, table.nrows, _MANY_ROWS):
        numbers = table.read(start, start + _MANY_ROWS, field="obs_id")
        begins = np.flatnonzero(np.append(True, numbers[1:] != numbers[:-1]))
        for first, stop in itertools.pairwise([*begins.tolist(), len(numbers)]):
            number = int(numbers[first])
            if found and found[-1][0] == number:
                found[-1] = (number, found[-1][1], start + stop)
            else:
                found.append((number, start + first, start + stop))
    for number, times in Counter(number for number, *_ in found).items():
        if times > 1:
            raise InputError(f"{path}: events of run {number} are not one after the other")
    return found


class RowsOfEvents:
    """Rows of a table, at most one for each event, that stand in the order of the events.

    So ctapipe's tools write and merge them. Within a block of events any order will do.

    Parameters
    ----------
    path : Path
        For messages.
    table : tables.Table
    reference : str
        Which table has all the events, for messages.
    first : int
        The row to begin with.
    """

    def __init__(self, path, table, reference, first=0):
        self.table = table
        self._path, self._reference = path, reference
        self._ahead, self._next = table.read(0, 0), first

    def take(self, keys, n_expected=None):
        """Return the rows of the next events.

        Parameters
        ----------
        keys : int array (n_events,)
            Of all events of a block, see :func:`keys_of`; each once.
        n_expected : int, optional
            So many rows are expected of them: it saves memory to tell.

        Returns
        -------
        rows : structured array (n_rows,)
        event : int array (n_rows,)
            Which of the keys each row has.
        """
        n_expected = len(keys) if n_expected is None else min(n_expected + 1, len(keys))
        self._read(n_expected)
        n_rows, own, event = self._belonging(keys)
        if n_rows == len(self._ahead) < len(keys):  # more than were expected
            self._read(len(keys))
            n_rows, own, event = self._belonging(keys)
        if len(np.unique(own[:n_rows])) < n_rows:
            raise InputError(f"{self._path}: {self.table._v_pathname} has an event twice")
        rows, self._ahead = self._ahead[:n_rows], self._ahead[n_rows:].copy()
        return rows, event[:n_rows]

    def _read(self, n_rows):
        """Read on until so many rows are there."""
        more = self.table.read(self._next, self._next + max(n_rows - len(self._ahead), 0))
        self._next += len(more)
        self._ahead = np.concatenate([self._ahead, more]) if len(self._ahead) else more

    def _belonging(self, keys):
        """Return how many of the rows are of these events, and of all rows their keys and events."""
        order = np.argsort(keys, kind="stable")
        own = keys_of(self._ahead)
        event = order[np.minimum(np.searchsorted(keys[order], own), len(keys) - 1)]
        others = np.flatnonzero(keys[event] != own)
        return int(others[0]) if len(others) else len(own), own, event

    def finish(self):
        """Raise InputError if a row was not taken."""
        left = self._ahead if len(self._ahead) else self.table.read(self._next, self._next + 1)
        for row in left[:1]:
            raise InputError(
                f"{self._path}: {self.table._v_pathname} has event {row['event_id']} of run {row['obs_id']}, which "
                f"{self._reference} does not have, or not in this order"
            )
