"""Finding, recognising and loading checkpoints."""

import collections
import os
import re
from typing import Dict, List, NamedTuple

from absl import logging

from albert.basics import storage, tf_compat
from albert.basics.errors import InputError
from albert.basics.tf_compat import tf
from albert.model_files import variables
from albert.model_files.configuration import BRIGHTMART, GOOGLE, GOOGLE_FAST
from albert.model_files.stored_variables import (
    StoredVariables,
    first_scopes,
    read_stored,
    readable_prefix,
    say_scope,
)

# What tells the families of checkpoints apart: how a variable's name ends.
_PROJECTION = "%s/%s%s" % (variables.EMBEDDINGS, variables.WORDS, variables.PROJECTION_SUFFIX)
_GOOGLE_KERNEL = r"/group_\d+/inner_group_\d+/%s/kernel$" % variables.GOOGLE_NAMES.intermediate

_NAMED = 3  # variables in a warning

_FAMILY_HINTS = {
    BRIGHTMART: "a brightmart config (one with 'ln_type')",
    GOOGLE: "a google config ('num_hidden_groups', no 'ln_type', no 'ffn_groups')",
    GOOGLE_FAST: "a google-fast config ('num_hidden_groups' and 'ffn_groups')",
}


def resolve_checkpoint(path, flag="init_checkpoint"):
    """Prefix of the checkpoint that a user means by `path`.

    Args:
        path: a prefix, a directory, or the name of an `.index`, `.meta` or `.data-...` file.
        flag: the flag that `path` came from, for the message.

    Raises:
        InputError: there is no checkpoint, or several in a directory that names none of them.
    """
    prefix = re.sub(r"\.(index|meta|data-\d{5}-of-\d{5})$", "", path)
    if storage.exists(prefix + ".index"):
        return prefix
    if not tf.io.gfile.isdir(path):
        found = list_prefixes(os.path.dirname(path) or ".")
        raise InputError(
            "--%s: no checkpoint at '%s' (no file '%s.index')%s."
            % (flag, path, prefix, "; found " + ", ".join(found) if found else "")
        )
    named = named_checkpoint(path)
    if named and storage.exists(named + ".index"):
        return named
    found = list_prefixes(path)
    if len(found) == 1:
        return found[0]
    raise InputError(
        "--%s: the directory '%s' holds %s."
        % (
            flag,
            path,
            "several checkpoints; name one of %s" % ", ".join(found) if found else "no checkpoint",
        )
    )


def named_checkpoint(folder):
    """Prefix of the checkpoint that the file `checkpoint` of a folder names; None without one.

    It need not exist.  The file of a folder that was copied or moved, and of many a published zip,
    names a path of another place: the checkpoint of that name in the folder itself is meant.
    """
    state = _read_state(folder)
    if not state:
        return None
    named = state.model_checkpoint_path
    own = os.path.join(folder, _base_name(named))
    if not storage.exists(own + ".index") or _is_same(own, named):
        return named
    logging.info(
        "%s: names '%s'; the checkpoint of that name in the folder is used.",
        os.path.join(folder, "checkpoint"),
        named,
    )
    return own


def _read_state(folder):
    """Content of the file `checkpoint` of a folder; None where there is no such file.

    Raises:
        InputError: it names none; training would take the folder for a new one.
    """
    try:
        state = tf.train.get_checkpoint_state(folder)
    except ValueError:
        state = None
    path = os.path.join(folder, "checkpoint")
    if state is None and storage.exists(path) and not tf.io.gfile.isdir(path):
        raise InputError(
            "%s: damaged; expected a line such as 'model_checkpoint_path: \"model.ckpt-100\"', "
            "which says the checkpoint that counts." % path
        )
    return state


def adopt_moved_run(folder):
    """Makes the file `checkpoint` of a folder name the checkpoints in it.

    TensorFlow would read, and delete when they are old, those at the place it was moved from.
    """
    state = _read_state(folder)
    own = state and named_checkpoint(folder)
    if not state or own == state.model_checkpoint_path:
        return
    kept = [os.path.join(folder, _base_name(path)) for path in state.all_model_checkpoint_paths]
    kept = [path for path in kept if storage.exists(path + ".index")]
    names = [os.path.basename(path) for path in kept]
    tf.train.update_checkpoint_state(folder, os.path.basename(own), names)


