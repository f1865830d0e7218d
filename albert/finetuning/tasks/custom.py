"""The task `custom`: a user's own TSV, CSV or JSON-lines files, described by flags."""

import csv
import os
import re

from absl import logging

from albert.basics import storage
from albert.basics.errors import InputError
from albert.finetuning.tasks.base import (
    DataProcessor,
    InputExample,
    TaskSettings,
    parse_number,
)
from albert.finetuning.tasks.files import read_json_lines
from albert.model_files import model_folder

TABLES = (".tsv", ".txt", ".csv")
JSON_LINES = (".json", ".jsonl")
# A first line with one of these cells is a header.
USUAL_NAMES = frozenset(
    "text text_a text_b text1 text2 sentence sentence1 sentence2 question question1 question2 "
    "query title content label score class category".split()
)
# Labels found in a file are doubted if they are more than this share of its rows.
MAX_SHARE_OF_LABELS = 0.5
MIN_ROWS_TO_DOUBT = 20


class CustomProcessor(DataProcessor):
    """Reads the files of --train_file, --dev_file and --test_file.

    Attributes:
        labels: those of --labels, or of an earlier run if there is no training file; None: those
            that the training file has.
    """

    files = {name: "--%s_file" % name for name in ("train", "dev", "test")}
    description = "--text_a, --text_b, --label"
    needs_data_dir = False
    preprocess = "spm"

    def __init__(self):
        super().__init__()
        self._columns = {"text_a": None, "text_b": None, "label": None}
        self._header = "auto"
        self._data_dir = None
        self._names = None  # header of the last file that had one

    def configure(self, options):
        """Takes over the flags of a run; files are looked for in `data_dir`, too."""
        super().configure(options)
        settings = TaskSettings.of_options(options)
        self.files = {
            "train": settings.train_file,
            "dev": settings.dev_file,
            "test": settings.test_file,
        }
        self._columns = {
            "text_a": settings.text_a,
            "text_b": settings.text_b,
            "label": settings.label,
        }
        self._header = settings.header
        self._data_dir = settings.data_dir
        self.is_regression = bool(settings.regression)
        if settings.labels:
            self.labels = [label.strip() for label in settings.labels.split(",")]
            if self.is_regression:
                raise InputError("--labels names classes; a --regression has none.")
            if len(set(self.labels)) != len(self.labels) or len(self.labels) < 2:
                raise InputError("--labels=%s: expected two or more labels." % settings.labels)
        elif not self.files["train"] and not self.is_regression:
            self.labels = _labels_of_earlier_run(settings.output_dir)
        self.eval_keys = ("MSE", "pearson") if self.is_regression else ("eval_accuracy",)
        self.metric = "pearson" if self.is_regression else "eval_accuracy"

    def get_labels(self):
        if not self.is_regression and self.labels is None:
            if not self.files["train"]:
                raise InputError("--labels is required where there is no --train_file.")
            self.labels = self._find_labels()
        return super().get_labels()

    def find_file(self, data_dir, set_type):
        path = self.files[set_type]
        if not path:
            raise InputError("--%s_file is required." % set_type)
        for candidate in (path, os.path.join(data_dir or self._data_dir or "", path)):
            if storage.exists(candidate):
                break
        else:
            raise InputError("--%s_file: no such file: '%s'." % (set_type, path))
        if os.path.splitext(path)[1].lower() not in TABLES + JSON_LINES:
            raise InputError(
                "--%s_file: '%s'; expected a file name that ends in %s."
                % (set_type, path, ", ".join(TABLES + JSON_LINES))
            )
        return candidate

    def _find_labels(self):
        path, rows, columns = self._read(None, "train")
        found = {row[columns["label"]] for _, row in rows if len(row) > max(columns.values())}
        if len(rows) >= MIN_ROWS_TO_DOUBT and len(found) > MAX_SHARE_OF_LABELS * len(rows):
            raise InputError(
                "%s: %d different labels in %d rows; check --label, or pass --labels or "
                "--regression." % (path, len(found), len(rows))
            )
        if len(found) < 2:
            shown = ", ".join("'%s'" % label for label in found) or "none"
            raise InputError(
                "%s: one label at most (%s); expected two or more, or --labels." % (path, shown)
            )
        labels = sorted(found, key=float if all(map(_is_number, found)) else None)
        logging.info("%s: %d labels found: %s", path, len(labels), ", ".join(labels))
        return labels

    def _examples(self, data_dir, set_type):
        path, rows, columns = self._read(data_dir, set_type)
        text_b, label = columns.get("text_b"), columns.get("label")
        width = 1 + max(columns.values())
        if set_type == "test":
            self.test_has_labels = label is not None
        self.malformed[path], self.num_rows[path] = [], len(rows)
        examples = []
        for index, (line, row) in enumerate(rows):
            if len(row) < width:
                self.malformed[path].append(line)
                continue
            if label is None:
                value = self.dummy_label()
            else:
                value = self.check_label(row[label], path, line)
            examples.append(
                InputExample(
                    "%s-%d" % (set_type, index),
                    self.prepare(row[columns["text_a"]]),
                    None if text_b is None else self.prepare(row[text_b]),
                    value,
                )
            )
        return examples

    def _read(self, data_dir, set_type):
        """Rows of a file without its header.

        Returns:
            Path; list of (line number, list of cells); dict "text_a", "text_b", "label" ->
            index of the cell, without a label where a test file has none.
        """
        path = self.find_file(data_dir, set_type)
        if path.lower().endswith(JSON_LINES):
            rows, columns = self._read_json(path, set_type)
        else:
            rows, columns = self._read_table(path, set_type)
        if not rows:
            raise InputError("%s: no example." % path)
        return path, rows, columns

    def _read_json(self, path, set_type):
        lines = read_json_lines(path)
        fields = ", ".join(lines[0].content) if lines else ""
        names = {key: name for key, name in self._columns.items() if name}
        for key in ("text_a", "label"):
            if key not in names and (key, set_type) != ("label", "test"):
                raise InputError("%s: --%s is required; the fields are %s." % (path, key, fields))
        if set_type == "test" and lines and names.get("label") not in lines[0].content:
            names.pop("label", None)
        rows = []
        for line in lines:
            rows.append((line.number, [_json_cell(line, key, names[key]) for key in names]))
        return rows, {key: index for index, key in enumerate(names)}

    def _read_table(self, path, set_type):
        rows = list(read_table(path))
        if not rows:
            return [], {}
        by_name = [name for name in self._columns.values() if name and not _is_column_number(name)]
        if by_name:
            return rows[1:], self._columns_of_header(path, rows[0][1], set_type)
        columns = self._numbered_columns(path, rows[0][1])
        if set_type != "test" and len(set(columns.values())) < len(columns):
            raise InputError(
                "%s, line 1: %d %s-separated columns; expected one for each text and one for the "
                "label (--text_a, --text_b, --label)."
                % (path, len(rows[0][1]), "comma" if path.lower().endswith(".csv") else "tab")
            )
        if set_type == "test" and not self._has_label(rows[1 if len(rows) > 1 else 0][1], columns):
            del columns["label"]
        reason = self._header_reason(rows, columns, set_type)
        if reason:
            logging.warning(
                "%s: the first line is taken as a header (%s): %s", path, reason, rows[0][1]
            )
            self._names = rows[0][1]
            rows = rows[1:]
        else:
            logging.info("%s: no header; the first line is an example.", path)
        return rows, columns

    def _columns_of_header(self, path, header, set_type):
        if self._header == "no":
            raise InputError("--header=no: without a header, columns are given by number.")
        logging.info("%s: the first line is the header: %s", path, header)
        columns = self._numbered_columns(path, header)
        for key, name in self._columns.items():
            if not name or _is_column_number(name):
                continue
            if name in header:
                columns[key] = header.index(name)
            elif (key, set_type) == ("label", "test"):
                columns.pop(key, None)
            else:
                raise InputError(
                    "%s, line 1: no column '%s' (--%s); the columns are %s."
                    % (path, name, key, ", ".join(header))
                )
        return columns

    def _numbered_columns(self, path, first):
        """Columns given by number, or by default: the first is text_a, the last the label."""
        columns = {"text_a": 0, "label": len(first) - 1}
        for key, value in self._columns.items():
            if value and _is_column_number(value):
                number = int(value)
                columns[key] = len(first) - 1 if number == -1 else number
        return columns

    def _has_label(self, row, columns):
        """Whether a row of a test file ends in a real label rather than in a text."""
        label = columns["label"]
        if len(row) <= label or label in (columns["text_a"], columns.get("text_b")):
            return False
        return _is_number(row[label]) if self.is_regression else row[label] in self.get_labels()

    def _header_reason(self, rows, columns, set_type):
        """Why the first row is a header; None if it is an example."""
        first = rows[0][1]
        if self._header != "auto":
            return "--header=yes" if self._header == "yes" else None
        if first == self._names:
            return "as in the other file"
        usual = [cell for cell in first if cell.strip().lower() in USUAL_NAMES]
        if usual:
            return "it has a column '%s'" % usual[0]
        label = columns.get("label")
        if label is None or len(first) <= label or _is_number(first[label]):
            return None
        if self.is_regression:
            return "'%s' is no number" % first[label]
        if self.labels is None and set_type == "train":
            known = {row[label] for _, row in rows[1:] if len(row) > label}
        else:
            known = self.get_labels()
        if first[label] in known:
            return None
        return "no other line has the label '%s'; --header=no if it is one" % first[label]


