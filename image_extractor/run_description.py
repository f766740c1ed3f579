"""What a run is and what became of it, in words: log lines for those who look for a fault."""

from .primaries import primary_name
from .text_table import plural


def header(run, selected):
    """Return in words what the header of a run holds.

    run : simtel.SimTelRun
    selected : {telescope type: [tel_id, ...]}
    """
    from .simtel import describe_telescopes

    values = run.facts()
    chosen = ", ".join(f"{name} {', '.join(map(str, ids))}" for name, ids in selected.items()) or "none"
    return (
        f"run {run.obs_id}, {describe_telescopes(run)}, selected: {chosen}; "
        f"simulated {values['energy_range_min']:.4g} to {values['energy_range_max']:.4g} TeV, "
        f"E^{values['spectral_index']:.4g}, {values['n_showers']} showers used {values['shower_reuse']} times, "
        f"cores {values['min_scatter_range']:.4g} to {values['max_scatter_range']:.4g} m, "
        f"view cone {values['min_viewcone_radius']:.4g} to {values['max_viewcone_radius']:.4g} deg; "
        f"pointing azimuth {values['pointing_az']:.4f}, altitude {values['pointing_alt']:.4f} rad"
    )


def outcome(report):
    """Return in words what became of the events of a converted run: a run of batch.Report."""
    dropped = {
        name.removeprefix("dropped_").replace("_", " "): n for name, n in report.items() if name[:8] == "dropped_"
    }
    words = ", ".join(f"{n} {reason}" for reason, n in dropped.items() if n) or "none"
    return (
        f"primary {primary_name(report['primary'])}, {plural(report['events_read'], 'event')} read, dropped: {words}, "
        f"{report['events_written']} selected with {plural(report['images'], 'image')}, "
        f"{plural(report['calibration_events'], 'calibration event')} passed over, {report['seconds']:.2f} s"
    )
