"""Fine-tunes ALBERT on a classification task, evaluates, predicts.

    python run_classifier.py --task_name=lcqmc_pair --do_train --do_eval --do_predict \\
        --data_dir=lcqmc --output_dir=lcqmc_output \\
        --bert_config_file=albert_tiny/albert_config_tiny.json --vocab_file=albert_tiny/vocab.txt \\
        --init_checkpoint=albert_tiny/albert_model.ckpt \\
        --max_seq_length=128 --train_batch_size=64 --learning_rate=1e-4 --num_train_epochs=5

Checkpoints of every family fine-tune here; the config decides.  `output_dir` is complete by
itself afterwards: similarity.py needs nothing else.
"""

import os
import re

from absl import flags, logging

import checkpoint_utils
import classifier_features
import classifier_model
import classifier_tasks
import cli
import configuration
import estimator
import file_utils
import optimization
import run_settings
import tf_compat
import tokenization
import training
from classifier_features import InputFeatures, convert_single_example  # noqa: F401 (public here)
from classifier_model import create_model
from classifier_tasks import (  # noqa: F401 (public here)
    DataProcessor,
    InputExample,
    PaddingInputExample,
    get_processor,
)
from file_utils import InputError
from tf_compat import tf

EVAL_FILE = "eval_results_albert_zh.txt"
PREDICT_FILE = "test_results.tsv"


def define_flags(flag_values):
    """Defines the script's flags on `flag_values` (names and defaults: spec/tasks.md 1.1)."""

    string, integer, boolean = cli.flag_definers(flag_values)

    def number(name, meaning, default, maximum=None):
        flags.DEFINE_float(name, default, meaning, 0.0, maximum, flag_values=flag_values)

    # Required
    string("data_dir", "Folder of the task's files.")
    string("bert_config_file", "Model config, JSON; it decides the family.")
    flags.DEFINE_alias("albert_config_file", "bert_config_file", flag_values=flag_values)
    string("task_name", "One of %s." % ", ".join(sorted(classifier_tasks.TASKS)))
    string("vocab_file", "WordPiece vocabulary of the checkpoint.")
    string("output_dir", "Folder for checkpoints and results.")

    # What to do
    boolean("do_train", "Train.")
    boolean("do_eval", "Evaluate every checkpoint of --output_dir on the dev file.")
    boolean("do_predict", "Predict the test file with the latest checkpoint.")
    string("init_checkpoint", "Weights to start from: prefix, folder, or a file of a checkpoint.")
    boolean("strict_init", "Fail when --init_checkpoint lacks a variable of the encoder.")
    boolean("allow_changed_settings", "Continue an --output_dir made with other settings.")
    boolean("allow_vocab_mismatch", "Accept a vocabulary of another size than the config's.")

    # Text
    string("spm_model_file", "SentencePiece model, instead of --vocab_file.")
    boolean("do_lower_case", "Lower-case the text.", True)
    integer("max_seq_length", "Tokens per example, [CLS] and [SEP] included.", 128, 5)

    # Model and optimization
    flags.DEFINE_enum(
        "pooling",
        "cls",
        classifier_model.POOLINGS,
        "Vector to classify: first token, mean of all positions, mean of real tokens.",
        flag_values=flag_values,
    )
    number("head_dropout", "Dropout on that vector.", classifier_model.HEAD_DROPOUT, 0.99)
    integer("train_batch_size", "Batch size for training.", 32)
    integer("eval_batch_size", "Batch size for evaluation.", 8)
    integer("predict_batch_size", "Batch size for prediction.", 8)
    number("learning_rate", "Peak learning rate.", 5e-5)
    number("num_train_epochs", "Passes over the training file.", 3.0)
    number("warmup_proportion", "Share of the steps that warm up.", 0.1, 1.0)
    boolean("reference_clip_norm", "Clip by the reference's norm of un-summed embedding rows.")
    integer("shuffle_buffer", "Examples to shuffle among; 0: all (the reference: 100).", 0, 0)
    integer("seed", "Seed of the head's weights, dropout and order.", 12345, None)

    # Saving and logging
    integer("save_checkpoints_steps", "Steps between checkpoints.", 1000)
    integer("keep_checkpoint_max", "Checkpoints to keep; 0: all.", 5, 0)
    integer("log_every_steps", "Steps between lines on the console.", 50)

    training.define_tpu_flags(flag_values)


