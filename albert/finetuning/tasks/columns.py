"""Where the texts and the label stand in a table: by the names of a header, or by number."""

from typing import Dict, List, NamedTuple, Optional

from albert.basics.errors import InputError
from albert.basics.tables import is_blank, tidy
from albert.finetuning.tasks.labels import is_number


class Layout(NamedTuple):
    """How a table is read.

    Attributes:
        columns: "text_a", "text_b", "label", "guid" -> number of the column, -1 for the last.
        header: the header's cells; None where there is none, or it has no names to go by.
        width: number of cells that a row may have; None: any.
    """

    columns: Dict[str, int]
    header: Optional[List[str]] = None
    width: Optional[int] = None

    @property
    def needed(self):
        """Number of cells that a row must have; a last column (-1) comes after all others."""
        numbers = self.columns.values()
        return max(numbers, default=-1) + (2 if -1 in numbers else 1)

    def names(self):
        """`{"text_a": name, ...}` by the header; columns without a name are left out."""
        if self.header is None:
            return {}
        found = {
            key: tidy(self.header[number])
            for key, number in self.columns.items()
            if -len(self.header) <= number < len(self.header)
        }
        return {key: name for key, name in found.items() if name}


def shares_names(cells, header):
    """Whether a first line has cells of another file's header, and so is a header itself."""
    names = {tidy(name).lower() for name in header if not is_blank(name)}
    return any(tidy(cell).lower() in names for cell in cells)


def find(names, cells, place):
    """Numbers of columns by their names.

    Args:
        names: `{"text_a": name, ...}`.
        cells: of a header.
        place: file and line, for messages.

    Returns:
        `{"text_a": number, ...}` of those that the header has.

    Raises:
        InputError: two columns have a name.
    """
    found = {}
    tidied = [tidy(cell) for cell in cells]
    for key, name in names.items():
        name = tidy(name)
        same = tidied if name in tidied else [cell.lower() for cell in tidied]
        name = name if name in tidied else name.lower()
        if same.count(name) > 1:
            raise InputError("%s: %d columns are named '%s'." % (place, same.count(name), name))
        if name in same:
            found[key] = same.index(name)
    return found


def without_label(columns):
    """The numbers of columns in a file that has all but the label's."""
    label = columns["label"]
    return {
        key: number - (0 <= label < number) for key, number in columns.items() if key != "label"
    }


def without_missing_label(rows, layout):
    """The layout of a test file, without the label where all rows lack it.

    Args:
        rows: list of `tables.Row` without the header.
    """
    if "label" not in layout.columns or not rows:
        return layout
    if max(len(row.cells) for row in rows) != layout.needed - 1:
        return layout
    return layout._replace(columns=without_label(layout.columns))


class Fitted(NamedTuple):
    """Rows of a table that can be read, and those that cannot.

    Attributes:
        rows: list of (place in the table from 0, `tables.Row`).
        short, long: lists of the numbers of the lines that lack a column, or have too many.
        repeated: list of those that are the header again, as of files put together.
    """

    rows: list
    short: List[int]
    long: List[int]
    repeated: List[int]


def fit(rows, layout):
    """`Fitted` rows: of each so many cells as the layout has, where more are blank.

    Args:
        rows: list of `tables.Row` without the header.
    """
    fitted, short, long, repeated = [], [], [], []
    again = _rows_of_header(rows, layout)
    for place, row in enumerate(rows):
        cells = row.cells
        if row.line in again:
            repeated.append(row.line)
            continue
        if layout.width is not None and len(cells) > layout.width:
            if not all(map(is_blank, cells[layout.width :])):
                long.append(row.line)
                continue
            row = row._replace(cells=cells[: layout.width])
        if len(row.cells) < layout.needed:
            short.append(row.line)
            continue
        fitted.append((place, row))
    return Fitted(fitted, short, long, repeated)


def _rows_of_header(rows, layout):
    """Numbers of the lines that are the header again; none where that may be an example."""
    header, label = layout.header, layout.columns.get("label")
    if header is None or label is None or not -len(header) <= label < len(header):
        return set()
    name = tidy(header[label])
    tidied = [tidy(cell) for cell in header]
    again = {
        row.line
        for row in rows
        if tidy(row.cells[0]) == tidied[0] and [tidy(cell) for cell in row.cells] == tidied
    }
    others = (row.cells for row in rows if again and row.line not in again)
    if is_number(name) or any(tidy(cells[label]) == name for cells in others if len(cells) > label):
        return set()
    return again
