"""scripts/export_saved_model.py: what is written computes what the plain graph does, or is not."""

import json
import os
import shutil
import subprocess
import sys
from unittest import mock

import numpy as np
import pytest
from absl import flags
from tensorflow.core.protobuf import saved_model_pb2

from albert.basics import storage
from albert.basics.errors import InputError
from albert.basics.tf_compat import tf
from albert.conversion import saved_model, versions
from helpers import plain_graph
from helpers.models import CONFIGS, write_model
from helpers.paths import ROOT
from helpers.tasks import VOCABULARY
from scripts import export_saved_model

# Operations and their attributes, all in TensorFlow 1.15.  An older TensorFlow refuses a graph with
# others; attributes with an underscore are everywhere allowed.
KNOWN = {
    name: set(attributes)
    for name, *attributes in map(
        str.split,
        """
        AddV2 T
        ArgMax T Tidx output_type
        BatchMatMulV2 T adj_x adj_y
        BiasAdd T data_format
        Cast DstT SrcT Truncate
        Const dtype value
        ExpandDims T Tdim
        Fill T index_type
        GatherV2 Taxis Tindices Tparams batch_dims
        Identity T
        IdentityN T
        MatMul T transpose_a transpose_b
        Maximum T
        Mean T Tidx keep_dims
        Mul T
        OneHot T TI axis
        Pack N T axis
        Pad T Tpaddings
        Placeholder dtype shape
        Range Tidx
        RealDiv T
        Relu T
        Reshape T Tshape
        Rsqrt T
        Shape T out_type
        Sigmoid T
        Slice Index T
        Softmax T
        Square T
        Squeeze T squeeze_dims
        StridedSlice Index T begin_mask ellipsis_mask end_mask new_axis_mask shrink_axis_mask
        Sub T
        Sum T Tidx keep_dims
        Tanh T
        Transpose T Tperm
        """.strip().splitlines(),
    )
}
SMALL = dict(CONFIGS["postln"], num_hidden_layers=1)
TASK = {"task_name": "lcqmc", "labels": ["0", "1", "2"], "max_seq_length": 24, "pooling": "cls"}


def random_encoded(*lengths):
    """(ids, segment ids) of these lengths."""
    random = np.random.RandomState(3)
    return [
        (random.randint(len(VOCABULARY), size=length).tolist(), [0] * 2 + [1] * (length - 2))
        for length in lengths
    ]


def inputs(encoded, width=None):
    """The signature's inputs, padded to the longest or to a width."""
    width = width or max(len(ids) for ids, _ in encoded)
    batch = np.zeros([3, len(encoded), width], np.int32)
    for row, (ids, segments) in enumerate(encoded):
        batch[0, row, : len(ids)] = ids
        batch[1, row, : len(ids)] = 1
        batch[2, row, : len(ids)] = segments
    return dict(zip(("input_ids", "input_mask", "segment_ids"), batch))


class Loaded:
    """A SavedModel, loaded into a session of its own."""

    def __init__(self, folder):
        self._session = tf.Session(graph=tf.Graph())
        with self._session.graph.as_default():
            meta_graph = tf.saved_model.load(self._session, ["serve"], folder)
        self.signature = meta_graph.signature_def["serving_default"]

    def __call__(self, **values):
        names = {name: info.name for name, info in self.signature.outputs.items()}
        feed = {self.signature.inputs[name].name: value for name, value in values.items()}
        return self._session.run(names, feed)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._session.close()


def export(folder, output_dir, **settings):
    classifier = saved_model.read_classifier(str(folder))
    return versions.export(classifier, str(output_dir), **settings)


def run_script(**settings):
    script = os.path.join(ROOT, "scripts", "export_saved_model.py")
    return subprocess.run(
        [sys.executable, script, *("--%s=%s" % setting for setting in settings.items())],
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory):
    """A classifier; read only."""
    folder = tmp_path_factory.mktemp("model") / "model"
    write_model(folder, SMALL, 3, **TASK)
    return folder


@pytest.fixture(scope="module")
def prepared(model_dir):
    """The functions that build graphs, giving what they give for `model_dir`, to save time."""
    classifier = saved_model.read_classifier(str(model_dir))
    graph = saved_model.serving_graph(classifier)
    expected = saved_model.plain_outputs(classifier, saved_model.parity_batches(classifier))
    return mock.patch.multiple(
        saved_model,
        serving_graph=lambda classifier: graph,
        plain_outputs=lambda classifier, batches: expected,
    )


@pytest.fixture(scope="module")
def exported(model_dir, prepared, tmp_path_factory):
    """The SavedModel of `model_dir`; read only."""
    with prepared:
        return export(model_dir, tmp_path_factory.mktemp("served"))[0]


