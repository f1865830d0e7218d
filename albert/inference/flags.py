"""Flags of the programs that use a trained model, and the settings that follow from them."""

from albert.basics import cli
from albert.basics.errors import InputError
from albert.basics.flag_table import (
    boolean,
    choice,
    collect,
    define,
    integer,
    items,
    settings_base,
    string,
)
from albert.inference.engine import PRECISIONS, VECTOR_POOLINGS
from albert.inference.text_model import MIN_SEQ_LENGTH

BATCH_SIZE = integer("batch_size", "Texts computed at a time; default: args.batch_size.")
MODEL_FLAGS = (
    string("model_dir", "Folder of the model, or a checkpoint in it; default: args.output_dir."),
    string("bert_config_file", "Model config; default: the folder's, else args.config_name."),
    string("vocab_file", "Vocabulary; default: the folder's, else args.vocab_file."),
    choice("precision", PRECISIONS, "Numbers to compute with; default: args.precision."),
    integer(
        "max_seq_length",
        "Tokens at most, [CLS] and [SEP] included; default: args.max_seq_len, else the length of "
        "training, else 128.",
        minimum=MIN_SEQ_LENGTH,
    ),
    BATCH_SIZE,
    integer("threads", "Default: all cores."),
)
# Each script says in its own words what is in the two files.
FILE_FLAGS = (
    string("input_file", "Texts."),
    string("output_file", "Results."),
    cli.encoding_errors(),
)
VECTOR_FLAGS = (
    boolean("with_ids", "Lines of --input_file are id<TAB>text."),
    items(
        "layer_indexes",
        "Layers whose outputs make the vector, -1 is the last; default: those of --vectors, else "
        "args.layer_indexes.",
    )._replace(aliases=("layers",)),
    choice(
        "pooling",
        VECTOR_POOLINGS,
        "First token, mean or maximum over the text's tokens; default: that of --vectors, else "
        "args.pooling.",
    ),
    string("query", "A text; prints what is most similar in --vectors or --input_file."),
    string("vectors", "NumPy file made with the same model, to search in."),
    integer("top_k", "How many to print.", 10),
    boolean("do_lower_case", "Lower-case texts; default: as in the model's training.", None),
    string("init_checkpoint", "Another name of --model_dir, for BERT's commands."),
    boolean("use_tpu", "Must be false: vectors are computed on processors."),
    string("master", "No effect, for BERT's commands."),
    integer("num_tpu_cores", "No effect, for BERT's commands."),
    boolean("use_one_hot_embeddings", "No effect, for BERT's commands."),
)


class ModelSettings(settings_base(MODEL_FLAGS)):
    """Which model, and how it computes; what is None is as in the module `args`."""

    __slots__ = ()

    def arguments(self):
        """The same as arguments of `TextModel`, where one has another name."""
        arguments = dict(self._asdict())
        arguments["config_file"] = arguments.pop("bert_config_file")
        return arguments


class FileSettings(settings_base(FILE_FLAGS)):
    """The files that a script works on."""

    __slots__ = ()


class VectorSettings(settings_base(FILE_FLAGS, VECTOR_FLAGS)):
    """What extract_features.py is to do, and with which vectors."""

    __slots__ = ()


def define_model_flags(flag_values):
    """Defines the flags that all models have."""
    define(flag_values, MODEL_FLAGS)


def define_file_flags(flag_values, content, output):
    """Defines the flags of a script that works on a file.

    Args:
        content, output: what the two files hold, for the help.
    """
    meanings = {"input_file": content, "output_file": output}
    define(
        flag_values,
        [flag._replace(meaning=meanings.get(flag.name, flag.meaning)) for flag in FILE_FLAGS],
    )


def model_settings(flag_values):
    """`ModelSettings` from the flags of `define_model_flags`."""
    return collect(flag_values, ModelSettings)


def file_settings(flag_values):
    """`FileSettings` from the flags of `define_file_flags`."""
    return collect(flag_values, FileSettings)


def vector_settings(flag_values):
    """`VectorSettings` with numbers as `layer_indexes`.

    Raises:
        InputError: flags do not go together, or layers are no numbers.
    """
    settings = collect(flag_values, VectorSettings)
    if settings.use_tpu:
        raise InputError("--use_tpu: vectors are computed on processors only; leave the flag out.")
    source, output = settings.input_file, settings.output_file
    if settings.query and (bool(source) == bool(settings.vectors) or output):
        raise InputError("--query needs either --vectors or --input_file, and no --output_file.")
    if not settings.query and (settings.vectors or not (source and output)):
        raise InputError("expected --input_file and --output_file, or --query and --vectors.")
    return settings._replace(layer_indexes=_parse_layers(settings.layer_indexes))


def _parse_layers(numbers):
    """Ints of --layer_indexes, None where it is not given."""
    if numbers is None:
        return None
    try:
        return [int(number) for number in numbers]
    except ValueError:
        raise InputError(
            "--layer_indexes=%s: expected whole numbers, separated by commas." % ",".join(numbers)
        ) from None
