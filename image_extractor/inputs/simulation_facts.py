"""What ctapipe knows of how a run was simulated, as columns of Run_Table."""

import math

#: Columns of Run_Table that are fields of ctapipe's SimulationConfigContainer, and their units.
SIMULATION_COLUMNS = {
    "corsika_version": None,
    "simtel_version": None,
    "energy_range_min": "TeV",
    "energy_range_max": "TeV",
    "spectral_index": None,
    "n_showers": None,
    "shower_reuse": None,
    "min_scatter_range": "m",
    "max_scatter_range": "m",
    "core_pos_mode": None,
    "min_viewcone_radius": "deg",
    "max_viewcone_radius": "deg",
    "diffuse": None,
    "atmosphere": None,
}


#: Of these, what is -1 where it is unknown; all others are NaN then.
INTEGERS = ("n_showers", "shower_reuse", "core_pos_mode", "diffuse", "atmosphere")


def simulation_facts(simulation):
    """Return {column: value} of a SimulationConfigContainer; -1 or NaN, what is unknown, of None."""
    if simulation is None:
        return {name: -1 if name in INTEGERS else math.nan for name in SIMULATION_COLUMNS}
    return {name: _value(getattr(simulation, name), unit, name) for name, unit in SIMULATION_COLUMNS.items()}


def _value(value, unit, name):
    value = value.to_value(unit) if unit else value
    return -1 if name in INTEGERS and math.isnan(value) else value
