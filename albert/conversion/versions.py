"""Numbered versions of a SavedModel in a folder, as TensorFlow Serving watches it."""

import contextlib
import os
import shutil

from albert.basics import locks, storage
from albert.basics.errors import InputError
from albert.conversion import saved_model
from albert.model_files import model_folder

# TensorFlow leaves it alone, and servers keep it beside the model.
EXTRA_FOLDER = "assets.extra"


def export_folder(model_dir, output_dir, files=(None, None), version=None, overwrite=False):
    """Finds a classifier, writes it with `export`, and prints what came of it.

    Args:
        model_dir: folder of the classifier, or a checkpoint in it.
        output_dir, version, overwrite: see `export`.
        files: config file and vocabulary to use in place of the folder's.

    Raises:
        InputError: see `saved_model.read_classifier` and `export`.
    """
    classifier = saved_model.read_classifier(model_dir, *files)
    folder, differences = export(classifier, output_dir, version, overwrite)
    head = classifier.head
    print("checkpoint: %s" % classifier.files.checkpoint)
    print("labels: %s" % ("a number" if head.regression else head.num_labels))
    print(
        "largest difference to the plain graph: probabilities %.3g, logits %.3g (limit %g)"
        % (differences["probabilities"], differences["logits"], saved_model.PARITY_LIMIT)
    )
    print("written: %s" % folder)


def export(classifier, output_dir, version=None, overwrite=False):
    """Writes OUTPUT_DIR/VERSION, complete and checked, or nothing.

    Args:
        classifier: `saved_model.TrainedClassifier`.
        output_dir: local folder, made if missing.
        version: number; None: one more than the highest in `output_dir`, or 1.
        overwrite: replace what is there.

    Returns:
        The folder, and the `saved_model.largest_differences`.

    Raises:
        InputError: the folder is there already, another process writes there, the checkpoint does
            not fit the config, or `saved_model.check_parity` failed.
    """
    if storage.is_remote(output_dir):
        raise InputError("--output_dir: '%s' is no folder of this machine." % output_dir)
    storage.prepare_checkpoint_dir(output_dir)
    with locks.only_writer(output_dir):
        return _export(classifier, output_dir, version, overwrite)


def _export(classifier, output_dir, version, overwrite):
    folder = os.path.join(output_dir, str(version or _next_version(output_dir)))
    if os.path.exists(folder) and os.listdir(folder) and not overwrite:
        raise InputError(
            "--version: '%s' is there already; pass another --version, or --overwrite." % folder
        )
    batches = saved_model.parity_batches(classifier)
    expected = saved_model.plain_outputs(classifier, batches)
    # Servers that watch the folder look for numbers only.
    with _temporary_folder(os.path.join(output_dir, ".new-%d" % os.getpid())) as temporary:
        saved_model.write_saved_model(saved_model.serving_graph(classifier), temporary)
        _write_extra_files(classifier, os.path.join(temporary, EXTRA_FOLDER))
        differences = saved_model.check_parity(classifier, expected, temporary, batches)
        _rename(temporary, folder)
    return folder, differences


def _next_version(output_dir):
    return 1 + max((int(name) for name in os.listdir(output_dir) if name.isdigit()), default=0)


@contextlib.contextmanager
def _temporary_folder(path):
    """A path at which nothing is, nor remains."""
    shutil.rmtree(path, ignore_errors=True)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _write_extra_files(classifier, folder):
    os.mkdir(folder)
    files = classifier.files
    model_folder.write_files(
        folder, files.config_file, files.vocab_file, files.spm_file, classifier.task
    )


def _rename(source, target):
    """Renames a folder; what was at `target` is deleted when the new one stands there."""
    with _temporary_folder(source + "-old") as old:
        if os.path.exists(target):
            os.rename(target, old)
        try:
            os.rename(source, target)
        except OSError:
            if os.path.exists(old):
                os.rename(old, target)
            raise
