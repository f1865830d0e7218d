"""The engine for predictions: equal to the plain graph and to the goldens, whatever the batch."""

import collections
import concurrent.futures
import threading

import numpy as np
import pytest
from test_modeling import MODELS, golden_config, load_npz

import blas
import classifier_model
import inference
import reduced_precision
from file_utils import InputError
from inference_batch import Batch
from inference_team import Team
from tf_compat import tf

NUM_LABELS = 3
FIXED_LENGTH = 30
MAX_LENGTH = 40


def golden_checkpoint(golden, name):
    return "%s/model/%s/model.ckpt" % (golden, name)


class PlainGraph:
    """A classifier's graph with padding and masks, and a checkpoint with all its variables."""

    def __init__(self, golden, name, folder):
        self.config = golden_config(golden, name)
        self.checkpoint = str(folder / "model.ckpt")
        self._values = {}
        with tf.Graph().as_default():
            tf.set_random_seed(1)
            self._build("cls", MAX_LENGTH)
            variables = tf.trainable_variables()
            with restored_session_of_encoder(golden, name) as session:
                head = [v for v in variables if v.op.name in classifier_model.HEAD_VARIABLES]
                session.run(tf.variables_initializer(head))
                for variable in head:  # different biases and scales, or swaps would go unseen
                    session.run(variable.assign_add(tf.random_normal(variable.shape, stddev=0.5)))
                tf.train.Saver(variables).save(session, self.checkpoint)

    def _build(self, pooling, length):
        self._inputs = [tf.placeholder(tf.int32, [None, length]) for _ in range(3)]
        ids, mask, segments = self._inputs
        return classifier_model.create_model(
            self.config, False, ids, mask, segments, None, NUM_LABELS, pooling=pooling
        )

    def predict(self, encoded, pooling="cls", length=MAX_LENGTH):
        """(logits, probabilities)."""
        arrays = np.zeros([3, len(encoded), length], np.int32)
        for row, (ids, segments) in enumerate(encoded):
            arrays[0, row, : len(ids)] = ids
            arrays[1, row, : len(ids)] = 1
            arrays[2, row, : len(ids)] = segments
        with tf.Graph().as_default():
            outputs = self._build(pooling, length)[2:]
            with tf.Session() as session:
                tf.train.Saver().restore(session, self.checkpoint)
                return session.run(outputs, dict(zip(self._inputs, arrays)))


def restored_session_of_encoder(golden, name):
    session = tf.Session()
    encoder = [v for v in tf.trainable_variables() if v.op.name.startswith("bert/")]
    tf.train.Saver(encoder).restore(session, golden_checkpoint(golden, name))
    return session


@pytest.fixture(scope="module", params=["bm_postln", "bm_preln", "google_g3_inner2", "google_fast"])
def plain(request, golden, tmp_path_factory):
    return PlainGraph(golden, request.param, tmp_path_factory.mktemp(request.param))


def random_sequences(config, lengths, seed=0):
    random = np.random.RandomState(seed)
    return [
        (
            random.randint(config.vocab_size, size=length).tolist(),
            np.sort(random.randint(2, size=length)).tolist(),
        )
        for length in lengths
    ]


LENGTHS = [5, 17, 5, 1, 23, 40, 12, 13, 17, 2, 24, 25, 36]


@pytest.mark.parametrize("pooling", ["cls", "masked_mean"])
def test_classifier_equals_the_plain_graph(plain, pooling):
    encoded = random_sequences(plain.config, LENGTHS)
    logits, probabilities = plain.predict(encoded, pooling)
    for regression, expected in ((False, probabilities), (True, logits)):
        head = inference.ClassifierHead(pooling, regression=regression)
        engine = inference.create_engine(plain.checkpoint, plain.config, head, threads=2)
        assert engine.output_size == NUM_LABELS
        np.testing.assert_allclose(engine.run_many(encoded), expected, rtol=0, atol=1e-5)
        singles = [engine.run_one(*sequence) for sequence in encoded]
        np.testing.assert_allclose(singles, expected, rtol=0, atol=1e-5)
        engine.close()


