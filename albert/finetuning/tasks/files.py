"""Tasks whose files are tab-separated, or have a JSON object on each line."""

import json
import math
import re

from absl import logging

from albert.basics import storage, tables
from albert.basics.errors import InputError
from albert.finetuning.tasks import columns
from albert.finetuning.tasks.base import (
    SETS,
    DataProcessor,
    InputExample,
    TaskSettings,
    task_of_earlier_run,
)

JSON_FORM = "JSON lines"
_SURROGATES = re.compile("[\ud800-\udfff]")


class TsvProcessor(DataProcessor):
    """Tab-separated files without quoting.

    Attributes:
        columns: "text_a", "text_b", "label", "guid" -> column number, -1 for the last.  Without a
            guid it is ``<set>-<line index>``, without a label the dummy is taken.
        test_columns: the same for the test file; None: as `columns`.
        headers: the sets whose file begins with a header.
        renamed_labels: label in a file -> label of the task.
        why_unused: what is said of rows that are no examples, see `is_used`.
    """

    columns = {}
    test_columns = None
    headers = SETS
    renamed_labels = {}
    why_unused = "is no example of the task"

    def __init__(self):
        super().__init__()
        self._trained = None  # `columns.Layout` of the training file's header, where known

    def configure(self, options):
        """Takes over the flags of a run; without a training file, what an earlier run had."""
        super().configure(options)
        settings = TaskSettings.of_options(options)
        if not (settings.data_dir or settings.train_file):  # a finished folder, and a new file
            table = task_of_earlier_run(settings).get("table")
            self._trained = columns.Layout(**table) if table else None

    def task_entries(self):
        return {"table": self._trained._asdict()} if self._trained else {}

    def _examples(self, data_dir, set_type):
        """Examples of one file; the guid counts lines from 0, dropped ones and the header too."""
        path = self._existing_file(data_dir, set_type)
        table = tables.read_table(path)
        report = self._report(set_type, path, table.separated)
        rows = table.rows
        layout = columns.Layout(self._columns(set_type))
        if set_type in self.headers:
            layout = self._layout_of_header(table, data_dir, set_type)
            report.header = layout.header
            rows = rows[1:]
        if set_type == "test":
            layout = columns.without_missing_label(rows, layout)
        fitted = self._fit(report, table, rows, layout)
        used = [row for _, row in fitted if self.is_used(set_type, row.cells)]
        others = [row.line for _, row in fitted if not self.is_used(set_type, row.cells)]
        report.drop(self.why_unused, *others)
        layout = self._with_real_labels(set_type, report, used, layout)
        return [self._example(set_type, row, layout.columns, path) for row in used]

    def _layout_of_header(self, table, data_dir, set_type):
        """`columns.Layout` of a table with a header.

        The columns are those of the task, unless the header has the names of the training file's
        in other places.  A header without its label's name is one of a test file without labels.
        """
        numbers, path = self._columns(set_type), table.path
        if not table.rows:
            return columns.Layout(numbers)
        first = table.rows[0].cells
        if self._looks_like_example(first, numbers):
            logging.warning(
                "%s: the first line is skipped as the header, but looks like an example.", path
            )
            return columns.Layout(numbers)
        layout = columns.Layout(numbers, first)
        if table.width > len(first):
            self.say(
                "%s: most rows have %d cells and the header %d; those behind are ignored.",
                path,
                table.width,
                len(first),
                level=logging.WARNING,
            )
        elif len(first) >= layout.needed:
            layout = layout._replace(width=len(first))
        if set_type == "train":
            self._trained = layout
            return layout
        training = self._training_layout(data_dir)
        if training is None:
            return layout
        if not columns.shares_names(first, training.header):
            if _texts(numbers) == _texts(training.columns):
                self.say(
                    "%s: the first line is skipped as the header, but has none of the names of the "
                    "training file's header (%s); if it is an example, put a header above it: %s",
                    path,
                    ", ".join(training.header),
                    " | ".join(first),
                    level=logging.WARNING,
                )
            return layout
        return self._by_name(layout, training, set_type, path)

    def _by_name(self, layout, training, set_type, path):
        """The layout with the columns where the names of the training file's header are."""
        names = training.names()
        guid = names.pop("guid", None)
        place = "%s, line 1" % path
        found = columns.find(names, layout.header, place)
        numbers = layout.columns
        if not all(key in found for key in _texts(numbers)):
            return layout
        lacks_label = "label" in numbers and "label" in names and "label" not in found
        if lacks_label and set_type != "test":
            raise InputError(
                "%s: no column '%s', the label of the training file; the columns are %s."
                % (place, names["label"], ", ".join(layout.header))
            )
        wanted = {key: found[key] for key in numbers if key in found}
        if "guid" in numbers:
            wanted.update(columns.find({"guid": guid} if guid else {}, layout.header, place))
            if "guid" not in wanted and numbers["guid"] not in wanted.values():
                wanted["guid"] = numbers["guid"]
        return layout._replace(columns=wanted, width=len(layout.header))

    def _training_layout(self, data_dir):
        """`columns.Layout` of the training file's header; None where it has none, or is missing."""
        if "train" not in self.headers or not self.files.get("train"):
            return None
        if not (data_dir or self.given_files.get("train")):
            return self._trained
        path = self.find_file(data_dir, "train")
        if not storage.exists(path):
            return None
        _, line = next(tables.read_lines(path), (0, ""))
        header, numbers = line.split(tables.TAB), self._columns("train")
        if self._looks_like_example(header, numbers):
            return None
        return columns.Layout(numbers, header)

    def _looks_like_example(self, first, numbers):
        """Whether a first line has a label of the task where the label stands."""
        label = numbers.get("label")
        if self.is_regression or label is None or len(first) < columns.Layout(numbers).needed:
            return False
        return self.is_label(first[label])

    def _with_real_labels(self, set_type, report, rows, layout):
        """The layout without the label's column if a test file has no labels there."""
        if set_type != "test":
            return layout
        label = layout.columns.get("label")
        if label is not None:
            values = [self._raw_label(row.cells[label]) for row in rows]
            report.unlabelled = self._why_unlabelled(values, report.path)
        elif "label" in self._columns(set_type):
            report.unlabelled = "there is no column of labels"
        if report.unlabelled:
            numbers = {key: value for key, value in layout.columns.items() if key != "label"}
            layout = layout._replace(columns=numbers)
        self.test_has_labels = type(self).test_has_labels and not report.unlabelled
        return layout

    def describe_columns(self):
        return self.description or "tab separated, %s%s%s" % (
            _describe(self.columns),
            "" if self.test_columns is None else "; test: " + _describe(self.test_columns),
            "; header: " + ", ".join(name for name in self.headers if name in self.files),
        )

    def is_used(self, set_type, row):
        """Whether a complete row is an example."""
        del set_type, row
        return True

    def _columns(self, set_type):
        if set_type == "test" and self.test_columns is not None:
            return self.test_columns
        return self.columns

    def _raw_label(self, cell):
        value = tables.tidy(self.prepare(cell))
        return self.renamed_labels.get(value, value)

    def _example(self, set_type, row, numbers, path):
        cells, text_b, label = row.cells, numbers.get("text_b"), numbers.get("label")
        if label is None:
            value = self.dummy_label()
        else:
            value = self.check_label(self._raw_label(cells[label]), path, row.line)
        guid = numbers.get("guid")
        return InputExample(
            "%s-%d" % (set_type, row.line - 1) if guid is None else self.prepare(cells[guid]),
            self.prepare(cells[numbers["text_a"]]),
            None if text_b is None else self.prepare(cells[text_b]),
            value,
        )


