"""The EventIO objects of one run: where it begins and ends, and which of its events are wanted."""

import io
import logging
from collections import Counter, deque

from eventio.base import KNOWN_OBJECTS, EventIOObject
from eventio.header import parse_header_bytes
from eventio.histograms import Histograms

from ...errors import CutError, InputError
from ...primaries import primary_name
from .foreign_files import foreign_kind, no_run, version_words

log = logging.getLogger(__name__)

HISTOGRAMS, HISTORY, METADATA, RUN_HEADER, MC_RUN_HEADER = 100, 70, 75, 2000, 2001
INPUT_CARD, ATMOSPHERE = 1212, 1216
TELESCOPE_DESCRIPTIONS = range(2002, 2009)
TELESCOPE_DATA, PARTICLES, PHOTOELECTRON_SUMS = 1204, 1205, 2026
ARRAY_EVENT, TRIGGER, MC_SHOWER, MC_EVENT = 2010, 2009, 2020, 2021
CALIBRATION_EVENT, CALIBRATION_PHOTOELECTRONS = 2028, 2034
LASER_CALIBRATION, RUN_STATISTICS, MC_RUN_STATISTICS = 2023, 2024, 2025
NESTED_HEADER_SIZE = 12
#: Bytes with which a shower begins: its primary.
PRIMARY_SIZE = 4
#: Payload of what stands between the descriptions of telescopes, at most: in a sound file it is a shower.
MOST_DEFERRED = 256 << 20

#: With these a run begins; the first two may also stand within one.
BEGINNINGS = (HISTORY, METADATA, RUN_HEADER)
OF_TELESCOPES = (RUN_HEADER, MC_RUN_HEADER, *TELESCOPE_DESCRIPTIONS)
IN_HEADER = (*BEGINNINGS, *OF_TELESCOPES, INPUT_CARD, ATMOSPHERE)
#: First versions that hold all that ctapipe needs: the time shifts of pixels, the kind of trigger.
FIRST_VERSIONS = {LASER_CALIBRATION: 2, TRIGGER: 2}
#: May stand behind the block that closes a run; they say nothing of events.
STATISTICS = (HISTOGRAMS, RUN_STATISTICS, MC_RUN_STATISTICS)
#: Belongs to an event whose array data come later: kept, unparsed, until these are wanted.
EVENT_PARTS = (TELESCOPE_DATA, PHOTOELECTRON_SUMS)
#: Never used for images; names in an atmosphere need not be text.
PASSED_OVER = (ATMOSPHERE, PARTICLES, CALIBRATION_PHOTOELECTRONS)
#: With these an extract may end.
LAST_OF_EXTRACTS = (ARRAY_EVENT, MC_SHOWER, MC_EVENT, PARTICLES, *EVENT_PARTS)


class ClosingBlock(Histograms):
    """The histograms with which a run ends; that they are there is all that is asked."""

    def parse(self):
        """Return no histogram."""
        return []


#: Class of the objects of each type.
KINDS = {**KNOWN_OBJECTS, HISTOGRAMS: ClosingBlock}


