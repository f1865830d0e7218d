"""Several workers on this machine, against one worker with the same batch."""

import contextlib
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from albert.basics import flag_table
from albert.basics.errors import InputError
from albert.pretraining.flags import PretrainingSettings
from albert.training import curves, distribution, estimator, worker_cluster
from albert.training.flags import resolve_distribution
from albert.training.worker_cluster import parse_tf_config
from helpers.runs import arguments, checkpoint_steps, parse, run

STEPS = 24


def free_addresses(count):
    """Of ports below those that the system gives to connections, so that none takes one of them."""
    addresses = []
    for port in random.SystemRandom().sample(range(10000, 30000), 1000):
        with contextlib.suppress(OSError), socket.socket() as one:
            one.bind(("localhost", port))
            addresses.append("localhost:%d" % port)
        if len(addresses) == count:
            return addresses
    raise AssertionError("no free ports")


def start_workers(repo_root, tmp_path, settings, restarts):
    """Two workers by the script; worker i writes its process id to ``pid_<i>`` at each start."""
    python = tmp_path / "python"
    python.write_text(
        '#!/bin/bash\nindex="${TF_CONFIG##* }"\necho $$ > "%s/pid_${index%%%%\\}*}"\n'
        'exec "%s" "$@"\n' % (tmp_path, sys.executable)
    )
    python.chmod(0o755)
    hosts = ",".join(free_addresses(2))
    environment = dict(os.environ, PYTHON=str(python), RESTART_SECONDS="1", MAX_RESTARTS=restarts)
    script = os.path.join(repo_root, "scripts", "run_pretraining_multi_worker.sh")
    return [
        subprocess.Popen(
            ["bash", script, str(index), hosts, *arguments(settings)],
            env=environment,
            stdout=open(str(tmp_path / ("out_%d" % index)), "w"),
            stderr=subprocess.STDOUT,
        )
        for index in range(2)
    ]


def worker_pid(tmp_path, index):
    return int((tmp_path / ("pid_%d" % index)).read_text())


def finish(workers, tmp_path):
    """Exit statuses; the output is shown where a test fails."""
    try:
        return [worker.wait(timeout=900) for worker in workers]
    finally:
        for index, worker in enumerate(workers):
            worker.kill()
            print((tmp_path / ("out_%d" % index)).read_text()[-3000:])


def wait_for_checkpoint(workers, settings):
    while not any(checkpoint_steps(settings["output_dir"])):
        assert all(worker.poll() is None for worker in workers)
        time.sleep(0.02)


def losses_of(output_dir):
    return {entry["step"]: entry["loss"] for entry in curves.read_metrics(output_dir)}


@pytest.fixture
def settings(small):
    """Slow enough for a worker to be killed in the middle, by a checkpoint in every step."""
    return dict(small, num_train_steps=STEPS, save_checkpoints_steps=1, keep_checkpoint_max=0)


@pytest.mark.slow
def test_two_workers_equal_one_also_when_one_is_killed(
    tmp_path,
    repo_root,
    settings,
):
    one = str(tmp_path / "one")
    run(**dict(settings, output_dir=one))
    # TensorFlow 1.15 draws initial weights by the number of operations in the graph.
    settings["init_checkpoint"] = os.path.join(one, "model.ckpt-0")
    workers = start_workers(repo_root, tmp_path, settings, restarts="5")
    wait_for_checkpoint(workers, settings)
    killed = worker_pid(tmp_path, 1)
    os.kill(killed, signal.SIGKILL)
    assert finish(workers, tmp_path) == [0, 0]
    assert worker_pid(tmp_path, 1) != killed
    output = (tmp_path / "out_0").read_text()
    assert "batch size 4 (global) = 2 workers x 1 replicas x 1 accumulation steps x 2" in output
    assert "Resuming from step" in output

    expected, losses = losses_of(one), losses_of(settings["output_dir"])
    assert sorted(losses) == sorted(expected) == list(range(1, STEPS + 1))
    for step, loss in losses.items():
        np.testing.assert_allclose(loss, expected[step], rtol=1e-4, err_msg="step %d" % step)
    assert checkpoint_steps(settings["output_dir"]) == list(range(STEPS + 1))
    # Started again, the other worker knows from the chief's folder what the records are.
    assert (tmp_path / "out_1").read_text().count("Checking all records") <= 1
    # It wrote nothing, neither there nor on the console.
    events = [name for name in os.listdir(settings["output_dir"]) if name.startswith("events")]
    assert len(events) == output.count("Training on")
    assert "step " not in (tmp_path / "out_1").read_text().split("\n")[-2]


@pytest.mark.slow
def test_a_signal_to_one_worker_stops_all_with_a_checkpoint(tmp_path, repo_root, settings):
    settings.update(num_train_steps=100000, save_checkpoints_steps=20)
    workers = start_workers(repo_root, tmp_path, settings, restarts="0")
    wait_for_checkpoint(workers, settings)
    os.kill(worker_pid(tmp_path, 1), signal.SIGTERM)
    statuses = finish(workers, tmp_path)
    assert statuses == [worker_cluster.RESTART_STATUS, 128 + signal.SIGTERM]
    lines = (tmp_path / "out_0").read_text().splitlines()
    steps = [re.match(r"step (\d+)/", line) for line in lines]
    last = max(int(step.group(1)) for step in steps if step)
    assert estimator.latest_step(settings["output_dir"]) == last


