"""Images by matplotlib, which is optional."""

import importlib.util

from albert.basics import storage


def available():
    """Whether matplotlib is installed."""
    return importlib.util.find_spec("matplotlib") is not None


def make_figure(width, height):
    """An empty figure of a size in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # Not pyplot, which keeps global state and looks for a display.
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    return figure


def legend_beside(axes, size="small"):
    """Puts the legend of a panel to its right, where it covers nothing."""
    if axes.lines:
        axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize=size)


def save(figure, path):
    """Writes a PNG."""
    with storage.atomic_write(path, "wb") as handle:
        figure.savefig(handle, format="png", dpi=120, bbox_inches="tight")
