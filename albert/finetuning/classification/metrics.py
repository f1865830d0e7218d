"""Scores of predictions, by scikit-learn's definitions."""

import numpy as np
from scipy import stats
from sklearn import metrics

# From so many labels on the binary scores make no sense.
_BINARY = 2


def predicted(processor, outputs):
    """What the model answers.

    Args:
        processor: `DataProcessor` of the task.
        outputs: `[number of examples, num_labels]`, probabilities or logits; of a regression
            `[number of examples]` or one column.

    Returns:
        Array `[number of examples]`: label ids, the first of equals, or float64 values.
    """
    outputs = np.asarray(outputs)
    if processor.is_regression:
        return outputs.reshape(-1).astype(np.float64)
    return np.argmax(outputs, axis=-1)


def compute_metrics(processor, label_ids, outputs):
    """Scores of a set of examples without padding ones, in the order of its file.

    Args:
        processor: `DataProcessor` of the task.
        label_ids: `[number of examples]`, ints, or floats for a regression.
        outputs: see `predicted`.

    Returns:
        Dict of str to float.  Classification: "eval_accuracy", "macro_f1" (over the labels that
        occur or are predicted), "matthew_corr"; of two labels also "f1", the label of id 1 being
        the positive one; where several examples make a question, "question_accuracy".
        Regression: "MSE", "pearson", "spearman".  A correlation with a constant is 0.
    """
    label_ids, answers = np.asarray(label_ids), predicted(processor, outputs)
    if processor.is_regression:
        return {
            "MSE": float(np.mean(np.square(answers - label_ids))),
            "pearson": _correlation(label_ids, answers),
            "spearman": _correlation(stats.rankdata(label_ids), stats.rankdata(answers)),
        }
    scores = {
        "eval_accuracy": metrics.accuracy_score(label_ids, answers),
        "macro_f1": metrics.f1_score(label_ids, answers, average="macro", zero_division=0),
        "matthew_corr": metrics.matthews_corrcoef(label_ids, answers),
    }
    if len(processor.get_labels()) == _BINARY:
        scores["f1"] = metrics.f1_score(label_ids, answers, pos_label=1, zero_division=0)
    if processor.group_size > 1:
        right = choices(processor, np.eye(_BINARY)[label_ids])
        scores["question_accuracy"] = metrics.accuracy_score(right, choices(processor, outputs))
    return {key: float(value) for key, value in scores.items()}


def score_names(processor, num_labels):
    """The keys of `compute_metrics` of a task."""
    label_ids = [0.0, 1.0] if processor.is_regression else [0, 1] * processor.group_size
    outputs = np.zeros([len(label_ids), num_labels])
    return tuple(compute_metrics(processor, label_ids, outputs))


def choices(processor, outputs):
    """Number of the choice of each question: the one with the largest score of label id 1.

    Of equals the first, as in CLUE's conversion of copa, which compares the numbers as text.

    Args:
        outputs: `[number of questions * group_size, 2]`, the choices of a question in a row.

    Returns:
        Array `[number of questions]`.
    """
    return np.argmax(np.asarray(outputs)[:, 1].reshape(-1, processor.group_size), axis=1)


def class_report(processor, label_ids, outputs):
    """Table of precision, recall, F1 and number of examples of each label, with averages."""
    labels = processor.get_labels()
    return metrics.classification_report(
        label_ids,
        predicted(processor, outputs),
        labels=range(len(labels)),
        target_names=labels,
        zero_division=0,
        digits=4,
    )


def confusion_matrix(processor, label_ids, outputs):
    """Counts `[num_labels, num_labels]`: rows are the labels, columns the answers."""
    count = len(processor.get_labels())
    answers = predicted(processor, outputs)
    return metrics.confusion_matrix(label_ids, answers, labels=range(count))


def _correlation(first, second):
    first, second = first - np.mean(first), second - np.mean(second)
    product = np.sqrt(np.sum(np.square(first)) * np.sum(np.square(second)))
    return float(np.sum(first * second) / product) if product > 0 else 0.0
