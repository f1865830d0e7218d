"""scripts/create_pretrain_data*.sh: which commands they run, and what they do about failures."""

import json
import os
import subprocess
import sys

import pytest

from helpers.paths import GOLDEN

SETTINGS = ["--do_whole_word_mask=true", "--do_lower_case=true", "--max_seq_length=512"]
ONE = SETTINGS + ["--max_predictions_per_seq=51", "--masked_lm_prob=0.10"]
BATCH = ONE + ["--max_predictions_per_seq=76", "--masked_lm_prob=0.15"]  # the last one counts

# Stands for Python: notes its arguments, fails for input 2, else writes the two output files.
STAND_IN = """#!/usr/bin/env bash
set -e
printf '%s\\n' "$@" END >> "$CALLS"
for argument in "$@"; do
  case "$argument" in
    --input_file=*_2.txt) echo "error: bad input" >&2; exit 2 ;;
    --output_file=*) output="${argument#*=}" ;;
  esac
done
echo new > "$output"
echo '{}' > "$output.json"
"""


class Script:
    """Runs a script with a stand-in for Python, in a folder of its own."""

    def __init__(self, folder, path):
        self.folder, self._path = folder, path
        self._calls = folder / "calls"
        stand_in = folder / "python"
        stand_in.write_text(STAND_IN)
        stand_in.chmod(0o755)
        self._environment = dict(os.environ, PYTHON=str(stand_in), CALLS=str(self._calls))
        (folder / "data").mkdir()

    def run(self, *arguments, status=0):
        """Returns what the script printed on stdout and stderr."""
        done = subprocess.run(
            ["bash", self._path, *map(str, arguments)],
            cwd=str(self.folder),
            env=self._environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == status, done.stderr
        return done.stdout, done.stderr

    def calls(self):
        """The arguments of each call of Python since the last time, without the program."""
        if not self._calls.exists():
            return []
        calls = self._calls.read_text().split("END\n")[:-1]
        self._calls.unlink()
        programs = {os.path.realpath(call.split("\n")[0]) for call in calls}
        root = os.path.dirname(os.path.dirname(os.path.realpath(self._path)))
        assert programs == {os.path.join(root, "create_pretraining_data.py")}
        return [call.splitlines()[1:] for call in calls]


@pytest.fixture
def one(tmp_path, repo_root):
    return Script(tmp_path, os.path.join(repo_root, "scripts", "create_pretrain_data.sh"))


@pytest.fixture
def batch(tmp_path, repo_root):
    return Script(tmp_path, os.path.join(repo_root, "scripts", "create_pretrain_data_batch.sh"))


def files(source, target, vocab="./albert_config/vocab.txt"):
    return ["--input_file=%s" % source, "--output_file=%s" % target, "--vocab_file=%s" % vocab]


def numbered(number, source="data", target="data", vocab="./albert_config/vocab.txt"):
    return files(
        "%s/web_text_zh_%d.txt" % (source, number),
        "%s/tf_web_text_zh_%d.tfrecord" % (target, number),
        vocab,
    )


# One file


def test_one_file_by_default(one):
    one.run()
    output = "data/tf_news_2016_zh_raw_news2016zh_1.tfrecord"
    assert one.calls() == [files("data/news_zh_1.txt", output) + ONE]


def test_arguments_and_flags_are_passed_on(one):
    flags = ["--masked_lm_prob=0.2", "--dupe_factor=3", "a b"]
    one.run("in 1.txt", "data/o ut", "v", *flags)
    assert one.calls() == [files("in 1.txt", "data/o ut", "v") + ONE + flags]
    one.run("in.txt", *flags)
    (call,) = one.calls()
    assert call[0] == "--input_file=in.txt"
    assert call[2:] == ["--vocab_file=./albert_config/vocab.txt"] + ONE + flags


def test_failure_of_one_file_is_the_scripts(one):
    _, errors = one.run("in_2.txt", "data/out", status=2)
    assert errors == "error: bad input\n"


def test_too_many_arguments_are_refused(one):
    _, errors = one.run("a", "b", "c", "d", status=2)
    assert errors.startswith("error: 'd': expected at most INPUT OUTPUT VOCAB")
    assert "usage:" in errors
    assert one.calls() == []


@pytest.mark.parametrize("arguments", [["-h"], ["--help"], ["a", "-h"]])
def test_usage(one, tmp_path, repo_root, arguments):
    for name in ("create_pretrain_data.sh", "create_pretrain_data_batch.sh"):
        one._path = os.path.join(repo_root, "scripts", name)
        output, _ = one.run(*arguments)
        assert output.startswith("usage: scripts/%s " % name)
        assert "VOCAB" in output and "FLAG" in output
    assert one.calls() == []


# Many files


def test_every_file_from_first_to_last(batch):
    output, _ = batch.run(9, 11, "texts", "data/new/records", "vocab.txt", "--dupe_factor=3")
    assert batch.calls() == [
        numbered(number, "texts", "data/new/records", "vocab.txt") + BATCH + ["--dupe_factor=3"]
        for number in (9, 10, 11)
    ]
    assert output.splitlines() == [
        "%d: data/new/records/tf_web_text_zh_%d.tfrecord" % (number, number)
        for number in (9, 10, 11)
    ]


def test_folders_have_defaults(batch):
    batch.run("08", 8)  # not octal
    assert batch.calls() == [numbered(8) + BATCH]


def test_finished_files_are_skipped(batch):
    batch.run(3, 4)
    (batch.folder / "data" / "tf_web_text_zh_3.tfrecord").write_text("old\n")
    (batch.folder / "data" / "tf_web_text_zh_4.tfrecord.json").unlink()
    (batch.folder / "data" / "tf_web_text_zh_5.tfrecord.json").write_text("{}")
    batch.calls()
    output, _ = batch.run(3, 5)
    assert output.startswith("3: data/tf_web_text_zh_3.tfrecord is there, skipped\n4: data/")
    assert batch.calls() == [numbered(4) + BATCH, numbered(5) + BATCH]
    assert (batch.folder / "data" / "tf_web_text_zh_3.tfrecord").read_text() == "old\n"
    batch.run(3, 5)
    assert batch.calls() == []


def test_other_files_are_made_after_a_failure(batch):
    for _ in range(2):
        _, errors = batch.run(1, 3, status=1)
        assert errors.splitlines() == [
            "error: bad input",
            "error: 1 of 3 files failed: data/tf_web_text_zh_2.tfrecord",
        ]
    calls = [call[0] for call in batch.calls()]
    # The second time only what is missing.
    assert calls == ["--input_file=data/web_text_zh_%d.txt" % number for number in (1, 2, 3, 2)]
    records = sorted(path.name for path in (batch.folder / "data").glob("*.tfrecord"))
    assert records == ["tf_web_text_zh_1.tfrecord", "tf_web_text_zh_3.tfrecord"]


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([], "0 arguments before the flags; expected FIRST LAST"),
        (["1"], "1 arguments before the flags"),
        (["1", "2", "a", "b", "c", "d"], "6 arguments before the flags"),
        (["1", "--dupe_factor=2"], "1 arguments before the flags"),
        (["one", "2"], "'one': FIRST and LAST must be whole numbers"),
        (["1", "2.5"], "'2.5': FIRST and LAST must be whole numbers"),
        (["3", "2"], "FIRST (3) is larger than LAST (2)"),
        (["1", "2", "a", "gs://b/c"], "'gs://b/c': OUTPUT_DIR must be a local folder"),
    ],
)
def test_unusable_arguments_are_refused(batch, arguments, message):
    _, errors = batch.run(*arguments, status=2)
    assert errors.startswith("error: " + message)
    assert "usage:" in errors
    assert batch.calls() == []


