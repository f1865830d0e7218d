"""Files as this project reads and writes them.

Nothing here needs TensorFlow for local paths.  Paths with a scheme (``gs://...``) go through
``tf.io.gfile``, which is imported only then.
"""

import codecs
import contextlib
import errno
import fnmatch
import glob
import hashlib
import itertools
import json
import os
import shutil
import sys
import tempfile

from absl import logging

from albert.basics.errors import InputError, reason

ENCODING_ERRORS = ("strict", "replace", "ignore")


def is_remote(path):
    """True if `path` has a scheme such as ``gs://``."""
    return "://" in path


def _gfile():
    from albert.basics.tf_compat import tf

    return tf.io.gfile


def file_status(path):
    """Size of a file in bytes, and when it was modified, in nanoseconds since 1970."""
    if is_remote(path):
        status = _gfile().stat(path)
        return status.length, status.mtime_nsec
    status = os.stat(path)
    return status.st_size, status.st_mtime_ns


def file_size(path):
    """Size of a file in bytes."""
    return file_status(path)[0]


def exists(path):
    return _gfile().exists(path) if is_remote(path) else os.path.exists(path)


def names_in(folder):
    """Sorted names of what a folder holds; none if there is no such folder."""
    if is_remote(folder):
        return sorted(_gfile().listdir(folder)) if exists(folder) else []
    return sorted(os.listdir(folder or ".")) if os.path.isdir(folder or ".") else []


def files_in(folder, pattern):
    """Sorted paths of what lies in a folder and has a name of a pattern, such as ``*.index``.

    The folder's own name is no pattern, as it would be for TensorFlow.
    """
    names = fnmatch.filter(names_in(folder), pattern)
    return [os.path.join(folder, name) for name in names]


def has_pattern_signs(path):
    """Whether TensorFlow takes a name for a pattern."""
    return bool(set(path) & set("*?["))


@contextlib.contextmanager
def _open_to_read(path):
    """Opens a file for reading bytes; failures, while it is read too, become InputErrors."""
    unreadable = (OSError,)
    try:
        if is_remote(path):
            from albert.basics.tf_compat import tf

            unreadable = (OSError, tf.errors.OpError)
            with tf.io.gfile.GFile(path, "rb") as handle:
                yield handle
        else:
            with open(path, "rb") as handle:
                yield handle
    except FileNotFoundError:
        raise InputError("%s: no such file." % path) from None
    except unreadable as error:
        raise InputError("%s: cannot be read (%s)." % (path, reason(error))) from None


def read_bytes(path):
    """Whole content of a file; raises InputError when it cannot be read."""
    with _open_to_read(path) as handle:
        return handle.read()


def without_mark(content):
    """Bytes of a text without the byte order mark that some editors put in front."""
    while content.startswith(codecs.BOM_UTF8):
        content = content[len(codecs.BOM_UTF8) :]
    return content


def read_chunks(path, start=0, end=None):
    """Yields a file's bytes from `start` to `end` (None: to its last), a megabyte at a time."""
    left = float("inf") if end is None else end - start
    with _open_to_read(path) as handle:
        handle.seek(start)
        while left > 0:
            chunk = handle.read(int(min(left, 1 << 20)))
            if not chunk:
                break
            left -= len(chunk)
            yield chunk
    if end is not None and left:
        raise InputError(
            "%s: ends %d bytes before byte %d; it was cut while it was read." % (path, left, end)
        )


def read_raw_lines(path, start=0, end=None, progress=None):
    """Yields lines as bytes without their LF; the last one only if it is not empty."""
    parts = []
    for chunk in read_chunks(path, start, end):
        first, *lines = chunk.split(b"\n")
        parts.append(first)
        if lines:
            yield b"".join(parts)
            parts = [lines.pop()]
            yield from lines
        if progress:
            progress(len(chunk))
    last = b"".join(parts)
    if last.strip(b"\r"):
        yield last


def read_lines(
    path,
    errors="strict",
    start=0,
    end=None,
    progress=None,
    cr_ends_lines=False,
    on_invalid=None,
):
    """Yields the lines of a text file as `str`, without their line ends.

    The rules are TensorFlow's file reader's, on which the ids of every published checkpoint
    depend: only LF ends a line, CR is deleted wherever it stands (with a warning where that joins
    two words), and U+2028 or U+0085 are ordinary characters.  A byte order mark at the beginning
    is no part of the text.

    Args:
        path: file name.
        errors: what to do with invalid UTF-8, one of `ENCODING_ERRORS`.
        start, end: offsets in bytes, at line borders, of the part to read; by default all of it.
        progress: None, or a function that is told the number of bytes of each piece read.
        cr_ends_lines: CR ends a line, too; for files that have no LF.
        on_invalid: None, or a function called for each line with invalid UTF-8 that is read.

    Raises:
        InputError: the file cannot be read, or (strict) has invalid UTF-8; names the line.
    """
    warned = False
    lines = read_raw_lines(path, start, end, progress)
    if cr_ends_lines:
        lines = itertools.chain.from_iterable(line.rstrip(b"\r").split(b"\r") for line in lines)
    for number, line in enumerate(lines, 1):
        if number == 1 and not start:
            line = without_mark(line)
        if b"\r" in line:
            if not warned and b"\r" in line.rstrip(b"\r"):
                warned = True
                logging.warning(
                    "%s: has carriage returns inside of lines; they are deleted, which joins what "
                    "stands on both sides. Only line feeds end lines.",
                    path,
                )
            line = line.replace(b"\r", b"")
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError as error:
            if errors != "strict":
                if on_invalid:
                    on_invalid()
                yield line.decode("utf-8", errors)
                continue
            before = sum(chunk.count(b"\n") for chunk in read_chunks(path, end=start))
            raise InputError(
                "%s, line %d: invalid UTF-8 (byte 0x%02x at column %d); the file must be UTF-8."
                % (path, before + number, line[error.start], error.start + 1)
            ) from None
        yield text


