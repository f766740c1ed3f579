"""The reader of samples by what a user chose: view, channels, type of numbers, layout, telescopes of an event."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike

from ..errors import DatasetError, MissingNameError
from ..hdf5.stored_rows import OpenFiles
from ..image_scales import channel_names
from . import camera_pixels, stored_images
from .chosen_telescopes import telescope_types
from .event_weights import EventWeight
from .sample_index import SampleIndex
from .sample_reader import SampleReader
from .sample_types import Integers
from .type_reader import ORDERS, Maximum, TypeReader

#: What samples are, and how their images are laid out.
VIEWS, LAYOUTS = ("telescope", "event", "types"), ("array", "pixels")


@dataclass(frozen=True)
class Choice:
    """What a user chose; see ImageDataset.

    Raises
    ------
    ValueError
        For what is no choice, or does not go with the view.
    """

    view: str
    layout: str
    channels: stored_images.Channels | None
    dtype: DTypeLike | None
    max_telescopes: Maximum
    telescope_order: str

    def __post_init__(self) -> None:
        for name, known in (("view", VIEWS), ("layout", LAYOUTS), ("telescope_order", ORDERS)):
            value = getattr(self, name)
            if value not in known:
                raise ValueError(f"{name} = {value!r}: must be {' or '.join(map(repr, known))}")
        if self.view != "types" and (self.max_telescopes is not None or self.telescope_order != "id"):
            raise ValueError(f"max_telescopes and telescope_order: choose view = 'types', not {self.view!r}")
        if self.dtype is not None and np.dtype(self.dtype).kind != "f":
            numbers = "a floating-point type, or None for the numbers as they are stored"
            raise ValueError(f"dtype = {self.dtype!r}: must be {numbers}")

    def channel_numbers(self, index: SampleIndex) -> tuple[list[int], list[str]]:
        """Return the chosen channels of all, and their names."""
        names = channel_names(str(index.sources[0].attributes["image_mode"]))
        chosen = stored_images.choose_channels(self.channels, names, index.sources[0].path)
        return chosen, [names[channel] for channel in chosen]


def make_reader(
    files: OpenFiles, index: SampleIndex, columns: Sequence[str | EventWeight], choice: Choice
) -> SampleReader | TypeReader:
    """Return what reads the samples of an index.

    files : OpenFiles
    columns : list of str or EventWeight, which were checked
    """
    if choice.dtype is None:
        stored_images.check_stored_numbers(index.sources)
    if choice.view != "types":
        return _reader(files, index, columns, choice)
    types = telescope_types(index.telescopes[: index.row.shape[1]])
    names = np.unique(types).tolist()
    maximum = _maximum(choice.max_telescopes, names, index.sources[0].path)
    _, channels = choice.channel_numbers(index)
    if choice.telescope_order == "size" and "charge" not in channels:
        raise ValueError(f"telescope_order = 'size' needs the channel charge, channels are {', '.join(channels)}")
    charge = channels.index("charge") if "charge" in channels else 0
    readers = {name: _reader(files, index, columns, choice, name) for name in names}
    return TypeReader(readers, types, choice.telescope_order, maximum, charge)


def _reader(
    files: OpenFiles,
    index: SampleIndex,
    columns: Sequence[str | EventWeight],
    choice: Choice,
    of_type: str | None = None,
) -> SampleReader:
    channels, _ = choice.channel_numbers(index)
    dtype = None if choice.dtype is None else np.dtype(choice.dtype)
    found = [stored_images.Conversion(source.attributes_of(of_type), channels, dtype) for source in index.sources]
    cells = _cells(files, index, of_type) if choice.layout == "pixels" else None
    return SampleReader(files, index, found, columns, cells)


def _maximum(given: Maximum, names: list[str], path: str) -> dict[str, int | None]:
    """Return how many telescopes of each type are kept, None: all."""
    found = dict.fromkeys(names) | (dict(given) if isinstance(given, Mapping) else dict.fromkeys(names, given))
    for name, number in found.items():
        if name not in names:
            raise MissingNameError(path, "telescope type", name, names)
        if number is not None and number < 1:
            raise ValueError(f"max_telescopes = {given!r}: must be at least 1")
    return found


def _cells(files: OpenFiles, index: SampleIndex, of_type: str | None) -> Integers:
    """Return the cells of pixels, the same of all images; raise DatasetError if there are none, or others."""
    names = {(source.path, name) for source in index.sources for name in source.cameras_of(of_type)}
    found = [camera_pixels.read(path, name, files.verify) for path, name in sorted(names)]
    for camera in found[1:]:
        if not camera_pixels.same(camera, found[0]):
            both = f"{found[0].name} and {camera.name}"
            raise DatasetError(f"layout = 'pixels': {both} have other pixels: choose telescopes of one camera")
    return found[0].cells
