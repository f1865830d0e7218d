"""What tells how a classifier answers: files of an evaluation, a warning about chance."""

import os

import numpy as np
from absl import logging

from albert.basics import figures
from albert.finetuning import score_files
from albert.finetuning.classification import metrics
from albert.finetuning.classification.features import label_ids_of
from albert.finetuning.output_folder import write_lines

# What the reference's program for the tasks of CLUE calls the file of scores.
CLUE_EVAL_FILE = "dev_results_albert_zh.txt"

_PRETRAINED = "start from a pre-trained model (--init_checkpoint)"

# Larger matrices are drawn without numbers and names.
_MAX_LABELS_SHOWN = 30


def write_report(processor, examples, outputs, output_dir, prefix="dev_"):
    """Writes what helps to see where a classifier is wrong; nothing of a regression.

    Files: ``misclassified.tsv``, ``class_report.txt`` and, where matplotlib is installed,
    ``confusion_matrix.png``; with ``confusion_matrix.txt``, the numbers of the labels, where
    their names are not in the picture.

    Args:
        processor: `DataProcessor` of the task.
        examples: list of `InputExample` with real labels, without padding.
        outputs: see `metrics.predicted`.
        output_dir: folder, which exists.
        prefix: of the names of the files.

    Returns:
        List of the paths written.
    """
    if processor.is_regression:
        return []
    label_ids = label_ids_of(processor, examples)
    rows = misclassified(processor, examples, outputs)
    report = metrics.class_report(processor, label_ids, outputs)
    written = [
        write_lines(output_dir, prefix + "misclassified.tsv", map("\t".join, rows)),
        write_lines(output_dir, prefix + "class_report.txt", [report.rstrip()]),
    ]
    if score_files.can_draw():
        path = os.path.join(output_dir, prefix + "confusion_matrix.png")
        counts = metrics.confusion_matrix(processor, label_ids, outputs)
        labels = processor.get_labels()
        figure, has_names = draw_confusion_matrix(counts, labels)
        figures.save(figure, path)
        written.append(path)
        if not has_names:
            name = prefix + "confusion_matrix.txt"
            lines = map("\t".join, zip(map(str, range(len(labels))), labels))
            written.append(write_lines(output_dir, name, lines))
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


def chance_warning(config, settings, label_ids, history):
    """Sentence about a run whose evaluations stay at chance, or None.

    A classifier at chance is not better than always giving the most frequent answer; a regression
    at chance does not correlate with the labels.

    Args:
        config: model config.
        settings: `FinetuningSettings`.
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
    remedies = [] if settings.init_checkpoint else [_PRETRAINED]
    remedies += [*_advice_on_rate(settings.learning_rate, usual_learning_rate(config))]
    remedies.append("train for more epochs")
    if len(remedies) == 1:
        remedies.append("check that labels and texts belong together")
    return "%s: %s, or %s." % (found, ", ".join(remedies[:-1]), remedies[-1])


def usual_learning_rate(config):
    """The README's recommendation for a model of this width."""
    for width, rate in ((384, "1e-4"), (768, "3e-5"), (1024, "2e-5")):
        if config.hidden_size <= width:
            return rate
    return "1e-5 or below"


def _advice_on_rate(rate, usual):
    """Yields what to do about a learning rate that is none of the usual ones, if it is none.

    Args:
        rate: float.
        usual: such as "2e-5", "5e-5 to 2e-5" or "1e-5 or below".
    """
    usual_rates = [float(word) for word in usual.split() if word[0].isdigit()]
    if rate > max(usual_rates):
        verb = "lower"
    elif rate < min(usual_rates) and "below" not in usual:
        verb = "raise"
    else:
        return
    yield "%s --learning_rate (now %g; for a model of this size start with %s)" % (
        verb,
        rate,
        usual,
    )


def draw_confusion_matrix(counts, labels):
    """Draws a matrix.

    Args:
        counts: ints `[num_labels, num_labels]`; rows are the labels, columns the answers.
        labels: list of strings.

    Returns:
        The figure, and whether it names the labels; if not, it numbers them.
    """
    counts = np.asarray(counts)
    size = 3 + 0.4 * min(len(labels), _MAX_LABELS_SHOWN)
    figure = figures.make_figure(size, size)
    axes = figure.subplots()
    # Colours show shares of a row: classes may differ much in size.
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xlabel("predicted")
    axes.set_ylabel("label")
    if len(labels) > _MAX_LABELS_SHOWN:
        return figure, False
    names, font = list(map(figures.plain, labels)), figures.font_for(labels)
    has_names = font is not None
    if not has_names:
        names, font = list(map(str, range(len(labels)))), figures.font_for("0")
        logging.warning(
            "The confusion matrix has numbers for the labels, which the .txt file beside it names: "
            "no installed font has all of their characters; install one, such as the package "
            "fonts-noto-cjk, for their names.",
        )
    axes.set_xticks(range(len(names)))
    axes.set_xticklabels(names, rotation=90, fontproperties=font)
    axes.set_yticks(range(len(names)))
    axes.set_yticklabels(names, fontproperties=font)
    for (row, column), count in np.ndenumerate(counts):
        color = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, str(count), ha="center", va="center", color=color)
    return figure, has_names
