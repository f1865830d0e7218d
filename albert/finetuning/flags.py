"""The flags of run_classifier.py (the reference's names and defaults, and more)."""

import os

from absl import logging

from albert.basics import flag_table, storage
from albert.basics.errors import InputError
from albert.basics.flag_table import boolean, choice, integer, number, string
from albert.finetuning import batches
from albert.finetuning.tasks import registry
from albert.heads.classification import HEAD_DROPOUT
from albert.model_files.classifier_head import POOLINGS
from albert.training.flags import TPU_FLAGS, check_sequence_length

OPTIMIZERS = ("adamw", "lamb")

# Flags that decide which examples a task has, and with which labels.
_OF_THE_TASK = (
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
    *_OF_THE_TASK,
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

_PATHS = (
    string("data_dir", "Folder of the task's files."),
    string(
        "bert_config_file",
        "Model config, JSON; it decides the family.",
        aliases=["albert_config_file"],
    ),
    string("task_name", "One of %s." % ", ".join(sorted(registry.TASKS))),
    string("vocab_file", "WordPiece vocabulary of the checkpoint."),
    string("output_dir", "Folder for checkpoints and results."),
)
_ACTIONS = (
    boolean("do_train", "Train."),
    boolean("do_eval", "Evaluate every checkpoint of --output_dir on the dev file."),
    boolean("do_eval_test", "Evaluate the best checkpoint on the test file, if it has labels."),
    boolean("do_predict", "Predict the test file, with the best checkpoint."),
    string("init_checkpoint", "Weights to start from: prefix, folder, or a file of a checkpoint."),
    boolean("strict_init", "Fail when --init_checkpoint lacks a variable of the encoder."),
    boolean("allow_changed_settings", "Continue or use an --output_dir made with other settings."),
    boolean(
        "allow_vocab_mismatch",
        "Accept a vocabulary with more entries than the config says; what is above is left out.",
    ),
)
_TEXT = (
    string("spm_model_file", "SentencePiece model, instead of --vocab_file."),
    boolean("do_lower_case", "Lower-case the text.", True),
    integer("max_seq_length", "Tokens per example at most, [CLS] and [SEP] included.", 128, 5),
)
TASK_FLAGS = (
    string("task_module", "Python file with a subclass of DataProcessor, your own task."),
    boolean(
        "normalize_text",
        "Normalize the text of every task as for SentencePiece (NFKD, accents, case); by default "
        "only where the reference does.",
    ),
    boolean("list_tasks", "Print the tasks with their files, columns, labels and metric, and end."),
    string(
        "train_file",
        "Training file in place of the task's; custom: .tsv, .txt, .csv, .json or .jsonl.",
    ),
    string("dev_file", "The same for the file to evaluate."),
    string("test_file", "The same for the file to predict; of custom it needs no labels."),
    string("text_a", "custom: column number from 0, or name of a column or field."),
    string("text_b", "custom: the same for the second text of a pair; none for single texts."),
    string("label", "custom: the same for the label; by default the last column (-1)."),
    string("labels", "custom: all labels, separated by commas; by default those of --train_file."),
    boolean("regression", "custom: labels are numbers to predict, no classes."),
    choice(
        "header",
        ["auto", "yes", "no"],
        "custom: whether the first line of a file names the columns.",
        "auto",
    ),
)
_MODEL = (
    choice(
        "pooling",
        POOLINGS,
        "Vector to classify: first token, mean of all positions, mean of real tokens.",
        "cls",
    ),
    number("head_dropout", "Dropout on that vector.", HEAD_DROPOUT, maximum=0.99),
)
_BATCHES = (
    integer("train_batch_size", "Batch size for training.", 32),
    integer("eval_batch_size", "Batch size for evaluation.", 8),
    integer("predict_batch_size", "Batch size for prediction.", 8),
    boolean(
        "pad_to_max_length",
        "Pad every batch to --max_seq_length instead of its longest example; always on TPU and "
        "with --pooling=mean.",
    ),
    integer(
        "length_window",
        "Batches among which similar lengths are put together in training; 1: none.",
        batches.LENGTH_WINDOW,
    ),
    integer("shuffle_buffer", "Examples to shuffle among; 0: all (the reference: 100).", 0, 0),
    integer("seed", "Seed of the head's weights, dropout and order.", 12345, None),
    integer("seeds", "Train so often, with seeds counted from --seed, in sub-folders.", 1),
)
_OPTIMIZATION = (
    choice("optimizer", OPTIMIZERS, "Optimizer.", "adamw"),
    number("learning_rate", "Peak learning rate.", 5e-5),
    number("num_train_epochs", "Passes over the training file.", 3.0),
    integer(
        "num_train_steps",
        "Training steps; default: by --num_train_epochs.",
        aliases=["train_step"],
    ),
    number("warmup_proportion", "Share of the steps that warm up.", 0.1, maximum=1.0),
    integer(
        "num_warmup_steps",
        "Steps that warm up; default: by --warmup_proportion.",
        None,
        0,
        aliases=["warmup_step"],
    ),
    number(
        "layerwise_decay",
        "Factor of the learning rate from each level to the next below: head, pooler, shared "
        "block, projection of the embeddings, embeddings.",
        1.0,
        maximum=1.0,
    ),
    integer(
        "gradient_accumulation_steps",
        "Compute a batch in so many parts, one after the other; needs less memory, results stay.",
        1,
        aliases=["accumulation_steps"],
    ),
    number(
        "adversarial_epsilon",
        "Adversarial training: size of the move of the word embeddings (FGM; 1 is usual). 0: off.",
        0.0,
    ),
    choice(
        "class_weights",
        ["none", "balanced"],
        "balanced: in the training loss every class counts the same.",
        "none",
    ),
    boolean("reference_clip_norm", "Clip by the reference's norm of un-summed embedding rows."),
)
_SELECTION = (
    boolean(
        "eval_during_training",
        "Evaluate the dev file, if there is one, at each save and keep the best checkpoint in "
        "best/ (not on TPU).",
        True,
    ),
    string("best_metric", "Score that chooses the best checkpoint; default: the task's."),
    integer("early_stopping", "Stop after so many evaluations without a new best; 0: never.", 0, 0),
    choice(
        "select_checkpoint",
        ["best", "latest"],
        "Checkpoint to report and to predict with (the reference: latest).",
        "best",
    ),
    integer(
        "save_checkpoints_steps",
        "Steps between checkpoints. Default: 1000; where each is evaluated, a fifth of the steps "
        "of the run if that is less.",
    ),
    integer("keep_checkpoint_max", "Checkpoints to keep, besides best/; 0: all.", 5, 0),
    integer(
        "log_every_steps",
        "Steps between lines on the console. Default: 50, or a twentieth of the steps of the run "
        "if that is less.",
    ),
)
# Of the reference's other scripts for classifiers.
_OF_OLD_COMMANDS = (
    boolean("use_pooled_output", "Old name: --nouse_pooled_output is --pooling=mean.", True),
    string("export_dir", "In the end write the classifier to this folder, as a SavedModel."),
    string("cached_dir", "Old and not needed: no records of examples are kept."),
    string("albert_hub_module_handle", "Old; modules of TensorFlow Hub are not read."),
    string("threshold_to_export", "Old; exported classifiers have no such output."),
)
FLAGS = (
    *_PATHS,
    *_ACTIONS,
    *_TEXT,
    *TASK_FLAGS,
    *_MODEL,
    *_BATCHES,
    *_OPTIMIZATION,
    *_SELECTION,
    *_OF_OLD_COMMANDS,
    *TPU_FLAGS,
)


_ACTIONS_ASKED_FOR = ("do_train", "do_eval", "do_eval_test", "do_predict")


class FinetuningSettings(flag_table.settings_base(FLAGS)):
    """What run_classifier.py is to do: a field for each flag."""

    __slots__ = ()


def define_flags(flag_values):
    """Defines the script's flags on `flag_values`."""
    flag_table.define(flag_values, FLAGS)


def own_settings(flag_values):
    """`FinetuningSettings` of the flags of `define_flags`, those of old commands understood."""
    return _resolve_old_flags(flag_table.collect(flag_values, FinetuningSettings))


def _resolve_old_flags(settings):
    """The settings with what flags of the reference's other scripts mean here.

    Raises:
        InputError: one of them asks for what is done by other flags.
    """
    if settings.albert_hub_module_handle:
        raise InputError(
            "--albert_hub_module_handle: modules of TensorFlow Hub are not read; pass the config, "
            "the vocabulary and the checkpoint of that model's archive as --albert_config_file, "
            "--vocab_file (or --spm_model_file) and --init_checkpoint."
        )
    if settings.threshold_to_export:
        raise InputError(
            "--threshold_to_export: an exported classifier has no such output; compare its "
            "probabilities with the threshold where you use them."
        )
    if settings.cached_dir:
        logging.info("--cached_dir is not needed: no records of examples are kept.")
    if settings.export_dir:
        if not settings.output_dir:
            raise InputError("--output_dir is required.")
        if storage.is_remote(settings.export_dir):
            raise InputError(
                "--export_dir: '%s' is no folder of this machine." % settings.export_dir
            )
        if settings.seeds > 1:
            raise InputError(
                "--export_dir does not work with --seeds; export the folder of the best one by "
                "scripts/export_saved_model.py."
            )
    if settings.use_pooled_output:
        return settings
    if settings.pooling == "masked_mean":
        raise InputError("--nouse_pooled_output is --pooling=mean, not masked_mean; choose one.")
    return settings._replace(pooling="mean")


def actions(settings):
    """Names of the flags that say what to do."""
    return [name for name in _ACTIONS_ASKED_FOR if getattr(settings, name)]


def given_flags(flag_values):
    """Set of the names of the flags that the user passed."""
    return flag_table.given(flag_values, FinetuningSettings)


def check_flags(settings, config, needs_data_dir=True):
    """Raises InputError when a flag is missing or does not fit the config or another one."""
    if needs_data_dir and not settings.data_dir and not _reads_given_files(settings):
        raise InputError("--data_dir is required.")
    if not settings.task_name:
        raise InputError("--task_name is required.")
    if not settings.output_dir:
        raise InputError("--output_dir is required.")
    if not (settings.vocab_file or settings.spm_model_file):
        raise InputError("--vocab_file is required.")
    if not actions(settings):
        raise InputError(
            "nothing to do: pass --do_train, --do_eval, --do_eval_test or --do_predict."
        )
    data_dir = settings.data_dir
    if data_dir and not os.path.isdir(data_dir) and not storage.is_remote(data_dir):
        raise InputError("--data_dir: no such directory: '%s'." % data_dir)
    check_sequence_length(settings, config)
    _check_optimization(settings)
    if settings.early_stopping and not settings.eval_during_training:
        raise InputError("--early_stopping needs --eval_during_training.")


def _reads_given_files(settings):
    """Whether all files that the actions read are named by flags of their own."""
    needed = (
        (settings.do_train, settings.train_file),
        (settings.do_eval, settings.dev_file),
        (settings.do_predict or settings.do_eval_test, settings.test_file),
    )
    return all(path for is_needed, path in needed if is_needed)


def _check_optimization(settings):
    parts = settings.gradient_accumulation_steps
    if settings.train_batch_size % parts:
        raise InputError(
            "--train_batch_size %d is not a multiple of --gradient_accumulation_steps %d."
            % (settings.train_batch_size, parts)
        )
    for name, is_used in (
        ("gradient_accumulation_steps", parts != 1),
        ("adversarial_epsilon", settings.adversarial_epsilon != 0),
    ):
        for other, is_other_used in (
            ("use_tpu", settings.use_tpu),
            ("reference_clip_norm", settings.reference_clip_norm),
        ):
            if is_used and is_other_used:
                raise InputError("--%s does not work with --%s." % (name, other))
    if settings.use_tpu and settings.early_stopping:
        raise InputError("--early_stopping does not work with --use_tpu.")
    if not settings.layerwise_decay:
        raise InputError("--layerwise_decay is 0; expected a number above 0, at most 1.")
