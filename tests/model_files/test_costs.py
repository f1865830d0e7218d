"""What models cost, against the graphs that modeling.py builds; the script that prints it."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest

import modeling
import optimization
from albert.basics.tf_compat import tf
from albert.heads import classification
from albert.heads.pretraining import masked_lm_output, sentence_order_output
from albert.layers.basic import dense
from albert.model_files import costs, variables
from albert.model_files.configuration import AlbertConfig, BertConfig, load_config
from helpers.models import SHIPPED, build_pretraining
from helpers.paths import ROOT

SEQ_LENGTH, NUM_PREDICTIONS = 16, 3
SMALL = dict(
    vocab_size=50,
    embedding_size=6,
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=64,
    max_position_embeddings=24,
    type_vocab_size=3,
    hidden_dropout_prob=0.0,
    attention_probs_dropout_prob=0.0,
)
MODELS = {
    "postln": (BertConfig, {}),
    "preln": (BertConfig, dict(ln_type="preln")),
    "one layer": (BertConfig, dict(num_hidden_layers=1)),
    "share attention": (BertConfig, dict(share="attention")),
    "share ffn": (BertConfig, dict(share="ffn", ln_type="preln")),
    "share none": (BertConfig, dict(share="none")),
    "google": (AlbertConfig, {}),
    "embedding as wide as hidden": (AlbertConfig, dict(embedding_size=32)),
    "groups": (AlbertConfig, dict(num_hidden_groups=2, inner_group_num=2)),
    "more groups than layers": (AlbertConfig, dict(num_hidden_groups=5)),
    "fast": (AlbertConfig, dict(ffn_groups=16, num_hidden_groups=3)),
}


def small_config(name, **changes):
    family, settings = MODELS[name]
    return family(**dict(SMALL, **dict(settings, **changes)))


def shipped_config(size):
    return load_config(os.path.join(ROOT, "albert_config", "albert_config_%s.json" % size))


def any_config(name):
    return small_config(name) if name in MODELS else shipped_config(name)


def pretraining_inputs(batch_size=2):
    tokens = np.ones([batch_size, SEQ_LENGTH], np.int32)
    predictions = np.ones([batch_size, NUM_PREDICTIONS], np.int32)
    return {
        "input_ids": tokens,
        "input_mask": tokens,
        "segment_ids": tokens,
        "masked_lm_positions": predictions,
        "masked_lm_ids": predictions,
        "masked_lm_weights": predictions.astype(np.float32),
        "next_sentence_labels": np.ones([batch_size, 1], np.int32),
    }


def build_classifier(config, num_labels, batch_size=2):
    ids = tf.ones([batch_size, SEQ_LENGTH], tf.int32)
    return classification.create_model(config, False, ids, ids, ids, None, num_labels)[-1]


def variable_sizes(prefix=""):
    return sum(
        variable.shape.num_elements()
        for variable in tf.trainable_variables()
        if variable.name.startswith(prefix)
    )


# Parameters


@pytest.mark.parametrize("name", sorted(MODELS))
def test_parameters(name):
    config = small_config(name)
    counts = costs.parameters(config)
    with tf.Graph().as_default():
        build_pretraining(config, pretraining_inputs())
        assert sum(counts.values()) == variable_sizes()
        assert costs.encoder_parameters(config) == variable_sizes("bert/")
        for part, prefix in (
            ("pooler", "bert/pooler/"),
            ("masked_lm", "cls/predictions/"),
            ("sentence_order", "cls/seq_relationship/"),
        ):
            assert counts[part] == variable_sizes(prefix), part
        mapping = variable_sizes("bert/encoder/embedding_hidden_mapping_in")
        assert counts["embeddings"] == variable_sizes("bert/embeddings/") + mapping
        assert counts["blocks"] == variable_sizes("bert/encoder/") - mapping


def test_groups_are_rounded_as_in_the_model():
    """Of 22 groups one is never made."""
    one, some = (
        costs.parameters(small_config("google", num_hidden_layers=22, num_hidden_groups=size))
        for size in (1, 22)
    )
    assert some["blocks"] == len(set(variables.google_layers(22, 22))) * one["blocks"]
    assert some["blocks"] == 21 * one["blocks"]


@pytest.mark.parametrize("size", SHIPPED)
def test_parameters_of_shipped_configs(golden, size):
    """test_modeling.py has the graphs' variables equal to these lists."""
    with open(os.path.join(golden, "model", "variable_lists.json")) as handle:
        lists = json.load(handle)
    key = "albert_config_%s.json|" % size
    (expected,) = (value for name, value in lists.items() if name.startswith(key))
    config = shipped_config(size)
    pretraining = expected["pretraining"]
    assert sum(costs.parameters(config).values()) == pretraining["num_params"]
    of_encoder = [shape for name, shape in pretraining["variables"] if name.startswith("bert/")]
    assert costs.encoder_parameters(config) == sum(map(np.prod, of_encoder))


