"""Records as text that one can read; scripts/inspect_tfrecord.py says how it looks."""

import itertools
import re
from typing import Dict, NamedTuple, Optional

import tokenization
from albert.basics import storage
from albert.basics.errors import InputError
from albert.pretraining_data import descriptions, record_reader
from albert.pretraining_data.descriptions import DESCRIPTION_SUFFIX
from albert.text import word_segmentation

_PREDICTIONS = ("masked_lm_positions", "masked_lm_ids", "masked_lm_weights")
BOUNDARY = "token_boundary"
_OF_TOKENS = ("input_mask", "segment_ids", BOUNDARY)
_SEPARATORS = {"[CLS]", "[SEP]"}
_MASK = "[MASK]"
WORD_START = "|"
_SPIECE_MARKER = "\u2581"
# Ideographs, their punctuation and full-width forms: no space stands beside them.
_CHINESE = re.compile(
    "[\u3000-\u303f\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff]"
)


class Vocabulary(NamedTuple):
    """What ids mean.

    Attributes:
        name: of the file.
        tokens: dictionary id -> token.
        is_sentencepiece: whether tokens are marked as in SentencePiece or as in WordPiece.
    """

    name: str
    tokens: Dict[int, str]
    is_sentencepiece: bool

    def token(self, index):
        """The token of an id; raises InputError for an unknown one."""
        if index not in self.tokens:
            raise InputError(
                "token id %s is not in the vocabulary %s of %d tokens"
                % (index, self.name, len(self.tokens))
            )
        return self.tokens[index]


class Piece(NamedTuple):
    """One token of a record.

    Attributes:
        text: how it is shown, without spaces around it.
        token: what the text had at this place, as far as it is known; decides about spaces.
        starts_word: None if not known.
    """

    text: str
    token: str
    starts_word: Optional[int]


# The vocabulary


def load_vocabulary(path, vocab_file=None, spm_model_file=None):
    """Finds and reads the vocabulary of a record file.

    Args:
        path: the record file.
        vocab_file, spm_model_file: at most one; if both are None, what PATH.json names.

    Returns:
        `Vocabulary`.

    Raises:
        InputError: none is known, it is not the one that PATH.json names, or it is not readable.
    """
    if vocab_file and spm_model_file:
        raise InputError("--vocab_file and --spm_model_file are both given; pass one of them.")
    description = descriptions.read_description(path) or {}
    source = path + DESCRIPTION_SUFFIX
    name = vocab_file or spm_model_file
    if not name:
        name = description.get("vocab_file")
        if not name:
            raise InputError(
                "%s: its vocabulary is not known, as there is no usable %s; pass --vocab_file or "
                "--spm_model_file." % (path, source)
            )
        if not storage.exists(name):
            raise InputError(
                "%s names the vocabulary '%s', which is missing; pass --vocab_file or "
                "--spm_model_file." % (source, name)
            )
        spm_model_file = name if is_binary(name) else None
    expected = description.get("vocab_sha256")
    if expected and storage.sha256(name) != expected:
        raise InputError(
            "%s is not the vocabulary that the records were made with: its SHA-256 differs from "
            "vocab_sha256 in %s." % (name, source)
        )
    tokenizer = tokenization.FullTokenizer(name, spm_model_file=spm_model_file)
    return Vocabulary(name, tokenizer.inv_vocab, bool(spm_model_file))


def is_binary(path):
    """True for a SentencePiece model; its numbers have zero bytes, a list of tokens has none."""
    return b"\0" in storage.read_bytes(path)


# Records


def feature_values(example):
    """Dictionary name -> list of int, float or bytes, sorted by name, of a `tf.train.Example`."""
    result = {}
    for name in sorted(example.features.feature):
        feature = example.features.feature[name]
        kind = feature.WhichOneof("kind")
        result[name] = list(getattr(feature, kind).value) if kind else []
    return result


def record_length(record):
    """Number of tokens without padding.

    Raises:
        InputError: a list that has a value for each token has another length than ``input_ids``.
    """
    padded = len(record["input_ids"])
    for name in _OF_TOKENS:
        if name in record and len(record[name]) != padded:
            raise InputError(
                "'%s' has %d values, but 'input_ids' has %d" % (name, len(record[name]), padded)
            )
    present = record.get("input_mask", record["input_ids"])
    return max((position + 1 for position, value in enumerate(present) if value), default=0)


def has_predictions(record):
    """Whether a record is one for pre-training."""
    return set(_PREDICTIONS).issubset(record)


def predictions(record, length):
    """Dictionary position -> id of its label; empty for records without predictions.

    Raises:
        InputError: the lists have different lengths, or a position is beyond `length`.
    """
    if not has_predictions(record):
        return {}
    lists = [record[name] for name in _PREDICTIONS]
    if len(set(map(len, lists))) > 1:
        raise InputError("%s have different lengths" % ", ".join(_PREDICTIONS))
    result = {position: label for position, label, weight in zip(*lists) if weight}
    outside = [position for position in result if not 0 <= position < length]
    if outside:
        raise InputError("masked position %d is beyond its %d tokens" % (outside[0], length))
    return result


