"""What every task is made of: examples, and a class that reads its files.

A task is a subclass of `DataProcessor`; most of them only fill in the tables of files.py.
"""

import os
from typing import NamedTuple, Optional

from absl import logging

import tokenization
from albert.basics import storage, tables
from albert.basics.errors import InputError, shown
from albert.finetuning.tasks import columns, data_report
from albert.finetuning.tasks import labels as label_rules
from albert.model_files import model_folder

SETS = ("train", "dev", "test")
# More than this share of unusable rows means that the file is not what the task expects.
MAX_MALFORMED_SHARE = 0.01
# Of more labels than these a message, and `list_tasks`, have a few.
_SHOWN_LABELS = 20
_MAX_LABELS_LISTED = 20
_SHOWN_FILES = 20
_SHOWN_CHARACTERS = 40


class InputExample:
    """One example: a text, or a pair of texts, with its label."""

    def __init__(self, guid, text_a, text_b=None, label=None):
        """Takes a unique id and strings; `text_b` is None for single texts.

        The label is a float where the task is a regression.
        """
        self.guid = guid
        self.text_a = text_a
        self.text_b = text_b
        self.label = label


class PaddingInputExample:
    """Fills the last batch on TPU, where every batch must be full; never counted."""


class TaskSettings(NamedTuple):
    """What a task may know of a run: flags of the same names.

    Attributes:
        data_dir, output_dir: folders of the task's files, and of the run.
        init_checkpoint: folder or prefix of the checkpoint that the run starts from.
        spm_model_file: SentencePiece model, if that is the vocabulary.
        do_lower_case, normalize_text: how texts are changed.
        train_file, dev_file, test_file: to read in place of the task's.
        text_a, text_b, label, labels, regression, header: of the task `custom`.
    """

    data_dir: Optional[str] = None
    output_dir: Optional[str] = None
    init_checkpoint: Optional[str] = None
    spm_model_file: Optional[str] = None
    do_lower_case: bool = True
    normalize_text: bool = False
    train_file: Optional[str] = None
    dev_file: Optional[str] = None
    test_file: Optional[str] = None
    text_a: Optional[str] = None
    text_b: Optional[str] = None
    label: Optional[str] = None
    labels: Optional[str] = None
    regression: bool = False
    header: str = "auto"

    @classmethod
    def of_options(cls, options):
        """Settings of a dict `{flag: value}`, which may lack some flags and have others."""
        return cls(**{name: options[name] for name in cls._fields if name in options})


