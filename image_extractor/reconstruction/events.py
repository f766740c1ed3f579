"""Events with their images in blocks of flat arrays, what is reconstructed of them, and what tables make of that."""

from dataclasses import dataclass, field

import numpy as np

from ..parameters.columns import IMAGE_COLUMNS
from .histograms import QUANTITIES, cells, weights_in_units
from .images import IMAGE, Telescopes, good_images
from .lookup_tables import halves
from .scaled import scale
from .stereo import FEWEST, impact_distances, offsets, reconstruct

#: True values of an event: energy [TeV], direction [rad]; where the array points [rad]; and how often it counts among
#: showers of the spectrum that is asked for.
EVENT = np.dtype(
    [
        ("run_number", "<i8"),
        ("event_id", "<i8"),
        ("primary", "<i4"),
        ("energy", "<f8"),
        ("alt", "<f8"),
        ("az", "<f8"),
        ("pointing_az", "<f8"),
        ("pointing_alt", "<f8"),
        ("weight", "<f8"),
    ]
)

#: Where the fields of an image are in a row of parameters.
_PLACES = [[name for name, *_ in IMAGE_COLUMNS].index(name) for name in IMAGE.names[1:]]


@dataclass(frozen=True)
class EventBlock:
    """Some events of a run.

    Attributes
    ----------
    events : array of EVENT, (n_events,)
    images : array of IMAGE, (n_images,)
    first : int array (n_events + 1,)
        Images of event i are those from first[i] up to first[i + 1].
    telescopes : Telescopes
    columns : dict
        {name: array (n_events,)} of what a file knows of events besides.
    """

    events: np.ndarray
    images: np.ndarray
    first: np.ndarray
    telescopes: Telescopes
    columns: dict = field(default_factory=dict)

    @property
    def pointing(self):
        """Azimuth and altitude of the array, float array (n_events, 2) [rad]."""
        return np.stack([self.events["pointing_az"], self.events["pointing_alt"]], axis=1)


class BlockBuilder:
    """Collects events one by one.

    Parameters
    ----------
    telescopes : Telescopes
    """

    def __init__(self, telescopes):
        self._telescopes = telescopes
        self._clear()

    def _clear(self):
        self._events, self._counts, self._at, self._rows = [], [0], [], []

    def __len__(self):
        return len(self._events)

    def add(self, event, images):
        """Add an event.

        event : tuple, as EVENT has it
        images : list of (int, float array)
            Places of telescopes, and rows of parameters as `parameters.columns.IMAGE_COLUMNS` has them.
        """
        self._events.append(event)
        self._counts.append(len(images))
        for telescope, row in images:
            self._at.append(telescope)
            self._rows.append(row[_PLACES])

    def take(self):
        """Return the :class:`EventBlock` of what was added since the last call."""
        images = np.zeros(len(self._rows), IMAGE)
        images["telescope"] = self._at
        for name, column in zip(IMAGE.names[1:], np.reshape(self._rows, (-1, len(_PLACES))).T, strict=True):
            images[name] = column
        block = EventBlock(np.array(self._events, EVENT), images, np.cumsum(self._counts), self._telescopes)
        self._clear()
        return block


@dataclass(frozen=True)
class Reconstructed:
    """What is reconstructed of a block: of its good images, which are all that it has.

    Attributes
    ----------
    block : EventBlock
    stereo : array of stereo.STEREO, (n_events,)
    distance : float array (n_images,)
        Of the telescope from the reconstructed axis [m]; NaN in events that could not be reconstructed.
    """

    block: EventBlock
    stereo: np.ndarray
    distance: np.ndarray

    @property
    def n_images(self):
        """Good images of each event, int array (n_events,)."""
        return np.diff(self.block.first)


def reconstructed(block, settings):
    """Return what is :class:`Reconstructed` of an EventBlock, by the section [reconstruction]."""
    good = good_images(block.images, block.telescopes, settings)
    first = np.concatenate([[0], np.cumsum(good)])[block.first]
    images = block.images[good]
    stereo = reconstruct(images, first, block.pointing, block.telescopes)
    distance = impact_distances(stereo, first, block.telescopes.position[images["telescope"]])
    of_good = EventBlock(block.events, images, first, block.telescopes, block.columns)
    return Reconstructed(of_good, stereo, distance)


