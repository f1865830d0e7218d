"""Batches of unpadded examples: order, widths, and the same numbers as with padding."""

import collections
import itertools
import os

import numpy as np
import pytest

import optimization
from albert.basics.tf_compat import tf
from albert.finetuning import evaluation, records
from albert.finetuning.batches import (
    ArraySpec,
    BatchLayout,
    EncodedExamples,
    input_fn_builder,
    scoring_batches,
    training_batches,
)
from albert.finetuning.classification.features import specs_of
from albert.finetuning.classification.kind import Classification
from albert.finetuning.flags import FinetuningSettings
from albert.finetuning.tasks import registry
from albert.heads import classification
from albert.model_files import checkpoints
from albert.training import estimator
from helpers.models import golden_config

Encoded = collections.namedtuple("Encoded", "input_ids segment_ids label_id")
MAX_LENGTH = 40


def make_examples(count, seed=0, shortest=3):
    random = np.random.RandomState(seed)
    examples = []
    for _ in range(count):
        length = random.randint(shortest, MAX_LENGTH + 1)
        ids = random.randint(5, 100, length).tolist()
        segments = [0] * (length // 2) + [1] * (length - length // 2)
        examples.append(Encoded(ids, segments, random.randint(2)))
    return examples


def encode(example):
    return {
        "input_ids": example.input_ids,
        "segment_ids": example.segment_ids,
        "label_ids": example.label_id,
    }


def encode_all(examples, regression=False, **settings):
    return EncodedExamples(examples, encode, specs_of(regression), **settings)


def take(number, encoded, *arguments, **settings):
    batches = itertools.islice(training_batches(encoded, *arguments, **settings), number)
    return [batch.tolist() for batch in batches]


# The order


@pytest.mark.parametrize("length_window", [1, 4, 100])
@pytest.mark.parametrize("count,batch_size", [(640, 16), (43, 8), (40, 8), (7, 1), (5, 8), (1, 3)])
def test_every_example_is_used_equally_often(count, batch_size, length_window):
    encoded = encode_all(make_examples(count))
    epochs = 6
    number = epochs * count // batch_size
    batches = take(number, encoded, batch_size, 5, length_window=length_window)
    assert all(len(batch) == batch_size for batch in batches)
    uses = np.bincount(np.concatenate(batches), minlength=count)
    assert uses.min() >= number * batch_size // count
    assert uses.max() <= -(-number * batch_size // count)


@pytest.mark.parametrize("settings", [{}, {"shuffle_buffer": 10}, {"length_window": 1}])
@pytest.mark.parametrize("count", [400, 403])
def test_order_is_a_function_of_seed_and_step(count, settings):
    encoded = encode_all(make_examples(count))
    whole = take(120, encoded, 8, 5, **settings)
    assert whole == take(120, encoded, 8, 5, **settings)
    for first_step in (1, 7, 49, 50, 51, 77, 101):
        rest = take(120 - first_step, encoded, 8, 5, first_step, **settings)
        assert rest == whole[first_step:]
    assert take(5, encoded, 8, 6, **settings) != whole[:5]
    assert take(5, encoded, 8, -5, **settings) != whole[:5]
    assert whole[:50] != whole[50:100]


def test_similar_lengths_are_together_within_the_shuffle():
    encoded = encode_all(make_examples(3200))

    def padding(batches):
        lengths = [encoded.lengths(batch) for batch in batches]
        return sum(sum(max(row) - row) for row in lengths) / sum(sum(row) for row in lengths)

    grouped = take(200, encoded, 16, 1)
    assert padding(grouped) < 0.02
    assert padding(take(200, encoded, 16, 1, length_window=1)) > 0.5
    # Short and long batches come in no order, and their members differ from epoch to epoch.
    means = [np.mean(encoded.lengths(batch)) for batch in grouped]
    assert abs(np.corrcoef(means[1:], means[:-1])[0, 1]) < 0.3
    next_epoch = take(400, encoded, 16, 1)[200:]
    assert not {frozenset(batch) for batch in grouped} & {frozenset(batch) for batch in next_epoch}


def test_shuffle_buffer_bounds_how_far_an_example_moves_forward():
    encoded = encode_all(make_examples(1000))
    order = np.concatenate(take(125, encoded, 8, 3, shuffle_buffer=50, length_window=1))
    np.testing.assert_array_equal(np.sort(order), np.arange(1000))
    places = np.argsort(order)
    assert np.max(np.arange(1000) - places) < 50
    full = np.argsort(np.concatenate(take(125, encoded, 8, 3, length_window=1)))
    assert np.max(np.arange(1000) - full) > 500


def test_small_data_are_still_shuffled():
    encoded = encode_all(make_examples(64))
    batches = take(8, encoded, 16, 1)
    assert {frozenset(batch) for batch in batches[:4]} != {
        frozenset(batch) for batch in batches[4:]
    }


def test_scoring_batches():
    encoded = encode_all(make_examples(21))
    batches = scoring_batches(encoded, 8)
    assert [len(batch) for batch in batches] == [8, 8, 5]
    order = np.concatenate(batches)
    np.testing.assert_array_equal(np.sort(order), np.arange(21))
    assert (np.diff(encoded.lengths(order)) <= 0).all()


# The arrays


def test_batch_is_as_wide_as_its_longest_example():
    examples = [Encoded([1, 2, 3], [0, 0, 1], 1), Encoded([4, 5, 6, 7, 8], [0, 0, 1, 1, 1], 0)]
    expected = {
        "input_ids": [[4, 5, 6, 7, 8], [1, 2, 3, 0, 0]],
        "input_mask": [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]],
        "segment_ids": [[0, 0, 1, 1, 1], [0, 0, 1, 0, 0]],
        "label_ids": [0, 1],
        "is_real_example": [1, 1],
    }
    for pad_to in (None, 7):
        encoded = encode_all(examples, pad_to=pad_to)
        batch = encoded.batch([1, 0])
        dtypes, shapes = encoded.specification(2)
        assert set(batch) == set(dtypes) == set(shapes)
        for name, value in expected.items():
            assert batch[name].dtype == np.int32 == dtypes[name].as_numpy_dtype
            shapes[name].assert_is_compatible_with(batch[name].shape)
            padding = [(0, 0), (0, (pad_to or 5) - 5)][: np.ndim(value)]
            np.testing.assert_array_equal(batch[name], np.pad(value, padding, "constant"))
    assert encode_all(examples, regression=True).batch([0])["label_ids"].dtype == np.float32


def test_features_of_several_rows_with_a_mask_of_their_own(tmp_path):
    """Two choices to an example, its place, and a number; from arrays and from record files."""
    row = ArraySpec(np.int32, (2, None))
    features = {
        "input_ids": row,
        "segment_ids": row,
        "input_mask": row,
        "place": ArraySpec(np.int32, (2,)),
        "weight": ArraySpec(np.float32),
    }
    first = {
        "input_ids": [[1, 2, 3], [4, 5, 0]],
        "segment_ids": [[0, 0, 1], [0, 1, 0]],
        "input_mask": [[1, 1, 1], [1, 1, 0]],
        "place": [3, 4],
        "weight": 0.5,
    }
    second = dict(first, **{name: np.ones([2, 1], np.int32) for name in list(features)[:3]})
    encoded = EncodedExamples([first, second], lambda example: example, features)
    assert encoded.lengths([0, 1]).tolist() == [3, 1]
    batch = encoded.batch([1, 0])
    assert batch["input_ids"].tolist() == [[[1, 0, 0], [1, 0, 0]], first["input_ids"]]
    assert batch["input_mask"].tolist() == [[[1, 0, 0], [1, 0, 0]], first["input_mask"]]
    assert batch["place"].tolist() == [[3, 4]] * 2
    assert (batch["weight"].tolist(), batch["weight"].dtype) == ([0.5, 0.5], np.float32)
    shapes = encoded.specification(2)[1]
    assert shapes["segment_ids"].as_list() == [2, 2, None]

    path, layout = str(tmp_path / "records"), BatchLayout(features)
    records.write(path, records.padded_rows(layout, [first, second], 4, padding=1))
    input_fn = records.input_fn_builder(path, layout.specs(), 4, False, True)
    with tf.Graph().as_default(), tf.Session() as session:
        stored = tf.data.make_one_shot_iterator(input_fn({"batch_size": 3})).get_next()
        stored = session.run(stored)
    assert set(stored) == set(batch)
    padding = [(0, 0), (0, 0), (0, 1)]
    np.testing.assert_array_equal(
        stored["input_ids"][:2], np.pad(batch["input_ids"][::-1], padding, "constant")
    )
    assert stored["place"].tolist() == [[3, 4], [3, 4], [0, 0]]
    assert stored["weight"].tolist() == [0.5, 0.5, 0.0]
    assert stored["is_real_example"].tolist() == [1, 1, 0]
    assert not stored["input_mask"][2].any()


def test_records_that_cannot_be_written_leave_nothing(tmp_path):
    def rows():
        yield records.serialize({"input_ids": [1]})
        raise KeyError("label")

    with pytest.raises(KeyError):
        records.write(str(tmp_path / "records"), rows())
    assert os.listdir(str(tmp_path)) == []


def test_examples_are_encoded_once_and_only_when_needed():
    calls = []

    def counted(example):
        calls.append(example)
        return encode(example)

    examples = make_examples(3200)
    encoded = EncodedExamples(examples, counted, specs_of(False))
    take(1, encoded, 8, 1)
    assert 0 < len(calls) <= 800  # one window
    take(800, encoded, 8, 1)
    assert len(calls) == len(examples)


def test_dataset_and_where_it_goes_on():
    encoded = encode_all(make_examples(50))

    def ids(number, first_step):
        input_fn = input_fn_builder(encoded, seed=3, first_step=first_step)
        with tf.Graph().as_default(), tf.Session() as session:
            batch = tf.data.make_one_shot_iterator(input_fn({"batch_size": 8})).get_next()
            assert batch["input_ids"].shape.as_list() == [8, None]
            assert batch["label_ids"].shape.as_list() == [8]
            return [session.run(batch)["input_ids"].tolist() for _ in range(number)]

    whole = ids(14, 0)
    assert ids(5, 9) == whole[9:]
    expected = [encoded.batch(batch)["input_ids"].tolist() for batch in take(14, encoded, 8, 3)]
    assert whole == expected


# The same results


FAMILIES = ["bm_postln", "bm_preln", "google_g1", "google_fast"]


def load_golden(golden, name, config):
    prefix = os.path.join(golden, "model", name, "model.ckpt")
    checkpoints.init_from_checkpoint(prefix, config, "config.json")


def train_steps(golden, name, encoded, pooling):
    """Losses of 8 steps and the weights after them."""
    config = golden_config(golden, name)
    config.hidden_dropout_prob = config.attention_probs_dropout_prob = 0.0
    with tf.Graph().as_default(), tf.Session() as session:
        tf.set_random_seed(1)
        input_fn = input_fn_builder(encoded, seed=3)
        features = tf.data.make_one_shot_iterator(input_fn({"batch_size": 8})).get_next()
        loss = classification.create_model(
            config,
            True,
            features["input_ids"],
            features["input_mask"],
            features["segment_ids"],
            features["label_ids"],
            2,
            pooling=pooling,
            head_dropout=0.0,
        )[0]
        load_golden(golden, name, config)
        train_op = optimization.create_optimizer(loss, 1e-3, 100, 0)
        session.run(tf.global_variables_initializer())
        for variable in tf.trainable_variables():  # of the head: not in the checkpoint
            if variable.op.name == "output_weights":
                variable.load(
                    np.linspace(-0.1, 0.1, 2 * config.hidden_size).reshape([2, -1]), session
                )
        losses = [session.run([loss, train_op])[0] for _ in range(8)]
        return losses, session.run(tf.trainable_variables())


@pytest.mark.slow
@pytest.mark.parametrize(
    "name,pooling", [(name, "cls") for name in FAMILIES] + [("bm_postln", "masked_mean")]
)
def test_training_without_padding_gives_the_same_weights(golden, name, pooling):
    examples = make_examples(60)
    losses, weights = train_steps(golden, name, encode_all(examples), pooling)
    padded_losses, padded_weights = train_steps(
        golden, name, encode_all(examples, pad_to=MAX_LENGTH), pooling
    )
    assert len(set(losses)) == 8  # the comparison can fail
    np.testing.assert_allclose(losses, padded_losses, rtol=0, atol=1e-5)
    for value, padded in zip(weights, padded_weights):
        # Adam divides by the root of the second moment: a gradient that is nothing but
        # rounding (of the keys' biases) moves a weight by up to the sum of the learning rates.
        error = np.abs(value - padded)
        assert np.mean(error > 1e-5) < 0.1 and error.max() < 8e-3, error.max()


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_scores_without_padding_in_the_order_of_the_file(golden, tmp_path, name):
    config = golden_config(golden, name)
    examples = make_examples(21)
    kind = Classification(registry.get_processor("afqmc"), FinetuningSettings(), None)
    with tf.Graph().as_default(), tf.Session() as session:
        tf.set_random_seed(1)  # of the head: not in the checkpoint
        ids = tf.zeros([1, 2], tf.int32)
        classification.create_model(config, False, ids, ids, ids, None, 2)
        load_golden(golden, name, config)
        tf.train.create_global_step()
        session.run(tf.global_variables_initializer())
        checkpoint = tf.train.Saver().save(session, str(tmp_path / "model.ckpt"), 7)
    assert estimator.checkpoint_step(checkpoint) == 0  # the variable counts, not the name
    results = []
    for pad_to, batch_size in ((None, 4), (MAX_LENGTH, 4), (None, 1), (None, 100)):
        session = evaluation.CheckpointSession(config, kind, "config.json")
        encoded = encode_all(examples, pad_to=pad_to)
        outputs = session.outputs(checkpoint, encoded, batch_size)
        results.append((outputs.answers["probabilities"], outputs.losses))
        session.close()
    probabilities, losses = results[0]
    assert probabilities.shape == (21, 2)
    assert len(np.unique(probabilities[:, 0])) == 21
    picked = probabilities[np.arange(21), [example.label_id for example in examples]]
    np.testing.assert_allclose(losses, -np.log(picked), rtol=0, atol=1e-5)
    for other_probabilities, other_losses in results[1:]:
        np.testing.assert_allclose(other_probabilities, probabilities, rtol=0, atol=1e-6)
        np.testing.assert_allclose(other_losses, losses, rtol=0, atol=1e-5)


def test_loss_of_batches_weighs_a_short_one_like_a_full_one():
    assert evaluation.batch_mean_loss(np.array([1.0, 2.0, 6.0]), 2) == pytest.approx(3.75)
