"""Long runs under attack: signals, a second run, readers, files and folders that go away."""

import json
import os
import shutil
import signal
import socket
import time

import pytest

from albert.basics import console, locks, tf_compat
from albert.basics.errors import InputError
from albert.finetuning import output_folder
from albert.finetuning.evaluation import Evaluator
from albert.model_files import model_folder
from albert.training import estimator, tpu_estimator
from albert.training.estimator import EstimatorSettings
from albert.training.model_fn import create_estimator
from albert.training.watch import TrainingWatch
from helpers import processes, tasks
from helpers.records import SHAPE, write_records
from helpers.runs import SAVE, arguments, checkpoint_steps, make_settings, run

ENDLESS = 100000


@pytest.fixture
def settings(tmp_path):
    """Flags of a run of its own, without evaluation."""
    return dict(make_settings(tmp_path, 2 * SAVE), eval_file="")


def start(repo_root, settings, script="run_pretraining.py"):
    path = os.path.join(repo_root, script)
    return processes.Script([path, *arguments(settings)], text=True)


def wait_for(process, text):
    """Reads the output up to a line that begins so."""
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith(text):
            return
    pytest.fail("".join(lines) + process.stderr.read())


# Signals


@pytest.mark.slow
def test_a_run_outlives_its_reader_and_its_terminal_and_shares_its_folder_with_none(
    repo_root, settings
):
    settings.update(save_checkpoints_steps=5, keep_checkpoint_max=0)
    process = start(repo_root, dict(settings, num_train_steps=ENDLESS))
    try:
        wait_for(process, "step 3/")
        folder = settings["output_dir"]
        with pytest.raises(InputError, match="is in use: process %d " % process.pid):
            run(**settings)
        process.stdout.close()
        reached = max(checkpoint_steps(folder))
        while max(checkpoint_steps(folder)) < reached + 10:
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.05)
        process.send_signal(signal.SIGHUP)
        errors = process.stderr.read()
        assert process.wait() == 129, errors
    finally:
        process.kill()
    assert errors.count("stdout cannot be written any more (Broken pipe)") == 1
    with open(os.path.join(folder, console.LOG_FILE)) as log:
        assert "the run goes on without it" in log.read()
    assert not os.path.exists(os.path.join(folder, locks.LOCK_FILE))
    assert estimator.latest_step(folder) == max(checkpoint_steps(folder))


@pytest.mark.slow
def test_sigterm_in_an_evaluation_ends_it_and_the_run(
    settings, tmp_path, monkeypatch, capsys, foreground
):
    settings.update(eval_file=str(tmp_path / "dev"), num_train_steps=ENDLESS)
    evaluations = []

    def evaluate(*unused):
        evaluations.append(None)
        os.kill(os.getpid(), signal.SIGTERM)
        evaluations.append("finished")  # pragma: no cover

    monkeypatch.setattr(estimator.BaseEstimator, "evaluate", evaluate)
    with pytest.raises(SystemExit) as caught:
        run(**settings)
    assert caught.value.code == 143 and evaluations == [None]
    assert checkpoint_steps(settings["output_dir"]) == [0, SAVE]
    expected = "Stopped by SIGTERM at step %d; the checkpoint is written." % SAVE
    assert expected in capsys.readouterr().out


@pytest.mark.slow
def test_ctrl_c_in_fine_tuning_saves_first(tmp_path, monkeypatch, capsys, foreground):
    """In a step of training, in an evaluation at a save, and where nothing is trained."""
    task = dict(tasks.make_task(tmp_path), do_train=True, log_every_steps=1)
    task.update(num_train_epochs=200, save_checkpoints_steps=7)
    asked = []

    def scores(self, checkpoint, set_type):
        asked.append(checkpoint)
        os.kill(os.getpid(), signal.SIGINT)
        return {}  # pragma: no cover

    monkeypatch.setattr(Evaluator, "scores", scores)

    def stopped(**more):
        with pytest.raises(SystemExit) as caught:
            tasks.run(task, **more)
        assert caught.value.code == 130
        return capsys.readouterr().out

    assert "Stopped by SIGINT at step 7; the checkpoint is written." in stopped(do_eval=True)
    assert checkpoint_steps(task["output_dir"]) == [0, 7] and len(asked) == 1
    # Started again, the evaluation that is missing comes first.
    assert "Stopped by SIGINT outside of training" in stopped(do_eval=True)
    assert checkpoint_steps(task["output_dir"]) == [0, 7]
    assert "Stopped by SIGINT outside of training" in stopped(do_train=False, do_eval=True)
    assert os.listdir(task["output_dir"]).count(locks.LOCK_FILE) == 0


