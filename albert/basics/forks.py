"""What a process that was forked must not keep of its parent: threads, and what waits for them.

A fork copies the memory of a process, and of its threads only the one that called it.  What other
threads were doing stays half done in the copy, and whoever waits for them waits for ever.
"""

import contextlib
import functools
import os
import threading
import weakref

# What is to be told in a child: object -> function of it.
_watched = weakref.WeakKeyDictionary()
# The process that called `begin`: this one, or one from which it was forked.
_began = []
_imported = os.getpid()
# Held by who does what no fork may come in between, and by the fork.
_undivided = threading.RLock()


def begin():
    """To be called before threads start that only this process will have, as TensorFlow's."""
    _start()
    if not _began:
        _began.append(os.getpid())


def lacks_threads():
    """Whether this process was forked from one that had called `begin`."""
    return bool(_began) and _began[0] != os.getpid()


def is_forked():
    """Whether this process was forked from one that had imported this module."""
    return _imported != os.getpid()


def watch(owner, in_child):
    """Calls `in_child(owner)` in every process forked from now on, while the owner lives.

    Args:
        owner: object that can be referred to weakly.
        in_child: function; must wait for nothing, and not destroy what threads belong to.
    """
    _start()
    _watched[owner] = in_child


@contextlib.contextmanager
def held_back():
    """Within, no other thread forks: it waits.  For what takes locks that a child would need."""
    _start()
    with _undivided:
        yield


@functools.lru_cache(maxsize=None)
def _start():
    if hasattr(os, "register_at_fork"):  # not on Windows, which has no forks
        os.register_at_fork(
            before=_undivided.acquire,
            after_in_parent=_undivided.release,
            after_in_child=_tell_all,
        )


def _tell_all():
    _undivided.release()
    for owner, in_child in list(_watched.items()):
        in_child(owner)
