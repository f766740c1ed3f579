"""Checks of the images of a dataset, block by block: each has a row, is dark beside the pixels, holds what it may."""

import numpy as np

from ..hdf5 import nodes
from ..hdf5.image_places import has_image
from ..image_scales import scales
from ..terminal.text_table import plural
from .event_images import row_blocks

#: What cells beside the pixels of a camera should not hold.
LIT = "not 0 where the camera has no pixel,"


class Faults:
    """Rows that are wrong, counted by table and by what is wrong, with the first of each."""

    def __init__(self):
        self._found = {}

    def mark(self, where, what, wrong, first):
        """Count the rows for which the bool array `wrong` is true; its first element is row `first`."""
        if wrong.any():
            row = first + int(np.argmax(wrong))
            n, row = self._found.get((where, what), (0, row))
            self._found[where, what] = n + int(wrong.sum()), row

    def problems(self):
        """Return a line for each kind of fault."""
        return [
            f"{where}: {what} in {plural(n, 'row')}, first in row {row}"
            for (where, what), (n, row) in self._found.items()
        ]


class DarkCells:
    """The cells of a lossless mapping in which a camera has no pixel: they hold 0."""

    def __init__(self, dataset):
        image_settings, self._dark = dataset.settings["image"], {}
        self._axes = (2, 3) if image_settings["dim_order"] == "channels_first" else (1, 2)
        for telescope in dataset.tel_table:
            camera = dataset.cameras[telescope["camera"].decode()]
            if camera.is_lossless:
                shape = np.multiply(camera.shape, image_settings["scale_factor"])
                self._dark[int(telescope["tel_id"])] = ~camera.has_pixel(shape)

    def are_lit(self, tel_id, images):
        """Say of which images of a telescope they are not 0, bool array (n_images,)."""
        dark = self._dark.get(tel_id)
        if dark is None:
            return np.zeros(len(images), bool)
        return (np.moveaxis(images, self._axes, (1, 2))[:, dark] != 0).any(axis=(1, 2))


class Masks:
    """The channel of cleaning masks: shares of cells, all or nothing under a lossless mapping.

    There, and only there, a cleaned image holds nothing else in cells without a share: interpolation goes further.
    """

    def __init__(self, dataset):
        image_settings, self._scale = dataset.settings["image"], scales(dataset.settings["image"]).get("mask_scale")
        self._axis = 1 if image_settings["dim_order"] == "channels_first" else -1
        self._cleaned = image_settings["cleaned"]
        cameras = {int(row["tel_id"]): dataset.cameras[row["camera"].decode()] for row in dataset.tel_table}
        self._lossless = {tel_id for tel_id, camera in cameras.items() if camera.is_lossless}

    def faults(self, tel_id, images):
        """Yield (what is wrong, bool array (n_images,): of which images of a telescope)."""
        if self._scale is None:
            return
        *others, mask = np.moveaxis(images, self._axis, 0)
        inside = (mask >= 0) & (mask <= self._scale)
        yield f"a mask that is not within 0 and {self._scale:g}", ~inside.all(axis=(1, 2))
        if tel_id in self._lossless:
            between = inside & (mask != 0) & (mask != self._scale)
            yield f"a mask that is neither 0 nor {self._scale:g}", between.any(axis=(1, 2))
            if self._cleaned:
                left = np.any([channel != 0 for channel in others], axis=0) & (mask == 0)
                yield "not 0 where the mask is, though cleaned is set,", left.any(axis=(1, 2))


class NotFinite:
    """Pixels (cells, if resampled) whose charge or time is not finite: as many as Run_Table says."""

    def __init__(self, dataset):
        image_settings, stated = dataset.settings["image"], dataset.runs["not_finite_pixels"]
        self._can_hold = np.dtype(image_settings["dtype"]).kind == "f"  # integers have 0 there
        self._channel = -1 if image_settings["dim_order"] == "channels_last" else 1
        step = slice(None, None, image_settings["scale_factor"])
        self._cells = (slice(None), step, step) if self._channel == -1 else (slice(None), slice(None), step, step)
        self._stated = int(stated[stated >= 0].sum())
        self._is_sure = bool((stated >= 0).all())  # older formats do not tell
        self._found, self._where = 0, ""

    def add(self, where, first, images_):
        """Count in a block of images, the first of which is image `first` of its array or table."""
        if self._can_hold:
            marks = ~np.isfinite(images_[self._cells]).all(axis=self._channel)
            n = int(np.count_nonzero(marks))
            if n and not self._found:
                self._where = f", first in {where} row {first + int(np.argmax(marks.any(axis=(1, 2))))}"
            self._found += n

    def problems(self):
        """Return a line if the numbers differ."""
        agrees = self._found == self._stated if self._is_sure else self._found >= self._stated
        if not self._can_hold or agrees:
            return []
        return [f"/Run_Table: not_finite_pixels is {self._stated}, the images have {self._found}{self._where}"]


