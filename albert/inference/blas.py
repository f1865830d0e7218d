"""Matrix products with constant matrices, as fast as NumPy's BLAS can do them on few rows.

A BLAS copies ("packs") both matrices of a product before it multiplies.  With the 20 or 30 rows
that one sentence has, copying a kernel of a million numbers takes longer than multiplying by it.
OpenBLAS has direct kernels without packing, for products of at most `DIRECT_PRODUCT`
multiplications on processors with AVX-512, so the matrix is cut into blocks of columns, and the
rows into chunks, that stay below.  Where this is not faster - other processors, other libraries -
the product is left whole.
"""

import functools
import time

import numpy as np
import threadpoolctl

DIRECT_PRODUCT = 100**3
_CHUNK = 12  # rows; the direct kernels work on 12 rows (or a divisor) at a time
_WIDTHS = (64, 48, 32, 16)  # columns; a vector holds 16 floats


class Product:
    """`rows x matrix`, float32."""

    def __init__(self, matrix):
        """Takes `[in, out]`; `out` should be a multiple of 16."""
        self._matrix = np.ascontiguousarray(matrix, np.float32)
        self._outputs, self._blocks = matrix.shape[1], None
        width = _block_width(*matrix.shape)
        if width and blocks_are_faster():
            blocks = self._matrix.reshape(len(matrix), -1, width).transpose(1, 0, 2)
            self._blocks = np.ascontiguousarray(blocks)[:, None]  # [blocks, 1, in, width]
            self._matrix = None

    def __call__(self, rows):
        """`[rows, in] x [in, out]`; rows with contiguous columns."""
        if self._blocks is None:
            return np.matmul(rows, self._matrix)
        if len(rows) == 1:
            # A matrix and a vector: OpenBLAS would wake its threads for much smaller products,
            # and they keep a core busy for milliseconds after it.
            return self(np.concatenate([rows, rows]))[:1]
        out = np.empty([len(rows), self._outputs], np.float32)
        # No chunk of a row or two at the end, which would cost as much as a full one.
        whole = len(rows) if len(rows) % _CHUNK == 0 else max(0, len(rows) // _CHUNK - 1) * _CHUNK
        if whole:
            self._multiply(rows[:whole], out[:whole], _CHUNK)
        if whole < len(rows):
            self._multiply(rows[whole:], out[whole:], len(rows) - whole)
        return out

    def _multiply(self, rows, out, chunk):
        num_blocks, _, _, width = self._blocks.shape
        out = out.reshape(-1, chunk, num_blocks, width).transpose(2, 0, 1, 3)
        np.matmul(rows.reshape(1, -1, chunk, rows.shape[1]), self._blocks, out=out)


def _block_width(inputs, outputs):
    """Columns of a block whose products are direct ones, or None where there is no such width."""
    for width in _WIDTHS:
        if outputs % width == 0 and 2 * _CHUNK * inputs * width <= DIRECT_PRODUCT:
            return width
    return None


@functools.lru_cache(maxsize=None)
def blocks_are_faster():
    """Whether products in blocks are clearly faster here, on one core.

    Measured once, in a few milliseconds; threads of the library would hide the difference.
    """
    rows = np.ones([2 * _CHUNK, 320], np.float32)
    matrix = np.ones([320, 1280], np.float32)
    blocks = np.ones([20, 320, 64], np.float32)
    out = np.empty([len(rows), 1280], np.float32)
    blocked_out = out.reshape(len(rows), 20, 64).transpose(1, 0, 2)
    with threadpoolctl.threadpool_limits(1, "blas"):
        whole = _best_time(lambda: np.matmul(rows, matrix, out=out))
        return _best_time(lambda: np.matmul(rows, blocks, out=blocked_out)) < 0.8 * whole


def _best_time(function, repeats=7):
    def once():
        start = time.perf_counter()
        function()
        return time.perf_counter() - start

    return min(once() for _ in range(repeats))
