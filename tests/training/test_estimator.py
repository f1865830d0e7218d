"""Both estimators on a linear model whose training a few lines of NumPy repeat."""

import glob
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from albert.basics import tf_compat
from albert.basics.errors import InputError
from albert.basics.tf_compat import tf
from albert.finetuning.flags import FinetuningSettings
from albert.pretraining.flags import PretrainingSettings
from albert.training import estimator, hooks, run_settings, tpu_estimator
from albert.training.distribution import Distribution
from albert.training.estimator import EstimatorSettings, ModeKeys
from albert.training.model_fn import create_estimator
from helpers.runs import checkpoint_steps, scalars

CLASSES = [estimator.SessionEstimator]
if tf_compat.HAS_TF_ESTIMATOR:
    CLASSES.append(tpu_estimator.TpuEstimator)
both = pytest.mark.parametrize("estimator_class", CLASSES)

BATCH, LEARNING_RATE, MOMENTUM = 4, 0.1, 0.9
X = np.random.RandomState(0).uniform(-1, 1, [10, 3]).astype(np.float32)
Y = (X.dot([1.0, -2.0, 0.5]) + 0.3).astype(np.float32)
W0 = np.array([0.5, 0.1, -0.2], np.float32)


def model_fn(features, labels, mode, params):
    assert labels is None
    w = tf.get_variable("w", initializer=tf.constant(W0))
    predicted = tf.linalg.matvec(features["x"], w)
    if mode == ModeKeys.PREDICT:
        return estimator.Spec(mode, predictions={"y": predicted, "x": features["x"]})
    loss = tf.reduce_mean(tf.square(predicted - features["y"]))
    if mode == ModeKeys.EVAL:

        def metric_fn(y, predicted):
            return {
                "mean_y": tf.metrics.mean(y),
                "batch_size": tf.metrics.mean(tf.constant(params["batch_size"])),
                "mse": tf.metrics.mean_squared_error(y, predicted),
            }

        metrics = (metric_fn, [features["y"], predicted])
        return estimator.Spec(mode, loss=loss, eval_metrics=metrics)
    optimizer = tf.train.MomentumOptimizer(LEARNING_RATE, MOMENTUM)
    (gradient, variable), *_ = optimizer.compute_gradients(loss, [w])
    # As optimization.py does: the update depends on the check.
    norm = tf.debugging.check_numerics(tf.norm(gradient), "toy norm")
    gradient = gradient * (norm / norm)
    train_op = optimizer.apply_gradients([(gradient, variable)], tf.train.get_global_step())
    tf.summary.scalar("toy_norm", norm)
    tf.add_to_collection("toy_losses", loss)
    return estimator.Spec(mode, loss=loss, train_op=train_op)


def train_input_fn(first_step=0, x=X, y=Y, steps=None):
    def input_fn(params):
        dataset = tf.data.Dataset.from_tensor_slices({"x": x, "y": y}).repeat()
        dataset = dataset.batch(params["batch_size"], drop_remainder=True).skip(first_step)
        return dataset if steps is None else dataset.take(steps)

    return input_fn


def eval_input_fn(params):
    return tf.data.Dataset.from_tensor_slices({"x": X, "y": Y}).batch(params["batch_size"])


class Losses(tf.train.SessionRunHook):
    """Collects the loss of every step."""

    def __init__(self):
        self.values = []

    def begin(self):
        (self.loss,) = tf.get_collection("toy_losses")

    def before_run(self, run_context):
        return tf.train.SessionRunArgs(self.loss)

    def after_run(self, run_context, run_values):
        self.values.append(run_values.results)


def make(estimator_class, output_dir, function=model_fn, **settings):
    return estimator_class(function, EstimatorSettings(str(output_dir), BATCH, 4, **settings))


def train(estimator_class, model_dir, max_steps, **settings):
    """Trains, or resumes, as run_pretraining.py does; returns the losses of the steps done."""
    losses = Losses()
    input_fn = train_input_fn(estimator.latest_step(str(model_dir)))
    make(estimator_class, model_dir, **settings).train(input_fn, max_steps, [losses])
    return losses.values


