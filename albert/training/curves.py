"""The curves of a run: `metrics.jsonl`, one JSON object a line, and images of it."""

import colorsys
import json
import math
import os

import numpy as np
from absl import logging

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


# Panels, from top to bottom: metric and label of the axis; those that no run has are left out.
_PANELS = (
    ("loss", "loss"),
    ("masked_lm_loss", "masked-LM loss"),
    ("sentence_order_loss", "sentence-order loss"),
    ("accuracy", "accuracy"),
    ("masked_lm_accuracy", "masked-LM accuracy"),
    ("sentence_order_accuracy", "sentence-order accuracy"),
    ("learning_rate", "learning rate"),
    ("gradient_norm", "gradient norm"),
    ("examples_per_second", "examples/s"),
)
# One for each set.
_LINE_STYLES = {TRAIN: "-", EVAL: "--"}
_MARKERS = {TRAIN: "", EVAL: "o"}


def plot_runs(runs, path, smoothing=1):
    """Writes a PNG: a panel for each metric, a colour for each run, a line style for each set.

    Args:
        runs: list of (name, lines of a metrics file).
        path: file to write.
        smoothing: training values to take the mean of.

    Raises:
        InputError: matplotlib is not installed, or there is nothing to draw.
    """
    if not figures.available():
        raise InputError("the package matplotlib is not installed; run 'pip install matplotlib'.")
    figures.save(draw_runs(runs, smoothing), path)


def draw_runs(runs, smoothing=1):
    """Draws what `plot_runs` writes, and returns the figure."""
    found = [{kind: points(entries, kind) for kind in _LINE_STYLES} for _, entries in runs]
    drawn = [
        (metric, label)
        for metric, label in _PANELS
        if any(metric in metrics for sets in found for metrics in sets.values())
    ]
    if not drawn:
        raise InputError(
            "the runs have none of the metrics that are drawn: %s."
            % ", ".join(metric for metric, _ in _PANELS)
        )
    names, font = _names_and_font([name for name, _ in runs])
    figure = figures.make_figure(9, 2.6 * len(drawn))
    panels = figure.subplots(len(drawn), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (metric, label) in zip(panels, drawn):
        for name, color, sets in zip(names, _colors(len(runs)), found):
            _draw_metric(axes, metric, name, color, sets, smoothing)
        axes.set_ylabel(label)
        axes.grid(alpha=0.3)
        figures.legend_beside(axes, font)
    panels[-1].set_xlabel("step")
    return figure


def _draw_metric(axes, metric, name, color, sets, smoothing):
    """Draws one metric of one run, given its `points` of each set."""
    for kind, style in _LINE_STYLES.items():
        if metric not in sets[kind]:
            continue
        steps, values = sets[kind][metric]
        axes.plot(
            steps,
            smoothed(values, smoothing) if kind == TRAIN else values,
            linestyle=style,
            marker=_MARKERS[kind] if len(steps) > 1 else "o",  # one point makes no line
            markersize=3,
            linewidth=1,
            color=color,
            label=figures.plain(" ".join(filter(None, (name, kind)))),
        )


def _colors(number):
    """Colours that differ, one for each run."""
    if number <= 10:
        return ["C%d" % index for index in range(number)]
    return [colorsys.hsv_to_rgb(index / number, 0.9, 0.8) for index in range(number)]


def _names_and_font(names):
    """The names of runs, or numbers where no font has their characters, and a font for them."""
    font = figures.font_for([*names, TRAIN, EVAL])
    if font is not None:
        return names, font
    numbers = ["run %d" % number for number in range(1, len(names) + 1)]
    logging.warning(
        "no installed font has all characters of the runs' names; in the picture they are %s.",
        ", ".join("%s: %s" % pair for pair in zip(numbers, names)),
    )
    return numbers, figures.font_for(numbers)


def short_names(paths):
    """The shortest ends of paths, in whole names of folders, that differ; of one path "".

    What all of them end with is left out, too; equal paths are numbered.
    """
    if len(paths) == 1:
        return [""]
    parts = []
    for path in paths:
        folder = path.rstrip("/") or path
        if os.path.basename(folder) == METRICS_FILE:
            folder = os.path.dirname(folder)
        parts.append(os.path.abspath(folder).strip(os.sep).split(os.sep))
    differ = len({tuple(path) for path in parts})
    while differ > 1 and min(map(len, parts)) > 1 and len({path[-1] for path in parts}) == 1:
        parts = [path[:-1] for path in parts]
    length = 1
    while len({tuple(path[-length:]) for path in parts}) < differ:
        length += 1
    names = ["/".join(path[-length:]) for path in parts]
    return [
        "%s (%d)" % (name, names[: index + 1].count(name)) if names.count(name) > 1 else name
        for index, name in enumerate(names)
    ]


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
