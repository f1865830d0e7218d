"""Matrix products with constant matrices in int8, by TensorFlow's oneDNN kernels.

The matrix has a scale for each column; the numbers of a row have a range, found anew in every call
("dynamic quantization"), so a row's result does not depend on the others:

    rows ~ low + step * codes,  matrix ~ scales * weights
    rows x matrix ~ step * scales * (codes x weights) + low * column sums of (scales * weights)
"""

import numpy as np

from albert.basics.tf_compat import tf

_LEVELS = 255  # of a code
_MAX_WEIGHT = 127


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
