"""The files that evaluation and prediction leave in `output_dir` (spec/tasks.md 1.6, 2.3, 3.2)."""

import json
import os

import numpy as np
from absl import logging

from albert.basics import storage
from albert.finetuning.classification import features, metrics
from albert.finetuning.classification.plots import (
    available,
    plot_confusion_matrix,
    plot_learning_curve,
)

EVAL_FILE = "eval_results_albert_zh.txt"
# What the reference's program for the tasks of CLUE calls the same file.
CLUE_EVAL_FILE = "dev_results_albert_zh.txt"
TEST_EVAL_FILE = "eval_test_results_albert_zh.txt"
PREDICT_FILE = "test_results.tsv"
SUBMIT_FILE = "submit_results.tsv"


def write_scores(processor, scores, paths):
    """Prints and writes the scores of checkpoints as the reference does (spec/tasks.md 1.5).

    Args:
        processor: `DataProcessor` of the task.
        scores: list of (checkpoint, dict of scores).
        paths: files to write; one that cannot be written is only reported.
    """
    lines = []
    for checkpoint, values in scores:
        lines.append("***** Eval results %s *****\n" % checkpoint)
        keys = {"eval_loss", "loss", "global_step"} | set(processor.eval_keys)
        for key in sorted(keys & set(values)):
            value = values[key] if key == "global_step" else np.float32(values[key])
            lines.append("%s = %s\n" % (key, value))
    report = "".join(lines)
    print(report, end="")
    for path in paths:
        try:
            with storage.atomic_write(path) as handle:
                handle.write(report)
        except OSError as error:  # data may lie on a read-only disk
            logging.warning("%s: not written (%s).", path, error.strerror)


def write_predictions(processor, task_name, examples, probabilities, labels, output_dir):
    """Writes what the task's reference program writes of a test file.

    Args:
        processor: `DataProcessor` of the task.
        task_name: for the names of the files.
        examples: list of `InputExample`, without padding.
        probabilities: float32 `[number of examples, num_labels]`, or of a regression the values,
            `[number of examples]` or one column.
        labels: `get_labels()` of the task.
        output_dir: folder, which exists.

    Returns:
        List of the paths written.
    """
    rows = np.asarray(probabilities).reshape(len(examples), len(labels))
    answers = metrics.predicted(processor, rows)
    if not processor.is_regression:
        answers = [labels[answer] for answer in answers]
    else:
        answers = [str(value) for value in rows[:, 0]]
    files = {PREDICT_FILE: ("\t".join(map(str, row)) for row in rows)}
    if processor.predict_json:
        files[task_name.lower() + "_predict.json"] = _submission(
            task_name, [processor.submitted_labels.get(answer, answer) for answer in answers]
        )
    if processor.group_size > 1:
        merged = map(str, metrics.choices(processor, rows))
        files[task_name.lower() + "_submit.json"] = _submission(task_name, merged)
    if processor.submit_header is not None:
        header = [processor.submit_header] if processor.submit_header else []
        pairs = ("%s\t%s" % (e.guid, answer) for e, answer in zip(examples, answers))
        files[SUBMIT_FILE] = [*header, *pairs]
    return [_write_lines(output_dir, name, lines) for name, lines in files.items()]


def write_evaluation_report(processor, examples, outputs, output_dir, history=(), prefix="dev_"):
    """Writes what helps to see where a model is wrong.

    Files: ``misclassified.tsv``, ``class_report.txt`` and ``confusion_matrix.png``, not for a
    regression, and ``learning_curve.png``; the images only where matplotlib is installed.

    Args:
        processor: `DataProcessor` of the task.
        examples: list of `InputExample` with real labels, without padding.
        outputs: see `classifier_metrics.predicted`.
        output_dir: folder, which exists.
        history: list of (step, dict of scores), one for each evaluation; may be empty.
        prefix: of the names of the files.

    Returns:
        List of the paths written.
    """

    def name(base):
        return prefix + base

    written = []
    plots = available()
    if not processor.is_regression:
        label_ids = features.label_ids_of(processor, examples)
        rows = misclassified(processor, examples, outputs)
        written.append(_write_lines(output_dir, name("misclassified.tsv"), map("\t".join, rows)))
        report = metrics.class_report(processor, label_ids, outputs)
        written.append(_write_lines(output_dir, name("class_report.txt"), [report.rstrip()]))
        if plots:
            path = os.path.join(output_dir, name("confusion_matrix.png"))
            counts = metrics.confusion_matrix(processor, label_ids, outputs)
            plot_confusion_matrix(counts, processor.get_labels(), path)
            written.append(path)
    if plots and history:
        path = os.path.join(output_dir, name("learning_curve.png"))
        plot_learning_curve(history, path)
        written.append(path)
    return written


def misclassified(processor, examples, outputs):
    """Table of the examples whose label is not the answer, surest errors first.

    Returns:
        List of lists of strings, the first a header: guid, label, answer, probability of the
        answer, text_a, text_b.
    """
    labels = processor.get_labels()
    answers = metrics.predicted(processor, outputs)
    wrong = [
        (float(np.max(row)), example, labels[answer])
        for example, row, answer in zip(examples, np.asarray(outputs), answers)
        if labels[answer] != example.label
    ]
    wrong.sort(key=lambda item: -item[0])
    table = [["guid", "label", "predicted", "probability", "text_a", "text_b"]]
    for probability, example, answer in wrong:
        texts = [" ".join((text or "").split()) for text in (example.text_a, example.text_b)]
        table.append([example.guid, example.label, answer, "%.4f" % probability, *texts])
    return table


def _submission(task_name, answers):
    """Lines of a CLUE submission; ids are running numbers (spec/tasks.md 2.3)."""
    for index, answer in enumerate(answers):
        line = {"id": index, "label": answer}
        if task_name.lower() == "tnews":
            line["label_desc"] = ""
        yield json.dumps(line)


def _write_lines(folder, name, lines):
    path = os.path.join(folder, name)
    with storage.atomic_write(path) as handle:
        handle.writelines(line + "\n" for line in lines)
    return path