class JsonProcessor(DataProcessor):
    """One JSON object a line.

    Attributes:
        text_a, text_b: names of fields; `text_b` None for single texts.
        skipped_label: lines of train and dev with this label are no examples.
        first_index: number of the first line in the guids, which count skipped lines too.
    """

    files = {"train": "train.json", "dev": "dev.json", "test": "test.json"}
    text_a = None
    text_b = None
    skipped_label = None
    first_index = 0

    def _examples(self, data_dir, set_type):
        path = self._existing_file(data_dir, set_type)
        lines = read_json_lines(path)
        report = self._report(set_type, path, JSON_FORM)
        report.rows, report.blank_lines = len(lines), blank_lines(lines)
        self.malformed[path], self.num_rows[path] = [], len(lines)
        if set_type == "test":
            self._check_ids(lines)
        examples = []
        for line in lines:
            label = self.dummy_label() if set_type == "test" else line.label()
            if set_type != "test" and label == self.skipped_label:
                report.drop("the label is '%s'" % label, line.number)
                continue
            guid_index = line.number - 1 + self.first_index
            examples.extend(self.line_examples(set_type, guid_index, line, label))
        return examples

    def _check_ids(self, lines):
        """Says so if the ids of a test file are others than those of the submission."""
        for index, line in enumerate(lines):
            if str(line.content.get("id", index)) != str(index):
                logging.warning(
                    "%s, line %d: id %s; predictions are numbered from 0 in the order of the file.",
                    line.path,
                    line.number,
                    line.content["id"],
                )
                return

    def describe_columns(self):
        fields = (self.text_a, self.text_b, "label")
        return "JSON lines, " + (self.description or ", ".join(filter(None, fields)))

    def line_examples(self, set_type, index, line, label):
        """List of the examples of a `JsonLine`.

        Args:
            index: number of the line in guids.
            label: of the line, or the dummy; not yet checked.
        """
        text_a, text_b = self.texts(line)
        return [
            InputExample(
                "%s-%d" % (set_type, index),
                self.prepare(text_a),
                self.prepare(text_b),
                self.check_label(label, line.path, line.number),
            )
        ]

    def texts(self, line):
        """Pair of strings, the second of them None for single texts."""
        return line.text(self.text_a), line.text(self.text_b) if self.text_b else None