def tree(folder):
    """`{relative path: content}`."""
    return {
        os.path.relpath(os.path.join(parent, name), str(folder)): storage.read_bytes(
            os.path.join(parent, name)
        )
        for parent, _, names in os.walk(str(folder))
        for name in names
    }


# What is written

LOAD = """
import sys
import numpy as np
import tensorflow as tf

ids = np.array([[2, 7, 8, 3]], np.int32)
inputs = {"input_ids": ids, "input_mask": np.ones_like(ids), "segment_ids": np.zeros_like(ids)}
if tf.__version__.startswith("1."):
    outputs = tf.contrib.predictor.from_saved_model(sys.argv[1])(inputs)
else:
    model = tf.saved_model.load(sys.argv[1]).signatures["serving_default"]
    outputs = model(**{name: tf.constant(values) for name, values in inputs.items()})
print(",".join("%.9f" % value for value in np.array(outputs["probabilities"])[0]))
"""


@pytest.mark.slow
def test_script(model_dir, tmp_path):
    result = run_script(model_dir=model_dir, output_dir=tmp_path / "served", version=7)
    assert result.returncode == 0, result.stderr
    folder = str(tmp_path / "served" / "7")
    lines = dict(line.split(": ", 1) for line in result.stdout.splitlines())
    assert lines["checkpoint"] == str(model_dir / "model.ckpt")
    assert lines["labels"] == "3"
    assert lines["written"] == folder
    assert "probabilities" in lines["largest difference to the plain graph"]
    assert os.listdir(str(tmp_path / "served")) == ["7"]

    content = tree(folder)
    assert set(content) == {"saved_model.pb"} | {
        os.path.join("assets.extra", name)
        for name in ("albert_config.json", "vocab.txt", "task.json")
    }
    for name in ("albert_config.json", "vocab.txt"):
        assert content[os.path.join("assets.extra", name)] == (model_dir / name).read_bytes()
    task = json.loads(content[os.path.join("assets.extra", "task.json")].decode("utf-8"))
    assert task == dict(TASK, do_lower_case=True, preprocess_text=False)

    # With nothing but TensorFlow, as a client of its own.
    loaded = subprocess.run(
        [sys.executable, "-c", LOAD, folder], capture_output=True, text=True, cwd=str(tmp_path)
    )
    assert loaded.returncode == 0, loaded.stderr
    checkpoint, config = str(model_dir / "model.ckpt"), saved_model.read_classifier(str(model_dir))
    expected = plain_graph.probabilities(checkpoint, config.config, [([2, 7, 8, 3], [0] * 4)])
    actual = [float(value) for value in loaded.stdout.split(",")]
    np.testing.assert_allclose(actual, expected[0], rtol=0, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, num_labels",
    [("postln", 2), ("preln", 5), ("share_none", 2), ("google_groups", 119), ("google_fast", 2)],
)
def test_families(tmp_path, name, num_labels):
    encoded = random_encoded(3, 64, 20, 64, 7)
    checkpoint, config = write_model(tmp_path / "model", CONFIGS[name], num_labels)
    expected = plain_graph.probabilities(checkpoint, config, encoded)
    assert np.ptp(expected, axis=0).max() > 0.01  # the comparisons below can fail
    folder, differences = export(tmp_path / "model", tmp_path / "served")
    assert all(0 <= value <= 1e-5 for value in differences.values())
    with Loaded(folder) as model:
        together = model(**inputs(encoded))
        alone = [model(**inputs([pair]))["probabilities"][0] for pair in encoded]
    check_graph(folder)
    np.testing.assert_allclose(together["probabilities"], expected, rtol=0, atol=1e-5)
    np.testing.assert_allclose(alone, expected, rtol=0, atol=1e-5)
    np.testing.assert_array_equal(together["predictions"], expected.argmax(1))


def check_graph(folder):
    """Every TensorFlow from 1.15 on can read it."""
    content = storage.read_bytes(os.path.join(folder, "saved_model.pb"))
    (meta_graph,) = saved_model_pb2.SavedModel.FromString(content).meta_graphs
    graph_def = meta_graph.graph_def
    for node in graph_def.node:
        attributes = {name for name in node.attr if not name.startswith("_")}
        assert attributes <= KNOWN[node.op], node.op
    assert not graph_def.library.function
    assert graph_def.versions.min_consumer == 0


def test_signature(exported):
    with Loaded(exported) as model:
        signature = model.signature
    assert signature.method_name == "tensorflow/serving/predict"
    described = {
        name: (tf.as_dtype(info.dtype), [axis.size for axis in info.tensor_shape.dim])
        for infos in (signature.inputs, signature.outputs)
        for name, info in infos.items()
    }
    tokens = (tf.int32, [-1, -1])
    assert described == {
        "input_ids": tokens,
        "input_mask": tokens,
        "segment_ids": tokens,
        "probabilities": (tf.float32, [-1, 3]),
        "logits": (tf.float32, [-1, 3]),
        "predictions": (tf.int32, [-1]),
    }