def _base_name(path):
    return re.split(r"[\\/]", path)[-1]  # of Windows, too


def _is_same(path, other):
    if storage.is_remote(path) or storage.is_remote(other):
        return path == other
    return os.path.realpath(path) == os.path.realpath(other)


def list_prefixes(directory):
    """Prefixes of the checkpoints in a folder, sorted; none where there is no such folder."""
    if not tf.io.gfile.isdir(directory):
        return []
    return [path[: -len(".index")] for path in storage.files_in(directory, "*.index")]


def read_shapes(prefix):
    """`{variable name: shape list}` of a checkpoint, the names as of `StoredVariables`.

    Raises:
        InputError: it is damaged, or holds several encoders.
    """
    return read_stored(prefix).shapes


def checkpoint_family(shapes):
    """Family of a checkpoint by its variables, or None."""
    if any(name.endswith(_PROJECTION) for name in shapes):
        return BRIGHTMART
    for name, shape in shapes.items():
        if re.search(_GOOGLE_KERNEL, name):
            return GOOGLE if len(shape) == 2 else GOOGLE_FAST
    return None


def is_classifier(shapes):
    """Whether a checkpoint has a classification head; shapes: from `read_shapes`."""
    return variables.OUTPUT_WEIGHTS in shapes


def check_family(shapes, checkpoint, config, config_file):
    """Raises InputError unless checkpoint and config are of one family.

    Args:
        shapes: from `read_shapes`.
        checkpoint, config_file: names for the message.
    """
    family = checkpoint_family(shapes)
    if family is None:
        raise InputError(
            "%s: not an ALBERT checkpoint; it has neither 'word_embeddings_2' nor "
            "'group_*/inner_group_*' variables (the names begin with %s)."
            % (checkpoint, first_scopes(shapes) or "no scope")
        )
    if family != config.family:
        missing = family == GOOGLE_FAST and config.family == GOOGLE
        raise InputError(
            "the checkpoint '%s' is of the %s family and the config '%s' of the %s family; "
            "use %s%s."
            % (
                checkpoint,
                family.replace("_", "-"),
                config_file,
                config.family.replace("_", "-"),
                "the config that came with the checkpoint: " + _FAMILY_HINTS[family],
                ", here with 'ffn_groups': %d added" % _ffn_groups(shapes) if missing else "",
            )
        )


def _ffn_groups(shapes):
    return next(shape[2] for name, shape in shapes.items() if re.search(_GOOGLE_KERNEL, name))


def variable_name(variable):
    """Name of a variable as checkpoints have it (without ":0")."""
    return re.sub(r":\d+$", "", variable.name)


def _source_name(name, available, from_group0):
    """Checkpoint variable that a graph variable starts from, or None."""
    if name in available:
        return name
    if from_group0:
        shared = re.sub(r"/group_\d+/", "/group_0/", name)
        if shared in available:
            return shared
    return None


def get_assignment_map_from_checkpoint(tvars, init_checkpoint, num_of_group=0):
    """What `tf.train.init_from_checkpoint` needs to load `tvars`.

    Args:
        tvars: variables of the graph.
        init_checkpoint: prefix or directory.
        num_of_group: 0: match names exactly; above 1: a variable that the checkpoint lacks takes
            its counterpart in group 0.

    Returns:
        The map `{checkpoint name: graph name}` (a list of such maps when num_of_group > 0, as one
        checkpoint variable may start several), and `{graph name: 1, graph name + ":0": 1}` for
        the variables that it loads.

    Raises:
        InputError: the checkpoint has no variable of an encoder that is among `tvars`, or none at
            all of `tvars`.
    """
    stored = read_stored(resolve_checkpoint(init_checkpoint))
    say_scope(stored)
    sources = _sources(tvars, stored, from_group0=num_of_group > 1)
    _check_found([variable_name(variable) for variable in tvars], sources, stored)
    maps = [collections.OrderedDict() for _ in range(max(num_of_group, 1))]
    loaded = {}
    for name, source in sources.items():
        source = stored.names[source]
        free = next((entry for entry in maps if source not in entry), None)
        if free is None:
            free = collections.OrderedDict()
            maps.append(free)
        free[source] = name
        loaded[name] = loaded[name + ":0"] = 1
    return (maps if num_of_group else maps[0]), loaded


