"""Evaluating what training saves: when, what of it is kept, what a full disk means."""

import errno
import os
from unittest import mock

import pytest

from albert.basics.errors import InputError
from albert.basics.tf_compat import tf
from albert.model_files import model_folder
from albert.training.best_checkpoint import BestKeeper, Selection, save_interval

SCORES = {1: 0.5, 2: 0.75, 3: 0.75, 4: 0.25}


def save(folder, step):
    with tf.Graph().as_default(), tf.Session() as session:
        tf.get_variable("w", initializer=float(step))
        session.run(tf.global_variables_initializer())
        return tf.train.Saver().save(session, str(folder / "model.ckpt"), global_step=step)


def keeper_of(folder, **settings):
    """A keeper, and the list of what it tells."""
    told = []
    keeper = BestKeeper(
        Selection(str(folder), "accuracy"),
        lambda prefix: {"accuracy": SCORES[int(prefix.rpartition("-")[2])]},
        lambda *values: told.append(values),
        **settings,
    )
    return keeper, told


def test_each_save_is_evaluated_once_and_the_best_is_kept(tmp_path):
    keeper, told = keeper_of(tmp_path, required=True)
    prefixes = [save(tmp_path, step) for step in range(5)]
    for _ in range(2):  # a run that is resumed passes the checkpoint once more
        assert not any(keeper.saved(prefix, step) for step, prefix in enumerate(prefixes))
    assert [(prefix, step, is_best) for prefix, step, _, is_best in told] == [
        (prefixes[1], 1, True),
        (prefixes[2], 2, True),
        (prefixes[3], 3, False),
        (prefixes[4], 4, False),
    ]
    assert [scores["accuracy"] for _, _, scores, _ in told] == list(SCORES.values())
    best = model_folder.best_checkpoint(str(tmp_path))
    assert tf.train.load_variable(best, "w") == 2


def test_patience(tmp_path):
    keeper, _ = keeper_of(tmp_path, required=True, patience=2)
    stops = [keeper.saved(save(tmp_path, step), step) for step in range(5)]
    assert stops == [False, False, False, False, True]
    assert keeper.is_exhausted()


@pytest.mark.parametrize("required", [True, False])
def test_a_full_disk(tmp_path, caplog, required):
    keeper, told = keeper_of(tmp_path, required=required)
    prefix = save(tmp_path, 1)
    error = OSError(errno.ENOSPC, "No space left on device")
    with mock.patch.object(Selection, "_copy", side_effect=error):
        if required:
            folder = os.path.join(str(tmp_path), "best")
            message = r"best checkpoint cannot be kept in '%s' \(No space left" % folder
            with pytest.raises(InputError, match=message):
                keeper.saved(prefix, 1)
            assert told == []
        else:
            assert not keeper.saved(prefix, 1)
            assert told == [(prefix, 1, {"accuracy": 0.5}, False)]
            assert "the best checkpoint cannot be kept (No space left" in caplog.text
    assert model_folder.read_best(str(tmp_path)) is None


@pytest.mark.parametrize("steps", [1, 3, 5, 9, 10, 11, 4999, 5000, 100000])
def test_short_runs_are_evaluated_five_times(steps):
    interval = save_interval(steps)
    assert steps // interval >= min(steps, 5)
    assert interval == 1000 or (steps < 5000 and steps // interval <= 9)
