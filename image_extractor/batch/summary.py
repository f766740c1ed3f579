"""What is said of a run in the end: a table, a line per input file, then totals."""

from pathlib import Path

import numpy as np

from ..hdf5.schema import EVENT_TYPES, IMAGES_CUT
from ..input_files import short_names
from ..terminal.text_table import plural, printable

STATUS_WORDS = {
    "known": "in the output already, skipped",
    "no telescope": "no selected telescope",
    "no shower": "no shower event",
    "no event": "no event kept",
    "failed": "FAILED",
}


def state(outcome):
    """Return in words what became of a file that was not written."""
    reason = f", {outcome['reason']}" if outcome["status"] != "failed" and outcome.get("reason") else ""
    return STATUS_WORDS.get(outcome["status"], outcome["status"]) + reason


def summary(report, output, seconds):
    """Return the table of a many_files.Report.

    Parameters
    ----------
    report : many_files.Report
    output : str or Path
        As the user gave it.
    seconds : float
        That the run took.

    Returns
    -------
    str
    """
    written = [outcome for outcome in report.outcomes if outcome["status"] == "written"]
    names = {
        file: printable(name) for file, name in short_names([outcome["file"] for outcome in report.outcomes]).items()
    }
    width = max([len(name) for name in names.values()] + [5])
    lines = [f"{'file':{width}} {'read':>8} {'passed':>8} {'written':>8} {'s':>7} {'events/s':>9}  images"]
    for outcome in report.outcomes:
        name = names[outcome["file"]]
        if outcome["status"] == "written":
            lines.append(f"{name:{width}} " + _counts(outcome))
            lines += [f"{'':{width}} {note}" for note in _notes(outcome)]
        else:
            lines.append(f"{name:{width}} {state(outcome)}")
    if len(written) > 1:
        keys = ("events_read", "events_written", *DROPPED_WITH_DATA, "seconds")
        total = {key: sum(outcome.get(key, 0) for outcome in written) for key in keys}
        types = {short for outcome in written for short in outcome["images_by_type"]}
        total["images_by_type"] = {
            t: sum(outcome["images_by_type"].get(t, 0) for outcome in written) for t in sorted(types)
        }
        lines.append(f"{'total':{width}} " + _counts(total))
    words = _dropped_words([outcome for outcome in report.outcomes if outcome.get("events_read")], report)
    lines += ["dropped: " + ", ".join(words)] if words else []
    lines += _passed_over_lines(written)
    lines += _image_lines([outcome for outcome in report.outcomes if outcome.get("events_read")])
    lines += _pixel_lines(written)
    lines += _split_lines(report.outputs)
    lines += _hash_lines(report.outputs)
    state_of_output = "written" if report.outputs else "unchanged" if Path(output).exists() else "not written"
    if report.outputs and Path(output) not in report.outputs:  # numbered ones
        output = " ... ".join(dict.fromkeys(str(path) for path in (report.outputs[0], report.outputs[-1])))
    lines.append(f"{output}: {state_of_output}, {seconds:.1f} s in all")
    return "\n".join(lines) + "\n"


def _notes(outcome):
    """Yield what else is to be said of a file that was written."""
    if not outcome["events_read"]:
        yield "no shower event triggered"
    if not outcome["complete"]:
        yield "cut short: its whole events are kept, and it counts with the showers that were read"
    if len(outcome["runs"]) > 1:
        yield f"{plural(len(outcome['runs']), 'run')}: {', '.join(str(number) for number, _ in outcome['runs'])}"


def _split_lines(outputs):
    """Return how many events the split tables of all outputs hold, as showers allowed; nothing if there are none."""
    from ..hdf5 import dataset_files, nodes, schema

    totals = {}
    for path in outputs:
        with dataset_files.damage(path), dataset_files.open_dataset(path, rows_only=True) as file:
            for group in nodes.events_groups(file):
                for name, table in nodes.events_tables(group).items():
                    totals[name] = totals.get(name, 0) + int(table.nrows)
    if schema.EVENTS in totals or not totals:
        return []
    everything = max(sum(totals.values()), 1)
    shares = [f"{name.partition('_')[2]} {n} ({100 * n / everything:.1f} %)" for name, n in totals.items()]
    return [f"split: {', '.join(shares)} of {plural(sum(totals.values()), 'event')}"]


def _hash_lines(outputs):
    """Yield a line on the content of each output."""
    from ..hdf5 import content_hash, dataset_files

    for path in outputs:
        with dataset_files.damage(path), dataset_files.open_dataset(path, rows_only=True) as file:
            name = f" of {path.name}" if len(outputs) > 1 else ""
            yield f"SHA-256 of the content{name}: {file.root._v_attrs[content_hash.ATTRIBUTE]}"


