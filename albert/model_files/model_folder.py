"""The files of a trained model: the checkpoint that counts, and what lies beside it.

A folder is what run_classifier.py leaves, or a published zip; or what run_pretraining.py leaves,
where config and vocabulary must be named.  A checkpoint in it can be named as well.
"""

import os
import re
from typing import Any, Dict, NamedTuple, Optional

from absl import logging

import tokenization
from albert.basics import storage
from albert.basics.errors import InputError
from albert.basics.tf_compat import tf
from albert.model_files import checkpoints, configuration, variables
from albert.model_files.classifier_head import ClassifierHead

# Beside the checkpoints of a fine-tuned folder, so that it is complete by itself.
CONFIG_FILE = "albert_config.json"
VOCAB_FILE = "vocab.txt"
SPM_FILE = "spiece.model"  # instead of the vocabulary
TASK_FILE = "task.json"
RUN_SETTINGS = "run_settings.json"  # of the run that made the folder
BEST_FOLDER = "best"
BEST_FILE = "best.json"
RESULTS_FILE = "results.json"
# Key of task.json; also the name of the flag.
ALLOW_VOCAB_MISMATCH = "allow_vocab_mismatch"
# Weights in other forms, for which no run of training can be taken.
_MODELS_OF_OTHERS = ("pytorch_model*.bin", "*.safetensors", "saved_model.pb", "tf_model.h5")
# What makes a classifier's folder complete by itself.
MODEL_FILES = (
    CONFIG_FILE,
    VOCAB_FILE,
    SPM_FILE,
    TASK_FILE,
)


# Tasks whose text was normalized with a SentencePiece vocabulary, for the task.json files of before
# the key `preprocess_text`.  Later tasks have that key and need no entry.
_PREPROCESS_TASKS = frozenset(
    "cola mnli mismnli ax mrpc rte sst-2 sts-b qqp qnli wnli custom".split()
)


class ModelFiles(NamedTuple):
    """What a trained model is read from.

    Attributes:
        checkpoint: prefix.
        config_file, vocab_file: paths; None where there is none.
        spm_file: path of a SentencePiece model; None for a WordPiece vocabulary.
        task: content of task.json; empty where there is none.
    """

    checkpoint: str
    config_file: Optional[str]
    vocab_file: Optional[str]
    spm_file: Optional[str]
    task: Dict[str, Any]


def find_files(model_dir, given=(None, None), defaults=(None, None)):
    """Finds the files of a model.

    Args:
        model_dir: folder, or a checkpoint as `checkpoints.resolve_checkpoint` takes it.  Of a
            run of run_classifier.py the best checkpoint counts.
        given: config file and vocabulary to use in place of the folder's.
        defaults: the same for a folder that has none.

    Returns:
        `ModelFiles`.

    Raises:
        InputError: no checkpoint, or several, or several configs or vocabularies.
    """
    check_is_one_run(model_dir, "model_dir")
    checkpoint = best_checkpoint(model_dir) or checkpoints.resolve_checkpoint(
        model_dir, "model_dir"
    )
    folder = model_dir if tf.io.gfile.isdir(model_dir) else os.path.dirname(checkpoint)
    config_file, vocab_file = given
    spm_file = None
    if not config_file:
        config_file = own_config(folder) or defaults[0]
    if not vocab_file:
        own, spm_file = own_vocabulary(folder)
        vocab_file = own or defaults[1]
    return ModelFiles(checkpoint, config_file, vocab_file, spm_file, _read_task(folder))


def own_config(folder):
    """Path of the config in a folder; None: there is none."""
    return _own_file(folder, CONFIG_FILE, "*bert_config*.json")


def own_vocabulary(folder):
    """Paths of the vocabulary and of the SentencePiece model in a folder; None for what is not."""
    spm_file = _own_file(folder, SPM_FILE, "*.model")
    return _own_file(folder, VOCAB_FILE, "vocab*.txt"), spm_file


