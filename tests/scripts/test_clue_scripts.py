"""scripts/download_clue.sh against a server on this machine; run_classifier_*.sh, the table."""

import json
import os
import re
import subprocess
import sys
import zipfile

import pytest

from helpers.archives import make_zip, snapshot

FILES = {"train.json": b'{"a": 1}\n{"a": 2}\n', "dev.json": b"{}\n", "test.json": b"{}\n"}
# Folders, and what macOS puts into archives.
AFQMC = {"afqmc/" + name: content for name, content in FILES.items()}
AFQMC.update({"__MACOSX/train.json": b"x", "afqmc/.DS_Store": b"x"})


@pytest.fixture
def script(repo_root, server, tmp_path):
    """Calls a script in an empty folder."""

    def call(name, *arguments, **variables):
        environment = dict(
            os.environ,
            CLUE_BASE_URL="http://127.0.0.1:%d/tasks/" % server.server_port,
            PYTHON=sys.executable,
            no_proxy="127.0.0.1",
        )
        environment.update(variables)
        return subprocess.run(
            ["bash", os.path.join(repo_root, "scripts", name), *arguments],
            cwd=str(tmp_path),
            env=environment,
            capture_output=True,
            text=True,
        )

    return call


def serve(server, **archives):
    server.files = {"/tasks/%s_public.zip" % name: make_zip(f) for name, f in archives.items()}
    return server.files


def test_download(script, server, tmp_path):
    (content,) = serve(server, afqmc=AFQMC).values()
    result = script("download_clue.sh", "afqmc")
    assert result.returncode == 0, result.stderr
    expected = {"afqmc/" + name: value for name, value in FILES.items()}
    expected["afqmc_public.zip"] = content
    assert snapshot(tmp_path / "CLUEdataset") == expected
    assert re.search(r" 2 lines  CLUEdataset/afqmc/train\.json$", result.stdout, re.M)
    # Again: nothing is fetched, with the archive or without it.
    server.files = {}
    assert script("download_clue.sh", "afqmc").returncode == 0
    os.remove(str(tmp_path / "CLUEdataset" / "afqmc_public.zip"))
    result = script("download_clue.sh", "afqmc")
    assert result.returncode == 0
    assert "is there already" in result.stdout
    assert server.starts == [0]


def test_interrupted_download_is_continued(script, server, tmp_path):
    (content,) = serve(server, tnews=dict(FILES, big=os.urandom(50000))).values()
    server.break_after = 20000
    result = script("download_clue.sh", "tnews", CLUE_DATA_DIR="my data")
    assert result.returncode == 1
    assert "run the same command again to continue, or set CLUE_BASE_URL" in result.stderr
    assert list(snapshot(tmp_path)) == ["my data/tnews_public.zip.part"]
    server.break_after = None
    result = script("download_clue.sh", "tnews", CLUE_DATA_DIR="my data")
    assert result.returncode == 0, result.stderr
    assert server.starts[0] == 0
    assert server.starts[-1] >= 20000
    assert snapshot(tmp_path)["my data/tnews_public.zip"] == content


def test_files_of_the_user_stay(script, server, tmp_path):
    serve(server, csl=FILES)
    folder = tmp_path / "CLUEdataset" / "csl"
    folder.mkdir(parents=True)
    (folder / "dev.json").write_bytes(b"mine")
    (folder / "notes.txt").write_bytes(b"mine, too")
    assert "is there already" in script("download_clue.sh", "csl").stdout
    assert server.starts == []
    (tmp_path / "CLUEdataset" / "csl_public.zip").write_bytes(make_zip(FILES))
    result = script("download_clue.sh", "csl")
    assert result.returncode == 0, result.stderr
    assert "kept: CLUEdataset/csl/dev.json differs" in result.stdout
    expected = dict(FILES, **{"dev.json": b"mine", "notes.txt": b"mine, too"})
    assert snapshot(folder) == expected