class RunObjects:
    """The objects of a run, in the place of eventio's EventIOFile.

    Each object is there whole, or it is noticed that the file is truncated. What stands between the descriptions of the
    telescopes but belongs to events comes behind them: in files that old tools merged, a shower may stand there.
    Shower events are offered to `accepts(event_id, shower, trigger)` on their headers; those it refuses are passed over
    undecoded. `trigger()` gives the ids of the telescopes that triggered.

    Parameters
    ----------
    objects : TopObjects
        Of a file, at the beginning of a run.
    kinds : dict
        Class of the objects of each type.
    keep_truncated : bool
        Whether a file that is cut ends there, instead of an error.

    Attributes
    ----------
    calibrations : Counter
        Pedestal and flasher events passed over, by sim_telarray's types; -1 where it is not told.
    primary_id : int
        Primary of the first shower, -1 before it.
    n_showers, n_uses : int
        Showers and uses of them (core positions) read so far.
    read_at_event : (int, int)
        These two when the last event that was accepted came.
    is_complete : bool
        False where the file was found to be cut.
    is_followed : bool
        True where another run was found behind it.
    """

    def __init__(self, objects, kinds=KINDS, keep_truncated=False):
        self.stream = objects.stream
        self.accepts = None
        self.current_shower = None
        self.calibrations = Counter()
        self.primary_id = -1
        self.n_showers = self.n_uses = 0
        self.read_at_event = (0, 0)
        self.is_complete = True
        self._objects, self._kinds, self._keeps = objects, kinds, keep_truncated
        self._path = objects.path
        self._ready, self._held, self._beginning, self._deferred = deque(), [], [], deque()
        self._deferred_size = 0
        self._in_header, self._is_simtel, self._has_run_header, self._seen_shower = True, False, False, False
        self._last_type = None
        self._last_event_id = None
        #: The file ended; the closing block came; what is behind it is known; another run begins.
        self._ended = self._closed = self._looked_behind = self.is_followed = False
        #: Kinds of the parts of uses with an array event, and of those without.
        self._triggered_parts, self._untriggered_parts = set(), set()

    def __iter__(self):
        return self

    def __next__(self):
        try:
            while not self._ready:
                one = self._next()
                if one is None:
                    raise StopIteration
                self._handle_in_header(one) if self._in_header else self._handle(one)
        except CutError as err:
            self._end_by_cut(err)
            raise StopIteration from err
        return self._ready.popleft()

    def begin_events(self):
        """Hand on what belongs to events: call it when all telescopes are described."""
        self._in_header = False

    def _next(self):
        if not self._in_header and self._deferred:
            return self._deferred.popleft()
        if self._ended or self._closed or self.is_followed:
            return None
        one = self._objects.next()
        if one is None:
            self._ended = True
            if self._in_header:
                raise self._no_header()
        else:
            self._last_type = one.type
        return one

    # -- the header ---------------------------------------------------------------------------------

    def _handle_in_header(self, one):
        if not self._is_simtel and (what := foreign_kind(one.type)):
            raise no_run(self._path, what)
        self._is_simtel |= one.type in OF_TELESCOPES
        if one.type == HISTOGRAMS:
            raise self._no_header()
        if one.type == RUN_HEADER and self._has_run_header:
            raise self._damaged("a run begins before all telescopes of the one before it are described")
        self._has_run_header |= one.type == RUN_HEADER
        if one.type in PASSED_OVER:
            one.skip()
        elif one.type in IN_HEADER:
            self._ready.append(self._whole(one))
        else:
            self._defer(one)

    def _defer(self, one):
        one.payload()
        self._deferred.append(one)
        self._deferred_size += one.header.content_size
        if self._deferred_size > MOST_DEFERRED:
            raise self._no_header()

    def _no_header(self):
        if not self._has_run_header and self._last_type not in IN_HEADER:
            return no_run(self._path, "EventIO without the header of a run, no simtel file")
        if self._deferred or self._last_type == HISTOGRAMS:
            return self._damaged("not all telescopes of the run are described")
        return CutError(f"{self._path}: truncated: it ends within the header of the run")

    # -- the events ---------------------------------------------------------------------------------

    def _handle(self, one):
        kind = one.type
        if kind in BEGINNINGS:
            self._begin(one)
            return
        if self._beginning:  # was none
            self._ready += map(self._whole, self._beginning)
            self._beginning.clear()
        if kind in PASSED_OVER:
            one.skip()
        elif kind == CALIBRATION_EVENT or (kind == ARRAY_EVENT and not self._seen_shower):
            self.calibrations[one.header.id if kind == CALIBRATION_EVENT else -1] += 1
            one.skip()
        elif kind in EVENT_PARTS:
            one.leave()
            self._held.append(one)
        elif kind == ARRAY_EVENT:
            self._offer(one)
        elif kind in (MC_SHOWER, MC_EVENT):
            self._begin_use(one)
        else:
            self._check_version(kind, one.header.version)
            self._ready.append(self._whole(one))
            self._closed |= kind == HISTOGRAMS

    def _begin(self, one):
        """Take a run header for the beginning of another run, with what stood before it."""
        one.payload()
        self._beginning.append(one)
        if one.type == RUN_HEADER:
            self._objects.put_back(self._beginning)
            self.is_followed = True

    def _begin_use(self, one):
        if self._held:
            self._untriggered_parts.add(self._held_kinds())
            self._held.clear()
        self._seen_shower = True
        whole = self._whole(one)
        if one.type == MC_EVENT:
            self.n_uses += 1
        else:
            self.n_showers += 1
            self._check_primary(one)
        self._ready.append(whole)

    def _check_primary(self, one):
        """Note the primary of the run; a run of several can't be counted, or weighted, by its header."""
        primary = int.from_bytes(one.start(PRIMARY_SIZE)[:PRIMARY_SIZE], "little", signed=True)
        if self.primary_id == -1:
            self.primary_id = primary
        elif primary != self.primary_id:
            both = f"{primary_name(self.primary_id)} and {primary_name(primary)}"
            raise InputError(
                f"{self._path}: its run has showers of two primaries, {both}, which share one spectrum: "
                "give each primary a file of its own"
            )

    def _held_kinds(self):
        return tuple(one.type for one in self._held)

    def _offer(self, one):
        """Hand on an array event with all that belongs to it, if it is wanted."""
        self._triggered_parts.add(self._held_kinds())
        if self._keeps:  # who accepts counts: only what is whole
            one.payload()
        start = one.start(NESTED_HEADER_SIZE)
        self._last_event_id = _event_id(one.header, start)
        if self.accepts is None or self.accepts(self._last_event_id, self.current_shower(), lambda: _triggered(one)):
            self._check_version(int.from_bytes(start[:2], "little"), int.from_bytes(start[2:4], "little") >> 4)
            self.read_at_event = self.n_showers, self.n_uses
            self._ready += [*map(self._whole, self._held), self._whole(one)]
        else:
            one.skip()
        self._held.clear()

    def _check_version(self, kind, version):
        first = FIRST_VERSIONS.get(kind, 0)
        if version < first:
            raise InputError(f"{self._path}: {version_words(KNOWN_OBJECTS[kind].__name__, version, [first])}")

    def _whole(self, one):
        payload = one.payload()
        one.header.content_address = 0
        return self._kinds.get(one.type, EventIOObject)(one.header, filehandle=payload)

    # -- the end ------------------------------------------------------------------------------------

    def check_end(self):
        """Raise InputError unless the run is whole: it has its closing block, and its checksums agree.

        A run that another follows has none where it was extracted. The last one is taken for an extract where its
        compressed stream was closed properly after a whole event; a writer that dies leaves a block cut.
        """
        if self.is_followed and not self._closed:
            log.info("%s: no closing block, but another run follows", self._path)
        elif self._closed or not self.is_complete:
            self._look_behind()
        elif not self._ended:  # eventio takes an object that promises more than it holds for the end of the file
            raise self._damaged("an event in it is cut short")
        elif self._is_extract():
            log.warning("%s: no closing block; its stream is intact, so it is taken for an extract", self._path)
        else:
            self._end_by_cut(CutError(f"{self._path}: truncated: the closing block of the run is missing"))

    def _is_extract(self):
        parts = self._held_kinds()
        cut_event = any(parts == known[: len(parts)] for known in self._triggered_parts)
        if parts and cut_event and parts not in self._untriggered_parts:
            return False
        return self.stream.compressed and self._last_type in LAST_OF_EXTRACTS

    def another_follows(self):
        """Pass over what is left of the run, and say whether another one begins there."""
        self._ready.clear()
        self._in_header = False
        accepts, self.accepts = self.accepts, _refuse
        try:
            for _ in self:
                pass
            self._look_behind()
        finally:
            self.accepts = accepts
        return self.is_followed

    def _look_behind(self):
        """Find what is behind the closing block: nothing, or another run."""
        if not self._closed or self._looked_behind:
            return
        self._looked_behind = True
        try:
            while (one := self._objects.next("behind the closing block of its run")) is not None:
                if one.type in STATISTICS:
                    one.skip()
                elif one.type in BEGINNINGS:
                    self._begin(one)
                else:
                    raise self._damaged(f"behind the closing block of its run is an EventIO block of type {one.type}")
                if self.is_followed:
                    return
        except CutError as err:
            self._drop_torn_run(err)
            return
        if self._beginning:
            self._drop_torn_run(CutError("it ends within the header of a run"))

    def _drop_torn_run(self, err):
        if self.stream.position == self._objects.position and not self._beginning:
            self._end_by_cut(err)  # only the checksum of its compressed stream is missing
            return
        message = f"{self._path}: truncated: behind the closing block of its run another one begins, which is cut"
        if not self._keeps or self._objects.goes_on():
            raise CutError(message) from err
        log.warning("%s within its header: nothing of it is kept", message)

    def _end_by_cut(self, err):
        """Take a cut for the end of the file, if that is wanted; it is an error else."""
        if self._in_header:
            what = "within the header of the run"
            raise CutError(f"{self._path}: truncated: it ends {what}") from err
        if not self._ended and self._objects.goes_on():
            place = f"the EventIO block at byte {self._objects.position:,} of its content"
            raise self._damaged(f"{place} claims to be longer than the file") from err
        if not self._keeps:
            raise err
        self._ended, self.is_complete = True, False
        self._held.clear()
        place = "before its first event" if self._last_event_id is None else f"behind event {self._last_event_id}"
        place += f", at byte {self.stream.position:,} of its content"
        log.warning("%s (%s): what is whole before is kept", err, place)

    def _damaged(self, what):
        return InputError(f"{self._path}: damaged: {what}")

    def let_go(self):
        """Forget who asks for events: it and the run hold each other, and would wait for garbage to be collected."""
        self.accepts = self.current_shower = None

    def tell(self):
        """Return 0: the run is read once, forward."""
        return 0

    def close(self):
        """Close the file."""
        self._objects.close()


def _refuse(_event_id, _shower, _trigger):
    return False


def _triggered(one):
    """Return the ids of the telescopes that triggered an array event, int array; read from its first bytes."""
    header = parse_header_bytes(one.start(NESTED_HEADER_SIZE))
    if header.type != TRIGGER:
        raise ValueError("an event does not begin with its trigger")
    content = one.start(NESTED_HEADER_SIZE + header.content_size)[NESTED_HEADER_SIZE:]
    header.content_address = 0
    return KINDS[TRIGGER](header, filehandle=io.BytesIO(content)).parse()["triggered_telescopes"]


def _event_id(header, start):
    """Return the event number, by eventio's rule: the trigger's, in old files also the array event's."""
    if len(start) < NESTED_HEADER_SIZE:
        return header.id
    kind, trigger_id = int.from_bytes(start[:2], "little"), int.from_bytes(start[4:8], "little", signed=True)
    return trigger_id if kind == TRIGGER and trigger_id != 0 else header.id
