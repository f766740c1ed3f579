"""Images and peak times of one telescope in ctapipe's files, in blocks, as they were before they were stored."""

import numpy as np

from .event_rows import RowsOfEvents
from .node_names import IMAGES, TRIGGER, telescope_name


class StoredImage:
    """An image as conversion takes it, like ctapipe's DL1CameraContainer; its mask is made anew where it is needed."""

    __slots__ = ("image", "image_mask", "peak_time")

    def __init__(self, image, peak_time):
        self.image, self.peak_time, self.image_mask = image, peak_time, None


class ImageTable:
    """The images of one telescope, which are in the order of the events.

    Parameters
    ----------
    file : tables.File
    path : Path
        For messages.
    tel_id : int
    first : int
        Row to begin with.

    Attributes
    ----------
    row_bytes : int
        Size of a row in memory.
    """

    def __init__(self, file, path, tel_id, first=0):
        table = file.get_node(IMAGES, telescope_name(tel_id))
        self.row_bytes = table.rowsize
        self._rows = RowsOfEvents(path, table, TRIGGER, first)
        self._transforms = {
            name: _fixed_point(table, name) for name in ("image", "peak_time") if name in table.colnames
        }

    def take(self, keys, n_expected):
        """Return the images of the next events, as RowsOfEvents.take does their rows.

        Returns
        -------
        images : list of StoredImage
        event : int array (n_images,)
        """
        rows, event = self._rows.take(keys, n_expected)
        columns = {name: self._floats(rows, name, transform) for name, transform in self._transforms.items()}
        times = columns.get("peak_time", [None] * len(rows))
        return list(map(StoredImage, columns["image"], times)), event

    def _floats(self, rows, name, transform):
        """Return a column as one block of float32."""
        values = rows[name]
        return np.ascontiguousarray(values) if transform is None else transform.inverse(values)

    def finish(self):
        """Raise InputError if a row was not taken."""
        self._rows.finish()


def _fixed_point(table, name):
    """Return what makes numbers of a column that ctapipe stores in fixed point, None if it does not."""
    from ctapipe.io.tableio import FixedPointColumnTransform

    prefix = f"CTAFIELD_{table.colnames.index(name)}_TRANSFORM"
    scale = getattr(table.attrs, f"{prefix}_SCALE", None)
    if scale is None:
        return None
    kind = str(getattr(table.attrs, f"{prefix}_DTYPE", "float32"))
    return FixedPointColumnTransform(
        scale=float(scale),
        offset=float(getattr(table.attrs, f"{prefix}_OFFSET", 0)),
        source_dtype=kind,
        target_dtype=table.coldtypes[name].base,
    )
