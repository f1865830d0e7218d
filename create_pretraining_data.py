"""Makes TFRecord files for masked-word and sentence-order pre-training from raw text.

    python create_pretraining_data.py --input_file=data/news_zh_1.txt \\
        --output_file=data/news.tfrecord --vocab_file=pretrained/albert_tiny_489k/vocab.txt \\
        --do_whole_word_mask=true --max_seq_length=512 --max_predictions_per_seq=51 \\
        --masked_lm_prob=0.1

Input is UTF-8 text with one sentence per line and a blank line between documents.  Beside each
output a file OUTPUT.json records the settings and what was counted.

By default the whole text is held in memory and the records are those of the reference scripts,
in their order.  For a text larger than memory pass ``--streaming``, which works in blocks.
"""

from albert.basics import cli, flag_table
from albert.pretraining_data.creation import create_pretraining_data
from albert.pretraining_data.flags import TABLE, source_from_flags
from albert.pretraining_data.reference_api import (  # noqa: F401 (public here)
    TrainingInstance,
    create_instances_from_document,
    create_masked_lm_predictions,
    create_training_instances,
    truncate_seq_pair,
    write_instance_to_example_files,
)
from albert.pretraining_data.streaming import from_flags as streaming_from_flags
from albert.pretraining_data.summary import format_summary


def define_flags(flag_values):
    """Defines the flags of this script on a `flags.FlagValues`."""
    flag_table.define(flag_values, TABLE)


def main(_):
    flag_values = cli.FLAGS
    summary = create_pretraining_data(
        flag_values.input_file,
        flag_values.output_file,
        source_from_flags(flag_values),
        flag_values.compression,
        streaming_from_flags(flag_values),
    )
    print(format_summary(summary))


if __name__ == "__main__":
    cli.run(main, define_flags)
