"""Texts and pairs of texts as the token ids and segment ids of a model."""

import re

import tokenization
from albert.basics.shadowed import check_module

check_module(tokenization, "BasicTokenizer", "FullTokenizer", "check_special_tokens")

_WORD = re.compile(r"\w")
_BASIC_TOKENIZER = tokenization.BasicTokenizer()
_SHOWN_CHARACTERS = 12


def missing_content(text):
    """What a text is of which a model sees nothing, for a message; None for any other text.

    Whitespace, control characters, characters without a width and marks without a letter: the
    tokenizers drop them, and what a model says of such a text is about [CLS] and [SEP] alone.
    """
    if _WORD.search(text):  # at once, for nearly all texts
        return None
    if not text or text.isspace():
        return "an empty one"
    if _BASIC_TOKENIZER.tokenize(text):
        return None
    return "one without a token (%s)" % ascii(text[:_SHOWN_CHARACTERS])[1:-1]


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
    return encode_counting(tokenizer, text_a, text_b, max_seq_length)[0]


def encode_counting(tokenizer, text_a, text_b, max_seq_length):
    """What `encode_pair` returns, and the number of tokens that were cut."""
    cls, sep = tokenizer.convert_tokens_to_ids(["[CLS]", "[SEP]"])
    ids_a = list(tokenizer.encode(text_a))
    ids_b = list(tokenizer.encode(text_b)) if text_b else []
    number = len(ids_a) + len(ids_b)
    if not ids_b:
        del ids_a[max_seq_length - 2 :]
        return ([cls, *ids_a, sep], [0] * (len(ids_a) + 2)), number - len(ids_a)
    truncate_seq_pair(ids_a, ids_b, max_seq_length - 3)
    return join_pair(cls, sep, ids_a, ids_b), number - len(ids_a) - len(ids_b)


def join_pair(cls, sep, ids_a, ids_b):
    segment_ids = [0] * (len(ids_a) + 2) + [1] * (len(ids_b) + 1)
    return [cls, *ids_a, sep, *ids_b, sep], segment_ids
