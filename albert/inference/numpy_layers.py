"""The layers of the NumPy encoder.

Hidden states are float32 `[tokens, width]`.  The width is the layer's size filled up with zeros to
a multiple of `ALIGNMENT`: products are fastest there (blas.py).
"""

import math

import numpy as np

from albert.inference import blas
from albert.layers.basic import LAYER_NORM_EPSILON

ALIGNMENT = 64


def aligned(size):
    """The width of a layer of this size."""
    return -(-size // ALIGNMENT) * ALIGNMENT


def pad(array, *shape):
    """The array, filled up with zeros at the ends of its axes."""
    return np.pad(array, [(0, size - old) for size, old in zip(shape, array.shape)], "constant")


class Affine:
    """`inputs x kernel + bias`."""

    def __init__(self, kernel, bias=None):
        """Takes float32 `[in, out]`, and `[out]` or None."""
        width = aligned(kernel.shape[1])
        self._product = blas.Product(pad(kernel, aligned(len(kernel)), width))
        self._bias = None if bias is None else pad(bias, width)

    def __call__(self, inputs):
        """float32 `[rows, width in]` -> `[rows, width out]`."""
        out = self._product(inputs)
        if self._bias is not None:
            out += self._bias
        return out


class GroupedAffine:
    """The feed-forward maps of google-fast models, as `dense` has it."""

    def __init__(self, kernel, bias):
        """Takes float32 `[in/groups, out/groups, groups]` and `[out]`."""
        self._kernel = np.ascontiguousarray(kernel.transpose(2, 0, 1))
        groups, self._group_in, group_out = self._kernel.shape
        self._groups, self._outputs = groups, groups * group_out
        self._bias = pad(bias, aligned(self._outputs))

    def __call__(self, inputs):
        rows = len(inputs)
        split = inputs[:, : self._group_in * self._groups]
        split = split.reshape(rows, self._group_in, self._groups).transpose(2, 0, 1)
        out = np.zeros([rows, len(self._bias)], np.float32)
        out[:, : self._outputs] = np.concatenate(np.ascontiguousarray(split) @ self._kernel, axis=1)
        out += self._bias
        return out


class NumpyNorm:
    """Mean 0 and variance 1 over the first `size` columns; works in place."""

    def __init__(self, gamma, beta):
        self._size, width = len(gamma), aligned(len(gamma))
        self._gamma, self._beta = pad(gamma, width), pad(beta, width)
        self._mean = pad(np.full(self._size, 1.0 / self._size, np.float32), width)

    def __call__(self, x):
        # Not the BLAS's product, whose second thread would keep a core busy long after it.
        x -= np.einsum("ij,j->i", x, self._mean)[:, None]
        real = x[:, : self._size]
        variance = np.einsum("ij,ij->i", real, real) * np.float32(1.0 / self._size)
        x *= (1.0 / np.sqrt(variance + np.float32(LAYER_NORM_EPSILON)))[:, None]
        x *= self._gamma  # zero behind the real columns
        x += self._beta
        return x


def twice_gelu(x):
    """Twice the Gaussian error linear unit, tanh form (modeling.gelu)."""
    gate = x * x
    gate *= np.float32(math.sqrt(2.0 / math.pi) * 0.044715)
    gate += np.float32(math.sqrt(2.0 / math.pi))
    gate *= x
    np.tanh(gate, out=gate)
    gate += np.float32(1.0)
    gate *= x
    return gate


def twice_swish(x):
    """Twice `x * sigmoid(x)`."""
    gate = np.tanh(x * np.float32(0.5))
    gate += np.float32(1.0)
    gate *= x
    return gate


# Function, and the factor that is still missing: the next kernel takes it.
ACTIVATIONS = {
    "gelu": (twice_gelu, 0.5),
    "swish": (twice_swish, 0.5),
    "relu": (lambda x: np.maximum(x, 0, out=x), 1.0),
    "tanh": (lambda x: np.tanh(x, out=x), 1.0),
    "linear": (lambda x: x, 1.0),
    "": (lambda x: x, 1.0),
}


def softmax(scores):
    """Softmax over the last axis but one, in place."""
    scores -= np.maximum.reduce(scores, axis=-2, keepdims=True)
    np.exp(scores, out=scores)
    scores /= np.add.reduce(scores, axis=-2, keepdims=True)
    return scores
