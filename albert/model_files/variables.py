"""The variables of a model, from its config alone: the names and shapes of all its weights.

The graph (modeling.py, heads/) takes its names from here; inference reads checkpoints by them,
checks compare checkpoints with them, and costs.py counts them.  The names are those of published
checkpoints; what the variables of a layer are called below its name is layers/basic.py's.

A family of models is an entry of `_LAYERS_OF_FAMILY`; everything else follows from properties of
its config.
"""

import functools
import operator
from typing import Any, List, NamedTuple, Optional

from albert.model_files.configuration import BRIGHTMART, GOOGLE, GOOGLE_FAST

# Scopes: all below is in that of the model, but for the heads.
MODEL, EMBEDDINGS, ENCODER, POOLER = "bert", "embeddings", "encoder", "pooler"

# In the scope of the embeddings.
WORDS = "word_embeddings"
PROJECTION_SUFFIX = "_2"  # of the name of the words, where they are projected
TYPES = "token_type_embeddings"
POSITIONS = "position_embeddings"
EMBEDDING_NORM = "LayerNorm"

# In the scope of the encoder: from the size of embeddings to that of hidden states.
MAPPING = "embedding_hidden_mapping_in"
# In the scope of the pooler.
POOLER_DENSE = "dense"

# Pre-training heads: scopes, and what is in them.
MASKED_LM = "cls/predictions"
MASKED_LM_DENSE, MASKED_LM_NORM = "transform/dense", "transform/LayerNorm"
SENTENCE_ORDER = "cls/seq_relationship"

# Outputs: of the classifier in no scope, of the pre-training heads in theirs.
OUTPUT_WEIGHTS, OUTPUT_BIAS = "output_weights", "output_bias"
# Only classifiers of pre-LN encoders have a normalization, in this scope.
CLASSIFIER_LOSS, CLASSIFIER_NORM = "loss", "LayerNorm"
# All that a classifier may have and no pre-training checkpoint has.
CLASSIFIER_HEAD = (
    OUTPUT_WEIGHTS,
    OUTPUT_BIAS,
    "%s/%s/beta" % (CLASSIFIER_LOSS, CLASSIFIER_NORM),
    "%s/%s/gamma" % (CLASSIFIER_LOSS, CLASSIFIER_NORM),
)


class BlockNames(NamedTuple):
    """Where a block keeps its weights, below the scope of its layer.

    Attributes:
        query, key, value: names of the dense layers before attention.
        attention_output: of the dense layer after it.
        attention_norm: of its normalization.
        intermediate, output: of the dense layers of the feed-forward part.
        output_norm: of its normalization.
    """

    query: str
    key: str
    value: str
    attention_output: str
    attention_norm: str
    intermediate: str
    output: str
    output_norm: str


def _attention_names(scope):
    return {
        "query": scope + "/self/query",
        "key": scope + "/self/key",
        "value": scope + "/self/value",
        "attention_output": scope + "/output/dense",
    }


BRIGHTMART_NAMES = BlockNames(
    attention_norm="attention/output/LayerNorm",
    intermediate="intermediate/dense",
    output="output/dense",
    output_norm="output/LayerNorm",
    **_attention_names("attention"),
)
GOOGLE_NAMES = BlockNames(
    attention_norm="LayerNorm",
    intermediate="ffn_1/intermediate/dense",
    output="ffn_1/intermediate/output/dense",
    output_norm="LayerNorm_1",
    **_attention_names("attention_1"),
)
GOOGLE_LAYER = "transformer/group_%d/inner_group_%d"


def brightmart_layers(num_hidden_layers, share="all"):
    """Where each layer's block keeps its weights: list of (scope, `BlockNames`).

    Args:
        share: which weights the layers have in common: "all", those of "attention", those of the
            feed-forward parts ("ffn"), or "none".
    """
    layers = []
    for index in range(num_hidden_layers):
        names, own = BRIGHTMART_NAMES, "_%d" % index
        if share == "attention":
            names = names._replace(
                intermediate="intermediate%s/dense" % own,
                output="output%s/dense" % own,
                output_norm="output%s/LayerNorm" % own,
            )
        elif share == "ffn":
            names = names._replace(
                attention_norm="attention%s/output/LayerNorm" % own,
                **_attention_names("attention" + own),
            )
        elif share not in ("all", "none"):
            raise ValueError("share is '%s'; expected all, attention, ffn or none" % share)
        layers.append(("layer" + own if share == "none" else "layer_shared", names))
    return layers


