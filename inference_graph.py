"""The encoder as a TensorFlow graph of oneDNN's operations: for batches, and for bfloat16.

An operation here is a matrix product together with its bias and the residual connection or the
activation that follows, or a whole layer normalization, so little is left that only moves memory.
A single pair in float32 is faster in NumPy; benchmarks/README.md has the numbers.

Tokens lie behind each other without padding, except in attention.  oneDNN prepares an operation
for each shape that it sees, which takes as long as computing a small batch.  So the numbers of
rows, sequences and keys of batches are rounded up: few shapes are ever seen.
"""

import collections
import math

import numpy as np

import tf_compat
from configuration import BRIGHTMART
from inference_graph_layers import DTYPES, Norm, create_session, make_product
from inference_layers import aligned
from inference_numpy import Block
from inference_weights import for_each_block
from modeling import MASKED_SCORE
from tf_compat import tf

# Numbers of rows, of sequences and of keys of a batch are multiples of these.
_ROWS, _SEQUENCES, _KEYS = 32, 4, 8

# Where the tokens of a batch are, as arrays or tensors.  Attention has a slot for each key of each
# sequence.  `bias`: what to add to the scores of keys, float32 `[sequences, 1, 1, keys]`; `rows`:
# the row of each slot, `[sequences * keys]`; `slots`: the slot of each row, `[rows]`.
_Places = collections.namedtuple("_Places", "bias rows slots")


class GraphEncoder:
    """Embeddings (in NumPy) and blocks of one model; same interface as inference_numpy.Encoder."""

    def __init__(self, embeddings, weights, config, precision, layers=None):
        """Builds the graph and its session.

        Args:
            embeddings: `inference_numpy.Embeddings`.
            weights: `inference_weights.Weights`.
            precision: one that is `inference_graph_layers.supported`.
            layers: numbers of the blocks whose outputs are wanted; None: only the last block's
                output at first tokens, which NumPy computes: it has less to do (Block.first_tokens)
                and needs no preparation.
        """
        if layers is None:
            self._last = Block(weights.blocks[-1], config)
            weights = weights._replace(blocks=weights.blocks[:-1])
        self._embeddings, self._layers = embeddings, layers
        self._size = config.hidden_size
        with tf.Graph().as_default() as graph:
            hidden = tf.placeholder(tf.float32, [None, config.hidden_size])
            bias = tf.placeholder(tf.float32, [None, 1, 1, None])
            rows, slots = (tf.placeholder(tf.int32, [None]) for _ in range(2))
            model = _Model(weights, config, precision, layers)
            single = model(hidden, None)
            batch = model(hidden, _Places(bias, rows, slots))
        self._session = create_session(graph)
        self._run_single = tf_compat.fast_callable(self._session, single, [hidden])
        feeds = [hidden, bias, rows, slots]
        self._run_batch = tf_compat.fast_callable(self._session, batch, feeds)

    def first_tokens(self, batch):
        """The last block's output at every first token, float32 `[sequences, width]`."""
        (hidden,) = self._run(batch)
        return self._last.first_tokens(hidden, batch)

    def outputs(self, batch, layers):
        """Outputs of these blocks, all of them named to the constructor.

        Returns:
            `{number: float32 [tokens, width]}`.
        """
        found = dict(zip(self._layers, self._run(batch)))
        return {layer: found[layer] for layer in layers}

    def _run(self, batch):
        embedded = self._embeddings(batch)[:, : self._size]
        if len(batch.starts) == 1 and batch.groups[0].bias is None:
            results = self._run_single(np.ascontiguousarray(embedded))
        else:
            places = _find_places(batch)
            results = self._run_batch(_filled_up(embedded, len(places.slots), self._size), *places)
        shape = len(embedded), aligned(self._size)
        return [_filled_up(result[: len(embedded)], *shape) for result in results]

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
    return _Places(bias[:, None, None], rows, slots)


def _filled_up(array, rows, columns):
    """The array in the corner of zeros; faster than np.pad."""
    result = np.zeros([rows, columns], array.dtype)
    result[: array.shape[0], : array.shape[1]] = array
    return result


def _round_up(number, multiple):
    return -(-number // multiple) * multiple


class _Model:
    """All blocks; called with tensors it adds their computation to the graph."""

    def __init__(self, weights, config, precision, layers):
        self._dtype, self._size, self._layers = DTYPES[precision], config.hidden_size, layers
        num_blocks = len(weights.blocks) if layers is None else max(layers) + 1
        self._blocks = for_each_block(
            lambda block: _Block(block, config, precision), weights.blocks[:num_blocks]
        )

    def __call__(self, hidden, places):
        """Takes float32 `[rows, size]`, and `_Places` of tensors or None for a single sequence.

        Returns:
            List of float32 tensors `[rows, size]`.
        """
        hidden = tf.cast(hidden, self._dtype)
        if places:
            places = places._replace(bias=tf.cast(places.bias, self._dtype))
        outputs = []
        for block in self._blocks:
            outputs.append(block(outputs[-1] if outputs else hidden, places))
        wanted = [hidden, *outputs][-1:]
        if self._layers is not None:
            wanted = [outputs[layer] for layer in self._layers]
        # An identity: of a model with a single block, what is fed is fetched.
        return [tf.identity(tf.cast(output, tf.float32)) for output in wanted]


class _Block:
    """Attention and feed-forward, each with a residual connection (modeling.transformer_block)."""

    def __init__(self, weights, config, precision):
        self._heads, self._size = config.num_attention_heads, config.hidden_size
        self._pre_ln = config.family == BRIGHTMART and config.ln_type == "preln"
        self._activation = config.hidden_act.lower()

        def product(*affine_maps):  # side by side
            return make_product(*(np.concatenate(p, axis=-1) for p in zip(*affine_maps)), precision)

        scale = np.float32(1.0 / math.sqrt(self._size // self._heads))
        query = tuple(part * scale for part in weights.query)
        self._projections = product(query, weights.key, weights.value)
        self._attention_output = product(weights.attention_output)
        self._attention_norm = Norm(*weights.attention_norm, precision)
        self._intermediate = product(weights.intermediate)
        self._output = product(weights.output)
        self._output_norm = Norm(*weights.output_norm, precision)

    def __call__(self, hidden, places):
        """Output for `[rows, size]`, the same shape."""
        inputs = self._attention_norm(hidden) if self._pre_ln else hidden
        projections, count = self._projections(inputs), 1
        if places:
            count = tf.shape(places.bias)[0]
            projections = tf.gather(projections, places.rows)
        head_size = self._size // self._heads
        parts = tf.reshape(projections, [count, -1, 3, self._heads, head_size])
        query, key, value = tf.unstack(tf.transpose(parts, [2, 0, 3, 1, 4]), 3)
        scores = tf.matmul(query, key, transpose_b=True)
        if places:
            scores += places.bias
        context = tf.transpose(tf.matmul(tf.nn.softmax(scores), value), [0, 2, 1, 3])
        context = tf.reshape(context, [-1, self._size])
        if places:
            context = tf.gather(context, places.slots)
        output = self._attention_output(context, residual=hidden)
        if not self._pre_ln:
            output = self._attention_norm(output)
        inputs = self._output_norm(output) if self._pre_ln else output
        inner = self._intermediate(inputs, activation=self._activation)
        result = self._output(inner, residual=output)
        return result if self._pre_ln else self._output_norm(result)
