"""Compiled chains of operations: the same numbers, and only where they are allowed."""

import contextlib

import numpy as np
import pytest

import modeling
from albert.basics.tf_compat import tf
from albert.layers import basic, fusion, products
from albert.model_files.configuration import BertConfig

X = np.linspace(-4, 4, 60).reshape(12, 5).astype(np.float32)
UPSTREAM = np.random.RandomState(0).randn(12, 5).astype(np.float32)


def num_compiled(graph):
    return sum(b"_XlaCompile" in op.node_def.SerializeToString() for op in graph.get_operations())


def run_apply(allowed, shape, input_type, output_type, activation="gelu"):
    """Result, gradient, and how many operations are compiled."""
    function = basic.get_activation(activation)
    with tf.Graph().as_default() as graph, tf.Session() as session:
        x = tf.placeholder(tf.float32, shape)
        with fusion.allowed() if allowed else contextlib.ExitStack():
            inputs = tf.cast(x, input_type)
            output = fusion.apply(function, inputs, output_type)
        assert output.dtype == output_type
        upstream = tf.cast(UPSTREAM, output_type)
        (gradient,) = tf.gradients(output, inputs, upstream)
        assert gradient.dtype == input_type
        fetches = [tf.cast(tensor, tf.float32) for tensor in (output, gradient)]
        return session.run(fetches, {x: X}), num_compiled(graph)


@pytest.mark.parametrize("activation", ["gelu", "relu", "swish", "tanh"])
@pytest.mark.parametrize("output_type", [tf.float32, tf.bfloat16])
@pytest.mark.parametrize("input_type", [tf.float32, tf.bfloat16])
def test_apply(input_type, output_type, activation):
    types = input_type, output_type, activation
    expected, count = run_apply(False, X.shape, *types)
    assert count == 0
    found, count = run_apply(True, X.shape, *types)
    assert count > 0
    tolerance = 2e-6 if input_type == output_type == tf.float32 else 2.0**-7
    for value, wanted in zip(found, expected):
        np.testing.assert_allclose(value, wanted, rtol=tolerance, atol=tolerance)
    found, count = run_apply(True, [None, 5], *types)  # a new shape would be compiled anew
    assert count == 0
    np.testing.assert_array_equal(found, expected)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("dropout_prob", [0.0, 0.3])
def test_model_and_gradients(precision, dropout_prob, monkeypatch):
    """The same with and without compiled operations, dropout included."""

    def dropout(inputs, rate):  # the same elements in every graph
        kept = tf.random.stateless_uniform(tf.shape(inputs), [3, 4]) >= rate
        return inputs * tf.cast(kept, tf.float32) / (1.0 - rate)

    monkeypatch.setattr(basic, "random_dropout", dropout)
    config = BertConfig(
        30,
        hidden_size=16,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=24,
        hidden_dropout_prob=dropout_prob,
        attention_probs_dropout_prob=dropout_prob,
        max_position_embeddings=8,
    )
    random = np.random.RandomState(4)
    ids, mask = random.randint(30, size=[3, 8]), np.arange(8) < [[8], [5], [3]]
    weights = random.randn(3, 2, 16).astype(np.float32)

    def run(allowed):
        with tf.Graph().as_default() as graph, tf.Session() as session:
            with contextlib.ExitStack() as stack:
                if allowed:
                    stack.enter_context(fusion.allowed())
                stack.enter_context(products.products_in(products.DTYPES[precision]))
                model = modeling.BertModel(
                    config,
                    True,
                    tf.constant(ids, tf.int32),
                    tf.constant(mask, tf.int32),
                    positions=tf.constant([[1, 2], [0, 3], [2, 1]], tf.int32),
                )
                loss = tf.reduce_sum(model.get_positions_output() * weights)
                loss += tf.reduce_sum(model.get_pooled_output())
                gradients = tf.gradients(loss, tf.trainable_variables())
            for variable in tf.trainable_variables():
                value = random_values(variable)
                session.run(variable.initializer, {variable.initializer.inputs[1]: value})
            values = session.run([loss, *map(tf.convert_to_tensor, gradients)])
            return num_compiled(graph), values[0], np.concatenate([v.ravel() for v in values[1:]])

    (no_ops, loss, gradient), (num_ops, same_loss, same_gradient) = run(False), run(True)
    assert no_ops == 0 < num_ops
    tolerance = 1e-5 if precision == "float32" else 0.03
    assert abs(same_loss - loss) <= tolerance * np.abs(weights).sum()
    length = np.linalg.norm(gradient)
    assert np.linalg.norm(same_gradient - gradient) <= tolerance * length


def random_values(variable):
    """Values that depend on the variable's name alone."""
    random = np.random.RandomState(sum(map(ord, variable.name)))
    values = random.randn(*variable.shape.as_list()).astype(np.float32)
    return 0.1 * values + variable.name.endswith("gamma:0")


@pytest.mark.parametrize("dropped", [False, True])
def test_gradients_of_attention_are_automatic_ones(dropped, monkeypatch):
    random = np.random.RandomState(6)
    arrays = [random.randn(2, 3, size, 4).astype(np.float32) for size in (5, 7, 7)]
    upstream = random.randn(2, 5, 3, 4).astype(np.float32)
    kept = random.randint(2, size=[2, 3, 5, 7]).astype(np.float32) / 0.5
    monkeypatch.setattr(modeling, "dropout", lambda probs, prob: probs * kept if prob else probs)
    with tf.Graph().as_default(), tf.Session() as session:
        bias = modeling.attention_bias(tf.constant([[1] * 7, [1] * 4 + [0] * 3]))
        tensors = query, key, value = [tf.constant(array) for array in arrays]
        probs = tf.nn.softmax(tf.matmul(query, key, transpose_b=True) + bias)
        expected = tf.matmul(probs * kept if dropped else probs, value)
        expected = tf.transpose(expected, [0, 2, 1, 3])
        found = modeling._attend(*tensors, bias, 0.5 if dropped else 0.0)
        results = [[y, *tf.gradients(y, tensors, upstream)] for y in (found, expected)]
        for actual, wanted in zip(*session.run(results)):
            np.testing.assert_allclose(actual, wanted, rtol=1e-5, atol=1e-6)
