"""Session hooks of the training loop: progress on the console and in TensorBoard, checkpoints."""

import os
import time

from tf_compat import tf


class ProgressHook(tf.train.SessionRunHook):
    """Prints one line every `every_steps` steps and at the last one, and writes it as summaries.

    A line reads ``step 200/1000  loss 8.312  153.2 examples/s  0:05:13 left``.  Values are means
    over the steps since the previous line.  The rate leaves out building the graph and the first
    step, which compiles it; the time left is estimated from all steps of this process.

    Args:
        tensors: `{name: scalar tensor}` in the order of printing; fetched in every step.  Must be
            empty on a TPU, whose tensors cannot be fetched.
        examples_per_step: batch size over all replicas.
        max_steps: global step at which training ends.
        every_steps: a line at each multiple of it.
        output_dir: directory of the event file, which gets the same names and values and
            `examples_per_second`.
    """

    def __init__(self, tensors, examples_per_step, max_steps, every_steps, output_dir):
        self._tensors = dict(tensors)
        self._examples_per_step = examples_per_step
        self._max_steps = max_steps
        self._every_steps = every_steps
        self._output_dir = output_dir

    def begin(self):
        self._global_step = tf.train.get_global_step()
        self._writer = tf.summary.FileWriterCache.get(self._output_dir)

    def after_create_session(self, session, coord):
        step = session.run(self._global_step)
        # Makes TensorBoard drop what a killed run wrote past the checkpoint resumed from.
        self._writer.add_session_log(tf.SessionLog(status=tf.SessionLog.START), step)
        # Pairs of (time, step): the start of the first step, its end, the previous line.
        self._first_run = self._compiled = self._previous = None
        self._step = step
        self._clear()

    def before_run(self, run_context):
        if self._first_run is None:
            self._first_run = (time.monotonic(), self._step)
        return tf.train.SessionRunArgs(self._tensors)

    def after_run(self, run_context, run_values):
        for name, value in run_values.results.items():
            self._sums[name] += float(value)
        self._runs += 1
        before = self._step
        # Fetched with the step itself it could be the value before or after the update.
        self._step = run_context.session.run(self._global_step)
        if self._compiled is None:
            self._compiled = self._previous = (time.monotonic(), self._step)
        passed_multiple = self._step // self._every_steps > before // self._every_steps
        if passed_multiple or self._step >= self._max_steps:
            self._report()

    def end(self, session):
        if self._runs:
            self._report()
        self._writer.flush()

    def _clear(self):
        self._sums = dict.fromkeys(self._tensors, 0.0)
        self._runs = 0

    def _report(self):
        now = time.monotonic()
        values = {name: total / self._runs for name, total in self._sums.items()}
        rate = self._examples_per_step / self._seconds_per_step(self._previous, now)
        left = (self._max_steps - self._step) * self._seconds_per_step(self._compiled, now)
        parts = ["step %d/%d" % (self._step, self._max_steps)]
        parts += ["%s %.4g" % item for item in values.items()]
        parts += ["%.1f examples/s" % rate, "%s left" % _hours(left)]
        print("  ".join(parts), flush=True)
        write_scalars(self._writer, dict(values, examples_per_second=rate), self._step)
        self._previous = (now, self._step)
        self._clear()

    def _seconds_per_step(self, since, now):
        start, step = since if since[1] < self._step else self._first_run
        return max(now - start, 1e-9) / (self._step - step)


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
    Nothing is saved when training ends in an error.

    Args:
        model_dir: directory of the checkpoints.
        every_steps: steps between checkpoints.
        scaffold: tf.train.Scaffold of the session; its saver is used.
        on_save: function of the new checkpoint's prefix and step, called when it is complete; if
            it returns true, training stops.
    """

    def __init__(self, model_dir, every_steps, scaffold, on_save=None):
        self._model_dir = model_dir
        self._every_steps = every_steps
        self._scaffold = scaffold
        self._on_save = on_save

    def begin(self):
        self._global_step = tf.train.get_global_step()
        tf.io.gfile.makedirs(self._model_dir)

    def after_create_session(self, session, coord):
        self._saved_step = session.run(self._global_step)
        if not tf.train.latest_checkpoint(self._model_dir):
            self._save(session, self._saved_step)

    def after_run(self, run_context, run_values):
        step = run_context.session.run(self._global_step)
        if step - self._saved_step >= self._every_steps and self._save(run_context.session, step):
            run_context.request_stop()

    def end(self, session):
        step = session.run(self._global_step)
        if step != self._saved_step:
            self._save(session, step)

    def _save(self, session, step):
        """Saves; returns whether training shall stop."""
        prefix = os.path.join(self._model_dir, "model.ckpt")
        prefix = self._scaffold.saver.save(session, prefix, global_step=step)
        self._saved_step = step
        return bool(self._on_save and self._on_save(prefix, int(step)))


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
