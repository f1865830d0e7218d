"""Sentence vectors: finding the most similar ones, making them, their files.

The order is that of need: cosine search knows nothing of models, `BertVector` makes vectors, the
functions behind it write, read and search files of them.
"""

import contextlib
import os

import numpy as np
from absl import logging

from albert.basics import storage, tables
from albert.basics.errors import InputError
from albert.inference import defaults, engine, text_files, text_model
from albert.model_files import variables

_ROWS_AT_A_TIME = 1 << 16

# What OUTPUT.json says about vectors: settings that a query must have, too, arguments of
# `BertVector`; and sums of the files of the model, with what they are of.
_SETTINGS = ("layer_indexes", "pooling", "max_seq_length", "do_lower_case")
_SUMS = {"checkpoint_sha256": "checkpoint", "vocabulary_sha256": "vocabulary"}


def cosine(vector_a, vector_b):
    """Cosine of the angle between two vectors, a float; 0 if one is zero."""
    return float(_unit(np.asarray(vector_a)) @ _unit(np.asarray(vector_b)))


def most_similar(query_vectors, vectors, top_k=10):
    """For each query the vectors with the largest cosine, best first.

    Args:
        query_vectors: float `[number of queries, size]`, or `[size]` for one.
        vectors: float `[number, size]`; also a memory map of a .npy file, which is read in parts.
        top_k: how many to find.

    Returns:
        Indices (int64) and cosines (float32), both `[number of queries, min(top_k, number)]`, or
        one axis for one query.  Of equal ones the lower index comes first; the cosine with a zero
        vector is 0.

    Raises:
        InputError: the sizes differ, or top_k is below 1.
    """
    queries = np.asarray(query_vectors, np.float32)
    if queries.ndim not in (1, 2) or len(np.shape(vectors)) != 2:
        raise InputError(
            "expected query vectors [number, size] and vectors [number, size], found the shapes "
            "%s and %s." % (list(queries.shape), list(np.shape(vectors)))
        )
    if queries.shape[-1] != np.shape(vectors)[1]:
        raise InputError(
            "the query vectors have %d numbers and the vectors to search %d; expected those of one "
            "model with the same layers." % (queries.shape[-1], np.shape(vectors)[1])
        )
    if top_k < 1:
        raise InputError("top_k is %d; expected at least 1." % top_k)
    indices, scores = _search(_unit(np.atleast_2d(queries)), vectors, top_k)
    return (indices[0], scores[0]) if queries.ndim == 1 else (indices, scores)


def _search(queries, vectors, top_k):
    indices = np.zeros([len(queries), 0], np.int64)
    scores = np.zeros([len(queries), 0], np.float32)
    for start in range(0, len(vectors), _ROWS_AT_A_TIME):
        block = _unit(np.asarray(vectors[start : start + _ROWS_AT_A_TIME], np.float32))
        numbers = np.broadcast_to(start + np.arange(len(block)), [len(queries), len(block)])
        indices = np.concatenate([indices, numbers], axis=1)
        scores = np.concatenate([scores, queries @ block.T], axis=1)
        best = np.argsort(-scores, axis=1, kind="stable")[:, :top_k]
        indices = np.take_along_axis(indices, best, axis=1)
        scores = np.take_along_axis(scores, best, axis=1)
    return indices, scores


def _unit(vectors):
    """Vectors of length 1; zero ones stay zero."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)


class BertVector(text_model.TextModel):
    """Vectors of single texts; see `text_model.TextModel` for settings and threads.

    Attributes:
        layer_indexes: tuple of ints.
        pooling: one of `engine.VECTOR_POOLINGS`.
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
        do_lower_case=None,
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
            batch_size,
            model_dir,
            precision,
            max_seq_length,
            threads,
            config_file,
            vocab_file,
            do_lower_case,
        )
        self._num_layers = None
        self.layer_indexes = _layer_tuple(
            defaults.setting("layer_indexes") if layer_indexes is None else layer_indexes
        )
        self.pooling = pooling or defaults.setting("pooling")
        if self.pooling not in engine.VECTOR_POOLINGS:
            raise InputError(
                "pooling '%s': expected one of %s."
                % (self.pooling, ", ".join(engine.VECTOR_POOLINGS))
            )

    def _head(self, files, config, shapes):
        del files, shapes
        self._num_layers = config.num_hidden_layers
        head = engine.VectorHead(self.layer_indexes, self.pooling)
        return head, variables.encoder_variables(config)

    def description(self):
        """As of the base class, with the layers counted from 0 and the pooling."""
        known = super().description()
        layers = [index % self._num_layers for index in self.layer_indexes]
        return dict(known, layer_indexes=layers, pooling=self.pooling)

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
        return cosine(*self.encode([text_a, text_b]))


