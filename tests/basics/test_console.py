"""What is printed where the terminal cannot show it, or nobody reads it."""

import io
import os
import sys

import pytest

from albert.basics import console


@pytest.fixture
def pipe():
    """A text stream whose reader has gone."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stream:
        yield stream


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "gbk"])
def test_characters_that_the_output_lacks_are_escaped_and_that_is_said_once(
    encoding, monkeypatch, capsys
):
    content = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(content, encoding, newline="\n"))
    monkeypatch.setattr(console, "_told", [])
    console.write_whatever_is_printed()
    print("句 1 \U0001f600")
    print("对 2 \U0001f600", flush=True)
    kept = "句对" if encoding == "gbk" else None
    expected = "句 1 \\U0001f600\n对 2 \\U0001f600\n"
    if not kept:
        expected = expected.replace("句", "\\u53e5").replace("对", "\\u5bf9")
    assert content.getvalue().decode(encoding) == expected
    errors = capsys.readouterr().err
    assert errors.count("PYTHONIOENCODING") == 1 and encoding in errors


def test_what_the_user_has_chosen_stays(monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), "ascii", errors="replace")
    names = io.TextIOWrapper(io.BytesIO(), "utf-8", errors="surrogateescape")
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr(sys, "stderr", names)
    console.write_whatever_is_printed()
    assert (stream.errors, names.errors) == ("replace", "surrogateescape")
    monkeypatch.setattr(sys, "stdout", None)  # it was closed from the start
    console.write_whatever_is_printed()


def test_a_reader_that_goes_away_is_told_of_once(pipe, monkeypatch, capsys, tmp_path):
    log = tmp_path / console.LOG_FILE
    monkeypatch.setattr(sys, "stdout", pipe)
    with console.lasting_output(str(log)):
        for number in range(3):
            print("step %d" % number, flush=True)
    assert sys.stdout is pipe
    pipe.flush()  # nothing is left that could fail at exit
    told = "stdout cannot be written any more (Broken pipe); the run goes on without it."
    assert log.read_text().count(told) == len(log.read_text().splitlines()) == 1
    assert told in capsys.readouterr().err


def test_both_outputs_may_go_away(pipe, monkeypatch, tmp_path):
    log = tmp_path / console.LOG_FILE
    monkeypatch.setattr(sys, "stdout", pipe)
    monkeypatch.setattr(sys, "stderr", pipe)
    with console.lasting_output(str(log)):
        print("buffered")
    assert "stdout cannot be written" in log.read_text()


def test_a_log_that_cannot_be_written_ends_nothing(pipe, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(sys, "stdout", pipe)
    with console.lasting_output(str(tmp_path / "missing" / "log")):
        print("step", flush=True)
    assert "goes on without it" in capsys.readouterr().err


def test_an_output_that_is_full_is_tried_again(monkeypatch, tmp_path, capsys):
    class Full(io.StringIO):
        is_full = True

        def write(self, text):
            if self.is_full:
                raise OSError(28, "No space left on device")
            return super().write(text)

    stream = Full()
    monkeypatch.setattr(sys, "stdout", stream)
    with console.lasting_output(str(tmp_path / "log")):
        print("lost")
        stream.is_full = False
        print("written")
    assert "written" in stream.getvalue()
    assert capsys.readouterr().err.count("No space left on device") == 1


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no such device")
def test_what_a_full_output_never_takes_is_dropped(monkeypatch, tmp_path, capsys):
    with open("/dev/full", "w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        with console.lasting_output(str(tmp_path / "log")):
            print("lost")
        stream.flush()
    assert "No space left on device" in capsys.readouterr().err
