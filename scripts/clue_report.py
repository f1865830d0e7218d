"""Table of the runs of run_classifier_clue.sh beside the published ALBERT numbers; archive.

    python scripts/clue_report.py --output_dir=clue_output afqmc tnews

Reads OUTPUT_DIR/<task>_output/results.json (under "dev" the scores of the best checkpoint), and
packs the submission files there into OUTPUT_DIR/clue_submission.zip.
"""

import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)

from albert.basics import cli, flag_table, storage
from albert.basics.errors import InputError
from albert.basics.flag_table import choice, string
from albert.finetuning.classification import predictions

RESULTS_FILE = "results.json"
ARCHIVE = "clue_submission.zip"
MODELS = ("tiny", "base", "large", "xlarge", "xxlarge")
# Accuracy in percent on the test sets, and of tiny on the dev sets, as CLUE's README gives it.
PUBLISHED_TEST = {
    "afqmc": (69.92, 72.55, 74.0, 69.96, 75.6),
    "tnews": (53.35, 55.06, 55.16, 57.36, 59.46),
    "iflytek": (48.71, 56.58, 57.0, 59.5, 62.89),
    "cmnli": (70.61, 77.58, 78.77, 81.13, 83.14),
    "cluewsc2020": (58.5, 64.34, 62.24, 64.34, 61.54),
    "csl": (74.56, 78.5, 80.3, 81.2, 83.63),
}
PUBLISHED_DEV = {
    "afqmc": 69.13,
    "tnews": 53.55,
    "iflytek": 48.76,
    "cmnli": 70.26,
    "cluewsc2020": 57.7,
    "csl": 74.36,
}


TABLE = (
    string("output_dir", "Folder of the runs' folders <task>_output."),
    string(
        "failed", "Tasks whose run failed, separated by commas; older results do not count.", ""
    ),
    choice(
        "names",
        sorted(predictions.CLUE_VERSIONS),
        "Names in the archive: those of the baselines, or of version 1.0 or 1.1 of the tasks.",
        "baseline",
    ),
)


def define_flags(flag_values):
    flag_table.define(flag_values, TABLE)


def task_folder(output_dir, task):
    return os.path.join(output_dir, task + "_output")


def dev_accuracy(output_dir, task):
    """Accuracy of the best checkpoint in percent; None where the run did not get that far.

    Of copa, where two examples make a question, that of the questions.
    """
    path = os.path.join(task_folder(output_dir, task), RESULTS_FILE)
    if not storage.exists(path):
        return None
    scores = storage.read_json(path).get("dev")
    if not isinstance(scores, dict) or "eval_accuracy" not in scores:
        return None
    return 100 * scores.get("question_accuracy", scores["eval_accuracy"])


def make_table(accuracies):
    """Lines of the table; its head says what each column is, "-" is not published.

    Args:
        accuracies: task -> percent, or None.
    """
    widths = [15, 10, 16] + [8] * len(MODELS)
    rows = [
        ["accuracy in %", "this run", "published, dev", "published, test file: albert_..."],
        ["task", "dev file", "albert_tiny", *MODELS],
    ]
    for task, accuracy in accuracies.items():
        test = PUBLISHED_TEST.get(task, [None] * len(MODELS))
        dev = PUBLISHED_DEV.get(task)
        rows.append([task, "failed" if accuracy is None else accuracy, dev, *test])
    known = [task for task in PUBLISHED_TEST if accuracies.get(task) is not None]
    if len(known) == len(PUBLISHED_TEST):
        columns = [[accuracies[task], PUBLISHED_DEV[task], *PUBLISHED_TEST[task]] for task in known]
        rows.append(["mean of six", *(sum(column) / len(column) for column in zip(*columns))])
    return ["".join(map(_cell, row, widths)).rstrip() for row in rows]


def _cell(value, width):
    if value is None:
        value = "-"
    text = value if isinstance(value, str) else "%.2f" % value
    return text.ljust(width)


def main(argv):
    options = cli.FLAGS
    tasks = argv[1:]
    if not options.output_dir or not tasks:
        raise InputError("--output_dir and the names of tasks are required.")
    failed = options.failed.split(",")
    accuracies = {
        task: None if task in failed else dev_accuracy(options.output_dir, task) for task in tasks
    }
    print("\n".join(make_table(accuracies)))
    # What a failed task left is of another run; the old WSC set would have the name of the new one.
    left_out = failed + ["wsc"] * ("cluewsc2020" in tasks)
    packed = [task for task in tasks if task not in left_out]
    folders = [task_folder(options.output_dir, task) for task in packed]
    if any(map(predictions.has_clue_files, folders)):
        path = os.path.join(options.output_dir, ARCHIVE)
        names = predictions.write_clue_zip(folders, path, options.names)
        print("%s: %s" % (path, ", ".join(names)))


if __name__ == "__main__":
    cli.run(main, define_flags, positional=True)
