"""BertSim and its script, on a small fine-tuned folder and on models of all families."""

import concurrent.futures
import json
import os
import re
import shutil
import subprocess
import sys
from unittest import mock

import numpy as np
import pytest

import args
import run_classifier
import similarity
from albert.basics import storage
from albert.basics.errors import InputError
from albert.inference import text_model
from albert.inference.classifiers import BertSim
from albert.model_files import checkpoints
from albert.model_files.variables import classifier_variables
from albert.text.encoding import encode_pair
from helpers import plain_graph, processes
from helpers.models import CONFIGS, classifier, write_model
from helpers.paths import ROOT
from helpers.runs import run_main
from helpers.tasks import SENTENCES, TINY_CONFIG, lcqmc_rows, make_task, read_text, run, write_lines

# Lengths differ, so that a batch is padded; the last is a single sentence.
PAIRS = [
    (SENTENCES[0], SENTENCES[1]),
    (SENTENCES[2], SENTENCES[2] * 3),
    ("书", "店"),
    (SENTENCES[3], "完全不认识的字 with words"),
    (SENTENCES[4], SENTENCES[4]),
    (SENTENCES[5], ""),
]


def fine_tune(folder, **settings):
    task = make_task(folder)
    run(task, do_train=True, do_predict=True, learning_rate=0.01, **settings)
    return task


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    """A fine-tuned classifier; read only."""
    return fine_tune(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def sim(task):
    with BertSim(model_dir=task["output_dir"]) as model:
        yield model


@pytest.fixture
def model_dir(task, tmp_path):
    return shutil.copytree(task["output_dir"], str(tmp_path / "model"))


def start(folder):
    with BertSim(model_dir=str(folder)) as model:
        model.start_model()


@pytest.mark.slow
def test_result_and_print(sim, capsys):
    result = sim.predict_sentences(PAIRS)
    assert result.shape == (len(PAIRS), 2)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result.sum(1), 1.0, rtol=0, atol=1e-6)
    assert capsys.readouterr().out == "%s\n" % result
    assert len(np.unique(result[:, 1])) == len(PAIRS)  # the comparisons below can fail
    one = sim.predict_sentences(PAIRS[:1])
    assert re.fullmatch(r"\[\[0\.\d+ +0\.\d+ *\]\]\n", capsys.readouterr().out)
    assert one.shape == (1, 2)


def test_no_pair(sim, capsys):
    result = sim.predict_sentences([])
    assert result.shape == (0, 2)
    assert result.dtype == np.float32
    assert capsys.readouterr().out == ""


def test_batching_changes_nothing(task, sim):
    together = sim.predict_proba(PAIRS)
    alone = np.concatenate([sim.predict_proba([pair]) for pair in PAIRS])
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-6)
    np.testing.assert_allclose(sim.predict_proba(PAIRS[::-1]), together[::-1], rtol=0, atol=1e-6)
    many = sim.predict_proba(iter(PAIRS * 30))  # more than one batch of 128
    np.testing.assert_allclose(many, np.tile(together, [30, 1]), rtol=0, atol=1e-6)
    with BertSim(batch_size=4, model_dir=task["output_dir"]) as small:
        np.testing.assert_allclose(small.predict_proba(PAIRS), together, rtol=0, atol=1e-6)


def test_long_pairs_are_cut(sim):
    long_pair = (SENTENCES[0] * 20, SENTENCES[1] * 20)
    sim.start_model()
    assert sim.max_seq_length == 24  # that of training
    longer_pair = (SENTENCES[0] * 40, SENTENCES[1] * 40)
    cut = sim.predict_proba([long_pair])
    np.testing.assert_array_equal(cut, sim.predict_proba([longer_pair]))
    with BertSim(model_dir=sim.model_dir, max_seq_length=64) as longer:
        assert np.abs(longer.predict_proba([long_pair]) - cut).max() > 1e-4


def test_equals_run_classifier(task, sim):
    check_equals_run_classifier(task, sim)


