"""Which events a conversion writes, by lookup tables: what prepare_cuts_dict.py would find, in the pass that converts.

The converter asks; see `conversion.waiting_events`.
"""

from ..errors import ConfigError
from ..inputs.pointing import Pointings
from ..reconstruction.events import BlockBuilder
from .block_cuts import BlockCuts, FoundEntries
from .simtel_events import SimtelRows


class EventChooser:
    """Chooses events by cuts on what is reconstructed of them; small, it travels to workers.

    Parameters
    ----------
    settings : dict
        As :mod:`image_extractor.config` makes them.
    tables : LookupTables
    name, sha256 : str
        Of the file of the tables.

    Raises
    ------
    ConfigError
        If a cut, or the energy, is of a column that simtel files do not have.
    """

    def __init__(self, settings, tables, name, sha256):
        self.name, self.sha256 = name, sha256
        self._cuts = BlockCuts(settings, tables, name)
        missing = ", ".join(self._cuts.columns())
        if missing:
            raise ConfigError(f"[preselection_cuts], [energy_bins] column: a simtel file has no {missing}")

    def of_file(self):
        """Return a :class:`FileChoice` for the runs of a file."""
        return FileChoice(self._cuts)


class FileChoice:
    """Chooses the events of a file, and keeps what was found of them.

    Parameters
    ----------
    cuts : BlockCuts
    """

    def __init__(self, cuts):
        self._cuts, self._found = cuts, {}

    def of_run(self, number, run):
        """Return a :class:`RunChoice` for a run; what an earlier one of this place in the file found is forgotten.

        number : int
        run : a run, see inputs/open_runs.py
        """
        self._found[number] = found = FoundEntries(self._cuts.n_bins)
        return RunChoice(self._cuts, run, found)

    def _total(self):
        total = FoundEntries(self._cuts.n_bins)
        for _, found in sorted(self._found.items()):
            total += found
        return total

    def facts(self):
        """Return what was found, but for the entries; see :meth:`FoundEntries.facts`."""
        return self._total().facts()

    def write(self, path, attributes):
        """Write the entries to a file; see :meth:`FoundEntries.write`."""
        self._total().write(path, attributes)


class RunChoice:
    """Chooses the events of a run, some at a time.

    Parameters
    ----------
    cuts : BlockCuts
    run : a run, see inputs/open_runs.py
    found : FoundEntries
        Takes what is found.

    Attributes
    ----------
    tel_ids : list of int
        Telescopes that take part in the reconstruction, which events are to have.
    """

    def __init__(self, cuts, run, found):
        self._cuts, self._run, self._found = cuts, run, found
        # the conversion has its own, of the telescopes and events that it writes
        pointings = Pointings(None if run.tracking_mode else run.pointing)
        self._rows = SimtelRows(run, cuts.settings, pointings)
        self.tel_ids = self._rows.tel_ids
        self._builder = BlockBuilder(self._rows.telescopes)
        self._is_fitting = self._is_fitting_now()
        self._places = []

    def _is_fitting_now(self):
        return self._cuts.is_fitting(self._run.input_url, self._rows.recipe())

    def add(self, event):
        """Take a calibrated ctapipe event."""
        has_images = not event.dl1.tel.keys().isdisjoint(self.tel_ids)
        self._places.append(len(self._builder) if has_images else None)
        if has_images:
            with self._run.reading():
                row = self._rows.of(event)
            self._builder.add(*row)

    def take(self):
        """Return the entries (energy bin, energy [TeV]) of the events since the last call, None of those that fail."""
        places, self._places, entries = self._places, [], {}
        if len(self._builder):
            self._is_fitting = self._is_fitting or self._is_fitting_now()
            block = self._builder.take()
            passing, rows, *counts = self._cuts.choose(block)
            self._found.add(block, rows, *counts)
            values = zip(rows["bin"].tolist(), rows["reconstructed_energy"].tolist(), strict=True)
            entries = dict(zip(passing.tolist(), values, strict=True))
        return [entries.get(place) for place in places]
