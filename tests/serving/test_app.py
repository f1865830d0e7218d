"""The service over HTTP with a model that only counts characters, in a thread of this process."""

import contextlib
import errno
import http.client
import itertools
import json
import os
import random
import re
import socket
import sys
from unittest import mock

import pytest
from absl import flags

import albert.serving
import args
import serve
from albert.basics.errors import InputError
from albert.serving import app, server
from albert.serving.settings import ServiceSettings, settings_of
from benchmarks.malformed_requests import http_request, malformed_requests
from helpers.serving import NEVER, PAIR, FakeModel, InThread, request, running, score, wait_until

JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def service():
    """With default settings; its model always answers at once."""
    with running() as started:
        yield started


def chunks(*parts):
    """A body without Content-Length."""
    return iter(parts)


# What is right


def test_similarity(service):
    answer = service.post("/similarity", PAIR)
    assert (answer.status, answer.json) == (200, {"score": 1.0})
    assert answer.headers["content-type"] == "application/json"
    times = re.fullmatch(
        r"queue;dur=([\d.]+), model;dur=([\d.]+), total;dur=([\d.]+)",
        answer.headers["server-timing"],
    )
    waited, computed, total = map(float, times.groups())
    assert waited + computed <= total + 0.02  # each is rounded


def test_many_pairs(service):
    pairs = [["一" * i, "二" * (1 + i % 7)] for i in range(1, 129)]
    answer = service.post("/similarity", {"pairs": pairs})
    assert answer.status == 200
    assert answer.json["scores"] == pytest.approx([score(*pair) for pair in pairs])


@pytest.mark.parametrize(
    "path, value, expected",
    [
        ("/similarity", {"pairs": []}, {"scores": []}),
        ("/classify", {"texts": []}, {"results": []}),
        ("/embed", {"text": "一二三"}, {"vector": [3.0, 0.5]}),
        ("/embed", {"texts": ["一", "二二"]}, {"vectors": [[1.0, 0.5], [2.0, 0.5]]}),
        (
            "/classify",
            {"text_a": "一", "text_b": "二"},
            {"label": "1", "probabilities": {"0": 0.0, "1": 1.0}},
        ),
        (
            "/classify",
            {"text": "一"},  # as a pair with an empty second text
            {"label": "0", "probabilities": {"0": 0.5, "1": 0.5}},
        ),
        (
            "/classify",
            {"pairs": [["一", "二"]]},
            {"results": [{"label": "1", "probabilities": {"0": 0.0, "1": 1.0}}]},
        ),
        ("/similarity", {"text_a": "\x00\t\U0001f600", "text_b": "a\nb"}, {"score": 1.0}),
    ],
)
def test_forms(service, path, value, expected):
    answer = service.post(path, value)
    assert (answer.status, answer.json) == (200, expected)


def test_body_as_clients_send_it(service):
    body = json.dumps(PAIR, ensure_ascii=False).encode("utf-8")
    types = ("application/json", "Application/JSON", 'application/json; charset="UTF-8"')
    for content_type in types:
        answer = service.request("POST", "/similarity", body, {"Content-Type": content_type})
        assert (answer.status, answer.json) == (200, {"score": 1.0})
    parts = chunks(body[:7], body[7:8], body[8:])
    assert service.request("POST", "/similarity", parts, JSON).status == 200


def test_health(service):
    answer = service.request("GET", "/health")
    assert answer.status == 200
    assert answer.json == {
        "status": "ok",
        "model": "fake",
        "labels": ["0", "1"],
        "paths": ["/similarity", "/classify", "/embed"],
    }


def test_head(service):
    answer = service.request("HEAD", "/health")
    assert (answer.status, answer.body) == (200, b"")


def test_metrics_count():
    with running() as service:
        for _ in range(3):
            service.post("/similarity", PAIR)
        service.post("/similarity", {})
        service.post("/made/up", {})
        answer = service.request("GET", "/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    values = dict(
        line.rsplit(" ", 1) for line in answer.body.decode().splitlines() if line[0] != "#"
    )
    expected = {
        'albert_requests_total{path="/similarity",status="200"}': 3,
        'albert_requests_total{path="/similarity",status="400"}': 1,
        'albert_requests_total{path="other",status="404"}': 1,
        'albert_request_seconds_count{path="/similarity"}': 4,
        'albert_batch_texts_sum{model="classifier"}': 3,
        'albert_batch_seconds_count{model="classifier"}': 3,
        "albert_active_requests": 1,
        "albert_classifier_waiting_texts": 0,
        "albert_encoder_waiting_texts": 0,
    }
    assert {name: float(values[name]) for name in expected} == expected
    assert float(values["process_resident_memory_bytes"]) > 1e6
    assert "made/up" not in answer.body.decode()


