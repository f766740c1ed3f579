"""Writing the events of one file: a complete dataset of its own, in blocks of many events."""

import json
import logging
import os
import time
from collections import Counter, defaultdict

import numpy as np

from .. import config
from ..hdf5 import nodes, schema
from ..hdf5.provenance import provenance
from ..image_scales import scales
from ..inputs.pointing import NOWHERE
from ..mapping import images
from ..parameters import columns as parameter_columns

log = logging.getLogger(__name__)

#: Stored bytes of images and rows that are collected before they are written.
BLOCK_BYTES = 8 << 20

#: HDF5 takes attributes of up to 64 kB; parts that have more to count are counted by opening their nodes.
LARGEST_ATTRIBUTE = 60_000


class PartWriter:
    """Collects events and writes them block by block to an open HDF5 file.

    Parameters
    ----------
    file : tables.File
        New and empty.
    settings : dict
    layout : ArrayLayout
    own_pointing : bool
        Whether events have a column of their telescopes' pointings.
    kind : str
        schema.SIMULATED or OBSERVED; events of these have a time.

    Attributes
    ----------
    kind : str
    n_events : int
        Events added.
    n_images : {tel_id: int}
        Images written.
    """

    def __init__(self, file, settings, layout, own_pointing=False, kind=schema.SIMULATED):
        self._file, self._settings, self._layout = file, settings, layout
        self._image_settings, self._mappings = settings["image"], layout.mappings
        self._mapped = settings["storage_mode"] == "mapped"
        self._stores_parameters = settings["parameters"]["store"]
        self._bins = config.energy_bins(settings)
        self._groups = schema.energy_groups(settings, self._bins.n_bins)
        self._filters = nodes.filters(settings["output"]["compression"])
        self._shapes = {tel_id: images.array_shape(grid, self._image_settings) for tel_id, grid in layout.grids.items()}
        self._columns = schema.event_columns(settings, self._shapes, own_pointing, kind == schema.OBSERVED)
        self._run_columns = schema.run_columns(settings["image_cuts"])
        self._own_pointing, self.kind = own_pointing, kind
        self._dtype = schema.dtype(self._columns)
        self._image_size = {
            tel_id: int(np.prod(images.array_shape(grid, self._image_settings)))
            * np.dtype(self._image_settings["dtype"]).itemsize
            for tel_id, grid in layout.grids.items()
        }
        self._pending = defaultdict(list)
        self._pending_bytes = 0
        self.n_images = dict.fromkeys(layout.grids, 0)
        self.n_events = 0
        self._run = Counter()
        self._run_rows = []
        self._rows = defaultdict(Counter)
        self._create_nodes()

    def _create_nodes(self):
        nodes.set_attributes(self._file.root, provenance(self._settings) | {schema.KIND: self.kind})
        if self._own_pointing:
            nodes.set_attributes(self._file.root, {schema.TEL_POINTING: True})
        for name, (table, attributes) in self._layout.cameras.items():
            self._write_table(f"/{schema.CAMERAS}", name, schema.CAMERA_COLUMNS, table, attributes)
        for index, group in enumerate(self._groups):
            self._create_group(f"/{group}", index)

    def _create_group(self, path, index):
        attributes = schema.column_attributes(self._columns) | self._image_attributes(self._layout.grids)
        if self._mapped:
            attributes["image_arrays"] = "T<tel_id>"
            attributes |= {schema.PARAMETERS: "P<tel_id>"} if self._stores_parameters else {}
        elif self._stores_parameters:
            attributes[schema.PARAMETERS] = ",".join(parameter_columns.NAMES)
        nodes.create_table(self._file, path, schema.EVENTS, self._dtype, self._filters, attributes)
        nodes.set_attributes(self._file.get_node(path), self._bin_attributes(index))
        if self._mapped:
            for tel_id, grid in self._layout.grids.items():
                shape = images.array_shape(grid, self._image_settings)
                name, dtype = schema.image_name(tel_id), self._image_settings["dtype"]
                attributes = self._image_attributes([tel_id])
                nodes.create_image_array(self._file, path, name, dtype, shape, self._filters, attributes)

    def _bin_attributes(self, index):
        """Return the attributes of an energy group, or of the root where labels take the place of groups."""
        if self._settings["mode"] == "energy_recon":
            return {"energy_bin_edges": self._bins.edges, "units": self._bins.units, "scale": self._bins.scale}
        low, high = self._bins.edges[index : index + 2]
        edges = {"min_energy": float(low), "max_energy": float(high)}
        return {**edges, "units": self._bins.units, "scale": self._bins.scale}

    def _image_attributes(self, tel_ids):
        """Return the attributes of what holds images of these telescopes; several mappings are joined by +."""
        keys = ("dtype", "dim_order", "scale_factor")
        attributes = {"image_mode": self._image_settings["mode"]} | {key: self._image_settings[key] for key in keys}
        attributes |= scales(self._image_settings)
        if self._image_settings["cleaned"]:
            attributes["cleaned"] = True
        attributes["mapping"] = "+".join(sorted({self._mappings[tel_id] for tel_id in tel_ids}))
        return attributes

    def _write_table(self, where, name, columns, rows, attributes=None):
        attributes = schema.column_attributes(columns) | (attributes or {})
        kind = schema.dtype(columns), nodes.filters("none"), attributes
        table = nodes.create_table(self._file, where, name, *kind, n_rows=len(rows))
        nodes.append(table, rows)

    def add(self, energy_bin, values, dl1, pointings=None, parameters=None, time=None):
        """Add an event.

        energy_bin : int
            Group (gh_class) or label (energy_recon).
        values : tuple
            The EVENT_COLUMNS but the last, run_index.
        dl1 : {tel_id: ctapipe DL1CameraContainer}
            Images of selected telescopes, at least one; with image_mask where the settings need masks.
        pointings : {tel_id: (azimuth, altitude)}, optional
            Where they look [rad], if events have a column for it.
        parameters : {tel_id: float array (len(parameter_columns.COLUMNS),)}, optional
            Of these images, if they are stored.
        time : int, optional
            Of an observed event, as schema.TIME has it.
        """
        index = energy_bin if self._settings["mode"] == "gh_class" else 0
        values = (*values, len(self._run_rows))
        if self.kind == schema.OBSERVED:
            values = (*values, time)
        if self._settings["mode"] == "energy_recon":
            values = (*values, energy_bin)
        if self._own_pointing:
            values = (*values, [pointings.get(tel_id, NOWHERE) for tel_id in self._layout.grids])
        pixels = {tel_id: (camera.image, camera.peak_time, camera.image_mask) for tel_id, camera in dl1.items()}
        self._pending[index].append((values, pixels, parameters))
        self._pending_bytes += sum(map(self._image_size.get, dl1)) if self._mapped else self._dtype.itemsize
        self.n_events += 1
        self._run["events_written"] += 1
        if self._pending_bytes >= BLOCK_BYTES:
            self.flush()

    def flush(self):
        """Write what was collected."""
        if not self._pending:
            return
        start, n_events = time.monotonic(), sum(map(len, self._pending.values()))
        for index in sorted(self._pending):
            self._write_block(f"/{self._groups[index]}", self._pending[index])
        self._pending.clear()
        self._pending_bytes = 0
        log.debug(
            "%s: a block of %d events, mapped and stored in %.2f s",
            self._file.filename,
            n_events,
            time.monotonic() - start,
        )

    def _write_block(self, path, events):
        rows = np.zeros(len(events), self._dtype)
        scalars = rows[list(self._dtype.names[: len(events[0][0])])]
        scalars[...] = [values for values, *_ in events]
        if self._mapped:
            rows["tel_map"] = -1
        elif self._stores_parameters:
            for tel_id in self._layout.grids:
                rows[schema.parameters_name(tel_id)] = np.nan
        by_telescope = defaultdict(list)
        for row, (_, pixels, _) in enumerate(events):
            for tel_id in pixels:
                by_telescope[tel_id].append(row)
        for position, (tel_id, grid) in enumerate(self._layout.grids.items()):
            where = np.array(by_telescope.get(tel_id, []), dtype=np.intp)
            if len(where):
                stored = self._stored_images([events[row][1][tel_id] for row in where], grid)
                self._place(path, rows, where, position, tel_id, stored)
                if self._stores_parameters:
                    self._place_parameters(path, rows, where, tel_id, [events[row][2][tel_id] for row in where])
                self.n_images[tel_id] += len(where)
                self._run["images"] += len(where)
        nodes.append(self._file.get_node(path, schema.EVENTS), rows)
        self._rows[path][schema.EVENTS] += len(rows)

    def _stored_images(self, pixels, grid):
        charges, times, masks = zip(*pixels, strict=True)
        times = np.stack(times) if images.has_timing(self._image_settings["mode"]) else None
        wanted = images.needs_masks(self._image_settings) and masks[0] is not None
        masks = np.stack(masks) if wanted else None
        stored, counts = images.make_images(np.stack(charges), times, grid, self._image_settings, masks)
        for kind, n_pixels in counts._asdict().items():
            self._run[f"{kind}_pixels"] += int(n_pixels.sum())
        return stored

    def _place(self, path, rows, where, position, tel_id, stored):
        """Put one telescope's images into its array, or into the rows themselves."""
        name = schema.image_name(tel_id)
        if self._mapped:
            array = self._file.get_node(path, name)
            rows["tel_map"][where, position] = np.arange(array.nrows, array.nrows + len(where))
            nodes.append(array, stored)
            self._rows[path][name] += len(stored)
        else:
            rows["trig_list"][where, position] = 1
            rows[name][where] = stored

    def _place_parameters(self, path, rows, where, tel_id, values):
        """Put the parameters of one telescope's images into its table, or into the rows themselves."""
        name = schema.parameters_name(tel_id)
        if self._mapped:
            if name not in self._file.get_node(path):  # tables of many columns take long to make
                nodes.create_parameter_table(self._file, path, tel_id, self._filters)
            nodes.append(self._file.get_node(path, name), parameter_columns.rows(np.stack(values)))
            self._rows[path][name] += len(values)
        else:
            rows[name][where] = values

    def set_pointings(self, pointings):
        """Take into Tel_Table where the array and its telescopes look; call when events were read, before `finish`.

        pointings : pointing.Pointings
            Of the first run.
        """
        rows = self._layout.tel_table
        rows["run_array_direction"] = pointings.array
        rows["pointing"] = [pointings.of(tel_id) for tel_id in self._layout.grids]

    def run_counts(self):
        """Return the counts of Run_Table that are known here, of the events added since the last :meth:`end_run`."""
        self.flush()  # what is counted is written
        names = "events_written", "images", *(f"{kind}_pixels" for kind in images.PixelCounts._fields)
        return {name: self._run[name] for name in names}

    def end_run(self, values):
        """Take the row of Run_Table, {column: value}, of the run whose events were added since the last call."""
        self.flush()
        self._run.clear()
        row = np.zeros(1, schema.dtype(self._run_columns))
        for name, value in values.items():
            row[name] = os.fsencode(value) if isinstance(value, str) else value
        self._run_rows.append(row)

    def finish(self):
        """Write Tel_Table and Run_Table, and counts of rows; call after the last :meth:`end_run`."""
        layout = self._layout
        self._write_table("/", schema.TEL_TABLE, schema.TEL_COLUMNS, layout.tel_table, layout.attributes)
        self._write_table("/", schema.RUN_TABLE, self._run_columns, np.concatenate(self._run_rows))
        counts = json.dumps(self._rows)
        if len(counts) <= LARGEST_ATTRIBUTE:
            nodes.set_attributes(self._file.root, {schema.COUNTS: counts})
