"""Pre-training records (spec/model.md 4.2) as batches.

Files may be compressed by gzip or not, each as it is.
"""

import contextlib
import itertools

from google.protobuf.message import DecodeError

from file_utils import InputError
from tf_compat import tf

# Files read at the same time; records of different files then mix within a small buffer.
_INTERLEAVED_FILES = 4
_CHECKED_RECORDS = 100
# Two bytes that mark gzip and its only method.  A TFRecord file starts with the length of its
# first record, little-endian: it would have to be 559903 (mod 2**24) to be taken for gzip.
_GZIP_MAGIC = b"\x1f\x8b\x08"


def record_features(max_seq_length, max_predictions_per_seq):
    """Feature specification for `tf.io.parse_example`; other features of a record are ignored."""
    sequence = tf.io.FixedLenFeature([max_seq_length], tf.int64)
    predictions = tf.io.FixedLenFeature([max_predictions_per_seq], tf.int64)
    return {
        "input_ids": sequence,
        "input_mask": sequence,
        "segment_ids": sequence,
        "masked_lm_positions": predictions,
        "masked_lm_ids": predictions,
        "masked_lm_weights": tf.io.FixedLenFeature([max_predictions_per_seq], tf.float32),
        "next_sentence_labels": tf.io.FixedLenFeature([1], tf.int64),
    }


def check_records(files, max_seq_length, max_predictions_per_seq, vocab_size):
    """Looks at the first records of every file, before hours are spent on them.

    Raises:
        InputError: a file holds no record or is no TFRecord file, a feature is missing or has
            another length or type, or an id does not fit the vocabulary; the message has both
            numbers.
    """
    features = record_features(max_seq_length, max_predictions_per_seq)
    for path in files:
        found = False
        for example in itertools.islice(read_examples(path), _CHECKED_RECORDS):
            found = True
            for key, expected in features.items():
                _check_feature(path, example.features.feature, key, expected)
            for key in ("input_ids", "masked_lm_ids"):
                largest = max(example.features.feature[key].int64_list.value, default=0)
                if largest >= vocab_size:
                    raise InputError(
                        "%s: token id %d in '%s', but the config's vocab_size is %d; records and "
                        "config must belong to one vocabulary." % (path, largest, key, vocab_size)
                    )
        if not found:
            raise InputError("%s: holds no record." % path)


def compression_type(path):
    """How a TFRecord file is compressed, by its first bytes: "GZIP" or "".

    Raises:
        InputError: the file cannot be read.
    """
    with _report_read_errors(path), tf.io.gfile.GFile(path, "rb") as handle:
        return "GZIP" if handle.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC else ""


def read_examples(path):
    """Yields the records of a TFRecord file as `tf.train.Example`.

    Raises:
        InputError: the file cannot be read, is no TFRecord file, or holds something else.
    """
    with _report_read_errors(path):
        options = tf.io.TFRecordOptions(compression_type=compression_type(path))
        for record in tf.io.tf_record_iterator(path, options):
            yield tf.train.Example.FromString(record)


@contextlib.contextmanager
def _report_read_errors(path):
    try:
        yield
    except tf.errors.OpError as error:
        raise InputError(
            "%s: not a readable TFRecord file (%s)." % (path, error.message.split("\n")[0])
        ) from None
    except DecodeError:
        raise InputError("%s: a record is not a tf.train.Example." % path) from None


def _check_feature(path, found, key, expected):
    if key not in found:
        raise InputError("%s: the records have no feature '%s'." % (path, key))
    kind = "float" if expected.dtype == tf.float32 else "int64"
    length = len(getattr(found[key], kind + "_list").value)
    if length != expected.shape[0]:
        raise InputError(
            "%s: '%s' has %d values of type %s in the records; expected %d%s."
            % (path, key, length, kind, expected.shape[0], _length_flag(key))
        )


def _length_flag(key):
    if key == "next_sentence_labels":
        return ""
    name = "max_predictions_per_seq" if key.startswith("masked_lm_") else "max_seq_length"
    return " (--%s)" % name


def input_fn_builder(
    input_files,
    max_seq_length,
    max_predictions_per_seq,
    is_training,
    random_seed=None,
    shuffle_buffer=100,
    first_step=0,
    one_pass=False,
):
    """Makes an `input_fn` for the estimator.

    Training repeats and shuffles; with a `random_seed` the order is a function of it, and
    `first_step` skips what the steps before it have seen, so that a resumed run continues the
    sequence.  Evaluation reads the files in order, again and again unless `one_pass`.

    Args:
        input_files: list of TFRecord files, compressed or not.
        is_training: bool.
        random_seed: int or None.
        shuffle_buffer: records to shuffle among.
        first_step: number of batches to skip.
        one_pass: evaluation ends with the data, the last batch may be smaller.

    Returns:
        Function of `params` (with "batch_size"), returning a dataset of dicts: int32
        `[batch_size, max_seq_length]` and `[batch_size, max_predictions_per_seq]`, see
        `record_features`.
    """
    features = record_features(max_seq_length, max_predictions_per_seq)
    compressions = [compression_type(path) for path in input_files]

    def parse(records):
        batch = tf.io.parse_example(records, features)
        return {
            name: tf.cast(value, tf.int32) if value.dtype == tf.int64 else value
            for name, value in batch.items()
        }

    def input_fn(params):
        batch_size = params["batch_size"]
        dataset = tf.data.Dataset.from_tensor_slices(
            (tf.constant(input_files), tf.constant(compressions))
        )
        if is_training:
            dataset = dataset.shuffle(len(input_files), seed=random_seed).repeat()
            dataset = dataset.interleave(
                tf.data.TFRecordDataset, cycle_length=min(_INTERLEAVED_FILES, len(input_files))
            )
            dataset = dataset.shuffle(shuffle_buffer, seed=random_seed)
            dataset = dataset.skip(first_step * batch_size)
        else:
            dataset = dataset.flat_map(tf.data.TFRecordDataset)
            if not one_pass:
                dataset = dataset.repeat()
        dataset = dataset.batch(batch_size, drop_remainder=is_training or not one_pass)
        return dataset.map(parse, num_parallel_calls=2).prefetch(2)

    return input_fn
