"""The fast way through a run: the same images as ctapipe's own source, bit for bit, with less work.

EventIO objects are handed to eventio's SimTelFile with only those inside that images need, and ADC
counts are decoded and calibrated in compiled loops. What these loops do not know goes to eventio's
own parser. Relies on the inside of eventio and ctapipe: see eventio_patches.py and ctapipe_patches.py.
"""

import logging
import struct
from types import MappingProxyType

import numpy as np
from ctapipe.containers import (
    ArrayEventContainer,
    DL0CameraContainer,
    EventIndexContainer,
    EventType,
    MonitoringContainer,
    SimulatedEventContainer,
    TriggerContainer,
)
from ctapipe.io.simteleventsource import MISSING_IMAGE_BRIGHTNESS_LIMIT
from eventio.base import KNOWN_OBJECTS
from eventio.header import parse_header_bytes
from eventio.iact import PhotoElectrons, TelescopeData
from eventio.simtel import objects

from ...terminal.logs import quiet
from . import ctapipe_patches, eventio_patches
from .eventio_patches import InMemory
from .run_objects import KINDS
from .simtel_run import SimTelRun
from .waveforms import calibrate, decode_differences

log = logging.getLogger(__name__)
quiet(f"{__name__}.FastRun")  # ctapipe's own chatter about each file

#: Overridden or called below; without one of them this module can't be imported, and is not used.
HOOKS = [getattr(owner, name) for owner, name in ctapipe_patches.RELIED_ON + eventio_patches.RELIED_ON]

HEADER_SIZE = 12
SAMPLES_VERSION = 3
#: Of counts, pedestals and factors that the compiled loop calibrates; others are left to NumPy, which promotes them.
LOOP_DTYPES = (np.uint16, np.float32, np.float32)
TRACKING_NAMES = ("azimuth_raw", "altitude_raw", "azimuth_cor", "altitude_cor")
#: Bits of the id of ADC samples that announce zero suppression, data reduction, or a pixel list.
REDUCED = 0x7FF


class _Inside(InMemory):
    """Makes an EventIO object in memory give, when iterated, only the sub-objects of `wanted`."""

    wanted = MappingProxyType({})

    def __iter__(self):
        if not self.only_subobjects:
            raise ValueError(f"{self} holds more than sub-objects")
        with self.memory as data:  # let go of: in an error's traceback it crashes Python 3.12.1
            position, stop = self.address, self.address + self.size
            while position < stop:
                header = parse_header_bytes(data[position : position + HEADER_SIZE])
                if header.extended:
                    (extension,) = struct.unpack_from("<I", data, position + HEADER_SIZE)
                    header.content_size += (extension & 0xFFF) << 30
                header.content_address = position + header.header_size
                position += header.total_size
                if position > stop:
                    raise ValueError(f"{self}: the object of type {header.type} inside is longer than it")
                kind = self.wanted.get(header.type)
                if kind is not None:
                    yield kind(header, self.file)


class _Unparsed:
    """Makes an EventIO object that only has to be there."""

    def parse(self):
        return {}


class TelescopeEventHeader(_Unparsed, objects.TelescopeEventHeader):
    """Header of a telescope's data."""


class TrackingPosition(InMemory, objects.TrackingPosition):
    """Where a telescope pointed."""

    def parse(self):
        """Return what eventio's parser does, without arrays in between."""
        names = TRACKING_NAMES[0 if self.has_raw else 2 : 4 if self.has_cor else 2]
        if self.header.version != 0 or self.size < 4 * len(names):
            return super().parse()
        values = struct.unpack_from(f"<{len(names)}f", self.memory, self.address)
        return dict(zip(names, values, strict=True))


class CameraOrganization(objects.CameraOrganization):
    """How the pixels of a camera are wired, of which all that is asked are their number and that of gains."""

    def parse(self):
        """Return these."""
        self.seek(0)
        n_pixels, _, n_gains = struct.unpack("<3i", self.read(12))
        return {"telescope_id": self.telescope_id, "n_pixels": n_pixels, "n_gains": n_gains}


class TruePhotoElectrons(PhotoElectrons):
    """True photo-electrons: that they are there is all that is asked."""

    def parse(self):
        """Return a true image that is no image."""
        return {"photoelectrons": True}


