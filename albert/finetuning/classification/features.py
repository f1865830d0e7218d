"""Examples of classification tasks as model inputs."""

import collections
import os

import numpy as np
from absl import logging

from albert.basics.errors import InputError
from albert.basics.tf_compat import tf
from albert.finetuning.tasks.base import PaddingInputExample
from albert.model_files.model_folder import is_regression
from albert.text.encoding import encode_pair, join_pair

LOGGED_EXAMPLES = 5  # of every file


class InputFeatures:
    """What the model sees of one example: lists of `max_seq_length` ints, and the label's id.

    The label's id is an int, or the label itself, a float, for a regression.
    """

    def __init__(self, input_ids, input_mask, segment_ids, label_id, is_real_example=True):
        self.input_ids = input_ids
        self.input_mask = input_mask
        self.segment_ids = segment_ids
        self.label_id = label_id
        self.is_real_example = is_real_example


# The same without padding: two lists of equal length; the mask would be all ones.
EncodedExample = collections.namedtuple(
    "EncodedExample", ["input_ids", "segment_ids", "label_id", "is_real_example"]
)


def encode_example(example, label_list, max_seq_length, tokenizer):
    """`EncodedExample` of at most `max_seq_length` tokens; a padding example has none.

    Args:
        example: `InputExample` or `PaddingInputExample`.
        label_list: `get_labels()` of the task; `[None]` for a regression.

    Raises:
        KeyError: the example's label is not in `label_list`.
    """
    if isinstance(example, PaddingInputExample):
        return EncodedExample([], [], 0.0 if is_regression(label_list) else 0, False)
    label_id = label_to_id(example.label, label_list)
    input_ids, segment_ids = encode_pair(tokenizer, example.text_a, example.text_b, max_seq_length)
    return EncodedExample(input_ids, segment_ids, label_id, True)


def encode_windows(example, label_list, max_seq_length, tokenizer):
    """`EncodedExample`s of a long pair: text_b in windows as large as fit beside all of text_a.

    Every window has the example's label; the reference's converter for long news texts.

    Raises:
        KeyError: the example's label is not in `label_list`.
        InputError: text_a leaves no room.
    """
    ids_a = list(tokenizer.encode(example.text_a))
    ids_b = list(tokenizer.encode(example.text_b))
    room = max_seq_length - len(ids_a) - 3
    if room < 1:
        raise InputError(
            "example %s: text_a has %d tokens; expected at most %d, so that text_b has room."
            % (example.guid, len(ids_a), max_seq_length - 4)
        )
    label_id = label_to_id(example.label, label_list)
    cls, sep = tokenizer.convert_tokens_to_ids(["[CLS]", "[SEP]"])
    return [
        EncodedExample(*join_pair(cls, sep, ids_a, ids_b[start : start + room]), label_id, True)
        for start in range(0, len(ids_b), room)
    ]


def label_to_id(label, label_list):
    """Index of the label, or its float for a regression; KeyError when there is no such label."""
    if is_regression(label_list):
        return float(label)
    try:
        return list(label_list).index(label)
    except ValueError:
        raise KeyError(label) from None


def label_ids_of(processor, examples):
    """Array of the examples' label ids, or of their values for a regression."""
    labels = processor.get_labels()
    return np.array([label_to_id(example.label, labels) for example in examples])


def convert_single_example(ex_index, example, label_list, max_seq_length, tokenizer):
    """`InputFeatures` of one example, padded to `max_seq_length`; the first ones are logged.

    Raises:
        KeyError: the example's label is not in `label_list`.
    """
    encoded = encode_example(example, label_list, max_seq_length, tokenizer)
    if encoded.is_real_example and ex_index < LOGGED_EXAMPLES:
        log_example(example, encoded, tokenizer)
    padding = [0] * (max_seq_length - len(encoded.input_ids))
    return InputFeatures(
        encoded.input_ids + padding,
        [1] * len(encoded.input_ids) + padding,
        encoded.segment_ids + padding,
        encoded.label_id,
        encoded.is_real_example,
    )


def log_example(example, encoded, tokenizer):
    """Logs an example and what was made of it."""
    logging.info(
        "Example %s: label %s (id %s), tokens: %s",
        example.guid,
        example.label,
        encoded.label_id,
        " ".join(tokenizer.convert_ids_to_tokens(encoded.input_ids)),
    )


def serialize_features(features):
    """Bytes of a `tf.train.Example` of five features, as the reference writes it."""
    values = {
        "input_ids": features.input_ids,
        "input_mask": features.input_mask,
        "segment_ids": features.segment_ids,
        "label_ids": [features.label_id],
        "is_real_example": [int(features.is_real_example)],
    }
    example = tf.train.Example()
    for name, value in values.items():
        feature = example.features.feature[name]
        numbers = feature.float_list if isinstance(value[0], float) else feature.int64_list
        numbers.value.extend(value)
    return example.SerializeToString(deterministic=True)


def file_based_convert_examples_to_features(
    examples, label_list, max_seq_length, tokenizer, output_file
):
    """Writes the features of `examples` to a TFRecord file; it appears only when complete."""
    temporary = "%s.tmp-%d" % (output_file, os.getpid())
    with tf.io.TFRecordWriter(temporary) as writer:
        for index, example in enumerate(examples):
            features = convert_single_example(index, example, label_list, max_seq_length, tokenizer)
            writer.write(serialize_features(features))
    tf.io.gfile.rename(temporary, output_file, overwrite=True)


def file_based_input_fn_builder(
    input_file,
    seq_length,
    is_training,
    drop_remainder,
    shuffle_buffer=100,
    seed=None,
    first_step=0,
    regression=False,
):
    """Makes an `input_fn` for the estimator over a file of the function above.

    Training repeats and shuffles; with a `seed` the order is a function of it, and `first_step`
    skips what the steps before it have seen.

    Returns:
        Function of `params` (with "batch_size"), returning a dataset of dicts: int32
        `[batch_size, seq_length]`; `label_ids` (float32 if `regression`) and `is_real_example`
        `[batch_size]`.
    """
    sequence = tf.io.FixedLenFeature([seq_length], tf.int64)
    scalar = tf.io.FixedLenFeature([], tf.int64)
    features = {
        "input_ids": sequence,
        "input_mask": sequence,
        "segment_ids": sequence,
        "label_ids": tf.io.FixedLenFeature([], tf.float32) if regression else scalar,
        "is_real_example": scalar,
    }

    def parse(records):
        batch = tf.io.parse_example(records, features)
        return {
            name: value if value.dtype == tf.float32 else tf.cast(value, tf.int32)
            for name, value in batch.items()
        }

    def input_fn(params):
        batch_size = params["batch_size"]
        dataset = tf.data.TFRecordDataset(input_file)
        if is_training:
            dataset = dataset.shuffle(shuffle_buffer, seed=seed).repeat()
            dataset = dataset.skip(first_step * batch_size)
        dataset = dataset.batch(batch_size, drop_remainder=drop_remainder)
        return dataset.map(parse, num_parallel_calls=2).prefetch(2)

    return input_fn
