"""The selected telescopes of a run and their cameras, as the dataset describes them."""

import re
from dataclasses import dataclass, field

import numpy as np

from .. import telescopes
from ..errors import ConfigError
from ..hdf5 import schema
from ..mapping import images
from ..mapping.methods import LOSSLESS
from ..parameters.cleaning import Thresholds, thresholds
from .parameterization import is_cleaning_needed

NO_CLEANING = Thresholds(np.nan, np.nan, -1)


@dataclass(frozen=True, eq=False)
class ArrayLayout:
    """What is the same for all runs of a dataset.

    Attributes
    ----------
    types : {telescope type: [tel_id, ...]}
    grids : {tel_id: PixelGrid or ResampledGrid}, ascending
    tel_table : structured array, one row per telescope
    cameras : {entry of /Cameras: (structured array with one row per pixel, attributes)}
    attributes : dict
        Of Tel_Table: which focal length ctapipe used, 'EFFECTIVE' or 'EQUIVALENT'.
    """

    types: dict
    grids: dict
    tel_table: np.ndarray
    cameras: dict
    attributes: dict = field(default_factory=dict)

    @property
    def mappings(self):
        """The mapping of each telescope's camera, {tel_id: mapping}."""
        entries = zip(self.tel_table["tel_id"].tolist(), self.tel_table["camera"].tolist(), strict=True)
        return {tel_id: self.cameras[name.decode()][1]["mapping"] for tel_id, name in entries}


def describe(subarray, settings, pointing, focal_length_choice):
    """Describe the telescopes of a subarray that the settings select.

    subarray : ctapipe SubarrayDescription
    pointing : (azimuth, altitude) of the array [rad]
    focal_length_choice : str
        Which focal length ctapipe used.
    """
    selection = settings["telescope"]
    types = telescopes.select(subarray, selection["type_mode"], selection["tel_ids"])
    type_of = {tel_id: short for short, ids in types.items() for tel_id in ids}
    table = np.zeros(len(type_of), schema.dtype(schema.TEL_COLUMNS))
    cameras, grids, entries = {}, {}, []
    for row, tel_id in zip(table, sorted(type_of), strict=True):
        telescope = subarray.tel[tel_id]
        name, grid = _camera_entry(telescope, settings["image"], entries)
        grids[tel_id] = grid
        row["tel_id"], row["tel_type"], row["run_array_direction"] = tel_id, type_of[tel_id], pointing
        row["tel_x"], row["tel_y"], row["tel_z"] = subarray.positions[tel_id].to_value("m")
        row["camera"], row["optics"] = name.encode()[:64], str(telescope.optics).encode()[:64]
        row["pointing"] = pointing
        row["focal_length"] = telescope.optics.equivalent_focal_length.to_value("m")
        row["effective_focal_length"] = _effective(telescope.optics)
        row["mirror_area"] = telescope.optics.mirror_area.to_value("m2")
        row["n_pixels"] = telescope.camera.geometry.n_pixels
        cleaning = thresholds(telescope, settings["cleaning"]) if is_cleaning_needed(settings) else NO_CLEANING
        row["cleaning_picture"], row["cleaning_boundary"], row["cleaning_neighbours"] = cleaning
    for name, geometry, mapping, _, grid in entries:
        attributes = _camera_attributes(geometry, grid, mapping, settings["image"]["scale_factor"])
        cameras[name] = _camera_table(geometry, grid), attributes
    return ArrayLayout(types, grids, table, cameras, {schema.FOCAL_LENGTH_CHOICE: focal_length_choice})


def _effective(optics):
    """Return the effective focal length [m], NaN where the file has none: old ones, or 0 for an unknown one."""
    length = optics.effective_focal_length.to_value("m")
    return length if length > 0 else np.nan


def _camera_entry(telescope, image_settings, entries):
    """Return name and grid of a camera; one name with several geometries or mappings becomes name, name_2, ..."""
    geometry, (mapping, shape) = telescope.camera.geometry, mapping_of(telescope, image_settings)
    for name, known, *how, grid in entries:
        same = known is geometry or (known.name == geometry.name and _same_pixels(known, geometry))
        if same and how == [mapping, shape]:
            return name, grid
    base = re.sub(r"\W", "_", geometry.name, flags=re.ASCII) or "camera"
    base = base if not base[0].isdigit() else f"_{base}"
    taken = {name for name, *_ in entries}
    name = next(n for n in (base, *(f"{base}_{i}" for i in range(2, len(taken) + 3))) if n not in taken)
    grid = images.pixel_grid(geometry, mapping, shape)
    entries.append((name, geometry, mapping, shape, grid))
    return name, grid


def mapping_of(telescope, image_settings):
    """Return the mapping of a telescope's camera and the shape of its arrays, by the section [image] of the settings.

    Raises ConfigError for a shape of its own where the mapping has no choice.
    """
    mapping, shape = (
        image_settings[name] if key is None else image_settings[f"{name}_of"][key]
        for name, key in (
            (name, telescopes.best_key(telescope, image_settings[f"{name}_of"])) for name in ("mapping", "shape")
        )
    )
    if mapping not in LOSSLESS:
        return mapping, shape
    key = telescopes.best_key(telescope, image_settings["shape_of"])
    if key is not None and shape != "auto":
        raise ConfigError(
            f"[image] [[shape_of]] {key} = {shape} with mapping = {mapping}: must be auto, "
            "only mappings that resample have a choice"
        )
    return mapping, "auto"


def _same_pixels(one, other):
    return one.n_pixels == other.n_pixels and all(
        np.array_equal(getattr(one, column).value, getattr(other, column).value)
        for column in ("pix_x", "pix_y", "pix_area")
    )


def _camera_table(geometry, grid):
    table = np.zeros(geometry.n_pixels, schema.dtype(schema.CAMERA_COLUMNS))
    table["pixel_id"] = np.arange(geometry.n_pixels)
    table["pix_x"], table["pix_y"] = geometry.pix_x.to_value("m"), geometry.pix_y.to_value("m")
    table["pix_area"] = geometry.pix_area.to_value("m2")
    table["array_x"], table["array_y"] = grid.array_x, grid.array_y
    return table


def _camera_attributes(geometry, grid, mapping, scale_factor):
    return {
        "camera_name": geometry.name,
        "pixel_shape": geometry.pix_type.value,
        "pix_rotation_deg": float(geometry.pix_rotation.to_value("deg")),
        "cam_rotation_deg": float(geometry.cam_rotation.to_value("deg")),
        "mapping": mapping,
        "array_shape": np.array(grid.shape, np.int32),
        "scale_factor": scale_factor,
        "axis_0_angle_deg": float(np.degrees(grid.angle)),
        **grid.attributes(),
    }
