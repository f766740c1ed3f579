"""What a run is, in words: a log line for those who look for a fault."""

from ..inputs.open_runs import describe_telescopes


def header(run, selected):
    """Return in words what the header of a run holds.

    run : a run, see inputs/open_runs.py
    selected : {telescope type: [tel_id, ...]}
    """
    values = run.facts()
    chosen = ", ".join(f"{name} {', '.join(map(str, ids))}" for name, ids in selected.items()) or "none"
    pointing = f"pointing azimuth {values['pointing_az']:.4f}, altitude {values['pointing_alt']:.4f} rad"
    described = f"run {run.obs_id}, {describe_telescopes(run)}, selected: {chosen}"
    if not run.is_simulation:
        return f"{described}; observed"
    return (
        f"{described}; simulated {values['energy_range_min']:.4g} to {values['energy_range_max']:.4g} TeV, "
        f"E^{values['spectral_index']:.4g}, {values['n_showers']} showers used {values['shower_reuse']} times, "
        f"cores {values['min_scatter_range']:.4g} to {values['max_scatter_range']:.4g} m, "
        f"view cone {values['min_viewcone_radius']:.4g} to {values['max_viewcone_radius']:.4g} deg; "
        f"{pointing}"
    )
