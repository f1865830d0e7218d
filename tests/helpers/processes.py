"""Scripts in processes of their own, forked from one that has imported TensorFlow already.

That import takes three seconds, and the tests start dozens of scripts.  A script finds all as in a
new interpreter otherwise: arguments, environment, folder, exit status; signals as in the
foreground.  What this cannot show, that it runs from nothing, is tested once for each door, with
`subprocess`.
"""

import concurrent.futures
import contextlib
import functools
import io
import multiprocessing
import multiprocessing.forkserver
import os
import runpy
import signal
import subprocess
import sys
import traceback
from unittest import mock

_PRELOADED = ["helpers.preloaded"]
# What a terminal starts programs with.  Signals that nohup and shells in the background ignore stay
# ignored, also by a script that a test sends one and waits for.
_FOREGROUND = {
    signal.SIGHUP: signal.SIG_DFL,
    signal.SIGINT: signal.default_int_handler,
    signal.SIGTERM: signal.SIG_DFL,
}


def _take_signals(handlers):
    """Sets `{number: handler}`; returns those of before."""
    return {number: signal.signal(number, handler) for number, handler in handlers.items()}


@contextlib.contextmanager
def in_foreground():
    """Context in which this process handles signals as in the foreground of a terminal."""
    former = _take_signals(_FOREGROUND)
    try:
        yield
    finally:
        _take_signals(former)


@functools.lru_cache(maxsize=None)
def _context():
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)
    # The server looks for these modules on a path of its own, and does without those not found.
    with mock.patch.dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)):
        multiprocessing.forkserver.ensure_running()
    return context


class Script:
    """A running script; has what `subprocess.Popen` has, as far as tests need it.

    Args:
        arguments: path of the script and what follows it.
        cwd: folder to run in; None: that of this process.
        env: all environment variables; None: those of this process.
        text: whether `stdout` and `stderr` give text (UTF-8), or bytes.
        stderr: `subprocess.STDOUT`: both come in `stdout`, and `stderr` is None.
    """

    def __init__(self, arguments, cwd=None, env=None, text=False, stderr=subprocess.PIPE):
        self.args = list(map(str, arguments))
        self.returncode = None
        self.stdout, output = _pipe(text)
        self.stderr, error = (None, output) if stderr == subprocess.STDOUT else _pipe(text)
        given = self.args, str(cwd or os.getcwd()), dict(env or os.environ), output, error
        self._process = _context().Process(target=_run, args=given)
        self._process.start()
        self.pid = self._process.pid
        for writer in {output, error}:
            writer.close()

    def poll(self):
        """The exit status as of `subprocess`, None while it runs."""
        if self.returncode is None:
            self.returncode = self._process.exitcode
        return self.returncode

    def wait(self, timeout=None):
        self._process.join(timeout)
        if self.poll() is None:
            raise subprocess.TimeoutExpired(self.args, timeout)
        return self.returncode

    def communicate(self):
        """All that it writes up to its end: stdout, stderr."""
        with concurrent.futures.ThreadPoolExecutor(1) as reader:
            error = self.stderr and reader.submit(self.stderr.read)
            output = self.stdout.read()
            error = error and error.result()
        self.wait()
        return output, error

    def send_signal(self, number):
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self):
        self.send_signal(signal.SIGKILL)

    def terminate(self):
        self.send_signal(signal.SIGTERM)


def run(arguments, text=True, **settings):
    """`subprocess.CompletedProcess` of a `Script`."""
    script = Script(arguments, text=text, **settings)
    output, error = script.communicate()
    return subprocess.CompletedProcess(script.args, script.returncode, output, error)


def _pipe(text):
    """A file to read, and the connection whose descriptor is written to."""
    reader, writer = _context().Pipe(duplex=False)
    file = os.fdopen(os.dup(reader.fileno()), "rb")
    reader.close()
    return (io.TextIOWrapper(file, "utf-8") if text else file), writer


def _run(arguments, folder, environment, output, error):
    """What the new process does; it ends without what the fork server would do at exit."""
    _take_signals(_FOREGROUND)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(output.fileno(), 1)
    os.dup2(error.fileno(), 2)
    output.close()
    error.close()
    sys.stdin = os.fdopen(0, encoding="utf-8")
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", buffering=1, closefd=False)
    sys.argv = arguments
    sys.path.insert(0, os.path.dirname(os.path.abspath(arguments[0])))
    status = 0
    try:
        runpy.run_path(arguments[0], run_name="__main__")
    except SystemExit as end:
        status = end.code
        if not isinstance(status, (int, type(None))):
            print(status, file=sys.stderr)
            status = 1
    except BaseException:
        traceback.print_exc()
        status = 1
    try:
        sys.stdout.flush()
    except OSError:
        status = 120  # as an interpreter whose last output nobody takes
    os._exit(status or 0)
