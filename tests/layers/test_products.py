"""Products in low precision, and dynamic loss scaling."""

import numpy as np
import pytest

from albert.basics import machine, tf_compat
from albert.basics.tf_compat import tf
from albert.layers import products as layer_products
from albert.training.gradients import LossScale

A = np.random.RandomState(0).uniform(-1, 1, [6, 5]).astype(np.float32)
KERNEL = np.random.RandomState(1).uniform(-1, 1, [5, 4]).astype(np.float32)
BIAS = np.array([1.0, -2.0, 0.5, 0.0], np.float32)
UPSTREAM = np.random.RandomState(2).uniform(-1, 1, [6, 4]).astype(np.float32)
# Half the distance of neighbouring numbers near 1.
ROUNDING = {"bfloat16": 2.0**-9, "float16": 2.0**-12}


def gradients_of(function, dtype, *arrays):
    """Result and gradients of a function of tensors, and the types of all products."""
    with tf.Graph().as_default() as graph, tf.Session() as session:
        inputs = [tf.constant(array) for array in arrays]
        with layer_products.products_in(dtype):
            output = function(*inputs)
        gradients = tf.gradients(output, inputs, tf.constant(UPSTREAM))
        assert output.dtype == tf.float32 and {g.dtype for g in gradients} == {tf.float32}
        products = {op.outputs[0].dtype for op in graph.get_operations() if "MatMul" in op.type}
        return session.run([output, *gradients]), products


@pytest.mark.parametrize("name", sorted(layer_products.DTYPES))
def test_products(name):
    dtype = layer_products.DTYPES[name]
    tolerance = 16 * ROUNDING.get(name, 1e-7)  # five terms of up to 1, rounded three times
    found, products = gradients_of(layer_products.affine, dtype, A, KERNEL, BIAS)
    assert products == {dtype}
    expected = [A.dot(KERNEL) + BIAS, UPSTREAM.dot(KERNEL.T), A.T.dot(UPSTREAM), UPSTREAM.sum(0)]
    for value, wanted in zip(found, expected):
        np.testing.assert_allclose(value, wanted, rtol=0, atol=tolerance)
    np.testing.assert_allclose(found[3], expected[3], rtol=0, atol=1e-6)  # in float32 always

    def transposed_affine(a, kernel, bias):
        return layer_products.affine(a, tf.transpose(kernel), bias, transpose_kernel=True)

    again, _ = gradients_of(transposed_affine, dtype, A, KERNEL, BIAS)
    for value, wanted in zip(again, found):
        np.testing.assert_allclose(value, wanted, rtol=0, atol=1e-6)

    def low_affine(*tensors):
        return tf.cast(layer_products.affine(*tensors, stay_low=True), tf.float32)

    again, _ = gradients_of(low_affine, dtype, A, KERNEL, BIAS)
    for value, wanted in zip(again, expected):
        np.testing.assert_allclose(value, wanted, rtol=0, atol=tolerance)

    def transposed(a, kernel):
        return layer_products.matmul(a, tf.transpose(kernel), transpose_b=True)

    found, products = gradients_of(transposed, dtype, A, KERNEL)
    assert products == {dtype}
    for value, wanted in zip(found, [A.dot(KERNEL), *expected[1:3]]):
        np.testing.assert_allclose(value, wanted, rtol=0, atol=tolerance)


@pytest.mark.parametrize("name", ["bfloat16", "float16"])
def test_a_long_sum_of_a_bias_gradient(name):
    """Sums in the low precision itself would stop growing at 256 in bfloat16, 2048 in float16."""
    dtype, rows = layer_products.DTYPES[name], 5000
    with tf.Graph().as_default(), tf.Session() as session:
        inputs, kernel, bias = tf.zeros([rows, 3]), tf.zeros([3, 2]), tf.zeros([2])
        with layer_products.products_in(dtype):
            output = layer_products.affine(inputs, kernel, bias, stay_low=True)
        assert output.dtype == dtype
        (gradient,) = tf.gradients(output, bias)
        np.testing.assert_allclose(session.run(gradient), rows, rtol=2 * ROUNDING[name])


def test_products_are_in_float32_outside():
    with tf.Graph().as_default():
        with layer_products.products_in(tf.bfloat16):
            pass
        product = layer_products.matmul(tf.ones([2, 2]), tf.ones([2, 2]))
    assert {op.outputs[0].dtype for op in product.graph.get_operations()} == {tf.float32}


def test_loss_scale():
    """Halved by each overflow, doubled after so many steps without one; gradients are divided."""
    with tf.Graph().as_default(), tf.Session() as session:
        scale = LossScale(growth_steps=3)
        finite = tf.placeholder(tf.bool, [])
        kernel = tf.get_variable("kernel", [2])
        update = scale.update(finite)
        ((gradient, variable),) = scale.unscale([(scale.value * tf.constant([3.0, 5.0]), kernel)])
        assert variable is kernel
        session.run(tf.global_variables_initializer())
        values = []
        for outcome in (True, True, False, True, True, True, True, False, False):
            np.testing.assert_array_equal(session.run(gradient), [3.0, 5.0])
            session.run(update, {finite: outcome})
            values.append(session.run(scale.value) / scale.INITIAL)
        assert values == [1, 1, 0.5, 0.5, 0.5, 1, 1, 0.5, 0.25]
        for _ in range(40):
            session.run(update, {finite: False})
        assert session.run(scale.value) == 1


@pytest.mark.parametrize(
    "precision, fast, flags, warning",
    [
        ("float32", True, set(), None),
        ("bfloat16", True, {"avx512_bf16"}, None),
        ("bfloat16", True, {"avx512f"}, "neither AVX512_BF16 nor AMX_BF16"),
        ("bfloat16", False, {"avx512_bf16"}, "TensorFlow 1.15"),
        ("float16", True, {"avx512_bf16"}, "for GPUs"),
    ],
)
def test_warning_where_nothing_is_gained(monkeypatch, caplog, precision, fast, flags, warning):
    monkeypatch.setattr(tf_compat, "num_gpus", lambda: 0)
    monkeypatch.setattr(tf_compat, "HAS_FAST_BFLOAT16", fast)
    monkeypatch.setattr(machine, "processor_flags", lambda: flags)
    layer_products.warn_if_slow(precision)
    assert bool(caplog.messages) == bool(warning)
    if warning:
        assert "--precision=%s is no faster" % precision in caplog.text and warning in caplog.text
    caplog.clear()
    monkeypatch.setattr(tf_compat, "num_gpus", lambda: 1)
    layer_products.warn_if_slow(precision)
    assert not caplog.messages
