"""Runs of run_classifier.py: choosing checkpoints, stopping, seeds, options, results."""

import glob
import json
import os
import re
from unittest import mock

import numpy as np
import pytest
from absl import flags

from albert.basics.errors import InputError
from albert.basics.tf_compat import tf
from albert.finetuning import model_fn, score_files
from albert.finetuning.classification import reports
from albert.finetuning.evaluation import Evaluator, outputs_from_records
from albert.finetuning.flags import RESULT_FLAGS, FinetuningSettings, define_flags, own_settings
from albert.finetuning.run import Run
from albert.model_files import checkpoints, configuration, model_folder
from albert.training import best_checkpoint, curves
from albert.training.best_checkpoint import Selection
from helpers.tasks import (
    SENTENCES,
    TINY_CONFIG,
    arguments,
    bad,
    latest,
    make_task,
    read_text,
    results_of,
    run,
    write_lines,
)


@pytest.fixture
def task(tmp_path):
    return make_task(tmp_path)


def scripted(accuracies, fail_at=None):
    """Replaces dev accuracies by step; an evaluation of step `fail_at` fails."""
    original = Evaluator.scores

    def scores(self, checkpoint, set_type):
        result = original(self, checkpoint, set_type)
        if set_type == "dev":
            if result["global_step"] == fail_at:
                raise KeyboardInterrupt
            result["eval_accuracy"] = accuracies[result["global_step"]]
        return result

    return mock.patch.object(Evaluator, "scores", scores)


def names(folder, pattern="*"):
    return sorted(os.path.basename(path) for path in glob.glob(os.path.join(folder, pattern)))


def variables(prefix):
    reader = tf.train.load_checkpoint(prefix)
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def assert_same_variables(first, second, tolerance=0.0):
    first, second = variables(first), variables(second)
    assert set(first) == set(second)
    for name, value in first.items():
        np.testing.assert_allclose(value, second[name], rtol=0, atol=tolerance, err_msg=name)


# The best checkpoint

ACCURACIES = {0: 0.1, 2: 0.5, 4: 0.8, 6: 0.8, 8: 0.3, 10: 0.7}
EVERY_2 = {"save_checkpoints_steps": 2, "keep_checkpoint_max": 1, "learning_rate": 0.01}


@pytest.mark.slow
def test_best_checkpoint_is_kept_reported_and_used(task, capsys):
    folder = task["output_dir"]
    with scripted(ACCURACIES):
        run(task, do_train=True, do_eval=True, do_predict=True, **EVERY_2)
    best = os.path.join(folder, "best", "model.ckpt-4")
    assert names(folder, "model.ckpt-*.index") == ["model.ckpt-10.index"]
    assert names(os.path.join(folder, "best")) == [
        "albert_config.json",
        "best.json",
        "checkpoint",
        "model.ckpt-4.data-00000-of-00001",
        "model.ckpt-4.index",
        "task.json",
        "vocab.txt",
    ]
    assert tf.train.load_variable(best, "global_step") == 4
    saved = json.loads(read_text(folder, "best", "best.json"))
    assert (saved["step"], saved["metric"]) == (4, "eval_accuracy")
    assert saved["scores"]["eval_accuracy"] == 0.8
    history = json.loads(read_text(folder, "dev_history.json"))["evaluations"]
    found = [(entry["step"], entry["scores"]["eval_accuracy"]) for entry in history]
    assert found == [(step, ACCURACIES[step]) for step in (2, 4, 6, 8, 10)]
    assert all(entry["scores"]["train_loss"] > 0 for entry in history)

    results = results_of(task)
    assert results["dev"]["eval_accuracy"] == 0.8
    assert results["dev"]["global_step"] == results["test"]["global_step"] == 4
    assert results["checkpoint"] == results["predicted_with"] == best
    assert results["history"] == history
    output = capsys.readouterr().out
    assert "eval_accuracy on the dev file: 0.8000, with " + best in output
    # The report is the reference's: the checkpoints in the folder.
    report = read_text(folder, score_files.EVAL_FILE)
    assert re.findall(r"model\.ckpt-\d+", report) == ["model.ckpt-10"]

    # A new process, without training, and the reference's choice.
    of_best = read_text(folder, "test_results.tsv")
    run(task, do_predict=True)
    assert read_text(folder, "test_results.tsv") == of_best
    run(task, do_predict=True, do_eval=True, select_checkpoint="latest")
    assert read_text(folder, "test_results.tsv") != of_best
    assert results_of(task)["predicted_with"].endswith("output/model.ckpt-10")
    assert results_of(task)["dev"]["global_step"] == 10


