"""The task `custom`: a user's own TSV, CSV or JSON-lines files, described by flags."""

import os
import re

from absl import logging

from albert.basics import storage, tables
from albert.basics.errors import InputError, shown
from albert.finetuning.tasks import columns
from albert.finetuning.tasks import labels as label_rules
from albert.finetuning.tasks.base import (
    DataProcessor,
    InputExample,
    TaskSettings,
    task_of_earlier_run,
)
from albert.finetuning.tasks.files import JSON_FORM, blank_lines, read_json_lines

TABLES = (".tsv", ".txt", ".csv")
JSON_LINES = (".json", ".jsonl")
# Labels found in a file are doubted if they are more than this share of its rows.
MAX_SHARE_OF_LABELS = 0.5
_SHOWN_CHARACTERS = 40


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
        self._training = None  # `columns.Layout` of the training file, once it was read
        self._is_earlier = False  # whether that was in an earlier run, which task.json tells
        self._finds_labels = False

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
        if not self.files["train"]:
            earlier = task_of_earlier_run(settings)
            if not settings.labels and not self.is_regression:
                self.labels = earlier.get("labels")
            if earlier.get("table"):
                self._training, self._is_earlier = columns.Layout(**earlier["table"]), True
        self.eval_keys = ("MSE", "pearson") if self.is_regression else ("eval_accuracy",)
        self.metric = "pearson" if self.is_regression else "eval_accuracy"

    def get_labels(self):
        if not self.is_regression and self.labels is None:
            if not self.files["train"]:
                raise InputError("--labels is required where there is no --train_file.")
            self.labels = self._find_labels()
        return super().get_labels()

    def task_entries(self):
        if self._training is None or self._training.width is None:  # none, or JSON lines
            return {}
        return {"table": self._training._asdict()}

    def find_file(self, data_dir, set_type):
        path = self.files[set_type]
        if not path:
            raise InputError("--%s_file is required." % set_type)
        for candidate in (path, os.path.join(data_dir or self._data_dir or "", path)):
            if storage.exists(candidate):
                break
        else:
            raise InputError(
                "--%s_file: no such file: '%s'%s." % (set_type, path, self._files_beside(path))
            )
        if os.path.splitext(path)[1].lower() not in TABLES + JSON_LINES:
            raise InputError(
                "--%s_file: '%s'; expected a file name that ends in %s."
                % (set_type, path, ", ".join(TABLES + JSON_LINES))
            )
        return candidate

    def _find_labels(self):
        path, rows, numbers = self._read(None, "train")
        self._refuse_dropped(path, self.malformed[path])
        place = numbers["label"]
        found = {}
        for _, row in rows:
            label = tables.tidy(row.cells[place])
            if not label:
                raise InputError("%s, line %d: an empty label; expected one." % (path, row.line))
            found[label] = row.line
        are_many = len(found) > MAX_SHARE_OF_LABELS * len(rows)
        if are_many and len(rows) >= label_rules.MIN_ROWS_TO_DOUBT:
            raise InputError(
                "%s: %d different labels in %d rows; check --label, or pass --labels or "
                "--regression." % (path, len(found), len(rows))
            )
        labels = label_rules.of_found(found)
        if len(labels) < 2:
            listed = ", ".join("'%s'" % label for label in labels) or "none"
            raise InputError(
                "%s: one label at most (%s); expected two or more, or --labels." % (path, listed)
            )
        self._finds_labels = True
        self.say("%s: %d labels found: %s", path, len(labels), ", ".join(labels))
        return labels

    def _examples(self, data_dir, set_type):
        path, rows, numbers = self._read(data_dir, set_type)
        numbers = self._with_real_labels(set_type, rows, numbers)
        text_b, label = numbers.get("text_b"), numbers.get("label")
        examples = []
        for index, row in rows:
            if label is None:
                value = self.dummy_label()
            else:
                value = self.check_label(row.cells[label], path, row.line)
            examples.append(
                InputExample(
                    "%s-%d" % (set_type, index),
                    self.prepare(row.cells[numbers["text_a"]]),
                    None if text_b is None else self.prepare(row.cells[text_b]),
                    value,
                )
            )
        self.reports[set_type].finds_labels = self._finds_labels
        return examples

    def _with_real_labels(self, set_type, rows, numbers):
        """The numbers of columns without the label's if a test file has no labels there."""
        if set_type != "test":
            return numbers
        report, label = self.reports[set_type], numbers.get("label")
        if label is None:
            report.unlabelled = "there is no column of labels"
        else:
            values = [row.cells[label] for _, row in rows]
            report.unlabelled = self._why_unlabelled(values, report.path)
            if values and not report.unlabelled and not any(map(self.is_label, values)):
                report.unlabelled = self._why_no_label(report, rows, label)
        self.test_has_labels = not report.unlabelled
        if report.unlabelled:
            numbers = {key: number for key, number in numbers.items() if key != "label"}
        return numbers

    def _why_no_label(self, report, rows, label):
        """What to say of a test file that has something else than labels where they should be."""
        _, row = rows[0]
        found = "column %d, the label's in the training file, has no label of the task" % label
        first = "line %d: '%s'" % (row.line, shown(row.cells[label], _SHOWN_CHARACTERS))
        is_known = self._training is not None and not self._is_told_columns()
        if is_known and report.header is None and report.form != JSON_FORM:
            raise InputError(
                "%s, %s: %s; give the file a header with the names of the training file's, or the "
                "same columns in the same order." % (report.path, first, found)
            )
        reason = "no row has a label of the task in the label's column"
        message = "%s: read as a file without labels (%s, %s): it can be predicted, but not scored."
        self.say(message, report.path, reason, first, level=logging.WARNING)
        return reason

    def _read(self, data_dir, set_type):
        """Rows of a file without its header, and without those that cannot be read.

        Returns:
            Path; list of (number of the row from 0, `tables.Row`); dict "text_a", "text_b",
            "label" -> index of the cell, without a label where a test file has none.
        """
        path = self.find_file(data_dir, set_type)
        if path.lower().endswith(JSON_LINES):
            rows, layout = self._read_json(path, set_type)
        else:
            rows, layout = self._read_table(path, set_type)
        if not self.num_rows[path]:
            raise InputError("%s: no example." % path)
        if set_type == "train":
            self._training = layout
        return path, rows, layout.columns

    def _read_json(self, path, set_type):
        lines = read_json_lines(path)
        fields = ", ".join(lines[0].content) if lines else ""
        names = {key: name for key, name in self._columns.items() if name}
        for key in ("text_a", "label"):
            if key not in names and (key, set_type) != ("label", "test"):
                raise InputError("%s: --%s is required; the fields are %s." % (path, key, fields))
        if set_type == "test" and lines and names.get("label") not in lines[0].content:
            names.pop("label", None)
        rows = [
            tables.Row(line.number, [_json_cell(line, key, names[key], set_type) for key in names])
            for line in lines
        ]
        report = self._report(set_type, path, JSON_FORM)
        report.rows, report.blank_lines = len(rows), blank_lines(lines)
        self.malformed[path], self.num_rows[path] = [], len(rows)
        layout = columns.Layout({key: index for index, key in enumerate(names)})
        return list(enumerate(rows)), layout

    def _read_table(self, path, set_type):
        """Rows of a table that can be read, and its `columns.Layout`."""
        table = tables.read_table(path)
        report = self._report(set_type, path, table.separated)
        layout = columns.Layout({})
        rows = table.rows
        if rows:
            layout = self._layout(table, set_type)
            report.header = layout.header
            rows = rows[layout.header is not None :]
            if set_type == "test" and layout.columns.get("label") == layout.needed - 1:
                layout = columns.without_missing_label(rows, layout)
        return self._fit(report, table, rows, layout), layout

    def _layout(self, table, set_type):
        """`columns.Layout` of a table with rows.

        By name, if the user gives names or the first line has those of the training file's header;
        else by number.
        """
        path, first = table.path, table.rows[0].cells
        training = None if set_type == "train" else self._training_layout()
        header = training.header if training else None
        by_name = [name for name in self._columns.values() if name and not _is_column_number(name)]
        if by_name and self._header == "no":
            raise InputError("--header=no: without a header, columns are given by number.")
        if self._is_told_columns():
            training = None
        is_header = header is not None and columns.shares_names(first, header)
        is_header = is_header and self._header != "no"
        if training and header is not None and (by_name or is_header):
            return self._by_names_of_training(table, training, set_type)
        if by_name:
            return self._by_given_names(table, set_type)
        layout = self._by_number(table, set_type, training)
        reason = self._header_reason(table.rows, layout.columns, set_type)
        if is_header:
            reason = "it has names of the training file's"
        if reason:
            self.say(
                "%s: the first line is taken as a header (%s): %s",
                path,
                reason,
                " | ".join(first),
                level=logging.WARNING,
            )
            return layout._replace(header=first, width=len(first))
        if header is not None:
            self.say(
                "%s: the first line is read as an example, because it has none of the names of the "
                "training file's header (%s): %s",
                path,
                ", ".join(header),
                " | ".join(first),
                level=logging.WARNING,
            )
        elif _is_alone_without_a_number(table.rows):
            self.say(
                "%s: the first line is read as an example, but has no number where all other lines "
                "have one; --header=yes if it is a header: %s",
                path,
                " | ".join(first),
                level=logging.WARNING,
            )
        else:
            self.say("%s: no header; the first line is an example.", path)
        return layout

    def _is_told_columns(self):
        """Whether the user says what is where in files that are not of the run that trained."""
        return self._is_earlier and any(self._columns.values())

    def _training_layout(self):
        """`columns.Layout` of the training file; None where there is none, or it is no table."""
        if self._training is None and self.files["train"]:
            path = self.files["train"]
            places = (path, os.path.join(self._data_dir or "", path))
            if path.lower().endswith(TABLES) and any(map(storage.exists, places)):
                self._read(None, "train")
                # Its rows are another set's, which nobody asked for.
                for notes in (self.malformed, self.num_rows):
                    notes.pop(self.reports["train"].path, None)
                del self.reports["train"]
        return self._training

    def _by_names_of_training(self, table, training, set_type):
        """The columns that have the names which the training file's header has for them."""
        place, cells = "%s, line %d" % (table.path, table.rows[0].line), table.rows[0].cells
        names = training.names()
        found = columns.find(names, cells, place)
        missing = [key for key in training.columns if key not in found]
        if set_type == "test" and "label" in missing:
            missing.remove("label")
        if missing and not _same_but_renamed(cells, training, missing):
            raise InputError(
                "%s: no column '%s' (--%s), which the training file's header has; the columns are "
                "%s%s."
                % (
                    place,
                    names.get(missing[0], training.columns[missing[0]]),
                    missing[0],
                    ", ".join(cells),
                    _quotes_remark(table, cells),
                )
            )
        numbers = {key: found.get(key, training.columns[key]) for key in [*found, *missing]}
        for key in missing:
            self.say(
                "%s: column '%s' is taken as %s, which is '%s' in the training file.",
                place,
                cells[numbers[key]],
                key,
                names.get(key, ""),
                level=logging.WARNING,
            )
        self.say("%s: the first line is the header: %s", table.path, " | ".join(cells))
        return columns.Layout(numbers, cells, max(len(cells), 1 + max(numbers.values())))

    def _by_given_names(self, table, set_type):
        """The columns that the user names; where there is no training file's header to go by."""
        place, cells = "%s, line %d" % (table.path, table.rows[0].line), table.rows[0].cells
        self.say("%s: the first line is the header: %s", table.path, " | ".join(cells))
        numbers = self._numbers(len(cells))
        for key, name in self._columns.items():
            if not name or _is_column_number(name):
                continue
            found = columns.find({key: name}, cells, place)
            if found:
                numbers[key] = found[key]
            elif (key, set_type) == ("label", "test"):
                numbers.pop(key, None)
            else:
                raise InputError(
                    "%s: no column '%s' (--%s); the columns are %s%s."
                    % (place, name, key, ", ".join(cells), _quotes_remark(table, cells))
                )
        self._check_numbers(table, len(cells), numbers, set_type)
        return columns.Layout(numbers, cells, len(cells))

    def _by_number(self, table, set_type, training):
        """The columns by number, in the training file's layout where that fits."""
        first = table.rows[0].cells
        width = len(first) if self._is_usual_header(first) else table.width
        if training is None:
            numbers = self._numbers(width)
            if set_type == "test" and (
                numbers["label"] >= width
                or numbers["label"] in (numbers["text_a"], numbers.get("text_b"))
            ):
                del numbers["label"]
        elif set_type == "test" and width == training.width - 1:
            numbers = columns.without_label(training.columns)
        else:
            numbers = training.columns
            if width != training.width:
                numbers = self._numbers_of_other_width(table, training)
        self._check_numbers(table, width, numbers, set_type)
        layout = columns.Layout(numbers, None, width)
        if set_type == "test":
            self._check_no_labels_in_texts(table, layout)
        return layout

    def _numbers(self, width):
        """Columns given by number, or by default: the first is text_a, the last the label."""
        numbers = {"text_a": 0, "label": width - 1}
        for key, value in self._columns.items():
            if value and _is_column_number(value):
                numbers[key] = width - 1 if int(value) == -1 else int(value)
        return numbers

    def _numbers_of_other_width(self, table, training):
        """Columns of a file that has not as many as the training file."""
        if not any(self._columns.values()):
            raise InputError(
                "%s, line %d: %d %s columns, but the training file has %d; give both files the "
                "same columns, or a header, or say which they are (--text_a, --text_b, --label)."
                % (table.path, table.rows[0].line, table.width, table.separated, training.width)
            )
        self.say(
            "%s: has %d columns, the training file %d; those of --text_a, --text_b and --label are "
            "taken by number.",
            table.path,
            table.width,
            training.width,
            level=logging.WARNING,
        )
        return self._numbers(table.width)

    def _check_numbers(self, table, width, numbers, set_type):
        """Raises InputError where a column is not there, or is two things at once."""
        place = "%s, line %d" % (table.path, table.rows[0].line)
        other = tables.other_separator(table) if width == 1 else None
        seems = "; its lines seem to be %s-separated" % other if other else ""
        for key, number in numbers.items():
            if number >= width and self._columns.get(key):
                raise InputError(
                    "%s: %d %s columns, numbered from 0, but --%s=%s%s."
                    % (place, width, table.separated, key, self._columns[key], seems)
                )
        if set_type != "test" and len(set(numbers.values())) < len(numbers):
            raise InputError(
                "%s: %d %s columns; expected one for each text and one for the label (--text_a, "
                "--text_b, --label)%s." % (place, width, table.separated, seems)
            )

    def _check_no_labels_in_texts(self, table, layout):
        """Raises InputError if a text of a test file without a header is always a label."""
        if self.is_regression or len(table.rows) < 2:
            return
        for key, number in layout.columns.items():
            cells = [row.cells[number] for row in table.rows[1:] if len(row.cells) > number]
            if key != "label" and cells and all(map(self.is_label, cells)):
                raise InputError(
                    "%s, line %d: column %d, read as %s, holds labels only; give the file a header "
                    "with the names of the training file's, or the same columns in the same order."
                    % (table.path, table.rows[0].line, number, key)
                )

    def _is_usual_header(self, first):
        return self._header == "yes" or (self._header == "auto" and bool(_usual_names(first)))

    def _header_reason(self, rows, numbers, set_type):
        """Why the first row is a header; None if it is an example."""
        first = rows[0].cells
        if self._header != "auto":
            return "--header=yes" if self._header == "yes" else None
        usual = _usual_names(first)
        if usual:
            return "it has a column '%s'" % usual[0]
        label = numbers.get("label")
        if label is None or len(first) <= label or label_rules.is_number(first[label]):
            return None
        if label_rules.is_unknown(tables.tidy(first[label])):  # an example whose label is missing
            return None
        if self.is_regression:
            return "'%s' is no number" % first[label]
        others = {row.cells[label] for row in rows[1:] if len(row.cells) > label}
        if self.labels is None and set_type == "train":
            if tables.tidy(first[label]) in map(tables.tidy, others):
                return None
        elif self.is_label(first[label]) or not self._mostly_labels(others, set_type):
            return None
        return "no other line has the label '%s'; --header=no if it is one" % first[label]

    def _mostly_labels(self, cells, set_type):
        """Whether what the other lines of a file have can be labels; only a test file's may not."""
        return set_type != "test" or any(
            self.is_label(cell) or label_rules.is_unknown(tables.tidy(cell)) for cell in cells
        )


