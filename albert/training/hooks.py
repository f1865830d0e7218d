"""Session hooks of the training loop: progress on the console and in TensorBoard, checkpoints."""

import math
import os
import threading
import time

from absl import logging

from albert.basics.errors import InputError, reason
from albert.basics.tf_compat import tf
from albert.training import signals


class ProgressHook(tf.train.SessionRunHook):
    """Prints one line every `every_steps` steps and at the last one, and writes it as summaries.

    A line reads ``step 200/1000  loss 8.312  153.2 examples/s  0:05:13 left``.  Values are means
    over the steps since the previous line, without those whose values are not finite.  The rate
    counts the time of the steps alone, not of saves and evaluations between them, and leaves out
    the first step, which compiles the graph; the time left is estimated from all that this
    process has done since.

    Args:
        tensors: `{name: scalar tensor}` in the order of printing; fetched in every step.  Must be
            empty on a TPU, whose tensors cannot be fetched.
        examples_per_step: batch size over all replicas.
        max_steps: global step at which training ends.
        every_steps: a line at each multiple of it.
        output_dir: directory of the event file, which gets the same names and values and
            `examples_per_second`.
        quiet: more of `tensors`, which are not printed.
        tokens_per_example: None, or the length of an example; adds the rate of tokens, padding
            included, to the line and as `tokens_per_second`.
        on_report: None, or a function of step and `{name: number}`, called with every line; the
            numbers are those of the event file and `seconds_left`.
    """

    def __init__(
        self,
        tensors,
        examples_per_step,
        max_steps,
        every_steps,
        output_dir,
        quiet=None,
        tokens_per_example=None,
        on_report=None,
    ):
        self._printed = list(tensors)
        self._tensors = dict(tensors, **(quiet or {}))
        self._examples_per_step = examples_per_step
        self._max_steps = max_steps
        self._every_steps = every_steps
        self._output_dir = output_dir
        self._tokens_per_example = tokens_per_example
        self._on_report = on_report

    def begin(self):
        self._global_step = tf.train.get_global_step()
        self._writer = tf.summary.FileWriterCache.get(self._output_dir)

    def after_create_session(self, session, coord):
        step = session.run(self._global_step)
        # Makes TensorBoard drop what a killed run wrote past the checkpoint resumed from.
        self._writer.add_session_log(tf.SessionLog(status=tf.SessionLog.START), step)
        # Pairs of (time, step): the start of the first step, and its end.
        self._first_run = self._compiled = None
        self._step = step
        self._clear()

    def before_run(self, run_context):
        self._started = time.monotonic()
        if self._first_run is None:
            self._first_run = (self._started, self._step)
        return tf.train.SessionRunArgs(self._tensors)

    def after_run(self, run_context, run_values):
        values = {name: float(value) for name, value in run_values.results.items()}
        if all(map(math.isfinite, values.values())):
            for name, value in values.items():
                self._sums[name] += value
            self._runs += 1
        before = self._step
        # Fetched with the step itself it could be the value before or after the update.
        self._step = run_context.session.run(self._global_step)
        if self._compiled is None:
            self._compiled = (time.monotonic(), self._step)
        else:
            self._timed_runs += 1
            self._seconds += time.monotonic() - self._started
        passed_multiple = self._step // self._every_steps > before // self._every_steps
        if self._runs and (passed_multiple or self._step >= self._max_steps):
            self._report()

    def end(self, session):
        if self._runs:
            self._report()
        self._writer.flush()

    def _clear(self):
        self._sums = dict.fromkeys(self._tensors, 0.0)
        self._runs = self._timed_runs = 0
        self._seconds = 0.0

    def _report(self):
        now = time.monotonic()
        values = {name: total / self._runs for name, total in self._sums.items()}
        # Before the second step there is only the first to go by.
        first_seconds = self._compiled[0] - self._first_run[0]
        seconds = self._seconds / self._timed_runs if self._timed_runs else first_seconds
        rate = self._examples_per_step / max(seconds, 1e-9)
        since, step = self._compiled if self._compiled[1] < self._step else self._first_run
        left = (self._max_steps - self._step) * (now - since) / max(self._step - step, 1)
        parts = ["step %d/%d" % (self._step, self._max_steps)]
        parts += ["%s %.4g" % (name, values[name]) for name in self._printed]
        parts.append("%.1f examples/s" % rate)
        values["examples_per_second"] = rate
        if self._tokens_per_example:
            values["tokens_per_second"] = rate * self._tokens_per_example
            parts.append("%.0f tokens/s" % values["tokens_per_second"])
        print("  ".join(parts + ["%s left" % _hours(left)]), flush=True)
        write_scalars(self._writer, values, self._step)
        if self._on_report:
            self._on_report(int(self._step), dict(values, seconds_left=round(left, 1)))
        self._clear()