def test_longer_than_the_position_table(exported):
    with Loaded(exported) as model, pytest.raises(tf.errors.InvalidArgumentError):
        model(**inputs(random_encoded(65)))


@pytest.mark.slow
@pytest.mark.parametrize("pooling", ["mean", "masked_mean"])
def test_poolings(tmp_path, pooling):
    task = dict(TASK, pooling=pooling)
    checkpoint, config = write_model(tmp_path / "model", SMALL, 3, **task)
    encoded = random_encoded(4, 24, 10)
    expected = plain_graph.probabilities(
        checkpoint, config, encoded, pooling=pooling, fixed_length=24
    )
    folder, _ = export(tmp_path / "model", tmp_path / "served")
    with Loaded(folder) as model:
        for batch in (inputs(encoded), inputs(encoded[:1]), inputs(encoded[:1], width=19)):
            actual = model(**batch)["probabilities"]
            np.testing.assert_allclose(actual, expected[: len(actual)], rtol=0, atol=1e-5)
        longer = inputs(random_encoded(25))
        if pooling == "mean":  # another length would be another mean
            with pytest.raises(tf.errors.InvalidArgumentError):
                model(**longer)
        else:
            assert model(**longer)["probabilities"].shape == (1, 3)
    check_graph(folder)


@pytest.mark.slow
def test_regression(tmp_path):
    task = dict(TASK, labels=[None])
    checkpoint, config = write_model(tmp_path / "model", CONFIGS["preln"], 1, **task)
    encoded = random_encoded(5, 9)
    expected = plain_graph.probabilities(checkpoint, config, encoded, regression=True)
    assert np.abs(expected).max() > 1.01  # no probability
    folder, _ = export(tmp_path / "model", tmp_path / "served")
    with Loaded(folder) as model:
        outputs = model(**inputs(encoded))
    for name in ("probabilities", "logits"):
        np.testing.assert_allclose(outputs[name], expected, rtol=0, atol=1e-5)
    np.testing.assert_array_equal(outputs["predictions"], outputs["logits"][:, 0])


@pytest.mark.slow
def test_sentencepiece(golden, tmp_path):
    config = dict(SMALL, vocab_size=500)
    write_model(tmp_path / "model", config, 2)
    os.remove(str(tmp_path / "model" / "vocab.txt"))
    model = os.path.join(golden, "data", "spm500.model")
    storage.copy(model, str(tmp_path / "model" / "spiece.model"))
    folder, _ = export(tmp_path / "model", tmp_path / "served")
    content = tree(os.path.join(folder, "assets.extra"))
    assert content["spiece.model"] == storage.read_bytes(model)
    assert "vocab.txt" not in content
    assert json.loads(content["task.json"].decode("utf-8")) == {
        "labels": ["0", "1"],
        "max_seq_length": 64,
        "do_lower_case": True,
        "pooling": "cls",
        "preprocess_text": True,
    }


# Versions


def test_versions(model_dir, prepared, tmp_path):
    with prepared:
        check_versions(model_dir, tmp_path)


def check_versions(model_dir, tmp_path):
    assert export(model_dir, tmp_path)[0] == str(tmp_path / "1")
    (tmp_path / "notes").mkdir()
    (tmp_path / "12").mkdir()
    assert export(model_dir, tmp_path)[0] == str(tmp_path / "13")
    export(model_dir, tmp_path, version=12)  # an empty folder holds nothing to lose
    old = tree(tmp_path / "12")
    with pytest.raises(InputError, match="12' is there already; pass another --version, or --over"):
        export(model_dir, tmp_path, version=12)
    assert tree(tmp_path / "12") == old
    (tmp_path / "12" / "saved_model.pb").write_bytes(b"old")
    (tmp_path / "12" / "other").write_bytes(b"old")
    export(model_dir, tmp_path, version=12, overwrite=True)
    assert set(tree(tmp_path / "12")) == set(old)
    assert sorted(os.listdir(str(tmp_path))) == ["1", "12", "13", "notes"]


# What must not be written


@pytest.fixture
def kept(exported, tmp_path):
    """A folder with version 1; afterwards it must be as it was."""
    folder = tmp_path / "served"
    shutil.copytree(exported, str(folder / "1"))
    before = tree(folder)
    yield folder
    assert tree(folder) == before
    assert os.listdir(str(folder)) == ["1"]


