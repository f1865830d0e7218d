"""Processes that are forked after a model was loaded: they load it anew, none waits for ever."""

import faulthandler
import gc
import os
import sys
import threading
import traceback

import numpy as np
import pytest

from albert.basics import forks
from albert.basics.errors import InputError
from albert.basics.tf_compat import tf
from albert.inference import engine, graph_layers
from albert.inference.classifiers import BertClassifier, BertSim
from albert.inference.graph_layers import supported
from albert.inference.vectors import BertVector
from albert.model_files.classifier_head import ClassifierHead
from helpers.models import classifier
from helpers.tasks import SENTENCES

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks here")

PAIRS = [(SENTENCES[0] * 3, text) for text in SENTENCES] * 3
SECONDS = 60


@pytest.fixture(autouse=True)
def only_objects_of_this_test():
    """What other tests left is not looked through, and so copied, in every child: gigabytes."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def in_child(function):
    """Calls a function in a forked process; fails unless it returns, soon, and the process ends.

    The process ends as an interpreter does, which destroys what is left.
    """
    gc.collect()  # what is left of other tests' sessions
    faulthandler.cancel_dump_traceback_later()  # its thread would not come along
    pid = os.fork()
    if pid == 0:
        # Without threads of its own: it ends the process from a signal's handler.
        faulthandler.dump_traceback_later(SECONDS, exit=True, file=sys.__stderr__)
        status = 1
        try:
            function()
            gc.collect()
            status = 0
        except BaseException:
            traceback.print_exc(file=sys.__stderr__)
        os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0


def make(kind, folder, precision="float32"):
    """A model, and a function of it that computes a batch."""
    model = kind(model_dir=folder, precision=precision)
    if kind is BertSim:
        return model, lambda: model.predict_proba(PAIRS)
    texts = [text_a + text_b for text_a, text_b in PAIRS]
    return model, lambda: getattr(model, "encode" if kind is BertVector else "predict_proba")(texts)


@pytest.mark.slow
def test_a_parent_that_uses_tensorflow_by_itself(monkeypatch):
    """As after training in the same process: no model of these classes was loaded in it."""
    monkeypatch.setattr(graph_layers, "_ANSWER_SECONDS", 2)
    monkeypatch.setattr(forks, "_began", [])  # of other tests
    folder = classifier("postln")[0]
    with tf.Graph().as_default(), tf.Session() as session:
        session.run(tf.reduce_sum(tf.ones([300, 300])))

    def check():
        _, compute = make(BertSim, folder)
        assert len(compute()) == len(PAIRS)

    in_child(check)


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind,times",
    [
        (BertSim, 20),
        (BertClassifier, 2),
        (BertVector, 2),
    ],
)
def test_a_child_computes_what_its_parent_does(kind, times):
    model, compute = make(kind, classifier("postln")[0])
    with model:
        expected = compute()

        def check():
            np.testing.assert_allclose(compute(), expected, rtol=0, atol=1e-5)
            model.close()

        for _ in range(times):
            in_child(check)
        check()


@pytest.mark.parametrize("precision", ["bfloat16", "int8"])
def test_a_precision_that_needs_tensorflow(precision):
    if not supported(precision):
        pytest.skip("not on this processor")
    model, compute = make(BertSim, classifier("postln")[0], precision)
    compute()

    def check():
        with pytest.raises(InputError, match="precision %s: this process was forked" % precision):
            compute()

    in_child(check)
    model.close()


def test_grandchildren_and_locks():
    """A child may fork again; and locks that another thread of the parent held do not matter."""
    model, compute = make(BertSim, classifier("postln")[0])
    expected = compute()

    def check():
        np.testing.assert_allclose(compute(), expected, rtol=0, atol=1e-5)

    def check_again():
        check()
        in_child(check)

    entered, leave = threading.Event(), threading.Event()

    def hold():
        with model._changed:
            entered.set()
            leave.wait(SECONDS)

    thread = threading.Thread(target=hold)
    thread.start()
    assert entered.wait(SECONDS)
    in_child(check_again)
    leave.set()
    thread.join()
    model.close()


def test_a_fork_waits_for_a_model_that_is_being_loaded():
    order = []
    entered = threading.Event()

    def load():
        with forks.held_back():
            entered.set()
            while not forking.is_set():
                pass
            order.append("loaded")

    forking = threading.Event()
    thread = threading.Thread(target=load)
    thread.start()
    assert entered.wait(SECONDS)
    forking.set()
    in_child(lambda: order.append("forked"))
    assert order == ["loaded"]
    thread.join()


def test_an_engine_says_whose_it_is():
    _, checkpoint, config = classifier("postln")
    made = engine.create_engine(checkpoint, config, ClassifierHead(2))
    sequence = [2, 5, 3], [0, 0, 0]
    made.run_many([sequence] * 3)

    def check():
        message = "this engine belongs to process %d, from which" % os.getppid()
        for compute in (lambda: made.run_one(*sequence), lambda: made.run_many([sequence] * 3)):
            with pytest.raises(InputError, match=message):
                compute()
        made.close()

    in_child(check)
    made.close()
