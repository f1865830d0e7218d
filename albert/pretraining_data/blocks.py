"""A corpus cut into blocks of whole documents, without reading all of it."""

from absl import logging

from albert.basics import storage
from albert.basics.errors import InputError
from albert.basics.storage import file_size
from albert.pretraining_data.corpus import Span

# A line is held in memory, so a longer one than this and than a block is an error.
_LONGEST_LINE = 1 << 20


def split_into_blocks(paths, block_size, separate_files=False):
    """Cuts text files, read one after the other, into blocks of about `block_size` bytes.

    A block ends behind the first blank line after `block_size` bytes, so it holds whole
    documents; only a document longer than a block is cut, between two of its lines.  Where blocks
    end depends on the files and on `block_size` alone.

    Args:
        paths: list of file names.
        block_size: in bytes, at least 1.
        separate_files: the end of a file ends a document, too.

    Yields:
        Lists of `Span`: at most twice `block_size` and a line.

    Raises:
        InputError: a file cannot be read, or a line is too long.
    """
    spans = []
    room = block_size  # 0 or less while a document at the end of a file may go on in the next one
    for path in paths:
        size = file_size(path)
        start = 0
        while start < size:
            end, is_border = size, False
            if size - start > room:
                limit = start + room + block_size
                end, is_border = _next_border(path, size, start + max(room, 0), limit, block_size)
            is_border = is_border or (separate_files and end == size)
            spans.append(Span(path, start, end))
            room -= end - start
            start = end
            if room <= -block_size and not is_border:
                logging.warning(
                    "%s: the document before byte %d is longer than a block of %d bytes; it is "
                    "cut there.",
                    path,
                    end,
                    block_size,
                )
                is_border = True
            if room <= 0 and is_border:
                yield spans
                spans = []
                room = block_size
    if spans:
        yield spans


def _next_border(path, size, offset, limit, block_size):
    """Looks for the first blank line that begins at `offset` or later.

    Returns:
        Tuple (end, found): the offset behind that line and True; or, if there is none before the
        offset `limit` or the end of the file, the offset behind the line there and False.
    """
    stop = min(size, limit + max(block_size, _LONGEST_LINE))
    # What is left of a line that begins before `offset` is passed over.
    end = max(offset - 1, 0)
    is_whole = offset == 0
    for line in storage.read_raw_lines(path, end, stop):
        end = min(end + len(line) + 1, size)
        if end > stop:
            break
        if is_whole and _is_blank(line):
            return end, True
        if end >= limit:
            return end, False
        is_whole = True
    if stop < size:
        raise InputError(
            "%s: no line feed in %d bytes before byte %d; expected one sentence per line."
            % (path, max(block_size, _LONGEST_LINE), stop)
        )
    return size, False


def _is_blank(line):
    """True only if the line ends a document, whatever is done with bytes that are not UTF-8."""
    return not line.decode("utf-8", "replace").strip()
