"""The layers of the graph encoder: oneDNN's fused operations, and what stands in for them.

The fused operations are those into which TensorFlow itself rewrites graphs.  They are named
directly because its rewriting recognizes only some ways of writing a model.
"""

import functools
import math
import os
import threading

import numpy as np

from albert.basics import forks, tf_compat
from albert.basics.tf_compat import tf
from albert.layers.basic import LAYER_NORM_EPSILON, get_activation

# What is computed in between products; those of "int8" are computed in int8.
DTYPES = {"float32": tf.float32, "bfloat16": tf.bfloat16, "int8": tf.float32}
# Activations that a product can include.
_FUSED_ACTIVATIONS = {"gelu": "GeluApproximate", "relu": "Relu", "tanh": "Tanh"}


_LEVELS = 255  # of a code
_MAX_WEIGHT = 127

_SHARED_SIZE = 512  # of a product that TensorFlow divides among threads
_ANSWER_SECONDS = 10  # for what takes a hundredth of one


def supported(precision):
    """Whether TensorFlow has the operations for "float32", "bfloat16" or "int8" on this machine."""
    dtype, size = DTYPES[precision], 64
    try:
        with tf.Graph().as_default() as graph, create_session(graph) as session:
            # Fed, not a constant: TensorFlow would try to compute the outputs while it prepares the
            # graph, with other operations, and log that it cannot.
            fed = tf.placeholder(tf.float32, [size, size])
            rows = tf.cast(fed, dtype)
            product = make_product(np.eye(size, dtype=np.float32), np.zeros(size), precision)
            norm = GraphNorm(np.ones(size), np.zeros(size), precision)
            outputs = [
                product(rows, residual=tf.zeros([size, size], dtype)),
                product(rows, activation="relu"),
                product(rows, activation="gelu"),
                norm(rows),
            ]
            results = session.run(
                [tf.cast(output, tf.float32) for output in outputs], {fed: np.eye(size)}
            )
    except (AttributeError, ValueError, tf.errors.OpError):
        return False
    # What becomes of a 1: gelu(1), and the distance from a row's mean in standard deviations.
    expected = (1.0, 1.0, 0.8412, math.sqrt(size - 1))
    return all(np.allclose(r.max(axis=1), e, rtol=0.01) for r, e in zip(results, expected))


def create_session(graph):
    """Session of a graph of these layers, on the CPU whatever else there is.

    Operations run one after the other in the thread that calls; the caller has one for each batch.
    A process that is forked from this one can have none: TensorFlow shares threads among all
    sessions, and they stay behind.
    """
    config = tf.ConfigProto(
        device_count={"GPU": 0},
        intra_op_parallelism_threads=1,
        inter_op_parallelism_threads=-1,
        use_per_session_threads=True,
    )
    config.experimental.executor_type = "SINGLE_THREADED_EXECUTOR"
    forks.begin()
    session = tf.Session(graph=graph, config=config)
    forks.watch(session, tf_compat.abandon_session)
    return session


def session_answers():
    """Whether a session of this process computes at all.

    In a process that was forked from one that had used TensorFlow, whoever did it there, a session
    waits for ever: the threads that all sessions share stayed behind.  So one is tried, beside the
    thread that asks.
    """
    return _answers(os.getpid())


@functools.lru_cache(maxsize=None)
def _answers(process):
    del process  # each has its own answer
    answered = threading.Event()

    def compute():
        with tf.Graph().as_default() as graph:
            fed = tf.placeholder(tf.float32, [_SHARED_SIZE, _SHARED_SIZE])
            product = tf.matmul(fed, fed)
            create_session(graph).run(product, {fed: np.eye(_SHARED_SIZE)})
        answered.set()

    threading.Thread(target=compute, daemon=True).start()
    return answered.wait(_ANSWER_SECONDS)


def make_product(kernel, bias, precision):
    """Takes arrays and a precision of `DTYPES`."""
    dtype = DTYPES[precision]
    if kernel.ndim == 3:
        return _PlainProduct(_grouped_product(tf.constant(kernel, dtype)), bias, dtype)
    if precision == "int8":
        return _PlainProduct(lambda rows: multiply(rows, kernel), bias, dtype)
    return _FusedProduct(kernel, bias, dtype)


