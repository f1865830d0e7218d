"""Checkpoints of other programs: other scopes, other types of numbers, parts of a model."""

import os
import shutil

import numpy as np
import pytest

import modeling
from albert.basics.errors import InputError
from albert.basics.tf_compat import tf
from albert.conversion import saved_model
from albert.heads import classification
from albert.inference.classifiers import BertClassifier
from albert.inference.vectors import BertVector
from albert.model_files import checkpoints
from albert.model_files.stored_variables import check_restorable, read_stored
from albert.model_files.variables import classifier_variables
from helpers.models import CONFIGS, classifier, rewrite_checkpoint, write_model
from helpers.tasks import SENTENCES

SCOPES = ["albert/", "module/", "module/bert/", "bert_1/", ""]


def renamed_to(scope):
    """Function of a name: the encoder in another scope, the heads beside it."""
    outside = scope[: scope.rstrip("/").rfind("/") + 1]

    def rename(name):
        if name.startswith("bert/"):
            return scope + name[len("bert/") :]
        return outside + name

    return rename


def load(prefix, config, num_labels=2, **settings):
    """Values that a classifier starts with, and what was said of the loading."""
    told = []
    with tf.Graph().as_default(), tf.Session() as session:
        ids = tf.placeholder(tf.int32, [None, None])
        classification.create_model(config, False, ids, ids, ids, None, num_labels)
        checkpoints.init_from_checkpoint(
            prefix,
            config,
            "config.json",
            expected_new=classification.HEAD_VARIABLES,
            on_loading=told.append,
            **settings,
        )
        session.run(tf.global_variables_initializer())
        graph = {
            modeling.variable_name(variable): variable for variable in tf.trainable_variables()
        }
        return session.run(graph), told[0]


@pytest.mark.parametrize("scope", SCOPES)
def test_an_encoder_in_another_scope_is_read(tmp_path, caplog, scope):
    _, prefix, config = classifier("postln")
    other = rewrite_checkpoint(prefix, tmp_path / "other.ckpt", renamed_to(scope))
    with caplog.at_level("INFO", logger="absl"):
        values, loading = load(other, config, strict=True)
    assert "the encoder is in the scope '%s'; it is read as 'bert/'" % scope in caplog.text
    assert loading.new == []
    for name, value in values.items():
        np.testing.assert_array_equal(value, tf.train.load_variable(prefix, name), err_msg=name)


def test_heads_in_the_scope_of_the_encoder_and_slots(tmp_path):
    _, prefix, config = classifier("google")

    def rename(name):
        return "albert/" + name[len("bert/") :] if name.startswith("bert/") else "albert/" + name

    other = rewrite_checkpoint(prefix, tmp_path / "other.ckpt", rename)
    reader = tf.train.load_checkpoint(other)
    with tf.Graph().as_default(), tf.Session() as session:
        for name in sorted(reader.get_variable_to_shape_map()):
            tf.get_variable(name, initializer=reader.get_tensor(name))
            slot = np.zeros_like(reader.get_tensor(name))
            tf.get_variable(name + "/adam_m", initializer=slot)
            tf.get_variable("optimizer/" + name, initializer=slot)
        session.run(tf.global_variables_initializer())
        other = tf.train.Saver().save(session, str(tmp_path / "slots.ckpt"))
    assert read_stored(other).scope == "albert/"
    values, loading = load(other, config, strict=True)
    assert loading.new == []
    for name, value in values.items():
        np.testing.assert_array_equal(value, tf.train.load_variable(prefix, name), err_msg=name)


def test_several_encoders_are_refused(tmp_path):
    _, prefix, config = classifier("postln")
    reader = tf.train.load_checkpoint(prefix)
    with tf.Graph().as_default(), tf.Session() as session:
        for scope in ("student/", "teacher/"):
            for name in reader.get_variable_to_shape_map():
                tf.get_variable(scope + name, initializer=reader.get_tensor(name))
        session.run(tf.global_variables_initializer())
        other = tf.train.Saver().save(session, str(tmp_path / "two.ckpt"))
    with pytest.raises(InputError, match="2 encoders, in the scopes 'student/bert/', 'teacher/be"):
        load(other, config)


