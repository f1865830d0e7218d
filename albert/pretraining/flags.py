"""The flags of run_pretraining.py, their defaults by family, and their checks."""

import math

import optimization
from albert.basics import flag_table
from albert.basics.errors import InputError
from albert.basics.flag_table import boolean, choice, integer, number, string
from albert.layers import products
from albert.model_files.configuration import BRIGHTMART
from albert.training import gradients
from albert.training.best_checkpoint import save_interval
from albert.training.flags import (
    DISTRIBUTION_FLAGS,
    SAFETY_FLAGS,
    TPU_FLAGS,
    WATCH_FLAGS,
    check_sequence_length,
    log_interval,
    resolve_distribution,
)

_SAVE = "save_checkpoints_steps"
_LOG_EVERY_STEPS = 100
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


def _by_family(name, meaning):
    return "%s Default: %s (brightmart configs), %s (google configs)." % (
        meaning,
        BRIGHTMART_DEFAULTS[name],
        GOOGLE_DEFAULTS[name],
    )


_REQUIRED = (
    string(
        "bert_config_file",
        "Model config, JSON; it decides the family.",
        aliases=["albert_config_file"],
    ),
    string("input_file", "TFRecord files: comma-separated paths or globs."),
    string("output_dir", "Folder for checkpoints and results."),
    string(
        "vocab_file",
        "Vocabulary of the records, to be copied to --output_dir; default: the one that their "
        "OUTPUT.json names.",
    ),
    string("spm_model_file", "The same for a SentencePiece model."),
)
_ACTIONS = (
    boolean("do_train", _by_family("do_train", "Train. With --do_eval alone: no."), None),
    boolean("do_eval", "Evaluate the latest checkpoint."),
    string("eval_file", "Records to evaluate on, as --input_file, which is the default."),
    boolean(
        "eval_one_pass",
        "Evaluate every record once instead of --max_eval_steps full batches.",
    ),
    string("init_checkpoint", "Weights to start from: prefix, folder, or a file of a checkpoint."),
    boolean("init_from_group0", "google models: groups missing there start from group 0."),
    boolean("strict_init", "Fail when --init_checkpoint lacks a variable of the model."),
    boolean("allow_changed_settings", "Continue an --output_dir made with other settings."),
)
_RECORDS = (
    integer("max_seq_length", _by_family("max_seq_length", "Length of the records.")),
    integer("max_predictions_per_seq", "Predictions per record.", 20),
    integer("shuffle_buffer", "Records to shuffle among (the reference: 100).", 10000),
    integer("max_corrupt_records", "Damaged records of all files to leave out.", 0, 0),
    integer("seed", "Seed of initial weights, dropout and record order.", 12345, None),
)
_OPTIMIZATION = (
    choice("optimizer", sorted(optimization.OPTIMIZERS), _by_family("optimizer", "Optimizer.")),
    integer("train_batch_size", _by_family("train_batch_size", "Batch size over all devices.")),
    integer(
        "gradient_accumulation_steps",
        "Compute each batch in so many equal parts, one after the other; saves memory.",
        1,
        aliases=["accumulation_steps"],
    ),
    integer("eval_batch_size", _by_family("eval_batch_size", "Batch size for evaluation.")),
    string(
        "freeze",
        "Regular expression: variables whose name has a match are not trained, for example "
        "'embeddings/'.",
    ),
    number("learning_rate", _by_family("learning_rate", "Rate.")),
    number("poly_power", "Exponent of the decay.", 1.0, None),
    integer("num_train_steps", _by_family("num_train_steps", "Steps, also length of the decay.")),
    integer("num_warmup_steps", _by_family("num_warmup_steps", "Warm-up steps."), None, 0),
    integer("start_warmup_step", "Step at which the warm-up starts.", 0, 0),
    integer("max_eval_steps", "Batches to evaluate.", 100),
    number("masked_lm_budget", "Only 0 is supported: records are masked.", 0.0, None),
)
_COMPUTATION = (
    choice(
        "precision",
        products.DTYPES,
        "Type of matrix products in training; everything else is computed in float32.",
        "float32",
    ),
    boolean("xla", "Compile training with XLA; for GPUs."),
    boolean(
        "recompute_layers",
        "Compute each layer once more in the backward pass instead of keeping its activations.",
    ),
)
_SAVING = (
    integer(
        _SAVE,
        _by_family(
            _SAVE,
            "Steps between saves; by default, with --eval_file, a fifth of --num_train_steps if "
            "that is less.",
        ),
    ),
    integer("keep_checkpoint_max", _by_family("keep_checkpoint_max", "Kept; 0: all."), None, 0),
    integer(
        "log_every_steps",
        "Steps between lines on the console. Default: %d, or a twentieth of the steps of the run "
        "if that is less." % _LOG_EVERY_STEPS,
    ),
    string("export_dir", "Accepted for old commands; nothing is exported."),
)
FLAGS = (
    *_REQUIRED,
    *_ACTIONS,
    *_RECORDS,
    *_OPTIMIZATION,
    *_COMPUTATION,
    *DISTRIBUTION_FLAGS,
    *_SAVING,
    *WATCH_FLAGS,
    *SAFETY_FLAGS,
    *TPU_FLAGS,
)


