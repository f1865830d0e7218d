"""What a fine-tuned folder holds besides checkpoints: model files, settings, results."""

import os

from albert.basics import storage, tf_compat
from albert.basics.errors import InputError, shown
from albert.finetuning.flags import RESULT_FLAGS
from albert.model_files import model_folder

RESULTS_FILE = "results.json"
_SHOWN = 100  # characters of a setting in a message


def task_settings(options, processor):
    """Content of `task.json`: what evaluation and prediction must have in common with training."""
    return {
        "task_name": options.task_name.lower(),
        "labels": processor.get_labels(),
        "preprocess_text": processor.uses_preprocess_text,
        "max_seq_length": options.max_seq_length,
        "do_lower_case": options.do_lower_case,
        "pooling": options.pooling,
    }


def run_settings(config, options, files):
    """What must not change between the runs that share an `output_dir`.

    Args:
        files: paths of the training data.
    """
    settings = {name: getattr(options, name) for name in RESULT_FLAGS}
    settings["config"] = config.to_dict()
    settings["vocabulary_sha256"] = storage.sha256(options.spm_model_file or options.vocab_file)
    settings["data_sha256"] = {os.path.basename(path): storage.sha256(path) for path in files}
    return settings


def write_model_files(options, processor):
    """Makes `output_dir` complete by itself."""
    model_folder.write_files(
        options.output_dir,
        options.bert_config_file,
        options.vocab_file,
        options.spm_model_file,
        task_settings(options, processor),
    )


def check_task_file(checkpoint, options, processor):
    """Refuses flags that are not those which a classifier was trained with.

    Raises:
        InputError: `task.json` beside the checkpoint differs, in more than the task's name.
    """
    path = os.path.join(os.path.dirname(checkpoint), model_folder.TASK_FILE)
    if options.allow_changed_settings or not storage.exists(path):
        return
    trained = storage.read_json(path)
    for name, value in task_settings(options, processor).items():
        if name != "task_name" and name in trained and trained[name] != value:
            raise InputError(
                "%s: the classifier was trained with %s %s, but this run has %s "
                "(--allow_changed_settings to use it all the same)."
                % (path, name, shown(trained[name], _SHOWN), shown(value, _SHOWN))
            )


class Results:
    """`results.json`: all settings and scores of a run, so that two runs can be compared.

    What an earlier command left there stays.

    Args:
        config: model config.
        options: `{flag: value}`.
    """

    def __init__(self, config, options):
        self._path = os.path.join(options.output_dir, RESULTS_FILE)
        self._content = storage.read_json(self._path) if storage.exists(self._path) else {}
        self._content.update(
            task_name=options.task_name,
            settings=options._asdict(),
            config=config.to_dict(),
            versions=tf_compat.versions(),
        )

    def set(self, key, value):
        """Sets one entry; None removes it."""
        self._content[key] = value
        if value is None:
            del self._content[key]

    def write(self):
        """Writes the file and returns its content."""
        storage.write_json(self._path, self._content)
        return self._content
