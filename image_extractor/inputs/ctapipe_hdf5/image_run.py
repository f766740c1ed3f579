"""One run of a ctapipe file with images: its events, whose images are read in blocks."""

import math
from types import SimpleNamespace

import numpy as np

from ...errors import InputError
from ..ctapipe_run import CtapipeRun
from ..pointing import NOWHERE
from ..showers import UNKNOWN_SHOWER, TrueShower
from .event_rows import column_in, keys_of, times_in
from .hdf5_errors import reading_hdf5
from .node_names import SHOWERS, TRIGGER, TRUE_IMAGES, telescope_name

#: Events of a block at most, and bytes of rows of images.
BLOCK_EVENTS, BLOCK_BYTES = 2000, 16 << 20

#: Units of the numbers of a TrueShower, by their names in ctapipe's tables.
TRUTH = {
    "energy": "TeV",
    "alt": "rad",
    "az": "rad",
    "core_x": "m",
    "core_y": "m",
    "h_first_int": "m",
    "x_max": "g / cm2",
}


class StoredEvent:
    """An event of which images are stored, as far as conversion asks for ctapipe's ArrayEventContainer."""

    __slots__ = ("dl1", "index", "shower", "trigger")

    #: Nothing to calibrate.
    r1 = dl0 = SimpleNamespace(tel={})

    def __init__(self, index, shower, trigger, images):
        self.index, self.shower, self.trigger = index, shower, trigger
        self.dl1 = SimpleNamespace(tel=images)


class StoredTrigger:
    """When an event was triggered, and by which telescopes; worked out for who asks."""

    __slots__ = ("_block", "_place")

    def __init__(self, block, place):
        self._block, self._place = block, place

    @property
    def time(self):
        """The time of the event, astropy Time."""
        return self._block.times()[self._place]

    @property
    def tels_with_trigger(self):
        """Ids of the telescopes that triggered, int array."""
        return self._block.tel_ids[self._block.triggered[self._place]]


class TriggerBlock:
    """Rows of the table of triggers, one for each event of a block.

    Attributes
    ----------
    keys : int array (n_events,)
    triggered : bool array (n_events, n_telescopes)
    tel_ids : int array (n_telescopes,)
    types : list of int
    """

    def __init__(self, table, rows, tel_ids):
        self._table, self._rows, self.tel_ids = table, rows, tel_ids
        self.keys, self.triggered = keys_of(rows), rows["tels_with_trigger"]
        self.types, self.event_ids = rows["event_type"].tolist(), rows["event_id"].tolist()
        self._times = None

    def times(self):
        """Return the times of the events, astropy Time (n_events,)."""
        if self._times is None:
            self._times = times_in(self._table, "time", self._rows)
        return self._times


