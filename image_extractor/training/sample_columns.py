"""The columns that a sample can have: labels and truth, computed for whole batches."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DatasetError, MissingNameError
from ..hdf5 import schema
from ..parameters.columns import NAMES as PARAMETER_NAMES
from . import sample_types
from .event_weights import GAMMA, EventWeight

DEFAULT = ("obs_id", "event_id", "tel_id", "primary", "log10_energy", "core", "direction", "impact")


@dataclass
class Rows:
    """What columns are computed from: the events and telescopes of a batch.

    Attributes
    ----------
    events : structured array (n,)
    tels : structured array (n,), or (n, n_tel) in the event view
        Rows of Tel_Table.
    runs : structured array
        Run_Table of the dataset.
    class_weights : {primary: weight}
    parameters : callable
        Returns an image parameter by its name, array of the shape of `tels`.
    """

    events: sample_types.Records
    tels: sample_types.Records
    runs: sample_types.Records
    class_weights: dict[int, float] = field(default_factory=dict)
    parameters: Callable[[str], NDArray[Any]] | None = None


#: What computes a column of a batch.
Column = Callable[[Rows], NDArray[Any]]


def _stacked(table: sample_types.Records, *names: str) -> NDArray[Any]:
    return np.stack([table[name] for name in names], axis=-1)


def impact_distance(rows: Rows) -> sample_types.Floats:
    """Return the distance [m] of each telescope from the axis of its shower, which hits the ground z = 0 at the core.

    x is north, y west, azimuth turns from north to east; float array (n,) or (n, n_tel).
    """
    events = rows.events.reshape(-1, *[1] * (rows.tels.ndim - 1))
    alt, az = events["alt"].astype(np.float64), events["az"].astype(np.float64)
    along = np.cos(alt) * np.cos(az), -np.cos(alt) * np.sin(az), np.sin(alt)
    x = rows.tels["tel_x"].astype(np.float64) - events["core_x"]
    y = rows.tels["tel_y"].astype(np.float64) - events["core_y"]
    z = rows.tels["tel_z"].astype(np.float64)
    on_axis = x * along[0] + y * along[1] + z * along[2]
    distance: sample_types.Floats = np.sqrt(np.maximum(x**2 + y**2 + z**2 - on_axis**2, 0)).astype(np.float32)
    return distance


def _class_weight(rows: Rows) -> sample_types.Floats:
    primaries = np.array(sorted(rows.class_weights), dtype=np.int64)
    weights = np.array([rows.class_weights[primary] for primary in primaries.tolist()], np.float32)
    return weights[np.searchsorted(primaries, rows.events["gamma_hadron_label"])]


def _of_events(name: str) -> Column:
    return lambda rows: rows.events[name]


def _of_parameters(name: str) -> Column:
    def column(rows: Rows) -> NDArray[Any]:
        assert rows.parameters is not None
        return rows.parameters(name)

    return column


#: {name: function of Rows}; the scalar columns of Events, and image parameters, have their own names too.
COLUMNS: dict[str, Column] = {
    "obs_id": lambda rows: rows.events["run_number"],
    "event_id": lambda rows: rows.events["event_number"],
    "tel_id": lambda rows: rows.tels["tel_id"],
    "tel_position": lambda rows: _stacked(rows.tels, "tel_x", "tel_y", "tel_z"),
    "primary": lambda rows: rows.events["gamma_hadron_label"],
    "is_gamma": lambda rows: (rows.events["gamma_hadron_label"] == GAMMA).astype(np.int64),
    "energy": lambda rows: rows.events["mc_energy"],
    "log10_energy": lambda rows: np.log10(rows.events["mc_energy"]),
    "energy_bin": lambda rows: rows.events["energy_bin"],
    "core": lambda rows: _stacked(rows.events, "core_x", "core_y"),
    "direction": lambda rows: _stacked(rows.events, "alt", "az"),
    "impact": impact_distance,
    "class_weight": _class_weight,
    **{name: _of_events(name) for name, *_ in (*schema.EVENT_COLUMNS, schema.TIME)},
    **{name: _of_parameters(name) for name in PARAMETER_NAMES},
}


#: Columns that each telescope of an event has.
OF_TELESCOPES = frozenset(("tel_id", "tel_position", "impact", *PARAMETER_NAMES))


def check(columns: str | EventWeight | Iterable[str | EventWeight], path: str) -> tuple[str | EventWeight, ...]:
    """Return columns, given by names or as EventWeight, one or several, as a tuple.

    Raises
    ------
    MissingNameError
        For a name that is no column; `path` stands for the dataset in the message.
    """
    given = (columns,) if isinstance(columns, str | EventWeight) else tuple(columns)
    for column in given:
        if not event_weight(column) and column not in COLUMNS:
            raise MissingNameError(path, "column", column, [*COLUMNS, EventWeight.name], list_all=True)
    return given


#: What follows from the primary of simulated events; other true values are NaN where events were observed.
OF_PRIMARIES = ("is_gamma", "class_weight")


def check_kind(columns: Iterable[str | EventWeight], is_observed: bool, path: str) -> None:
    """Raise DatasetError for columns, which were checked, that observed or simulated events do not have.

    path : stands for the dataset in the message
    """
    for column in columns:
        if is_observed and (event_weight(column) or column in OF_PRIMARIES):
            name = column.name if isinstance(column, EventWeight) else column
            raise DatasetError(f"{path}: observed data have no column {name}: what they are of is not known")
        if not is_observed and column == schema.TIME[0]:
            raise DatasetError(f"{path}: simulated events have no column {column}: only observed data have")


def functions(columns: Iterable[str | EventWeight]) -> dict[str, Column]:
    """Return {name: function of Rows} of columns that were checked."""
    found: dict[str, Column] = {}
    for column in columns:
        weight = event_weight(column)
        name = weight.name if weight else str(column)
        found[name] = _weight_column(weight) if weight else COLUMNS[name]
    return found


def event_weight(column: str | EventWeight) -> EventWeight | None:
    """Return the EventWeight that an entry of `columns` stands for, or None."""
    if isinstance(column, EventWeight):
        return column
    return EventWeight() if column == EventWeight.name else None


def _weight_column(weight: EventWeight) -> Column:
    def column(rows: Rows) -> sample_types.Floats:
        return weight(rows.events["mc_energy"], rows.events["gamma_hadron_label"], rows.runs)

    return column


def class_weights(primaries: sample_types.Integers) -> dict[int, float]:
    """Return {primary: weight} that give every class the same sum: n / (n_classes * n_of_class), mean 1.

    The balanced heuristic after King & Zeng 2001, Political Analysis 9, 137.
    """
    kinds, counts = np.unique(primaries, return_counts=True)
    return {int(kind): len(primaries) / (len(kinds) * int(n)) for kind, n in zip(kinds, counts, strict=True)}