class PretrainingSettings(flag_table.settings_base(FLAGS)):
    """What run_pretraining.py is to do: a field for each flag, the family's defaults filled in."""

    __slots__ = ()


def define_flags(flag_values):
    """Defines the script's flags on `flag_values`."""
    flag_table.define(flag_values, FLAGS)


def resolve_flags(values, config):
    """`PretrainingSettings` with the family's defaults filled in, checked.

    Raises:
        InputError: a flag is missing, or does not fit the others.
    """
    settings = flag_table.collect(values, PretrainingSettings)
    defaults = BRIGHTMART_DEFAULTS if config.family == BRIGHTMART else GOOGLE_DEFAULTS
    if settings.do_train is None and settings.do_eval:
        settings = settings._replace(do_train=False)
    given = settings._asdict()
    missing = {name: default for name, default in defaults.items() if given[name] is None}
    settings = settings._replace(**missing)
    if settings.eval_file and settings.eval_during_training and given[_SAVE] is None:
        most = settings.save_checkpoints_steps
        settings = settings._replace(**{_SAVE: save_interval(settings.num_train_steps, most)})
    if settings.log_every_steps is None:
        interval = log_interval(settings.num_train_steps, _LOG_EVERY_STEPS)
        settings = settings._replace(log_every_steps=interval)
    for name in ("input_file", "output_dir"):
        if not given[name]:
            raise InputError("--%s is required." % name)
    if not (settings.do_train or settings.do_eval):
        raise InputError("nothing to do: pass --do_train, --do_eval or both.")
    if settings.masked_lm_budget:
        raise InputError(
            "--masked_lm_budget is %s; only 0 is supported, mask when creating the records."
            % settings.masked_lm_budget
        )
    check_sequence_length(settings, config)
    settings = resolve_distribution(settings)
    _check_computation(settings)
    return settings


def _check_computation(settings):
    """Raises InputError where flags on how to compute do not fit each other."""
    parts = settings.gradient_accumulation_steps
    if settings.train_batch_size % parts:
        raise InputError(
            "--train_batch_size is %d and --gradient_accumulation_steps %d: the batch must be a "
            "multiple." % (settings.train_batch_size, parts)
        )
    if not abs(settings.seed) < _MAX_SEED:
        raise InputError("--seed is %d; expected less than %d." % (settings.seed, _MAX_SEED))
    gradients.check_frozen(settings.freeze)
    if settings.precision == "float16" and not settings.max_skipped_steps:
        raise InputError(
            "--precision=float16 skips steps in which gradients overflow; --max_skipped_steps is "
            "0 and must be more."
        )
    if not settings.use_tpu:
        return
    asked_for = {
        "--freeze": settings.freeze,
        "--xla": settings.xla,
        "--recompute_layers": settings.recompute_layers,
        "--gradient_accumulation_steps": parts > 1,
        "--precision=float16": settings.precision == "float16",
        "--skip_gradient_norm": math.isfinite(settings.skip_gradient_norm),
    }
    unsupported = [flag for flag, is_asked in asked_for.items() if is_asked]
    if unsupported:
        raise InputError("%s: not supported on TPU." % ", ".join(unsupported))
