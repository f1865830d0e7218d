"""Runs that cannot be lost: kills, signals, full disks, bad steps, damaged records."""

import contextlib
import errno
import json
import os
import random
import resource
import signal
import time

import numpy as np
import pytest

import optimization
from albert.basics import storage
from albert.basics.errors import InputError
from albert.basics.tf_compat import tf
from albert.model_files import model_folder
from albert.pretraining import record_files
from albert.pretraining.flags import PretrainingSettings
from albert.training import best_checkpoint, curves, estimator, hooks, safety, signals
from albert.training.training_state import TrainingState
from helpers import processes
from helpers.models import train_step
from helpers.records import damaged_content, write_records
from helpers.runs import (
    SAVE,
    STEPS_PER_KILL,
    arguments,
    checkpoint_steps,
    make_settings,
    run,
    variables_of,
)


@pytest.fixture
def settings(tmp_path):
    """Flags of a run of its own, without evaluation."""
    return dict(make_settings(tmp_path, 2 * SAVE), eval_file="")


@pytest.fixture(scope="module")
def whole(tmp_path_factory, request):
    """Flags of a run from start to end that several tests look at."""
    kills = request.config.getoption("--kills")
    settings = make_settings(tmp_path_factory.mktemp("whole"), STEPS_PER_KILL * kills)
    run(**settings)
    return settings


def start(repo_root, settings):
    script = os.path.join(repo_root, "run_pretraining.py")
    return processes.Script([script, *arguments(settings)], text=True)


def wait_for_step(process, step):
    """Reads the output until a line of this step or a later one; False if the process ends."""
    for line in process.stdout:
        if line.startswith("step ") and int(line.split()[1].split("/")[0]) >= step:
            return True
    return False


def read_curve(output_dir, data_set):
    """`{step: loss}`; no step may stand there twice."""
    entries = curves.read_metrics(output_dir)
    found = [(entry["step"], entry["loss"]) for entry in entries if entry["set"] == data_set]
    assert len(dict(found)) == len(found)
    return dict(found)


def kept_steps(output_dir):
    """Steps of the checkpoints that the file `checkpoint` names, the oldest first."""
    paths = tf.train.get_checkpoint_state(output_dir).all_model_checkpoint_paths
    return [estimator.checkpoint_step(path) for path in paths]


def assert_same_run(output_dir, expected_dir):
    for data_set in (curves.TRAIN, curves.EVAL):
        found, expected = read_curve(output_dir, data_set), read_curve(expected_dir, data_set)
        assert sorted(found) == sorted(expected)
        for step, loss in expected.items():
            np.testing.assert_allclose(found[step], loss, rtol=1e-4, err_msg="step %d" % step)
    best, expected_best = map(model_folder.read_best, (output_dir, expected_dir))
    assert best["step"] == expected_best["step"]
    steps = checkpoint_steps(expected_dir)
    assert kept_steps(output_dir) == kept_steps(expected_dir) == steps
    # A kill after a new checkpoint is named, before the oldest is removed, leaves that one behind.
    assert set(checkpoint_steps(output_dir)) >= set(steps)
    prefixes = [model_folder.checkpoint_prefix(d, steps[-1]) for d in (output_dir, expected_dir)]
    found, expected = map(variables_of, prefixes)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-4, atol=1e-6, err_msg=name)


@pytest.mark.slow
def test_kills_at_random_moments_change_nothing(tmp_path, repo_root, whole, request):
    """Losses, evaluations, the best checkpoint and the weights; --kills=20 for more of them."""
    settings = dict(whole, output_dir=str(tmp_path / "killed"))
    kills = request.config.getoption("--kills")
    moments = random.Random(kills)
    killed_at = []
    for number in range(kills):
        reached = estimator.latest_step(settings["output_dir"])
        process = start(repo_root, settings)
        more = moments.randint(1, SAVE) if number else SAVE + 1
        if number % 4 == 3:  # at any moment; all others after a step, around saves and evaluations
            time.sleep(moments.uniform(0, 5))
        elif wait_for_step(process, reached + more):
            time.sleep(moments.uniform(0, 0.05))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        if process.returncode == 0:  # it was faster
            break
        assert process.returncode == -signal.SIGKILL
        killed_at.append(estimator.latest_step(settings["output_dir"]))
    print("killed with these checkpoints: %s" % killed_at)
    assert len(killed_at) > kills // 2 and killed_at[-1] > 0
    run(**settings)
    assert_same_run(settings["output_dir"], whole["output_dir"])


