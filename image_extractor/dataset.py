"""Reading datasets back for training: batches of images and labels as NumPy arrays.

    from image_extractor.dataset import ImageDataset

    with ImageDataset("gammas.h5", telescopes="LST") as dataset:
        for batch in dataset.batches(64, shuffle=True, seed=1, epoch=0):
            batch["image"], batch["log10_energy"]

Needs NumPy and PyTables only, and xxhash to verify. Processes may share a dataset (forked or spawned), threads may
not: PyTables is not made for them.
"""

import copy
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike

from . import split_fractions
from .errors import MissingNameError
from .events.showers import Shares, Showers
from .hdf5.stored_rows import OpenFiles
from .training import camera_pixels, epochs, sample_columns, sample_cuts, sample_index, sample_order, stored_images
from .training.chosen_telescopes import Telescopes
from .training.dataset_paths import Paths, find_datasets
from .training.event_weights import EventWeight
from .training.reader_choice import Choice, make_reader
from .training.sample_types import Batch, Integers, Records, map_arrays
from .training.type_reader import Maximum

if TYPE_CHECKING:
    import tensorflow as tf

    from .training.torch_datasets import TorchBatches, TorchSamples

__all__ = ["ImageDataset", "find_datasets"]

#: Labels by name or weights, one or several.
Columns = str | EventWeight | Iterable[str | EventWeight]

#: Samples that are read one after the other in a shuffle by blocks, and samples that are held for it.
BLOCK, BUFFER = 256, 8192


