"""The golden files of pre-training data, and how tests read records."""

import gzip
import json
import os
import struct

from albert.basics.storage import read_bytes
from albert.basics.tf_compat import tf
from helpers.paths import GOLDEN

VOCAB = os.path.join(GOLDEN, "vocab.txt")
DATA = os.path.join(GOLDEN, "data")


def text_path(name):
    return os.path.join(DATA, "texts", name)


def golden_json(name):
    with gzip.open(os.path.join(DATA, name + ".json.gz"), "rt", encoding="ascii") as file:
        return json.load(file)


def payloads(path):
    """The serialized examples of a TFRecord file, which may be compressed."""
    content = read_bytes(str(path))
    if content[:2] == b"\x1f\x8b":
        content = gzip.decompress(content)
    result = []
    while content:
        (length,) = struct.unpack("<Q", content[:8])
        result.append(content[12 : 12 + length])
        content = content[16 + length :]
    return result


def features(payload):
    """The features of a serialized example: dictionary name -> values."""
    feature_map = tf.train.Example.FromString(payload).features.feature
    return {
        name: feature.float_list.value if name == "masked_lm_weights" else feature.int64_list.value
        for name, feature in feature_map.items()
    }


def write(path, text):
    path.write_bytes(text.encode("utf-8"))
    return path
