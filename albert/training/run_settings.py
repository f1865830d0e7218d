"""A resumed run must have the settings it was started with; this file checks it."""

import json
import os

from absl import logging

from albert.basics import storage
from albert.basics.errors import InputError
from albert.model_files.model_folder import RUN_SETTINGS

_ABSENT = object()


def check_run_settings(
    output_dir,
    settings,
    allow_change=False,
    file_name=RUN_SETTINGS,
    flag="allow_changed_settings",
    only_these=False,
    differ=None,
):
    """Compares `settings` with those that an earlier run stored in `output_dir`.

    The first run stores them; they bind from its first checkpoint on.  A directory with checkpoints
    but without the file (written by another program) is accepted as it is.

    Args:
        output_dir: directory of the run; created if missing.
        settings: JSON-able dict of what must not change between a run and its resumption.
        allow_change: log the differences and store the new settings.
        file_name: name of the file in `output_dir`.
        flag: name of the flag behind `allow_change`, for the message.
        only_these: compare what both have, and store nothing.
        differ: `{key: function}` of what is not compared as it stands; a function of both values
            returns None, or a sentence's part that says what differs.

    Raises:
        InputError: settings differ and `allow_change` is false; names every one with both values.
    """
    path = os.path.join(output_dir, file_name)
    settings = json.loads(json.dumps(settings))  # tuples to lists, as in the file
    started = storage.exists(os.path.join(output_dir, "checkpoint"))
    if started and storage.exists(path):
        stored = storage.read_json(path)
        keys = set(stored) & set(settings) if only_these else set(stored) | set(settings)
        differences = _differences(stored, settings, keys, differ or {})
        if not differences and (only_these or stored == settings):
            return
        if differences and not allow_change:
            raise InputError(
                "--output_dir: '%s' holds a run with other settings: %s; choose another "
                "--output_dir, or pass --%s to go on with the new ones."
                % (output_dir, "; ".join(differences), flag)
            )
        if differences:
            logging.info("%s: settings changed: %s", path, "; ".join(differences))
    elif started:
        logging.info("%s: none yet; the checkpoints there are taken to fit this run.", path)
    if not only_these:
        storage.prepare_output_dir(output_dir)
        storage.write_json(path, settings)


def _differences(old, new, keys, differ):
    found = []
    for key in sorted(keys):
        before, now = old.get(key, _ABSENT), new.get(key, _ABSENT)
        if before == now:
            continue
        if key in differ and _ABSENT not in (before, now):
            difference = differ[key](before, now)
        else:
            difference = "%s was %s and is now %s" % (key, _show(before), _show(now))
        if difference:
            found.append(difference)
    return found


def _show(value):
    return "absent" if value is _ABSENT else json.dumps(value, ensure_ascii=False)
