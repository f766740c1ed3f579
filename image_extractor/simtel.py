"""Simtel files through ctapipe: whole runs only, and no work for events nobody wants.

ctapipe's own SimTelEventSource does the reading; between it and the file stands :class:`RunObjects`,
which hands on the EventIO objects that are needed and notices a run without its end, where ctapipe
only warns.
"""

import contextlib
import functools
import io
import logging
import os
import warnings
from collections import Counter
from pathlib import Path

from ctapipe.core.provenance import Provenance
from ctapipe.io import SimTelEventSource
from eventio.base import KNOWN_OBJECTS, EventIOObject, check_sync_bytes, read_header
from eventio.simtel.objects import MCShower

from .byte_stream import GZIP, ByteStream
from .errors import ConfigError, InputError
from .input_files import why_no_file
from .logs import quiet
from .pointing import Pointings, altitude, of_tracking
from .row_types import AREA_WEIGHTED
from .telescopes import telescope_type
from .tested_versions import untested

log = logging.getLogger(__name__)
quiet(f"{__name__}.SimTelRun")  # ctapipe's own chatter about each file

HISTOGRAMS = 100
TELESCOPE_DATA, PARTICLES, PHOTOELECTRON_SUMS = 1204, 1205, 2026
ARRAY_EVENT, TRIGGER, MC_SHOWER, MC_EVENT = 2010, 2009, 2020, 2021
CALIBRATION_EVENT, CALIBRATION_PHOTOELECTRONS = 2028, 2034
SYNC_SIZE = 4
#: Bytes of an object that are believed without a look.
LARGE = 64 << 20
NESTED_HEADER_SIZE = 12

#: Belongs to an event whose array data come later: kept, unparsed, until these are wanted.
EVENT_PARTS = (TELESCOPE_DATA, PHOTOELECTRON_SUMS)
#: Never used for images.
PASSED_OVER = (PARTICLES, CALIBRATION_PHOTOELECTRONS)


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


class RunObjects:
    """The top-level EventIO objects of a run, in the place of eventio's EventIOFile.

    Each object is read whole, so that a truncated one is noticed. Shower events are offered to
    `accepts(event_id, shower)` on their headers; those it refuses are passed over undecoded.

    Attributes
    ----------
    kinds : dict
        Class of the objects of each type; eventio's own by default.
    n_calibration : int
        Pedestal and flasher events passed over.
    primary_id : int
        Primary of the first shower, -1 before it.
    """

    def __init__(self, path, start=0):
        self.stream = ByteStream(path)
        self.stream.skip(start)
        self.kinds = KNOWN_OBJECTS
        self.accepts = None
        self.current_shower = None
        self.n_calibration = 0
        self.primary_id = -1
        self._path = path
        self._held, self._ready = [], []
        self._last_type = None
        self._seen_shower = self._ended = False

    def __iter__(self):
        return self

    def __next__(self):
        while not self._ready:
            header = self._next_header()
            if header is None:
                self._ended = True
                raise StopIteration
            self._handle(header)
        return self._ready.pop(0)

    def _next_header(self):
        sync = self.stream.read_some(SYNC_SIZE)
        if not sync:
            return None
        if len(sync) < SYNC_SIZE:
            raise InputError(f"{self._path}: truncated: it ends within an EventIO block")
        check_sync_bytes(sync)
        header = read_header(self.stream, offset=0, toplevel=True)
        self._last_type = header.type
        return header

    def _handle(self, header):
        kind = header.type
        if kind in PASSED_OVER:
            self.stream.skip(header.content_size)
        elif kind == CALIBRATION_EVENT or (kind == ARRAY_EVENT and not self._seen_shower):
            self.n_calibration += 1
            self.stream.skip(header.content_size)
        elif kind in EVENT_PARTS:
            self._held.append(self._whole(header))
        elif kind == ARRAY_EVENT:
            self._offer(header)
        else:
            if kind in (MC_SHOWER, MC_EVENT):
                self._held.clear()
                self._seen_shower = True
            self._ready.append(self._whole(header))

    def _offer(self, header):
        """Hand on an array event with all that belongs to it, if it is wanted."""
        start = self.stream.read(min(NESTED_HEADER_SIZE, header.content_size))
        if self.accepts is None or self.accepts(_event_id(header, start), self.current_shower()):
            self._ready += [*self._held, self._whole(header, start)]
        else:
            self.stream.skip(header.content_size - len(start))
        self._held.clear()

    def _whole(self, header, start=b""):
        if header.content_size > LARGE:  # or damaged: memory for what is there, not for what it says
            payload = io.BytesIO(start + self.stream.read(header.content_size - len(start)))
        else:
            payload = io.BytesIO(bytes(header.content_size))
            with payload.getbuffer() as buffer:  # read in place: events are large
                buffer[: len(start)] = start
                self.stream.fill(buffer[len(start) :])
        header.content_address = 0
        event_object = self.kinds.get(header.type, EventIOObject)(header, filehandle=payload)
        if header.type == MC_SHOWER and self.primary_id == -1:
            self.primary_id = MCShower(header, filehandle=io.BytesIO(payload.getvalue())).parse()["primary_id"]
        return event_object

    def check_end(self):
        """Raise InputError unless the run is whole: it has its closing block, and its checksums agree.

        Extracts of old runs have no closing block. One is taken for whole where its compressed
        stream was closed properly after a whole event; a writer that dies leaves a block cut.
        """
        if self._last_type != HISTOGRAMS:
            if not self._ended:  # eventio takes an object that promises more than it holds for the end of the file
                raise InputError(f"{self._path}: damaged: an event in it is cut short")
            if not (self.stream.compressed and self._last_type == ARRAY_EVENT):
                raise InputError(f"{self._path}: truncated: the closing block of the run is missing")
            log.warning("%s: no closing block; its stream is intact, so it is taken for an extract", self._path)
        self.stream.drain()

    def tell(self):
        """Return 0: the run is read once, forward."""
        return 0

    def close(self):
        """Close the file."""
        self.stream.close()


