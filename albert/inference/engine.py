"""Fast predictions: token ids in, class probabilities or sentence vectors out.

engine = create_engine(checkpoint, config, ClassifierHead(num_labels=2))
engine.run_one(input_ids, segment_ids)  # float32 [num_labels]
engine.run_many([(input_ids, segment_ids), ...])  # float32 [n, num_labels]
"""

import concurrent.futures
import os
from typing import NamedTuple, Tuple

import numpy as np
from absl import logging

from albert.basics import forks, tf_compat
from albert.basics.errors import InputError
from albert.basics.machine import available_cores
from albert.inference import blas, graph_layers
from albert.inference.batch import PackedBatch
from albert.inference.graph_encoder import GraphEncoder
from albert.inference.numpy_encoder import NumpyEncoder
from albert.inference.weights import read_weights

PRECISIONS = ("float32", "bfloat16", "int8")
# Tokens that one thread computes at a time; their activations stay in its cache.
_BATCH_TOKENS = 512
# Fewer tokens than this are not a batch: on them NumPy is faster than a graph.
_MIN_BATCH_TOKENS = 160

# How the vectors of a text's tokens become one, by the values that users give.  Here texts have no
# padding, so that "mean" is the mean over the tokens, unlike that of a `ClassifierHead`.
VECTOR_POOLINGS = {
    "cls": PackedBatch.first_rows,
    "mean": PackedBatch.mean_of_rows,
    "max": PackedBatch.max_of_rows,
}


class VectorHead(NamedTuple):
    """What a sentence vector is made of.

    Attributes:
        layer_indexes: the layers whose outputs stand side by side, counted as Python counts.
        pooling: one of `VECTOR_POOLINGS`.
    """

    layer_indexes: Tuple[int, ...] = (-2,)
    pooling: str = "mean"
    fixed_length = None  # no text is padded, as with some classifiers


class _ClassifierModel:
    """Gives what an encoder's classifier gives."""

    layers = ()

    def __init__(self, head):
        self.head, self.output_size = head, head.num_labels

    def __call__(self, encoder, batch):
        return encoder.classify(batch)


class _VectorModel:
    """Gives sentence vectors."""

    head = None

    def __init__(self, weights, config, head):
        self._pool, self._size = VECTOR_POOLINGS[head.pooling], config.hidden_size
        num_layers = len(weights.blocks)
        for index in head.layer_indexes:
            if not -num_layers <= index < num_layers:
                raise InputError(
                    "layer_indexes: %d; expected numbers from %d to %d, for the model has %d "
                    "layers." % (index, -num_layers, num_layers - 1, num_layers)
                )
        self._indexes = [index % num_layers for index in head.layer_indexes]
        self.layers = tuple(sorted(set(self._indexes)))
        self.output_size = config.hidden_size * len(self._indexes)

    def __call__(self, encoder, batch):
        found = encoder.outputs(batch, self.layers)
        outputs = [found[layer][:, : self._size] for layer in self._indexes]
        return np.concatenate([self._pool(batch, output) for output in outputs], axis=1)


class Engine:
    """Runs a model; all methods may be called from several threads at once."""

    def __init__(self, model, fixed_length, encoder, batch_encoder, threads=None):
        """Starts the threads.

        Args:
            model: what to compute, `_ClassifierModel` or `_VectorModel`.
            fixed_length: length to which sequences are padded, or None.
            encoder, batch_encoder: see `_create_encoders`.
            threads: see `create_engine`.
        """
        self._model, self._fixed_length = model, fixed_length
        self._encoder, self._batch_encoder = encoder, batch_encoder
        self.output_size = model.output_size
        # NumPy's products that are not cut into blocks use the threads of the BLAS library.
        own_threads = isinstance(batch_encoder, GraphEncoder) or blas.blocks_are_faster()
        threads = threads or available_cores() if own_threads else 1
        self._pool = concurrent.futures.ThreadPoolExecutor(threads)
        self._process, self._is_of_parent = os.getpid(), False
        forks.watch(self, Engine._abandon)

    def _abandon(self):
        """In a forked process: neither the threads nor the session came along."""
        self._is_of_parent = True

    def run_one(self, input_ids, segment_ids):
        """Output for one sequence, computed by the caller's thread.

        Two threads that share a sequence's tokens, or the columns of its products, lose more time
        in waking each other than they save (measured with albert_tiny).

        Args:
            input_ids, segment_ids: lists of ints.

        Returns:
            float32 `[output_size]`.
        """
        return self._run([(input_ids, segment_ids)])[0]

    def run_many(self, encoded):
        """Outputs for many sequences, in their order.

        Args:
            encoded: list of (input_ids, segment_ids), of any lengths.

        Returns:
            float32 `[n, output_size]`.
        """
        self._check_process()
        results = np.empty([len(encoded), self.output_size], np.float32)
        order = sorted(range(len(encoded)), key=lambda index: len(encoded[index][0]))

        def run(members):
            results[members] = self._run([encoded[index] for index in members])

        # The long ones first, so that no thread waits for another one's last batch.
        list(self._pool.map(run, list(self._batches(encoded, order))[::-1]))
        return results

    def _check_process(self):
        if self._is_of_parent:
            raise InputError(
                "this engine belongs to process %d, from which process %d was forked; make a new "
                "one in each process." % (self._process, os.getpid())
            )

    def _run(self, encoded):
        self._check_process()
        batch = PackedBatch(encoded, self._fixed_length)
        few = len(batch.input_ids) < _MIN_BATCH_TOKENS
        return self._model(self._encoder if few else self._batch_encoder, batch)

    def _batches(self, encoded, order):
        members, tokens = [], 0
        for index in order:
            length = self._fixed_length or len(encoded[index][0])
            if members and tokens + length > _BATCH_TOKENS:
                yield members
                members, tokens = [], 0
            members.append(index)
            tokens += length
        if members:
            yield members

    def close(self):
        """Ends the threads."""
        if self._is_of_parent:
            return
        self._pool.shutdown()
        self._batch_encoder.close()


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
    if isinstance(head, VectorHead):
        model = _VectorModel(weights, config, head)
    else:
        model = _ClassifierModel(head)
    encoders = _create_encoders(precision, weights, config, model.layers, model.head)
    return Engine(model, head.fixed_length, *encoders, threads)


def _create_encoders(precision, weights, config, layers, head):
    """What encodes few tokens, and what encodes many.

    Args:
        layers, head: of the model, see `GraphEncoder`.
    """
    graph_encoder = None
    if forks.lacks_threads() or (forks.is_forked() and not graph_layers.session_answers()):
        if precision != "float32":
            raise InputError(
                "precision %s: this process was forked from one that had used TensorFlow, whose "
                "threads it lacks; expected float32 here, or a model that is loaded for the first "
                "time in each process." % precision
            )
        logging.info("A forked process, without TensorFlow's threads: it computes with NumPy.")
    elif graph_layers.supported(precision):
        graph_encoder = GraphEncoder(weights, config, precision, layers, head)
    elif precision != "float32":
        raise InputError(
            "--precision=%s: TensorFlow %s has no operations for it on this processor; expected "
            "TensorFlow 2 with oneDNN (the default on x86 under Linux) and AVX-512."
            % (precision, tf_compat.versions()["tensorflow"])
        )
    if precision == "bfloat16":
        return graph_encoder, graph_encoder
    encoder = NumpyEncoder(weights, config, head)
    return encoder, graph_encoder or encoder
