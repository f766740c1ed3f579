"""ctapipe's files with images: their runs, one after the other."""

import logging
import math

import numpy as np

from ...hdf5.dataset_files import open_file
from ..simulation_facts import INTEGERS, SIMULATION_COLUMNS, simulation_facts
from ..unchanged import check_unchanged, identity
from . import pointing_tables
from .array_description import has_effective_focal_lengths, read_subarray
from .event_rows import RowsOfEvents, column_in, rows_of_runs
from .hdf5_errors import reading_hdf5
from .image_run import ImageRun
from .image_tables import ImageTable
from .node_names import (
    IMAGES,
    POINTINGS,
    SHOWER_DISTRIBUTIONS,
    SHOWERS,
    SIMULATIONS,
    TRIGGER,
    telescope_name,
)

log = logging.getLogger(__name__)


def open_image_file(path):
    """Return the ImageRuns of an HDF5 file, None if it is not ctapipe's, or has no images.

    Raises InputError if it is damaged.
    """
    before = identity(path)
    with reading_hdf5(path):
        file = open_file(path)
        try:
            if not has_images(file):
                file.close()
                return None
            return ImageRuns(file, path, before)
        except BaseException:
            file.close()
            raise


def has_images(file):
    """Say whether images are what is to be taken of an open file."""
    return TRIGGER in file and IMAGES in file and bool(file.list_nodes(IMAGES, "Table"))


class ImageRuns:
    """The runs of a file; a context manager that closes it at the end.

    Iterating gives :class:`ImageRun`; what is left of one is passed over, unread.
    """

    def __init__(self, file, path, before):
        from ctapipe.containers import EventType
        from ctapipe.instrument.optics import FocalLengthKind

        self.file, self.path, self._identity = file, path, before
        self.subarray = read_subarray(file)
        self.tel_ids = np.asarray(self.subarray.tel_ids)
        self.is_simulation = SHOWERS in file
        is_effective = has_effective_focal_lengths(file)
        self.focal_length_choice = FocalLengthKind.EFFECTIVE if is_effective else FocalLengthKind.EQUIVALENT
        if not is_effective:
            log.info("%s: no effective focal length, the equivalent one is used", path)
        self.shower_type, self._types = EventType.SUBARRAY.value, {kind.value: kind.name for kind in EventType}
        self._columns = {tel_id: column for column, tel_id in enumerate(self.tel_ids.tolist())}
        self._rows = rows_of_runs(file.get_node(TRIGGER), path)
        #: Tables that were read to the end of a run, and how many runs these are.
        self._read_through = {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __iter__(self):
        none = (0, 0, 0)
        for number, rows in enumerate(self._rows or [none]):
            with reading_hdf5(self.path):
                run = ImageRun(self, number, rows)
            yield run

    def check_unchanged(self):
        """Raise InputError if the file was changed or replaced while it was read."""
        check_unchanged(self.path, self._identity)

    def close(self):
        """Close the file."""
        self.file.close()

    # -- what its runs ask ----------------------------------------------------------------------------

    def column_of(self, tel_id):
        """Return the column of a telescope in masks of triggers."""
        return self._columns[tel_id]

    def name_of_type(self, kind):
        """Return ctapipe's name of a type of events."""
        return self._types.get(kind, f"type {kind}")

    def array_pointing(self, obs_id):
        """Return azimuth and altitude of the array in a run [rad], None if the file has others or none."""
        return pointing_tables.array_pointing(self.file, obs_id)

    def fixed_pointings(self, obs_id):
        """Return {tel_id: (azimuth, altitude) [rad]} of the telescopes that look at one place for a whole run."""
        return pointing_tables.fixed_pointings(self.file, obs_id, self.tel_ids.tolist())

    def pointings_of(self, block, tel_ids):
        """Return {tel_id: [(azimuth, altitude) [rad] of each event]} of telescopes whose pointings go with time."""
        if POINTINGS not in self.file:
            return {}
        return pointing_tables.pointings_at(self.file, block.times(), tel_ids)

    def images_of(self, number, obs_id, tel_ids):
        """Return {tel_id: ImageTable} of telescopes, at the beginning of a run."""
        found = {}
        for tel_id in sorted(tel_ids):
            where = f"{IMAGES}/{telescope_name(tel_id)}"
            if where in self.file:
                found[tel_id] = self._at_run(
                    number, obs_id, where, lambda first, tel_id=tel_id: ImageTable(self.file, self.path, tel_id, first)
                )
        return found

    def showers_of(self, number, obs_id):
        """Return the rows of showers, at the beginning of a run; None if events were observed."""
        if not self.is_simulation:
            return None
        table = self.file.get_node(SHOWERS)
        return self._at_run(number, obs_id, SHOWERS, lambda first: RowsOfEvents(self.path, table, TRIGGER, first))

    def _at_run(self, number, obs_id, where, make):
        """Return what reads a table, at the first row of a run: who read the run before stands there."""
        reader, n_runs = self._read_through.get(where, (None, 0))
        if n_runs == number:
            return make(0) if reader is None else reader
        rows = {run: first for run, first, _ in rows_of_runs(self.file.get_node(where), self.path)}
        return make(rows.get(obs_id, self.file.get_node(where).nrows))

    def is_through(self, number, images, showers):
        """Note which tables were read to the end of a run."""
        readers = {f"{IMAGES}/{telescope_name(tel_id)}": table for tel_id, table in images.items()}
        readers |= {SHOWERS: showers} if showers else {}
        self._read_through = {where: (reader, number + 1) for where, reader in readers.items()}

    def check_end(self, number):
        """Raise InputError if rows are left behind the last event of the last run."""
        for reader, n_runs in self._read_through.values():
            if n_runs == number + 1 == len(self._rows):
                reader.finish()

    def simulated(self, obs_id):
        """Return columns of Run_Table that tell how a run was simulated, {column: value}."""
        values = simulation_facts(None)
        table = self.file.get_node(SIMULATIONS) if self.is_simulation and SIMULATIONS in self.file else None
        for row in [] if table is None else np.flatnonzero(table.col("obs_id") == obs_id)[:1]:
            for name in SIMULATION_COLUMNS.keys() & set(table.colnames):
                unit = SIMULATION_COLUMNS[name]
                value = float(column_in(table, name, unit)[row] if unit else table.col(name)[row])
                if not math.isnan(value):
                    values[name] = int(value) if name in INTEGERS else value
        return values

    def n_simulated(self, obs_id):
        """Return how many events were simulated in a run, -1 if the file does not tell."""
        if SHOWER_DISTRIBUTIONS not in self.file:
            return -1
        table = self.file.get_node(SHOWER_DISTRIBUTIONS)
        rows = np.flatnonzero(table.col("obs_id") == obs_id)
        return int(table.read(field="n_entries")[rows[0]]) if len(rows) else -1