def test_pages_are_complete(service):
    for path in app.PAGES:
        answer = service.request("GET", path)
        assert answer.status == 200
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert not re.search(r"https?:|//\w+\.|@import|src=", answer.body.decode("utf-8"))


def test_openapi(service):
    schema = service.request("GET", "/openapi.json").json
    assert schema["openapi"] == "3.0.3"
    documented = {
        (path, method.upper()) for path, item in schema["paths"].items() for method in item
    }
    assert documented == {
        ("/similarity", "POST"),
        ("/classify", "POST"),
        ("/embed", "POST"),
        ("/health", "GET"),
        ("/metrics", "GET"),
    }
    for path, item in schema["paths"].items():
        if "post" in item:
            check_forms(service, path, item["post"])
        else:
            assert service.request("GET", path).status == 200


def check_forms(service, path, operation):
    """Every form of the body is taken, and answered in a form that is documented."""
    body = operation["requestBody"]["content"]["application/json"]
    answers = operation["responses"]["200"]["content"]["application/json"]["schema"]["oneOf"]
    for form in body["schema"]["oneOf"]:
        value = {name: sample(schema) for name, schema in form["properties"].items()}
        answer = service.post(path, value)
        assert answer.status == 200
        assert set(answer.json) in [set(schema["required"]) for schema in answers]
    assert service.post(path, body["example"]).status == 200


def sample(schema):
    if schema["type"] == "string":
        return "一" * schema["maxLength"]
    return [sample(schema["items"])] * schema.get("minItems", 1)


# Models that cannot do everything


@pytest.mark.parametrize(
    "attributes, path, reason",
    [
        (
            {"labels": ["a", "b", "c"], "score_column": None},
            "/similarity",
            "it has 3 labels, and a score needs two",
        ),
        (
            {"labels": None, "score_column": None, "classify": None},
            "/similarity",
            "it is no classifier",
        ),
        (
            {"labels": None, "score_column": None, "classify": None},
            "/classify",
            "it is no classifier",
        ),
        ({"embed": None}, "/embed", "the service was started with --noembed"),
    ],
)
def test_what_the_model_cannot_do(attributes, path, reason):
    with running(FakeModel(**attributes)) as service:
        answer = service.post(path, PAIR)
        assert answer.status == 404
        assert answer.json == {
            "error": "%s is not available for the model 'fake': %s." % (path, reason)
        }
        assert path not in service.request("GET", "/health").json["paths"]


def test_more_labels():
    model = FakeModel(labels=["体育", "财经", "科技"], score_column=None)
    with running(model) as service:
        result = service.post("/classify", {"text": "一二"}).json
        assert result["label"] == "体育"
        assert result["probabilities"] == pytest.approx({"体育": 2 / 3, "财经": 1 / 3, "科技": 0})


def test_regression():
    with running(FakeModel(labels=[], is_regression=True, score_column=0)) as service:
        assert service.post("/similarity", PAIR).json == {"score": 1.0}
        assert service.post("/classify", {"texts": ["一"]}).json == {"results": [{"score": 0.5}]}


# Bad input


