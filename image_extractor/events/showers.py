"""Which events are uses of one shower, and whole showers shared out among tables.

The same rule for files that are split and for ``ImageDataset.split``. Nothing of it depends on the order in which
events come, nor on the blocks.
"""

import errno
from dataclasses import dataclass

import numpy as np

from . import mixing

#: Columns of Events that tell a shower.
COLUMNS = ("run_number", "gamma_hadron_label", "event_number")

#: sim_telarray numbers events 100 * shower + use.
USES = 100

#: Events that are looked at, at once.
STRETCH = 1 << 18

#: With the last kinds of showers the sum of all bins comes first, by weight: it is then as near as showers allow.
LAST, HEAVY = 3, 50


class Showers:
    """Numbers of 64 bits that all uses of a shower share, and no other shower: its run, primary and number, mixed.

    The number of a shower is event_number // 100 where a run uses showers more than once, else that of the event.
    Runs of one number and primary have their showers of one number together, so those of a run that is in two files
    are never apart; which row of Run_Table is theirs does not matter.

    Parameters
    ----------
    runs : structured array
        Run_Table, of all files.
    seed : int
        Another one gives other numbers, in another order.
    """

    def __init__(self, runs, seed=0):
        is_reused = runs["shower_reuse"] > 1
        self._reused = np.unique(runs["run_number"][is_reused])
        self._start = mixing.start(seed)

    def keys(self, events, also=()):
        """Return the shower of each event, uint64 array (n,).

        also : names of columns that must be the same, too
        """
        number = events["event_number"]
        number = np.where(np.isin(events["run_number"], self._reused), number // USES, number)
        columns = events["run_number"], events["gamma_hadron_label"], number, *(events[name] for name in also)
        return mixing.mixed(columns, self._start)


class Shares:
    """Showers shared out among tables, whole, so that each has its fraction of all events and of each energy bin's.

    Showers are taken kind by kind, a kind being so many events in such bins, those of most events first. Of each kind
    so many go to each table as bring its bins, and the sum of all, nearest to their fractions (least squares) with
    what went before: small showers make up for what large ones left over, and the last kinds for the sum of all. Of
    one kind, the keys choose.

    Memory: a byte a shower more than the keys.

    Parameters
    ----------
    keys : uint64 array (n,)
        The shower of each event; overwritten.
    bins : int array (n,)
        Its energy bin.
    fractions : sequence of float
        Of the tables; they add up to 1.
    settled : (uint64 array, int array), optional
        Showers that are in a table, and which; further events of theirs follow.
    """

    def __init__(self, keys, bins, fractions, settled=None):
        self._fractions = np.asarray(fractions, np.float64)
        self._bins = np.unique(bins)
        # the last bits of a key give way to the bin, so that one sort, in place, brings all of a shower together
        self._n_bits = max(len(self._bins) - 1, 1).bit_length()
        for first in range(0, len(keys), STRETCH):
            here = slice(first, first + STRETCH)
            number = np.searchsorted(self._bins, bins[here]).astype(np.uint64)
            keys[here] = self._shower(keys[here]) << np.uint64(self._n_bits) | number
        keys.sort()
        self._settled = self._sorted(*settled) if settled is not None and len(settled[0]) else None
        kinds = {}
        for events in self._stretches(keys):
            self._count_kinds(events, kinds)
        self._counts = np.zeros((len(fractions), len(self._bins)), np.int64)
        cuts = self._share_out(kinds)
        self._tables = np.zeros(sum(kind.n_showers for kind in kinds.values()), np.uint8)
        self._showers = keys[: len(self._tables)]
        self._assign(keys, cuts)
        self._showers = self._showers.copy()

    def _shower(self, keys):
        return keys >> np.uint64(self._n_bits)

    def _bin(self, keys):
        return keys & np.uint64((1 << self._n_bits) - 1)

    def _sorted(self, keys, tables):
        showers, first = np.unique(self._shower(keys), return_index=True)
        return showers, np.asarray(tables, np.int64)[first]

    def _stretches(self, keys):
        """Yield keys of events, some at a time, whole showers."""
        first = 0
        while first < len(keys):
            last = keys[min(first + STRETCH, len(keys)) - 1] | np.uint64((1 << self._n_bits) - 1)
            stop = first + np.searchsorted(keys[first:], last, side="right")
            yield keys[first:stop]
            first = stop

    def _kinds(self, events):
        """Return showers, their first events, their kinds, and the table of those that have one, else -1."""
        shower = self._shower(events)
        first = np.flatnonzero(np.append(True, shower[1:] != shower[:-1]))
        shower, table = shower[first], np.full(len(first), -1)
        kind = np.add.reduceat(mixing.mix(self._bin(events)), first)
        if self._settled is not None:
            place = np.minimum(np.searchsorted(self._settled[0], shower), len(self._settled[0]) - 1)
            table = np.where(self._settled[0][place] == shower, self._settled[1][place], -1)
            kind = mixing.mix(kind ^ (table + 1).astype(np.uint64))
        return shower, first, kind, table

    def _count_kinds(self, events, kinds):
        """Add the showers of some events to {kind: Kind}."""
        _, first, kind, table = self._kinds(events)
        stop = np.append(first[1:], len(events))
        for number, i, n in zip(*np.unique(kind, return_index=True, return_counts=True), strict=True):
            if number not in kinds:
                bins, n_events = np.unique(self._bin(events[first[i] : stop[i]]).astype(np.intp), return_counts=True)
                kinds[number] = _Kind(bins, n_events, table[i])
            kinds[number].n_showers += n

    def _share_out(self, kinds):
        """Return {kind: first of its showers in the next table, for all tables but the last}."""
        debt, cuts = np.zeros((len(self._fractions), len(self._bins) + 1)), {}
        for number in sorted(kinds, key=lambda number: (kinds[number].table < 0, -kinds[number].size, number)):
            kind = kinds[number]
            bins, n_events = np.append(kind.bins, len(self._bins)), np.append(kind.n_events, kind.size)
            debt[:, bins] += np.outer(self._fractions, kind.n_showers * n_events)
            if kind.table >= 0:
                share = np.where(np.arange(len(self._fractions)) == kind.table, kind.n_showers, 0)
            else:
                weights = np.ones(len(bins))
                weights[-1] = HEAVY if len(kinds) - len(cuts) <= LAST else 1
                wanted = (debt[:, bins] * weights * n_events).sum(axis=1) / (weights * n_events**2).sum()
                share = _whole_shares(wanted, kind.n_showers)
            debt[:, bins] -= np.outer(share, n_events)
            self._counts[:, kind.bins] += np.outer(share, kind.n_events)
            cuts[number] = np.cumsum(share)[:-1]
        return cuts

    def _assign(self, keys, cuts):
        """Note showers and their tables; the showers take the place of the events."""
        numbers = np.sort(np.fromiter(cuts, np.uint64, len(cuts)))
        cuts = np.array([cuts[number] for number in numbers]).reshape(len(numbers), len(self._fractions) - 1)
        seen, n = np.zeros(len(numbers), np.int64), 0
        for events in self._stretches(keys):
            shower, _, kind, _ = self._kinds(events)
            kind = np.searchsorted(numbers, kind)
            order = np.argsort(kind, kind="stable")
            n_here = np.bincount(kind, minlength=len(numbers))
            rank = np.empty(len(kind), np.int64)
            rank[order] = np.arange(len(kind)) - np.repeat(np.cumsum(n_here) - n_here - seen, n_here)
            seen += n_here
            self._tables[n : n + len(shower)] = (rank[:, None] >= cuts[kind]).sum(axis=1)
            self._showers[n : n + len(shower)] = shower
            n += len(shower)

    def counts(self, energy_bin=None):
        """Return how many events of an energy bin, or of all, each table gets."""
        chosen = slice(None) if energy_bin is None else self._bins == energy_bin
        return self._counts[:, chosen].sum(axis=1).tolist()

    def tables_of(self, keys):
        """Return the table of the shower of each event, uint8 array (n,)."""
        shower = self._shower(keys)
        place = np.searchsorted(self._showers, shower)
        if not np.array_equal(self._showers[np.minimum(place, len(self._showers) - 1)], shower):
            raise OSError(errno.EIO, "events are read with other numbers than before; is the disk failing?")
        return self._tables[place]


def _whole_shares(wanted, n):
    """Return whole numbers that add up to n, none below 0, nearest to those that are wanted (least squares).

    Of equal ones the first gets more. Numbers are rounded before they are compared, because sums of fractions are not
    exact, and a tie must not go by that.
    """
    ordered = np.sort(wanted)[::-1]
    surplus = (np.cumsum(ordered) - n) / np.arange(1, len(wanted) + 1)
    level = surplus[np.flatnonzero(ordered > surplus)[-1]]  # all above it lose so much, the others have nothing
    shares = np.round(np.clip(wanted - level, 0, None), 6)
    whole = np.floor(shares).astype(np.int64)
    order = np.argsort(np.round(whole - shares, 6), kind="stable")
    whole[order[: n - whole.sum()]] += 1
    return whole


@dataclass
class _Kind:
    """Showers of so many events in the same bins; those that are in a table already are another kind."""

    bins: np.ndarray
    n_events: np.ndarray
    table: int
    n_showers: int = 0

    @property
    def size(self):
        return int(self.n_events.sum())
