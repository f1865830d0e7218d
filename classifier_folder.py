"""What a fine-tuned folder holds besides checkpoints: model files, and how it was trained."""

import os

import checkpoint_selection
import checkpoint_utils
import classifier_flags
import classifier_model
import file_utils
from file_utils import InputError


def task_settings(options, labels):
    """Content of `task.json`: what evaluation and prediction must have in common with training."""
    return {
        "task_name": options["task_name"].lower(),
        "labels": labels,
        "max_seq_length": options["max_seq_length"],
        "do_lower_case": options["do_lower_case"],
        "pooling": options["pooling"],
    }


def run_settings(config, options, files):
    """What must not change between the runs that share an `output_dir`.

    Args:
        files: paths of the training data.
    """
    settings = {name: options[name] for name in classifier_flags.RESULT_FLAGS}
    settings["config"] = config.to_dict()
    settings["vocabulary_sha256"] = file_utils.sha256(
        options["spm_model_file"] or options["vocab_file"]
    )
    settings["data_sha256"] = {os.path.basename(path): file_utils.sha256(path) for path in files}
    return settings


def write_model_files(options, labels):
    """Makes `output_dir` complete by itself."""
    folder = options["output_dir"]
    copies = {classifier_model.CONFIG_FILE: options["bert_config_file"]}
    if options["spm_model_file"]:
        copies[classifier_model.SPM_FILE] = options["spm_model_file"]
    else:
        copies[classifier_model.VOCAB_FILE] = options["vocab_file"]
    for name, source in copies.items():
        file_utils.copy(source, os.path.join(folder, name))
    path = os.path.join(folder, classifier_model.TASK_FILE)
    file_utils.write_json(path, task_settings(options, labels))


def check_task_file(checkpoint, options, labels):
    """Refuses flags that are not those which a classifier was trained with.

    Raises:
        InputError: `task.json` beside the checkpoint differs, in more than the task's name.
    """
    path = os.path.join(os.path.dirname(checkpoint), classifier_model.TASK_FILE)
    if options["allow_changed_settings"] or not file_utils.exists(path):
        return
    trained = file_utils.read_json(path)
    for name, value in task_settings(options, labels).items():
        if name != "task_name" and name in trained and trained[name] != value:
            raise InputError(
                "%s: the classifier was trained with %s %s, but this run has %s "
                "(--allow_changed_settings to use it all the same)."
                % (path, name, _show(trained[name]), _show(value))
            )


def find_checkpoints(options):
    """Checkpoints to evaluate.

    Returns:
        Whether they are of `output_dir`, and their prefixes in ascending step order.  Without any
        there, --init_checkpoint, if it is a trained classifier.

    Raises:
        InputError: there is none.
    """
    folder = options["output_dir"]
    steps = checkpoint_selection.checkpoint_steps(folder)
    if steps:
        return True, [checkpoint_selection.checkpoint_prefix(folder, step) for step in steps]
    best = checkpoint_selection.best_checkpoint(folder)
    if best:
        return True, [best]
    initial = options["init_checkpoint"]
    if initial and "output_weights" in checkpoint_utils.read_shapes(initial):
        return False, [initial]
    raise InputError(
        "--output_dir: no checkpoint in '%s', and --init_checkpoint is no trained classifier; "
        "train first (--do_train)." % folder
    )


def selected_checkpoint(options):
    """Prefix of the checkpoint to report and to predict with (--select_checkpoint)."""
    if options["select_checkpoint"] == "best":
        best = checkpoint_selection.best_checkpoint(options["output_dir"])
        if best:
            return best
    return find_checkpoints(options)[1][-1]


def _show(value):
    text = str(value)
    return text if len(text) <= 100 else text[:100] + "..."