class ADCSamples(InMemory, objects.ADCSamples):
    """Waveforms of a telescope."""

    def parse(self):
        """Return uint16 array (n_gains, n_pixels, n_samples), as eventio's parser does."""
        if self.header.version != SAMPLES_VERSION or self.header.id & REDUCED:
            return super().parse()
        n_pixels, n_gains, n_samples = struct.unpack_from("<ihh", self.memory, self.address)
        data = np.frombuffer(self.memory, np.uint8, self.size, self.address)[8:]
        # each sample takes a byte at least: nothing is allocated that a damaged number asks for
        if n_samples < 2 or min(n_pixels, n_gains) < 1 or n_pixels * n_gains * n_samples > len(data):
            return super().parse()
        samples, whole = decode_differences(data, n_gains * n_pixels, n_samples)
        if not whole:
            del data
            raise ValueError(f"{self}: the samples are cut or damaged")
        return samples.reshape(n_gains, n_pixels, n_samples)


class TelescopeEvent(_Inside, objects.TelescopeEvent):
    """Data of one telescope."""

    wanted = MappingProxyType({2011: TelescopeEventHeader, 2012: objects.ADCSums, 2013: ADCSamples})


class ArrayEvent(_Inside, objects.ArrayEvent):
    """Data of all telescopes."""

    wanted = MappingProxyType(
        {
            objects.TriggerInformation.eventio_type: objects.TriggerInformation,
            **{kind: TelescopeEvent for kind, known in KNOWN_OBJECTS.items() if known is objects.TelescopeEvent},
            **{kind: TrackingPosition for kind, known in KNOWN_OBJECTS.items() if known is objects.TrackingPosition},
        }
    )


class TelescopePhotons(_Inside, TelescopeData):
    """True photo-electrons of all telescopes."""

    wanted = MappingProxyType({PhotoElectrons.eventio_type: TruePhotoElectrons})


class FastRun(SimTelRun):
    """A run whose events hold what CameraCalibrator and the converter need, and nothing else.

    Waveforms are in event.dl0, as there is no data volume reduction to pass through.
    """

    kinds = MappingProxyType(
        {**KINDS, **{kind.eventio_type: kind for kind in (CameraOrganization, ArrayEvent, TelescopePhotons)}}
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
            for tel_id, telescope_event in array_event["telescope_events"].items():
                if tel_id in event.trigger.tels_with_trigger and not self._lacks_image(array_event, tel_id):
                    self._fill(event, tel_id, telescope_event, array_event)
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

    def _fill(self, event, tel_id, telescope_event, array_event):
        adc = telescope_event.get("adc_samples")
        if adc is None:
            adc = telescope_event["adc_sums"][:, :, np.newaxis]
        pedestal, factor, event.monitoring.tel[tel_id] = self._calibration(tel_id, array_event)
        waveform, gain = self._calibrated(adc, pedestal, factor)
        event.dl0.tel[tel_id] = DL0CameraContainer(
            event_type=EventType.SUBARRAY, waveform=waveform, selected_gain_channel=gain
        )

    def _calibration(self, tel_id, array_event):
        """Return a telescope's pedestal and factor by gain and pixel, and its monitoring; seldom made anew."""
        monitoring, laser = array_event["camera_monitorings"][tel_id], array_event["laser_calibrations"][tel_id]
        given = monitoring["pedestal"], monitoring["n_ped_slices"], laser["calib"], laser["tm_calib"]
        known, result = self._calibrations.get(tel_id, ((), None))
        if not known or any(one is not other for one, other in zip(known, given, strict=True)):
            container = MonitoringContainer().tel[tel_id]
            container.camera.coefficients.time_shift = laser["tm_calib"]
            container.camera.coefficients.outlier_mask = self.disabled_pixels(tel_id)
            result = monitoring["pedestal"] / monitoring["n_ped_slices"], laser["calib"] * self.calib_scale, container
            self._calibrations[tel_id] = given, result
        return result

    def _calibrated(self, adc, pedestal, factor):
        """Return R1 waveforms of the chosen gains, and these."""
        dtypes, shapes = (adc.dtype, pedestal.dtype, factor.dtype), (adc.shape[:2], pedestal.shape, factor.shape)
        if dtypes == LOOP_DTYPES and len(set(shapes)) == 1:
            return calibrate(adc, pedestal, factor, np.float32(self.calib_shift), float(self.gain_selector.threshold))
        waveforms = (adc - pedestal[..., np.newaxis]) * factor[..., np.newaxis] + self.calib_shift
        gain = self.gain_selector(adc)
        return waveforms[np.newaxis, gain, np.arange(len(gain))], gain
