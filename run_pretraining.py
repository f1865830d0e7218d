"""Pre-trains ALBERT (masked language model, sentence order) on create_pretraining_data's records.

A small model on one machine:

    python run_pretraining.py --input_file=data/tf_*.tfrecord --output_dir=my_model \\
        --bert_config_file=albert_config/albert_config_tiny.json --do_train --do_eval \\
        --max_seq_length=512 --max_predictions_per_seq=51 --train_batch_size=32 \\
        --learning_rate=1e-4 --num_train_steps=100000 --num_warmup_steps=10000

The published brightmart models: --train_batch_size=4096 --num_train_steps=125000
--num_warmup_steps=12500 --learning_rate=0.00176 --save_checkpoints_steps=2000 --use_tpu.

Several machines or processes: scripts/run_pretraining_multi_worker.sh.

A run that was interrupted continues from its last checkpoint when started again.  SIGTERM and
Ctrl-C write a checkpoint first and end with status 143 and 130.
"""

import math
import os
import sys

from absl import flags, logging

import modeling
import optimization
from albert.basics import cli, storage, tf_compat
from albert.basics.storage import InputError
from albert.basics.tf_compat import tf
from albert.layers import products
from albert.model_files import checkpoints, costs
from albert.model_files.configuration import BRIGHTMART
from albert.pretraining import record_files
from albert.pretraining.index import RecordIndex, copy_index
from albert.pretraining.model_fn import model_fn_builder
from albert.pretraining_data import descriptions
from albert.training import distribution, estimator, gradients, run_settings, safety, worker_cluster
from albert.training import watch as training_watch
from albert.training.model_fn import (
    check_finite,
    check_sequence_length,
    create_estimator,
    define_tpu_flags,
)

_MAX_SEED = 2**62  # leaves room for what TensorFlow and the workers add

# The reference has one script for each family, with these defaults (spec/model.md 4.1).
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

    distribution.define_flags(flag_values)

    # Saving and logging
    integer("save_checkpoints_steps", by_family("save_checkpoints_steps", "Steps between saves."))
    integer("keep_checkpoint_max", by_family("keep_checkpoint_max", "Kept; 0: all."), None, 0)
    integer("log_every_steps", "Steps between lines on the console.", 100)
    string("export_dir", "Accepted for old commands; nothing is exported.")

    training_watch.define_flags(flag_values)
    safety.define_flags(flag_values)
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
    distribution.resolve_flags(options)
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


def train(config, options, model, watch, devices):
    """Trains up to `num_train_steps`, from the latest checkpoint of `output_dir` if it has one."""
    with devices.watched():
        # What is wrong in one worker, with the chief's folder above all, ends all of them.
        with devices.failing_together():
            records = _prepare(config, options, model, watch)
        print(
            "Training on %d records in %d files, %s, up to step %d."
            % (
                sum(file.count for file in records),
                len(records),
                devices.describe(options["train_batch_size"], options["accumulation_steps"]),
                options["num_train_steps"],
            )
        )
        (watch.state.examples,) = devices.chief_values([watch.state.examples])
        input_fn = record_files.input_fn_builder(
            records,
            options["max_seq_length"],
            options["max_predictions_per_seq"],
            is_training=True,
            random_seed=options["seed"],
            shuffle_buffer=options["shuffle_buffer"],
            first_example=watch.state.examples,
            shard=(devices.num_workers, devices.worker),
        )
        with safety.StopOnSignal() as stop:
            model.train(input_fn, max_steps=options["num_train_steps"], hooks=[stop])
    stop.exit_if_stopped(estimator.latest_step(options["output_dir"]))


def _prepare(config, options, model, watch):
    """Checks files and settings, and makes the watch resume; returns the records to train on."""
    files = _checked_files(config, options, "input_file")
    evaluation = ()
    if options["eval_file"] and options["eval_during_training"] and not options["use_tpu"]:
        evaluation = _evaluation(config, options, model)
    settings = {
        name: options[name]
        for name in (
            "max_seq_length",
            "max_predictions_per_seq",
            "train_batch_size",
            "optimizer",
            "learning_rate",
            "poly_power",
            "num_train_steps",
            "num_warmup_steps",
            "start_warmup_step",
            "shuffle_buffer",
            "seed",
        )
    }
    settings.update((name, options[name]) for name in ("freeze",) if options[name])
    settings["config"] = config.to_dict()
    settings["input_files"] = files
    run_settings.check_run_settings(
        options["output_dir"], settings, options["allow_changed_settings"]
    )
    first_step = estimator.latest_step(options["output_dir"])
    if first_step:
        print("Resuming from step %d of %s." % (first_step, options["output_dir"]))
    records = _index(config, options, files)
    watch.resume(first_step, *evaluation)
    return records


