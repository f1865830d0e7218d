"""Files of texts, read line by line, and results written line by line."""

import contextlib
import itertools
import os
import sys

from absl import logging
from tqdm import tqdm

from albert.basics import storage, tables
from albert.basics.errors import InputError
from albert.inference.text_model import CutItems
from albert.text.encoding import missing_content


def read_pairs(path, errors="strict"):
    """Yields the pairs of a table: columns a and b; more are ignored, blank lines left out.

    Only a .csv file has commas and quoted cells, see `tables.read_table`.

    Raises:
        InputError: a line has no second column, an empty first one, or a text that is without a
            token or cannot be in a line of the output.
    """
    for number, columns in _rows(path, errors):
        if len(columns) < 2:
            separator = "a tab or, quoted where needed, a comma" if tables.is_csv(path) else "a tab"
            raise InputError(
                "%s, line %d: %d column; expected two, separated by %s."
                % (path, number, len(columns), separator)
            )
        text_a, text_b = columns[:2]
        if any(character in text_a + text_b for character in "\t\n"):
            raise InputError(
                "%s, line %d: a text with a tab or a line break, which a line of the output cannot "
                "have." % (path, number)
            )
        _check_not_blank(text_a, path, number)
        if text_b.strip():
            _check_not_blank(text_b, path, number)
        yield text_a, text_b


def _rows(path, errors):
    """Yields (number of the line, cells)."""
    if tables.is_csv(path):
        for row in tables.read_table(path, errors).rows:
            yield row.line, row.cells
    else:
        for number, line in tables.read_lines(path, errors):
            yield number, line.split(tables.TAB)


def warn_of_form(path, first, header, whole_lines):
    """Says where a file seems to be more than its texts: a table, or a header above them.

    Args:
        path: the file.
        first: cells of its first line, as far as they were used.
        header: that of the file on which the model was trained, or None.
        whole_lines: whether each line is one text.
    """
    lines = itertools.islice(tables.read_lines(path, "replace"), tables.LOOKED_AT)
    lines = [line for _, line in lines] if whole_lines else []
    for separator, name in tables.SEPARATOR_NAMES.items():
        width = tables.columns_by(lines, separator)
        if len(lines) > 1 and width > 1 and (separator == tables.TAB or tables.is_csv(path)):
            logging.warning(
                "%s: each whole line was taken as one text, but the lines seem to have %d columns, "
                "%s-separated.",
                path,
                width,
                name,
            )
    names = {tables.tidy(name).lower() for name in [*tables.USUAL_NAMES, *(header or [])]}
    cells = [cell for column in first for cell in column.split(tables.TAB)]
    if all(tables.tidy(cell).lower() in names for cell in cells):
        logging.warning(
            "%s: the first line was taken as text like the others, but seems to be a header: %s",
            path,
            " | ".join(cells),
        )


def read_texts(path, errors="strict", with_ids=False):
    """Yields (id, text) of a file with one text in each line; blank lines are left out.

    Args:
        with_ids: lines are `id<TAB>text`; else the id is the line's number, from 1.

    Raises:
        InputError: a line has no id, no text behind it, or a text without a token.
    """
    for number, line in tables.read_lines(path, errors):
        identifier, text = str(number), line
        if with_ids:
            identifier, tab, text = line.partition("\t")
            if not (tab and identifier.strip()):
                raise InputError("%s, line %d: expected 'id<TAB>text'." % (path, number))
        _check_not_blank(text, path, number)
        yield identifier, text


def _check_not_blank(text, path, number):
    found = missing_content(text)
    if found:
        raise InputError("%s, line %d: expected a text, found %s." % (path, number, found))


def count(items, path):
    """Number of items that a reader yields, so that a bad line is found before any is computed.

    Raises:
        InputError: there is none.
    """
    number = sum(1 for _ in items)
    if not number:
        raise InputError("%s: holds no text." % path)
    return number


def progress_bar(total, unit):
    """A bar on stderr, only where that is a terminal."""
    return tqdm(total=total, unit=" " + unit, disable=None)


@contextlib.contextmanager
def open_output(path):
    """A file that appears when it is complete, or (None) the standard output."""
    if not path:
        yield sys.stdout
        return
    prepare_output(path)
    with storage.atomic_write(path) as handle:
        yield handle


def prepare_output(path):
    """Creates the folder of --output_file; InputError when it cannot be written to."""
    storage.prepare_output_dir(os.path.dirname(path) or ".", "output_file")


def description_path(output_file):
    """File that tells how an output file was made."""
    return output_file + ".json"


def described(model, path, unit, total, cut):
    """Dictionary for `description_path`.

    Args:
        model: `text_model.TextModel`.
        path: the input file.
        unit: what its items are, in the plural.
        total: number of items.
        cut: `text_model.CutItems`.
    """
    counts = {unit: total, "cut": len(cut.places)}
    return dict(model.description(), input_file=path, counts=counts)


def say_counts(model, output_file, unit, total, cut):
    """Says at the end how many items were cut; see `described`."""
    model.warn_of(cut)
    if output_file:
        logging.info(
            "%s: %d %s, of which %s had more than %d tokens and were cut.",
            output_file,
            total,
            unit,
            len(cut.places) or "none",
            model.max_seq_length,
        )


def score_file(model, read, path, unit, columns_of, output_file):
    """Writes a line for each item of a file, and shows the progress.

    In the end it says how many items were cut, and writes that into OUTPUT.json, too.

    Args:
        model: `TextClassifier`.
        read: function returning an iterator over the items; called twice, first to check them.
        path: the file's name.
        unit: what an item is, in the plural.
        columns_of: function of an item, returning the strings to write before its result.
        output_file: path, or None for the standard output.

    Raises:
        InputError: a line of the file is bad; nothing is written.
    """
    first, total, cut = columns_of(next(read(), "")), count(read(), path), CutItems()
    with open_output(output_file) as output, progress_bar(total, unit) as bar:
        for chunk, results in model.iter_chunks(read(), cut):
            for item, result in zip(chunk, results):
                output.write("\t".join([*columns_of(item), *model.describe(result)]) + "\n")
            bar.update(len(chunk))
    warn_of_form(path, first, model.training_header, unit == "texts")
    if output_file:
        known = described(model, path, unit, total, cut)
        storage.write_json(description_path(output_file), known)
    say_counts(model, output_file, unit, total, cut)
