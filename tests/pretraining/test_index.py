"""Counting and checking all records: what is damaged is left out up to a limit, or named."""

import gzip
import json
import os
import struct

import numpy as np
import pytest

from albert.basics.errors import InputError
from albert.basics.tf_compat import tf
from albert.pretraining import repair
from albert.pretraining.index import INDEX_FILE, RecordIndex, copy_index
from albert.pretraining.input import input_fn_builder
from helpers.records import (
    SEQ_LENGTH,
    SHAPE,
    VOCAB_SIZE,
    damage,
    damaged_content,
    frames,
    make_features,
    serialize,
    write_features,
    write_records,
)

RECORDS = 6


def read(tmp_path, *files, limit=0):
    index = RecordIndex(str(tmp_path), SHAPE, limit)
    return index.read([str(path) for path in files])


def identities(file):
    options = tf.io.TFRecordOptions(compression_type=file.compression)
    records = tf.io.tf_record_iterator(file.path, options)
    return [
        tf.train.Example.FromString(record).features.feature["input_ids"].int64_list.value[0]
        for record in records
    ]


@pytest.fixture
def path(tmp_path):
    return write_records(tmp_path / "tf", range(RECORDS))


def test_counts_are_kept(tmp_path, path, capsys):
    packed = write_records(tmp_path / "packed", range(3), "GZIP")
    expected = [(path, "", RECORDS), (packed, "GZIP", 3)]
    assert read(tmp_path, path, packed) == expected
    assert "Checking all records of 2 files" in capsys.readouterr().out
    assert read(tmp_path, path, packed) == expected
    assert capsys.readouterr().out == ""
    # A file that has changed is read again, the other is not.
    write_records(path, range(RECORDS + 1))
    assert [file.count for file in read(tmp_path, path, packed)] == [RECORDS + 1, 3]
    assert "of 1 files" in capsys.readouterr().out


def test_another_folder_takes_over_the_counts(tmp_path, path, capsys):
    chief, worker = tmp_path / "chief", tmp_path / "worker"
    chief.mkdir()
    worker.mkdir()
    copy_index(str(chief), str(worker))  # there is nothing yet
    damaged = write_records(tmp_path / "damaged", range(RECORDS))
    damaged_content(damaged)
    expected = read(chief, path, damaged, limit=1)
    assert "of 2 files" in capsys.readouterr().out
    copy_index(str(chief), str(worker))
    found = read(worker, path, damaged, limit=1)
    # The repaired copy lies in the chief's folder, which may go away; so it is made anew.
    assert "of 1 files" in capsys.readouterr().out
    assert [file.count for file in found] == [file.count for file in expected] == [RECORDS, 5]
    assert found[1].path.startswith(str(worker))


def test_checksum(tmp_path, path):
    with open(path, "rb") as handle:
        data = handle.read()
    for start, end in frames(path):
        assert (
            repair.checksum(data[start : start + 8]) == struct.unpack_from("<I", data, start + 8)[0]
        )
        assert (
            repair.checksum(data[start + 12 : end - 4])
            == struct.unpack_from("<I", data, end - 4)[0]
        )


def damaged_length(path):
    damage(path, frames(path)[2][0])


def damaged_length_and_more(path):
    """A length and the one after it: there is no telling how many records these are."""
    starts = [start for start, _ in frames(path)]
    damage(path, starts[2] + 7)
    damage(path, starts[3] + 1)


def cut_content(path):
    os.truncate(path, frames(path)[2][0] + 40)


def cut_length(path):
    os.truncate(path, frames(path)[2][0] + 5)


@pytest.mark.parametrize(
    "do_damage, problem, left",
    [
        (damaged_length, "its length is damaged", [0, 1, 3, 4, 5]),
        (damaged_length_and_more, "its length is damaged", [0, 1, 4, 5]),
        (damaged_content, "its checksum is wrong", [0, 1, 3, 4, 5]),
        (cut_content, "the file ends in the middle of it", [0, 1]),
        (cut_length, "the file ends in the middle of it", [0, 1]),
    ],
)
def test_damage(tmp_path, path, do_damage, problem, left):
    do_damage(path)
    message = r"tf: record 2: %s\. 1 damaged records .*--max_corrupt_records is 0" % problem
    with pytest.raises(InputError, match=message):
        read(tmp_path, path)
    (file,) = read(tmp_path, path, limit=1)
    assert file.count == len(left)
    assert identities(file) == left
    # The next time the repaired file is there; a lower limit still counts.
    assert read(tmp_path, path, limit=1) == [file]
    with pytest.raises(InputError, match=message):
        read(tmp_path, path)