class DataProcessor:
    """Reads the files of one task.

    A subclass gives `get_labels` and the three readers, or the tables from which the defaults of
    these work.

    Attributes:
        kind: name of the kind of task, see `kind.Kind`.
        files: set ("train", "dev", "test") -> file name in `data_dir`, or a tuple of names of
            which the first that exists is read.
        folder: where in `data_dir` they may lie as well; None: nowhere else.
        labels: label strings in the order of their ids.
        description: what a row holds, for `list_tasks`.
        metric: key of the scores by which the best checkpoint is chosen.
        eval_keys: keys that the reference writes to its evaluation file, besides `eval_loss`.
        is_regression: labels are numbers; the model has one output.
        test_has_labels: the labels of the test examples are real ones; known when they were read.
        predict_json: whether a CLUE submission file is written.
        submitted_labels: label -> label there, where they differ.
        submit_header: first line of `submit_results.tsv`: a string, empty for none; None: no file.
        group_size: so many examples in a row are the choices of one question.
        needs_data_dir: whether the readers use their argument.
        preprocess: text passes through `tokenization.preprocess_text` "never", with a
            SentencePiece vocabulary ("spm"), or "always".
        use_spm, do_lower_case: what the run's tokenizer does; set by `configure`.
        given_files: set -> path that the user named for it, if any; set by `configure`.
    """

    kind = "classification"
    files = {}
    folder = None
    labels = None
    description = ""
    metric = "eval_accuracy"
    eval_keys = ("eval_accuracy",)
    is_regression = False
    test_has_labels = False
    predict_json = False
    submitted_labels = {}
    submit_header = None
    group_size = 1
    needs_data_dir = True
    preprocess = "never"
    use_spm = False
    do_lower_case = True
    given_files = {}

    def __init__(self):
        self.malformed = {}  # file name -> line numbers of rows that were dropped
        self.num_rows = {}  # file name -> number of rows after the header
        self.reports = {}  # "train", "dev", "test" -> `data_report.SetReport`
        self._said = set()  # what was logged, so that reading a file twice says it once

    def configure(self, options):
        """Takes over the flags of a run.

        Args:
            options: dict `{flag: value}` of all flags; what is not there has its default.
        """
        settings = TaskSettings.of_options(options)
        self.given_files = {
            "train": settings.train_file,
            "dev": settings.dev_file,
            "test": settings.test_file,
        }
        self.use_spm = bool(settings.spm_model_file)
        self.do_lower_case = settings.do_lower_case
        if settings.normalize_text:
            self.preprocess = "always"

    def get_examples(self, data_dir, set_type):
        """The examples of "train", "dev" or "test"."""
        readers = {
            "train": self.get_train_examples,
            "dev": self.get_dev_examples,
            "test": self.get_test_examples,
        }
        return readers[set_type](data_dir)

    def get_train_examples(self, data_dir):
        """List of `InputExample` for training."""
        return self._read_set(data_dir, "train")

    def get_dev_examples(self, data_dir):
        """List of `InputExample` for evaluation."""
        return self._read_set(data_dir, "dev")

    def get_test_examples(self, data_dir):
        """List of `InputExample` for prediction."""
        return self._read_set(data_dir, "test")

    def get_labels(self):
        """List of label strings; the index is the label's id.  Regression: `[None]`."""
        if self.is_regression:
            return [None]
        if self.labels is None:
            raise NotImplementedError
        return list(self.labels)

    def _read_set(self, data_dir, set_type):
        """The examples; rows that were dropped are told at once, as a program may ask no more."""
        examples = self._examples(data_dir, set_type)
        for path in self.malformed:
            self._warn_of_dropped(path)
        return examples

    def _examples(self, data_dir, set_type):
        raise NotImplementedError

    @property
    def uses_preprocess_text(self):
        """Whether text passes through `tokenization.preprocess_text` when it is read."""
        return self.preprocess == "always" or (self.preprocess == "spm" and self.use_spm)

    def prepare(self, text):
        """The text as it is tokenized."""
        if text is None or not self.uses_preprocess_text:
            return text
        return tokenization.preprocess_text(text, lower=self.do_lower_case)

    def dummy_label(self):
        """Label of test examples, whose own is unknown; the reference's choice."""
        return 0.0 if self.is_regression else self.get_labels()[0]

    def check_label(self, value, path, line):
        """The label that a file has, as text or number.

        Raises:
            InputError: there is no such label; names the file and the line.
        """
        if self.is_regression:
            return parse_number(value, path, line)
        labels = self.get_labels()
        label = label_rules.match(value, labels)
        if label is not None:
            return label
        value = tables.tidy(value)
        found = "label '%s'" % shown(value, _SHOWN_CHARACTERS) if value else "an empty label"
        raise InputError(
            "%s, line %d: %s; expected one of %s%s."
            % (path, line, found, _listed(labels), _quotes_remark(value, path))
        )

    def is_label(self, value):
        """Whether a cell of a file is a label of the task."""
        if self.is_regression:
            return label_rules.is_number(value)
        return label_rules.match(value, self.get_labels()) is not None

    def say(self, message, *values, level=logging.INFO):
        """Logs something about a file, once."""
        if (message, values) not in self._said:
            self._said.add((message, values))
            logging.log(level, message, *values)

    def _report(self, set_type, path, form):
        """Begins to take notes of a set."""
        report = self.reports[set_type] = data_report.SetReport(path, form)
        return report

    def _fit(self, report, table, rows, layout):
        """The rows that can be read, as `columns.fit` has them; takes note of the others.

        Args:
            report: `data_report.SetReport`.
            table: `tables.Table`.
            rows: its rows without the header.
            layout: `columns.Layout`.
        """
        fitted = columns.fit(rows, layout)
        path = report.path
        report.rows, report.blank_lines, report.remark = len(rows), table.blank_lines, table.remark
        unusable = set(fitted.short + fitted.long)
        report.has_quotes = table.separator == tables.TAB and any(
            _opens_quote(cell) for row in rows if row.line in unusable for cell in row.cells
        )
        report.drop(data_report.SHORT, *fitted.short)
        report.drop(data_report.LONG, *fitted.long)
        report.drop("is the header again", *fitted.repeated)
        self.malformed[path] = sorted(fitted.short + fitted.long)
        self.num_rows[path] = len(rows)
        return fitted.rows

    def _why_unlabelled(self, values, path):
        """Why the label column of a test file holds no labels, also as a warning; None if it does.

        It holds none where all rows that lack one say so (-1, nothing): such a file can be
        predicted, but not scored.

        Args:
            values: what the rows have in that column.
        """
        unknown = [value for value in values if not self.is_label(value)]
        if self.is_regression and all(map(_says_unknown, values)):
            unknown = values
        if not unknown or not all(map(_says_unknown, unknown)):
            return None
        reason = "%d of %d rows have the label '%s'" % (
            len(unknown),
            len(values),
            tables.tidy(unknown[0]),
        )
        message = "%s: read as a file without labels (%s): it can be predicted, but not scored."
        self.say(message, path, reason, level=logging.WARNING)
        return reason

    def task_entries(self):
        """What `task.json` should keep, so that new files can be read as those of training."""
        return {}

    def describe_columns(self):
        """What a row holds, for `list_tasks`."""
        return self.description

    def describe_labels(self):
        """Which labels there are, for `list_tasks`."""
        if self.is_regression:
            return "numbers"
        if self.labels is None:
            return "--labels, or those of --train_file"
        if len(self.labels) > _MAX_LABELS_LISTED:
            return "%s, ..., %s (%d)" % (self.labels[0], self.labels[-1], len(self.labels))
        return ", ".join(self.labels)

    def find_file(self, data_dir, set_type):
        """Path of a set's file: that of its flag; of several possible ones the first there is."""
        given = self.given_files.get(set_type)
        if given:
            paths = [given, os.path.join(data_dir, given)]
            return next((path for path in paths if storage.exists(path)), given)
        names = self.files.get(set_type)
        if not names:
            raise InputError("--task_name: this task has no %s file." % set_type)
        names = (names,) if isinstance(names, str) else names
        paths = [os.path.join(data_dir, name) for name in names]
        return next((path for path in paths if storage.exists(path)), paths[0])

    @staticmethod
    def _read_tsv(input_file, quotechar=None):
        """Rows of a tab-separated file as lists, without the blank lines.

        For tasks of users' own; those here take `tables.read_table`, which knows the lines.

        Args:
            quotechar: character around cells that hold tabs or line breaks; None: there are no
                such cells, and quotes are ordinary characters.
        """
        return tables.read_cells(input_file, quotechar)

    def _existing_file(self, data_dir, set_type):
        """As `find_file`; InputError if there is none, which names the files that are there."""
        path = self.find_file(data_dir, set_type)
        if storage.exists(path):
            return path
        names = self.files.get(set_type)
        others = () if isinstance(names, str) else names[1:]
        message = "%s: no such file" % path + "".join(", nor %s" % name for name in others)
        raise InputError(message + self._files_beside(path) + ".")

    @staticmethod
    def _files_beside(path):
        """What the folder of a missing file has, for a message."""
        there = storage.names_in(os.path.dirname(path))
        if not there:
            return ""
        more = len(there) - _SHOWN_FILES
        others = " and %d more" % more if more > 0 else ""
        return "; its folder has " + ", ".join(there[:_SHOWN_FILES]) + others

    def check_rows(self):
        """Reports what was read since the last call.

        Raises:
            InputError: more than 1 % of a file's rows were dropped, or no row is left.
        """
        for report in self.reports.values():
            self.say("%s", report.describe())
        malformed, self.malformed = self.malformed, {}
        for path, lines in malformed.items():
            self._refuse_dropped(path, lines)

    def _warn_of_dropped(self, path):
        lines = self.malformed[path]
        if lines:
            self.say(
                "%s: dropped %d of %d rows that %s (first: line %d).",
                path,
                len(lines),
                self.num_rows[path],
                " or ".join(_problems(self._report_of(path), lines)),
                lines[0],
                level=logging.WARNING,
            )

    def _report_of(self, path):
        """`data_report.SetReport` of a file; None of one that a task reads in its own way."""
        return {report.path: report for report in self.reports.values()}.get(path)

    def _refuse_dropped(self, path, lines):
        """Raises InputError if too many rows of a file, those of some lines, cannot be used."""
        report = self._report_of(path)
        total, problems = self.num_rows[path], _problems(report, lines)
        if len(lines) == total:
            why = _remedy(report, problems)
            if not why and _TOO_LONG in problems:
                why = " (all %s)" % " or ".join(problems)
            raise InputError("%s: no usable row%s." % (path, why))
        if len(lines) > MAX_MALFORMED_SHARE * total:
            raise InputError(
                "%s, line %d: %d of %d rows %s; expected at most %d %%%s."
                % (
                    path,
                    lines[0],
                    len(lines),
                    total,
                    " or ".join(problems),
                    100 * MAX_MALFORMED_SHARE,
                    _remedy(report, problems),
                )
            )