@pytest.mark.parametrize(
    "path, body, status, message",
    [
        ("/similarity", b"", 400, r"The body is not valid JSON: .*"),
        ("/similarity", b'{"text_a": NaN}', 400, r".*not valid JSON: it has the constant NaN\."),
        ("/similarity", b'{"text_a": "\xff"}', 400, r".*not UTF-8 \(byte 0xff at 12\)\."),
        ("/similarity", b"[" * 200000, 400, r".*not valid JSON: it is nested too deeply\."),
        ("/similarity", b"[1]", 400, r"The body is a list; expected an object\."),
        ("/similarity", b"7", 400, r"The body is a number; expected an object\."),
        (
            "/similarity",
            b"{}",
            400,
            r'The object is empty; expected "text_a" and "text_b", or "pairs"\.',
        ),
        (
            "/embed",
            b'{"x": 1}',
            400,
            r'The object has the fields "x"; expected "text", or "texts"\.',
        ),
        ("/embed", b'{"text": 1}', 400, r'"text" is a number; expected a string\.'),
        ("/embed", b'{"text": " "}', 400, r'"text" is empty; expected a text\.'),
        ("/embed", b'{"text": "\\ud800"}', 400, r'"text" has half of a surrogate pair\.'),
        ("/embed", b'{"texts": "ab"}', 400, r'"texts" is a string; expected a list\.'),
        ("/embed", b'{"texts": ["a", null]}', 400, r'"texts\[1\]" is null; expected a string\.'),
        (
            "/similarity",
            b'{"pairs": [["a", "b"], ["a"]]}',
            400,
            r'"pairs\[1\]" is a list of 1; expected a list of two strings\.',
        ),
        (
            "/similarity",
            b'{"pairs": [["a", true]]}',
            400,
            r'"pairs\[0\]\[1\]" is a truth value; expected a string\.',
        ),
        (
            "/embed",
            b'{"texts": [%s"a"]}' % (b'"a",' * 128),
            413,
            r'"texts" has 129 .*at most 128 .*',
        ),
        ("/embed", b'{"text": "%s"}' % (b"x" * 10001), 413, r'"text" has 10001 .*at most 10000 .*'),
        (
            "/embed",
            b" " * 1048577,
            413,
            r"The body is too large; at most 1048576 bytes are taken\.",
        ),
    ],
)
def test_bad_body(service, path, body, status, message):
    answer = service.request("POST", path, body, JSON)
    assert answer.status == status
    assert list(answer.json) == ["error"]
    assert re.fullmatch(message, answer.json["error"])


@pytest.mark.parametrize(
    "headers, message",
    [
        ({}, r"The Content-Type is missing; expected application/json\."),
        ({"Content-Type": "text/plain"}, r"The Content-Type is text/plain; expected .*"),
        ({"Content-Type": "application/json; charset=gbk"}, r"The Content-Type is .*gbk; .*"),
        (
            dict(JSON, **{"Content-Encoding": "gzip"}),
            r"The Content-Encoding is gzip; expected none\.",
        ),
    ],
)
def test_bad_headers(service, headers, message):
    answer = service.request("POST", "/similarity", json.dumps(PAIR), headers)
    assert answer.status == 415
    assert re.fullmatch(message, answer.json["error"])


def test_wrong_path_and_method(service):
    answer = service.post("/similarity/", PAIR)
    assert (answer.status, list(answer.json)) == (404, ["error"])
    answer = service.request("GET", "/similarity")
    assert (answer.status, answer.headers["allow"]) == (405, "POST")
    assert answer.json == {"error": "/similarity takes another method; expected POST."}


def test_body_over_the_limit_without_length(service):
    parts = chunks(*[b" " * 100000] * 11)
    answer = service.request("POST", "/embed", parts, JSON)
    assert answer.status == 413
    assert answer.headers["connection"] == "close"
    assert "1048576 bytes" in answer.json["error"]


def test_client_that_asks_before_it_sends(service):
    headers = {b"Expect": b"100-continue"}
    body = json.dumps(PAIR).encode()
    data = http_request(body, headers=headers)
    with contextlib.closing(socket.create_connection(service.address, NEVER)) as sock:
        sock.sendall(data[: -len(body)])
        assert sock.recv(1000).startswith(b"HTTP/1.1 100 ")
        sock.sendall(body)
        assert sock.recv(1000).startswith(b"HTTP/1.1 200 ")
    with contextlib.closing(socket.create_connection(service.address, NEVER)) as sock:
        headers[b"Content-Length"] = b"9999999"
        sock.sendall(http_request(headers=headers))
        assert sock.recv(1000).startswith(b"HTTP/1.1 413 ")


def test_errors_leave_the_connection_usable(service):
    connection = http.client.HTTPConnection(*service.address, timeout=NEVER)
    connection.connect()
    sock = connection.sock
    for body, status in (("{", 400), (json.dumps(PAIR), 200), ("[]", 400), (json.dumps(PAIR), 200)):
        connection.request("POST", "/similarity", body, JSON)
        response = connection.getresponse()
        response.read()
        assert response.status == status
        assert connection.sock is sock
    connection.close()


def test_fuzz(service):
    """benchmarks/bench_serving.py has 10,000 of them."""
    requests = malformed_requests(service.settings, random.Random(5))
    for kind, data in itertools.islice(requests, 350):
        answer = service.raw(data)
        assert answer is not None, (kind, data[:1000])
        assert 400 <= answer.status < 500, (kind, data[:1000])
    assert service.post("/similarity", PAIR).json == {"score": 1.0}
    wait_until(lambda: service.service.app.active == 0)
    assert service.waiting == 0


