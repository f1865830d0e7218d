"""The curves of training runs as an image."""

import numpy as np

from albert.basics import figures
from albert.basics.storage import InputError
from albert.training.curves import EVAL, TRAIN

# Panels: label of the axis, and which metrics are drawn there.
_PANELS = (
    ("loss", lambda name: name.endswith("loss")),
    ("accuracy", lambda name: name.endswith("accuracy")),
    ("learning rate", lambda name: name == "learning_rate"),
    ("gradient norm", lambda name: name == "gradient_norm"),
    ("examples/s", lambda name: name == "examples_per_second"),
)


def curves(entries, data_set):
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
            for metric, (steps, values) in sorted(curves(entries, data_set).items()):
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
