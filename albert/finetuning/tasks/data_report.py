"""What was read of a task's files, and what was not: for the end of a run, and results.json."""

import collections

from albert.basics.errors import shown
from albert.finetuning.tasks import labels

SHORT = "lacks a column"
LONG = "has more cells than the header or the other rows"
_SHOWN_LABELS = 5
_SHOWN_CHARACTERS = 40


class SetReport:
    """What is said of one set of a task, "train", "dev" or "test".

    Args:
        path: its file.
        form: "tab-separated", "JSON lines" and so on.

    Attributes:
        header: cells of the first line where that was the header, or None.
        rows: number of rows after the header, dropped ones too.
        blank_lines: number of lines that hold nothing.
        dropped: reason -> numbers of the lines that are no examples.
        unlabelled: why a test file counts as one without labels; None if it has labels.
        labels: `collections.Counter` of the examples' labels, where they are real ones.
        finds_labels: whether the task's labels are those that its training file has.
        empty_texts: number of examples of which a text holds nothing that a model sees.
        remark: what else was decided.
        has_quotes: whether an unusable row begins a quoted cell, as only .csv files have.
    """

    def __init__(self, path, form):
        self.path = path
        self.form = form
        self.header = None
        self.rows = 0
        self.blank_lines = 0
        self.dropped = {}
        self.unlabelled = None
        self.labels = collections.Counter()
        self.finds_labels = False
        self.empty_texts = 0
        self.remark = ""
        self.has_quotes = False

    def drop(self, reason, *lines):
        """Takes note of rows that are no examples."""
        if lines:
            self.dropped.setdefault(reason, []).extend(lines)

    def content(self):
        """Dict for results.json."""
        content = {
            "file": self.path,
            "format": self.form,
            "header": self.header,
            "rows": self.rows,
            "blank_lines": self.blank_lines,
            "dropped": {reason: len(lines) for reason, lines in self.dropped.items()},
            "labels": dict(self.labels.most_common()),
            "empty_texts": self.empty_texts,
        }
        if self.rare_labels():
            content["rare_labels"] = self.rare_labels()
        if self.unlabelled:
            content["unlabelled"] = self.unlabelled
        if self.remark:
            content["remark"] = self.remark
        return content

    def rare_labels(self):
        """Labels that are probably none; only where the file itself says which there are."""
        return labels.rare(self.labels) if self.finds_labels else []

    def describe(self):
        """What was decided when the file was read, in a sentence."""
        header = "no header"
        if self.header is not None:
            header = "the first line is the header (%s)" % ", ".join(self.header)
        parts = [self.form, "%d rows" % self.rows]
        if self.form != "JSON lines":
            parts.insert(1, header)
        if self.blank_lines:
            parts.append("blank lines left out: %d" % self.blank_lines)
        parts += [
            "%d dropped: %s (first: line %d)" % (len(lines), reason, lines[0])
            for reason, lines in self.dropped.items()
        ]
        if self.remark:
            parts.append(self.remark)
        return "%s: %s." % (self.path, "; ".join(parts))

    def warnings(self):
        """List of sentences about what is probably wrong."""
        found = []
        rare = self.rare_labels()
        if rare:
            names = ", ".join(
                "'%s' (%d)" % (shown(label, _SHOWN_CHARACTERS), self.labels[label])
                for label in rare[:_SHOWN_LABELS]
            )
            found.append(
                "%s: %d labels occur once or twice in %d rows: %s; check these rows, a cell may "
                "have shifted." % (self.path, len(rare), self.rows, names)
            )
        names = collections.Counter(map(labels.looks, self.labels))
        alike = [label for label in self.labels if names[labels.looks(label)] > 1]
        if alike and self.finds_labels:
            found.append(
                "%s: labels that differ only in capitals, width, blanks or zeros in front are "
                "different classes: %s." % (self.path, ", ".join(alike[:_SHOWN_LABELS]))
            )
        if self.empty_texts:
            found.append("%s: examples with an empty text: %d." % (self.path, self.empty_texts))
        unknown = [
            label
            for label in self.labels
            if labels.is_unknown(label) and not labels.is_number(label)
        ]
        if unknown and self.finds_labels:
            found.append(
                "%s: a class is named '%s' (%d rows), as if a label were missing there."
                % (self.path, unknown[0], self.labels[unknown[0]])
            )
        return found

    def describe_labels(self):
        """The labels with their numbers of rows; empty where they are not known."""
        common = self.labels.most_common(_SHOWN_LABELS)
        names = ["%s %d" % (shown(label, _SHOWN_CHARACTERS), count) for label, count in common]
        if len(self.labels) > len(common):
            names.append("... (%d labels)" % len(self.labels))
        return ", ".join(names)
