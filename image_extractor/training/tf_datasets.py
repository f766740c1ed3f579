"""ImageDatasets as tf.data datasets; the only room that imports TensorFlow."""

import itertools
import threading
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from .sample_types import Batch, Samples

#: TensorFlow asks for batches from threads of its own, and PyTables is not made for two at once.
LOCK = threading.Lock()


def tf_dataset(dataset: Samples, batch_size: int, **options: Any) -> tf.data.Dataset:
    """Return a tf.data.Dataset of batches; see ImageDataset.as_tf."""
    dataset.batches(batch_size, **options)  # says at once what is wrong with the options
    epochs = itertools.count(options.pop("epoch", 0))
    example = dataset[:1]
    signature = {
        name: tf.TensorSpec((None, *values.shape[1:]), tf.as_dtype(values.dtype)) for name, values in example.items()
    }

    def batches() -> Iterator[Batch]:
        found = dataset.batches(batch_size, epoch=next(epochs), **options)
        while True:
            with LOCK:
                batch = next(found, None)
            if batch is None:
                return
            yield batch

    return tf.data.Dataset.from_generator(batches, output_signature=signature)
