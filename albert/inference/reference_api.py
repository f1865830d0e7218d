"""Functions of BERT's extract_features.py as programs call them."""

import re
from typing import Any, List, NamedTuple, Optional

from albert.basics import storage
from albert.text.encoding import truncate_seq_pair

_SEPARATOR = re.compile(r"^(.*) \|\|\| (.*)$")  # between the two texts of a line


class InputExample(NamedTuple):
    """A text, or a pair of texts."""

    unique_id: Any
    text_a: str
    text_b: Optional[str] = None


class InputFeatures(NamedTuple):
    """What the model sees of an example: lists of one length, but for `tokens`, not padded."""

    unique_id: Any
    tokens: List[str]
    input_ids: List[int]
    input_mask: List[int]
    input_type_ids: List[int]


def read_examples(input_file):
    """List of `InputExample`: one of each line, ``text`` or ``text ||| text``; ids from 0."""
    examples = []
    for index, line in enumerate(storage.read_lines(input_file)):
        pair = _SEPARATOR.match(line.strip())
        text_a, text_b = pair.groups() if pair else (line.strip(), None)
        examples.append(InputExample(index, text_a, text_b))
    return examples


def convert_examples_to_features(examples, seq_length, tokenizer):
    """List of `InputFeatures`, padded with 0 to `seq_length`.

    Args:
        examples: objects with unique_id, text_a and text_b, such as `InputExample`.
    """
    return [_features(example, seq_length, tokenizer) for example in examples]


def _features(example, seq_length, tokenizer):
    tokens_a = list(tokenizer.tokenize(example.text_a))
    tokens_b = list(tokenizer.tokenize(example.text_b)) if example.text_b else []
    if tokens_b:
        truncate_seq_pair(tokens_a, tokens_b, seq_length - 3)
    del tokens_a[seq_length - 2 :]
    tokens = ["[CLS]", *tokens_a, "[SEP]"]
    type_ids = [0] * len(tokens)
    if tokens_b:
        tokens += [*tokens_b, "[SEP]"]
        type_ids += [1] * (len(tokens_b) + 1)
    padding = [0] * (seq_length - len(tokens))
    return InputFeatures(
        example.unique_id,
        tokens,
        tokenizer.convert_tokens_to_ids(tokens) + padding,
        [1] * len(tokens) + padding,
        type_ids + padding,
    )
