"""The files that evaluation and prediction leave in `output_dir`."""

import os

import numpy as np
from absl import logging

from albert.basics import figures, storage
from albert.finetuning.classification import features, metrics

EVAL_FILE = "eval_results_albert_zh.txt"
# What the reference's program for the tasks of CLUE calls the same file.
CLUE_EVAL_FILE = "dev_results_albert_zh.txt"
TEST_EVAL_FILE = "eval_test_results_albert_zh.txt"


# Larger matrices are drawn without numbers and names.
_MAX_LABELS_SHOWN = 30
# Fonts with Chinese characters, as far as they are installed.
_FONTS = ("Noto Sans CJK SC", "Source Han Sans SC", "WenQuanYi Micro Hei", "SimHei", "PingFang SC")


def write_scores(processor, scores, paths):
    """Prints and writes the scores of checkpoints as the reference does.

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


def write_evaluation_report(processor, examples, outputs, output_dir, history=(), prefix="dev_"):
    """Writes what helps to see where a model is wrong.

    Files: ``misclassified.tsv``, ``class_report.txt`` and ``confusion_matrix.png``, not for a
    regression, and ``learning_curve.png``; the images only where matplotlib is installed.

    Args:
        processor: `DataProcessor` of the task.
        examples: list of `InputExample` with real labels, without padding.
        outputs: see `metrics.predicted`.
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


def _write_lines(folder, name, lines):
    path = os.path.join(folder, name)
    with storage.atomic_write(path) as handle:
        handle.writelines(line + "\n" for line in lines)
    return path


def chance_warning(config, options, label_ids, history):
    """Sentence about a run whose evaluations stay at chance, or None.

    A classifier at chance is not better than always giving the most frequent answer; a regression
    at chance does not correlate with the labels.

    Args:
        config: model config.
        options: `{flag: value}`.
        label_ids: array, the right answers of the evaluations.
        history: list of dicts with "scores".
    """
    if not history:
        return None
    scores = [entry["scores"] for entry in history]
    if "pearson" in scores[0]:
        best = max(abs(score["pearson"]) for score in scores)
        if best >= 0.1:
            return None
        found = "no evaluation correlates with the labels (best Pearson %.3f)" % best
    else:
        share = np.max(np.bincount(label_ids)) / len(label_ids)
        best = max(score["eval_accuracy"] for score in scores)
        if best > share + 0.005:
            return None
        found = "accuracy stays at chance (best %.3f; always the same answer: %.3f)" % (best, share)
    remedy = "lower --learning_rate (now %g; for a model of this size start with %s)" % (
        options.learning_rate,
        usual_learning_rate(config),
    )
    if not options.init_checkpoint:
        remedy = "start from a pre-trained model (--init_checkpoint), " + remedy
    return "%s: %s, or train for more epochs." % (found, remedy)


def usual_learning_rate(config):
    """The README's recommendation for a model of this width."""
    for width, rate in ((384, "1e-4"), (768, "5e-5 to 2e-5"), (1024, "2e-5")):
        if config.hidden_size <= width:
            return rate
    return "1e-5 or below"


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
