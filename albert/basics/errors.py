"""The one error for bad input, and how errors of others are told in a sentence."""

import errno
import os
import re


class InputError(ValueError):
    """Something the user passed is wrong; the message is one complete sentence for them."""


# What the system says of disks and rights; it tells more than what TensorFlow writes around it.
_SYSTEM_REASONS = tuple(
    os.strerror(number)
    for number in (
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EFBIG,
        errno.EIO,
        errno.EROFS,
        errno.ESTALE,
        errno.EACCES,
        errno.EPERM,
        errno.EMFILE,
        errno.ENFILE,
        errno.ENAMETOOLONG,
        errno.ENOENT,
    )
)
# Headings of TensorFlow 2, with the error itself further down.
_HEADING = re.compile(r"Graph execution error:$|Detected at node |Node: |\d+ root error\(s\) found")


def reason(error):
    """What an `OSError` or an error of TensorFlow says, in one line."""
    text = getattr(error, "message", None) or getattr(error, "strerror", None) or error
    lines = [line.strip() for line in str(text).strip().split("\n")]
    for known in _SYSTEM_REASONS:
        for line in lines:
            if known in line:
                return line
    if not _HEADING.match(lines[0]):
        return lines[0]
    # The error stands behind the line that names its node, or behind its number among several.
    for line, following in zip(lines, lines[1:]):
        if line.startswith("Node: ") and following and not _HEADING.match(following):
            return following
        if re.match(r"\(0\) ", following):
            return following[len("(0) ") :]
    return lines[0]


def shown(value, limit):
    """The beginning of something unexpected, for a message: `limit` characters and "..."."""
    text = str(value)
    return text if len(text) <= limit else text[:limit] + "..."
