"""Nothing but what is wrong on standard error."""

import os
import subprocess
import sys

import pytest

from albert.basics import quiet
from helpers.paths import ROOT


@pytest.mark.slow
def test_starting_says_nothing():
    """From nothing: TensorFlow is imported, and asked what it can do."""
    code = "from albert.inference import graph_layers as g; g.supported('float32')"
    environment = {name: value for name, value in os.environ.items() if name[:3] != "TF_"}
    command = [sys.executable, "-c", code]
    process = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True)
    assert (process.returncode, process.stdout, process.stderr) == (0, b"", b"")


def test_only_chatter_is_dropped(capfd, monkeypatch):
    lines = [
        "2026-01-01 10:00:00.123456: E x/cuda_dnn.cc:9261] Unable to register cuDNN factory: twice",
        "2026-01-01 10:00:00.123456: I tensorflow/core/util/port.cc:113] oneDNN is on.",
        "WARNING: All log messages before absl::InitializeLog() is called are written to STDERR",
        "I0000 00:00:1795813118.245683   25731 port.cc:153] oneDNN is on.",
        "E0000 00:00:1795813118.245683   25731 cuda.cc:1] the driver is too old",
        "Traceback",
    ]
    for level, expected in (("3", lines[-2:]), ("0", lines)):
        monkeypatch.setenv(quiet.LEVEL_VARIABLE, level)
        with quiet.without_tensorflow_chatter():
            os.write(2, ("\n".join(lines) + "\n").encode())
        assert capfd.readouterr().err.splitlines() == expected