@pytest.mark.parametrize(
    "changes, problem",
    [
        ({"input_ids": [VOCAB_SIZE] * SEQ_LENGTH}, "50 in 'input_ids' is not in 0 to 49"),
        ({"masked_lm_positions": [0, -1, 0]}, "-1 in 'masked_lm_positions' is not in 0 to 15"),
        ({"next_sentence_labels": [2]}, "2 in 'next_sentence_labels' is not in 0 to 1"),
        ({"input_mask": [1, 1]}, "'input_mask' has 2 values .* expected 16"),
        (None, "it is not a tf.train.Example"),
    ],
)
def test_records_that_are_whole_but_wrong(tmp_path, changes, problem):
    path = str(tmp_path / "tf")
    good = make_features(0)
    bad = b"\xff" * 50 if changes is None else serialize(dict(good, **changes))
    with tf.io.TFRecordWriter(path) as writer:
        for record in (serialize(good), bad, serialize(good)):
            writer.write(record)
    with pytest.raises(InputError, match="tf: record 1: " + problem):
        read(tmp_path, path)
    (file,) = read(tmp_path, path, limit=1)
    assert file.count == 2 and identities(file) == [0, 0]


def test_damage_in_compressed_files(tmp_path):
    path = write_records(tmp_path / "packed", range(RECORDS), "GZIP")
    whole = os.path.getsize(path)
    os.truncate(path, whole - 60)
    message = r"packed: record \d: the compressed data are cut off in it"
    with pytest.raises(InputError, match=message):
        read(tmp_path, path)
    (file,) = read(tmp_path, path, limit=1)
    assert 0 < file.count < RECORDS and file.compression == ""
    assert identities(file) == list(range(file.count))
    # A record damaged before it was compressed is one record.
    with gzip.open(write_records(tmp_path / "source", range(RECORDS), "GZIP")) as handle:
        content = handle.read()
    with gzip.open(path, "wb") as handle:
        handle.write(content[:40] + b"\x7f" + content[41:])
    (file,) = read(tmp_path, path, limit=1)
    assert identities(file) == [1, 2, 3, 4, 5]


def test_the_limit_counts_all_files(tmp_path):
    paths = [write_records(tmp_path / name, range(RECORDS)) for name in "abc"]
    damaged_content(paths[0])
    damaged_content(paths[2])
    assert [file.count for file in read(tmp_path, *paths, limit=2)] == [5, 6, 5]
    with pytest.raises(InputError, match=r"a: record 2: .*; .*c: record 2: .*\. 2 damaged"):
        read(tmp_path, *paths, limit=1)
    with open(str(tmp_path / INDEX_FILE)) as handle:
        assert json.load(handle)[paths[0]]["damaged"][0]["record"] == 2


def test_files_without_a_good_record(tmp_path, path):
    with pytest.raises(InputError, match="empty: holds no record"):
        read(tmp_path, write_features(tmp_path / "empty", []))
    text = tmp_path / "text"
    text.write_bytes(b"a line of text\n" * 20)
    with pytest.raises(InputError, match="text: record 0: its length is damaged"):
        read(tmp_path, text)
    with pytest.raises(InputError, match="text: holds no record"):
        read(tmp_path, text, limit=1)


def test_repaired_files_make_batches(tmp_path, path):
    damaged_content(path)
    files = read(tmp_path, path, limit=1)
    input_fn = input_fn_builder(files, SHAPE, True)
    with tf.Graph().as_default(), tf.Session() as session:
        batch = tf.data.make_one_shot_iterator(input_fn({"batch_size": 5})).get_next()
        for _ in range(3):
            ids = session.run(batch)["input_ids"][:, 0]
            np.testing.assert_array_equal(np.sort(ids), [0, 1, 3, 4, 5])