def google_layers(num_hidden_layers, num_hidden_groups=1, inner_group_num=1):
    """As `brightmart_layers`, for google models: one entry for each block of each layer."""
    layers = []
    for layer in range(num_hidden_layers):
        # In floats: for a few sizes it differs from exact division, and names depend on it.
        group = int(layer / num_hidden_layers * num_hidden_groups)
        for inner in range(inner_group_num):
            layers.append((GOOGLE_LAYER % (group, inner), GOOGLE_NAMES))
    return layers


def _layers_of_brightmart(config):
    return brightmart_layers(config.num_hidden_layers, config.share)


def _layers_of_google(config):
    return google_layers(config.num_hidden_layers, config.num_hidden_groups, config.inner_group_num)


_LAYERS_OF_FAMILY = {
    BRIGHTMART: _layers_of_brightmart,
    GOOGLE: _layers_of_google,
    GOOGLE_FAST: _layers_of_google,
}


def encoder_layers(config):
    """Where the blocks of a config's model keep their weights, in the order of computation.

    Returns:
        List of (scope in the encoder's, `BlockNames`); the same entry twice means shared weights.
    """
    return _LAYERS_OF_FAMILY[config.family](config)


# ---------------------------------------------------------------------------------------------
# Variables, in tuples that have the shape of the model.  `replaced` puts arrays in their places.


class Variable(NamedTuple):
    """Name and shape of a variable; what checkpoints.check_shapes compares."""

    name: str
    shape: List[int]

    @property
    def size(self):
        """Number of its elements."""
        return functools.reduce(operator.mul, self.shape)


class DenseParts(NamedTuple):
    """Of a dense layer.

    Attributes:
        kernel: `[in, out]`; of a feed-forward layer in groups `[in/groups, out/groups, groups]`.
        bias: `[out]`.
    """

    kernel: Any
    bias: Any


class NormParts(NamedTuple):
    """Of a layer normalization, both `[width]`."""

    gamma: Any
    beta: Any


class EmbeddingParts(NamedTuple):
    """Of the embeddings.

    Attributes:
        words: `[vocab_size, embedding_size]`.
        projection: `[embedding_size, hidden_size]`, of words before they are added to; or None.
        mapping: `DenseParts` from the sums to hidden states, or None.
        types, positions: `[type_vocab_size or max_position_embeddings, embedding_width]`.
        norm: `NormParts` of the sums.
    """

    words: Any
    projection: Any
    mapping: Optional[DenseParts]
    types: Any
    positions: Any
    norm: NormParts


class BlockParts(NamedTuple):
    """Of a block; the same parts as in `BlockNames`."""

    query: DenseParts
    key: DenseParts
    value: DenseParts
    attention_output: DenseParts
    attention_norm: NormParts
    intermediate: DenseParts
    output: DenseParts
    output_norm: NormParts


class EncoderParts(NamedTuple):
    """Of `modeling.BertModel`; blocks that share weights have the same variables."""

    embeddings: EmbeddingParts
    blocks: List[BlockParts]
    pooler: DenseParts


class OutputParts(NamedTuple):
    """Of an output layer: `[outputs, hidden_size]` and `[outputs]`."""

    weights: Any
    bias: Any


class ClassifierParts(NamedTuple):
    """Of the classification head; norm: None but for pre-LN encoders."""

    output: OutputParts
    norm: Optional[NormParts]


class MaskedLmParts(NamedTuple):
    """Of the masked-LM head, whose output layer is the table of words; bias: `[vocab_size]`."""

    dense: DenseParts
    norm: NormParts
    bias: Any


def encoder_parts(config):
    """The variables of the encoder, as `EncoderParts`."""
    layers = encoder_layers(config)
    return EncoderParts(
        _embedding_parts(config),
        [_block_parts(config, _join(MODEL, ENCODER, scope), names) for scope, names in layers],
        _dense(_join(MODEL, POOLER, POOLER_DENSE), config.hidden_size, config.hidden_size),
    )


