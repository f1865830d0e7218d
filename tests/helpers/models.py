"""Golden models, and small ones with random weights in folders as run_classifier.py leaves them."""

import functools
import json
import os
import pathlib
import tempfile

import numpy as np

import modeling
import optimization
from albert.basics import storage
from albert.basics.tf_compat import tf
from albert.heads import classification, pretraining
from albert.model_files import model_folder
from albert.model_files.configuration import config_from_dict
from helpers.tasks import TINY_CONFIG, VOCABULARY, write_lines

_BRIGHTMART = dict(TINY_CONFIG, num_hidden_layers=3)
_GOOGLE = dict(
    {key: value for key, value in _BRIGHTMART.items() if key != "ln_type"},
    num_hidden_layers=2,
    num_hidden_groups=1,
)
# One of each kind of block, embedding and sharing.
CONFIGS = {
    "postln": _BRIGHTMART,
    "preln": dict(_BRIGHTMART, ln_type="preln"),
    "share_none": dict(_BRIGHTMART, share="none", hidden_act="relu"),
    "share_attention": dict(_BRIGHTMART, share="attention"),
    "share_ffn": dict(_BRIGHTMART, share="ffn", hidden_act="tanh"),
    "roberta": dict(_BRIGHTMART, type_vocab_size=1, max_position_embeddings=70),
    "google": _GOOGLE,
    "google_groups": dict(_GOOGLE, num_hidden_groups=2, inner_group_num=2, embedding_size=16),
    "google_fast": dict(_GOOGLE, ffn_groups=4),
}
_FOLDERS = tempfile.TemporaryDirectory()


MODELS = [
    "bm_postln",
    "bm_preln",
    "google_g1",
    "google_g1_e32",
    "google_g2",
    "google_g3",
    "google_g3_inner2",
    "google_fast",
]
SHIPPED = "tiny base large xlarge xxlarge tiny_google small_google tiny_google_fast".split() + [
    "base_google_fast"
]


@functools.lru_cache(maxsize=None)
def classifier(name):
    """A classifier with two labels and the config of that name; made once, read only.

    Returns:
        Folder, prefix of the checkpoint, config object.
    """
    folder = pathlib.Path(_FOLDERS.name) / name
    return (str(folder), *write_model(folder, CONFIGS[name], 2))


def write_model(folder, config=CONFIGS["postln"], num_labels=None, **task):
    """Writes checkpoint, config and vocabulary.

    Args:
        folder: `pathlib.Path`.
        config: dict.
        num_labels: of the classifier; None for an encoder only.
        **task: content of task.json; none is written without any.

    Returns:
        Prefix of the checkpoint, and the config object.
    """
    folder.mkdir(exist_ok=True)
    write_lines(folder / model_folder.VOCAB_FILE, VOCABULARY)
    storage.write_json(str(folder / model_folder.CONFIG_FILE), config)
    if task:
        storage.write_json(str(folder / model_folder.TASK_FILE), task)
    config = config_from_dict(dict(config))
    random = np.random.RandomState(1)
    with tf.Graph().as_default(), tf.Session() as session:
        ids = tf.placeholder(tf.int32, [None, None])
        if num_labels is None:
            modeling.BertModel(config, False, ids, scope="bert")
        else:
            classification.create_model(config, False, ids, ids, ids, None, num_labels)
        variables = tf.trainable_variables()
        session.run(tf.global_variables_initializer())
        for variable in variables:
            variable.load(_value(variable, random), session)
        return tf.train.Saver(variables).save(session, str(folder / "model.ckpt")), config


def _value(variable, random):
    """Such numbers that different texts get different predictions."""
    name = variable.op.name
    value = random.randn(*variable.shape.as_list()).astype(np.float32)
    if name == "output_bias":
        return 0 * value
    if name.endswith("/word_embeddings") or name == "output_weights":
        return value
    return 0.2 * value + float(name.endswith("/gamma"))


def golden_config(folder, name):
    with open(os.path.join(folder, "model", name, "config.json")) as handle:
        settings = json.load(handle)
    if name == "google_fast":
        settings["ffn_groups"] = 16
    return config_from_dict(settings)


def build_pretraining(config, inputs, is_training=False, one_hot=False):
    """The pre-training graph on constant inputs; returns what outputs.npz holds."""
    inputs = {key: tf.constant(inputs[key]) for key in inputs}
    model = modeling.BertModel(
        config,
        is_training,
        inputs["input_ids"],
        inputs["input_mask"],
        inputs["segment_ids"],
        use_one_hot_embeddings=one_hot,
        positions=inputs["masked_lm_positions"],
    )
    mlm = pretraining.masked_lm_output(
        config,
        model,
        inputs["masked_lm_ids"],
        inputs["masked_lm_weights"],
    )
    sop = pretraining.sentence_order_output(config, model, inputs["next_sentence_labels"])
    outputs = {
        "embedding_output": model.get_embedding_output(),
        "encoder_layers": tf.stack(model.get_all_encoder_layers()),
        "sequence_output": model.get_sequence_output(),
        "pooled_output": model.get_pooled_output(),
        "masked_lm_log_probs": mlm.log_probs,
        "masked_lm_example_loss": mlm.example_loss,
        "masked_lm_loss": mlm.loss,
        "sop_log_probs": sop.log_probs,
        "sop_example_loss": sop.example_loss,
        "sop_loss": sop.loss,
        "total_loss": mlm.loss + sop.loss,
    }
    if config.family != "brightmart":
        outputs["word_embedding_output"] = model.get_word_embedding_output()
    return outputs


def restored_session(folder, name):
    session = tf.Session()
    saver = tf.train.Saver(tf.trainable_variables())
    saver.restore(session, os.path.join(folder, "model", name, "model.ckpt"))
    return session


def load_npz(folder, *parts):
    with np.load(os.path.join(folder, "model", *parts), allow_pickle=False) as arrays:
        return dict(arrays)


def trainable():
    return [
        [modeling.variable_name(variable), variable.shape.as_list()]
        for variable in tf.trainable_variables()
    ]


def parameter_count():
    return sum(int(np.prod(shape)) for _, shape in trainable())


def train_step(loss, init_lr, num_train_steps, num_warmup_steps, optimizer="adamw", **more):
    """`optimization.TrainOp` that learns from a loss; `more`: of `optimization.build_train_op`."""
    rate = optimization.learning_rate_schedule(
        tf.train.get_or_create_global_step(), init_lr, num_train_steps, num_warmup_steps
    )
    applier = optimization.make_optimizer(optimizer, rate)
    return optimization.build_train_op(applier, rate, applier.compute_gradients(loss), **more)


def rewrite_checkpoint(source, target, rename=lambda name: name, dtype=None):
    """Writes the variables of a checkpoint under other names, or as another type.

    Args:
        source, target: prefixes.
        rename: function of a name that returns the new one; None: the variable is left out.
        dtype: of the new variables; None: as they are.

    Returns:
        Prefix of the new checkpoint.
    """
    reader = tf.train.load_checkpoint(source)
    with tf.Graph().as_default(), tf.Session() as session:
        for name in sorted(reader.get_variable_to_shape_map()):
            if rename(name):
                value = tf.constant(reader.get_tensor(name))
                tf.get_variable(rename(name), initializer=tf.cast(value, dtype or value.dtype))
        session.run(tf.global_variables_initializer())
        return tf.train.Saver().save(session, str(target), write_state=False)
