"""Pre-trains ALBERT (masked language model, sentence order) on create_pretraining_data's records.

A small model on one machine:

    python run_pretraining.py --input_file=data/tf_*.tfrecord --output_dir=my_model \\
        --bert_config_file=albert_config/albert_config_tiny.json --do_train --do_eval \\
        --max_seq_length=512 --max_predictions_per_seq=51 --train_batch_size=32 \\
        --learning_rate=1e-4 --num_train_steps=100000 --num_warmup_steps=10000

The published brightmart models: --train_batch_size=4096 --num_train_steps=125000
--num_warmup_steps=12500 --learning_rate=0.00176 --save_checkpoints_steps=2000 --use_tpu.

A run that was interrupted continues from its last checkpoint when started again.
"""

from absl import flags, logging

import checkpoint_utils
import cli
import estimator
import file_utils
import modeling
import optimization
import pretraining_descriptions
import pretraining_heads
import pretraining_input
import run_settings
import tf_compat
import training
from configuration import BRIGHTMART
from file_utils import InputError
from tf_compat import tf

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

# Names of the sentence metrics in each family's reference; results carry both.
_SOP_METRICS = ("next_sentence", "sentence_order")


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
    integer("eval_batch_size", by_family("eval_batch_size", "Batch size for evaluation."))
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

    # Saving and logging
    integer("save_checkpoints_steps", by_family("save_checkpoints_steps", "Steps between saves."))
    integer("keep_checkpoint_max", by_family("keep_checkpoint_max", "Kept; 0: all."), None, 0)
    integer("log_every_steps", "Steps between lines on the console.", 100)
    string("export_dir", "Accepted for old commands; nothing is exported.")

    training.define_tpu_flags(flag_values)


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
    training.check_sequence_length(options, config)
    return options


def model_fn_builder(config, options):
    """Makes the `model_fn` of pre-training for the estimator."""

    def model_fn(features, labels, mode, params):
        del labels
        is_training = mode == estimator.ModeKeys.TRAIN
        model = modeling.BertModel(
            config,
            is_training,
            features["input_ids"],
            features["input_mask"],
            features["segment_ids"],
            use_one_hot_embeddings=options["use_tpu"],
            positions=features["masked_lm_positions"],
        )
        mlm = pretraining_heads.masked_lm_output(
            config,
            model,
            features["masked_lm_ids"],
            features["masked_lm_weights"],
        )
        sop = pretraining_heads.sentence_order_output(
            config, model, features["next_sentence_labels"]
        )
        loss = mlm.loss + sop.loss
        if not is_training:
            return estimator.make_spec(
                mode,
                loss=loss,
                eval_metrics=(_metric_fn, _metric_tensors(features, mlm, sop)),
            )
        scaffold_fn = training.initial_weights(
            config, options, from_group0=options["init_from_group0"]
        )
        step = optimization.build_train_op(
            loss,
            options["learning_rate"],
            options["num_train_steps"],
            options["num_warmup_steps"],
            options["use_tpu"],
            options["optimizer"],
            options["poly_power"],
            options["start_warmup_step"],
        )
        return training.training_spec(
            loss,
            step.train_op,
            _batch_scores(features, mlm, sop, loss),
            options["num_train_steps"],
            params,
            options,
            scaffold_fn,
        )

    return model_fn


def _batch_scores(features, mlm, sop, loss):
    """Scalars of one training batch, in the order of the console line."""
    weights = tf.reshape(features["masked_lm_weights"], [-1])
    mlm_hits = tf.equal(
        tf.argmax(mlm.logits, -1, output_type=tf.int32), tf.reshape(features["masked_lm_ids"], [-1])
    )
    sop_hits = tf.equal(
        tf.argmax(sop.logits, -1, output_type=tf.int32),
        tf.reshape(features["next_sentence_labels"], [-1]),
    )
    return {
        "loss": loss,
        "masked_lm_loss": mlm.loss,
        "sentence_order_loss": sop.loss,
        "masked_lm_accuracy": tf.reduce_sum(tf.cast(mlm_hits, tf.float32) * weights)
        / tf.maximum(tf.reduce_sum(weights), 1.0),
        "sentence_order_accuracy": tf.reduce_mean(tf.cast(sop_hits, tf.float32)),
    }


