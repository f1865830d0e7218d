"""What keeps a long training run from being lost: bad steps are skipped, signals save first."""

import math
import signal
import sys

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


class StopOnSignal(tf.train.SessionRunHook):
    """Context manager and hook: SIGTERM and SIGINT end training after the step, with a checkpoint.

    A second signal acts as if there were no such handler.  Outside of the main thread, where
    signals cannot be handled, it does nothing.

    Attributes:
        stopped: whether a signal came.
    """

    _SIGNALS = (signal.SIGTERM, signal.SIGINT)

    def __init__(self):
        self._signal = None
        self._previous = {}

    @property
    def stopped(self):
        return self._signal is not None

    def __enter__(self):
        try:
            for number in self._SIGNALS:
                self._previous[number] = signal.signal(number, self._handle)
        except ValueError:  # not the main thread
            logging.info("signals are not handled outside of the main thread.")
        return self

    def __exit__(self, *unused):
        self._restore()

    def _handle(self, number, frame):
        del frame
        self._signal = number
        self._restore()

    def _restore(self):
        while self._previous:
            signal.signal(*self._previous.popitem())

    def after_run(self, run_context, run_values):
        if self.stopped:
            run_context.request_stop()

    def exit_if_stopped(self, step):
        """Ends the process with 128 + the signal's number, as shells do, if a signal came."""
        if self.stopped:
            print(
                "Stopped by %s at step %d; the checkpoint is written. Start again to go on."
                % (signal.Signals(self._signal).name, step),
                flush=True,
            )
            sys.exit(128 + self._signal)