def _sources(tvars, stored, from_group0):
    """`{graph name: name in stored.shapes}` of the variables that a checkpoint has."""
    sources = collections.OrderedDict()
    for variable in tvars:
        name = variable_name(variable)
        source = _source_name(name, stored.shapes, from_group0)
        if source is not None:
            sources[name] = source
    return sources


def _check_found(names, sources, stored):
    """Raises InputError where training would start from random weights without a word.

    Args:
        names: of the variables of the graph.
        sources: of those that the checkpoint has.
        stored: `StoredVariables`.
    """
    encoder = [name for name in names if is_of_encoder(name)]
    if any(name in sources for name in encoder or names) or not names:
        return
    raise InputError(
        "%s: no variable of the %s is in the checkpoint: expected names as '%s', found names that "
        "begin with %s."
        % (
            stored.prefix,
            "encoder" if encoder else "model",
            (encoder or names)[0],
            first_scopes(stored.names.values()) or "no scope",
        )
    )


def is_of_encoder(name):
    """Whether a variable is one of the encoder, not of a head."""
    return name.startswith(variables.MODEL + "/")


class Loading(NamedTuple):
    """Which variables of a graph start from a checkpoint.

    Attributes:
        stored: `StoredVariables` of the checkpoint.
        sources: `{graph name: name in the checkpoint, as stored.names has it}`.
        new: names of the graph's variables that start at random.
    """

    stored: StoredVariables
    sources: Dict[str, str]
    new: List[str]

    def summary(self):
        """What results.json says of it."""
        return {
            "checkpoint": self.stored.prefix,
            "loaded": len(self.sources),
            "not_loaded": list(self.new),
        }


def init_from_checkpoint(
    init_checkpoint,
    config,
    config_file,
    from_group0=False,
    strict=False,
    expected_new=(),
    use_tpu=False,
    on_loading=None,
):
    """Makes the trainable variables of the current graph start from a checkpoint.

    Logs for each variable whether it is loaded or random. Optimizer slots and the step are never
    loaded.

    Args:
        init_checkpoint: see `resolve_checkpoint`; None logs only.
        config: the model's config; config_file: its name, for messages.
        from_group0: google models: groups that the checkpoint lacks start from group 0.
        strict: a variable that stays random is an error.
        expected_new: names of variables that may stay random all the same (a new head).  Where
            the checkpoint has them in another size, all of them do.
        use_tpu: load inside a scaffold.
        on_loading: function that is told the `Loading`, or None.

    Returns:
        A `scaffold_fn` for the estimator's spec on TPU, else None.

    Raises:
        InputError: damaged checkpoint, another family or size, no variable of the encoder in it,
            or (strict) missing variables.
    """
    tvars = tf.trainable_variables()
    if not init_checkpoint:
        _log_variables(tvars, {})
        return None
    loading = _plan(tvars, init_checkpoint, config, config_file, from_group0, expected_new)
    stored, sources = loading.stored, loading.sources
    _log_variables(tvars, sources)
    logging.info("%s: %d of the %d variables are loaded.", stored.prefix, len(sources), len(tvars))
    _warn_of_gaps(loading)
    missing = [name for name in loading.new if name not in expected_new]
    if missing and strict:
        raise InputError(
            "%s: --strict_init, and the checkpoint lacks %d of the model's variables: %s."
            % (stored.prefix, len(missing), ", ".join(missing))
        )
    if on_loading:
        on_loading(loading)
    by_name = {variable_name(variable): variable for variable in tvars}

    def load():
        for name, source in sources.items():
            tf_compat.start_from_checkpoint(
                by_name[name],
                readable_prefix(stored.prefix),
                stored.names[source],
                stored.types[source],
            )
        return tf.train.Scaffold()

    if use_tpu:
        return load
    load()
    return None