@pytest.mark.slow
def test_sigterm_saves_first(repo_root, settings):
    settings["save_checkpoints_steps"] = 1000
    process = start(repo_root, dict(settings, num_train_steps=100000))
    assert wait_for_step(process, 3)
    process.send_signal(signal.SIGTERM)
    output, errors = process.communicate()
    assert process.returncode == 143, errors
    reached = estimator.latest_step(settings["output_dir"])
    assert reached >= 3 and checkpoint_steps(settings["output_dir"]) == [0, reached]
    assert "Stopped by SIGTERM at step %d; the checkpoint is written." % reached in output
    assert "the training data ended" not in errors
    state = TrainingState(settings["output_dir"])
    state.resume(reached, batch_size=1)
    assert state.examples == 4 * reached


# Signals


class Steps:
    """A run context of a session hook."""

    stopping = False

    def request_stop(self):
        self.stopping = True


def test_signals_are_handled_once_and_only_inside(foreground):
    before = signal.getsignal(signal.SIGTERM)
    context = Steps()
    with signals.StopOnSignal() as stop, stop.saving_first():
        stop.after_run(context, None)
        assert not context.stopping
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.stopped
        assert signal.getsignal(signal.SIGTERM) is before  # a second one acts as ever
        stop.after_run(context, None)
        assert context.stopping
    assert signal.getsignal(signal.SIGTERM) is before
    with pytest.raises(SystemExit) as caught:
        stop.exit_if_stopped(7)
    assert caught.value.code == 143
    signals.StopOnSignal().exit_if_stopped(7)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_all_at_once_while_nothing_is_unsaved(number, capsys, foreground):
    error = pytest.raises(SystemExit)
    with error as caught, signals.StopOnSignal() as stop, stop.saving_first():
        os.kill(os.getpid(), number)
        pytest.fail("goes on")  # pragma: no cover
    assert caught.value.code == 128 + number
    assert "Stopped by %s outside of training; every" % number.name in capsys.readouterr().out


def test_a_signal_ends_what_interrupts_training_and_then_training(foreground):
    done = []
    with signals.StopOnSignal() as stop, stop.saving_first():
        stop.after_run(Steps(), None)
        with pytest.raises(signals.Stopped), signals.interruptible():
            os.kill(os.getpid(), signal.SIGTERM)
            done.append("evaluated")  # pragma: no cover
        with pytest.raises(signals.Stopped), signals.interruptible():
            done.append("evaluated once more")  # pragma: no cover
        context = Steps()
        stop.after_run(context, None)
        assert context.stopping and not done


@pytest.mark.parametrize("stops_alone", [True, False])
def test_a_stop_after_a_save_is_for_all_workers_to_agree_on(tmp_path, stops_alone):
    """One that left alone would wait for those that wait for its next step."""

    def evaluate(prefix, step):
        raise signals.Stopped(143)

    with tf.Graph().as_default():
        train_op = tf.assign_add(tf.train.get_or_create_global_step(), 1)
        scaffold = tf.train.Scaffold(saver=tf.train.Saver())
        hook = hooks.CheckpointHook(str(tmp_path), 1, scaffold, evaluate, stops_alone=stops_alone)
        with tf.train.SingularMonitoredSession([hook], scaffold) as session:
            session.run(train_op)
            assert session.should_stop() == stops_alone
    assert checkpoint_steps(tmp_path) == [0, 1]


def test_ignored_signals_stay_ignored_and_a_second_hangup_is_none(foreground):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with signals.StopOnSignal() as stop, stop.saving_first():
        stop.after_run(Steps(), None)
        os.kill(os.getpid(), signal.SIGINT)
        assert not stop.stopped
        os.kill(os.getpid(), signal.SIGHUP)
        os.kill(os.getpid(), signal.SIGHUP)
        assert stop.stopped
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


# A full disk