@pytest.mark.parametrize("name", ["postln", "preln", "google", "fast"])
@pytest.mark.parametrize("num_labels", [1, 119])
def test_parameters_of_a_classifier(name, num_labels):
    config = small_config(name)
    with tf.Graph().as_default():
        build_classifier(config, num_labels)
        assert costs.classifier_parameters(config, num_labels) == variable_sizes()


@pytest.mark.slow
def test_checkpoint_size(tmp_path):
    config = small_config("google")
    with tf.Graph().as_default(), tf.Session() as session:
        loss = build_pretraining(config, pretraining_inputs())["total_loss"]
        weights = tf.trainable_variables()
        optimization.create_optimizer(loss, 0.1, 10, 0, optimizer="lamb")
        session.run(tf.global_variables_initializer())
        tf.train.Saver(weights).save(session, str(tmp_path / "weights"))
        tf.train.Saver().save(session, str(tmp_path / "training"))
    total = sum(costs.parameters(config).values())
    for name, training in (("weights", False), ("training", True)):
        size = os.path.getsize(str(tmp_path / (name + ".data-00000-of-00001")))
        assert costs.checkpoint_bytes(total, training) == size


# Arithmetic


def upstream(*tensors):
    """All operations that tensors depend on."""
    found = set()
    waiting = [tensor.op for tensor in tensors]
    while waiting:
        operation = waiting.pop()
        if operation not in found:
            found.add(operation)
            waiting += [tensor.op for tensor in operation.inputs] + operation.control_inputs
    return found


def gradients(loss):
    tensors = []
    for gradient in tf.gradients(loss, tf.trainable_variables(), name="gradients"):
        if isinstance(gradient, tf.IndexedSlices):
            tensors += [gradient.values, gradient.indices]
        else:
            tensors.append(gradient)
    return tensors


def count_flops(*tensors):
    """Of the matrix products that tensors depend on, for each of the two sequences."""
    total = 0
    for operation in upstream(*tensors):
        if operation.type == "MatMul":
            transposed = operation.get_attr("transpose_a")
        elif operation.type.startswith("BatchMatMul"):
            transposed = operation.get_attr("adj_x")
        else:
            assert operation.type not in ("Einsum", "Conv2D"), operation.type
            continue
        summed = operation.inputs[0].shape.as_list()[-2 if transposed else -1]
        total += 2 * summed * operation.outputs[0].shape.num_elements()
    assert total % 2 == 0
    return total // 2


# Sharing changes nothing here.
COMPUTED = ["tiny", "postln", "preln", "google", "embedding as wide as hidden", "groups", "fast"]


@pytest.mark.parametrize("name", COMPUTED)
def test_inference_flops(name):
    config = any_config(name)
    with tf.Graph().as_default():
        probabilities = build_classifier(config, num_labels=3)
        expected = count_flops(probabilities)
    assert costs.inference_flops(config, SEQ_LENGTH, 3) == expected


@pytest.mark.parametrize(
    "name, everywhere",
    [(name, False) for name in COMPUTED] + [(name, True) for name in ("postln", "google", "fast")],
)
def test_training_flops(name, everywhere):
    config = any_config(name)
    inputs = pretraining_inputs()
    with tf.Graph().as_default():
        if everywhere:
            loss = loss_of_all_positions(config, inputs)
        else:
            loss = build_pretraining(config, inputs, is_training=True)["total_loss"]
        expected = count_flops(loss, *gradients(loss))
    actual = costs.training_flops(config, SEQ_LENGTH, NUM_PREDICTIONS, everywhere)
    assert actual == expected


class AllPositions:
    """A model whose last block is computed everywhere before it is read."""

    def __init__(self, config, inputs):
        self._model = modeling.BertModel(
            config, True, inputs["input_ids"], inputs["input_mask"], inputs["segment_ids"]
        )
        self._config = config
        self._positions = inputs["masked_lm_positions"]
        self.get_embedding_table = self._model.get_embedding_table
        self.get_embedding_table_2 = self._model.get_embedding_table_2

    def get_positions_output(self):
        return modeling.gather_positions(self._model.get_sequence_output(), self._positions)

    def get_pooled_output(self):
        first = self._model.get_sequence_output()[:, 0]
        with tf.variable_scope("bert/pooler", reuse=True):
            return dense(first, self._config.hidden_size, "dense", tf.tanh)


def loss_of_all_positions(config, inputs):
    inputs = {key: tf.constant(value) for key, value in inputs.items()}
    model = AllPositions(config, inputs)
    mlm = masked_lm_output(config, model, inputs["masked_lm_ids"], inputs["masked_lm_weights"])
    return mlm.loss + sentence_order_output(config, model, inputs["next_sentence_labels"]).loss


@pytest.mark.parametrize("name", COMPUTED)
def test_inference_flops_of_all_positions(name):
    config = any_config(name)
    with tf.Graph().as_default():
        inputs = {key: tf.constant(value) for key, value in pretraining_inputs().items()}
        expected = count_flops(AllPositions(config, inputs).get_pooled_output())
    expected += 2 * config.hidden_size * 5  # five labels
    assert costs.inference_flops(config, SEQ_LENGTH, 5, everywhere=True) == expected


# Memory