def expected_training(steps):
    """Loss of every step and the final weights, by the definition of momentum."""
    w, velocity, losses = W0.astype(np.float64), np.zeros(3), []
    for step in range(steps):
        rows = np.arange(step * BATCH, (step + 1) * BATCH) % len(X)
        error = X[rows].dot(w) - Y[rows]
        losses.append(np.mean(np.square(error)))
        velocity = MOMENTUM * velocity + 2 / BATCH * error.dot(X[rows])
        w = w - LEARNING_RATE * velocity
    return losses, w


def weights(model_dir, step):
    return tf.train.load_variable("%s/model.ckpt-%d" % (model_dir, step), "w")


@both
def test_training_is_that_of_the_definition(estimator_class, tmp_path):
    losses = train(estimator_class, tmp_path, 7, save_checkpoints_steps=3)
    expected_losses, expected_weights = expected_training(7)
    np.testing.assert_allclose(losses, expected_losses, rtol=1e-5)
    np.testing.assert_allclose(weights(tmp_path, 7), expected_weights, rtol=1e-5)
    np.testing.assert_array_equal(weights(tmp_path, 0), W0)
    assert checkpoint_steps(tmp_path) == [0, 3, 6, 7]
    assert estimator.latest_step(str(tmp_path)) == 7
    variables = dict(tf.train.list_variables(str(tmp_path)))
    assert variables == {"global_step": [], "w": [3], "w/Momentum": [3]}


@pytest.mark.slow
@both
def test_evaluation_and_prediction(estimator_class, tmp_path):
    train(estimator_class, tmp_path, 3)
    model = make(estimator_class, tmp_path)
    assert model.output_dir == str(tmp_path)
    w = weights(tmp_path, 3)
    errors = np.square(X.dot(w) - Y)

    result = model.evaluate(eval_input_fn)  # batches of 4, 4 and 2 examples
    assert set(result) == {"loss", "global_step", "mean_y", "batch_size", "mse"}
    assert result["global_step"] == 3 and result["batch_size"] == 4
    batch_losses = [errors[:4].mean(), errors[4:8].mean(), errors[8:].mean()]
    np.testing.assert_allclose(result["loss"], np.mean(batch_losses), rtol=1e-5)
    np.testing.assert_allclose(result["mse"], errors.mean(), rtol=1e-5)
    np.testing.assert_allclose(result["mean_y"], Y.mean(), rtol=1e-5)
    assert abs(result["loss"] - result["mse"]) > 1e-4

    two_steps = model.evaluate(eval_input_fn, steps=2, name="first")
    np.testing.assert_allclose(two_steps["mse"], errors[:8].mean(), rtol=1e-5)
    initial = model.evaluate(eval_input_fn, checkpoint_path=str(tmp_path / "model.ckpt-0"))
    assert initial["global_step"] == 0
    np.testing.assert_allclose(initial["mse"], np.square(X.dot(W0) - Y).mean(), rtol=1e-5)

    assert scalars(tmp_path / "eval")["mse"] == {3: result["mse"], 0: initial["mse"]}
    assert scalars(tmp_path / "eval_first")["loss"] == {3: two_steps["loss"]}

    predictions = list(model.predict(eval_input_fn, 3))  # batches of 3, 3, 3 and 1 examples
    np.testing.assert_allclose([row["y"] for row in predictions], X.dot(w), rtol=1e-5)
    np.testing.assert_array_equal([row["x"] for row in predictions], X)
    initial = list(model.predict(eval_input_fn, 3, str(tmp_path / "model.ckpt-0")))
    np.testing.assert_allclose([row["y"] for row in initial], X.dot(W0), rtol=1e-5)


def test_prediction_can_be_abandoned_and_leaves_the_default_graph_alone(tmp_path):
    train(estimator.SessionEstimator, tmp_path, 1)
    graph = tf.get_default_graph()
    rows = make(estimator.SessionEstimator, tmp_path).predict(eval_input_fn, 3)
    next(rows)
    assert tf.get_default_graph() is graph
    rows.close()
    assert tf.get_default_graph() is graph


@both
def test_resuming_changes_nothing(estimator_class, tmp_path):
    whole = train(estimator_class, tmp_path / "whole", 7)
    losses = train(estimator_class, tmp_path / "parts", 3)
    index = tmp_path / "parts" / "model.ckpt-3.index"
    written = os.stat(str(index)).st_mtime_ns
    losses += train(estimator_class, tmp_path / "parts", 7)
    assert losses == whole
    np.testing.assert_array_equal(weights(tmp_path / "parts", 7), weights(tmp_path / "whole", 7))
    # A kill while the checkpoint resumed from is replaced would lose it.
    assert os.stat(str(index)).st_mtime_ns == written


@both
def test_one_estimator_trains_in_stages(estimator_class, tmp_path):
    model = make(estimator_class, tmp_path)
    model.train(train_input_fn(0), 2)
    model.train(train_input_fn(2), 4)
    np.testing.assert_allclose(weights(tmp_path, 4), expected_training(4)[1], rtol=1e-5)


@both
def test_a_moved_directory_can_be_resumed(estimator_class, tmp_path):
    train(estimator_class, tmp_path / "here", 2)
    shutil.move(str(tmp_path / "here"), str(tmp_path / "there"))
    train(estimator_class, tmp_path / "there", 4)
    np.testing.assert_allclose(weights(tmp_path / "there", 4), expected_training(4)[1], rtol=1e-5)


@both
def test_finished_training_touches_nothing(estimator_class, tmp_path):
    train(estimator_class, tmp_path, 2)

    def snapshot():
        return {path: os.stat(path).st_mtime_ns for path in glob.glob(str(tmp_path / "*"))}

    def input_fn(params):
        raise AssertionError("called")

    before = snapshot()
    make(estimator_class, tmp_path).train(input_fn, 2)
    make(estimator_class, tmp_path).train(input_fn, 1)
    assert snapshot() == before


@both
def test_old_checkpoints_are_deleted_also_after_resuming(estimator_class, tmp_path):
    settings = {"save_checkpoints_steps": 1, "keep_checkpoint_max": 2}
    train(estimator_class, tmp_path, 3, **settings)
    assert checkpoint_steps(tmp_path) == [2, 3]
    train(estimator_class, tmp_path, 5, **settings)
    assert checkpoint_steps(tmp_path) == [4, 5]


@both
def test_data_that_end_early_end_training_with_a_checkpoint(estimator_class, tmp_path):
    make(estimator_class, tmp_path).train(train_input_fn(steps=2), 5)
    assert checkpoint_steps(tmp_path) == [0, 2]


def train_until_killed(class_name, model_dir):
    """Body of the process that the next test kills."""
    tf_compat.use_graph_mode()
    (chosen,) = (one for one in CLASSES if one.__name__ == class_name)
    train(chosen, model_dir, 1000000, save_checkpoints_steps=1)


@pytest.mark.slow
@both
def test_a_killed_run_resumes_from_a_good_checkpoint(estimator_class, tmp_path, repo_root):
    code = "import test_estimator as t; t.train_until_killed(%r, %r)" % (
        estimator_class.__name__,
        str(tmp_path),
    )
    paths = os.pathsep.join(
        [repo_root, os.path.join(repo_root, "tests"), os.path.dirname(__file__)]
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], env=dict(os.environ, PYTHONPATH=paths), cwd=str(tmp_path)
    )
    try:
        while not any(step > 20 for step in checkpoint_steps(tmp_path)):
            assert process.poll() is None
            time.sleep(0.01)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    reached = estimator.latest_step(str(tmp_path))
    assert reached >= 20
    losses = train(estimator_class, tmp_path, reached + 3)
    expected_losses, expected_weights = expected_training(reached + 3)
    np.testing.assert_allclose(losses, expected_losses[reached:], rtol=1e-3, atol=1e-9)
    np.testing.assert_allclose(weights(tmp_path, reached + 3), expected_weights, rtol=1e-3)
    assert estimator.latest_step(str(tmp_path)) == reached + 3


@both
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_divergence_keeps_the_last_good_checkpoint(estimator_class, bad, tmp_path):
    x = np.tile(X, [2, 1])
    x[13] = bad  # of the fourth batch
    model = make(estimator_class, tmp_path, save_checkpoints_steps=2)
    with pytest.raises(estimator.TrainingDiverged) as caught:
        model.train(train_input_fn(x=x, y=np.tile(Y, 2)), 6)
    assert "step 4" in str(caught.value) and "model.ckpt-2" in str(caught.value)
    assert isinstance(caught.value, InputError)
    assert checkpoint_steps(tmp_path) == [0, 2]
    assert np.isfinite(weights(tmp_path, 2)).all()
    # The step counts from the start of the run, not of the process.
    with pytest.raises(estimator.TrainingDiverged, match="step 4"):
        model.train(train_input_fn(first_step=2, x=x, y=np.tile(Y, 2)), 6)


@both
def test_nan_loss_stops_a_model_without_check(estimator_class, tmp_path):
    def function(features, labels, mode, params):
        spec = model_fn(features, labels, mode, params)
        step = tf.train.get_global_step()
        is_third = tf.equal(step, 2)  # read before the step is counted
        with tf.control_dependencies([spec.loss, is_third]):
            train_op = tf.assign_add(step, 1)
        loss = tf.where(is_third, np.nan, 1.0)
        return spec._replace(loss=loss, train_op=train_op)

    with pytest.raises(estimator.TrainingDiverged, match=r"model\.ckpt-0"):
        make(estimator_class, tmp_path, function).train(train_input_fn(), 6)
    assert checkpoint_steps(tmp_path) == [0]


@both
def test_other_errors_in_the_graph_come_through(estimator_class, tmp_path):
    def function(features, labels, mode, params):
        spec = model_fn(features, labels, mode, params)
        check = tf.debugging.Assert(tf.less(tf.train.get_global_step(), 0), ["bad record"])
        return spec._replace(train_op=tf.group(spec.train_op, check))

    with pytest.raises(tf.errors.InvalidArgumentError, match="bad record"):
        make(estimator_class, tmp_path, function).train(train_input_fn(), 6)
    assert checkpoint_steps(tmp_path) == [0]


@both
def test_missing_checkpoint_is_refused(estimator_class, tmp_path):
    empty = make(estimator_class, tmp_path / "empty")
    for path in (None, str(tmp_path / "model.ckpt-5")):
        with pytest.raises(InputError, match="no checkpoint"):
            empty.evaluate(eval_input_fn, checkpoint_path=path)
        with pytest.raises(InputError, match="no checkpoint"):
            empty.predict(eval_input_fn, 3, checkpoint_path=path)
    train(estimator_class, tmp_path, 1)
    os.remove(str(tmp_path / "model.ckpt-1.index"))
    with pytest.raises(InputError, match=r"model\.ckpt-1"):
        train(estimator_class, tmp_path, 3)


@both
def test_checkpoint_of_another_model_is_refused(estimator_class, tmp_path):
    train(estimator_class, tmp_path, 1)

    def function(features, labels, mode, params):
        spec = model_fn(features, labels, mode, params)
        tf.get_variable("new", [2, 5])
        return spec

    model = make(estimator_class, tmp_path, function)
    message = r"model\.ckpt-1.*does not fit.*new \[2, 5\] is not in the checkpoint"
    with pytest.raises(InputError, match=message):
        model.evaluate(eval_input_fn)
    with pytest.raises(InputError, match=message):
        list(model.predict(eval_input_fn, 3))
    with pytest.raises(InputError, match=message):
        model.train(train_input_fn(), 2)
    assert checkpoint_steps(tmp_path) == [0, 1]


@both
def test_empty_evaluation_data_are_refused(estimator_class, tmp_path):
    train(estimator_class, tmp_path, 1)
    with pytest.raises(InputError, match="no example"):
        make(estimator_class, tmp_path).evaluate(lambda params: eval_input_fn(params).take(0))


@both
def test_scaffold_fn_initializes_and_resuming_overrides_it(estimator_class, tmp_path):
    train(estimator_class, tmp_path / "first", 2)
    start = weights(tmp_path / "first", 2)

    def function(features, labels, mode, params):
        def scaffold_fn():
            tf.train.init_from_checkpoint(str(tmp_path / "first"), {"w": "w"})
            return tf.train.Scaffold()

        return model_fn(features, labels, mode, params)._replace(scaffold_fn=scaffold_fn)

    train(estimator_class, tmp_path / "second", 2, function=function)
    np.testing.assert_array_equal(weights(tmp_path / "second", 0), start)
    assert estimator.latest_step(str(tmp_path / "second")) == 2
    model = make(estimator_class, tmp_path / "second", function)
    w = weights(tmp_path / "second", 2)
    mse = np.square(X.dot(w) - Y).mean()
    np.testing.assert_allclose(model.evaluate(eval_input_fn)["mse"], mse, rtol=1e-5)
    train(estimator_class, tmp_path / "second", 3, function=function)
    assert np.abs(weights(tmp_path / "second", 3) - w).max() > 0
    np.testing.assert_array_equal(weights(tmp_path / "second", 2), w)


@both
def test_random_seed(estimator_class, tmp_path):
    def function(features, labels, mode, params):
        tf.get_variable("random", [4], initializer=tf.random_uniform_initializer())
        return model_fn(features, labels, mode, params)

    values = {}
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        train(estimator_class, tmp_path / name, 1, function=function, seed=seed)
        prefix = str(tmp_path / name / "model.ckpt-0")
        values[name] = list(tf.train.load_variable(prefix, "random"))
    assert values["a"] == values["b"] != values["c"]


@both
def test_progress_lines_and_summaries(estimator_class, tmp_path, capsys):
    def function(features, labels, mode, params):
        spec = model_fn(features, labels, mode, params)
        tensors = {"loss": spec.loss, "step": tf.cast(tf.train.get_global_step(), tf.float32) * 0}
        hook = hooks.ProgressHook(tensors, BATCH, params["last"], 3, str(tmp_path))
        return spec._replace(training_hooks=[hook])

    def run(max_steps):
        def with_last(features, labels, mode, params):
            return function(features, labels, mode, dict(params, last=max_steps))

        train(estimator_class, tmp_path, max_steps, function=with_last, log_every_steps=2)
        return capsys.readouterr().out.splitlines()

    losses, _ = expected_training(8)
    line = r"step %d/%d  loss %s  step 0  \d+\.\d examples/s  \d+:\d\d:\d\d left"
    for lines, windows, last in ((run(4), [(0, 3), (3, 4)], 4), (run(8), [(4, 6), (6, 8)], 8)):
        assert len(lines) == len(windows)
        for text, (start, stop) in zip(lines, windows):
            mean = re.escape("%.4g" % np.mean(losses[start:stop]))
            assert re.match((line % (stop, last, mean)) + "$", text), text
        assert lines[-1].endswith("0:00:00 left")
    written = scalars(tmp_path)
    assert set(written) == {"loss", "step", "examples_per_second", "toy_norm"}
    assert sorted(written["loss"]) == [3, 4, 6, 8]
    np.testing.assert_allclose(written["loss"][8], np.mean(losses[6:8]), rtol=1e-5)
    assert min(written["examples_per_second"].values()) > 0
    assert len(written["toy_norm"]) < 8


def test_progress_rate_and_time_left(tmp_path, capsys, monkeypatch):
    """The first step, which compiles, and what came before it do not count."""
    clock = [1000.0]
    monkeypatch.setattr(hooks.time, "monotonic", lambda: clock[0])
    with tf.Graph().as_default():
        step = tf.train.get_or_create_global_step()
        hook = hooks.ProgressHook({}, 8, 3000, 10, str(tmp_path))
        advance = tf.assign_add(step, 1)
        start = tf.assign(step, 5)

        seconds = iter([50.0] + [0.5] * 4 + [2.0] * 10)

        class Start(tf.train.SessionRunHook):
            def after_create_session(self, session, coord):
                session.run(start)

        class Tick(tf.train.SessionRunHook):
            def before_run(self, run_context):
                clock[0] += next(seconds)

        with tf.train.MonitoredSession(hooks=[Start(), hook, Tick()]) as session:
            for _ in range(15):
                session.run(advance)
    first, second = capsys.readouterr().out.splitlines()
    # 4 steps in 2 seconds; (3000 - 10) steps of 0.5 seconds remain.
    assert first == "step 10/3000  16.0 examples/s  0:24:55 left"
    # 10 steps in 20 seconds; (3000 - 20) steps at 22 seconds per 14 steps remain.
    assert second == "step 20/3000  4.0 examples/s  1:18:03 left"


def test_create_estimator(tmp_path, monkeypatch):
    # What other programs of a cluster go by does not concern one process.
    variable = '{"cluster": {"worker": ["a:1", "b:2"]}, "task": {"type": "worker", "index": 0}}'
    monkeypatch.setenv("TF_CONFIG", variable)
    settings = EstimatorSettings(str(tmp_path), BATCH, seed=1)
    model = create_estimator(model_fn, settings)
    assert os.environ["TF_CONFIG"] == variable
    assert type(model) is CLASSES[-1]
    model.train(train_input_fn(), 1)
    monkeypatch.setattr(tf_compat, "HAS_TF_ESTIMATOR", False)
    model = create_estimator(model_fn, settings._replace(iterations_per_loop=10))
    assert type(model) is estimator.SessionEstimator
    model.train(train_input_fn(1), 2)  # goes on with what the other has written
    np.testing.assert_allclose(weights(tmp_path, 2), expected_training(2)[1], rtol=1e-5)
    with pytest.raises(InputError, match=r"use_tpu.*1\.15.*2\.15"):
        create_estimator(model_fn, settings._replace(use_tpu=True))


@pytest.mark.parametrize("settings_class", [PretrainingSettings, FinetuningSettings])
def test_settings_of_the_scripts_are_those_of_an_estimator(settings_class):
    settings = settings_class(
        output_dir="run",
        train_batch_size=7,
        eval_batch_size=6,
        save_checkpoints_steps=5,
        keep_checkpoint_max=4,
        log_every_steps=3,
        seed=2,
        master="m",
    )
    assert estimator.estimator_settings(settings) == EstimatorSettings(
        "run", 7, 6, 5, 4, 3, 2, master="m"
    )


def test_distributed_training_has_plain_sessions(tmp_path):
    devices = Distribution(["/cpu:0"], session_config=tf.ConfigProto())
    settings = EstimatorSettings(str(tmp_path), BATCH)
    model = create_estimator(model_fn, settings, distribution=devices)
    assert type(model) is estimator.SessionEstimator


def test_latest_step(tmp_path):
    assert estimator.latest_step(str(tmp_path)) == 0
    assert estimator.latest_step(str(tmp_path / "missing")) == 0
    with tf.Graph().as_default(), tf.Session() as session:
        tf.get_variable("w", initializer=1.0)
        session.run(tf.global_variables_initializer())
        saver = tf.train.Saver()
        saver.save(session, str(tmp_path / "model.ckpt"), global_step=12)
        assert estimator.latest_step(str(tmp_path)) == 12
        saver.save(session, str(tmp_path / "other"))
        assert estimator.latest_step(str(tmp_path)) == 0


def test_run_settings(tmp_path):
    folder = str(tmp_path / "run")
    settings = {"learning_rate": 0.1, "files": ("a", "b"), "old": None}
    run_settings.check_run_settings(folder, settings)
    path = os.path.join(folder, "run_settings.json")
    with open(path) as handle:
        stored = handle.read()
    assert json.loads(stored) == dict(settings, files=["a", "b"])
    run_settings.check_run_settings(folder, settings)

    # A run that ended before its first checkpoint binds nobody.
    run_settings.check_run_settings(folder, {"another": 1})
    run_settings.check_run_settings(folder, settings)
    with open(os.path.join(folder, "checkpoint"), "w"):
        pass
    changed = {"learning_rate": 0.2, "files": ["a", "b"], "new": 7}
    with pytest.raises(InputError) as caught:
        run_settings.check_run_settings(folder, changed, flag="i_know")
    message = str(caught.value)
    assert "learning_rate was 0.1 and is now 0.2" in message
    assert "old was null and is now absent" in message and "new was absent" in message
    assert "files" not in message and "--output_dir" in message and "--i_know" in message
    with open(path) as handle:
        assert handle.read() == stored
    run_settings.check_run_settings(folder, changed, allow_change=True)
    run_settings.check_run_settings(folder, changed)


def test_run_settings_of_another_program_and_damaged(tmp_path):
    (tmp_path / "checkpoint").write_text("")
    run_settings.check_run_settings(str(tmp_path), {"a": 1}, file_name="mine.json")
    assert json.loads((tmp_path / "mine.json").read_text()) == {"a": 1}
    (tmp_path / "mine.json").write_text("{")
    with pytest.raises(InputError, match="not valid JSON"):
        run_settings.check_run_settings(str(tmp_path), {"a": 1}, file_name="mine.json")
