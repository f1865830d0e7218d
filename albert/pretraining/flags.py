"""The flags of run_pretraining.py, their defaults by family, and their checks."""

import math

from absl import flags

import optimization
from albert.basics import cli
from albert.basics.errors import InputError
from albert.layers import products
from albert.model_files.configuration import BRIGHTMART
from albert.training import gradients
from albert.training.flags import (
    check_finite,
    check_sequence_length,
    define_distribution_flags,
    define_safety_flags,
    define_tpu_flags,
    define_watch_flags,
    resolve_distribution_flags,
)

_MAX_SEED = 2**62  # leaves room for what TensorFlow and the workers add
# The reference has one script for each family, with these defaults.
# A flag that the user does not set takes the value of the config's family.
BRIGHTMART_DEFAULTS = {
    "max_seq_length": 128,
    "do_train": False,
    "train_batch_size": 32,
    "eval_batch_size": 8,
    "optimizer": "lamb_brightmart",
    "learning_rate": 5e-5,
    "num_train_steps": 100000,
    "num_warmup_steps": 10000,
    "save_checkpoints_steps": 1000,
    "keep_checkpoint_max": 20,
}
GOOGLE_DEFAULTS = {
    "max_seq_length": 512,
    "do_train": True,
    "train_batch_size": 4096,
    "eval_batch_size": 64,
    "optimizer": "lamb",
    "learning_rate": 0.00176,
    "num_train_steps": 125000,
    "num_warmup_steps": 3125,
    "save_checkpoints_steps": 5000,
    "keep_checkpoint_max": 5,
}


def define_flags(flag_values):
    """Defines the script's flags on `flag_values`."""

    def by_family(name, meaning):
        return "%s Default: %s (brightmart configs), %s (google configs)." % (
            meaning,
            BRIGHTMART_DEFAULTS[name],
            GOOGLE_DEFAULTS[name],
        )

    string, integer, boolean = cli.flag_definers(flag_values)

    # Required
    string("bert_config_file", "Model config, JSON; it decides the family.")
    flags.DEFINE_alias("albert_config_file", "bert_config_file", flag_values=flag_values)
    string("input_file", "TFRecord files: comma-separated paths or globs.")
    string("output_dir", "Folder for checkpoints and results.")

    # What to do
    boolean("do_train", by_family("do_train", "Train. With --do_eval alone: no."), None)
    boolean("do_eval", "Evaluate the latest checkpoint.")
    string("eval_file", "Records to evaluate on, as --input_file, which is the default.")
    boolean(
        "eval_one_pass",
        "Evaluate every record once instead of --max_eval_steps full batches.",
    )
    string("init_checkpoint", "Weights to start from: prefix, folder, or a file of a checkpoint.")
    boolean("init_from_group0", "google models: groups missing there start from group 0.")
    boolean("strict_init", "Fail when --init_checkpoint lacks a variable of the model.")
    boolean("allow_changed_settings", "Continue an --output_dir made with other settings.")

    # Records
    integer("max_seq_length", by_family("max_seq_length", "Length of the records."))
    integer("max_predictions_per_seq", "Predictions per record.", 20)
    integer("shuffle_buffer", "Records to shuffle among (the reference: 100).", 10000)
    integer("max_corrupt_records", "Damaged records of all files to leave out.", 0, 0)
    integer("seed", "Seed of initial weights, dropout and record order.", 12345, None)

    # Optimization
    flags.DEFINE_enum(
        "optimizer",
        None,
        sorted(optimization.OPTIMIZERS),
        by_family("optimizer", "Optimizer."),
        flag_values=flag_values,
    )
    integer("train_batch_size", by_family("train_batch_size", "Batch size over all devices."))
    integer(
        "accumulation_steps",
        "Compute each batch in so many equal parts, one after the other; saves memory.",
        1,
    )
    integer("eval_batch_size", by_family("eval_batch_size", "Batch size for evaluation."))
    string(
        "freeze",
        "Regular expression: variables whose name has a match are not trained, for example "
        "'embeddings/'.",
    )
    flags.DEFINE_float(
        "learning_rate", None, by_family("learning_rate", "Rate."), 0.0, flag_values=flag_values
    )
    flags.DEFINE_float("poly_power", 1.0, "Exponent of the decay.", flag_values=flag_values)
    integer("num_train_steps", by_family("num_train_steps", "Steps, also length of the decay."))
    integer("num_warmup_steps", by_family("num_warmup_steps", "Warm-up steps."), None, 0)
    integer("start_warmup_step", "Step at which the warm-up starts.", 0, 0)
    integer("max_eval_steps", "Batches to evaluate.", 100)
    flags.DEFINE_float(
        "masked_lm_budget", 0, "Only 0 is supported: records are masked.", flag_values=flag_values
    )

    # How it is computed
    flags.DEFINE_enum(
        "precision",
        "float32",
        list(products.DTYPES),
        "Type of matrix products in training; everything else is computed in float32.",
        flag_values=flag_values,
    )
    boolean("xla", "Compile training with XLA; for GPUs.")
    boolean(
        "recompute_layers",
        "Compute each layer once more in the backward pass instead of keeping its activations.",
    )

    define_distribution_flags(flag_values)

    # Saving and logging
    integer("save_checkpoints_steps", by_family("save_checkpoints_steps", "Steps between saves."))
    integer("keep_checkpoint_max", by_family("keep_checkpoint_max", "Kept; 0: all."), None, 0)
    integer("log_every_steps", "Steps between lines on the console.", 100)
    string("export_dir", "Accepted for old commands; nothing is exported.")

    define_watch_flags(flag_values)
    define_safety_flags(flag_values)
    define_tpu_flags(flag_values)