@pytest.mark.parametrize("kind", ["cut", "changed", "empty", "twice"])
def test_bad_archives(script, server, tmp_path, kind):
    content = {
        "cut": make_zip(FILES)[:-30],
        "changed": make_zip(FILES).replace(b'{"a": 1}', b'{"a": 9}'),
        "empty": make_zip({}),
        "twice": make_zip({"a/x": b"1", "b/x": b"2"}),
    }[kind]
    server.files = {"/tasks/wsc_public.zip": content}
    result = script("download_clue.sh", "wsc")
    assert result.returncode == 1
    assert "error: the downloaded wsc_public.zip is not a sound archive" in result.stderr
    assert snapshot(tmp_path / "CLUEdataset") == {"wsc_public.zip.rejected": content}
    own = tmp_path / "CLUEdataset" / "wsc_public.zip"
    own.write_bytes(content)
    result = script("download_clue.sh", "wsc")
    assert result.returncode == 1
    assert "move it away to download it anew" in result.stderr
    assert own.read_bytes() == content


def test_other_names_are_fetched_after_a_failure(script, server, tmp_path):
    serve(server, afqmc=FILES, csl=FILES)
    result = script("download_clue.sh", "afqmc", "tnews", "csl")
    assert result.returncode == 1
    assert "error: not fetched: tnews." in result.stderr
    assert sorted(os.listdir(str(tmp_path / "CLUEdataset"))) == sorted(
        ["afqmc", "afqmc_public.zip", "csl", "csl_public.zip"]
    )


def test_names_of_data_sets(script):
    result = script("download_clue.sh", "afqmc", "nothing")
    assert result.returncode == 2
    assert "there is no data set 'nothing'; the names are:" in result.stderr
    listed = script("download_clue.sh", "--list").stdout
    assert re.search(r"^cluewsc2020 +http://127\S+/tasks/cluewsc2020_public\.zip$", listed, re.M)
    default = script("download_clue.sh", "--list", CLUE_BASE_URL="").stdout
    assert "googleapis.com/cluebenchmark/tasks/clue_submit_examples.zip" in default
    assert script("download_clue.sh").returncode == 2


# All tasks


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "albert_config_x.json").write_text("{}")
    return str(folder)


@pytest.fixture
def fake_python(tmp_path):
    """Stands for Python where run_classifier.py is called: notes the flags, leaves results."""
    path = tmp_path / "fake_python"
    path.write_text(
        """#!/usr/bin/env bash
[[ $1 == *run_classifier.py ]] || exec "%s" "$@"
for argument in "$@"; do [[ $argument != --output_dir=* ]] || folder=${argument#*=}; done
mkdir -p "$folder"
printf '%%s\\n' "$@" > "$folder/arguments"
[[ $folder != *csl* ]] || exit 2
echo '{"dev": {"eval_accuracy": 0.625, "f1": 0.1}}' > "$folder/results.json"
task=${folder##*/}
echo '{"id": 0, "label": "0"}' > "$folder/${task%%_output}_predict.json"
"""
        % sys.executable
    )
    path.chmod(0o755)
    return str(path)


@pytest.mark.slow
def test_all_tasks_run_though_one_fails(script, server, model, fake_python, tmp_path):
    data = tmp_path / "CLUEdataset"
    for name in ("csl", "cmnli"):
        (data / name).mkdir(parents=True)
    serve(server, afqmc=FILES)
    arguments = ["model", "afqmc", "csl", "--learning_rate=9", "cmnli", "tnews"]
    result = script("run_classifier_clue.sh", *arguments, PYTHON=fake_python)
    assert result.returncode == 1
    assert result.stderr.endswith("error: failed: csl tnews\n")  # tnews is not on the server
    lines = [line.split() for line in result.stdout.splitlines()]
    assert ["cmnli", "62.50", "70.26", "70.61", "77.58", "78.77", "81.13", "83.14"] in lines
    assert ["csl", "failed", "74.36", "74.56", "78.50", "80.30", "81.20", "83.63"] in lines
    models = ["tiny", "base", "large", "xlarge", "xxlarge"]
    assert ["task", "dev", "file", "albert_tiny", *models] in lines
    flags = (tmp_path / "clue_output" / "cmnli_output" / "arguments").read_text().splitlines()
    for flag in (
        "--task_name=cmnli",
        "--data_dir=CLUEdataset/cmnli",
        "--max_seq_length=128",
        "--train_batch_size=64",
        "--learning_rate=3e-5",
        "--num_train_epochs=2",
        "--save_checkpoints_steps=300",
        "--init_checkpoint=model",
        "--bert_config_file=model/albert_config_x.json",
    ):
        assert flag in flags
    assert flags[-1] == "--learning_rate=9"
    with zipfile.ZipFile(str(tmp_path / "clue_output" / "clue_submission.zip")) as archive:
        assert archive.namelist() == ["afqmc_predict.json", "cmnli_predict.json"]