def test_client_that_goes_away():
    with running() as service:
        sock = socket.create_connection(service.address, NEVER)
        sock.sendall(http_request(json.dumps(PAIR).encode())[:-5])
        wait_until(lambda: service.service.app.active == 1)
        sock.close()
        wait_until(lambda: service.service.app.active == 0)
        metrics = service.request("GET", "/metrics").body
        assert b'albert_requests_total{path="/similarity",status="client_gone"} 1.0\n' in metrics
        assert service.model.batches == []


# Load, time and failures


def hold(service, *values):
    """Posts to /similarity in threads while the model is held up; the first is being computed.

    Nothing else may begin or end meanwhile.
    """
    service.model.gate.clear()
    threads = []
    for value in values:
        taken = service.service.app.active + 1
        threads.append(InThread(service.post, "/similarity", value))
        wait_until(lambda taken=taken: service.service.app.active == taken)
        wait_until(lambda: service.model.batches)
    return threads


def test_waiting_requests_are_computed_together():
    with running(workers=1) as service:
        pairs = [{"text_a": "一" * (1 + i), "text_b": "二"} for i in range(6)]
        threads = hold(service, *pairs)
        wait_until(lambda: service.waiting == 5)
        service.model.gate.set()
        answers = [thread.result() for thread in threads]
        assert [len(batch) for batch in service.model.batches] == [1, 5]
    scores = [answer.json["score"] for answer in answers]
    assert scores == pytest.approx([score(*pair.values()) for pair in pairs])


def test_full_queue():
    with running(workers=1, queue_size=4, max_texts=4) as service:
        two = {"pairs": [list(PAIR.values())] * 2}
        threads = hold(service, two, two, two)
        wait_until(lambda: service.waiting == 4)
        for _ in range(20):
            answer = service.post("/similarity", PAIR)
            assert answer.status == 429
            assert int(answer.headers["retry-after"]) >= 1
            assert re.fullmatch(
                r"Too many texts are waiting; retry in \d+ s\.", answer.json["error"]
            )
        assert service.post("/embed", {"text": "一"}).status == 200  # has a queue of its own
        service.model.gate.set()
        assert [thread.result().status for thread in threads] == [200, 200, 200]
        assert service.post("/similarity", PAIR).status == 200


def test_too_many_requests():
    with running(max_requests=3) as service:
        threads = hold(service, PAIR, PAIR, PAIR)
        answer = service.post("/similarity", PAIR)
        assert (answer.status, answer.headers["retry-after"]) == (429, "1")
        assert answer.json == {"error": "3 requests are being worked on; retry later."}
        assert service.request("GET", "/health").status == 200
        assert service.request("GET", "/metrics").status == 200
        service.model.gate.set()
        assert [thread.result().status for thread in threads] == [200, 200, 200]
        wait_until(lambda: service.service.app.active == 0)
        assert service.post("/similarity", PAIR).status == 200


@pytest.mark.slow
def test_no_answer_in_time():
    with running(workers=1, request_timeout=1) as service:
        threads = hold(service, PAIR, PAIR)
        for answer in (thread.result() for thread in threads):
            assert answer.status == 504
            assert answer.json == {"error": "No answer within 1 s; retry later."}
        assert service.waiting == 0
        service.model.gate.set()
        assert service.post("/similarity", PAIR).status == 200
        assert len(service.model.batches) == 2  # nothing was computed for the second


@pytest.mark.slow
def test_request_does_not_arrive():
    with running(read_timeout=1) as service:
        answer = service.raw(http_request(json.dumps(PAIR).encode())[:-5])
        assert (answer.status, answer.headers["connection"]) == (408, "close")
        assert answer.json == {"error": "The request did not arrive within 1 s."}


@pytest.mark.slow
@pytest.mark.parametrize("beginning", [b"", b"POST /similarity HTTP/1.1\r\nHost:"])
def test_silent_connection_is_closed(beginning):
    with running(read_timeout=1) as service:
        with contextlib.closing(socket.create_connection(service.address, NEVER)) as sock:
            sock.sendall(beginning)
            with contextlib.suppress(ConnectionResetError):
                assert sock.recv(100) == b""
        assert service.post("/similarity", PAIR).status == 200


def test_failure_of_the_model(service):
    answer = service.post("/similarity", {"text_a": "fail", "text_b": "x"})
    assert answer.status == 500
    assert answer.json == {"error": "Internal error; the service's log tells more."}
    assert service.post("/similarity", PAIR).status == 200


