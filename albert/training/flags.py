"""Flags that pre-training and fine-tuning share, and the checks of their values."""

import math

from absl import flags

from albert.basics.errors import InputError
from albert.training.distribution import KINDS


def define_distribution_flags(flag_values):
    """Defines --distribution and --num_replicas on `flag_values`."""
    flags.DEFINE_enum(
        "distribution",
        "none",
        KINDS,
        "none: one device. mirrored: all GPUs of the machine. multi_worker: several processes, "
        "named by TF_CONFIG. tpu: as --use_tpu. --train_batch_size is that of all together.",
        flag_values=flag_values,
    )
    flags.DEFINE_integer(
        "num_replicas",
        0,
        "Devices of each process; 0: all GPUs for mirrored, else 1. Without GPUs: virtual devices "
        "of the CPU, to try things out.",
        0,
        flag_values=flag_values,
    )


def resolve_distribution_flags(options):
    """Makes --distribution=tpu and --use_tpu agree, and checks the batch, in place.

    Raises:
        InputError: flags do not fit each other.
    """
    if options["use_tpu"] and options["distribution"] == "none":
        options["distribution"] = "tpu"
    if options["use_tpu"] and options["distribution"] != "tpu":
        raise InputError("--use_tpu and --distribution=%s: choose one." % options["distribution"])
    options["use_tpu"] = options["distribution"] == "tpu"
    if options["num_replicas"] and options["distribution"] in ("none", "tpu"):
        raise InputError(
            "--num_replicas is for --distribution=mirrored and multi_worker, not %s."
            % options["distribution"]
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


def check_sequence_length(options, config):
    """Raises InputError when `--max_seq_length` exceeds the model's position table."""
    if options["max_seq_length"] > config.max_position_embeddings:
        raise InputError(
            "--max_seq_length is %d, but %s has max_position_embeddings %d."
            % (
                options["max_seq_length"],
                options["bert_config_file"],
                config.max_position_embeddings,
            )
        )


def check_finite(options, may_be_infinite=()):
    """Raises InputError for a flag that is not a number, or infinite."""
    for name, value in sorted(options.items()):
        if not isinstance(value, float) or math.isfinite(value):
            continue
        if math.isnan(value) or name not in may_be_infinite:
            raise InputError("--%s is %s; expected a number." % (name, value))


def define_safety_flags(flag_values):
    """Defines the flags of `SkipHook` on `flag_values`."""
    flags.DEFINE_integer(
        "max_skipped_steps",
        10,
        "Steps in a row that may be skipped because of their gradient norm before training stops; "
        "0: stops at the first one.",
        0,
        flag_values=flag_values,
    )
    flags.DEFINE_float(
        "skip_gradient_norm",
        float("inf"),
        "Skip steps with a larger gradient norm (before clipping), not only NaN and infinite ones.",
        0.0,
        flag_values=flag_values,
    )


def define_watch_flags(flag_values):
    """Defines the flags of the monitoring on `flag_values`."""
    flags.DEFINE_boolean(
        "eval_during_training",
        True,
        "With --eval_file: evaluate at every save, and keep the checkpoint with the best "
        "masked_lm_accuracy in OUTPUT_DIR/best. Not on TPU.",
        flag_values=flag_values,
    )
    flags.DEFINE_string(
        "profile",
        None,
        "START,END: steps to profile for TensorBoard, counted from 1.",
        flag_values=flag_values,
    )
    flags.DEFINE_float(
        "peak_teraflops",
        None,
        "What all devices together can do at this precision, in TFLOP/s; adds the share that "
        "training uses to the metrics.",
        0.0,
        flag_values=flag_values,
    )
