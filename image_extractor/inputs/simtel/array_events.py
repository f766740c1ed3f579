"""The telescopes of an event, found by a walk over its EventIO objects where they lie in memory.

The functions stand in the place of eventio's of the same names: see eventio_patches.py. They make no object of what no
image needs, and leave ADC counts where they are until somebody asks for waveforms.
"""

import io
import struct

from eventio.base import KNOWN_OBJECTS
from eventio.header import parse_header_bytes
from eventio.iact import PhotoElectrons
from eventio.simtel import objects
from eventio.simtel.simtelfile import NoTrackingPositions

HEADER = struct.Struct("<IiI")
EXTENSION = struct.Struct("<I")
SUMS, SAMPLES = 2012, 2013
#: {type: tel_id} of the objects in the types of which telescopes are coded.
TELESCOPES, POSITIONS = (
    {kind: known.type_to_telid(kind) for kind, known in KNOWN_OBJECTS.items() if kind and known is wanted}
    for wanted in (objects.TelescopeEvent, objects.TrackingPosition)
)
RAW, CORRECTED = 0x100, 0x200


class Found:
    """An EventIO object in memory: where its header and its payload are.

    Attributes
    ----------
    kind, version, id : int
    memory : bytes
    address, start, end : int
        Where its header begins, and its payload, and behind it.
    """

    __slots__ = ("address", "end", "id", "kind", "memory", "start", "version")

    def __init__(self, memory, address, end):
        word, self.id, length = HEADER.unpack_from(memory, address)
        self.memory, self.address, self.start = memory, address, address + HEADER.size
        self.kind, self.version = word & 0xFFFF, word >> 20
        size = length & 0x3FFFFFFF
        if word & 0x20000:  # its length has further bits
            size += (EXTENSION.unpack_from(memory, self.start)[0] & 0xFFF) << 30
            self.start += EXTENSION.size
        self.end = self.start + size
        if self.end > end:
            raise ValueError(f"the object of type {self.kind} is longer than what it is in")

    def inside(self):
        """Yield the objects in it, which is to hold nothing else."""
        if not HEADER.unpack_from(self.memory, self.address)[2] & 0x40000000:
            raise ValueError(f"the object of type {self.kind} holds more than sub-objects")
        return sub_objects(self.memory, self.start, self.end)

    def parsed(self, known):
        """Return what eventio's parser of this class makes of it."""
        header = parse_header_bytes(self.memory[self.address : self.start])
        header.content_address, header.content_size = 0, self.end - self.start
        return known(header, io.BytesIO(self.memory[self.start : self.end])).parse()


def sub_objects(memory, position, end):
    """Yield the objects that lie between two places, :class:`Found`."""
    while position < end:
        found = Found(memory, position, end)
        yield found
        position = found.end


def _sub_objects_of(eventio_object):
    if not eventio_object.only_subobjects:
        raise ValueError(f"{eventio_object} holds more than sub-objects")
    start = eventio_object.address
    return sub_objects(eventio_object.memory, start, start + eventio_object.size)


def parse_array_event(array_event, allowed_telescopes=None):
    """Return what eventio's function does, as far as images need it.

    Parameters
    ----------
    array_event : eventio ArrayEvent with its payload in `memory`
    allowed_telescopes : set of int, optional

    Returns
    -------
    dict
        ``telescope_events`` are {tel_id: :class:`Found` of ADC samples or sums}.
    """
    event = {"event_id": array_event.header.id, "telescope_events": {}, "tracking_positions": {}}
    telescopes, positions = event["telescope_events"], event["tracking_positions"]
    inside = _sub_objects_of(array_event)
    trigger = next(inside, None)
    if trigger is None:
        return event | {"trigger_information": None}
    _check_kind(trigger, objects.TriggerInformation)
    event["event_id"] = trigger.id or event["event_id"]
    event["trigger_information"] = trigger.parsed(objects.TriggerInformation)
    if allowed_telescopes and allowed_telescopes.isdisjoint(event["trigger_information"]["telescopes_with_data"]):
        return event
    for found in inside:
        tel_id = TELESCOPES.get(found.kind)
        if tel_id is not None:
            if allowed_telescopes is None or tel_id in allowed_telescopes:
                telescopes[tel_id] = _adc_data(found)
            continue
        tel_id = POSITIONS.get(found.kind)
        if tel_id is not None and (allowed_telescopes is None or tel_id in allowed_telescopes):
            positions[tel_id] = _tracking_position(found, tel_id)
    missing = telescopes.keys() - positions.keys()
    if missing:
        raise NoTrackingPositions(f"Missing tracking positions for telescopes {missing}")
    return event


def parse_telescope_data(telescope_data):
    """Return of which telescopes there are true photo-electrons, {"photoelectrons": {index: {}}}."""
    found = [one.id for one in _sub_objects_of(telescope_data) if one.kind == PhotoElectrons.eventio_type]
    return {"photoelectrons": {number % 1000: {} for number in found}} if found else {}


def _check_kind(found, expected):
    if found.kind != expected.eventio_type:
        raise ValueError(f"an object of type {found.kind} is where {expected.__name__} must be")


def _adc_data(telescope_event):
    """Return the :class:`Found` of ADC samples of a telescope, or of sums; None without."""
    samples = sums = None
    for number, found in enumerate(telescope_event.inside()):
        if number == 0:
            _check_kind(found, objects.TelescopeEventHeader)
        elif found.kind == SAMPLES:
            samples = found
        elif found.kind == SUMS:
            sums = found
    return sums if samples is None else samples


def _tracking_position(found, tel_id):
    """Return what eventio's parser does, without arrays in between."""
    names = ("azimuth_raw", "altitude_raw") if found.id & RAW else ()
    names += ("azimuth_cor", "altitude_cor") if found.id & CORRECTED else ()
    is_odd = found.version != 0 or objects.TrackingPosition.id_to_telid(found.id) != tel_id
    if is_odd or found.end - found.start < 4 * len(names):
        return found.parsed(objects.TrackingPosition)
    return dict(zip(names, struct.unpack_from(f"<{len(names)}f", found.memory, found.start), strict=True))