def check_flags(options, config):
    """Raises InputError when a flag is missing or does not fit the config."""
    for name in ("data_dir", "task_name", "output_dir"):
        if not options[name]:
            raise InputError("--%s is required." % name)
    if not (options["vocab_file"] or options["spm_model_file"]):
        raise InputError("--vocab_file is required.")
    if not (options["do_train"] or options["do_eval"] or options["do_predict"]):
        raise InputError("nothing to do: pass --do_train, --do_eval or --do_predict.")
    if not os.path.isdir(options["data_dir"]) and not file_utils.is_remote(options["data_dir"]):
        raise InputError("--data_dir: no such directory: '%s'." % options["data_dir"])
    training.check_sequence_length(options, config)


def load_tokenizer(config, options):
    """The tokenizer of the flags; InputError when its vocabulary is not the config's."""
    vocab_file = options["spm_model_file"] or options["vocab_file"]
    tokenizer = tokenization.FullTokenizer(
        options["vocab_file"], options["do_lower_case"], options["spm_model_file"]
    )
    special_tokens = ("[CLS]", "[SEP]") if tokenizer.sp_model else tokenization.SPECIAL_TOKENS
    tokenization.check_special_tokens(tokenizer.vocab, vocab_file, special_tokens)
    configuration.check_vocabulary(
        config,
        options["bert_config_file"],
        len(tokenizer.vocab),
        vocab_file,
        options["allow_vocab_mismatch"],
    )
    return tokenizer


def model_fn_builder(config, options, num_labels, num_train_steps, num_warmup_steps):
    """Makes the `model_fn` of fine-tuning for the estimator."""

    def model_fn(features, labels, mode, params):
        del labels
        is_training = mode == estimator.ModeKeys.TRAIN
        label_ids = features["label_ids"]
        loss, per_example_loss, logits, probabilities = create_model(
            config,
            is_training,
            features["input_ids"],
            features["input_mask"],
            features["segment_ids"],
            label_ids,
            num_labels,
            options["use_tpu"],
            options["pooling"],
            options["head_dropout"],
        )
        if mode == estimator.ModeKeys.PREDICT:
            return estimator.make_spec(mode, predictions={"probabilities": probabilities})
        if mode == estimator.ModeKeys.EVAL:
            tensors = [per_example_loss, label_ids, logits, features["is_real_example"]]
            return estimator.make_spec(mode, loss=loss, eval_metrics=(_metric_fn, tensors))
        scaffold_fn = None
        if not estimator.latest_step(options["output_dir"]):
            scaffold_fn = checkpoint_utils.init_from_checkpoint(
                options["init_checkpoint"],
                config,
                options["bert_config_file"],
                strict=options["strict_init"],
                expected_new=classifier_model.HEAD_VARIABLES,
                use_tpu=options["use_tpu"],
            )
        step = optimization.build_train_op(
            loss,
            options["learning_rate"],
            num_train_steps,
            num_warmup_steps,
            options["use_tpu"],
            reference_clip_norm=options["reference_clip_norm"],
        )
        hits = tf.equal(tf.argmax(logits, -1, output_type=tf.int32), label_ids)
        scores = {"loss": loss, "accuracy": tf.reduce_mean(tf.cast(hits, tf.float32))}
        return training.training_spec(
            loss, step.train_op, scores, num_train_steps, params, options, scaffold_fn
        )

    return model_fn


def _metric_fn(per_example_loss, label_ids, logits, is_real_example):
    weights = tf.cast(is_real_example, tf.float32)
    predicted = tf.argmax(logits, -1, output_type=tf.int32)
    return {
        "eval_accuracy": tf.metrics.accuracy(label_ids, predicted, weights=weights),
        "eval_loss": tf.metrics.mean(per_example_loss, weights=weights),
    }


