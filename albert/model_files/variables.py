"""Names and shapes of a model's variables, from its config alone (spec/model.md 1.3 to 1.6).

A graph has them too, but takes a second to build.
"""

import collections

import modeling
from albert.basics.tf_compat import tf
from albert.model_files.configuration import BRIGHTMART

# As checkpoint_utils.check_shapes needs them; shape: `tf.TensorShape`.
Variable = collections.namedtuple("Variable", "name shape")


def encoder_variables(config):
    """List of the variables of `modeling.BertModel`."""
    shapes = dict(_embedding_shapes(config))
    for scope, names in modeling.encoder_layers(config):
        shapes.update(_block_shapes(config, "bert/encoder/%s/" % scope, names))
    shapes.update(_affine("bert/pooler/dense", config.hidden_size, config.hidden_size))
    return _variables(shapes)


def classifier_variables(config, num_labels):
    """List of the variables of `classifier_model.create_model`."""
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
