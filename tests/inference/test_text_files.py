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
