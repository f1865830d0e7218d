"""The README's ways of training on: longer sequences, published checkpoints."""

import os

import numpy as np
import pytest

from albert.training import curves
from helpers.records import make_features, write_features
from helpers.runs import golden_flags, run, variables_of, weights


def losses_of(output_dir):
    return [entry["loss"] for entry in curves.read_metrics(output_dir)]


@pytest.mark.slow
def test_second_stage_with_longer_sequences(tmp_path, small):
    """It starts from the first stage's weights, with a new optimizer and at step 0."""
    records = [make_features(identity, seq_length=8) for identity in range(20)]
    first = dict(
        small,
        input_file=write_features(tmp_path / "short", records),
        max_seq_length=8,
        num_train_steps=10,
        num_warmup_steps=1,
    )
    run(**first)
    second = dict(small, output_dir=str(tmp_path / "second"), init_checkpoint=first["output_dir"])
    run(strict_init=True, **second)
    end, start = weights(first["output_dir"], 10), weights(second["output_dir"], 0)
    assert len(end) == 31 and set(end) == set(start)
    for name, value in end.items():
        np.testing.assert_array_equal(start[name], value, err_msg=name)
    for name, value in variables_of(os.path.join(second["output_dir"], "model.ckpt-0")).items():
        if name.endswith(("_m", "_v", "global_step")):
            assert not value.any(), name


@pytest.mark.slow
def test_published_weights_with_another_optimizer_and_frozen_embeddings(
    golden,
    tmp_path,
):
    settings = golden_flags(golden, "bm_postln", tmp_path)
    run(
        do_train=True,
        init_checkpoint=os.path.join(golden, "model", "bm_postln"),
        strict_init=True,
        optimizer="adamw",
        freeze="embeddings/word_embeddings",
        learning_rate=1e-3,
        num_train_steps=20,
        num_warmup_steps=2,
        train_batch_size=3,
        log_every_steps=1,
        **settings,
    )
    losses = losses_of(settings["output_dir"])
    assert losses[-1] < losses[0] - 0.5
    published = variables_of(os.path.join(golden, "model", "bm_postln", "model.ckpt"))
    end = weights(settings["output_dir"], 20)
    assert set(end) == set(published) - {"global_step"}
    for name, value in end.items():
        assert (value == published[name]).all() == ("embeddings/word_embeddings" in name), name
