"""Lines and tables of text as every reader of this project sees them: one rule for all.

A line of white space is no row, but counts where lines are numbered.  A byte order mark at the
beginning of a line is dropped, and lines end as in `storage.read_lines`; a file without a single
line feed, as of an old Macintosh, has lines that end in carriage returns.
"""

import contextlib
import csv
import re
from typing import List, NamedTuple

from albert.basics import storage
from albert.basics.errors import InputError

TAB, COMMA = "\t", ","
SEPARATOR_NAMES = {TAB: "tab", COMMA: "comma"}
# What else tables are separated by; it is named where one cannot be read.
_OTHER_SEPARATORS = {";": "semicolon", "|": "bar", "，": "full-width comma"}
_MARK = "\ufeff"
# What looks blank, but is no white space for `str.strip`.
_INVISIBLE = _MARK + "\u200b\u200c\u200d\u2060"
# Python's reader of CSV refuses longer cells than 131,072 characters, unless told otherwise.
_LONGEST_CELL = 2**31 - 1
# Lines from which it is found how a file is separated.
LOOKED_AT = 1000
# A first line with one of these cells is a header.
USUAL_NAMES = frozenset(
    "text text_a text_b text1 text2 sentence sentence1 sentence2 question question1 question2 "
    "query title content label score class category".split()
)
# So many of them must have the same number of columns.
_MIN_SHARE = 0.9


class Row(NamedTuple):
    """A row of a table.

    Attributes:
        line: number of its line in the file, from 1; of its last one if it has several.
        cells: list of strings.
    """

    line: int
    cells: List[str]


class Table(NamedTuple):
    """A file of rows, the header among them.

    Attributes:
        path: the file.
        separator: one of `SEPARATOR_NAMES`.
        rows: list of `Row`.
        blank_lines: number of lines, or rows, that hold nothing.
        remark: what a user should know of how the file was read; may be empty.
    """

    path: str
    separator: str
    rows: List[Row]
    blank_lines: int
    remark: str

    @property
    def separated(self):
        """In words, such as "tab-separated"."""
        return SEPARATOR_NAMES[self.separator] + "-separated"

    @property
    def width(self):
        """Number of cells that most rows have."""
        return _common_width([len(row.cells) for row in self.rows])


def tidy(text):
    """A label or the name of a column without what is invisible around it."""
    while True:
        stripped = text.strip().strip(_INVISIBLE)
        if stripped == text:
            return text
        text = stripped


def is_csv(path):
    """Whether a file may have commas between its cells, and quotes around them."""
    return path.lower().endswith(".csv")


def is_blank(line):
    """Whether a line holds nothing."""
    return not line.replace(_MARK, "").strip()


def read_lines(path, errors="strict"):
    """Yields (number from 1, line) of the lines that are not blank.

    Args:
        errors: what to do with invalid UTF-8, see `storage.read_lines`.

    Raises:
        InputError: the file cannot be read, or (strict) has invalid UTF-8; names the line.
    """
    for number, line in enumerate(_all_lines(path, errors), 1):
        if not is_blank(line):
            yield number, line


def read_table(path, errors="strict"):
    """`Table` of a .csv file, or of another one by tabs.

    Only .csv has quoted cells, as in RFC 4180; they may hold separators and line breaks.  A .csv
    file whose lines are separated by tabs is read by tabs.

    Args:
        errors: what to do with invalid UTF-8, see `storage.read_lines`.

    Raises:
        InputError: the file cannot be read, or its quotes do not close; names the line.
    """
    lines = list(_all_lines(path, errors))
    separator = _separator_of_csv(lines) if is_csv(path) else TAB
    remark = ""
    if separator == COMMA:
        try:
            rows = _quoted_rows(lines, separator)
        except _BadQuotes as error:
            raise InputError(
                "%s, line %d: %s; expected comma-separated values, a quote inside a quoted one "
                "doubled." % (path, error.line, error)
            ) from None
    elif is_csv(path):
        rows, remark = _rows_by_tab_of_csv(lines)
    else:
        rows = _plain_rows(lines, separator)
        quoted = sum(map(_has_quoted_cell, rows))
        if quoted:
            remark = (
                "%d rows have a cell in double quotes, which are ordinary characters there: only "
                ".csv files have quoted cells" % quoted
            )
    kept = [row for row in rows if not all(map(is_blank, row.cells))]
    return Table(path, separator, _without_blank_tail(kept), len(rows) - len(kept), remark)


