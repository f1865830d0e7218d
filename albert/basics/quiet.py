"""What TensorFlow's libraries write to standard error about themselves, kept from there.

Users see what is wrong: TensorFlow's errors become exceptions, and those have a sentence.  Who sets
TF_CPP_MIN_LOG_LEVEL gets what TensorFlow writes at that level.
"""

import contextlib
import os
import re
import sys
import tempfile

from albert.basics import machine

LEVEL_VARIABLE = "TF_CPP_MIN_LOG_LEVEL"
_ERRORS, _NOTHING = "2", "3"
_DRIVER = "/proc/driver/nvidia"

# What is no sign of anything wrong, though some of it is called an error: on import, several
# plugins register the same factory, and logging is not set up yet.
_CHATTER = re.compile(
    r"(\d{4}-\d\d-\d\d [\d:.]+: [IW] |[IW]\d{4} |"
    r"To enable the following instructions|WARNING: All log messages before absl|"
    r".*Unable to register cu\w+ factory|\s*$)"
)


def default_level():
    """Value of `LEVEL_VARIABLE` where the user has none.

    Without a GPU even the errors are about nothing but that there is none.
    """
    return _ERRORS if os.path.exists(_DRIVER) else _NOTHING


@contextlib.contextmanager
def without_tensorflow_chatter():
    """Within, what libraries write to standard error is kept; in the end its chatter is dropped.

    Some of it is written whatever the level.  Does nothing where the user wants to see it: where
    the level is below that of errors; nor on a processor on which TensorFlow dies with its message.
    """
    flags = machine.processor_flags()
    if os.environ.get(LEVEL_VARIABLE, "0") < _ERRORS or (flags and "avx" not in flags):
        yield
        return
    try:
        before = os.dup(2)
    except OSError:  # standard error is closed
        yield
        return
    with tempfile.TemporaryFile() as kept:
        _flush()
        os.dup2(kept.fileno(), 2)
        try:
            yield
        finally:
            _flush()
            os.dup2(before, 2)
            os.close(before)
            kept.seek(0)
            lines = kept.read().decode("utf-8", "replace").splitlines(True)
            rest = "".join(line for line in lines if not _CHATTER.match(line))
            if rest:
                os.write(2, rest.encode("utf-8"))


def _flush():
    if sys.stderr is not None:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.flush()
