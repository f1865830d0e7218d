"""The encoder in NumPy: what predictions in float32 run on.

Why not a TensorFlow session: for a single pair, most of a session's time goes into handing small
operations to threads and into packing the weights of every product anew.  Here all tokens of a
batch lie behind each other without padding, so no mask is needed, and products run in blocks that
are not packed (blas.py).  benchmarks/README.md has the numbers.

Hidden states are float32 `[tokens, width]`, see numpy_layers.py.
"""

import math

import numpy as np

from albert.inference.batch import split
from albert.inference.numpy_layers import (
    ACTIVATIONS,
    Affine,
    GroupedAffine,
    NumpyNorm,
    aligned,
    pad,
    softmax,
)
from albert.inference.weights import for_each_block
from albert.model_files.classifier_head import FIRST_TOKEN
from albert.model_files.configuration import BRIGHTMART


class NumpyBlock:
    """Attention and feed-forward, each with a residual connection (modeling.transformer_block)."""

    def __init__(self, weights, config):
        self._heads, self._hidden = config.num_attention_heads, config.hidden_size
        self._size = config.hidden_size // self._heads
        self._pre_ln = config.family == BRIGHTMART and config.ln_type == "preln"
        width = aligned(config.hidden_size)
        scale = np.float32(1.0 / math.sqrt(self._size))
        query = tuple(part * scale for part in weights.query)
        parts = (query, weights.key, weights.value)
        kernels, biases = (np.concatenate(part, axis=-1) for part in zip(*parts))
        self._projections = Affine(kernels, biases)
        self._query = Affine(*query)
        key, value = (
            pad(kernel, width, self._hidden).reshape(width, self._heads, self._size)
            for kernel, _ in (weights.key, weights.value)
        )
        self._key = np.ascontiguousarray(key.transpose(1, 2, 0))  # [heads, size, width]
        self._value = np.ascontiguousarray(value.transpose(1, 0, 2))  # [heads, width, size]
        self._value_bias = weights.value[1]
        self._attention_output = Affine(*weights.attention_output)
        self._attention_norm = NumpyNorm(*weights.attention_norm)
        self._activation, factor = ACTIVATIONS[config.hidden_act.lower()]
        kernel, bias = weights.output
        output = (kernel * np.float32(factor), bias)
        if kernel.ndim == 2:
            self._intermediate = Affine(*weights.intermediate)
            self._output = Affine(*output)
        else:
            self._intermediate = GroupedAffine(*weights.intermediate)
            self._output = GroupedAffine(*output)
        self._output_norm = NumpyNorm(*weights.output_norm)

    def __call__(self, hidden, batch):
        """The block's output at all tokens, `[tokens, width]`."""
        inputs = self._attention_norm(hidden.copy()) if self._pre_ln else hidden
        projections = self._projections(inputs)
        context = np.zeros_like(hidden)
        for group in batch.groups:
            # [3, count, heads, length, size]
            parts = split(projections, group)[..., : 3 * self._hidden]
            parts = parts.reshape(group.count, group.length, 3, self._heads, self._size)
            query, key, value = parts.transpose(2, 0, 3, 1, 4)
            # Keys before queries: reductions over the last axis but one are the faster ones.
            scores = np.matmul(key, query.swapaxes(-1, -2))
            if group.bias is not None:
                scores += group.bias
            out = split(context, group)[..., : self._hidden]
            out = out.reshape(group.count, group.length, self._heads, self._size)
            np.matmul(softmax(scores).swapaxes(-1, -2), value, out=out.transpose(0, 2, 1, 3))
        return self._finish(context, hidden)

    def _finish(self, context, hidden):
        """What follows attention, for these rows; returns a new array."""
        output = self._attention_output(context)
        output += hidden
        if not self._pre_ln:
            self._attention_norm(output)
        inputs = self._output_norm(output.copy()) if self._pre_ln else output
        result = self._output(self._activation(self._intermediate(inputs)))
        result += output
        return result if self._pre_ln else self._output_norm(result)

    def first_tokens(self, hidden, batch):
        """The block's output at the first token of every sequence, `[sequences, width]`.

        Neither keys nor values are projected at all tokens: `q (x W) = (q W^T) x`, and
        `sum p (x W) = (sum p x) W`.  The keys' bias shifts all scores of a query alike.
        """
        inputs = self._attention_norm(hidden.copy()) if self._pre_ln else hidden
        count, width = len(batch.starts), hidden.shape[1]
        query = self._query(inputs[batch.starts])[:, : self._hidden]
        query = query.reshape(count, self._heads, self._size).transpose(1, 0, 2)
        query = np.matmul(query, self._key).transpose(1, 0, 2)  # [count, heads, width]
        mean = np.empty([count, self._heads, width], np.float32)
        first = 0
        for group in batch.groups:
            members = slice(first, first + group.count)
            first += group.count
            keys = split(inputs, group)
            scores = np.matmul(keys, query[members].swapaxes(-1, -2))
            if group.bias is not None:
                scores += group.bias[:, 0]
            np.matmul(softmax(scores).swapaxes(-1, -2), keys, out=mean[members])
        context = np.zeros([count, width], np.float32)
        out = context[:, : self._hidden].reshape(count, self._heads, self._size)
        np.matmul(mean.transpose(1, 0, 2), self._value, out=out.transpose(1, 0, 2))
        out += self._value_bias.reshape(self._heads, self._size)
        return self._finish(context, hidden[batch.starts])


