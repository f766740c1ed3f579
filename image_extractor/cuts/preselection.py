"""The preselection: which of EventDisplay's events pass the cuts, and how many at each.

Types differ between versions (MSCW is float32 since EventDisplay_v4 v492, float64 elsewhere): cuts
compare in float64, as ROOT does.
"""

from dataclasses import dataclass, field

import numpy as np

from .. import config, value_ranges
from .entries import DTYPE

RUN, EVENT, ENERGY, HEIGHT = "runNumber", "eventNumber", "ErecS", "EmissionHeight"

#: What EventDisplay stores for a quantity that it could not reconstruct; NaN counts as one of them.
FAILURE_CODES = (-99.0, -9999.0, -99999.0)

#: Below this height [km] there is none: EventDisplay stores 0 or 1e-10 (which as a float32 is a little more).
NO_HEIGHT = 1e-9


@dataclass(frozen=True)
class Cut:
    """A cut low <= value < high; None is an open end, and with two open ends no branch is read.

    Two branches stand for the root of the sum of their squares.
    """

    name: str
    branches: tuple
    low: float | None
    high: float | None

    @property
    def is_open(self):
        """Whether every event passes."""
        return self.low is None and self.high is None

    def values(self, block):
        """Return the quantity of a block of events, float64 array (n_events,)."""
        columns = [block[name].astype(np.float64) for name in self.branches]
        if len(columns) == 1:
            return columns[0]
        with np.errstate(over="ignore"):
            return np.sqrt(columns[0] * columns[0] + columns[1] * columns[1])

    def passes(self, values):
        """Say which values pass, bool array (n_events,); NaN fails, as every comparison with it does."""
        passing = np.ones(values.shape, dtype=bool)
        passing &= value_ranges.within(values, (self.low, self.high))
        return passing if self.is_open else passing & ~np.isnan(values)

    def failures(self, values):
        """Say which values stand for a reconstruction that failed, bool array (n_events,)."""
        failed = np.isnan(values) | np.isin(values, FAILURE_CODES)
        if self.name == HEIGHT:
            failed |= np.abs(values) < NO_HEIGHT
        return failed


def preselection_cuts(settings):
    """Return the cuts of [preselection_cuts], in the order of the configspec; those on other columns come last.

    settings : dict, as :mod:`image_extractor.config` makes them
    returns : list of :class:`Cut`
    """
    cuts = []
    given = settings["preselection_cuts"]
    named = [name for name in config.spec()["preselection_cuts"] if name in given]
    for name in dict.fromkeys([*named, *given]):
        *branches, low, high = settings["preselection_cuts"][name]
        cuts.append(Cut(name, tuple(branches) or (name,), low, high))
    return cuts


