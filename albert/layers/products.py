"""Matrix products in bfloat16 or float16; everything else, and all weights, stay in float32.

Products are where the time goes and where rounding matters least: processors sum them in float32
(https://arxiv.org/abs/1710.03740).  Layer normalization, softmax, activations, losses and the
optimizer compute in float32.  What one product leaves for another to read may stay in the low
precision on its way (`stay_low`): the next would round it anyway.
"""

from absl import logging

from albert.basics import machine, tf_compat
from albert.basics.tf_compat import tf
from albert.layers import fusion, graph_settings

DTYPES = {"float32": tf.float32, "bfloat16": tf.bfloat16, "float16": tf.float16}

_SETTING = "matrix_product_dtype"


def products_in(dtype):
    """Context: products that are added to the default graph within are computed in `dtype`."""
    return graph_settings.during(_SETTING, dtype)


def _product_dtype():
    return graph_settings.current(_SETTING, tf.float32)


def matmul(a, b, transpose_b=False):
    """`tf.matmul`; the result is float32."""
    dtype = _product_dtype()
    product = tf.matmul(tf.cast(a, dtype), tf.cast(b, dtype), transpose_b=transpose_b)
    return tf.cast(product, tf.float32)


def affine(inputs, kernel, bias, activation=None, transpose_kernel=False, stay_low=False):
    """`activation(inputs x kernel + bias)`.

    Args:
        inputs: `[rows, in]`, float32 or of the type of products.
        kernel, bias: float32 variables, `[in, out]` (or transposed) and `[out]`.
        activation: function of float32 tensors, or None.
        stay_low: whether the result is of the type of products, for another product to read.
    """
    dtype = _product_dtype()
    output_type = dtype if stay_low else tf.float32
    if dtype == tf.float32:
        output = tf.nn.bias_add(tf.matmul(inputs, kernel, transpose_b=transpose_kernel), bias)
    else:
        linear_type = dtype if activation else output_type
        function = _low_precision_affine(dtype, transpose_kernel, linear_type)
        output = function(inputs, tf.identity(kernel), tf.identity(bias))
    return fusion.apply(activation, output, output_type) if activation else output


def _low_precision_affine(dtype, transposed, output_type):
    """The bias is added with the product, in one pass."""

    @tf.custom_gradient
    def function(inputs, kernel, bias):
        low_inputs, low_kernel = tf.cast(inputs, dtype), tf.cast(kernel, dtype)
        product = tf.matmul(low_inputs, low_kernel, transpose_b=transposed)
        output = tf.nn.bias_add(product, tf.cast(bias, dtype))

        def gradient(upstream):
            low_upstream = tf.cast(upstream, dtype)
            by_inputs = tf.matmul(low_upstream, low_kernel, transpose_b=not transposed)
            factors = (low_upstream, low_inputs) if transposed else (low_inputs, low_upstream)
            by_kernel = tf.matmul(*factors, transpose_a=True)
            if output_type == tf.float32:
                by_bias = tf.raw_ops.BiasAddGrad(out_backprop=upstream)
            else:  # BiasAddGrad would sum in the low precision, a product sums in float32
                by_bias = tf.matmul(tf.ones([1, tf.shape(upstream)[0]], dtype), upstream)[0]
            return (
                tf.cast(by_inputs, inputs.dtype),
                tf.cast(by_kernel, tf.float32),
                tf.cast(by_bias, tf.float32),
            )

        return tf.cast(output, output_type), gradient

    return function


def warn_if_slow(precision):
    """Logs why a precision will not be faster than float32 on this machine, if it will not."""
    if precision == "float32" or tf_compat.num_gpus():
        return
    reason = None
    if precision == "float16":
        reason = "float16 is for GPUs; on a processor use bfloat16"
    elif not tf_compat.HAS_FAST_BFLOAT16:
        reason = "TensorFlow 1.15 computes bfloat16 products in float32; 2.x does not"
    elif not machine.processor_flags() & {"avx512_bf16", "amx_bf16"}:
        reason = "this processor has neither AVX512_BF16 nor AMX_BF16"
    if reason:
        logging.warning("--precision=%s is no faster than float32 here: %s.", precision, reason)
