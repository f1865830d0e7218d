"""Writes a fine-tuned classifier as a SavedModel, for TensorFlow Serving or any TensorFlow.

    python scripts/export_saved_model.py --model_dir=albert_lcqmc_checkpoints --output_dir=served

    served/1/saved_model.pb    the graph, its weights inside as constants
    served/1/assets.extra/     config, vocabulary and task.json (labels, case, length): what a
                               client needs to make ids of texts and names of labels

The inputs are token ids, the outputs probabilities, logits and predictions;
albert/conversion/saved_model.py says it in full.  Any family, any number of labels, regressions.

Before the folder gets its name, the SavedModel is loaded again and compared with the plain graph
of the checkpoint.  TensorFlow 1.15, 2.15 and 2.21 load what each of them writes.
"""

import contextlib
import os
import shutil
import sys

from absl import flags

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from albert.basics import cli, storage, tf_compat
from albert.basics.errors import InputError
from albert.conversion import saved_model
from albert.model_files import model_folder

# TensorFlow leaves it alone, and servers keep it beside the model.
EXTRA_FOLDER = "assets.extra"


def define_flags(flag_values):
    """Defines the flags of this script on a `flags.FlagValues`."""
    string, integer, boolean = cli.flag_definers(flag_values)
    string("model_dir", "Folder of the classifier, or a checkpoint in it.")
    string("output_dir", "Folder for versions of the model; the folder VERSION is made in it.")
    integer("version", "Number of the version. Default: one more than the highest there, or 1.")
    boolean("overwrite", "Replace the version if it is there.")
    string("bert_config_file", "Model config. Default: the folder's.")
    string("vocab_file", "Vocabulary. Default: the folder's.")


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
        InputError: the folder is there already, the checkpoint does not fit the config, or
            `saved_model.check_parity` failed.
    """
    if storage.is_remote(output_dir):
        raise InputError("--output_dir: '%s' is no folder of this machine." % output_dir)
    storage.prepare_output_dir(output_dir)
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


def main(_):
    options = flags.FLAGS
    tf_compat.use_graph_mode()
    for name in ("model_dir", "output_dir"):
        if not getattr(options, name):
            raise InputError("--%s is required." % name)
    classifier = saved_model.read_classifier(
        options.model_dir, options.bert_config_file, options.vocab_file
    )
    head = classifier.head
    folder, differences = export(classifier, options.output_dir, options.version, options.overwrite)
    print("checkpoint: %s" % classifier.files.checkpoint)
    print("labels: %s" % ("a number" if head.regression else head.num_labels))
    print(
        "largest difference to the plain graph: probabilities %.3g, logits %.3g (limit %g)"
        % (differences["probabilities"], differences["logits"], saved_model.PARITY_LIMIT)
    )
    print("written: %s" % folder)


if __name__ == "__main__":
    cli.run(main, define_flags)