def test_bad_calls_of_all_tasks(script, model):
    result = script("run_classifier_clue.sh", "nowhere")
    assert (result.returncode, result.stdout) == (2, "")
    assert "no albert_config*.json in 'nowhere'" in result.stderr
    result = script("run_classifier_clue.sh", "model", "afqmc", "nothing")
    assert (result.returncode, result.stdout) == (2, "")
    assert "no task 'nothing'; expected some of: afqmc tnews iflytek cmnli csl" in result.stderr
    assert "CLUE_DATA_DIR" in script("run_classifier_clue.sh", "--help").stdout


def test_lcqmc(script, model, fake_python, tmp_path):
    arguments = ["model", "data", "my_output", "--learning_rate=9"]
    assert script("run_classifier_lcqmc.sh", *arguments, PYTHON=fake_python).returncode == 0
    flags = (tmp_path / "my_output" / "arguments").read_text().splitlines()
    for flag in (
        "--task_name=lcqmc_pair",
        "--do_eval=true",
        "--do_eval_test=true",
        "--data_dir=data",
        "--init_checkpoint=model",
        "--bert_config_file=model/albert_config_x.json",
        "--max_seq_length=128",
        "--train_batch_size=64",
        "--num_train_epochs=5",
    ):
        assert flag in flags
    assert flags[-1] == "--learning_rate=9"
    result = script("run_classifier_lcqmc.sh", "nowhere")
    assert (result.returncode, result.stdout) == (2, "")
    assert "no albert_config*.json in 'nowhere'" in result.stderr


@pytest.mark.slow
def test_table(repo_root, tmp_path):
    tasks = ["afqmc", "tnews", "iflytek", "cmnli", "cluewsc2020", "csl", "copa", "ocnli"]
    for task in tasks[:-1]:
        folder = tmp_path / (task + "_output")
        folder.mkdir()
        scores = {"eval_accuracy": 0.5}
        if task == "copa":
            scores["question_accuracy"] = 0.75
        (folder / "results.json").write_text(json.dumps({"dev": scores}))
    command = [sys.executable, os.path.join(repo_root, "scripts", "clue_report.py")]
    output = subprocess.check_output([*command, "--output_dir=%s" % tmp_path, *tasks])
    lines = output.decode("utf-8").splitlines()
    # Each column of numbers stands below its head.
    assert [lines[0].index(head) for head in ("this run", "published, dev", "published, test")] == [
        lines[1].index(head) for head in ("dev file", "albert_tiny", "tiny    base")
    ]
    lines = [line.split() for line in lines]
    assert lines[2] == ["afqmc", "50.00", "69.13", "69.92", "72.55", "74.00", "69.96", "75.60"]
    assert ["copa", "75.00", "-", "-", "-", "-", "-", "-"] in lines
    assert ["ocnli", "failed", "-", "-", "-", "-", "-", "-"] in lines
    assert lines[-1][:5] == ["mean", "of", "six", "50.00", "62.29"]
    # The scores that CLUE publishes for the five models.
    scores = [float(cell) for cell in lines[-1][5:]]
    assert scores == pytest.approx([62.61, 67.44, 67.91, 68.92, 71.04], abs=0.011)
    archive = tmp_path / "clue_submission.zip"
    assert not archive.exists()
    # What a task left whose last run failed is of another run.
    for task in tasks[:2]:
        (tmp_path / (task + "_output") / (task + "_predict.json")).write_text("{}\n")
    output = subprocess.check_output(
        [*command, "--output_dir=%s" % tmp_path, *tasks, "--failed=afqmc"]
    )
    assert "afqmc_predict.json" not in output.decode("utf-8")
    with zipfile.ZipFile(str(archive)) as packed:
        assert packed.namelist() == ["tnews_predict.json"]
