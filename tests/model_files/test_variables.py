"""The table of a model's variables, against graphs, checkpoints and the lists of the reference."""

import json
import os

import numpy as np
import pytest

import modeling
from albert.basics.tf_compat import tf
from albert.heads import classification
from albert.model_files import checkpoints, variables
from albert.model_files.configuration import config_from_dict, load_config
from helpers.models import (
    CONFIGS,
    MODELS,
    SHIPPED,
    build_pretraining,
    golden_config,
    load_npz,
    trainable,
)
from helpers.paths import ROOT


def assert_equal(found, expected):
    """Variables of the table, and a list of [name, shape] in the order of the graph."""
    assert dict(found) == dict(expected)
    assert len(found) == len(expected)


@pytest.mark.parametrize("name", MODELS)
def test_variables_are_those_of_the_reference(golden, name):
    shapes = checkpoints.read_shapes(os.path.join(golden, "model", name, "model.ckpt"))
    expected = {key: shape for key, shape in shapes.items() if key.startswith("bert/")}
    found = variables.encoder_variables(golden_config(golden, name))
    assert dict(found) == expected
    assert len(found) == len(expected)


@pytest.mark.parametrize("name", MODELS)
def test_golden_models(golden, name):
    config = golden_config(golden, name)
    with tf.Graph().as_default():
        build_pretraining(config, load_npz(golden, name, "inputs.npz"))
        assert_equal(variables.pretraining_variables(config), trainable())


@pytest.mark.parametrize("size", SHIPPED)
def test_shipped_configs(golden, size):
    """test_modeling.py has the graphs' variables equal to these lists."""
    with open(os.path.join(golden, "model", "variable_lists.json")) as handle:
        lists = json.load(handle)
    file_name = "albert_config_%s.json" % size
    (expected,) = (value for key, value in lists.items() if key.startswith(file_name + "|"))
    config = load_config(os.path.join(ROOT, "albert_config", file_name))
    found = variables.pretraining_variables(config)
    assert_equal(found, expected["pretraining"]["variables"])
    assert sum(variable.size for variable in found) == expected["pretraining"]["num_params"]


@pytest.mark.slow
@pytest.mark.parametrize("num_labels", [1, 3])
@pytest.mark.parametrize("name", CONFIGS)
def test_classifiers(name, num_labels):
    config = config_from_dict(dict(CONFIGS[name]))
    with tf.Graph().as_default():
        ids = tf.zeros([2, 4], tf.int32)
        classification.create_model(config, False, ids, ids, ids, None, num_labels)
        assert_equal(variables.classifier_variables(config, num_labels), trainable())
    head = {name for name, _ in variables.listed(variables.classifier_parts(config, num_labels))}
    assert head <= set(variables.CLASSIFIER_HEAD)
    assert config.pre_ln == (head == set(variables.CLASSIFIER_HEAD))


@pytest.mark.parametrize(
    "name, blocks, different",
    [("postln", 3, 1), ("share_none", 3, 3), ("google", 2, 1), ("google_groups", 4, 4)],
)
def test_blocks_that_share_weights_have_the_same_variables(name, blocks, different):
    parts = variables.encoder_parts(config_from_dict(dict(CONFIGS[name])))
    assert len(parts.blocks) == blocks
    assert len({block.query.kernel.name for block in parts.blocks}) == different
    assert len(variables.listed(parts.blocks)) == different * 16


def test_replaced():
    parts = variables.encoder_parts(config_from_dict(dict(CONFIGS["postln"])))
    sizes = variables.replaced(parts, lambda variable: variable.size)
    assert type(sizes) is variables.EncoderParts
    assert type(sizes.blocks[2].output_norm) is variables.NormParts
    assert sizes.embeddings.mapping is None
    for shape, size in (
        (parts.embeddings.words.shape, sizes.embeddings.words),
        (parts.blocks[2].output.kernel.shape, sizes.blocks[2].output.kernel),
        (parts.pooler.bias.shape, sizes.pooler.bias),
    ):
        assert size == np.prod(shape)


def test_the_scope_of_a_model_is_the_graphs():
    config = config_from_dict(dict(CONFIGS["google"]))
    with tf.Graph().as_default():
        modeling.BertModel(config, False, tf.zeros([2, 4], tf.int32))
        assert_equal(variables.encoder_variables(config), trainable())


@pytest.mark.parametrize(
    "layers, groups, expected",
    [
        (12, 1, [0] * 12),
        (3, 2, [0, 0, 1]),
        (6, 4, [0, 0, 1, 2, 2, 3]),
        (4, 12, [0, 3, 6, 9]),
        (3, 12, [0, 4, 8]),
        (22, 22, [*range(15), 14, *range(16, 22)]),
    ],
)
def test_group_of_each_layer(layers, groups, expected):
    scopes = [scope for scope, _ in variables.google_layers(layers, groups)]
    assert scopes == ["transformer/group_%d/inner_group_0" % group for group in expected]
