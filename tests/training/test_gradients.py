"""Gradient accumulation, adversarial training and learning rates by level, against plain NumPy."""

import os

import numpy as np
import pytest

import optimization
from albert.basics.tf_compat import tf
from albert.heads import classification
from albert.model_files import checkpoints
from albert.model_files.checkpoints import variable_name
from albert.training.gradients import adversarial_gradients, compute_gradients
from helpers.models import golden_config, load_npz

ROWS = np.array([[1, 2, 2, 5], [3, 3, 1, 0], [4, 0, 2, 2], [5, 5, 5, 1]])
TARGETS = np.array([0.5, -1.0, 2.0, 0.0])
TABLE = np.random.RandomState(0).uniform(-1, 1, [7, 3])
WEIGHTS = np.random.RandomState(1).uniform(-1, 1, [3])


def toy_scores(features):
    """Mean squared error of (mean of the words' vectors) times weights."""
    with tf.variable_scope("toy/embeddings"):
        table = tf.get_variable("word_embeddings", TABLE.shape)
    weights = tf.get_variable("weights", WEIGHTS.shape)
    means = tf.reduce_mean(tf.gather(table, features["rows"]), axis=1)
    error = tf.linalg.matvec(means, weights) - features["targets"]
    return {"loss": tf.reduce_mean(tf.square(error)), "mean_error": tf.reduce_mean(error)}


def toy_gradients(table, rows=ROWS, targets=TARGETS):
    """Loss, its gradient by the table and by the weights."""
    means = table[rows].mean(1)
    error = means.dot(WEIGHTS) - targets
    by_table = np.zeros_like(table)
    for row, value in zip(rows, 2 * error / len(rows) / rows.shape[1]):
        for word in row:
            by_table[word] += value * WEIGHTS
    return np.mean(error**2), by_table, 2 * error.dot(means) / len(rows)


def compute(**settings):
    """Scores, and {variable name: gradient}, of the toy model."""
    with tf.Graph().as_default(), tf.Session() as session:
        features = {
            "rows": tf.constant(ROWS, tf.int32),
            "targets": tf.constant(TARGETS, tf.float32),
        }
        scores, pairs = compute_gradients(toy_scores, features, len(ROWS), **settings)
        session.run(tf.global_variables_initializer())
        for variable in tf.trainable_variables():
            is_table = variable.op.name.endswith("word_embeddings")
            variable.load(TABLE if is_table else WEIGHTS, session)
        gradients = {variable_name(variable): gradient for gradient, variable in pairs}
        results = session.run({name: tf.convert_to_tensor(g) for name, g in gradients.items()})
        return session.run(scores), results


@pytest.mark.parametrize("parts", [1, 2, 4])
def test_parts_of_a_batch(parts):
    scores, gradients = compute(parts=parts)
    loss, by_table, by_weights = toy_gradients(TABLE)
    assert scores["loss"] == pytest.approx(loss, abs=1e-6)
    assert scores["mean_error"] == pytest.approx(
        np.mean(TABLE[ROWS].mean(1).dot(WEIGHTS) - TARGETS), abs=1e-6
    )
    np.testing.assert_allclose(gradients["toy/embeddings/word_embeddings"], by_table, atol=1e-6)
    np.testing.assert_allclose(gradients["weights"], by_weights, atol=1e-6)


@pytest.mark.parametrize("parts", [1, 2])
def test_adversarial_gradients(parts):
    epsilon = 0.7
    scores, gradients = compute(parts=parts, adversarial_epsilon=epsilon)
    sums, losses = {}, []
    for rows, targets in zip(np.split(ROWS, parts), np.split(TARGETS, parts)):
        loss, by_table, by_weights = toy_gradients(TABLE, rows, targets)
        moved = TABLE + epsilon * by_table / np.sqrt(np.sum(by_table**2))
        moved_loss, moved_by_table, moved_by_weights = toy_gradients(moved, rows, targets)
        assert moved_loss > loss
        losses.append(loss)
        for name, value in (
            ("toy/embeddings/word_embeddings", by_table + moved_by_table),
            ("weights", by_weights + moved_by_weights),
        ):
            sums[name] = sums.get(name, 0) + value / parts
    assert scores["loss"] == pytest.approx(np.mean(losses), abs=1e-6)
    assert set(gradients) == set(sums)
    for name, value in sums.items():
        np.testing.assert_allclose(gradients[name], value, atol=1e-6)


def test_no_gradient_is_no_move():
    with tf.Graph().as_default(), tf.Session() as session:

        def compute_scores(features):
            del features
            with tf.variable_scope("embeddings"):
                table = tf.get_variable("word_embeddings", [2, 2])
            return {"loss": 0.0 * tf.reduce_sum(table)}

        _, ((gradient, _),) = adversarial_gradients(compute_scores, {}, 1.0)
        session.run(tf.global_variables_initializer())
        np.testing.assert_array_equal(session.run(gradient), np.zeros([2, 2]))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bm_postln", "google_fast"])
