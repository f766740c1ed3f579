"""Which events are written, decided before their waveforms are decoded, and every reason counted."""

import math

from .. import config
from ..hdf5.schema import REASONS

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

    Attributes
    ----------
    n_read : int
        Shower events seen.
    dropped : dict
        Number of events dropped, by reason.
    energies_seen : tuple
        Lowest and highest true energy of the events read [TeV]; empty before the first.
    """

    def __init__(self, settings, cuts, run_number, check=None):
        self._check = check
        self._recon = settings["mode"] == "energy_recon"
        self._gamma_only = self._recon and settings["energy_recon"]["gamma_only"]
        self._bins = config.energy_bins(settings)
        self._entries = None if cuts is None else cuts.of_run(run_number)
        self.n_read = 0
        self.dropped = dict.fromkeys(REASONS, 0)
        self.energies_seen = ()

    def accepts(self, event_id, shower):
        """Say whether an event is to be calibrated; count it, and the reason if it is not.

        event_id : int
        shower : sim_telarray's MC shower as eventio parses it: primary_id, energy in TeV
        """
        self.n_read += 1
        energies = (*self.energies_seen, float(shower["energy"]))
        self.energies_seen = min(energies), max(energies)
        if self._check:
            self._check.add(shower, self._entries.get(event_id, (0, None))[1])
        reason = self._reason(event_id, shower)
        if reason:
            self.dropped[reason] += 1
        return reason is None

    def _reason(self, event_id, shower):
        if self._entries is not None and event_id not in self._entries:
            return "not_in_dictionary"
        if self._gamma_only and shower["primary_id"] != GAMMA:
            return "not_gamma"
        if self.energy_bin(event_id, shower["energy"]) < 0:
            return "outside_energy_bins"
        return None

    def energy_bin(self, event_id, energy):
        """Return the bin of an event: the dictionary's in gh_class, else that of the true energy [TeV]."""
        if self._entries is not None and not self._recon:
            return self._entries[event_id][0]
        return int(self._bins.find(energy))

    def reconstructed_energy(self, event_id):
        """Return the reconstructed energy [TeV] of an event, NaN without a dictionary."""
        return math.nan if self._entries is None else self._entries[event_id][1]