@pytest.mark.slow
def test_another_dev_file_or_metric_chooses_anew(task, caplog):
    folder, path = task["output_dir"], os.path.join(task["data_dir"], "dev.txt")

    def shorten_dev_file():
        lines = read_text(path).splitlines(True)
        with open(path, "w", encoding="utf-8") as handle:
            handle.writelines(lines[:-1])

    def steps():
        history = json.loads(read_text(folder, "dev_history.json"))["evaluations"]
        return [entry["step"] for entry in history]

    with scripted(ACCURACIES):
        run(task, do_train=True, do_eval=True, **EVERY_2)
        run(task, do_eval=True)
    assert "chosen anew" not in caplog.text
    # The best so far is compared with what comes by its score on the new file.
    shorten_dev_file()
    more = dict(EVERY_2, num_train_steps=12, allow_changed_settings=True)
    with scripted({4: 0.6, 10: 0.5, 12: 0.55}):
        run(task, do_train=True, do_eval=True, **more)
    assert "chosen anew" in caplog.text
    assert (model_folder.read_best(folder)["step"], steps()) == (4, [4, 10, 12])
    assert results_of(task)["dev"]["eval_accuracy"] == 0.6
    shorten_dev_file()
    with scripted({4: 0.2, 12: 0.3}):
        run(task, do_eval=True)
    assert (model_folder.read_best(folder)["step"], steps()) == (12, [4, 12])
    assert names(os.path.join(folder, "best"), "*.index") == ["model.ckpt-12.index"]
    run(task, do_eval=True, best_metric="eval_loss")
    assert model_folder.read_best(folder)["metric"] == "eval_loss"
    assert results_of(task)["dev"]["global_step"] == 12


@pytest.mark.slow
def test_best_checkpoint_that_does_not_fit_on_the_disk(task, monkeypatch):
    error = tf.errors.ResourceExhaustedError(None, None, "No space left on device")
    monkeypatch.setattr(Selection, "_copy", mock.Mock(side_effect=error))
    message = bad(task, do_eval=True, **EVERY_2)
    assert "best checkpoint cannot be kept in" in message and "No space left" in message
    assert model_folder.read_best(task["output_dir"]) is None
    monkeypatch.undo()
    run(task, do_train=True, do_eval=True, **EVERY_2)
    assert results_of(task)["history"][0]["step"] == 2


@pytest.mark.slow
def test_interrupted_run_keeps_the_best(tmp_path):
    """Interrupted twice between saving and evaluating; without dropout the end is the same."""
    settings = dict(make_task(tmp_path), head_dropout=0, do_train=True, do_eval=True, **EVERY_2)
    whole = dict(settings, output_dir=str(tmp_path / "whole"))
    with scripted(ACCURACIES):
        run(whole)
    for fail_at, best in ((4, 2), (8, 4)):
        with scripted(ACCURACIES, fail_at), pytest.raises(KeyboardInterrupt):
            run(settings)
        assert latest(settings).endswith("model.ckpt-%d" % fail_at)
        assert model_folder.read_best(settings["output_dir"])["step"] == best
    with scripted(ACCURACIES):
        run(settings)
    actual, expected = results_of(settings), results_of(whole)
    assert actual["dev"] == pytest.approx(expected["dev"], abs=1e-5)
    assert actual["checkpoint"] == os.path.join(settings["output_dir"], "best", "model.ckpt-4")
    assert_same_variables(actual["checkpoint"], expected["checkpoint"], 1e-6)
    assert_same_variables(latest(settings), latest(whole), 1e-6)
    assert [entry["step"] for entry in actual["history"]] == [2, 4, 6, 8, 10]


