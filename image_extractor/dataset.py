"""Reading datasets back for training: batches of images and labels as NumPy arrays.

    from image_extractor.dataset import ImageDataset

    with ImageDataset("gammas.h5", telescopes="LST") as dataset:
        for batch in dataset.batches(64, shuffle=True, seed=1, epoch=0):
            batch["image"], batch["log10_energy"]

Needs NumPy and PyTables only. Processes may share a dataset (forked or spawned), threads may not: PyTables
is not made for them.
"""

import copy
import os

import numpy as np

from . import sample_columns, sample_index, sample_order, stored_images
from .errors import DatasetError
from .stored_rows import OpenFiles
from .table_passes import shares

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
    telescopes : int, str, or several, optional
        Ids, types or cameras such as 'LST', 'LST+NectarCam', [1, 2]; default: all. Their images must have one shape.
    bins : int, str, or several, optional
        Energy bins, 0 or 'E0': groups in gh_class files, labels in energy_recon files; default: all.
    channels : int, str, or several, optional
        Numbers or names ('charge', 'time') of the channels; default: all.
    dtype : str or numpy.dtype or None
        Floating-point type of images in p.e. and ns, scales undone; None: numbers as they are stored.
    transform : callable, optional
        Takes and returns a batch, a dict of arrays whose first axis counts samples.
    columns : sequence of str or EventWeight
        Labels; ``sample_columns.COLUMNS`` has the names, and 'event_weight' weights to a target spectrum.

    Attributes
    ----------
    telescopes : structured array
        Rows of Tel_Table of the chosen telescopes, file after file.
    runs : structured array
        Run_Table of all files.
    image_shape : tuple
        Of one image, (x, y, channel), whatever order the file has.
    channel_names : list of str
        'charge', 'time', 'empty'.

    Raises
    ------
    MissingNameError
        (a KeyError and ValueError) for a table, telescope, bin, channel or column that is not there.
    DatasetError
        (a ValueError) for files that are no datasets, or don't fit together.

    Notes
    -----
    A batch is a dict: 'image', float array (n, x, y, channel), or (n, n_tel, x, y, channel) in the event view, with
    'mask', bool (n, n_tel), False (and zeros) where a telescope has no image, and 'tel_position', (n, n_tel, 3) [m].
    The other entries are the columns, (n,) or (n, k), those of telescopes (n, n_tel) in the event view.
    """

    def __init__(
        self,
        path_or_paths,
        table="Training",
        view="telescope",
        telescopes=None,
        bins=None,
        channels=None,
        dtype="float32",
        transform=None,
        columns=sample_columns.DEFAULT,
    ):
        if view not in ("telescope", "event"):
            raise ValueError(f"view = {view!r}: must be 'telescope' or 'event'")
        paths = [path_or_paths] if isinstance(path_or_paths, str | os.PathLike) else list(path_or_paths)
        self._paths = [os.fspath(path) for path in paths]
        if not self._paths:
            raise DatasetError("no dataset is given: give at least one file")
        self.table, self.view, self.transform = table, view, transform
        self._dtype = _image_dtype(dtype)
        self._columns = (columns,) if isinstance(columns, str) else tuple(columns)
        self._functions = sample_columns.check(self._columns, self._paths[0])
        self._files = OpenFiles(self._paths)
        self._index = sample_index.build(self._files, self._paths, table, view, telescopes, bins)
        self._set_up_images(channels)
        self._check_columns()
        self._pool = stored_images.BufferPool()
        self._class_weights = None

    def _set_up_images(self, channels):
        attributes = self._index.sources[0].attributes
        names = stored_images.channel_names(attributes)
        chosen = stored_images.choose_channels(channels, names, self._paths[0])
        self.channel_names = [names[channel] for channel in chosen]
        *size, _ = sample_index.image_shape(attributes)
        self.image_shape = (*size, len(chosen))
        self._conversions = [
            stored_images.Conversion(source.attributes, chosen, self._dtype) for source in self._index.sources
        ]
        if self._dtype is None:
            stored_images.check_stored_numbers(self._index.sources)
        self._image_dtype = self._conversions[0].dtype

    def _check_columns(self):
        primaries = np.unique(self._index.events["gamma_hadron_label"][self._index.event])
        for column in self._columns:
            weight = sample_columns.event_weight(column)
            if weight:
                weight.check(self.runs[np.isin(self.runs["primary"], primaries)])

    # -- what it holds ---------------------------------------------------------------------------------

    def __len__(self):
        return len(self._index.event)

    def __repr__(self):
        files = self._paths[0] if len(self._paths) == 1 else f"{len(self._paths)} files"
        return f"<ImageDataset {files} {self.table}: {len(self)} samples of {self.image_shape}>"

    @property
    def telescopes(self):
        """Rows of Tel_Table of the chosen telescopes."""
        return self._index.telescopes

    @property
    def runs(self):
        """Run_Table of all files."""
        return self._index.runs

    def labels(self, columns=None, samples=slice(None)):
        """Return columns of samples (default: the dataset's own, of all) without reading images.

        columns : as for the dataset
        samples : whatever ``dataset[...]`` takes for a batch
        """
        functions = self._functions
        if columns is not None:
            functions = sample_columns.check(columns, self._paths[0])
        return self._labels(self._numbers(samples), functions)

    def class_weights(self):
        """Return {primary: weight} that give every primary of this dataset the same sum of weights, mean 1."""
        if self._class_weights is None:
            primaries = self._index.events["gamma_hadron_label"][self._index.event]
            self._class_weights = sample_columns.class_weights(primaries)
        return self._class_weights

    # -- samples ---------------------------------------------------------------------------------------

    def __getitem__(self, key):
        """Return a sample, dataset[i], or a batch, dataset[i:j], dataset[[i, j, ...]] or dataset[mask]."""
        if isinstance(key, int | np.integer) and not isinstance(key, bool | np.bool_):
            return {name: values[0] for name, values in self._batch(self._numbers([key])).items()}
        return self._batch(self._numbers(key))

    def __getitems__(self, keys):
        """Return a list of samples that are read as one batch; PyTorch's DataLoader asks for batches in this way."""
        batch = self._batch(self._numbers(keys))
        return [{name: values[i] for name, values in batch.items()} for i in range(len(keys))]

    def _numbers(self, key):
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

    def _batch(self, numbers):
        batch = {"image": self._images(numbers)}
        if self.view == "event":
            batch["mask"] = self._index.row[numbers] >= 0
            batch["tel_position"] = sample_columns.COLUMNS["tel_position"](self._rows(numbers))
        batch |= self._labels(numbers, self._functions)
        return batch if self.transform is None else self.transform(batch)

    def _labels(self, numbers, functions):
        rows = self._rows(numbers, "class_weight" in functions)
        return {name: np.ascontiguousarray(function(rows)) for name, function in functions.items()}

    def _rows(self, numbers, with_class_weights=False):
        index = self._index
        if self.view == "event":
            first = np.array([source.first_tel for source in index.sources])
            tels = first[index.source[numbers]][:, None] + np.arange(index.row.shape[1])
        else:
            tels = index.tel[numbers]
        weights = self.class_weights() if with_class_weights else {}
        return sample_columns.Rows(index.events[index.event[numbers]], index.telescopes[tels], index.runs, weights)

    def _images(self, numbers):
        index = self._index
        if self.view == "telescope":
            images = self._pool.empty((len(numbers), *self.image_shape), self._image_dtype)
            tels = index.tel[numbers]
            self._read(images, np.arange(len(numbers)), index.source[numbers], tels, index.row[numbers])
            return images
        rows = index.row[numbers]
        images = self._pool.empty((*rows.shape, *self.image_shape), self._image_dtype)
        images[rows < 0] = 0
        sample, tel = np.nonzero(rows >= 0)
        source = index.source[numbers][sample]
        first = np.array([source.first_tel for source in index.sources], np.int64)
        flat = images.reshape(-1, *self.image_shape)
        self._read(flat, sample * rows.shape[1] + tel, source, first[source] + tel, rows[sample, tel])
        return images

    def _read(self, images, positions, sources, tels, rows):
        """Read images[positions[i]]: source by source, each in the order of its file."""
        for number in np.unique(sources).tolist():
            chosen = np.flatnonzero(sources == number)
            source = self._index.sources[number]
            here = tels[chosen] - source.first_tel
            reader = stored_images.SourceImages(self._files, source, self._conversions[number])
            order = reader.order(here, rows[chosen])
            chosen = chosen[order]
            reader.fill(images, positions[chosen], here[order], rows[chosen])

    # -- epochs ----------------------------------------------------------------------------------------

    def batches(
        self,
        batch_size=64,
        shuffle=False,
        seed=0,
        epoch=0,
        drop_last=False,
        block=BLOCK,
        buffer=BUFFER,
        shard=(0, 1),
    ):
        """Yield the batches of an epoch, every sample once.

        Parameters
        ----------
        batch_size : int
        shuffle : bool or str
            False: in file order; True or 'random': fully random; 'blocks': blocks of samples in random order,
            through a shuffle buffer: reading goes by blocks, for compressed files and those larger than memory.
        seed, epoch : int
            The same order for the same two.
        drop_last : bool
            Leave out a last batch that is smaller.
        block, buffer : int
            Samples of a block and of the buffer.
        shard : (int, int)
            (k, n): every n-th batch (with 'blocks': buffer) from the k-th on, for the k-th of n workers.
        """
        number, n_shards = shard
        if shuffle == "blocks":
            windows = sample_order.windows(len(self), block, buffer, seed, epoch)
            mine = (window for i, window in enumerate(windows) if i % n_shards == number)
            yield from self._buffered(mine, batch_size, drop_last)
            return
        if shuffle not in (False, True, "random"):
            raise ValueError(f"shuffle = {shuffle!r}: must be True, False, 'random' or 'blocks'")
        order = sample_order.random_order(len(self), seed, epoch) if shuffle else np.arange(len(self))
        for i, numbers in enumerate(sample_order.batches([order], batch_size, drop_last)):
            if i % n_shards == number:
                yield self._batch(numbers)

    def _buffered(self, windows, batch_size, drop_last):
        """Yield batches of windows that are read as a whole, in file order; what is left goes to the next one."""
        left = np.empty(0, np.int64)
        transform, reader = self.transform, self._untransformed()
        for window in windows:
            numbers = np.concatenate([left, window])
            full = len(numbers) // batch_size * batch_size
            yield from _cut(reader, numbers[:full], batch_size, transform)
            left = numbers[full:]
        if len(left) and not drop_last:
            yield from _cut(reader, left, batch_size, transform)

    def _untransformed(self):
        reader = copy.copy(self)
        reader.transform = None
        return reader

    # -- parts of it -----------------------------------------------------------------------------------

    def select(self, samples):
        """Return a dataset of some of the samples (whatever ``dataset[...]`` takes for a batch), in that order."""
        numbers = self._numbers(samples)
        part, index = copy.copy(self), copy.copy(self._index)
        for name in ("source", "event", "tel", "row"):
            setattr(index, name, getattr(index, name)[numbers])
        part._index, part._class_weights = index, None
        return part

    def split(self, fractions, seed=0):
        """Share the samples out among several datasets, for files that are not split.

        All images and all uses of a shower stay together, so that none is both learnt and tested.

        Parameters
        ----------
        fractions : dict
            Such as {"Training": 0.8, "Validation": 0.1, "Test": 0.1}: shares of the showers, adding up to 1.
        seed : int
            The same showers for the same seed, in either view and for any telescopes.

        Returns
        -------
        dict
            {name: ImageDataset}
        """
        values = np.array(list(fractions.values()), np.float64)
        if not len(values) or (values <= 0).any() or not np.isclose(values.sum(), 1):
            raise ValueError(f"split fractions {', '.join(map(str, values))}: must be above 0 and add up to 1")
        events = self._index.events
        showers = np.stack([events["run_number"], events["event_number"] // 100, events["gamma_hadron_label"]])
        known, shower = np.unique(showers, axis=1, return_inverse=True)
        counts = shares(known.shape[1], values)
        part_of = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(values)), counts))
        part = part_of[shower.reshape(-1)][self._index.event]
        return {name: self.select(np.flatnonzero(part == i)) for i, name in enumerate(fractions)}

    # -- frameworks ------------------------------------------------------------------------------------

    def as_torch(self, batch_size=None, **options):
        """Return a PyTorch dataset whose images are (channel, x, y), in the memory format channels_last.

        Without a batch size a map-style dataset that DataLoader fetches whole batches from; with one an iterable
        dataset of batches as :meth:`batches` yields them, for ``DataLoader(..., batch_size=None)``, shared out
        among workers; its ``set_epoch`` chooses the order. `options` are those of :meth:`batches`.
        """
        from .torch_datasets import TorchBatches, TorchSamples

        if batch_size is None and options:
            raise TypeError(f"as_torch: {', '.join(options)} need a batch_size; else DataLoader has the choice")
        return TorchSamples(self) if batch_size is None else TorchBatches(self, batch_size, **options)

    def as_tf(self, batch_size=64, **options):
        """Return a tf.data.Dataset of batches, as :meth:`batches` yields them; every pass is the next epoch."""
        from .tf_datasets import tf_dataset

        return tf_dataset(self, batch_size, **options)

    # -- files -----------------------------------------------------------------------------------------

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def close(self):
        """Close the files; they open again when they are needed."""
        self._files.close()

    def __getstate__(self):
        return {name: value for name, value in self.__dict__.items() if name != "_functions"}

    def __setstate__(self, state):
        self.__dict__.update(state)
        self._functions = sample_columns.check(self._columns, self._paths[0])


def _cut(reader, numbers, size, transform):
    """Yield batches of samples that are read all at once, in the order of the file."""
    if not len(numbers):
        return
    order = np.argsort(numbers)
    held = reader._batch(numbers[order])
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    for first in range(0, len(numbers), size):
        batch = {name: values[place[first : first + size]] for name, values in held.items()}
        yield batch if transform is None else transform(batch)


def _image_dtype(dtype):
    if dtype is None:
        return None
    kind = np.dtype(dtype)
    if kind.kind != "f":
        raise ValueError(
            f"dtype = {dtype!r}: must be a floating-point type, or None for the numbers as they are stored"
        )
    return kind
