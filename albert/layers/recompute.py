"""Activations that are computed once more in the backward pass instead of being kept.

Of a recomputed function only inputs and outputs stay in memory (https://arxiv.org/abs/1604.06174);
a training step then computes its forward pass twice.
"""

import collections

from albert.basics.tf_compat import tf
from albert.layers import graph_settings

_SETTING = "recomputed_dropout_seeds"  # of the function that is being built


def recomputed(function, inputs):
    """`function(inputs)`, with its activations recomputed for the gradient.

    Args:
        function: of one float tensor, returns one float tensor.  Its variables come from
            `tf.get_variable` and its dropout from `dropout`; it is called twice in the current
            variable scope.
        inputs: float tensor.
    """
    scope = tf.get_variable_scope()
    seed = tf.random_uniform([2], maxval=2**31 - 1, dtype=tf.int32)
    weights = collections.OrderedDict()

    def record(getter, name, *arguments, **settings):
        if name not in weights:
            weights[name] = tf.identity(getter(name, *arguments, **settings))
        return weights[name]

    with tf.variable_scope(scope, custom_getter=record):
        output = _with_dropout_seed(function, inputs, seed)

    @tf.custom_gradient
    def replayed(*arguments):
        def gradient(upstream):
            # Not before the gradient is there, and not in one XLA cluster with the first pass,
            # where the two would be merged.
            not_compiled = tf.xla.experimental.jit_scope(compile_ops=False)
            with tf.control_dependencies([upstream]), not_compiled:
                again = [tf.identity(argument) for argument in arguments]
            values = dict(zip(weights, again[1:]))

            def replay(getter, name, *unused, **settings):
                del getter, unused, settings
                return values[name]

            with tf.variable_scope(scope, custom_getter=replay):
                second = _with_dropout_seed(function, again[0], seed)
            return tf.gradients(second, again, upstream)

        return tf.identity(output), gradient

    return replayed(inputs, *weights.values())


def _with_dropout_seed(function, inputs, seed):
    with graph_settings.during(_SETTING, _Seeds(seed)):
        return function(inputs)


class _Seeds:
    """Different seeds for the dropouts of a function, the same in both passes."""

    def __init__(self, first):
        self._first = first
        self._count = 0

    def next(self):
        self._count += 1
        return self._first + [0, self._count]


def dropout(inputs, rate):
    """`tf.nn.dropout`; in a recomputed function it drops the same elements both times."""
    seeds = graph_settings.current(_SETTING)
    if seeds is None:
        return tf.nn.dropout(inputs, rate=rate)
    uniform = tf.random.stateless_uniform(tf.shape(inputs), seeds.next())
    return tf.where(uniform >= rate, inputs * (1.0 / (1.0 - rate)), tf.zeros_like(inputs))