def test_selection(tmp_path):
    folder = str(tmp_path)

    def checkpoint(step, content):
        for suffix in (".index", ".data-00000-of-00001", ".meta"):
            (tmp_path / ("model.ckpt-%d%s" % (step, suffix))).write_text(content)
        return str(tmp_path / ("model.ckpt-%d" % step))

    nan = float("nan")
    selection = Selection(folder, "pearson")
    assert selection.best is None
    assert selection.evaluations_since_best() == 0
    for step, value, best in ((1, nan, 1), (2, -0.5, 2), (3, nan, 2), (4, 0.1, 4), (5, 0.1, 4)):
        selection.add(checkpoint(step, str(step)), step, {"pearson": value})
        assert selection.best["step"] == best
        assert selection.evaluations_since_best() == step - best
        assert read_text(folder, "best", "model.ckpt-%d.index" % best) == str(best)
        assert names(os.path.join(folder, "best"), "model*") == [
            "model.ckpt-%d%s" % (best, suffix) for suffix in (".data-00000-of-00001", ".index")
        ]
    again = Selection(folder, "pearson")
    assert again.best == selection.best
    assert [entry["step"] for entry in again.history] == [1, 2, 3, 4, 5]
    again.resume(3)
    assert [entry["step"] for entry in again.history] == [1, 2, 3]
    assert again.best["step"] == 4
    again.add(checkpoint(4, "new"), 4, {"pearson": 0.2})
    assert read_text(folder, "best", "model.ckpt-4.index") == "new"
    # Half of a checkpoint is none.
    os.remove(os.path.join(folder, "best", "model.ckpt-4.index"))
    assert model_folder.best_checkpoint(folder) is None
    again.add(checkpoint(5, "5"), 5, {"pearson": 0.3})
    again.resume(0)
    assert (again.best, again.history) == (None, [])
    assert model_folder.best_checkpoint(folder) is None


def test_less_loss_is_better():
    assert best_checkpoint.is_better("eval_loss", 0.5, 0.6)
    assert not best_checkpoint.is_better("eval_loss", 0.6, 0.5)
    assert best_checkpoint.is_better("f1", 0.6, 0.5)
    assert not best_checkpoint.is_better("f1", 0.5, 0.5)


@pytest.mark.slow
def test_another_metric_chooses(task):
    run(task, do_train=True, do_eval=True, best_metric="eval_loss", **EVERY_2)
    history = results_of(task)["history"]
    losses = {entry["step"]: entry["scores"]["eval_loss"] for entry in history}
    assert results_of(task)["dev"]["global_step"] == min(losses, key=losses.get)
    message = bad(task, best_metric="accuracy")
    assert "no score 'accuracy'" in message
    assert "expected one of eval_accuracy, eval_loss, f1" in message


@pytest.mark.slow
def test_folder_of_the_reference_gets_a_best(task):
    """A folder whose checkpoints were not evaluated in training."""
    run(task, do_train=True, eval_during_training=False, save_checkpoints_steps=2)
    assert model_folder.best_checkpoint(task["output_dir"]) is None
    with scripted(ACCURACIES):
        run(task, do_eval=True)
    best = model_folder.read_best(task["output_dir"])
    assert (best["step"], results_of(task)["dev"]["eval_accuracy"]) == (4, 0.8)


@pytest.mark.slow
def test_training_without_a_dev_file(task, caplog):
    os.remove(os.path.join(task["data_dir"], "dev.txt"))
    run(task, do_train=True)
    assert "no best checkpoint is kept" in caplog.text
    assert latest(task).endswith("model.ckpt-10")
    assert "history" not in results_of(task) or not results_of(task)["history"]


# The test file


