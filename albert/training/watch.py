"""A run is watched: what is measured, evaluated and counted while it trains."""

from absl import logging

from albert.model_files import model_folder
from albert.training import curves, profiling, safety
from albert.training.best_checkpoint import BestKeeper, Selection
from albert.training.training_state import TrainingState

BEST_METRIC = "masked_lm_accuracy"


class MetricsWatch:
    """Writes what the lines of progress tell to `metrics.jsonl`; all that fine-tuning needs.

    `hooks` and `progress_settings` are for the model_fn.

    Args:
        output_dir: folder of the run.
    """

    def __init__(self, output_dir):
        self._metrics = curves.MetricsFile(output_dir)

    def resume(self, step):
        """Makes the file that of the checkpoint that training starts from; 0 for a new run."""
        self._metrics.resume(step)

    def hooks(self, train_op):
        """Hooks of the training session, given an `optimization.TrainOp`."""
        del train_op
        return []

    def progress_settings(self):
        """Arguments of `hooks.ProgressHook`."""
        return {"on_report": lambda step, values: self.append(step, curves.TRAIN, values)}

    def append(self, step, data_set, values):
        """Writes a line; see `curves.MetricsFile`."""
        try:
            self._metrics.append(step, data_set, values)
        except OSError as error:  # a full disk must not end training before a save fails
            logging.warning("metrics of step %d are not written (%s).", step, error.strerror)


class TrainingWatch(MetricsWatch):
    """Joins a run's counters, metrics and evaluations; `saved` and `before_save` are for the
    estimator, `hooks` and `progress_settings` for the model_fn.

    Args:
        settings: those of run_pretraining.py.
        flops_per_example: floating-point operations of a training step for each example, or None.
        has_best_prefix: see `best_checkpoint.Selection`.

    Attributes:
        state: `training_state.TrainingState`.
    """

    def __init__(self, settings, flops_per_example=None, has_best_prefix=False):
        super().__init__(settings.output_dir)
        self._settings = settings
        self._has_best_prefix = has_best_prefix
        self._flops_per_example = flops_per_example
        self._window = profiling.parse_window(settings.profile)
        self._keeper = None
        self.state = TrainingState(settings.output_dir)

    def resume(self, step, evaluate=None, evaluated_on=None):
        """Makes files and counters those of the checkpoint that training starts from.

        Args:
            step: of the checkpoint, 0 for a new run.
            evaluate: function of a checkpoint's prefix, returning its scores; None: checkpoints
                are not evaluated in training.
            evaluated_on: see `best_checkpoint.Selection`.
        """
        output_dir = self._settings.output_dir
        super().resume(step)
        self.state.resume(step, self._settings.train_batch_size)
        if evaluate is None:
            return
        selection = Selection(
            output_dir,
            BEST_METRIC,
            evaluated_on=evaluated_on,
            has_prefix=self._has_best_prefix,
        )
        selection.resume(step)
        self._keeper = BestKeeper(
            selection,
            lambda prefix: _of_the_model(evaluate(prefix)),
            self._evaluated,
            required=False,
        )
        if step:  # the process may have been killed before it did this
            self.saved(model_folder.checkpoint_prefix(output_dir, step), step)

    def hooks(self, train_op):
        """Hooks of the training session.

        Args:
            train_op: `optimization.TrainOp`.
        """
        hooks = [safety.SkipHook(train_op, self.state, self._settings)]
        if self._window:
            hooks.append(profiling.ProfileHook(self._window, self._settings.output_dir))
        return hooks

    def progress_settings(self):
        """Arguments of `hooks.ProgressHook`."""
        return {
            "tokens_per_example": self._settings.max_seq_length,
            "on_report": self._report,
        }

    def before_save(self, step):
        """To be called before a checkpoint is written."""
        self.state.store(step)

    def saved(self, prefix, step):
        """To be called when a checkpoint is complete; evaluates it, returns whether to stop."""
        return self._keeper is not None and self._keeper.saved(prefix, step)

    def _evaluated(self, prefix, step, scores, is_best):
        """Writes down and prints what an evaluation has found."""
        del prefix
        self.append(step, curves.EVAL, scores)
        shown = "  ".join("%s %.4f" % item for item in sorted(scores.items()))
        marked = "  best so far" if is_best else ""
        print("step %d  held-out  %s%s" % (step, shown, marked), flush=True)

    def _report(self, step, values):
        """Writes down what a line of progress tells, and more."""
        values["skipped_steps"] = self.state.skipped_steps
        if self._flops_per_example:
            rate = values["examples_per_second"] * self._flops_per_example / 1e12
            values["teraflops_per_second"] = rate
            if self._settings.peak_teraflops:
                values["flops_utilization"] = rate / self._settings.peak_teraflops
        self.append(step, curves.TRAIN, values)


def each_once(metrics):
    """Metrics of an evaluation, each once: the sentence metrics are there under two names."""
    return {name: value for name, value in metrics.items() if not name.startswith("next_sentence")}


def _of_the_model(metrics):
    """What an evaluation says of the model, as `{name: float}`."""
    return {
        name: float(value) for name, value in each_once(metrics).items() if name != "global_step"
    }
