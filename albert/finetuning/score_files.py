"""The files of scores that every kind of task has: the reference's report, the learning curve."""

import os

import numpy as np
from absl import logging

from albert.basics import figures, storage
from albert.training import curves

EVAL_FILE = "eval_results_albert_zh.txt"
TEST_EVAL_FILE = "eval_test_results_albert_zh.txt"

# What the console and results.json say of each score.
MEANINGS = {
    "MSE": "mean squared error",
    "eval_accuracy": "share of right answers",
    "eval_loss": "loss, mean over the examples",
    "f1": "F1 of the second label",
    "global_step": "step of training",
    "macro_f1": "mean of the labels' F1",
    "matthew_corr": "Matthews correlation with the labels",
    "pearson": "Pearson correlation with the labels",
    "question_accuracy": "share of questions answered right",
    "spearman": "Spearman correlation with the labels",
    "train_loss": "training loss, mean since the evaluation before",
}


def told(scores):
    """The scores without what says the same: the reference's file alone has `loss`, too.

    That is the mean over the batches of their mean losses, `eval_loss` but for a short last batch.
    """
    return {name: value for name, value in scores.items() if name != "loss"}


def write_scores(keys, scores, paths):
    """Writes the scores of checkpoints as the reference does; prints each once, with its meaning.

    Args:
        keys: what to write of the scores, besides the losses and the step.
        scores: list of (checkpoint, dict of scores).
        paths: files to write; one that cannot be written is only reported.
    """
    lines, printed = [], []
    for checkpoint, values in scores:
        title = "***** Eval results %s *****\n" % checkpoint
        lines.append(title)
        printed.append(title)
        wanted = {"eval_loss", "loss", "global_step"} | set(keys)
        for key in sorted(wanted & set(values)):
            value = values[key] if key == "global_step" else np.float32(values[key])
            lines.append("%s = %s\n" % (key, value))
            if key in told(values):
                meaning = "  (%s)" % MEANINGS[key] if key in MEANINGS else ""
                printed.append("%s = %s%s\n" % (key, value, meaning))
    print("".join(printed), end="")
    report = "".join(lines)
    for path in paths:
        try:
            with storage.atomic_write(path) as handle:
                handle.write(report)
        except OSError as error:  # data may lie on a read-only disk
            logging.warning("%s: not written (%s).", path, error.strerror)


def can_draw():
    """Whether matplotlib is installed; says so once if not."""
    if figures.available():
        return True
    logging.log_first_n(
        logging.WARNING,
        "No confusion matrix and learning curve are drawn: the package matplotlib is not "
        "installed; run 'pip install matplotlib' for them.",
        1,
    )
    return False


def write_learning_curve(history, output_dir, prefix):
    """Draws ``learning_curve.png`` where there is something to draw, and matplotlib.

    Args:
        history: list of dicts with "step" and "scores", one for each evaluation; may be empty.
        output_dir: folder, which exists.
        prefix: of the file's name.

    Returns:
        List of the paths written.
    """
    if not can_draw() or not history:
        return []
    path = os.path.join(output_dir, prefix + "learning_curve.png")
    log = os.path.join(output_dir, curves.METRICS_FILE)
    entries = curves.read_metrics(log) if storage.exists(log) else []
    figures.save(draw_learning_curve(history, entries), path)
    return [path]


def draw_learning_curve(history, entries):
    """Figure of every score over the steps, losses in a panel of their own.

    Args:
        history: see `write_learning_curve`.
        entries: lines of the run's metrics file, which have the training loss between evaluations
            too; may be empty.
    """
    figure = figures.make_figure(8, 6)
    panels = figure.subplots(2, 1, sharex=True)
    steps = [entry["step"] for entry in history]
    keys = {key for entry in history for key in told(entry["scores"])} - {"global_step"}
    if "eval_loss" in keys:  # of a regression it is the same
        keys.discard("MSE")
    train_steps, train_losses = curves.points(entries, curves.TRAIN).get("loss", ([], []))
    if train_steps:
        keys.discard("train_loss")
        panels[1].plot(train_steps, train_losses, "-", color="gray", label="train_loss")
    for key in sorted(keys):
        in_losses = "loss" in key or key == "MSE"
        values = [entry["scores"].get(key, np.nan) for entry in history]
        panels[int(in_losses)].plot(steps, values, marker="o", label=key)
    for axes, title in zip(panels, ("scores", "losses")):
        axes.set_ylabel(title)
        axes.grid(alpha=0.3)
        figures.legend_beside(axes)
    panels[1].set_xlabel("step")
    return figure
