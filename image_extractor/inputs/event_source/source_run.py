"""One run of a source of ctapipe's or of a plugin, as conversion asks for it; see inputs/open_runs.py."""

import math

from ..ctapipe_run import CtapipeRun
from ..pointing import NOWHERE, altitude
from ..showers import UNKNOWN_SHOWER, of_container
from ..simulation_facts import simulation_facts

#: Levels from which telescopes go that are not wanted.
LEVELS = ("r0", "r1", "dl0", "dl1")


class SourceRun(CtapipeRun):
    """One run; the source decodes also events that are not wanted.

    Parameters
    ----------
    runs : SourceRuns
        Gives its events.
    source : ctapipe EventSource
    obs_id : int
    """

    def __init__(self, runs, source, obs_id):
        from ctapipe.containers import EventType

        self._runs, self._source, self._event = runs, source, None
        self.has_images = runs.has_images
        self._shower_type = EventType.SUBARRAY
        with self.reading():
            pointing = _array_pointing(source.observation_blocks.get(obs_id))
            is_simulation = bool(source.is_simulation)
            self._simulation = (source.simulation_config or {}).get(obs_id) if is_simulation else None
            super().__init__(runs.path, obs_id, source.subarray, is_simulation, pointing)

    @property
    def focal_length_choice(self):
        """Which focal length the geometries of the cameras have, ctapipe's FocalLengthKind."""
        from ctapipe.instrument.optics import FocalLengthKind

        lengths = [
            (telescope.camera.geometry.frame.focal_length, telescope.optics.effective_focal_length)
            for telescope in self.subarray.tel.values()
        ]
        is_effective = all(math.isclose(used.to_value("m"), own.to_value("m"), rel_tol=1e-6) for used, own in lengths)
        return FocalLengthKind.EFFECTIVE if is_effective else FocalLengthKind.EQUIVALENT

    @property
    def spectral_index(self):
        """Of the simulated spectrum."""
        return simulation_facts(self._simulation)["spectral_index"]

    def reading(self):
        """Return what turns errors into InputError: a context for whatever is done with an event."""
        return self._runs.reading()

    def __iter__(self):
        for event in self._runs.events_of(self.obs_id):
            kind = event.trigger.event_type
            if kind != self._shower_type:
                self.passed_over[getattr(kind, "name", str(kind))] += 1
                continue
            kept = self._kept(int(event.index.event_id), self.true_shower(event), _trigger_of(event))
            if kept:
                self._leave(event, kept)
                yield event
        self._end()

    def _leave(self, event, kept):
        """Leave only the data of some telescopes in an event, and note where these look."""
        with self.reading():
            for data in (getattr(event, level).tel for level in LEVELS):
                for tel_id in data.keys() - kept:
                    del data[tel_id]
            images = event.dl1.tel
            for tel_id in [tel_id for tel_id, dl1 in images.items() if dl1.image is None]:
                del images[tel_id]
            self._event = event
            self.event_pointings = {tel_id: self._looks_at(event, tel_id) for tel_id in kept}

    def _looks_at(self, event, tel_id):
        """Return azimuth and altitude of a telescope [rad]; that of the array if nothing else is known."""
        own, array = event.monitoring.tel[tel_id].pointing, event.monitoring.pointing
        for azimuth, alt in ((own.azimuth, own.altitude), (array.array_azimuth, array.array_altitude)):
            direction = float(azimuth.to_value("rad")), altitude(alt.to_value("rad"))
            if not any(map(math.isnan, direction)):
                return direction
        return self._array_pointing or NOWHERE

    @property
    def array_pointing(self):
        """Azimuth and altitude of the array in the last event [rad], None if nothing but its telescopes tells."""
        array = self._event.monitoring.pointing
        direction = float(array.array_azimuth.to_value("rad")), altitude(array.array_altitude.to_value("rad"))
        return self._array_pointing if any(map(math.isnan, direction)) else direction

    def true_shower(self, event):
        """Return the TrueShower of an event."""
        shower = event.simulation.shower if self.is_simulation and event.simulation is not None else None
        return UNKNOWN_SHOWER if shower is None else of_container(shower)

    def true_image_sum(self, tel_id):
        """Return the photo-electrons of the last event in a telescope, without noise; -1 if it is not known."""
        simulation = self._event.simulation
        if simulation is None or tel_id not in simulation.tel:
            return -1
        return int(simulation.tel[tel_id].true_image_sum)

    def first_primary(self):
        """Return the primary of the first shower, -1 if there is none."""
        event = self._runs.next_event
        return self.primary if self.has_events or event is None else int(self.true_shower(event).primary)

    def check_end(self):
        """Do nothing: a source knows where its file ends."""

    @property
    def fraction(self):
        """How much of the source was read."""
        return self._runs.fraction

    def facts(self):
        """Return what Run_Table holds of the run but the counts, {column: value}; call after reading."""
        found = self._source.simulated_shower_distributions.get(self.obs_id) if self.is_read else None
        return self._facts(simulation_facts(self._simulation), -1 if found is None else int(found.n_entries))


def _trigger_of(event):
    return lambda: event.trigger.tels_with_trigger


def _array_pointing(block):
    """Return azimuth and altitude of an ObservationBlockContainer [rad], None if it has others or none."""
    from ctapipe.containers import CoordinateFrameType

    if block is None or block.subarray_pointing_frame != CoordinateFrameType.ALTAZ:
        return None
    azimuth, alt = (getattr(block, f"subarray_pointing_{name}").to_value("rad") for name in ("lon", "lat"))
    return None if math.isnan(azimuth + alt) else (float(azimuth), altitude(alt))
