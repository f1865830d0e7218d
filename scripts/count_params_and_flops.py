"""Prints what models cost: parameters, size of checkpoints, arithmetic and memory.

    python scripts/count_params_and_flops.py
    python scripts/count_params_and_flops.py --seq_length=512 --num_predictions=51 my_config.json

For each config named, or else for all in albert_config/:

    parameters     of the pre-training model; of them, those of the encoder (below bert/)
    checkpoint     MB in float32; with the optimizer's moments, as training writes it
    inference      billions of operations to classify one sequence of --seq_length tokens
    training       the same to pre-train on one, with --num_predictions masked tokens
    memory         estimated MB that one more sequence in a training batch takes

A multiplication with its addition counts as 2; operations are those of matrix products.  "all
positions" is the usual count; the other one is what this program does: the last block works only
for the tokens that are read.  MB are 10^6 bytes.  --format=json has every number exactly.
"""

import glob
import json
import os
import sys

from absl import flags

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from albert.basics import cli, flag_table
from albert.basics.errors import InputError
from albert.basics.flag_table import choice, integer
from albert.model_files import configuration, costs

FORMATS = ("text", "markdown", "json")
# Header in two lines, decimals, and the number of a row.
_COLUMNS = (
    ("parameters", "all", 0, lambda row: row["pretraining_parameters"]),
    ("parameters", "encoder", 0, lambda row: row["encoder_parameters"]),
    ("checkpoint", "MB", 1, lambda row: row["checkpoint_bytes"] / 1e6),
    ("in training", "MB", 1, lambda row: row["training_checkpoint_bytes"] / 1e6),
    ("inference", "GFLOP", 2, lambda row: row["inference_flops"] / 1e9),
    ("inference", "all positions", 2, lambda row: row["inference_flops_all_positions"] / 1e9),
    ("training", "GFLOP", 2, lambda row: row["training_flops"] / 1e9),
    ("training", "all positions", 2, lambda row: row["training_flops_all_positions"] / 1e9),
    ("memory", "MB", 1, lambda row: row["training_bytes_per_example"] / 1e6),
)


SIZES = (
    integer("seq_length", "Tokens of a sequence.", 128),
    integer("num_predictions", "Masked tokens of a sequence in pre-training.", 20),
    integer("num_labels", "Labels of the classifier.", 2),
)
OUTPUT = (choice("format", FORMATS, "What to print.", "text"),)


class Sizes(flag_table.settings_base(SIZES)):
    """What is computed on; a field for each flag."""

    __slots__ = ()


def define_flags(flag_values):
    """Defines the flags of this script on a `flags.FlagValues`."""
    flag_table.define(flag_values, SIZES + OUTPUT)


def shipped_configs():
    """Files in albert_config/, smallest model first."""
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    paths = glob.glob(os.path.join(root, "albert_config", "*.json"))

    def order(path):
        config = configuration.load_config(path)
        size = costs.inference_flops(config, config.max_position_embeddings)
        return config.family, size

    return sorted(paths, key=order)


def describe(path, seq_length, num_predictions, num_labels):
    """All numbers of one config file, as a dictionary.

    Raises:
        InputError: not a config, or a position table shorter than `seq_length`.
    """
    config = configuration.load_config(path)
    if seq_length > config.max_position_embeddings:
        raise InputError(
            "--seq_length is %d, but %s has max_position_embeddings %d."
            % (seq_length, path, config.max_position_embeddings)
        )
    parts = costs.parameters(config)
    total = sum(parts.values())
    row = {
        "config": os.path.basename(path),
        "family": config.family,
        "parameters": parts,
        "pretraining_parameters": total,
        "encoder_parameters": costs.encoder_parameters(config),
        "classifier_parameters": costs.classifier_parameters(config, num_labels),
        "checkpoint_bytes": costs.checkpoint_bytes(total),
        "training_checkpoint_bytes": costs.checkpoint_bytes(total, training=True),
        "training_bytes_per_example": costs.training_memory(config, seq_length, num_predictions),
    }
    for suffix, everywhere in (("", False), ("_all_positions", True)):
        row["inference_flops" + suffix] = costs.inference_flops(
            config, seq_length, num_labels, everywhere
        )
        row["training_flops" + suffix] = costs.training_flops(
            config, seq_length, num_predictions, everywhere
        )
    return row


def as_text(rows):
    """A table with aligned columns."""
    lines = [["", *(column[0] for column in _COLUMNS)]]
    lines += [["config", *(column[1] for column in _COLUMNS)], *map(_cells, rows)]
    widths = [max(map(len, column)) for column in zip(*lines)]
    return "\n".join(
        "  ".join(
            [line[0].ljust(widths[0])]
            + [cell.rjust(width) for cell, width in zip(line[1:], widths[1:])]
        ).rstrip()
        for line in lines
    )


def as_markdown(rows):
    """The same table in Markdown."""
    lines = [["config", *("%s, %s" % column[:2] for column in _COLUMNS)]]
    lines += [["---"] + ["---:"] * len(_COLUMNS), *map(_cells, rows)]
    return "\n".join("| %s |" % " | ".join(line) for line in lines)


def _cells(row):
    numbers = ("{:,.{}f}".format(number(row), places) for _, _, places, number in _COLUMNS)
    return [row["config"], *numbers]


def main(argv):
    sizes, output_format = flag_table.collect(flags.FLAGS, Sizes), flags.FLAGS.format
    rows = [describe(path, *sizes) for path in argv[1:] or shipped_configs()]
    if output_format == "json":
        print(json.dumps(dict(sizes._asdict(), models=rows), indent=2))
        return
    print("%d tokens, %d predictions, %d labels\n" % sizes)
    print((as_markdown if output_format == "markdown" else as_text)(rows))


if __name__ == "__main__":
    cli.run(main, define_flags, positional=True)
