"""Examples of classification tasks as model inputs (spec/tasks.md 0.1 to 0.3)."""

import os

from absl import logging

from classifier_tasks import PaddingInputExample
from tf_compat import tf

_LOGGED_EXAMPLES = 5


class InputFeatures:
    """What the model sees of one example: lists of `max_seq_length` ints, and the label's id."""

    def __init__(self, input_ids, input_mask, segment_ids, label_id, is_real_example=True):
        self.input_ids = input_ids
        self.input_mask = input_mask
        self.segment_ids = segment_ids
        self.label_id = label_id
        self.is_real_example = is_real_example


def truncate_seq_pair(tokens_a, tokens_b, max_length):
    """Shortens two lists in place to `max_length` together, always at the end of the longer one.

    At equal lengths `tokens_b` loses.
    """
    while len(tokens_a) + len(tokens_b) > max_length:
        longer = tokens_a if len(tokens_a) > len(tokens_b) else tokens_b
        longer.pop()


def encode_pair(tokenizer, text_a, text_b, max_seq_length):
    """Token ids and segment ids of `[CLS] a [SEP]`, or `[CLS] a [SEP] b [SEP]`.

    Args:
        tokenizer: `tokenization.FullTokenizer`.
        text_b: None, or empty, for single texts.

    Returns:
        Two lists of at most `max_seq_length` ints, without padding.
    """
    cls, sep = tokenizer.convert_tokens_to_ids(["[CLS]", "[SEP]"])
    ids_a = list(tokenizer.encode(text_a))
    ids_b = list(tokenizer.encode(text_b)) if text_b else []
    if not ids_b:
        del ids_a[max_seq_length - 2 :]
        return [cls, *ids_a, sep], [0] * (len(ids_a) + 2)
    truncate_seq_pair(ids_a, ids_b, max_seq_length - 3)
    segment_ids = [0] * (len(ids_a) + 2) + [1] * (len(ids_b) + 1)
    return [cls, *ids_a, sep, *ids_b, sep], segment_ids


def convert_single_example(ex_index, example, label_list, max_seq_length, tokenizer):
    """`InputFeatures` of one example, padded to `max_seq_length`; the first ones are logged.

    Raises:
        KeyError: the example's label is not in `label_list`.
    """
    if isinstance(example, PaddingInputExample):
        zeros = [0] * max_seq_length
        return InputFeatures(zeros, zeros, zeros, label_id=0, is_real_example=False)
    label_id = {label: index for index, label in enumerate(label_list)}[example.label]
    input_ids, segment_ids = encode_pair(tokenizer, example.text_a, example.text_b, max_seq_length)
    if ex_index < _LOGGED_EXAMPLES:
        logging.info(
            "Example %s: label %s (id %d), tokens: %s",
            example.guid,
            example.label,
            label_id,
            " ".join(tokenizer.convert_ids_to_tokens(input_ids)),
        )
    padding = [0] * (max_seq_length - len(input_ids))
    return InputFeatures(
        input_ids + padding,
        [1] * len(input_ids) + padding,
        segment_ids + padding,
        label_id,
    )


def serialize_features(features):
    """Bytes of a `tf.train.Example` with the five features of spec/tasks.md 0.2."""
    values = {
        "input_ids": features.input_ids,
        "input_mask": features.input_mask,
        "segment_ids": features.segment_ids,
        "label_ids": [features.label_id],
        "is_real_example": [int(features.is_real_example)],
    }
    example = tf.train.Example()
    for name, value in values.items():
        example.features.feature[name].int64_list.value.extend(value)
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
):
    """Makes an `input_fn` for the estimator over a file of the function above.

    Training repeats and shuffles; with a `seed` the order is a function of it, and `first_step`
    skips what the steps before it have seen.

    Returns:
        Function of `params` (with "batch_size"), returning a dataset of dicts: int32
        `[batch_size, seq_length]`; `label_ids` and `is_real_example` `[batch_size]`.
    """
    sequence = tf.io.FixedLenFeature([seq_length], tf.int64)
    scalar = tf.io.FixedLenFeature([], tf.int64)
    features = {
        "input_ids": sequence,
        "input_mask": sequence,
        "segment_ids": sequence,
        "label_ids": scalar,
        "is_real_example": scalar,
    }

    def parse(records):
        batch = tf.io.parse_example(records, features)
        return {name: tf.cast(value, tf.int32) for name, value in batch.items()}

    def input_fn(params):
        batch_size = params["batch_size"]
        dataset = tf.data.TFRecordDataset(input_file)
        if is_training:
            dataset = dataset.shuffle(shuffle_buffer, seed=seed).repeat()
            dataset = dataset.skip(first_step * batch_size)
        dataset = dataset.batch(batch_size, drop_remainder=drop_remainder)
        return dataset.map(parse, num_parallel_calls=2).prefetch(2)

    return input_fn
