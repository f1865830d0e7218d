"""One process at a time writes a folder."""

import json
import multiprocessing
import os
import socket
import subprocess
import sys

import pytest

from albert.basics import locks
from albert.basics.errors import InputError

HOLD = """
import sys
from albert.basics import locks
with locks.only_writer(sys.argv[1]):
    print("has it", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def folder(tmp_path):
    return str(tmp_path)


@pytest.fixture
def owner(folder, repo_root):
    """Another process that has the folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, folder],
        cwd=repo_root,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout.readline() == b"has it\n"
    yield process
    process.kill()
    process.communicate()


def test_the_second_is_refused_and_told_who_is_the_first(folder, owner):
    before = os.listdir(folder)
    message = (
        r"--output_dir: .* is in use: process %d \(-c\) on %s, since \d{4}-\d\d-\d\d \d\d:"
        % (
            owner.pid,
            socket.gethostname(),
        )
    )
    with pytest.raises(InputError, match=message), locks.only_writer(folder):
        pytest.fail("both have it")  # pragma: no cover
    assert os.listdir(folder) == before == [locks.LOCK_FILE]
    owner.communicate()  # it ends
    assert os.listdir(folder) == []
    with locks.only_writer(folder):
        assert os.listdir(folder) == [locks.LOCK_FILE]
    assert os.listdir(folder) == []


def test_the_lock_of_a_killed_process_is_taken_over(folder, owner, caplog):
    owner.kill()
    owner.communicate()
    assert os.listdir(folder) == [locks.LOCK_FILE]
    with locks.only_writer(folder):
        pass
    assert "process %d (-c) on " % owner.pid in caplog.text and "takes it over" in caplog.text
    assert os.listdir(folder) == []


def test_one_process_is_refused_twice_and_leaves_it_after_an_error(folder):
    with pytest.raises(KeyError), locks.only_writer(folder, "model_dir"):
        with pytest.raises(InputError, match="--model_dir: "), locks.only_writer(
            folder, "model_dir"
        ):
            pytest.fail("both have it")  # pragma: no cover
        raise KeyError
    assert os.listdir(folder) == []


def test_a_forked_child_neither_keeps_nor_removes_it(folder):
    context = multiprocessing.get_context("fork")
    event = context.Event()
    with locks.only_writer(folder):
        child = context.Process(target=event.wait)
        child.start()
        assert os.listdir(folder) == [locks.LOCK_FILE]
    try:
        with locks.only_writer(folder):  # though the child lives
            pass
    finally:
        event.set()
        child.join()


def _no_flock(*unused):
    raise OSError(38, "Function not implemented")


@pytest.mark.parametrize(
    "change, is_refused",
    [
        ({}, True),
        ({"process": 2**22 + 1}, False),  # more than Linux gives
        ({"started": 1}, False),  # another process has its number now
        ({"host": "elsewhere"}, True),
    ],
)
def test_without_flock_the_file_decides(folder, monkeypatch, change, is_refused):
    if locks.fcntl is not None:
        monkeypatch.setattr(locks.fcntl, "flock", _no_flock)
    path = os.path.join(folder, locks.LOCK_FILE)
    with locks.only_writer(folder), open(path) as handle:
        content = json.load(handle)
    assert content["process"] == os.getpid()
    with open(path, "w") as handle:
        json.dump(dict(content, **change), handle)
    if is_refused:
        with pytest.raises(InputError, match="is in use"), locks.only_writer(folder):
            pytest.fail("both have it")  # pragma: no cover
    else:
        with locks.only_writer(folder):
            pass


def test_folders_with_a_scheme_are_not_locked(caplog):
    caplog.set_level("INFO")
    with locks.only_writer("gs://bucket/run"):
        pass
    assert "gs://bucket/run: nothing of this kind is locked" in caplog.text
