"""Pre-training instances and their TFRecord files."""

import contextlib
import errno
from array import array
from typing import NamedTuple, Optional

from albert.basics import storage
from albert.basics.errors import InputError, reason

COMPRESSIONS = ("none", "gzip")


class Instance(NamedTuple):
    """One training example, not padded.

    Attributes:
        input_ids: array of int, length n: ``[CLS] A [SEP] B [SEP]`` with masks applied.
        first_segment_length: number of tokens up to and including the first ``[SEP]``.
        masked_lm_positions: array of int, ascending, length m.
        masked_lm_ids: array of int, length m: what belongs at these positions.
        next_sentence_label: 1 if the two segments were swapped, else 0.
        token_boundary: bytes, length n: 1 where a word starts; None if the recipe has none.
    """

    input_ids: array
    first_segment_length: int
    masked_lm_positions: array
    masked_lm_ids: array
    next_sentence_label: int
    token_boundary: Optional[bytes] = None


def _varint(number):
    """Bytes of a number in protocol buffers' variable-length encoding."""
    groups = []
    while number > 0x7F:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(groups + [number])


class RecordEncoder:
    """Serializes instances as `tf.train.Example`, padded with 0, its features in sorted order.

    ``input_ids``, ``input_mask``, ``segment_ids`` (and ``token_boundary``) have length
    `max_seq_length`, those that start with ``masked_lm`` have `max_predictions`,
    ``next_sentence_labels`` has 1.  ``masked_lm_weights`` is of float, all others are of int.

    The bytes are put together here, not by a message object, which would take most of the time
    of the whole data creation; what recurs is kept.
    """

    _INT_LIST, _FLOAT_LIST = b"\x1a", b"\x12"  # tags of the fields of tf.train.Feature
    _ONE = b"\x00\x00\x80\x3f"  # 1.0, little-endian float32

    def __init__(self, max_seq_length, max_predictions, vocab_size=1 << 16):
        """`vocab_size`: at least one more than the largest id."""
        self.max_seq_length = max_seq_length
        self.max_predictions = max_predictions
        # Of every number in a record: ids, positions, sizes of parts.
        self._varints = list(map(_varint, range(max(vocab_size, 32 * max_seq_length + 1024))))
        self._prefixes = {}
        self._masks = {}
        self._weights = {}
        self._labels = [
            self._feature(b"next_sentence_labels", self._INT_LIST, label)
            for label in (b"\x00", b"\x01")
        ]

    def encode(self, instance):
        """The serialized record, as bytes."""
        length = len(instance.input_ids)
        first = instance.first_segment_length
        predictions = len(instance.masked_lm_ids)
        features = [
            self._int_feature(b"input_ids", instance.input_ids, self.max_seq_length),
            self._mask(length),
            self._int_feature(b"masked_lm_ids", instance.masked_lm_ids, self.max_predictions),
            self._int_feature(
                b"masked_lm_positions", instance.masked_lm_positions, self.max_predictions
            ),
            self._weight(predictions),
            self._labels[instance.next_sentence_label],
            self._int_list(b"segment_ids", b"\x00" * first + b"\x01" * (length - first)),
        ]
        if instance.token_boundary is not None:
            features.append(self._int_list(b"token_boundary", instance.token_boundary))
        content = b"".join(features)
        return b"\x0a" + self._varints[len(content)] + content

    def _feature(self, name, kind, packed):
        """One entry of the feature map; an empty list has no packed field."""
        size = self._varints
        values = b"\x0a" + size[len(packed)] + packed if packed else b""
        feature = kind + size[len(values)] + values
        if name not in self._prefixes:
            self._prefixes[name] = b"\x0a" + size[len(name)] + name + b"\x12"
        entry = self._prefixes[name] + size[len(feature)] + feature
        return b"\x0a" + size[len(entry)] + entry

    def _int_feature(self, name, values, length):
        varints = self._varints
        packed = b"".join([varints[value] for value in values])
        return self._feature(name, self._INT_LIST, packed + b"\x00" * (length - len(values)))

    def _int_list(self, name, values):
        return self._feature(name, self._INT_LIST, values.ljust(self.max_seq_length, b"\x00"))

    def _mask(self, length):
        if length not in self._masks:
            self._masks[length] = self._int_list(b"input_mask", b"\x01" * length)
        return self._masks[length]

    def _weight(self, predictions):
        if predictions not in self._weights:
            values = (self._ONE * predictions).ljust(4 * self.max_predictions, b"\x00")
            self._weights[predictions] = self._feature(
                b"masked_lm_weights", self._FLOAT_LIST, values
            )
        return self._weights[predictions]


@contextlib.contextmanager
def report_disk_errors(what):
    """Turns a failure to write (`what`: the files) into an InputError."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EACCES, errno.EROFS):
            raise
        raise InputError("%s: cannot be written (%s)." % (what, error.strerror)) from None


@contextlib.contextmanager
def record_writers(paths, compression="none"):
    """Opens a TFRecord writer for each path; the files appear together when the block succeeds.

    After a failure none of them is there; existing ones are then left as they were.

    Raises:
        InputError: a file cannot be written, for example because the disk is full.
    """
    # Imported here, as that takes seconds and the parent of several workers writes no records.
    from albert.basics.tf_compat import tf

    options = tf.io.TFRecordOptions(compression_type="" if compression == "none" else "GZIP")
    names = ", ".join(paths)
    try:
        with contextlib.ExitStack() as stack:
            stack.enter_context(report_disk_errors(names))
            temporary = stack.enter_context(storage.renamed_when_done(*paths))
            yield [stack.enter_context(tf.io.TFRecordWriter(path, options)) for path in temporary]
    except tf.errors.OpError as error:
        raise InputError("%s: cannot be written (%s)." % (names, reason(error))) from None


def write_instances(instances, encoder, writers, first=0):
    """Writes instances in turn: instance k goes to writer (first + k) mod their number.

    Args:
        instances: iterable of `Instance`.
        encoder: `RecordEncoder`.
        writers: list of TFRecord writers.

    Returns:
        List: the number of records given to each writer.
    """
    counts = [0] * len(writers)
    which = first % len(writers)
    for instance in instances:
        writers[which].write(encoder.encode(instance))
        counts[which] += 1
        which = (which + 1) % len(writers)
    return counts
