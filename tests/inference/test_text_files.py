"""Files of pairs and texts as users' editors write them."""

import numpy as np
import pytest

from albert.basics.errors import InputError
from albert.inference import text_files, vectors


def write(path, text):
    path.write_bytes(text.encode("utf-8"))
    return str(path)


def test_blank_lines_and_marks_are_no_text(tmp_path):
    path = write(tmp_path / "pairs.tsv", "\ufeff甲\t乙\r\n\r\n \t \n丙\t丁\tmore\n\n")
    assert list(text_files.read_pairs(path)) == [("甲", "乙"), ("丙", "丁")]
    path = write(tmp_path / "texts", "\ufeff\n甲\n\u3000\n乙\n")
    assert list(text_files.read_texts(path)) == [("2", "甲"), ("4", "乙")]
    path = write(tmp_path / "ids", "\ufeffa\t甲\n\t\nb\t乙\n")
    assert list(text_files.read_texts(path, with_ids=True)) == [("a", "甲"), ("b", "乙")]


def test_line_numbers_are_those_of_the_file(tmp_path):
    path = write(tmp_path / "pairs.tsv", "甲\t乙\n\n丙\n")
    with pytest.raises(InputError, match=r"pairs\.tsv, line 3: 1 column; expected two"):
        list(text_files.read_pairs(path))
    path = write(tmp_path / "ids", "\n \t甲\n")
    with pytest.raises(InputError, match=r"ids, line 2: expected 'id<TAB>text'"):
        list(text_files.read_texts(path, with_ids=True))


def test_ids_that_an_editor_has_saved(tmp_path):
    path = str(tmp_path / "v.npy")
    np.save(path, np.zeros([2, 3], np.float32))
    with open(vectors.ids_path(path), "wb") as handle:
        handle.write("\ufeffa\r\nb\r\n\r\n".encode("utf-8"))
    assert vectors.read_vectors(path)[0] == ["a", "b"]


def test_pairs_in_csv(tmp_path):
    path = write(tmp_path / "pairs.csv", '\ufeff"甲,甲","乙 ""乙""",1\n\n丙,丁,0\n')
    assert list(text_files.read_pairs(path)) == [("甲,甲", '乙 "乙"'), ("丙", "丁")]
    path = write(tmp_path / "pairs.csv", "甲,甲\t乙\n丙\t丁\n")
    assert list(text_files.read_pairs(path)) == [("甲,甲", "乙"), ("丙", "丁")]
    path = write(tmp_path / "pairs.csv", '甲,乙\n"丙\n丙",丁\n')
    with pytest.raises(InputError, match=r"line 3: a text with a tab or a line break"):
        list(text_files.read_pairs(path))
    path = write(tmp_path / "pairs.csv", "甲，乙\n丙，丁\n")
    with pytest.raises(InputError, match=r"pairs\.csv, line 1: 1 column; expected two, .*comma"):
        list(text_files.read_pairs(path))


@pytest.mark.parametrize(
    "content,whole_lines,expected",
    [
        ("text\n甲\n", True, "the first line was taken as text like the others"),
        ("Sentence1\tsentence2\n甲\t乙\n", False, "Sentence1 | sentence2"),
        ("问\t答\n甲\t乙\n", False, "seems to be a header: 问 | 答"),
        ("1\t甲\n2\t乙\n", True, "seem to have 2 columns, tab-separated"),
        ("1\t甲\n2\t乙\n", False, ""),
        ("甲,乙\n丙,丁\n", True, "seem to have 2 columns, comma-separated"),
        ("甲\n乙\n", True, ""),
    ],
)
def test_what_seems_to_be_no_text_is_told(tmp_path, caplog, content, whole_lines, expected):
    path = write(tmp_path / "x.csv", content)
    first = content.splitlines()[0].split("\t")
    text_files.warn_of_form(path, first, ["问", "答", "标签"], whole_lines)
    assert expected in caplog.text
    assert bool(expected) == bool(caplog.records)