def read_table(path):
    """Yields (line number, list of cells) of a .csv file, or of another one by tabs.

    Only CSV has quotes, as in RFC 4180; there a row may span lines and has the number of its last.
    Empty lines at the end are left out.

    Raises:
        InputError: the file cannot be read, or its quotes do not close; names the line.
    """
    lines = list(storage.read_lines(path))
    if lines:
        lines[0] = lines[0].lstrip("\ufeff")
    while lines and not lines[-1]:
        lines.pop()
    if not path.lower().endswith(".csv"):
        for number, line in enumerate(lines, 1):
            yield number, line.split("\t")
        return
    reader = csv.reader((line + "\n" for line in lines), strict=True)
    try:
        for row in reader:
            yield reader.line_num, row
    except csv.Error as error:
        raise InputError(
            "%s, line %d: %s; expected comma-separated values, a quote inside a quoted one doubled."
            % (path, reader.line_num, error)
        ) from None


def _labels_of_earlier_run(output_dir):
    """List of the labels with which a run in this folder was trained; None if there is none."""
    path = os.path.join(output_dir or "", model_folder.TASK_FILE)
    return storage.read_json(path).get("labels") if storage.exists(path) else None


def _json_cell(line, key, name):
    return line.label(name) if key == "label" else line.text(name)


def _is_column_number(name):
    return re.fullmatch(r"\d+|-1", name) is not None


def _is_number(text):
    try:
        parse_number(text, "", 0)
    except InputError:
        return False
    return True
