"""One process at a time writes a folder, or a file; a second one is refused and told who it is.

The lock is the operating system's (flock), so it ends with its process, however that ends.  A file
`run.lock` in the folder, or `NAME.lock` beside the file, which is locked, says who has it.  Where a
file system has no such locks that alone must do: a process of this machine that lives no more has
lost its lock.
"""

import contextlib
import json
import os
import socket
import sys
import time

from absl import logging

from albert.basics.errors import InputError, reason
from albert.basics.storage import is_remote

try:
    import fcntl
except ImportError:  # Windows has none
    fcntl = None

LOCK_FILE = "run.lock"
# Descriptors of the locks that this process holds; a forked child must not keep them alive.
_held = set()


def _close_in_child():
    while _held:
        os.close(_held.pop())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_in_child)


@contextlib.contextmanager
def only_writer(folder, flag="output_dir"):
    """Context in which no other process of these scripts writes a folder.

    Args:
        folder: a folder that exists.  One with a scheme is not locked, which is said.
        flag: name of the flag that names it, for the message.

    Raises:
        InputError: another process has it; names process, machine and time.
    """
    with _locked(folder, os.path.join(folder, LOCK_FILE), flag):
        yield


@contextlib.contextmanager
def only_writer_of_file(path, flag="output_file"):
    """As `only_writer`, of a file in a folder that exists; others may write other files there."""
    with _locked(path, path + ".lock", flag):
        yield


@contextlib.contextmanager
def _locked(target, path, flag):
    """Context in which a lock file is this process's; see `only_writer`."""
    if is_remote(target):
        logging.info("%s: nothing of this kind is locked; do not start a run twice.", target)
        yield
        return
    descriptor = _acquire(path, target, flag)
    _held.add(descriptor)
    owner = os.getpid()
    try:
        yield
    finally:
        if os.getpid() == owner and descriptor in _held:
            with contextlib.suppress(OSError):  # the folder may be gone
                if _is_file_of(descriptor, path):
                    os.remove(path)
            _held.discard(descriptor)
            os.close(descriptor)


def _acquire(path, target, flag):
    """Descriptor of the lock file, locked, with this process in it."""
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise InputError(
                "--%s: cannot write to the directory '%s' (%s)."
                % (flag, os.path.dirname(path) or ".", reason(error))
            ) from None
        try:
            taken = _lock(descriptor, path)
            if taken and not _is_file_of(descriptor, path):
                os.close(descriptor)  # its owner has just removed it
                continue
            former = _read(descriptor)
            if not taken:
                raise _refusal(path, target, flag, former)
            if former:
                logging.warning(
                    "%s: %s wrote there and ended without giving it back; this run takes it over.",
                    target,
                    _described(former),
                )
            _write(descriptor)
            return descriptor
        except BaseException:
            with contextlib.suppress(OSError):
                os.close(descriptor)
            raise


def _lock(descriptor, path):
    """Whether this process has the lock now."""
    try:
        if fcntl is None:
            raise OSError("no flock")
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        return False
    except OSError as error:
        logging.warning(
            "%s: this file system has no locks (%s); do not start the same run twice from several "
            "machines.",
            path,
            reason(error),
        )
        return not _may_live(_read(descriptor))


def _is_file_of(descriptor, path):
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def _read(descriptor):
    """What the file says of its writer: a dict, empty if there is nothing to read."""
    os.lseek(descriptor, 0, os.SEEK_SET)
    try:
        content = json.loads(os.read(descriptor, 1 << 16).decode("utf-8"))
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _write(descriptor):
    content = {
        "process": os.getpid(),
        "started": _start_of(os.getpid()),
        "host": socket.gethostname(),
        "since": time.strftime("%Y-%m-%d %H:%M:%S"),
        "command": os.path.basename(sys.argv[0]),
    }
    # On a full disk the lock holds all the same, and nobody is named.
    with contextlib.suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.lseek(descriptor, 0, os.SEEK_SET)
        os.write(descriptor, (json.dumps(content, indent=2) + "\n").encode("utf-8"))


def _may_live(owner):
    """Whether a process may be at work; one of another machine may."""
    if not owner:
        return False
    if owner.get("host") != socket.gethostname():
        return True
    try:
        os.kill(int(owner["process"]), 0)
    except (ProcessLookupError, KeyError, ValueError, TypeError):
        return False
    except PermissionError:  # it is another user's
        return True
    # Another process may have got its number.
    return _start_of(owner["process"]) == owner.get("started")


def _start_of(process):
    """When a process of this machine started, in the system's ticks; None where nobody tells."""
    try:
        with open("/proc/%d/stat" % process, "rb") as handle:
            return int(handle.read().rpartition(b")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return None


def _described(owner):
    return "process %s (%s) on %s, since %s," % (
        owner.get("process", "?"),
        owner.get("command", "?"),
        owner.get("host", "?"),
        owner.get("since", "?"),
    )


def _refusal(path, target, flag, owner):
    who = _described(owner) if owner else "another process"
    return InputError(
        "--%s: '%s' is in use: %s writes there; wait for its end, stop it, or choose another "
        "name. (%s says who has it.)" % (flag, target, who, path)
    )