def record_pieces(record, vocabulary):
    """List of `Piece` of a record that has ``input_ids``, without padding.

    Raises:
        InputError: the record does not fit the vocabulary or itself.
    """
    length = record_length(record)
    labels = predictions(record, length)
    starts = record.get(BOUNDARY, [None] * length)
    pieces = []
    for position, index in enumerate(record["input_ids"][:length]):
        text = token = vocabulary.token(index)
        if position in labels:
            label = vocabulary.token(labels[position])
            is_kept = token in (label, word_segmentation.remove_mark(label))
            seen = "MASK" if token == _MASK else token
            text = "[%s%s%s]" % (seen, "=" if is_kept else "→", label)
            token = label
        pieces.append(Piece(text, token, starts[position]))
    return pieces


# Text


def join_pieces(pieces, is_sentencepiece, boundaries=False):
    """The text of a list of `Piece`.

    Args:
        is_sentencepiece: see `Vocabulary`.
        boundaries: put a sign where a word starts.
    """
    parts = []
    for before, piece in zip([None, *pieces], pieces):
        # [CLS] and [SEP] stand alone; a segment may start within a word.
        alone = before is None or bool({before.token, piece.token} & _SEPARATORS)
        if before and (alone or _is_space_between(before.token, piece.token, is_sentencepiece)):
            parts.append(" ")
        if boundaries and piece.starts_word:
            parts.append(WORD_START)
        if piece.text != piece.token:  # a prediction; its tokens are shown as they are
            parts.append(piece.text)
        elif is_sentencepiece:
            parts.append(piece.text.replace(_SPIECE_MARKER, " ").lstrip(" "))
        else:
            parts.append(piece.text if alone else _without_mark(piece.text))
    return "".join(parts)


def _is_space_between(before, token, is_sentencepiece):
    if is_sentencepiece:
        return token.startswith(_SPIECE_MARKER)
    if _without_mark(token) != token:
        return False
    return not (_CHINESE.match(before[-1:]) or _CHINESE.match(token[:1]))


def _without_mark(token):
    """A piece that continues a word without ##; the token ## itself is a word."""
    mark = word_segmentation.MARK
    return token[len(mark) :] if token.startswith(mark) and token != mark else token


def format_record(number, record, vocabulary=None, boundaries=False):
    """Returns the lines that show a record.

    Args:
        number: of the record in its file.
        record: see `feature_values`.
        vocabulary: `Vocabulary`; not needed for records without ``input_ids``.
        boundaries: show where words start.

    Raises:
        InputError: the record does not fit the vocabulary or itself.
    """
    head, lines = [], []
    length = padded = None
    if "input_ids" in record:
        pieces = record_pieces(record, vocabulary)
        lines = _format_segments(record, pieces, vocabulary.is_sentencepiece, boundaries)
        length, padded = len(pieces), len(record["input_ids"])
        head.append("%d tokens" % length)
        shown = {"input_ids", *_OF_TOKENS}
        if has_predictions(record):
            head.append("%d predictions" % sum(map(bool, record["masked_lm_weights"])))
            shown.update(_PREDICTIONS)
        record = {name: values for name, values in record.items() if name not in shown}
    for name, values in record.items():
        if len(values) == 1:
            head.append("%s %s" % (name, values[0]))
        else:
            values = values[:length] if len(values) == padded else values  # one for each token
            lines.append("  %s: %s" % (name, " ".join(map(str, values))))
    return ["record %d: %s" % (number, ", ".join(head)), *lines]


def _format_segments(record, pieces, is_sentencepiece, boundaries):
    """A line for each run of equal ``segment_ids``."""
    segments = record.get("segment_ids", [0] * len(pieces))
    lines = []
    for segment, group in itertools.groupby(zip(segments, pieces), lambda pair: pair[0]):
        name = {0: "A", 1: "B"}.get(segment, "segment %s" % segment)
        text = join_pieces([piece for _, piece in group], is_sentencepiece, boundaries)
        lines.append("  %s: %s" % (name, text))
    return lines


def inspect(path, count, start=0, boundaries=False, vocab_file=None, spm_model_file=None):
    """Yields the lines that show `count` records of a file from number `start` on.

    Raises:
        InputError: the file, a record or the vocabulary is not usable.
    """
    vocabulary = None
    total = 0
    examples = record_reader.read_examples(path)
    for number, example in enumerate(itertools.islice(examples, start + count)):
        total += 1
        if number < start:
            continue
        record = feature_values(example)
        if "input_ids" in record and not vocabulary:
            vocabulary = load_vocabulary(path, vocab_file, spm_model_file)
        try:
            if boundaries and BOUNDARY not in record:
                raise InputError("no feature '%s' (only --recipe=google writes it)" % BOUNDARY)
            lines = format_record(number, record, vocabulary, boundaries)
        except InputError as error:
            raise InputError("%s, record %d: %s." % (path, number, error)) from None
        yield from lines
    if not total:
        raise InputError("%s: holds no record." % path)
    if total <= start:
        raise InputError(
            "--start is %d, but %s has %d records, the first being 0." % (start, path, total)
        )
