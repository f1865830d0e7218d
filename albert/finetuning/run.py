"""One run of fine-tuning: a task, a model and an output folder.

The parts: batches.py (from the task's files to batches), model_fn.py (the
training graph), evaluation.py (scores, the best checkpoint), classification/reports.py (what
is written of them), output_folder.py (what else the folder holds).
"""

import hashlib
import json
import os
import time

from absl import logging

from albert.basics import storage
from albert.basics.errors import InputError
from albert.finetuning import batches, evaluation, output_folder, task_data
from albert.finetuning.classification import metrics, predictions, reports
from albert.finetuning.classification.reports import chance_warning
from albert.finetuning.flags import check_flags
from albert.finetuning.model_fn import class_weights, model_fn_builder, step_counts
from albert.finetuning.tasks import registry
from albert.model_files import model_folder
from albert.training import estimator, run_settings
from albert.training.model_fn import create_estimator


class Run:
    """What training, evaluation and prediction have in common.

    Args:
        config: model config.
        options: `{flag: value}` of flags.py.

    Attributes:
        results: `output_folder.Results`, which the actions fill.

    Raises:
        InputError: flags and files do not fit, or a file that an action needs is bad.
    """

    def __init__(self, config, options):
        self.config = config
        self.options = options
        self.processor = registry.get_processor(options.task_name, options._asdict())
        check_flags(options, config, self.processor.needs_data_dir)
        self.data = task_data.TaskData(self.processor, config, options)
        self.labels = self.data.labels
        self.metric = metrics.choose_metric(self.processor, len(self.labels), options.best_metric)
        self.evaluator = evaluation.Evaluator(config, self.data, options)
        storage.prepare_output_dir(options.output_dir)
        self.results = output_folder.Results(config, options)
        self.results.set("metric", self.metric)
        self._evaluates_saves = self._has_dev_for_saves()
        self._train_files = []
        self._read_sets()
        self._selector = evaluation.Selector(
            self.evaluator, options, self.metric, self._dev_identity()
        )

    def _has_dev_for_saves(self):
        """Whether to evaluate at each save: there must be a dev file, and a device that is free."""
        options = self.options
        if not (options.do_train and options.eval_during_training) or options.use_tpu:
            return False
        if options.do_eval or options.early_stopping:
            return True
        if not self.processor.files.get("dev"):
            return False
        path = self.processor.find_file(options.data_dir, "dev")
        if not storage.exists(path):
            logging.warning("%s: no such file; no best checkpoint is kept.", path)
            return False
        return True

    def _read_sets(self):
        """Reads what the actions need: a bad file is found before hours are spent."""
        options = self.options
        if options.do_train:
            self.data.examples("train")
            self._train_files = list(self.processor.num_rows)
        if options.do_eval or self._evaluates_saves:
            self.data.examples("dev")
        if options.do_predict or options.do_eval_test:
            self.data.examples("test")
        if options.do_eval_test and not self.processor.test_has_labels:
            raise InputError(
                "--do_eval_test: the test file of --task_name=%s has no labels; --do_predict "
                "writes predictions of it." % options.task_name
            )

    def _dev_identity(self):
        """What tells evaluations on different dev files apart; None where there will be none."""
        if not (self.options.do_eval or self._evaluates_saves):
            return None
        content = json.dumps([vars(example) for example in self.data.examples("dev")])
        return {"dev": hashlib.sha256(content.encode("utf-8")).hexdigest()}

    def close(self):
        """Frees the session."""
        self.evaluator.close()

    # Training

    def train(self):
        """Trains up to the last step, from the latest checkpoint of `output_dir` if there."""
        options = self.options
        examples = self.data.examples("train")
        steps = step_counts(len(examples), options)
        run_settings.check_run_settings(
            options.output_dir,
            output_folder.run_settings(self.config, options, self._train_files),
            options.allow_changed_settings,
        )
        output_folder.write_model_files(options, self.processor)
        first_step = estimator.latest_step(options.output_dir)
        self._selector.resume(first_step)
        if self._evaluates_saves and first_step:
            self._selector.reconsider()
            # The process may have been killed before it did this.
            latest = model_folder.checkpoint_prefix(options.output_dir, first_step)
            self._selector.evaluate_saved(latest, first_step)
        print(
            "Training on %d examples, %d steps of %d, %d of them warm-up%s."
            % (
                len(examples),
                steps[0],
                options.train_batch_size,
                steps[1],
                ", from step %d" % first_step if first_step else "",
            )
        )
        if not self._selector.is_exhausted():
            self._train(first_step, steps)
        if self._selector.is_exhausted():
            print("Stopped early at step %d." % self._selector.history[-1]["step"])
        self.results.set("train_examples", len(examples))
        self._report_history()

    def _train(self, first_step, steps):
        options = self.options
        selector = self._selector if self._evaluates_saves else None
        model_fn = model_fn_builder(
            self.config,
            options,
            len(self.labels),
            *steps,
            regression=self.processor.is_regression,
            class_weights=self._class_weights(),
            recorder=selector and selector.recorder,
        )
        model = create_estimator(model_fn, options, selector and selector.evaluate_saved)
        started = time.monotonic()
        model.train(self._train_input_fn(first_step), max_steps=steps[0])
        seconds = time.monotonic() - started
        done = estimator.latest_step(options.output_dir) - first_step
        if done:
            rate = done * options.train_batch_size / seconds
            self.results.set(
                "training", {"steps": done, "seconds": seconds, "examples_per_second": rate}
            )

    def _train_input_fn(self, first_step):
        options = self.options
        settings = {"seed": options.seed, "first_step": first_step}
        if options.use_tpu:
            buffer = options.shuffle_buffer or len(self.data.examples("train"))
            return self.data.record_input_fn("train", True, shuffle_buffer=buffer, **settings)
        return batches.input_fn_builder(
            self.data.encoded("train"),
            shuffle_buffer=options.shuffle_buffer,
            length_window=options.length_window,
            **settings,
        )

    def _class_weights(self):
        if self.options.class_weights == "none":
            return None
        label_ids = self.data.label_ids("train")
        weights = class_weights(label_ids, len(self.labels))
        shown = ("%s %.3g" % pair for pair in zip(self.labels, weights))
        print("Class weights: %s." % ", ".join(shown))
        return weights

    def _report_history(self):
        history = self._selector.history
        self.results.set("history", history)
        if not history or not self._evaluates_saves:
            return
        message = chance_warning(self.config, self.options, self.data.label_ids("dev"), history)
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
        options = self.options
        own, checkpoints = model_folder.find_checkpoints(
            options.output_dir, options.init_checkpoint
        )
        output_folder.check_task_file(checkpoints[-1], options, self.processor)
        names = [reports.EVAL_FILE]
        if self.processor.predict_json:
            names.append(reports.CLUE_EVAL_FILE)
        folders = filter(None, (options.output_dir, options.data_dir))
        reports.write_scores(
            self.processor,
            [(checkpoint, self.evaluator.scores(checkpoint, "dev")) for checkpoint in checkpoints],
            [os.path.join(folder, name) for folder in folders for name in names],
        )
        if own:
            self._selector.add_missing(checkpoints)
        checkpoint = model_folder.selected_checkpoint(options)
        self.results.set("checkpoint", checkpoint)
        return self._report("dev", checkpoint)

    def evaluate_test(self):
        """Evaluates the checkpoint that counts on the test file, which must have labels.

        The scores choose nothing: a checkpoint chosen by them would look better than it is.

        Returns:
            Dict of the scores.
        """
        return self._report_test(self._checkpoint_to_use())

    def _report_test(self, checkpoint):
        path = os.path.join(self.options.output_dir, reports.TEST_EVAL_FILE)
        scores = [(checkpoint, self.evaluator.scores(checkpoint, "test"))]
        reports.write_scores(self.processor, scores, [path])
        self.results.set("tested_with", checkpoint)
        return self._report("test", checkpoint)

    def _report(self, set_type, checkpoint):
        """Prints, records and returns the scores of a set, and writes what explains them."""
        scores = self.evaluator.scores(checkpoint, set_type)
        values = self.metric, set_type, scores[self.metric], checkpoint
        print("%s on the %s file: %.4f, with %s" % values)
        self.results.set(set_type, scores)
        self.results.set(set_type + "_examples", len(self.data.examples(set_type)))
        history = self._selector.history if set_type == "dev" else ()
        reports.write_evaluation_report(
            self.processor,
            self.data.examples(set_type),
            self.evaluator.outputs(checkpoint, set_type).probabilities,
            self.options.output_dir,
            [(entry["step"], entry["scores"]) for entry in history],
            prefix=set_type + "_",
        )
        return scores

    def _checkpoint_to_use(self):
        checkpoint = model_folder.selected_checkpoint(self.options)
        output_folder.check_task_file(checkpoint, self.options, self.processor)
        return checkpoint

    # Prediction

    def predict(self):
        """Writes the predictions of the test file; scores them if it has real labels."""
        checkpoint = self._checkpoint_to_use()
        examples = self.data.examples("test")
        paths = predictions.write_predictions(
            self.processor,
            self.options.task_name,
            examples,
            self.evaluator.outputs(checkpoint, "test").probabilities,
            self.labels,
            self.options.output_dir,
        )
        print("Predicted %d examples with %s: %s" % (len(examples), checkpoint, ", ".join(paths)))
        self.results.set("predicted_with", checkpoint)
        self.results.set("prediction_files", [os.path.basename(path) for path in paths])
        self.results.set("test_examples", len(examples))
        if self.processor.test_has_labels and not self.options.do_eval_test:
            self._report_test(checkpoint)
