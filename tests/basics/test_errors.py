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


@pytest.mark.parametrize(
    "message, expected",
    [
        (
            "Graph execution error:\n\nDetected at node 'save/SaveV2' defined at (most recent call "
            "last):\n  File \"x.py\", line 1, in <module>\nNode: 'save/SaveV2'\n"
            "run/model.ckpt-20_temp/part-00000-of-00001; No space left on device\n\t [[{{node "
            "save/SaveV2}}]]",
            "run/model.ckpt-20_temp/part-00000-of-00001; No space left on device",
        ),
        (
            "Graph execution error:\n\nDetected at node 'x' defined at (most recent call last):\n"
            "Node: 'x'\ncorrupted record at 12\n\t [[{{node x}}]]",
            "corrupted record at 12",
        ),
        (
            "2 root error(s) found.\n  (0) DATA_LOSS: truncated record at 5\n\t [[x]]\n  (1) b",
            "DATA_LOSS: truncated record at 5",
        ),
        (
            "run/part; No space left on device\n\t [[node save]]",
            "run/part; No space left on device",
        ),
        ("Graph execution error:", "Graph execution error:"),
    ],
)
def test_the_reason_is_found_in_what_tensorflow_writes_around_it(message, expected):
    error = ValueError()
    error.message = message
    assert errors.reason(error) == expected