class ImageRun(CtapipeRun):
    """One run of an :class:`ImageFile`.

    Parameters
    ----------
    runs : ImageRuns
    number : int
        Its place among the runs of the file.
    rows : (int, int, int)
        Run number, first row of the table of triggers, last row + 1.
    """

    #: Its images are made already: no setting of the calibration changes them.
    has_images = True

    def __init__(self, runs, number, rows):
        self._runs, self._number = runs, number
        obs_id, self._start, self._stop = rows
        super().__init__(runs.path, obs_id, runs.subarray, runs.is_simulation, runs.array_pointing(obs_id))
        self.focal_length_choice = runs.focal_length_choice
        fixed = runs.fixed_pointings(obs_id)
        self._fixed_pointings = {tel_id: where for tel_id, where in fixed.items() if not any(map(math.isnan, where))}
        self._table, self._next_row = runs.file.get_node(TRIGGER), self._start
        self._true_sums, self._key = {}, None

    def reading(self):
        """Return what turns errors into InputError: a context for whatever is done with an event."""
        return reading_hdf5(self.input_url)

    # -- events --------------------------------------------------------------------------------------

    def __iter__(self):
        with self.reading():
            images = self._runs.images_of(self._number, self.obs_id, self._tel_ids)
            showers = self._runs.showers_of(self._number, self.obs_id)
        while self._next_row < self._stop:
            with self.reading():
                block = self._next_block(images)
                found = [{} for _ in block.keys]
                for tel_id, table in images.items():
                    n_expected = np.count_nonzero(block.triggered[:, self._runs.column_of(tel_id)])
                    stored, events = table.take(block.keys, n_expected)
                    for event, image in zip(events.tolist(), stored, strict=True):
                        found[event][tel_id] = image
                truth = self._truth(showers, block)
                pointings = self._runs.pointings_of(block, self._tel_ids)
            yield from self._wanted(block, found, truth, pointings)
        self._runs.is_through(self._number, images, showers)
        self._end()

    def _next_block(self, images):
        """Return the next rows of triggers: so few that images take no more memory than a block may."""
        rows = self._table.read(self._next_row, min(self._next_row + BLOCK_EVENTS, self._stop))
        block = TriggerBlock(self._table, rows, self._runs.tel_ids)
        n_bytes = np.zeros(len(rows))
        for tel_id, table in images.items():
            n_bytes += block.triggered[:, self._runs.column_of(tel_id)] * table.row_bytes
        n_events = max(1, int(np.searchsorted(np.cumsum(n_bytes), BLOCK_BYTES)))
        self._next_row += min(n_events, len(rows))
        block = TriggerBlock(self._table, rows[:n_events], self._runs.tel_ids)
        if len(np.unique(block.keys)) < len(block.keys):
            raise InputError(f"{self.input_url}: {TRIGGER} has an event twice")
        return block

    def _truth(self, showers, block):
        """Return the TrueShower of each event of a block."""
        if showers is None:
            return [UNKNOWN_SHOWER] * len(block.keys)
        rows, event = showers.take(block.keys)
        if len(rows) < len(block.keys):
            missing = block.event_ids[int(np.setdiff1d(np.arange(len(block.keys)), event)[0])]
            raise InputError(f"{self.input_url}: {SHOWERS} lacks event {missing} of run {self.obs_id}")
        columns = [column_in(showers.table, f"true_{name}", unit, rows) for name, unit in TRUTH.items()]
        values = zip(rows["true_shower_primary_id"].tolist(), *(column.tolist() for column in columns), strict=True)
        found = dict(zip(event.tolist(), map(TrueShower._make, values), strict=True))
        return [found[place] for place in range(len(found))]

    def _wanted(self, block, found, truth, pointings):
        """Yield the events of a block that are wanted."""
        for place, (event_id, kind) in enumerate(zip(block.event_ids, block.types, strict=True)):
            if kind != self._runs.shower_type:
                self.passed_over[self._runs.name_of_type(kind)] += 1
                continue
            trigger, shower, images = StoredTrigger(block, place), truth[place], found[place]
            kept = self._kept(event_id, shower, lambda trigger=trigger: trigger.tels_with_trigger)
            if kept and images:
                if len(kept) < len(self._tel_ids):
                    images = {tel_id: image for tel_id, image in images.items() if tel_id in kept}
                self._key = int(block.keys[place])
                self.event_pointings = self._looking(pointings, place, images)
                yield StoredEvent(SimpleNamespace(obs_id=self.obs_id, event_id=event_id), shower, trigger, images)

    def _looking(self, pointings, place, images):
        """Return where the telescopes of an event look."""
        fixed, array = self._fixed_pointings, self._array_pointing or NOWHERE
        return {
            tel_id: pointings[tel_id][place] if tel_id in pointings else fixed.get(tel_id, array) for tel_id in images
        }

    def true_shower(self, event):
        """Return the TrueShower of an event."""
        return event.shower

    def true_image_sum(self, tel_id):
        """Return the photo-electrons of the last event in a telescope, without noise; -1 if it is not known."""
        if tel_id not in self._true_sums:
            with self.reading():
                self._true_sums[tel_id] = self._read_true_sums(tel_id)
        keys, sums = self._true_sums[tel_id]
        row = int(np.searchsorted(keys, self._key))
        return int(sums[row]) if row < len(keys) and keys[row] == self._key else -1

    def _read_true_sums(self, tel_id):
        """Return the keys of the events of a telescope, ascending, and its true photo-electrons in these."""
        where = f"{TRUE_IMAGES}/{telescope_name(tel_id)}"
        table = self._runs.file.get_node(where) if where in self._runs.file else None
        if table is None or "true_image_sum" not in table.colnames:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        columns = {name: table.col(name) for name in ("obs_id", "event_id", "true_image_sum")}
        keys = keys_of(columns)
        order = np.argsort(keys)
        return keys[order], columns["true_image_sum"][order]

    # -- what is known of it --------------------------------------------------------------------------

    def first_primary(self):
        """Return the primary of the first shower, -1 if there is none."""
        if self.has_events or not self.is_simulation:
            return self.primary
        with self.reading():
            showers = self._runs.file.get_node(SHOWERS)
            found = showers.read_where("obs_id == number", {"number": self.obs_id}, field="true_shower_primary_id")
        return int(found[0]) if len(found) else -1

    def check_end(self):
        """Raise InputError if images are left behind the last event."""
        with self.reading():
            self._runs.check_end(self._number)

    @property
    def fraction(self):
        """How much of the file was read."""
        return self._next_row / max(1, self._table.nrows)

    @property
    def spectral_index(self):
        """Of the simulated spectrum."""
        return self._runs.simulated(self.obs_id)["spectral_index"]

    def facts(self):
        """Return what Run_Table holds of the run but the counts, {column: value}; call after reading."""
        with self.reading():
            n_uses = self._runs.n_simulated(self.obs_id) if self.is_read else -1
            return self._facts(self._runs.simulated(self.obs_id), n_uses)
