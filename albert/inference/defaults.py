"""The settings of the module `args`, and what counts where another module has that name.

A program may have an `args.py` of its own, which Python then finds in place of this project's.
What it has under these names counts, as with the args.py of albert_zh; what it lacks has the value
below.
"""

import os

import args
from albert.basics.errors import InputError

_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def _is_text(value):
    return isinstance(value, (str, os.PathLike))


def _is_number(value):
    return isinstance(value, int) and not isinstance(value, bool)


def _are_numbers(value):
    return _is_number(value) or (isinstance(value, (list, tuple)) and all(map(_is_number, value)))


# Name in `args` -> value where it is missing (that of args.py), what it may be, and that in words.
_SETTINGS = {
    "output_dir": (os.path.join(_ROOT, "albert_lcqmc_checkpoints/"), _is_text, "a path"),
    "config_name": (
        os.path.join(_ROOT, "albert_config/albert_config_tiny.json"),
        _is_text,
        "a path",
    ),
    "vocab_file": (os.path.join(_ROOT, "albert_config/vocab.txt"), _is_text, "a path"),
    "max_seq_len": (None, _is_number, "a whole number or None"),
    "batch_size": (128, _is_number, "a whole number"),
    "precision": ("float32", _is_text, "a text"),
    "threads": (None, _is_number, "a whole number or None"),
    "layer_indexes": ([-2], _are_numbers, "whole numbers"),
    "pooling": ("mean", _is_text, "a text"),
}


def setting(name):
    """The value of a setting, one of `_SETTINGS`.

    Raises:
        InputError: the module `args` has something else under that name.
    """
    default, fits, expected = _SETTINGS[name]
    value = getattr(args, name, default)
    if fits(value) or (value is None and "None" in expected):
        return value
    own, advice = os.path.join(_ROOT, "args.py"), ""
    if os.path.abspath(place()) != own:
        advice = " (or, as it is found in place of %s, another name for that file)" % own
    raise InputError("%s: %s is %r; expected %s%s." % (place(), name, value, expected, advice))


def place():
    """Path of the module `args`."""
    return getattr(args, "__file__", None) or repr(args)