@pytest.mark.slow
def test_scores_of_the_test_file_choose_nothing(task, capsys):
    folder = task["output_dir"]
    with scripted(ACCURACIES):
        run(task, do_train=True, do_eval=True, do_eval_test=True, **EVERY_2)
    best = os.path.join(folder, "best", "model.ckpt-4")
    results = results_of(task)
    assert results["tested_with"] == results["checkpoint"] == best
    assert results["test"]["global_step"] == results["dev"]["global_step"] == 4
    assert (results["test_examples"], results["dev_examples"]) == (7, 11)
    assert "predicted_with" not in results
    report = read_text(folder, score_files.TEST_EVAL_FILE)
    assert report.startswith("***** Eval results %s *****\neval_accuracy = " % best)
    assert "***** Eval results %s *****\neval_accuracy = " % best in capsys.readouterr().out
    assert report.count("Eval results") == 1
    assert names(task["data_dir"]) == ["dev.txt", score_files.EVAL_FILE] + [
        "test.txt",
        "train.txt",
    ]
    assert {"test_misclassified.tsv", "dev_misclassified.tsv"} <= set(names(folder))
    history = json.loads(read_text(folder, "dev_history.json"))

    # Alone, with the latest; the prediction scores the same.
    run(task, do_eval_test=True, do_predict=True, select_checkpoint="latest")
    results = results_of(task)
    assert results["test"]["global_step"] == 10
    assert results["tested_with"] == results["predicted_with"] == latest(task)
    assert results["dev"]["global_step"] == 4
    rows = [line.split("\t") for line in read_text(folder, "test_results.tsv").splitlines()]
    labels = [line[-1] for line in read_text(task["data_dir"], "test.txt").splitlines()[1:]]
    hits = [int(np.argmax(np.array(row, float))) == int(label) for row, label in zip(rows, labels)]
    assert results["test"]["eval_accuracy"] == pytest.approx(np.mean(hits))
    last = read_text(folder, score_files.TEST_EVAL_FILE)
    assert "***** Eval results %s *****" % latest(task) in last
    assert json.loads(read_text(folder, "dev_history.json")) == history
    assert model_folder.read_best(folder)["step"] == 4
    run(task, do_predict=True)
    assert read_text(folder, score_files.TEST_EVAL_FILE) == report


@pytest.mark.slow
def test_a_short_run_has_a_curve(task, capsys):
    """Ten steps: five evaluations, the training loss in between, and each number once."""
    run(task, do_train=True, do_eval=True)
    history = results_of(task)["history"]
    assert [entry["step"] for entry in history] == [2, 4, 6, 8, 10]
    output = capsys.readouterr().out
    assert "Training on 40 examples, 10 steps of 8, 1 of them warm-up.\n" in output
    assert re.search(r"^eval_loss = \S+  \(loss, mean over the examples\)$", output, re.M)
    assert not re.search("^loss = ", output, re.M)
    assert not any("loss" in entry["scores"] for entry in history)
    results = results_of(task)
    assert set(results["meanings"]) == set(results["dev"])
    assert "loss" not in results["dev"]
    # The reference's file has both.
    assert re.search("^loss = ", read_text(task["output_dir"], score_files.EVAL_FILE), re.M)
    entries = curves.read_metrics(task["output_dir"])
    steps, losses = curves.points(entries, curves.TRAIN)["loss"]
    assert steps == list(range(1, 11)) and np.isfinite(losses).all()
    found = curves.points(entries, curves.EVAL)
    assert found["loss"][1] == [entry["scores"]["eval_loss"] for entry in history]
    assert found["accuracy"][0] == [2, 4, 6, 8, 10]

    # A second time there is nothing to do.
    run(task, do_train=True)
    output = capsys.readouterr().out
    assert "Nothing left to train: %s is at step 10 of 10.\n" % task["output_dir"] in output
    assert "Training on" not in output
    assert curves.read_metrics(task["output_dir"]) == entries


def test_test_file_without_labels(task, tmp_path):
    rows = ["%s\t%s\t%d" % (text, text, index % 2) for index, text in enumerate(SENTENCES)]
    settings = dict(task, task_name="custom", text_a="0", text_b="1", label="2", header="no")
    settings["train_file"] = write_lines(tmp_path / "train.tsv", rows)
    settings["test_file"] = write_lines(tmp_path / "test.tsv", [row[:-2] for row in rows])
    message = bad(settings, do_eval_test=True)
    assert "--do_eval_test: the test file of --task_name=custom has no labels" in message
    lines = [json.dumps({"sentence1": text, "sentence2": text, "label": "0"}) for text in SENTENCES]
    for name in ("train", "test"):
        write_lines(tmp_path / "data" / (name + ".json"), lines)
    message = bad(task, task_name="afqmc", do_eval_test=True)
    assert "--do_eval_test: the test file of --task_name=afqmc has no labels" in message
    assert latest(task) is None  # found before training


