"""Recomputing must change neither values nor gradients, with dropout either."""

import numpy as np

from albert.basics.tf_compat import tf
from albert.layers import recompute

INPUTS = np.random.RandomState(0).uniform(0.5, 1, [4, 3]).astype(np.float32)
UPSTREAM = np.random.RandomState(1).uniform(-1, 1, [4, 5]).astype(np.float32)


def layer(inputs):
    kernel = tf.get_variable("kernel", [3, 5], initializer=tf.ones_initializer())
    again = tf.get_variable("kernel", [3, 5])  # a layer may ask twice
    return tf.tanh(tf.matmul(inputs, 0.5 * kernel + 0.5 * again))


def test_value_and_gradients_of_two_shared_layers():
    results = []
    for wrap in (lambda function, inputs: function(inputs), recompute.recomputed):
        with tf.Graph().as_default() as graph, tf.Session() as session:
            inputs = tf.constant(INPUTS)
            with tf.variable_scope("layer", reuse=tf.AUTO_REUSE):
                first = wrap(layer, inputs)
                second = wrap(layer, first[:, :3])
            kernel = tf.trainable_variables()
            gradients = tf.gradients(second, [inputs, *kernel], tf.constant(UPSTREAM))
            count = [op.type for op in graph.get_operations()].count("Tanh")
            session.run(tf.global_variables_initializer())
            results.append((count, len(kernel), session.run([second, *gradients])))
    (count, variables, expected), (recomputed_count, same_variables, found) = results
    assert (count, recomputed_count) == (2, 4)
    assert variables == same_variables == 1
    for value, wanted in zip(found, expected):
        np.testing.assert_allclose(value, wanted, rtol=1e-6)


def test_activations_are_recomputed_only_when_the_gradient_is_there():
    with tf.Graph().as_default() as graph:
        upstream = tf.constant(UPSTREAM, name="upstream")
        output = recompute.recomputed(layer, tf.constant(INPUTS))
        tf.gradients(output, tf.trainable_variables(), upstream)
        first, second = (op for op in graph.get_operations() if op.type == "Tanh")

        def depends(operation):
            waiting, seen = [operation], set()
            while waiting:
                found = waiting.pop()
                if found not in seen:
                    seen.add(found)
                    waiting += [tensor.op for tensor in found.inputs] + list(found.control_inputs)
            return upstream.op in seen

        assert not depends(first) and depends(second)


def test_dropout_drops_the_same_elements_in_both_passes():
    rate = 0.4

    def dropped_twice(inputs):
        kernel = tf.get_variable("kernel", [3, 5], initializer=tf.ones_initializer())
        return recompute.dropout(recompute.dropout(tf.matmul(inputs, kernel), rate), rate)

    with tf.Graph().as_default(), tf.Session() as session:
        output = recompute.recomputed(dropped_twice, tf.constant(INPUTS))
        (gradient,) = tf.gradients(output, tf.trainable_variables(), tf.constant(UPSTREAM))
        session.run(tf.global_variables_initializer())
        masks = []
        for _ in range(20):
            value, by_kernel = session.run([output, gradient])
            mask = value != 0
            factor = mask / (1 - rate) ** 2
            np.testing.assert_allclose(value, INPUTS.sum(1)[:, None] * factor, rtol=1e-5)
            np.testing.assert_allclose(by_kernel, INPUTS.T.dot(UPSTREAM * factor), rtol=1e-5)
            masks.append(mask)
    assert any((mask != masks[0]).any() for mask in masks)  # another one in each step
    assert abs(np.mean(masks) - (1 - rate) ** 2) < 0.1


def test_dropout_elsewhere_is_the_usual_one():
    with tf.Graph().as_default(), tf.Session() as session:
        value = session.run(recompute.dropout(tf.ones([1000]), 0.25))
    assert set(value.tolist()) == {0.0, np.float32(1 / 0.75)}
