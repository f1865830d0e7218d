"""Flags that pre-training and fine-tuning share, and the checks of their values."""

from albert.basics.errors import InputError
from albert.basics.flag_table import boolean, choice, integer, number, string
from albert.training.distribution import KINDS

_LINES = 20  # on the console, of a short run

DISTRIBUTION_FLAGS = (
    choice(
        "distribution",
        KINDS,
        "none: one device. mirrored: all GPUs of the machine. multi_worker: several processes, "
        "named by TF_CONFIG. tpu: as --use_tpu. --train_batch_size is that of all together.",
        "none",
    ),
    integer(
        "num_replicas",
        "Devices of each process; 0: all GPUs for mirrored, else 1. Without GPUs: virtual devices "
        "of the CPU, to try things out.",
        0,
        0,
    ),
)

TPU_FLAGS = (
    boolean("use_tpu", "Train on TPU; looks words up by one-hot product."),
    string("tpu_name", "Name or address of the TPU."),
    string("tpu_zone", "Zone of the TPU."),
    string("gcp_project", "Project of the TPU."),
    string("master", "TensorFlow master URL."),
    integer("num_tpu_cores", "TPU cores.", 8),
    integer("iterations_per_loop", "Steps per call of the TPU.", 1000),
)

# Of `safety.SkipHook`.
SAFETY_FLAGS = (
    integer(
        "max_skipped_steps",
        "Steps in a row that may be skipped because of their gradient norm before training stops; "
        "0: stops at the first one.",
        10,
        0,
    ),
    number(
        "skip_gradient_norm",
        "Skip steps with a larger gradient norm (before clipping), not only NaN and infinite ones.",
        float("inf"),
        may_be_infinite=True,
    ),
)

# Of `watch.TrainingWatch`.
WATCH_FLAGS = (
    boolean(
        "eval_during_training",
        "With --eval_file: evaluate at every save, and keep the checkpoint with the best "
        "masked_lm_accuracy in OUTPUT_DIR/best. Not on TPU.",
        True,
    ),
    string("profile", "START,END: steps to profile for TensorBoard, counted from 1."),
    number(
        "peak_teraflops",
        "What all devices together can do at this precision, in TFLOP/s; adds the share that "
        "training uses to the metrics.",
    ),
)


def resolve_distribution(settings):
    """The settings with --distribution=tpu and --use_tpu made to agree.

    Raises:
        InputError: flags do not fit each other.
    """
    kind = settings.distribution
    if settings.use_tpu and kind == "none":
        kind = "tpu"
    if settings.use_tpu and kind != "tpu":
        raise InputError("--use_tpu and --distribution=%s: choose one." % kind)
    if settings.num_replicas and kind in ("none", "tpu"):
        raise InputError(
            "--num_replicas is for --distribution=mirrored and multi_worker, not %s." % kind
        )
    return settings._replace(distribution=kind, use_tpu=kind == "tpu")


def check_sequence_length(settings, config):
    """Raises InputError when `--max_seq_length` exceeds the model's position table."""
    if settings.max_seq_length > config.max_position_embeddings:
        raise InputError(
            "--max_seq_length is %d, but %s has max_position_embeddings %d."
            % (
                settings.max_seq_length,
                settings.bert_config_file,
                config.max_position_embeddings,
            )
        )


def log_interval(num_steps, most):
    """Steps between lines on the console, of which a short run has some, too."""
    return min(most, max(1, num_steps // _LINES))
