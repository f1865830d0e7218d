"""A kind of task that the runner does not know: registered by one line, run like any other."""

import json
import os
from typing import Any, NamedTuple

import numpy as np
import pytest
from absl import flags

from albert.basics.errors import InputError
from albert.basics.tf_compat import tf
from albert.finetuning.batches import TEXT_FEATURES, ArraySpec
from albert.finetuning.evaluation import outputs_from_records
from albert.finetuning.flags import define_flags, own_settings
from albert.finetuning.kind import HeadGraph, Kind
from albert.finetuning.kinds import KINDS
from albert.finetuning.output_folder import write_lines
from albert.finetuning.run import Run
from albert.finetuning.tasks import registry
from albert.finetuning.tasks.chinese import LcqmcProcessor
from albert.model_files import checkpoints, configuration, model_folder
from albert.text.encoding import encode_pair
from helpers.tasks import arguments, bad, latest, make_task, read_text, results_of, run

FOUND = frozenset("天么机书")
TAGS_FILE = "tags.txt"


class Sentence(NamedTuple):
    """What the model of the toy kind sees at once: one of an example's two texts."""

    example: Any
    text: str


class ToyTagging(Kind):
    """Tags every token of both texts: is it one of `FOUND`?"""

    features = dict(TEXT_FEATURES, tags=ArraySpec(np.int32, (None,)))
    new_variables = ("tag_weights",)
    answers = {"tags": ArraySpec(np.int32, (None,)), "probabilities": ArraySpec(float, (None, 2))}
    score_names = ("tag_accuracy", "recall", "example_accuracy")

    def instances(self, examples):
        return [
            Sentence(example, text)
            for example in examples
            for text in (example.text_a, example.text_b)
        ]

    def encode(self, instance):
        length = self.settings.max_seq_length
        input_ids, segment_ids = encode_pair(self.tokenizer, instance.text, None, length)
        tokens = self.tokenizer.convert_ids_to_tokens(input_ids)
        tags = [int(token in FOUND) for token in tokens]
        return {"input_ids": input_ids, "segment_ids": segment_ids, "tags": tags}

    def build(self, config, model, features, is_training):
        initializer = tf.truncated_normal_initializer(stddev=0.1)
        weights = tf.get_variable("tag_weights", [config.hidden_size, 2], tf.float32, initializer)
        logits = tf.tensordot(model.get_sequence_output(), weights, 1)
        mask = tf.cast(features["input_mask"], tf.float32)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
            labels=features["tags"], logits=logits
        )
        losses = tf.reduce_sum(losses * mask, 1) / tf.reduce_sum(mask, 1)
        answers = {
            "tags": tf.argmax(logits, -1, output_type=tf.int32),
            "probabilities": tf.nn.softmax(logits),
        }
        scores = {"loss": tf.reduce_mean(losses)} if is_training else {}
        return HeadGraph(losses, answers, scores)

    def scores(self, instances, answers):
        wanted = [np.array(self.encode(instance)["tags"]) for instance in instances]
        hits = [tags == answer for tags, answer in zip(wanted, answers["tags"])]
        by_example = {}
        for instance, hit in zip(instances, hits):
            by_example.setdefault(instance.example.guid, []).append(hit.all())
        return {
            "tag_accuracy": float(np.mean(np.concatenate(hits))),
            "recall": float(np.mean(np.concatenate(hits)[np.concatenate(wanted) == 1])),
            "example_accuracy": float(np.mean([all(each) for each in by_example.values()])),
        }

    def task_entries(self):
        return {"found": "".join(sorted(FOUND))}

    def write_report(self, instances, answers, output_dir, prefix):
        write_lines(output_dir, prefix + "report.txt", ["%d texts" % len(instances)])

    def write_predictions(self, instances, answers, output_dir):
        lines = (
            "%s\t%s\t%s" % (instance.example.guid, instance.text, " ".join(map(str, tags)))
            for instance, tags in zip(instances, answers["tags"])
        )
        return [write_lines(output_dir, TAGS_FILE, lines)]


class ToyProcessor(LcqmcProcessor):
    """Its rows are those of the task `lcqmc`; the labels there mean nothing."""

    kind = "toy tagging"
    metric = "recall"
    eval_keys = ("recall", "example_accuracy")


@pytest.fixture
def task(tmp_path, monkeypatch):
    monkeypatch.setitem(KINDS, "toy tagging", ToyTagging)
    monkeypatch.setitem(registry.TASKS, "toy", ToyProcessor)
    return dict(make_task(tmp_path), task_name="toy", learning_rate=0.03, num_train_epochs=6)


