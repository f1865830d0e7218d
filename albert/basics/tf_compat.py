"""The differences between TensorFlow 1.15, 2.15 and 2.21, all of them, in one place.

Every module takes its TensorFlow from here: ``from albert.basics.tf_compat import tf``.
"""

import os
import platform

import numpy as np

from albert.basics import quiet

# TensorFlow reads the level once, when it is imported.
os.environ.setdefault(quiet.LEVEL_VARIABLE, quiet.default_level())
with quiet.without_tensorflow_chatter():
    import tensorflow
    import tensorflow.compat.v1 as tf
    from tensorflow.core.protobuf import config_pb2

# tf.estimator was removed in TensorFlow 2.16; training/estimator.py then uses its own session loop.
HAS_TF_ESTIMATOR = hasattr(tf, "estimator")
# TensorFlow 1.15 has no bfloat16 products of oneDNN on CPUs and converts to float32 instead.
HAS_FAST_BFLOAT16 = not tf.__version__.startswith("1.")
# TensorFlow 1.15's XLA takes half a minute to compile what fusion.py asks for, and the result is
# slower than the operations themselves.
HAS_FAST_XLA_ON_CPU = not tf.__version__.startswith("1.")


def use_graph_mode():
    """Selects TensorFlow 1 graphs and sessions; call once, first thing in a script's main().

    Resource variables have a defined order of reads and writes; the old reference variables let
    the learning rate be read before or after global_step was increased, by chance.
    """
    tf.disable_v2_behavior()
    tf.enable_resource_variables()


def fast_callable(session, fetches, feeds):
    """Function of the fed arrays, of the right types, that returns a list of the fetched ones.

    `Session.make_callable` with feeds only hides a `Session.run`, which looks at its arguments for
    longer than a small model takes to compute.  What other parts of TensorFlow use instead has no
    public name, but is the same in all versions.
    """
    options = config_pb2.CallableOptions()
    options.fetch.extend(tensor.name for tensor in fetches)
    options.feed.extend(tensor.name for tensor in feeds)
    return session._make_callable_from_options(options)


def abandon_session(session):
    """Makes a session of the parent process harmless in a forked one.

    To close it, or to let Python destroy it at exit, would wait for threads that are not there.
    """
    session._closed, session._session = True, None


def start_from_checkpoint(variable, prefix, name, dtype):
    """Makes initialization give a variable what a checkpoint holds, cast to the variable's type.

    It is what `tf.train.init_from_checkpoint` does, which loads nothing of another type; there is
    no public name for that in any version.

    Args:
        variable: of the current graph.
        prefix: of the checkpoint.
        name, dtype: of the variable in the checkpoint.
    """
    with tf.device(variable.device), tf.device("/cpu:0"):
        (stored,) = tf.raw_ops.RestoreV2(
            prefix=prefix, tensor_names=[name], shape_and_slices=[""], dtypes=[dtype]
        )
        value = tf.cast(stored, variable.dtype.base_dtype)
    value = tf.ensure_shape(value, variable.shape)
    variable._initializer_op = variable.assign(value, read_value=False)


def num_gpus():
    """Number of GPUs that TensorFlow sees."""
    return len(tensorflow.config.experimental.list_physical_devices("GPU"))


def profiler():
    """Module with `start(folder)` and `stop()`; None before TensorFlow 2.2."""
    return getattr(tensorflow.profiler, "experimental", None)


def versions():
    """Dictionary of what runs, for a record of results: name -> version."""
    return {
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "numpy": np.__version__,
    }