VIEWS = ("Reshape", "Identity", "IdentityN", "ExpandDims", "Squeeze")
NOT_KEPT = ("Const", "VarHandleOp", "ReadVariableOp")  # inputs and weights


BATCH_SIZE = 7  # a prime, and no factor of another size


def kept_bytes(config):
    """Bytes of the forward pass, for one sequence, that the backward pass reads."""
    with tf.Graph().as_default():
        loss = build_pretraining(config, pretraining_inputs(BATCH_SIZE), True)["total_loss"]
        tensors = set()
        for operation in upstream(*gradients(loss)):
            if operation.name.startswith("gradients"):
                tensors.update(map(storage, operation.inputs))
    sizes = [
        tensor.shape.num_elements() * tensor.dtype.size
        for tensor in tensors
        if tensor.op.type not in NOT_KEPT and not tensor.op.name.startswith("gradients")
    ]
    return sum(size for size in sizes if size % BATCH_SIZE == 0) // BATCH_SIZE


def storage(tensor):
    """The tensor whose memory this one uses."""
    while tensor.op.type in VIEWS:
        tensor = tensor.op.inputs[tensor.value_index if tensor.op.type == "IdentityN" else 0]
    return tensor


@pytest.mark.parametrize(
    "name, changes",
    [(name, {}) for name in ("postln", "preln", "google", "fast")]
    + [("embedding as wide as hidden", dict(hidden_dropout_prob=0.1))]
    + [
        (name, {key: 0.1})
        for name in ("postln", "preln", "google")
        for key in ("hidden_dropout_prob", "attention_probs_dropout_prob")
    ]
    + [("postln", dict(hidden_act=name)) for name in ("relu", "tanh", "swish", "linear")],
)
def test_activation_bytes(name, changes):
    config = small_config(name, **changes)
    expected = kept_bytes(config)
    mask_bytes = 4 if tf.__version__.startswith("1.") else 1
    actual = costs.activation_bytes(config, SEQ_LENGTH, NUM_PREDICTIONS, mask_bytes)
    assert actual == expected


# The script


def run(*arguments):
    return subprocess.run(
        [sys.executable, os.path.join(ROOT, "scripts", "count_params_and_flops.py"), *arguments],
        capture_output=True,
        text=True,
    )


def test_json():
    path = os.path.join(ROOT, "albert_config", "albert_config_xxlarge.json")
    settings = ["--seq_length=512", "--num_predictions=51", "--num_labels=3"]
    result = run("--format=json", *settings, path)
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    (row,) = report.pop("models")
    assert report == {"seq_length": 512, "num_predictions": 51, "num_labels": 3}
    config = shipped_config("xxlarge")
    assert row["config"] == "albert_config_xxlarge.json"
    assert row["pretraining_parameters"] == sum(row["parameters"].values()) == 240322186
    assert row["classifier_parameters"] == costs.classifier_parameters(config, 3)
    assert row["training_checkpoint_bytes"] == 3 * row["checkpoint_bytes"] + 8
    assert row["inference_flops"] == costs.inference_flops(config, 512, 3)
    assert row["training_flops"] == costs.training_flops(config, 512, 51)
    for name in ("inference_flops", "training_flops"):
        assert row[name + "_all_positions"] > row[name]
    kept = costs.activation_bytes(config, 512, 51)
    assert row["training_bytes_per_example"] == kept + 2 * 51 * 21128 * 4


def test_tables_have_every_shipped_config():
    text = run()
    markdown = run("--format=markdown")
    assert (text.returncode, markdown.returncode) == (0, 0), text.stderr + markdown.stderr
    rows = [line.split() for line in text.stdout.splitlines() if "json" in line]
    assert {row[0] for row in rows} == {"albert_config_%s.json" % size for size in SHIPPED}
    cells = [line.strip("| ").split(" | ") for line in markdown.stdout.splitlines()]
    assert [row for row in cells if "json" in row[0]] == rows
    (tiny,) = (row for row in rows if row[0] == "albert_config_tiny.json")
    assert tiny[1:5] == ["4,295,186", "4,175,152", "17.2", "51.5"]
    assert len(set(map(len, text.stdout.splitlines()[2:]))) == 1  # aligned


def test_tensorflow_is_not_needed():
    code = "import sys; from scripts import count_params_and_flops as script; "
    code += "script.describe(script.shipped_configs()[0], 128, 20, 2); "
    code += "print('tensorflow' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (0, "False\n"), result.stderr


@pytest.mark.parametrize(
    "arguments, expected",
    [
        (["nowhere.json"], "error: nowhere.json: no such file."),
        (
            ["--seq_length=513", os.path.join(ROOT, "albert_config", "albert_config_tiny.json")],
            "error: --seq_length is 513, but .*albert_config_tiny.json has max_position_embeddings "
            "512.",
        ),
        (["--num_predictions=0"], "num_predictions"),
        (["--format=html"], "format"),
    ],
)
def test_bad_input(arguments, expected):
    result = run(*arguments)
    assert result.returncode != 0
    assert re.search(expected, result.stdout + result.stderr)
    assert "Traceback" not in result.stderr
