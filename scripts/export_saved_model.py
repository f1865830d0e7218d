"""Writes a fine-tuned classifier as a SavedModel, for TensorFlow Serving or any TensorFlow.

    python scripts/export_saved_model.py --model_dir=albert_lcqmc_checkpoints --output_dir=served

    served/1/saved_model.pb    the graph, its weights inside as constants
    served/1/assets.extra/     config, vocabulary and task.json (labels, case, length): what a
                               client needs to make ids of texts and names of labels

The inputs are token ids, the outputs probabilities, logits and predictions;
albert/conversion/saved_model.py says it in full.  Any family, any number of labels, regressions.

Before the folder gets its name, the SavedModel is loaded again and compared with the plain graph
of the checkpoint.  TensorFlow 1.15, 2.15 and 2.21 load what each of them writes.
"""

import os
import sys

from absl import flags

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from albert.basics import cli, flag_table, tf_compat
from albert.basics.errors import InputError
from albert.basics.flag_table import boolean, integer, string
from albert.conversion import versions

TABLE = (
    string("model_dir", "Folder of the classifier, or a checkpoint in it."),
    string("output_dir", "Folder for versions of the model; the folder VERSION is made in it."),
    integer("version", "Number of the version. Default: one more than the highest there, or 1."),
    boolean("overwrite", "Replace the version if it is there."),
    string("bert_config_file", "Model config. Default: the folder's."),
    string("vocab_file", "Vocabulary. Default: the folder's."),
)


class ExportSettings(flag_table.settings_base(TABLE)):
    """What to export, and where to."""

    __slots__ = ()


def define_flags(flag_values):
    """Defines the flags of this script on a `flags.FlagValues`."""
    flag_table.define(flag_values, TABLE)


def main(_):
    settings = flag_table.collect(flags.FLAGS, ExportSettings)
    tf_compat.use_graph_mode()
    required = ("model_dir", settings.model_dir), ("output_dir", settings.output_dir)
    for name, value in required:
        if not value:
            raise InputError("--%s is required." % name)
    versions.export_folder(
        settings.model_dir,
        settings.output_dir,
        (settings.bert_config_file, settings.vocab_file),
        settings.version,
        settings.overwrite,
    )


if __name__ == "__main__":
    cli.run(main, define_flags)
