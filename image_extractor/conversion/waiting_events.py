"""Events that wait until it is known which of them pass cuts on what is reconstructed of all telescopes.

They are reconstructed some at a time, which takes far less time than one by one; meanwhile, what is stored of them
waits here.
"""

from dataclasses import dataclass

#: Events, and bytes of their images, that wait at most.
MOST_EVENTS, MOST_BYTES = 100, 32 << 20


@dataclass(frozen=True)
class _Waiting:
    """An event; `is_refused` by its header, `stored` is what is written of it, None if there is no image."""

    is_refused: bool
    stored: object


class WaitingEvents:
    """The events of a run between their calibration and their choice.

    Parameters
    ----------
    choice : object
        Of the run: has `tel_ids`, which it needs, `add(event)`, and `take()`, which returns for each event added since
        the last call its entry (energy bin, reconstructed energy [TeV]), or None.
    selection : EventSelection
    tel_ids : iterable of int
        The selected telescopes.
    one_by_one : bool
        Whether no event is to wait: where the run may be left after any of them.
    take_all : bool
        Whether the choice is shown events, too, which are refused by their headers.
    """

    def __init__(self, choice, selection, tel_ids, one_by_one, take_all):
        self._choice, self._selection = choice, selection
        self._selected, self._take_all = set(tel_ids), take_all
        self._most_events = 1 if one_by_one else MOST_EVENTS
        self._waiting, self._n_bytes = [], 0
        self._kept = False
        self._n_accepted = self._n_came = 0

    @property
    def tel_ids(self):
        """All telescopes that are to be read."""
        return self._selected.union(self._choice.tel_ids)

    def accepts(self, event_id, shower, triggered):
        """Say whether an event is to be calibrated, with all of its telescopes; see :meth:`EventSelection.accepts`."""
        self._kept = self._selection.accepts(event_id, shower, triggered)
        self._n_accepted += bool(self._kept)
        return bool(self._kept) or self._take_all

    def add(self, event, store):
        """Take the calibrated event that was accepted last; its telescopes that are not stored are removed.

        event : ctapipe's ArrayEventContainer
        store : callable
            Makes what is to be stored of an event of the selected telescopes.
        """
        self._choice.add(event)
        kept, images = self._kept, event.dl1.tel
        self._n_came += bool(kept)
        stored_here = kept if isinstance(kept, set) else self._selected if kept else set()
        for tel_id in [tel_id for tel_id in images if tel_id not in stored_here]:
            del images[tel_id]
        self._waiting.append(_Waiting(not kept, store(event) if images else None))
        self._n_bytes += sum(dl1.image.nbytes * 2 for dl1 in images.values())  # and peak times

    @property
    def is_full(self):
        """Whether it is time to :meth:`take` them."""
        return len(self._waiting) >= self._most_events or self._n_bytes >= MOST_BYTES

    def take(self):
        """Yield what is stored of the events that pass, and their entries; all others are counted."""
        waiting, self._waiting, self._n_bytes = self._waiting, [], 0
        for event, entry in zip(waiting, self._choice.take(), strict=True):
            if event.is_refused:
                continue
            if entry is None:
                self._selection.dropped["not_in_dictionary"] += 1
            elif event.stored is not None:
                yield event.stored, entry

    def finish(self):
        """Count events without data of any telescope, which never come: no dictionary has them."""
        self._selection.dropped["not_in_dictionary"] += self._n_accepted - self._n_came