def _event_id(header, start):
    """Return the event number, by eventio's rule: the trigger's, in old files also the array event's."""
    if len(start) < NESTED_HEADER_SIZE:
        return header.id
    kind, trigger_id = int.from_bytes(start[:2], "little"), int.from_bytes(start[4:8], "little", signed=True)
    return trigger_id if kind == TRIGGER and trigger_id != 0 else header.id


class SimTelRun(SimTelEventSource):
    """One run: ctapipe's event source over :class:`RunObjects`.

    Use as a context manager; iterate once; then call :meth:`check_end`.
    """

    def __init__(self, path, **kwargs):
        with _unrecorded():
            super().__init__(input_url=path, back_seekable=_is_gzip(path), **kwargs)
        header_end = self.file_._file._next_header_pos
        self.file_._file.close()
        self.objects = RunObjects(path, header_end)
        self._stat = _identity(path)
        self.tracking_mode = int(self.file_.header["tracking_mode"])
        self.pointings = Pointings(self._header_pointing())
        self._area_weighted = False
        self.objects.current_shower = lambda: self.file_.current_mc_shower
        self.file_._file = self.objects
        self.start_pos = self.objects.tell()

    def select(self, tel_ids, accepts):
        """Choose what iterating yields: these telescopes, and the events for which accepts(event_id, shower)."""
        self.allowed_tels = set(tel_ids)
        self.file_.allowed_telescopes = set(tel_ids)
        self.objects.accepts = accepts

    def _generator(self):
        with reading(self.input_url):
            yield from super()._generator()

    def check_end(self):
        """Raise InputError unless the whole run was there; see :meth:`RunObjects.check_end`."""
        with reading(self.input_url):
            self.objects.check_end()

    def check_unchanged(self):
        """Raise InputError if the file was changed or replaced while it was read."""
        try:
            same = _identity(self.input_url) == self._stat
        except OSError:
            same = False
        if not same:
            raise InputError(f"{self.input_url}: it changed while it was read: convert it when it is complete")

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
            "tracking_mode": self.tracking_mode,
            **values,
            **({"core_pos_mode": AREA_WEIGHTED} if self._area_weighted else {}),
        }


def open_run(path, fast=False):
    """Open a simtel file.

    Parameters
    ----------
    path : str or Path
    fast : bool
        Read it the fast way, if that was made for the installed ctapipe and eventio; see fast_simtel.py.

    Returns
    -------
    SimTelRun
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
    with reading(path), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if not SimTelEventSource.is_compatible(path):
            raise InputError(f"{path}: not a simtel (EventIO) file")
        new_run = run_class(fast)
        try:
            return new_run(path)
        except RuntimeError:
            run = new_run(path, focal_length_choice="EQUIVALENT")
            log.info("%s: no effective focal length, the equivalent one is used", path)
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
    """Return the primary id of the first shower of a file, -1 if it has none."""
    objects = RunObjects(path)
    try:
        with reading(path):
            for _ in objects:
                if objects.primary_id != -1:
                    break
    finally:
        objects.close()
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
        if isinstance(err, StopIteration | EOFError):
            raise InputError(f"{self._path}: truncated: it ends within the header of the run") from err
        reason = " ".join(str(err).split()) or "damaged or incomplete"
        raise InputError(f"{self._path}: damaged or cut short: {type(err).__name__}: {reason}") from err


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


def _identity(path):
    """Return what is another when a file is written to, or replaced."""
    stat = Path(path).stat()
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns


def _is_gzip(path):
    with Path(path).open("rb") as file:
        return file.read(2) == GZIP
