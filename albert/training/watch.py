"""What is counted, measured and kept of a pre-training run while it trains."""

import os

from absl import logging

from albert.basics import storage
from albert.basics.errors import reason
from albert.basics.tf_compat import tf
from albert.model_files import model_folder
from albert.training import best_checkpoint, curves, profiling, safety

BEST_METRIC = "masked_lm_accuracy"


STATE_FILE = "training_state.json"


class TrainingWatch:
    """Joins a run's counters, metrics and evaluations; `saved` and `before_save` are for the
    estimator, `hooks` and `progress_settings` for the model_fn.

    Args:
        options: `{flag: value}`.
        flops_per_example: floating-point operations of a training step for each example, or None.

    Attributes:
        state: `watch.TrainingState`.
    """

    def __init__(self, options, flops_per_example=None):
        self._options = options
        self._flops_per_example = flops_per_example
        self._window = profiling.parse_window(options.profile)
        self._metrics = curves.MetricsFile(options.output_dir)
        self._selection = self._evaluate = None
        self.state = TrainingState(options.output_dir)

    def resume(self, step, evaluate=None, evaluated_on=None):
        """Makes files and counters those of the checkpoint that training starts from.

        Args:
            step: of the checkpoint, 0 for a new run.
            evaluate: function of a checkpoint's prefix, returning its scores; None: checkpoints
                are not evaluated in training.
            evaluated_on: see `best_checkpoint.Selection`.
        """
        output_dir = self._options.output_dir
        self._metrics.resume(step)
        self.state.resume(step, self._options.train_batch_size)
        self._evaluate = evaluate
        if evaluate is None:
            return
        self._selection = best_checkpoint.Selection(
            output_dir, BEST_METRIC, files=(), evaluated_on=evaluated_on
        )
        self._selection.resume(step)
        if step:  # the process may have been killed before it did this
            self.saved(model_folder.checkpoint_prefix(output_dir, step), step)

    def hooks(self, train_op, batch_size):
        """Hooks of the training session.

        Args:
            train_op: `optimization.TrainOp`.
            batch_size: examples of a step, over all workers.
        """
        options = self._options
        hooks = [
            safety.SkipHook(
                train_op,
                self.state,
                batch_size,
                options.max_skipped_steps,
                options.output_dir,
            )
        ]
        if self._window:
            hooks.append(profiling.ProfileHook(self._window, options.output_dir))
        return hooks

    def progress_settings(self):
        """Arguments of `hooks.ProgressHook`."""
        return {
            "tokens_per_example": self._options.max_seq_length,
            "on_report": self._report,
        }

    def before_save(self, step):
        """To be called before a checkpoint is written."""
        self.state.store(step)

    def saved(self, prefix, step):
        """To be called when a checkpoint is complete; evaluates it."""
        if self._evaluate is None or step == 0 or self._selection.has(step):
            return False
        scores = {
            name: float(value)
            for name, value in self._evaluate(prefix).items()
            if name != "global_step" and not name.startswith("next_sentence")
        }
        try:
            self._selection.add(prefix, step, scores)
        except (tf.errors.OpError, OSError) as error:  # training can go on without
            logging.warning("the best checkpoint cannot be kept (%s).", reason(error))
        self._append(step, curves.EVAL, scores)
        best = self._selection.best
        print(
            "step %d  held-out  %s%s"
            % (
                step,
                "  ".join("%s %.4f" % item for item in sorted(scores.items())),
                "  best so far" if best and best["step"] == step else "",
            ),
            flush=True,
        )
        return False

    def _report(self, step, values):
        values["skipped_steps"] = self.state.skipped_steps
        if self._flops_per_example:
            rate = values["examples_per_second"] * self._flops_per_example / 1e12
            values["teraflops_per_second"] = rate
            if self._options.peak_teraflops:
                values["flops_utilization"] = rate / self._options.peak_teraflops
        self._append(step, curves.TRAIN, values)

    def _append(self, step, data_set, values):
        try:
            self._metrics.append(step, data_set, values)
        except OSError as error:  # a full disk must not end training before a save fails
            logging.warning("metrics of step %d are not written (%s).", step, error.strerror)


class TrainingState:
    """Counters of a run, stored for every checkpoint in `<output_dir>/training_state.json`.

    Examples are counted, not derived from the step: steps that were skipped have used theirs, and
    the batch size may change from one process to the next.

    Attributes:
        examples: examples that training has taken from the input, over all workers.
        skipped_steps: steps whose gradients were not applied.
    """

    def __init__(self, output_dir):
        self._output_dir = output_dir
        self._path = os.path.join(output_dir, STATE_FILE)
        self._stored = {}
        self.examples = self.skipped_steps = 0
        if storage.exists(self._path):
            self._stored = storage.read_json(self._path)["checkpoints"]

    def resume(self, step, batch_size):
        """Takes the counters of a checkpoint.

        Args:
            step: of the checkpoint; 0: a new run.
            batch_size: examples of each earlier step, if nothing is stored for the checkpoint.
        """
        stored = self._stored.get(str(step), {"examples": step * batch_size})
        self.examples = stored["examples"]
        self.skipped_steps = stored.get("skipped_steps", 0)

    def store(self, step):
        """Stores the counters for a checkpoint that is about to be written.

        Before and not after: a process killed in between leaves an entry without a checkpoint,
        which does no harm.
        """
        kept = {str(other) for other in model_folder.checkpoint_steps(self._output_dir)}
        self._stored = {key: value for key, value in self._stored.items() if key in kept}
        self._stored[str(step)] = {"examples": self.examples, "skipped_steps": self.skipped_steps}
        storage.write_json(self._path, {"checkpoints": self._stored})
