"""Finding, recognising and loading checkpoints."""

import collections
import os
import re

from absl import logging

from albert.basics import storage
from albert.basics.errors import InputError
from albert.basics.tf_compat import tf
from albert.model_files.configuration import BRIGHTMART, GOOGLE, GOOGLE_FAST

# What TensorFlow's versions raise for a damaged checkpoint; IndexError: a file that is too short.
_READ_ERRORS = (tf.errors.OpError, RuntimeError, ValueError, IndexError)

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
        found = _prefixes(os.path.dirname(path) or ".")
        raise InputError(
            "--%s: no checkpoint at '%s' (no file '%s.index')%s."
            % (flag, path, prefix, "; found " + ", ".join(found) if found else "")
        )
    # The `checkpoint` file of a published zip often names a path of another machine, at which
    # tf.train.latest_checkpoint fails on TensorFlow 1.15.
    state = tf.train.get_checkpoint_state(path)
    if state and storage.exists(state.model_checkpoint_path + ".index"):
        return state.model_checkpoint_path
    found = _prefixes(path)
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


def _prefixes(directory):
    if not tf.io.gfile.isdir(directory):
        return []
    names = sorted(tf.io.gfile.glob(os.path.join(directory, "*.index")))
    return [name[: -len(".index")] for name in names]


def read_shapes(prefix):
    """`{variable name: shape list}` of a checkpoint; InputError when it is damaged."""
    try:
        return dict(tf.train.load_checkpoint(prefix).get_variable_to_shape_map())
    except _READ_ERRORS as error:
        raise InputError(
            "%s: the checkpoint cannot be read (%s)." % (prefix, _first_line(error))
        ) from None


def checkpoint_family(shapes):
    """Family of a checkpoint by its variables, or None."""
    if any(name.endswith("embeddings/word_embeddings_2") for name in shapes):
        return BRIGHTMART
    for name, shape in shapes.items():
        if re.search(r"/group_\d+/inner_group_\d+/ffn_1/intermediate/dense/kernel$", name):
            return GOOGLE if len(shape) == 2 else GOOGLE_FAST
    return None


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
            "'group_*/inner_group_*' variables." % checkpoint
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
    return next(
        shape[2]
        for name, shape in shapes.items()
        if name.endswith("ffn_1/intermediate/dense/kernel")
    )


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
    """
    available = read_shapes(resolve_checkpoint(init_checkpoint))
    maps = [collections.OrderedDict() for _ in range(max(num_of_group, 1))]
    loaded = {}
    for variable in tvars:
        name = variable_name(variable)
        source = _source_name(name, available, from_group0=num_of_group > 1)
        if source is None:
            continue
        free = next((entry for entry in maps if source not in entry), None)
        if free is None:
            free = collections.OrderedDict()
            maps.append(free)
        free[source] = name
        loaded[name] = loaded[name + ":0"] = 1
    return (maps if num_of_group else maps[0]), loaded


def init_from_checkpoint(
    init_checkpoint,
    config,
    config_file,
    from_group0=False,
    strict=False,
    expected_new=(),
    use_tpu=False,
):
    """Makes the trainable variables of the current graph start from a checkpoint.

    Logs for each variable whether it is loaded or random. Optimizer slots and the step are never
    loaded.

    Args:
        init_checkpoint: see `resolve_checkpoint`; None logs only.
        config: the model's config; config_file: its name, for messages.
        from_group0: google models: groups that the checkpoint lacks start from group 0.
        strict: a variable that stays random is an error.
        expected_new: names of variables that may stay random all the same (a new head).
        use_tpu: load inside a scaffold.

    Returns:
        A `scaffold_fn` for the estimator's spec on TPU, else None.

    Raises:
        InputError: damaged checkpoint, another family or size, or (strict) missing variables.
    """
    tvars = tf.trainable_variables()
    if not init_checkpoint:
        _log_variables(tvars, {})
        return None
    prefix = resolve_checkpoint(init_checkpoint)
    shapes = read_shapes(prefix)
    check_family(shapes, prefix, config, config_file)
    maps, loaded = get_assignment_map_from_checkpoint(
        tvars, prefix, num_of_group=2 if from_group0 else 1
    )
    by_name = {variable_name(variable): variable for variable in tvars}
    for entry in maps:
        for source, name in entry.items():
            _check_shape(by_name[name], shapes[source], prefix, config_file)
    _check_readable(prefix, {source for entry in maps for source in entry})
    _log_variables(tvars, loaded)
    missing = [name for name in by_name if name not in loaded and name not in expected_new]
    if missing and strict:
        raise InputError(
            "%s: --strict_init, and the checkpoint lacks %d of the model's variables: %s."
            % (prefix, len(missing), ", ".join(missing))
        )

    def load():
        for entry in maps:
            if entry:
                tf.train.init_from_checkpoint(prefix, entry)
        return tf.train.Scaffold()

    if use_tpu:
        return load
    load()
    return None


def check_shapes(variables, prefix, config_file):
    """Raises InputError unless the checkpoint has every variable, readable and in its size."""
    shapes = read_shapes(prefix)
    for variable in variables:
        name = variable_name(variable)
        if name not in shapes:
            raise InputError("%s: the checkpoint lacks the variable '%s'." % (prefix, name))
        _check_shape(variable, shapes[name], prefix, config_file)
    _check_readable(prefix, [variable_name(variable) for variable in variables])


def _check_shape(variable, shape, prefix, config_file):
    expected = variable.shape.as_list()
    if expected != list(shape):
        raise InputError(
            "the checkpoint '%s' does not have the size that the config '%s' says: %s is %s in the "
            "checkpoint and %s in the model."
            % (prefix, config_file, variable.name, shape, expected)
        )


def _check_readable(prefix, names):
    """Reads every tensor once: a truncated file fails here with its name, not hours later."""
    reader = tf.train.load_checkpoint(prefix)
    for name in sorted(names):
        try:
            reader.get_tensor(name)
        except _READ_ERRORS as error:
            raise InputError(
                "%s: the checkpoint is damaged or truncated; '%s' cannot be read (%s)."
                % (prefix, name, _first_line(error))
            ) from None


def _log_variables(tvars, loaded):
    logging.info("**** Trainable variables ****")
    for variable in tvars:
        name = variable_name(variable)
        origin = "loaded from the checkpoint" if name in loaded else "random"
        logging.info("  %s %s: %s", name, variable.shape.as_list(), origin)


def _first_line(error):
    return str(error).strip().split("\n")[0]
