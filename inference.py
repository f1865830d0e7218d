"""Fast predictions: token ids in, class probabilities or sentence vectors out.

engine = create_engine(checkpoint, config, ClassifierHead())
engine.run_one(input_ids, segment_ids)  # float32 [num_labels]
engine.run_many([(input_ids, segment_ids), ...])  # float32 [n, num_labels]
"""

import collections
import concurrent.futures

import numpy as np

import blas
import cli
import reduced_precision
from file_utils import InputError
from inference_batch import Batch
from inference_layers import Affine, Norm
from inference_numpy import Encoder
from inference_weights import read_weights

PRECISIONS = ("float32", "bfloat16", "int8")
# Tokens that one thread computes at a time; their activations stay in its cache.
_BATCH_TOKENS = 512

# pooling: see classifier_model.pool; fixed_length: length to which sequences are padded, for models
# trained with pooling "mean"; regression: the output is the number itself.
ClassifierHead = collections.namedtuple("ClassifierHead", "pooling fixed_length regression")
ClassifierHead.__new__.__defaults__ = ("cls", None, False)

# layer_indexes: which layers' outputs, side by side; pooling: "cls", "mean" or "max" over tokens.
VectorHead = collections.namedtuple("VectorHead", "layer_indexes pooling")
VectorHead.__new__.__defaults__ = ((-2,), "mean")


class _ClassifierModel:
    def __init__(self, encoder, weights, head):
        self._encoder, self._head = encoder, head
        self._pooler = Affine(*weights.pooler)
        self._norm = weights.head_norm and Norm(*weights.head_norm)
        self._output = Affine(*weights.head)
        self.fixed_length = head.fixed_length
        self.output_size = len(weights.head[1])

    def __call__(self, batch):
        blocks = self._encoder.blocks
        if self._head.pooling == "cls":
            hidden, _ = self._encoder.run(batch, len(blocks) - 1)
            features = self._pooler(blocks[-1].first_tokens(hidden, batch))
            np.tanh(features, out=features)
        else:
            hidden, _ = self._encoder.run(batch, len(blocks))
            features = batch.pool(hidden, np.mean)
        if self._norm:
            self._norm(features)
        logits = self._output(features)[:, : self.output_size]
        if self._head.regression:
            return logits
        logits = np.exp(logits - logits.max(axis=1, keepdims=True))
        return logits / logits.sum(axis=1, keepdims=True)


class _VectorModel:
    fixed_length = None
    _POOLINGS = {"mean": np.mean, "max": np.max}

    def __init__(self, encoder, config, head):
        self._encoder, self._pooling = encoder, head.pooling
        self._size = config.hidden_size
        num_layers = len(encoder.blocks)
        for index in head.layer_indexes:
            if not -num_layers <= index < num_layers:
                raise InputError(
                    "layer_indexes: %d; expected numbers from %d to %d, for the model has %d "
                    "layers." % (index, -num_layers, num_layers - 1, num_layers)
                )
        self._layers = [index % num_layers for index in head.layer_indexes]
        self.output_size = config.hidden_size * len(self._layers)

    def __call__(self, batch):
        _, kept = self._encoder.run(batch, max(self._layers) + 1, set(self._layers))
        outputs = [kept[layer][:, : self._size] for layer in self._layers]
        if self._pooling == "cls":
            pooled = [output[batch.starts] for output in outputs]
        else:
            pooled = [batch.pool(output, self._POOLINGS[self._pooling]) for output in outputs]
        return np.concatenate(pooled, axis=1)


class Engine:
    """Runs a model; all methods may be called from several threads at once."""

    def __init__(self, model, threads=None, products=None):
        """Takes a model, the number of threads, and what to close with the engine."""
        self._model, self._products = model, products
        self.output_size = model.output_size
        # Products that are not cut into blocks use the threads of the BLAS library.
        threads = threads or cli.available_cores() if blas.blocks_are_faster() else 1
        self._pool = concurrent.futures.ThreadPoolExecutor(threads)

    def run_one(self, input_ids, segment_ids):
        """Output for one sequence, computed by the caller's thread.

        Two threads that share a sequence's tokens, or the columns of its products, lose more time
        in waking each other than they save (measured with albert_tiny).

        Args:
            input_ids, segment_ids: lists of ints.

        Returns:
            float32 `[output_size]`.
        """
        return self._model(Batch([(input_ids, segment_ids)], self._model.fixed_length))[0]

    def run_many(self, encoded):
        """Outputs for many sequences, in their order.

        Args:
            encoded: list of (input_ids, segment_ids), of any lengths.

        Returns:
            float32 `[n, output_size]`.
        """
        results = np.empty([len(encoded), self.output_size], np.float32)
        order = sorted(range(len(encoded)), key=lambda index: len(encoded[index][0]))

        def run(members):
            batch = Batch([encoded[index] for index in members], self._model.fixed_length)
            results[members] = self._model(batch)

        # The long ones first, so that no thread waits for another one's last batch.
        list(self._pool.map(run, list(self._batches(encoded, order))[::-1]))
        return results

    def _batches(self, encoded, order):
        members, tokens = [], 0
        for index in order:
            length = self._model.fixed_length or len(encoded[index][0])
            if members and tokens + length > _BATCH_TOKENS:
                yield members
                members, tokens = [], 0
            members.append(index)
            tokens += length
        if members:
            yield members

    def close(self):
        """Ends the threads."""
        self._pool.shutdown()
        if self._products:
            self._products.close()


def create_engine(checkpoint, config, head, precision="float32", threads=None):
    """Engine for a checkpoint.

    Args:
        checkpoint: prefix of a checkpoint; its shapes were compared with `config` before.
        config: `BertConfig` or `AlbertConfig`.
        head: `ClassifierHead` or `VectorHead`.
        precision: one of `PRECISIONS`.
        threads: number of threads; None: as many as there are cores for the process.  Where
            blas.py leaves products whole, the BLAS library has its own threads and its own
            setting (OPENBLAS_NUM_THREADS).

    Raises:
        InputError: unknown precision, or one that this machine does not have.
    """
    if precision not in PRECISIONS:
        raise InputError(
            "precision is '%s'; expected one of %s." % (precision, ", ".join(PRECISIONS))
        )
    weights = read_weights(checkpoint, config)
    products = None if precision == "float32" else reduced_precision.Products(precision)
    encoder = Encoder(weights, config, products or blas.Product)
    if isinstance(head, VectorHead):
        model = _VectorModel(encoder, config, head)
    else:
        model = _ClassifierModel(encoder, weights, head)
    return Engine(model, threads, products)
