"""The training step of pre-training: ways to compute it that must not change what is learnt."""

import functools
import os

import numpy as np
import pytest

from albert.basics.errors import InputError
from albert.basics.tf_compat import tf
from albert.model_files.checkpoints import variable_name
from albert.pretraining.flags import resolve_flags
from albert.pretraining.model_fn import model_fn_builder
from albert.training import distribution, estimator
from helpers.models import golden_config, load_npz
from helpers.runs import parse

MODELS = ["bm_postln", "google_fast"]


def train(golden, name, steps=3, batch=None, config=None, **given):
    """Trains a golden model on its batch.

    Returns:
        The scores of every step as a list of dicts, and the variables as a dict.
    """
    config = config or golden_config(golden, name)
    batch = load_npz(golden, name, "inputs.npz") if batch is None else batch
    size = len(batch["input_ids"])
    values = dict(
        {
            "input_file": "none",
            "output_dir": "none",
            "do_train": True,
            "max_seq_length": 16,
            "train_batch_size": size,
            "learning_rate": 0.01,
            "num_train_steps": 10,
            "num_warmup_steps": 0,
            "init_checkpoint": os.path.join(golden, "model", name, "model.ckpt"),
        },
        **given,
    )
    settings = resolve_flags(parse(**values), config)
    devices = distribution.create(settings)
    with tf.Graph().as_default():
        features = {key: tf.constant(value) for key, value in batch.items()}
        model_fn = model_fn_builder(config, settings, distribution=devices)
        spec = model_fn(features, None, estimator.ModeKeys.TRAIN, {"batch_size": size})
        hook = spec.training_hooks[0]
        with tf.Session(config=devices.session_config) as session:
            session.run(tf.global_variables_initializer())
            runs = [session.run([hook._tensors, spec.train_op]) for _ in range(steps)]
            variables = {variable_name(v): v for v in tf.global_variables()}
            return [scores for scores, _ in runs], session.run(variables)


@functools.lru_cache(maxsize=None)
def plain(golden, name):
    """One step as usual."""
    return train(golden, name, steps=1)


def assert_same_gradients(actual, expected, rtol=0.0, atol=1e-6):
    """Compares the scores of the first step, and its gradients by what they leave in slot m."""
    (scores, variables), (expected_scores, expected_variables) = actual, expected
    assert list(scores[0]) == list(expected_scores[0])
    for key, value in expected_scores[0].items():
        # A norm over all gradients is several times larger than a loss: 1e-6 is one bit of it.
        relative = max(rtol, 1e-6) if key == "gradient_norm" else rtol
        np.testing.assert_allclose(scores[0][key], value, rtol=relative, atol=atol, err_msg=key)
    assert set(variables) == set(expected_variables)
    slots = [key for key in expected_variables if key.endswith("_m")]
    assert len(slots) > 30
    for key in slots:
        gradient, wanted = variables[key] / 0.1, expected_variables[key] / 0.1
        np.testing.assert_allclose(gradient, wanted, rtol=rtol, atol=atol, err_msg=key)


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_accumulation_equals_the_whole_batch(golden, name):
    """The golden examples have 4, 3 and 1 predictions: a mean of means would not do."""
    parts = train(golden, name, steps=1, gradient_accumulation_steps=3)
    assert_same_gradients(parts, plain(golden, name))


@pytest.mark.slow
def test_replicas_equal_the_whole_batch(golden):
    """Three virtual devices, with one example each."""
    settings = {"distribution": "mirrored", "num_replicas": 3}
    replicas = train(golden, "bm_postln", steps=1, **settings)
    assert_same_gradients(replicas, plain(golden, "bm_postln"))


@pytest.mark.slow
def test_replicas_with_parts_and_recomputed_layers(golden):
    batch = load_npz(golden, "google_g2", "inputs.npz")
    batch = {key: np.concatenate([value, value[:1]]) for key, value in batch.items()}
    whole = train(golden, "google_g2", steps=1, batch=batch)
    settings = {
        "distribution": "mirrored",
        "num_replicas": 2,
        "gradient_accumulation_steps": 2,
        "recompute_layers": True,
    }
    assert_same_gradients(train(golden, "google_g2", steps=1, batch=batch, **settings), whole)