def _evaluation(config, options, model):
    """How checkpoints are evaluated.

    Returns:
        Function of a checkpoint's prefix (None: the latest) that returns its metrics, and what
        tells evaluations on different data apart.
    """
    flag = "eval_file" if options["eval_file"] else "input_file"
    files = _checked_files(config, options, flag)
    if flag == "eval_file" or options["max_corrupt_records"]:
        files = _index(config, options, files)
    else:  # a few batches of what may be very many records
        files = [record_files.record_file(path) for path in files]
    input_fn = record_files.input_fn_builder(
        files,
        options["max_seq_length"],
        options["max_predictions_per_seq"],
        is_training=False,
        one_pass=options["eval_one_pass"],
    )
    steps = None if options["eval_one_pass"] else options["max_eval_steps"]

    def evaluate_checkpoint(checkpoint):
        try:
            return model.evaluate(input_fn, steps, checkpoint)
        except tf.errors.DataLossError as error:
            raise InputError(
                "--%s: a record is damaged; with --max_corrupt_records=1 or more such records are "
                "named and left out." % flag
            ) from error

    records = [[os.path.basename(file.path), file.count] for file in files]
    evaluated_on = {"records": records, "steps": steps, "batch": options["eval_batch_size"]}
    return evaluate_checkpoint, evaluated_on


def evaluate(config, options, model):
    """Evaluates the latest checkpoint, writes `eval_results.txt`, returns the metrics."""
    run_settings.check_run_settings(
        options["output_dir"],
        {"config": config.to_dict()},
        options["allow_changed_settings"],
        only_these=True,
    )
    evaluate_checkpoint, _ = _evaluation(config, options, model)
    result = evaluate_checkpoint(None)
    lines = ["%s = %s\n" % (key, result[key]) for key in sorted(result)]
    print("***** Eval results *****\n" + "".join(lines), end="")
    path = "%s/eval_results.txt" % options["output_dir"].rstrip("/")
    with storage.atomic_write(path) as handle:
        handle.writelines(lines)
    return result


def _checked_files(config, options, flag):
    files = storage.match_files(options[flag], flag)
    described = descriptions.check_descriptions(
        files, config, options["max_seq_length"], options["max_predictions_per_seq"]
    )
    print("--%s: %s" % (flag, descriptions.format_descriptions(files, described)))
    if not options["max_corrupt_records"]:
        record_files.check_records(
            files, options["max_seq_length"], options["max_predictions_per_seq"], config.vocab_size
        )
    return files


def _index(config, options, files):
    index = RecordIndex(
        options["output_dir"],
        options["max_seq_length"],
        options["max_predictions_per_seq"],
        config.vocab_size,
        options["max_corrupt_records"],
    )
    return index.read(files)


def main(_):
    values = flags.FLAGS
    tf_compat.use_graph_mode()
    if not values.bert_config_file:
        raise InputError("--bert_config_file is required.")
    config = modeling.load_config(values.bert_config_file)
    options = resolve_flags(values, config)
    products.warn_if_slow(options["precision"])
    try:
        with distribution.create(options) as devices:
            _run(config, options, devices)
    except worker_cluster.WorkerLost as error:
        logging.error("another worker is lost: %s Start all workers again.", error)
        sys.exit(worker_cluster.RESTART_STATUS)


def _run(config, options, devices):
    chiefs_folder = options["output_dir"]
    options["output_dir"] = devices.own_folder(chiefs_folder)
    storage.prepare_output_dir(options["output_dir"])
    if not devices.is_chief:  # saves reading all records once more where it can see that folder
        copy_index(chiefs_folder, options["output_dir"])
    if options["init_checkpoint"]:
        options["init_checkpoint"] = checkpoints.resolve_checkpoint(options["init_checkpoint"])
    logging.info("Model config:\n%s", config.to_json_string())
    flops = costs.training_flops(
        config, options["max_seq_length"], options["max_predictions_per_seq"]
    )
    watch = training_watch.TrainingWatch(options, flops)
    model = create_estimator(
        model_fn_builder(config, options, watch, devices),
        options,
        on_save=watch.saved,
        before_save=watch.before_save,
        distribution=devices,
    )
    if options["do_train"]:
        train(config, options, model, watch, devices)
    if options["do_eval"] and devices.is_chief:
        evaluate(config, options, model)


if __name__ == "__main__":
    cli.run(main, define_flags)