class NumpyEmbeddings:
    """Input of the first block."""

    def __init__(self, weights):
        """Takes `weights.Weights`."""
        words, width = weights.words, aligned(weights.positions.shape[1])
        self._words = pad(words, len(words), aligned(words.shape[1]))
        self._lookup = None if weights.lookup is None else Affine(weights.lookup)
        self._types = pad(weights.types, len(weights.types), width)
        self._positions = pad(weights.positions, len(weights.positions), width)
        self._norm = NumpyNorm(*weights.embedding_norm)
        self._mapping = weights.mapping and Affine(*weights.mapping)

    def __call__(self, batch):
        """float32 `[tokens, width]`."""
        hidden = self._words[batch.input_ids]
        if self._lookup:
            hidden = self._lookup(hidden)
        hidden += self._types[batch.segment_ids]
        hidden += self._positions[batch.positions]
        hidden = self._norm(hidden)
        return self._mapping(hidden) if self._mapping else hidden


class NumpyClassifier:
    """The head: what comes after the blocks.

    Its methods give probabilities, or of a regression the numbers, float32 `[sequences, labels]`.
    """

    def __init__(self, weights, head):
        """Takes `weights.Weights` and a `ClassifierHead`."""
        self._head = head
        self._pooler = Affine(*weights.pooler) if head.pooling == FIRST_TOKEN else None
        self._norm = weights.head_norm and NumpyNorm(*weights.head_norm)
        self._output = Affine(*weights.head)

    def first_tokens(self, hidden):
        """Result for the last block's output at first tokens, `[sequences, width]`."""
        features = self._pooler(hidden)
        return self._classify(np.tanh(features, out=features))

    def means(self, hidden, batch):
        """Result for the last block's output at all rows of a batch, `[rows, width]`."""
        return self._classify(batch.mean_of_rows(hidden))

    def _classify(self, features):
        """Takes `[sequences, width]`, and overwrites it."""
        if self._norm:
            self._norm(features)
        logits = self._output(features)[:, : self._head.num_labels]
        if self._head.regression:
            return logits
        logits = np.exp(logits - logits.max(axis=1, keepdims=True))
        return logits / logits.sum(axis=1, keepdims=True)


class NumpyEncoder:
    """Embeddings and blocks of one model."""

    def __init__(self, weights, config, head=None):
        """Takes `weights.Weights`, the model's config, and a `ClassifierHead` or None."""
        self._embeddings = NumpyEmbeddings(weights)
        self._blocks = for_each_block(lambda block: NumpyBlock(block, config), weights.blocks)
        self._head = head
        self._classifier = head and NumpyClassifier(weights, head)

    def classify(self, batch):
        """Probabilities, or of a regression the numbers, float32 `[sequences, labels]`."""
        if self._head.pooling != FIRST_TOKEN:
            last = len(self._blocks) - 1
            return self._classifier.means(self.outputs(batch, [last])[last], batch)
        hidden = self._embeddings(batch)
        for block in self._blocks[:-1]:
            hidden = block(hidden, batch)
        return self._classifier.first_tokens(self._blocks[-1].first_tokens(hidden, batch))

    def outputs(self, batch, layers):
        """Outputs of these blocks.

        Returns:
            `{number: float32 [tokens, width]}`.
        """
        hidden, found = self._embeddings(batch), {}
        for number, block in enumerate(self._blocks[: max(layers) + 1]):
            hidden = block(hidden, batch)
            if number in layers:
                found[number] = hidden
        return found

    def close(self):
        """Nothing to end; for the interface of graph_encoder.GraphEncoder."""
