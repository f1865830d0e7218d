"""Flags as a table: a script's flags, the checks of their values, and its settings follow from it.

    TABLE = (
        string("vocab_file", "WordPiece vocabulary."),
        integer("max_seq_length", "Tokens of an example at most.", 128, minimum=5),
    )

    class Settings(settings_base(TABLE)):
        "What the program is to do; a field for each flag."

        __slots__ = ()

    define(flag_values, TABLE)
    settings = collect(flag_values, Settings)  # Settings(vocab_file=None, max_seq_length=128)

Settings are tuples with names: nobody can change them, `settings._replace(max_seq_length=64)` makes
others, and `settings._asdict()` is for files.
"""

import math
from typing import Any, NamedTuple, Optional, Tuple

from absl import flags

from albert.basics.errors import InputError

flags.disclaim_key_flags()  # the flags defined here are their script's


class Flag(NamedTuple):
    """One flag; made by the functions below.

    Attributes:
        name: of the flag and of the settings' field.
        kind: type of the value: str, int, float, bool or list (of str).
        default: value where the flag is not given; None where a missing value means something.
        meaning: the sentence of --help.
        minimum, maximum: of numbers, both allowed; None: no limit.
        choices: of a str, the values allowed; empty: all.
        may_be_infinite: whether a float may be infinite.
        aliases: other names of the flag.
        required: whether a missing value is an error.
    """

    name: str
    kind: type
    default: Any
    meaning: str
    minimum: Optional[float] = None
    maximum: Optional[float] = None
    choices: Tuple[str, ...] = ()
    may_be_infinite: bool = False
    aliases: Tuple[str, ...] = ()
    required: bool = False


def string(name, meaning, default=None, aliases=(), required=False):
    """A `Flag` with a text."""
    return Flag(name, str, default, meaning, aliases=tuple(aliases), required=required)


def integer(name, meaning, default=None, minimum=1, maximum=None, aliases=()):
    """A `Flag` with a whole number, by default of at least 1."""
    return Flag(name, int, default, meaning, minimum, maximum, aliases=tuple(aliases))


def number(name, meaning, default=None, minimum=0.0, maximum=None, may_be_infinite=False):
    """A `Flag` with a number, by default of at least 0 and finite."""
    return Flag(name, float, default, meaning, minimum, maximum, (), may_be_infinite)


def boolean(name, meaning, default=False):
    """A `Flag` that is true or false; None as a default tells that it was not given."""
    return Flag(name, bool, default, meaning)


def choice(name, choices, meaning, default=None):
    """A `Flag` with one of several texts."""
    return Flag(name, str, default, meaning, choices=tuple(choices))


def items(name, meaning, default=None):
    """A `Flag` with texts, separated by commas."""
    return Flag(name, list, default, meaning)


def without_defaults(table):
    """The same flags, None where one is not given: so a program can tell, or choose a default."""
    return tuple(flag._replace(default=None) for flag in table)


def define(flag_values, table):
    """Defines the flags of a table on `flag_values`."""
    for flag in table:
        given = {"flag_values": flag_values}
        if flag.choices:
            flags.DEFINE_enum(flag.name, flag.default, flag.choices, flag.meaning, **given)
        elif flag.kind in (int, float):
            function = flags.DEFINE_integer if flag.kind is int else flags.DEFINE_float
            limits = flag.minimum, flag.maximum
            function(flag.name, flag.default, flag.meaning, *limits, **given)
        else:
            function = {
                str: flags.DEFINE_string,
                bool: flags.DEFINE_boolean,
                list: flags.DEFINE_list,
            }[flag.kind]
            function(flag.name, flag.default, flag.meaning, **given)
        for alias in flag.aliases:
            flags.DEFINE_alias(alias, flag.name, **given)
        if flag.required:
            flags.mark_flag_as_required(flag.name, **given)


def check(flag, value):
    """Checks a value that did not come from the command line; None passes.

    Raises:
        InputError: the value is outside the flag's limits.
    """
    if value is None:
        return
    if flag.choices:
        if value not in flag.choices:
            raise _unexpected(flag, value, "one of %s" % ", ".join(flag.choices))
        return
    is_enough = flag.minimum is None or value >= flag.minimum
    if is_enough and (flag.maximum is None or value <= flag.maximum):
        return
    if flag.maximum is None:
        expected = "at least %s" % _written(flag.minimum)
    elif flag.minimum is None:
        expected = "at most %s" % _written(flag.maximum)
    else:
        expected = "from %s to %s" % (_written(flag.minimum), _written(flag.maximum))
    raise _unexpected(flag, value, expected)


def _unexpected(flag, value, expected):
    return InputError("--%s is %s; expected %s." % (flag.name, value, expected))


def _written(limit):
    return "2**32 - 1" if limit == 2**32 - 1 else "%g" % limit


def settings_base(*tables):
    """Base class for settings: a named tuple with a field, its type and default for each flag."""
    table = [flag for part in tables for flag in part]
    fields = [
        (flag.name, flag.kind if flag.default is not None else Optional[flag.kind])
        for flag in table
    ]
    base = NamedTuple("SettingsBase", fields)
    base.__new__.__defaults__ = tuple(flag.default for flag in table)
    base.TABLE = tuple(table)
    return base


def given(flag_values, settings_class):
    """Set of the names of a program's flags that the user passed, under any alias."""
    return {flag.name for flag in settings_class.TABLE if flag_values[flag.name].present}


def collect(flag_values, settings_class):
    """The settings that the flags say.

    Args:
        flag_values: parsed flags, among them those of the class's tables.
        settings_class: made on `settings_base`.

    Raises:
        InputError: a number is not a number, or infinite where that makes no sense.
    """
    values = {flag.name: flag_values[flag.name].value for flag in settings_class.TABLE}
    for flag in sorted(settings_class.TABLE, key=lambda flag: flag.name):
        value = values[flag.name]
        if not isinstance(value, float) or math.isfinite(value):
            continue
        if math.isnan(value) or not flag.may_be_infinite:
            raise InputError("--%s is %s; expected a number." % (flag.name, value))
    return settings_class(**values)