@pytest.mark.slow
def test_a_kind_is_trained_evaluated_and_predicts(task, capsys):
    folder = task["output_dir"]
    run(task, do_train=True, do_eval=True, do_predict=True, save_checkpoints_steps=20)
    output, results = capsys.readouterr().out, results_of(task)
    assert "Training on 80 examples, 60 steps of 8" in output  # 40 pairs
    assert (results["train_examples"], results["dev_examples"]) == (40, 11)
    assert results["metric"] == "recall"
    assert results["dev"]["recall"] > 0.9  # was learnt; all zeros would have 0
    assert results["dev"]["tag_accuracy"] > 0.9

    # The best checkpoint was kept, by the kind's own score.
    best = model_folder.read_best(folder)
    recalls = {entry["step"]: entry["scores"]["recall"] for entry in results["history"]}
    assert set(recalls) == {20, 40, 60}
    assert best["scores"]["recall"] == max(recalls.values()) == recalls[best["step"]]
    assert (
        results["checkpoint"] == results["predicted_with"] == model_folder.best_checkpoint(folder)
    )
    shapes = checkpoints.read_shapes(latest(task))
    assert shapes["tag_weights"] == [16, 2]
    assert "output_weights" not in shapes

    # Files: the runner's, with what the kind says in them, and the kind's.
    content = json.loads(read_text(folder, "task.json"))
    assert content["found"] == "".join(sorted(FOUND))
    assert set(content) == {"task_name", "preprocess_text", "max_seq_length", "do_lower_case"} | {
        "found"
    }
    assert read_text(folder, "dev_report.txt") == "22 texts\n"
    assert not os.path.exists(os.path.join(folder, "dev_misclassified.tsv"))
    report = read_text(folder, "eval_results_albert_zh.txt")
    assert "example_accuracy = " in report and "tag_accuracy" not in report
    assert results["prediction_files"] == [TAGS_FILE]
    rows = [line.split("\t") for line in read_text(folder, TAGS_FILE).splitlines()]
    pairs = read_text(task["data_dir"], "test.txt").splitlines()[1:]
    assert [text for _, text, _ in rows] == [
        text for pair in pairs for text in pair.split("\t")[:2]
    ]
    for _, text, tags in rows:  # without padding: [CLS], the characters, [SEP]
        assert len(tags.split()) == len(text) + 2
    wanted = [int(character in FOUND) for _, text, _ in rows for character in text]
    found = [int(tag) for _, _, tags in rows for tag in tags.split()[1:-1]]
    assert np.mean(np.array(wanted) == found) > 0.9


@pytest.mark.slow
def test_the_runner_asks_the_kind_about_flags_and_earlier_training(task, monkeypatch):
    message = bad(task, best_metric="eval_accuracy")
    assert message == (
        "--best_metric: no score 'eval_accuracy' of this task; expected one of eval_loss, "
        "example_accuracy, recall, tag_accuracy."
    )
    run(task, do_train=True, num_train_epochs=1)
    monkeypatch.setattr(ToyTagging, "task_entries", lambda self: {"found": "others"})
    with pytest.raises(InputError, match="trained with found .*, but this run has others"):
        run(task, do_eval=True)


@pytest.mark.slow
def test_record_files_give_the_same(task):
    """What TPUs need: padded examples in files, full batches."""
    run(task, do_train=True, num_train_epochs=1)
    values = flags.FlagValues()
    define_flags(values)
    values(["run_classifier.py", *arguments(dict(task, do_predict=True, predict_batch_size=4))])
    settings = own_settings(values)
    config = configuration.load_config(task["bert_config_file"])
    one_run = Run.prepare(config, settings)
    expected = one_run.evaluator.outputs(latest(task), "test")
    one_run.close()
    actual = outputs_from_records(config, one_run.data, settings, latest(task), "test")
    np.testing.assert_allclose(actual.losses, expected.losses, rtol=0, atol=1e-6)
    assert len(actual.losses) == 14
    for name, each in expected.answers.items():
        assert len(each) == len(actual.answers[name]) == 14
        for one, other in zip(each, actual.answers[name]):
            np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)


def test_unknown_kind(task, monkeypatch):
    monkeypatch.setattr(ToyProcessor, "kind", "singing")
    message = bad(task)
    assert message == (
        "--task_name: the task is of the kind 'singing'; expected one of classification, "
        "toy tagging."
    )
