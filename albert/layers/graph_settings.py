"""Settings that hold for what is added to a graph within a `with` statement; the innermost counts.

They are kept in the graph, so graphs that are built at the same time do not disturb each other.
"""

import contextlib

from albert.basics.tf_compat import tf


@contextlib.contextmanager
def during(name, value):
    """Within, `current(name)` is `value` in the default graph."""
    stack = tf.get_default_graph().get_collection_ref(name)
    stack.append(value)
    try:
        yield
    finally:
        stack.pop()


def current(name, default=None):
    """The value of the innermost `during` of this name, or the default."""
    return (tf.get_collection(name) or [default])[-1]
