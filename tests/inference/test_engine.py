"""The engine for predictions: equal to the plain graph and to the goldens, whatever the batch."""

import collections
import concurrent.futures
import os
import threading

import numpy as np
import pytest

from albert.basics.errors import InputError
from albert.basics.tf_compat import tf
from albert.inference import blas, graph_layers
from albert.inference import engine as inference
from albert.inference.batch import PackedBatch
from albert.model_files.classifier_head import ClassifierHead
from helpers import plain_graph
from helpers.models import CONFIGS, MODELS, classifier, golden_config, load_npz, write_model

ONE = tf.__version__.startswith("1.")  # it has neither fused operations nor int8 products
NUM_LABELS = 2
FIXED_LENGTH = 30
MAX_LENGTH = 40

Model = collections.namedtuple("Model", "checkpoint config")


@pytest.fixture(scope="module", params=["postln", "preln", "google_groups", "google_fast"])
def model(request):
    return Model(*classifier(request.param)[1:])


CLASSIFIER = ClassifierHead(NUM_LABELS)


def create_engine(model, head=CLASSIFIER, **settings):
    return inference.create_engine(model.checkpoint, model.config, head, **settings)


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


@pytest.mark.slow
@pytest.mark.parametrize("graph", [False, True])
@pytest.mark.parametrize("regression", [False, True])
@pytest.mark.parametrize("pooling", ["cls", "masked_mean"])
def test_classifier_equals_the_plain_graph(model, pooling, regression, graph, monkeypatch):
    assert graph_layers.supported("float32") == (not ONE)
    if not graph:
        monkeypatch.setattr(graph_layers, "supported", lambda precision: False)
    monkeypatch.setattr(inference, "_MIN_BATCH_TOKENS", 20)  # several batches, of mixed lengths
    encoded = random_sequences(model.config, LENGTHS)
    head = {"pooling": pooling, "regression": regression}
    expected = plain_graph.probabilities(*model, encoded, **head)
    engine = create_engine(model, ClassifierHead(NUM_LABELS, **head), threads=2)
    assert engine.output_size == NUM_LABELS
    tolerance = 1e-5 * max(1, np.abs(expected).max())
    np.testing.assert_allclose(engine.run_many(encoded), expected, rtol=0, atol=tolerance)
    singles = [engine.run_one(*sequence) for sequence in encoded]
    np.testing.assert_allclose(singles, expected, rtol=0, atol=tolerance)
    engine.close()


def test_mean_over_padding_equals_the_plain_graph(model):
    encoded = random_sequences(model.config, [5, 30, 11, 5])
    head = {"pooling": "mean", "fixed_length": FIXED_LENGTH}
    expected = plain_graph.probabilities(*model, encoded, **head)
    engine = create_engine(model, ClassifierHead(NUM_LABELS, **head), threads=2)
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
        model = Model(os.path.join(golden, "model", name, "model.ckpt"), config)
        engine = create_engine(model, inference.VectorHead((-1, 0), pooling), threads=2)
        wanted = [
            np.concatenate([function(layers[index, row, : lengths[row]]) for index in (-1, 0)])
            for row in rows
        ]
        np.testing.assert_allclose(engine.run_many(encoded), wanted, rtol=0, atol=1e-5)
        np.testing.assert_allclose(engine.run_one(*encoded[0]), wanted[0], rtol=0, atol=1e-5)
        engine.close()


@pytest.mark.slow
def test_a_single_block_and_many_lengths(tmp_path, monkeypatch):
    monkeypatch.setattr(inference, "_MIN_BATCH_TOKENS", 2)
    config = dict(CONFIGS["postln"], num_hidden_layers=1)
    model = Model(*write_model(tmp_path, config, NUM_LABELS))
    lengths = np.random.RandomState(5).randint(1, MAX_LENGTH, size=100)
    encoded = random_sequences(model.config, lengths)
    expected = plain_graph.probabilities(*model, encoded)
    engine = create_engine(model)
    np.testing.assert_allclose(engine.run_many(encoded), expected, rtol=0, atol=1e-5)
    np.testing.assert_allclose(engine.run_one(*encoded[0]), expected[0], rtol=0, atol=1e-5)
    vectors = create_engine(model, inference.VectorHead((-1,), "mean"))
    singles = [vectors.run_one(*sequence) for sequence in encoded]
    np.testing.assert_allclose(vectors.run_many(encoded), singles, rtol=0, atol=1e-5)


