"""Flags that every training script passes on to the estimator."""

from absl import flags

import estimator

_SETTINGS = (
    "train_batch_size",
    "eval_batch_size",
    "predict_batch_size",
    "save_checkpoints_steps",
    "keep_checkpoint_max",
    "iterations_per_loop",
    "use_tpu",
    "tpu_name",
    "tpu_zone",
    "gcp_project",
    "master",
    "num_tpu_cores",
)


def define_tpu_flags(flag_values):
    """Defines the flags of the TPU on `flag_values`."""
    flags.DEFINE_boolean(
        "use_tpu",
        False,
        "Train on TPU; looks words up by one-hot product.",
        flag_values=flag_values,
    )
    for name, meaning in (
        ("tpu_name", "Name or address of the TPU."),
        ("tpu_zone", "Zone of the TPU."),
        ("gcp_project", "Project of the TPU."),
        ("master", "TensorFlow master URL."),
    ):
        flags.DEFINE_string(name, None, meaning, flag_values=flag_values)
    flags.DEFINE_integer("num_tpu_cores", 8, "TPU cores.", 1, flag_values=flag_values)
    flags.DEFINE_integer(
        "iterations_per_loop", 1000, "Steps per call of the TPU.", 1, flag_values=flag_values
    )


def create_estimator(model_fn, options):
    """`estimator.create_estimator` with the settings of `options` (`{flag: value}`)."""
    settings = {name: options[name] for name in _SETTINGS if name in options}
    return estimator.create_estimator(
        model_fn, options["output_dir"], random_seed=options["seed"], **settings
    )
