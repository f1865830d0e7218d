"""A window of training steps under TensorFlow's profiler, for TensorBoard."""

import os

from albert.basics import tf_compat
from albert.basics.errors import InputError
from albert.basics.tf_compat import tf


def parse_window(text):
    """`(start, end)` of "START,END", steps counted from 1 and both included; None for none.

    Raises:
        InputError: it is something else.
    """
    if not text:
        return None
    try:
        start, end = (int(part) for part in text.split(","))
    except ValueError:
        start, end = 0, 0
    if not 1 <= start <= end:
        raise InputError(
            "--profile is '%s'; expected START,END: the first and the last step to profile, "
            "counted from 1, for example 100,110." % text
        )
    return start, end


class ProfileHook(tf.train.SessionRunHook):
    """Records the steps of a window.

    From TensorFlow 2.2 on they are shown in the "Profile" tab (package tensorboard-plugin-profile);
    before, as run metadata in the "Graphs" tab: compute time and memory of every operation.

    Args:
        window: from `parse_window`.
        output_dir: directory of the event files.
    """

    def __init__(self, window, output_dir):
        self._start, self._end = window
        self._output_dir = output_dir
        self._profiler = tf_compat.profiler()
        self._running = False
        self._recorded = None

    def begin(self):
        self._global_step = tf.train.get_global_step()
        self._writer = tf.summary.FileWriterCache.get(self._output_dir)

    def after_create_session(self, session, coord):
        self._step = session.run(self._global_step) + 1  # the one that comes next

    def before_run(self, run_context):
        if not self._start <= self._step <= self._end:
            return None
        if self._profiler is None:
            options = tf.RunOptions(trace_level=tf.RunOptions.FULL_TRACE)
            return tf.train.SessionRunArgs(None, options=options)
        if not self._running:
            self._profiler.start(self._output_dir)
            self._running = True
        return None

    def after_run(self, run_context, run_values):
        in_window = self._start <= self._step <= self._end
        if in_window and self._profiler is None and self._recorded != self._step:
            self._recorded = self._step  # a skipped step comes again
            self._writer.add_run_metadata(run_values.run_metadata, "step_%d" % self._step)
        self._step = run_context.session.run(self._global_step) + 1
        if self._running and self._step > self._end:
            self._stop()
        elif in_window and self._step > self._end:
            self._announce()

    def end(self, session):
        if self._running:
            self._stop()

    def _stop(self):
        self._profiler.stop()
        self._running = False
        self._announce()

    def _announce(self):
        print(
            "Profiled steps %d to %d: tensorboard --logdir %s"
            % (self._start, self._end, os.path.abspath(self._output_dir)),
            flush=True,
        )
