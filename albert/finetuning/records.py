"""Record files of encoded examples, for TPU: static shapes, full batches, input from files."""

import numpy as np

from albert.basics import storage
from albert.basics.tf_compat import tf


def serialize(features):
    """Bytes of a `tf.train.Example`.

    Args:
        features: `{name: list or array}` of ints, or of floats.
    """
    example = tf.train.Example()
    for name, values in features.items():
        values = np.ravel(values)
        feature = example.features.feature[name]
        is_float = values.dtype.kind == "f"
        numbers = feature.float_list if is_float else feature.int64_list
        numbers.value.extend(values.tolist())
    return example.SerializeToString(deterministic=True)


def write(path, rows):
    """Writes a record file; it appears only when complete.

    Args:
        path: file to write.
        rows: iterable of what `serialize` returns.
    """
    with storage.renamed_when_done(path) as (name,), tf.io.TFRecordWriter(name) as writer:
        for row in rows:
            writer.write(row)


def padded_rows(layout, encoded, length, padding=0):
    """Yields what `write` takes, of examples that are padded to one length.

    Args:
        layout: `batches.BatchLayout`.
        encoded: iterable of dicts of features.
        length: tokens to pad to.
        padding: number of examples to add at the end that are none.
    """
    for features in encoded:
        yield serialize(layout.batch([layout.pack(features)], length))
    for _ in range(padding):
        yield serialize(layout.padding(length))


def input_fn_builder(
    path,
    specs,
    length,
    is_training,
    drop_remainder,
    shuffle_buffer=100,
    seed=None,
    first_step=0,
):
    """Makes an `input_fn` for the estimator over a file of `write`.

    Training repeats and shuffles; with a `seed` the order is a function of it, and `first_step`
    skips what the steps before it have seen.

    Args:
        path: the file.
        specs: `{name: batches.ArraySpec}` of its features.
        length: tokens that its examples were padded to.

    Returns:
        Function of `params` (with "batch_size"), returning a dataset of dicts of tensors
        `[batch_size, ...]`, int32 and float32.
    """
    columns = {
        name: tf.io.FixedLenFeature(
            spec.sized(length), tf.float32 if np.dtype(spec.dtype).kind == "f" else tf.int64
        )
        for name, spec in specs.items()
    }

    def parse(records):
        batch = tf.io.parse_example(records, columns)
        return {
            name: value if value.dtype == tf.float32 else tf.cast(value, tf.int32)
            for name, value in batch.items()
        }

    def input_fn(params):
        batch_size = params["batch_size"]
        dataset = tf.data.TFRecordDataset(path)
        if is_training:
            dataset = dataset.shuffle(shuffle_buffer, seed=seed).repeat()
            dataset = dataset.skip(first_step * batch_size)
        dataset = dataset.batch(batch_size, drop_remainder=drop_remainder)
        return dataset.map(parse, num_parallel_calls=2).prefetch(2)

    return input_fn
