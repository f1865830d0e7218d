"""Layers, written on get_variable so that names are the checkpoints' in every TensorFlow."""

import math

from albert.basics.tf_compat import tf
from albert.layers.products import affine, matmul
from albert.layers.recompute import dropout as random_dropout
from albert.layers.shapes import get_shape_list

LAYER_NORM_EPSILON = 1e-12
# Added to the attention scores of masked keys. Not -inf: where every key of a row is masked it
# cancels, as in the published models.
MASKED_SCORE = -10000.0


def create_initializer(initializer_range=0.02):
    """Truncated normal without variance correction."""
    return tf.truncated_normal_initializer(stddev=initializer_range)


def create_variable(name, shape, initializer_range):
    """float32 variable that starts from `create_initializer`."""
    return tf.get_variable(
        name, shape, dtype=tf.float32, initializer=create_initializer(initializer_range)
    )


def dense_variables(name, kernel_shape, units, initializer_range):
    """Kernel and bias of a dense layer; the bias starts at 0."""
    kernel = create_variable(name + "/kernel", kernel_shape, initializer_range)
    return kernel, tf.get_variable(name + "/bias", [units], initializer=tf.zeros_initializer())


def dense(inputs, units, name, activation=None, initializer_range=0.02, groups=1, stay_low=False):
    """`activation(inputs x kernel + bias)` over the last axis; for `stay_low` see `affine`.

    With groups > 1 the kernel is `[in/groups, units/groups, groups]`: group g reads the inputs
    g, g + groups, ... and writes the g-th block of the output.
    """
    width = get_shape_list(inputs)[-1]
    shape = [width, units]
    if groups > 1:
        shape = [width // groups, units // groups, groups]
    kernel, bias = dense_variables(name, shape, units, initializer_range)
    flat = tf.reshape(inputs, [-1, width])  # bias and activation are faster on two axes
    if groups == 1:
        output = affine(flat, kernel, bias, activation, stay_low=stay_low)
    else:
        output = tf.nn.bias_add(_grouped_product(flat, kernel), bias)
        output = activation(output) if activation else output
    return tf.reshape(output, [*get_shape_list(inputs)[:-1], units])


def dense_product(inputs, kernel, product_of=tf.matmul):
    """`[..., in] x [in, out]` as one matrix product over all positions."""
    width, units = get_shape_list(kernel)
    product = product_of(tf.reshape(inputs, [-1, width]), kernel)
    return tf.reshape(product, [*get_shape_list(inputs)[:-1], units])


def _grouped_product(inputs, kernel):
    """`[positions, in] x [in/groups, out/groups, groups] -> [positions, out]`."""
    group_in, group_out, groups = get_shape_list(kernel)
    split = tf.transpose(tf.reshape(inputs, [-1, group_in, groups]), [2, 0, 1])
    output = matmul(split, tf.transpose(kernel, [2, 0, 1]))  # [groups, positions, group_out]
    return tf.reshape(tf.transpose(output, [1, 0, 2]), [-1, groups * group_out])


def layer_norm(input_tensor, name=None):
    """Normalizes the last axis; variables `beta` and `gamma`.

    Args:
        name: variable scope.  None: "LayerNorm", and of others without a name in one scope
            "LayerNorm_1" and so on, each with variables of its own.
    """
    width = get_shape_list(input_tensor)[-1]
    with tf.variable_scope(name, default_name="LayerNorm"):
        beta = tf.get_variable("beta", [width], initializer=tf.zeros_initializer())
        gamma = tf.get_variable("gamma", [width], initializer=tf.ones_initializer())
        return _normalize(input_tensor) * gamma + beta


@tf.custom_gradient
def _normalize(x):
    """Mean 0 and variance 1 over the last axis; the derivative in few passes over memory."""
    centered = x - tf.reduce_mean(x, axis=-1, keepdims=True)
    variance = tf.reduce_mean(tf.square(centered), axis=-1, keepdims=True)
    scale = tf.rsqrt(variance + LAYER_NORM_EPSILON)
    output = centered * scale

    def gradient(upstream):
        mean = tf.reduce_mean(upstream, axis=-1, keepdims=True)
        projection = tf.reduce_mean(upstream * output, axis=-1, keepdims=True)
        return scale * (upstream - mean - output * projection)

    return output, gradient


def layer_norm_and_dropout(input_tensor, dropout_prob, name=None):
    """`layer_norm`, then `dropout`."""
    return dropout(layer_norm(input_tensor, name), dropout_prob)


def dropout(input_tensor, dropout_prob):
    """Drops elements with probability `dropout_prob` (None or 0: returns the input)."""
    return random_dropout(input_tensor, dropout_prob) if dropout_prob else input_tensor


@tf.custom_gradient
def gelu(x):
    """Gaussian error linear unit, tanh form (the checkpoints were trained with it).

    `0.5 * (1 + tanh(u))` is `sigmoid(2u)`. The derivative is computed on the way, in fewer passes
    over memory than automatic differentiation makes.
    """
    scale = 2.0 * math.sqrt(2.0 / math.pi)
    square = tf.square(x)
    gate = tf.sigmoid(x * (scale + scale * 0.044715 * square))
    output = x * gate
    slope = x * (scale + 3.0 * scale * 0.044715 * square)
    derivative = gate + tf.raw_ops.SigmoidGrad(y=gate, dy=slope)
    return output, lambda upstream: upstream * derivative


def swish(x):
    """`x * sigmoid(x)`."""
    return x * tf.sigmoid(x)


def get_activation(activation):
    """Function for a name: relu, gelu, tanh, swish; None for linear; a function as it is.

    Raises:
        ValueError: unknown name.
    """
    if not isinstance(activation, str):
        return activation
    functions = {"relu": tf.nn.relu, "gelu": gelu, "tanh": tf.tanh, "swish": swish}
    name = activation.lower()
    if name in ("", "linear"):
        return None
    if name not in functions:
        raise ValueError("unknown activation '%s'" % activation)
    return functions[name]
