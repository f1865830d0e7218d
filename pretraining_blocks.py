"""A corpus cut into blocks of whole documents, without reading all of it."""

from absl import logging

import file_utils
from pretraining_corpus import Span, file_size


def split_into_blocks(paths, block_size, separate_files=False):
    """Cuts text files, read one after the other, into blocks of about `block_size` bytes.

    A block ends behind the first blank line after `block_size` bytes, so it holds whole
    documents; only a document longer than a block is cut, between two of its lines.  Where blocks
    end depends on the files and on `block_size` alone.

    Args:
        paths: list of file names.
        block_size: in bytes.
        separate_files: the end of a file ends a document, too.

    Yields:
        Lists of `Span`.
    """
    spans = []
    room = block_size
    for path in paths:
        size = file_size(path)
        start = 0
        while start < size:
            end, border = size, separate_files
            if size - start > room:
                # `room` is less than 0 when a document goes on from file to file.
                at_least = start + max(room, 0)
                end, border = _next_border(path, at_least, start + room + block_size)
                border = border or (end == size and separate_files)
            spans.append(Span(path, start, end))
            room -= end - start
            start = end
            if room <= 0 and not border and room <= -block_size:
                logging.warning(
                    "%s: no blank line in %d bytes before byte %d; the document is cut there.",
                    path,
                    block_size,
                    end,
                )
                border = True
            if room <= 0 and border:
                yield spans
                spans = []
                room = block_size
    if spans:
        yield spans


def _next_border(path, offset, limit):
    """Looks for the first blank line from `offset` on.

    Returns:
        Tuple (end, found): the offset behind that line and True; or, if there is none before the
        offset `limit` or the end of the file, the offset behind the line there and False.
    """
    end = offset
    # A line that begins before `offset` is passed over: its beginning is not known.
    passed_over = offset > 0
    if passed_over:
        end -= 1
    for line in file_utils.read_raw_lines(path, end):
        end += len(line) + 1
        if passed_over:
            passed_over = False
        elif not line.decode("utf-8", "ignore").replace("\r", "").strip():
            return end, True
        if end >= limit:
            return min(end, file_size(path)), False
    return file_size(path), False