class ImageDataset:
    """Images and labels of one or several datasets, by sample number.

    Parameters
    ----------
    path_or_paths : str, Path, or several
        Files, read as one dataset; they must have been made with the same kind of images.
    table : str
        'Training', 'Validation' or 'Test' of split files, 'Events' of files that are not split; see :meth:`split`.
    view : str
        'telescope': a sample is an image of one telescope, in the order in which the images lie in the file.
        'event': a sample is an event with the images of all chosen telescopes; events without any are left out.
        'types': the same with telescopes of several types, such as LST_LSTCam: image, mask and columns of telescopes
        are dicts of arrays by type, padded to the largest number of images that an event has.
    telescopes : int, str, or several, optional
        Ids, types or cameras such as 'LST', 'LST+NectarCam', [1, 2]; default: all. Their images must have one shape.
    bins : int, str, or several, optional
        Energy bins, 0 or 'E0': groups in gh_class files, labels in energy_recon files; default: all.
    channels : int, str, or several, optional
        Numbers or names ('charge', 'time', 'mask') of the channels; default: all.
    dtype : str or numpy.dtype or None
        Floating-point type of images in p.e., ns and shares, scales undone; None: numbers as they are stored.
    transform : callable, optional
        Takes and returns a batch, a dict of arrays whose first axis counts samples.
    columns : sequence of str or EventWeight
        Labels; ``sample_columns.COLUMNS`` has the names, and 'event_weight' weights to a target spectrum. Image
        parameters (``hillas_width``, ``leakage_pixels_width_1``, ...) are there if the dataset was made with
        [parameters] store = True.
        Observed events have 'time', see :func:`image_extractor.times.to_utc`; their true values are NaN, their primary
        is -1, and what would follow from it (is_gamma, weights) they don't have.
    where : dict, optional
        {column: (low, high)}: only samples with low <= value < high, None for an open end, one cut after the other. In
        the event view a cut on a column of telescopes takes images from events, and events that are left without any.
    verify : bool
        Hold all that is read against the checksums in the files: a DamagedDatasetError names the first rows that are
        not what was written. Files of older formats have none and are refused then.
    layout : str
        'array': images as they are stored; 'pixels': pixel vectors, of one camera whose mapping has a cell for each
        pixel (`shifting`, `axial`), in the order of :meth:`geometry`.
    max_telescopes : int or {type: int}, optional
        In the view 'types': images of a type that an event keeps, the first in their order; default: all.
    telescope_order : str
        In the view 'types': 'id', or 'size', the largest sum of charges first.

    Attributes
    ----------
    telescopes : structured array
        Rows of Tel_Table of the chosen telescopes, file after file.
    runs : structured array
        Run_Table of all files.
    image_shape : tuple, or {type: tuple}
        Of one image, (x, y, channel), whatever order the file has; (n_pixels, channel) in the layout 'pixels'.
    image_facts : dict
        How images were made, where that is the same in all files: image_mode, mapping, scale_factor, cleaned.
    channel_names : list of str
        'charge', 'time', 'mask', 'empty'. The mask is that of the cleaning: 1 in pixels that it keeps, or the share of
        a cell that they cover, 0 to 1.
    passed : dict
        {column: number of samples left after its cut}, in the order of `where`; under 'samples' those before.

    Raises
    ------
    MissingNameError
        (a KeyError and ValueError) for a table, telescope, bin, channel or column that is not there.
    DatasetError
        (a ValueError) for files that are no datasets, or don't fit together.

    Notes
    -----
    A batch is a dict: 'image', float array (n, x, y, channel), or (n, n_tel, x, y, channel) in the event view (as
    pixels (n, n_pixels, channel) and (n, n_tel, n_pixels, channel)), with
    'mask', bool (n, n_tel), False (and zeros) where a telescope has no image, and 'tel_position', (n, n_tel, 3) [m].
    This mask of telescopes is not the channel of the same name, which is of pixels.
    The other entries are the columns, (n,) or (n, k), those of telescopes (n, n_tel) in the event view.
    """

    def __init__(
        self,
        path_or_paths: Paths,
        table: str = "Training",
        view: str = "telescope",
        telescopes: Telescopes | None = None,
        bins: sample_index.Bins | None = None,
        channels: stored_images.Channels | None = None,
        dtype: DTypeLike | None = "float32",
        transform: Callable[[Batch], Batch] | None = None,
        columns: Columns = sample_columns.DEFAULT,
        where: sample_cuts.Where | None = None,
        verify: bool = False,
        layout: str = "array",
        max_telescopes: Maximum = None,
        telescope_order: str = "id",
    ) -> None:
        choice = Choice(view, layout, channels, dtype, max_telescopes, telescope_order)
        self._paths = find_datasets(path_or_paths)
        self.table, self.view, self.layout, self.transform = table, view, layout, transform
        checked = sample_columns.check(columns, self._paths[0])
        self._files = OpenFiles(self._paths, verify)
        index = sample_index.build(self._files, self._paths, table, view, telescopes, bins)
        self._check_columns(checked, index)
        self.image_facts = {key: index.sources[0].attributes[key] for key in sample_index.COMMON}
        _, self.channel_names = choice.channel_numbers(index)
        self._reader = make_reader(self._files, index, checked, choice)
        self.passed = self._cut(where or {})

    def _check_columns(self, columns: Sequence[str | EventWeight], index: sample_index.SampleIndex) -> None:
        """Raise DatasetError unless the samples have these columns, which were checked, and can be weighted so."""
        sample_columns.check_kind(columns, index.is_observed, self._paths[0])
        _check_weights(columns, index)

    def _cut(self, where: sample_cuts.Where) -> dict[str, int]:
        """Leave the samples that pass cuts; return how many pass each."""
        sample_cuts.check(where)
        self._check_columns(sample_columns.check(tuple(where), self._paths[0]), self._reader.index)
        index, passed = sample_cuts.apply(self._reader, where)
        self._reader = self._reader.of(index)
        return passed

    # -- what it holds ---------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._reader.index.event)

    def __repr__(self) -> str:
        files = self._paths[0] if len(self._paths) == 1 else f"{len(self._paths)} files"
        return f"<ImageDataset {files} {self.table}: {len(self)} samples of {self.image_shape}>"

    @property
    def paths(self) -> list[str]:
        """The files, in the order in which they are read."""
        return list(self._paths)

    @property
    def telescopes(self) -> Records:
        """Rows of Tel_Table of the chosen telescopes, structured array (n_tel,)."""
        return self._reader.index.telescopes

    @property
    def runs(self) -> Records:
        """Run_Table of all files, structured array (n_runs,)."""
        return self._reader.index.runs

    @property
    def channel_scales(self) -> list[float]:
        """Stored counts per p.e., ns or whole cell of each channel: what integers of ``dtype = None`` are divided by.

        So they can go to a GPU as they are stored, and be scaled there.

        Raises
        ------
        DatasetError
            If files store different numbers for the same values.
        """
        return self._reader.scales()

    @property
    def content_sha256(self) -> list[str]:
        """The hash of each file's content, by which a model can name what it learned from; '' of older formats."""
        return [self._files.content_sha256(path) for path in self._paths]

    def geometry(self, camera: str | None = None) -> camera_pixels.CameraPixels:
        """Return the pixels of a camera: positions, areas, neighbours as a graph, and their cells in arrays.

        Parameters
        ----------
        camera : str, optional
            An entry of /Cameras, as the column 'camera' of :attr:`telescopes` has them; default: the one that there is.

        Returns
        -------
        camera_pixels.CameraPixels

        Raises
        ------
        MissingNameError
            If no chosen telescope has such a camera, or several are there to choose from.
        """
        names = np.unique(self.telescopes["camera"]).astype("U").tolist()
        if camera is None and len(names) == 1:
            camera = names[0]
        if camera not in names:
            raise MissingNameError(self._paths[0], "camera", camera, names)
        return camera_pixels.read(self._paths[0], str(camera), self._files.verify)

    @property
    def image_shape(self) -> Any:
        """Of one image, (x, y, channel) or (n_pixels, channel); in the view 'types' a dict of these."""
        return self._reader.image_shape

    def labels(self, columns: Columns | None = None, samples: Any = slice(None)) -> Batch:
        """Return columns of samples without reading images.

        Parameters
        ----------
        columns : str, EventWeight, or several, optional
            As for the dataset; default: its own.
        samples : slice, list of int or bool array, optional
            Whatever ``dataset[...]`` takes for a batch; default: all.

        Returns
        -------
        dict
            {column: array (n, ...)}, (n, n_tel) for those of telescopes in the event view.
        """
        functions = None
        if columns is not None:
            checked = sample_columns.check(columns, self._paths[0])
            self._check_columns(checked, self._reader.index)
            functions = sample_columns.functions(checked)
        return self._reader.columns(self._numbers(samples), functions)

    def class_weights(self) -> dict[int, float]:
        """Return {primary: weight} that give every primary of this dataset the same sum of weights, mean 1.

        Raises
        ------
        DatasetError
            Of observed data, whose primaries are not known.
        """
        sample_columns.check_kind(("class_weight",), self._reader.index.is_observed, self._paths[0])
        return dict(self._reader.class_weights())

    # -- samples ---------------------------------------------------------------------------------------

    def __getitem__(self, key: Any) -> Batch:
        """Return a sample, dataset[i], or a batch, dataset[i:j], dataset[[i, j, ...]] or dataset[mask]."""
        if isinstance(key, int | np.integer) and not isinstance(key, bool | np.bool_):
            return map_arrays(operator.itemgetter(0), self._batch(self._numbers([key])))
        return self._batch(self._numbers(key))

    def __getitems__(self, keys: Sequence[int]) -> list[Batch]:
        """Return a list of samples that are read as one batch; PyTorch's DataLoader asks for batches in this way."""
        batch = self._batch(self._numbers(keys))
        return [map_arrays(operator.itemgetter(i), batch) for i in range(len(keys))]

    def _numbers(self, key: Any) -> Integers:
        """Return sample numbers, ascending or not, from 0."""
        if isinstance(key, slice):
            return np.arange(*key.indices(len(self)))
        numbers = np.asarray(key)
        if numbers.dtype == bool and numbers.shape == (len(self),):
            return np.flatnonzero(numbers)
        if numbers.size == 0:
            numbers = numbers.astype(np.int64)
        if numbers.ndim != 1 or numbers.dtype.kind not in "iu":
            raise TypeError(f"samples {key!r}: must be a number, a slice, a list of numbers, or a mask of all samples")
        numbers = numbers.astype(np.int64)
        outside = (numbers < -len(self)) | (numbers >= len(self))
        if outside.any():
            raise IndexError(f"sample {numbers[outside][0]} of {len(self)}")
        return np.where(numbers < 0, numbers + len(self), numbers)

    def _batch(self, numbers: Integers) -> Batch:
        batch = self._reader.batch(numbers)
        return batch if self.transform is None else self.transform(batch)

    # -- epochs ----------------------------------------------------------------------------------------

    def batches(
        self,
        batch_size: int = 64,
        shuffle: bool | str = False,
        seed: int = 0,
        epoch: int = 0,
        drop_last: bool = False,
        block: int = BLOCK,
        buffer: int = BUFFER,
        rank: int = 0,
        world_size: int = 1,
        worker: tuple[int, int] = (0, 1),
    ) -> epochs.EpochBatches:
        """Return an iterator of the batches of an epoch, every sample once.

        Parameters
        ----------
        batch_size : int
        shuffle : bool or str
            False: in file order; True or 'random': fully random; 'blocks': blocks of samples in random order,
            through a shuffle buffer: reading goes by blocks, for compressed files and those larger than memory.
        seed, epoch : int
            The same order for the same two.
        drop_last : bool
            Leave out a last batch that is smaller, and batches that not all ranks would have.
        block, buffer : int
            Samples of a block and of the buffer.
        rank, world_size : int
            Of this process among those that train together: they take turns, batch by batch.
        worker : (int, int)
            (k, n): of the batches of this rank every n-th from the k-th on, for the k-th of n workers.

        Returns
        -------
        EpochBatches
            An iterator of batches as the notes of the class say. Its ``state_dict()`` tells where it is, and
            ``load_state_dict(state)`` goes on there: in another program, with other ranks, or another batch size.

        Notes
        -----
        The order of samples depends on the dataset, seed and epoch alone (and on `block` and `buffer`), not on
        how many share it out.
        """
        if shuffle not in (False, True, "random", "blocks"):
            raise ValueError(f"shuffle = {shuffle!r}: must be True, False, 'random' or 'blocks'")
        for name, value in (("batch_size", batch_size), ("block", block), ("buffer", buffer)):
            if value < 1:
                raise ValueError(f"{name} = {value}: must be at least 1")
        for name, (number, n) in (("rank", (rank, world_size)), ("worker", worker)):
            if not 0 <= number < n:
                raise ValueError(f"{name} = {number} of {n}: must be from 0 to {n - 1}")
        kind = shuffle if isinstance(shuffle, str) else ("random" if shuffle else "no")
        order = sample_order.Order(len(self), kind, seed, epoch, block, buffer)
        share = sample_order.Share(batch_size, drop_last, rank, world_size, *worker)
        return epochs.EpochBatches(self._reader, order, share, self.transform)

    # -- parts of it -----------------------------------------------------------------------------------

    def select(self, samples: Any) -> "ImageDataset":
        """Return a dataset of some of the samples, in the order that is given.

        Parameters
        ----------
        samples : slice, list of int or bool array
            Whatever ``dataset[...]`` takes for a batch.

        Returns
        -------
        ImageDataset
        """
        part = copy.copy(self)
        part._reader = self._reader.select(self._numbers(samples))
        return part

    def split(self, fractions: Mapping[str, float], seed: int = 0) -> "dict[str, ImageDataset]":
        """Share the samples out among several datasets, for files that are not split.

        All images and all uses of a shower stay together, so that none is both learnt and tested; as the command's
        --split does it, with the same seed in the same way.

        Parameters
        ----------
        fractions : dict
            Such as {"Training": 0.8, "Validation": 0.1, "Test": 0.1}: shares of the events of each energy bin, met as
            closely as showers allow, adding up to 1.
        seed : int
            The same showers for the same seed, in either view and for any telescopes.

        Returns
        -------
        dict
            {name: ImageDataset}
        """
        values = np.array(list(fractions.values()), np.float64)
        split_fractions.check(values)
        index = self._reader.index
        keys = Showers(index.runs, seed).keys(index.events)
        shares = Shares(keys.copy(), index.events["energy_bin"], values)
        part = shares.tables_of(keys)[index.event]
        return {name: self.select(np.flatnonzero(part == i)) for i, name in enumerate(fractions)}

    # -- frameworks ------------------------------------------------------------------------------------

    def as_torch(self, batch_size: int | None = None, **options: Any) -> "TorchSamples | TorchBatches":
        """Return a PyTorch dataset whose images are (channel, x, y), in the memory format channels_last.

        Pixel vectors stay (n_pixels, channel), as graph networks have them.

        Without a batch size a map-style dataset that DataLoader fetches whole batches from; with one an iterable
        dataset of batches as :meth:`batches` yields them, for ``DataLoader(..., batch_size=None)``, shared out
        among workers; its ``set_epoch`` chooses the order. `options` are those of :meth:`batches`, and `pin_memory`:
        images are written once, to pinned memory, where there is a GPU.
        """
        from .training.torch_datasets import TorchBatches, TorchSamples

        if batch_size is None and options:
            raise TypeError(f"as_torch: {', '.join(options)} need a batch_size; else DataLoader has the choice")
        return TorchSamples(self) if batch_size is None else TorchBatches(self, batch_size, **options)

    def as_tf(self, batch_size: int = 64, **options: Any) -> "tf.data.Dataset":
        """Return a tf.data.Dataset of batches, as :meth:`batches` yields them; every pass is the next epoch."""
        from .training.tf_datasets import tf_dataset

        return tf_dataset(self, batch_size, **options)

    # -- files -----------------------------------------------------------------------------------------

    def __enter__(self) -> "ImageDataset":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the files; they open again when they are needed."""
        self._files.close()


def _check_weights(columns: Sequence[str | EventWeight], index: sample_index.SampleIndex) -> None:
    """Raise DatasetError unless the samples can be weighted as columns ask for."""
    weights = [weight for weight in map(sample_columns.event_weight, columns) if weight]
    runs = index.runs[np.isin(index.runs["primary"], index.primaries())]
    for weight in weights:
        weight.check(runs)
