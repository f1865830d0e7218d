"""What keeps a long training run from being lost to bad steps: they are skipped."""

import math

from absl import logging

from albert.basics.tf_compat import tf
from albert.training import estimator


def skip_limit(settings):
    """`skip_above` of `optimization.build_train_op` by the flags."""
    return None if settings.use_tpu else settings.skip_gradient_norm


class SkipHook(tf.train.SessionRunHook):
    """Counts examples and skipped steps in a state; ends training after too many in a row.

    Args:
        train_op: `optimization.TrainOp`.
        state: `training_state.TrainingState`.
        settings: those of a script, of these `train_batch_size`: examples of a step, over all
            workers; `max_skipped_steps`: skipped steps in a row at which training goes on;
            `output_dir`: directory of the checkpoints, for the message.
    """

    def __init__(self, train_op, state, settings):
        self._train_op = train_op
        self._state = state
        self._settings = settings
        self._in_a_row = 0

    def before_run(self, run_context):
        if self._train_op.applied is None:
            return None
        return tf.train.SessionRunArgs([self._train_op.applied, self._train_op.gradient_norm])

    def after_run(self, run_context, run_values):
        self._state.examples += self._settings.train_batch_size
        if self._train_op.applied is None:
            return
        applied, norm = run_values.results
        if not applied:
            self._skipped(run_context.session.run(self._train_op.global_step) + 1, norm)
        elif self._in_a_row:
            logging.warning("training goes on after %d skipped steps.", self._in_a_row)
            self._in_a_row = 0

    def _skipped(self, step, norm):
        self._state.skipped_steps += 1
        self._in_a_row += 1
        found = "%.4g" % norm if math.isfinite(norm) else "not finite"
        if self._in_a_row > self._settings.max_skipped_steps:
            raise estimator.TrainingDiverged(
                "training stopped at step %d: %d steps in a row had to be skipped, the gradient "
                "norm is %s (try a lower learning rate); the last good checkpoint is %s."
                % (
                    step,
                    self._in_a_row,
                    found,
                    tf.train.latest_checkpoint(self._settings.output_dir),
                )
            )
        if self._in_a_row == 1:
            logging.warning(
                "step %d is skipped: the gradient norm is %s. Weights and learning rate stay as "
                "they are; training goes on with the next batch.",
                step,
                found,
            )
