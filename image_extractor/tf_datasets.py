"""ImageDatasets as tf.data datasets; the only room that imports TensorFlow."""

import itertools

import tensorflow as tf


def tf_dataset(dataset, batch_size, **options):
    """Return a tf.data.Dataset of batches; see ImageDataset.as_tf."""
    epochs = itertools.count(options.pop("epoch", 0))
    example = dataset[:1] if len(dataset) else dataset[[]]
    signature = {
        name: tf.TensorSpec((None, *values.shape[1:]), tf.as_dtype(values.dtype)) for name, values in example.items()
    }

    def batches():
        return dataset.batches(batch_size, epoch=next(epochs), **options)

    return tf.data.Dataset.from_generator(batches, output_signature=signature)
