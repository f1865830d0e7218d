"""What run_classifier.py takes from folders where the user leaves a flag out.

A folder that holds a trained classifier says which task it was trained for, and how: scoring and
predicting with it needs no more flags than what to do.  A folder to start from, of a published
model or of pre-training, says the config and the vocabulary.
"""

import os
from typing import Any, Dict, NamedTuple, Optional

from absl import logging

from albert.basics import storage
from albert.basics.errors import InputError
from albert.basics.tf_compat import tf
from albert.model_files import model_folder
from albert.model_files.configuration import BRIGHTMART

# Flags that task.json of a trained classifier answers, and those that run_settings.json does.
_OF_TASK = ("task_name", "max_seq_length", "do_lower_case", "pooling")
_OF_RUN = ("normalize_text", "text_a", "text_b", "label", "regression", "header")
# The defaults of the reference, which has one script for each family.
_BRIGHTMART_LENGTH, _GOOGLE_LENGTH = 128, 512


class _Trained(NamedTuple):
    """A folder with a trained classifier.

    Attributes:
        folder: its name.
        task: content of task.json.
        run: flags by name that training had; empty where the folder does not tell.
    """

    folder: str
    task: Dict[str, Any]
    run: Dict[str, Any]


def complete(settings, given, load_config):
    """The settings with what the user left out filled in, and the model's config.

    Args:
        settings: `FinetuningSettings`.
        given: names of the flags that the user passed; None: all.
        load_config: function of a path that returns the config.

    Returns:
        `FinetuningSettings` and config.

    Raises:
        InputError: no folder tells the config, or one holds several.
    """
    model_folder.check_is_one_run(settings.init_checkpoint, "init_checkpoint")
    if not (settings.do_train or settings.init_checkpoint or settings.seeds > 1):
        model_folder.check_is_one_run(settings.output_dir, "output_dir")
    trained = _trained_folder(settings)
    settings = _with_files(settings, trained)
    if not settings.bert_config_file:
        raise InputError(
            "--bert_config_file is required: neither --output_dir nor --init_checkpoint names a "
            "folder that holds the config."
        )
    config = load_config(settings.bert_config_file)
    if given is not None:
        settings = _with_values(settings, given, trained, config)
    return settings, config


def _trained_folder(settings):
    """`_Trained` of the folder whose classifier this run is about; None for a new one."""
    folders = [settings.output_dir]
    if settings.seeds > 1 and settings.output_dir:
        folders.append(model_folder.seed_folder(settings.output_dir, settings.seed))
    if not settings.do_train:
        folders.append(_folder_of(settings.init_checkpoint))
    for folder in filter(None, folders):
        task_file = os.path.join(folder, model_folder.TASK_FILE)
        is_begun = not settings.do_train or storage.exists(os.path.join(folder, "checkpoint"))
        if is_begun and storage.exists(task_file):
            task = storage.read_json(task_file)
            if "task_name" in task:
                return _Trained(folder, task, _run_settings(folder))
    return None


def _folder_of(checkpoint: Optional[str]):
    """The folder that --init_checkpoint names, or in which its checkpoint lies."""
    if not checkpoint:
        return None
    return checkpoint if tf.io.gfile.isdir(checkpoint) else os.path.dirname(checkpoint) or "."


def _run_settings(folder):
    """What `run_settings.check_run_settings` stored, also for the folder of the best checkpoint."""
    for place in (folder, model_folder.run_of_best(folder)):
        path = place and os.path.join(place, model_folder.RUN_SETTINGS)
        if path and storage.exists(path):
            return storage.read_json(path)
    return {}


def _with_files(settings, trained):
    """The settings with config and vocabulary."""
    folders = [trained.folder] if trained else []
    folders += filter(None, [_folder_of(settings.init_checkpoint)])
    for folder in folders:
        taken = {}
        if not settings.bert_config_file:
            taken["bert_config_file"] = model_folder.own_config(folder)
        if not (settings.vocab_file or settings.spm_model_file):
            vocab_file, spm_file = model_folder.own_vocabulary(folder)
            taken["spm_model_file"] = spm_file
            taken["vocab_file"] = None if spm_file else vocab_file
        taken = {name: value for name, value in taken.items() if value}
        for name, value in sorted(taken.items()):
            logging.info("--%s: not given; '%s' is used.", name, value)
        settings = settings._replace(**taken)
    return settings


def _with_values(settings, given, trained, config):
    """The settings with what a trained classifier's folder tells, and the family's length."""
    taken = _told(settings, trained) if trained else {}
    if "max_seq_length" not in taken:
        usual = _BRIGHTMART_LENGTH if config.family == BRIGHTMART else _GOOGLE_LENGTH
        taken["max_seq_length"] = min(usual, config.max_position_embeddings)
    if not trained and settings.init_checkpoint:
        task_file = os.path.join(_folder_of(settings.init_checkpoint), model_folder.TASK_FILE)
        if storage.exists(task_file):
            lower = storage.read_json(task_file).get("do_lower_case", settings.do_lower_case)
            taken["do_lower_case"] = lower
    values = settings._asdict()
    changed = {
        name: value
        for name, value in taken.items()
        if name not in given and values[name] != value and value is not None
    }
    for name, value in sorted(changed.items()):
        logging.info("--%s: not given; %s is used.", name, value)
    return settings._replace(**changed)


def _told(settings, trained):
    """`{flag: value}` of what a trained classifier's folder tells."""
    told = {name: trained.run[name] for name in _OF_RUN if name in trained.run}
    told.update((name, trained.task[name]) for name in _OF_TASK if name in trained.task)
    if trained.task.get(model_folder.ALLOW_VOCAB_MISMATCH):
        told[model_folder.ALLOW_VOCAB_MISMATCH] = True
    labels = trained.task.get("labels")
    if (settings.task_name or told.get("task_name")) == "custom" and labels and not settings.labels:
        if labels == [None]:
            told["regression"] = True
        elif not settings.train_file and not any("," in label for label in labels):
            told["labels"] = ",".join(labels)
    return told
