"""Sentence vectors: the hidden states of one or more layers, pooled over the tokens of a text.

    python extract_features.py --model_dir=albert_tiny --input_file=texts.txt \\
        --output_file=vectors.npy
    python extract_features.py --model_dir=albert_tiny --vectors=vectors.npy --query="怎么还款"

The first writes vectors.npy, float32 `[number of texts, size]`, vectors.ids.txt with the id of each
row: the number of its line, or with --with_ids the first column of the file; and vectors.npy.json,
which tells how they were made.  The second makes the vector of the query in the same way, and
prints the ids of the most similar ones, and their cosines.

    from extract_features import BertVector, most_similar
    with BertVector(model_dir="albert_tiny") as model:
        vectors = model.encode(["花呗怎么还款", "明天下雨吗"])
        indices, cosines = most_similar(model.encode(["如何还花呗"]), vectors, top_k=1)

The model is a published or a fine-tuned one, a folder; or one of run_pretraining.py, with
--bert_config_file and --vocab_file.
"""

import itertools

from absl import flags

from albert.basics import cli, flag_table
from albert.basics.errors import InputError
from albert.inference import text_files
from albert.inference.flags import (
    VECTOR_FLAGS,
    define_file_flags,
    define_model_flags,
    model_settings,
    vector_settings,
)
from albert.inference.reference_api import (  # noqa: F401 (public here)
    InputExample,
    InputFeatures,
    convert_examples_to_features,
    read_examples,
)
from albert.inference.vectors import (  # noqa: F401 (public here)
    BertVector,
    ids_path,
    most_similar,
    print_found,
    recorded_arguments,
    search_lines,
    search_vectors,
    write_vectors,
)


def define_flags(flag_values):
    """Defines the script's flags on `flag_values`."""
    define_model_flags(flag_values)
    define_file_flags(
        flag_values,
        "File with one text in each line; blank lines are left out.",
        "NumPy file (.npy) of the vectors; the ids go to a .ids.txt file beside it.",
    )
    flag_table.define(flag_values, VECTOR_FLAGS)


def vector_arguments(settings, model):
    """Arguments of `BertVector`; what the flags do not say is as in the file that is searched.

    Args:
        settings: `VectorSettings`.
        model: `ModelSettings`.

    Raises:
        InputError: two flags say different things.
    """
    if settings.init_checkpoint and model.model_dir:
        raise InputError("--init_checkpoint is another name of --model_dir; expected one of them.")
    arguments = dict(
        model.arguments(),
        model_dir=model.model_dir or settings.init_checkpoint,
        layer_indexes=settings.layer_indexes,
        pooling=settings.pooling,
        do_lower_case=settings.do_lower_case,
    )
    known = recorded_arguments(settings.vectors) if settings.vectors else {}
    return {name: known.get(name) if value is None else value for name, value in arguments.items()}


def main(_):
    settings = vector_settings(flags.FLAGS)
    source, output = settings.input_file, settings.output_file

    def read():
        return text_files.read_texts(source, settings.encoding_errors, settings.with_ids)

    with BertVector(**vector_arguments(settings, model_settings(flags.FLAGS))) as model:
        if settings.vectors:
            print_found(search_vectors(model, settings.query, settings.vectors, settings.top_k))
        elif settings.query:
            print_found(search_lines(model, settings.query, read(), settings.top_k))
        else:
            shape = write_vectors(model, read, source, output)
            first = [text for _, text in itertools.islice(read(), 1)]
            whole_lines = not settings.with_ids
            text_files.warn_of_form(source, first, model.training_header, whole_lines)
            print("%s: %d vectors of %d numbers; ids in %s" % (output, *shape, ids_path(output)))


if __name__ == "__main__":
    cli.run(main, define_flags)
