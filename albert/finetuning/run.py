"""One run of fine-tuning: a task, a model and an output folder.

The parts: task_data.py and batches.py (from the task's files to batches), model_fn.py (the
training graph), evaluation.py (outputs, scores, the best checkpoint), score_files.py and
output_folder.py (what the folder holds), kind.py (all that depends on what the task asks for).
"""

import contextlib
import functools
import hashlib
import json
import os
import time

from absl import logging

from albert.basics import console, locks, storage
from albert.basics.errors import InputError
from albert.finetuning import batches, defaults, output_folder, score_files, seeds
from albert.finetuning.evaluation import Evaluator, Selector
from albert.finetuning.flags import check_flags
from albert.finetuning.model_fn import model_fn_builder, step_counts
from albert.finetuning.task_data import TaskData
from albert.finetuning.tasks import registry
from albert.model_files import configuration, model_folder
from albert.training import best_checkpoint, estimator, run_settings
from albert.training.flags import log_interval
from albert.training.model_fn import check_start, create_estimator
from albert.training.signals import StopOnSignal

_LOG_EVERY_STEPS = 50


def fine_tune(settings, given=None):
    """Does what the flags say, once or with several seeds.

    Args:
        settings: `FinetuningSettings`.
        given: names of the flags that the user passed, see `defaults.complete`; None: all.

    Returns:
        The content of results.json.

    Raises:
        InputError: flags and files do not fit, or a file that an action needs is bad.
    """
    settings, config = defaults.complete(settings, given, configuration.load_config)
    if settings.init_checkpoint:
        checkpoint = _initial_checkpoint(settings)
        settings = settings._replace(init_checkpoint=checkpoint)
    log_file = os.path.join(settings.output_dir or "", console.LOG_FILE)
    with console.lasting_output(log_file), StopOnSignal() as stop:
        if settings.seeds > 1:
            return seeds.run_seeds(functools.partial(run_once, stop=stop), config, settings)
        return run_once(config, settings, stop)


def _initial_checkpoint(settings):
    """Prefix of the checkpoint that --init_checkpoint names; of a folder it is said which."""
    named = settings.init_checkpoint
    best = None if settings.do_train else model_folder.best_checkpoint(named)
    if best and settings.select_checkpoint == "best":
        return best
    return model_folder.resolve_and_say(named)


def run_once(config, settings, stop):
    """Does what the flags say in one output folder.

    Args:
        config: model config.
        settings: `FinetuningSettings`.
        stop: `signals.StopOnSignal` in whose context this happens.

    Returns:
        The content of results.json.
    """
    content = {}
    with contextlib.closing(Run.prepare(config, settings, stop)) as run:
        for is_asked_for, action in (
            (settings.do_train, run.train),
            (settings.do_eval, run.evaluate),
            (settings.do_eval_test, run.evaluate_test),
            (settings.do_predict, run.predict),
        ):
            if is_asked_for:
                action()
                run.results.add("data", run.data.report())
                content = run.results.write()
        print("\n".join(["What was read:", *run.data.describe()]))
    return content