def test_parts_of_a_batch_of_a_model(golden, name):
    """Four examples in two parts give the gradients of the batch, and move nothing else."""
    inputs = load_npz(golden, name, "inputs.npz")
    config = golden_config(golden, name)
    config.hidden_dropout_prob = config.attention_probs_dropout_prob = 0.0
    size = len(inputs["input_ids"]) // 2 * 2
    features = {
        key: inputs[key][:size].astype(np.int32)
        for key in ("input_ids", "input_mask", "segment_ids")
    }
    features["label_ids"] = np.arange(size, dtype=np.int32) % 2
    results = []
    for parts, epsilon in ((1, 0.0), (2, 0.0), (1, 1.0)):
        with tf.Graph().as_default(), tf.Session() as session:

            def compute_scores(batch):
                loss, *_ = classification.create_model(
                    config,
                    True,
                    batch["input_ids"],
                    batch["input_mask"],
                    batch["segment_ids"],
                    batch["label_ids"],
                    2,
                    head_dropout=0.0,
                )
                return {"loss": loss}

            constants = {key: tf.constant(value) for key, value in features.items()}
            scores, pairs = compute_gradients(compute_scores, constants, size, parts, epsilon)
            checkpoints.init_from_checkpoint(
                os.path.join(golden, "model", name, "model.ckpt"), config, "config.json"
            )
            session.run(tf.global_variables_initializer())
            for variable in tf.trainable_variables():
                if variable_name(variable) in ("output_weights", "output_bias"):
                    values = np.linspace(-0.5, 0.5, int(np.prod(variable.shape)))
                    variable.load(values.reshape(variable.shape.as_list()), session)
            named = {variable_name(v): tf.convert_to_tensor(g) for g, v in pairs}
            results.append((session.run(scores["loss"]), session.run(named)))
    (loss, whole), (parts_loss, in_parts), (_, adversarial) = results
    assert parts_loss == pytest.approx(loss, abs=1e-6)
    assert set(in_parts) == set(whole) == set(adversarial)
    for key, value in whole.items():
        np.testing.assert_allclose(in_parts[key], value, rtol=0, atol=2e-6, err_msg=key)
    key = "bert/embeddings/word_embeddings"
    assert np.abs(adversarial[key] - 2 * whole[key]).max() > 1e-6


# Learning rates by level


def test_levels():
    brightmart = [
        "bert/embeddings/word_embeddings",
        "bert/embeddings/word_embeddings_2",
        "bert/embeddings/LayerNorm/beta",
        "bert/encoder/layer_shared/attention/self/query/kernel",
        "bert/encoder/layer_shared/output/dense/bias",
        "bert/pooler/dense/kernel",
        "output_weights",
        "loss/LayerNorm/gamma",
    ]
    factor = optimization.layerwise_factors(brightmart, 0.5)
    assert [factor(name) for name in brightmart] == [2**-4, 2**-3, 2**-4, 0.25, 0.25, 0.5, 1, 1]

    google = [
        "bert/embeddings/position_embeddings",
        "bert/encoder/embedding_hidden_mapping_in/kernel",
        "bert/encoder/transformer/group_0/inner_group_0/ffn_1/intermediate/dense/kernel",
        "bert/encoder/transformer/group_0/inner_group_1/attention_1/self/key/bias",
        "bert/encoder/transformer/group_2/inner_group_0/LayerNorm/beta",
        "bert/encoder/transformer/group_10/inner_group_0/LayerNorm/beta",
        "bert/pooler/dense/bias",
        "output_bias",
    ]
    factor = optimization.layerwise_factors(google, 0.5)
    expected = [2**-7, 2**-6, 2**-5, 2**-4, 2**-3, 2**-2, 2**-1, 1]
    assert [factor(name) for name in google] == expected

    own_layers = ["bert/encoder/layer_%d/output/dense/kernel" % layer for layer in range(12)]
    factor = optimization.layerwise_factors(own_layers, 0.9)
    assert [factor(name) for name in own_layers] == [0.9 ** (13 - layer) for layer in range(12)]


@pytest.mark.parametrize("optimizer", ["adamw", "lamb"])
def test_a_factor_scales_the_whole_step(optimizer):
    """Weight decay included, as a smaller learning rate does."""
    start = np.linspace(0.5, 1.5, 6).astype(np.float32)
    gradient = np.array([3, -2, 0, 0.01, 5, -1], np.float32) / 10
    with tf.Graph().as_default(), tf.Session() as session:
        names = ["full", "quarter", "none"]
        variables = [tf.get_variable(name, initializer=start) for name in names]
        factors = {"full": 1.0, "quarter": 0.25, "none": 0.0}.get
        step = optimization.build_train_op(
            optimization.make_optimizer(optimizer, 0.1, factors),
            0.1,
            [(tf.constant(gradient), variable) for variable in variables],
        )
        session.run(tf.global_variables_initializer())
        session.run(step.train_op)
        full, quarter, none = session.run(variables)
    assert (full != start).all()
    np.testing.assert_allclose(start - quarter, (start - full) / 4, rtol=1e-4, atol=1e-7)
    np.testing.assert_array_equal(none, start)
