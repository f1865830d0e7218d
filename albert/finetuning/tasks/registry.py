"""Tasks by name, and the text that describes them.

A new task is a subclass of `DataProcessor` in a file of your own (`--task_module`), or a class in
chinese.py or glue.py and its name in `TASKS` there.
"""

import importlib.util
import os

from albert.basics.errors import InputError
from albert.finetuning.tasks import chinese, custom, glue
from albert.finetuning.tasks.base import DataProcessor

TASKS = dict(chinese.TASKS, **glue.TASKS, custom=custom.CustomProcessor)


def get_processor(task_name, options=None):
    """A processor for the task.

    Args:
        task_name: in upper or lower case.
        options: `{flag: value}`, see `DataProcessor.configure`; None for all defaults.

    Raises:
        InputError: there is no such task, or a flag does not fit it.
    """
    options = options or {}
    task_name = (task_name or "").lower()
    tasks = dict(TASKS)
    if options.get("task_module"):
        tasks = load_task_module(options.get("task_module"), task_name)
    if task_name not in tasks:
        raise InputError(
            "--task_name: no task '%s'; expected one of %s." % (task_name, ", ".join(sorted(tasks)))
        )
    processor = tasks[task_name]()
    processor.configure(options)
    return processor


def load_task_module(path, task_name):
    """Tasks of a user's Python file: its dict `TASKS`, or its only subclass under `task_name`.

    Raises:
        InputError: the file is missing or no Python, or has no task to choose.
    """
    if not os.path.isfile(path):
        raise InputError("--task_module: no such file: '%s'." % path)
    spec = importlib.util.spec_from_file_location("task_module", path)
    if spec is None:
        raise InputError("--task_module: '%s' is no Python file (.py)." % path)
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except (SyntaxError, ImportError) as error:
        raise InputError("--task_module: '%s' cannot be imported (%s)." % (path, error)) from error
    if isinstance(getattr(module, "TASKS", None), dict):
        return module.TASKS
    found = [
        value
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, DataProcessor)
        and value.__module__ == module.__name__
    ]
    if len(found) != 1:
        raise InputError(
            "--task_module: '%s' has %d subclasses of DataProcessor; expected one, or a dict "
            "TASKS of name to class." % (path, len(found))
        )
    return {task_name: found[0]}


def list_tasks():
    """Text of `--list_tasks`: name, files, columns, labels, metric of every task."""
    return "\n".join(_describe(name, task()) for name, task in sorted(TASKS.items()))


def _describe(name, processor):
    lines = [name]
    lines += [
        "  %-8s %s" % (key, value)
        for key, value in (
            ("files", _describe_files(processor)),
            ("columns", processor.describe_columns()),
            ("labels", processor.describe_labels()),
            ("metric", processor.metric),
        )
    ]
    return "\n".join(lines) + "\n"


def _describe_files(processor):
    parts = []
    for set_type, names in processor.files.items():
        names = (names,) if isinstance(names, str) else names
        labelled = " (with labels)" if set_type == "test" and processor.test_has_labels else ""
        parts.append("%s %s%s" % (set_type, " or ".join(names), labelled))
    return "; ".join(parts) + (", in %s/" % processor.folder if processor.folder else "")