def _metric_tensors(features, mlm, sop):
    """Per-prediction and per-example tensors; a flat list, as TPUs want it."""
    return [
        tf.argmax(mlm.logits, -1, output_type=tf.int32),
        mlm.example_loss,
        tf.reshape(features["masked_lm_ids"], [-1]),
        tf.reshape(features["masked_lm_weights"], [-1]),
        tf.argmax(sop.logits, -1, output_type=tf.int32),
        sop.example_loss,
        tf.reshape(features["next_sentence_labels"], [-1]),
    ]


def _metric_fn(mlm_predicted, mlm_loss, mlm_ids, mlm_weights, sop_predicted, sop_loss, sop_labels):
    metrics = {
        "masked_lm_accuracy": tf.metrics.accuracy(mlm_ids, mlm_predicted, weights=mlm_weights),
        "masked_lm_loss": tf.metrics.mean(mlm_loss, weights=mlm_weights),
    }
    accuracy = tf.metrics.accuracy(sop_labels, sop_predicted)
    loss = tf.metrics.mean(sop_loss)
    for name in _SOP_METRICS:
        metrics[name + "_accuracy"] = accuracy
        metrics[name + "_loss"] = loss
    return metrics


def train(config, options, model):
    """Trains up to `num_train_steps`, from the latest checkpoint of `output_dir` if it has one."""
    files = _checked_files(config, options, "input_file")
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
    settings["config"] = config.to_dict()
    settings["input_files"] = files
    run_settings.check_run_settings(
        options["output_dir"], settings, options["allow_changed_settings"]
    )
    first_step = estimator.latest_step(options["output_dir"])
    if first_step:
        print("Resuming from step %d of %s." % (first_step, options["output_dir"]))
    print(
        "Training on %d files, batch size %d, up to step %d."
        % (len(files), options["train_batch_size"], options["num_train_steps"])
    )
    input_fn = pretraining_input.input_fn_builder(
        files,
        options["max_seq_length"],
        options["max_predictions_per_seq"],
        is_training=True,
        random_seed=options["seed"],
        shuffle_buffer=options["shuffle_buffer"],
        first_step=first_step,
    )
    model.train(input_fn, max_steps=options["num_train_steps"])


def evaluate(config, options, model):
    """Evaluates the latest checkpoint, writes `eval_results.txt`, returns the metrics."""
    files = _checked_files(config, options, "eval_file" if options["eval_file"] else "input_file")
    input_fn = pretraining_input.input_fn_builder(
        files,
        options["max_seq_length"],
        options["max_predictions_per_seq"],
        is_training=False,
        one_pass=options["eval_one_pass"],
    )
    steps = None if options["eval_one_pass"] else options["max_eval_steps"]
    result = model.evaluate(input_fn, steps=steps)
    lines = ["%s = %s\n" % (key, result[key]) for key in sorted(result)]
    path = "%s/eval_results.txt" % options["output_dir"].rstrip("/")
    with file_utils.atomic_write(path) as handle:
        handle.writelines(lines)
    print("***** Eval results *****\n" + "".join(lines), end="")
    return result


def _checked_files(config, options, flag):
    files = file_utils.match_files(options[flag], flag)
    described = pretraining_descriptions.check_descriptions(
        files, config, options["max_seq_length"], options["max_predictions_per_seq"]
    )
    print("--%s: %s" % (flag, pretraining_descriptions.format_descriptions(files, described)))
    pretraining_input.check_records(
        files, options["max_seq_length"], options["max_predictions_per_seq"], config.vocab_size
    )
    return files


def main(_):
    values = flags.FLAGS
    tf_compat.use_graph_mode()
    if not values.bert_config_file:
        raise InputError("--bert_config_file is required.")
    config = modeling.load_config(values.bert_config_file)
    options = resolve_flags(values, config)
    file_utils.prepare_output_dir(options["output_dir"])
    if options["init_checkpoint"]:
        options["init_checkpoint"] = checkpoint_utils.resolve_checkpoint(options["init_checkpoint"])
    logging.info("Model config:\n%s", config.to_json_string())
    model = training.create_estimator(model_fn_builder(config, options), options)
    if options["do_train"]:
        train(config, options, model)
    if options["do_eval"]:
        evaluate(config, options, model)


if __name__ == "__main__":
    cli.run(main, define_flags)
