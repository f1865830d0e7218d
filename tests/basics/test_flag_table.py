"""Tables of flags, and the settings made of them."""

import pickle
from typing import Optional

import pytest
from absl import flags

from albert.basics import flag_table
from albert.basics.errors import InputError
from albert.basics.flag_table import boolean, choice, integer, items, number, string

TABLE = (
    string("vocab_file", "A file.", aliases=["vocab"]),
    integer("length", "Tokens.", 128, minimum=5, maximum=512),
    number("rate", "A rate.", 0.1, maximum=1.0),
    number("norm", "A norm.", float("inf"), may_be_infinite=True),
    boolean("do_train", "Train."),
    choice("pooling", ["cls", "mean"], "What to classify.", "cls"),
    items("labels", "Names."),
)


class Settings(flag_table.settings_base(TABLE)):
    """Settings of these tests."""

    __slots__ = ()


def parse(*arguments):
    values = flags.FlagValues()
    flag_table.define(values, TABLE)
    values(["script", *arguments])
    return flag_table.collect(values, Settings)


def test_defaults_are_the_tables():
    assert parse() == Settings()
    assert Settings() == Settings(None, 128, 0.1, float("inf"), False, "cls", None)


def test_values_have_their_types():
    settings = parse(
        *("--vocab=v.txt", "--length=64", "--rate=1", "--norm=2.5", "--do_train"),
        *("--pooling=mean", "--labels=a,b"),
    )
    assert settings == Settings("v.txt", 64, 1.0, 2.5, True, "mean", ["a", "b"])
    assert list(map(type, settings)) == [str, int, float, float, bool, str, list]


@pytest.mark.parametrize(
    "argument", ["--length=4", "--length=513", "--rate=1.5", "--rate=-1", "--pooling=max", "--x=1"]
)
def test_values_outside_the_table_are_refused(argument):
    with pytest.raises(flags.Error):
        parse(argument)


@pytest.mark.parametrize("argument", ["--rate=nan", "--norm=nan"])
def test_what_is_not_a_number_is_refused(argument):
    name, value = argument.split("=")
    with pytest.raises((InputError, flags.Error), match=name[2:]) as error:
        parse(argument)
    assert value in str(error.value)


def test_only_some_numbers_may_be_infinite():
    assert parse("--norm=inf").norm == float("inf")
    table = (number("speed", "A speed.", 1.0),)
    values = flags.FlagValues()
    flag_table.define(values, table)
    values(["script", "--speed=inf"])
    with pytest.raises(InputError, match="--speed is inf; expected a number"):
        flag_table.collect(values, type("Speed", (flag_table.settings_base(table),), {}))


def test_a_required_flag_must_be_given():
    values = flags.FlagValues()
    flag_table.define(values, [string("output_file", "A file.", required=True)])
    with pytest.raises(flags.Error, match="--output_file must have a value"):
        values(["script"])
    values(["script", "--output_file=x"])
    assert values["output_file"].value == "x"


def test_without_defaults_one_sees_what_was_given():
    values = flags.FlagValues()
    flag_table.define(values, flag_table.without_defaults(TABLE))
    values(["script", "--length=7", "--nodo_train"])
    given = flag_table.collect(values, Settings)
    assert given == Settings(None, 7, None, None, False, None, None)
    with pytest.raises(flags.Error):
        values(["script", "--length=4"])  # the limits stay


@pytest.mark.parametrize(
    "flag, good, bad, expected",
    [
        (integer("n", ""), [1, 9**9, None], [0, -1], "at least 1"),
        (integer("n", "", minimum=None), [-(9**9), 0], [], ""),
        (integer("n", "", minimum=5, maximum=65535), [5, 65535], [4, 65536], "from 5 to 65535"),
        (integer("n", "", minimum=0, maximum=2**32 - 1), [0], [2**32], r"from 0 to 2\*\*32 - 1"),
        (integer("n", "", minimum=None, maximum=7), [-7, 7], [8], "at most 7"),
        (number("n", "", maximum=1.0), [0, 0.5, 1], [-0.1, 1.1, float("nan")], "from 0 to 1"),
        (choice("n", ["a", "b"], ""), ["a", "b", None], ["c", ""], "one of a, b"),
        (string("n", ""), ["", "x"], [], ""),
    ],
)
def test_values_of_programs_are_checked_like_those_of_the_command_line(flag, good, bad, expected):
    for value in good:
        flag_table.check(flag, value)
    for value in bad:
        with pytest.raises(InputError, match="^--n is %s; expected %s\\.$" % (value, expected)):
            flag_table.check(flag, value)


def test_settings_cannot_be_changed():
    settings = Settings()
    with pytest.raises(AttributeError):
        settings.length = 3
    with pytest.raises(AttributeError):
        settings.lenght = 3
    assert settings._replace(length=7).length == 7
    assert settings.length == 128
    assert isinstance(settings._replace(length=7), Settings)


def test_settings_survive_another_process():
    assert pickle.loads(pickle.dumps(Settings(length=9))) == Settings(length=9)


def test_where_nothing_may_be_given_the_type_says_so():
    found = getattr(Settings, "_field_types", None) or Settings.__mro__[1].__annotations__
    assert found["vocab_file"] == Optional[str]
    assert found["length"] is int