def _hours(seconds):
    seconds = round(seconds)
    return "%d:%02d:%02d" % (seconds // 3600, seconds // 60 % 60, seconds % 60)


def write_scalars(writer, values, step):
    """Adds `{name: number}` to an event file as scalar summaries of global step `step`."""
    summary = tf.Summary()
    for name, value in values.items():
        summary.value.add(tag=name, simple_value=float(value))
    writer.add_summary(summary, step)


class CheckpointHook(tf.train.SessionRunHook):
    """Saves ``model.ckpt-N`` at the start, every `every_steps` steps and at the end.

    Unlike tf.train.CheckpointSaverHook it does not write the checkpoint resumed from once more:
    a process killed while replacing those files would leave the latest checkpoint unreadable.
    Nothing is saved when training ends in an error, unless `is_worth_saving` says so.

    Args:
        model_dir: directory of the checkpoints.
        every_steps: steps between checkpoints.
        scaffold: tf.train.Scaffold of the session; its saver is used.
        on_save: function of the new checkpoint's prefix and step, called when it is complete; if
            it returns true, training stops.  A signal ends it at once, or it is not called.
        before_save: function of the step, called before its checkpoint is written.
        is_worth_saving: None, or a function that says after an error whether the variables are
            good, as when the input broke and nothing else.
        stops_alone: whether a signal that ends `on_save` ends training, too, and at once; where
            other workers wait for the next step, all have to agree on it first.
    """

    def __init__(
        self,
        model_dir,
        every_steps,
        scaffold,
        on_save=None,
        before_save=None,
        is_worth_saving=None,
        stops_alone=True,
    ):
        self._model_dir = model_dir
        self._every_steps = every_steps
        self._scaffold = scaffold
        self._on_save = on_save
        self._before_save = before_save
        self._is_worth_saving = is_worth_saving
        self._stops_alone = stops_alone
        self._has_ended = False

    def begin(self):
        self._global_step = tf.train.get_global_step()
        tf.io.gfile.makedirs(self._model_dir)

    def after_create_session(self, session, coord):
        remove_unfinished_checkpoints(self._model_dir)
        self._saved_step = session.run(self._global_step)
        self._has_state = bool(tf.train.latest_checkpoint(self._model_dir))
        if not self._has_state:
            self._save(session, self._saved_step)
        if self._is_worth_saving:
            # No hook is called after an error; but sessions wait for threads before they close.
            thread = threading.Thread(target=self._rescue, args=(session, coord), daemon=True)
            coord.register_thread(thread)
            thread.start()

    def _rescue(self, session, coord):
        """Saves what an error would lose."""
        coord.wait_for_stop()
        if self._has_ended or not self._is_worth_saving():
            return
        self._on_save = None
        try:
            self.end(session)
        except InputError as error:
            logging.error("%s", error)

    def after_run(self, run_context, run_values):
        step = run_context.session.run(self._global_step)
        if step - self._saved_step >= self._every_steps and self._save(run_context.session, step):
            run_context.request_stop()

    def end(self, session):
        self._has_ended = True
        step = session.run(self._global_step)
        if step != self._saved_step:
            self._save(session, step)

    def _save(self, session, step):
        """Saves; returns whether training shall stop."""
        prefix = os.path.join(self._model_dir, "model.ckpt")
        state = os.path.join(self._model_dir, "checkpoint") if self._has_state else None
        check_folder(self._model_dir, state)
        try:
            if self._before_save:
                self._before_save(int(step))
            prefix = self._scaffold.saver.save(session, prefix, global_step=step)
        # An end-of-data error among them would pass for the end of training.
        except (tf.errors.OpError, OSError) as error:
            check_folder(self._model_dir, state)
            self._remove_failed("%s-%d" % (prefix, step))
            raise InputError(
                "the checkpoint of step %d cannot be written to '%s' (%s); the one before is as it "
                "was: %s. Free some space, and start again to go on from there."
                % (
                    step,
                    self._model_dir,
                    reason(error),
                    tf.train.latest_checkpoint(self._model_dir),
                )
            ) from error
        self._saved_step, self._has_state = step, True
        if not self._on_save:
            return False
        try:
            with signals.interruptible():
                return bool(self._on_save(prefix, int(step)))
        except signals.Stopped:
            return self._stops_alone

    def _remove_failed(self, prefix):
        """Gives the space of an incomplete checkpoint back."""
        if tf.train.latest_checkpoint(self._model_dir) == prefix:
            return
        remove_unfinished_checkpoints(self._model_dir)
        for path in tf.io.gfile.glob(prefix + ".*"):
            tf.io.gfile.remove(path)


def check_folder(output_dir, known_file=None):
    """Raises InputError when the folder of a run has gone while it was training.

    Args:
        output_dir: the folder.
        known_file: None, or a file that must be there; what writes events makes a folder anew.
    """
    if not tf.io.gfile.isdir(output_dir) or (known_file and not tf.io.gfile.exists(known_file)):
        raise InputError(
            "--output_dir: the folder '%s' is gone: it was deleted or renamed while training wrote "
            "to it, and its checkpoints with it. Training has stopped." % output_dir
        )


def remove_unfinished_checkpoints(model_dir):
    """Removes what a process leaves that ends while it writes a checkpoint."""
    for path in tf.io.gfile.glob(os.path.join(model_dir, "model.ckpt-*_temp*")):
        if tf.io.gfile.isdir(path):
            tf.io.gfile.rmtree(path)
        else:
            tf.io.gfile.remove(path)


class CountRunsHook(tf.train.SessionRunHook):
    """Counts the batches a session has finished, in attribute `runs`."""

    def __init__(self):
        self.runs = 0

    def after_run(self, run_context, run_values):
        self.runs += 1


class MeanRecorder(tf.train.SessionRunHook):
    """Mean of a scalar tensor over the steps since it was asked for last."""

    def __init__(self):
        self._tensor = None
        self._values = []

    def watch(self, tensor):
        """Sets the tensor, of the graph that is being built; returns the hook."""
        self._tensor = tensor
        self._values = []
        return self

    def before_run(self, run_context):
        return tf.train.SessionRunArgs(self._tensor)

    def after_run(self, run_context, run_values):
        self._values.append(float(run_values.results))

    def take(self):
        """The mean, and starts anew; None without a step."""
        values, self._values = self._values, []
        return sum(values) / len(values) if values else None
