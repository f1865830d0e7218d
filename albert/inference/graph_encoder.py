"""The encoder as a TensorFlow graph of oneDNN's operations: for batches, and for bfloat16.

An operation here is a matrix product together with its bias and the residual connection or the
activation that follows, or a whole layer normalization, so little is left that only moves memory.
A single pair in float32 is faster in NumPy; benchmarks/README.md has the numbers.

Tokens lie behind each other without padding, except in attention.  oneDNN prepares an operation
for each shape that it sees, which takes as long as computing a small batch.  So the numbers of
rows, sequences and keys of batches are rounded up: few shapes are ever seen.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from albert.basics import tf_compat
from albert.basics.tf_compat import tf
from albert.inference.graph_layers import DTYPES, GraphNorm, Table, create_session, make_product
from albert.inference.numpy_encoder import NumpyClassifier
from albert.inference.numpy_layers import aligned, pad
from albert.inference.weights import for_each_block
from albert.layers.basic import MASKED_SCORE
from albert.model_files.classifier_head import FIRST_TOKEN
from albert.model_files.configuration import BRIGHTMART

# Numbers of rows, of sequences and of keys of a batch are multiples of these.
_ROWS, _SEQUENCES, _KEYS = 32, 4, 8


class Places(NamedTuple):
    """Where the tokens of a batch are, as arrays or tensors.

    Attention has a slot for each key of each sequence.

    Attributes:
        bias: what to add to the scores of keys, float32 `[sequences, 1, 1, keys]`.
        rows: the row of each slot, int32 `[sequences * keys]`.
        slots: the slot of each row, int32 `[rows]`.
    """

    bias: Any
    rows: Any
    slots: Any


class GraphEncoder:
    """One model in a graph with a session; same interface as numpy_encoder.NumpyEncoder."""

    def __init__(self, weights, config, precision, layers=(), head=None):
        """Builds the graph and its session.

        Args:
            weights: `weights.Weights`.
            config: the model's.
            precision: one that is `graph_layers.supported`.
            layers: numbers of the blocks whose outputs are wanted.
            head: in place of layers, the `ClassifierHead` of what `classify` is to give.
        """
        self._classifier = None  # where there is a head, and the graph does not have it
        if head and head.pooling != FIRST_TOKEN:
            self._classifier = NumpyClassifier(weights, head)
            layers, head = [len(weights.blocks) - 1], None
        self._layers, self._size = layers, config.hidden_size
        self._num_positions = len(weights.positions)
        with tf.Graph().as_default() as graph:
            input_ids, kinds = (tf.placeholder(tf.int64, [None]) for _ in range(2))
            bias = tf.placeholder(tf.float32, [None, 1, 1, None])
            rows, slots = (tf.placeholder(tf.int32, [None]) for _ in range(2))
            model = EncoderGraph(weights, config, precision, layers, head)
            single = model(input_ids, kinds, None)
            batch = model(input_ids, kinds, Places(bias, rows, slots))
        self._session = create_session(graph)
        model.load(self._session)
        feeds = [input_ids, kinds]
        self._run_single = tf_compat.fast_callable(self._session, single, feeds)
        feeds += [bias, rows, slots]
        self._run_batch = tf_compat.fast_callable(self._session, batch, feeds)

    def classify(self, batch):
        """Probabilities, or of a regression the numbers, float32 `[sequences, labels]`."""
        if self._classifier:
            (last,) = self._layers
            return self._classifier.means(self.outputs(batch, self._layers)[last], batch)
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
        """The rows of tokens, with the width that layers in NumPy have (numpy_layers.py)."""
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


class EncoderGraph:
    """Everything from ids to results; called with tensors it adds the computation to the graph."""

    def __init__(self, weights, config, precision, layers, head):
        """See `GraphEncoder`; a head is one of first tokens."""
        self._dtype, self._layers, self._head = DTYPES[precision], layers, head
        self._embeddings = _GraphEmbeddings(weights, precision)
        num_blocks = len(weights.blocks) if head else max(layers) + 1
        self._blocks = for_each_block(
            lambda block: _GraphBlock(block, config, precision), weights.blocks[:num_blocks]
        )
        if head:
            self._last_attention = _FirstTokenAttention(weights.blocks[-1], config, precision)
            self._pooler = make_product(*weights.pooler, precision)
            self._norm = weights.head_norm and GraphNorm(*weights.head_norm, precision)
            # In float32: bfloat16 would often give two labels the same logit.
            self._output = make_product(*weights.head, "float32")

    def __call__(self, input_ids, kinds, places):
        """Takes int64 `[rows]` twice, and `Places` of tensors or None for a single sequence.

        Returns:
            List of float32 tensors, `[rows, size]` of each layer or `[sequences, labels]`.
        """
        if places:
            places = places._replace(bias=tf.cast(places.bias, self._dtype))
        outputs = [self._embeddings(input_ids, kinds)]
        for block in self._blocks[:-1]:
            outputs.append(block(outputs[-1], places))
        if self._head:
            first = self._blocks[-1].first_tokens(outputs[-1], places, self._last_attention)
            return [self._classify(first)]
        outputs.append(self._blocks[-1](outputs[-1], places))
        return [tf.cast(outputs[layer + 1], tf.float32) for layer in self._layers]

    def load(self, session):
        """To be called once per session, before all else."""
        self._embeddings.load(session)

    def _classify(self, hidden):
        features = self._pooler(hidden, activation="tanh")
        if self._norm:
            features = self._norm(features)
        logits = self._output(tf.cast(features, tf.float32))
        return logits if self._head.regression else tf.nn.softmax(logits)


class _GraphEmbeddings:
    """Input of the first block; see numpy_encoder.NumpyEmbeddings."""

    def __init__(self, weights, precision):
        dtype = DTYPES[precision]
        self._words = Table(weights.words, dtype)
        self._lookup = None
        if weights.lookup is not None:
            no_bias = np.zeros(weights.lookup.shape[1], np.float32)
            self._lookup = make_product(weights.lookup, no_bias, precision)
        kinds = weights.types[:, None] + weights.positions
        self._kinds = Table(kinds.reshape([-1, kinds.shape[-1]]), dtype)
        self._norm = GraphNorm(*weights.embedding_norm, precision)
        self._mapping = weights.mapping and make_product(*weights.mapping, precision)

    def __call__(self, input_ids, kinds):
        """Output `[rows, size]`; `kinds` are rows of the table of segments and positions."""
        hidden = self._words(input_ids)
        if self._lookup:
            hidden = self._lookup(hidden)
        hidden = self._norm(hidden + self._kinds(kinds))
        return self._mapping(hidden) if self._mapping else hidden

    def load(self, session):
        """To be called once per session, before all else."""
        self._words.load(session)
        self._kinds.load(session)


class _GraphBlock:
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
        self._attention_norm = GraphNorm(*weights.attention_norm, precision)
        self._intermediate = product(weights.intermediate)
        self._output = product(weights.output)
        self._output_norm = GraphNorm(*weights.output_norm, precision)

    def __call__(self, hidden, places):
        """Output for `[rows, size]`, the same shape.

        Args:
            hidden: tensor of the model's type.
            places: `Places` of tensors, or None for a single sequence.
        """
        projections, count = self._projections(self._attention_inputs(hidden)), 1
        if places:
            count = tf.shape(places.bias)[0]
            projections = tf.gather(projections, places.rows)
        parts = tf.reshape(projections, [count, -1, 3, self._heads, self._size // self._heads])
        query, key, value = tf.unstack(tf.transpose(parts, [2, 0, 3, 1, 4]), 3)
        scores = tf.matmul(query, key, transpose_b=True)
        if places:
            scores += places.bias
        context = tf.transpose(tf.matmul(tf.nn.softmax(scores), value), [0, 2, 1, 3])
        context = tf.reshape(context, [-1, self._size])
        if places:
            context = tf.gather(context, places.slots)
        return self._finish(context, hidden)

    def first_tokens(self, hidden, places, attention):
        """Output for the first token of every sequence, `[sequences, size]`.

        Args:
            hidden, places: as above.
            attention: `_FirstTokenAttention` of this block.
        """
        context = attention(self._attention_inputs(hidden), places)
        return self._finish(context, _first_rows(hidden, places))

    def _attention_inputs(self, hidden):
        return self._attention_norm(hidden) if self._pre_ln else hidden

    def _finish(self, context, hidden):
        """What follows attention, for these rows."""
        output = self._attention_output(context, residual=hidden)
        if not self._pre_ln:
            output = self._attention_norm(output)
        inputs = self._output_norm(output) if self._pre_ln else output
        inner = self._intermediate(inputs, activation=self._activation)
        result = self._output(inner, residual=output)
        return result if self._pre_ln else self._output_norm(result)


class _FirstTokenAttention:
    """Attention of first tokens, without projecting other tokens.

    See numpy_encoder.NumpyBlock.first_tokens.
    """

    def __init__(self, weights, config, precision):
        self._heads, self._size = config.num_attention_heads, config.hidden_size
        shape = self._size, self._heads, self._size // self._heads
        scale = np.float32(1.0 / math.sqrt(shape[-1]))
        self._query = make_product(*(part * scale for part in weights.query), precision)
        key, value = (kernel.reshape(shape) for kernel, _ in (weights.key, weights.value))
        dtype = DTYPES[precision]
        self._key = tf.constant(key.transpose(1, 2, 0), dtype)  # [heads, head size, size]
        self._value = tf.constant(value.transpose(1, 0, 2), dtype)  # [heads, size, head size]
        self._value_bias = tf.constant(weights.value[1], dtype)

    def __call__(self, inputs, places):
        """Takes `[rows, size]`; returns `[sequences, size]`."""
        query, count = self._query(_first_rows(inputs, places)), 1
        if places:
            count = tf.shape(places.bias)[0]
            inputs = tf.gather(inputs, places.rows)
        keys = tf.reshape(inputs, [count, -1, self._size])
        query = tf.reshape(query, [count, self._heads, self._size // self._heads])
        query = tf.matmul(tf.transpose(query, [1, 0, 2]), self._key)
        scores = tf.matmul(tf.transpose(query, [1, 0, 2]), keys, transpose_b=True)
        if places:
            scores += places.bias[:, 0]
        mean = tf.matmul(tf.nn.softmax(scores), keys)  # [count, heads, size]
        context = tf.matmul(tf.transpose(mean, [1, 0, 2]), self._value)
        context = tf.reshape(tf.transpose(context, [1, 0, 2]), [-1, self._size])
        return context + self._value_bias


def _first_rows(hidden, places):
    """Rows of the first tokens."""
    if not places:
        return hidden[:1]
    return tf.gather(hidden, tf.reshape(places.rows, [tf.shape(places.bias)[0], -1])[:, 0])