def check_start(init_checkpoint, config, config_file):
    """Checks that training can start from a checkpoint, before there is a graph.

    Args:
        init_checkpoint: see `resolve_checkpoint`.
        config: the model's config; config_file: its name, for messages.

    Raises:
        InputError: damaged checkpoint, another family or size, or nothing of the encoder in it.
    """
    encoder = variables.encoder_variables(config)
    _plan(encoder, init_checkpoint, config, config_file, from_group0=False, expected_new=())


def _plan(tvars, init_checkpoint, config, config_file, from_group0, expected_new):
    """`Loading` of a checkpoint that fits the config."""
    stored = read_stored(resolve_checkpoint(init_checkpoint))
    say_scope(stored)
    check_family(stored.shapes, stored.prefix, config, config_file)
    sources = _sources(tvars, stored, from_group0)
    names = [variable_name(variable) for variable in tvars]
    _check_found(names, sources, stored)
    by_name = dict(zip(names, tvars))
    other_head = [
        name
        for name in expected_new
        if name in sources and not _has_shape(by_name[name], stored.shapes[sources[name]])
    ]
    if other_head:
        logging.info(
            "%s: its head has another size ('%s' is %s, here %s), as of another task; the head "
            "starts anew.",
            stored.prefix,
            other_head[0],
            stored.shapes[sources[other_head[0]]],
            tf.TensorShape(by_name[other_head[0]].shape).as_list(),
        )
        sources = {name: source for name, source in sources.items() if name not in expected_new}
    for name, source in sources.items():
        _check_shape(by_name[name], stored.shapes[source], stored.prefix, config_file)
    stored.check_readable(set(sources.values()))
    return Loading(stored, sources, [name for name in names if name not in sources])


def _warn_of_gaps(loading):
    """Warns of variables of the encoder that start at random."""
    missing = [name for name in loading.new if is_of_encoder(name)]
    if not missing:
        return
    total = len(missing) + sum(map(is_of_encoder, loading.sources))
    logging.warning(
        "%s: %d of the %d variables of the encoder are not in the checkpoint and start at random: "
        "%s%s.",
        loading.stored.prefix,
        len(missing),
        total,
        ", ".join(missing[:_NAMED]),
        ", ..." if len(missing) > _NAMED else "",
    )


def check_shapes(expected, prefix, config_file):
    """Raises InputError unless the checkpoint has every variable, readable and in its size.

    Args:
        expected: list of variables, of a graph or from variables.py.
        prefix: of the checkpoint.
        config_file: name of the model's config, for the message.
    """
    stored = read_stored(prefix)
    for variable in expected:
        name = variable_name(variable)
        if name not in stored.shapes:
            raise InputError("%s: the checkpoint lacks the variable '%s'." % (prefix, name))
        _check_shape(variable, stored.shapes[name], prefix, config_file)
    stored.check_readable([variable_name(variable) for variable in expected])


def _has_shape(variable, shape):
    return tf.TensorShape(variable.shape).as_list() == list(shape)  # in variables.py it is a list


def _check_shape(variable, shape, prefix, config_file):
    if _has_shape(variable, shape):
        return
    expected = tf.TensorShape(variable.shape).as_list()
    is_output = variable_name(variable) in (variables.OUTPUT_WEIGHTS, variables.OUTPUT_BIAS)
    if is_output and list(shape)[1:] == expected[1:]:
        raise InputError(
            "%s: this classifier has %d outputs, and the task needs %d (one for each label; a "
            "regression has one)." % (prefix, shape[0], expected[0])
        )
    raise InputError(
        "the checkpoint '%s' does not have the size that the config '%s' says: %s is %s in the "
        "checkpoint and %s in the model." % (prefix, config_file, variable.name, shape, expected)
    )


def _log_variables(tvars, loaded):
    logging.info("**** Trainable variables ****")
    for variable in tvars:
        name = variable_name(variable)
        origin = "loaded from the checkpoint" if name in loaded else "random"
        logging.info("  %s %s: %s", name, variable.shape.as_list(), origin)
