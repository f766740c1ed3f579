"""HDF5 files of ctapipe-process as blocks of events: DL1 parameters, which were made with settings of its own.

Written by ctapipe 0.28 to 0.32, and read with PyTables: ctapipe's own readers refuse files of later versions.
"""

import contextlib
import math
from dataclasses import dataclass

import numpy as np
import tables

from ..errors import DatasetError, InputError
from ..hdf5.dataset_files import open_file
from ..inputs.ctapipe_hdf5.array_description import read_subarray
from ..inputs.ctapipe_hdf5.event_rows import RowsOfEvents, column_in, keys_of, rows_of_runs
from ..inputs.ctapipe_hdf5.hdf5_errors import reading_hdf5
from ..inputs.ctapipe_hdf5.node_names import LAYOUT, OBSERVATIONS, PARAMETERS, SHOWERS, SIMULATIONS, telescope_name
from ..inputs.ctapipe_hdf5.pointing_tables import array_pointing, fixed_pointings
from ..inputs.pointing import TOLERANCE, separation
from ..reconstruction.events import EVENT, EventBlock
from ..reconstruction.images import IMAGE, telescopes_of
from ..reconstruction.recipe import UNKNOWN, Recipe, quality
from .ctapipe_columns import EventColumns

#: Events of a block: so few that memory does not grow with files.
BLOCK_EVENTS = 2000

UNITS = {name: "deg" for name in IMAGE.names if name.startswith("hillas_")} | {"hillas_intensity": ""}


class CtapipeFile:
    """A file of ctapipe, whose runs are read one after the other.

    Parameters
    ----------
    path : Path
    settings : dict
        As :mod:`image_extractor.config` makes them; cleaning and calibration are the file's own.
    columns : iterable of str
        Of ctapipe's tables of reconstructed events, which blocks are to have.
    needs_images : bool
        Without, blocks have no images, and files need none.
    """

    def __init__(self, path, settings, columns=(), needs_images=True):
        self._path, self._settings = path, settings
        self._columns, self._needs_images = tuple(columns), needs_images

    def runs(self, progress=None):
        """Yield a :class:`CtapipeBlocks` for each run, as `SimtelFile.runs` does."""
        with _reading(self._path), open_file(self._path) as file:
            yield from self._runs(file, progress)

    def _runs(self, file, progress):
        for where, how in (
            (LAYOUT, "is it a file of ctapipe-process?"),
            (SHOWERS, "only simulations are read"),
            (PARAMETERS, "ctapipe-process --write-parameters stores them"),
        ):
            if where not in file and (self._needs_images or where != PARAMETERS):
                raise InputError(f"{self._path}: no {where}; {how}")
        subarray = read_subarray(file)
        telescopes = telescopes_of(subarray, self._settings["reconstruction"]["telescopes"])
        if not telescopes.is_used.any():
            found = ", ".join(sorted(set(telescopes.names)))
            asked = self._settings["reconstruction"]["telescopes"]
            raise InputError(f"{self._path}: it has {found}, none of [reconstruction] telescopes = {asked}")
        showers, simulations = file.get_node(SHOWERS), file.get_node(SIMULATIONS)
        images = _images(file, self._path, telescopes) if self._needs_images else {}
        columns = EventColumns(file, self._path, self._columns, SHOWERS)
        index = self._settings["reconstruction"]["spectral_index"]
        for run_number, start, stop in rows_of_runs(showers, self._path):
            pointing = _pointing(file, self._path, run_number)
            simulated = simulations.col("spectral_index")[simulations.col("obs_id") == run_number]
            recipe = self._recipe(subarray, telescopes, pointing)
            source = _Source(self._path, showers, images, columns, telescopes, pointing, index - float(simulated[0]))
            yield CtapipeBlocks(source, start, stop, recipe, progress)
        for rows in [*images.values(), columns]:
            rows.finish()

    def _recipe(self, subarray, telescopes, pointing):
        azimuth, altitude = map(math.degrees, pointing)
        common = {"pointing_az": azimuth, "pointing_alt": altitude, "focal_length_choice": UNKNOWN}
        recipe = Recipe(common | quality(self._settings["reconstruction"]))
        for tel_id in telescopes.tel_ids[telescopes.is_used].tolist():
            telescope = subarray.tel[tel_id]
            recipe.telescopes[str(telescope)] = {
                **dict.fromkeys(("picture", "boundary", "neighbours", "extractor"), UNKNOWN),
                "focal_length": telescopes.focal_lengths[str(telescope)],
                "mirror_area": float(telescope.optics.mirror_area.to_value("m2")),
                "n_pixels": int(telescope.camera.geometry.n_pixels),
            }
        return recipe


