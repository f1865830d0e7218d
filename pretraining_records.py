"""Pre-training instances and their TFRecord files (spec/data.md 2.8)."""

import contextlib
import os
from array import array
from typing import NamedTuple

from tf_compat import tf


class Instance(NamedTuple):
    """One training example, not padded.

    Attributes:
        input_ids: array of int, length n: ``[CLS] A [SEP] B [SEP]`` with masks applied.
        first_segment_length: number of tokens up to and including the first ``[SEP]``.
        masked_lm_positions: array of int, ascending, length m.
        masked_lm_ids: array of int, length m: what belongs at these positions.
        next_sentence_label: 1 if the two segments were swapped, else 0.
    """

    input_ids: array
    first_segment_length: int
    masked_lm_positions: array
    masked_lm_ids: array
    next_sentence_label: int


def to_features(instance, max_seq_length, max_predictions_per_seq):
    """Returns the features of a record, padded with 0: dictionary of name -> list.

    ``input_ids``, ``input_mask`` and ``segment_ids`` have length `max_seq_length`, those that
    start with ``masked_lm`` have `max_predictions_per_seq`, ``next_sentence_labels`` has 1.
    ``masked_lm_weights`` is of float, all others are of int.
    """

    def padded(values, length, padding=0):
        return list(values) + [padding] * (length - len(values))

    length = len(instance.input_ids)
    predictions = len(instance.masked_lm_ids)
    first = instance.first_segment_length
    return {
        "input_ids": padded(instance.input_ids, max_seq_length),
        "input_mask": padded([1] * length, max_seq_length),
        "segment_ids": padded([0] * first + [1] * (length - first), max_seq_length),
        "masked_lm_positions": padded(instance.masked_lm_positions, max_predictions_per_seq),
        "masked_lm_ids": padded(instance.masked_lm_ids, max_predictions_per_seq),
        "masked_lm_weights": padded([1.0] * predictions, max_predictions_per_seq, 0.0),
        "next_sentence_labels": [instance.next_sentence_label],
    }


def serialize(features):
    """Returns a `tf.train.Example` as bytes; the same features always give the same bytes."""
    example = tf.train.Example()
    for name, values in features.items():
        feature = example.features.feature[name]
        kind = feature.float_list if name == "masked_lm_weights" else feature.int64_list
        kind.value.extend(values)
    return example.SerializeToString(deterministic=True)


@contextlib.contextmanager
def _atomic_record_writers(paths):
    """Opens a TFRecord writer for each path; the files appear together when the block succeeds."""
    temporary = ["%s.tmp-%d" % (path, os.getpid()) for path in paths]
    try:
        with contextlib.ExitStack() as stack:
            yield [stack.enter_context(tf.io.TFRecordWriter(path)) for path in temporary]
        for source, path in zip(temporary, paths):
            tf.io.gfile.rename(source, path, overwrite=True)
    except BaseException:
        for path in filter(tf.io.gfile.exists, temporary):
            tf.io.gfile.remove(path)
        raise


def write_instance_to_example_files(
    instances, max_seq_length, max_predictions_per_seq, output_files
):
    """Writes TFRecord files: instance k goes to file k mod their number.

    The files are complete or, after a failure, not there; existing ones are then left as they
    were.

    Args:
        instances: iterable of `Instance`.
        max_seq_length: length to which sequences are padded.
        max_predictions_per_seq: length to which predictions are padded.
        output_files: list of paths.

    Returns:
        List: the number of records in each file.
    """
    counts = [0] * len(output_files)
    with _atomic_record_writers(output_files) as writers:
        for index, instance in enumerate(instances):
            features = to_features(instance, max_seq_length, max_predictions_per_seq)
            which = index % len(writers)
            writers[which].write(serialize(features))
            counts[which] += 1
    return counts
