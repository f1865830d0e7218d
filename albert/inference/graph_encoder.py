"""The encoder as a TensorFlow graph of oneDNN's operations: for batches, and for bfloat16.

An operation here is a matrix product together with its bias and the residual connection or the
activation that follows, or a whole layer normalization, so little is left that only moves memory.
A single pair in float32 is faster in NumPy; benchmarks/README.md has the numbers.

Tokens lie behind each other without padding, except in attention.  oneDNN prepares an operation
for each shape that it sees, which takes as long as computing a small batch.  So the numbers of
rows, sequences and keys of batches are rounded up: few shapes are ever seen.
"""

import numpy as np

from albert.basics import tf_compat
from albert.basics.tf_compat import tf
from albert.inference.graph_layers import create_session
from albert.inference.graph_model import Model, Places
from albert.inference.numpy_layers import aligned, pad
from modeling import MASKED_SCORE

# Numbers of rows, of sequences and of keys of a batch are multiples of these.
_ROWS, _SEQUENCES, _KEYS = 32, 4, 8


class GraphEncoder:
    """One model in a graph with a session; same interface as inference_numpy.Encoder."""

    def __init__(self, weights, config, precision, layers=None, regression=False):
        """Builds the graph and its session.

        Args:
            weights: `inference_weights.Weights`.
            config: the model's.
            precision: one that is `inference_graph_layers.supported`.
            layers: numbers of the blocks whose outputs are wanted; None: what the classifier makes
                of first tokens.
            regression: the classifier's output is the number itself.
        """
        self._layers, self._size = layers, config.hidden_size
        self._num_positions = len(weights.positions)
        with tf.Graph().as_default() as graph:
            input_ids, kinds = (tf.placeholder(tf.int64, [None]) for _ in range(2))
            bias = tf.placeholder(tf.float32, [None, 1, 1, None])
            rows, slots = (tf.placeholder(tf.int32, [None]) for _ in range(2))
            model = Model(weights, config, precision, layers, regression)
            single = model(input_ids, kinds, None)
            batch = model(input_ids, kinds, Places(bias, rows, slots))
        self._session = create_session(graph)
        model.load(self._session)
        feeds = [input_ids, kinds]
        self._run_single = tf_compat.fast_callable(self._session, single, feeds)
        feeds += [bias, rows, slots]
        self._run_batch = tf_compat.fast_callable(self._session, batch, feeds)

    def classify(self, batch):
        """What the classifier makes of every first token, float32 `[sequences, labels]`."""
        (results,) = self._run(batch)
        return results[: len(batch.starts)]

    def outputs(self, batch, layers):
        """Outputs of these blocks, all of them named to the constructor.

        Returns:
            `{number: float32 [tokens, width]}`.
        """
        found = dict(zip(self._layers, self._run(batch)))
        return {layer: self._as_in_numpy(found[layer], batch) for layer in layers}

    def _run(self, batch):
        kinds = batch.segment_ids * self._num_positions + batch.positions
        if len(batch.starts) == 1 and batch.groups[0].bias is None:
            return self._run_single(batch.input_ids, kinds)
        places = _find_places(batch)
        tokens = (pad(ids, len(places.slots)) for ids in (batch.input_ids, kinds))
        return self._run_batch(*tokens, *places)

    def _as_in_numpy(self, output, batch):
        """The rows of tokens, with the width that layers in NumPy have (inference_layers.py)."""
        num_tokens = len(batch.input_ids)
        return pad(output[:num_tokens], num_tokens, aligned(self._size))

    def close(self):
        """Ends the session."""
        self._session.close()


def _find_places(batch):
    lengths = np.repeat([g.length for g in batch.groups], [g.count for g in batch.groups])
    count, num_tokens = len(lengths), len(batch.input_ids)
    num_sequences = _round_up(count, _SEQUENCES)
    num_keys = _round_up(lengths.max(), _KEYS)
    real = np.zeros([num_sequences, num_keys], bool)
    real[:count] = np.arange(num_keys) < lengths[:, None]
    bias = ~real * np.float32(MASKED_SCORE)
    start = 0
    for group in batch.groups:
        if group.bias is not None:
            bias[start : start + group.count, : group.length] = group.bias[:, 0, :, 0]
        start += group.count
    rows = np.zeros(real.size, np.int32)
    rows[real.ravel()] = np.arange(num_tokens)
    slots = np.zeros(_round_up(num_tokens, _ROWS), np.int32)
    slots[:num_tokens] = np.flatnonzero(real)
    return Places(bias[:, None, None], rows, slots)


def _round_up(number, multiple):
    return -(-number // multiple) * multiple
