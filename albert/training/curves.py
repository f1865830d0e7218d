"""`metrics.jsonl`: the curves of a run, one JSON object a line."""

import json
import math
import os

from albert.basics import storage
from albert.basics.storage import InputError

METRICS_FILE = "metrics.jsonl"
TRAIN, EVAL = "train", "eval"


class MetricsFile:
    """Appends lines; a line is complete or, after a kill, dropped by the next process.

    A line has "step", "set" (`TRAIN` or `EVAL`) and numbers; what is not finite is null.
    """

    def __init__(self, output_dir):
        self._path = os.path.join(output_dir, METRICS_FILE)

    def resume(self, step):
        """Drops what a killed process wrote past the checkpoint resumed from, and half a line."""
        if not storage.exists(self._path):
            return
        content = storage.read_bytes(self._path).decode("utf-8")
        kept = [json.dumps(entry) for entry in _parse(content, self._path) if entry["step"] <= step]
        text = "".join(line + "\n" for line in kept)
        if text != content:
            with storage.atomic_write(self._path) as handle:
                handle.write(text)

    def append(self, step, data_set, values):
        """Writes a line.

        Args:
            step: global step.
            data_set: `TRAIN` or `EVAL`.
            values: `{name: number}`.
        """
        line = {"step": int(step), "set": data_set}
        line.update((name, _finite(value)) for name, value in values.items())
        with storage.open_to_append(self._path) as handle:
            handle.write(json.dumps(line) + "\n")


def read_metrics(path):
    """Lines of a metrics file.

    Args:
        path: the file, or the output folder of a run.

    Returns:
        List of dicts.

    Raises:
        InputError: it cannot be read, or is something else.
    """
    if os.path.isdir(path):
        path = os.path.join(path, METRICS_FILE)
    try:
        return _parse(storage.read_bytes(path).decode("utf-8"), path)
    except UnicodeDecodeError:
        raise InputError("%s: invalid UTF-8; expected a metrics file." % path) from None


def _parse(content, path):
    """Entries of all complete lines."""
    entries = []
    for number, line in enumerate(content.split("\n")[:-1], 1):
        try:
            entry = json.loads(line)
            entry["step"], entry["set"]
        except (ValueError, KeyError, TypeError):
            raise InputError(
                "%s, line %d: not a line of metrics, a JSON object with 'step' and 'set'."
                % (path, number)
            ) from None
        entries.append(entry)
    return entries


def _finite(value):
    value = float(value) if not isinstance(value, int) else value
    return value if math.isfinite(value) else None