#: Of events that pass what is asked of their headers, but are not written.
DROPPED_WITH_DATA = ("dropped_no_image", "dropped_too_few_images")


def _counts(outcome):
    passed = outcome["events_written"] + sum(outcome.get(key, 0) for key in DROPPED_WITH_DATA)
    types = ", ".join(f"{n} {short}" for short, n in outcome["images_by_type"].items())
    rate = outcome["events_read"] / outcome["seconds"] if outcome["seconds"] else 0
    counts = f"{outcome['events_read']:8} {passed:8} {outcome['events_written']:8}"
    return f"{counts} {outcome['seconds']:7.1f} {rate:9.1f}  {types}"


#: Counts of pixels that a summary tells of, and what is to be said of them.
PIXEL_WORDS = {
    "clipped_pixels": "clipped pixels: {}; a larger dtype or a smaller scale keeps what did not fit",
    "negative_pixels": "pixels of negative charge: {}, stored as 0; a signed dtype or float32 keeps it",
    "negative_time_pixels": "pixels of negative peak time: {}, stored as 0; a signed dtype or float32 keeps it",
    "not_finite_pixels": "pixels that are not finite (NaN or infinite): {}; 0 in integer dtypes",
}


def _pixel_lines(written):
    totals = {key: sum(outcome.get(key, 0) for outcome in written) for key in PIXEL_WORDS}
    return [words.format(totals[key]) for key, words in PIXEL_WORDS.items() if totals[key]]


def _image_lines(read):
    """Return a line on the images that were calibrated, but not stored."""
    totals = {}
    for outcome in read:
        for key, counts in outcome.items():
            if key.startswith(IMAGES_CUT) or key == "images_dropped":
                totals[key] = totals.get(key, 0) + sum(counts)
    words = [
        f"{n} {'of events with too few' if key == 'images_dropped' else key.removeprefix(IMAGES_CUT)}"
        for key, n in sorted(totals.items(), key=lambda item: item[0] == "images_dropped")
        if n
    ]
    return [f"images not stored: {', '.join(words)}"] if words else []


def _passed_over_lines(written):
    """Return a line on events that are no showers, by type."""
    words = passed_over_words([outcome.get("passed_over") for outcome in written])
    return [f"passed over: {words}"] if words else []


def passed_over_words(counts):
    """Return in words how many events were no showers, of each type.

    counts : list of int lists, as in Run_Table; None where that is not known
    """
    totals = np.sum([numbers for numbers in counts if numbers] or [[0] * len(EVENT_TYPES)], axis=0).tolist()
    return ", ".join(f"{n} {name.replace('_', ' ')}" for name, n in zip(EVENT_TYPES, totals, strict=True) if n)


def _dropped_words(written, report):
    reasons = sorted({key for outcome in written for key in outcome if key.startswith("dropped_")})
    dropped = {
        key.removeprefix("dropped_").replace("_", " "): sum(outcome[key] for outcome in written) for key in reasons
    }
    by_cuts = {"not in dictionary": "not passing the cuts, or in no bin"} if report.cuts is not None else {}
    return [f"{n} {by_cuts.get(reason, reason)}" for reason, n in dropped.items() if n]


# -- nothing to be written -----------------------------------------------------------------------------


def nothing_written(report, settings):
    """Return in words why a run of which nothing is written has no event, '' if something is there.

    Parameters
    ----------
    report : many_files.Report
    settings : dict
    """
    if not report.has_events:
        return "no file has a shower event of a selected telescope"
    read = [outcome for outcome in report.outcomes if outcome.get("events_read")]
    if any(outcome["status"] == "known" or outcome.get("events_written") for outcome in report.outcomes):
        return ""
    n_read = sum(outcome["events_read"] for outcome in read)
    outside = sum(outcome.get("dropped_outside_energy_bins", 0) for outcome in read)
    if not outside:
        dropped = ", ".join(_dropped_words(read, report))
        return f"no event of {n_read} passes: {dropped}"
    lows = [outcome["energy_seen_min"] for outcome in read if outcome.get("energy_seen_min") is not None]
    highs = [outcome["energy_seen_max"] for outcome in read if outcome.get("energy_seen_max") is not None]
    seen = f" (true energies read: {min(lows):.4g} to {max(highs):.4g} TeV)" if lows and highs else ""
    return f"no event passes, {outside} of {n_read} are outside the {_bins(settings)}{seen}"


def _bins(settings):
    from .. import config

    section = "[energy_recon] [[bins]]" if settings["mode"] == "energy_recon" else "[energy_bins]"
    bins = config.energy_bins(settings)
    low, high = (
        10.0 ** float(edge) if bins.scale == "log10" else float(edge) for edge in (bins.edges[0], bins.edges[-1])
    )
    return f"{plural(bins.n_bins, 'bin')} of {section}, {low:.4g} to {high:.4g} {bins.units}"
