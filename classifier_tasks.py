"""Classification tasks: one small class for each, registered by name (spec/tasks.md 1.2).

A new task is a subclass of `DataProcessor` with `get_labels` and the three readers, and an entry
in `TASKS`.
"""

import os

from absl import logging

import file_utils
from file_utils import InputError

# More than this share of unusable rows means that the file is not what the task expects.
MAX_MALFORMED_SHARE = 0.01


class InputExample:
    """One example: a text, or a pair of texts, with its label."""

    def __init__(self, guid, text_a, text_b=None, label=None):
        """Takes a unique id and strings; `text_b` is None for single texts."""
        self.guid = guid
        self.text_a = text_a
        self.text_b = text_b
        self.label = label


class PaddingInputExample:
    """Fills the last batch on TPU, where every batch must be full; never counted."""


class DataProcessor:
    """Reads the files of one task."""

    def __init__(self):
        self.malformed = {}  # file name -> line numbers of rows that were dropped
        self.num_rows = {}  # file name -> number of rows after the header

    def get_train_examples(self, data_dir):
        """List of `InputExample` for training."""
        raise NotImplementedError

    def get_dev_examples(self, data_dir):
        """List of `InputExample` for evaluation."""
        raise NotImplementedError

    def get_test_examples(self, data_dir):
        """List of `InputExample` for prediction."""
        raise NotImplementedError

    def get_labels(self):
        """List of label strings; the index is the label's id."""
        raise NotImplementedError

    def _read_tsv(self, path):
        """Rows of a tab-separated file as lists; a double quote is an ordinary character."""
        return [line.split("\t") for line in file_utils.read_lines(path)]

    def check_rows(self):
        """Reports the rows that were dropped since the last call.

        Raises:
            InputError: in a file they are more than 1 %, or no row is left.
        """
        malformed, self.malformed = self.malformed, {}
        for path, lines in malformed.items():
            total = self.num_rows[path]
            if lines:
                logging.warning(
                    "%s: dropped %d of %d rows that lack a column (first: line %d).",
                    path,
                    len(lines),
                    total,
                    lines[0],
                )
            if len(lines) == total:
                raise InputError("%s: no usable row." % path)
            if len(lines) > MAX_MALFORMED_SHARE * total:
                raise InputError(
                    "%s, line %d: %d of %d rows lack a column; expected at most %d %%."
                    % (path, lines[0], len(lines), total, 100 * MAX_MALFORMED_SHARE)
                )


class SentencePairProcessor(DataProcessor):
    """`sentence_pair`: columns label, text_a, text_b; the first line is a header."""

    FILES = {"train": "train_0827.tsv", "dev": "dev_0827.tsv", "test": "test_0827.tsv"}
    TEXT_A, TEXT_B, LABEL = 1, 2, 0

    def get_train_examples(self, data_dir):
        return self._examples(data_dir, "train")

    def get_dev_examples(self, data_dir):
        return self._examples(data_dir, "dev")

    def get_test_examples(self, data_dir):
        return self._examples(data_dir, "test")

    def get_labels(self):
        return ["0", "1"]

    def _examples(self, data_dir, set_type):
        """Examples of one file; the guid counts lines from the header, dropped ones too."""
        path = os.path.join(data_dir, self.FILES[set_type])
        rows = self._read_tsv(path)
        labels = self.get_labels()
        columns = 1 + max(self.TEXT_A, self.TEXT_B, self.LABEL)
        self.malformed[path], self.num_rows[path] = [], max(len(rows) - 1, 0)
        if rows and len(rows[0]) >= columns and rows[0][self.LABEL] in labels:
            logging.warning(
                "%s: the first line is skipped as the header, but looks like an example.", path
            )
        examples = []
        for index, row in enumerate(rows[1:], 1):
            if len(row) < columns:
                self.malformed[path].append(index + 1)
                continue
            if row[self.LABEL] not in labels:
                raise InputError(
                    "%s, line %d: label '%s'; expected one of %s."
                    % (path, index + 1, row[self.LABEL], ", ".join(labels))
                )
            examples.append(
                InputExample(
                    "%s-%d" % (set_type, index),
                    row[self.TEXT_A],
                    row[self.TEXT_B],
                    row[self.LABEL],
                )
            )
        return examples


class LcqmcProcessor(SentencePairProcessor):
    """`lcqmc`, also called `lcqmc_pair`: columns text_a, text_b, label; the first is a header."""

    FILES = {"train": "train.txt", "dev": "dev.txt", "test": "test.txt"}
    TEXT_A, TEXT_B, LABEL = 0, 1, 2


TASKS = {
    "lcqmc": LcqmcProcessor,
    "lcqmc_pair": LcqmcProcessor,
    "sentence_pair": SentencePairProcessor,
}


def get_processor(task_name):
    """A processor for the task; InputError when there is no such task."""
    try:
        return TASKS[task_name.lower()]()
    except KeyError:
        raise InputError(
            "--task_name: no task '%s'; expected one of %s." % (task_name, ", ".join(sorted(TASKS)))
        ) from None
