"""Flags of the programs that use a trained model."""

from absl import flags

from albert.basics import cli
from albert.inference.engine import PRECISIONS
from albert.inference.text_model import MIN_SEQ_LENGTH


def define_file_flags(flag_values, content, output):
    """Defines the flags of a script that works on a file.

    Args:
        content, output: what the two files hold, for the help.
    """
    string, _, _ = cli.flag_definers(flag_values)
    string("input_file", content)
    string("output_file", output)
    cli.define_encoding_errors(flag_values)


def define_model_flags(flag_values):
    """Defines the flags that all models have."""
    string, integer, _ = cli.flag_definers(flag_values)
    string("model_dir", "Folder of the model, or a checkpoint in it; default: args.output_dir.")
    string("bert_config_file", "Model config; default: the folder's, else args.config_name.")
    string("vocab_file", "Vocabulary; default: the folder's, else args.vocab_file.")
    flags.DEFINE_enum(
        "precision",
        None,
        PRECISIONS,
        "Numbers to compute with; default: args.precision.",
        flag_values=flag_values,
    )
    integer(
        "max_seq_length",
        "Tokens at most, [CLS] and [SEP] included; default: args.max_seq_len, or what the model "
        "can take.",
        None,
        MIN_SEQ_LENGTH,
    )
    integer("batch_size", "Texts computed at a time; default: args.batch_size.")
    integer("threads", "Default: all cores.")


def model_settings(flag_values):
    """Arguments of `TextModel` from the flags of `define_model_flags`."""
    names = ("model_dir", "vocab_file", "precision", "max_seq_length", "batch_size", "threads")
    return dict(
        {name: getattr(flag_values, name) for name in names},
        config_file=flag_values.bert_config_file,
    )
