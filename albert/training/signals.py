"""Signals that ask a long run to end: training saves a checkpoint first, all else ends at once.

Only steps that no checkpoint holds are worth waiting for.  Before the first of them, while a graph
is compiled or other workers are waited for, and while a checkpoint is evaluated, nothing would be
lost: the process ends at once then, also where TensorFlow computes and Python would not be asked
for minutes.
"""

import contextlib
import os
import signal
import sys
import threading

from absl import logging

from albert.basics.tf_compat import tf

# SIGHUP: the terminal closes.  Windows has none.
_NAMES = ("SIGTERM", "SIGINT", "SIGHUP")
# For Python to end the process in order, before it is ended in any case.
_GRACE_SECONDS = 3.0

_current = None


class Stopped(SystemExit):
    """A signal came while nothing could be lost; no `Exception`, so that nobody goes on.

    Its status is that of the signal, should it come in the moment between two contexts.
    """


class StopOnSignal(tf.train.SessionRunHook):
    """Context manager, and hook of training: SIGTERM, SIGINT and SIGHUP end the process in order.

    In the context of `saving_first`, after its first step, a signal ends training after the step
    that is being computed, with a checkpoint; at any other time it ends the process, with one
    sentence and 128 + the signal's number, as shells do.  A second SIGTERM or SIGINT ends the
    process whatever it does.  Signals that are ignored, as nohup and shells do in the background,
    stay ignored.  Outside of the main thread, where signals cannot be handled, it does nothing.

    Attributes:
        stopped: whether a signal came.
    """

    def __init__(self):
        self._signal = None
        self._previous = {}
        self._is_entered = self._has_raised = False
        self._is_training = False
        self._is_unsaved = False
        self._is_deferred = False
        self._ended = threading.Event()
        self._outer = self._descriptors = None

    @property
    def stopped(self):
        return self._signal is not None

    def __enter__(self):
        global _current
        if threading.current_thread() is not threading.main_thread():
            logging.info("signals are not handled outside of the main thread.")
            return self
        self._outer, _current = _current, self
        for name in _NAMES:
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) not in (signal.SIG_IGN, None):
                self._previous[number] = signal.signal(number, self._handle)
        self._start_watching()
        self._is_entered = True
        if self.stopped:
            self.__exit__(Stopped)
        return self

    def __exit__(self, kind, *unused):
        global _current
        self._is_entered = False
        if self._descriptors is not None:
            self._ended.set()
            signal.set_wakeup_fd(self._descriptors[2])
            os.close(self._descriptors[1])  # which ends the watching thread
            self._descriptors = None
            _current = self._outer
        self._restore()
        # What TensorFlow's contexts make of a `Stopped` in the midst of them is no error either.
        if kind is Stopped or (self._has_raised and kind not in (None, SystemExit)):
            self._say_and_exit(sys.exit)

    def _handle(self, number, frame):
        del frame
        if self._signal is not None:  # a second SIGHUP: terminals send it twice
            return
        self._signal = number
        for other in self._previous:
            if other != getattr(signal, "SIGHUP", None):
                signal.signal(other, signal.SIG_DFL)
        self._is_deferred = self._is_unsaved
        if self._is_entered and not self._is_unsaved:
            self._has_raised = True
            raise Stopped(128 + number)

    def _restore(self):
        while self._previous:
            signal.signal(*self._previous.popitem())

    # Where Python is not asked

    def _start_watching(self):
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        former = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        self._descriptors = reader, writer, former
        numbers = frozenset(self._previous)
        threading.Thread(target=self._watch, args=(reader, numbers), daemon=True).start()

    def _watch(self, reader, numbers):
        """Ends the process where the handler, which Python calls between operations, cannot."""
        with os.fdopen(reader, "rb", buffering=0) as pipe:
            for content in iter(lambda: pipe.read(64), b""):
                received = [number for number in content if number in numbers]
                if not received or self._ended.wait(_GRACE_SECONDS):
                    continue
                if not (self._is_unsaved or self._is_deferred):
                    self._signal = self._signal or received[0]
                    self._say_and_exit(os._exit)

    # In training

    @contextlib.contextmanager
    def saving_first(self):
        """Context of training with this hook."""
        self._is_training = True
        try:
            yield
        finally:
            self._is_training = self._is_unsaved = False
        if self.stopped:
            self._is_deferred = True

    def step_done(self):
        """To be called after each step where the hook is not run itself."""
        self._is_unsaved = self._is_training

    def after_run(self, run_context, run_values):
        self.step_done()
        if self.stopped:
            run_context.request_stop()

    @contextlib.contextmanager
    def interruptible(self):
        """Context within training in which everything is saved."""
        before, self._is_unsaved = self._is_unsaved, False
        try:
            if self.stopped:
                raise Stopped(128 + self._signal)
            yield
        finally:
            self._is_unsaved = before

    def exit_if_stopped(self, step):
        """Ends the process with 128 + the signal's number if a signal came in training."""
        if self.stopped:
            self._say_and_exit(sys.exit, "at step %d; the checkpoint is written" % step)

    def _say_and_exit(self, leave, where=None):
        where = where or "outside of training; every checkpoint that was written is kept"
        name = signal.Signals(self._signal).name
        with contextlib.suppress(OSError):  # of a terminal that is gone
            print("Stopped by %s %s. Start again to go on." % (name, where), flush=True)
        leave(128 + self._signal)


def interruptible():
    """`StopOnSignal.interruptible` of the current one, if there is any."""
    return _current.interruptible() if _current else contextlib.ExitStack()
