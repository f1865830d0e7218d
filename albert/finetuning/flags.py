"""The flags of run_classifier.py (the reference's names and defaults, and more)."""

import os

from absl import flags

from albert.basics import cli, storage
from albert.basics.errors import InputError
from albert.finetuning import batches
from albert.finetuning.tasks import registry
from albert.heads import classification
from albert.training.flags import check_finite, check_sequence_length, define_tpu_flags

ACTIONS = ("do_train", "do_eval", "do_eval_test", "do_predict")
OPTIMIZERS = ("adamw", "lamb")

# Flags that decide which examples a task has, and with which labels.
TASK_FLAGS = (
    "normalize_text",
    "text_a",
    "text_b",
    "label",
    "labels",
    "regression",
    "header",
)
# What decides a run's results besides model, vocabulary and data.
RESULT_FLAGS = (
    "task_name",
    *TASK_FLAGS,
    "do_lower_case",
    "max_seq_length",
    "pooling",
    "head_dropout",
    "train_batch_size",
    "learning_rate",
    "num_train_epochs",
    "num_train_steps",
    "warmup_proportion",
    "num_warmup_steps",
    "optimizer",
    "layerwise_decay",
    "gradient_accumulation_steps",
    "adversarial_epsilon",
    "class_weights",
    "reference_clip_norm",
    "shuffle_buffer",
    "length_window",
    "seed",
    "init_checkpoint",
)


_ALIASES = {
    "albert_config_file": "bert_config_file",
    "train_step": "num_train_steps",
    "warmup_step": "num_warmup_steps",
}


def define_flags(flag_values):
    """Defines the script's flags on `flag_values`."""
    _define_paths_and_actions(flag_values)
    define_task_flags(flag_values)
    _define_model(flag_values)
    _define_optimization(flag_values)
    _define_selection(flag_values)
    define_tpu_flags(flag_values)
    for alias, name in _ALIASES.items():
        flags.DEFINE_alias(alias, name, flag_values=flag_values)


def own_options(flag_values):
    """`{flag: value}` of the flags of `define_flags`, without aliases and without absl's own."""
    own = flags.FlagValues()
    define_flags(own)
    return {name: flag_values[name].value for name in own if name not in _ALIASES}


def _define_paths_and_actions(flag_values):
    string, integer, boolean = cli.flag_definers(flag_values)

    # Required
    string("data_dir", "Folder of the task's files.")
    string("bert_config_file", "Model config, JSON; it decides the family.")
    string("task_name", "One of %s." % ", ".join(sorted(registry.TASKS)))
    string("vocab_file", "WordPiece vocabulary of the checkpoint.")
    string("output_dir", "Folder for checkpoints and results.")

    # What to do
    boolean("do_train", "Train.")
    boolean("do_eval", "Evaluate every checkpoint of --output_dir on the dev file.")
    boolean("do_eval_test", "Evaluate the best checkpoint on the test file, if it has labels.")
    boolean("do_predict", "Predict the test file, with the best checkpoint.")
    string("init_checkpoint", "Weights to start from: prefix, folder, or a file of a checkpoint.")
    boolean("strict_init", "Fail when --init_checkpoint lacks a variable of the encoder.")
    boolean("allow_changed_settings", "Continue or use an --output_dir made with other settings.")
    boolean("allow_vocab_mismatch", "Accept a vocabulary of another size than the config's.")

    # Text
    string("spm_model_file", "SentencePiece model, instead of --vocab_file.")
    boolean("do_lower_case", "Lower-case the text.", True)
    integer("max_seq_length", "Tokens per example at most, [CLS] and [SEP] included.", 128, 5)


def _define_model(flag_values):
    _, integer, boolean = cli.flag_definers(flag_values)
    flags.DEFINE_enum(
        "pooling",
        "cls",
        classification.POOLINGS,
        "Vector to classify: first token, mean of all positions, mean of real tokens.",
        flag_values=flag_values,
    )
    _define_number(
        flag_values,
        "head_dropout",
        classification.HEAD_DROPOUT,
        "Dropout on that vector.",
        0.99,
    )
    integer("train_batch_size", "Batch size for training.", 32)
    integer("eval_batch_size", "Batch size for evaluation.", 8)
    integer("predict_batch_size", "Batch size for prediction.", 8)
    boolean(
        "pad_to_max_length",
        "Pad every batch to --max_seq_length instead of its longest example; always on TPU and "
        "with --pooling=mean.",
    )
    integer(
        "length_window",
        "Batches among which similar lengths are put together in training; 1: none.",
        batches.LENGTH_WINDOW,
    )
    integer("shuffle_buffer", "Examples to shuffle among; 0: all (the reference: 100).", 0, 0)
    integer("seed", "Seed of the head's weights, dropout and order.", 12345, None)
    integer("seeds", "Train so often, with seeds counted from --seed, in sub-folders.", 1)


