"""Chains of elementwise operations compiled into one pass over memory.

On a processor an activation like gelu is a dozen passes over the largest tensors of a model, and
takes as long as a matrix product.  XLA compiles it into one pass.  It compiles anew for every
shape, so only what has a static shape is compiled; and only where `allowed`: in pre-training on
processors, whose batches are all alike, under TensorFlow 2.
"""

import contextlib

from albert.basics.tf_compat import tf
from albert.layers import graph_settings

_SETTING = "elementwise_fusion"


def allowed():
    """Context: what is added to the default graph within may be compiled."""
    return graph_settings.during(_SETTING, True)


def fused(tensor):
    """Context: operations on `tensor` that are added within become one, where possible."""
    if _is_possible(tensor):
        return tf.xla.experimental.jit_scope()
    return contextlib.ExitStack()


def apply(function, inputs, output_type):
    """`function(inputs)`, a chain of elementwise operations, computed in float32.

    Args:
        function: of a float32 tensor; returns another of the same shape.
        inputs: tensor of any float type.
        output_type: of the result.
    """

    def compute(wide):
        return tf.cast(function(wide), output_type)

    if not _is_possible(inputs):
        return compute(tf.cast(inputs, tf.float32))

    @tf.custom_gradient
    def compiled(inputs):
        def gradient(upstream):
            # To compute it once more is faster than to write down what the gradient needs.
            with fused(inputs):
                wide = tf.cast(inputs, tf.float32)
                (by_wide,) = tf.gradients(compute(wide), wide, upstream)
                return tf.cast(by_wide, inputs.dtype)

        with fused(inputs):
            return compute(tf.cast(inputs, tf.float32)), gradient

    return compiled(inputs)


def _is_possible(tensor):
    return graph_settings.current(_SETTING, False) and tensor.shape.is_fully_defined()
