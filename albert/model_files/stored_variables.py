"""The variables of a checkpoint, by the names that the models of this project give them.

Other programs keep the same encoder under other scopes: `albert/...`, `module/bert/...` (modules of
TensorFlow Hub), `model/bert/...`.  What stands before the table of words tells which scope it is,
and all else follows from that; a checkpoint whose encoder is in `bert/` is read as it is.
"""

import atexit
import functools
import glob
import os
import shutil
import tempfile
from typing import Dict, List, NamedTuple, Optional

import numpy as np
from absl import logging

from albert.basics import storage
from albert.basics.errors import InputError, reason
from albert.basics.tf_compat import tf
from albert.model_files import variables

# What TensorFlow's versions raise for a damaged checkpoint; IndexError: a file that is too short.
READ_ERRORS = (tf.errors.OpError, RuntimeError, ValueError, IndexError)

SCOPE = variables.MODEL + "/"
_PARTS = (variables.EMBEDDINGS, variables.ENCODER, variables.POOLER)
_WORDS = "%s/%s" % (variables.EMBEDDINGS, variables.WORDS)
# Weights may be kept in these; models compute in float32.
_CAST_TYPES = (tf.float16, tf.bfloat16, tf.float64)
_SHOWN_SCOPES = 4


class StoredVariables(NamedTuple):
    """What a checkpoint holds.

    Attributes:
        prefix: of the checkpoint.
        scope: that of the encoder in the checkpoint, with its slash: "bert/" as a rule; None where
            no table of words tells it.
        shapes: `{name: shape list}`.
        names: `{name: name in the checkpoint}`.
        types: `{name: tf.DType}`.
    """

    prefix: str
    scope: Optional[str]
    shapes: Dict[str, List[int]]
    names: Dict[str, str]
    types: Dict[str, tf.DType]

    @property
    def is_renamed(self):
        """Whether the encoder has another scope in the checkpoint than here."""
        return self.scope not in (SCOPE, None)

    def needs_cast(self, name):
        """Whether a variable's numbers are floats of another kind than float32."""
        return self.types[name] in _CAST_TYPES

    def reader(self):
        """Function of a variable's name that returns its array, floats as float32."""
        reader = tf.train.load_checkpoint(readable_prefix(self.prefix))

        def read(name):
            array = reader.get_tensor(self.names[name])
            return array.astype(np.float32) if self.needs_cast(name) else array

        return read

    def check_readable(self, names):
        """Reads tensors once: a truncated file fails here with its name, not hours later.

        Raises:
            InputError: one cannot be read, or is not of floats: whole numbers stand for weights
                only together with a scale, which is not known here.
        """
        reader = tf.train.load_checkpoint(readable_prefix(self.prefix))
        for name in sorted(names):
            if not self.types[name].is_floating:
                raise InputError(
                    "%s: '%s' is of the type %s; expected floating-point numbers."
                    % (self.prefix, name, self.types[name].name)
                )
            try:
                reader.get_tensor(self.names[name])
            except READ_ERRORS as error:
                raise InputError(
                    "%s: the checkpoint is damaged or truncated; '%s' cannot be read (%s)."
                    % (self.prefix, name, reason(error))
                ) from None


def readable_prefix(prefix):
    """The name under which TensorFlow reads a checkpoint.

    It takes names for patterns, and does not find those with `[` and the like; they get others,
    which are links in a folder that is removed when this process ends.
    """
    if storage.is_remote(prefix) or not storage.has_pattern_signs(prefix):
        return prefix
    return _linked(os.path.abspath(prefix))


@functools.lru_cache(maxsize=None)
def _linked(prefix):
    links = tempfile.mkdtemp(prefix="albert_checkpoint_")
    atexit.register(shutil.rmtree, links, ignore_errors=True)
    folder, name = os.path.split(prefix)
    for path in storage.files_in(folder, glob.escape(name) + ".*"):
        os.symlink(path, os.path.join(links, "model.ckpt" + path[len(prefix) :]))
    return os.path.join(links, "model.ckpt")


