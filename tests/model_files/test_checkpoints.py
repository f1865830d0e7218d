"""Finding, recognising and loading checkpoints; the golden ones are the reference's own."""

import logging
import os
import re
import shutil
from unittest import mock

import numpy as np
import pytest
from absl import flags

import modeling
import optimization
import run_pretraining
from albert.basics.errors import InputError
from albert.basics.tf_compat import tf
from albert.heads import classification
from albert.model_files import checkpoints
from albert.model_files.configuration import config_from_dict
from albert.pretraining.flags import define_flags
from albert.training import estimator
from helpers.models import MODELS, build_pretraining, golden_config, load_npz

ESTIMATOR_CHECKPOINT = ("model", "estimator_ckpt_bm_postln", "model.ckpt-6")
FAMILIES = {"bm": "brightmart", "google": "google", "google_fast": "google_fast"}


def prefix_of(golden, name):
    return os.path.join(golden, "model", name, "model.ckpt")


def family_of(name):
    return FAMILIES.get(name) or FAMILIES[name.split("_")[0]]


def copy_checkpoint(source, target):
    for suffix in (".index", ".data-00000-of-00001"):
        shutil.copy(source + suffix, str(target) + suffix)
    return str(target)


def changed_config(golden, name, **changes):
    return config_from_dict(dict(golden_config(golden, name).to_dict(), **changes))


def build(golden, config):
    """Pre-training graph in the current graph; its trainable variables by name."""
    build_pretraining(config, load_npz(golden, "bm_postln", "inputs.npz"))
    return {modeling.variable_name(variable): variable for variable in tf.trainable_variables()}


def load_into(golden, config, checkpoint, **settings):
    """Values of the pre-training graph's variables after loading and initialization."""
    with tf.Graph().as_default(), tf.Session() as session:
        tf.set_random_seed(1)
        variables = build(golden, config)
        checkpoints.init_from_checkpoint(checkpoint, config, "my_config.json", **settings)
        session.run(tf.global_variables_initializer())
        return session.run(variables)


# Finding


def test_names_of_one_checkpoint(golden):
    prefix = os.path.join(golden, *ESTIMATOR_CHECKPOINT)
    for suffix in ("", ".index", ".meta", ".data-00000-of-00001"):
        assert checkpoints.resolve_checkpoint(prefix + suffix) == prefix
    assert checkpoints.resolve_checkpoint(os.path.dirname(prefix)) == prefix


@pytest.fixture
def two_checkpoints(golden, tmp_path):
    for step in (6, 12):
        copy_checkpoint(
            os.path.join(golden, *ESTIMATOR_CHECKPOINT), tmp_path / ("model.ckpt-%d" % step)
        )
    return tmp_path


def test_directory_with_a_checkpoint_file(two_checkpoints):
    (two_checkpoints / "checkpoint").write_text('model_checkpoint_path: "model.ckpt-6"\n')
    resolved = checkpoints.resolve_checkpoint(str(two_checkpoints))
    assert resolved == str(two_checkpoints / "model.ckpt-6")


STALE = 'model_checkpoint_path: "/nowhere/else/albert_model.ckpt"\n'


@pytest.mark.parametrize("state", [None, STALE])
def test_directory_without_a_useful_checkpoint_file(two_checkpoints, state):
    if state:
        (two_checkpoints / "checkpoint").write_text(state)
    with pytest.raises(InputError) as error:
        checkpoints.resolve_checkpoint(str(two_checkpoints))
    assert "several checkpoints" in str(error.value)
    assert str(two_checkpoints / "model.ckpt-12") in str(error.value)
    (two_checkpoints / "model.ckpt-6.index").unlink()
    resolved = checkpoints.resolve_checkpoint(str(two_checkpoints))
    assert resolved == str(two_checkpoints / "model.ckpt-12")


