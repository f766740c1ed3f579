"""Simtel files through ctapipe: whole runs only, and no work for events nobody wants.

ctapipe's own SimTelEventSource does the reading; between it and the file stands :class:`RunObjects`,
which hands on the EventIO objects that are needed and notices a run without its end, where ctapipe
only warns.
"""

import contextlib
import functools
import logging
import os
import re
import struct
import warnings
from collections import Counter
from pathlib import Path
from types import MappingProxyType
from unittest.mock import patch

from ctapipe.core.provenance import Provenance
from ctapipe.io import SimTelEventSource, simteleventsource
from eventio.exceptions import WrongType
from eventio.simtel import simtelfile

from .errors import ConfigError, CutError, InputError, one_line
from .foreign_files import refuse_foreign, version_words
from .input_files import why_no_file
from .logs import quiet
from .pointing import Pointings, altitude, of_tracking
from .row_types import AREA_WEIGHTED
from .run_objects import KINDS, RunObjects
from .telescopes import telescope_type
from .tested_versions import untested
from .top_objects import TopObjects

log = logging.getLogger(__name__)
quiet(f"{__name__}.SimTelRun")  # ctapipe's own chatter about each file

#: How eventio says which versions of an object it reads.
VERSION_REFUSED = re.compile(r"Unsupported version of (?P<object>\w+):(?P<known>.*?)(,| ) ?got:? (?P<given>\d+)")
NUMBER = re.compile(r"\d+")
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


class SimTelRun(SimTelEventSource):
    """One run: ctapipe's event source over :class:`RunObjects`.

    Iterate once; then call :meth:`check_end`. As a context manager it closes the file at the end.
    """

    #: Class of the EventIO objects of each type.
    kinds = MappingProxyType(KINDS)

    def __init__(self, path, sim_tel_file, identity, **kwargs):
        with _unrecorded(), patch.object(simteleventsource, "SimTelFile", lambda *_, **__: sim_tel_file):
            super().__init__(input_url=path, **kwargs)
        self.objects = sim_tel_file._file
        self._identity = identity
        self.is_read = self.is_alone = False
        self.tracking_mode = int(self.file_.header["tracking_mode"])
        self.pointings = Pointings(self._header_pointing())
        self._area_weighted = False

    def select(self, tel_ids, accepts):
        """Choose what iterating yields: these telescopes, and the events for which accepts(event_id, shower)."""
        self.allowed_tels = set(tel_ids)
        self.file_.allowed_telescopes = set(tel_ids)
        self.objects.accepts = accepts

    def _generator(self):
        with reading(self.input_url):
            yield from super()._generator()
        self.is_read = True

    def check_end(self):
        """Raise InputError unless the whole run was there; see :meth:`RunObjects.check_end`."""
        with reading(self.input_url):
            self.objects.check_end()
        if self.is_alone and self.objects.is_followed:
            raise InputError(f"{self.input_url}: it holds more than one run, and only the first one was read")

    def check_unchanged(self):
        """Raise InputError if the file was changed or replaced while it was read."""
        _check_unchanged(self.input_url, self._identity)

    @property
    def complete(self):
        """False where the file is cut and what was whole before was kept; known when the run was read."""
        return self.objects.is_complete

    @property
    def showers_read(self):
        """Simulated showers read; up to the last event that came, if it was left there."""
        return self.objects.n_showers if self.is_read else self.objects.read_at_event[0]

    @property
    def uses_read(self):
        """Uses of these showers (core positions) read, likewise."""
        return self.objects.n_uses if self.is_read else self.objects.read_at_event[1]

    def _header_pointing(self):
        """Return azimuth and altitude of the array, None if the header has its right ascension and declination."""
        # io_hess.h of hessioxxx: "Tracking/pointing mode: 0: Az/Alt, 1: R.A./Dec. 2000" is what direction is in
        if self.tracking_mode != 0:
            return None
        azimuth, alt = self.file_.header["direction"]
        return float(azimuth), altitude(alt)

    @property
    def pointing(self):
        """Azimuth and altitude of the array [rad]; NaN, where the header has none, until events tell it."""
        return self.pointings.array

    def _fill_simulated_event_information(self, array_event):
        """Do as ctapipe does; on the way each event tells where its telescopes look, and how its core was drawn."""
        tracking = array_event["tracking_positions"]
        self.event_pointings = {tel_id: of_tracking(position) for tel_id, position in tracking.items()}
        self._area_weighted |= (array_event["mc_event"] or {}).get("aweight", 1) != 1
        return super()._fill_simulated_event_information(array_event)

    def facts(self):
        """Return what Run_Table holds of the run but the counts, {column: value}; call after reading."""
        simulation = self.simulation_config[self.obs_id]
        values = {name: _value(getattr(simulation, name), unit) for name, unit in SIMULATION_COLUMNS.items()}
        azimuth, alt = self.pointing
        return {
            "file_name": self.input_url.name,
            "file_size": self.objects.stream.size,
            "run_number": self.obs_id,
            "primary": self.objects.primary_id,
            "pointing_az": azimuth,
            "pointing_alt": alt,
            "complete": self.complete,
            "showers_read": self.showers_read,
            "uses_read": self.uses_read,
            "tracking_mode": self.tracking_mode,
            **values,
            **({"core_pos_mode": AREA_WEIGHTED} if self._area_weighted else {}),
        }