def test_mean_over_padding_equals_the_plain_graph(plain):
    encoded = random_sequences(plain.config, [5, 30, 11, 5])
    expected = plain.predict(encoded, "mean", FIXED_LENGTH)[1]
    head = inference.ClassifierHead("mean", FIXED_LENGTH)
    engine = inference.create_engine(plain.checkpoint, plain.config, head, threads=2)
    np.testing.assert_allclose(engine.run_many(encoded), expected, rtol=0, atol=1e-5)
    singles = [engine.run_one(*sequence) for sequence in encoded]
    np.testing.assert_allclose(singles, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_vectors_equal_the_golden_hidden_states(golden, name):
    config = golden_config(golden, name)
    inputs, expected = load_npz(golden, name, "inputs.npz"), load_npz(golden, name, "outputs.npz")
    lengths = inputs["input_mask"].sum(axis=1)
    rows = [row for row, length in enumerate(lengths) if inputs["input_mask"][row, :length].all()]
    assert len(rows) >= 2
    encoded = [
        (inputs["input_ids"][row, : lengths[row]], inputs["segment_ids"][row, : lengths[row]])
        for row in rows
    ]
    layers = expected["encoder_layers"]
    poolings = {
        "cls": lambda hidden: hidden[0],
        "mean": lambda hidden: hidden.mean(axis=0),
        "max": lambda hidden: hidden.max(axis=0),
    }
    for pooling, function in poolings.items():
        head = inference.VectorHead((-1, 0), pooling)
        engine = inference.create_engine(golden_checkpoint(golden, name), config, head, threads=2)
        wanted = [
            np.concatenate([function(layers[index, row, : lengths[row]]) for index in (-1, 0)])
            for row in rows
        ]
        np.testing.assert_allclose(engine.run_many(encoded), wanted, rtol=0, atol=1e-5)
        np.testing.assert_allclose(engine.run_one(*encoded[0]), wanted[0], rtol=0, atol=1e-5)
        engine.close()


def test_pooled_output_of_the_goldens(golden, tmp_path):
    """The classifier's features are the reference's pooled output."""
    plain = PlainGraph(golden, "bm_postln", tmp_path)
    inputs = load_npz(golden, "bm_postln", "inputs.npz")
    pooled = load_npz(golden, "bm_postln", "outputs.npz")["pooled_output"]
    reader = tf.train.load_checkpoint(plain.checkpoint)
    expected = pooled @ reader.get_tensor("output_weights").T + reader.get_tensor("output_bias")
    head = inference.ClassifierHead(regression=True)
    engine = inference.create_engine(plain.checkpoint, plain.config, head)
    lengths = inputs["input_mask"].sum(axis=1)
    encoded = [
        (ids[:length], segments[:length])
        for ids, segments, length in zip(inputs["input_ids"], inputs["segment_ids"], lengths)
    ]
    np.testing.assert_allclose(engine.run_many(encoded), expected, rtol=0, atol=1e-5)


def test_unfolded_words_give_the_same(plain, monkeypatch):
    encoded = random_sequences(plain.config, LENGTHS)
    head = inference.ClassifierHead()
    folded = inference.create_engine(plain.checkpoint, plain.config, head).run_many(encoded)
    monkeypatch.setattr("inference_numpy.MAX_TABLE_BYTES", 0)
    unfolded = inference.create_engine(plain.checkpoint, plain.config, head).run_many(encoded)
    np.testing.assert_allclose(unfolded, folded, rtol=0, atol=1e-6)


def test_many_batches_in_input_order_and_from_many_threads(plain, monkeypatch):
    monkeypatch.setattr(inference, "_BATCH_TOKENS", 50)
    random = np.random.RandomState(3)
    encoded = random_sequences(plain.config, random.randint(1, MAX_LENGTH, size=60))
    monkeypatch.setattr(blas, "blocks_are_faster", lambda: True)
    engine = inference.create_engine(
        plain.checkpoint, plain.config, inference.ClassifierHead(), threads=3
    )
    expected = np.array([engine.run_one(*sequence) for sequence in encoded])
    assert len(np.unique(expected[:, 0])) > 50  # a wrong order would be seen
    np.testing.assert_allclose(engine.run_many(encoded), expected, rtol=0, atol=1e-5)
    assert engine.run_many([]).shape == (0, NUM_LABELS)
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        singles = list(pool.map(lambda sequence: engine.run_one(*sequence), encoded * 3))
        many = list(pool.map(engine.run_many, [encoded] * 4))
    np.testing.assert_allclose(singles, np.tile(expected, [3, 1]), rtol=0, atol=1e-5)
    np.testing.assert_allclose(many, [expected] * 4, rtol=0, atol=1e-5)
    threads = threading.active_count()
    engine.close()
    assert threading.active_count() < threads


def test_products_left_whole_give_the_same(plain, monkeypatch):
    encoded = random_sequences(plain.config, LENGTHS)
    results = []
    for blocked in (True, False):
        monkeypatch.setattr(blas, "blocks_are_faster", lambda: blocked)  # noqa: B023
        head = inference.ClassifierHead()
        engine = inference.create_engine(plain.checkpoint, plain.config, head, threads=2)
        results.append(engine.run_many(encoded))
    np.testing.assert_allclose(results[0], results[1], rtol=0, atol=1e-5)


def test_unknown_settings(plain):
    with pytest.raises(InputError, match="'float8'; expected one of float32, bfloat16, int8"):
        inference.create_engine(
            plain.checkpoint, plain.config, inference.ClassifierHead(), precision="float8"
        )
    with pytest.raises(InputError, match="layer_indexes: -9; expected numbers from -"):
        inference.create_engine(plain.checkpoint, plain.config, inference.VectorHead((-1, -9)))


def test_batch_groups_equal_lengths():
    batch = Batch([([7], [0]), ([8, 9], [0, 1]), ([5, 6], [1, 1]), ([1, 2, 3], [0, 0, 1])])
    assert [(g.start, g.count, g.length) for g in batch.groups] == [(0, 1, 1), (1, 2, 2), (5, 1, 3)]
    assert batch.starts.tolist() == [0, 1, 3, 5]
    assert batch.input_ids.tolist() == [7, 8, 9, 5, 6, 1, 2, 3]
    assert batch.segment_ids.tolist() == [0, 0, 1, 1, 1, 0, 0, 1]
    assert batch.positions.tolist() == [0, 0, 1, 0, 1, 0, 1, 2]


@pytest.mark.parametrize("blocked", [False, True])
@pytest.mark.parametrize("shape", [(64, 192), (320, 1280), (1280, 320), (128, 48), (50, 7)])
def test_products(shape, blocked, monkeypatch):
    monkeypatch.setattr(blas, "blocks_are_faster", lambda: blocked)
    random = np.random.RandomState(0)
    matrix = random.normal(size=shape).astype(np.float32)
    product = blas.Product(matrix)
    for num_rows in (0, 1, 11, 12, 13, 23, 24, 25, 36, 50):
        rows = random.normal(size=[num_rows, shape[0]]).astype(np.float32)
        expected = rows.astype(np.float64) @ matrix
        np.testing.assert_allclose(product(rows), expected, rtol=0, atol=2e-4)
        out = np.full([num_rows + 2, shape[1]], 9, np.float32)
        product(rows, out[1:-1])
        np.testing.assert_allclose(out[1:-1], expected, rtol=0, atol=2e-4)
        assert (out[[0, -1]] == 9).all()


Reduced = collections.namedtuple("Reduced", "precision tolerance")


@pytest.mark.parametrize("reduced", [Reduced("bfloat16", 0.01), Reduced("int8", 0.02)])
def test_reduced_products(reduced):
    if reduced.precision == "int8" and tf.__version__.startswith("1."):
        with pytest.raises(InputError, match="--precision=int8: TensorFlow 1.15.5 has no such"):
            reduced_precision.Products("int8")
        return
    products = reduced_precision.Products(reduced.precision)
    random = np.random.RandomState(0)
    # Columns and rows of very different sizes, and rows far from zero.
    matrix = random.normal(size=[64, 128]) * 10.0 ** random.randint(-3, 2, size=128)
    rows = random.normal(size=[200, 64]) * 10.0 ** random.randint(-2, 3, size=[200, 1]) + 1.5
    matrix, rows = matrix.astype(np.float32), rows.astype(np.float32)
    product = products(matrix)
    exact = rows @ matrix
    size = np.linalg.norm(rows, axis=1)[:, None] * np.linalg.norm(matrix, axis=0)
    error = np.abs(product(rows) - exact) / size
    assert 1e-6 < error.max() < reduced.tolerance
    out = np.empty_like(exact)
    np.testing.assert_array_equal(product(rows, out), product(rows))
    few = rows[: reduced_precision.MIN_ROWS - 1]
    np.testing.assert_allclose(product(few), few @ matrix, rtol=1e-4, atol=1e-3)
    products.close()


@pytest.mark.parametrize("precision", ["bfloat16", "int8"])
def test_reduced_precision_keeps_the_decisions(plain, precision):
    if precision == "int8" and tf.__version__.startswith("1."):
        return  # refused, see test_reduced_products
    encoded = random_sequences(plain.config, [MAX_LENGTH] * 200)
    head = inference.ClassifierHead()
    exact = inference.create_engine(plain.checkpoint, plain.config, head).run_many(encoded)
    engine = inference.create_engine(plain.checkpoint, plain.config, head, precision=precision)
    results = engine.run_many(encoded)
    engine.close()
    assert np.abs(results - exact).max() > 1e-7  # it was used
    margin = np.sort(exact, axis=1)
    clear = margin[:, -1] - margin[:, -2] > 0.05
    assert clear.mean() > 0.5
    np.testing.assert_array_equal(results[clear].argmax(1), exact[clear].argmax(1))


def test_error_in_one_thread_of_a_team():
    team = Team(3)

    def fail(rows, sync):
        sync()
        if rows.start:
            raise ValueError("rows from %d" % rows.start)
        sync()

    with pytest.raises(ValueError, match="rows from"):
        team.run(fail, 9)
    covered = []
    team.run(lambda rows, sync: covered.extend(range(9)[rows]), 9)  # still usable
    assert sorted(covered) == list(range(9))
    team.close()