@pytest.mark.parametrize("name", ["postln", "google"])
def test_nothing_of_the_encoder_is_an_error(tmp_path, name):
    _, prefix, config = classifier(name)

    def rename(name):  # the words are missing, which tell the scope
        return None if name.endswith("word_embeddings") else "net/" + name

    other = rewrite_checkpoint(prefix, tmp_path / "other.ckpt", rename)
    with pytest.raises(InputError, match="no variable of the encoder .* begin with 'net/'"):
        load(other, config)
    with tf.Graph().as_default():
        modeling.BertModel(config, False, tf.zeros([1, 2], tf.int32), scope="bert")
        with pytest.raises(InputError, match="no variable of the encoder .* begin with 'net/'"):
            checkpoints.get_assignment_map_from_checkpoint(tf.trainable_variables(), other)


def test_the_public_map_names_the_scope(tmp_path):
    _, prefix, config = classifier("postln")
    other = rewrite_checkpoint(prefix, tmp_path / "other.ckpt", renamed_to("module/bert/"))
    with tf.Graph().as_default():
        modeling.BertModel(config, False, tf.zeros([1, 2], tf.int32), scope="bert")
        found, _ = checkpoints.get_assignment_map_from_checkpoint(tf.trainable_variables(), other)
        assert found and all(source == "module/" + name for source, name in found.items())


def test_a_missing_part_is_told(tmp_path, caplog):
    _, prefix, config = classifier("postln")
    other = rewrite_checkpoint(
        prefix, tmp_path / "other.ckpt", lambda name: None if "/query/" in name else name
    )
    with caplog.at_level("WARNING", logger="absl"):
        _, loading = load(other, config)
    assert "2 of the 24 variables of the encoder are not in the checkpoint" in caplog.text
    assert "attention/self/query/kernel" in caplog.text
    assert loading.summary()["loaded"] == 24
    assert len(loading.summary()["not_loaded"]) == 2


@pytest.mark.parametrize("name", ["postln", "google"])
@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16, tf.float64])
def test_other_types_are_cast(tmp_path, name, dtype):
    _, prefix, config = classifier(name)
    other = rewrite_checkpoint(prefix, tmp_path / "other.ckpt", dtype=dtype)
    values, loading = load(other, config, strict=True)
    assert loading.new == []
    for name, value in values.items():
        assert value.dtype == np.float32
        np.testing.assert_allclose(value, tf.train.load_variable(prefix, name), rtol=0.01)


def test_a_head_of_another_size_starts_anew(caplog):
    _, prefix, config = classifier("preln")
    with caplog.at_level("INFO", logger="absl"):
        _, loading = load(prefix, config, num_labels=3, strict=True)
    assert sorted(loading.new) == sorted(classification.HEAD_VARIABLES)
    assert "'output_weights' is [2, 16], here [3, 16]" in caplog.text
    assert load(prefix, config, num_labels=2)[1].new == []


def test_inference_and_export_take_them(tmp_path):
    folder, prefix, _ = classifier("postln")
    with BertClassifier(model_dir=folder) as model, BertVector(model_dir=folder) as vectors:
        expected = model.predict_proba(SENTENCES), vectors.encode(SENTENCES)
    for number, (scope, dtype) in enumerate((("albert/", None), ("bert/", tf.float16))):
        other = tmp_path / str(number)
        shutil.copytree(folder, str(other), ignore=shutil.ignore_patterns("model.ckpt*", "checkp*"))
        rewrite_checkpoint(prefix, other / "model.ckpt", renamed_to(scope), dtype)
        with BertClassifier(model_dir=str(other)) as model:
            np.testing.assert_allclose(model.predict_proba(SENTENCES), expected[0], atol=2e-3)
        with BertVector(model_dir=str(other)) as vectors:
            np.testing.assert_allclose(vectors.encode(SENTENCES), expected[1], atol=2e-2)
    found = saved_model.read_classifier(str(other))
    batches = saved_model.parity_batches(found)
    saved_model.write_saved_model(saved_model.serving_graph(found), str(tmp_path / "saved"))
    plain = saved_model.plain_outputs(found, batches)
    saved_model.check_parity(found, plain, str(tmp_path / "saved"), batches)


