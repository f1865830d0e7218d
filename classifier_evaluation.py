"""Scores of checkpoints on the sets of a task."""

import numpy as np

import classifier_metrics
import classifier_scoring
import classifier_tpu
import classifier_training
import estimator
import training
from file_utils import InputError

_BATCH_SIZES = {"dev": "eval_batch_size", "test": "predict_batch_size"}


class Evaluator:
    """Remembers what it has computed, so that nothing is computed twice in a process.

    Args:
        config: model config.
        data: `classifier_data.TaskData`.
        options: `{flag: value}`.
    """

    def __init__(self, config, data, options):
        self._config = config
        self._data = data
        self._options = options
        self._scores = {}  # (checkpoint, set type) -> dict
        self._outputs = {}  # (checkpoint, set type) -> Outputs
        self._scorer = classifier_scoring.Scorer(
            config, options, len(data.labels), data.processor.is_regression
        )

    def close(self):
        """Frees the session."""
        self._scorer.close()

    def outputs(self, checkpoint, set_type):
        """`classifier_scoring.Outputs` of a checkpoint on "dev" or "test"."""
        key = checkpoint, set_type
        if key not in self._outputs:
            batch_size = self._options[_BATCH_SIZES[set_type]]
            if self._options["use_tpu"]:
                self._outputs[key] = self._tpu_outputs(checkpoint, set_type, batch_size)
            else:
                encoded = self._data.encoded(set_type)
                self._outputs[key] = self._scorer.score(checkpoint, encoded, batch_size)
        return self._outputs[key]

    def scores(self, checkpoint, set_type):
        """Dict of the metrics, `eval_loss`, `loss` and `global_step` (spec/tasks.md 0.5)."""
        key = checkpoint, set_type
        if key not in self._scores:
            outputs = self.outputs(checkpoint, set_type)
            scores = classifier_metrics.compute_metrics(
                self._data.processor, self._data.label_ids(set_type), outputs.probabilities
            )
            scores["eval_loss"] = float(np.mean(outputs.losses))
            scores["loss"] = classifier_scoring.batch_mean_loss(
                outputs.losses, self._options[_BATCH_SIZES[set_type]]
            )
            scores["global_step"] = estimator.checkpoint_step(checkpoint)
            self._scores[key] = scores
        return dict(self._scores[key])

    def copied(self, checkpoint, copy):
        """Takes note that `copy` has the content of `checkpoint` now."""
        for known in (self._scores, self._outputs):
            known.pop((copy, "dev"), None)
            if (checkpoint, "dev") in known:
                known[copy, "dev"] = known[checkpoint, "dev"]

    def forget_outputs(self, checkpoint):
        """Frees the memory of outputs that nobody will ask for; their scores stay."""
        self._outputs.pop((checkpoint, "dev"), None)

    def _tpu_outputs(self, checkpoint, set_type, batch_size):
        data = self._data
        model_fn = classifier_training.model_fn_builder(
            self._config, self._options, len(data.labels), None, None, data.processor.is_regression
        )
        return classifier_tpu.score(
            training.create_estimator(model_fn, self._options),
            checkpoint,
            set_type,
            data.examples(set_type),
            batch_size,
            data.labels,
            data.tokenizer,
            self._options,
        )


def choose_metric(processor, num_labels, name=None):
    """Key of the score by which checkpoints are chosen: `name`, or the task's.

    Raises:
        InputError: the task has no score of that name.
    """
    name = name or processor.metric
    label_ids = [0.0, 1.0] if processor.is_regression else [0, 1] * processor.group_size
    outputs = np.zeros([len(label_ids), num_labels])
    known = sorted(
        [*classifier_metrics.compute_metrics(processor, label_ids, outputs), "eval_loss"]
    )
    if name not in known:
        raise InputError(
            "--best_metric: no score '%s' of this task; expected one of %s."
            % (name, ", ".join(known))
        )
    return name
