"""Cutting a corpus into blocks of whole documents."""

import itertools
import os
import random

import pytest

from albert.basics import storage
from albert.basics.errors import InputError
from albert.pretraining_data import blocks as pretraining_blocks
from albert.pretraining_data.blocks import split_into_blocks
from albert.pretraining_data.corpus import Span, read_documents

BLANK_LINES = ["\n", "\n\n", "  \n", "\r\n", "\u3000\n", "\t\u3000 \r\n", "\n \n\u3000\n"]


def write(path, content):
    path.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
    return str(path)


def read(spans, separate_files=False):
    """List of documents, each a list of lines."""
    return list(read_documents(spans, str.strip, str, separate_files=separate_files))


def read_blocks(blocks, separate_files=False):
    return list(itertools.chain.from_iterable(read(block, separate_files) for block in blocks))


def size(block):
    return sum(span.end - span.start for span in block)


@pytest.fixture
def warnings(monkeypatch):
    """List of the arguments of each warning."""
    calls = []
    monkeypatch.setattr(pretraining_blocks.logging, "warning", lambda *args: calls.append(args))
    return calls


def random_documents(rng):
    """Documents of one to eight lines of one to twelve characters."""

    def line():
        return "".join(
            rng.choice("一二三四五六七八九十ab \u3000") for _ in range(rng.randint(1, 12))
        )

    documents = [[line().strip() or "零" for _ in range(rng.randint(1, 8))] for _ in range(40)]
    return documents[: rng.randint(1, 40)]


def random_files(rng, documents, folder):
    """Writes documents to files that begin and end anywhere between two lines.

    Returns:
        Tuple (paths, most): most bytes of a document and the blank lines around it.
    """
    lines = []
    most = 0
    blank = rng.choice(["", "\n\n"])
    for document in documents:
        text = [blank] + [line + rng.choice(["\n", "\r\n"]) for line in document]
        blank = rng.choice(BLANK_LINES)
        most = max(most, len("".join([*text, blank]).encode("utf-8")))
        lines += "".join([*text, blank]).splitlines(True)
    lines = "".join(lines).split("\n")
    cuts = sorted(rng.randint(0, len(lines)) for _ in range(rng.randint(0, 4)))
    paths = []
    for number, (begin, end) in enumerate(zip([0, *cuts], [*cuts, len(lines)])):
        content = "".join(line + "\n" for line in lines[begin:end])
        if content.endswith("\n") and not content.endswith("\n\n") and rng.random() < 0.5:
            content = content[:-1]
        paths.append(write(folder / ("%d.txt" % number), content))
    return paths, most


@pytest.mark.parametrize("seed", range(40))
def test_blocks_hold_whole_documents(seed, tmp_path, warnings):
    rng = random.Random(seed)
    documents = random_documents(rng)
    paths, most = random_files(rng, documents, tmp_path)
    block_size = rng.randint(most, 4 * most)
    blocks = list(split_into_blocks(paths, block_size))

    assert read(map(Span, paths)) == documents
    assert read_blocks(blocks) == documents
    assert all(block_size <= size(block) for block in blocks[:-1])
    assert all(size(block) <= 2 * block_size for block in blocks)
    assert not warnings
    check_cover(blocks, paths)

    blocks = list(split_into_blocks(paths, block_size, separate_files=True))
    assert read_blocks(blocks, True) == read(map(Span, paths), True)
    check_cover(blocks, paths)


def check_cover(blocks, paths):
    """The spans are all of the files, in order."""
    spans = list(itertools.chain.from_iterable(blocks))
    for path in paths:
        content = storage.read_bytes(path)
        of_path = [span for span in spans if span.path == path]
        assert b"".join(content[span.start : span.end] for span in of_path) == content
        ends = [span.end for span in of_path]
        assert [span.start for span in of_path] == [0, *ends][: len(ends)]
    assert [span.path for span in spans] == sorted((span.path for span in spans), key=paths.index)
    assert all(span.start < span.end for span in spans)


@pytest.mark.parametrize(
    "contents, block_size, ends",
    [
        (["a\n\nb\n\n"], 2, [3, 6]),
        (["a\n\nb\n\n"], 3, [6]),  # the blank line begins before that
        (["aa\n", "\nb\n"], 3, [4, 6]),
        (["aa\n", "\nb\n"], 2, [4, 6]),
        (["aa\n", "b\n\nc\n"], 3, [6, 8]),
        (["aa\n  ", "b\n"], 2, [5, 7]),
        (["aa\n\r", "b\n\nc\n"], 4, [7, 9]),  # a lone CR at the end is no line
    ],
)
def test_blocks_end_behind_the_first_blank_line(contents, block_size, ends, tmp_path, warnings):
    paths = [write(tmp_path / str(index), content) for index, content in enumerate(contents)]
    blocks = list(split_into_blocks(paths, block_size))
    assert list(itertools.accumulate(map(size, blocks))) == ends
    assert read_blocks(blocks) == read(map(Span, paths))
    check_cover(blocks, paths)
    assert not warnings


