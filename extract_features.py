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

import contextlib
import os

import numpy as np
from absl import flags

import args
from albert.basics import cli, storage
from albert.basics.storage import InputError
from albert.inference import engine, text_files, text_model
from albert.inference import vectors as vector_search
from albert.inference.vectors import most_similar
from albert.model_files import variables

POOLINGS = ("cls", "mean", "max")


class BertVector(text_model.TextModel):
    """Vectors of single texts; see `text_model.TextModel` for settings and threads.

    Attributes:
        layer_indexes: tuple of ints.
        pooling: one of `POOLINGS`.
    """

    def __init__(
        self,
        model_dir=None,
        layer_indexes=None,
        pooling=None,
        batch_size=None,
        precision=None,
        max_seq_length=None,
        threads=None,
        config_file=None,
        vocab_file=None,
    ):
        """Takes the settings; opens no file.

        Args:
            layer_indexes: int, or iterable of ints: the layers whose outputs stand side by side in
                the vector, counted as Python counts: 0 is the first, -1 the last.
            pooling: "cls": the first token; "mean", "max": over all tokens of the text, [CLS] and
                [SEP] included, padding never.
            model_dir and the others: see `text_model.TextModel`.

        Raises:
            InputError: a setting is wrong.
        """
        super().__init__(
            batch_size, model_dir, precision, max_seq_length, threads, config_file, vocab_file
        )
        self.layer_indexes = _layer_tuple(
            args.layer_indexes if layer_indexes is None else layer_indexes
        )
        self.pooling = pooling or args.pooling
        if self.pooling not in POOLINGS:
            raise InputError(
                "pooling '%s': expected one of %s." % (self.pooling, ", ".join(POOLINGS))
            )

    def _head(self, files, config, shapes):
        del files, shapes
        head = engine.VectorHead(self.layer_indexes, self.pooling)
        return head, variables.encoder_variables(config)

    def encode(self, texts):
        """float32 `[number of texts, hidden_size * number of layers]`, in the order of the texts.

        Args:
            texts: iterable of strings.

        Raises:
            InputError: one is no text; names its place.
        """
        return self._compute_all(texts)

    def iter_encode(self, texts):
        """As `encode`, for an iterable without end: yields float32 `[size]`."""
        return self._iter_rows(texts)

    def similarity(self, text_a, text_b):
        """Cosine of the vectors of two texts, a float."""
        return vector_search.cosine(*self.encode([text_a, text_b]))


def _layer_tuple(layer_indexes):
    indexes = (layer_indexes,) if isinstance(layer_indexes, int) else tuple(layer_indexes)
    if not indexes or any(isinstance(i, bool) or not isinstance(i, int) for i in indexes):
        raise InputError(
            "layer_indexes: expected one or more whole numbers, found %r." % (layer_indexes,)
        )
    return indexes


# Files


def ids_path(vectors_path):
    """File with the ids that belong to the rows of a .npy file, one in each line."""
    return os.path.splitext(vectors_path)[0] + ".ids.txt"


def encode_lines(model, lines):
    """Vectors of a file of any length.

    Args:
        model: `BertVector`.
        lines: iterable of (id, text).

    Yields:
        A part at a time: list of ids, list of texts, and float32 `[number of them, size]`.
    """
    ids = []

    def read():
        for identifier, text in lines:
            ids.append(identifier)
            yield text

    for texts, vectors in model.iter_chunks(read()):
        yield list(ids), texts, vectors
        ids.clear()


def write_vectors(model, read, input_file, output_file):
    """Writes the vectors of a file of texts, and the ids beside them; both appear when complete.

    Args:
        model: `BertVector`.
        read: function returning an iterator over (id, text); called twice, first to check them.
        input_file: the file's name.
        output_file: name of a .npy file.

    Returns:
        Shape of the array.

    Raises:
        InputError: a line of the file is bad, or `output_file` is.
    """
    if os.path.splitext(output_file)[1] != ".npy":
        raise InputError("--output_file=%s: expected a name that ends in .npy." % output_file)
    total = text_files.count(read(), input_file)
    text_files.prepare_output(output_file)
    written = 0
    with contextlib.ExitStack() as stack:
        ids_file = stack.enter_context(storage.atomic_write(ids_path(output_file)))
        vectors_file = stack.enter_context(storage.atomic_write(output_file, "wb"))
        bar = stack.enter_context(text_files.progress_bar(total, "texts"))
        for ids, _, vectors in encode_lines(model, read()):
            shape = (total, vectors.shape[1])
            if not written:
                header = {"descr": vectors.dtype.str, "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(vectors_file, header)
            ids_file.writelines(identifier + "\n" for identifier in ids)
            vectors_file.write(vectors.tobytes())
            written += len(ids)
            bar.update(len(ids))
        if written != total:
            raise InputError(
                "%s: had %d texts and then %d; it was changed while it was read."
                % (input_file, total, written)
            )
    return shape


def read_vectors(path):
    """What `write_vectors` wrote: list of ids, and the array as a memory map.

    Raises:
        InputError: a file is missing or damaged, or they do not belong together.
    """
    try:
        vectors = np.load(path, mmap_mode="r")
        if not isinstance(vectors, np.ndarray):
            raise ValueError("it holds several arrays")
    except (OSError, ValueError, EOFError) as error:
        raise InputError("%s: not a .npy file that can be read (%s)." % (path, error)) from None
    ids = list(storage.read_lines(ids_path(path)))
    if vectors.ndim != 2 or len(vectors) != len(ids):
        raise InputError(
            "%s has the shape %s, but %s has %d ids."
            % (path, vectors.shape, ids_path(path), len(ids))
        )
    return ids, vectors


# Search


def search_vectors(model, query, path, top_k):
    """The best `top_k` rows of a .npy file: list of (cosine, id)."""
    ids, vectors = read_vectors(path)
    indices, cosines = most_similar(model.encode([query])[0], vectors, top_k)
    return [(cosine, ids[index]) for index, cosine in zip(indices, cosines)]


def search_lines(model, query, lines, top_k):
    """The best `top_k` texts of an iterable of (id, text): list of (cosine, id, text)."""
    (query_vector,) = model.encode([query])
    best = []
    for ids, texts, vectors in encode_lines(model, lines):
        indices, cosines = most_similar(query_vector, vectors, top_k)
        best += [(cosine, ids[i], texts[i]) for i, cosine in zip(indices, cosines)]
        best.sort(key=lambda found: -found[0])
        del best[top_k:]
    return best


# The script


def define_flags(flag_values):
    """Defines the script's flags on `flag_values`."""
    string, integer, boolean = cli.flag_definers(flag_values)
    text_model.define_flags(flag_values)
    text_files.define_flags(
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
        POOLINGS,
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
        **text_model.settings_of(values),
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