def run_of_best(folder):
    """Folder of the run whose best checkpoint is in `folder`; None for any other folder."""
    if not storage.exists(os.path.join(folder, BEST_FILE)):
        return None
    return os.path.dirname(os.path.normpath(folder)) or "."


def check_is_one_run(folder, flag):
    """Refuses the folder of several runs that differ in their seed: none of them is in itself.

    Args:
        folder: what the user names, also a checkpoint; None: nothing.
        flag: the flag that it came from.

    Raises:
        InputError: it is one; names the folder of the best run.
    """
    results = os.path.join(folder, RESULTS_FILE) if folder else ""
    if not results or not storage.exists(results):
        return
    best = storage.read_json(results).get("seeds", {}).get("best_seed")
    if best is not None:
        raise InputError(
            "--%s: '%s' holds the runs of several seeds; name the folder of one, the best is '%s'."
            % (flag, folder, seed_folder(folder, best))
        )


def seed_folder(folder, seed):
    """Folder of one of the runs with --seeds in their common folder."""
    return os.path.join(folder, "seed_%d" % seed)


def _read_task(folder):
    task_file = os.path.join(folder, TASK_FILE)
    task = storage.read_json(task_file) if storage.exists(task_file) else {}
    for place in (folder, run_of_best(folder)):  # folders of before this key
        results = place and os.path.join(place, RESULTS_FILE)
        if task and results and storage.exists(results):
            settings = storage.read_json(results).get("settings", {})
            if settings.get(ALLOW_VOCAB_MISMATCH):
                task[ALLOW_VOCAB_MISMATCH] = True
    return task


def resolve_and_say(path):
    """`checkpoints.resolve_checkpoint` of --init_checkpoint; of a run's folder it is said which."""
    prefix = checkpoints.resolve_checkpoint(path)
    if tf.io.gfile.isdir(path):
        best = best_checkpoint(path)
        more = "; the best one is %s, pass that to start from it" % best if best else ""
        logging.info(
            "--init_checkpoint=%s: the latest checkpoint is used, %s%s.", path, prefix, more
        )
    return prefix


def _own_file(folder, name, pattern):
    """The file of that name; else the only one that fits the pattern, as in published zips."""
    path = os.path.join(folder, name)
    if storage.exists(path):
        return path
    found = storage.files_in(folder, pattern)
    if len(found) > 1:
        raise InputError(
            "%s: no '%s', and several files that could be meant: %s; rename the right one."
            % (folder, name, ", ".join(map(os.path.basename, found)))
        )
    return found[0] if found else None


def load_config(files, shapes):
    """The model's config; InputError when the checkpoint is of another family.

    Args:
        shapes: of the checkpoint, from `checkpoints.read_shapes`.
    """
    config = configuration.load_config(files.config_file)
    checkpoints.check_family(shapes, files.checkpoint, config, files.config_file)
    return config


def load_tokenizer(files, config):
    """The model's tokenizer; InputError when its vocabulary is not the config's.

    A model that was trained with --allow_vocab_mismatch is used as it was trained.
    """
    return create_tokenizer(
        config,
        files.config_file,
        files.vocab_file,
        files.spm_file,
        files.task.get("do_lower_case", True),
        files.task.get(ALLOW_VOCAB_MISMATCH, False),
        has_flag=False,
    )


def classifier_head(files, shapes):
    """`ClassifierHead` of a trained classifier; InputError where the model is none.

    Args:
        shapes: of the checkpoint, from `checkpoints.read_shapes`.
    """
    if not checkpoints.is_classifier(shapes):
        raise InputError(
            "%s: no classifier (it has no '%s'); fine-tune it first with run_classifier.py."
            % (files.checkpoint, variables.OUTPUT_WEIGHTS)
        )
    return ClassifierHead.of_task(files.task, num_labels=shapes[variables.OUTPUT_WEIGHTS][0])


