"""Files that appear whole or not at all."""

import os

import pytest

from albert.basics import storage
from albert.basics.errors import InputError


class Stopped(BaseException):
    """Like KeyboardInterrupt, no `Exception`."""


def write(path, text):
    with open(str(path), "w", encoding="utf-8") as handle:
        handle.write(text)


def contents(folder):
    return {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()}


def test_files_get_their_names_when_the_block_succeeds(tmp_path):
    write(tmp_path / "a", "old")
    with storage.renamed_when_done(str(tmp_path / "a"), str(tmp_path / "b")) as temporary:
        for path, text in zip(temporary, "xy"):
            write(path, text)
        assert contents(tmp_path)["a"] == "old"
        assert sorted(storage.unfinished_files(str(tmp_path))) == sorted(temporary)
    assert contents(tmp_path) == {"a": "x", "b": "y"}
    assert storage.unfinished_files(str(tmp_path)) == []


@pytest.mark.parametrize("error", [ValueError, OSError, Stopped])
@pytest.mark.parametrize("written", [0, 1, 2])
def test_a_failed_block_leaves_the_old_files_and_nothing_else(error, written, tmp_path):
    write(tmp_path / "a", "old")
    paths = str(tmp_path / "a"), str(tmp_path / "b")
    with pytest.raises(error), storage.renamed_when_done(*paths) as temporary:
        for path in temporary[:written]:
            write(path, "new")
        raise error
    assert contents(tmp_path) == {"a": "old"}


def test_a_file_that_cannot_get_its_name_is_removed(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(OSError), storage.renamed_when_done(str(tmp_path / "a")) as (path,):
        write(path, "new")
    assert os.listdir(str(tmp_path)) == ["a"]


def test_an_error_of_atomic_write_names_the_file(tmp_path):
    path = str(tmp_path / "a")
    with pytest.raises(OSError) as error, storage.atomic_write(path) as handle:
        handle.write("new")
        raise OSError(28, "No space left on device")
    assert error.value.filename == path
    assert os.listdir(str(tmp_path)) == []


def test_paths_with_a_scheme_are_renamed_too():
    from albert.basics.tf_compat import tf  # the other tests here do without it

    path = "ram://renamed_when_done"
    try:
        with tf.io.gfile.GFile(path + "-probe", "w") as handle:
            handle.write("x")
    except tf.errors.OpError:
        pytest.skip("this TensorFlow has no file system ram://")
    with storage.renamed_when_done(path) as (temporary,), tf.io.gfile.GFile(
        temporary, "w"
    ) as handle:
        handle.write("new")
    assert storage.read_bytes(path) == b"new"
    with pytest.raises(Stopped), storage.renamed_when_done(path) as (temporary,):
        with tf.io.gfile.GFile(temporary, "w") as handle:
            handle.write("other")
        raise Stopped
    assert storage.read_bytes(path) == b"new"
    assert not storage.exists(temporary)


# Names and patterns


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for name in (
        "a.txt",
        "b.txt",
        "a.txt,b.txt",
        "part[1].txt",
        "part1.txt",
        "d[1],x/s/a.txt",
        "d[1],x/s/b.txt",
        "d1/a.txt",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        write(tmp_path / name, "x")
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    "patterns, expected",
    [
        ("b.txt,a.txt", ["b.txt", "a.txt"]),
        ("a.txt,b.txt", ["a.txt,b.txt"]),  # which exists under this name
        ("a.txt,b.txt,b.txt", ["a.txt,b.txt", "b.txt"]),
        ("part[1].txt", ["part[1].txt"]),
        ("part[12].txt", ["part1.txt"]),
        ("d[1],x/s/*.txt", ["d[1],x/s/a.txt", "d[1],x/s/b.txt"]),
        ("d[1],x/*/a.txt,b.txt", ["d[1],x/s/a.txt", "b.txt"]),
        ("d[1],x/s/b.txt,d[1],x/s/a.txt", ["d[1],x/s/b.txt", "d[1],x/s/a.txt"]),
        ("d[12]/a.txt", ["d1/a.txt"]),
        ("?.txt", ["a.txt", "b.txt"]),
    ],
)
def test_what_exists_is_meant_and_the_rest_are_patterns(folder, caplog, patterns, expected):
    assert storage.match_files(patterns) == expected
    assert not caplog.text


@pytest.mark.parametrize("patterns", ["b.txt,?.txt", "b.txt,./b.txt,a.*", "b.txt,link,a.txt"])
def test_a_file_that_is_named_twice_is_read_once_and_that_is_said(folder, caplog, patterns):
    os.symlink("b.txt", "link")
    found = storage.match_files(patterns)
    assert found == ["b.txt", "a.txt"] or found == ["b.txt", "a.txt", "a.txt,b.txt"]
    assert "--input_file: 1 files are named more than once" in caplog.text


@pytest.mark.parametrize("patterns", ["c.txt", "a.txt,c*", "d1", "d[1],x"])
def test_a_pattern_without_a_file_is_an_error(folder, patterns):
    with pytest.raises(InputError, match="--eval_file: no file matches"):
        storage.match_files(patterns, "eval_file")


def test_outputs_may_lie_in_folders_with_commas(folder):
    names = ["d[1],x/s/new", "new", "d1/new"]
    assert storage.split_outputs(",".join(names)) == names
    assert storage.split_outputs("new,d,2/new") == ["new", "d", "2/new"]


def test_names_that_are_not_utf8_are_refused(tmp_path):
    with open(os.path.join(os.fsencode(str(tmp_path)), b"caf\xe9"), "w"):
        pass
    with pytest.raises(InputError, match=r"--input_file: '.*caf\\udce9' is not readable: names"):
        storage.match_files(str(tmp_path / "*"))
    storage.check_name("语料", "the argument")
