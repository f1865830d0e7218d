"""Pre-training records: what is refused before training, and which batches come out."""

import gzip

import numpy as np
import pytest

from albert.basics import storage
from albert.basics.errors import InputError
from albert.basics.tf_compat import tf
from albert.pretraining import record_files
from albert.pretraining.input import input_fn_builder
from albert.pretraining_data import record_reader
from helpers.records import (
    PREDICTIONS,
    SEQ_LENGTH,
    SHAPE,
    VOCAB_SIZE,
    make_features,
    serialize,
    write_features,
    write_records,
)


def check(*paths):
    record_files.check_records([str(path) for path in paths], SHAPE)


def read_batches(files, count=None, batch_size=2, is_training=True, **settings):
    """The first `count` batches, all of them for None."""
    files = [
        record_files.record_file(path, sum(1 for _ in record_reader.read_examples(path)))
        for path in files
    ]
    input_fn = input_fn_builder(files, SHAPE, is_training, **settings)
    batches = []
    with tf.Graph().as_default(), tf.Session() as session:
        batch = tf.data.make_one_shot_iterator(input_fn({"batch_size": batch_size})).get_next()
        while count is None or len(batches) < count:
            try:
                batches.append(session.run(batch))
            except tf.errors.OutOfRangeError:
                break
    return batches


def identities(batches):
    return [batch["input_ids"][:, 0].tolist() for batch in batches]


def flat(batches):
    return np.ravel(identities(batches)).tolist()


@pytest.fixture
def files(tmp_path):
    """Five records in three files."""
    parts = [[0, 1], [2, 3], [4]]
    return [write_records(tmp_path / ("tf_%d" % n), part) for n, part in enumerate(parts)]


@pytest.fixture
def mixed_files(tmp_path):
    """The records of `files`, one of the files compressed; nothing in the names tells which."""
    parts = [([0, 1], ""), ([2, 3], "GZIP"), ([4], "")]
    return [write_records(tmp_path / ("mixed_%d" % n), *part) for n, part in enumerate(parts)]


def test_good_records_pass(files):
    check(*files)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"seq_length": 32}, r"'input_ids' has 32 .* expected 16 \(--max_seq_length\)"),
        ({"predictions": 5}, r"'masked_lm_.*' has 5 .* expected 3 \(--max_predictions_per_seq\)"),
    ],
)
def test_records_of_another_length_are_refused(tmp_path, files, changes, message):
    bad = write_features(tmp_path / "tf_bad", [make_features(1, **changes)])
    with pytest.raises(InputError, match="tf_bad: " + message):
        check(*files, bad)


@pytest.mark.parametrize("key", ["input_ids", "masked_lm_ids"])
def test_ids_beyond_the_vocabulary_are_refused(tmp_path, key):
    records = [make_features(n) for n in range(3)]
    records[2][key][0] = VOCAB_SIZE - 1
    check(write_features(tmp_path / "good", records))
    records[2][key][0] = VOCAB_SIZE
    with pytest.raises(InputError, match="bad: token id 50 in '%s'.*vocab_size is 50" % key):
        check(write_features(tmp_path / "bad", records))


@pytest.mark.parametrize("key", ["input_ids", "segment_ids", "masked_lm_weights"])
def test_records_without_a_feature_are_refused(tmp_path, key):
    features = make_features(1)
    del features[key]
    with pytest.raises(InputError, match="bad: the records have no feature '%s'" % key):
        check(write_features(tmp_path / "bad", [features]))


def test_features_of_another_type_are_refused(tmp_path):
    example = tf.train.Example.FromString(serialize(make_features(1)))
    weights = example.features.feature["masked_lm_weights"]
    weights.int64_list.value.extend([1] * PREDICTIONS)  # takes the place of the floats
    path = str(tmp_path / "bad")
    with tf.io.TFRecordWriter(path) as writer:
        writer.write(example.SerializeToString())
    with pytest.raises(InputError, match="'masked_lm_weights' has 0 values of type float"):
        check(path)


def test_files_without_records_are_refused(tmp_path, files):
    empty = write_features(tmp_path / "empty", [])
    with pytest.raises(InputError, match="empty: holds no record"):
        check(*files, empty)


def test_files_of_another_kind_are_refused(tmp_path, files):
    text = tmp_path / "corpus.txt"
    text.write_text("a line of text\n" * 10)
    with pytest.raises(InputError, match=r"corpus\.txt: not a readable TFRecord"):
        check(text)
    with tf.io.TFRecordWriter(str(tmp_path / "strings")) as writer:
        writer.write(b"no example")
    with pytest.raises(InputError, match="strings: a record is not a tf.train.Example"):
        check(tmp_path / "strings")
    truncated = tmp_path / "truncated"
    with open(files[0], "rb") as handle:
        truncated.write_bytes(handle.read()[:-10])
    with pytest.raises(InputError, match="truncated: not a readable TFRecord"):
        check(truncated)
    with pytest.raises(InputError, match="missing"):
        check(tmp_path / "missing")


def test_pattern_without_a_match_is_refused(tmp_path, files):
    assert storage.match_files(str(tmp_path / "tf_*")) == files
    with pytest.raises(InputError, match=r"--eval_file: no file matches '.*none\*'"):
        storage.match_files("%s,%s" % (files[0], tmp_path / "none*"), "eval_file")


