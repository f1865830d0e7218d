"""Sentence vectors, their files, and search by cosine."""

import io
import itertools
import os
import subprocess
import sys
from unittest import mock

import numpy as np
import pytest

import args
import extract_features
import tokenization
from albert.basics.errors import InputError
from albert.inference import engine, text_model
from albert.inference import vectors as vector_search
from albert.inference.vectors import BertVector, read_vectors, search_lines, write_vectors
from albert.text.encoding import encode_pair
from extract_features import most_similar
from helpers import plain_graph
from helpers.models import CONFIGS, classifier, write_model
from helpers.paths import ROOT
from helpers.runs import run_main
from helpers.tasks import SENTENCES, read_text, write_lines

TEXTS = [*SENTENCES, "书", SENTENCES[0] * 3, "不认识 with words", SENTENCES[1]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A pre-trained model of three layers; read only."""
    path = tmp_path_factory.mktemp("encoder")
    write_model(path)
    return str(path)


@pytest.fixture(scope="module")
def model(folder):
    with BertVector(model_dir=folder) as vectors:
        yield vectors


def encode(folder, texts):
    tokenizer = tokenization.FullTokenizer(os.path.join(folder, "vocab.txt"))
    return [encode_pair(tokenizer, text, None, 64) for text in texts]


def assert_close(actual, expected):
    assert actual.dtype == np.float32
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-5)


# Vectors


@pytest.mark.slow
@pytest.mark.parametrize("name", CONFIGS)
def test_equals_the_plain_graph(name):
    folder, checkpoint, config = classifier(name)
    layers = (-1, 0)
    tokens = plain_graph.token_vectors(checkpoint, config, encode(folder, TEXTS), layers)
    # The layers of pre-LN models do not end in a normalization.
    scale = max(np.abs(sequence).max() for sequence in tokens) if name == "preln" else 1.0
    for pooling in engine.VECTOR_POOLINGS:
        with BertVector(folder, layers, pooling) as model:
            together = model.encode(TEXTS)
            alone = np.concatenate([model.encode([text]) for text in TEXTS])
        expected = plain_graph.pooled(tokens, pooling)
        assert expected.shape == (len(TEXTS), 2 * config.hidden_size)
        assert np.ptp(expected, axis=0).min() > 1e-2
        assert_close(together / scale, expected / scale)
        assert_close(alone / scale, expected / scale)


def test_defaults(folder, model, monkeypatch):
    assert (model.layer_indexes, model.pooling, model.precision) == ((-2,), "mean", "float32")
    with BertVector(folder, layer_indexes=1, pooling="mean") as same:
        np.testing.assert_array_equal(same.encode(TEXTS), model.encode(TEXTS))
    monkeypatch.setattr(args, "layer_indexes", [0, -1])
    monkeypatch.setattr(args, "pooling", "max")
    monkeypatch.setattr(args, "output_dir", folder)
    other = BertVector()
    assert (other.model_dir, other.layer_indexes, other.pooling) == (folder, (0, -1), "max")


def test_any_iterable(folder, model):
    expected = np.tile(model.encode(TEXTS), [9, 1])
    with BertVector(folder, batch_size=1) as small:
        assert_close(small.encode(iter(TEXTS * 9)), expected)
        rows = itertools.islice(small.iter_encode(itertools.cycle(TEXTS)), len(expected))
        assert_close(np.array(list(rows)), expected)
    assert model.encode([]).shape == (0, 16)


def test_similarity_of_two_texts(model):
    vector_a, vector_b = model.encode(TEXTS[:2]).astype(np.float64)
    expected = vector_a @ vector_b / np.linalg.norm(vector_a) / np.linalg.norm(vector_b)
    found = model.similarity(*TEXTS[:2])
    assert type(found) is float
    assert found == pytest.approx(expected, abs=1e-6)
    assert model.similarity(TEXTS[0], TEXTS[0]) == pytest.approx(1.0, abs=1e-6)
    assert expected < 0.999


# Files


def test_vectors_and_ids_of_a_file(folder, model, tmp_path, capsys):
    """Blank lines have no row; the ids are the numbers of the lines."""
    path = write_lines(tmp_path / "texts.txt", [TEXTS[0], "", *TEXTS[1:], " "])
    output = tmp_path / "new" / "vectors.npy"
    files = ["--input_file=" + path, "--output_file=%s" % output]
    run_main(extract_features, "--model_dir=" + folder, *files)
    vectors = np.load(str(output))
    assert_close(vectors, model.encode(TEXTS))
    ids = read_text(str(tmp_path / "new" / "vectors.ids.txt")).splitlines()
    assert ids == ["1", *map(str, range(3, len(TEXTS) + 2))]
    printed = capsys.readouterr().out
    assert "%d vectors of 16 numbers" % len(TEXTS) in printed
    assert sorted(os.listdir(str(output.parent))) == [
        "vectors.ids.txt",
        "vectors.npy",
        "vectors.npy.json",
    ]
    # In parts, with other settings
    run_main(
        extract_features, "--model_dir=" + folder, *files, "--batch_size=1", "--layer_indexes=0,-1"
    )
    with BertVector(folder, [0, -1]) as other:
        assert_close(np.load(str(output)), other.encode(TEXTS))


def test_more_than_a_chunk(folder, model, tmp_path):
    path = write_lines(tmp_path / "texts.txt", TEXTS * 10)
    output = str(tmp_path / "vectors.npy")
    files = ["--input_file=" + path, "--output_file=" + output]
    run_main(extract_features, "--model_dir=" + folder, "--batch_size=1", "--pooling=max", *files)
    with BertVector(folder, pooling="max") as other:
        expected = np.tile(other.encode(TEXTS), [10, 1])
    vectors = np.load(output, mmap_mode="r")
    assert vectors.flags.c_contiguous
    np.testing.assert_allclose(vectors, expected, rtol=0, atol=1e-5)
    assert np.abs(vectors - np.tile(model.encode(TEXTS), [10, 1])).max() > 0.1


def test_own_ids(folder, tmp_path):
    path = write_lines(tmp_path / "texts.tsv", ["q%d\t%s" % pair for pair in enumerate(TEXTS)])
    output = str(tmp_path / "v.npy")
    run_main(
        extract_features,
        "--model_dir=" + folder,
        "--input_file=" + path,
        "--output_file=" + output,
        "--with_ids",
    )
    ids, vectors = read_vectors(output)
    assert ids == ["q%d" % number for number in range(len(TEXTS))]
    assert vectors.shape == (len(TEXTS), 16)


class FailingModel:
    """Computes one chunk, then fails."""

    def iter_chunks(self, texts, cut):
        del cut
        texts = list(texts)
        yield texts[:1], np.zeros([1, 4], np.float32)
        raise KeyboardInterrupt


def test_old_files_stay_until_new_ones_are_complete(tmp_path):
    output = tmp_path / "v.npy"
    output.write_bytes(b"old")
    lines = [("1", "a"), ("2", "b")]
    with pytest.raises(KeyboardInterrupt):
        write_vectors(FailingModel(), lambda: iter(lines), "texts", str(output))
    assert output.read_bytes() == b"old"
    assert os.listdir(str(tmp_path)) == ["v.npy"]


def test_file_that_changes(model, tmp_path):
    """The array's header says how many rows there are, before they are computed."""
    readings = iter([[("1", "书")] * 3, [("1", "书")] * 2])
    with pytest.raises(InputError, match=r"texts: had 3 texts and then 2; it was changed"):
        write_vectors(model, lambda: iter(next(readings)), "texts", str(tmp_path / "v.npy"))
    assert os.listdir(str(tmp_path)) == []


# Search


def test_most_similar():
    random = np.random.RandomState(0)
    vectors = random.randn(50, 7).astype(np.float32)
    vectors[20] = 0
    vectors[30] = 3 * vectors[10]
    queries = np.stack([vectors[10], random.randn(7).astype(np.float32)])
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1)
    expected = queries @ vectors.T.astype(np.float64) / np.linalg.norm(queries, axis=1)[:, None]
    expected = np.divide(expected, lengths, out=np.zeros_like(expected), where=lengths > 0)
    for rows_at_a_time in (1, 3, 49, 1000):
        with mock.patch.object(vector_search, "_ROWS_AT_A_TIME", rows_at_a_time):
            indices, cosines = most_similar(queries, vectors, top_k=50)
            _, three = most_similar(queries, vectors, top_k=3)
            one_query = most_similar(queries[1], vectors, top_k=60)
        assert (indices.dtype, cosines.dtype) == (np.int64, np.float32)
        np.testing.assert_allclose(
            cosines, np.take_along_axis(expected, indices, 1), rtol=0, atol=1e-6
        )
        np.testing.assert_allclose(cosines, -np.sort(-expected, axis=1), rtol=0, atol=1e-6)
        np.testing.assert_array_equal(np.sort(indices, axis=1), [range(50)] * 2)
        np.testing.assert_allclose(three, cosines[:, :3], rtol=0, atol=1e-6)
        assert [array.shape for array in one_query] == [(50,), (50,)]
        np.testing.assert_allclose(one_query[1], cosines[1], rtol=0, atol=1e-6)
    assert set(indices[0, :2]) == {10, 30}