def read_stored(prefix):
    """`StoredVariables` of a checkpoint.

    Raises:
        InputError: it is damaged, or holds several encoders.
    """
    try:
        reader = tf.train.load_checkpoint(readable_prefix(prefix))
        shapes = dict(reader.get_variable_to_shape_map())
        types = dict(reader.get_variable_to_dtype_map())
    except READ_ERRORS as error:
        raise InputError(
            "%s: the checkpoint cannot be read (%s)." % (prefix, reason(error))
        ) from None
    scope = _encoder_scope(prefix, shapes)
    names = {}
    for name in sorted(shapes, key=lambda name: (_heads_below(name, scope), name)):
        names.setdefault(_own_name(name, scope), name)
    return StoredVariables(
        prefix,
        scope,
        {own: shapes[name] for own, name in names.items()},
        names,
        {own: tf.as_dtype(types[name]) for own, name in names.items()},
    )


def _encoder_scope(prefix, shapes):
    """Scope of the table of words; None: there is no such table."""
    scopes = {name[: -len(_WORDS)] for name in shapes if _is_below(name, _WORDS)}
    if SCOPE in scopes:
        return SCOPE
    # `optimizer/albert/` beside `albert/` is none of its own.
    scopes = sorted(
        scope
        for scope in scopes
        if not any(other != scope and _is_below(scope, other) for other in scopes)
    )
    if len(scopes) > 1:
        raise InputError(
            "%s: holds %d encoders, in the scopes %s; expected one, in '%s'."
            % (prefix, len(scopes), ", ".join("'%s'" % scope for scope in scopes), SCOPE)
        )
    return scopes[0] if scopes else None


def _is_below(name, end):
    return name == end or name.endswith("/" + end) or not end


def _parent(scope):
    """What stands before the last part of a scope: "module/" of "module/bert/"."""
    return scope[: scope.rstrip("/").rfind("/") + 1]


def _heads_below(name, scope):
    """Whether a head lies in the encoder's scope; one beside it goes first."""
    return bool(scope) and name.startswith(scope)


def _own_name(name, scope):
    """The name that this project gives a variable of a checkpoint."""
    if scope in (SCOPE, None):
        return name
    if name.startswith(scope):
        rest = name[len(scope) :]
        return SCOPE + rest if rest.split("/")[0] in _PARTS else rest
    parent = _parent(scope)
    return name[len(parent) :] if name.startswith(parent) else name


def first_scopes(shapes):
    """The first parts of the names of a checkpoint, for a message."""
    scopes = sorted({name.split("/")[0] + "/" for name in shapes if "/" in name})
    shown = ", ".join("'%s'" % scope for scope in scopes[:_SHOWN_SCOPES])
    return shown + (", ..." if len(scopes) > _SHOWN_SCOPES else "")


def say_scope(stored):
    """Logs where the encoder was found, if that is not where it is expected."""
    if stored.is_renamed:
        logging.info(
            "%s: the encoder is in the scope '%s'; it is read as '%s'.",
            stored.prefix,
            stored.scope,
            SCOPE,
        )


def check_restorable(prefix):
    """Refuses a checkpoint that only `restore` can read, for TensorFlow's own restoring on TPU.

    Raises:
        InputError: it has other names or types than the graph.
    """
    stored = read_stored(prefix)
    cast = [name for name in stored.names if stored.needs_cast(name)]
    if not (stored.is_renamed or cast):
        return
    what = "the encoder in the scope '%s'" % stored.scope
    if cast:
        what = "'%s' as %s" % (cast[0], stored.types[cast[0]].name)
    raise InputError(
        "--use_tpu: %s has %s, which is read on processors and GPUs only; leave --use_tpu out to "
        "score it, or train from it first." % (prefix, what)
    )


def restore(session, saver, graph_variables, prefix):
    """Gives the variables of a session the values of a checkpoint.

    Args:
        session: of TensorFlow.
        saver: `tf.train.Saver` of the variables.
        graph_variables: list, all of which the checkpoint has (`checkpoints.check_shapes`).
        prefix: of the checkpoint.
    """
    stored = read_stored(prefix)
    own = {variable.op.name: variable for variable in graph_variables}
    if not stored.is_renamed and not any(map(stored.needs_cast, own)):
        saver.restore(session, readable_prefix(prefix))
        return
    say_scope(stored)
    read = stored.reader()
    for name, variable in own.items():
        variable.load(read(name), session)