def test_unfolded_words_give_the_same(model, monkeypatch):
    encoded = random_sequences(model.config, LENGTHS)
    folded = create_engine(model).run_many(encoded)
    monkeypatch.setattr("albert.inference.weights.MAX_TABLE_BYTES", 0)
    np.testing.assert_allclose(create_engine(model).run_many(encoded), folded, rtol=0, atol=1e-5)


def test_many_batches_in_input_order_and_from_many_threads(model, monkeypatch):
    monkeypatch.setattr(inference, "_BATCH_TOKENS", 50)
    monkeypatch.setattr(blas, "blocks_are_faster", lambda: True)
    random = np.random.RandomState(3)
    encoded = random_sequences(model.config, random.randint(1, MAX_LENGTH, size=60))
    engine = create_engine(model, threads=3)
    expected = np.array([engine.run_one(*sequence) for sequence in encoded])
    assert len(np.unique(expected[:, 0])) > 40  # a wrong order would be seen
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


def test_products_left_whole_give_the_same(model, monkeypatch):
    encoded = random_sequences(model.config, LENGTHS)
    results = []
    for blocked in (True, False):
        monkeypatch.setattr(blas, "blocks_are_faster", lambda: blocked)  # noqa: B023
        results.append(create_engine(model, threads=2).run_many(encoded))
    np.testing.assert_allclose(results[0], results[1], rtol=0, atol=1e-5)


def test_unknown_settings(model):
    with pytest.raises(InputError, match="'float8'; expected one of float32, bfloat16, int8"):
        create_engine(model, precision="float8")
    with pytest.raises(InputError, match="layer_indexes: -9; expected numbers from -"):
        create_engine(model, inference.VectorHead((-1, -9)))


def test_batch_groups_equal_lengths():
    batch = PackedBatch([([7], [0]), ([8, 9], [0, 1]), ([5, 6], [1, 1]), ([1, 2, 3], [0, 0, 1])])
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


def test_int8_products():
    if ONE:
        return  # refused, see test_reduced_precision_keeps_the_decisions
    random = np.random.RandomState(0)
    # Columns and rows of very different sizes, and rows far from zero.
    matrix = random.normal(size=[64, 128]) * 10.0 ** random.randint(-3, 2, size=128)
    rows = random.normal(size=[200, 64]) * 10.0 ** random.randint(-2, 3, size=[200, 1]) + 1.5
    matrix, rows = matrix.astype(np.float32), rows.astype(np.float32)
    with tf.Graph().as_default(), tf.Session() as session:
        product = session.run(graph_layers.multiply(tf.constant(rows), matrix))
        alone = session.run(graph_layers.multiply(tf.constant(rows[:1]), matrix))
    exact = rows @ matrix
    size = np.linalg.norm(rows, axis=1)[:, None] * np.linalg.norm(matrix, axis=0)
    error = np.abs(product - exact) / size
    assert 1e-6 < error.max() < 0.02
    np.testing.assert_allclose(alone, product[:1], rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["bfloat16", "int8"])
def test_reduced_precision_keeps_the_decisions(model, precision):
    if ONE:
        with pytest.raises(
            InputError, match="--precision=%s: TensorFlow 1.15.5 has no" % precision
        ):
            create_engine(model, precision=precision)
        return
    encoded = random_sequences(model.config, [MAX_LENGTH] * 200)
    exact = create_engine(model).run_many(encoded)
    engine = create_engine(model, precision=precision)
    results = engine.run_many(encoded)
    singles = np.array([engine.run_one(*sequence) for sequence in encoded[:20]])
    engine.close()
    np.testing.assert_allclose(singles, exact[:20], rtol=0, atol=0.03)
    assert np.abs(results - exact).max() > 1e-7  # it was used
    equal = results.argmax(1) == exact.argmax(1)
    clear = np.abs(exact[:, 1] - exact[:, 0]) > 0.2
    assert equal[clear].all()
    assert equal.mean() > 0.95