def test_equal_vectors_come_in_their_order():
    vectors = np.tile(np.float32([[1, 0], [0, 1]]), [4, 1])
    for rows_at_a_time in (1, 3, 8):
        with mock.patch.object(vector_search, "_ROWS_AT_A_TIME", rows_at_a_time):
            indices, cosines = most_similar(np.float32([2, 0]), vectors, top_k=6)
        assert indices.tolist() == [0, 2, 4, 6, 1, 3]
        assert cosines.tolist() == [1, 1, 1, 1, 0, 0]


def test_nothing_to_search_in():
    indices, cosines = most_similar(np.ones([2, 3]), np.ones([0, 3]))
    assert indices.shape == cosines.shape == (2, 0)


def test_query_on_the_command_line(folder, model, tmp_path, capsys):
    path = write_lines(tmp_path / "texts.txt", TEXTS)
    output = str(tmp_path / "v.npy")
    run_main(
        extract_features, "--model_dir=" + folder, "--input_file=" + path, "--output_file=" + output
    )
    capsys.readouterr()
    query = ["--model_dir=" + folder, "--query=" + SENTENCES[2] + "吗", "--top_k=4"]
    run_main(extract_features, *query, "--vectors=" + output)
    by_file = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    run_main(extract_features, *query, "--input_file=" + path, "--batch_size=1")
    by_text = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    indices, cosines = most_similar(model.encode([SENTENCES[2] + "吗"])[0], model.encode(TEXTS), 4)
    assert by_file == [["%.4f" % c, str(i + 1)] for i, c in zip(indices, cosines)]
    assert by_text == [["%.4f" % c, str(i + 1), TEXTS[i]] for i, c in zip(indices, cosines)]


