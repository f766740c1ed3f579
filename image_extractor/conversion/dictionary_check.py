"""Is a bins_cuts_dict that of a file? Productions of several particles share run and event numbers."""

import logging
import math

import numpy as np

from ..errors import InputError
from ..primaries import primary_name

log = logging.getLogger(__name__)

#: Events whose energies are looked at, and the fewest that say anything.
MOST_EVENTS, FEWEST_EVENTS = 100, 10

#: Spread of log10(reconstructed / true energy), half of what holds the central 68 %, that is too large; one that is if
#: it exceeds that of the reconstructed energies themselves, too; and the largest median. Gammas scatter by 0.05 to 0.1,
#: by 0.2 at the threshold; protons taken for gammas by 0.3, at a third of their energy. Energies of other showers tell
#: nothing of the true ones, so that ratios scatter like both together: by 0.5 where all of a spectrum E^-2 triggers.
LARGEST_SCATTER, SUSPECT_SCATTER, LARGEST_MEDIAN = 0.5, 0.3, 1.0


class DictionaryCheck:
    """Looks at the showers of a file that a dictionary selects.

    Parameters
    ----------
    path : str or Path
        The file.
    name : str
        The dictionary's.
    primary : int or None
        What the dictionary says that it is of.
    """

    def __init__(self, path, name, primary):
        self._path, self._name, self._primary = path, name, primary
        self._energies, self._seen = [], False

    def add(self, shower, reconstructed):
        """Look at a shower event.

        shower : sim_telarray's MC shower as eventio parses it: primary_id, energy in TeV
        reconstructed : reconstructed energy [TeV], None if the dictionary does not have the event

        Raises InputError if it is of another primary than the dictionary. In a file of several primaries, others may
        stand between those of the dictionary.
        """
        wrong = self._primary is not None and shower["primary_id"] != self._primary
        if wrong and (reconstructed is not None or not self._seen):
            raise InputError(
                f"{self._path}: is of {primary_name(shower['primary_id'])}, the dictionary {self._name} of "
                f"{primary_name(self._primary)}: give the dictionary of this particle"
            )
        self._seen = True
        if reconstructed and shower["energy"] > 0 and len(self._energies) < MOST_EVENTS:
            self._energies.append((math.log10(reconstructed), math.log10(shower["energy"])))

    def finish(self):
        """Warn of energies that no reconstruction gives."""
        n_events = len(self._energies)
        if n_events < FEWEST_EVENTS:
            return
        reconstructed, true = np.transpose(self._energies)
        median, scatter = _median_and_spread(reconstructed - true)
        spread = _median_and_spread(reconstructed)[1]
        if scatter > min(LARGEST_SCATTER, max(SUSPECT_SCATTER, spread)) or abs(median) > LARGEST_MEDIAN:
            log.warning(
                "%s: log10(reconstructed/true energy) of its first %d events in the dictionary %s scatters by %.2f "
                "around %.2f, as of no energy reconstruction: is it the dictionary of this particle and these runs?",
                self._path, n_events, self._name, scatter, median,
            )  # fmt: skip


def _median_and_spread(values):
    low, median, high = np.percentile(values, [15.87, 50.0, 84.13])
    return median, (high - low) / 2
