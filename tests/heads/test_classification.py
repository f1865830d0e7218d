"""The classification head against outputs, training and variables of the references."""

import json
import os

import numpy as np
import pytest

import modeling
import run_classifier
from albert.basics.tf_compat import tf
from albert.heads import classification
from albert.model_files import checkpoints, configuration
from albert.model_files.classifier_head import POOLINGS
from helpers.models import SHIPPED, golden_config, load_npz, parameter_count, train_step, trainable

CLASSIFIERS = [
    ("bm_postln", "classifier.npz", "cls"),
    ("bm_preln", "classifier.npz", "cls"),
    ("google_g1", "classifier.npz", "cls"),
    ("google_g1", "classifier_mean.npz", "mean"),
]


def assign(session, values):
    by_name = {modeling.variable_name(variable): variable for variable in tf.global_variables()}
    for name, value in values.items():
        by_name[name].load(value, session)


@pytest.mark.parametrize("ln_type", ["postln", "preln"])
def test_head(golden, ln_type):
    with open(os.path.join(golden, "tasks", "golden", "heads_albert_zh.json")) as handle:
        expected = json.load(handle)[ln_type]
    config = configuration.BertConfig(10, hidden_size=6, num_attention_heads=2, ln_type=ln_type)
    with tf.Graph().as_default(), tf.Session() as session:
        outputs = classification.ClassificationHead(2).classify(
            config, tf.constant(expected["pooled"]), tf.constant(expected["labels"])
        )
        assert {name for name, _ in trainable()} == set(expected["variables"])
        session.run(tf.global_variables_initializer())
        assign(session, expected["variables"])
        actual = session.run(outputs)
    for key, value in zip(("loss", "per_example_loss", "logits", "probabilities"), actual):
        np.testing.assert_allclose(value, expected[key], rtol=0, atol=1e-6, err_msg=key)


def build_classifier(golden, session, name, file_name, pooling="cls"):
    """Classifier on the golden inputs with the golden weights; its outputs and the numbers."""
    inputs = load_npz(golden, name, "inputs.npz")
    expected = load_npz(golden, name, file_name)
    config = golden_config(golden, name)
    outputs = run_classifier.create_model(
        config,
        False,  # the golden numbers are without dropout
        tf.constant(inputs["input_ids"]),
        tf.constant(inputs["input_mask"]),
        tf.constant(inputs["segment_ids"]),
        tf.constant(expected["labels"]),
        num_labels=2,
        pooling=pooling,
    )
    prefix = os.path.join(golden, "model", name, "model.ckpt")
    checkpoints.init_from_checkpoint(prefix, config, "config.json")
    head = {key[5:]: value for key, value in expected.items() if key.startswith("head/")}
    assert set(head) == {key for key, _ in trainable() if key in classification.HEAD_VARIABLES}
    return outputs, head, expected


@pytest.mark.parametrize("name,file_name,pooling", CLASSIFIERS)
def test_classifier_outputs(golden, name, file_name, pooling):
    with tf.Graph().as_default(), tf.Session() as session:
        outputs, head, expected = build_classifier(golden, session, name, file_name, pooling)
        session.run(tf.global_variables_initializer())
        assign(session, head)
        actual = session.run(outputs)
    for key, value in zip(("loss", "per_example_loss", "logits", "probabilities"), actual):
        np.testing.assert_allclose(value, expected[key], rtol=0, atol=1e-5, err_msg=key)


@pytest.mark.slow
@pytest.mark.parametrize("name,file_name,pooling", CLASSIFIERS[:3])
def test_classifier_training(golden, name, file_name, pooling):
    with tf.Graph().as_default(), tf.Session() as session:
        (loss, *_), head, expected = build_classifier(golden, session, name, file_name, pooling)
        step = train_step(loss, 0.002, 10, 2, reference_clip_norm=True)
        session.run(tf.global_variables_initializer())
        assign(session, head)
        fetches = [loss, step.learning_rate, step.gradient_norm]
        history = []
        for _ in range(6):
            history.append(session.run(fetches))
            session.run(step.train_op)
        final_loss = session.run(loss)
        table = tf.trainable_variables()[0]
        assert modeling.variable_name(table) == "bert/embeddings/word_embeddings"
        rows = session.run(table)[75:80]
    losses, rates, norms = np.transpose(history)
    np.testing.assert_allclose(losses, expected["train_loss"], rtol=1e-3)
    np.testing.assert_allclose(rates, expected["train_lr"], rtol=1e-6)
    np.testing.assert_allclose(norms, expected["train_global_norm"], rtol=1e-4)
    np.testing.assert_allclose(final_loss, expected["train_final_loss"], rtol=1e-3)
    np.testing.assert_allclose(
        rows, expected["train_final_word_embeddings_rows_75_79"], rtol=0, atol=1e-5
    )


@pytest.mark.slow
@pytest.mark.parametrize("name,file_name,pooling", CLASSIFIERS[2:])
def test_exact_clip_norm(golden, name, file_name, pooling):
    """Without reference_clip_norm, duplicate embedding rows are summed."""
    with tf.Graph().as_default(), tf.Session() as session:
        (loss, *_), head, expected = build_classifier(golden, session, name, file_name, pooling)
        step = train_step(loss, 0.002, 10, 2)
        session.run(tf.global_variables_initializer())
        assign(session, head)
        norm = session.run(step.gradient_norm)
    np.testing.assert_allclose(norm, expected["global_norm_dense"], rtol=1e-5)
    assert abs(expected["global_norm_used_by_clip"] - norm) > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("size", SHIPPED)
def test_variables_of_shipped_configs(golden, repo_root, size):
    file_name = "albert_config_%s.json" % size
    with open(os.path.join(golden, "model", "variable_lists.json")) as handle:
        lists = json.load(handle)
    (key,) = (key for key in lists if key.startswith(file_name + "|"))
    expected = lists[key]["classifier_num_labels_2"]
    config = configuration.load_config(os.path.join(repo_root, "albert_config", file_name))
    with tf.Graph().as_default():
        ids = tf.placeholder(tf.int32, [2, 8])
        run_classifier.create_model(config, True, ids, None, None, None, num_labels=2)
        assert trainable() == [list(item) for item in expected["variables"]]
        assert parameter_count() == expected["num_params"]


class FakeModel:
    def __init__(self, sequence):
        self._sequence = tf.constant(sequence, tf.float32)

    def get_sequence_output(self):
        return self._sequence

    def get_pooled_output(self):
        return self._sequence[:, 0]


def test_pooling():
    sequence = np.arange(12.0).reshape([2, 3, 2])
    mask = [[1, 1, 0], [0, 0, 0]]
    expected = {
        "cls": sequence[:, 0],
        "mean": sequence.mean(1),
        "masked_mean": [sequence[0, :2].mean(0), [0.0, 0.0]],
    }
    assert set(expected) == set(POOLINGS)
    with tf.Graph().as_default(), tf.Session() as session:
        for pooling, value in expected.items():
            pooled = classification.pool(FakeModel(sequence), pooling, tf.constant(mask))
            np.testing.assert_allclose(session.run(pooled), value)
