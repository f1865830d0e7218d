"""Matrix products with constant matrices in bfloat16 and int8, by TensorFlow's oneDNN kernels.

Both gain on many rows only: a call takes about 0.1 ms before it multiplies.  On few rows the
product is the float32 one, which is then both the faster and the more exact.  Of 512 rows of
albert_tiny's feed-forward the products take 0.6 and 0.5 of float32's time.

int8: the matrix has a scale for each column; the numbers of a row have a range, found anew in every
call ("dynamic quantization"):

    rows ~ low + step * codes,  matrix ~ scales * weights
    rows x matrix ~ step * scales * (codes x weights) + low * column sums of (scales * weights)
"""

import numpy as np

import blas
import tf_compat
from file_utils import InputError
from tf_compat import tf

MIN_ROWS = 96
_LEVELS = 255  # of a code
_MAX_WEIGHT = 127


class Products:
    """Makes `blas.Product`s of one reduced precision; they share a session."""

    def __init__(self, precision):
        """Takes "bfloat16" or "int8".

        Raises:
            InputError: this TensorFlow has no such product.
        """
        self._build = {"bfloat16": _bfloat16, "int8": _int8}[precision]
        self._graph = tf.Graph()
        # Operations run in the thread that calls (-1): the caller has one for each batch.
        threads = {"intra_op_parallelism_threads": 1, "inter_op_parallelism_threads": -1}
        config = tf.ConfigProto(use_per_session_threads=True, **threads)
        self._session = tf.Session(graph=self._graph, config=config)
        self._check(precision)

    def _check(self, precision):
        identity = np.eye(MIN_ROWS, dtype=np.float32)
        try:
            result = self(identity)(identity)
        except (AttributeError, ValueError, tf.errors.OpError):
            result = np.zeros([])
        if not np.allclose(result, identity, atol=0.01):
            raise InputError(
                "--precision=%s: TensorFlow %s has no such matrix product on this processor; "
                "expected TensorFlow 2 with oneDNN (the default on x86 under Linux)."
                % (precision, tf_compat.versions()["tensorflow"])
            )

    def __call__(self, matrix):
        """A product with float32 `[in, out]`."""
        with self._graph.as_default():
            rows = tf.placeholder(tf.float32, [None, len(matrix)])
            output = self._build(rows, matrix)
        return _Product(blas.Product(matrix), self._session.make_callable(output, [rows]))

    def close(self):
        self._session.close()


class _Product:
    def __init__(self, exact, reduced):
        self._exact, self._reduced = exact, reduced

    def __call__(self, rows):
        return self._exact(rows) if len(rows) < MIN_ROWS else self._reduced(rows)


def _bfloat16(rows, matrix):
    product = tf.matmul(tf.cast(rows, tf.bfloat16), tf.constant(matrix, tf.bfloat16))
    return tf.cast(product, tf.float32)


def _int8(rows, matrix):
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
