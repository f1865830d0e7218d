"""Sentence vectors: the hidden states of one or more layers, pooled over the tokens of a text.

    python extract_features.py --model_dir=albert_tiny --input_file=texts.txt \\
        --output_file=vectors.npy
    python extract_features.py --model_dir=albert_tiny --vectors=vectors.npy --query="怎么还款"

The first writes vectors.npy, float32 `[number of texts, size]`, and vectors.ids.txt with the id of
each row: the number of its line, or with --with_ids the first column of the file.  The second
prints the ids of the most similar ones, and their cosines.

    from extract_features import BertVector, most_similar
    with BertVector(model_dir="albert_tiny") as model:
        vectors = model.encode(["花呗怎么还款", "明天下雨吗"])
        indices, cosines = most_similar(model.encode(["如何还花呗"]), vectors, top_k=1)

The model is a published or a fine-tuned one, a folder; or one of run_pretraining.py, with
--bert_config_file and --vocab_file.
"""

from absl import flags

from albert.basics import cli
from albert.basics.errors import InputError
from albert.inference import text_files
from albert.inference.engine import VECTOR_POOLINGS
from albert.inference.flags import define_file_flags, define_model_flags, model_settings
from albert.inference.vectors import (  # noqa: F401 (public here)
    BertVector,
    ids_path,
    most_similar,
    search_lines,
    search_vectors,
    write_vectors,
)

# Files


# Search


# The script


def define_flags(flag_values):
    """Defines the script's flags on `flag_values`."""
    string, integer, boolean = cli.flag_definers(flag_values)
    define_model_flags(flag_values)
    define_file_flags(
        flag_values,
        "File with one text in each line; blank lines are left out.",
        "NumPy file (.npy) of the vectors; the ids go to a .ids.txt file beside it.",
    )
    boolean("with_ids", "Lines of --input_file are id<TAB>text.")
    flags.DEFINE_list(
        "layer_indexes",
        None,
        "Layers whose outputs make the vector, -1 is the last; default: args.layer_indexes.",
        flag_values=flag_values,
    )
    flags.DEFINE_enum(
        "pooling",
        None,
        VECTOR_POOLINGS,
        "First token, mean or maximum over the text's tokens; default: args.pooling.",
        flag_values=flag_values,
    )
    string("query", "A text; prints what is most similar in --vectors or --input_file.")
    string("vectors", "NumPy file made with the same model, layers and pooling, to search in.")
    integer("top_k", "How many to print.", 10)


def main(_):
    values = flags.FLAGS
    source, output = values.input_file, values.output_file
    if values.query and (bool(source) == bool(values.vectors) or output):
        raise InputError("--query needs either --vectors or --input_file, and no --output_file.")
    if not values.query and (values.vectors or not (source and output)):
        raise InputError("expected --input_file and --output_file, or --query and --vectors.")

    def read():
        return text_files.read_texts(source, values.encoding_errors, values.with_ids)

    with BertVector(
        layer_indexes=_parse_layers(values.layer_indexes),
        pooling=values.pooling,
        **model_settings(values),
    ) as model:
        if values.vectors:
            print_found(search_vectors(model, values.query, values.vectors, values.top_k))
        elif values.query:
            print_found(search_lines(model, values.query, read(), values.top_k))
        else:
            shape = write_vectors(model, read, source, output)
            print("%s: %d vectors of %d numbers; ids in %s" % (output, *shape, ids_path(output)))


def print_found(found):
    """Prints a line for each (cosine, id) or (cosine, id, text)."""
    for cosine, *names in found:
        print("\t".join(["%.4f" % cosine, *names]))


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


if __name__ == "__main__":
    cli.run(main, define_flags)