class JsonLine:
    """An object of a JSON-lines file, which names its place where something is wrong."""

    def __init__(self, path, number, content):
        self.path = path
        self.number = number  # from 1
        self.content = content

    def field(self, name, kinds, expected):
        """Value of a field; InputError when it is missing or none of the types `kinds`."""
        if name not in self.content:
            raise self.error("no field '%s'; expected %s" % (name, expected))
        value = self.content[name]
        if not isinstance(value, kinds):
            found = json.dumps(value, ensure_ascii=False)
            raise self.error("field '%s' is %s; expected %s" % (name, found, expected))
        return value

    def text(self, name):
        return self.field(name, str, "a string")

    def label(self, name="label"):
        """Label as a string without surrounding space; numbers and true and false are accepted.

        A whole number with a point (1.0) is the one without; NaN is no label.
        """
        value = self.field(name, (str, int, float), "a string")
        if isinstance(value, bool):
            return str(value).lower()
        if isinstance(value, float) and not math.isfinite(value):
            raise self.error("field '%s' is %s; expected a string" % (name, value))
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        return tables.tidy(str(value))

    def error(self, message):
        return InputError("%s, line %d: %s." % (self.path, self.number, message))


def read_json_lines(path):
    """List of `JsonLine`, one for each line that is not blank.

    Raises:
        InputError: the file cannot be read, or a line is no JSON object; names the line.
    """
    lines = []
    for number, text in tables.read_lines(path):
        line = JsonLine(path, number, None)
        try:
            line.content = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise line.error("not valid JSON (%s); expected a JSON object" % error) from None
        if "\\ud" in text.lower():
            line.content = _without_half_pairs(line.content)
        if not isinstance(line.content, dict):
            raise line.error("a JSON %s; expected an object" % type(line.content).__name__)
        lines.append(line)
    return lines


def blank_lines(lines):
    """Number of lines among those of `read_json_lines` that were left out."""
    return lines[-1].number - len(lines) if lines else 0


def _without_half_pairs(value):
    """Puts U+FFFD for halves of surrogate pairs, as of a truncated emoji.

    They cannot be written to a file; tokenizers drop both.
    """
    if isinstance(value, str):
        return _SURROGATES.sub("\ufffd", value)
    if isinstance(value, list):
        return [_without_half_pairs(item) for item in value]
    if isinstance(value, dict):
        return {key: _without_half_pairs(item) for key, item in value.items()}
    return value


def _describe(numbers):
    by_number = sorted(numbers.items(), key=lambda item: item[1] % 1000)  # the last (-1) at the end
    return ", ".join(
        "%s %s" % (name, "last" if number == -1 else number) for name, number in by_number
    )


def _texts(numbers):
    """The numbers of the columns of texts."""
    return {key: number for key, number in numbers.items() if key.startswith("text")}
