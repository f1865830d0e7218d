"""Images of an evaluation; they need matplotlib, which is optional."""

import numpy as np
from absl import logging

from albert.basics import figures

# Larger matrices are drawn without numbers and names.
_MAX_LABELS_SHOWN = 30
# Fonts with Chinese characters, as far as they are installed.
_FONTS = ("Noto Sans CJK SC", "Source Han Sans SC", "WenQuanYi Micro Hei", "SimHei", "PingFang SC")


def available():
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


def plot_confusion_matrix(counts, labels, path):
    """Writes a PNG.

    Args:
        counts: ints `[num_labels, num_labels]`; rows are the labels, columns the answers.
        labels: list of strings.
        path: file to write.
    """
    import matplotlib

    counts = np.asarray(counts)
    few = len(labels) <= _MAX_LABELS_SHOWN
    size = 3 + 0.4 * min(len(labels), _MAX_LABELS_SHOWN)
    names, font = _names_and_font(labels)
    with matplotlib.rc_context(font):
        figure = figures.make_figure(size, size)
        axes = figure.subplots()
        # Colours show shares of a row: classes may differ much in size.
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        axes.set_xlabel("predicted")
        axes.set_ylabel("label")
        if few:
            axes.set_xticks(range(len(names)))
            axes.set_xticklabels(names, rotation=90)
            axes.set_yticks(range(len(names)))
            axes.set_yticklabels(names)
            for (row, column), count in np.ndenumerate(counts):
                color = "white" if shares[row, column] > 0.5 else "black"
                axes.text(column, row, str(count), ha="center", va="center", color=color)
        figures.save(figure, path)


def plot_learning_curve(history, path):
    """Writes a PNG: every score over the steps, losses in a panel of their own.

    Args:
        history: list of (step, dict of str to float).
        path: file to write.
    """
    figure = figures.make_figure(8, 6)
    panels = figure.subplots(2, 1, sharex=True)
    steps = [step for step, _ in history]
    keys = sorted({key for _, scores in history for key in scores if key != "global_step"})
    for key in keys:
        in_losses = "loss" in key or key == "MSE"
        values = [scores.get(key, np.nan) for _, scores in history]
        panels[int(in_losses)].plot(steps, values, marker="o", label=key)
    for axes, title in zip(panels, ("scores", "losses")):
        axes.set_ylabel(title)
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend(loc="best", fontsize="small")
    panels[1].set_xlabel("step")
    figures.save(figure, path)


def _names_and_font(labels):
    """Names of labels that can be drawn, their ids if no font has them; matplotlib settings."""
    from matplotlib import font_manager

    if all(ord(character) < 128 for label in labels for character in label):
        return labels, {}
    installed = {font.name for font in font_manager.fontManager.ttflist}
    fonts = [name for name in _FONTS if name in installed]
    if not fonts:
        return [str(index) for index in range(len(labels))], {}
    return labels, {"font.family": fonts[0]}
