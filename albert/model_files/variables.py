"""Names and shapes of a model's variables, from its config alone.

A graph has them too, but takes a second to build.
"""

import collections

from albert.basics.tf_compat import tf
from albert.model_files.configuration import BRIGHTMART

# As checkpoints.check_shapes needs them; shape: `tf.TensorShape`.
Variable = collections.namedtuple("Variable", "name shape")


# Where a block keeps its variables, below the scope of its layer.
BlockNames = collections.namedtuple(
    "BlockNames", "attention attention_norm intermediate output output_norm"
)
BRIGHTMART_NAMES = BlockNames(
    attention="attention",
    attention_norm="attention/output/LayerNorm",
    intermediate="intermediate/dense",
    output="output/dense",
    output_norm="output/LayerNorm",
)
GOOGLE_NAMES = BlockNames(
    attention="attention_1",
    attention_norm="LayerNorm",
    intermediate="ffn_1/intermediate/dense",
    output="ffn_1/intermediate/output/dense",
    output_norm="LayerNorm_1",
)


def encoder_variables(config):
    """List of the variables of `modeling.BertModel`."""
    shapes = dict(_embedding_shapes(config))
    for scope, names in encoder_layers(config):
        shapes.update(_block_shapes(config, "bert/encoder/%s/" % scope, names))
    shapes.update(_affine("bert/pooler/dense", config.hidden_size, config.hidden_size))
    return _variables(shapes)


def classifier_variables(config, num_labels):
    """List of the variables of `classification.create_model`."""
    shapes = {"output_weights": [num_labels, config.hidden_size], "output_bias": [num_labels]}
    if getattr(config, "ln_type", None) == "preln":
        shapes.update(_norm("loss/LayerNorm", config.hidden_size))
    return encoder_variables(config) + _variables(shapes)


def _variables(shapes):
    return [Variable(name, tf.TensorShape(shape)) for name, shape in shapes.items()]


def _embedding_shapes(config):
    scope = "bert/embeddings/"
    size, width = config.embedding_size, config.embedding_size
    yield scope + "word_embeddings", [config.vocab_size, size]
    if config.family == BRIGHTMART:
        width = config.hidden_size
        yield scope + "word_embeddings_2", [size, width]
    elif size != config.hidden_size:
        mapping = "bert/encoder/embedding_hidden_mapping_in"
        yield from _affine(mapping, size, config.hidden_size).items()
    yield scope + "token_type_embeddings", [config.type_vocab_size, width]
    yield scope + "position_embeddings", [config.max_position_embeddings, width]
    yield from _norm(scope + "LayerNorm", width).items()


def _block_shapes(config, scope, names):
    width, inner = config.hidden_size, config.intermediate_size
    groups = 1 if config.family == BRIGHTMART else config.ffn_groups
    attention = scope + names.attention
    shapes = {}
    for part in ("self/query", "self/key", "self/value", "output/dense"):
        shapes.update(_affine("%s/%s" % (attention, part), width, width))
    shapes.update(_norm(scope + names.attention_norm, width))
    shapes.update(_affine(scope + names.intermediate, width, inner, groups))
    shapes.update(_affine(scope + names.output, inner, width, groups))
    shapes.update(_norm(scope + names.output_norm, width))
    return shapes


def _affine(scope, inputs, outputs, groups=1):
    kernel = [inputs, outputs] if groups == 1 else [inputs // groups, outputs // groups, groups]
    return {scope + "/kernel": kernel, scope + "/bias": [outputs]}


def _norm(scope, width):
    return {scope + "/gamma": [width], scope + "/beta": [width]}


def brightmart_layers(num_hidden_layers, share="all"):
    """Where each layer's block keeps its variables: list of (scope, `BlockNames`).

    `share` says which parameters the layers have in common.
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
                attention="attention" + own,
                attention_norm="attention%s/output/LayerNorm" % own,
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
            scope = "transformer/group_%d/inner_group_%d" % (group, inner)
            layers.append((scope, GOOGLE_NAMES))
    return layers


def encoder_layers(config):
    """Where the blocks of a config's model keep their variables, in the order of computation.

    Returns:
        List of (scope, `BlockNames`); the same entry twice means shared parameters.
    """
    if config.family == BRIGHTMART:
        return brightmart_layers(config.num_hidden_layers, config.share)
    return google_layers(config.num_hidden_layers, config.num_hidden_groups, config.inner_group_num)
