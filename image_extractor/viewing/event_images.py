"""Reading a dataset back: from a row of Events to the arrays and pixel vectors of its telescopes.

For people who look at single events; a learner reads whole tables with another room.
"""

import contextlib
import math
import os
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import tables

from .. import config
from ..errors import ConfigError, DamagedDatasetError, one_line
from ..hdf5 import dataset_files, nodes, older_formats, schema
from ..hdf5.image_places import has_image
from ..image_scales import channel_names, scales
from ..mapping.lattice import find_lattice
from ..mapping.methods import LOSSLESS
from ..parameters import columns
from ..terminal.text_table import printable


@contextlib.contextmanager
def open_events(path):
    """Open a dataset for reading as :class:`DatasetEvents`.

    Raises
    ------
    DatasetError
        If the file is no dataset; DamagedDatasetError, within the block too, if a part of one is
        missing or can't be read.
    """
    with dataset_files.open_dataset(path) as file:
        try:
            yield DatasetEvents(file)
        except (tables.HDF5ExtError, OSError) as err:
            if isinstance(err, OSError) and err.errno:  # of another file, such as the picture that is written
                raise
            raise DamagedDatasetError(path, "damaged: a table or array can't be read") from err


@dataclass(frozen=True, eq=False)
class StoredCamera:
    """An entry of /Cameras.

    Attributes
    ----------
    name : str
    pixels : structured array, one row per pixel
    attributes : dict
    """

    name: str
    pixels: np.ndarray
    attributes: dict

    @property
    def shape(self):
        """Cells along x and y, at scale_factor 1."""
        return tuple(int(cells) for cells in self.attributes["array_shape"])

    @property
    def is_lossless(self):
        """Whether the pixel vector comes back exactly from an array."""
        return self.attributes["mapping"] in LOSSLESS

    def pixel_vectors(self, arrays, scale_factor=1):
        """Take the pixels back out of arrays.

        arrays : array (..., n_x * scale_factor, n_y * scale_factor)
        returns : array (..., n_pixels); with a mapping that resamples, the value at each pixel's centre
        """
        return arrays[..., self.pixels["array_x"] * scale_factor, self.pixels["array_y"] * scale_factor]

    def has_pixel(self, shape):
        """Return a bool array of an array's shape, whatever its scale_factor: whether a cell belongs to a pixel.

        With a mapping that resamples, whether its centre is in one.
        """
        return self.pixel_of_cell(shape) >= 0

    def pixel_of_cell(self, shape):
        """Return the pixel of each cell of an array of this shape, int array, -1 where there is none; likewise."""
        factors = (shape[0] // self.shape[0], shape[1] // self.shape[1])
        return np.kron(self._pixel_of_cell, np.ones(factors, int))

    @cached_property
    def _pixel_of_cell(self):
        if self.is_lossless:
            cells = np.full(self.shape, -1)
            cells[self.pixels["array_x"], self.pixels["array_y"]] = np.arange(len(self.pixels))
            return cells
        first = np.array([self.attributes["first_cell_x_m"], self.attributes["first_cell_y_m"]])
        centres = first + self.attributes["cell_size_m"] * np.argwhere(np.ones(self.shape, bool))
        return self.lattice().locate(centres)[0].reshape(self.shape)

    def lattice(self):
        """Return the :class:`mapping.lattice.Lattice` of the pixels."""
        shape, area = str(self.attributes["pixel_shape"]), float(np.median(self.pixels["pix_area"]))
        try:
            return find_lattice(self.pixels["pix_x"], self.pixels["pix_y"], shape, area)
        except ValueError as err:
            raise DamagedDatasetError(f"/{schema.CAMERAS}/{self.name}", f"damaged: {err}") from err

    def geometry(self, focal_length=None):
        """Return the ctapipe CameraGeometry of this entry, at a focal length [m] if one is given."""
        import astropy.units as u
        from ctapipe.coordinates import CameraFrame
        from ctapipe.instrument import CameraGeometry

        return CameraGeometry(
            name=self.name,
            pix_id=self.pixels["pixel_id"].copy(),
            pix_x=self.pixels["pix_x"] * u.m,
            pix_y=self.pixels["pix_y"] * u.m,
            pix_area=self.pixels["pix_area"] * u.m**2,
            pix_type=str(self.attributes["pixel_shape"]),
            pix_rotation=float(self.attributes["pix_rotation_deg"]) * u.deg,
            # positions are stored as the events have them, so nothing is left to be rotated
            cam_rotation=0 * u.deg,
            frame=None if focal_length is None else CameraFrame(focal_length=focal_length * u.m),
        )


@dataclass(frozen=True, eq=False)
class TelescopeImage:
    """What one telescope saw of an event.

    Attributes
    ----------
    tel_id : int
    tel_type : str
    camera : StoredCamera
    stored : array as it stands in the file
    charge_array, time_array : float array (n_x, n_y) in p.e. and ns, the stored channels 0 and 1;
        time_array is None without TIMING
    charge, peak_time : float array (n_pixels,)
    mask_array : float array (n_x, n_y), the share of a cell that pixels kept by the cleaning cover; None without MASK
    mask : bool array (n_pixels,), whether the cleaning keeps them; with a mapping that resamples the share, 0 to 1, of
        the cell at each pixel's centre; None without MASK
    is_cleaned : bool
        Whether charges and times of pixels that the cleaning does not keep are stored as 0.
    parameters : record of parameters.columns; None where none are stored
    thresholds : (picture, boundary, neighbours) of the cleaning; None where none was asked for
    focal_length : float [m]
    """

    tel_id: int
    tel_type: str
    camera: StoredCamera
    stored: np.ndarray
    charge_array: np.ndarray
    time_array: np.ndarray | None
    charge: np.ndarray
    peak_time: np.ndarray | None
    mask_array: np.ndarray | None = None
    mask: np.ndarray | None = None
    is_cleaned: bool = False
    parameters: np.void | None = None
    thresholds: tuple | None = None
    focal_length: float = math.nan

    @property
    def geometry(self):
        """The ctapipe CameraGeometry, with its focal length."""
        return self.camera.geometry(self.focal_length)


@dataclass(frozen=True, eq=False)
class Event:
    """A row of Events: where it stands, its columns of one number, and its images.

    `run` tells its run from others of the same number and primary, in words; empty where there are none.
    """

    table: str
    row: int
    values: dict
    images: list = field(default_factory=list)
    run: tuple = ()

    @property
    def is_observed(self):
        """Whether it was observed; else it was simulated."""
        return schema.TIME[0] in self.values


class DatasetEvents:
    """The events of an open dataset.

    Attributes
    ----------
    file : tables.File
    settings : dict
    tel_table : structured array, one row per telescope
    runs : structured array, Run_Table
    cameras : {entry of /Cameras: StoredCamera}
    is_observed : bool
        Whether the events were observed; else they were simulated.
    """

    def __init__(self, file):
        self.file = file
        self.path = file.filename
        for name in (schema.TEL_TABLE, schema.RUN_TABLE, schema.CAMERAS):
            if name not in file.root:
                raise DamagedDatasetError(self.path, f"incomplete: /{name} is missing")
        self.is_observed = schema.kind(file) == schema.OBSERVED
        self.settings = self._settings()
        self.tel_table = older_formats.tel_table(file.root[schema.TEL_TABLE][:])
        self.runs = older_formats.run_table(file.root[schema.RUN_TABLE][:])
        self.cameras = {
            node._v_name: StoredCamera(node._v_name, node[:], nodes.user_attributes(node))
            for node in file.root[schema.CAMERAS]._f_iter_nodes("Table")
        }

    def _settings(self):
        if "config" not in self.file.root._v_attrs:
            raise DamagedDatasetError(self.path, "incomplete: the root has no attribute config")
        try:
            return config.loads(str(self.file.root._v_attrs["config"]), "its config")
        except ConfigError as err:
            raise DamagedDatasetError(self.path, f"damaged: {str(err).splitlines()[0]}") from err

    @property
    def n_bins(self):
        """Number of energy groups (gh_class) or labels (energy_recon)."""
        return config.energy_bins(self.settings).n_bins

    @property
    def is_mapped(self):
        """Whether images stand in arrays of their own."""
        return self.settings["storage_mode"] == "mapped"

    def tables(self, energy_bin=None):
        """Return the Events tables, of one energy group if a bin is given (gh_class)."""
        groups = nodes.events_groups(self.file)
        if energy_bin is not None and self.settings["mode"] == "gh_class":
            groups = [group for group in groups if group._v_name == f"E{energy_bin}"]
        found = [table for group in groups for table in nodes.events_tables(group).values()]
        expected = {name for name, *_ in older_formats.event_columns(self.file)}
        expected |= {schema.TIME[0]} if self.is_observed else set()
        expected |= {"tel_map" if self.is_mapped else "trig_list"}
        for table in found:
            missing = expected.difference(table.colnames)
            if missing:
                raise DamagedDatasetError(self.path, f"incomplete: {table._v_pathname} has no column {min(missing)}")
        return found

    # -- choosing events -----------------------------------------------------------------------------

    def find(self, run_number, event_number, energy_bin=None):
        """Return [(table, row), ...] of an event; several where primaries share a run number."""
        return self._where(
            lambda rows: (rows["run_number"] == run_number) & (rows["event_number"] == event_number), energy_bin
        )

    def random(self, n_events, seed=0, energy_bin=None):
        """Return [(table, row), ...] of events drawn at random, each at most once, in the file's order."""
        return self.places(drawn(self.count(energy_bin), n_events, seed), energy_bin)

    def count(self, energy_bin=None):
        """Return the number of events, of one bin if it is given."""
        if self._has_labels(energy_bin):
            return len(self._labelled(energy_bin))
        return sum(table.nrows for table in self.tables(energy_bin))

    def places(self, numbers, energy_bin=None):
        """Return [(table, row), ...] of events by their number, from 0 to :meth:`count`."""
        if self._has_labels(energy_bin):
            pool = self._labelled(energy_bin)
            return [pool[number] for number in numbers]
        found = self.tables(energy_bin)
        edges = np.cumsum([0, *(table.nrows for table in found)])
        tables_ = np.searchsorted(edges, numbers, side="right") - 1
        return [(found[table], int(index - edges[table])) for table, index in zip(tables_, numbers, strict=True)]

    def _has_labels(self, energy_bin):
        return energy_bin is not None and self.settings["mode"] == "energy_recon"

    def _labelled(self, energy_bin):
        return self._where(lambda rows: np.ones(len(rows), bool), energy_bin)

    def _where(self, wanted, energy_bin):
        label = schema.RECON_LABEL[0]
        found = []
        for table in self.tables(energy_bin):
            for first, rows in row_blocks(table):
                mask = wanted(rows)
                if energy_bin is not None and label in table.colnames:
                    mask &= rows[label] == energy_bin
                found += [(table, first + int(row)) for row in np.flatnonzero(mask)]
        return found

    # -- reading one event ---------------------------------------------------------------------------

    def event(self, table, row):
        """Read an event with all its images."""
        record = table[row]
        values = {name: record[name].item() for name in record.dtype.names if record.dtype[name].shape == ()}
        values["run_index"] = int(older_formats.run_index(np.atleast_1d(record), self.runs)[0])
        event = Event(table._v_pathname, row, values, run=self._run(values))
        for position, telescope in enumerate(self.tel_table):
            stored, attributes = self._stored(table, record, position, int(telescope["tel_id"]))
            if stored is not None:
                parameters = self._parameters(table, record, position, int(telescope["tel_id"]))
                event.images.append(replace(self._image(telescope, stored, attributes), parameters=parameters))
        return event

    def _run(self, values):
        """Return file and pointing of an event's run in words, if there are others of its number and primary."""
        same = self.runs["run_number"] == values["run_number"]
        same &= self.runs["primary"] == values["gamma_hadron_label"]
        index = values["run_index"]
        if same.sum() < 2 or not 0 <= index < len(same):
            return ()
        run = self.runs[index]
        altitude, azimuth = (f"{math.degrees(run[f'pointing_{axis}']):.2f}" for axis in ("alt", "az"))
        name = one_line(printable(os.fsdecode(run["file_name"])), 60)
        return f"file {name}", f"pointing altitude {altitude}°, azimuth {azimuth}°"

    def _stored(self, table, record, position, tel_id):
        """Return a telescope's array in an event and the node that tells of its scales; None without image."""
        if not has_image(record)[position]:
            return None, None
        name = schema.image_name(tel_id)
        if not self.is_mapped:
            return record[name], table._v_attrs
        index = int(record["tel_map"][position])
        node = table._v_parent._f_get_child(name)
        if index >= node.nrows:
            damage = f"damaged: {table._v_pathname} has an image {index} of telescope {tel_id}, {name} does not"
            raise DamagedDatasetError(self.path, damage)
        return node[index], node._v_attrs

    def event_image(self, table, record, position):
        """Return the TelescopeImage of a telescope, by its row in Tel_Table, in a row of Events that has one."""
        telescope = self.tel_table[position]
        return self._image(telescope, *self._stored(table, record, position, int(telescope["tel_id"])))

    @cached_property
    def _focal_length(self):
        """The column of Tel_Table with the focal length that ctapipe used."""
        choice = nodes.user_attributes(self.file.root[schema.TEL_TABLE]).get(schema.FOCAL_LENGTH_CHOICE)
        return "effective_focal_length" if choice == "EFFECTIVE" else "focal_length"

    def _parameters(self, table, record, position, tel_id):
        """Return the parameters of a telescope's image, a record; None where none are stored."""
        name = schema.parameters_name(tel_id)
        if not self.is_mapped:
            return columns.rows(record[name][np.newaxis])[0] if name in record.dtype.names else None
        if name not in table._v_parent:
            return None
        node, index = table._v_parent._f_get_child(name), int(record["tel_map"][position])
        return node[index] if index < node.nrows else None

    def _image(self, telescope, stored, attributes):
        camera = self.cameras[telescope["camera"].decode()]
        image_settings, factor = self.settings["image"], int(self.settings["image"]["scale_factor"])
        channels = stored if image_settings["dim_order"] == "channels_first" else np.moveaxis(stored, -1, 0)
        names, per = channel_names(image_settings["mode"]), scales(attributes)
        arrays = {
            name: channel / per[f"{name}_scale"]
            for name, channel in zip(names, channels, strict=True)
            if name != "empty"
        }
        pixels = {name: camera.pixel_vectors(array, factor) for name, array in arrays.items()}
        if "mask" in pixels and camera.is_lossless:
            pixels["mask"] = pixels["mask"] > 0
        thresholds = tuple(telescope[f"cleaning_{name}"].item() for name in ("picture", "boundary", "neighbours"))
        return TelescopeImage(
            int(telescope["tel_id"]),
            telescope["tel_type"].decode(),
            camera,
            stored,
            charge_array=arrays["charge"],
            time_array=arrays.get("time"),
            charge=pixels["charge"],
            peak_time=pixels.get("time"),
            mask_array=arrays.get("mask"),
            mask=pixels.get("mask"),
            is_cleaned=image_settings["cleaned"],
            thresholds=None if math.isnan(thresholds[0]) else thresholds,
            focal_length=float(telescope[self._focal_length]),
        )


def drawn(n_rows, n_events, seed):
    """Return numbers of rows drawn at random, each at most once, ascending."""
    return np.sort(np.random.default_rng(seed).choice(n_rows, min(n_events, n_rows), replace=False))


def row_blocks(table):
    """Yield (number of the first row, rows) of a table, in blocks of bounded size."""
    first = 0
    for rows in nodes.blocks(table):
        yield first, rows
        first += len(rows)
