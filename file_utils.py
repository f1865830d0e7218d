"""Files as this project reads and writes them, and the one error for bad input.

Nothing here needs TensorFlow for local paths.  Paths with a scheme (``gs://...``) go through
``tf.io.gfile``, which is imported only then.
"""

import contextlib
import glob
import hashlib
import json
import os
import tempfile


class InputError(ValueError):
    """Something the user passed is wrong; the message is one complete sentence for them."""


def is_remote(path):
    """True if `path` has a scheme such as ``gs://``."""
    return "://" in path


def _gfile():
    import tensorflow.compat.v1 as tf

    return tf.io.gfile


def exists(path):
    return _gfile().exists(path) if is_remote(path) else os.path.exists(path)


def read_bytes(path):
    """Whole content of a file; raises InputError when it cannot be read."""
    try:
        if is_remote(path):
            with _gfile().GFile(path, "rb") as handle:
                return handle.read()
        with open(path, "rb") as handle:
            return handle.read()
    except FileNotFoundError:
        raise InputError("%s: no such file." % path) from None
    except OSError as error:
        raise InputError("%s: cannot be read (%s)." % (path, error.strerror)) from None


def read_lines(path, errors="strict"):
    """Yields the lines of a text file as `str`, without their line ends.

    The rules are TensorFlow's file reader's (spec/data.md 0.1), on which the ids of every
    published checkpoint depend: only LF ends a line, CR is deleted wherever it stands, and
    U+2028 or U+0085 are ordinary characters.

    Args:
        path: file name.
        errors: what to do with invalid UTF-8: "strict", "replace" or "ignore".

    Raises:
        InputError: the file cannot be read, or (strict) has invalid UTF-8; names the line.
    """
    lines = read_bytes(path).replace(b"\r", b"").split(b"\n")
    if not lines[-1]:
        lines.pop()
    for number, line in enumerate(lines, 1):
        try:
            yield line.decode("utf-8", errors)
        except UnicodeDecodeError as error:
            raise InputError(
                "%s, line %d: invalid UTF-8 (byte 0x%02x at column %d); the file must be UTF-8."
                % (path, number, line[error.start], error.start + 1)
            ) from None


def read_json(path):
    """Parsed JSON object of a file; raises InputError when it is missing or not an object."""
    content = read_bytes(path)
    try:
        value = json.loads(content.decode("utf-8"))
    except UnicodeDecodeError:
        raise InputError("%s: invalid UTF-8; expected a JSON file." % path) from None
    except ValueError as error:
        raise InputError("%s: not valid JSON (%s)." % (path, error)) from None
    if not isinstance(value, dict):
        raise InputError("%s: expected a JSON object, found a %s." % (path, type(value).__name__))
    return value


def match_files(patterns, flag="input_file"):
    """Expands a comma-separated list of paths or globs.

    Args:
        patterns: for example ``"data/a.txt,data/part-*.txt"``.
        flag: name of the flag that the patterns came from, for the message.

    Returns:
        List of paths: patterns in their order, the matches of one pattern sorted.

    Raises:
        InputError: a pattern matches no file.
    """
    paths = []
    for pattern in patterns.split(","):
        if is_remote(pattern):
            found = sorted(_gfile().glob(pattern))
        else:
            found = sorted(path for path in glob.glob(pattern) if not os.path.isdir(path))
        if not found:
            raise InputError("--%s: no file matches '%s'." % (flag, pattern))
        paths.extend(found)
    return paths


def prepare_output_dir(path, flag="output_dir"):
    """Creates a directory if needed and proves that files can be written to it.

    Raises:
        InputError: it cannot be created or written to.
    """
    if is_remote(path):
        _gfile().makedirs(path)
        return
    try:
        os.makedirs(path, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise InputError(
            "--%s: cannot write to the directory '%s' (%s)." % (flag, path, error.strerror)
        ) from None


@contextlib.contextmanager
def atomic_write(path, mode="w"):
    """Opens a temporary file beside `path` and renames it to `path` when the block succeeds.

    A reader sees the old content or the whole new content, never a part; a failed block leaves
    the old file untouched.

    Args:
        path: final file name.
        mode: "w" (UTF-8 text, LF line ends) or "wb".
    """
    text = {"encoding": "utf-8", "newline": "\n"} if "b" not in mode else {}
    if is_remote(path):  # object stores make a file visible only when it is closed
        with _gfile().GFile(path, mode) as handle:
            yield handle
        return
    temporary = "%s.tmp-%d" % (path, os.getpid())
    try:
        with open(temporary, mode, **text) as handle:
            yield handle
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.remove(temporary)
        raise


def write_json(path, value):
    """Writes `value` as sorted, indented JSON, atomically."""
    with atomic_write(path) as handle:
        handle.write(json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n")


def sha256(path):
    """Hexadecimal SHA-256 of a file's bytes."""
    return hashlib.sha256(read_bytes(path)).hexdigest()
