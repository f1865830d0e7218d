"""The model against outputs, gradients and variable lists of the reference implementations."""

import json
import os
from unittest import mock

import numpy as np
import pytest

import modeling
from albert.basics.errors import InputError
from albert.basics.tf_compat import tf
from albert.layers import basic
from albert.model_files.configuration import BertConfig, load_config
from albert.model_files.variables import BRIGHTMART_NAMES
from helpers.models import (
    MODELS,
    SHIPPED,
    build_pretraining,
    golden_config,
    load_npz,
    parameter_count,
    restored_session,
    trainable,
)


@pytest.mark.slow
@pytest.mark.parametrize("one_hot", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_outputs(golden, name, one_hot):
    config = golden_config(golden, name)
    for suffix, edge in (("", False), ("_edge", True)):
        inputs = load_npz(golden, name, "inputs%s.npz" % suffix)
        expected = load_npz(golden, name, "outputs%s.npz" % suffix)
        with tf.Graph().as_default():
            outputs = build_pretraining(config, inputs, one_hot=one_hot)
            assert set(outputs) == set(expected)
            with restored_session(golden, name) as session:
                actual = session.run(outputs)
        for key, value in expected.items():
            if key.endswith("loss") and value.shape == () and not edge:
                tolerance = 3e-6
            else:
                tolerance = 1e-4 if edge else 1e-5
            np.testing.assert_allclose(actual[key], value, rtol=0, atol=tolerance, err_msg=key)
        if edge:  # only row 2, where every key is masked, needs the wider tolerance
            np.testing.assert_allclose(
                actual["sequence_output"][:2], expected["sequence_output"][:2], rtol=0, atol=1e-5
            )


@pytest.mark.parametrize("name", ["bm_postln", "bm_preln", "google_g1", "google_fast"])
def test_gradients(golden, name):
    config = golden_config(golden, name)
    expected = load_npz(golden, name, "grads.npz")
    with tf.Graph().as_default():
        outputs = build_pretraining(config, load_npz(golden, name, "inputs.npz"), is_training=True)
        variables = tf.trainable_variables()
        names = [modeling.variable_name(variable) for variable in variables]
        assert set(names) == set(expected)
        gradients = tf.gradients(outputs["total_loss"], variables)
        with restored_session(golden, name) as session:
            actual = session.run([tf.convert_to_tensor(gradient) for gradient in gradients])
    for key, value in zip(names, actual):
        scale = max(1.0, np.abs(expected[key]).max())
        np.testing.assert_allclose(value / scale, expected[key] / scale, atol=1e-5, err_msg=key)


@pytest.mark.parametrize("name", MODELS)
def test_variable_order_of_golden_models(golden, name):
    with open(os.path.join(golden, "model", name, "info.json")) as handle:
        info = json.load(handle)
    with tf.Graph().as_default():
        build_pretraining(golden_config(golden, name), load_npz(golden, name, "inputs.npz"))
        assert trainable() == [list(item) for item in info["trainable_variables"]]
        assert parameter_count() == info["param_count"]


@pytest.mark.parametrize("size", SHIPPED)
def test_variables_of_shipped_configs(golden, repo_root, size):
    file_name = "albert_config_%s.json" % size
    with open(os.path.join(golden, "model", "variable_lists.json")) as handle:
        lists = json.load(handle)
    expected = next(value for key, value in lists.items() if key.startswith(file_name + "|"))
    config = load_config(os.path.join(repo_root, "albert_config", file_name))
    inputs = {
        "input_ids": np.zeros([2, 8], np.int32),
        "input_mask": np.ones([2, 8], np.int32),
        "segment_ids": np.zeros([2, 8], np.int32),
        "masked_lm_positions": np.zeros([2, 3], np.int32),
        "masked_lm_ids": np.zeros([2, 3], np.int32),
        "masked_lm_weights": np.ones([2, 3], np.float32),
        "next_sentence_labels": np.zeros([2, 1], np.int32),
    }
    with tf.Graph().as_default():
        build_pretraining(config, inputs)
        assert trainable() == expected["pretraining"]["variables"]
        assert parameter_count() == expected["pretraining"]["num_params"]


@pytest.mark.parametrize("share, count", [(False, 125976576), (True, 10498048)])
def test_parameter_counts_of_the_reference_test(share, count):
    with tf.Graph().as_default():
        modeling.transformer_model(
            tf.zeros([2, 8, 1024]),
            hidden_size=1024,
            num_attention_heads=16,
            share_parameter_across_layers=share,
        )
        assert parameter_count() == count


def test_factorized_embedding_shapes():
    with tf.Graph().as_default():
        ids = tf.zeros([2048, 512], tf.int32)
        output, table, projection = modeling.embedding_lookup_factorized(ids, 30000, 1024)
        assert output.shape.as_list() == [2048, 512, 1024]
        assert trainable() == [
            ["word_embeddings", [30000, 128]],
            ["word_embeddings_2", [128, 1024]],
        ]
        assert modeling.variable_name(table) == "word_embeddings"
        assert modeling.variable_name(projection) == "word_embeddings_2"


@pytest.mark.parametrize(
    "share, present, count",
    [
        ("all", "layer_shared/attention/self/query/kernel", 16),
        ("attention", "layer_shared/output_2/LayerNorm/gamma", 10 + 3 * 6),
        ("ffn", "layer_shared/attention_2/output/LayerNorm/beta", 6 + 3 * 10),
        ("none", "layer_2/intermediate/dense/bias", 3 * 16),
    ],
)
@pytest.mark.parametrize("ln_type", ["postln", "preln"])
def test_share_modes(share, present, count, ln_type):
    config = BertConfig(
        50,
        embedding_size=4,
        hidden_size=8,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=16,
        ln_type=ln_type,
        share=share,
    )
    with tf.Graph().as_default():
        modeling.BertModel(config, True, tf.zeros([2, 5], tf.int32))
        names = [name for name, _ in trainable() if name.startswith("bert/encoder/")]
    assert "bert/encoder/" + present in names
    assert len(names) == len(set(names)) == count


@pytest.mark.slow
def test_unshared_layers_with_equal_weights_compute_the_shared_model():
    """Copying the shared weights into every layer must not change the output."""
    settings = dict(
        embedding_size=4,
        hidden_size=8,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=16,
    )
    results = []
    for share in ("all", "attention", "ffn", "none"):
        with tf.Graph().as_default(), tf.Session() as session:
            ids = tf.constant(np.arange(10).reshape(2, 5) % 7, tf.int32)
            model = modeling.BertModel(BertConfig(50, share=share, **settings), False, ids)
            for variable in tf.trainable_variables():
                # a weight that depends on the role and the shape, not on the layer
                role = "".join(c for c in variable.name.split("bert/")[1] if not c.isdigit())
                role = role.replace("layer_shared", "").replace("layer_", "").replace("_/", "/")
                seed = sum(map(ord, role.replace("/", "")))
                value = np.random.RandomState(seed).standard_normal(variable.shape.as_list()) * 0.3
                session.run(tf.assign(variable, value.astype(np.float32)))
            results.append(session.run(model.get_sequence_output()))
    for result in results[1:]:
        np.testing.assert_allclose(result, results[0], atol=1e-6)


def test_second_model_gets_its_own_scope():
    config = BertConfig(20, hidden_size=8, num_attention_heads=2, num_hidden_layers=1)
    with tf.Graph().as_default():
        modeling.BertModel(config, False, tf.zeros([1, 4], tf.int32))
        modeling.BertModel(config, False, tf.zeros([1, 4], tf.int32))
        assert {name.split("/")[0] for name, _ in trainable()} == {"bert", "bert_1"}


def test_no_mask_equals_mask_of_ones_and_padding_changes_nothing(golden):
    config = golden_config(golden, "bm_postln")
    ids = np.array([[5, 6, 7, 8]], np.int32)
    with tf.Graph().as_default():
        with tf.variable_scope("", reuse=tf.AUTO_REUSE):
            plain = modeling.BertModel(config, False, tf.constant(ids), scope="bert")
            masked = modeling.BertModel(
                config, False, tf.constant(ids), tf.ones([1, 4], tf.int32), scope="bert"
            )
            padded = modeling.BertModel(
                config,
                False,
                tf.constant(np.pad(ids, [(0, 0), (0, 6)], mode="constant")),
                tf.constant([[1] * 4 + [0] * 6]),
                scope="bert",
            )
        with restored_session_of_encoder(golden, "bm_postln") as session:
            a, b, c = session.run([m.get_pooled_output() for m in (plain, masked, padded)])
    np.testing.assert_array_equal(a, b)
    np.testing.assert_allclose(a, c, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["bm_postln", "bm_preln", "google_g3_inner2", "google_fast"])
def test_positions_output_is_the_sequence_output_there(golden, name):
    inputs = load_npz(golden, name, "inputs.npz")
    positions = np.array([[0, 5, 5], [15, 1, 10], [2, 0, 4]], np.int32)
    with tf.Graph().as_default():
        model = modeling.BertModel(
            golden_config(golden, name),
            False,
            *[tf.constant(inputs[key]) for key in ("input_ids", "input_mask", "segment_ids")],
            positions=tf.constant(positions),
        )
        with restored_session_of_encoder(golden, name) as session:
            picked, full = session.run([model.get_positions_output(), model.get_sequence_output()])
    assert picked.shape == (3, 3, 32)
    expected = np.stack([row[index] for row, index in zip(full, positions)])
    np.testing.assert_allclose(picked, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["bm_postln", "bm_preln", "google_fast"])
def test_pooled_output_alone(golden, name):
    """Without positions the last block has one query, and an attention of its own."""
    suffixes = ("", "_edge")
    inputs = [load_npz(golden, name, "inputs%s.npz" % suffix) for suffix in suffixes]
    expected = [load_npz(golden, name, "outputs%s.npz" % suffix) for suffix in suffixes]
    with tf.Graph().as_default():
        model = modeling.BertModel(
            golden_config(golden, name),
            False,
            *[
                tf.constant(np.concatenate([batch[key] for batch in inputs]))
                for key in ("input_ids", "input_mask", "segment_ids")
            ],
        )
        with restored_session_of_encoder(golden, name) as session:
            pooled = session.run(model.get_pooled_output())
    for actual, outputs, tolerance in zip(np.split(pooled, 2), expected, (1e-5, 1e-4)):
        np.testing.assert_allclose(actual, outputs["pooled_output"], rtol=0, atol=tolerance)


SETTINGS = modeling.BlockSettings(4, 48, None, 0.0, 0.1, 0.02, False, 1, False)


def run_attention(function, mask, kept):
    """Variables, output, and gradients by inputs and variables, of attention on random numbers."""
    random = np.random.RandomState(1)
    queries, keys, weights = (random.randn(3, size, 24).astype(np.float32) for size in (1, 7, 1))

    def dropout(probs, dropout_prob):
        assert dropout_prob == SETTINGS.attention_probs_dropout_prob
        assert probs.shape.as_list() == [3, 4, 1, 7]
        return probs * kept

    with tf.Graph().as_default(), tf.Session() as session:
        inputs = [tf.constant(queries), tf.constant(keys)]
        bias = modeling.attention_bias(None if mask is None else tf.constant(mask))
        with mock.patch.object(modeling, "dropout", dropout):
            output = function(*inputs, bias, BRIGHTMART_NAMES, SETTINGS)
        variables = tf.trainable_variables()
        session.run(tf.global_variables_initializer())
        for variable in variables:
            variable.load(random.randn(*variable.shape.as_list()).astype(np.float32) * 0.3, session)
        gradients = tf.gradients(output * weights, inputs + variables)
        return (trainable(), *session.run([output, gradients]))


@pytest.mark.parametrize("dropped", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_attention_of_one_query_is_attention(masked, dropped):
    random = np.random.RandomState(2)
    mask = np.int32([[1] * 7, [1] * 3 + [0] * 4, [1] + [0] * 6]) if masked else None
    kept = random.randint(2, size=[3, 4, 1, 7]).astype(np.float32) / 0.5 if dropped else 1.0
    names, output, gradients = run_attention(modeling.attention, mask, kept)
    others = run_attention(modeling.attention_of_one_query, mask, kept)
    assert others[0] == names
    assert others[1].shape == output.shape == (3, 1, 24)
    np.testing.assert_allclose(others[1], output, rtol=1e-5, atol=1e-6)
    keys_bias = 2 + [name for name, _ in names].index("attention/self/key/bias")
    for index, (actual, expected) in enumerate(zip(others[2], gradients)):
        assert index == keys_bias or np.abs(expected).max() > 0.1  # adds the same to all scores
        np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5)


def test_attention_of_one_query_has_the_same_initial_values():
    values = []
    for function in (modeling.attention, modeling.attention_of_one_query):
        with tf.Graph().as_default(), tf.Session() as session:
            tf.set_random_seed(1)
            function(tf.zeros([2, 1, 24]), tf.zeros([2, 7, 24]), None, BRIGHTMART_NAMES, SETTINGS)
            session.run(tf.global_variables_initializer())
            values.append(session.run(tf.trainable_variables()))
    for first, second in zip(*values):
        assert first.any() == second.any() == (first.ndim == 2)  # kernels; biases are 0
        assert np.abs(first).max() <= 0.04 >= np.abs(second).max()
        assert abs(first.std() - second.std()) < 0.002


def restored_session_of_encoder(folder, name):
    session = tf.Session()
    tf.train.Saver().restore(session, os.path.join(folder, "model", name, "model.ckpt"))
    return session


def test_dropout_only_in_training():
    config = BertConfig(20, hidden_size=8, num_attention_heads=2, num_hidden_layers=1)
    assert config.hidden_dropout_prob == 0.1
    with tf.Graph().as_default(), tf.Session() as session:
        with tf.variable_scope("", reuse=tf.AUTO_REUSE):
            models = [
                modeling.BertModel(config, training, tf.zeros([1, 4], tf.int32), scope="bert")
                for training in (True, False)
            ]
        session.run(tf.global_variables_initializer())
        runs = [session.run([m.get_sequence_output() for m in models]) for _ in range(2)]
    assert not np.array_equal(runs[0][0], runs[1][0])
    np.testing.assert_array_equal(runs[0][1], runs[1][1])


def test_sequence_longer_than_the_position_table():
    config = BertConfig(
        20, hidden_size=8, num_attention_heads=2, num_hidden_layers=1, max_position_embeddings=16
    )
    with tf.Graph().as_default(), pytest.raises(InputError, match="17.*16"):
        modeling.BertModel(config, False, tf.zeros([1, 17], tf.int32))


def test_initial_values_follow_the_published_recipe():
    """Truncated normal without variance correction: std is 0.88 of the range, cut at two."""
    config = BertConfig(3000, hidden_size=64, num_attention_heads=2, num_hidden_layers=1)
    with tf.Graph().as_default(), tf.Session() as session:
        model = modeling.BertModel(config, False, tf.zeros([1, 4], tf.int32))
        session.run(tf.global_variables_initializer())
        table = session.run(model.get_embedding_table())
        others = session.run(
            {name: v for (name, _), v in zip(trainable(), tf.trainable_variables())}
        )
    assert abs(table.std() / 0.02 - 0.88) < 0.01
    assert np.abs(table).max() <= 0.04
    for name, value in others.items():
        if name.endswith(("bias", "beta")):
            assert not value.any()
        if name.endswith("gamma"):
            assert (value == 1).all()


def test_get_activation():
    assert basic.get_activation("") is None
    assert basic.get_activation(None) is None
    assert basic.get_activation("GELU") is basic.gelu
    with pytest.raises(ValueError, match="softplus"):
        basic.get_activation("softplus")