class Run:
    """What training, evaluation and prediction have in common; made by `prepare`.

    Args:
        config: model config.
        settings: `FinetuningSettings`.
        data: `task_data.TaskData`.
        metric: key of the score that chooses the best checkpoint.
        results: `output_folder.Results`, which the actions fill.
        evaluates_saves: whether training evaluates each checkpoint that it saves.
        train_files: paths of the training data.
        stop: `signals.StopOnSignal`.
    """

    def __init__(self, config, settings, data, metric, results, evaluates_saves, train_files, stop):
        self.config = config
        self.settings = settings
        self.data = data
        self.results = results
        self.evaluator = Evaluator(config, data, settings)
        self._kind = data.kind
        self._metric = metric
        self._evaluates_saves = evaluates_saves
        self._train_files = train_files
        self._stop = stop
        self._lock = contextlib.ExitStack()  # of the output folder; `prepare` hands it over
        self._selector = Selector(
            self.evaluator, settings, metric, _dev_identity(settings, data, evaluates_saves)
        )

    @classmethod
    def prepare(cls, config, settings, stop=None):
        """Checks the flags and reads the task's files: what is bad is found before hours are spent.

        The order is what users see: flags before files, nothing is written before the flags are
        right, and a folder that cannot be written to is found before the sets are read.

        Args:
            config: model config.
            settings: `FinetuningSettings`.
            stop: `signals.StopOnSignal` in whose context this happens; None: signals do what
                they do.

        Raises:
            InputError: flags and files do not fit, a file that an action needs is bad, or another
                process writes the output folder.
        """
        processor = registry.get_processor(settings.task_name, settings._asdict())
        check_flags(settings, config, processor.needs_data_dir)
        data = TaskData(processor, config, settings)
        metric = data.kind.choose_metric(settings.best_metric)
        defaults.check_output_dir(settings)
        check_start(config, settings)
        with storage.kept_if_used(settings.output_dir), contextlib.ExitStack() as stack:
            stack.enter_context(locks.only_writer(settings.output_dir))
            results = output_folder.Results(config, settings)
            results.set("metric", metric)
            evaluates_saves = _has_dev_for_saves(settings, processor)
            train_files = _read_sets(settings, data, evaluates_saves)
            known = config, settings, data, metric, results, evaluates_saves, train_files
            run = cls(*known, stop or StopOnSignal())
            run._lock = stack.pop_all()
            return run

    def close(self):
        """Frees the session and the output folder."""
        self.evaluator.close()
        self._lock.close()

    # Training

    def train(self):
        """Trains up to the last step, from the latest checkpoint of `output_dir` if there."""
        settings = self.settings
        examples, instances = self.data.examples("train"), self.data.instances("train")
        steps = step_counts(len(instances), settings)
        run_settings.check_run_settings(
            settings.output_dir,
            output_folder.binding_settings(self.config, settings, self._train_files),
            settings.allow_changed_settings,
            differ={"init_checkpoint": output_folder.checkpoint_difference},
        )
        output_folder.write_model_files(settings, self._kind)
        first_step = estimator.latest_step(settings.output_dir)
        self._selector.resume(first_step)
        if self._evaluates_saves and first_step:
            self._selector.reconsider()
            # The process may have been killed before it did this.
            latest = model_folder.checkpoint_prefix(settings.output_dir, first_step)
            self._selector.evaluate_saved(latest, first_step)
        if first_step >= steps[0]:
            print(
                "Nothing left to train: %s is at step %d of %d."
                % (settings.output_dir, first_step, steps[0])
            )
        elif not self._selector.is_exhausted():
            print(
                "Training on %d examples, %d steps of %d, %d of them warm-up%s."
                % (
                    len(instances),
                    steps[0],
                    settings.train_batch_size,
                    steps[1],
                    ", from step %d" % first_step if first_step else "",
                )
            )
            self._train(first_step, steps)
        if self._selector.is_exhausted():
            print("Stopped early at step %d." % self._selector.history[-1]["step"])
        self.results.set("train_examples", len(examples))
        self._report_history()

    def _train(self, first_step, steps):
        selector = self._selector if self._evaluates_saves else None
        settings = _with_intervals(self.settings, steps[0], self._evaluates_saves)
        self._kind.prepare_training(self.data.instances("train"))
        recorder = selector and selector.recorder
        model_fn = model_fn_builder(
            self.config,
            settings,
            self._kind,
            *steps,
            recorder=recorder,
            watch=self._selector.watch,
            on_loading=self._loaded,
        )
        model = create_estimator(model_fn, settings, selector and selector.evaluate_saved)
        started = time.monotonic()
        with self._stop.saving_first():
            model.train(self._train_input_fn(first_step), steps[0], [self._stop])
        seconds = time.monotonic() - started
        reached = estimator.latest_step(settings.output_dir)
        self._stop.exit_if_stopped(reached)
        done = reached - first_step
        if done:
            rate = done * settings.train_batch_size / seconds
            self.results.set(
                "training", {"steps": done, "seconds": seconds, "examples_per_second": rate}
            )

    def _loaded(self, loading):
        output_folder.say_head(loading, self._kind)
        self.results.set("init_checkpoint", loading.summary())

    def _train_input_fn(self, first_step):
        settings = self.settings
        if settings.use_tpu:
            buffer = settings.shuffle_buffer or len(self.data.instances("train"))
            return self.data.record_input_fn(
                "train", True, shuffle_buffer=buffer, seed=settings.seed, first_step=first_step
            )
        return batches.input_fn_builder(
            self.data.encoded("train"),
            settings.seed,
            first_step,
            settings.shuffle_buffer,
            settings.length_window,
        )

    def _report_history(self):
        history = self._selector.history
        self.results.set("history", history)
        if not history or not self._evaluates_saves:
            return
        message = self._kind.warning(self.config, self.data.instances("dev"), history)
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
        settings = self.settings
        own, prefixes = model_folder.find_checkpoints(settings.output_dir, settings.init_checkpoint)
        output_folder.check_task_file(prefixes[-1], settings, self._kind)
        names = self._kind.evaluation_files()
        folders = filter(None, (settings.output_dir, settings.data_dir))
        score_files.write_scores(
            self._kind.processor.eval_keys,
            [(prefix, self.evaluator.scores(prefix, "dev")) for prefix in prefixes],
            [os.path.join(folder, name) for folder in folders for name in names],
        )
        if own:
            self._selector.add_missing(prefixes)
        checkpoint = model_folder.selected_checkpoint(settings)
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
        path = os.path.join(self.settings.output_dir, score_files.TEST_EVAL_FILE)
        scores = [(checkpoint, self.evaluator.scores(checkpoint, "test"))]
        score_files.write_scores(self._kind.processor.eval_keys, scores, [path])
        self.results.set("tested_with", checkpoint)
        return self._report("test", checkpoint)

    def _report(self, set_type, checkpoint):
        """Prints, records and returns the scores of a set, and writes what explains them."""
        scores = score_files.told(self.evaluator.scores(checkpoint, set_type))
        values = self._metric, set_type, scores[self._metric], checkpoint
        print("%s on the %s file: %.4f, with %s" % values)
        self.results.set(set_type, scores)
        known = score_files.MEANINGS
        self.results.set("meanings", {name: known[name] for name in scores if name in known})
        self.results.set(set_type + "_examples", len(self.data.examples(set_type)))
        output_dir, prefix = self.settings.output_dir, set_type + "_"
        answers = self.evaluator.outputs(checkpoint, set_type).answers
        self._kind.write_report(self.data.instances(set_type), answers, output_dir, prefix)
        history = self._selector.history if set_type == "dev" else []
        score_files.write_learning_curve(history, output_dir, prefix)
        return scores

    def _checkpoint_to_use(self):
        checkpoint = model_folder.selected_checkpoint(self.settings)
        output_folder.check_task_file(checkpoint, self.settings, self._kind)
        return checkpoint

    # Prediction

    def predict(self):
        """Writes the predictions of the test file; scores them if it has real labels."""
        checkpoint = self._checkpoint_to_use()
        examples = self.data.examples("test")
        answers = self.evaluator.outputs(checkpoint, "test").answers
        paths = self._kind.write_predictions(
            self.data.instances("test"), answers, self.settings.output_dir
        )
        print("Predicted %d examples with %s: %s" % (len(examples), checkpoint, ", ".join(paths)))
        self.results.set("predicted_with", checkpoint)
        self.results.set("prediction_files", [os.path.basename(path) for path in paths])
        self.results.set("test_examples", len(examples))
        if self._kind.processor.test_has_labels and not self.settings.do_eval_test:
            self._report_test(checkpoint)


