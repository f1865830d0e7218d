"""Pre-training records, good and damaged."""

import array
import struct

import numpy as np

from albert.basics.tf_compat import tf
from albert.pretraining.record_files import RecordShape
from albert.pretraining_data.record_encoder import Instance, RecordEncoder

SEQ_LENGTH, PREDICTIONS, VOCAB_SIZE = 16, 3, 50
SHAPE = RecordShape(SEQ_LENGTH, PREDICTIONS, VOCAB_SIZE)


def make_features(identity, vocab_size=VOCAB_SIZE, seq_length=SEQ_LENGTH, predictions=PREDICTIONS):
    """A random valid record; `input_ids[0]` is its identity."""
    random = np.random.RandomState(identity)
    length = random.randint(seq_length // 2, seq_length + 1)
    masked = random.randint(1, predictions + 1)
    positions = sorted(random.choice(np.arange(1, length), masked, replace=False))
    instance = Instance(
        input_ids=array.array("i", [identity, *random.randint(5, vocab_size, length - 1)]),
        first_segment_length=length // 2,
        masked_lm_positions=array.array("i", positions),
        masked_lm_ids=array.array("i", random.randint(5, vocab_size, masked)),
        next_sentence_label=int(random.randint(2)),
    )
    record = RecordEncoder(seq_length, predictions).encode(instance)
    features = tf.train.Example.FromString(record).features.feature
    return {
        name: list((value.float_list if value.HasField("float_list") else value.int64_list).value)
        for name, value in features.items()
    }


def serialize(features):
    """The record of a dictionary name -> list of numbers."""
    example = tf.train.Example()
    for name, values in features.items():
        feature = example.features.feature[name]
        is_float = name == "masked_lm_weights"
        (feature.float_list if is_float else feature.int64_list).value.extend(values)
    return example.SerializeToString()


def write_features(path, records, compression=""):
    options = tf.io.TFRecordOptions(compression_type=compression)
    with tf.io.TFRecordWriter(str(path), options) as writer:
        for features in records:
            writer.write(serialize(features))
    return str(path)


def write_records(path, identities, compression=""):
    return write_features(path, map(make_features, identities), compression)


def frames(path):
    """(start, end) of every record of an undamaged file."""
    with open(path, "rb") as handle:
        data = handle.read()
    found, start = [], 0
    while start < len(data):
        end = start + struct.unpack_from("<Q", data, start)[0] + 16
        found.append((start, end))
        start = end
    return found


def damage(path, position, value=0xFF):
    with open(path, "r+b") as handle:
        handle.seek(position)
        byte = handle.read(1)[0]
        handle.seek(position)
        handle.write(bytes([byte ^ value]))


def damaged_content(path):
    damage(path, frames(path)[2][0] + 40, 0x01)