def resolve_flags(values, config):
    """`{flag: value}` with the family's defaults filled in, checked.

    Raises:
        InputError: a flag is missing, or does not fit the others.
    """
    options = values.flag_values_dict()
    defaults = BRIGHTMART_DEFAULTS if config.family == BRIGHTMART else GOOGLE_DEFAULTS
    if options["do_train"] is None and options["do_eval"]:
        options["do_train"] = False
    for name, value in defaults.items():
        if options[name] is None:
            options[name] = value
    for name in ("input_file", "output_dir"):
        if not options[name]:
            raise InputError("--%s is required." % name)
    if not (options["do_train"] or options["do_eval"]):
        raise InputError("nothing to do: pass --do_train, --do_eval or both.")
    if options["masked_lm_budget"]:
        raise InputError(
            "--masked_lm_budget is %s; only 0 is supported, mask when creating the records."
            % options["masked_lm_budget"]
        )
    check_sequence_length(options, config)
    _check_computation(options)
    return options


def _check_computation(options):
    """Raises InputError where flags on how to compute do not fit each other."""
    resolve_distribution_flags(options)
    parts = options["accumulation_steps"]
    if options["train_batch_size"] % parts:
        raise InputError(
            "--train_batch_size is %d and --accumulation_steps %d: the batch must be a multiple."
            % (options["train_batch_size"], parts)
        )
    check_finite(options, may_be_infinite=["skip_gradient_norm"])
    if not abs(options["seed"]) < _MAX_SEED:
        raise InputError("--seed is %d; expected less than %d." % (options["seed"], _MAX_SEED))
    gradients.check_frozen(options["freeze"])
    if options["precision"] == "float16" and not options["max_skipped_steps"]:
        raise InputError(
            "--precision=float16 skips steps in which gradients overflow; --max_skipped_steps is "
            "0 and must be more."
        )
    if not options["use_tpu"]:
        return
    unsupported = ["--" + name for name in ("freeze", "xla", "recompute_layers") if options[name]]
    unsupported += ["--accumulation_steps"] * (parts > 1)
    unsupported += ["--precision=float16"] * (options["precision"] == "float16")
    unsupported += ["--skip_gradient_norm"] * math.isfinite(options["skip_gradient_norm"])
    if unsupported:
        raise InputError("%s: not supported on TPU." % ", ".join(unsupported))