def _has_dev_for_saves(settings, processor):
    """Whether to evaluate at each save: there must be a dev file, and a device that is free."""
    if not (settings.do_train and settings.eval_during_training) or settings.use_tpu:
        return False
    if settings.do_eval or settings.early_stopping:
        return True
    if not processor.files.get("dev"):
        return False
    path = processor.find_file(settings.data_dir, "dev")
    if not storage.exists(path):
        logging.warning("%s: no such file; no best checkpoint is kept.", path)
        return False
    return True


def _with_intervals(settings, num_steps, evaluates_saves):
    """The settings with what the user has not said: steps between saves, and between lines."""
    given = settings._asdict()
    save = best_checkpoint.save_interval(num_steps) if evaluates_saves else None
    usual = {
        "save_checkpoints_steps": save,
        "log_every_steps": log_interval(num_steps, _LOG_EVERY_STEPS),
    }
    return settings._replace(
        **{name: value for name, value in usual.items() if given[name] is None}
    )


def _read_sets(settings, data, evaluates_saves):
    """Reads the sets that the actions need; returns the paths of the training data."""
    train_files = []
    if settings.do_train:
        data.examples("train")
        train_files = list(data.processor.num_rows)
    if settings.do_eval or evaluates_saves:
        data.examples("dev")
    if settings.do_predict or settings.do_eval_test:
        data.examples("test")
    if settings.do_eval_test and not data.processor.test_has_labels:
        notes = data.processor.reports.get("test")
        why = "%s: %s" % (notes.path, notes.unlabelled) if notes and notes.unlabelled else ""
        raise InputError(
            "--do_eval_test: the test file of --task_name=%s has no labels%s; --do_predict "
            "writes predictions of it." % (settings.task_name, " (%s)" % why if why else "")
        )
    return train_files


def _dev_identity(settings, data, evaluates_saves):
    """What tells evaluations on different dev files apart; None where there will be none."""
    if not (settings.do_eval or evaluates_saves):
        return None
    content = json.dumps([vars(example) for example in data.examples("dev")])
    return {"dev": hashlib.sha256(content.encode("utf-8")).hexdigest()}