def fill(tables, found, name):
    """Put what is :class:`Reconstructed` of gammas into lookup tables.

    Returns the number of images, and of those that are outside of the tables: too large, or too far from the axis.

    name : str or Path
        Of the file, for messages.
    """
    block = found.block
    event = np.repeat(np.arange(len(block.events)), found.n_images)
    size = block.images["hillas_intensity"]
    values = {
        "width": block.images["hillas_width"],
        "length": block.images["hillas_length"],
        "energy": np.log10(block.events["energy"][event] / size),
    }
    half = halves(block.events["event_id"])[event]
    weight = weights_in_units(block.events["weight"], name)[event]
    is_found = np.isfinite(found.distance)
    names = np.array(block.telescopes.names)
    for kind in sorted(set(block.telescopes.names)):
        here = is_found & (names == kind)[block.images["telescope"]]
        if here.any():
            chosen = {quantity: column[here] for quantity, column in values.items()}
            tables.fill(kind, size[here], found.distance[here], chosen, half[here], weight[here])
    outside = is_found & ((cells(size, found.distance) < 0) | (values["width"] >= QUANTITIES["width"].high))
    return int(np.count_nonzero(is_found)), int(np.count_nonzero(outside))


@dataclass
class LookupCounts:
    """Images that were looked up, and events; counts of several blocks add up with +=.

    Attributes
    ----------
    images : int
        Good images of reconstructed events.
    missing, widened : int
        Those without an entry in the tables, and those from widened cells.
    events, events_without : int
        Events, and those that have too few good images to be reconstructed.
    kinds_without : set of str
        Telescopes of which there is no table.
    """

    images: int = 0
    missing: int = 0
    widened: int = 0
    events: int = 0
    events_without: int = 0
    kinds_without: set = None

    def __post_init__(self):
        self.kinds_without = set(self.kinds_without or ())

    def __iadd__(self, other):
        for name in ("images", "missing", "widened", "events", "events_without"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.kinds_without |= other.kinds_without
        return self


def known(block):
    """Return what is known of events without looking anything up, {branch: array (n_events,)}."""
    events = block.events
    x, y = offsets(events["alt"], events["az"], block.pointing)
    numbers = {"runNumber": events["run_number"], "eventNumber": events["event_id"]}
    return numbers | {"MCxoff": x, "MCyoff": y} | block.columns


def looked_up(reader, found):
    """Return events as EventDisplay's mscw files have them.

    Parameters
    ----------
    reader : lookup_tables.TableReader
    found : Reconstructed

    Returns
    -------
    dict
        {branch: array (n_events,)}, what :func:`cuts.preselection.select` takes.
    counts : LookupCounts
    """
    block, events = found.block, found.block.events
    part = reader.parts(events["primary"], events["run_number"], events["event_id"])
    telescope, size = block.images["telescope"], block.images["hillas_intensity"]
    expected, is_missing, is_widened = reader.look_up(
        telescope, block.telescopes.names, size, found.distance, np.repeat(part, found.n_images)
    )
    scaled = scale(block.first, found.distance, block.images, expected)
    branches = known(block) | {
        "NImages": found.n_images,
        "EmissionHeight": found.stereo["emission_height"],
        **{name: scaled[name] for name in scaled.dtype.names},
    }
    is_looked_up = np.isfinite(found.distance)
    seen = {block.telescopes.names[place] for place in np.unique(telescope[is_looked_up])}
    return branches, LookupCounts(
        int(np.count_nonzero(is_looked_up)),
        int(np.count_nonzero(is_missing & is_looked_up)),
        int(np.count_nonzero(is_widened & is_looked_up)),
        len(events),
        int(np.count_nonzero(found.n_images < FEWEST)),
        {name for name in seen if name not in reader.tables.histograms},
    )
