"""A classifier as a SavedModel: its graph with constants, and the proof that it is the same.

Signature `serving_default`, the same for every model (int32 and float32):

    input_ids, input_mask, segment_ids   [batch, length]; any length up to the position table's;
                                         the mask is 1 for real tokens and 0 for padding
    probabilities, logits                [batch, number of labels]
    predictions                          [batch], int32: the label's number

A regression has one label, with the value in all three outputs (predictions are float32 then).
A model with pooling "mean" was trained at one length: the graph itself pads to it, and takes
nothing longer.
"""

from typing import Any, Dict, NamedTuple, Union

import numpy as np

from albert.basics.errors import InputError
from albert.basics.tf_compat import tf
from albert.heads import classification
from albert.heads.encoder import build_encoder
from albert.model_files import checkpoints, costs, model_folder
from albert.model_files.classifier_head import ClassifierHead
from albert.model_files.configuration import AlbertConfig, BertConfig
from albert.model_files.model_folder import ModelFiles
from albert.model_files.stored_variables import read_stored, restore

INPUTS = ("input_ids", "input_mask", "segment_ids")
OUTPUTS = ("probabilities", "logits", "predictions")
SIGNATURE = "serving_default"

# Largest difference of probabilities, and of logits as a share of the largest logit above 1.
PARITY_LIMIT = 1e-5
_CHECKED_LENGTH = 64  # of the short sequences in the check
# A protocol buffer has at most 2 GiB; the largest published model needs 0.9.
MAX_WEIGHT_BYTES = 2000 * 2**20


class TrainedClassifier(NamedTuple):
    """A classifier on disk whose files belong together.

    Attributes:
        files: where it lies.
        config: the model's.
        task: content of task.json, completed.
        head: what stands on the encoder.
    """

    files: ModelFiles
    config: Union[BertConfig, AlbertConfig]
    task: Dict[str, Any]
    head: ClassifierHead


def read_classifier(model_dir, config_file=None, vocab_file=None):
    """Finds a classifier and checks that its files belong together.

    Args:
        model_dir: see `model_folder.find_files`.
        config_file, vocab_file: to use in place of the folder's.

    Returns:
        `TrainedClassifier`.

    Raises:
        InputError: something is missing, or does not belong to the rest.
    """
    files = model_folder.find_files(model_dir, (config_file, vocab_file))
    for flag, found in (
        ("bert_config_file", files.config_file),
        ("vocab_file", files.spm_file or files.vocab_file),
    ):
        if not found:
            raise InputError("--%s is required: the folder '%s' has none." % (flag, model_dir))
    shapes = checkpoints.read_shapes(files.checkpoint)
    config = model_folder.load_config(files, shapes)
    head = model_folder.classifier_head(files, shapes)
    model_folder.load_tokenizer(files, config)
    parameters = costs.classifier_parameters(config, head.num_labels)
    if costs.checkpoint_bytes(parameters) > MAX_WEIGHT_BYTES:
        raise InputError(
            "%s: has more than the %.1f GB of weights that one SavedModel can hold."
            % (files.checkpoint, MAX_WEIGHT_BYTES / 1e9)
        )
    return TrainedClassifier(files, config, _complete_task(files, config, head), head)


def _complete_task(files, config, head):
    """Content of task.json, with what the folders of other programs do not tell."""
    task = {
        "max_seq_length": config.max_position_embeddings,
        "do_lower_case": True,
        "pooling": head.pooling,
        "preprocess_text": model_folder.uses_preprocess_text(files),
    }
    task.update(files.task, labels=model_folder.label_names(files, head) or [None])
    return task


# Graphs


def _placeholders():
    return {name: tf.placeholder(tf.int32, [None, None], name) for name in INPUTS}


def _build(classifier, inputs):
    """Outputs by name, given the inputs by name."""
    model = build_encoder(classifier.config, inputs)
    head = classification.ClassificationHead(*classifier.head)
    made = head.build(classifier.config, model, inputs)
    if head.regression:
        predictions = tf.squeeze(made.logits, -1)
    else:
        predictions = tf.argmax(made.logits, -1, output_type=tf.int32)
    outputs = zip(OUTPUTS, (made.probabilities, made.logits, predictions))
    return {name: tf.identity(output, name) for name, output in outputs}


def serving_graph(classifier):
    """GraphDef of the classifier, with its weights as constants.

    Constants, not variables: TensorFlow then arranges the matrices once, which on TensorFlow 2.15
    saves a third of the time of a single short pair, and the model is one file.
    """
    with tf.Graph().as_default() as graph:
        inputs = _placeholders()
        with tf.variable_scope("", custom_getter=_constants(classifier.files.checkpoint)):
            _build(classifier, _pad(inputs, classifier.head.fixed_length))
        return tf.graph_util.extract_sub_graph(graph.as_graph_def(), list(OUTPUTS))


