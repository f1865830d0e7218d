"""What is wrong with flags ends a script as all bad input does: one sentence, exit status 2."""

import os

import pytest

from helpers import processes
from helpers.paths import ROOT


@pytest.mark.parametrize(
    "script, arguments, sentence",
    [
        (
            "run_classifier.py",
            ["--max_seq_len=3"],
            "Unknown command line flag 'max_seq_len'. Did you mean: max_seq_length? "
            "--helpfull lists all flags.",
        ),
        (
            "run_pretraining.py",
            ["--num_train_steps=many"],
            "flag --num_train_steps=many: invalid literal for int() with base 10: 'many'. "
            "--helpfull lists all flags.",
        ),
        ("scripts/count_params_and_flops.py", ["--seq_length=0"], "flag --seq_length=0: "),
        ("serve.py", ["--port", "8000", "my_model"], "unexpected argument 'my_model'; "),
    ],
)
def test_bad_flags(script, arguments, sentence):
    result = processes.run([os.path.join(ROOT, script), *arguments])
    assert (result.returncode, result.stdout) == (2, "")
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert line.startswith("error: " + sentence)
    assert result.stderr.endswith(line + "\n")


def test_help_is_no_error():
    result = processes.run([os.path.join(ROOT, "serve.py"), "--helpfull"])
    assert "--queue_size" in result.stdout
    assert "error" not in result.stderr
