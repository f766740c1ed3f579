"""Are image parameters those of the images beside them? All are there, pass the cuts, and a sample is computed anew."""

import numpy as np

from ..hdf5 import nodes, schema
from ..hdf5.image_places import image_rows
from ..parameters import columns
from ..primaries import primary_name
from ..value_ranges import is_open, within
from .image_checks import Faults

#: Images of each telescope and table whose parameters are computed anew.
SAMPLE = 20

#: Stored images are float32, and so are focal lengths in Tel_Table; what is next to 0 is compared with the others.
TOLERANCE = 1e-4

#: Positions are float32: distances agree to this [m].
NEAR = 0.1

#: What the loops find by trial, from starts that rounding may send elsewhere.
FITTED = tuple(name for name, *_ in columns.TIMING)


class ParameterChecks:
    """Checks of the image parameters of a dataset that has them.

    Parameters
    ----------
    dataset : DatasetEvents
    """

    def __init__(self, dataset):
        self._dataset, self._faults = dataset, Faults()
        self._ids = dataset.tel_table["tel_id"].tolist()
        self._cuts = {name: limits for name, limits in dataset.settings["image_cuts"].items() if not is_open(limits)}
        image_settings = dataset.settings["image"]
        self._can_recompute = image_settings["dtype"] == "float32"
        self._has_times = "TIMING" in image_settings["mode"]
        self._tables, self._computers = {}, {}

    def add(self, table, first, rows):
        """Check a block of rows of Events: the parameters of their images."""
        where = image_rows(rows, first, np.arange(len(self._ids)))
        for position, tel_id in enumerate(self._ids):
            has = where[:, position] >= 0
            found = self._parameters(table, rows, tel_id, where[:, position])
            if found is None:
                self._faults.mark(table._v_pathname, f"no parameters of an image of telescope {tel_id},", has, first)
                continue
            for name, limits in self._cuts.items():
                wrong = np.zeros(len(rows), bool)
                wrong[has] = ~within(found[name][has].astype(np.float64), _widened(limits))
                what = f"{name} of telescope {tel_id} outside [image_cuts],"
                self._faults.mark(table._v_pathname, what, wrong, first)
            self._check_truth(table, first, rows, position, has, found)
            self._check_sample(table, first, rows, position, np.flatnonzero(has), found)

    def _parameters(self, table, rows, tel_id, where):
        """Return the parameters of a telescope's image in each row, structured array; None if some are missing."""
        name = schema.parameters_name(tel_id)
        if not self._dataset.is_mapped:
            return columns.rows(np.where(where[:, np.newaxis] >= 0, rows[name], -1))
        stored = self._table(table._v_parent, tel_id)
        if stored is None or len(stored) <= where.max(initial=-1):
            return None
        found = np.zeros(len(rows), stored.dtype)
        found[where >= 0] = stored[where[where >= 0]]
        return found

    def _table(self, group, tel_id):
        """Return the parameters of all images of a telescope in a group; None if there are none."""
        key = group._v_pathname, tel_id
        if key not in self._tables:
            node = nodes.parameter_tables(group).get(tel_id)
            self._tables[key] = None if node is None else node[:]
        return self._tables[key]

    def _check_truth(self, table, first, rows, position, has, found):
        """Compare the true direction and impact distance with those of the event."""
        telescope = self._dataset.tel_table[position]
        wrong, what = np.zeros(len(rows), bool), f"true_impact_distance of telescope {telescope['tel_id']}"
        if self._dataset.is_observed:
            what = f"a true_impact_distance of telescope {telescope['tel_id']}, though it is observed,"
            wrong[has] = ~np.isnan(found["true_impact_distance"][has])
            self._faults.mark(table._v_pathname, what, wrong, first)
            return
        wrong[has] = ~(np.abs(_impact_distance(rows, telescope) - found["true_impact_distance"])[has] < NEAR)
        self._faults.mark(table._v_pathname, f"{what} that is not the event's,", wrong, first)

    def _check_sample(self, table, first, rows, position, having, found):
        """Compute parameters of some images anew."""
        telescope = self._dataset.tel_table[position]
        camera = self._dataset.cameras[telescope["camera"].decode()]
        if not self._can_recompute or not camera.is_lossless or not len(having):
            return
        wrong = np.zeros(len(rows), bool)
        names = [name for name, *_ in columns.IMAGE_COLUMNS]
        names = [name for name in names if name not in FITTED and (self._has_times or name not in columns.TIMED)]
        for row in having[:: -(-len(having) // SAMPLE)]:
            image = self._dataset.event_image(table, rows[row], position)
            expected = self._computed(image, position)
            wrong[row] = not all(_agree(found[name][row], expected[name]) for name in names)
        what = f"parameters of telescope {telescope['tel_id']} that are not those of its image,"
        self._faults.mark(table._v_pathname, what, wrong, first)

    def _computed(self, image, position):
        """Return the parameters of a TelescopeImage, by its telescope's row in Tel_Table, as they should be stored."""
        from ..parameters.camera_parameters import CameraParameters
        from ..parameters.cleaning import Thresholds

        if position not in self._computers:
            self._computers[position] = CameraParameters(image.geometry, Thresholds(*image.thresholds))
        parameters, charge = self._computers[position], image.charge.astype(np.float32)
        time = None if image.peak_time is None else image.peak_time.astype(np.float32)
        values = parameters.values(charge, parameters.clean(charge), time)
        return columns.rows(np.append(values, np.zeros(len(columns.TRUE_COLUMNS)))[np.newaxis])[0]

    def problems(self):
        """Return a line for each kind of fault."""
        return [*self._faults.problems(), *self._missing_tables(), *ImageCounts(self._dataset).problems()]

    def _missing_tables(self):
        for group in nodes.events_groups(self._dataset.file) if self._dataset.is_mapped else ():
            tables, arrays = nodes.parameter_tables(group), nodes.image_arrays(group)
            for tel_id in self._ids:
                n_rows = tables[tel_id].nrows if tel_id in tables else 0
                if n_rows != arrays[tel_id].nrows:
                    where = f"{group._v_pathname.rstrip('/')}/{schema.parameters_name(tel_id)}"
                    yield f"{where}: parameters of {n_rows} images, not {arrays[tel_id].nrows}"


class ImageCounts:
    """Counts of images in Run_Table: those calibrated are those cut, dropped and written."""

    def __init__(self, dataset):
        self._runs, self._is_observed = dataset.runs, dataset.is_observed

    def add(self, table, first, rows):
        """Take a block of rows; it is Run_Table that is looked at."""

    def problems(self):
        """Return a line for each run whose counts do not add up."""
        return list(_count_problems(self._runs, self._is_observed))


def _widened(limits):
    """Return limits for values that were rounded to float32 after the cut."""
    low, high = limits
    return None if low is None else low - abs(low) * 1e-6, None if high is None else high + abs(high) * 1e-6


def _agree(stored, computed):
    if np.isnan(stored) or np.isnan(computed):
        return bool(np.isnan(stored) and np.isnan(computed))
    return bool(abs(float(stored) - float(computed)) <= TOLERANCE * max(1.0, abs(float(computed))))


def _impact_distance(rows, telescope):
    """Return the distance of a telescope from the axes of showers [m], float array (n,)."""
    alt, az = rows["alt"].astype(np.float64), rows["az"].astype(np.float64)
    # x to the north and y to the west; azimuth from north to east
    axis = np.column_stack([np.cos(alt) * np.cos(az), -np.cos(alt) * np.sin(az), np.sin(alt)])
    place = np.array([telescope[f"tel_{name}"] for name in "xyz"], np.float64)
    core = np.column_stack([rows["core_x"], rows["core_y"], np.zeros(len(rows))]).astype(np.float64)
    return np.linalg.norm(np.cross(place - core, axis), axis=1)


def _count_problems(runs, is_observed):
    """Yield a line for each run whose counts of images do not add up."""
    cut = [name for name in runs.dtype.names if name.startswith(schema.IMAGES_CUT)]
    for run in runs[runs["images_calibrated"][:, 0] >= 0]:
        left = sum(run[name].astype(np.int64) for name in (*cut, "images_dropped", "images_written"))
        where = f"/Run_Table: run {run['run_number']} ({primary_name(int(run['primary']), is_observed)})"
        if not np.array_equal(left, run["images_calibrated"]):
            yield f"{where}: images calibrated are not those cut, dropped and written"
        if run["images_written"].sum() != run["images"]:
            yield f"{where}: images is {run['images']}, but {run['images_written'].sum()} by telescope type"
