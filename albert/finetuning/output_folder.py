"""What a fine-tuned folder holds besides checkpoints: model files, settings, results."""

import os

from albert.basics import storage, tf_compat
from albert.basics.errors import InputError, shown
from albert.finetuning.flags import RESULT_FLAGS
from albert.model_files import model_folder

RESULTS_FILE = "results.json"
# What task.json says that may be another in evaluation and prediction.
_NOT_BINDING = ("task_name", "table")
_SHOWN = 100  # characters of a setting in a message


def task_content(settings, kind):
    """Content of `task.json`: what evaluation and prediction must have in common with training.

    Args:
        settings: `FinetuningSettings`.
        kind: `kind.Kind` of the task.
    """
    return {
        "task_name": settings.task_name.lower(),
        **kind.task_entries(),
        "preprocess_text": kind.processor.uses_preprocess_text,
        "max_seq_length": settings.max_seq_length,
        "do_lower_case": settings.do_lower_case,
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
    bound["config"] = config.to_dict()
    bound["vocabulary_sha256"] = storage.sha256(settings.spm_model_file or settings.vocab_file)
    bound["data_sha256"] = {os.path.basename(path): storage.sha256(path) for path in files}
    return bound


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
            raise InputError(
                "%s: the classifier was trained with %s %s, but this run has %s "
                "(--allow_changed_settings to use it all the same)."
                % (path, name, shown(trained[name], _SHOWN), shown(value, _SHOWN))
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
        self._path = os.path.join(settings.output_dir, RESULTS_FILE)
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
