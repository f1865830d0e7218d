"""Evaluating what training saves, and keeping the best checkpoint in `<output_dir>/best`."""

import math
import os

from absl import logging

from albert.basics import storage
from albert.basics.errors import InputError, reason
from albert.basics.tf_compat import tf
from albert.model_files.model_folder import (
    BEST_FILE,
    BEST_FOLDER,
    MODEL_FILES,
    best_checkpoint,
    checkpoint_prefix,
    checkpoint_steps,
    read_best,
)
from albert.training.hooks import check_folder

HISTORY_FILE = "dev_history.json"
BEST_PREFIX = "model.ckpt-best"
# Of all other scores more is better.
_LESS_IS_BETTER = ("eval_loss", "loss", "MSE")
_EVALUATIONS = 5  # of a short run: what a curve needs at least


def is_better(metric, value, old):
    """Whether a score is better than an old one; not a number is worse than any number."""
    if math.isnan(value) or math.isnan(old):
        return not math.isnan(value)
    return value < old if metric in _LESS_IS_BETTER else value > old


def save_interval(num_steps, most=1000):
    """Steps between saves, each of which is evaluated, where the user does not say: a fifth of the
    steps of the run, `most` in long ones."""
    return min(most, max(1, num_steps // _EVALUATIONS))


class BestKeeper:
    """Evaluates each checkpoint that training saves, and keeps the best of them.

    Args:
        selection: `Selection`.
        evaluate: function of a checkpoint's prefix, returning `{name: float}`.
        evaluated: function of prefix, step, scores, and whether they are the best so far; called
            after each evaluation.
        required: what happens when the best checkpoint cannot be kept, on a full disk above all.
            True: training ends with an InputError, where the best checkpoint is the result, as in
            fine-tuning, whose minutes are soon repeated.  False: a warning, where it is an extra
            beside the latest checkpoint, as in pre-training, whose days must not end for it.
        patience: stop after so many evaluations without a new best; 0: never.
    """

    def __init__(self, selection, evaluate, evaluated, required, patience=0):
        self.selection = selection
        self._evaluate = evaluate
        self._evaluated = evaluated
        self._required = required
        self._patience = patience

    def saved(self, prefix, step):
        """Evaluates a checkpoint that has just been saved; returns whether training shall stop."""
        if step == 0 or self.selection.has(step):
            return False
        scores = self._evaluate(prefix)
        is_best = self.add(prefix, step, scores)
        self._evaluated(prefix, step, scores, is_best)
        return self.is_exhausted()

    def add(self, prefix, step, scores):
        """Considers a checkpoint with known scores; returns whether it is the best so far.

        Raises:
            InputError: it is, and cannot be kept although it must.
        """
        try:
            self.selection.add(prefix, step, scores)
        except (tf.errors.OpError, OSError) as error:
            if self._required:
                raise InputError(
                    "the best checkpoint cannot be kept in '%s' (%s). Free some space, and start "
                    "again to go on from there." % (self.selection.folder, reason(error))
                ) from error
            logging.warning("the best checkpoint cannot be kept (%s).", reason(error))
        best = self.selection.best
        return best is not None and best["step"] == step

    def is_exhausted(self):
        """Whether there were enough evaluations without a new best."""
        return 0 < self._patience <= self.selection.evaluations_since_best()


class Selection:
    """All evaluations of a run in training, and the best checkpoint; both survive a restart.

    Args:
        output_dir: folder of the run.
        metric: key of the scores that decides.
        files: names of files of `output_dir` that are copied with the checkpoint.
        evaluated_on: description of the evaluation, as JSON gives it back (lists, no tuples), or
            None if nothing will be evaluated.  Scores of another one, or by another metric, are not
            compared with: they are forgotten.

        has_prefix: whether the best checkpoint is `model.ckpt-best` in `output_dir`, too, where
            google's programs look for it.

    Attributes:
        folder: where the best checkpoint is kept.
        former: prefix of the best checkpoint if its scores were forgotten, else None.
        history: list of dicts with "step" and "scores", in the order of steps.
        best: dict with "step", "metric" and "scores", or None.
    """

    def __init__(self, output_dir, metric, files=MODEL_FILES, evaluated_on=None, has_prefix=False):
        self._output_dir = output_dir
        self._has_prefix = has_prefix
        self.folder = os.path.join(output_dir, BEST_FOLDER)
        self._history_file = os.path.join(output_dir, HISTORY_FILE)
        self._files = files
        self._evaluated_on = evaluated_on
        self.metric = metric
        self.best = read_best(output_dir)
        self.former = None
        self.history = []
        if storage.exists(self._history_file):
            stored = storage.read_json(self._history_file)
            self.history = stored["evaluations"]
            if evaluated_on is not None:
                # Earlier versions of this program told less.
                self._compare(dict(evaluated_on, **stored.get("evaluated_on", {})))

    def _compare(self, evaluated_on):
        """Forgets scores that are not comparable with those to come."""
        metric = self.best["metric"] if self.best else self.metric
        if (evaluated_on, metric) == (self._evaluated_on, self.metric):
            return
        logging.warning(
            "the best checkpoint is chosen anew: by %s on %s, so far by %s on %s.",
            self.metric,
            self._evaluated_on,
            metric,
            evaluated_on,
        )
        self.former = best_checkpoint(self._output_dir)
        self.best, self.history = None, []

    def resume(self, step):
        """Forgets what lies after the step at which training goes on; at 0 everything."""
        self.history = [entry for entry in self.history if entry["step"] <= step]
        if step == 0 and (self.best or self.former):
            tf.io.gfile.remove(os.path.join(self.folder, BEST_FILE))
            self._remove_others(None)
            self.best = self.former = None
        if self._has_prefix:  # the process may have been killed before it did this
            self._link_prefix(best_checkpoint(self._output_dir))

    def has(self, step):
        """Whether the checkpoint of a step has been evaluated."""
        return any(entry["step"] == step for entry in self.history)

    def add(self, prefix, step, scores):
        """Records an evaluation, and keeps a copy of the checkpoint if it is the best so far.

        A killed process leaves the old best or the new one, never a part: `best.json` names the
        files that count, and the old ones go last.

        Args:
            prefix: of the checkpoint.
            step: its global step.
            scores: `{name: float}`.

        Raises:
            InputError: the output folder has gone.
        """
        check_folder(self._output_dir, prefix + ".index")
        self.history = [entry for entry in self.history if entry["step"] < step]
        self.history.append({"step": step, "scores": scores})
        if self._is_better(scores):
            best = {"step": step, "metric": self.metric, "scores": scores}
            try:
                self._copy(prefix, step)
                storage.write_json(os.path.join(self.folder, BEST_FILE), best)
            except (tf.errors.OpError, OSError):
                if prefix != self.former:  # gives the space back, on a full disk above all
                    self._remove(step)
                raise
            self.best = best
            if self._has_prefix:
                self._link_prefix(best_checkpoint(self._output_dir))
            self._remove_others(step)
        content = {"evaluations": self.history}
        if self._evaluated_on is not None:
            content["evaluated_on"] = self._evaluated_on
        storage.write_json(self._history_file, content)

    def evaluations_since_best(self):
        """Number of evaluations after the best one."""
        if self.best is None:
            return len(self.history)
        return sum(entry["step"] > self.best["step"] for entry in self.history)

    def _is_better(self, scores):
        if self.best is None or self.metric not in self.best["scores"]:
            return True
        return is_better(self.metric, scores[self.metric], self.best["scores"][self.metric])

    def _copy(self, prefix, step):
        tf.io.gfile.makedirs(self.folder)
        for name in self._files:
            source = os.path.join(self._output_dir, name)
            if storage.exists(source):
                tf.io.gfile.copy(source, os.path.join(self.folder, name), overwrite=True)
        if prefix == self.former:  # it lies there already
            return
        target = checkpoint_prefix(self.folder, step)
        # The index last: without it there is no checkpoint.
        for source in sorted(tf.io.gfile.glob(prefix + ".data-*")) + [prefix + ".index"]:
            tf.io.gfile.copy(source, target + source[len(prefix) :], overwrite=True)
        tf.train.update_checkpoint_state(self.folder, os.path.basename(target))

    def _link_prefix(self, best):
        """Makes `model.ckpt-best` the checkpoint of a prefix; None: there is none.

        The index goes first and comes last: without it there is no checkpoint.
        """
        prefix = os.path.join(self._output_dir, BEST_PREFIX)
        for path in sorted(tf.io.gfile.glob(prefix + ".*"), key=_is_no_index):
            tf.io.gfile.remove(path)
        if best is None:
            return
        meta = os.path.join(self._output_dir, os.path.basename(best)) + ".meta"
        if storage.exists(meta):
            storage.link_or_copy(meta, prefix + ".meta")
        for path in sorted(tf.io.gfile.glob(best + ".*"), key=_is_no_index, reverse=True):
            storage.link_or_copy(path, prefix + path[len(best) :])

    def _remove_others(self, step):
        for other in checkpoint_steps(self.folder):
            if other != step:
                self._remove(other)

    def _remove(self, step):
        if not tf.io.gfile.isdir(self.folder):  # where TensorFlow 1.15 refuses to look
            return
        for path in tf.io.gfile.glob(checkpoint_prefix(self.folder, step) + ".*"):
            tf.io.gfile.remove(path)


def _is_no_index(path):
    return not path.endswith(".index")
