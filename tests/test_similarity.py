"""BertSim and its script on a small fine-tuned folder."""

import json
import os
import re
import shutil
import subprocess
import sys
from unittest import mock

import numpy as np
import pytest
from absl import flags
from conftest import ROOT
from test_run_classifier import (
    SENTENCES,
    TINY_CONFIG,
    lcqmc_rows,
    make_task,
    read_text,
    run,
    write_lines,
)

import args
import file_utils
import run_classifier
import similarity
from file_utils import InputError
from similarity import BertSim
from tf_compat import tf

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


def run_main(*argv):
    values = flags.FlagValues()
    similarity.define_flags(values)
    positional = values(["similarity.py"] + list(argv))
    with mock.patch.object(flags, "FLAGS", values):
        similarity.main(positional)


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
    together = sim.predict(PAIRS)
    alone = np.concatenate([sim.predict([pair]) for pair in PAIRS])
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-6)
    np.testing.assert_allclose(sim.predict(PAIRS[::-1]), together[::-1], rtol=0, atol=1e-6)
    many = sim.predict(iter(PAIRS * 30))  # more than one batch of 128
    np.testing.assert_allclose(many, np.tile(together, [30, 1]), rtol=0, atol=1e-6)
    with BertSim(batch_size=4, model_dir=task["output_dir"]) as small:
        np.testing.assert_allclose(small.predict(PAIRS), together, rtol=0, atol=1e-6)


def test_long_pairs_are_cut(sim):
    long_pair = (SENTENCES[0] * 20, SENTENCES[1] * 20)
    sim.start_model()
    assert sim.max_seq_length == 64  # the config's max_position_embeddings; args has 128
    longer_pair = (SENTENCES[0] * 40, SENTENCES[1] * 40)
    np.testing.assert_array_equal(sim.predict([long_pair]), sim.predict([longer_pair]))


def test_equals_run_classifier(task, sim):
    check_equals_run_classifier(task, sim)


def check_equals_run_classifier(task, model):
    lines = read_text(task["output_dir"], run_classifier.PREDICT_FILE).splitlines()
    expected = np.array([line.split("\t") for line in lines], np.float32)
    path = os.path.join(task["data_dir"], "test.txt")
    pairs = [line.split("\t")[:2] for line in file_utils.read_lines(path)][1:]
    np.testing.assert_allclose(model.predict(pairs), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("pooling", ["mean", "masked_mean"])
def test_other_poolings(tmp_path, pooling):
    task = fine_tune(tmp_path, pooling=pooling)
    with BertSim(model_dir=task["output_dir"]) as model:
        check_equals_run_classifier(task, model)
        together = model.predict(PAIRS)  # one is longer than in training
        alone = np.concatenate([model.predict([pair]) for pair in PAIRS])
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-6)


def test_sentencepiece(golden, tmp_path):
    task = make_task(tmp_path, dict(TINY_CONFIG, vocab_size=500))
    del task["vocab_file"]
    model = os.path.join(golden, "data", "spm500.model")
    run(task, do_train=True, do_predict=True, spm_model_file=model, num_train_epochs=0.2)
    with BertSim(model_dir=task["output_dir"]) as sim:
        check_equals_run_classifier(task, sim)


def test_model_is_built_once(task):
    model = BertSim(model_dir=task["output_dir"])
    with mock.patch.object(tf, "Session", wraps=tf.Session) as sessions:
        first = model.predict(PAIRS[:1])
        model.start_model()
        np.testing.assert_array_equal(model.predict(PAIRS[:1]), first)
        assert sessions.call_count == 1
        model.close()
        np.testing.assert_array_equal(model.predict(PAIRS[:1]), first)
        assert sessions.call_count == 2
    model.close()


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
        np.testing.assert_array_equal(model.predict(PAIRS), sim.predict(PAIRS))
    # A folder that the reference's run_classifier.py wrote has neither.
    for name in ("albert_config.json", "vocab.txt", "task.json"):
        os.remove(os.path.join(model_dir, name))
    with pytest.raises(InputError, match=r"nowhere\.json: no such file"):
        start(model_dir)
    monkeypatch.setattr(args, "config_name", task["bert_config_file"])
    monkeypatch.setattr(args, "vocab_file", task["vocab_file"])
    with BertSim(model_dir=model_dir) as model:
        np.testing.assert_array_equal(model.predict(PAIRS), sim.predict(PAIRS))


def test_names_of_args():
    """spec/tasks.md 4.1"""
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
    assert (args.gpu_memory_fraction, args.layer_indexes, args.max_seq_len) == (0.8, [-2], 128)


# The script


def test_script(task):
    """In a process of its own, where nothing has set TensorFlow up; and so for an importer."""
    code = "from similarity import BertSim; BertSim(model_dir=%r).predict_sentences([(%r, %r)])"
    pair = PAIRS[0]
    script = [os.path.join(ROOT, "similarity.py"), "--model_dir=" + task["output_dir"]]
    processes = [
        subprocess.Popen(
            [sys.executable] + arguments,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(os.environ, PYTHONIOENCODING="utf-8"),
        )
        for arguments in (
            script + list(pair),
            ["-c", code % ((task["output_dir"],) + pair)],
            script + ["one sentence"],
        )
    ]
    (first, _), (second, _), (output, error) = (process.communicate() for process in processes)
    assert [process.returncode for process in processes] == [0, 0, 2]
    assert re.fullmatch(rb"\[\[0\.\d+ +0\.\d+ *\]\]\r?\n", first)
    assert second == first
    assert output == b""
    assert "error: expected two sentences" in error.decode("utf-8")
    assert b"Traceback" not in error


def test_two_sentences(task, sim, capsys):
    run_main("--model_dir=" + task["output_dir"], *PAIRS[0])
    assert capsys.readouterr().out == "%s\n" % sim.predict(PAIRS[:1])


def test_built_in_pair(task, sim, capsys):
    run_main("--model_dir=" + task["output_dir"])
    assert capsys.readouterr().out == "%s\n" % sim.predict([similarity.EXAMPLE_PAIR])


def test_input_file(task, sim, tmp_path, capsys):
    path = write_lines(tmp_path / "pairs.tsv", lcqmc_rows(5))
    run_main("--model_dir=" + task["output_dir"], "--input_file=" + path)
    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    pairs = [row.split("\t")[:2] for row in lcqmc_rows(5)]
    assert [row[:2] for row in rows] == pairs
    scores = [float(row[2]) for row in rows]
    np.testing.assert_allclose(scores, sim.predict(pairs)[:, 1], rtol=0, atol=1e-6)


# Bad input


def test_pair_without_two_columns(task, tmp_path):
    path = write_lines(tmp_path / "pairs.tsv", ["a\tb", "no tab"])
    with pytest.raises(InputError, match=r"pairs\.tsv, line 2: 1 column; expected two"):
        run_main("--model_dir=" + task["output_dir"], "--input_file=" + path)


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
        ({"vocab_size": 201}, r"vocab\.txt has 200 entries, but .*vocab_size 201"),
    ],
)
def test_config_of_another_model(model_dir, changes, expected):
    with open(os.path.join(model_dir, "albert_config.json"), "w") as handle:
        json.dump(dict(TINY_CONFIG, **changes), handle)
    with pytest.raises(InputError, match=expected):
        start(model_dir)
