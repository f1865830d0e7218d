"""The files of a trained model: the checkpoint that counts, and what lies beside it.

A folder is what run_classifier.py leaves, or a published zip; or what run_pretraining.py leaves,
where config and vocabulary must be named.  A checkpoint in it can be named as well.
"""

import collections
import os

from albert.basics import storage
from albert.basics.storage import InputError
from albert.basics.tf_compat import tf
from albert.finetuning.classification import features
from albert.heads import classification
from albert.model_files import checkpoints, configuration
from albert.training import best_checkpoint

# checkpoint: prefix; spm_file: None for a WordPiece vocabulary; task: content of task.json, or {}.
ModelFiles = collections.namedtuple("ModelFiles", "checkpoint config_file vocab_file spm_file task")


def find_files(model_dir, given=(None, None), defaults=(None, None)):
    """Finds the files of a model.

    Args:
        model_dir: folder, or a checkpoint as `checkpoint_utils.resolve_checkpoint` takes it.  Of a
            run of run_classifier.py the best checkpoint counts.
        given: config file and vocabulary to use in place of the folder's.
        defaults: the same for a folder that has none.

    Returns:
        `ModelFiles`.

    Raises:
        InputError: no checkpoint, or several, or several configs or vocabularies.
    """
    checkpoint = best_checkpoint.best_checkpoint(model_dir) or checkpoints.resolve_checkpoint(
        model_dir, "model_dir"
    )
    folder = model_dir if tf.io.gfile.isdir(model_dir) else os.path.dirname(checkpoint)
    config_file, vocab_file = given
    spm_file = None
    if not config_file:
        own = _own_file(folder, classification.CONFIG_FILE, "*bert_config*.json")
        config_file = own or defaults[0]
    if not vocab_file:
        spm_file = _own_file(folder, classification.SPM_FILE, "*.model")
        own = _own_file(folder, classification.VOCAB_FILE, "vocab*.txt")
        vocab_file = own or defaults[1]
    task_file = os.path.join(folder, classification.TASK_FILE)
    task = storage.read_json(task_file) if storage.exists(task_file) else {}
    return ModelFiles(checkpoint, config_file, vocab_file, spm_file, task)


def _own_file(folder, name, pattern):
    """The file of that name; else the only one that fits the pattern, as in published zips."""
    path = os.path.join(folder, name)
    if storage.exists(path):
        return path
    found = sorted(tf.io.gfile.glob(os.path.join(folder, pattern)))
    if len(found) > 1:
        raise InputError(
            "%s: no '%s', and several files that could be meant: %s; rename the right one."
            % (folder, name, ", ".join(map(os.path.basename, found)))
        )
    return found[0] if found else None


def load_config(files, shapes):
    """The model's config; InputError when the checkpoint is of another family.

    Args:
        shapes: of the checkpoint, from `checkpoint_utils.read_shapes`.
    """
    config = configuration.load_config(files.config_file)
    checkpoints.check_family(shapes, files.checkpoint, config, files.config_file)
    return config


def load_tokenizer(files, config):
    """The model's tokenizer; InputError when its vocabulary is not the config's."""
    options = {
        "bert_config_file": files.config_file,
        "vocab_file": files.vocab_file,
        "spm_model_file": files.spm_file,
        "do_lower_case": files.task.get("do_lower_case", True),
        "allow_vocab_mismatch": False,
    }
    return features.load_tokenizer(config, options)


def num_labels(files, shapes):
    """Number of a classifier's outputs, 1 for a regression; InputError where it has none.

    Args:
        shapes: of the checkpoint, from `checkpoint_utils.read_shapes`.
    """
    if "output_weights" not in shapes:
        raise InputError(
            "%s: no classifier (it has no 'output_weights'); fine-tune it first with "
            "run_classifier.py." % files.checkpoint
        )
    return shapes["output_weights"][0]


def pooling(files):
    """How a classifier makes one vector of a sequence, see `classifier_model.pool`."""
    return files.task.get("pooling", "cls")


def fixed_length(files):
    """Length to which a classifier's sequences must be padded, or None.

    The mean over all positions depends on their number: pad as in training.
    """
    return files.task["max_seq_length"] if pooling(files) == "mean" else None


def write_files(folder, config_file, vocab_file, spm_file, task):
    """Makes a folder complete by itself, but for a checkpoint.

    Args:
        config_file, vocab_file, spm_file: to copy; of a vocabulary and a SentencePiece model the
            latter, if given.
        task: content of task.json.
    """
    copies = {classification.CONFIG_FILE: config_file}
    if spm_file:
        copies[classification.SPM_FILE] = spm_file
    else:
        copies[classification.VOCAB_FILE] = vocab_file
    for name, source in copies.items():
        storage.copy(source, os.path.join(folder, name))
    storage.write_json(os.path.join(folder, classification.TASK_FILE), task)


def label_names(files, num_labels):
    """Names of the classifier's labels; none for a regression.

    Raises:
        InputError: task.json has another number of them.
    """
    names = files.task.get("labels")
    if names is None:  # one class would always have probability 1
        names = [None] if num_labels == 1 else [str(index) for index in range(num_labels)]
    if len(names) != num_labels:
        raise InputError(
            "%s has %d labels, but task.json beside it names %d: %s."
            % (files.checkpoint, num_labels, len(names), ", ".join(map(str, names)))
        )
    return [] if names == [None] else names


def uses_preprocess_text(files):
    """Whether texts passed through `tokenization.preprocess_text` in training."""
    if "preprocess_text" in files.task:
        return files.task["preprocess_text"]
    if "task_name" not in files.task:  # the google recipe for SentencePiece vocabularies
        return files.spm_file is not None
    from albert.finetuning.tasks import registry  # not needed otherwise

    task = registry.TASKS.get(files.task["task_name"], registry.DataProcessor)()
    task.use_spm = files.spm_file is not None
    return task.uses_preprocess_text
