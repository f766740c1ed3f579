"""One run of a simtel file: ctapipe's event source over the objects that are needed."""

from collections import Counter
from types import MappingProxyType

from ctapipe.containers import EventType
from ctapipe.io.simteleventsource import SIMTEL_TO_CTA_EVENT_TYPE

from ...core_positions import AREA_WEIGHTED
from ...errors import InputError
from ...terminal.logs import quiet
from ..pointing import Pointings, altitude, of_tracking
from ..showers import of_container
from ..simulation_facts import simulation_facts
from ..unchanged import check_unchanged
from .ctapipe_patches import SourceOverFile
from .eventio_patches import RunFile
from .reading_errors import reading
from .run_objects import KINDS

quiet(f"{__name__}.SimTelRun")  # ctapipe's own chatter about each file


class SimTelRun(SourceOverFile):
    """One run: ctapipe's event source over :class:`RunObjects`.

    Iterate once; then call :meth:`check_end`. As a context manager it closes the file at the end.
    """

    #: Class of the EventIO objects of each type.
    kinds = MappingProxyType(KINDS)

    #: What opens its file.
    file_class = RunFile

    #: Its images are to be made, by ctapipe's CameraCalibrator or, where there is one, this subclass of it.
    has_images, fast_calibrator = False, None

    def __init__(self, path, file, identity, **kwargs):
        super().__init__(path, file, **kwargs)
        self.objects = file.objects
        self._identity = identity
        self.is_read = self.is_alone = False
        self.tracking_mode = int(self.file_.header["tracking_mode"])
        self.pointings = Pointings(self._header_pointing())
        self._area_weighted = False
        self._image_sums = None

    def select(self, tel_ids, accepts):
        """Choose what iterating yields.

        Parameters
        ----------
        tel_ids : iterable of int
            These telescopes.
        accepts : callable
            accepts(event_id, shower, trigger) says whether an event is wanted, or of which of these telescopes (a set,
            empty for none). `shower` is sim_telarray's MC shower as eventio parses it, `trigger()` gives the ids of the
            telescopes that triggered.
        """
        self.allowed_tels = set(tel_ids)
        self.file_.allowed_telescopes = set(tel_ids)

        def wanted(event_id, shower, trigger):
            found = accepts(event_id, shower, trigger)
            # the event's data come next
            self.file_.allowed_telescopes = found if isinstance(found, set) and found else self.allowed_tels
            return bool(found)

        self.objects.accepts = wanted

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

    def reading(self):
        """Return what turns errors into InputError: a context for whatever is done with an event."""
        return reading(self.input_url)

    @property
    def primary(self):
        """The primary of the first shower, -1 before it."""
        return int(self.objects.primary_id)

    @property
    def has_events(self):
        """Whether a shower was read."""
        return self.primary != -1

    def first_primary(self):
        """Return the primary of the first shower, -1 if there is none; reads up to it."""
        with self.reading():
            for _ in self.objects:
                if self.has_events:
                    break
        return self.primary

    #: Of the array in an event: none but what its telescopes tell.
    array_pointing = None

    @property
    def spectral_index(self):
        """Of the simulated spectrum."""
        return self.simulation_config[self.obs_id].spectral_index

    @property
    def n_calibration(self):
        """Pedestal and flasher events passed over."""
        return self.passed_over.total()

    @property
    def passed_over(self):
        """Events that are no showers, by the names of ctapipe's types, Counter."""
        found = Counter()
        for kind, n in self.objects.calibrations.items():
            found[SIMTEL_TO_CTA_EVENT_TYPE.get(kind, EventType.OTHER_CALIBRATION).name] += n
        return found

    @property
    def fraction(self):
        """How much of the file was read."""
        return self.objects.stream.fraction

    def true_shower(self, event):
        """Return the TrueShower of a ctapipe event."""
        return of_container(event.simulation.shower)

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
        self._image_sums = (array_event.get("photoelectron_sums") or {}).get("n_pe")
        self._area_weighted |= (array_event["mc_event"] or {}).get("aweight", 1) != 1
        return super().simulated_shower(array_event)

    def true_image_sum(self, tel_id):
        """Return the photo-electrons of the last event in a telescope, without noise; -1 if the file does not tell."""
        if self._image_sums is None:
            return -1
        return int(self._image_sums[self.telescope_indices_original[tel_id]])

    def facts(self):
        """Return what Run_Table holds of the run but the counts, {column: value}; call after reading."""
        azimuth, alt = self.pointing
        return {
            "file_name": self.input_url.name,
            "file_size": self.objects.stream.size,
            "run_number": self.obs_id,
            "primary": self.primary,
            "pointing_az": azimuth,
            "pointing_alt": alt,
            "complete": self.complete,
            "showers_read": self.showers_read,
            "uses_read": self.uses_read,
            "tracking_mode": self.tracking_mode,
            **simulation_facts(self.simulation_config[self.obs_id]),
            **({"core_pos_mode": AREA_WEIGHTED} if self._area_weighted else {}),
        }
