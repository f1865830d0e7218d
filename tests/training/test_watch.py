"""Metrics, profile and images of training runs."""

import glob
import importlib.util
import json
import os
import resource
from unittest import mock

import numpy as np
import pytest

from albert.basics import figures, flag_table, tf_compat
from albert.basics.errors import InputError
from albert.basics.tf_compat import tf
from albert.pretraining.flags import PretrainingSettings
from albert.training import curves, profiling
from albert.training.curves import EVAL, TRAIN, MetricsFile, read_metrics
from albert.training.watch import TrainingWatch
from helpers import processes
from helpers.runs import make_settings, parse, run


def test_lines(tmp_path):
    metrics = MetricsFile(str(tmp_path))
    metrics.append(2, TRAIN, {"loss": np.float32(0.5), "skipped_steps": 1})
    metrics.append(4, EVAL, {"loss": float("nan"), "accuracy": float("inf")})
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"step": 2, "set": "train", "loss": 0.5, "skipped_steps": 1},
        {"step": 4, "set": "eval", "loss": None, "accuracy": None},
    ]
    assert read_metrics(str(tmp_path)) == read_metrics(str(tmp_path / "metrics.jsonl"))


def test_resuming_drops_later_steps_and_half_a_line(tmp_path):
    metrics = MetricsFile(str(tmp_path))
    metrics.resume(0)  # there is no file yet
    for step in (2, 4, 6):
        metrics.append(step, TRAIN, {"loss": 1.0})
    with open(str(tmp_path / "metrics.jsonl"), "a") as handle:
        handle.write('{"step": 8, "se')
    assert [entry["step"] for entry in read_metrics(str(tmp_path))] == [2, 4, 6]
    metrics.resume(4)
    metrics.append(6, TRAIN, {"loss": 2.0})
    found = [(entry["step"], entry["loss"]) for entry in read_metrics(str(tmp_path))]
    assert found == [(2, 1.0), (4, 1.0), (6, 2.0)]
    metrics.resume(0)
    assert read_metrics(str(tmp_path)) == []


def test_a_line_that_does_not_fit_on_the_disk_leaves_none(tmp_path):
    metrics = MetricsFile(str(tmp_path))
    metrics.append(2, TRAIN, {"loss": 1.0})
    path = str(tmp_path / "metrics.jsonl")
    old_limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (os.path.getsize(path) + 10, old_limits[1]))
    try:
        with pytest.raises(OSError) as error:
            metrics.append(4, TRAIN, {"loss": 1.0})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old_limits)
    assert error.value.filename == path
    metrics.append(6, TRAIN, {"loss": 2.0})
    assert [entry["step"] for entry in read_metrics(path)] == [2, 6]


@pytest.mark.parametrize("text", ["{}\n", "no metrics\n", "[1]\n"])
def test_other_files_are_refused(tmp_path, text):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1, "set": "train"}\n' + text)
    with pytest.raises(InputError, match="metrics.jsonl, line 2: not a line of metrics"):
        read_metrics(str(path))
    with pytest.raises(InputError, match="no such file"):
        read_metrics(str(tmp_path / "other"))


@pytest.mark.slow
def test_a_run(tmp_path, capsys):
    """Metrics and a profile of two steps."""
    settings = dict(make_settings(tmp_path, 6), log_every_steps=2, eval_file="")
    run(profile="3,4", **settings)
    output = capsys.readouterr().out
    assert "tokens/s" in output and "Profiled steps 3 to 4" in output
    entries = read_metrics(settings["output_dir"])
    assert [(entry["step"], entry["set"]) for entry in entries] == [(n, "train") for n in (2, 4, 6)]
    for entry in entries:
        assert set(entry) == {
            "step",
            "set",
            "loss",
            "masked_lm_loss",
            "sentence_order_loss",
            "masked_lm_accuracy",
            "sentence_order_accuracy",
            "learning_rate",
            "gradient_norm",
            "examples_per_second",
            "tokens_per_second",
            "seconds_left",
            "skipped_steps",
            "teraflops_per_second",
        }
        assert entry["tokens_per_second"] == pytest.approx(16 * entry["examples_per_second"])
        parts = entry["masked_lm_loss"] + entry["sentence_order_loss"]
        assert entry["loss"] == pytest.approx(parts, rel=1e-5)
    assert entries[-1]["seconds_left"] == 0
    # A warm-up of two steps, then the decay: means of the rates of steps 0 and 1, and so on.
    rates = [np.mean([0, 0.03 / 2]), 0.03 * (1 - 2.5 / 6), 0.03 * (1 - 4.5 / 6)]
    np.testing.assert_allclose([entry["learning_rate"] for entry in entries], rates, rtol=1e-5)
    assert is_profiled(settings["output_dir"])


def is_profiled(output_dir):
    if tf_compat.profiler():
        found = glob.glob(os.path.join(output_dir, "plugins", "profile", "*", "*.xplane.pb"))
        return len(found) == 1
    events = [
        event.tagged_run_metadata.tag
        for path in glob.glob(os.path.join(output_dir, "events*"))
        for event in tf.train.summary_iterator(path)
        if event.HasField("tagged_run_metadata")
    ]
    return events == ["step_3", "step_4"]


