"""Would the selected telescopes alone have triggered an event? ctapipe's SoftwareTrigger, asked on headers."""

import numpy as np

from .. import telescopes


class StereoTrigger:
    """The telescopes that an event keeps.

    Parameters
    ----------
    subarray : ctapipe SubarrayDescription
    tel_ids : iterable of int
        The selected telescopes.
    settings : dict
        The section [trigger]: `min_telescopes`, and `min_telescopes_of_type` such as ["LST:2"].
    """

    def __init__(self, subarray, tel_ids, settings):
        from ctapipe.containers import ArrayEventContainer, TriggerContainer
        from ctapipe.instrument import SoftwareTrigger

        self._containers = ArrayEventContainer, TriggerContainer
        self._tel_ids = np.sort(np.fromiter(tel_ids, np.int64))
        of_type = telescopes.counts(settings["min_telescopes_of_type"])
        # ctapipe asks by the name of a type; words may mean several
        names = {str(telescope): telescopes.best_key(telescope, of_type) for telescope in subarray.tel.values()}
        fewest = [("type", name, of_type[word]) for name, word in names.items() if word is not None]
        self._trigger = SoftwareTrigger(
            subarray=subarray,
            min_telescopes=settings["min_telescopes"],
            min_telescopes_of_type=[("type", "*", 0), *fewest],
        )

    def __call__(self, triggered):
        """Return which of the selected telescopes an event keeps, set of int; empty if it would not have triggered.

        triggered : int array
            Ids of all telescopes that triggered, of the array that was simulated.
        """
        make_event, make_trigger = self._containers
        ids = np.intersect1d(triggered, self._tel_ids)
        event = make_event(trigger=make_trigger(tels_with_trigger=ids))
        return set(map(int, event.trigger.tels_with_trigger)) if self._trigger(event) else set()


def is_asked_for(settings):
    """Say whether the section [trigger] asks for more than one telescope of any type, which data alone show."""
    return settings["min_telescopes"] > 1 or bool(settings["min_telescopes_of_type"])