def test_batches_hold_the_records(tmp_path):
    expected = [make_features(n) for n in range(4)]
    path = write_features(tmp_path / "tf", expected)
    extra = [dict(features, token_boundary=[1] * SEQ_LENGTH) for features in expected]
    with_extra = write_features(tmp_path / "tf_extra", extra)
    check(path, with_extra)
    for name in (path, with_extra):
        first, second = read_batches([name], is_training=False, one_pass=True)
        assert set(first) == set(expected[0])  # without token_boundary
        for key, values in first.items():
            both = np.concatenate([values, second[key]])
            assert both.dtype == (np.float32 if key == "masked_lm_weights" else np.int32)
            np.testing.assert_array_equal(both, [features[key] for features in expected], key)


def test_evaluation_reads_in_order_and_repeats_in_full_batches(files):
    batches = read_batches(files, 6, is_training=False)
    assert identities(batches) == [[0, 1], [2, 3], [4, 0], [1, 2], [3, 4], [0, 1]]


def test_evaluation_of_fewer_records_than_a_batch(files):
    assert identities(read_batches(files[2:], 2, is_training=False)) == [[4, 4], [4, 4]]


def test_one_pass_gives_every_record_once(files):
    batches = read_batches(files, is_training=False, one_pass=True)
    assert identities(batches) == [[0, 1], [2, 3], [4]]


@pytest.mark.slow
@pytest.mark.parametrize("shuffle_buffer", [1, 3, 100])
def test_training_order_is_a_function_of_the_seed(files, shuffle_buffer):
    def order(seed, first_example=0, count=30):
        batches = read_batches(
            files,
            count,
            random_seed=seed,
            shuffle_buffer=shuffle_buffer,
            first_example=first_example,
        )
        return identities(batches)

    whole = order(7)
    assert set(np.ravel(whole)) == set(range(5))
    assert order(7) == whole
    assert order(8) != whole
    # What a run that is resumed at a step sees: the rest of the sequence.
    for step in (1, 13):
        assert order(7, first_example=2 * step, count=30 - step) == whole[step:]


@pytest.mark.slow
def test_shuffling_mixes_records_of_one_file(tmp_path):
    path = write_records(tmp_path / "tf", range(40))

    def order(shuffle_buffer):
        batches = read_batches([path], 20, random_seed=1, shuffle_buffer=shuffle_buffer)
        return flat(batches)

    assert order(1) == list(range(40))
    assert sorted(order(200)) == list(range(40))  # also a large buffer holds one epoch
    assert order(20)[:10] != list(range(10))
    assert max(order(20)[:10]) > 10


def test_records_of_several_files_mix_without_a_buffer(tmp_path):
    paths = [write_records(tmp_path / name, ids) for name, ids in (("a", [0, 1]), ("b", [2, 3]))]
    first = flat(read_batches(paths, 2, random_seed=1, shuffle_buffer=1))
    assert sorted(first) == [0, 1, 2, 3]
    assert {first[0] // 2, first[1] // 2} == {0, 1}


# Compressed files


def test_compression_is_told_by_the_content(mixed_files):
    found = [record_reader.compression_type(path) for path in mixed_files]
    assert found == ["", "GZIP", ""]
    with gzip.open(mixed_files[1]) as compressed, open(mixed_files[0], "rb") as plain:
        assert len(compressed.read()) == len(plain.read())


def test_a_long_first_record_is_not_taken_for_compression(tmp_path):
    path = str(tmp_path / "tf")
    with tf.io.TFRecordWriter(path) as writer:
        writer.write(b"x" * 0x8B1F)
    with open(path, "rb") as handle:
        assert handle.read(2) == b"\x1f\x8b"  # this record's length, and gzip's mark
    assert record_reader.compression_type(path) == ""


def test_examples_of_compressed_files(mixed_files):
    examples = [list(record_reader.read_examples(path)) for path in mixed_files]
    ids = [[e.features.feature["input_ids"].int64_list.value[0] for e in part] for part in examples]
    assert ids == [[0, 1], [2, 3], [4]]


def test_compressed_records_are_checked(tmp_path, mixed_files):
    check(*mixed_files)
    records = [make_features(n) for n in range(3)]
    records[2]["input_ids"][0] = VOCAB_SIZE
    with pytest.raises(InputError, match="bad: token id 50 in 'input_ids'.*vocab_size is 50"):
        check(*mixed_files, write_features(tmp_path / "bad", records, "GZIP"))
    with pytest.raises(InputError, match="empty: holds no record"):
        check(write_features(tmp_path / "empty", [], "GZIP"))


def test_damaged_compressed_files_are_refused(tmp_path, mixed_files):
    with open(mixed_files[1], "rb") as handle:
        content = handle.read()
    text = gzip.compress(b"a line of text\n" * 10)
    for name, damaged, message in (
        ("short", content[:-20], "not a readable TFRecord file .truncated record"),
        ("text.gz", text, "not a readable TFRecord file .corrupted record at 0"),
        ("head", content[:5], "holds no record"),
    ):
        path = tmp_path / name
        path.write_bytes(damaged)
        with pytest.raises(InputError, match="%s: %s" % (name, message)):
            check(path)


def test_compressed_and_other_files_give_the_same_batches(files, mixed_files):
    """In training the same order, too."""
    evaluation = dict(is_training=False, one_pass=True)
    assert identities(read_batches(mixed_files, **evaluation)) == [[0, 1], [2, 3], [4]]
    expected, found = (
        read_batches(paths, 30, random_seed=3, shuffle_buffer=4) for paths in (files, mixed_files)
    )
    for batch, other in zip(expected, found):
        assert set(batch) == set(other)
        for key in batch:
            np.testing.assert_array_equal(batch[key], other[key], key)