# Stopping early, and chance


@pytest.mark.parametrize("name,flag", [("dev", "do_eval"), ("test", "do_predict")])
def test_bad_file_is_found_before_training(task, name, flag):
    path = os.path.join(task["data_dir"], name + ".txt")
    with open(path, "a", encoding="utf-8") as handle:
        handle.write("a\tb\t7\n")
    expected = r"%s\.txt, line \d+: label '7'; expected one of 0, 1" % name
    assert re.search(expected, bad(task, **{flag: True}))
    assert latest(task) is None


@pytest.mark.slow
def test_early_stopping(task, capsys):
    accuracies = dict.fromkeys(range(12, 22, 2), 0.9)
    accuracies.update(ACCURACIES)
    settings = dict(task, early_stopping=2, num_train_epochs=4, **EVERY_2)
    with scripted(accuracies):
        run(settings, do_train=True)
        assert latest(task).endswith("model.ckpt-8")  # the best is 4
        assert "Stopped early at step 8." in capsys.readouterr().out
        run(settings, do_train=True)
        assert latest(task).endswith("model.ckpt-8")
        assert "Stopped early at step 8." in capsys.readouterr().out


def test_warning_at_chance(caplog):
    config = configuration.BertConfig(10, hidden_size=1024, num_attention_heads=2)
    options = FinetuningSettings(init_checkpoint="x", learning_rate=1e-3)
    labels = [0, 0, 0, 1]

    def warning(*scores):
        history = [{"step": 1, "scores": score} for score in scores]
        return reports.chance_warning(config, options, labels, history)

    assert warning() is None
    assert warning({"eval_accuracy": 0.75}, {"eval_accuracy": 0.8}) is None
    message = warning({"eval_accuracy": 0.75}, {"eval_accuracy": 0.5})
    assert "best 0.750; always the same answer: 0.750" in message
    assert "lower --learning_rate (now 0.001; for a model of this size start with 2e-5)" in message
    assert "--init_checkpoint" not in message
    for rate, advice in ((2e-5, None), (1e-5, "raise --learning_rate (now 1e-05;")):
        options = options._replace(learning_rate=rate)
        message = warning({"eval_accuracy": 0.5})
        assert "lower" not in message and message.count("train for more epochs") == 1
        assert (advice or "check that labels") in message
        assert ("--learning_rate" in message) == (advice is not None)
    options = options._replace(init_checkpoint=None)
    assert "--init_checkpoint" in warning({"eval_accuracy": 0.75})
    assert "Pearson 0.050" in warning({"pearson": -0.05}, {"pearson": 0.01})
    assert warning({"pearson": -0.5}) is None


@pytest.mark.slow
def test_run_at_chance_is_reported(task, caplog):
    with scripted(dict.fromkeys(ACCURACIES, 0.3)):
        run(task, do_train=True, do_eval=True, **EVERY_2)
    assert "stays at chance" in caplog.text
    assert "stays at chance" in results_of(task)["warning"]


# Several seeds