def with_dropout(golden, name):
    config = golden_config(golden, name)
    config.hidden_dropout_prob = config.attention_probs_dropout_prob = 0.1
    return config


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_recomputed_layers_change_nothing(golden, name):
    recomputed = train(golden, name, steps=1, recompute_layers=True)
    assert_same_gradients(recomputed, plain(golden, name))


@pytest.mark.slow
def test_recomputed_layers_with_dropout_and_in_parts(golden):
    scores, variables = train(
        golden,
        "bm_postln",
        steps=2,
        config=with_dropout(golden, "bm_postln"),
        recompute_layers=True,
        gradient_accumulation_steps=3,
    )
    assert all(np.isfinite(value).all() for value in variables.values())
    assert abs(scores[0]["loss"] - scores[1]["loss"]) > 1e-3


@pytest.mark.slow
def test_xla_changes_nothing(golden):
    compiled = train(golden, "bm_postln", steps=1, xla=True)
    assert_same_gradients(compiled, plain(golden, "bm_postln"), atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("precision, tolerance", [("bfloat16", 0.02), ("float16", 0.003)])
def test_low_precision_follows_float32(golden, precision, tolerance):
    """Losses within the rounding, weights and slots in float32."""
    settings = dict(steps=5, optimizer="adamw", learning_rate=1e-3)
    expected, _ = train(golden, "bm_postln", **settings)
    found, variables = train(golden, "bm_postln", precision=precision, **settings)
    for scores, wanted in zip(found, expected):
        assert scores["loss"] != wanted["loss"]
        np.testing.assert_allclose(scores["loss"], wanted["loss"], rtol=tolerance)
    kinds = {key: value.dtype for key, value in variables.items()}
    assert kinds.pop("global_step") == np.int64
    kinds.pop("loss_scale_good_steps", None)
    assert set(kinds.values()) == {np.dtype(np.float32)}
    assert ("loss_scale" in kinds) == (precision == "float16")


@pytest.mark.slow
def test_frozen_variables_stay(golden):
    _, start = train(golden, "bm_postln", steps=0)
    _, end = train(golden, "bm_postln", steps=2, freeze="embeddings/|pooler")
    frozen = [key for key in start if "embeddings/" in key or "pooler" in key]
    frozen = [key for key in frozen if not key.endswith(("_m", "_v"))]
    assert len(frozen) == 8
    for key in frozen:
        np.testing.assert_array_equal(end[key], start[key])
        assert key + "/lamb_m" not in end and key + "/lamb_m" in start
    trained = [key for key in end if key + "/lamb_m" in end]
    assert len(trained) == 31 - 8
    for key in trained:
        assert (end[key] != start[key]).any(), key


@pytest.mark.parametrize("pattern, found", [("nothing", "no variable"), (".", "every variable")])
def test_freeze_patterns_that_are_refused(golden, pattern, found):
    with pytest.raises(InputError, match="--freeze='%s' matches %s" % (pattern, found)):
        train(golden, "bm_postln", steps=0, freeze=pattern)


@pytest.mark.parametrize(
    "settings, message",
    [
        (
            {"gradient_accumulation_steps": 2},
            "--train_batch_size is 3 and --gradient_accumulation_steps 2",
        ),
        ({"precision": "float16", "max_skipped_steps": 0}, "--precision=float16 skips steps"),
        ({"skip_gradient_norm": float("nan")}, "--skip_gradient_norm is nan"),
        ({"learning_rate": float("inf")}, "--learning_rate is inf; expected a number"),
        ({"seed": 10**20}, "--seed is 100000000000000000000; expected less"),
        ({"freeze": "["}, r"--freeze='\[' is no regular expression"),
        ({"use_tpu": True, "skip_gradient_norm": 9.0}, "--skip_gradient_norm: not supported"),
        ({"use_tpu": True, "xla": True, "freeze": "x"}, "--freeze, --xla: not supported on TPU"),
        (
            {"use_tpu": True, "gradient_accumulation_steps": 3},
            "--gradient_accumulation_steps: not supported on TPU",
        ),
    ],
)
def test_flags_that_do_not_fit_each_other(golden, settings, message):
    with pytest.raises(InputError, match=message):
        train(golden, "bm_postln", **settings)
