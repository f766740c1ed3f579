"""What images of some events, drawn at random, tell: sizes, peak times, pixels that clip or are no numbers."""

from dataclasses import dataclass, field

import numpy as np

from .event_counts import Histogram

#: Events whose images are looked at, at most.
MAX_EVENTS = 400

#: Parts of the images of a camera that are brighter than those shown of little and of much light.
SMALL, LARGE = 0.7, 0.05


@dataclass
class TelescopeSample:
    """What was seen of the images of one telescope.

    Attributes
    ----------
    n_images, n_pixels, n_clipped, n_not_finite : int
        Pixels: their cells, or those at their centres where a mapping resamples.
    """

    n_images: int = 0
    n_pixels: int = 0
    n_clipped: int = 0
    n_not_finite: int = 0


@dataclass
class ImageSample:
    """Images of events drawn at random.

    Attributes
    ----------
    n_events, n_images : int
    log10_size, peak_time : Histogram
        By primary: log10 of the sum of an image's charges [p.e.]; peak time of its brightest pixel [ns].
    telescopes : {tel_id: TelescopeSample}
    gallery : {name of a camera: (image of little light, image of much)}
        Of :class:`viewing.event_images.TelescopeImage`.
    """

    n_events: int = 0
    n_images: int = 0
    log10_size: Histogram = field(default_factory=lambda: Histogram(np.arange(0, 81) / 10))
    peak_time: Histogram = field(default_factory=lambda: Histogram(np.arange(-40, 401) / 2))
    telescopes: dict = field(default_factory=dict)
    gallery: dict = field(default_factory=dict)

    @classmethod
    def of(cls, dataset, seed=0):
        """Look at the images of an open dataset, a :class:`viewing.event_images.DatasetEvents`."""
        sample, seen = cls(), {}
        for table, row in dataset.random(MAX_EVENTS, seed):
            event = dataset.event(table, row)
            sample.n_events += 1
            for image in event.images:
                sample._add(event.values["gamma_hadron_label"], image)
                seen.setdefault(image.camera.name, []).append((_size(image), table._v_pathname, row, image.tel_id))
        for camera, places in sorted(seen.items()):
            places.sort()
            chosen = [places[int((1 - part) * (len(places) - 1))] for part in (SMALL, LARGE)]
            sample.gallery[camera] = tuple(_read(dataset, *place) for _, *place in chosen)
        return sample

    def _add(self, primary, image):
        self.n_images += 1
        size = _size(image)
        self.log10_size.add(primary, np.array([np.log10(size) if size > 0 else -np.inf]))
        if image.peak_time is not None and np.isfinite(image.charge).any():
            self.peak_time.add(primary, image.peak_time[[np.nanargmax(image.charge)]])
        mine = self.telescopes.setdefault(image.tel_id, TelescopeSample())
        values = [image.charge] if image.peak_time is None else [image.charge, image.peak_time]
        mine.n_images += 1
        mine.n_pixels += len(image.charge)
        mine.n_not_finite += int((~np.isfinite(values)).any(axis=0).sum())
        mine.n_clipped += _clipped(image)


def _size(image):
    """Return the sum of an image's finite charges [p.e.]."""
    return float(image.charge[np.isfinite(image.charge)].sum())


def _clipped(image):
    """Return how many pixels hold the largest number of an integer dtype or, if it is signed, the least."""
    if image.stored.dtype.kind not in "iu":
        return 0
    is_last = image.stored.shape[:2] == image.charge_array.shape
    channels = np.moveaxis(image.stored, -1, 0) if is_last else image.stored
    pixels = image.camera.pixel_vectors(channels, image.charge_array.shape[0] // image.camera.shape[0])
    limits = np.iinfo(image.stored.dtype)
    is_clipped = (pixels == limits.max) | ((pixels == limits.min) & (limits.min < 0))
    return int(is_clipped.any(axis=0).sum())


def _read(dataset, table, row, tel_id):
    images = dataset.event(dataset.file.get_node(table), row).images
    return next(image for image in images if image.tel_id == tel_id)