@pytest.mark.slow
def test_batch_makes_records_with_the_published_settings(tmp_path, repo_root):
    """Without a stand-in."""
    with open(os.path.join(GOLDEN, "data", "texts", "zh_tiny.txt"), "rb") as handle:
        (tmp_path / "web_text_zh_7.txt").write_bytes(handle.read())
    script = os.path.join(repo_root, "scripts", "create_pretrain_data_batch.sh")
    arguments = ["7", "7", str(tmp_path), str(tmp_path), os.path.join(GOLDEN, "vocab.txt")]
    done = subprocess.run(
        ["bash", script, *arguments, "--dupe_factor=2"],
        env=dict(os.environ, PYTHON=sys.executable, TF_CPP_MIN_LOG_LEVEL="2"),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    description = json.loads((tmp_path / "tf_web_text_zh_7.tfrecord.json").read_text("utf-8"))
    expected = {
        "recipe": "albert_zh",
        "do_whole_word_mask": True,
        "do_lower_case": True,
        "max_seq_length": 512,
        "max_predictions_per_seq": 76,
        "masked_lm_prob": 0.15,
        "dupe_factor": 2,
        "short_seq_prob": 0.1,
        "random_seed": 12345,
    }
    assert {name: description["settings"][name] for name in expected} == expected
