"""The order of shuffled events: random, and decided by the seed and the events alone."""

from . import mixing


class ShuffledOrder:
    """A random order of the events of a dataset.

    It does not depend on the order in which they come: a dataset that others are appended to and that is shuffled
    again is the same as if all had come at once.

    Parameters
    ----------
    seed : int
    """

    def __init__(self, seed):
        self._start = mixing.start(seed)

    def keys(self, rows):
        """Return numbers of 64 bits in whose order the events stand, uint64 array (n,).

        rows : structured array (n,), of Events, with run_index of the dataset
        """
        return mixing.mixed((rows["run_index"], rows["event_number"]), self._start)
