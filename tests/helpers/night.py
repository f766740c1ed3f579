"""A night of observed data, made of the images of a simtel file without their truth, and a source of ctapipe for it.

The source is found by ctapipe like that of any plugin: it is an EventSource, and knows its files.
"""

import json
import warnings
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.time import Time
from ctapipe.calib import CameraCalibrator
from ctapipe.containers import ArrayEventContainer, EventType, ObservationBlockContainer, SchedulingBlockContainer
from ctapipe.io import DataLevel, EventSource, SimTelEventSource

MARK = b"a night of made events\n"

#: Numbers that need more than 32 bits.
FIRST_OBS_ID, FIRST_EVENT_ID = 2**40 + 3, 2**34 + 1

#: The night begins in a leap second, and an event comes every second and nanosecond.
BEGINNING, STEP = Time("2016-12-31T23:59:60.123456789", scale="utc"), 1_000_000_001

#: Triggers that come before each shower, in turn.
BETWEEN = (
    [EventType.FLATFIELD, EventType.SKY_PEDESTAL],
    [EventType.FLATFIELD],
    [EventType.MUON, EventType.UNKNOWN],
    [],
)  # fmt: skip

#: Telescopes look so far above the array for each number of their id [rad].
OFF_AXIS = 1e-3

LEVELS = {"r1": DataLevel.R1, "dl1": DataLevel.DL1_IMAGES}


def write_night(path, simtel, level="dl1", obs_id=FIRST_OBS_ID, first_event=FIRST_EVENT_ID, **more):
    """Write a night, a small file that names the simtel file; `more` are parts of it, see NightSource."""
    facts = {"simtel": str(simtel), "level": level, "obs_id": obs_id, "first_event": first_event} | more
    Path(path).write_bytes(MARK + json.dumps(facts).encode())
    return path


def time_of(number):
    """Return the time of an event, by its number in the night."""
    return BEGINNING.tai + number * STEP * u.ns


def pointing_of(number):
    """Return azimuth and altitude [rad] of the array at an event: the sky turns."""
    return 0.2 + 1e-3 * number, 1.2 - 2e-3 * number


class NightSource(EventSource):
    """Observed events: showers of a simtel file without truth, and calibration events and muons between them.

    Parts of a night: `without_time`, numbers of showers that have none; `only`, the names of the types that come;
    `pointed`, whether telescopes tell where they look; `still`, whether they look at one place all the time.
    """

    def __init__(self, input_url=None, **kwargs):
        super().__init__(input_url=input_url, **kwargs)
        self._facts = json.loads(Path(self.input_url).read_bytes().removeprefix(MARK))
        self._simtel = SimTelEventSource(self._facts["simtel"])

    @staticmethod
    def is_compatible(file_path):
        """Say whether it is a night."""
        with Path(file_path).open("rb") as file:
            return file.read(len(MARK)) == MARK

    @property
    def is_simulation(self):
        return False

    @property
    def datalevels(self):
        return (LEVELS[self._facts["level"]],)

    @property
    def obs_ids(self):
        return [self._facts["obs_id"]]

    @property
    def subarray(self):
        return self._simtel.subarray

    @property
    def simulation_config(self):
        return None

    @property
    def observation_blocks(self):
        obs_id = self._facts["obs_id"]
        return {obs_id: ObservationBlockContainer(obs_id=np.uint64(obs_id), sb_id=np.uint64(5))}

    @property
    def scheduling_blocks(self):
        return {5: SchedulingBlockContainer(sb_id=np.uint64(5))}

    def _generator(self):
        calibrate, number = CameraCalibrator(self.subarray), 0
        for n_showers, shower in enumerate(self._simtel):
            for kind in [*BETWEEN[n_showers % len(BETWEEN)], EventType.SUBARRAY]:
                if kind.name in self._facts.get("only", EventType.__members__):
                    yield self._event(shower, number, kind, calibrate, n_showers)
                number += 1

    def _event(self, shower, number, kind, calibrate, n_showers):
        event = ArrayEventContainer(simulation=None, count=number)
        event.index.obs_id = self._facts["obs_id"]
        event.index.event_id = self._facts["first_event"] + number
        event.trigger.event_type, event.trigger.tels_with_trigger = kind, shower.trigger.tels_with_trigger
        if n_showers not in self._facts.get("without_time", ()) or kind != EventType.SUBARRAY:
            event.trigger.time = time_of(number)
        array = event.monitoring.pointing
        look = pointing_of(0 if self._facts.get("still") else number)
        array.array_azimuth, array.array_altitude = look * u.rad
        if self._facts["level"] == "r1":
            event.r1 = shower.r1
        else:
            if not shower.dl1.tel:
                calibrate(shower)
            event.dl1 = shower.dl1
        for tel_id in shower.r1.tel:
            event.trigger.tel[tel_id].time = event.trigger.time
            event.monitoring.tel[tel_id].camera = shower.monitoring.tel[tel_id].camera
            if self._facts.get("pointed", True):
                own = event.monitoring.tel[tel_id].pointing
                own.azimuth, own.altitude = look[0] * u.rad, (look[1] + OFF_AXIS * tel_id) * u.rad
        return event

    def close(self):
        """Close the simtel file."""
        self._simtel.close()


def showers_of(simtel):
    """Return [(number in the night, calibrated ctapipe event), ...] of the showers of a night of a simtel file."""
    with SimTelEventSource(simtel) as source:
        calibrate, number, found = CameraCalibrator(source.subarray), -1, []
        for n_showers, event in enumerate(source):
            calibrate(event)
            number += len(BETWEEN[n_showers % len(BETWEEN)]) + 1
            found.append((number, event))
        return found


def process_night(path, output):
    """Run ctapipe-process, in this process, on a night or another file: images, and parameters of them."""
    from ctapipe.core import run_tool
    from ctapipe.tools.process import ProcessorTool

    arguments = [f"--input={path}", f"--output={output}", "--write-images", "--write-parameters", "--quiet"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert run_tool(ProcessorTool(), argv=arguments, cwd=Path(output).parent, raises=True) == 0
