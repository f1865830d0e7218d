"""Draws the curves of training runs: losses, accuracies, learning rate and speed, as a PNG.

    python scripts/plot_metrics.py my_model other_model --output_file=curves.png

Arguments are output folders of run_pretraining.py or run_classifier.py, or their `metrics.jsonl`.
Needs matplotlib.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from albert.basics import cli, flag_table, storage
from albert.basics.errors import InputError
from albert.basics.flag_table import integer, string
from albert.training import curves

TABLE = (
    string("output_file", "PNG to write; default: curves.png in the folder of the first run."),
    integer("smoothing", "Training values to take the mean of.", 1),
)


def define_flags(flag_values):
    """Defines the script's flags on `flag_values`."""
    flag_table.define(flag_values, TABLE)


def main(argv):
    paths = argv[1:]
    if not paths:
        raise InputError(
            "no run: pass the output folders of run_pretraining.py or run_classifier.py."
        )
    runs = list(zip(curves.short_names(paths), map(curves.read_metrics, paths)))
    for path, (_, entries) in zip(paths, runs):
        if not entries:
            raise InputError("%s: holds no metrics yet." % path)
    first = paths[0] if os.path.isdir(paths[0]) else os.path.dirname(paths[0])
    output = cli.FLAGS.output_file or os.path.join(first, "curves.png")
    storage.prepare_output_dir(os.path.dirname(output) or ".", flag="output_file")
    curves.plot_runs(runs, output, cli.FLAGS.smoothing)
    print("Written: %s" % output)


if __name__ == "__main__":
    cli.run(main, define_flags, positional=True)
