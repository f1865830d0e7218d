"""The files of scores that every kind of task has: the reference's report, the learning curve."""

import os

import numpy as np
from absl import logging

from albert.basics import figures, storage

EVAL_FILE = "eval_results_albert_zh.txt"
TEST_EVAL_FILE = "eval_test_results_albert_zh.txt"


def write_scores(keys, scores, paths):
    """Prints and writes the scores of checkpoints as the reference does.

    Args:
        keys: what to write of the scores, besides the losses and the step.
        scores: list of (checkpoint, dict of scores).
        paths: files to write; one that cannot be written is only reported.
    """
    lines = []
    for checkpoint, values in scores:
        lines.append("***** Eval results %s *****\n" % checkpoint)
        wanted = {"eval_loss", "loss", "global_step"} | set(keys)
        for key in sorted(wanted & set(values)):
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
    _plot(history, path)
    return [path]


def _plot(history, path):
    """Every score over the steps, losses in a panel of their own."""
    figure = figures.make_figure(8, 6)
    panels = figure.subplots(2, 1, sharex=True)
    steps = [entry["step"] for entry in history]
    keys = sorted({key for entry in history for key in entry["scores"]} - {"global_step"})
    for key in keys:
        in_losses = "loss" in key or key == "MSE"
        values = [entry["scores"].get(key, np.nan) for entry in history]
        panels[int(in_losses)].plot(steps, values, marker="o", label=key)
    for axes, title in zip(panels, ("scores", "losses")):
        axes.set_ylabel(title)
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend(loc="best", fontsize="small")
    panels[1].set_xlabel("step")
    figures.save(figure, path)
