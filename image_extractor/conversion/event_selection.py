"""Which events are written, decided before their waveforms are decoded, and every reason counted."""

import math

from .. import config
from ..hdf5.schema import REASONS
from ..inputs.pointing import separation
from ..value_ranges import within

GAMMA = 0


class EventSelection:
    """The choice of one run's events.

    Parameters
    ----------
    settings : dict
        As :mod:`image_extractor.config` makes them.
    cuts : Dictionary or None
        None keeps every event.
    run_number : int
    check : DictionaryCheck, optional
        Shown every shower event.
    pointing : (float, float), optional
        Azimuth and altitude of the array [rad]; NaN where the header has none: then :meth:`is_on_axis` is to be asked
        of each event, when it is known.
    trigger : StereoTrigger, optional
        Says which telescopes an event keeps.
    is_first : bool
        Whether another choice follows, which gives events their energies and, in gh_class, their bins.
    is_observed : bool
        Whether no truth is known of the events: they are asked by their numbers and triggers only.

    Attributes
    ----------
    n_read : int
        Shower events seen.
    dropped : dict
        Number of events dropped, by reason.
    energies_seen : tuple
        Lowest and highest true energy of the events read [TeV]; empty before the first.
    """

    def __init__(
        self, settings, cuts, run_number, check=None, pointing=(math.nan, math.nan), trigger=None, is_first=False,
        is_observed=False,
    ):  # fmt: skip
        self._is_observed = is_observed
        self._check, self._pointing, self._trigger = check, pointing, trigger
        self._event_cuts = settings["event_cuts"]
        self._recon = settings["mode"] == "energy_recon"
        self._gamma_only = self._recon and settings["energy_recon"]["gamma_only"]
        self._bins = config.energy_bins(settings)
        self._entries = None if cuts is None else cuts.of_run(run_number)
        self._asks_bin = self._recon or (cuts is None and not is_first)
        self.n_read = 0
        self.dropped = dict.fromkeys(REASONS, 0)
        self.energies_seen = ()

    def accepts(self, event_id, shower, triggered):
        """Say whether an event is to be calibrated; count it, and the reason if it is not.

        event_id : int
        shower : sim_telarray's MC shower as eventio parses it: primary_id, energy [TeV], azimuth, altitude [rad]; None
            of an observed event
        triggered : callable
            Gives the ids of the telescopes that triggered.
        returns : bool, or of which telescopes, set of int
        """
        self.n_read += 1
        if not self._is_observed:
            self._look_at(event_id, shower)
        reason, kept = self._reason(event_id, shower), True
        if reason is None and self._trigger:
            kept = self._trigger(triggered())
            reason = None if kept else "no_trigger"
        if reason:
            self.dropped[reason] += 1
        return kept if reason is None else False

    def _look_at(self, event_id, shower):
        energies = (*self.energies_seen, float(shower["energy"]))
        self.energies_seen = min(energies), max(energies)
        if self._check:
            self._check.add(shower, self._entries.get(event_id, (0, None))[1])

    def _reason(self, event_id, shower):
        if self._entries is not None and event_id not in self._entries:
            return "not_in_dictionary"
        if self._is_observed:
            return None
        if self._gamma_only and shower["primary_id"] != GAMMA:
            return "not_gamma"
        if self._asks_bin and self._bins.find(shower["energy"]) < 0:
            return "outside_energy_bins"
        if not within(shower["energy"], self._event_cuts["true_energy"]):
            return "true_energy"
        direction = shower["azimuth"], shower["altitude"]
        if not math.isnan(self._pointing[0]) and not self.is_on_axis(direction, self._pointing):
            return "true_offset"
        return None

    def is_on_axis(self, direction, pointing):
        """Say whether a true direction passes the cut on its offset; both are (azimuth, altitude) [rad]."""
        return within(math.degrees(separation(direction, pointing)), self._event_cuts["true_offset"])

    def entry(self, event_id):
        """Return bin and reconstructed energy [TeV] of an event by the dictionary, None without one."""
        return None if self._entries is None else self._entries[event_id]

    def bin_and_energy(self, entry, energy):
        """Return the bin of an event, and its reconstructed energy [TeV], NaN without an entry.

        The bin is the entry's in gh_class, else that of the true energy [TeV], or the only one of observed events.
        """
        if entry is None and self._is_observed:
            return 0, math.nan
        energy_bin, reconstructed = (None, math.nan) if entry is None else entry
        return int(self._bins.find(energy)) if self._recon or entry is None else energy_bin, reconstructed