def write_files(folder, config_file, vocab_file, spm_file, task):
    """Makes a folder complete by itself, but for a checkpoint.

    Args:
        config_file, vocab_file, spm_file: to copy; of a vocabulary and a SentencePiece model the
            latter, if given; None for both: neither is known.
        task: content of task.json; None: none is written.
    """
    copies = {CONFIG_FILE: config_file}
    if spm_file:
        copies[SPM_FILE] = spm_file
    elif vocab_file:
        copies[VOCAB_FILE] = vocab_file
    for name, source in copies.items():
        storage.copy(source, os.path.join(folder, name))
    if task is not None:
        storage.write_json(os.path.join(folder, TASK_FILE), task)


def label_names(files, head):
    """Names of the labels of a classifier with this `ClassifierHead`; none for a regression.

    Raises:
        InputError: task.json has another number of them.
    """
    names = files.task.get("labels")
    if names is None:
        names = [str(index) for index in range(head.num_labels)]
    if len(names) != head.num_labels:
        raise InputError(
            "%s has %d labels, but task.json beside it names %d: %s."
            % (files.checkpoint, head.num_labels, len(names), ", ".join(map(str, names)))
        )
    return [] if head.regression else names


def uses_preprocess_text(files):
    """Whether texts passed through `tokenization.preprocess_text` in training."""
    if "preprocess_text" in files.task:
        return files.task["preprocess_text"]
    if "task_name" not in files.task:  # the google recipe for SentencePiece vocabularies
        return files.spm_file is not None
    return files.spm_file is not None and files.task["task_name"] in _PREPROCESS_TASKS


def check_output_folder(output_dir, of_task):
    """Refuses to train in a folder that holds a model, but no run of the script that trains.

    To score a model, its own folder is as good as another.

    Args:
        output_dir: of a training script.
        of_task: whether this script's runs have a task, as those of fine-tuning.

    Raises:
        InputError: it does; says what is there.
    """
    if not tf.io.gfile.isdir(output_dir):
        return
    found = checkpoints.list_prefixes(output_dir)
    for pattern in _MODELS_OF_OTHERS:
        found += storage.files_in(output_dir, pattern)
    if not found:
        return
    advice = (
        "nothing is written there; choose another --output_dir and pass this one as "
        "--init_checkpoint."
    )
    settings_file = os.path.join(output_dir, RUN_SETTINGS)
    steps = checkpoint_steps(output_dir)
    if steps and storage.exists(settings_file):
        is_of_task = "task_name" in storage.read_json(settings_file)
        if is_of_task != of_task:
            kind = "fine-tuning" if is_of_task else "pre-training"
            raise InputError(
                "--output_dir: '%s' holds a run of %s; %s" % (output_dir, kind, advice)
            )
        return
    if run_of_best(output_dir):
        raise InputError(
            "--output_dir: '%s' holds the best checkpoint of the run in '%s'; %s"
            % (output_dir, run_of_best(output_dir), advice)
        )
    # What the reference's programs train has its step, and the optimizer's state beside it.
    latest = checkpoint_prefix(output_dir, steps[-1]) if steps else None
    if latest is None or tf.GraphKeys.GLOBAL_STEP not in checkpoints.read_shapes(latest):
        raise InputError(
            "--output_dir: '%s' holds a model and no run: %s is no checkpoint that training has "
            "left there; %s" % (output_dir, os.path.basename(latest or found[0]), advice)
        )


def check_folder_of_scores(output_dir):
    """Refuses to write scores and predictions beside a model that is no classifier.

    Args:
        output_dir: of run_classifier.py, in a run that does not train.

    Raises:
        InputError: there is one; says which.
    """
    if not tf.io.gfile.isdir(output_dir) or storage.exists(os.path.join(output_dir, TASK_FILE)):
        return
    found = checkpoints.list_prefixes(output_dir)
    if found and not any(
        checkpoints.is_classifier(checkpoints.read_shapes(path)) for path in found
    ):
        raise InputError(
            "--output_dir: '%s' holds a model that is no classifier, %s; nothing is written there; "
            "choose another --output_dir." % (output_dir, os.path.basename(found[-1]))
        )


