"""Several processes that train one model: who they are, what they exchange, how a loss is noticed.

Every worker runs the same script, has variables of its own and exchanges sums with the others
through TensorFlow's collective operations.  The environment variable TF_CONFIG names the workers,
as for TensorFlow's own strategies:

    {"cluster": {"worker": ["host0:2222", "host1:2222"]}, "task": {"type": "worker", "index": 0}}

Worker 0 (or the only worker of a job "chief") is the chief.
"""

import contextlib
import json
import os
import socket
import threading
import time

from absl import logging

from albert.basics.errors import InputError, reason
from albert.basics.tf_compat import tf

JOB = "worker"
# Exit status of a worker that lost another one and should be started again (sysexits.h).
RESTART_STATUS = 75

_POLL_SECONDS = 2.0
# A refused connection is proof at once; others may be due to the network.
_FAILURES_UNTIL_LOST = 5
_FAREWELL_SECONDS = 2.0


class WorkerLost(Exception):
    """Another worker ended or was started anew; training goes on when all start again."""


def parse_tf_config(text):
    """Addresses of all workers, chief first, and the index of this one.

    Args:
        text: value of TF_CONFIG, or None.

    Raises:
        InputError: it is missing, no JSON, or not as the module's description says.
    """
    expected = (
        'expected {"cluster": {"worker": ["host0:2222", "host1:2222"]}, "task": {"type": "worker", '
        '"index": 0}}'
    )
    if not text:
        raise InputError("--distribution=multi_worker: TF_CONFIG is not set; %s." % expected)
    try:
        config = json.loads(text)
        jobs, task = config["cluster"], config["task"]
        addresses = list(jobs.get("chief", [])) + list(jobs[JOB])
        index = int(task["index"]) + (len(jobs.get("chief", [])) if task["type"] == JOB else 0)
        valid = set(jobs) <= {"chief", JOB} and task["type"] in jobs
        valid = valid and all(address.rpartition(":")[2].isdigit() for address in addresses)
    except (ValueError, KeyError, TypeError, AttributeError):
        valid = False
    if not valid:
        raise InputError("TF_CONFIG is %s; %s." % (text, expected))
    if not 0 <= index < len(addresses):
        raise InputError(
            "TF_CONFIG: task index %s, but there are %d workers." % (task["index"], len(addresses))
        )
    return addresses, index


class WorkerCluster:
    """This process among the workers; a context manager, in which the others are watched.

    Attributes:
        num_workers: their number.
        index: that of this process; the chief has 0.
        master: target for sessions.
        device: name of this worker, for `tf.device`.
    """

    def __init__(self, addresses, index, session_config, timeout=600):
        """Starts this worker's server and waits for the others.

        Args:
            addresses: "host:port" of every worker.
            index: which one is this process.
            session_config: tf.ConfigProto; settings that exchange needs are added.
            timeout: seconds to wait.

        Raises:
            InputError: the port cannot be used.
            WorkerLost: the others do not come.
        """
        self.num_workers = len(addresses)
        self.index = index
        self.device = "/job:%s/replica:0/task:%d" % (JOB, index)
        session_config.experimental.collective_group_leader = "/job:%s/replica:0/task:0" % JOB
        session_config.device_filters.append("/job:%s/task:%d" % (JOB, index))
        self._others = [address for place, address in enumerate(addresses) if place != index]
        self._exchanges = 0
        self._ended = threading.Event()
        try:
            server = tf.train.Server({JOB: addresses}, JOB, index, config=session_config)
        except tf.errors.OpError as error:
            raise InputError(
                "TF_CONFIG: worker %d cannot listen at %s (%s)."
                % (index, addresses[index], reason(error))
            ) from None
        self.master = server.target
        self._session_config = session_config
        self._wait_for_others(timeout)

    @property
    def is_chief(self):
        return self.index == 0

    def sum(self, tensor):
        """Sum of a tensor over the workers; all must build the same sums in the same order."""
        if self.num_workers == 1:
            return tensor
        self._exchanges += 1
        with tf.device(self.device + "/cpu:0"):
            return tf.raw_ops.CollectiveReduce(
                input=tensor,
                group_size=self.num_workers,
                group_key=1,
                instance_key=self._exchanges,
                merge_op="Add",
                final_op="Id",
                subdiv_offsets=[0],
            )

    def total(self, values):
        """Sums of the workers' lists of integers, at once; not for use in a graph."""
        with tf.Graph().as_default(), tf.device(self.device + "/cpu:0"):
            total = self.sum(tf.constant(values, tf.int64))
            session = tf.Session(self.master, config=self._session_config)
            with reported_losses(), session:
                return session.run(total).tolist()

    def chief_values(self, values):
        """The chief's list of integers, whatever the others pass."""
        return self.total([value if self.is_chief else 0 for value in values])

    def part(self):
        """Lets all workers end together: leaving first would cut off what another still needs."""
        try:
            self.chief_values([0])
        except WorkerLost as error:  # everything has been done
            logging.warning("another worker ended early: %s", error)
        self._leave()

    def any_failed(self, failed):
        """Whether any worker says that it has failed; then all must end."""
        found = self.total([int(failed)]) != [0]
        if found:
            self._leave()
        return found

    def _leave(self):
        self._ended.set()
        time.sleep(_FAREWELL_SECONDS)

    def broadcast(self, variables):
        """Op that sets the variables to the chief's values, one after the other."""
        done = []
        for variable in variables:
            with tf.control_dependencies(done):
                value = variable.read_value()
                own = value if self.is_chief else tf.zeros_like(value)
                done = [variable.assign(self.sum(own), read_value=False)]
        return tf.group(*done)

    def _wait_for_others(self, timeout):
        end = time.monotonic() + timeout
        for address in self._others:
            logging.info("waiting for the worker at %s", address)
            while _connection_error(address):
                if time.monotonic() > end:
                    raise WorkerLost("the worker at %s does not answer." % address)
                time.sleep(0.2)

    def __enter__(self):
        threading.Thread(target=self._watch, daemon=True).start()
        return self

    def __exit__(self, *unused):
        self._ended.set()

    def _watch(self):
        """Ends the process when another worker has gone and TensorFlow waits for it.

        TensorFlow 2 ends the exchange with an error, before this does; 1.15 waits for ever.
        """
        failures = dict.fromkeys(self._others, 0)
        while not self._ended.wait(_POLL_SECONDS):
            for address in self._others:
                error = _connection_error(address)
                failures[address] = failures[address] + 1 if error else 0
                lost = isinstance(error, ConnectionRefusedError)
                if (lost or failures[address] == _FAILURES_UNTIL_LOST) and not self._ended.is_set():
                    self._end(address)

    def _end(self, address):
        logging.error("the worker at %s has gone; start all workers again.", address)
        logging.flush()
        os._exit(RESTART_STATUS)


@contextlib.contextmanager
def reported_losses():
    """Turns TensorFlow's errors of a broken exchange into `WorkerLost`."""
    try:
        yield
    except (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError) as error:
        raise WorkerLost(error.message.strip().split("\n")[-1]) from None


def _connection_error(address):
    """What happens when one connects to a worker, or None."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except OSError as error:
        return error
    return None