@contextlib.contextmanager
def largest_file(size):
    """No file of this process can grow beyond a size, as on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.slow
def test_a_full_disk_keeps_the_previous_checkpoint(monkeypatch, settings):
    """After the first checkpoint no file can be larger than half of it."""
    output_dir = settings["output_dir"]
    store = TrainingState.store
    with contextlib.ExitStack() as stack:

        def store_and_fill(state, step):
            store(state, step)
            if step == 2 * SAVE:
                prefix = model_folder.checkpoint_prefix(output_dir, SAVE)
                size = os.path.getsize(prefix + ".data-00000-of-00001")
                stack.enter_context(largest_file(size // 2))

        monkeypatch.setattr(TrainingState, "store", store_and_fill)
        message = r"checkpoint of step 20 cannot be written to .* as it was: .*model\.ckpt-10\."
        with pytest.raises(InputError, match=message):
            run(**settings)
    monkeypatch.undo()
    assert estimator.latest_step(output_dir) == SAVE
    assert not [name for name in os.listdir(output_dir) if "temp" in name or "ckpt-20" in name]
    assert all(np.isfinite(value).all() for value in variables_of(output_dir).values())


def test_leftovers_of_a_killed_save_are_removed(tmp_path):
    (tmp_path / "model.ckpt-7_temp_1234").mkdir()
    (tmp_path / "model.ckpt-7_temp_1234" / "part-00000-of-00001").write_text("half")
    (tmp_path / "model.ckpt-5.index").write_text("whole")
    hooks.remove_unfinished_checkpoints(str(tmp_path))
    assert os.listdir(str(tmp_path)) == ["model.ckpt-5.index"]


# Bad steps


@pytest.mark.parametrize("optimizer", sorted(optimization.OPTIMIZERS))
def test_a_skipped_step_changes_nothing(optimizer):
    with tf.Graph().as_default(), tf.Session() as session:
        factor = tf.placeholder(tf.float32, [])
        weights = tf.get_variable("w", initializer=[1.0, 2.0])
        loss = factor * tf.reduce_sum(weights)
        step = train_step(loss, 0.1, 10, 0, optimizer, skip_above=5.0)
        session.run(tf.global_variables_initializer())

        def values():
            return session.run(tf.global_variables())

        def train(value):
            return session.run([step.applied, step.train_op], {factor: value})[0]

        assert train(1.0)
        assert session.run(step.global_step) == 1
        before = values()
        assert len(before) == 4  # the step, the weights and two slots
        for bad in (np.nan, np.inf, -np.inf, 4.0):  # the norm is sqrt(2) times as large
            assert not train(bad)
            for value, old in zip(values(), before):
                np.testing.assert_array_equal(value, old)
        assert train(3.0)
        assert session.run(step.global_step) == 2


def test_skipped_steps_are_counted_and_said_once(tmp_path, caplog):
    """Steps 3, 4 and 7 are bad; then all are."""
    settings = PretrainingSettings(
        output_dir=str(tmp_path), train_batch_size=8, max_skipped_steps=3
    )
    state = TrainingState(str(tmp_path))
    norms = iter([1.0, 1.0, np.nan, np.inf, 1.0, 1.0, np.nan, 1.0] + 4 * [np.nan])
    with tf.Graph().as_default():
        step = tf.train.get_or_create_global_step()
        norm = tf.placeholder(tf.float32, [])
        applied = tf.math.is_finite(norm)
        train_op = tf.assign_add(step, tf.cast(applied, tf.int64))
        spec = optimization.TrainOp(train_op, None, norm, step, applied)
        hook = safety.SkipHook(spec, state, settings)
        with tf.train.MonitoredSession(hooks=[hook]) as session:
            for _ in range(11):
                session.run(train_op, {norm: next(norms)})
            assert (state.examples, state.skipped_steps) == (88, 6)
            with pytest.raises(estimator.TrainingDiverged, match="at step 6: 4 steps in a row"):
                session.run(train_op, {norm: next(norms)})
    said = [record.getMessage() for record in caplog.records]
    assert [message.split(":")[0] for message in said if "is skipped" in message] == [
        "step 3 is skipped",
        "step 5 is skipped",
        "step 6 is skipped",
    ]
    assert [m.split()[4] for m in said if "goes on after" in m] == ["2", "1"]


@pytest.mark.slow
def test_training_goes_on_after_a_step_that_was_skipped(whole, settings):
    """The gradient of the first batch is larger than the limit."""
    first = curves.read_metrics(whole["output_dir"])[0]
    assert first["step"] == 1
    limit = first["gradient_norm"] - 1e-4
    run(**dict(settings, skip_gradient_norm=limit, max_skipped_steps=50))
    steps = 2 * SAVE
    state = TrainingState(settings["output_dir"])
    state.resume(steps, batch_size=0)
    assert state.skipped_steps >= 1
    assert state.examples == 4 * (steps + state.skipped_steps)
    entries = curves.read_metrics(settings["output_dir"])
    assert [entry["step"] for entry in entries] == list(range(1, steps + 1))
    assert entries[-1]["skipped_steps"] == state.skipped_steps
    assert max(entry["gradient_norm"] for entry in entries) > 0


@pytest.mark.slow
def test_the_first_bad_step_may_end_training(whole, settings):
    limit = curves.read_metrics(whole["output_dir"])[0]["gradient_norm"] - 1e-4
    with pytest.raises(estimator.TrainingDiverged, match="stopped at step 1: 1 steps in a row"):
        run(**dict(settings, skip_gradient_norm=limit, max_skipped_steps=0))


# Damaged records, checkpoints kept


@pytest.mark.slow
def test_damaged_records_are_left_out_or_named(settings, tmp_path, caplog, monkeypatch):
    damaged_content(str(tmp_path / "tf_1"))
    with pytest.raises(InputError, match=r"tf_1: .*corrupted record"):
        run(**settings)
    assert not os.path.exists(os.path.join(settings["output_dir"], "checkpoint"))
    run(max_corrupt_records=1, **settings)
    assert "tf_1: record 2 is left out: its checksum is wrong." in caplog.text
    assert estimator.latest_step(settings["output_dir"]) == 2 * SAVE
    # They are also evaluated without it.
    evaluation = dict(settings, do_train=False, do_eval=True)
    run(max_corrupt_records=1, **evaluation)
    assert os.path.exists(os.path.join(settings["output_dir"], "eval_results.txt"))
    # Of many records only the first are checked before an evaluation.
    monkeypatch.setattr(record_files, "check_records", lambda *unused: None)
    with pytest.raises(InputError, match="--input_file: a record is damaged; with"):
        run(**dict(evaluation, eval_one_pass=True))


@pytest.mark.slow
def test_other_held_out_records_choose_the_best_checkpoint_anew(tmp_path, settings, caplog):
    settings["eval_file"] = str(tmp_path / "dev")
    run(**dict(settings, num_train_steps=SAVE))
    folder = settings["output_dir"]
    # Better than anything on the new records.
    path = os.path.join(folder, model_folder.BEST_FOLDER, model_folder.BEST_FILE)
    best = storage.read_json(path)
    best["scores"]["masked_lm_accuracy"] = 2.0
    storage.write_json(path, best)
    settings.update(allow_changed_settings=True)
    run(**settings)
    assert model_folder.read_best(folder)["step"] == SAVE
    assert "chosen anew" not in caplog.text
    write_records(tmp_path / "dev", range(20, 28))
    run(**dict(settings, num_train_steps=3 * SAVE))
    assert "the best checkpoint is chosen anew" in caplog.text
    assert model_folder.read_best(folder)["step"] > SAVE
    with open(os.path.join(folder, best_checkpoint.HISTORY_FILE)) as handle:
        steps = [entry["step"] for entry in json.load(handle)["evaluations"]]
    assert steps == [2 * SAVE, 3 * SAVE]


@pytest.mark.slow
def test_a_best_checkpoint_that_does_not_fit_on_the_disk(settings, tmp_path, caplog, monkeypatch):
    """Training goes on without, and gives its space back."""
    settings["eval_file"] = str(tmp_path / "dev")
    write_json = storage.write_json

    def full(path, value):
        if path.endswith(model_folder.BEST_FILE):
            raise OSError(errno.ENOSPC, "No space left on device", path)
        write_json(path, value)

    monkeypatch.setattr(storage, "write_json", full)
    run(**settings)
    assert "the best checkpoint cannot be kept (" in caplog.text
    folder = settings["output_dir"]
    assert estimator.latest_step(folder) == 2 * SAVE
    assert checkpoint_steps(os.path.join(folder, model_folder.BEST_FOLDER)) == []
    entries = curves.read_metrics(folder)
    assert [e["step"] for e in entries if e["set"] == curves.EVAL] == [SAVE, 2 * SAVE]


@pytest.mark.slow
def test_evaluation_needs_the_config_of_training(settings):
    run(**settings)
    path = settings["bert_config_file"]
    config = storage.read_json(path)
    config["num_hidden_layers"] += 3  # of shared layers: the same variables
    storage.write_json(path, config)
    settings.update(do_train=False, do_eval=True)
    with pytest.raises(InputError, match="holds a run with other settings: config was"):
        run(**settings)
    run(allow_changed_settings=True, **settings)


def test_the_best_checkpoint_is_kept(whole):
    output_dir, steps = whole["output_dir"], whole["num_train_steps"]
    assert checkpoint_steps(output_dir) == [steps - SAVE, steps]
    with open(os.path.join(output_dir, best_checkpoint.HISTORY_FILE)) as handle:
        history = json.load(handle)["evaluations"]
    assert [entry["step"] for entry in history] == list(range(SAVE, steps + 1, SAVE))
    accuracies = [entry["scores"]["masked_lm_accuracy"] for entry in history]
    best = model_folder.read_best(output_dir)
    assert best["step"] == history[int(np.argmax(accuracies))]["step"]
    prefix = model_folder.best_checkpoint(output_dir)
    assert estimator.checkpoint_step(prefix) == best["step"]
    assert read_curve(output_dir, curves.EVAL) == {
        entry["step"]: entry["scores"]["loss"] for entry in history
    }
