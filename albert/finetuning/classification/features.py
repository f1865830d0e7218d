"""Examples of classification tasks as model inputs."""

from typing import List, NamedTuple, Union

import numpy as np
from absl import logging

from albert.basics.errors import InputError
from albert.finetuning import records
from albert.finetuning.batches import TEXT_FEATURES, ArraySpec, BatchLayout
from albert.finetuning.kind import LOGGED_EXAMPLES
from albert.finetuning.tasks.base import PaddingInputExample
from albert.model_files.model_folder import is_regression
from albert.text.encoding import encode_pair, join_pair


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


class EncodedExample(NamedTuple):
    """`InputFeatures` without padding; the mask would be all ones.

    Attributes:
        input_ids, segment_ids: lists of one length.
        label_id: index of the label, or of a regression its value.
        is_real_example: False of a padding example.
    """

    input_ids: List[int]
    segment_ids: List[int]
    label_id: Union[int, float]
    is_real_example: bool


def specs_of(regression):
    """`{name: batches.ArraySpec}` of an encoded example."""
    return dict(TEXT_FEATURES, label_ids=ArraySpec(np.float32 if regression else np.int32))


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


def full_length(example, tokenizer):
    """Number of tokens of an example, [CLS] and [SEP] too, if none is cut off."""
    count_a = len(tokenizer.encode(example.text_a))
    count_b = len(tokenizer.encode(example.text_b)) if example.text_b else 0
    return count_a + count_b + (3 if count_b else 2)


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
    return records.serialize(
        {
            "input_ids": features.input_ids,
            "input_mask": features.input_mask,
            "segment_ids": features.segment_ids,
            "label_ids": [features.label_id],
            "is_real_example": [int(features.is_real_example)],
        }
    )


def file_based_convert_examples_to_features(
    examples, label_list, max_seq_length, tokenizer, output_file
):
    """Writes the features of `examples` to a TFRecord file; it appears only when complete."""
    rows = (
        convert_single_example(index, example, label_list, max_seq_length, tokenizer)
        for index, example in enumerate(examples)
    )
    records.write(output_file, map(serialize_features, rows))


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
    return records.input_fn_builder(
        input_file,
        BatchLayout(specs_of(regression)).specs(),
        seq_length,
        is_training,
        drop_remainder,
        shuffle_buffer,
        seed,
        first_step,
    )