@pytest.mark.slow
def test_sigterm_to_the_fine_tuning_script(tmp_path, repo_root):
    task = dict(tasks.make_task(tmp_path), do_train=True, log_every_steps=1)
    task.update(num_train_epochs=100000, eval_during_training=False, seeds=2, do_eval=True)
    process = start(repo_root, task, "run_classifier.py")
    wait_for(process, "step 3/")
    process.send_signal(signal.SIGTERM)
    output, errors = process.communicate()
    assert process.returncode == 143, errors
    folder = os.path.join(task["output_dir"], "seed_12345")
    reached = estimator.latest_step(folder)
    assert reached >= 3 and checkpoint_steps(folder) == [0, reached]
    assert "Stopped by SIGTERM at step %d; the checkpoint is written." % reached in output
    assert "Traceback" not in errors


SILENT = """
import socket
from albert.training import tpu_estimator
from albert.training.signals import StopOnSignal
tpu_estimator._ANSWER_SECONDS, tpu_estimator._ATTEMPT_SECONDS = 600, 1
with socket.socket() as silent, StopOnSignal() as stop, stop.saving_first():
    silent.bind(("localhost", 0))
    silent.listen(5)
    target = "grpc://localhost:%d" % silent.getsockname()[1]
    tpu_estimator._check_answer(target, "master")
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_what_waits_inside_tensorflow(tmp_path, number):
    (tmp_path / "silent.py").write_text(SILENT)
    process = processes.Script([tmp_path / "silent.py"], text=True)
    try:
        wait_for(process, "Waiting up to 600 s for the TPU at grpc://")
        process.send_signal(number)
        output = process.stdout.read()
        assert process.wait() == 128 + number
    finally:
        process.kill()
    assert "Stopped by %s outside of training" % number.name in output


@pytest.mark.skipif(not tf_compat.HAS_TF_ESTIMATOR, reason="no TPUEstimator")
@pytest.mark.parametrize("flag", ["master", "tpu_name"])
def test_a_tpu_that_does_not_answer(flag, tmp_path, monkeypatch):
    monkeypatch.setattr(tpu_estimator, "_ANSWER_SECONDS", 0.2)
    with socket.socket() as silent:
        silent.bind(("localhost", 0))
        silent.listen(5)
        address = "grpc://localhost:%d" % silent.getsockname()[1]
        settings = EstimatorSettings(str(tmp_path), 8, use_tpu=True, **{flag: address})
        with pytest.raises(InputError, match="--%s: no TPU answers at '%s' " % (flag, address)):
            create_estimator(None, settings)


@pytest.mark.skipif(not tf_compat.HAS_TF_ESTIMATOR, reason="no TPUEstimator")
def test_a_machine_without_a_tpu(tmp_path):
    with pytest.raises(InputError, match="--use_tpu: this machine has no TPU; name one by"):
        create_estimator(None, EstimatorSettings(str(tmp_path), 8, use_tpu=True))


# Files and folders that change


def at_step(monkeypatch, step, action):
    """Calls a function in training when the line of a step is printed."""
    report = TrainingWatch._report

    def reported(self, reached, values):
        report(self, reached, values)
        if reached == step:
            action()

    monkeypatch.setattr(TrainingWatch, "_report", reported)


@pytest.mark.slow
@pytest.mark.parametrize("size", [0, 100, 1000, None])
def test_records_that_break_are_told_after_a_checkpoint(settings, tmp_path, monkeypatch, size):
    """Cut, or (None) overwritten; the second epoch meets that, or the next save."""
    path = str(tmp_path / "tf_0")

    def spoil():
        if size is None:
            with open(path, "wb") as handle:
                handle.write(os.urandom(5000))
        else:
            os.truncate(path, size)

    at_step(monkeypatch, 3, spoil)
    settings.update(num_train_steps=ENDLESS, save_checkpoints_steps=50)
    with pytest.raises(InputError, match="tf_0: was changed while training read it .*last check"):
        run(**settings)
    reached = estimator.latest_step(settings["output_dir"])
    assert 3 <= reached <= 50
    monkeypatch.undo()
    write_records(path, range(10))  # as it was
    run(**dict(settings, allow_changed_settings=True, num_train_steps=reached + 1))
    assert estimator.latest_step(settings["output_dir"]) == reached + 1


@pytest.mark.slow
def test_records_that_are_only_touched_end_nothing(settings, tmp_path, monkeypatch):
    at_step(monkeypatch, 3, lambda: os.utime(str(tmp_path / "tf_0"), (1, 1)))
    run(**settings)
    assert estimator.latest_step(settings["output_dir"]) == 2 * SAVE


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["pretraining", "finetuning"])
def test_an_output_folder_that_is_deleted_while_training(settings, tmp_path, monkeypatch, kind):
    if kind == "pretraining":
        at_step(monkeypatch, 3, lambda: shutil.rmtree(settings["output_dir"]))
        with pytest.raises(InputError, match="the folder '.*' is gone: it was deleted"):
            run(**settings)
        return
    task = dict(tasks.make_task(tmp_path), do_train=True, save_checkpoints_steps=3)
    evaluate = Evaluator.scores

    def scores(self, checkpoint, set_type):
        found = evaluate(self, checkpoint, set_type)
        shutil.rmtree(task["output_dir"])
        return found

    monkeypatch.setattr(Evaluator, "scores", scores)
    with pytest.raises(InputError, match="the folder '.*' is gone: it was deleted"):
        tasks.run(task)


@pytest.mark.slow
def test_records_are_compared_by_content(settings, tmp_path, caplog):
    """They may be moved, not replaced; settings of before have paths alone."""
    folder = settings["output_dir"]
    run(**dict(settings, num_train_steps=2 * SAVE, save_checkpoints_steps=SAVE))
    (tmp_path / "moved").mkdir()
    for name in ("tf_0", "tf_1"):
        shutil.copy(str(tmp_path / name), str(tmp_path / "moved"))
    moved = dict(settings, input_file=str(tmp_path / "moved" / "tf_*"))
    run(**moved)
    write_records(tmp_path / "moved" / "tf_1", range(50 - 10, 50))
    with pytest.raises(InputError, match=r"input_files: tf_1 had \d+ bytes \(content "):
        run(**moved)
    path = os.path.join(folder, "run_settings.json")
    with open(path) as handle:
        stored = json.load(handle)
    stored["input_files"] = ["/gone/tf_0", "/gone/tf_1"]
    with open(path, "w") as handle:
        json.dump(stored, handle)
    run(**moved)
    with open(path) as handle:  # from now on it has the content
        assert [file["name"] for file in json.load(handle)["input_files"]] == ["tf_0", "tf_1"]
    with pytest.raises(InputError, match="input_files: tf_1 had "):
        run(**settings)
    run(allow_changed_settings=True, **settings)
    with pytest.raises(InputError, match="input_files were tf_0, tf_1 and are now tf_0"):
        run(**dict(settings, input_file=str(tmp_path / "tf_0")))
    assert model_folder.checkpoint_steps(folder)[-1] == 2 * SAVE
    assert SHAPE.max_seq_length == settings["max_seq_length"]


def test_initial_weights_are_compared_by_content(tmp_path):
    for name, content in (("a", "one"), ("b", "one"), ("c", "other")):
        (tmp_path / (name + ".index")).write_text(content)
    identities = [output_folder._checkpoint_identity(str(tmp_path / name)) for name in "abc"]
    differ = output_folder.checkpoint_difference
    assert differ(identities[0], identities[1]) is None
    assert "other weights" in differ(identities[0], identities[2])
    # Earlier versions stored the path: of weights that are still there, that are gone.
    assert differ(str(tmp_path / "a"), identities[1]) is None
    assert "init_checkpoint was" in differ(str(tmp_path / "c"), identities[1])
    assert differ("/gone/b", identities[1]) is None
    assert "init_checkpoint was /gone/a and is now" in differ("/gone/a", identities[1])
    for before in ("/gone/a", identities[0]):
        assert "is now None" in differ(before, None)
    assert differ(None, identities[0]).startswith("init_checkpoint was None and is now")
