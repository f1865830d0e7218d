"""The weights of a trained model as NumPy arrays, in the order in which inference uses them."""

from typing import List, NamedTuple, Optional

import numpy as np

from albert.basics.errors import InputError
from albert.model_files import checkpoints, variables
from albert.model_files.stored_variables import read_stored, say_scope
from albert.model_files.variables import BlockParts, DenseParts, NormParts

# A table of projected words above this size is not made; words are projected when looked up.
MAX_TABLE_BYTES = 2**27


class Weights(NamedTuple):
    """All arrays that a prediction needs, float32.

    Attributes:
        words: `[vocab_size, size]`, projected where memory allows.
        lookup: kernel for words that are looked up, or None.
        mapping: (kernel, bias) for what is normalized, or None.
        types: `[2 or more, size]`.
        positions: `[max_position_embeddings, size]`.
        embedding_norm: (gamma, beta) of the sums of these.
        blocks: one for each block of each layer; those that share weights share the arrays.
        pooler: of the tanh layer over first tokens.
        head_norm: of the classifier of a pre-LN encoder, or None.
        head: kernel `[hidden_size, num_labels]` and bias of the classifier; None: there is none.
    """

    words: np.ndarray
    lookup: Optional[np.ndarray]
    mapping: Optional[DenseParts]
    types: np.ndarray
    positions: np.ndarray
    embedding_norm: NormParts
    blocks: List[BlockParts]
    pooler: DenseParts
    head_norm: Optional[NormParts]
    head: Optional[DenseParts]


def read_weights(checkpoint, config):
    """Reads all that a prediction needs.

    Args:
        checkpoint: prefix of a checkpoint; its shapes were compared with `config` before.
        config: `BertConfig` or `AlbertConfig`.

    Returns:
        `Weights`; `head` and `head_norm` are None where the checkpoint has no classifier.
    """
    stored = read_stored(checkpoint)
    say_scope(stored)
    read_array = stored.reader()
    arrays = {}  # read once, so that blocks can share them

    def read(variable):
        name = variable.name
        if name not in arrays:
            if name not in stored.shapes:
                raise InputError("%s: no variable '%s'." % (checkpoint, name))
            arrays[name] = read_array(name)
        return arrays[name]

    encoder = variables.replaced(variables.encoder_parts(config), read)
    embeddings = encoder.embeddings
    words, lookup = _fold_projection(embeddings.words, embeddings.projection)
    # A segment that the table does not have adds nothing.
    missing = max(0, 2 - len(embeddings.types))
    head = norm = None
    if checkpoints.is_classifier(stored.shapes):
        parts = variables.classifier_parts(config, stored.shapes[variables.OUTPUT_WEIGHTS][0])
        output, norm = variables.replaced(parts, read)
        head = DenseParts(output.weights.T, output.bias)
    return Weights(
        words=words,
        lookup=lookup,
        mapping=embeddings.mapping,
        types=np.pad(embeddings.types, [(0, missing), (0, 0)], "constant"),
        positions=embeddings.positions,
        embedding_norm=embeddings.norm,
        blocks=encoder.blocks,
        pooler=encoder.pooler,
        head_norm=norm,
        head=head,
    )


def _fold_projection(words, projection):
    """`words` and `lookup` of `Weights`."""
    if projection is None:
        return words, None
    if 4 * len(words) * projection.shape[1] <= MAX_TABLE_BYTES:
        return words @ projection, None
    return words, projection


def for_each_block(function, blocks):
    """`function(block)` of every `BlockParts`; blocks that share weights share the result."""
    results, known = [], {}
    for block in blocks:
        key = tuple(id(array) for part in block for array in part)
        if key not in known:
            known[key] = function(block)
        results.append(known[key])
    return results