def read_json(path):
    """Parsed JSON object of a file; raises InputError when it is missing or not an object."""
    content = read_bytes(path)
    try:
        value = json.loads(without_mark(content).decode("utf-8"))
    except UnicodeDecodeError:
        raise InputError("%s: invalid UTF-8; expected a JSON file." % path) from None
    except ValueError as error:
        raise InputError("%s: not valid JSON (%s)." % (path, error)) from None
    if not isinstance(value, dict):
        raise InputError("%s: expected a JSON object, found a %s." % (path, type(value).__name__))
    return value


def check_name(name, what):
    """Refuses what is no text: TensorFlow and JSON files have names in UTF-8.

    Args:
        name: path, or an argument of the command line.
        what: what it is, for the message.

    Raises:
        InputError: it is not valid UTF-8, or this Python could not read it.
    """
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        remedy = "names and texts must be valid UTF-8"
        encoding = sys.getfilesystemencoding()
        if codecs.lookup(encoding).name != "utf-8":
            remedy = "this Python reads them as %s; set PYTHONUTF8=1 in the environment" % encoding
        shown = name.encode("utf-8", "backslashreplace").decode("utf-8")
        raise InputError("%s '%s' is not readable: %s." % (what, shown, remedy)) from None


def match_files(patterns, flag="input_file"):
    """Expands a comma-separated list of paths or globs.

    What exists under a name is meant by it, whatever commas and brackets it has; only the rest is
    split at commas and taken for patterns.  The folder part of a pattern that exists stands for
    itself, too.

    Args:
        patterns: for example ``"data/a.txt,data/part-*.txt"``.
        flag: name of the flag that the patterns came from, for the message.

    Returns:
        List of paths, each file once: patterns in their order, the matches of one pattern sorted.

    Raises:
        InputError: a pattern matches no file, or a file's name is not UTF-8.
    """
    paths, again = {}, []
    for pattern in _split_names(patterns, _is_one_name):
        found = _matches(pattern)
        if not found:
            raise InputError("--%s: no file matches '%s'." % (flag, pattern))
        for path in found:
            check_name(path, "--%s:" % flag)
            identity = path if is_remote(path) else os.path.realpath(path)
            if identity in paths:
                again.append(path)
            paths.setdefault(identity, path)
    if again:
        logging.warning(
            "--%s: %d files are named more than once, and read once: %s%s",
            flag,
            len(again),
            ", ".join(again[:3]),
            ", ..." if len(again) > 3 else "",
        )
    return list(paths.values())


def split_outputs(names):
    """Names of files to write: split at commas, but for those of folders that exist."""
    return list(_split_names(names, _is_in_folder))


def _split_names(names, is_one_name):
    """Splits at the commas that do not belong to a name which exists."""
    pieces = names.split(",")
    start = 0
    while start < len(pieces):
        end = len(pieces)
        while end > start + 1 and not is_one_name(",".join(pieces[start:end])):
            end -= 1
        yield ",".join(pieces[start:end])
        start = end


def _is_in_folder(name):
    """Whether a name that has a comma has it in its folder, which exists."""
    folder, file_name = os.path.split(name)
    return "," not in file_name and os.path.isdir(folder)


def _is_one_name(pattern):
    """Whether what has a comma is a file, or a pattern in a folder that has the comma."""
    if is_remote(pattern):
        return _gfile().exists(pattern)
    if os.path.isfile(pattern):
        return True
    return "," not in pattern[len(_existing_folder(pattern)) :] and bool(_matches(pattern))


def _matches(pattern):
    """Sorted paths of the files that a pattern means."""
    if is_remote(pattern):
        return [pattern] if _gfile().exists(pattern) else sorted(_gfile().glob(pattern))
    if os.path.isfile(pattern):
        return [pattern]
    folder = _existing_folder(pattern)
    found = glob.glob(glob.escape(folder) + pattern[len(folder) :])
    return sorted(path for path in found if not os.path.isdir(path))


def _existing_folder(pattern):
    """The longest folder that a pattern starts with and that exists; may be empty."""
    folder = os.path.dirname(pattern)
    while folder and not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    return folder


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


