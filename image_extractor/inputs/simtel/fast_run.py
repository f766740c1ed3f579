"""The fast way through a run: the same images as ctapipe's own source, bit for bit, with less work.

EventIO objects are handed to eventio's SimTelFile, but for those inside of events: see array_events.py. ADC counts stay
where they are until a FastCalibrator decodes and calibrates them in compiled loops. Relies on the inside of eventio and
ctapipe: see eventio_patches.py and ctapipe_patches.py.
"""

import logging
import struct
from types import MappingProxyType

import numpy as np
from ctapipe.containers import (
    ArrayEventContainer,
    EventIndexContainer,
    EventType,
    SimulatedEventContainer,
    TriggerContainer,
)
from ctapipe.io.simteleventsource import MISSING_IMAGE_BRIGHTNESS_LIMIT
from eventio.iact import TelescopeData
from eventio.simtel import objects

from ...terminal.logs import quiet
from . import array_events, ctapipe_patches, eventio_patches
from .eventio_patches import InMemory, RunFile
from .fast_calibrator import FastCalibrator
from .run_objects import KINDS
from .simtel_run import SimTelRun
from .traces import R1Calibration, Traces

log = logging.getLogger(__name__)
quiet(f"{__name__}.FastRun")  # ctapipe's own chatter about each file

#: Overridden or called below; without one of them this module can't be imported, and is not used.
HOOKS = [getattr(owner, name) for owner, name in ctapipe_patches.RELIED_ON + eventio_patches.RELIED_ON]


class CameraOrganization(objects.CameraOrganization):
    """How the pixels of a camera are wired, of which all that is asked are their number and that of gains."""

    def parse(self):
        """Return these."""
        self.seek(0)
        n_pixels, _, n_gains = struct.unpack("<3i", self.read(12))
        return {"telescope_id": self.telescope_id, "n_pixels": n_pixels, "n_gains": n_gains}


class ArrayEvent(InMemory, objects.ArrayEvent):
    """Data of all telescopes."""


class TelescopePhotons(InMemory, TelescopeData):
    """True photo-electrons of all telescopes."""


class FastRunFile(RunFile):
    """A file of a run that leaves what is inside of events where it is."""

    _parse_next_object = eventio_patches.parsing_events_with(
        parse_array_event=array_events.parse_array_event, parse_telescope_data=array_events.parse_telescope_data
    )


class FastRun(SimTelRun):
    """A run whose events hold what the converter needs, and nothing else.

    In the place of waveforms, event.dl0 holds :class:`traces.Traces`, which `fast_calibrator` makes images of.
    """

    file_class, fast_calibrator = FastRunFile, FastCalibrator

    kinds = MappingProxyType(
        KINDS | {kind.eventio_type: kind for kind in (CameraOrganization, ArrayEvent, TelescopePhotons)}
    )

    def __init__(self, *arguments, **kwargs):
        super().__init__(*arguments, **kwargs)
        self._calibrations = {}

    def made_events(self):
        """Yield the events."""
        n_without_id = 0
        for count, array_event in enumerate(self.file_):
            event_id = array_event.get("event_id", 0)
            if event_id == 0:  # as ctapipe does
                n_without_id += 1
                event_id = -n_without_id
            event = ArrayEventContainer(
                index=EventIndexContainer(obs_id=self.obs_id, event_id=event_id),
                simulation=SimulatedEventContainer(shower=self.simulated_shower(array_event)),
                trigger=self._trigger(array_event["trigger_information"]),
                count=count,
            )
            for tel_id, found in array_event["telescope_events"].items():
                if tel_id in event.trigger.tels_with_trigger and not self._lacks_image(array_event, tel_id):
                    if found is None:
                        raise ValueError(f"event {event_id}: no ADC data of telescope {tel_id}")
                    event.dl0.tel[tel_id] = Traces(found, self._calibration(tel_id, array_event))
            yield event

    def _trigger(self, trigger):
        trigger["teltrg_type_mask"]  # without it, in the oldest files, ctapipe gives up too
        triggered = np.intersect1d(trigger["triggered_telescopes"], self.subarray.tel_ids)
        return TriggerContainer(event_type=EventType.SUBARRAY, tels_with_trigger=triggered)

    def _lacks_image(self, array_event, tel_id):
        """Say whether ctapipe would drop an image: so bright, its true image can only be missing by truncation."""
        if not self.has_true_images or tel_id - 1 in array_event.get("photoelectrons", {}):
            return False
        sums = (array_event.get("photoelectron_sums") or {}).get("n_pe")
        if sums is None or not sums[self.telescope_indices_original[tel_id]] > MISSING_IMAGE_BRIGHTNESS_LIMIT:
            return False
        log.warning("event %d, telescope %d: bright, but without true image: left out", array_event["event_id"], tel_id)
        return True

    def _calibration(self, tel_id, array_event):
        """Return what calibrates the counts of a telescope; seldom made anew."""
        monitoring, laser = array_event["camera_monitorings"][tel_id], array_event["laser_calibrations"][tel_id]
        given = monitoring["pedestal"], monitoring["n_ped_slices"], laser["calib"], laser["tm_calib"]
        known, result = self._calibrations.get(tel_id, ((), None))
        if not known or any(one is not other for one, other in zip(known, given, strict=True)):
            pedestal, n_slices, factor, time_shift = given
            result = R1Calibration(
                pedestal / n_slices, factor * self.calib_scale, self.calib_shift, self.gain_selector,
                time_shift, self.disabled_pixels(tel_id),
            )  # fmt: skip
            self._calibrations[tel_id] = given, result
        return result