def checkpoint_steps(folder):
    """Steps of the checkpoints `model.ckpt-N` in a folder, ascending.

    Foreign files (`albert_model.ckpt.index`, `model.ckpt-best.index`) are no checkpoints of a run.
    """
    if not tf.io.gfile.isdir(folder):
        return []
    found = (re.match(r"model\.ckpt-(\d+)\.index$", name) for name in tf.io.gfile.listdir(folder))
    return sorted(int(match.group(1)) for match in found if match)


def checkpoint_prefix(folder, step):
    return os.path.join(folder, "model.ckpt-%d" % step)


def read_best(output_dir):
    """Dict with "step", "metric" and "scores" of the best checkpoint; None if there is none."""
    folder = os.path.join(output_dir, BEST_FOLDER)
    path = os.path.join(folder, BEST_FILE)
    if not storage.exists(path):
        return None
    best = storage.read_json(path)
    if not storage.exists(checkpoint_prefix(folder, best["step"]) + ".index"):
        return None
    return best


def best_checkpoint(output_dir):
    """Prefix of the best checkpoint of a run; None if none is kept."""
    best = read_best(output_dir)
    if best is None:
        return None
    return checkpoint_prefix(os.path.join(output_dir, BEST_FOLDER), best["step"])


def find_checkpoints(output_dir, init_checkpoint=None):
    """Checkpoints to evaluate.

    Returns:
        Whether they are of `output_dir`, and their prefixes in ascending step order.  Without any
        there, `init_checkpoint`, if it is a trained classifier.

    Raises:
        InputError: there is none.
    """
    prefixes = [checkpoint_prefix(output_dir, step) for step in checkpoint_steps(output_dir)]
    prefixes = prefixes or list(filter(None, [best_checkpoint(output_dir)]))
    if prefixes:
        return True, prefixes
    if init_checkpoint and checkpoints.is_classifier(checkpoints.read_shapes(init_checkpoint)):
        return False, [init_checkpoint]
    others = checkpoints.list_prefixes(output_dir)
    raise InputError(
        "--output_dir: no checkpoint %sin '%s', and --init_checkpoint is %s; train first "
        "(--do_train)%s."
        % (
            "of a run " if others else "",
            output_dir,
            "no trained classifier" if init_checkpoint else "not given",
            ", or pass --init_checkpoint=%s" % others[-1] if others else "",
        )
    )


def selected_checkpoint(settings):
    """Prefix of the checkpoint to report and to predict with (--select_checkpoint).

    Args:
        settings: with `output_dir`, `select_checkpoint` and `init_checkpoint`.

    Raises:
        InputError: see `find_checkpoints`.
    """
    best = best_checkpoint(settings.output_dir)
    if best and settings.select_checkpoint == "best":
        return best
    return find_checkpoints(settings.output_dir, settings.init_checkpoint)[1][-1]


def create_tokenizer(
    config,
    config_file,
    vocab_file,
    spm_file=None,
    do_lower_case=True,
    allow_vocab_mismatch=False,
    has_flag=True,
):
    """`tokenization.FullTokenizer` of a vocabulary or, if given, a SentencePiece model.

    Args:
        config: the model's.
        config_file: its path, for the message.
        allow_vocab_mismatch: accept a vocabulary with more entries than the config says; what is
            above them is left out.
        has_flag: whether the user can pass --allow_vocab_mismatch.

    Raises:
        InputError: the vocabulary is not the config's.
    """
    limit = config.vocab_size if allow_vocab_mismatch else None
    tokenizer = tokenization.FullTokenizer(vocab_file, do_lower_case, spm_file, limit)
    vocab_file = spm_file or vocab_file
    special_tokens = ("[CLS]", "[SEP]") if tokenizer.sp_model else tokenization.SPECIAL_TOKENS
    tokenization.check_special_tokens(tokenizer.vocab, vocab_file, special_tokens)
    configuration.check_vocabulary(
        config, config_file, tokenizer.num_entries, vocab_file, allow_vocab_mismatch, has_flag
    )
    return tokenizer


def is_regression(label_list):
    """Whether these are the labels of a regression, `[None]`."""
    return list(label_list) == [None]
