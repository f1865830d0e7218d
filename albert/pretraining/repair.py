"""Finding the damaged records of a TFRecord file, and writing a file of the others.

A record is stored as: length (8 bytes, little-endian), checksum of the length (4), content,
checksum of the content (4).  TensorFlow's reader gives up at the first damage.  This one goes on
behind it; it is slow (about 5 MB/s) and meant for the rare damaged file only.
"""

import contextlib
import mmap
import os
import struct
import zlib

from albert.basics import storage

_HEADER = struct.Struct("<QI")
_FOOTER = struct.Struct("<I")
_FRAME = _HEADER.size + _FOOTER.size
_GZIP = 31  # zlib's number for it
_PIECE = 4096
_TRUNCATED = "the file ends in the middle of it"
# The checksum is CRC-32C, rotated and shifted so that a checksum of checksums is not trivial.
_CASTAGNOLI, _MASK_DELTA = 0x82F63B78, 0xA282EAD8


def _make_table():
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (_CASTAGNOLI if value & 1 else 0)
        table.append(value)
    return table


_TABLE = _make_table()


def checksum(content):
    """The masked CRC-32C of bytes, as TFRecord files have it."""
    value = 0xFFFFFFFF
    for byte in content:
        value = _TABLE[(value ^ byte) & 0xFF] ^ value >> 8
    value ^= 0xFFFFFFFF
    return ((value >> 15 | value << 17) + _MASK_DELTA) & 0xFFFFFFFF


class TooManyProblems(Exception):
    """More damaged records than allowed; `problems` has those found until then."""

    def __init__(self, problems):
        super().__init__(problems)
        self.problems = problems


def write_good_records(source, target, compressed, find_problem, max_problems):
    """Copies the undamaged records of a TFRecord file.

    Args:
        source: the file, local or remote.
        target: local file to write, not compressed; complete or as it was.
        compressed: whether `source` is compressed by gzip.
        find_problem: function of a record's bytes; returns what is wrong with it, or None.
        max_problems: number of damaged records at which to go on.

    Returns:
        Number of records written, and a list of (number of the record in `source` from 0, problem).

    Raises:
        TooManyProblems: `target` is not written.
    """
    plain = "%s.plain-%d" % (target, os.getpid())
    try:
        end_problem = _copy_plain(source, plain, compressed)
        with storage.atomic_write(target, "wb") as output:
            return _copy_records(plain, output, find_problem, end_problem, max_problems)
    finally:
        if os.path.exists(plain):
            os.remove(plain)


def _copy_plain(source, plain, compressed):
    """Makes a local, uncompressed copy; returns what ended it early, or None."""
    with open(plain, "wb") as output:
        chunks = storage.read_chunks(source)
        if compressed:
            return _decompress(chunks, output)
        for chunk in chunks:
            output.write(chunk)
    return None


def _decompress(chunks, output):
    decoder = zlib.decompressobj(_GZIP)
    try:
        for chunk in chunks:
            # In small pieces, as what a damaged one holds is lost.
            for start in range(0, len(chunk), _PIECE):
                rest = chunk[start : start + _PIECE]
                while rest:
                    if decoder.eof:  # several archives may stand in one file
                        decoder = zlib.decompressobj(_GZIP)
                    output.write(decoder.decompress(rest))
                    rest = decoder.unused_data
    except zlib.error as error:
        return "the compressed data are damaged (%s); nothing after it can be read" % error
    return None if decoder.eof else "the compressed data are cut off in it"


def _copy_records(plain, output, find_problem, end_problem, max_problems):
    written, problems = 0, []

    def add_problem(problem):
        problems.append((written + len(problems), problem))
        if len(problems) > max_problems:
            raise TooManyProblems(problems)

    with open(plain, "rb") as handle, _map(handle) as data:
        for start, end, problem in _frames(data):
            if problem is None:
                problem = find_problem(data[start + _HEADER.size : end - _FOOTER.size])
            if problem is None:
                output.write(data[start:end])
                written += 1
            elif problem != _TRUNCATED or not end_problem:  # which are one damage, not two
                add_problem(problem)
    if end_problem:
        add_problem(end_problem)
    return written, problems


@contextlib.contextmanager
def _map(handle):
    """The bytes of a file as a buffer; mmap does not know empty ones."""
    if not os.fstat(handle.fileno()).st_size:
        yield b""
        return
    with mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as data:
        yield data


def _frames(data):
    """Yields (start, end, problem or None) of every record in a buffer."""
    start = 0
    while start < len(data):
        if not _is_header(data, start):
            following = _next_header(data, start + 1)
            cut = following == len(data) and len(data) - start < _HEADER.size
            yield start, following, _TRUNCATED if cut else "its length is damaged"
            start = following
            continue
        length, _ = _HEADER.unpack_from(data, start)
        end = start + length + _FRAME
        if end > len(data):
            yield start, len(data), _TRUNCATED
            return
        content = data[start + _HEADER.size : end - _FOOTER.size]
        (expected,) = _FOOTER.unpack_from(data, end - _FOOTER.size)
        yield start, end, None if checksum(content) == expected else "its checksum is wrong"
        start = end


def _is_header(data, start):
    if start + _HEADER.size > len(data):
        return False
    _, expected = _HEADER.unpack_from(data, start)
    return checksum(data[start : start + 8]) == expected


def _next_header(data, start):
    """Where the next record starts: at a length that its checksum confirms."""
    while start + _HEADER.size <= len(data):
        # No record has 4 GB; this rules nearly all places out before the checksum does.
        if data[start + 4 : start + 8] == b"\0\0\0\0" and _is_header(data, start):
            return start
        start += 1
    return len(data)