@dataclass
class CutFlow:
    """Numbers of events along the cuts; flows of several files add up with +=.

    Attributes
    ----------
    read : int
        Events in.
    after : dict
        Events left after each cut, by its name, in order.
    failed_removed, failed_passed : dict
        Events that a cut removed, or let pass, whose value says that the reconstruction failed, by its name.
    bins : int array (n_bins,)
        Events that pass all cuts, by energy bin.
    outside : int
        Events that pass all cuts and are in no bin.
    no_energy : int
        Those of `outside` that have no reconstructed energy: ErecS is 0, negative or NaN.
    repeated : int
        Events in bins that were there before with the same values.
    """

    bins: np.ndarray
    read: int = 0
    after: dict = field(default_factory=dict)
    failed_removed: dict = field(default_factory=dict)
    failed_passed: dict = field(default_factory=dict)
    outside: int = 0
    no_energy: int = 0
    repeated: int = 0

    def __iadd__(self, other):
        for name in ("bins", "read", "outside", "no_energy", "repeated"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in ("after", "failed_removed", "failed_passed"):
            mine, more = getattr(self, name), getattr(other, name)
            setattr(self, name, {key: mine.get(key, 0) + more.get(key, 0) for key in mine | more})
        return self


def total(flows):
    """Return the sum of the :class:`CutFlow` of some files."""
    flows = list(flows)
    result = CutFlow(np.zeros_like(flows[0].bins))
    for flow in flows:
        result += flow
    return result


def branches_of(cuts):
    """Return the names of the branches that a selection with these cuts reads, each once."""
    names = [RUN, EVENT, ENERGY, *(name for cut in cuts if not cut.is_open for name in cut.branches)]
    return list(dict.fromkeys(names))


def select(block, cuts, bins):
    """Apply cuts, then energy bins, to a block of events.

    Parameters
    ----------
    block : dict
        {branch: array (n_events,)}, energies in TeV.
    cuts : list of Cut
    bins : EnergyBins

    Returns
    -------
    rows : structured array of `entries.DTYPE`, (n_passing,)
        In the order of the events.
    flow : CutFlow
    """
    return choose(block, cuts, bins)[1:]


def choose(block, cuts, bins):
    """Do as :func:`select`; also say which events pass, int array (n_passing,), their places in the block, first."""
    passing = np.ones(len(block[RUN]), dtype=bool)
    flow = CutFlow(np.zeros(bins.n_bins, dtype=np.int64), read=len(passing))
    for cut in cuts:
        if not cut.is_open:
            values = cut.values(block)
            failed = passing & cut.failures(values)
            passing &= cut.passes(values)
            flow.failed_passed[cut.name] = int(np.count_nonzero(failed & passing))
            flow.failed_removed[cut.name] = int(np.count_nonzero(failed & ~passing))
        flow.after[cut.name] = int(np.count_nonzero(passing))
    energy = block[ENERGY][passing].astype(np.float64)
    # 0 is what EventDisplay stores when it rejected all telescopes: no bin that starts at 0 is to hold it
    real = energy > 0
    with np.errstate(over="ignore"):
        index = np.where(real, bins.find(energy), -1)
    inside = index >= 0
    flow.bins += np.bincount(index[inside], minlength=bins.n_bins)
    flow.outside = int(np.count_nonzero(~inside))
    flow.no_energy = int(np.count_nonzero(~real))
    rows = np.empty(np.count_nonzero(inside), DTYPE)
    columns = block[RUN][passing], block[EVENT][passing], index, energy
    for name, column in zip(DTYPE.names, columns, strict=True):
        rows[name] = column[inside]
    return np.flatnonzero(passing)[inside], rows, flow


def attributes_of(settings):
    """Return what an HDF5 dictionary tells of its making: energy bins, cuts."""
    bins = {
        f"energy_bins_{key}": value
        for key, value in settings["energy_bins"].items()
        if key != "column" or value != ENERGY
    }
    text = config.dumps({"preselection_cuts": settings["preselection_cuts"]})
    return {**bins, "preselection_cuts": text}


# -- what the user reads --------------------------------------------------------------------------


def cut_flow_table(flow, settings, title):
    """Return a :class:`CutFlow` as the lines of a table."""
    lines = [title, _row("", "events", "of read", "failed"), _row("events in", flow.read, _share(flow.read, flow))]
    for cut in preselection_cuts(settings):
        n = flow.after.get(cut.name, flow.read)
        failed = flow.failed_removed.get(cut.name, 0)
        lines.append(_row(f"{cut.name} {_range(cut)}", n, _share(n, flow), failed))
    bins = config.dictionary_bins(settings)
    for index, n in enumerate(flow.bins.tolist()):
        lines.append(_row(f"bin {index}: {bins.describe(index)}", n, _share(n, flow)))
    lines.append(_row("outside all bins", flow.outside, _share(flow.outside, flow)))
    lines.append("failed: events that this cut removed because a reconstruction failed (-99, -9999 or NaN)")
    return "\n".join([*lines, *_notes(flow)]) + "\n"


def _row(label, n, share="", failed=""):
    cells = [f"{cell:,}" if isinstance(cell, int) else cell for cell in (n, share, failed)]
    return f"  {label:<42}{cells[0]:>13}{cells[1]:>9}{cells[2]:>12}".rstrip()


def _share(n, flow):
    return f"{n / flow.read:.2%}" if flow.read else "-"


def _range(cut):
    if cut.is_open:
        return "not applied"
    low = "[-inf" if cut.low is None else f"[{cut.low:g}"
    high = "inf)" if cut.high is None else f"{cut.high:g})"
    return f"{low}, {high}" + (f" of {', '.join(cut.branches)}" if len(cut.branches) > 1 else "")


def _notes(flow):
    """Yield a line for each thing that the numbers of a table do not say."""
    for name, n in flow.failed_passed.items():
        if n and name == HEIGHT:
            yield f"note: passing the {name} cut without a height (0 or 1e-10), as EventDisplay lets them: {n:,}"
        elif n and name != ENERGY:
            yield f"note: passing the {name} cut with a failed {name} (-99 or -9999), which its low end admits: {n:,}"
    if flow.no_energy:
        yield f"note: passing all cuts without an energy ({ENERGY} 0 or less), in no bin: {flow.no_energy:,}"
    if flow.repeated:
        yield f"note: coming again with the same values, kept once: {flow.repeated:,}"