# The end


def test_everything_taken_is_answered():
    with running(workers=1) as service:
        kept = http.client.HTTPConnection(*service.address, timeout=NEVER)
        kept.request("POST", "/similarity", json.dumps(PAIR), JSON)
        kept.getresponse().read()
        wait_until(lambda: service.service.app.active == 0)
        del service.model.batches[:]
        slow = socket.create_connection(service.address, NEVER)  # its body comes later
        body = json.dumps(PAIR).encode()
        data = http_request(body)
        slow.sendall(data[: -len(body)])
        wait_until(lambda: service.service.app.active == 1)
        threads = hold(service, PAIR, PAIR, {"pairs": [list(PAIR.values())] * 3})
        wait_until(lambda: service.service.app.active == 4)

        service.server.stop()
        kept.request("POST", "/similarity", json.dumps(PAIR), JSON)
        response = kept.getresponse()
        assert (response.status, response.getheader("Connection")) == (503, "close")
        assert json.loads(response.read().decode()) == {"error": "The service is shutting down."}
        assert service.post("/similarity", PAIR).status == 503
        health = service.request("GET", "/health")
        assert (health.status, health.json["status"]) == (503, "shutting down")

        slow.sendall(body)
        wait_until(lambda: service.waiting == 5)
        service.model.gate.set()
        answers = [thread.result() for thread in threads]
        assert [answer.status for answer in answers] == [200, 200, 200]
        assert {answer.headers["connection"] for answer in answers} == {"close"}
        assert slow.recv(1000).startswith(b"HTTP/1.1 200 ")
        slow.close()
        kept.close()
        service.join()
        with pytest.raises(ConnectionRefusedError):
            service.post("/similarity", PAIR)


def test_stopping_twice_does_not_wait():
    with running() as service:
        (thread,) = hold(service, PAIR)
        service.server.stop()
        service.server.stop()
        service.join()
        assert not service.model.gate.is_set()
        with contextlib.suppress(AssertionError):
            thread.result()


@pytest.mark.slow
def test_accepted_requests_have_a_limit_too():
    with running(shutdown_timeout=1) as service:
        hold(service, PAIR)
        service.server.stop()
        service.join()
        assert not service.model.gate.is_set()


# Settings


def parse(*argv):
    values = flags.FlagValues()
    serve.define_flags(values)
    values(["serve.py"] + list(argv))
    return values


def test_default_settings():
    values = parse()
    assert (values.host, values.port) == ("127.0.0.1", 8000)
    settings = settings_of(values)
    assert settings.workers == max(1, os.cpu_count() // 4)
    assert settings._replace(workers=1) == ServiceSettings(workers=1, batch_size=args.batch_size)
    assert settings_of(parse("--workers=3")).workers == 3
    assert settings_of(parse("--batch_size=7")).batch_size == 7


def test_queue_smaller_than_a_request():
    with pytest.raises(InputError, match=r"--queue_size is 5, but a request may have 128 texts"):
        settings_of(parse("--queue_size=5"))


def test_bind():
    sock = server.bind("127.0.0.1", 0)
    host, port = sock.getsockname()
    assert host == "127.0.0.1"
    assert server.url_of(sock) == "http://127.0.0.1:%d" % port
    with pytest.raises(ConnectionRefusedError):  # it does not listen before the model is loaded
        request((host, port), "GET", "/")
    sock.listen()
    with pytest.raises(
        InputError, match=r"--port: cannot use port \d+ of '127\.0\.0\.1' \(.*in use"
    ):
        server.bind(host, port)
    sock.close()
    with pytest.raises(InputError, match=r"--host: 'no such host' is no address here"):
        server.bind("no such host", 0)


def test_ipv6():
    try:
        sock = server.bind("::1", 0)
    except InputError as error:
        assert os.strerror(errno.EADDRNOTAVAIL) in str(error)  # this machine has no IPv6
        return
    assert re.fullmatch(r"http://\[::1\]:\d+", server.url_of(sock))
    sock.close()


def test_missing_package(monkeypatch):
    monkeypatch.delattr(albert.serving, "server")  # as before its first import
    monkeypatch.delitem(sys.modules, "albert.serving.server")
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    message = r"package 'uvicorn' is not installed; run 'pip install -r requirements-serve\.txt'"
    given = mock.patch.object(flags, "FLAGS", parse())
    with given, pytest.raises(InputError, match=message):
        serve.main(["serve.py"])