def _layer_tuple(layer_indexes):
    indexes = (layer_indexes,) if isinstance(layer_indexes, int) else tuple(layer_indexes)
    if not indexes or any(isinstance(i, bool) or not isinstance(i, int) for i in indexes):
        raise InputError(
            "layer_indexes: expected one or more whole numbers, found %r." % (layer_indexes,)
        )
    return indexes


def ids_path(vectors_path):
    """File with the ids that belong to the rows of a .npy file, one in each line."""
    return os.path.splitext(vectors_path)[0] + ".ids.txt"


def encode_lines(model, lines, cut=None):
    """Vectors of a file of any length.

    Args:
        model: `BertVector`.
        lines: iterable of (id, text).
        cut: see `TextModel.iter_chunks`.

    Yields:
        A part at a time: list of ids, list of texts, and float32 `[number of them, size]`.
    """
    ids = []

    def read():
        for identifier, text in lines:
            ids.append(identifier)
            yield text

    for texts, vectors in model.iter_chunks(read(), cut):
        yield list(ids), texts, vectors
        ids.clear()


def write_vectors(model, read, input_file, output_file):
    """Writes the vectors of a file of texts; all files appear when they are complete.

    The ids come beside the vectors, and OUTPUT.json tells how they were made.

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
        raise InputError(
            "--output_file=%s: expected a name that ends in .npy, for one vector of each text is "
            "written; the vectors of all its tokens, as lines of JSON, are not." % output_file
        )
    total = text_files.count(read(), input_file)
    text_files.prepare_output(output_file)
    written, cut = 0, text_model.CutItems()
    with contextlib.ExitStack() as stack:
        ids_file = stack.enter_context(storage.atomic_write(ids_path(output_file)))
        vectors_file = stack.enter_context(storage.atomic_write(output_file, "wb"))
        name = text_files.description_path(output_file)
        description_file = stack.enter_context(storage.atomic_write(name))
        bar = stack.enter_context(text_files.progress_bar(total, "texts"))
        for ids, _, vectors in encode_lines(model, read(), cut):
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
        known = text_files.described(model, input_file, "texts", total, cut)
        description_file.write(storage.json_text(known))
    text_files.say_counts(model, output_file, "texts", total, cut)
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
    ids = [identifier for _, identifier in tables.read_lines(ids_path(path))]
    if vectors.ndim != 2 or len(vectors) != len(ids):
        raise InputError(
            "%s has the shape %s, but %s has %d ids."
            % (path, vectors.shape, ids_path(path), len(ids))
        )
    return ids, vectors


def read_settings(path):
    """How a .npy file was made: what OUTPUT.json beside it says, as far as `check_settings` reads.

    Returns:
        Dictionary with `_SETTINGS` and the sums of `TextModel.description`; empty where there is no
        such file, or it is not one of extract_features.py.
    """
    name = text_files.description_path(path)
    known = storage.read_json(name) if storage.exists(name) else {}
    return known if set(known) >= {*_SETTINGS, *_SUMS} else {}


def recorded_arguments(path):
    """Arguments of `BertVector` with which a .npy file was made; empty where none are recorded."""
    known = read_settings(path)
    return {name: known[name] for name in _SETTINGS if known}


def check_settings(model, path):
    """Refuses a model that would not make the vectors of a .npy file; says where none can tell.

    Args:
        model: `BertVector`.
        path: of the .npy file.

    Raises:
        InputError: the vectors are another model's, or were made with other settings.
    """
    known, own = read_settings(path), model.description()
    if not known:
        logging.warning(
            "%s: no '%s' beside it tells how it was made; the cosines are right only if that was "
            "with this model, layer_indexes %s and pooling %s.",
            path,
            text_files.description_path(os.path.basename(path)),
            ",".join(map(str, model.layer_indexes)),
            model.pooling,
        )
        return
    for key, what in _SUMS.items():
        if known[key] != own[key]:
            raise InputError(
                "%s: made with another %s (of the model %s) than that of %s; expected the vectors "
                "of one model." % (path, what, known["checkpoint"], own["checkpoint"])
            )
    for name in _SETTINGS:
        if known[name] != own[name]:
            raise InputError(
                "%s: made with %s %s, and the query with %s; expected the same, which is taken "
                "from the file where nothing is said."
                % (path, name, _written(known[name]), _written(own[name]))
            )


def _written(value):
    return ",".join(map(str, value)) if isinstance(value, list) else value


def print_found(found):
    """Prints a line for each (cosine, id) or (cosine, id, text)."""
    for cosine, *names in found:
        print("\t".join(["%.4f" % cosine, *names]))


def search_vectors(model, query, path, top_k):
    """The best `top_k` rows of a .npy file: list of (cosine, id); see `check_settings`."""
    ids, vectors = read_vectors(path)
    check_settings(model, path)
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
