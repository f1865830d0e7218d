"""Puts the repository root on the path, selects graph mode, and has the fixtures of all tests."""

import http.server
import os
import sys
import threading

import pytest

# The modules under test, and the helpers of the tests, from wherever pytest is started.
sys.path[:0] = [
    os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
    os.path.dirname(os.path.abspath(__file__)),
]

from helpers.paths import GOLDEN, ROOT


def pytest_addoption(parser):
    parser.addoption("--kills", type=int, default=2, help="Kills of a training run to survive.")


def pytest_collection_finish():
    """Graph mode, before any test; rooms without TensorFlow do not pay for its import."""
    if "tensorflow" in sys.modules:
        from albert.basics import tf_compat

        tf_compat.use_graph_mode()


@pytest.fixture(scope="session")
def golden():
    """Folder of the golden files."""
    return GOLDEN


@pytest.fixture(scope="session")
def repo_root():
    return ROOT


@pytest.fixture
def small(tmp_path):
    """Flags of a tiny pre-training run of its own."""
    from helpers.runs import small_run

    return small_run(tmp_path)


@pytest.fixture
def foreground(monkeypatch):
    """For signals to this process: they do what they do in the foreground, and it may be slow."""
    from albert.training import signals
    from helpers import processes

    monkeypatch.setattr(signals, "_GRACE_SECONDS", 600)  # then all of pytest would be ended
    with processes.in_foreground():
        yield


@pytest.fixture
def server():
    """Serves `server.files` on this machine."""
    from helpers.archives import Handler

    instance = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    instance.files = {}
    instance.starts = []
    instance.ranges = True
    instance.break_after = None
    thread = threading.Thread(target=instance.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield instance
    instance.shutdown()
    thread.join()
    instance.server_close()