def _constants(checkpoint):
    """What `tf.variable_scope` asks for a variable; it gives the value in the checkpoint."""
    read = read_stored(checkpoint).reader()
    constants = {}

    def get(getter, name, *args, **settings):
        del getter, args, settings
        if name not in constants:  # layers share them
            constants[name] = tf.constant(read(name), name=name)
        return constants[name]

    return get


def _pad(inputs, length):
    """The inputs padded to `length` (None: as they are); longer ones fail at run time."""
    if length is None:
        return inputs
    return {
        name: tf.pad(tensor, [[0, 0], [0, length - tf.shape(tensor)[1]]])
        for name, tensor in inputs.items()
    }


def write_saved_model(graph_def, folder):
    """Writes the graph with its signature to a new folder."""
    with tf.Graph().as_default() as graph, tf.Session() as session:
        tf.import_graph_def(graph_def, name="")

        def infos(names):
            tensors = {name: graph.get_tensor_by_name(name + ":0") for name in names}
            return {
                name: tf.saved_model.build_tensor_info(tensor) for name, tensor in tensors.items()
            }

        signature = tf.saved_model.build_signature_def(
            infos(INPUTS), infos(OUTPUTS), tf.saved_model.signature_constants.PREDICT_METHOD_NAME
        )
        builder = tf.saved_model.Builder(folder)
        builder.add_meta_graph_and_variables(
            session,
            [tf.saved_model.tag_constants.SERVING],
            {SIGNATURE: signature},
            strip_default_attrs=True,  # older TensorFlows do not know all of them
        )
        builder.save()


# The parity check


def parity_batches(classifier):
    """Inputs of the check: a sequence of the full length, and short ones padded together."""
    limit = classifier.head.fixed_length or classifier.config.max_position_embeddings
    short = min(limit, _CHECKED_LENGTH)
    random = np.random.RandomState(0)
    return [
        _random_batch(random, classifier.config.vocab_size, lengths)
        for lengths in ([limit], [short, max(1, short // 2), 1])
    ]


def _random_batch(random, vocab_size, lengths):
    positions, ends = np.arange(max(lengths)), np.array(lengths)[:, np.newaxis]
    mask = positions < ends
    input_ids = random.randint(vocab_size, size=mask.shape) * mask
    segment_ids = mask & (positions >= ends // 2)
    batch = zip(INPUTS, (input_ids, mask, segment_ids))
    return {name: values.astype(np.int32) for name, values in batch}


def plain_outputs(classifier, batches):
    """Outputs of the checkpoint's graph with variables, as training and scoring build it."""
    with tf.Graph().as_default():
        inputs = _placeholders()
        outputs = _build(classifier, inputs)
        variables = tf.trainable_variables()
        checkpoints.check_shapes(
            variables, classifier.files.checkpoint, classifier.files.config_file
        )
        with tf.Session() as session:
            restore(session, tf.train.Saver(variables), variables, classifier.files.checkpoint)
            results = []
            for batch in batches:
                missing = max(0, (classifier.head.fixed_length or 0) - batch["input_ids"].shape[1])
                padding = [(0, 0), (0, missing)]
                feed = {
                    inputs[name]: np.pad(values, padding, "constant")
                    for name, values in batch.items()
                }
                results.append(session.run(outputs, feed))
            return results


def saved_model_outputs(folder, batches):
    """Outputs of a SavedModel, loaded into a graph of its own."""
    with tf.Graph().as_default(), tf.Session() as session:
        meta_graph = tf.saved_model.load(session, [tf.saved_model.tag_constants.SERVING], folder)
        signature = meta_graph.signature_def[SIGNATURE]
        outputs = {name: info.name for name, info in signature.outputs.items()}
        return [
            session.run(
                outputs,
                {signature.inputs[name].name: values for name, values in batch.items()},
            )
            for batch in batches
        ]


def largest_differences(expected, actual):
    """`{name: largest difference}`, in the units of `PARITY_LIMIT`.

    Args:
        expected, actual: lists of outputs by name.
    """
    differences = {}
    for name in ("probabilities", "logits"):
        one, other = (
            np.concatenate([batch[name] for batch in found]) for found in (expected, actual)
        )
        differences[name] = float(np.abs(one - other).max() / max(1.0, np.abs(one).max()))
    return differences


def check_parity(classifier, expected, folder, batches):
    """Loads a SavedModel and returns its `largest_differences`.

    Raises:
        InputError: one is above `PARITY_LIMIT`, or not a number.
    """
    differences = largest_differences(expected, saved_model_outputs(folder, batches))
    for name, value in differences.items():
        if not value <= PARITY_LIMIT:
            raise InputError(
                "%s: the SavedModel does not compute what the checkpoint does: %s differ by %.3g, "
                "more than %g; nothing was written."
                % (classifier.files.checkpoint, name, value, PARITY_LIMIT)
            )
    return differences