@pytest.mark.slow
def test_seeds(task, tmp_path, capsys):
    settings = dict(task, learning_rate=0.01, seed=7, seeds=2)
    run(settings, do_train=True, do_eval=True, do_predict=True)
    folders = [os.path.join(task["output_dir"], "seed_%d" % seed) for seed in (7, 8)]
    each = [results_of(dict(task, output_dir=folder)) for folder in folders]
    assert each[0]["dev"]["eval_loss"] != each[1]["dev"]["eval_loss"]
    results = results_of(task)
    summary = results["seeds"]
    assert summary["seeds"] == [7, 8]
    for set_type in ("dev", "test"):
        for name in ("eval_accuracy", "eval_loss"):
            values = [one[set_type][name] for one in each]
            assert summary[set_type][name] == {
                "values": values,
                "mean": pytest.approx(np.mean(values)),
                "standard_deviation": pytest.approx(abs(values[0] - values[1]) / np.sqrt(2)),
            }
    accuracies = [one["dev"]["eval_accuracy"] for one in each]
    best = int(accuracies[1] > accuracies[0])
    assert summary["best_seed"] == 7 + best
    assert results["dev"] == each[best]["dev"]
    predictions = [read_text(folder, "test_results.tsv") for folder in folders]
    assert predictions[0] != predictions[1]
    assert read_text(task["output_dir"], "test_results.tsv") == predictions[best]
    output = capsys.readouterr().out
    deviation = summary["dev"]["eval_accuracy"]["standard_deviation"]
    expected = "dev eval_accuracy of 2 seeds: %.4f ± %.4f (" % (np.mean(accuracies), deviation)
    assert expected in output
    # The same seeds again: nothing is trained, the numbers stay.
    run(settings, do_train=True, do_eval=True)
    assert results_of(task)["seeds"]["dev"] == summary["dev"]
    # Dropout, order and head are functions of the seed.
    alone = dict(task, learning_rate=0.01, seed=8, output_dir=str(tmp_path / "alone"))
    run(alone, do_train=True)
    seed_7, seed_8 = (os.path.join(folder, "model.ckpt-10") for folder in folders)
    assert_same_variables(latest(alone), seed_8, 1e-5)
    first, second = (tf.train.load_variable(path, "output_weights") for path in (seed_7, seed_8))
    assert np.abs(first - second).max() > 1e-3


# Options of training


def test_step_counts():
    options = FinetuningSettings(train_batch_size=32, num_train_epochs=3.0, warmup_proportion=0.1)
    counts = model_fn.step_counts
    assert counts(1000, options) == (93, 9)  # 93.75 and 9.3, rounded down
    assert counts(1000, options._replace(num_warmup_steps=20)) == (93, 20)
    assert counts(1000, options._replace(num_warmup_steps=0)) == (93, 0)
    assert counts(1000, options._replace(num_train_steps=50)) == (50, 5)
    with pytest.raises(InputError, match="make no step"):
        counts(10, options)


def train_without_dropout(folder, init_checkpoint=None, **settings):
    """Latest checkpoint of a run whose start does not depend on the graph's size."""
    task = make_task(folder)
    if init_checkpoint:
        settings["init_checkpoint"] = init_checkpoint
    run(task, do_train=True, head_dropout=0, eval_during_training=False, **settings)
    assert latest(task).endswith("model.ckpt-10")
    for name, value in settings.items():
        assert results_of(task)["settings"][name] == value
    return latest(task)


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """Checkpoint of the first step, head included, from which the runs below start."""
    latest_checkpoint = train_without_dropout(tmp_path_factory.mktemp("start"))
    return latest_checkpoint.replace("ckpt-10", "ckpt-0")