@dataclass(frozen=True)
class _Source:
    """The open tables of a file, and what is known of one of its runs.

    Attributes
    ----------
    path : Path
    showers : tables.Table
    images : dict
        {place of a telescope: RowsOfEvents of its parameters}.
    columns : EventColumns
    telescopes : Telescopes
    pointing : float, float
        Azimuth and altitude [rad].
    change : float
        Events are weighted by their energies to this power.
    """

    path: object
    showers: tables.Table
    images: dict
    columns: EventColumns
    telescopes: object
    pointing: tuple
    change: float

    def block(self, start, stop):
        """Return an EventBlock of rows of the table of showers; the next one has to follow."""
        rows = self.showers.read(start, stop)
        keys = keys_of(rows)
        if len(np.unique(keys)) < len(keys):
            raise InputError(f"{self.path}: {SHOWERS} has an event twice")
        parts = {place: _image_rows(place, table, *table.take(keys)) for place, table in self.images.items()}
        images = np.concatenate([np.empty(0, IMAGE), *(rows for rows, _ in parts.values())])
        event = np.concatenate([np.empty(0, np.int64), *(at for _, at in parts.values())])
        order = np.lexsort((images["telescope"], event))
        first = np.searchsorted(event[order], np.arange(len(rows) + 1))
        return EventBlock(self._events(rows), images[order], first, self.telescopes, self.columns.take(keys))

    def _events(self, rows):
        """Return rows of EVENT of those of showers."""
        events = np.zeros(len(rows), EVENT)
        for name, column in (("run_number", "obs_id"), ("event_id", "event_id"), ("primary", "true_shower_primary_id")):
            events[name] = rows[column]
        for name, unit in (("energy", "TeV"), ("alt", "rad"), ("az", "rad")):
            events[name] = column_in(self.showers, f"true_{name}", unit, rows)
        events["pointing_az"], events["pointing_alt"] = self.pointing
        events["weight"] = events["energy"] ** self.change
        return events


class CtapipeBlocks:
    """The events of one run, read in blocks; as `simtel_events.SimtelBlocks`."""

    n_calibration = 0
    complete = True

    def __init__(self, source, start, stop, recipe, progress):
        self._source, self._start, self._stop = source, start, stop
        self._recipe, self._progress = recipe, progress
        first = source.showers.read(start, start + 1)[0]
        self.run_number = int(first["obs_id"])
        self.primary = int(first["true_shower_primary_id"])
        self.telescopes = source.telescopes
        self.n_read = 0

    def recipe(self):
        """Return the Recipe of the run."""
        return self._recipe

    def __iter__(self):
        for start in range(self._start, self._stop, BLOCK_EVENTS):
            stop = min(start + BLOCK_EVENTS, self._stop)
            with _reading(self._source.path):
                block = self._source.block(start, stop)
            self.n_read += stop - start
            yield block
            if self._progress:
                self._progress(stop - start, stop / self._source.showers.nrows)


@contextlib.contextmanager
def _reading(path):
    """Raise whatever a damaged file makes PyTables raise as an InputError that names it."""
    try:
        with reading_hdf5(path):
            yield
    except DatasetError as err:
        raise InputError(str(err)) from err


# -- tables of ctapipe's ----------------------------------------------------------------------------


def _images(file, path, telescopes):
    """Return the tables of images of the telescopes that take part, {place of the telescope: RowsOfEvents}."""
    found = {}
    for place in np.flatnonzero(telescopes.is_used):
        name = telescope_name(telescopes.tel_ids[place])
        if name not in file.get_node(PARAMETERS):
            continue
        table = file.get_node(PARAMETERS, name)
        if "hillas_fov_lon" not in table.colnames:
            what = "in the camera's frame" if "camera_frame_hillas_x" in table.colnames else "of another kind"
            raise InputError(
                f"{path}: its Hillas parameters are {what}: ImageProcessor.use_telescope_frame must be True"
            )
        found[int(place)] = RowsOfEvents(path, table, SHOWERS)
    return found


def _image_rows(place, of, rows, event):
    """Return rows of IMAGE of those of a telescope's parameters, and the events that they are of."""
    images = np.zeros(len(rows), IMAGE)
    images["telescope"] = place
    for column in IMAGE.names[1:]:
        images[column] = column_in(of.table, column, UNITS[column], rows) if column in UNITS else rows[column]
    return images, event


def _pointing(file, path, run_number):
    """Return azimuth and altitude [rad] of a run; raise InputError unless all its telescopes look there."""
    found = array_pointing(file, run_number)
    if found is None:
        raise InputError(f"{path}: run {run_number}: {OBSERVATIONS} has no altitude and azimuth of the array")
    tel_ids = file.get_node(LAYOUT).col("tel_id").tolist()
    for tel_id, direction in fixed_pointings(file, run_number, tel_ids).items():
        if not separation(direction, found) <= TOLERANCE:
            raise InputError(
                f"{path}: run {run_number}: {telescope_name(tel_id)} looks elsewhere than the array: "
                "showers are reconstructed of parallel telescopes only"
            )
    return found
