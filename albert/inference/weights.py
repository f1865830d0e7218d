"""The weights of a trained model as NumPy arrays, in the order in which inference uses them."""

from typing import List, NamedTuple, Optional, Tuple

import numpy as np

from albert.basics.errors import InputError
from albert.basics.tf_compat import tf
from albert.model_files import variables
from albert.model_files.configuration import BRIGHTMART

# The head's own normalization, which only pre-LN classifiers have (heads/classification.py).
HEAD_NORM = "loss/LayerNorm"

# A table of projected words above this size is not made; words are projected when looked up.
MAX_TABLE_BYTES = 2**27

# An affine map: kernel `[in, out]`, bias `[out]`.
AffineWeights = Tuple[np.ndarray, np.ndarray]
# A normalization: gamma and beta, `[size]`.
NormWeights = Tuple[np.ndarray, np.ndarray]


class BlockWeights(NamedTuple):
    """A block of the encoder, float32.

    The kernels of google-fast feed-forwards (`intermediate`, `output`) are
    `[in/groups, out/groups, groups]`.
    """

    query: AffineWeights
    key: AffineWeights
    value: AffineWeights
    attention_output: AffineWeights
    attention_norm: NormWeights
    intermediate: AffineWeights
    output: AffineWeights
    output_norm: NormWeights


class Weights(NamedTuple):
    """All that a prediction needs, float32.

    Attributes:
        words: `[vocab_size, size]`, projected where memory allows.
        lookup: kernel for words that are looked up, or None.
        mapping: affine map for what is normalized, or None.
        types: `[2 or more, size]`.
        positions: `[max_position_embeddings, size]`.
        embedding_norm: of the sum of the three.
        blocks: in their order; those that share parameters share the arrays.
        pooler: of the first token.
        head_norm, head: of a classifier; None where there is none.
    """

    words: np.ndarray
    lookup: Optional[np.ndarray]
    mapping: Optional[AffineWeights]
    types: np.ndarray
    positions: np.ndarray
    embedding_norm: NormWeights
    blocks: List[BlockWeights]
    pooler: AffineWeights
    head_norm: Optional[NormWeights]
    head: Optional[AffineWeights]


def read_weights(checkpoint, config):
    """Reads all that a prediction needs.

    Args:
        checkpoint: prefix of a checkpoint; its shapes were compared with `config` before.
        config: `BertConfig` or `AlbertConfig`.

    Returns:
        `Weights`, float32; `head` and `head_norm` are None where the checkpoint has none.  Layers
        that share parameters share the arrays.
    """
    reader = tf.train.load_checkpoint(checkpoint)
    cache = {}

    def get(name):
        if name not in cache:
            if not reader.has_tensor(name):
                raise InputError("%s: no variable '%s'." % (checkpoint, name))
            cache[name] = reader.get_tensor(name)
        return cache[name]

    def affine(scope):
        return get(scope + "/kernel"), get(scope + "/bias")

    def norm(scope):
        return get(scope + "/gamma"), get(scope + "/beta")

    def block(scope, names):
        scope = "bert/encoder/%s/" % scope
        attention = scope + names.attention
        return BlockWeights(
            affine(attention + "/self/query"),
            affine(attention + "/self/key"),
            affine(attention + "/self/value"),
            affine(attention + "/output/dense"),
            norm(scope + names.attention_norm),
            affine(scope + names.intermediate),
            affine(scope + names.output),
            norm(scope + names.output_norm),
        )

    embeddings = "bert/embeddings/"
    if config.family == BRIGHTMART:
        projection = (get(embeddings + "word_embeddings_2"), None)
    elif config.embedding_size != config.hidden_size:
        projection = affine("bert/encoder/embedding_hidden_mapping_in")
    else:
        projection = None
    words, lookup, mapping = _fold_projection(
        get(embeddings + "word_embeddings"), projection, config
    )
    types = get(embeddings + "token_type_embeddings")
    # A segment that the table does not have adds nothing.
    types = np.pad(types, [(0, max(0, 2 - len(types))), (0, 0)], "constant")
    has_head = reader.has_tensor("output_weights")
    return Weights(
        words=words,
        lookup=lookup,
        mapping=mapping,
        types=types,
        positions=get(embeddings + "position_embeddings"),
        embedding_norm=norm(embeddings + "LayerNorm"),
        blocks=[block(scope, names) for scope, names in variables.encoder_layers(config)],
        pooler=affine("bert/pooler/dense"),
        head_norm=norm(HEAD_NORM) if has_head and reader.has_tensor(HEAD_NORM + "/gamma") else None,
        head=(get("output_weights").T, get("output_bias")) if has_head else None,
    )


def _fold_projection(words, projection, config):
    """`words`, `lookup` and `mapping` of `Weights`."""
    if config.family != BRIGHTMART:
        return words, None, projection
    (kernel, _) = projection
    if 4 * len(words) * config.hidden_size <= MAX_TABLE_BYTES:
        return words @ kernel, None, None
    return words, kernel, None


def for_each_block(function, blocks):
    """`function(block)` of every `BlockWeights`; blocks that share parameters share the result."""
    results, known = [], {}
    for block in blocks:
        key = tuple(id(array) for part in block for array in part)
        if key not in known:
            known[key] = function(block)
        results.append(known[key])
    return results