class SimTelRuns:
    """The runs of a file, one after the other; a context manager that closes it at the end.

    Iterating gives :class:`SimTelRun`; each is to be read before the next is asked for, which passes over what is
    left of it.
    """

    def __init__(self, path, fast, on_truncated):
        self.path = path
        self._class, self._keeps = run_class(fast), on_truncated == "keep"
        self._identity = _identity(path)
        self._objects = TopObjects(path)
        self._next = None
        try:
            self._next = self._open_next()
        finally:
            if self._next is None:
                self.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __iter__(self):
        while self._next is not None:
            run, self._next = self._next, None
            yield run
            with reading(self.path):
                if run.objects.another_follows():
                    self._next = self._open_further()

    def _open_further(self):
        try:
            return self._open_next()
        except CutError as err:
            if not self._keeps:
                raise
            log.warning("%s, which is not the first one: nothing of it is kept", err)
            return None

    def _open_next(self):
        objects = RunObjects(self._objects, self._class.kinds, self._keeps)
        with reading(self.path), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with patch.object(simtelfile, "EventIOFile", lambda *_, **__: objects):
                file = simtelfile.SimTelFile(self.path, skip_calibration=True)
            objects.begin_events()
            objects.current_shower = lambda: file.current_mc_shower
            try:
                return self._class(self.path, file, self._identity)
            except RuntimeError:
                run = self._class(self.path, file, self._identity, focal_length_choice="EQUIVALENT")
                log.info("%s: no effective focal length, the equivalent one is used", self.path)
                return run

    def check_unchanged(self):
        """Raise InputError if the file was changed or replaced while it was read."""
        _check_unchanged(self.path, self._identity)

    def close(self):
        """Close the file."""
        self._objects.close()


def open_runs(path, fast=False, on_truncated="refuse"):
    """Open a simtel file, which may hold several runs.

    Parameters
    ----------
    path : str or Path
    fast : bool
        Read it the fast way, if that was made for the installed ctapipe and eventio; see fast_simtel.py.
    on_truncated : 'refuse' or 'keep'
        Whether a file that is cut is an error, or gives the events that are whole before the cut, with a warning;
        then its run is not `complete`.

    Returns
    -------
    SimTelRuns
        Old files have no effective focal length: they are opened with the equivalent one, which is logged.

    Raises
    ------
    InputError
        If the file is not there, is no simtel file, or its header can't be read.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: {why_no_file(path)}")
    if path.stat().st_size == 0:
        raise InputError(f"{path}: empty, zero bytes")
    if not os.access(path, os.R_OK):
        raise InputError(f"{path}: not readable")
    with reading(path):
        refuse_foreign(path)
    return SimTelRuns(path, fast, on_truncated)


def open_run(path, fast=False):
    """Open a simtel file of one run, see :func:`open_runs`.

    Returns
    -------
    SimTelRun
        The first run. It closes the file; its :meth:`SimTelRun.check_end` refuses one with a further run.
    """
    run = next(iter(open_runs(path, fast)))
    run.is_alone = True
    return run


@functools.cache
def run_class(fast):
    """Return the class of runs: FastRun, if it is wanted and was made for what is installed, or SimTelRun."""
    if not fast or untested():
        return SimTelRun
    try:
        from .fast_simtel import FastRun
    except (ImportError, AttributeError) as err:
        log.warning("the fast reader is not used: what it relies on is gone: %s", err)
        return SimTelRun
    return FastRun


def first_primary(path):
    """Return the primary id of the first shower of a file, -1 if its first run has none."""
    with open_runs(path) as runs:
        objects = next(iter(runs)).objects
        with reading(path):
            for _ in objects:
                if objects.primary_id != -1:
                    break
        return int(objects.primary_id)


def describe_telescopes(run):
    """Return in words which telescopes a run has."""
    cameras = Counter(f"{telescope_type(telescope)} {telescope.camera.name}" for telescope in run.subarray.tel.values())
    return "it has " + ", ".join(f"{n} {name}" for name, n in sorted(cameras.items()))


def _value(value, unit):
    return value.to_value(unit) if unit else value


class reading:  # noqa: N801 - used as a with statement's verb
    """Turn whatever a damaged file makes the parsers raise into one InputError that names the file."""

    def __init__(self, path):
        self._path = path

    def __enter__(self):
        return self

    def __exit__(self, kind, err, traceback):
        if err is None or isinstance(err, InputError | ConfigError) or not isinstance(err, Exception):
            return False
        raise InputError(f"{self._path}: {_what_is_wrong(err)}") from err


def _what_is_wrong(err):
    """Say in the words of a user what a parser's exception means."""
    if isinstance(err, StopIteration | EOFError | struct.error):
        return "damaged: a block of it holds less than it says"
    if version := VERSION_REFUSED.search(str(err)):
        known = [int(number) for number in NUMBER.findall(version["known"])]
        return version_words(version["object"], int(version["given"]), known)
    if isinstance(err, UnicodeError):
        return "damaged: what must be text in it is none"
    if isinstance(err, KeyError | IndexError):
        return "damaged or incomplete: something that others of its blocks refer to is not there"
    if isinstance(err, AttributeError | TypeError | AssertionError | WrongType) or not str(err):
        return "damaged or incomplete: its blocks do not belong together"
    return f"damaged or incomplete: {one_line(err)}"


@contextlib.contextmanager
def _unrecorded():
    """Keep ctapipe from recording an input for nobody: it would start by listing all installed packages, for 0.3 s."""
    provenance = Provenance()
    if provenance.current_activity is None:  # else the input is part of what a caller records
        provenance.add_input_file = lambda *_, **__: None
    try:
        yield
    finally:
        vars(provenance).pop("add_input_file", None)


def _check_unchanged(path, identity):
    try:
        same = _identity(path) == identity
    except OSError:
        same = False
    if not same:
        raise InputError(f"{path}: it changed while it was read: convert it when it is complete")


def _identity(path):
    """Return what is another when a file is written to, or replaced."""
    stat = Path(path).stat()
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns
