"""Pre-training: the references' trajectories and metrics, flags, resuming, failures."""

import json
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from absl import flags

import modeling
from albert.basics.errors import InputError
from albert.basics.tf_compat import tf
from albert.heads.pretraining import HeadOutput
from albert.model_files import configuration
from albert.model_files.configuration import AlbertConfig, BertConfig
from albert.pretraining import model_fn
from albert.pretraining.flags import resolve_flags
from albert.training import estimator
from helpers import processes
from helpers.models import (
    MODELS,
    build_pretraining,
    golden_config,
    load_npz,
    restored_session,
    train_step,
)
from helpers.records import write_features, write_records
from helpers.runs import (
    SIZES,
    SMALL,
    SMALL_GOOGLE,
    arguments,
    checkpoint_steps,
    golden_flags,
    parse,
    run,
    save_config,
    scalars,
    variables_of,
    weights,
)

OPTIMIZERS = {
    "optimization:LAMB": "lamb_brightmart",
    "optimization_google:lamb": "lamb",
    "optimization_google:adamw": "adamw",
}
SCORES = (
    "loss masked_lm_loss sentence_order_loss masked_lm_accuracy sentence_order_accuracy".split()
)
METRICS = {"loss", "global_step", "masked_lm_accuracy", "masked_lm_loss"} | {
    "%s_%s" % (task, score)
    for task in ("next_sentence", "sentence_order")
    for score in ("accuracy", "loss")
}


def golden_training(golden, name):
    with open(os.path.join(golden, "model", name, "info.json")) as handle:
        return load_npz(golden, name, "train.npz"), json.load(handle)["train_trajectory"]


def assert_norms(names, values, expected):
    """Compares L2 norms, without key biases: their gradient is rounding noise."""
    for name, value, norm in zip(names, values, expected):
        if not name.endswith("/self/key/bias"):
            actual = np.linalg.norm(value.astype(np.float64))
            np.testing.assert_allclose(actual, norm, rtol=1e-3, atol=1e-9, err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_training_trajectory(golden, name):
    expected, setup = golden_training(golden, name)
    with tf.Graph().as_default():
        inputs = load_npz(golden, name, "inputs.npz")
        config = golden_config(golden, name)
        loss = build_pretraining(config, inputs, is_training=True)["total_loss"]
        variables = tf.trainable_variables()
        step = train_step(
            loss,
            setup["init_lr"],
            setup["num_train_steps"],
            setup["num_warmup_steps"],
            OPTIMIZERS[setup["optimizer"]],
        )
        assert [modeling.variable_name(v) for v in variables] == list(expected["variables"])
        with restored_session(golden, name) as session:
            names = {variable.name for variable in variables}
            others = [v for v in tf.global_variables() if v.name not in names]
            session.run(tf.variables_initializer(others))  # slots, and the step: 0
            for t in range(setup["steps"]):
                _, value, rate, norm = session.run(
                    [step.train_op, loss, step.learning_rate, step.gradient_norm]
                )
                np.testing.assert_allclose(value, expected["loss"][t], rtol=1e-3)
                np.testing.assert_allclose(rate, expected["lr"][t], rtol=1e-6)
                np.testing.assert_allclose(norm, expected["global_norm"][t], rtol=1e-3)
                values = session.run(variables)
                assert_norms(expected["variables"], values, expected["param_l2"][t])
            np.testing.assert_allclose(session.run(loss), expected["final_loss"], rtol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("name, slots", [("bm_postln", "lamb"), ("google_g1", "adam")])
def test_script_repeats_the_references_training(golden, tmp_path, name, slots):
    """Family defaults, --init_checkpoint, records and scores, all the way to the checkpoint."""
    expected, setup = golden_training(golden, name)
    settings = golden_flags(golden, name, tmp_path)
    run(
        do_train=True,
        init_checkpoint=os.path.join(golden, "model", name, "model.ckpt"),
        strict_init=True,
        learning_rate=setup["init_lr"],
        num_train_steps=setup["num_train_steps"],
        num_warmup_steps=setup["num_warmup_steps"],
        train_batch_size=3,
        shuffle_buffer=1,
        save_checkpoints_steps=6,
        log_every_steps=1,
        **settings,
    )
    assert checkpoint_steps(settings["output_dir"]) == [0, 6, 10]
    written = scalars(settings["output_dir"])
    losses = [written["loss"][step] for step in range(1, 8)]
    np.testing.assert_allclose(losses[:6], expected["loss"], rtol=1e-3)
    np.testing.assert_allclose(losses[6], expected["final_loss"], rtol=1e-3)
    for key, value in golden_scores(golden, name, epsilon=1e-5).items():
        np.testing.assert_allclose(written[key][1], value, rtol=1e-6, err_msg=key)

    variables = variables_of(os.path.join(settings["output_dir"], "model.ckpt-6"))
    names = expected["variables"].tolist()
    assert_norms(names, [variables[key] for key in names], expected["param_l2"][5])
    assert set(variables) == {"global_step"}.union(
        names, *([key + "/%s_m" % slots, key + "/%s_v" % slots] for key in names)
    )
    if name == "bm_postln":
        folder = os.path.join(golden, "model", "estimator_ckpt_bm_postln")
        reference = tf.train.load_checkpoint(os.path.join(folder, "model.ckpt-6"))
        shapes = {key: list(value.shape) for key, value in variables.items()}
        assert len(shapes) == 94
        assert shapes == reference.get_variable_to_shape_map()


def golden_scores(golden, name, rows=(0, 1, 2), epsilon=0.0):
    """Metrics by their definition on rows of the golden batch.

    epsilon: what a batch's loss adds to the sum of weights, and metrics do not.
    """
    rows = list(rows)
    outputs = load_npz(golden, name, "outputs.npz")
    inputs = load_npz(golden, name, "inputs.npz")

    def predictions(values):
        return values.reshape([3, 4] + list(values.shape[1:]))[rows]

    weights = inputs["masked_lm_weights"][rows]
    mlm_loss = predictions(outputs["masked_lm_example_loss"])
    mlm_hits = (
        predictions(outputs["masked_lm_log_probs"]).argmax(-1) == inputs["masked_lm_ids"][rows]
    )
    labels = inputs["next_sentence_labels"][rows, 0]
    return {
        "masked_lm_loss": (weights * mlm_loss).sum() / (weights.sum() + epsilon),
        "masked_lm_accuracy": (weights * mlm_hits).sum() / weights.sum(),
        "sentence_order_loss": outputs["sop_example_loss"][rows].mean(),
        "sentence_order_accuracy": (outputs["sop_log_probs"][rows].argmax(-1) == labels).mean(),
    }


@pytest.mark.slow
@pytest.mark.parametrize("one_pass", [False, True])
@pytest.mark.parametrize("name", ["bm_postln", "google_fast"])
def test_evaluation_of_a_golden_checkpoint(golden, tmp_path, name, one_pass):
    settings = golden_flags(golden, name, tmp_path)
    os.mkdir(settings["output_dir"])
    for suffix in ("index", "data-00000-of-00001"):
        path = os.path.join(golden, "model", name, "model.ckpt." + suffix)
        shutil.copy(path, settings["output_dir"])
    # The records to evaluate are those of --eval_file; --input_file is not read.
    settings["eval_file"] = settings["input_file"]
    settings["input_file"] = str(tmp_path / "missing")
    batches = [(0, 1), (2,)] if one_pass else [(0, 1), (2, 0), (1, 2)]
    steps = 1 if one_pass else len(batches)  # has no effect on one pass
    run(do_eval=True, eval_batch_size=2, max_eval_steps=steps, eval_one_pass=one_pass, **settings)

    expected = golden_scores(golden, name, sum(batches, ()))
    for score in ("accuracy", "loss"):
        expected["next_sentence_" + score] = expected["sentence_order_" + score]
    scores = [golden_scores(golden, name, rows, epsilon=1e-5) for rows in batches]
    losses = [score["masked_lm_loss"] + score["sentence_order_loss"] for score in scores]
    expected.update(loss=np.mean(losses), global_step=7)
    found = eval_results(settings["output_dir"])
    assert list(found) == sorted(METRICS)
    for key, value in expected.items():
        np.testing.assert_allclose(found[key], value, rtol=2e-6, atol=1e-5, err_msg=key)
    assert checkpoint_steps(settings["output_dir"]) == []  # evaluation trained nothing


def test_accuracies():
    """The golden models predict no masked word right, so these are checked on made-up logits."""

    def head(predicted, labels, weights=None):
        rows = len(predicted)
        weights = tf.ones([rows]) if weights is None else tf.constant(weights)
        return HeadOutput(
            tf.zeros([]), tf.zeros([rows]), tf.one_hot(predicted, 6), None, labels, weights
        )

    def accuracies(weights):
        mlm = head([1, 2, 3, 4], [1, 2, 0, 4], weights)
        sop = head([1, 1, 0], [1, 0, 0])
        count = tf.maximum(tf.reduce_sum(mlm.weights), 1.0)
        scores = model_fn.batch_scores(mlm, sop, count)
        metrics = model_fn.metric_fn(*model_fn.metric_tensors(mlm, sop))
        assert set(metrics) == METRICS - {"loss", "global_step"}
        with tf.Session() as session:
            session.run(tf.local_variables_initializer())
            session.run([update for _, update in metrics.values()])
            return session.run([scores, {key: value for key, (value, _) in metrics.items()}])

    with tf.Graph().as_default():
        for found in accuracies([1.0, 0.0, 0.0, 1.0]):
            assert found["masked_lm_accuracy"] == 1
        for found in accuracies([1.0, 0.0, 1.0, 1.0]):
            np.testing.assert_allclose(found["masked_lm_accuracy"], 2 / 3)
            np.testing.assert_allclose(found["sentence_order_accuracy"], 2 / 3)
        np.testing.assert_allclose(found["next_sentence_accuracy"], 2 / 3)
        for found in accuracies([0.0, 0.0, 0.0, 0.0]):
            assert found["masked_lm_accuracy"] == 0


def eval_results(output_dir):
    with open(os.path.join(str(output_dir), "eval_results.txt")) as handle:
        pairs = [line.rstrip("\n").split(" = ") for line in handle]
    return {key: float(value) for key, value in pairs}


# Flags

COMMON = {
    "max_predictions_per_seq": 20,
    "do_eval": False,
    "max_eval_steps": 100,
    "iterations_per_loop": 1000,
    "num_tpu_cores": 8,
    "use_tpu": False,
    "poly_power": 1.0,
    "start_warmup_step": 0,
    "init_from_group0": False,
    "masked_lm_budget": 0,
    "init_checkpoint": None,
    "export_dir": None,
    "master": None,
}
BRIGHTMART = dict(
    COMMON,
    max_seq_length=128,
    train_batch_size=32,
    eval_batch_size=8,
    optimizer="lamb_brightmart",
    learning_rate=5e-5,
    num_train_steps=100000,
    num_warmup_steps=10000,
    save_checkpoints_steps=1000,
    keep_checkpoint_max=20,
)
GOOGLE = dict(
    COMMON,
    max_seq_length=512,
    train_batch_size=4096,
    eval_batch_size=64,
    optimizer="lamb",
    learning_rate=0.00176,
    num_train_steps=125000,
    num_warmup_steps=3125,
    save_checkpoints_steps=5000,
    keep_checkpoint_max=5,
)
LONG = dict(SIZES, max_position_embeddings=512, hidden_size=32)
FAMILIES = {
    "brightmart": (BertConfig(50, **LONG), BRIGHTMART),
    "google": (AlbertConfig(50, **LONG), GOOGLE),
    "google_fast": (AlbertConfig(50, ffn_groups=16, **LONG), GOOGLE),
}


def resolve(config, **settings):
    settings = dict({"input_file": "data", "output_dir": "model"}, **settings)
    return resolve_flags(parse(**settings), config)


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_defaults_of_the_families(family):
    config, expected = FAMILIES[family]
    assert config.family == family
    settings = resolve(config, do_train=True)
    assert {name: getattr(settings, name) for name in expected} == expected
    other = GOOGLE if expected is BRIGHTMART else BRIGHTMART
    for name in set(other) - set(COMMON):
        # A flag that is set wins, also with the other family's default.
        found = resolve(config, **{"do_train": True, name: other[name]})
        assert found == settings._replace(**{name: other[name]})


def test_short_runs_are_logged_more_often():
    for more, expected in (
        ({"num_train_steps": 60}, 3),
        ({"num_train_steps": 4}, 1),
        ({"num_train_steps": 10**6}, 100),
        ({"num_train_steps": 60, "log_every_steps": 50}, 50),
    ):
        settings = resolve(FAMILIES["google"][0], **dict(more, do_train=True))
        assert settings.log_every_steps == expected


def test_short_runs_that_are_evaluated_are_saved_more_often():
    short = {"do_train": True, "num_train_steps": 60}
    for family, default in (("brightmart", 1000), ("google", 5000)):
        config = FAMILIES[family][0]
        for more, expected in (
            ({}, default),
            ({"eval_file": "dev"}, 12),
            ({"eval_file": "dev", "num_train_steps": 10**6}, default),
            ({"eval_file": "dev", "eval_during_training": False}, default),
            ({"eval_file": "dev", "save_checkpoints_steps": 7}, 7),
        ):
            settings = resolve(config, **dict(short, **more))
            assert settings.save_checkpoints_steps == expected


@pytest.mark.parametrize(
    "settings, brightmart, google",
    [
        ({}, None, (True, False)),
        ({"do_eval": True}, (False, True), (False, True)),
        ({"do_train": True}, (True, False), (True, False)),
        ({"do_train": True, "do_eval": True}, (True, True), (True, True)),
        ({"do_train": False, "do_eval": True}, (False, True), (False, True)),
        ({"do_train": False}, None, None),
    ],
)
def test_what_to_do(settings, brightmart, google):
    for family, expected in (("brightmart", brightmart), ("google", google)):
        config = FAMILIES[family][0]
        if expected is None:
            with pytest.raises(InputError, match="nothing to do: .*--do_train.*--do_eval"):
                resolve(config, **settings)
        else:
            found = resolve(config, **settings)
            assert (found.do_train, found.do_eval) == expected


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"input_file": ""}, "--input_file is required"),
        ({"output_dir": ""}, "--output_dir is required"),
        ({"masked_lm_budget": 20}, r"--masked_lm_budget is 20\.0; only 0"),
        ({"max_seq_length": 513}, "--max_seq_length is 513, .*max_position_embeddings 512"),
    ],
)
def test_flags_that_are_refused(settings, message):
    for config, _ in FAMILIES.values():
        with pytest.raises(InputError, match=message):
            resolve(config, do_train=True, **settings)


@pytest.mark.parametrize(
    "settings", [{"optimizer": "adam"}, {"train_batch_size": 0}, {"learning_rate": -1}]
)
def test_values_that_are_refused(settings):
    (name,) = settings
    with pytest.raises(flags.IllegalFlagValueError, match=name):
        parse(**settings)


def test_missing_config(tmp_path, small):
    del small["bert_config_file"]
    with pytest.raises(InputError, match="--bert_config_file is required"):
        run(**small)
    missing = str(tmp_path / "missing.json")
    with pytest.raises(InputError, match=r"missing\.json: no such file"):
        run(albert_config_file=missing, **small)


def test_output_dir_that_cannot_be_written(tmp_path, small):
    small["output_dir"] = os.path.join(small["bert_config_file"], "output")
    with pytest.raises(InputError, match="--output_dir: cannot write"):
        run(**small)


def test_records_are_checked_before_training(tmp_path, small):
    with pytest.raises(InputError, match="has 16 .* expected 8"):
        run(**dict(small, max_seq_length=8))
    with pytest.raises(InputError, match="--input_file: no file matches"):
        run(**dict(small, input_file=str(tmp_path / "none*")))
    wide = write_features(tmp_path / "wide", [])
    with pytest.raises(InputError, match="wide: holds no record"):
        run(**dict(small, do_train=False, do_eval=True, eval_file=wide))
    assert not os.path.exists(small["output_dir"])


def test_evaluation_without_a_checkpoint(tmp_path, small):
    del small["do_train"]
    small["bert_config_file"] = save_config(tmp_path, SMALL_GOOGLE)  # would train by default
    with pytest.raises(InputError, match="--output_dir: .*holds no checkpoint"):
        run(do_eval=True, **small)


# Starting from other weights


@pytest.mark.slow
def test_groups_start_from_group_0(golden, tmp_path):
    settings = golden_flags(golden, "google_g3", tmp_path)
    settings.update(
        init_checkpoint=os.path.join(golden, "model", "google_g1"),
        do_train=True,
        num_train_steps=1,
        train_batch_size=3,
    )
    with pytest.raises(InputError, match=r"--strict_init.*lacks 32 .*group_1/.*group_2/"):
        run(strict_init=True, **settings)
    run(init_from_group0=True, strict_init=True, **settings)
    source = variables_of(os.path.join(golden, "model", "google_g1", "model.ckpt"))
    started = weights(settings["output_dir"], 0)
    assert len(started) == 64
    for name, value in started.items():
        np.testing.assert_array_equal(value, source[re.sub(r"group_\d/", "group_0/", name)])


@pytest.mark.parametrize("name, source", [("bm_postln", "google_g1"), ("google_g1", "bm_postln")])
def test_checkpoint_of_another_family_is_refused(golden, tmp_path, name, source):
    settings = golden_flags(golden, name, tmp_path)
    checkpoint = os.path.join(golden, "model", source, "model.ckpt")
    with pytest.raises(InputError, match="is of the .* family and the config .* of the .* family"):
        run(do_train=True, init_checkpoint=checkpoint, **settings)
    assert checkpoint_steps(settings["output_dir"]) == []


def test_init_checkpoint_that_is_missing(tmp_path, small):
    with pytest.raises(InputError, match="--init_checkpoint: no checkpoint at"):
        run(init_checkpoint=str(tmp_path / "missing"), **small)


# Continuing a run


@pytest.mark.slow
def test_changed_settings(small, capsys):
    run(**small)
    with open(os.path.join(small["output_dir"], "run_settings.json")) as handle:
        settings = json.load(handle)
    assert settings["learning_rate"] == 0.01 and len(settings["input_files"]) == 2
    assert configuration.config_from_dict(settings["config"]).to_dict() == SMALL.to_dict()

    changed = dict(small, learning_rate=0.02, num_train_steps=6)
    message = r"learning_rate was 0\.01 and is now 0\.02; num_train_steps was 4 and is now 6"
    with pytest.raises(InputError, match=message + ".*--allow_changed_settings"):
        run(**changed)
    assert estimator.latest_step(small["output_dir"]) == 4
    capsys.readouterr()
    run(allow_changed_settings=True, **changed)
    assert "Resuming from step 4 of" in capsys.readouterr().out
    assert checkpoint_steps(small["output_dir"]) == [0, 4, 6]
    # These do not change what is trained.
    run(save_checkpoints_steps=3, do_eval=True, **changed)
    results = eval_results(small["output_dir"])
    assert results["global_step"] == 6
    output = capsys.readouterr().out
    assert "Nothing left to train: %s is at step 6 of 6.\n" % small["output_dir"] in output
    assert "Training on" not in output and "Resuming" not in output
    # The file has the names of all reference scripts, the console each number once.
    assert "next_sentence_loss" in results and "next_sentence" not in output
    assert (
        "sentence_order_loss = %s  (mean over the records)\n" % results["sentence_order_loss"]
        in output
    )


def run_script(repo_root, settings):
    script = os.path.join(repo_root, "run_pretraining.py")
    done = processes.run([script, *arguments(settings)])
    return done.returncode, done.stdout, done.stderr


# The script as a process


@pytest.mark.slow
def test_training_and_evaluation(tmp_path, repo_root, small):
    write_records(tmp_path / "dev", range(20, 26))
    small.update(
        albert_config_file=save_config(tmp_path, SMALL_GOOGLE),
        eval_file=str(tmp_path / "dev"),
        do_eval=True,
        max_eval_steps=2,
        num_train_steps=5,
        log_every_steps=2,
    )
    del small["bert_config_file"]
    done = subprocess.run(  # as a user starts it
        [sys.executable, os.path.join(repo_root, "run_pretraining.py"), *arguments(small)],
        capture_output=True,
        text=True,
    )
    output = done.stdout
    assert done.returncode == 0, done.stderr

    found = eval_results(small["output_dir"])
    assert set(found) == METRICS
    assert found["global_step"] == 5
    assert set(scalars(os.path.join(small["output_dir"], "eval"))) >= METRICS - {"global_step"}
    written = scalars(small["output_dir"])
    assert {*SCORES, "learning_rate", "gradient_norm", "examples_per_second"} <= set(written)
    lines = [line for line in output.splitlines() if re.match(r"step \d+/", line)]
    assert "step 5  held-out  loss %.4f" % found["loss"] in output
    assert sorted(written["loss"]) == sorted(written["learning_rate"]) == [2, 4, 5]
    assert len(lines) == 3
    number = r"[\d.e+-]+"
    for line, step in zip(lines, (2, 4, 5)):
        pattern = "step %d/5  " % step + "  ".join("%s (%s)" % (name, number) for name in SCORES)
        rates = r"  %s examples/s  \d+ tokens/s  \d+:\d\d:\d\d left$" % number
        match = re.match(pattern + rates, line)
        assert match, line
        values = [written[name][step] for name in SCORES]
        np.testing.assert_allclose([float(group) for group in match.groups()], values, rtol=1e-3)
    assert "masked_lm_accuracy = %s" % found["masked_lm_accuracy"] in output


@pytest.mark.slow
def test_divergence_ends_in_one_sentence(repo_root, small):
    # The rate of step 0 is 0 and that of step 1 absurd: step 2 cannot be computed any more.
    small.update(learning_rate=1e30, save_checkpoints_steps=1)
    status, _, errors = run_script(repo_root, small)
    assert status == 2
    last = errors.splitlines()[-1]
    latest = tf.train.latest_checkpoint(small["output_dir"])
    assert re.match("error: training stopped at step [34]: .*not finite.* %s.$" % latest, last)
    assert "Traceback" not in errors
    for name, value in variables_of(latest).items():
        assert np.isfinite(value).all(), name


@pytest.mark.slow
def test_names_and_files_that_cannot_be_used_end_in_one_sentence(repo_root, tmp_path, small):
    status, _, errors = run_script(repo_root, dict(small, output_dir=str(tmp_path / "run[1e-4]")))
    assert status == 2
    assert "run[1e-4]' has one of * ? [ in its name" in errors.splitlines()[-1]
    (tmp_path / "tf_gone").symlink_to(tmp_path / "nowhere")
    small.update(input_file=str(tmp_path / "tf_*"), max_corrupt_records=3)
    status, _, errors = run_script(repo_root, small)
    assert status == 2
    assert errors.splitlines()[-1].startswith("error: %s" % (tmp_path / "tf_gone"))
    assert "Traceback" not in errors


@pytest.mark.slow
def test_unknown_flag(repo_root):
    status, _, errors = run_script(repo_root, {"learning_rat": 1})
    assert status != 0
    assert "learning_rat" in errors and "Traceback" not in errors
