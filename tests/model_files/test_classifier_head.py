"""The head of a classifier, read from its folder."""

import pytest

from albert.basics.errors import InputError
from albert.model_files import model_folder
from albert.model_files.classifier_head import ClassifierHead

TASK = {"labels": ["a", "b", "c"], "max_seq_length": 20}


def files_of(task):
    return model_folder.ModelFiles("model.ckpt", "config.json", "vocab.txt", None, task)


def read(task, num_labels):
    """Head and names of the labels of a folder."""
    files = files_of(task)
    head = model_folder.classifier_head(files, {"output_weights": [num_labels, 16]})
    return head, model_folder.label_names(files, head)


@pytest.mark.parametrize(
    "task, num_labels, head, names",
    [
        (TASK, 3, ClassifierHead(3), ["a", "b", "c"]),
        ({}, 2, ClassifierHead(2), ["0", "1"]),
        # Without names of labels one output is a number; a single class has a name.
        ({}, 1, ClassifierHead(1, regression=True), []),
        ({"labels": [None]}, 1, ClassifierHead(1, regression=True), []),
        ({"labels": ["a"]}, 1, ClassifierHead(1), ["a"]),
        (dict(TASK, pooling="cls"), 3, ClassifierHead(3), ["a", "b", "c"]),
        (
            dict(TASK, pooling="mean"),
            3,
            ClassifierHead(3, "mean", fixed_length=20),
            ["a", "b", "c"],
        ),
        (dict(TASK, pooling="masked_mean"), 3, ClassifierHead(3, "masked_mean"), ["a", "b", "c"]),
    ],
)
def test_head_of_a_folder(task, num_labels, head, names):
    assert read(task, num_labels) == (head, names)


@pytest.mark.parametrize("labels", [["a", "b"], [None]])
def test_other_number_of_labels(labels):
    with pytest.raises(InputError, match=r"model\.ckpt has 3 labels, but task\.json beside it nam"):
        read({"labels": labels}, 3)


def test_no_classifier():
    with pytest.raises(InputError, match=r"model\.ckpt: no classifier \(it has no 'output_weights"):
        model_folder.classifier_head(files_of(TASK), {"bert/pooler/dense/bias": [16]})