def test_cutting_does_not_depend_on_what_follows(tmp_path):
    text = "".join("一二三\n四五六\n\n" for _ in range(50))
    short = list(split_into_blocks([write(tmp_path / "a", text)], 100))
    write(tmp_path / "a", text * 2)
    longer = list(split_into_blocks([str(tmp_path / "a")], 100))
    assert len(short) > 5
    assert longer[: len(short) - 1] == short[:-1]


@pytest.mark.parametrize("files", [1, 3])
def test_documents_longer_than_a_block_are_cut_between_lines(files, tmp_path, warnings):
    lines = ["第%d句。" % number for number in range(100, 400)]
    longest = len((lines[0] + "\n").encode("utf-8"))
    paths = [
        write(tmp_path / str(number), "\n".join(lines[number::files]) + "\n")
        for number in range(files)
    ]
    blocks = list(split_into_blocks(paths, 500))
    assert len(blocks) == 4
    assert all(size(block) <= 1000 + longest for block in blocks)
    assert [line for document in read_blocks(blocks) for line in document] == [
        line for number in range(files) for line in lines[number::files]
    ]
    assert len(warnings) == 3
    assert all(os.path.dirname(warning[1]) == str(tmp_path) for warning in warnings)
    assert [warning[2] for warning in warnings] == [block[-1].end for block in blocks[:-1]]


def test_the_document_after_a_long_one_is_whole(tmp_path, warnings):
    long = ["长长长长长"] * 40  # 640 bytes
    short = ["短短"] * 10
    path = write(tmp_path / "a", "\n".join([*long, "", *short, "", *short, ""]))
    documents = read_blocks(split_into_blocks([path], 200))
    assert len(warnings) == 1
    assert documents[-2:] == [short, short]
    assert list(itertools.chain(*documents[:-2])) == long


def test_ends_of_files_end_documents_if_asked(tmp_path, warnings):
    paths = [write(tmp_path / name, name + "一\n" + name + "二\n") for name in "abc"]
    assert [len(block) for block in split_into_blocks(paths, 15)] == [3]
    assert len(warnings) == 1  # all of it is one document
    assert [len(block) for block in split_into_blocks(paths, 15, separate_files=True)] == [2, 1]
    assert [len(block) for block in split_into_blocks(paths, 5, separate_files=True)] == [1] * 3
    assert len(warnings) == 1


@pytest.mark.parametrize("errors", ["replace", "ignore"])
def test_bytes_that_are_not_utf8_do_not_end_a_block(errors, tmp_path):
    path = write(tmp_path / "a", b"aaaa\n\xff\nb\n\nc\n")
    blocks = list(split_into_blocks([path], 5))
    assert blocks == [[Span(path, 0, 10)], [Span(path, 10, 12)]]
    read_parts = [read_documents(block, str.strip, str, errors) for block in blocks]
    assert list(itertools.chain(*read_parts)) == list(
        read_documents([Span(path)], str.strip, str, errors)
    )


def test_empty_files_have_no_blocks(tmp_path):
    paths = [write(tmp_path / name, "") for name in "ab"]
    assert list(split_into_blocks(paths, 10)) == []


def test_lines_longer_than_a_block_are_errors(tmp_path, monkeypatch):
    monkeypatch.setattr(pretraining_blocks, "_LONGEST_LINE", 50)
    path = write(tmp_path / "a", "a\n" * 10 + "b" * 200 + "\n\nc\n")
    with pytest.raises(InputError, match=r"a: no line feed in 50 bytes before byte \d+; expected"):
        list(split_into_blocks([path], 10))
    blocks = list(split_into_blocks([path], 110))
    assert read_blocks(blocks) == [["a"] * 10 + ["b" * 200], ["c"]]


def test_text_that_became_shorter_is_an_error(tmp_path):
    path = write(tmp_path / "a", "一\n\n二\n")
    blocks = list(split_into_blocks([path], 5))
    write(tmp_path / "a", "一\n\n")
    with pytest.raises(InputError, match="a: ends 4 bytes before byte 9; it was cut"):
        read_blocks(blocks)


def test_missing_files_are_errors(tmp_path):
    path = write(tmp_path / "a", "一\n\n二\n")
    blocks = list(split_into_blocks([path], 5))
    os.remove(path)
    with pytest.raises(InputError, match="a: no such file"):
        read_blocks(blocks)