class ImageRows:
    """`mapped` storage: every image belongs to one row, every row's images are there, and all can be read."""

    def __init__(self, dataset):
        self._ids = dataset.tel_table["tel_id"].tolist()
        self._arrays = {group._v_pathname: nodes.image_arrays(group) for group in nodes.events_groups(dataset.file)}
        # 0, 1 or "more" uses of each image
        self._uses = {
            path: [np.zeros(arrays[tel_id].nrows, np.uint8) for tel_id in self._ids]
            for path, arrays in self._arrays.items()
        }
        self._dark, self._not_finite, self._faults = DarkCells(dataset), NotFinite(dataset), Faults()
        self._masks = Masks(dataset)

    def add(self, table, first, rows):
        """Follow a block of rows to their images."""
        for tel_id, uses, index in zip(
            self._ids, self._uses[table._v_parent._v_pathname], rows["tel_map"].T, strict=True
        ):
            wrong = (index < -1) | (index >= len(uses))
            what = f"tel_map of telescope {tel_id} outside its {plural(len(uses), 'image')}"
            self._faults.mark(table._v_pathname, what, wrong, first)
            counts = np.bincount(index[(index >= 0) & ~wrong], minlength=len(uses))
            uses[...] = np.minimum(uses + counts, 2)

    def problems(self):
        """Return a line for each array with images of no row, or of several, or with light where no pixel is."""
        for arrays in self._arrays.values():
            for tel_id, array in arrays.items():
                for first, images_ in row_blocks(array):
                    self._faults.mark(array._v_pathname, LIT, self._dark.are_lit(tel_id, images_), first)
                    for what, wrong in self._masks.faults(tel_id, images_):
                        self._faults.mark(array._v_pathname, what, wrong, first)
                    self._not_finite.add(array._v_pathname, first, images_)
        lines = [*self._faults.problems(), *self._not_finite.problems()]
        for path, arrays in self._arrays.items():
            for tel_id, uses in zip(self._ids, self._uses[path], strict=True):
                for n_uses, what in ((0, "of no row of Events"), (2, "used more than once")):
                    found = np.flatnonzero(uses == n_uses)
                    if len(found):
                        where = arrays[tel_id]._v_pathname
                        lines.append(f"{where}: {plural(len(found), 'image')} {what}, first image {found[0]}")
        return lines


class ImageColumns:
    """`all` storage: trig_list says which telescopes have an image, the columns of the others are zero."""

    def __init__(self, dataset):
        self._dark, self._not_finite, self._faults = DarkCells(dataset), NotFinite(dataset), Faults()
        self._masks = Masks(dataset)

    def add(self, table, first, rows):
        """Look at a block of rows."""
        self._faults.mark(table._v_pathname, "trig_list neither 0 nor 1", (rows["trig_list"] > 1).any(axis=1), first)
        names = [name for name in rows.dtype.names if name[0] == "T" and name[1:].isdigit()]
        for name, without in zip(names, ~has_image(rows).T, strict=True):
            wrong = np.zeros(len(rows), bool)
            wrong[without] = rows[name][without].any(axis=(1, 2, 3))
            what = f"an image of telescope {name[1:]} where trig_list has none,"
            self._faults.mark(table._v_pathname, what, wrong, first)
            where, tel_id = f"{table._v_pathname}, {name}", int(name[1:])
            self._faults.mark(where, LIT, self._dark.are_lit(tel_id, rows[name]), first)
            for what, wrong in self._masks.faults(tel_id, rows[name]):
                self._faults.mark(where, what, wrong, first)
            self._not_finite.add(where, first, rows[name])

    def problems(self):
        """Return a line for each kind of fault."""
        return [*self._faults.problems(), *self._not_finite.problems()]
