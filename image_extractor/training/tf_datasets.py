"""ImageDatasets as tf.data datasets; the only room that imports TensorFlow."""

import threading
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from .sample_types import Batch, Batches, Samples, map_arrays

#: TensorFlow asks for batches from threads of its own, and PyTables is not made for two at once.
LOCK = threading.Lock()


class TfEpochs:
    """The passes over a dataset, one epoch after the other."""

    def __init__(self, dataset: Samples, batch_size: int, **options: Any) -> None:
        self._dataset, self._batch_size, self._options = dataset, batch_size, options
        self._next = options.pop("epoch", 0)
        self._current = self._batches()  # says at once what is wrong with the options
        self._resumed = False

    def _batches(self) -> Batches:
        return self._dataset.batches(self._batch_size, epoch=self._next, **self._options)

    def state_dict(self, n_batches: int | None = None) -> dict[str, Any]:
        return self._current.state_dict(n_batches)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._next = int(state["epoch"])
        self._current, self._resumed = self._batches(), True
        self._current.load_state_dict(state)

    def __call__(self) -> Iterator[Batch]:
        """Yield the batches of the next epoch, or of what is left of the one that a state was taken in."""
        if not self._resumed:
            self._current = self._batches()
        found, self._resumed, self._next = self._current, False, self._next + 1
        while True:
            with LOCK:
                batch = next(found, None)
            if batch is None:
                return
            yield batch


def tf_dataset(dataset: Samples, batch_size: int, **options: Any) -> tf.data.Dataset:
    """Return a tf.data.Dataset of batches; see ImageDataset.as_tf."""
    epochs = TfEpochs(dataset, batch_size, **options)
    example = dataset[:1]
    signature = map_arrays(lambda values: tf.TensorSpec((None, *values.shape[1:]), tf.as_dtype(values.dtype)), example)
    found = tf.data.Dataset.from_generator(epochs, output_signature=signature)
    found.state_dict, found.load_state_dict = epochs.state_dict, epochs.load_state_dict
    return found
