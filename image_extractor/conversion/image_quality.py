"""Which images of an event are stored, and whether enough are left of it; every reason counted."""

from collections import Counter

from .. import telescopes
from ..hdf5.schema import COUNTED_TYPES, IMAGES_CUT
from ..parameters.columns import NAMES
from ..value_ranges import within


class ImageQuality:
    """The cuts of [image_cuts] and [event_cuts] that images decide.

    Parameters
    ----------
    subarray : ctapipe SubarrayDescription
    types : {telescope type: [tel_id, ...]}
        The selected telescopes.
    settings : dict
    """

    def __init__(self, subarray, types, settings):
        self._type_of = {tel_id: _counted(name) for name, ids in types.items() for tel_id in ids}
        self._cuts = [(name, NAMES.index(name), limits) for name, limits in settings["image_cuts"].items()]
        section = settings["event_cuts"]
        self._min_images, of_type = section["min_images"], telescopes.counts(section["min_images_of_type"])
        self._groups = [
            (fewest, {tel_id for tel_id in self._type_of if telescopes.is_called(subarray.tel[tel_id], word)})
            for word, fewest in of_type.items()
        ]
        self._counts = {name: Counter() for name in ("images_calibrated", "images_dropped", "images_written")}
        self._counts |= {IMAGES_CUT + name: Counter() for name, *_ in self._cuts}

    def __call__(self, tel_ids, parameters):
        """Return which images of an event are stored, list of tel_id; empty if the event is dropped.

        tel_ids : iterable of int
            Telescopes with an image.
        parameters : {tel_id: float array (len(NAMES),)}
            Empty without [image_cuts].
        """
        kept = []
        for tel_id in tel_ids:
            kind = self._type_of[tel_id]
            self._counts["images_calibrated"][kind] += 1
            failed = next((name for name, at, limits in self._cuts if not within(parameters[tel_id][at], limits)), None)
            if failed is None:
                kept.append(tel_id)
            else:
                self._counts[IMAGES_CUT + failed][kind] += 1
        enough = len(kept) >= self._min_images and all(
            len(group.intersection(kept)) >= fewest for fewest, group in self._groups
        )
        what = "images_written" if enough else "images_dropped"
        self._counts[what].update(self._type_of[tel_id] for tel_id in kept)
        return kept if enough else []

    def counts(self):
        """Return columns of Run_Table, {name: list of int, one for each of COUNTED_TYPES}."""
        return {name: [counts[kind] for kind in COUNTED_TYPES] for name, counts in self._counts.items()}


def _counted(name):
    return name if name in COUNTED_TYPES else "other"