def test_search_in_parts(folder, model):
    lines = [(str(number), text) for number, text in enumerate(TEXTS * 6)]
    with BertVector(folder, batch_size=1) as small:
        found = search_lines(small, SENTENCES[0], lines, 7)
    assert [text for _, _, text in found[:6]] == [SENTENCES[0]] * 6
    assert [identifier for _, identifier, _ in found[:6]] == [
        str(number * len(TEXTS)) for number in range(6)
    ]
    expected = most_similar(model.encode([SENTENCES[0]])[0], model.encode(TEXTS * 6), 7)[1]
    np.testing.assert_allclose([cosine for cosine, _, _ in found], expected, rtol=0, atol=1e-5)


@pytest.mark.slow
def test_script(folder, tmp_path):
    path = write_lines(tmp_path / "texts.txt", TEXTS)
    process = subprocess.run(
        [
            sys.executable,
            os.path.join(ROOT, "extract_features.py"),
            "--model_dir=" + folder,
            "--input_file=" + path,
            "--output_file=%s" % (tmp_path / "v.npy"),
            "--layer_indexes=-2,7",
        ],
        capture_output=True,
        env=dict(os.environ, PYTHONIOENCODING="utf-8"),
    )
    assert process.returncode == 2
    assert b"error: layer_indexes: " in process.stderr
    assert b"Traceback" not in process.stderr
    assert os.listdir(str(tmp_path)) == ["texts.txt"]


# Bad input


@pytest.mark.parametrize("index", [3, -4])
def test_layer_out_of_range(folder, index):
    with pytest.raises(InputError, match="layer_indexes: .*%d" % index):
        BertVector(folder, [0, index]).start_model()


@pytest.mark.parametrize("indexes", [[], ["-2"], [1.0], [True]])
def test_layers_that_are_no_numbers(indexes):
    with pytest.raises(InputError, match="layer_indexes: expected one or more whole numbers"):
        BertVector(layer_indexes=indexes)


def test_unknown_pooling():
    with pytest.raises(InputError, match="pooling 'median': expected one of cls, mean, max"):
        BertVector(pooling="median")


def test_settings_reach_the_engine(folder):
    with mock.patch.object(text_model, "create_engine") as create:
        BertVector(folder, [-1], "cls", precision="int8", threads=2).start_model()
    (checkpoint, _, head), others = create.call_args
    assert checkpoint == os.path.join(folder, "model.ckpt")
    assert head == engine.VectorHead((-1,), "cls")
    assert others == {"precision": "int8", "threads": 2}