@pytest.mark.slow
def test_what_one_worker_finds_wrong_ends_all(tmp_path, repo_root, settings):
    run(**dict(settings, num_train_steps=1))
    settings.update(num_train_steps=1000, learning_rate=0.5)  # only the chief sees the folder
    workers = start_workers(repo_root, tmp_path, settings, restarts="5")
    assert finish(workers, tmp_path) == [2, 2]
    outputs = [(tmp_path / ("out_%d" % index)).read_text() for index in range(2)]
    assert "holds a run with other settings: learning_rate was" in outputs[0].splitlines()[-1]
    assert "another worker found something wrong" in outputs[1].splitlines()[-1]
    assert "starting it again" not in outputs[0] + outputs[1]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_script_passes_signals_on(tmp_path, repo_root, number):
    python, log = tmp_path / "python", tmp_path / "log"
    name = number.name[len("SIG") :]
    python.write_text(
        "#!/bin/bash\ntrap 'echo got; sleep 0.3; echo saved; exit %d' %s\necho started\n"
        "for _ in {1..1200}; do sleep 0.05; done\n" % (128 + number, name)
    )
    python.chmod(0o755)
    script = os.path.join(repo_root, "scripts", "run_pretraining_multi_worker.sh")
    with open(str(log), "w") as output:
        worker = subprocess.Popen(
            ["bash", script, "0", "localhost:1", "--a=1"],
            env=dict(os.environ, PYTHON=str(python)),
            stdout=output,
            # Where tests run in the background SIGINT is ignored, and bash could not trap it.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
    try:
        end = time.monotonic() + 60
        while "started" not in log.read_text():
            assert worker.poll() is None and time.monotonic() < end
            time.sleep(0.02)
        worker.send_signal(number)
        assert worker.wait(timeout=60) == 128 + number
    finally:
        worker.kill()
    assert log.read_text().split() == ["started", "got", "saved"]


def tf_config(workers=("a:1", "b:2"), kind="worker", index=0, **more):
    cluster = dict({"worker": list(workers)}, **more)
    return json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}})


def test_tf_config():
    assert parse_tf_config(tf_config()) == (["a:1", "b:2"], 0)
    assert parse_tf_config(tf_config(index=1)) == (["a:1", "b:2"], 1)
    assert parse_tf_config(tf_config(chief=["c:3"])) == (["c:3", "a:1", "b:2"], 1)
    assert parse_tf_config(tf_config(chief=["c:3"], kind="chief")) == (["c:3", "a:1", "b:2"], 0)


@pytest.mark.parametrize(
    "text, message",
    [
        (None, "TF_CONFIG is not set; expected"),
        ("{", "TF_CONFIG is {; expected"),
        ("{}", "expected"),
        (tf_config(kind="ps"), "expected"),
        (tf_config(ps=["d:4"]), "expected"),
        (tf_config(workers=["a", "b"]), "expected"),
        (tf_config(index=2), "task index 2, but there are 2 workers"),
    ],
)
def test_tf_configs_that_are_refused(text, message):
    with pytest.raises(InputError, match=message):
        parse_tf_config(text)


def test_a_worker_that_does_not_come():
    from albert.basics import tf_compat

    with pytest.raises(worker_cluster.WorkerLost, match="does not answer"):
        worker_cluster.WorkerCluster(free_addresses(2), 0, tf_compat.tf.ConfigProto(), timeout=0.5)


def resolved(**settings):
    values = parse(input_file="none", output_dir="none", **settings)
    return resolve_distribution(flag_table.collect(values, PretrainingSettings))


def test_distribution_by_flags():
    found = resolved()
    assert (found.distribution, found.use_tpu) == ("none", False)
    one = distribution.create(found)
    assert (one.num_replicas, one.is_distributed, one.is_chief) == (1, False, True)
    for settings in ({"use_tpu": True}, {"distribution": "tpu"}):
        found = resolved(**settings)
        assert (found.distribution, found.use_tpu) == ("tpu", True)
        assert not distribution.create(found).is_distributed
    found = resolved(distribution="mirrored", num_replicas=2, train_batch_size=6)
    mirrored = distribution.create(found)
    assert mirrored.num_replicas == 2 and mirrored.is_distributed
    assert mirrored.describe(6) == (
        "batch size 6 (global) = 1 workers x 2 replicas x 1 accumulation steps x 3 examples"
    )
    assert one.describe(6) == "batch size 6"


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"use_tpu": True, "distribution": "mirrored"}, "--use_tpu and --distribution=mirrored"),
        ({"num_replicas": 2}, "--num_replicas is for .*, not none"),
        ({"distribution": "multi_worker"}, "TF_CONFIG is not set"),
        (
            {"distribution": "mirrored", "num_replicas": 2, "train_batch_size": 5},
            "--train_batch_size is 5; it must be a multiple of 2",
        ),
    ],
)
def test_distributions_that_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        distribution.create(resolved(**dict({"train_batch_size": 4}, **settings)), {})
