"""What a fine-tuned folder holds besides checkpoints: model files, settings, results."""

import os

from absl import logging

from albert.basics import storage, tf_compat
from albert.basics.errors import InputError, shown
from albert.finetuning.flags import RESULT_FLAGS
from albert.model_files import model_folder

# What task.json says that may be another in evaluation and prediction.
_NOT_BINDING = ("task_name", "table")
_SHOWN = 100  # characters of a setting in a message


def task_content(settings, kind):
    """Content of `task.json`: what evaluation and prediction must have in common with training.

    Args:
        settings: `FinetuningSettings`.
        kind: `kind.Kind` of the task.
    """
    key = model_folder.ALLOW_VOCAB_MISMATCH
    allowed = {key: True} if settings.allow_vocab_mismatch else {}
    return {
        "task_name": settings.task_name.lower(),
        **kind.task_entries(),
        "preprocess_text": kind.processor.uses_preprocess_text,
        "max_seq_length": settings.max_seq_length,
        "do_lower_case": settings.do_lower_case,
        **allowed,
    }


def binding_settings(config, settings, files):
    """What must not change between the runs that share an `output_dir`.

    Args:
        config: model config.
        settings: `FinetuningSettings`.
        files: paths of the training data.
    """
    values = settings._asdict()
    bound = {name: values[name] for name in RESULT_FLAGS}
    bound["init_checkpoint"] = _checkpoint_identity(settings.init_checkpoint)
    bound["config"] = config.to_dict()
    bound["vocabulary_sha256"] = storage.sha256(settings.spm_model_file or settings.vocab_file)
    bound["data_sha256"] = {os.path.basename(path): storage.sha256(path) for path in files}
    return bound


def _checkpoint_identity(prefix):
    """What a checkpoint is, wherever it lies; None for none."""
    if not prefix:
        return None
    # The index has the checksums of all variables; a file of TensorFlow's first format has none.
    index = prefix + ".index"
    content = storage.sha256(index if storage.exists(index) else prefix)
    return {"path": prefix, "sha256": content}


def checkpoint_difference(before, now):
    """In what two initial checkpoints differ, or None; for `run_settings`.

    Args:
        before: as `binding_settings` has it; earlier versions of this program stored the path.
        now: the same.
    """
    if isinstance(before, str):
        before = {"path": before, "sha256": None}
        if now and before["path"] != now["path"] and storage.exists(before["path"] + ".index"):
            before = _checkpoint_identity(before["path"])
    if before and now:
        if before["sha256"] == now["sha256"]:
            return None
        names = {os.path.basename(value["path"]) for value in (before, now)}
        if before["sha256"] is None and len(names) == 1:
            return None
    paths = (shown(value and value["path"], _SHOWN) for value in (before, now))
    return "init_checkpoint was %s and is now %s, other weights" % tuple(paths)


def write_model_files(settings, kind):
    """Makes `output_dir` complete by itself."""
    model_folder.write_files(
        settings.output_dir,
        settings.bert_config_file,
        settings.vocab_file,
        settings.spm_model_file,
        task_content(settings, kind),
    )


def check_task_file(checkpoint, settings, kind):
    """Refuses flags that are not those which a classifier was trained with.

    Raises:
        InputError: `task.json` beside the checkpoint differs, in more than the task's name.
    """
    path = os.path.join(os.path.dirname(checkpoint), model_folder.TASK_FILE)
    if settings.allow_changed_settings or not storage.exists(path):
        return
    trained = storage.read_json(path)
    for name, value in task_content(settings, kind).items():
        if name not in _NOT_BINDING and name in trained and trained[name] != value:
            remedy = ""
            if name in settings._fields:
                needed = trained[name]
                needed = ",".join(map(str, needed)) if isinstance(needed, list) else needed
                remedy = "leave --%s out or pass --%s=%s; " % (name, name, shown(needed, _SHOWN))
            raise InputError(
                "%s: the classifier was trained with %s %s, but this run has %s (%s"
                "--allow_changed_settings to use it all the same)."
                % (path, name, shown(trained[name], _SHOWN), shown(value, _SHOWN), remedy)
            )


def say_head(loading, kind):
    """Logs that the head of an earlier task is trained further, and what it was trained for.

    As in the reference: whatever has the name and the size is loaded.

    Args:
        loading: `checkpoints.Loading`.
        kind: `kind.Kind` of the task.
    """
    if not any(name in loading.sources for name in kind.new_variables):
        return
    prefix = loading.stored.prefix
    logging.info("%s: its head has the size of this task's and is trained further.", prefix)
    path = os.path.join(os.path.dirname(prefix), model_folder.TASK_FILE)
    before = storage.read_json(path).get("labels") if storage.exists(path) else None
    now = kind.task_entries().get("labels")
    if before and now and before != now:
        logging.warning(
            "%s: the head was trained for the labels %s and starts as that of %s.",
            prefix,
            shown(before, _SHOWN),
            shown(now, _SHOWN),
        )


def write_lines(folder, name, lines):
    """Writes a text file of the folder, and returns its path."""
    path = os.path.join(folder, name)
    with storage.atomic_write(path) as handle:
        handle.writelines(line + "\n" for line in lines)
    return path


class Results:
    """`results.json`: all settings and scores of a run, so that two runs can be compared.

    What an earlier command left there stays.

    Args:
        config: model config.
        settings: `FinetuningSettings`.
    """

    def __init__(self, config, settings):
        self._path = os.path.join(settings.output_dir, model_folder.RESULTS_FILE)
        self._content = storage.read_json(self._path) if storage.exists(self._path) else {}
        self._content.update(
            task_name=settings.task_name,
            settings=settings._asdict(),
            config=config.to_dict(),
            versions=tf_compat.versions(),
        )

    def set(self, key, value):
        """Sets one entry; None removes it."""
        self._content[key] = value
        if value is None:
            del self._content[key]

    def add(self, key, entries):
        """Adds to an entry that is a dict, such as what was read of each set."""
        self._content[key] = dict(self._content.get(key, {}), **entries)

    def write(self):
        """Writes the file and returns its content."""
        storage.write_json(self._path, self._content)
        return self._content
