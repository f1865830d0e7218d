"""Predictions of a test file as the references write them, and the archive that CLUE takes."""

import json
import os
import zipfile

import numpy as np

from albert.basics import storage
from albert.basics.errors import InputError
from albert.finetuning.classification import metrics
from albert.finetuning.output_folder import write_lines

# Name of a task's file in a submission to CLUE: the names of its baselines in TensorFlow, and,
# for the task sets 1.0 and 1.1, those of PaddleNLP.
CLUE_TASKS = ("afqmc", "cmnli", "ocnli", "csl", "iflytek", "tnews", "wsc", "cluewsc2020", "copa")
CLUE_VERSIONS = {
    "baseline": {},
    "1.0": {"tnews": "tnews10", "wsc": "cluewsc10", "cluewsc2020": "cluewsc10"},
    "1.1": {
        "tnews": "tnews11",
        "wsc": "cluewsc11",
        "cluewsc2020": "cluewsc11",
        "ocnli": "ocnli_50k",
    },
}


PREDICT_FILE = "test_results.tsv"
SUBMIT_FILE = "submit_results.tsv"


def has_clue_files(folder):
    """Whether an output folder has a file to submit to CLUE."""
    return bool(_clue_files(folder))


def write_clue_zip(folders, path, version="baseline"):
    """Packs the submission files of CLUE's tasks.

    Args:
        folders: output folders of runs; each may have files of several tasks.
        path: the archive to write.
        version: key of `CLUE_VERSIONS`, for the names in the archive.

    Returns:
        List of the names in the archive.

    Raises:
        InputError: no folder has a submission file, or two have one of the same name.
    """
    found = {}
    for folder in folders:
        for task, source in _clue_files(folder).items():
            name = CLUE_VERSIONS[version].get(task, task) + "_predict.json"
            if name in found:
                raise InputError(
                    "%s and %s would both be '%s' in %s; leave one out."
                    % (found[name], source, name, path)
                )
            found[name] = source
    if not found:
        raise InputError(
            "no <task>_predict.json in %s; run with --do_predict first." % ", ".join(folders)
        )
    with storage.atomic_write(path, "wb") as handle, zipfile.ZipFile(handle, "w") as archive:
        for name, source in sorted(found.items()):
            archive.writestr(name, storage.read_bytes(source), zipfile.ZIP_DEFLATED)
    return sorted(found)


def _clue_files(folder):
    """Task -> path of its file.  copa's is the merged one: two rows a question are no answer."""
    paths = {
        task: os.path.join(folder, task + ("_submit.json" if task == "copa" else "_predict.json"))
        for task in CLUE_TASKS
    }
    return {task: path for task, path in paths.items() if storage.exists(path)}


def write_predictions(processor, task_name, examples, probabilities, labels, output_dir):
    """Writes what the task's reference program writes of a test file.

    Args:
        processor: `DataProcessor` of the task.
        task_name: for the names of the files.
        examples: list of `InputExample`, without padding.
        probabilities: float32 `[number of examples, num_labels]`, or of a regression the values,
            `[number of examples]` or one column.
        labels: `get_labels()` of the task.
        output_dir: folder, which exists.

    Returns:
        List of the paths written.
    """
    rows = np.asarray(probabilities).reshape(len(examples), len(labels))
    answers = metrics.predicted(processor, rows)
    if not processor.is_regression:
        answers = [labels[answer] for answer in answers]
    else:
        answers = [str(value) for value in rows[:, 0]]
    files = {PREDICT_FILE: ("\t".join(map(str, row)) for row in rows)}
    if processor.predict_json:
        files[task_name.lower() + "_predict.json"] = _submission(
            task_name, [processor.submitted_labels.get(answer, answer) for answer in answers]
        )
    if processor.group_size > 1:
        merged = map(str, metrics.choices(processor, rows))
        files[task_name.lower() + "_submit.json"] = _submission(task_name, merged)
    if processor.submit_header is not None:
        header = [processor.submit_header] if processor.submit_header else []
        pairs = ("%s\t%s" % (e.guid, answer) for e, answer in zip(examples, answers))
        files[SUBMIT_FILE] = [*header, *pairs]
    return [write_lines(output_dir, name, lines) for name, lines in files.items()]


def _submission(task_name, answers):
    """Lines of a CLUE submission; ids are running numbers from 0, as in the reference."""
    for index, answer in enumerate(answers):
        line = {"id": index, "label": answer}
        if task_name.lower() == "tnews":
            line["label_desc"] = ""
        yield json.dumps(line)