def check_equals_run_classifier(task, model):
    lines = read_text(task["output_dir"], run_classifier.PREDICT_FILE).splitlines()
    expected = np.array([line.split("\t") for line in lines], np.float32)
    path = os.path.join(task["data_dir"], "test.txt")
    pairs = [line.split("\t")[:2] for line in storage.read_lines(path)][1:]
    np.testing.assert_allclose(model.predict_proba(pairs), expected, rtol=0, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", CONFIGS)
def test_equals_the_plain_graph(name):
    folder, checkpoint, config = classifier(name)
    variables = classifier_variables(config, 2)
    assert dict(variables) == checkpoints.read_shapes(checkpoint)
    assert len(dict(variables)) == len(variables)
    with BertSim(model_dir=folder) as model:
        together = model.predict_proba(PAIRS)
        alone = [model.predict_proba([pair])[0] for pair in PAIRS]
        encoded = [encode_pair(model.tokenizer, *pair, model.max_seq_length) for pair in PAIRS]
    expected = plain_graph.probabilities(checkpoint, config, encoded)
    assert np.ptp(expected[:, 1]) > 5e-3
    np.testing.assert_allclose(together, expected, rtol=0, atol=1e-5)
    np.testing.assert_allclose(alone, expected, rtol=0, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("pooling", ["mean", "masked_mean"])
def test_other_poolings(tmp_path, pooling):
    task = fine_tune(tmp_path, pooling=pooling)
    with BertSim(model_dir=task["output_dir"]) as model:
        check_equals_run_classifier(task, model)
        together = model.predict_proba(PAIRS)  # one is longer than in training
        alone = np.concatenate([model.predict_proba([pair]) for pair in PAIRS])
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-6)


@pytest.mark.slow
def test_sentencepiece(golden, tmp_path):
    task = make_task(tmp_path, dict(TINY_CONFIG, vocab_size=500))
    del task["vocab_file"]
    model = os.path.join(golden, "data", "spm500.model")
    run(task, do_train=True, do_predict=True, spm_model_file=model, num_train_epochs=0.2)
    with BertSim(model_dir=task["output_dir"]) as sim:
        check_equals_run_classifier(task, sim)


def test_model_is_built_once(task):
    model = BertSim(model_dir=task["output_dir"])
    create = mock.patch.object(text_model, "create_engine", wraps=text_model.create_engine)
    with create as engines:
        first = model.predict_proba(PAIRS[:1])
        model.start_model()
        np.testing.assert_array_equal(model.predict_proba(PAIRS[:1]), first)
        assert engines.call_count == 1
        model.close()
        np.testing.assert_array_equal(model.predict_proba(PAIRS[:1]), first)
        assert engines.call_count == 2
    model.close()


def test_threads(sim):
    """Different pairs from many threads at once give what they give alone."""
    calls = [[pair] for pair in PAIRS] * 5 + [PAIRS[number:] for number in range(5)] * 3
    rows = dict(zip(PAIRS, sim.predict_proba(PAIRS)))
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        results = list(pool.map(sim.predict_proba, calls))
    for pairs, result in zip(calls, results):
        np.testing.assert_allclose(result, [rows[pair] for pair in pairs], rtol=0, atol=1e-6)


def test_names_and_scores(sim):
    probabilities = sim.predict_proba(PAIRS)
    assert sim.labels == ["0", "1"]
    assert sim.predict(PAIRS) == [str(index) for index in probabilities.argmax(1)]
    scores = [sim.similarity(*pair) for pair in PAIRS]
    assert all(type(score) is float for score in scores)
    np.testing.assert_allclose(scores, probabilities[:, 1], rtol=0, atol=1e-6)
    np.testing.assert_array_equal(
        np.array(list(sim.iter_predict_proba(iter(PAIRS)))), probabilities
    )


def test_rank(sim):
    candidates = [*SENTENCES, SENTENCES[2]]
    scores = [sim.similarity(SENTENCES[1], candidate) for candidate in candidates]
    expected = sorted(range(len(candidates)), key=lambda index: -scores[index])
    for top_k in (None, 1, 4, 100):
        found = sim.rank(SENTENCES[1], iter(candidates), top_k)
        assert [index for index, _, _ in found] == expected[:top_k]
        assert [candidate for _, candidate, _ in found] == [candidates[i] for i in expected[:top_k]]
        np.testing.assert_allclose(
            [score for _, _, score in found], sorted(scores)[::-1][:top_k], rtol=0, atol=1e-6
        )
    assert sim.rank(SENTENCES[1], []) == []
    with pytest.raises(InputError, match="top_k: expected a whole number of at least 1, found 0"):
        sim.rank(SENTENCES[1], candidates, 0)
    with pytest.raises(InputError, match="expected a list, or another iterable, found "):
        sim.rank(SENTENCES[1], SENTENCES[2])


def test_which_column_is_the_score(tmp_path):
    folder = shutil.copytree(classifier("postln")[0], str(tmp_path / "model"))
    for labels, column in ((["1", "0"], 0), (["no", "yes"], 1), (["0", "1"], 1)):
        task = {"task_name": "custom", "labels": labels}
        storage.write_json(os.path.join(folder, "task.json"), task)
        with BertSim(model_dir=folder) as model:
            scores = model.predict_proba(PAIRS[:1])[0]
            assert abs(scores[0] - scores[1]) > 1e-3
            np.testing.assert_allclose(
                model.similarity(*PAIRS[0]), scores[column], rtol=0, atol=1e-6
            )


def test_regression(tmp_path, capsys):
    write_model(tmp_path, num_labels=1, task_name="sts-b", labels=[None])
    with BertSim(model_dir=str(tmp_path)) as model:
        numbers = model.predict_proba(PAIRS)[:, 0]
        assert np.ptp(numbers) > 0.1
        assert model.predict(PAIRS) == numbers.tolist()
        np.testing.assert_allclose(model.similarity(*PAIRS[1]), numbers[1], rtol=0, atol=1e-6)
        ranked = [score for _, _, score in model.rank(SENTENCES[0], SENTENCES)]
    assert ranked == sorted(ranked, reverse=True)
    assert np.ptp(ranked) > 0.1
    run_main(
        similarity, "--model_dir=%s" % tmp_path, "--input_file=" + write_pairs(tmp_path, PAIRS[:2])
    )
    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [row[:2] for row in rows] == [list(pair) for pair in PAIRS[:2]]
    scores = [float(row[2]) for row in rows]
    np.testing.assert_allclose(scores, numbers[:2], rtol=0, atol=1e-5)


def write_pairs(folder, pairs):
    return write_lines(folder / "some_pairs.tsv", ["%s\t%s" % pair for pair in pairs])


def test_three_labels(tmp_path, capsys):
    labels = ["contradiction", "entailment", "neutral"]
    write_model(tmp_path, CONFIGS["google"], 3, task_name="mnli", labels=labels)
    with BertSim(model_dir=str(tmp_path)) as model:
        probabilities = model.predict_proba(PAIRS)
        assert model.predict(PAIRS) == [labels[index] for index in probabilities.argmax(1)]
        message = r"needs two labels, .* has 3 labels \(contradiction, entailment, neutral\)"
        for call, texts in ((model.similarity, SENTENCES[1]), (model.rank, SENTENCES)):
            with pytest.raises(InputError, match=message):
                call(SENTENCES[0], texts)
    run_main(
        similarity, "--model_dir=%s" % tmp_path, "--input_file=" + write_pairs(tmp_path, PAIRS)
    )
    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [tuple(row[:2]) for row in rows] == PAIRS
    assert [row[2] for row in rows] == [labels[index] for index in probabilities.argmax(1)]
    scores = [float(row[3]) for row in rows]
    np.testing.assert_allclose(scores, probabilities.max(1), rtol=0, atol=2e-6)


def test_settings_come_from_args(task, monkeypatch):
    monkeypatch.setattr(args, "output_dir", task["output_dir"])
    monkeypatch.setattr(args, "max_seq_len", 12)
    monkeypatch.setattr(args, "batch_size", 3)
    model = BertSim()
    assert (model.model_dir, model.max_seq_length) == (task["output_dir"], 12)
    assert model.batch_size == 3


def test_config_and_vocabulary_of_the_folder_win(task, model_dir, sim, monkeypatch):
    monkeypatch.setattr(args, "config_name", "nowhere.json")
    monkeypatch.setattr(args, "vocab_file", "nowhere.txt")
    with BertSim(model_dir=model_dir) as model:
        np.testing.assert_array_equal(model.predict_proba(PAIRS), sim.predict_proba(PAIRS))
    # A folder that the reference's run_classifier.py wrote has neither.
    for name in ("albert_config.json", "vocab.txt", "task.json"):
        os.remove(os.path.join(model_dir, name))
    with pytest.raises(InputError, match=r"nowhere\.json: no such file"):
        start(model_dir)
    monkeypatch.setattr(args, "config_name", task["bert_config_file"])
    monkeypatch.setattr(args, "vocab_file", task["vocab_file"])
    sim.start_model()  # without task.json nothing tells the length of training
    with BertSim(model_dir=model_dir, max_seq_length=sim.max_seq_length) as model:
        np.testing.assert_array_equal(model.predict_proba(PAIRS), sim.predict_proba(PAIRS))


def test_names_of_args():
    """The names and values of albert_zh's args.py, which programs read."""
    folder = "albert_lcqmc_checkpoints"
    expected = {
        "model_dir": folder,
        "config_name": "albert_config/albert_config_tiny.json",
        "ckpt_name": folder + "/model.ckpt",
        "output_dir": folder,
        "vocab_file": "albert_config/vocab.txt",
        "data_dir": "data",
        "graph_file": folder + "/graph",
    }
    assert os.path.samefile(args.file_path, ROOT)
    for name, path in expected.items():
        assert os.path.normpath(getattr(args, name)) == os.path.join(args.file_path, path), name
    assert (args.num_train_epochs, args.batch_size, args.learning_rate) == (10, 128, 5e-5)
    assert (args.gpu_memory_fraction, args.layer_indexes, args.max_seq_len) == (0.8, [-2], None)


# The script


@pytest.mark.slow
def test_script(task):
    """In a process of its own, where nothing has set TensorFlow up; and so for an importer."""
    code = "from similarity import BertSim; BertSim(model_dir=%r).predict_sentences([(%r, %r)])"
    pair = PAIRS[0]
    script = [os.path.join(ROOT, "similarity.py"), "--model_dir=" + task["output_dir"]]
    started = [
        subprocess.Popen(
            [sys.executable] + arguments,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(os.environ, PYTHONIOENCODING="utf-8"),
        )
        for arguments in (script + list(pair), ["-c", code % ((task["output_dir"],) + pair)])
    ]
    started.append(processes.Script(script + ["one sentence"]))
    (first, _), (second, _), (output, error) = (process.communicate() for process in started)
    assert [process.returncode for process in started] == [0, 0, 2]
    assert re.fullmatch(rb"score\t(0\.\d{6})\nlabel 0\t0\.\d{6}\nlabel 1\t\1\n", first)
    assert re.fullmatch(rb"\[\[0\.\d+ +0\.\d+ *\]\]\r?\n", second)
    assert float(second.split()[-1].strip(b"]")) == pytest.approx(float(first.split()[1]), abs=1e-6)
    assert output == b""
    assert "error: expected two sentences" in error.decode("utf-8")
    assert b"Traceback" not in error


def named_numbers(sim, pair):
    """What the script prints for a pair: a line for each number, its name and a tab in front."""
    (result,) = sim.predict_proba([pair])
    return "score\t%.6f\nlabel 0\t%.6f\nlabel 1\t%.6f\n" % (result[1], *result)


def test_two_sentences(task, sim, capsys):
    run_main(similarity, "--model_dir=" + task["output_dir"], *PAIRS[0])
    assert capsys.readouterr().out == named_numbers(sim, PAIRS[0])


def test_built_in_pair(task, sim, capsys):
    run_main(similarity, "--model_dir=" + task["output_dir"])
    assert capsys.readouterr().out == named_numbers(sim, similarity.EXAMPLE_PAIR)


def test_input_file(task, sim, tmp_path, capsys):
    path = write_lines(tmp_path / "pairs.tsv", lcqmc_rows(5))
    run_main(similarity, "--model_dir=" + task["output_dir"], "--input_file=" + path)
    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    pairs = [row.split("\t")[:2] for row in lcqmc_rows(5)]
    assert [row[:2] for row in rows] == pairs
    scores = [float(row[2]) for row in rows]
    np.testing.assert_allclose(scores, sim.predict_proba(pairs)[:, 1], rtol=0, atol=1e-6)


def test_output_file(task, sim, tmp_path, capsys):
    path = write_pairs(tmp_path, PAIRS)
    output = tmp_path / "scores.tsv"
    arguments = ["--model_dir=" + task["output_dir"], "--input_file=" + path]
    run_main(similarity, *arguments, "--output_file=%s" % output, "--batch_size=1", "--threads=1")
    assert capsys.readouterr().out == ""
    rows = [line.split("\t") for line in storage.read_lines(str(output))]
    assert [tuple(row[:2]) for row in rows] == PAIRS
    scores = [float(row[2]) for row in rows]
    np.testing.assert_allclose(scores, sim.predict_proba(PAIRS)[:, 1], rtol=0, atol=1e-6)


# Bad input


@pytest.mark.parametrize(
    "pairs,expected",
    [
        (["花呗怎么还款"], r"pairs\[0\]: expected a pair of texts, found one text, '花呗怎么还款'"),
        (("a", "b"), r"pairs\[0\]: expected a pair of texts, found one text, 'a'"),
        ("ab", r"expected a list, or another iterable, found 'ab' \(str\)"),
        ([("a", "b"), ("a",)], r"pairs\[1\]: expected a pair of texts, found \('a',\) \(tuple\)"),
        ([("a", "b", "1")], r"pairs\[0\]: expected a pair of texts, found \('a', 'b', '1'\)"),
        ([5], r"pairs\[0\]: expected a pair of texts, found 5 \(int\)"),
        ([("a", 5)], r"pairs\[0\], second text: expected a text, found 5 \(int\)"),
        ([("a", None)], r"pairs\[0\], second text: expected a text, found None"),
        ([(b"a", "b")], r"pairs\[0\], first text: expected a text, found b'a' \(bytes\)"),
        ([("", "b")], r"pairs\[0\], first text: expected a text, found an empty one"),
        ([(" \t", "")], r"pairs\[0\], first text: expected a text, found an empty one"),
    ],
)
def test_no_pair_of_texts(sim, pairs, expected):
    for call in (sim.predict_proba, sim.predict, sim.predict_sentences):
        with pytest.raises(InputError, match=expected):
            call(pairs)


def test_blank_second_text_is_none(sim):
    alone, blank, second = sim.predict_proba([("书店", ""), ("书店", " "), ("书店", "书")])
    np.testing.assert_array_equal(alone, blank)
    assert np.abs(alone - second).max() > 1e-4


def test_pair_without_two_columns(task, tmp_path):
    path = write_lines(tmp_path / "pairs.tsv", ["a\tb", "no tab"])
    with pytest.raises(InputError, match=r"pairs\.tsv, line 2: 1 column; expected two"):
        run_main(similarity, "--model_dir=" + task["output_dir"], "--input_file=" + path)
    path = write_lines(tmp_path / "pairs.tsv", ["a\tb", " \tb"])
    with pytest.raises(InputError, match=r"pairs\.tsv, line 2: expected a text, found an empty"):
        run_main(similarity, "--model_dir=" + task["output_dir"], "--input_file=" + path)


def test_no_checkpoint(tmp_path):
    with pytest.raises(InputError, match="--model_dir: the directory .* holds no checkpoint"):
        start(tmp_path)
    with pytest.raises(InputError, match="--model_dir: no checkpoint at 'nowhere'"):
        start("nowhere")


def test_encoder_without_head(golden, tmp_path):
    source = os.path.join(golden, "model", "bm_postln")
    for name in ("model.ckpt.index", "model.ckpt.data-00000-of-00001"):
        shutil.copy(os.path.join(source, name), str(tmp_path))
    shutil.copy(os.path.join(source, "config.json"), str(tmp_path / "albert_config.json"))
    with pytest.raises(InputError, match=r"model\.ckpt: no classifier .*run_classifier\.py\.$"):
        start(tmp_path)


@pytest.mark.parametrize(
    "changes,expected",
    [
        ({"hidden_size": 32}, "does not have the size that the config .* says"),
        ({"ln_type": "preln"}, "lacks the variable 'loss/LayerNorm/"),
        ({"vocab_size": 199}, r"vocab\.txt has 200 entries, but .*vocab_size 199"),
    ],
)
def test_config_of_another_model(model_dir, changes, expected):
    with open(os.path.join(model_dir, "albert_config.json"), "w") as handle:
        json.dump(dict(TINY_CONFIG, **changes), handle)
    with pytest.raises(InputError, match=expected):
        start(model_dir)