def read_cells(path, quotechar=None):
    """List of the rows of a tab-separated file, each a list of strings, but for blank ones.

    Args:
        quotechar: character around cells that hold tabs or line breaks; None: there are none.

    Raises:
        InputError: the file cannot be read, or its quotes do not close; names the line.
    """
    if quotechar is None:
        return [line.split(TAB) for _, line in read_lines(path)]
    try:
        rows = _quoted_rows(list(_all_lines(path, "strict")), TAB, quotechar)
    except _BadQuotes as error:
        raise InputError("%s, line %d: %s." % (path, error.line, error)) from None
    return [row.cells for row in rows if not all(map(is_blank, row.cells))]


def other_separator(table):
    """Name of the separator that the rows of a table of one column seem to have; or None."""
    lines = [table.separator.join(row.cells) for row in table.rows[:LOOKED_AT]]
    for separator, name in dict(SEPARATOR_NAMES, **_OTHER_SEPARATORS).items():
        if separator != table.separator and columns_by(lines, separator) > 1:
            return name
    return None


def _all_lines(path, errors):
    lines = storage.read_lines(path, errors, cr_ends_lines=_has_only_carriage_returns(path))
    # A mark inside stands where files were put together.
    return (line.lstrip(_MARK) for line in lines)


def _has_only_carriage_returns(path):
    found = False
    for chunk in storage.read_chunks(path):
        if b"\n" in chunk:
            return False
        found = found or b"\r" in chunk
    return found


class _BadQuotes(Exception):
    def __init__(self, error, line):
        super().__init__(str(error))
        self.line = line


@contextlib.contextmanager
def _cells_of_any_size():
    """The limit is the whole process's, so it is as it was afterwards."""
    limit = csv.field_size_limit(_LONGEST_CELL)
    try:
        yield
    finally:
        csv.field_size_limit(limit)


def _plain_rows(lines, separator):
    return [Row(number, line.split(separator)) for number, line in enumerate(lines, 1)]


def _quoted_rows(lines, separator, quote='"'):
    lines = (line + "\n" for line in lines)
    reader = csv.reader(lines, delimiter=separator, quotechar=quote, strict=True)
    with _cells_of_any_size():
        try:
            return [Row(reader.line_num, cells) for cells in reader]
        except csv.Error as error:
            raise _BadQuotes(error, reader.line_num) from None


def _rows_by_tab_of_csv(lines):
    """Rows, and what to say: quotes count only if the whole file is well-formed with them."""
    said = "it is read by tabs, which its lines have"
    plain = _plain_rows(lines, TAB)
    try:
        quoted = _quoted_rows(lines, TAB)
    except _BadQuotes:
        return plain, said + "; double quotes are ordinary characters there"
    widths = [len(row.cells) for row in plain if not all(map(is_blank, row.cells))]
    if len(quoted) != len(plain) and len(set(widths)) == 1:
        return plain, said + "; double quotes are ordinary characters there"
    return quoted, said


def _separator_of_csv(lines):
    """Tab if the lines have it as regularly as a table has its separator; else the comma."""
    looked_at = [line for line in lines[:LOOKED_AT] if not is_blank(line)]
    by_tab, by_comma = (columns_by(looked_at, separator) for separator in (TAB, COMMA))
    return TAB if by_tab > 1 and by_tab >= by_comma else COMMA


def columns_by(lines, separator):
    """Number of columns if lines are separated that way; 1 if too few have the same number."""
    reader = csv.reader((line + "\n" for line in lines), delimiter=separator)
    with _cells_of_any_size():
        try:
            widths = [len(cells) for cells in reader if cells]
        except csv.Error:
            widths = [line.count(separator) + 1 for line in lines]
    width = _common_width(widths)
    return width if widths.count(width) >= _MIN_SHARE * len(widths) else 1


def _common_width(widths):
    return max(sorted(set(widths)), key=widths.count) if widths else 1


def _has_quoted_cell(row):
    """Whether a cell looks as a program writes it that puts cells into quotes."""
    return any(cell.startswith('"') and re.fullmatch('"(?:[^"]|"")+"', cell) for cell in row.cells)


def _without_blank_tail(rows):
    """Rows without columns at the end that hold nothing in any row, as of a last separator."""
    if not rows or len(rows[0].cells) < 2 or not is_blank(rows[0].cells[-1]):
        return rows
    filled = max(_filled(row.cells) for row in rows)
    return [Row(row.line, row.cells[: max(filled, 1)]) for row in rows]


def _filled(cells):
    """Number of cells up to the last that holds something."""
    return max(number for number, cell in enumerate(["x", *cells]) if not is_blank(cell))