def change_weights(model_dir, folder, name, change):
    """Copies a model folder; adds to one of the weights."""
    shutil.copytree(str(model_dir), str(folder))
    checkpoint = str(folder / "model.ckpt")
    weights = {
        name: tf.train.load_variable(checkpoint, name)
        for name, _ in tf.train.list_variables(checkpoint)
    }
    weights[name] = weights[name] + np.float32(change)
    with tf.Graph().as_default(), tf.Session() as session:
        variables = [tf.get_variable(name, initializer=weights[name]) for name in weights]
        session.run(tf.global_variables_initializer())
        tf.train.Saver(variables).save(session, checkpoint)
    return folder


@pytest.mark.slow
def test_other_weights(model_dir, tmp_path, kept):
    """The graph of another checkpoint, which differs by little."""
    other = change_weights(model_dir, tmp_path / "other", "bert/pooler/dense/bias", 1e-4)
    graph = saved_model.serving_graph(saved_model.read_classifier(str(other)))
    patch = mock.patch.object(saved_model, "serving_graph", lambda classifier: graph)
    for settings in ({}, {"version": 1, "overwrite": True}):
        with patch, pytest.raises(InputError, match="does not compute .* differ by .* than 1e-05"):
            export(model_dir, kept, **settings)


def test_weights_that_are_no_numbers(model_dir, tmp_path, kept):
    broken = change_weights(model_dir, tmp_path / "broken", "output_bias", [0, np.nan, 0])
    with pytest.raises(InputError, match="differ by nan"):
        export(broken, kept)


def test_failure_on_the_way(model_dir, prepared, kept):
    full = mock.patch.object(storage, "write_json", side_effect=OSError("disk full"))
    with prepared, full, pytest.raises(OSError, match="disk full"):
        export(model_dir, kept, version=1, overwrite=True)


def test_failure_of_the_last_step(model_dir, prepared, kept):
    rename = os.rename

    def fail(source, target):
        if target == str(kept / "1") and not source.endswith("-old"):
            raise OSError("cannot rename")
        rename(source, target)

    failing = mock.patch.object(os, "rename", fail)
    with prepared, failing, pytest.raises(OSError, match="cannot rename"):
        export(model_dir, kept, version=1, overwrite=True)


@pytest.mark.parametrize(
    "changes, expected",
    [
        ({"hidden_size": 32}, "does not have the size that the config .* says"),
        ({"share": "none"}, "lacks the variable 'bert/encoder/layer_0/"),
        ({"vocab_size": 199}, r"vocab\.txt has 200 entries, but .*vocab_size 199"),
        ({"max_position_embeddings": 2**30}, "more than the 2.1 GB of weights that one SavedModel"),
    ],
)
def test_config_of_another_model(tmp_path, changes, expected):
    write_model(tmp_path / "model", SMALL, 2)
    config = dict(SMALL, **changes)
    storage.write_json(str(tmp_path / "model" / "albert_config.json"), config)
    with pytest.raises(InputError, match=expected):
        export(tmp_path / "model", tmp_path / "served")
    assert tree(tmp_path / "served") == {}


@pytest.mark.slow
def test_labels_of_another_model(tmp_path):
    write_model(tmp_path, SMALL, 2, **TASK)
    with pytest.raises(InputError, match="has 2 labels, but task.json beside it names 3: 0, 1, 2"):
        saved_model.read_classifier(str(tmp_path))


def test_encoder_without_a_head(tmp_path):
    write_model(tmp_path, SMALL)
    with pytest.raises(InputError, match=r"model\.ckpt: no classifier .*run_classifier\.py\.$"):
        saved_model.read_classifier(str(tmp_path))


@pytest.mark.parametrize(
    "name, flag", [("albert_config.json", "bert_config_file"), ("vocab.txt", "vocab_file")]
)
def test_files_that_the_folder_lacks(tmp_path, name, flag):
    folder = tmp_path / "model"
    write_model(folder, SMALL, 2)
    (folder / name).rename(tmp_path / name)
    with pytest.raises(InputError, match="--%s is required: the folder .*model' has none" % flag):
        saved_model.read_classifier(str(folder))
    key = "config_file" if flag == "bert_config_file" else flag
    classifier = saved_model.read_classifier(str(folder), **{key: str(tmp_path / name)})
    assert str(tmp_path / name) in classifier.files


def test_bad_flags(model_dir, tmp_path):
    values = flags.FlagValues()
    export_saved_model.define_flags(values)
    values(["export_saved_model.py", "--model_dir=%s" % model_dir])
    patch = mock.patch.object(flags, "FLAGS", values)
    with patch, pytest.raises(InputError, match="^--output_dir is required"):
        export_saved_model.main([])
    with pytest.raises(InputError, match="'gs://bucket/x' is no folder of this machine"):
        export(model_dir, "gs://bucket/x")
    with pytest.raises(InputError, match="--model_dir: the directory .* holds no checkpoint"):
        saved_model.read_classifier(str(tmp_path))