def test_profile_window():
    assert profiling.parse_window("10,20") == (10, 20)
    assert profiling.parse_window("") is None
    for bad in ("10", "0,5", "5,4", "a,b", "1,2,3"):
        with pytest.raises(InputError, match="--profile is '%s'; expected START,END" % bad):
            profiling.parse_window(bad)


def test_flops_and_utilization(tmp_path):
    settings = dict(make_settings(tmp_path, 6), peak_teraflops=4)
    values = flag_table.collect(parse(**settings), PretrainingSettings)
    os.makedirs(values.output_dir)
    watch = TrainingWatch(values, flops_per_example=2e9)
    watch._report(5, {"examples_per_second": 500.0})
    (entry,) = read_metrics(settings["output_dir"])
    assert entry["teraflops_per_second"] == 1.0 and entry["flops_utilization"] == 0.25


# Images


def test_points():
    entries = [
        {"step": 1, "set": "train", "loss": 3.0, "rate": 1.0},
        {"step": 2, "set": "train", "loss": None, "rate": 2.0},
        {"step": 2, "set": "eval", "loss": 4.0},
    ]
    assert curves.points(entries, TRAIN) == {"loss": ([1], [3.0]), "rate": ([1, 2], [1, 2])}
    assert curves.points(entries, EVAL) == {"loss": ([2], [4.0])}
    np.testing.assert_allclose(curves.smoothed([1, 2, 3, 6], 2), [1, 1.5, 2.5, 4.5])


def entries_of(*lines):
    return [dict(metrics, step=step, set=data_set) for step, data_set, metrics in lines]


@pytest.mark.skipif(not figures.available(), reason="needs matplotlib")
def test_curves_of_two_runs():
    both = {"masked_lm_loss": 8.0, "sentence_order_loss": 0.7}
    runs = [
        (
            name,
            entries_of(
                (1, TRAIN, dict(both, loss=8.7)),
                (2, TRAIN, dict(both, loss=8.6)),
                (2, EVAL, dict(both, loss=8.8, masked_lm_accuracy=0.1)),
                (4, EVAL, dict(both, loss=8.5, masked_lm_accuracy=0.2)),
            ),
        )
        for name in ("a", "_b$c$")
    ]
    panels = curves.draw_runs(runs).axes
    assert [axes.get_ylabel() for axes in panels] == [
        "loss",
        "masked-LM loss",
        "sentence-order loss",
        "masked-LM accuracy",
    ]
    for axes in panels[:3]:
        looks = [(line.get_color(), line.get_linestyle()) for line in axes.lines]
        assert looks == [("C0", "-"), ("C0", "--"), ("C1", "-"), ("C1", "--")]
        legend = axes.get_legend()
        texts = [text.get_text() for text in legend.get_texts()]
        assert texts == ["a train", "a eval", r" _b\$c\$ train", r" _b\$c\$ eval"]
        assert legend.get_bbox_to_anchor().x0 > axes.get_window_extent().x1
    assert [line.get_color() for line in panels[3].lines] == ["C0", "C1"]
    many = curves.draw_runs([(str(index), runs[0][1]) for index in range(12)]).axes[0]
    assert len({line.get_color() for line in many.lines}) == 12
    with pytest.raises(InputError, match="none of the metrics that are drawn: loss, "):
        curves.draw_runs([("a", entries_of((1, TRAIN, {"other": 1.0})))])


@pytest.mark.parametrize(
    "paths, names",
    [
        (["/x/a"], [""]),
        (["/x/one/", "/x/two/metrics.jsonl"], ["one", "two"]),
        (["/x/long/one/output", "/x/long/two/output"], ["one", "two"]),
        (["/x/1/a", "/y/1/a", "/x/2/a"], ["x/1", "y/1", "x/2"]),
        (["/x/a/b", "/x/c"], ["b", "c"]),
        (["/x/a", "/x/a/a"], ["x", "a"]),
        (["/x/a", "/x/a/"], ["a (1)", "a (2)"]),
        (["/x/a", "/x/a", "/y/a"], ["x (1)", "x (2)", "y"]),
    ],
)
def test_short_names_differ(paths, names):
    assert curves.short_names(paths) == names


def plot(repo_root, *arguments):
    return processes.run([os.path.join(repo_root, "scripts", "plot_metrics.py"), *arguments])


@pytest.mark.slow
def test_plot_metrics(tmp_path, repo_root):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        metrics = MetricsFile(str(tmp_path / name))
        for step in (10, 20):
            metrics.append(step, TRAIN, {"loss": 9.0 - step, "learning_rate": 0.1})
        metrics.append(20, EVAL, {"loss": 7.0, "masked_lm_accuracy": 0.5})
    result = plot(repo_root, str(tmp_path / "a"), str(tmp_path / "b" / "metrics.jsonl"))
    if not figures.available():
        assert result.returncode == 2 and "pip install matplotlib" in result.stderr
        return
    assert result.returncode == 0, result.stderr
    path = tmp_path / "a" / "curves.png"
    assert result.stdout == "Written: %s\n" % path
    assert path.read_bytes().startswith(b"\x89PNG")
    result = plot(repo_root)
    assert result.returncode == 2 and "no run: pass the output folders" in result.stderr


def test_plot_needs_matplotlib(tmp_path):
    missing = mock.patch.object(importlib.util, "find_spec", return_value=None)
    with missing, pytest.raises(InputError, match="pip install matplotlib"):
        curves.plot_runs([], str(tmp_path / "a.png"))