def prepare_checkpoint_dir(path, flag="output_dir"):
    """As `prepare_output_dir`, of a folder for checkpoints.

    TensorFlow takes their names for patterns, also where it restores them, and would find none.

    Raises:
        InputError: its name is a pattern, or the folder cannot be created or written to.
    """
    if has_pattern_signs(path):
        raise InputError(
            "--%s: '%s' has one of * ? [ in its name, and TensorFlow would not find checkpoints "
            "there, as it takes that for a pattern; choose another name." % (flag, path)
        )
    prepare_output_dir(path, flag)


@contextlib.contextmanager
def kept_if_used(path, flag="output_dir"):
    """As `prepare_checkpoint_dir`, for a block: folders that it made go if the block fails in it.

    Only empty ones: what was written stays, and so does what was there before.
    """
    made = []
    if not is_remote(path):
        folder = os.path.abspath(path)
        while not os.path.exists(folder):
            made.append(folder)
            folder = os.path.dirname(folder)
    try:
        prepare_checkpoint_dir(path, flag)
        yield
    except BaseException:
        with contextlib.suppress(OSError):  # one that is not empty keeps its parents
            for folder in made:
                os.rmdir(folder)
        raise


def unfinished_files(folder):
    """Paths of what a killed process left in a local folder while it wrote files there."""
    return glob.glob(os.path.join(glob.escape(folder), "*.tmp-*"))


@contextlib.contextmanager
def renamed_when_done(*paths):
    """Names beside `paths` to write to; the files get their names when the block succeeds.

    A reader sees the old file or the whole new one, never a part; after a failure the old files
    are as they were, and nothing else is left.

    Args:
        paths: final names; local ones, or all with a scheme.

    Yields:
        List of temporary names, one for each path.
    """
    temporary = ["%s.tmp-%d" % (path, os.getpid()) for path in paths]
    try:
        yield temporary
        for source, path in zip(temporary, paths):
            if is_remote(path):
                _gfile().rename(source, path, overwrite=True)
            else:
                os.replace(source, path)
    except BaseException:
        for path in temporary:
            if is_remote(path):
                if _gfile().exists(path):
                    _gfile().remove(path)
            else:
                with contextlib.suppress(OSError):
                    os.remove(path)
        raise


@contextlib.contextmanager
def atomic_write(path, mode="w"):
    """Opens a file to write that replaces `path` when the block succeeds; see `renamed_when_done`.

    Args:
        path: final file name.
        mode: "w" (UTF-8 text, LF line ends) or "wb".
    """
    text = {"encoding": "utf-8", "newline": "\n"} if "b" not in mode else {}
    if is_remote(path):  # object stores make a file visible only when it is closed
        with _gfile().GFile(path, mode) as handle:
            yield handle
        return
    try:
        with renamed_when_done(path) as (temporary,), open(temporary, mode, **text) as handle:
            yield handle
    except BaseException as error:
        _name_file(error, path)
        raise


@contextlib.contextmanager
def open_to_append(path):
    """Opens a text file (UTF-8, LF) to add to its end.

    What is added is written when it closes: all of it, or on a full disk nothing.
    """
    if is_remote(path):
        with _gfile().GFile(path, "a") as handle:
            yield handle
        return
    size = os.path.getsize(path) if os.path.exists(path) else 0
    try:
        with open(path, "a", encoding="utf-8", newline="\n") as handle:
            yield handle
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.truncate(path, size)
        _name_file(error, path)
        raise


def _name_file(error, path):
    """Adds the file to an error that has none, as that of a full disk."""
    if isinstance(error, OSError) and error.filename is None:
        error.filename = path


def copy(source, target):
    """Copies a file that fits into memory; `target` is complete or as it was."""
    content = read_bytes(source)
    with atomic_write(target, "wb") as handle:
        handle.write(content)


def link_or_copy(source, target):
    """Gives a file that will not be changed a second name, and where that fails a copy."""
    if not (is_remote(source) or is_remote(target)):
        with contextlib.suppress(OSError):  # not every file system has links
            os.link(source, target)
            return
    with atomic_write(target, "wb") as handle:
        for chunk in read_chunks(source):
            handle.write(chunk)


def move(source, target):
    """Moves a local file; `target` may be on another disk or remote and is replaced if there."""
    if is_remote(target):
        from albert.basics.tf_compat import tf

        try:
            tf.io.gfile.copy(source, target, overwrite=True)
        except tf.errors.OpError as error:
            raise InputError("%s: cannot be written (%s)." % (target, reason(error))) from None
        os.remove(source)
        return
    try:
        os.replace(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        with open(source, "rb") as handle, atomic_write(target, "wb") as copy:
            shutil.copyfileobj(handle, copy, 1 << 20)
        os.remove(source)


def json_text(value):
    """`value` as sorted, indented JSON."""
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def write_json(path, value):
    """Writes `json_text`, atomically."""
    with atomic_write(path) as handle:
        handle.write(json_text(value))


def sha256(path):
    """Hexadecimal SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    for chunk in read_chunks(path):
        digest.update(chunk)
    return digest.hexdigest()
