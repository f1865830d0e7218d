"""What the benchmarks share: contenders that take turns, each in a process of its own."""

import itertools
import json
import logging
import multiprocessing
import os
import platform
import statistics
import subprocess
import sys
import warnings

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)
CONFIG_FILE = os.path.join(ROOT, "albert_config", "albert_config_tiny.json")

# Spawned, not forked: no contender inherits the libraries or threads of another.
_PROCESSES = multiprocessing.get_context("spawn")


class Contender:
    """A process that measures when called, and sleeps while another one is measured."""

    def __init__(self, prepare, threads, *arguments):
        """Starts it and waits until it is ready.

        Args:
            prepare: function at the top level of a module; `prepare(threads, *arguments)` is
                called once in the new process and returns the function that measures.
            threads: number of cores the process may use.
        """
        self._connection, other_end = _PROCESSES.Pipe()
        self._process = _PROCESSES.Process(
            target=_serve, args=(other_end, prepare, threads, arguments), daemon=True
        )
        self._process.start()
        other_end.close()  # so that the death of the process is seen as the end of the pipe
        self._connection.recv()

    def __call__(self, *arguments):
        """Calls the function that `prepare` returned."""
        self._connection.send(arguments)
        return self._connection.recv()

    def stop(self):
        self._process.terminate()
        self._process.join()


class OtherPython:
    """A `Contender` under another Python, for example one with another TensorFlow.

    Args:
        command: list of strings; the program calls `serve`.
    """

    def __init__(self, command):
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, universal_newlines=True
        )
        self._answer()

    def __call__(self, *arguments):
        self._process.stdin.write(json.dumps(arguments) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self):
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("%s ended early." % " ".join(self._process.args))
        return json.loads(line)

    def stop(self):
        self._process.terminate()
        self._process.wait()


def serve(prepare, threads, *arguments):
    """The other side of `OtherPython`; arguments as for `Contender`."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    _bind(threads)
    measure = prepare(threads, *arguments)
    for answer in itertools.chain(["ready"], (measure(*json.loads(line)) for line in sys.stdin)):
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _bind(threads):
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


def _serve(connection, prepare, threads, arguments):
    silence_warnings()
    _bind(threads)
    measure = prepare(threads, *arguments)
    connection.send("ready")
    while True:
        connection.send(measure(*connection.recv()))


def silence_warnings():
    """Keeps the libraries' remarks out of the report; call before they are imported."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")


def take_turns(contenders, rounds, *arguments):
    """Calls every contender once a round, each round beginning with another one.

    Args:
        contenders: `{name: Contender}`.

    Returns:
        `{name: list of the results of its calls}`.
    """
    names = list(contenders)
    results = {name: [] for name in names}
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            results[name].append(contenders[name](*arguments))
    return results


def median_and_range(values):
    """For example ``12.3 (11.9-12.8)``."""
    return "%.4g (%.4g-%.4g)" % (statistics.median(values), min(values), max(values))


def describe(threads, packages):
    """Machine, load and versions, in three lines."""
    import importlib.metadata  # not in Python 3.7, where `serve` runs too

    load = "%.2f" % os.getloadavg()[0] if hasattr(os, "getloadavg") else "unknown"
    versions = ("%s %s" % (name, importlib.metadata.version(name)) for name in packages)
    return "machine   %s, %d cores, load average %s\nthreads   %d\nversions  Python %s, %s" % (
        _cpu_model(),
        os.cpu_count(),
        load,
        threads,
        platform.python_version(),
        ", ".join(versions),
    )


def _cpu_model():
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
