"""Pre-training records as batches, in an order that can be entered anywhere.

The order in which training reads is a function of the seed.  Every epoch has each record once.
The files of an epoch are in random order; a few at a time are read in turn; and each
`shuffle_buffer` records, one chunk, are in random order.  Nothing else is random, so with the
number of records of each file one can tell where a record of any epoch stands, and what is read to
get there is the part of its files before it, at most.
"""

import numpy as np

from albert.basics.tf_compat import tf
from albert.pretraining.record_files import record_features

# Files read in turn.
_LANES = 4
# The order of files repeats after so many epochs; the order in chunks does not.
_FILE_ORDERS = 100
_BUFFER_BYTES = 1 << 20


_END = np.iinfo(np.int64).max


def training_records(files, shuffle_buffer, seed, first_record=0):
    """Endless dataset of serialized records.

    Args:
        files: list of `record_files.RecordFile`.
        shuffle_buffer: records that are brought into random order at a time.
        seed: int.
        first_record: number of records to leave out at the start.
    """
    counts = np.array([file.count for file in files])
    random = np.random.RandomState(seed % (1 << 32))
    orders = np.stack([random.permutation(len(files)) for _ in range(_FILE_ORDERS)])
    first_epoch, record = divmod(int(first_record), int(counts.sum()))
    first_chunk, in_chunk = divmod(record, shuffle_buffer)
    entry = _entry(counts[orders[first_epoch % _FILE_ORDERS]], record - in_chunk)
    num_chunks = -(-int(counts.sum()) // shuffle_buffer)

    def epoch_records(epoch):
        order = tf.gather(orders, epoch % _FILE_ORDERS)
        names = tuple(
            tf.gather(tf.constant(values), order)
            for values in ([file.path for file in files], [file.compression for file in files])
        )
        is_first = tf.cast(tf.equal(epoch, first_epoch), tf.int64)
        records = _in_turn(names, *(number * is_first for number in entry))
        numbers = tf.data.Dataset.range(first_chunk * is_first, num_chunks)
        chunks = tf.data.Dataset.zip((numbers, records.batch(shuffle_buffer)))

        def shuffled(number, chunk):
            keys = tf.random.stateless_uniform(
                tf.shape(chunk), [tf.constant(seed, tf.int64), epoch * num_chunks + number]
            )
            return tf.data.Dataset.from_tensor_slices(tf.gather(chunk, tf.argsort(keys)))

        return chunks.flat_map(shuffled).skip(in_chunk * is_first)

    return tf.data.Dataset.range(first_epoch, _END).flat_map(epoch_records)


def _in_turn(names, group, rounds, more):
    """Records of one epoch, from where `_entry` says.

    Args:
        names: paths and compressions, string tensors.
        group, rounds, more: scalar tensors.
    """
    groups = tf.data.Dataset.from_tensor_slices(names).skip(group * _LANES).batch(_LANES)

    def read_group(number, group_names):
        skipped = tf.where(tf.equal(number, 0), rounds, tf.zeros_like(rounds))

        def read(path, compression):
            return tf.data.TFRecordDataset(path, compression, _BUFFER_BYTES).skip(skipped)

        return tf.data.Dataset.from_tensor_slices(group_names).interleave(read, _LANES)

    numbered = tf.data.Dataset.zip((tf.data.Dataset.range(_END), groups))
    return numbered.flat_map(read_group).skip(more)


def _entry(counts, record):
    """Where a record of an epoch stands.

    Args:
        counts: records of each file, in the epoch's order.
        record: its number in the epoch.

    Returns:
        The number of its group of files, of the records before it in every file of the group that
        has as many, and of further records.
    """
    group = 0
    while record >= sum(counts[group * _LANES : (group + 1) * _LANES]):
        record -= sum(counts[group * _LANES : (group + 1) * _LANES])
        group += 1
    lanes = sorted(counts[group * _LANES : (group + 1) * _LANES])
    rounds = 0
    while (lanes[0] - rounds) * len(lanes) <= record:
        record -= (lanes[0] - rounds) * len(lanes)
        rounds = lanes.pop(0)
    return group, int(rounds + record // len(lanes)), int(record % len(lanes))


def input_fn_builder(
    files,
    shape,
    is_training,
    random_seed=0,
    shuffle_buffer=100,
    first_example=0,
    one_pass=False,
    shard=(1, 0),
):
    """Makes an `input_fn` for the estimator.

    Training reads endlessly in the order of `training_records`, from any place on, so that a
    resumed run continues the sequence.  Evaluation reads the files in order, again and again
    unless `one_pass`.

    Args:
        files: list of `RecordFile`; for evaluation their counts are not used.
        shape: `record_files.RecordShape`.
        is_training: bool.
        random_seed: int.
        shuffle_buffer: records to shuffle among.
        first_example: number of examples that training has seen, over all workers.
        one_pass: evaluation ends with the data, the last batch may be smaller.
        shard: number of workers, and which of them this one is.  Of the one sequence of training
            examples each takes every so-manyth; together their batches are one worker's batch.

    Returns:
        Function of `params` (with "batch_size", of this worker), returning a dataset of dicts:
        int32 `[batch_size, max_seq_length]` and `[batch_size, max_predictions_per_seq]`, see
        `record_features`.
    """
    features = record_features(shape)

    def parse(records):
        batch = tf.io.parse_example(records, features)
        return {
            name: tf.cast(value, tf.int32) if value.dtype == tf.int64 else value
            for name, value in batch.items()
        }

    def input_fn(params):
        batch_size = params["batch_size"]
        if is_training:
            records = training_records(files, shuffle_buffer, random_seed, first_example).shard(
                *shard
            )
        else:
            names = [file.path for file in files], [file.compression for file in files]
            records = tf.data.Dataset.from_tensor_slices(names).flat_map(tf.data.TFRecordDataset)
            if not one_pass:
                records = records.repeat()
        dataset = records.batch(batch_size, drop_remainder=is_training or not one_pass)
        return dataset.map(parse, num_parallel_calls=2).prefetch(2)

    return input_fn
