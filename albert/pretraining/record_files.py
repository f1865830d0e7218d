"""Files of pre-training records: what is in them, and whether it is good."""

import hashlib
import itertools
from typing import NamedTuple, Optional

from google.protobuf.message import DecodeError

from albert.basics import storage
from albert.basics.errors import InputError
from albert.basics.tf_compat import tf
from albert.pretraining_data.record_reader import compression_type, read_examples

_CHECKED_RECORDS = 100
# Of `content_sample`.
_SAMPLES, _SAMPLE_BYTES = 32, 1 << 16


class RecordFile(NamedTuple):
    """A TFRecord file.

    Attributes:
        path: of the file.
        compression: "" or "GZIP".
        count: number of records; None: not known.
    """

    path: str
    compression: str
    count: Optional[int]


class RecordShape(NamedTuple):
    """What all records of a run have in common.

    Attributes:
        max_seq_length: number of tokens, padding included.
        max_predictions_per_seq: number of predictions, padding included.
        vocab_size: what ids must be below.
    """

    max_seq_length: int
    max_predictions_per_seq: int
    vocab_size: int


def record_features(shape):
    """Feature specification for `tf.io.parse_example`; other features of a record are ignored."""
    sequence = tf.io.FixedLenFeature([shape.max_seq_length], tf.int64)
    predictions = tf.io.FixedLenFeature([shape.max_predictions_per_seq], tf.int64)
    return {
        "input_ids": sequence,
        "input_mask": sequence,
        "segment_ids": sequence,
        "masked_lm_positions": predictions,
        "masked_lm_ids": predictions,
        "masked_lm_weights": tf.io.FixedLenFeature([shape.max_predictions_per_seq], tf.float32),
        "next_sentence_labels": tf.io.FixedLenFeature([1], tf.int64),
    }


def value_ends(shape):
    """`{feature: n}` of those whose values must be in 0 to n - 1."""
    return {
        "input_ids": shape.vocab_size,
        "masked_lm_positions": shape.max_seq_length,
        "masked_lm_ids": shape.vocab_size,
        "next_sentence_labels": 2,
    }


def record_problem(content, features, ends):
    """What is wrong with a record, or None.

    Args:
        content: bytes of the record.
        features: from `record_features`.
        ends: from `value_ends`.
    """
    try:
        found = tf.train.Example.FromString(content).features.feature
    except DecodeError:
        return "it is not a tf.train.Example"
    for key, expected in features.items():
        problem = _feature_problem(found, key, expected)
        if problem:
            return problem
    for key, end in ends.items():
        values = found[key].int64_list.value
        wrong = [value for value in values if not 0 <= value < end]
        if wrong:
            return "%d in '%s' is not in 0 to %d" % (wrong[0], key, end - 1)
    return None


def check_records(files, shape):
    """Looks at the first records of every file, before hours are spent on them.

    Args:
        files: list of paths.
        shape: `RecordShape` that the records must have.

    Raises:
        InputError: a file holds no record or is no TFRecord file, a feature is missing or has
            another length or type, or an id does not fit the vocabulary; the message has both
            numbers.
    """
    features = record_features(shape)
    for path in files:
        found = False
        for example in itertools.islice(read_examples(path), _CHECKED_RECORDS):
            found = True
            for key, expected in features.items():
                problem = _feature_problem(example.features.feature, key, expected)
                if problem:
                    raise InputError("%s: %s." % (path, problem))
            for key in ("input_ids", "masked_lm_ids"):
                largest = max(example.features.feature[key].int64_list.value, default=0)
                if largest >= shape.vocab_size:
                    raise InputError(
                        "%s: token id %d in '%s', but the config's vocab_size is %d; records and "
                        "config must belong to one vocabulary."
                        % (path, largest, key, shape.vocab_size)
                    )
        if not found:
            raise InputError("%s: holds no record." % path)


def record_file(path, count=None):
    """The `RecordFile` of a path.

    Raises:
        InputError: the file cannot be read.
    """
    return RecordFile(path, compression_type(path), count)


def content_sample(path):
    """Hexadecimal SHA-256 of a file's size and of pieces all over it; of a small one, of all.

    Two files of records differ in every piece, also those of other seeds; reading all of each file
    at every start would take hours.
    """
    size = storage.file_size(path)
    digest = hashlib.sha256(b"%d" % size)
    if size <= _SAMPLES * _SAMPLE_BYTES:
        places = [(0, size)]
    else:
        step = (size - _SAMPLE_BYTES) / (_SAMPLES - 1)
        starts = [int(number * step) for number in range(_SAMPLES)]
        places = [(start, start + _SAMPLE_BYTES) for start in starts]
    for start, end in places:
        for chunk in storage.read_chunks(path, start, end):
            digest.update(chunk)
    return digest.hexdigest()


def _feature_problem(found, key, expected):
    """What is wrong with a feature of a record, or None."""
    if key not in found:
        return "the records have no feature '%s'" % key
    kind = "float" if expected.dtype == tf.float32 else "int64"
    length = len(getattr(found[key], kind + "_list").value)
    if length != expected.shape[0]:
        return "'%s' has %d values of type %s in the records; expected %d%s" % (
            key,
            length,
            kind,
            expected.shape[0],
            _length_flag(key),
        )
    return None


def _length_flag(key):
    if key == "next_sentence_labels":
        return ""
    name = "max_predictions_per_seq" if key.startswith("masked_lm_") else "max_seq_length"
    return " (--%s)" % name