def test_no_checkpoint(two_checkpoints, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(InputError, match="--model_dir: the directory .* holds no checkpoint"):
        checkpoints.resolve_checkpoint(str(empty), flag="model_dir")
    with pytest.raises(InputError, match=r"--init_checkpoint: no checkpoint at .*found.*ckpt-6"):
        checkpoints.resolve_checkpoint(str(two_checkpoints / "albert_model.ckpt"))
    with pytest.raises(InputError, match=r"no file 'nowhere/model.ckpt.index'\)\.$"):
        checkpoints.resolve_checkpoint("nowhere/model.ckpt")


# Recognising


@pytest.mark.parametrize("name", MODELS)
def test_family_of_a_checkpoint(golden, name):
    shapes = checkpoints.read_shapes(prefix_of(golden, name))
    assert checkpoints.checkpoint_family(shapes) == family_of(name)


def test_training_checkpoint_of_the_reference(golden):
    shapes = checkpoints.read_shapes(os.path.join(golden, *ESTIMATOR_CHECKPOINT))
    assert len(shapes) == 94
    assert checkpoints.checkpoint_family(shapes) == "brightmart"


@pytest.mark.parametrize("model", ["bm_postln", "google_g1", "google_g1_e32", "google_fast"])
@pytest.mark.parametrize("checkpoint", ["bm_preln", "google_g1", "google_g1_e32", "google_fast"])
def test_families_do_not_mix(golden, model, checkpoint):
    config = golden_config(golden, model)
    prefix = prefix_of(golden, checkpoint)
    shapes = checkpoints.read_shapes(prefix)
    if family_of(model) == family_of(checkpoint):
        checkpoints.check_family(shapes, prefix, config, "my_config.json")
        return
    with pytest.raises(InputError) as error:
        load_into(golden, config, prefix)
    message = str(error.value)
    assert "'%s' is of the %s family" % (prefix, family_of(checkpoint).replace("_", "-")) in message
    assert "'my_config.json' of the %s family" % family_of(model).replace("_", "-") in message
    missing_key = (checkpoint == "google_fast") and family_of(model) == "google"
    assert ("'ffn_groups': 16" in message) == missing_key


def test_not_an_albert_checkpoint(golden, tmp_path):
    with tf.Graph().as_default(), tf.Session() as session:
        tf.get_variable("resnet/kernel", [3])
        session.run(tf.global_variables_initializer())
        prefix = tf.train.Saver().save(session, str(tmp_path / "other.ckpt"))
    with pytest.raises(InputError, match=r"other\.ckpt: not an ALBERT checkpoint"):
        load_into(golden, golden_config(golden, "bm_postln"), prefix)


def test_other_size(golden):
    config = changed_config(golden, "bm_postln", intermediate_size=48)
    with pytest.raises(InputError) as error:
        load_into(golden, config, prefix_of(golden, "bm_postln"))
    message = str(error.value)
    assert prefix_of(golden, "bm_postln") in message
    assert "my_config.json" in message
    assert re.search(r"intermediate/dense/kernel\S* is \[32, 64\] .* and \[32, 48\]", message)


def test_truncated_data_file(golden, tmp_path):
    prefix = copy_checkpoint(prefix_of(golden, "bm_postln"), tmp_path / "model.ckpt")
    data = tmp_path / "model.ckpt.data-00000-of-00001"
    os.truncate(str(data), data.stat().st_size // 2)
    with pytest.raises(InputError, match=r"model\.ckpt: the checkpoint is damaged or truncated; "):
        load_into(golden, golden_config(golden, "bm_postln"), prefix)
    data.unlink()
    with pytest.raises(InputError, match=r"model\.ckpt: the checkpoint "):
        load_into(golden, golden_config(golden, "bm_postln"), prefix)


@pytest.mark.parametrize("kept", [0, 0.5])
def test_damaged_index_file(golden, tmp_path, kept):
    prefix = copy_checkpoint(prefix_of(golden, "bm_postln"), tmp_path / "model.ckpt")
    index = tmp_path / "model.ckpt.index"
    os.truncate(str(index), int(index.stat().st_size * kept))
    with pytest.raises(InputError, match=r"model\.ckpt: the checkpoint cannot be read \("):
        checkpoints.read_shapes(prefix)


# Loading


@pytest.mark.parametrize("name", ["bm_postln", "google_g3", "google_fast"])
def test_every_variable_is_loaded(golden, name):
    prefix = prefix_of(golden, name)
    values = load_into(golden, golden_config(golden, name), prefix, strict=True)
    for key, value in values.items():
        np.testing.assert_array_equal(value, tf.train.load_variable(prefix, key), err_msg=key)


def test_missing_groups_start_from_group_0(golden):
    """The reference leaves 24 of these variables random."""
    prefix = prefix_of(golden, "google_g1")
    values = load_into(
        golden, golden_config(golden, "google_g3"), prefix, from_group0=True, strict=True
    )
    assert len(values) == 64
    assert sum("/group_0/" not in key and "/group_" in key for key in values) == 32
    for key, value in values.items():
        source = re.sub(r"/group_\d/", "/group_0/", key)
        np.testing.assert_array_equal(value, tf.train.load_variable(prefix, source), err_msg=key)


def test_own_groups_win_over_group_0(golden):
    prefix = prefix_of(golden, "google_g3")
    values = load_into(golden, golden_config(golden, "google_g3"), prefix, from_group0=True)
    for key, value in values.items():
        np.testing.assert_array_equal(value, tf.train.load_variable(prefix, key), err_msg=key)


def test_groups_stay_random_unless_asked(golden, caplog):
    prefix = prefix_of(golden, "google_g1")
    config = golden_config(golden, "google_g3")
    with caplog.at_level(logging.INFO, logger="absl"):
        load_into(golden, config, prefix)
    lines = {
        match.group(1): match.group(2)
        for match in re.finditer(r"^  (\S+) \[.*\]: (.*)$", "\n".join(caplog.messages), re.M)
    }
    assert len(lines) == 64
    for name, origin in lines.items():
        expected = "random" if re.search("/group_[12]/", name) else "loaded from the checkpoint"
        assert origin == expected, name
    with pytest.raises(InputError, match="--strict_init.* lacks 32 of .*group_1/.*group_2/"):
        load_into(golden, config, prefix, strict=True)


def test_strict_lets_the_new_head_be_random(golden, caplog):
    prefix = prefix_of(golden, "bm_preln")
    config = golden_config(golden, "bm_preln")
    inputs = load_npz(golden, "bm_preln", "inputs.npz")
    with tf.Graph().as_default(), caplog.at_level(logging.INFO, logger="absl"):
        ids = tf.constant(inputs["input_ids"])
        classification.create_model(config, False, ids, None, None, None, num_labels=2)
        with pytest.raises(InputError, match="lacks 4 of .*output_weights.*loss/LayerNorm/gamma"):
            checkpoints.init_from_checkpoint(prefix, config, "c.json", strict=True)
        checkpoints.init_from_checkpoint(
            prefix, config, "c.json", strict=True, expected_new=classification.HEAD_VARIABLES
        )
    assert "  output_weights [2, 32]: random" in caplog.messages
    assert "  loss/LayerNorm/beta [32]: random" in caplog.messages
    assert "  bert/pooler/dense/bias [32]: loaded from the checkpoint" in caplog.messages


def test_without_a_checkpoint_everything_is_random(golden, caplog):
    with caplog.at_level(logging.INFO, logger="absl"):
        load_into(golden, golden_config(golden, "bm_postln"), None)
    assert sum(message.endswith(": random") for message in caplog.messages) == 31


@pytest.mark.slow
def test_optimizer_state_is_never_loaded(golden):
    config = golden_config(golden, "bm_postln")
    prefix = os.path.join(golden, *ESTIMATOR_CHECKPOINT)
    with tf.Graph().as_default(), tf.Session() as session:
        outputs = build_pretraining(config, load_npz(golden, "bm_postln", "inputs.npz"))
        loss = outputs["total_loss"]
        optimization.create_optimizer(loss, 1e-3, 10, 2, optimizer="lamb_brightmart")
        checkpoints.init_from_checkpoint(prefix, config, "config.json", strict=True)
        session.run(tf.global_variables_initializer())
        trainable = {modeling.variable_name(variable) for variable in tf.trainable_variables()}
        values = session.run({variable.op.name: variable for variable in tf.global_variables()})
    assert set(values) == set(checkpoints.read_shapes(prefix))
    for name, value in values.items():
        stored = tf.train.load_variable(prefix, name)
        if name in trainable:
            np.testing.assert_array_equal(value, stored, err_msg=name)
        else:
            assert not value.any(), name
            assert stored.any(), name


def test_assignment_map_shapes(golden):
    prefix = prefix_of(golden, "google_g1")
    with tf.Graph().as_default():
        build(golden, golden_config(golden, "google_g3"))
        tvars = tf.trainable_variables()
        mapping, loaded = checkpoints.get_assignment_map_from_checkpoint(tvars, prefix)
        maps, all_loaded = checkpoints.get_assignment_map_from_checkpoint(tvars, prefix, 3)
    assert list(mapping) == list(mapping.values())  # names of the checkpoint and of the graph
    assert len(mapping) == 32
    assert set(loaded) == set(mapping) | {name + ":0" for name in mapping}
    assert [len(entry) for entry in maps] == [32, 16, 16]
    assert len(all_loaded) == 2 * 64


# Going on from a checkpoint of the reference


def write_records(path, count, vocab_size=200, seq_length=32, predictions=4):
    random = np.random.RandomState(0)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for _ in range(count):
            example = tf.train.Example()
            feature = example.features.feature
            feature["input_ids"].int64_list.value.extend(random.randint(5, vocab_size, seq_length))
            feature["input_mask"].int64_list.value.extend([1] * seq_length)
            half = seq_length // 2
            feature["segment_ids"].int64_list.value.extend([0] * half + [1] * half)
            feature["masked_lm_positions"].int64_list.value.extend(range(1, predictions + 1))
            feature["masked_lm_ids"].int64_list.value.extend(
                random.randint(5, vocab_size, predictions)
            )
            feature["masked_lm_weights"].float_list.value.extend([1.0] * predictions)
            feature["next_sentence_labels"].int64_list.value.append(random.randint(2))
            writer.write(example.SerializeToString())


@pytest.mark.slow
def test_pretraining_resumes_a_run_of_the_reference(golden, tmp_path, capsys):
    before = os.path.join(golden, *ESTIMATOR_CHECKPOINT)
    copy_checkpoint(before, tmp_path / "model.ckpt-6")
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "model.ckpt-6"\n')
    write_records(tmp_path / "records", 16)
    values = flags.FlagValues()
    define_flags(values)
    values(
        [
            "run_pretraining.py",
            "--input_file=%s" % (tmp_path / "records"),
            "--output_dir=%s" % tmp_path,
            "--bert_config_file=%s" % os.path.join(golden, "model", "bm_postln", "config.json"),
            "--do_train=true",
            "--max_seq_length=32",
            "--max_predictions_per_seq=4",
            "--train_batch_size=4",
            "--num_train_steps=8",
            "--num_warmup_steps=2",
            "--learning_rate=1e-3",
            "--log_every_steps=1",
        ]
    )
    with mock.patch.object(flags, "FLAGS", values):
        run_pretraining.main(["run_pretraining.py"])
    output = capsys.readouterr().out
    assert "Resuming from step 6" in output
    losses = re.findall(r"^step (\d)/8  loss (\S+)", output, re.M)
    assert [step for step, _ in losses] == ["7", "8"]
    assert np.isfinite([float(loss) for _, loss in losses]).all()

    after = str(tmp_path / "model.ckpt-8")
    assert tf.train.latest_checkpoint(str(tmp_path)) == after
    names = set(checkpoints.read_shapes(before))
    assert set(checkpoints.read_shapes(after)) == names
    assert tf.train.load_variable(after, "global_step") == 8
    # v = 0.999 v + 0.001 g^2: two steps on from the restored v there is 0.998001 v left, and what
    # the two steps added is all that there would be without it.
    total, added = 0.0, 0.0
    for name in (name for name in names if name.endswith("/lamb_v")):
        old, new = (tf.train.load_variable(prefix, name) for prefix in (before, after))
        assert (new >= 0.998 * old).all(), name
        total += old.sum()
        added += (new - 0.998001 * old).sum()
    assert added < 0.9 * total


@pytest.mark.parametrize("content", ["", "no checkpoint here {"])
def test_a_damaged_file_that_names_checkpoints(tmp_path, content):
    assert checkpoints.named_checkpoint(str(tmp_path)) is None
    (tmp_path / "checkpoint").write_text(content)
    for use in (checkpoints.resolve_checkpoint, estimator.latest_step):
        with pytest.raises(InputError, match="checkpoint: damaged; expected a line such as"):
            use(str(tmp_path))
