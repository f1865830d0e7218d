"""`results.json`: all settings and scores of a run, so that two runs can be compared."""

import os

import file_utils
import tf_compat

RESULTS_FILE = "results.json"


class Results:
    """The file of one output folder; what an earlier command left there stays.

    Args:
        config: model config.
        options: `{flag: value}`.
    """

    def __init__(self, config, options):
        self._path = os.path.join(options["output_dir"], RESULTS_FILE)
        self._content = file_utils.read_json(self._path) if file_utils.exists(self._path) else {}
        self._content.update(
            task_name=options["task_name"],
            settings=options,
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
        file_utils.write_json(self._path, self._content)
        return self._content
