"""Inputs of all kinds, told by their content, and the runs in them one after the other.

What :func:`open_runs` returns is a context manager that closes the file at its end; iterating gives runs, each to be
read before the next is asked for; `check_unchanged()` raises InputError if the file is another by now. A run has

`input_url`, `obs_id`, `subarray`, `focal_length_choice`, `is_simulation`
    Path, number, ctapipe's SubarrayDescription and FocalLengthKind; and whether there is a truth.
`has_images`
    True where images are made already, and are taken as they are.
`fast_calibrator`
    Else: what makes them in the place of ctapipe's CameraCalibrator, a subclass of it, or None.
`pointing`, `tracking_mode`, `pointings`
    Azimuth and altitude of the array [rad], NaN until events tell them; 0 where these hold for the whole run; a
    :class:`pointing.Pointings`, which who reads events tells what they look at.
`select(tel_ids, accepts)`, iteration, `check_end()`
    Iterating gives ctapipe's ArrayEventContainer of events that `accepts(event_id, shower, trigger)` wants, or of the
    telescopes that it names (a set), with data to calibrate or images. `shower` has primary_id, energy [TeV], azimuth
    and altitude [rad]; None of an event that was observed. `trigger()` gives the ids of the telescopes that triggered.
    `check_end()` raises InputError where a file ends before its run.
`event_pointings`, `array_pointing`, `true_image_sum(tel_id)`, `true_shower(event)`
    Of the last event: {tel_id: (azimuth, altitude) [rad]}, that of the array or None if only these tell, true
    photo-electrons or -1, a :class:`showers.TrueShower`.
`reading()`
    A context that turns what a damaged file leads to into InputError.
`spectral_index`, `primary`, `has_events`, `n_calibration`, `passed_over`, `fraction`
    Of the simulated spectrum. So far: primary of the first shower, -1 without; whether there was one, or any observed
    event; events of other kinds passed over, all, and by the names of ctapipe's types; how much of the file was read.
`is_read`, `complete`, `facts()`, `first_primary()`
    At the end: whether the run was read to its end, whether that was there, and the columns of Run_Table that are known
    of it, but for counts of events. The last one reads up to a shower.
"""

from collections import Counter
from pathlib import Path

from ..input_files import check_readable, is_hdf5
from ..telescopes import telescope_type
from .simtel import open_run, reading_errors
from .simtel.foreign_files import is_other


def open_runs(path, fast=False, on_truncated="refuse"):
    """Open a file of events.

    Parameters
    ----------
    path : str or Path
    fast : bool
        Read simtel files the fast way; see simtel/fast_run.py.
    on_truncated : 'refuse' or 'keep'
        Whether a simtel file that is cut is an error, or gives what is whole before; others are refused.

    Returns
    -------
    SimTelRuns, ImageRuns or SourceRuns

    Raises
    ------
    InputError
        If the file is not there, is of no known kind, or its beginning can't be read.
    """
    path = Path(path)
    check_readable(path)
    if is_hdf5(path):
        from .ctapipe_hdf5.image_file import open_image_file

        images = open_image_file(path)
        if images is not None:
            return images
    if _is_of_ctapipe(path):
        from .event_source.open_source import open_source

        source = open_source(path)
        if source is not None:
            return source
    return open_run.open_runs(path, fast, on_truncated)


def _is_of_ctapipe(path):
    """Say whether a file is of a kind that ctapipe is to find out."""
    if is_hdf5(path):
        return True
    with reading_errors.reading(path):
        return is_other(path)


def first_primary(path):
    """Return the primary id of the first shower of a file, -1 if its first run has none."""
    with open_runs(path) as runs:
        return next(iter(runs)).first_primary()


def describe_telescopes(run):
    """Return in words which telescopes a run has."""
    cameras = Counter(f"{telescope_type(telescope)} {telescope.camera.name}" for telescope in run.subarray.tel.values())
    return "it has " + ", ".join(f"{n} {name}" for name, n in sorted(cameras.items()))