def _embedding_parts(config):
    scope = _join(MODEL, EMBEDDINGS)
    words, size, width = _join(scope, WORDS), config.embedding_size, config.embedding_width
    projection, mapping = None, None
    if config.projects_words:
        projection = Variable(words + PROJECTION_SUFFIX, [size, width])
    if width != config.hidden_size:
        mapping = _dense(_join(MODEL, ENCODER, MAPPING), width, config.hidden_size)
    return EmbeddingParts(
        Variable(words, [config.vocab_size, size]),
        projection,
        mapping,
        Variable(_join(scope, TYPES), [config.type_vocab_size, width]),
        Variable(_join(scope, POSITIONS), [config.max_position_embeddings, width]),
        _norm(_join(scope, EMBEDDING_NORM), width),
    )


def _block_parts(config, scope, names):
    width, inner, groups = config.hidden_size, config.intermediate_size, config.ffn_groups
    names = BlockNames(*(_join(scope, name) for name in names))
    return BlockParts(
        _dense(names.query, width, width),
        _dense(names.key, width, width),
        _dense(names.value, width, width),
        _dense(names.attention_output, width, width),
        _norm(names.attention_norm, width),
        _dense(names.intermediate, width, inner, groups),
        _dense(names.output, inner, width, groups),
        _norm(names.output_norm, width),
    )


def classifier_parts(config, num_labels):
    """The variables of the head that `heads.classification` adds, as `ClassifierParts`."""
    norm = None
    if config.pre_ln:
        norm = _norm(_join(CLASSIFIER_LOSS, CLASSIFIER_NORM), config.hidden_size)
    return ClassifierParts(_output(OUTPUT_WEIGHTS, OUTPUT_BIAS, num_labels, config), norm)


def masked_lm_parts(config):
    """The variables of the masked-LM head of `heads.pretraining`, as `MaskedLmParts`."""
    width = config.embedding_width
    return MaskedLmParts(
        _dense(_join(MASKED_LM, MASKED_LM_DENSE), config.hidden_size, width),
        _norm(_join(MASKED_LM, MASKED_LM_NORM), width),
        Variable(_join(MASKED_LM, OUTPUT_BIAS), [config.vocab_size]),
    )


def sentence_order_parts(config):
    """The variables of the sentence-order head of `heads.pretraining`, as `OutputParts`."""
    names = (_join(SENTENCE_ORDER, name) for name in (OUTPUT_WEIGHTS, OUTPUT_BIAS))
    return _output(*names, 2, config)


def _join(*names):
    return "/".join(names)


def _dense(name, inputs, outputs, groups=1):
    kernel = [inputs, outputs] if groups == 1 else [inputs // groups, outputs // groups, groups]
    return DenseParts(Variable(name + "/kernel", kernel), Variable(name + "/bias", [outputs]))


def _norm(name, width):
    return NormParts(Variable(name + "/gamma", [width]), Variable(name + "/beta", [width]))


def _output(weights, bias, outputs, config):
    return OutputParts(Variable(weights, [outputs, config.hidden_size]), Variable(bias, [outputs]))


# ---------------------------------------------------------------------------------------------
# Lists of them


def encoder_variables(config):
    """List of the variables of `modeling.BertModel`."""
    return listed(encoder_parts(config))


def classifier_variables(config, num_labels):
    """List of the variables of a classifier, the encoder's first."""
    return encoder_variables(config) + listed(classifier_parts(config, num_labels))


def pretraining_variables(config):
    """List of the variables of the pre-training model, the encoder's first."""
    heads = [masked_lm_parts(config), sentence_order_parts(config)]
    return encoder_variables(config) + listed(heads)


def listed(parts):
    """The variables in tuples and lists of such tuples, each once, in their order."""
    found = {}
    replaced(parts, lambda variable: found.setdefault(variable.name, variable))
    return list(found.values())


def replaced(parts, function):
    """The same tuples with `function(variable)` in place of every variable; None stays."""
    if parts is None:
        return None
    if isinstance(parts, Variable):
        return function(parts)
    values = [replaced(part, function) for part in parts]
    return values if isinstance(parts, list) else type(parts)(*values)
