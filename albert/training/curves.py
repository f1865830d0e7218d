"""The curves of a run: `metrics.jsonl`, one JSON object a line, and images of it."""

import json
import math
import os

import numpy as np

from albert.basics import figures, storage
from albert.basics.errors import InputError

METRICS_FILE = "metrics.jsonl"
TRAIN, EVAL = "train", "eval"


class MetricsFile:
    """Appends lines; a line is complete or, after a kill, dropped by the next process.

    A line has "step", "set" (`TRAIN` or `EVAL`) and numbers; what is not finite is null.
    """

    def __init__(self, output_dir):
        self._path = os.path.join(output_dir, METRICS_FILE)

    def resume(self, step):
        """Drops what a killed process wrote past the checkpoint resumed from, and half a line."""
        if not storage.exists(self._path):
            return
        content = storage.read_bytes(self._path).decode("utf-8")
        kept = [json.dumps(entry) for entry in _parse(content, self._path) if entry["step"] <= step]
        text = "".join(line + "\n" for line in kept)
        if text != content:
            with storage.atomic_write(self._path) as handle:
                handle.write(text)

    def append(self, step, data_set, values):
        """Writes a line.

        Args:
            step: global step.
            data_set: `TRAIN` or `EVAL`.
            values: `{name: number}`.
        """
        line = {"step": int(step), "set": data_set}
        line.update((name, _finite(value)) for name, value in values.items())
        with storage.open_to_append(self._path) as handle:
            handle.write(json.dumps(line) + "\n")


def read_metrics(path):
    """Lines of a metrics file.

    Args:
        path: the file, or the output folder of a run.

    Returns:
        List of dicts.

    Raises:
        InputError: it cannot be read, or is something else.
    """
    if os.path.isdir(path):
        path = os.path.join(path, METRICS_FILE)
    try:
        return _parse(storage.read_bytes(path).decode("utf-8"), path)
    except UnicodeDecodeError:
        raise InputError("%s: invalid UTF-8; expected a metrics file." % path) from None


def _parse(content, path):
    """Entries of all complete lines."""
    entries = []
    for number, line in enumerate(content.split("\n")[:-1], 1):
        try:
            entry = json.loads(line)
            entry["step"], entry["set"]
        except (ValueError, KeyError, TypeError):
            raise InputError(
                "%s, line %d: not a line of metrics, a JSON object with 'step' and 'set'."
                % (path, number)
            ) from None
        entries.append(entry)
    return entries


def _finite(value):
    value = float(value) if not isinstance(value, int) else value
    return value if math.isfinite(value) else None


# Images


# Panels: label of the axis, and which metrics are drawn there.
_PANELS = (
    ("loss", lambda name: name.endswith("loss")),
    ("accuracy", lambda name: name.endswith("accuracy")),
    ("learning rate", lambda name: name == "learning_rate"),
    ("gradient norm", lambda name: name == "gradient_norm"),
    ("examples/s", lambda name: name == "examples_per_second"),
)


def plot_runs(runs, path, smoothing=1):
    """Writes a PNG: a panel for each kind of metric; evaluations are points with dashed lines.

    Args:
        runs: list of (name, lines of a metrics file).
        path: file to write.
        smoothing: training values to take the mean of.

    Raises:
        InputError: matplotlib is not installed.
    """
    if not figures.available():
        raise InputError("the package matplotlib is not installed; run 'pip install matplotlib'.")
    figure = figures.make_figure(9, 3 * len(_PANELS))
    panels = figure.subplots(len(_PANELS), 1, sharex=True)
    for name, entries in runs:
        for data_set, style in ((TRAIN, "-"), (EVAL, "o--")):
            for metric, (steps, values) in sorted(points(entries, data_set).items()):
                shown = smoothed(values, smoothing) if data_set == TRAIN else values
                label = " ".join(filter(None, (name, data_set, metric)))
                for axes, (_, belongs) in zip(panels, _PANELS):
                    if belongs(metric):
                        axes.plot(steps, shown, style, markersize=3, linewidth=1, label=label)
    for axes, (label, _) in zip(panels, _PANELS):
        axes.set_ylabel(label)
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend(loc="best", fontsize="x-small")
    panels[-1].set_xlabel("step")
    figures.save(figure, path)


def points(entries, data_set):
    """`{metric: (steps, values)}` of the lines of one set; values that are null are left out."""
    found = {}
    for entry in entries:
        if entry["set"] != data_set:
            continue
        for name, value in entry.items():
            if name not in ("step", "set") and value is not None:
                found.setdefault(name, ([], []))
                found[name][0].append(entry["step"])
                found[name][1].append(value)
    return found


def smoothed(values, width):
    """Means over up to `width` values, the last of which is the one at that place."""
    sums = np.cumsum(np.insert(np.asarray(values, float), 0, 0.0))
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(ends - width, 0)
    return (sums[ends] - sums[starts]) / (ends - starts)
