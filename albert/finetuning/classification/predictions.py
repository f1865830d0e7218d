"""The archive of predictions that CLUE takes (spec/tasks.md 2.3, 6.9)."""

import os
import zipfile

from albert.basics import storage

# Name of a task's file in a submission to CLUE: the names of its baselines in TensorFlow, and,
# for the task sets 1.0 and 1.1, those of the versioned ones (spec/tasks.md 6.9).
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
                raise storage.InputError(
                    "%s and %s would both be '%s' in %s; leave one out."
                    % (found[name], source, name, path)
                )
            found[name] = source
    if not found:
        raise storage.InputError(
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