_TOO_SHORT, _TOO_LONG = "lack a column", "have more cells than the header or the other rows"


def _problems(report, lines):
    """What is wrong with the rows that were dropped, in words."""
    dropped = report.dropped if report else {}
    found = [_TOO_SHORT] if data_report.SHORT in dropped else []
    found += [_TOO_LONG] if data_report.LONG in dropped else []
    return found or [_TOO_SHORT] if lines else []


def _remedy(report, problems):
    if not report:
        return ""
    if report.form.startswith("comma") and _TOO_LONG in problems:
        return " (a cell with a comma needs double quotes around it)"
    if report.has_quotes:
        return " (only .csv files have quoted cells, in which there may be tabs and line breaks)"
    return ""


def _quotes_remark(value, path):
    """What to say of a label that cannot be used if it is in quotes."""
    is_quoted = isinstance(value, str) and len(value) > 1 and value[0] == value[-1] == '"'
    return " (only .csv files have quoted cells)" if is_quoted and not tables.is_csv(path) else ""


def _opens_quote(cell):
    """Whether a cell looks as the first line of a quoted one."""
    return cell.startswith('"') and cell.count('"') % 2 == 1


def _says_unknown(value):
    return label_rules.is_unknown(tables.tidy(value))


def task_of_earlier_run(settings):
    """What `task.json` says of the run that trained; empty if there is none.

    Args:
        settings: `TaskSettings`; the run is that of the output folder, or the one from which the
            checkpoint comes.
    """
    folders, checkpoint = [settings.output_dir or ""], settings.init_checkpoint
    if checkpoint:
        folders.append(checkpoint if storage.names_in(checkpoint) else os.path.dirname(checkpoint))
    for folder in folders:
        path = os.path.join(folder, model_folder.TASK_FILE)
        if storage.exists(path):
            return storage.read_json(path)
    return {}


def _listed(labels):
    listed = ", ".join(labels[:_SHOWN_LABELS])
    if len(labels) > _SHOWN_LABELS:
        listed += ", ... (%d labels)" % len(labels)
    return listed


def parse_number(value, path, line):
    """Float of a regression label; InputError when `value` is no finite number."""
    value = tables.tidy(value) if isinstance(value, str) else value
    if label_rules.is_number(value):
        return float(value)
    found = "label '%s'" % value if value != "" else "an empty label"
    raise InputError(
        "%s, line %d: %s; expected a number%s." % (path, line, found, _quotes_remark(value, path))
    )
