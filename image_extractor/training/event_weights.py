"""Weights that turn simulated events into those of a target spectrum.

An event of energy E gets the weight target(E) / simulated(E), both fluxes: the standard weighting of the
field, as pyirf has it (``pyirf.spectral.calculate_event_weights`` and ``PowerLaw.from_simulation``;
https://github.com/cta-observatory/pyirf). The simulated flux of a run of N showers (uses counted; those that were read,
up to the last event written) with
E^index from E_min to E_max, over a scatter area A and the solid angle Omega of the view cone, in the time T is

    N (index + 1) E^index / (E_max^(index + 1) - E_min^(index + 1)) / (A Omega T).
"""

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .. import core_positions
from ..errors import DatasetError
from ..terminal.text_table import plural
from .sample_types import Floats, Integers, Records

log = logging.getLogger(__name__)

GAMMA, PROTON = 0, 101

#: A spectrum: energies [TeV], float array (n,), to fluxes.
Target = Callable[[Floats], Floats]


@dataclass(frozen=True)
class PowerLaw:
    """A flux that follows norm * (E / 1 TeV)^index.

    Attributes
    ----------
    norm : float
        1 / (TeV s m2), and per sr if diffuse.
    index : float
        With its sign.
    diffuse : bool
        Whether it comes from everywhere: then the view cone counts.
    """

    norm: float
    index: float
    diffuse: bool = False

    def __call__(self, energy: ArrayLike) -> Floats:
        """Return the flux, 1 / (TeV s m2), per sr if diffuse, at energies [TeV], float or float array (n,)."""
        return self.norm * np.asarray(energy, np.float64) ** self.index


#: Crab Nebula by HEGRA: Aharonian et al. 2004, ApJ 614, 897, doi:10.1086/423931
CRAB = PowerLaw(2.83e-7, -2.62)

#: Protons of the prod3b description of CTA's instrument response functions, section 4.3.1, as pyirf quotes it
PROTONS = PowerLaw(9.8e-2, -2.62, diffuse=True)

#: Simple stand-ins of the field for the two classes that most productions have.
TARGETS: dict[int, Target] = {GAMMA: CRAB, PROTON: PROTONS}


@dataclass(frozen=True)
class EventWeight:
    """A column of weights: events of the target spectrum that each simulated one stands for.

    With the default time of one second the sum over the events of a class is its rate [Hz]. Weights are those of
    the whole production: a split table holds its share of that sum. A run that --max_events or a cut file ended
    counts with the showers that were read.

    Attributes
    ----------
    targets : {primary: callable}
        Energy [TeV] to flux, 1 / (TeV s m2), per sr if the callable has an attribute ``diffuse`` that is true.
        The view cone counts for diffuse targets only: a point source's flux is taken to be spread over it.
    time : float
        Observation time [s].
    name : str
        Of the column.
    """

    targets: dict[int, Target] | None = None
    time: float = 1.0
    name: str = "event_weight"

    def target(self, primary: int) -> Target:
        """Return the target spectrum of a primary; raise DatasetError if there is none."""
        targets: dict[int, Target] = TARGETS if self.targets is None else self.targets
        if primary not in targets:
            known = ", ".join(map(str, targets))
            raise DatasetError(f"column {self.name}: no target spectrum for primary {primary}, only for {known}")
        return targets[primary]

    def check(self, runs: Records) -> None:
        """Raise DatasetError if a run's spectrum can't be weighted to its target; warn of numbers that are not sure."""
        written = runs[runs["events_written"] > 0]
        for run in written:
            _phase_space(run, self._diffuse(run["primary"]))
        for unknown, what in (
            (written["uses_read"] <= 0, "all showers of their headers are taken to have been read"),
            (written["core_pos_mode"] == core_positions.CORE_UNKNOWN, "a circular core scatter area is assumed"),
        ):
            if unknown.any():
                n_runs = plural(np.count_nonzero(unknown), "run")
                log.warning("column %s: %s of an older format: %s", self.name, n_runs, what)

    def _diffuse(self, primary: Any) -> bool:
        return bool(getattr(self.target(int(primary)), "diffuse", False))

    def __call__(self, energy: Floats, primary: Integers, runs: Records) -> Floats:
        """Return the weight of each event.

        energy : float array (n,), true, TeV
        primary : int array (n,)
        runs : structured array, Run_Table of all runs of the production
        """
        weights = np.empty(len(energy), np.float64)
        for kind in np.unique(primary):
            chosen = primary == kind
            target = self.target(int(kind))
            simulated = simulated_flux(energy[chosen], runs[runs["primary"] == kind], self._diffuse(kind))
            with np.errstate(divide="ignore", invalid="ignore"):
                weights[chosen] = self.time * target(energy[chosen]) / simulated
        return weights