@pytest.mark.parametrize(
    "arguments,expected",
    [
        ([], "expected --input_file and --output_file, or --query and --vectors"),
        (["--input_file=a"], "expected --input_file and --output_file"),
        (["--output_file=a.npy"], "expected --input_file and --output_file"),
        (["--input_file=a", "--output_file=b.npy", "--vectors=c.npy"], "expected --input_file"),
        (["--query=a"], "--query needs either --vectors or --input_file"),
        (["--query=a", "--vectors=b", "--input_file=c"], "--query needs either"),
        (["--query=a", "--vectors=b", "--output_file=c"], "--query needs either"),
        (["--input_file=a", "--output_file=b.txt"], r"--output_file=b\.txt: expected .* \.npy"),
        (["--input_file=nowhere.txt", "--output_file=b.npy"], r"nowhere\.txt: no such file"),
        (["--query=a", "--vectors=nowhere.npy"], r"nowhere\.npy: not a \.npy file"),
        (["--query= ", "--input_file=a"], "expected a text, found an empty one"),
        (["--layer_indexes=x", "--query=a", "--vectors=b"], "--layer_indexes=x: expected whole"),
    ],
)
def test_flags_that_do_not_fit(folder, arguments, expected):
    with pytest.raises(InputError, match=expected):
        run_main(extract_features, "--model_dir=" + folder, *arguments)


def test_vectors_of_another_kind(folder, tmp_path):
    path = str(tmp_path / "v.npy")
    query = ["--model_dir=" + folder, "--query=书", "--vectors=" + path]
    several = io.BytesIO()
    np.savez(several, np.zeros(2))
    for content in (b"no array", b"", several.getvalue()):
        (tmp_path / "v.npy").write_bytes(content)
        with pytest.raises(InputError, match=r"v\.npy: not a \.npy file that can be read"):
            run_main(extract_features, *query)
    np.save(path, np.zeros([2, 5], np.float32))
    with pytest.raises(InputError, match=r"v\.ids\.txt: no such file"):
        run_main(extract_features, *query)
    ids = write_lines(tmp_path / "v.ids.txt", ["1"])
    with pytest.raises(InputError, match=r"has the shape \(2, 5\), but .*v\.ids\.txt has 1 ids"):
        run_main(extract_features, *query)
    assert write_lines(tmp_path / "v.ids.txt", ["1", "2"]) == ids
    with pytest.raises(InputError, match="query vectors have 16 numbers and the vectors .* 5"):
        run_main(extract_features, *query)
    with pytest.raises(InputError, match=r"found the shapes \[5\] and \[5\]"):
        most_similar(np.zeros([5]), np.zeros([5]))
    with pytest.raises(InputError, match="top_k is 0; expected at least 1"):
        most_similar(np.zeros([5]), np.zeros([2, 5]), 0)


# Vectors that were made in another way


@pytest.fixture
def vectors_file(folder, tmp_path):
    path = write_lines(tmp_path / "texts.txt", TEXTS)
    output = str(tmp_path / "v.npy")
    files = ["--input_file=" + path, "--output_file=" + output]
    given = ["--layers=-1,0", "--pooling=max", "--max_seq_length=30"]
    run_main(extract_features, "--init_checkpoint=%s/model.ckpt" % folder, *files, *given)
    return output


def search(folder, path, *more):
    query = ["--query=" + TEXTS[1], "--top_k=1", "--vectors=" + path]
    run_main(extract_features, "--model_dir=" + folder, *query, *more)


def test_a_query_takes_over_how_the_vectors_were_made(folder, vectors_file, capsys):
    search(folder, vectors_file)
    search(folder, vectors_file, "--layer_indexes=2,-3", "--pooling=max", "--do_lower_case")
    assert capsys.readouterr().out.splitlines()[-2:] == ["1.0000\t2"] * 2


@pytest.mark.parametrize(
    "flag,expected",
    [
        ("--layers=0", "made with layer_indexes 2,0, and the query with 0;"),
        ("--pooling=cls", "made with pooling max, and the query with cls;"),
        ("--max_seq_length=31", "made with max_seq_length 30, and the query with 31;"),
        ("--nodo_lower_case", "made with do_lower_case True, and the query with False;"),
        ("--use_tpu", "--use_tpu: vectors are computed on processors only"),
        ("--init_checkpoint=a", "--init_checkpoint is another name of --model_dir;"),
    ],
)
def test_other_settings_than_the_vectors(folder, vectors_file, flag, expected):
    with pytest.raises(InputError, match=expected):
        search(folder, vectors_file, flag)


def test_another_model_than_that_of_the_vectors(tmp_path, vectors_file):
    write_model(tmp_path / "other", num_labels=2)
    with pytest.raises(InputError, match="v.npy: made with another checkpoint"):
        search(str(tmp_path / "other"), vectors_file)


def test_vectors_of_which_nothing_is_known(folder, vectors_file):
    os.remove(vectors_file + ".json")
    with mock.patch.object(vector_search.logging, "warning") as warning:
        search(folder, vectors_file, "--layers=-1,0", "--pooling=max")
    (call,) = warning.call_args_list
    assert "no 'v.npy.json' beside it tells how it was made" in call[0][0] % call[0][1:]
