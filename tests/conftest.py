"""Puts the repository root on the path and selects graph mode once for all tests."""

import os
import sys

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)

GOLDEN = os.path.join(ROOT, "tests", "golden")


@pytest.fixture(scope="session", autouse=True)
def graph_mode():
    from albert.basics import tf_compat

    tf_compat.use_graph_mode()


@pytest.fixture(scope="session")
def golden():
    """Folder of the golden files."""
    return GOLDEN


@pytest.fixture(scope="session")
def repo_root():
    return ROOT


def pytest_addoption(parser):
    parser.addoption("--kills", type=int, default=2, help="Kills of a training run to survive.")
