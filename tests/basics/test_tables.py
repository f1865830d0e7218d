"""Lines and tables of text: blank lines, marks, line ends, separators, quotes."""

import codecs
import csv

import pytest

from albert.basics import storage, tables
from albert.basics.errors import InputError

MARK = codecs.BOM_UTF8


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return str(path)


def cells(table):
    return [row.cells for row in table.rows]


def lines(table):
    return [row.line for row in table.rows]


def test_blank_lines_are_no_rows_and_count_as_lines(tmp_path):
    text = "\n甲\t1\r\n \u3000\n\t\t\r\n乙\t2\n\ufeff\n\n"
    path = write(tmp_path / "x.tsv", text)
    assert list(tables.read_lines(path)) == [(2, "甲\t1"), (5, "乙\t2")]
    table = tables.read_table(path)
    assert (cells(table), lines(table)) == ([["甲", "1"], ["乙", "2"]], [2, 5])
    assert (table.separator, table.separated, table.width) == ("\t", "tab-separated", 2)
    assert table.blank_lines == 5
    table = tables.read_table(write(tmp_path / "x.csv", "a,b\n\n , \n,\nc,d\n"))
    assert (cells(table), lines(table)) == ([["a", "b"], ["c", "d"]], [1, 5])


def test_a_byte_order_mark_is_no_text(tmp_path):
    for name, content in (("x.tsv", b"a\tb\n"), ("x.csv", b'"a",b\n')):
        path = write(tmp_path / name, MARK + content)
        assert cells(tables.read_table(path)) == [["a", "b"]]
    path = write(tmp_path / "x", MARK + "甲\n".encode() + MARK + "乙".encode())
    assert list(storage.read_lines(path)) == ["甲", "\ufeff乙"]  # only at the beginning
    assert list(tables.read_lines(path)) == [(1, "甲"), (2, "乙")]  # files put together
    end = len(MARK + "甲\n".encode())
    assert list(storage.read_lines(path, start=end)) == ["\ufeff乙"]
    assert storage.read_json(write(tmp_path / "x.json", MARK + b'{"a": 1}')) == {"a": 1}


def test_lines_that_end_in_carriage_returns_alone(tmp_path):
    path = write(tmp_path / "x.csv", MARK + "text,label\r好,1\r\r坏,0\r".encode())
    table = tables.read_table(path)
    assert cells(table) == [["text", "label"], ["好", "1"], ["坏", "0"]]
    assert lines(table) == [1, 2, 4]
    # With a line feed anywhere, a carriage return is deleted, as in all texts.
    assert list(tables.read_lines(write(tmp_path / "x", "a\rb\nc"))) == [(1, "ab"), (2, "c")]


@pytest.mark.parametrize(
    "content,separator,width",
    [
        ("1\t花呗,怎么还\t如何,还\t1\n2\t今天\t明天\t0\n", "\t", 4),  # commas of the texts
        ("花呗,怎么还\t1\n今天,好\t0\n", "\t", 2),
        ("text,label\n\t12,1\n\t13,0\n", ",", 2),  # numbers kept from Excel by a tab
        ("a,b\n", ",", 2),
        ("a\n", ",", 1),
        ("", ",", 1),
        ('"一\n\t二",1\n三,0\n', ",", 2),
    ],
)
def test_separator_of_csv(tmp_path, content, separator, width):
    table = tables.read_table(write(tmp_path / "x.csv", content))
    assert (table.separator, table.width) == (separator, width)
    assert ("read by tabs" in table.remark) == (separator == "\t")
    assert tables.read_table(write(tmp_path / "x.tsv", content)).separator == "\t"


def test_quotes_in_a_csv_that_has_tabs(tmp_path):
    path = write(tmp_path / "x.csv", '"一\t二"\t1\n"三""\n四"\t0\n')
    assert cells(tables.read_table(path)) == [["一\t二", "1"], ['三"\n四', "0"]]
    for text in ('"一\t1\n二"\t0\n', '"一\t1\n二"好\t0\n'):  # of the text, not around a cell
        table = tables.read_table(write(tmp_path / "x.csv", text))
        assert [row[1] for row in cells(table)] == ["1", "0"]
        assert "double quotes are ordinary characters" in table.remark


def test_quoted_cells_of_another_file_are_told(tmp_path):
    table = tables.read_table(write(tmp_path / "x.tsv", '"a"\t1\n"说""好"""\t2\n"a"b\t3\n'))
    assert [row[0] for row in cells(table)] == ['"a"', '"说""好"""', '"a"b']
    assert table.remark.startswith("2 rows have a cell in double quotes, which are ordinary")
    with pytest.raises(InputError, match=r"x\.csv, line 2: .*; expected comma-separated values"):
        tables.read_table(write(tmp_path / "x.csv", 'a,1\n"b,2\n'))


@pytest.mark.parametrize("separator", [",", "\t"])
def test_long_cells_and_the_limit_of_the_process(tmp_path, separator):
    limit = csv.field_size_limit()
    content = '"%s"%s1\n' % ("长" * 140000, separator)
    table = tables.read_table(write(tmp_path / "x.csv", content))
    assert [len(cell) for cell in table.rows[0].cells] == [140000, 1]
    with pytest.raises(InputError):
        tables.read_table(write(tmp_path / "x.csv", content.replace(separator, ",") + '"'))
    assert csv.field_size_limit() == limit


def test_columns_without_anything_in_them(tmp_path):
    table = tables.read_table(write(tmp_path / "x.csv", "text,label,,\n好,1,,\n坏,0\n"))
    assert cells(table) == [["text", "label"], ["好", "1"], ["坏", "0"]]
    table = tables.read_table(write(tmp_path / "x.tsv", "text\tlabel\t\n好\t1\t x\n"))
    assert cells(table)[1] == ["好", "1", " x"]
    assert tables.other_separator(table) is None
    table = tables.read_table(write(tmp_path / "x.csv", "text;label\n好;1\n"))
    assert tables.other_separator(table) == "semicolon"


def test_tidy():
    for text in ("1", " 1\u3000", "\u00a01\u00a0", "\ufeff \u200b1 "):
        assert tables.tidy(text) == "1"
    assert tables.tidy("\u200b \ufeff") == ""
