"""The differences between TensorFlow 1.15, 2.15 and 2.21, all of them, in one place.

Every module takes its TensorFlow from here: ``from tf_compat import tf``.
"""

import platform

import numpy as np
import tensorflow.compat.v1 as tf

# tf.estimator was removed in TensorFlow 2.16; estimator.py then uses its own session loop.
HAS_TF_ESTIMATOR = hasattr(tf, "estimator")


def use_graph_mode():
    """Selects TensorFlow 1 graphs and sessions; call once, first thing in a script's main().

    Resource variables have a defined order of reads and writes; the old reference variables let
    the learning rate be read before or after global_step was increased (spec/model.md 3.5).
    """
    tf.disable_v2_behavior()
    tf.enable_resource_variables()


def versions():
    """Dictionary of what runs, for a record of results: name -> version."""
    return {
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "numpy": np.__version__,
    }
