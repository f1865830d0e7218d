"""Scores of checkpoints on the sets of a task, and the choice of the best one."""

import collections
import os

import numpy as np

from albert.basics.tf_compat import tf
from albert.finetuning import batches
from albert.finetuning.classification import metrics
from albert.finetuning.model_fn import model_fn_builder
from albert.heads import classification
from albert.model_files import model_folder
from albert.model_files.checkpoints import check_shapes
from albert.training import best_checkpoint, estimator, hooks
from albert.training.model_fn import create_estimator

# In the order of the examples: float32 `[number of examples, num_labels]` (probabilities, or the
# values of a regression) and the losses, float32 `[number of examples]`.
Outputs = collections.namedtuple("Outputs", ["probabilities", "losses"])
_BATCH_SIZES = {"dev": "eval_batch_size", "test": "predict_batch_size"}


class Evaluator:
    """Remembers what it has computed, so that nothing is computed twice in a process.

    Args:
        config: model config.
        data: `task_data.TaskData`.
        options: `{flag: value}`.
    """

    def __init__(self, config, data, options):
        self._config = config
        self._data = data
        self._options = options
        self._scores = {}  # (checkpoint, set type) -> dict
        self._outputs = {}  # (checkpoint, set type) -> Outputs
        self._scorer = Scorer(config, options, len(data.labels), data.processor.is_regression)

    def close(self):
        """Frees the session."""
        self._scorer.close()

    def outputs(self, checkpoint, set_type):
        """`Outputs` of a checkpoint on "dev" or "test"."""
        key = checkpoint, set_type
        if key not in self._outputs:
            if self._options.use_tpu:
                self._outputs[key] = outputs_from_records(
                    self._config, self._data, self._options, *key
                )
            else:
                self._outputs[key] = self._scorer.score(
                    checkpoint,
                    self._data.encoded(set_type),
                    getattr(self._options, _BATCH_SIZES[set_type]),
                )
        return self._outputs[key]

    def scores(self, checkpoint, set_type):
        """Dict of the metrics, `eval_loss`, `loss` and `global_step`."""
        key = checkpoint, set_type
        if key not in self._scores:
            outputs = self.outputs(checkpoint, set_type)
            scores = metrics.compute_metrics(
                self._data.processor, self._data.label_ids(set_type), outputs.probabilities
            )
            scores["eval_loss"] = float(np.mean(outputs.losses))
            scores["loss"] = batch_mean_loss(
                outputs.losses, getattr(self._options, _BATCH_SIZES[set_type])
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


class Selector:
    """Evaluates checkpoints of a run on the dev file, and keeps the best in `best/`.

    Args:
        evaluator: `Evaluator`.
        options: `{flag: value}`: "output_dir", "early_stopping".
        metric: key of the scores that decides.
        evaluated_on: see `best_checkpoint.Selection`.

    Attributes:
        recorder: `hooks.MeanRecorder`; what it has goes to the history as "train_loss".
    """

    def __init__(self, evaluator, options, metric, evaluated_on=None):
        self.recorder = hooks.MeanRecorder()
        self._evaluator = evaluator
        self._output_dir = options.output_dir
        self._selection = best_checkpoint.Selection(
            self._output_dir, metric, evaluated_on=evaluated_on
        )
        self._keeper = best_checkpoint.BestKeeper(
            self._selection,
            self._scores_in_training,
            self._evaluated,
            required=True,
            patience=options.early_stopping,
        )

    @property
    def history(self):
        """List of dicts with "step" and "scores", in the order of steps."""
        return self._selection.history

    def resume(self, step):
        """Forgets what lies after the step at which training goes on; at 0 everything."""
        self._selection.resume(step)

    def is_exhausted(self):
        """Whether there were enough evaluations without a new best (--early_stopping)."""
        return self._keeper.is_exhausted()

    def evaluate_saved(self, checkpoint, step):
        """Evaluates a checkpoint that training has just saved; returns whether to stop."""
        return self._keeper.saved(checkpoint, step)

    def _scores_in_training(self, checkpoint):
        scores = self._evaluator.scores(checkpoint, "dev")
        train_loss = self.recorder.take()
        if train_loss is not None:
            scores["train_loss"] = train_loss
        return scores

    def _evaluated(self, checkpoint, step, scores, is_best):
        """Tells of an evaluation in training."""
        self._release(checkpoint, is_best)
        self._write_summary(scores)
        metric = self._selection.metric
        marked = "  best so far" if is_best else ""
        values = step, metric, scores[metric], scores["eval_loss"], marked
        print("step %d  dev %s %.4f  loss %.4f%s" % values, flush=True)

    def reconsider(self):
        """Evaluates all that is left of the run anew, if earlier scores had to be forgotten."""
        if self._selection.former:
            self.add_missing(model_folder.find_checkpoints(self._output_dir)[1])

    def add_missing(self, checkpoints):
        """Considers checkpoints of the run that were not evaluated in training."""
        by_step = {
            estimator.checkpoint_step(checkpoint): checkpoint
            for checkpoint in [self._selection.former, *checkpoints]
            if checkpoint
        }
        for step in sorted(by_step):
            if step and not self._selection.has(step):
                checkpoint = by_step[step]
                scores = self._evaluator.scores(checkpoint, "dev")
                self._release(checkpoint, self._keeper.add(checkpoint, step, scores))

    def _release(self, checkpoint, is_best):
        """Frees what was computed of a checkpoint; of the best one its copy will be asked for."""
        if is_best:
            best = model_folder.best_checkpoint(self._output_dir)
            self._evaluator.copied(checkpoint, best)
        self._evaluator.forget_outputs(checkpoint)

    def _write_summary(self, scores):
        """For TensorBoard."""
        writer = tf.summary.FileWriterCache.get(os.path.join(self._output_dir, "eval"))
        values = {key: value for key, value in scores.items() if key != "global_step"}
        hooks.write_scalars(writer, values, scores["global_step"])
        writer.flush()


def batch_mean_loss(losses, batch_size):
    """Mean over the batches, in the order of the file, of their mean losses.

    What TensorFlow's estimator calls `loss`; it differs from the mean of all when the last batch
    is short.
    """
    return float(
        np.mean(
            [
                np.mean(losses[start : start + batch_size])
                for start in range(0, len(losses), batch_size)
            ]
        )
    )


class Scorer:
    """Builds the model once, when first used; changing the checkpoint takes a moment.

    Args:
        config: model config.
        options: `{flag: value}`: "pooling", "bert_config_file".
        num_labels: 1 for a regression.
        regression: whether labels are numbers.
    """

    def __init__(self, config, options, num_labels, regression=False):
        self._config = config
        self._options = options
        self._num_labels = num_labels
        self._regression = regression
        self._session = None

    def score(self, checkpoint, encoded, batch_size):
        """`Outputs` of `batches.EncodedExamples`.

        Raises:
            InputError: the checkpoint does not fit the model, or cannot be read.
        """
        if self._session is None:
            self._build(encoded)
        check_shapes(self._variables, checkpoint, self._options.bert_config_file)
        self._saver.restore(self._session, checkpoint)
        outputs = Outputs(
            np.zeros([len(encoded), self._num_labels], np.float32),
            np.zeros([len(encoded)], np.float32),
        )
        for indices in batches.scoring_batches(encoded, batch_size):
            batch = encoded.batch(indices)
            results = self._run(*(batch[name] for name in self._inputs))
            outputs.probabilities[indices], outputs.losses[indices] = results
        return outputs

    def close(self):
        """Frees the session."""
        if self._session is not None:
            self._session.close()
            self._session = None

    def _build(self, encoded):
        with tf.Graph().as_default():
            dtypes, shapes = encoded.specification()
            inputs = {
                name: tf.placeholder(dtypes[name], shapes[name], name)
                for name in dtypes
                if name != "is_real_example"
            }
            _, losses, _, probabilities = classification.create_model(
                self._config,
                False,
                inputs["input_ids"],
                inputs["input_mask"],
                inputs["segment_ids"],
                inputs["label_ids"],
                self._num_labels,
                pooling=self._options.pooling,
                regression=self._regression,
            )
            self._variables = tf.trainable_variables()
            self._saver = tf.train.Saver(self._variables)
            # Training may hold the same GPU.
            gpu_options = tf.GPUOptions(allow_growth=True)
            self._session = tf.Session(
                config=tf.ConfigProto(allow_soft_placement=True, gpu_options=gpu_options)
            )
        self._inputs = list(inputs)
        self._run = self._session.make_callable([probabilities, losses], list(inputs.values()))


def outputs_from_records(config, data, options, checkpoint, set_type):
    """`Outputs` of a checkpoint by the estimator, from a record file in full batches; for TPU."""
    model_fn = model_fn_builder(
        config, options, len(data.labels), None, None, data.processor.is_regression
    )
    input_fn = data.record_input_fn(set_type, False, options.predict_batch_size)
    model = create_estimator(model_fn, options)
    predictions = model.predict(input_fn, options.predict_batch_size, checkpoint)
    # Padding examples come last.
    real = [prediction for _, prediction in zip(data.examples(set_type), predictions)]
    columns = ([prediction[name] for prediction in real] for name in Outputs._fields)
    return Outputs(*(np.array(column, np.float32) for column in columns))