def _define_optimization(flag_values):
    _, integer, boolean = cli.flag_definers(flag_values)
    flags.DEFINE_enum("optimizer", "adamw", OPTIMIZERS, "Optimizer.", flag_values=flag_values)
    _define_number(flag_values, "learning_rate", 5e-5, "Peak learning rate.")
    _define_number(flag_values, "num_train_epochs", 3.0, "Passes over the training file.")
    integer("num_train_steps", "Training steps; default: by --num_train_epochs.")
    _define_number(flag_values, "warmup_proportion", 0.1, "Share of the steps that warm up.", 1.0)
    integer("num_warmup_steps", "Steps that warm up; default: by --warmup_proportion.", None, 0)
    _define_number(
        flag_values,
        "layerwise_decay",
        1.0,
        "Factor of the learning rate from each level to the next below: head, pooler, shared "
        "block, projection of the embeddings, embeddings.",
        1.0,
    )
    integer(
        "gradient_accumulation_steps",
        "Compute a batch in so many parts, one after the other; needs less memory, results stay.",
        1,
    )
    _define_number(
        flag_values,
        "adversarial_epsilon",
        0.0,
        "Adversarial training: size of the move of the word embeddings (FGM; 1 is usual). 0: off.",
    )
    flags.DEFINE_enum(
        "class_weights",
        "none",
        ["none", "balanced"],
        "balanced: in the training loss every class counts the same.",
        flag_values=flag_values,
    )
    boolean("reference_clip_norm", "Clip by the reference's norm of un-summed embedding rows.")


def _define_selection(flag_values):
    string, integer, boolean = cli.flag_definers(flag_values)
    boolean(
        "eval_during_training",
        "Evaluate the dev file, if there is one, at each save and keep the best checkpoint in "
        "best/ (not on TPU).",
        True,
    )
    string("best_metric", "Score that chooses the best checkpoint; default: the task's.")
    integer("early_stopping", "Stop after so many evaluations without a new best; 0: never.", 0, 0)
    flags.DEFINE_enum(
        "select_checkpoint",
        "best",
        ["best", "latest"],
        "Checkpoint to report and to predict with (the reference: latest).",
        flag_values=flag_values,
    )
    integer("save_checkpoints_steps", "Steps between checkpoints.", 1000)
    integer("keep_checkpoint_max", "Checkpoints to keep, besides best/; 0: all.", 5, 0)
    integer("log_every_steps", "Steps between lines on the console.", 50)


def _define_number(flag_values, name, default, meaning, maximum=None):
    flags.DEFINE_float(name, default, meaning, 0.0, maximum, flag_values=flag_values)


def check_flags(options, config, needs_data_dir=True):
    """Raises InputError when a flag is missing or does not fit the config or another one."""
    required = ("data_dir", "task_name", "output_dir")
    for name in required if needs_data_dir else required[1:]:
        if not options[name]:
            raise InputError("--%s is required." % name)
    if not (options["vocab_file"] or options["spm_model_file"]):
        raise InputError("--vocab_file is required.")
    if not any(options[name] for name in ACTIONS):
        shown = ["--" + name for name in ACTIONS]
        raise InputError("nothing to do: pass %s or %s." % (", ".join(shown[:-1]), shown[-1]))
    data_dir = options["data_dir"]
    if data_dir and not os.path.isdir(data_dir) and not storage.is_remote(data_dir):
        raise InputError("--data_dir: no such directory: '%s'." % data_dir)
    check_sequence_length(options, config)
    check_finite(options)
    _check_optimization(options)
    if options["early_stopping"] and not options["eval_during_training"]:
        raise InputError("--early_stopping needs --eval_during_training.")


def _check_optimization(options):
    parts = options["gradient_accumulation_steps"]
    if options["train_batch_size"] % parts:
        raise InputError(
            "--train_batch_size %d is not a multiple of --gradient_accumulation_steps %d."
            % (options["train_batch_size"], parts)
        )
    for name, neutral in (("gradient_accumulation_steps", 1), ("adversarial_epsilon", 0)):
        for other in ("use_tpu", "reference_clip_norm"):
            if options[other] and options[name] != neutral:
                raise InputError("--%s does not work with --%s." % (name, other))
    if options["use_tpu"] and options["early_stopping"]:
        raise InputError("--early_stopping does not work with --use_tpu.")
    if not options["layerwise_decay"]:
        raise InputError("--layerwise_decay is 0; expected a number above 0, at most 1.")


def define_task_flags(flag_values):
    """Defines the flags that `get_processor` reads besides --task_name."""
    string, _, boolean = cli.flag_definers(flag_values)
    string("task_module", "Python file with a subclass of DataProcessor, your own task.")
    boolean(
        "normalize_text",
        "Normalize the text of every task as for SentencePiece (NFKD, accents, case); by default "
        "only where the reference does.",
    )
    boolean("list_tasks", "Print the tasks with their files, columns, labels and metric, and end.")
    string("train_file", "custom: training file, .tsv, .txt, .csv, .json or .jsonl.")
    string("dev_file", "custom: file to evaluate.")
    string("test_file", "custom: file to predict; needs no labels.")
    string("text_a", "custom: column number from 0, or name of a column or field.")
    string("text_b", "custom: the same for the second text of a pair; none for single texts.")
    string("label", "custom: the same for the label; by default the last column (-1).")
    string("labels", "custom: all labels, separated by commas; by default those of --train_file.")
    boolean("regression", "custom: labels are numbers to predict, no classes.")
    flags.DEFINE_enum(
        "header",
        "auto",
        ["auto", "yes", "no"],
        "custom: whether the first line of a file names the columns.",
        flag_values=flag_values,
    )
