"""One run of a simtel file: ctapipe's event source over the objects that are needed."""

from pathlib import Path
from types import MappingProxyType

from ...core_positions import AREA_WEIGHTED
from ...errors import InputError
from ...terminal.logs import quiet
from ..pointing import Pointings, altitude, of_tracking
from .ctapipe_patches import SourceOverFile
from .reading_errors import reading
from .run_objects import KINDS

quiet(f"{__name__}.SimTelRun")  # ctapipe's own chatter about each file

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


class SimTelRun(SourceOverFile):
    """One run: ctapipe's event source over :class:`RunObjects`.

    Iterate once; then call :meth:`check_end`. As a context manager it closes the file at the end.
    """

    #: Class of the EventIO objects of each type.
    kinds = MappingProxyType(KINDS)

    def __init__(self, path, file, identity, **kwargs):
        super().__init__(path, file, **kwargs)
        self.objects = file.objects
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

    def events(self):
        """Yield the events; what a damaged file makes the parsers raise is an InputError."""
        with reading(self.input_url):
            yield from super().events()
        self.is_read = True

    def check_end(self):
        """Raise InputError unless the whole run was there; see :meth:`RunObjects.check_end`."""
        with reading(self.input_url):
            self.objects.check_end()
        if self.is_alone and self.objects.is_followed:
            raise InputError(f"{self.input_url}: it holds more than one run, and only the first one was read")

    def check_unchanged(self):
        """Raise InputError if the file was changed or replaced while it was read."""
        check_unchanged(self.input_url, self._identity)

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

    def simulated_shower(self, array_event):
        """Do as ctapipe does; on the way each event tells where its telescopes look, and how its core was drawn."""
        tracking = array_event["tracking_positions"]
        self.event_pointings = {tel_id: of_tracking(position) for tel_id, position in tracking.items()}
        self._area_weighted |= (array_event["mc_event"] or {}).get("aweight", 1) != 1
        return super().simulated_shower(array_event)

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


def _value(value, unit):
    return value.to_value(unit) if unit else value


def check_unchanged(path, before):
    try:
        same = identity(path) == before
    except OSError:
        same = False
    if not same:
        raise InputError(f"{path}: it changed while it was read: convert it when it is complete")


def identity(path):
    """Return what is another when a file is written to, or replaced."""
    stat = Path(path).stat()
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns
