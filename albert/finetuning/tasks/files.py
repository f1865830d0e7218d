"""Tasks whose files are tab-separated, or have a JSON object on each line."""

import json
import re

from absl import logging

from albert.basics import storage
from albert.basics.errors import InputError
from albert.finetuning.tasks.base import SETS, DataProcessor, InputExample

_SURROGATES = re.compile("[\ud800-\udfff]")


class TsvProcessor(DataProcessor):
    """Tab-separated files without quoting.

    Attributes:
        columns: "text_a", "text_b", "label", "guid" -> column number, -1 for the last.  Without a
            guid it is ``<set>-<line index>``, without a label the dummy is taken.
        test_columns: the same for the test file; None: as `columns`.
        headers: the sets whose file begins with a header.
        renamed_labels: label in a file -> label of the task.
    """

    columns = {}
    test_columns = None
    headers = SETS
    renamed_labels = {}

    def _examples(self, data_dir, set_type):
        """Examples of one file; the guid counts lines from 0, dropped ones and the header too."""
        path = self.find_file(data_dir, set_type)
        rows = list(enumerate(self._read_tsv(path)))
        columns = self._columns(set_type)
        if set_type in self.headers:
            self._check_header(path, rows[:1], columns)
            rows = rows[1:]
        width = _width(columns)
        self.malformed[path], self.num_rows[path] = [], len(rows)
        examples = []
        for index, row in rows:
            if len(row) < width:
                self.malformed[path].append(index + 1)
            elif self.is_used(set_type, row):
                examples.append(self._example(set_type, index, row, columns, path))
        return examples

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

    def _check_header(self, path, first, columns):
        label = columns.get("label")
        if self.is_regression or label is None or not first or len(first[0][1]) < _width(columns):
            return
        if first[0][1][label] in self.get_labels():
            logging.warning(
                "%s: the first line is skipped as the header, but looks like an example.", path
            )

    def _example(self, set_type, index, row, columns, path):
        text_b, label = columns.get("text_b"), columns.get("label")
        if label is None:
            value = self.dummy_label()
        else:
            value = self.prepare(row[label])
            value = self.check_label(self.renamed_labels.get(value, value), path, index + 1)
        guid = columns.get("guid")
        return InputExample(
            "%s-%d" % (set_type, index) if guid is None else self.prepare(row[guid]),
            self.prepare(row[columns["text_a"]]),
            None if text_b is None else self.prepare(row[text_b]),
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
        path = self.find_file(data_dir, set_type)
        lines = read_json_lines(path)
        self.malformed[path], self.num_rows[path] = [], len(lines)
        if set_type == "test":
            self._check_ids(lines)
        examples = []
        for line in lines:
            label = self.dummy_label() if set_type == "test" else line.label()
            if set_type != "test" and label == self.skipped_label:
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
        """Label as a string without surrounding space; numbers and true and false are accepted."""
        value = self.field(name, (str, int, float), "a string")
        if isinstance(value, bool):
            return str(value).lower()
        return str(value).strip()

    def error(self, message):
        return InputError("%s, line %d: %s." % (self.path, self.number, message))


def read_json_lines(path):
    """List of `JsonLine`, one for each line.

    Raises:
        InputError: the file cannot be read, or a line is no JSON object; names the line.
    """
    lines = []
    for number, text in enumerate(storage.read_lines(path), 1):
        line = JsonLine(path, number, None)
        try:
            line.content = json.loads(text)
        except (ValueError, RecursionError) as error:
            found = "not valid JSON (%s)" % error if text.strip() else "an empty line"
            raise line.error(found + "; expected a JSON object") from None
        if "\\ud" in text.lower():
            line.content = _without_half_pairs(line.content)
        if not isinstance(line.content, dict):
            raise line.error("a JSON %s; expected an object" % type(line.content).__name__)
        lines.append(line)
    return lines


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


def _describe(columns):
    by_number = sorted(columns.items(), key=lambda item: item[1] % 1000)  # the last (-1) at the end
    return ", ".join(
        "%s %s" % (name, "last" if number == -1 else number) for name, number in by_number
    )


def _width(columns):
    """Number of columns that a row must have; a last one (-1) comes after all others."""
    numbers = columns.values()
    return max(numbers) + (2 if -1 in numbers else 1)