@pytest.fixture(scope="module")
def default_run(tmp_path_factory, start):
    """Latest checkpoint; all other runs below differ in one option."""
    return train_without_dropout(tmp_path_factory.mktemp("default"), start)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name,value", [("pad_to_max_length", True), ("gradient_accumulation_steps", 4)]
)
def test_padding_and_parts_of_a_batch_change_nothing(tmp_path, start, default_run, name, value):
    now = train_without_dropout(tmp_path, start, **{name: value})
    moved = tf.train.load_variable(now, "output_weights")
    assert np.abs(moved - tf.train.load_variable(start, "output_weights")).max() > 1e-5
    assert_same_variables(now, default_run, 1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {"optimizer": "lamb"},
        {"layerwise_decay": 0.5},
        {"adversarial_epsilon": 1.0},
        {"num_warmup_steps": 5},
        {"num_train_steps": 10, "num_train_epochs": 9, "length_window": 1, "shuffle_buffer": 3},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_options_have_an_effect(tmp_path, start, default_run, settings):
    default = variables(default_run)
    now = variables(train_without_dropout(tmp_path, start, **settings))
    name = "bert/embeddings/word_embeddings"
    assert np.isfinite(now[name]).all()
    assert np.abs(now[name] - default[name]).max() > 1e-6


@pytest.mark.slow
def test_balanced_classes_count_the_same(task, tmp_path, capsys):
    """With equal texts and a rate of 0 the loss has one value for each label."""
    rows = ["%s\t%s\t%d" % (*SENTENCES[:2], label) for label in [0] * 24 + [1] * 8]
    for name in ("train", "test"):
        write_lines(tmp_path / "data" / (name + ".txt"), ["a\tb\tlabel"] + rows)
    settings = dict(task, learning_rate=0, num_train_epochs=1, head_dropout=0)
    settings["save_checkpoints_steps"] = 4  # one evaluation: its training loss is of all steps
    run(settings, do_train=True, do_predict=True, class_weights="balanced")
    assert "Class weights: 0 0.667, 1 2." in capsys.readouterr().out
    row = read_text(task["output_dir"], "test_results.tsv").splitlines()[0]
    losses = -np.log(np.array(row.split("\t"), float))
    assert abs(losses[0] - losses[1]) > 1e-3
    train_loss = results_of(task)["history"][-1]["scores"]["train_loss"]
    assert train_loss == pytest.approx(np.mean(losses), abs=1e-5)


@pytest.mark.parametrize(
    "settings,expected",
    [
        ({"gradient_accumulation_steps": 3}, "8 is not a multiple of .* 3"),
        ({"adversarial_epsilon": 1, "reference_clip_norm": True}, "adversarial_epsilon does not"),
        ({"gradient_accumulation_steps": 2, "use_tpu": True}, "does not work with --use_tpu"),
        ({"early_stopping": 2, "use_tpu": True}, "early_stopping does not work with --use_tpu"),
        ({"early_stopping": 2, "eval_during_training": False}, "needs --eval_during_training"),
        ({"layerwise_decay": 0}, "layerwise_decay is 0"),
        ({"seeds": 2}, "--seeds .* pass --do_eval"),
    ],
)
def test_flags_that_do_not_fit(task, settings, expected):
    assert re.search(expected, bad(task, **settings))


@pytest.mark.slow
def test_results_have_all_settings_and_nothing_of_absl(task):
    run(task, do_train=True, do_eval=True)
    results = results_of(task)
    settings = results["settings"]
    for name in RESULT_FLAGS:
        assert name in settings
    assert settings["train_batch_size"] == 8
    assert not {"verbosity", "albert_config_file", "train_step"} & set(settings)
    assert results["config"]["hidden_size"] == 16
    assert results["training"]["steps"] == 10
    assert results["training"]["examples_per_second"] > 0
    assert (results["train_examples"], results["dev_examples"]) == (40, 11)
    assert results["versions"]["tensorflow"] == tf.__version__


# Flags must be those of training


@pytest.mark.slow
@pytest.mark.parametrize("action", ["do_eval", "do_predict"])
def test_other_flags_than_in_training_are_refused(trained, action):
    for name, value, expected in (
        ("max_seq_length", 20, "trained with max_seq_length 24, but this run has 20"),
        ("pooling", "mean", "trained with pooling cls, but this run has mean"),
        ("do_lower_case", False, "trained with do_lower_case True, but this run has False"),
    ):
        with pytest.raises(InputError) as error:
            run(trained, **{name: value, action: True})
        assert expected in str(error.value)
        assert "task.json" in str(error.value)
        run(trained, allow_changed_settings=True, **{name: value, action: True})


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    task = make_task(tmp_path_factory.mktemp("trained"))
    run(task, do_train=True)
    return task


def test_other_labels_than_in_training_are_refused(trained, tmp_path):
    rows = ["%s\t%s\t%s" % (text, text, label) for text in SENTENCES for label in "abc"]
    path = write_lines(tmp_path / "data.tsv", rows)
    task = dict(trained, task_name="custom", text_a="0", text_b="1", label="2", header="no")
    task.update(train_file=path, dev_file=path)
    with pytest.raises(InputError, match="trained with labels .*'0', '1'.* has .*'a', 'b', 'c'"):
        run(task, do_eval=True)


# What TPUs need


@pytest.mark.parametrize("set_type,count", [("dev", 11), ("test", 7)])
def test_outputs_from_records(trained, set_type, count):
    """From full batches of record files the outputs are the same, without the padding's."""
    values = flags.FlagValues()
    define_flags(values)
    settings = dict(trained, do_predict=True, eval_batch_size=3, predict_batch_size=4)
    values(["run_classifier.py"] + arguments(settings))
    options = own_settings(values)
    config = configuration.load_config(trained["bert_config_file"])
    one_run = Run.prepare(config, options)
    expected = one_run.evaluator.outputs(latest(trained), set_type)
    one_run.close()
    actual = outputs_from_records(config, one_run.data, options, latest(trained), set_type)
    probabilities = [outputs.answers["probabilities"] for outputs in (actual, expected)]
    assert probabilities[0].shape == probabilities[1].shape == (count, 2)
    np.testing.assert_allclose(*probabilities, rtol=0, atol=1e-6)
    np.testing.assert_allclose(actual.losses, expected.losses, rtol=0, atol=1e-6)


# Other kinds of tasks


@pytest.mark.slow
def test_own_data(tmp_path):
    task = make_task(tmp_path)
    lines = ["id,question,class"] + [
        '%d,"%s, %s",%s' % (number, text, text, "abc"[number % 3])
        for number, text in enumerate(SENTENCES * 3)
    ]
    path = write_lines(tmp_path / "own.csv", lines)
    own = dict(task, task_name="custom", text_a="question", label="class")
    own.update(train_file=path, dev_file=path, test_file=path)
    del own["data_dir"]
    run(own, do_train=True, do_eval=True, do_predict=True)
    assert json.loads(read_text(own["output_dir"], "task.json"))["labels"] == ["a", "b", "c"]
    rows = read_text(own["output_dir"], "test_results.tsv").splitlines()
    assert [len(row.split("\t")) for row in rows] == [3] * 24


@pytest.mark.slow
def test_regression(tmp_path):
    task = make_task(tmp_path)
    lines = [
        json.dumps({"s": text, "score": 0.5 * len(set(text))}) for text in SENTENCES for _ in "123"
    ]
    path = write_lines(tmp_path / "own.jsonl", lines)
    own = dict(task, task_name="custom", text_a="s", label="score", regression=True)
    own.update(train_file=path, dev_file=path, test_file=path, learning_rate=0.01)
    run(own, do_train=True, do_eval=True, do_predict=True, num_train_epochs=8)
    dev = results_of(own)["dev"]
    assert {"pearson", "spearman", "MSE", "eval_loss"} <= set(dev)
    assert dev["MSE"] == pytest.approx(dev["eval_loss"], rel=1e-5)
    assert tf.train.load_variable(latest(own), "output_weights").shape == (1, 16)
    rows = read_text(own["output_dir"], "test_results.tsv").splitlines()
    values = np.array(rows, np.float32)
    labels = [json.loads(line)["score"] for line in lines]
    assert np.mean(np.square(values - labels)) == pytest.approx(dev["MSE"], rel=1e-4)
    report = read_text(own["output_dir"], score_files.EVAL_FILE)
    assert re.search("(?m)^pearson = -?[0-9.e-]+$", report)


def test_list_tasks(capsys):
    run({}, list_tasks=True)
    output = capsys.readouterr().out
    for name in ("lcqmc_pair", "iflytek", "sts-b", "cluewsc2020"):
        assert re.search("(?m)^%s\n  files " % name, output)


@pytest.mark.slow
def test_sentencepiece_and_google_checkpoint(golden, tmp_path):
    """The google family with a SentencePiece model, from text to prediction."""
    config = dict(TINY_CONFIG, vocab_size=500, num_hidden_groups=1)
    del config["ln_type"]
    task = make_task(tmp_path, config)
    del task["vocab_file"]
    model = os.path.join(golden, "data", "spm500.model")
    run(task, do_train=True, do_eval=True, do_predict=True, spm_model_file=model)
    shapes = checkpoints.read_shapes(model_folder.best_checkpoint(task["output_dir"]))
    assert checkpoints.checkpoint_family(shapes) == configuration.GOOGLE
    assert "spiece.model" in names(os.path.join(task["output_dir"], "best"))
