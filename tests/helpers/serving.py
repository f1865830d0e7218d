"""A service with a model that only counts characters, and a client that says just what it is told.

As a script it is a process that serves such a model: python serving.py SECONDS_PER_BATCH
"""

import contextlib
import http.client
import json
import os
import socket
import sys
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, ROOT)

import numpy as np

from albert.serving import app, server
from albert.serving.settings import ServiceSettings

PAIR = {"text_a": "花呗怎么还款", "text_b": "花呗如何还钱"}
SETTINGS = ServiceSettings(workers=1, batch_size=128)
NEVER = 30  # seconds, more than any step takes here


class FakeModel:
    """Has what `model.ServedModel` has.

    The score of a pair is 1/(1 + difference of the lengths).  Attribute `batches` has the items of
    each call of `classify`; `gate` is an event without which `classify` does not go on.
    """

    name = "fake"
    labels = ("0", "1")
    is_regression = False
    score_column = 1

    def __init__(self, seconds=0.0, **attributes):
        self.seconds = seconds
        self.batches = []
        self.gate = threading.Event()
        self.gate.set()
        vars(self).update(attributes)

    def classify(self, items):
        self.batches.append(list(items))
        assert self.gate.wait(NEVER)
        time.sleep(self.seconds)
        if any(text_a == "fail" for text_a, _ in items):
            raise ArithmeticError("the model failed")
        scores = np.array([score(*item) for item in items], np.float32)
        columns = [scores] if self.is_regression else [1 - scores, scores]
        columns += [scores * 0] * (len(self.labels) - len(columns))
        return [(row, False) for row in np.stack(columns, axis=1).tolist()]

    def embed(self, items):
        return [([float(len(text)), 0.5], False) for text, _ in items]

    def close(self):
        self.gate.set()


def score(text_a, text_b):
    return 1 / (1 + abs(len(text_a) - len(text_b)))


class Running:
    """A service in a thread of this process.

    Attributes:
        address: host and port.
        server, service, model, settings: what runs.
    """

    def __init__(self, model, settings):
        self.model, self.settings = model, settings
        sock = server.bind("127.0.0.1", 0)
        self.address = sock.getsockname()
        self.service = app.Service(model, settings)
        started = threading.Event()
        self.server = server.Server(self.service.app, settings, started.set)
        self._thread = threading.Thread(target=self.server.run_on, args=(sock,), daemon=True)
        self._thread.start()
        assert started.wait(NEVER)

    def request(self, method, path, body=None, headers=None):
        return request(self.address, method, path, body, headers)

    def post(self, path, value):
        return post(self.address, path, value)

    def raw(self, data):
        return raw(self.address, data)

    @property
    def waiting(self):
        return self.service.queues["classifier"].waiting

    def join(self):
        """Waits for the end after `server.stop`."""
        self._thread.join(NEVER)
        assert not self._thread.is_alive()


@contextlib.contextmanager
def running(model=None, **settings):
    """A `Running` that is stopped in the end."""
    model = model or FakeModel()
    service = Running(model, SETTINGS._replace(**settings))
    try:
        yield service
    finally:
        service.server.stop()
        service.server.stop()  # without waiting for latecomers
        service.join()
        model.close()
        service.service.close()


class Answer:
    """Status, headers (lower-case names) and body of a response."""

    def __init__(self, response):
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.body = response.read()

    @property
    def json(self):
        return json.loads(self.body.decode("utf-8"))


def request(address, method, path, body=None, headers=None):
    """`Answer` to a request on a connection of its own."""
    connection = http.client.HTTPConnection(*address, timeout=NEVER)
    try:
        connection.request(method, path, body, headers or {})
        return Answer(connection.getresponse())
    finally:
        connection.close()


def post(address, path, value):
    body = json.dumps(value).encode("utf-8")
    return request(address, "POST", path, body, {"Content-Type": "application/json"})


def raw(address, data):
    """`Answer` to these bytes; None if the connection ends without one."""
    with contextlib.closing(socket.create_connection(address, NEVER)) as sock:
        with contextlib.suppress(OSError):  # the other side may answer and close before the end
            sock.sendall(data)
        response = http.client.HTTPResponse(sock)
        try:
            response.begin()
        except (http.client.BadStatusLine, ConnectionResetError):
            return None
        return Answer(response)


def wait_until(condition):
    """Returns when a condition is true that will be so, on whatever machine."""
    end = time.monotonic() + NEVER
    while not condition():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.002)


class InThread:
    """Calls a function in a thread of its own; `result` waits for what it returns."""

    def __init__(self, function, *args):
        self._thread = threading.Thread(target=self._run, args=(function, args), daemon=True)
        self._value = None
        self._thread.start()

    def _run(self, function, args):
        self._value = function(*args)

    def result(self):
        self._thread.join(NEVER)
        assert not self._thread.is_alive()
        return self._value


if __name__ == "__main__":
    server.serve(FakeModel(float(sys.argv[1])), SETTINGS, server.bind("127.0.0.1", 0))
