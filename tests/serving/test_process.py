"""The service as a process: its real models, its end by a signal, and its errors."""

import collections
import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from unittest import mock

import numpy as np
import pytest
from absl import flags

import args
import serve
from albert.basics.errors import InputError
from albert.inference.classifiers import BertClassifier, BertSim
from albert.inference.vectors import BertVector
from albert.serving.model import ServedModel
from helpers.models import write_model
from helpers.paths import ROOT
from helpers.serving import NEVER, PAIR, post, request, running
from helpers.tasks import SENTENCES

PAIR_TASK = {"task_name": "lcqmc_pair", "labels": ["0", "1"], "max_seq_length": 64}
TEXT_TASK = {"task_name": "tnews", "labels": ["体育", "财经", "科技"], "max_seq_length": 20}
PAIRS = [[SENTENCES[0], SENTENCES[1]], [SENTENCES[2], SENTENCES[2] * 3], ["书", "店"]]
FAKE_SERVICE = [os.path.join(ROOT, "tests", "helpers", "serving.py"), "0.1"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Folders of a pair classifier, a text classifier and a model without a classifier."""
    root = tmp_path_factory.mktemp("served")
    write_model(root / "pairs", num_labels=2, **PAIR_TASK)
    write_model(root / "texts", num_labels=3, **TEXT_TASK)
    write_model(root / "encoder")
    return {name: str(root / name) for name in ("pairs", "texts", "encoder")}


class Process:
    """A service in a process of its own."""

    def __init__(self, arguments):
        self._process = subprocess.Popen(
            [sys.executable, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(os.environ, PYTHONIOENCODING="utf-8"),
            cwd=ROOT,
        )
        self.address = None

    def wait_until_ready(self):
        line = self._process.stdout.readline().decode("utf-8")
        found = re.fullmatch(r"Serving '.*' at http://127\.0\.0\.1:(\d+) .*\n", line)
        assert found, (line, self._process.stderr.read())
        self.address = "127.0.0.1", int(found.group(1))

    def send_signal(self, number):
        self._process.send_signal(number)

    def end(self):
        """Exit status, standard output and standard error, when it has ended by itself."""
        output, error = self._process.communicate(timeout=NEVER)
        return self._process.returncode, output.decode("utf-8"), error.decode("utf-8")

    def kill(self):
        if self._process.poll() is None:
            self._process.kill()
            self._process.communicate()


@contextlib.contextmanager
def started(*argument_lists):
    """`Process` objects, started together and ready; none is left in the end."""
    processes = [Process(arguments) for arguments in argument_lists]
    try:
        for process in processes:
            process.wait_until_ready()
        yield processes
    finally:
        for process in processes:
            process.kill()


@pytest.mark.slow
def test_script(folders):
    """Answers are those of the classes, and SIGTERM ends an idle service."""
    script = os.path.join(ROOT, "serve.py")
    with started([script, "--port=0", "--model_dir=" + folders["pairs"]]) as (process,):
        check_pairs(process.address, folders["pairs"])
        check_end(process, signal.SIGTERM)


def check_end(process, number):
    process.send_signal(number)
    status, output, error = process.end()
    assert status == 0, error
    assert output == "All requests that were taken are answered.\n"
    assert "Traceback" not in error


@pytest.mark.slow
def test_interrupt():
    with started(FAKE_SERVICE) as (process,):
        assert post(process.address, "/similarity", PAIR).status == 200
        check_end(process, signal.SIGINT)


def check_pairs(address, folder):
    with BertSim(model_dir=folder) as sim, BertVector(model_dir=folder) as vectors:
        expected = sim.predict_proba(PAIRS)
        answer = post(address, "/similarity", {"pairs": PAIRS})
        np.testing.assert_allclose(answer.json["scores"], expected[:, 1], rtol=0, atol=1e-5)
        one = post(address, "/similarity", dict(zip(("text_a", "text_b"), PAIRS[0])))
        assert one.json["score"] == pytest.approx(sim.similarity(*PAIRS[0]), abs=1e-5)
        results = post(address, "/classify", {"pairs": PAIRS}).json["results"]
        assert [result["label"] for result in results] == sim.predict(PAIRS)
        embedded = post(address, "/embed", {"texts": SENTENCES}).json["vectors"]
        np.testing.assert_allclose(embedded, vectors.encode(SENTENCES), rtol=0, atol=1e-5)
    health = request(address, "GET", "/health").json
    assert health["paths"] == ["/similarity", "/classify", "/embed"]
    assert health["model"] == "pairs"


def test_texts(folders):
    folder = folders["texts"]
    texts = [SENTENCES[3], SENTENCES[0] * 10]  # the second is cut at 20 tokens, as in training
    with BertClassifier(model_dir=folder) as model:
        expected, labels = model.predict_proba(texts), model.predict(texts)
    with running(ServedModel(False, model_dir=folder, threads=1)) as service:
        results = service.post("/classify", {"texts": texts}).json["results"]
        assert service.post("/similarity", PAIR).status == 404
        assert service.post("/embed", {"text": "书"}).status == 404
        assert service.request("GET", "/health").json["paths"] == ["/classify"]
    assert [result["label"] for result in results] == labels
    for result, row in zip(results, expected):
        assert list(result["probabilities"]) == TEXT_TASK["labels"]
        np.testing.assert_allclose(list(result["probabilities"].values()), row, rtol=0, atol=1e-5)


@pytest.mark.slow
def test_long_texts_get_one_answer_everywhere(folders, monkeypatch):
    """BertSim, BertClassifier and the service cut at the same length."""
    folder, text = folders["texts"], SENTENCES[0] * 10
    answers = []
    for length in (None, 12):
        monkeypatch.setattr(args, "max_seq_len", length)
        with BertSim(model_dir=folder) as sim, BertClassifier(model_dir=folder) as classifier:
            expected = sim.predict_proba([(text, "")])
            np.testing.assert_array_equal(classifier.predict_proba([text]), expected)
        with BertVector(model_dir=folder) as vectors:
            vector = vectors.encode([text])
        served = ServedModel(model_dir=folder)
        for compute, right in ((served.classify, expected), (served.embed, vector)):
            ((numbers, is_cut),) = compute([(text, "")])
            np.testing.assert_array_equal(np.float32(numbers), right[0])
            assert is_cut
        served.close()
        answers.append((expected, vector))
    for one, other in zip(*answers):
        assert np.abs(one - other).max() > 1e-4  # the length is seen


def test_model_without_a_classifier(folders):
    model = ServedModel(model_dir=folders["encoder"])
    assert (model.name, model.labels, model.classify) == ("encoder", None, None)
    assert [len(row) for row, _ in model.embed([("书", ""), ("店", "")])] == [16, 16]
    model.close()
    with pytest.raises(InputError, match="is no classifier, so nothing is left to serve"):
        ServedModel(False, model_dir=folders["encoder"])


def test_a_vocabulary_that_is_named(folders, tmp_path):
    folder = str(tmp_path / "model")
    shutil.copytree(folders["encoder"], folder)
    vocab_file = os.path.join(folder, "vocab_a.txt")
    os.rename(os.path.join(folder, "vocab.txt"), vocab_file)
    shutil.copy(vocab_file, os.path.join(folder, "vocab_b.txt"))
    model = ServedModel(model_dir=folder, vocab_file=vocab_file)
    assert [len(row) for row, _ in model.embed([("书", "")])] == [16]
    model.close()


def talk(address, counts, lock, enough):
    """Posts on one connection after the other until it is refused; counts what happens."""
    connection = http.client.HTTPConnection(*address, timeout=NEVER)
    outcome = None
    while outcome in (None, 200):
        try:
            if connection.sock is None:
                connection.connect()
        except ConnectionRefusedError:
            outcome = "refused"
        else:
            outcome = exchange(connection)
        with lock:
            counts[outcome] += 1
            if counts[200] >= enough[0]:
                enough[1].set()
    connection.close()


def exchange(connection):
    """Status of the answer, or "lost"; the request is on its way in any case."""
    try:
        connection.request(
            "POST", "/similarity", json.dumps(PAIR), {"Content-Type": "application/json"}
        )
        response = connection.getresponse()
        response.read()
        return response.status
    except (OSError, http.client.HTTPException):
        return "lost"


@pytest.mark.slow
def test_sigterm_under_load():
    with started(FAKE_SERVICE) as (process,):
        counts, lock, enough = collections.Counter(), threading.Lock(), (40, threading.Event())
        arguments = (process.address, counts, lock, enough)
        threads = [threading.Thread(target=talk, args=arguments) for _ in range(16)]
        for thread in threads:
            thread.start()
        assert enough[1].wait(NEVER)
        process.send_signal(signal.SIGTERM)
        status, output, error = process.end()
        for thread in threads:
            thread.join(NEVER)
        assert set(counts) <= {200, 503, "refused"}, counts
        assert counts[503] + counts["refused"] == 16  # every client was told
        assert counts[200] > enough[0]  # some were in flight
        assert status == 0, error
        assert output == "All requests that were taken are answered.\n"


def test_folder_without_a_model(tmp_path):
    values = flags.FlagValues()
    serve.define_flags(values)
    values(["serve.py", "--port=0", "--model_dir=%s" % tmp_path])
    message = "--model_dir: the directory '.*' holds no checkpoint"
    with mock.patch.object(flags, "FLAGS", values), pytest.raises(InputError, match=message):
        serve.main(["serve.py"])


def test_texts_that_are_cut_are_told(folders):
    long_text = SENTENCES[0] * 10
    with running(ServedModel(model_dir=folders["texts"])) as service:
        assert "truncated" not in service.post("/classify", {"text": "书"}).json
        assert service.post("/classify", {"text": long_text}).json["truncated"] is True
        many = service.post("/embed", {"texts": ["书", long_text, "店"]}).json
        assert (many["truncated"], len(many["vectors"])) == ([1], 3)
        metrics = service.request("GET", "/metrics").body.decode()
        refused = service.post("/classify", {"text": "\u200b\u200b"})
    assert 'albert_truncated_texts_total{path="/classify"} 1.0' in metrics
    assert 'albert_truncated_texts_total{path="/embed"} 1.0' in metrics
    assert refused.status == 400
    assert '"text" is one without a token (' in refused.json["error"]
