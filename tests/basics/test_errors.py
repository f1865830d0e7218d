"""What is said of errors and of unexpected values."""

import pytest

from albert.basics import errors


@pytest.mark.parametrize(
    "value, expected", [("", ""), ("abcd", "abcd"), ("abcde", "abcd..."), (12345, "1234...")]
)
def test_long_values_are_cut(value, expected):
    assert errors.shown(value, 4) == expected


def test_the_reason_is_one_line():
    assert errors.reason(OSError(28, "No space left on device", "file")) == (
        "No space left on device"
    )
    assert errors.reason(ValueError("first\nsecond")) == "first"