class _FusedProduct:
    """`activation(rows x kernel + bias + residual)` as one operation."""

    def __init__(self, kernel, bias, dtype):
        self._kernel, self._bias = tf.constant(kernel, dtype), tf.constant(bias, dtype)

    def __call__(self, rows, residual=None, activation=""):
        """Takes tensors `[rows, in]`, `[rows, out]`; a residual has no activation."""
        inputs, fused = [rows, self._kernel, self._bias], ["BiasAdd"]
        if residual is not None:
            inputs.append(residual)
            fused.append("Add")
        elif activation in _FUSED_ACTIVATIONS:
            fused.append(_FUSED_ACTIVATIONS[activation])
        attributes = {
            "T": _type_attribute(rows),
            "num_args": tf.AttrValue(i=len(inputs) - 2),
            "fused_ops": tf.AttrValue(
                list=tf.AttrValue.ListValue(s=[name.encode("ascii") for name in fused])
            ),
        }
        output = _create("_FusedMatMul", inputs, attributes, [None, self._kernel.shape[1]])
        return output if fused[-1] != "BiasAdd" else _activate(output, activation)


class _PlainProduct:
    """The same, as one operation after the other."""

    def __init__(self, multiply, bias, dtype):
        self._multiply, self._bias = multiply, tf.constant(bias, dtype)

    def __call__(self, rows, residual=None, activation=""):
        output = self._multiply(rows) + self._bias
        return _activate(output if residual is None else output + residual, activation)


def _grouped_product(kernel):
    """Product with `[in/groups, out/groups, groups]` of google-fast models, as `dense` has it."""
    group_in, group_out, groups = kernel.shape.as_list()
    kernel = tf.transpose(kernel, [2, 0, 1])

    def multiply(rows):
        split = tf.transpose(tf.reshape(rows, [-1, group_in, groups]), [2, 0, 1])
        product = tf.transpose(tf.matmul(split, kernel), [1, 0, 2])
        return tf.reshape(product, [-1, groups * group_out])

    return multiply


def _activate(rows, activation):
    function = get_activation(activation)
    return function(rows) if function else rows


class GraphNorm:
    """Layer normalization of `[rows, size]`."""

    def __init__(self, gamma, beta, precision):
        dtype = DTYPES[precision]
        self._gamma, self._beta = tf.constant(gamma, dtype), tf.constant(beta, dtype)

    def __call__(self, rows):
        attributes = {
            "T": _type_attribute(rows),
            "epsilon": tf.AttrValue(f=LAYER_NORM_EPSILON),
        }
        inputs = [rows, self._gamma, self._beta]
        return _create("_MklLayerNorm", inputs, attributes, rows.shape)


class Table:
    """Rows to look up.

    A variable, because TensorFlow makes many copies of a large constant when it prepares a graph.
    """

    def __init__(self, array, dtype):
        """Takes float32 `[rows, size]`; holds it until `load`."""
        self._array, self._source = array, tf.placeholder(tf.float32, array.shape)
        value = tf.cast(self._source, dtype)
        self._variable = tf.Variable(value, trainable=False, use_resource=True)

    def load(self, session):
        """Gives the variable its value."""
        session.run(self._variable.initializer, {self._source: self._array})
        self._array = None

    def __call__(self, indices):
        """Takes a tensor `[n]`; returns `[n, size]`."""
        return tf.gather(self._variable, indices)


def _type_attribute(tensor):
    return tf.AttrValue(type=tensor.dtype.as_datatype_enum)


def _create(op_type, inputs, attributes, shape):
    """Output of an operation for which TensorFlow has no function."""
    graph = tf.get_default_graph()
    operation = graph.create_op(op_type, inputs, [inputs[0].dtype], name="op", attrs=attributes)
    operation.outputs[0].set_shape(shape)
    return operation.outputs[0]


def multiply(rows, matrix):
    """Product of a float32 tensor `[rows, in]` and a float32 array `[in, out]`."""
    scales = np.maximum(np.abs(matrix).max(axis=0), 1e-30) / _MAX_WEIGHT
    weights = np.rint(matrix / scales)
    column_sums = (scales * weights).sum(axis=0)

    low = tf.reduce_min(rows, axis=1, keepdims=True)
    step = (tf.reduce_max(rows, axis=1, keepdims=True) - low) / _LEVELS
    codes = tf.cast(tf.round((rows - low) / tf.maximum(step, 1e-30)), tf.uint8)
    # Ranges of 0 to 255 and -127 to 127 mean: the codes as they are.
    product, _, _ = tf.raw_ops.QuantizedMatMulWithBias(
        a=tf.bitcast(codes, tf.quint8),
        b=tf.bitcast(tf.constant(weights, tf.int8), tf.qint8),
        bias=tf.zeros([matrix.shape[1]], tf.float32),
        min_a=0.0,
        max_a=float(_LEVELS),
        min_b=-float(_MAX_WEIGHT),
        max_b=float(_MAX_WEIGHT),
        input_quant_mode="SCALED",
    )
    product = tf.cast(tf.bitcast(product, tf.int32), tf.float32)
    return step * (product * scales.astype(np.float32)) + low * column_sums.astype(np.float32)