def simulated_flux(energy: ArrayLike, runs: Records, diffuse: bool) -> Floats:
    """Return what runs of one primary simulated, showers / (TeV m2), and per sr if diffuse; runs add up.

    energy : float array (n,), TeV
    runs : structured array, rows of Run_Table
    """
    energy = np.asarray(energy, np.float64)
    total = np.zeros(energy.shape)
    for run in runs:
        low, high = float(run["energy_range_min"]), float(run["energy_range_max"])
        # energies are stored as float32, so one at the very edge may be a hair outside
        inside = (energy >= low * (1 - 1e-6)) & (energy <= high * (1 + 1e-6))
        density = n_simulated(run) / _phase_space(run, diffuse)
        total[inside] += density * _normalised_power(energy[inside], float(run["spectral_index"]), low, high)
    return total


def n_simulated(run: np.void) -> float:
    """Return how many showers, each use counted, a run (a row of Run_Table) simulated for the events that it has."""
    from_header = float(run["n_showers"]) * float(run["shower_reuse"])
    return float(run["uses_read"]) if run["uses_read"] > 0 else from_header


def _normalised_power(energy: Floats, index: float, low: float, high: float) -> Floats:
    """Return E^index divided by its integral from low to high [1 / TeV]."""
    normalised: Floats
    if np.isclose(index, -1):
        normalised = energy**index / np.log(high / low)
    else:
        normalised = energy**index * (index + 1) / (high ** (index + 1) - low ** (index + 1))
    return normalised


def _phase_space(run: np.void, diffuse: bool) -> float:
    """Return scatter area [m2], times the solid angle of the view cone [sr] if diffuse."""
    area = _scatter_area(run)
    name = os.fsdecode(run["file_name"])
    if area <= 0:
        raise DatasetError(f"run {run['run_number']} of {name}: no core scatter area, so events can't be weighted")
    if not diffuse:
        return area
    inner, outer = np.radians([float(run["min_viewcone_radius"]), float(run["max_viewcone_radius"])])
    solid_angle: float = 2 * np.pi * (np.cos(inner) - np.cos(outer))
    if solid_angle <= 0:
        raise DatasetError(
            f"run {run['run_number']} of {name}: no view cone, so it can't be weighted to a diffuse spectrum"
        )
    return area * solid_angle


def _scatter_area(run: np.void) -> float:
    """Return the area in which cores of a run were drawn [m2]."""
    first, second = float(run["min_scatter_range"]), float(run["max_scatter_range"])
    mode = int(run["core_pos_mode"])
    if mode in (core_positions.CORE_CIRCLE, core_positions.CORE_UNKNOWN):
        return np.pi * (second**2 - first**2)
    if mode == core_positions.CORE_RECTANGLE:
        # CORSIKA's CSCAT takes "the maximum core offsets in x,y for rectangular distribution" (iact.c)
        return 4 * first * second
    why = {
        core_positions.CORE_FIXED: "its cores are at fixed places (core_pos_mode 0)",
        core_positions.AREA_WEIGHTED: "its events have area weights (cores drawn by importance)",
    }.get(mode, f"its core_pos_mode {mode} is not known")
    raise DatasetError(f"run {run['run_number']} of {run['file_name'].decode()}: {why}, so events can't be weighted")
