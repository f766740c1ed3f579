"""What runs that ctapipe knows have in common; see open_runs.py for what a run is."""

import logging
from collections import Counter

from .pointing import Pointings

log = logging.getLogger(__name__)


class CtapipeRun:
    """One run.

    Parameters
    ----------
    path : Path
    obs_id : int
    subarray : ctapipe SubarrayDescription
    is_simulation : bool
    pointing : (float, float) or None
        Azimuth and altitude of the array [rad], if the file has them of the whole run.

    Attributes
    ----------
    passed_over : Counter
        Events that are no showers: pedestals, flashes, muons, by the names of ctapipe's types.
    """

    complete, has_images, fast_calibrator = True, False, None

    def __init__(self, path, obs_id, subarray, is_simulation, pointing):
        self.input_url, self.obs_id, self.subarray = path, obs_id, subarray
        self.is_simulation = is_simulation
        # what is observed is followed, whatever holds for the run
        fixed = pointing if is_simulation else None
        self.tracking_mode = 0 if fixed else 1
        self.pointings = Pointings(fixed)
        self._array_pointing = pointing
        self.passed_over = Counter()
        self.is_read = self.has_events = False
        self.primary = -1
        self.event_pointings = {}
        self._tel_ids, self._accepts = set(), None

    @property
    def pointing(self):
        """Azimuth and altitude of the array [rad]; NaN, where the file has none, until events tell it."""
        return self.pointings.array

    @property
    def array_pointing(self):
        """Azimuth and altitude of the array in the last event [rad], None if nothing but its telescopes tells."""
        return self._array_pointing

    def select(self, tel_ids, accepts):
        """Choose what iterating yields, as `SimTelRun.select` does."""
        self._tel_ids, self._accepts = set(tel_ids), accepts

    def _kept(self, event_id, shower, triggered):
        """Return the telescopes of which a shower event is wanted.

        shower : TrueShower
            Of an event that was simulated.
        """
        if not self.has_events:
            self.has_events, self.primary = True, int(shower.primary)
        asked = None
        if self.is_simulation:
            asked = {
                "primary_id": shower.primary,
                "energy": shower.energy,
                "azimuth": shower.az,
                "altitude": shower.alt,
            }
        found = self._accepts(event_id, asked, triggered)
        return found & self._tel_ids if isinstance(found, set) else self._tel_ids if found else set()

    def _end(self):
        """Note that all events were read."""
        self.is_read = True
        if self.passed_over:
            listed = ", ".join(f"{n} {name}" for name, n in sorted(self.passed_over.items()))
            log.info("%s: run %d: events passed over: %s", self.input_url, self.obs_id, listed)

    @property
    def n_calibration(self):
        """Events of other kinds passed over."""
        return self.passed_over.total()

    def _facts(self, simulated, n_uses):
        """Return what Run_Table holds of the run but the counts, {column: value}.

        simulated : dict
            See :func:`simulation_facts.simulation_facts`.
        n_uses : int
            Simulated events that are known to be behind what was read, -1 if that is not known.
        """
        reuse = int(simulated["shower_reuse"])
        azimuth, alt = self.pointing
        return {
            "file_name": self.input_url.name,
            "file_size": self.input_url.stat().st_size,
            "run_number": self.obs_id,
            "primary": self.primary,
            "pointing_az": azimuth,
            "pointing_alt": alt,
            "complete": self.complete,
            "showers_read": n_uses // reuse if min(n_uses, reuse) > 0 else -1,
            "uses_read": n_uses,
            "tracking_mode": self.tracking_mode,
            **simulated,
        }