class Run:
    """One task, model and output folder: what train, evaluate and predict have in common."""

    def __init__(self, config, options):
        """Reads the vocabulary; raises InputError where flags and files do not fit."""
        check_flags(options, config)
        self.config = config
        self.options = options
        self.processor = get_processor(options["task_name"])
        self.labels = self.processor.get_labels()
        self.tokenizer = load_tokenizer(config, options)

    def train(self):
        """Trains up to the last step, from the latest checkpoint of `output_dir` if there."""
        options = self.options
        examples = self._read(self.processor.get_train_examples)
        num_train_steps = int(
            len(examples) / options["train_batch_size"] * options["num_train_epochs"]
        )
        num_warmup_steps = int(num_train_steps * options["warmup_proportion"])
        if num_train_steps < 1:
            raise InputError(
                "%d training examples, --train_batch_size %d and --num_train_epochs %s make no "
                "step; use a smaller batch or more epochs."
                % (len(examples), options["train_batch_size"], options["num_train_epochs"])
            )
        run_settings.check_run_settings(
            options["output_dir"],
            self._settings(),
            options["allow_changed_settings"],
        )
        self._copy_model_files()
        first_step = estimator.latest_step(options["output_dir"])
        print(
            "Training on %d examples, %d steps of %d, %d of them warm-up%s."
            % (
                len(examples),
                num_train_steps,
                options["train_batch_size"],
                num_warmup_steps,
                ", from step %d" % first_step if first_step else "",
            )
        )
        input_fn = self._input_fn(
            examples,
            "train.tf_record",
            is_training=True,
            shuffle_buffer=options["shuffle_buffer"] or len(examples),
            seed=options["seed"],
            first_step=first_step,
        )
        self._estimator(num_train_steps, num_warmup_steps).train(
            input_fn, max_steps=num_train_steps
        )

    def evaluate(self):
        """Evaluates every checkpoint of `output_dir`, writes the report, returns the last scores.

        The report goes to `data_dir`, where the reference writes it, and to `output_dir`.
        """
        options = self.options
        checkpoints = self._checkpoints()
        examples = self._read(self.processor.get_dev_examples)
        input_fn = self._input_fn(self._padded(examples, "eval_batch_size"), "eval.tf_record")
        model = self._estimator()
        report, result = [], {}
        for checkpoint in checkpoints:
            result = model.evaluate(input_fn, checkpoint_path=checkpoint)
            report.append("***** Eval results %s *****\n" % checkpoint)
            report.extend("%s = %s\n" % (key, result[key]) for key in sorted(result))
        print("".join(report), end="")
        for folder in (options["output_dir"], options["data_dir"]):
            path = os.path.join(folder, EVAL_FILE)
            try:
                with file_utils.atomic_write(path) as handle:
                    handle.writelines(report)
            except OSError as error:  # data may lie on a read-only disk
                logging.warning("%s: not written (%s).", path, error.strerror)
        return result

    def predict(self):
        """Writes the class probabilities of the test file to `test_results.tsv`."""
        checkpoint = self._checkpoints()[-1]
        examples = self._read(self.processor.get_test_examples)
        input_fn = self._input_fn(self._padded(examples, "predict_batch_size"), "predict.tf_record")
        path = os.path.join(self.options["output_dir"], PREDICT_FILE)
        with file_utils.atomic_write(path) as handle:
            predictions = self._estimator().predict(input_fn, checkpoint_path=checkpoint)
            for _, prediction in zip(examples, predictions):
                handle.write("\t".join(map(str, prediction["probabilities"])) + "\n")
        print("Predicted %d examples with %s: %s" % (len(examples), checkpoint, path))

    def _read(self, reader):
        examples = reader(self.options["data_dir"])
        self.processor.check_rows()
        if not examples:
            raise InputError("--data_dir: no example in '%s'." % self.options["data_dir"])
        return examples

    def _padded(self, examples, batch_size_flag):
        """On TPU every batch must be full."""
        if not self.options["use_tpu"]:
            return examples
        missing = -len(examples) % self.options[batch_size_flag]
        return examples + [PaddingInputExample()] * missing

    def _input_fn(self, examples, record_file, is_training=False, **settings):
        """Writes the examples to a record file, always anew, and returns its `input_fn`."""
        options = self.options
        path = os.path.join(options["output_dir"], record_file)
        classifier_features.file_based_convert_examples_to_features(
            examples, self.labels, options["max_seq_length"], self.tokenizer, path
        )
        return classifier_features.file_based_input_fn_builder(
            path,
            options["max_seq_length"],
            is_training,
            drop_remainder=is_training or options["use_tpu"],
            **settings,
        )

    def _checkpoints(self):
        """Prefixes in ascending step order; --init_checkpoint if it is a trained classifier.

        Foreign files (`albert_model.ckpt.index`) are no checkpoints of this run.
        """
        folder = self.options["output_dir"]
        steps = sorted(
            int(match.group(1))
            for match in (
                re.fullmatch(r"model\.ckpt-(\d+)\.index", name)
                for name in tf.io.gfile.listdir(folder)
            )
            if match
        )
        if steps:
            return [os.path.join(folder, "model.ckpt-%d" % step) for step in steps]
        initial = self.options["init_checkpoint"]
        if initial and "output_weights" in checkpoint_utils.read_shapes(initial):
            return [initial]
        raise InputError(
            "--output_dir: no checkpoint in '%s', and --init_checkpoint is no trained classifier; "
            "train first (--do_train)." % folder
        )

    def _estimator(self, num_train_steps=None, num_warmup_steps=None):
        model_fn = model_fn_builder(
            self.config, self.options, len(self.labels), num_train_steps, num_warmup_steps
        )
        return training.create_estimator(model_fn, self.options)

    def _settings(self):
        """What must not change between the runs that share an `output_dir`."""
        options = self.options
        settings = {
            name: options[name]
            for name in (
                "task_name",
                "do_lower_case",
                "max_seq_length",
                "pooling",
                "head_dropout",
                "train_batch_size",
                "learning_rate",
                "num_train_epochs",
                "warmup_proportion",
                "reference_clip_norm",
                "shuffle_buffer",
                "seed",
                "init_checkpoint",
            )
        }
        settings["config"] = self.config.to_dict()
        settings["vocabulary_sha256"] = file_utils.sha256(
            options["spm_model_file"] or options["vocab_file"]
        )
        settings["data_sha256"] = {
            os.path.basename(path): file_utils.sha256(path) for path in self.processor.num_rows
        }
        return settings

    def _copy_model_files(self):
        """Makes `output_dir` complete by itself."""
        options = self.options
        copies = {classifier_model.CONFIG_FILE: options["bert_config_file"]}
        if options["spm_model_file"]:
            copies[classifier_model.SPM_FILE] = options["spm_model_file"]
        else:
            copies[classifier_model.VOCAB_FILE] = options["vocab_file"]
        for name, source in copies.items():
            content = file_utils.read_bytes(source)
            with file_utils.atomic_write(os.path.join(options["output_dir"], name), "wb") as handle:
                handle.write(content)
        file_utils.write_json(
            os.path.join(options["output_dir"], classifier_model.TASK_FILE),
            {
                "task_name": options["task_name"].lower(),
                "labels": self.labels,
                "max_seq_length": options["max_seq_length"],
                "do_lower_case": options["do_lower_case"],
                "pooling": options["pooling"],
            },
        )


def main(_):
    options = flags.FLAGS.flag_values_dict()
    tf_compat.use_graph_mode()
    if not options["bert_config_file"]:
        raise InputError("--bert_config_file is required.")
    config = configuration.load_config(options["bert_config_file"])
    if options["init_checkpoint"]:
        options["init_checkpoint"] = checkpoint_utils.resolve_checkpoint(options["init_checkpoint"])
    run = Run(config, options)
    file_utils.prepare_output_dir(options["output_dir"])
    if options["do_train"]:
        run.train()
    if options["do_eval"]:
        run.evaluate()
    if options["do_predict"]:
        run.predict()


if __name__ == "__main__":
    cli.run(main, define_flags)