# Names of folders


def test_names_that_look_like_patterns(tmp_path):
    """TensorFlow itself finds no checkpoint there."""
    source, prefix, config = classifier("postln")
    folder = str(tmp_path / "a[1], b?")
    shutil.copytree(source, folder)
    own = os.path.join(folder, "model.ckpt")
    assert checkpoints.resolve_checkpoint(folder) == own
    for found in (own, rewrite_checkpoint(prefix, os.path.join(folder, "mo[1]del.ckpt"))):
        values, loading = load(found, config, strict=True)
        assert loading.new == [] and loading.stored.prefix == found
        name = "bert/pooler/dense/bias"
        np.testing.assert_array_equal(values[name], tf.train.load_variable(prefix, name))
    with BertClassifier(model_dir=folder) as model, BertClassifier(model_dir=source) as expected:
        np.testing.assert_array_equal(
            model.predict_proba(SENTENCES), expected.predict_proba(SENTENCES)
        )
    saved_model.serving_graph(saved_model.read_classifier(folder))


# Folders that were moved


def test_a_moved_folder(tmp_path, caplog):
    """The first folder is still there, as after a copy: it must not be read, nor cleaned up."""
    run, copy = tmp_path / "run", tmp_path / "copy"
    run.mkdir()
    _, prefix = classifier("postln")[:2]
    for step in (3, 6):
        rewrite_checkpoint(prefix, run / ("model.ckpt-%d" % step))
    absolute = [str(run / ("model.ckpt-%d" % step)) for step in (3, 6)]
    tf.train.update_checkpoint_state(str(run), absolute[1], absolute)
    shutil.copytree(str(run), str(copy))
    (copy / "checkpoint").write_text((run / "checkpoint").read_text())
    with caplog.at_level("INFO", logger="absl"):
        assert checkpoints.resolve_checkpoint(str(copy)) == str(copy / "model.ckpt-6")
    assert "the checkpoint of that name in the folder is used" in caplog.text
    checkpoints.adopt_moved_run(str(copy))
    state = tf.train.get_checkpoint_state(str(copy))
    assert state.model_checkpoint_path == str(copy / "model.ckpt-6")
    assert list(state.all_model_checkpoint_paths) == [
        str(copy / ("model.ckpt-%d" % step)) for step in (3, 6)
    ]
    assert checkpoints.resolve_checkpoint(str(run)) == absolute[1]


@pytest.mark.parametrize("named", ["/nowhere/else/model.ckpt", "C:\\\\runs\\\\model.ckpt"])
def test_a_path_of_another_machine(tmp_path, named):
    write_model(tmp_path, CONFIGS["postln"])
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "%s"\n' % named)
    shutil.copy(str(tmp_path / "model.ckpt.index"), str(tmp_path / "other.ckpt.index"))
    assert checkpoints.resolve_checkpoint(str(tmp_path)) == os.path.join(
        str(tmp_path), "model.ckpt"
    )


def test_whole_numbers_are_no_weights(tmp_path):
    _, prefix, config = classifier("postln")
    other = rewrite_checkpoint(prefix, tmp_path / "other.ckpt", dtype="int32")
    message = "other.ckpt: '.*' is of the type int32; expected floating-point numbers"
    with pytest.raises(InputError, match=message):
        load(other, config)
    variables = classifier_variables(config, 2)
    with pytest.raises(InputError, match=message):
        checkpoints.check_shapes(variables, other, "config.json")


def test_what_a_tpu_cannot_restore(tmp_path):
    _, prefix, _ = classifier("postln")
    check_restorable(prefix)
    half = rewrite_checkpoint(prefix, tmp_path / "half.ckpt", dtype="float16")
    with pytest.raises(InputError, match="--use_tpu: .*half.ckpt has '.*' as float16, which"):
        check_restorable(half)
    renamed = rewrite_checkpoint(prefix, tmp_path / "other.ckpt", renamed_to("module/"))
    with pytest.raises(InputError, match="--use_tpu: .* the encoder in the scope 'module/'"):
        check_restorable(renamed)