def _usual_names(cells):
    return [cell for cell in cells if tables.tidy(cell).lower() in tables.USUAL_NAMES]


def _is_alone_without_a_number(rows):
    """Whether the first row differs in a column that has numbers otherwise, as a header does."""
    first, *others = (row.cells for row in rows)
    return len(others) > 1 and any(
        not label_rules.is_number(cell)
        and all(len(cells) > place and label_rules.is_number(cells[place]) for cells in others)
        for place, cell in enumerate(first)
    )


def _same_but_renamed(cells, training, missing):
    """Whether a header has other names than the training file's, but for the same columns."""
    header = training.header
    renamed = {training.columns[key] for key in missing}
    if len(cells) != len(header) or max(renamed) >= len(header):
        return False
    if columns.shares_names([cells[number] for number in renamed], header):
        return False
    others = set(range(len(header))) - renamed
    return all(columns.shares_names([cells[number]], [header[number]]) for number in others)


def _quotes_remark(table, cells):
    if table.separator == tables.TAB and any(cell.startswith('"') for cell in cells):
        return "; only .csv files have quoted cells"
    return ""


def _json_cell(line, key, name, set_type):
    if key != "label":
        return line.text(name)
    value = line.content.get(name, "")
    if set_type == "test" and (value is None or value != value):  # no label, or NaN
        return ""
    return line.label(name)


def _is_column_number(name):
    return re.fullmatch(r"\d+|-1", name) is not None
