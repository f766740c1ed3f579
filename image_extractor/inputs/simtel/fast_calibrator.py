"""ctapipe's calibration of the events of a FastRun: the same bits, in compiled loops where these know the extractor."""

import logging

from ctapipe.calib import CameraCalibrator
from ctapipe.containers import DL0CameraContainer, DL1CameraContainer, EventType

from ...terminal.logs import quiet
from .waveforms import WaveformRows
from .window_sums import window_sum

log = logging.getLogger(__name__)
quiet(f"{__name__}.FastCalibrator")  # ctapipe's own chatter

#: Cameras of which it was said that their samples go ctapipe's way: once is enough, not for each file.
_TOLD = set()


class FastCalibrator(CameraCalibrator):
    """A CameraCalibrator of events the dl0 level of which holds :class:`traces.Traces`.

    Telescopes the extractor of which sums a window around a peak go through compiled loops. Others, and traces that
    the loops do not know, go ctapipe's way.
    """

    def __init__(self, *arguments, **kwargs):
        super().__init__(*arguments, **kwargs)
        self._sums, self._rows = {}, {}

    def __call__(self, event):
        """Fill the dl1 level of an event."""
        for tel_id, traces in list(event.dl0.tel.items()):
            n_samples = traces.n_samples()
            sums = self._window_sum(tel_id, traces.calibration) if n_samples else None
            if sums is None:
                self._go_ctapipes_way(event, tel_id, traces)
            else:
                event.dl1.tel[tel_id] = self._extracted(tel_id, traces, n_samples, sums)

    def _window_sum(self, tel_id, calibration):
        """Return what extracts the images of a telescope, None without; made anew with its calibration."""
        known = self._sums.get(tel_id)
        if known is None or known[0] is not calibration:
            extractor, found = self.image_extractors[self.image_extractor_type.tel[tel_id]], None
            if self.apply_peak_time_shift.tel[tel_id] and not self.apply_waveform_time_shift.tel[tel_id]:
                found = window_sum(extractor, tel_id, calibration)
            known = self._sums[tel_id] = calibration, found
        return known[1]

    def _extracted(self, tel_id, traces, n_samples, sums):
        broken = traces.calibration.broken
        shape = broken.shape[1], n_samples
        if shape not in self._rows:
            self._rows[shape] = WaveformRows(*shape)
        rows = self._rows[shape]
        image, peak_time = sums(rows, traces.read_into(rows.samples, n_samples))
        if self.invalid_pixel_handler is not None and traces.calibration.has_broken:
            image, peak_time = self.invalid_pixel_handler(tel_id, image, peak_time, broken)
        return DL1CameraContainer(image=image, peak_time=peak_time, is_valid=True)

    def _go_ctapipes_way(self, event, tel_id, traces):
        camera = self.subarray.tel[tel_id].camera.name
        if not traces.n_samples() and camera not in _TOLD:
            _TOLD.add(camera)
            log.info("%s: its samples are not stored as the fast reader knows them: ctapipe reads them", camera)
        waveform, gain = traces.waveforms()
        event.monitoring.tel[tel_id] = traces.calibration.monitoring
        event.dl0.tel[tel_id] = DL0CameraContainer(
            event_type=EventType.SUBARRAY, waveform=waveform, selected_gain_channel=gain
        )
        self._calibrate_dl1(event, tel_id)
