"""One run of fine-tuning: a task, a model and an output folder."""

import functools
import os
import time

import numpy as np
from absl import logging

import checkpoint_selection
import classifier_data
import classifier_evaluation
import classifier_features
import classifier_flags
import classifier_folder
import classifier_input
import classifier_outputs
import classifier_results
import classifier_tasks
import classifier_tpu
import classifier_training
import estimator
import file_utils
import run_settings
import training
import training_hooks
from tf_compat import tf

EVAL_FILE = "eval_results_albert_zh.txt"
# What the reference's program for the tasks of CLUE calls the same file.
CLUE_EVAL_FILE = "dev_results_albert_zh.txt"


class Run:
    """What train, evaluate and predict have in common.

    Args:
        config: model config.
        options: `{flag: value}` of classifier_flags.py.

    Attributes:
        results: `classifier_results.Results`, which the three actions fill.

    Raises:
        InputError: flags and files do not fit.
    """

    def __init__(self, config, options):
        self.config = config
        self.options = options
        self.processor = classifier_tasks.get_processor(options["task_name"], options)
        classifier_flags.check_flags(options, config, self.processor.needs_data_dir)
        tokenizer = classifier_data.load_tokenizer(config, options)
        self.data = classifier_data.TaskData(self.processor, tokenizer, options)
        self.labels = self.data.labels
        self.metric = classifier_evaluation.choose_metric(
            self.processor, len(self.labels), options["best_metric"]
        )
        self.evaluator = classifier_evaluation.Evaluator(config, self.data, options)
        file_utils.prepare_output_dir(options["output_dir"])
        self.results = classifier_results.Results(config, options)
        self.results.set("metric", self.metric)

    def close(self):
        """Frees the session."""
        self.evaluator.close()

    def _selection(self):
        return checkpoint_selection.Selection(self.options["output_dir"], self.metric)

    # Training

    def train(self):
        """Trains up to the last step, from the latest checkpoint of `output_dir` if there."""
        options = self.options
        examples = self.data.examples("train")
        files = list(self.processor.num_rows)
        steps = classifier_training.step_counts(len(examples), options)
        evaluates = self._read_other_sets()
        run_settings.check_run_settings(
            options["output_dir"],
            classifier_folder.run_settings(self.config, options, files),
            options["allow_changed_settings"],
        )
        classifier_folder.write_model_files(options, self.labels)
        first_step = estimator.latest_step(options["output_dir"])
        selection = self._selection()
        selection.resume(first_step)
        if evaluates and first_step:  # the process may have been killed before it did this
            latest = checkpoint_selection.checkpoint_prefix(options["output_dir"], first_step)
            self._evaluate_saved(selection, None, latest, first_step)
        print(
            "Training on %d examples, %d steps of %d, %d of them warm-up%s."
            % (
                len(examples),
                steps[0],
                options["train_batch_size"],
                steps[1],
                ", from step %d" % first_step if first_step else "",
            )
        )
        if not self._is_exhausted(selection):
            self._train(examples, first_step, steps, selection if evaluates else None)
        if self._is_exhausted(selection):
            print("Stopped early at step %d." % selection.history[-1]["step"])
        self.results.set("train_examples", len(examples))
        self._report_history(selection.history)

    def _read_other_sets(self):
        """Reads what the run will need: a bad file is found before training, not after.

        Returns:
            Whether to evaluate at each save: there must be a dev file, and a device that is free.
        """
        options = self.options
        if options["do_predict"]:
            self.data.examples("test")
        evaluates = options["do_eval"] or options["early_stopping"]
        if not evaluates and options["eval_during_training"] and self.processor.files.get("dev"):
            path = self.processor.find_file(options["data_dir"], "dev")
            evaluates = file_utils.exists(path)
            if not evaluates:
                logging.warning("%s: no such file; no best checkpoint is kept.", path)
        if evaluates:
            self.data.examples("dev")
        return bool(evaluates) and options["eval_during_training"] and not options["use_tpu"]

    def _train(self, examples, first_step, steps, selection):
        options = self.options
        recorder = on_save = None
        if selection is not None:
            recorder = training_hooks.MeanRecorder()
            on_save = functools.partial(self._evaluate_saved, selection, recorder)
        model_fn = classifier_training.model_fn_builder(
            self.config,
            options,
            len(self.labels),
            *steps,
            regression=self.processor.is_regression,
            class_weights=self._class_weights(),
            recorder=recorder,
        )
        model = training.create_estimator(model_fn, options, on_save)
        started = time.monotonic()
        model.train(self._train_input_fn(examples, first_step), max_steps=steps[0])
        seconds = time.monotonic() - started
        done = estimator.latest_step(options["output_dir"]) - first_step
        if done:
            rate = done * options["train_batch_size"] / seconds
            self.results.set(
                "training", {"steps": done, "seconds": seconds, "examples_per_second": rate}
            )

    def _train_input_fn(self, examples, first_step):
        options = self.options
        settings = {"seed": options["seed"], "first_step": first_step}
        if options["use_tpu"]:
            return classifier_tpu.write_input_fn(
                "train",
                examples,
                self.labels,
                self.data.tokenizer,
                options,
                is_training=True,
                shuffle_buffer=options["shuffle_buffer"] or len(examples),
                **settings,
            )
        return classifier_input.input_fn_builder(
            self.data.encoded("train"),
            shuffle_buffer=options["shuffle_buffer"],
            length_window=options["length_window"],
            **settings,
        )

    def _class_weights(self):
        if self.options["class_weights"] == "none":
            return None
        weights = classifier_features.class_weights(self.data.label_ids("train"), len(self.labels))
        shown = ("%s %.3g" % pair for pair in zip(self.labels, weights))
        print("Class weights: %s." % ", ".join(shown))
        return weights

    def _evaluate_saved(self, selection, recorder, checkpoint, step):
        """Scores a new checkpoint; returns whether to stop."""
        if step == 0 or selection.has(step):
            return False
        scores = self.evaluator.scores(checkpoint, "dev")
        train_loss = recorder and recorder.take()
        if train_loss is not None:
            scores["train_loss"] = train_loss
        self._select(selection, checkpoint, step, scores)
        self._write_summary(scores)
        print(
            "step %d  dev %s %.4f  loss %.4f%s"
            % (
                step,
                self.metric,
                scores[self.metric],
                scores["eval_loss"],
                "  best so far" if selection.best["step"] == step else "",
            ),
            flush=True,
        )
        return self._is_exhausted(selection)

    def _select(self, selection, checkpoint, step, scores):
        selection.add(checkpoint, step, scores)
        if selection.best["step"] == step:
            best = checkpoint_selection.best_checkpoint(self.options["output_dir"])
            self.evaluator.copied(checkpoint, best)
        self.evaluator.forget_outputs(checkpoint)

    def _write_summary(self, scores):
        """For TensorBoard."""
        writer = tf.summary.FileWriterCache.get(os.path.join(self.options["output_dir"], "eval"))
        values = {key: value for key, value in scores.items() if key != "global_step"}
        training_hooks.write_scalars(writer, values, scores["global_step"])
        writer.flush()

    def _is_exhausted(self, selection):
        patience = self.options["early_stopping"]
        return bool(patience) and selection.evaluations_since_best() >= patience

    def _report_history(self, history):
        self.results.set("history", history)
        if not history:
            return
        message = classifier_training.chance_warning(
            self.config, self.options, self.data.label_ids("dev"), history
        )
        self.results.set("warning", message)
        if message:
            logging.warning("%s", message)

    # Evaluation

    def evaluate(self):
        """Evaluates every checkpoint of `output_dir`, and reports the one that counts.

        Returns:
            Dict of the scores of the best checkpoint, of the latest with
            `--select_checkpoint=latest`.
        """
        own, checkpoints = classifier_folder.find_checkpoints(self.options)
        classifier_folder.check_task_file(checkpoints[-1], self.options, self.labels)
        report = []
        for checkpoint in checkpoints:
            report.append("***** Eval results %s *****\n" % checkpoint)
            scores = self.evaluator.scores(checkpoint, "dev")
            report.extend("%s = %s\n" % item for item in self._report_items(scores))
        print("".join(report), end="")
        self._write_report("".join(report))
        if own:
            self._select_among(checkpoints)
        checkpoint = classifier_folder.selected_checkpoint(self.options)
        scores = self.evaluator.scores(checkpoint, "dev")
        print("%s on the dev file: %.4f, with %s" % (self.metric, scores[self.metric], checkpoint))
        self.results.set("dev", scores)
        self.results.set("dev_examples", len(self.data.examples("dev")))
        self.results.set("checkpoint", checkpoint)
        self._write_details("dev", checkpoint)
        return scores

    def _select_among(self, checkpoints):
        """Keeps the best of evaluated checkpoints where training did not evaluate them."""
        selection = self._selection()
        for checkpoint in checkpoints:
            scores = self.evaluator.scores(checkpoint, "dev")
            step = scores["global_step"]
            if step and not selection.has(step):
                self._select(selection, checkpoint, step, scores)

    def _report_items(self, scores):
        """Keys and values as the reference writes them: sorted, float32."""
        keys = {"eval_loss", "loss", "global_step"} | set(self.processor.eval_keys)
        for key in sorted(keys & set(scores)):
            yield key, scores[key] if key == "global_step" else np.float32(scores[key])

    def _write_report(self, report):
        """To `output_dir`, and to `data_dir`, where the reference writes it."""
        names = [EVAL_FILE] + [CLUE_EVAL_FILE] * self.processor.predict_json
        for folder in filter(None, (self.options["output_dir"], self.options["data_dir"])):
            for name in names:
                path = os.path.join(folder, name)
                try:
                    with file_utils.atomic_write(path) as handle:
                        handle.write(report)
                except OSError as error:  # data may lie on a read-only disk
                    logging.warning("%s: not written (%s).", path, error.strerror)

    def _write_details(self, set_type, checkpoint):
        history = self._selection().history if set_type == "dev" else ()
        classifier_outputs.write_evaluation_report(
            self.processor,
            self.data.examples(set_type),
            self.evaluator.outputs(checkpoint, set_type).probabilities,
            self.options["output_dir"],
            [(entry["step"], entry["scores"]) for entry in history],
            prefix=set_type + "_",
        )

    # Prediction

    def predict(self):
        """Writes the predictions of the test file; scores them if it has real labels."""
        checkpoint = classifier_folder.selected_checkpoint(self.options)
        classifier_folder.check_task_file(checkpoint, self.options, self.labels)
        examples = self.data.examples("test")
        paths = classifier_outputs.write_predictions(
            self.processor,
            self.options["task_name"],
            examples,
            self.evaluator.outputs(checkpoint, "test").probabilities,
            self.labels,
            self.options["output_dir"],
        )
        print("Predicted %d examples with %s: %s" % (len(examples), checkpoint, ", ".join(paths)))
        self.results.set("predicted_with", checkpoint)
        self.results.set("prediction_files", [os.path.basename(path) for path in paths])
        self.results.set("test_examples", len(examples))
        if self.processor.test_has_labels:
            scores = self.evaluator.scores(checkpoint, "test")
            print("%s on the test file: %.4f" % (self.metric, scores[self.metric]))
            self.results.set("test", scores)
            self._write_details("test", checkpoint)
