"""Scores of checkpoints on the sets of a task, and the choice of the best one."""

import os
from typing import Any, Dict, NamedTuple

import numpy as np

from albert.basics.tf_compat import tf
from albert.finetuning import batches
from albert.finetuning.model_fn import build_graph, model_fn_builder
from albert.finetuning.score_files import told
from albert.model_files import model_folder
from albert.model_files.checkpoints import check_shapes
from albert.model_files.stored_variables import check_restorable, restore
from albert.training import best_checkpoint, curves, estimator, hooks
from albert.training.model_fn import create_estimator
from albert.training.watch import MetricsWatch


class Outputs(NamedTuple):
    """What a checkpoint makes of a set, in the order of its instances.

    Attributes:
        answers: `{name: array}`, or lists of arrays where sizes are the numbers of tokens; see
            `kind.Kind.answers`.
        losses: float32 `[number of instances]`.
    """

    answers: Dict[str, Any]
    losses: Any


class Evaluator:
    """Remembers what it has computed, so that nothing is computed twice in a process.

    Args:
        config: model config.
        data: `task_data.TaskData`.
        settings: `FinetuningSettings`.
    """

    def __init__(self, config, data, settings):
        self._config = config
        self._data = data
        self._settings = settings
        self._scores = {}  # (checkpoint, set type) -> dict
        self._outputs = {}  # (checkpoint, set type) -> Outputs
        self._session = CheckpointSession(config, data.kind, settings.bert_config_file)

    def close(self):
        """Frees the session."""
        self._session.close()

    def outputs(self, checkpoint, set_type):
        """`Outputs` of a checkpoint on "dev" or "test"."""
        key = checkpoint, set_type
        if key not in self._outputs:
            if self._settings.use_tpu:
                self._outputs[key] = outputs_from_records(
                    self._config, self._data, self._settings, *key
                )
            else:
                encoded, batch_size = self._data.encoded(set_type), self._batch_size(set_type)
                self._outputs[key] = self._session.outputs(checkpoint, encoded, batch_size)
        return self._outputs[key]

    def scores(self, checkpoint, set_type):
        """Dict of the metrics, `eval_loss`, `loss` and `global_step`; see `score_files.told`."""
        key = checkpoint, set_type
        if key not in self._scores:
            outputs = self.outputs(checkpoint, set_type)
            scores = self._data.kind.scores(self._data.instances(set_type), outputs.answers)
            scores["eval_loss"] = float(np.mean(outputs.losses))
            scores["loss"] = batch_mean_loss(outputs.losses, self._batch_size(set_type))
            scores["global_step"] = estimator.checkpoint_step(checkpoint)
            self._scores[key] = scores
        return dict(self._scores[key])

    def _batch_size(self, set_type):
        sizes = {
            "dev": self._settings.eval_batch_size,
            "test": self._settings.predict_batch_size,
        }
        return sizes[set_type]

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
        settings: `FinetuningSettings`.
        metric: key of the scores that decides.
        evaluated_on: see `best_checkpoint.Selection`.

    Attributes:
        recorder: `hooks.MeanRecorder`; what it has goes to the history as "train_loss".
        watch: `watch.MetricsWatch`, to which evaluations in training go.
    """

    def __init__(self, evaluator, settings, metric, evaluated_on=None):
        self.recorder = hooks.MeanRecorder()
        self.watch = MetricsWatch(settings.output_dir)
        self._evaluator = evaluator
        self._output_dir = settings.output_dir
        self._selection = best_checkpoint.Selection(
            self._output_dir, metric, evaluated_on=evaluated_on
        )
        self._keeper = best_checkpoint.BestKeeper(
            self._selection,
            self._scores_in_training,
            self._evaluated,
            required=True,
            patience=settings.early_stopping,
        )

    @property
    def history(self):
        """List of dicts with "step" and "scores", in the order of steps."""
        return self._selection.history

    def resume(self, step):
        """Forgets what lies after the step at which training goes on; at 0 everything."""
        self._selection.resume(step)
        self.watch.resume(step)

    def is_exhausted(self):
        """Whether there were enough evaluations without a new best (--early_stopping)."""
        return self._keeper.is_exhausted()

    def evaluate_saved(self, checkpoint, step):
        """Evaluates a checkpoint that training has just saved; returns whether to stop."""
        return self._keeper.saved(checkpoint, step)

    def _scores_in_training(self, checkpoint):
        scores = told(self._evaluator.scores(checkpoint, "dev"))
        train_loss = self.recorder.take()
        if train_loss is not None:
            scores["train_loss"] = train_loss
        return scores

    def _evaluated(self, checkpoint, step, scores, is_best):
        """Tells of an evaluation in training."""
        self._release(checkpoint, is_best)
        self._write_summary(scores)
        self.watch.append(step, curves.EVAL, _as_in_training(scores))
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
                scores = told(self._evaluator.scores(checkpoint, "dev"))
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


def _as_in_training(scores):
    """Scores of an evaluation under the names that training has for them in the metrics file."""
    left_out = ("global_step", "train_loss")
    return {
        name[len("eval_") :] if name.startswith("eval_") else name: value
        for name, value in scores.items()
        if name not in left_out
    }


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


class CheckpointSession:
    """Builds the model once, when first used; changing the checkpoint takes a moment.

    Args:
        config: model config.
        kind: `kind.Kind` of the task.
        config_file: path of the config, for messages.
    """

    def __init__(self, config, kind, config_file):
        self._config = config
        self._kind = kind
        self._config_file = config_file
        self._session = None

    def outputs(self, checkpoint, encoded, batch_size):
        """`Outputs` of `batches.EncodedExamples`.

        Raises:
            InputError: the checkpoint does not fit the model, or cannot be read.
        """
        if self._session is None:
            self._build(encoded)
        check_shapes(self._variables, checkpoint, self._config_file)
        restore(self._session, self._saver, self._variables, checkpoint)
        collector = _Collector(self._kind.answers, len(encoded), encoded.lengths)
        for indices in batches.scoring_batches(encoded, batch_size):
            batch = encoded.batch(indices)
            collector.add(indices, *self._run(*(batch[name] for name in self._inputs)))
        return collector.outputs

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
                if name != batches.IS_REAL_EXAMPLE
            }
            graph = build_graph(self._config, self._kind, inputs, False)
            self._variables = tf.trainable_variables()
            self._saver = tf.train.Saver(self._variables)
            # Training may hold the same GPU.
            gpu_options = tf.GPUOptions(allow_growth=True)
            self._session = tf.Session(
                config=tf.ConfigProto(allow_soft_placement=True, gpu_options=gpu_options)
            )
        self._inputs = list(inputs)
        fetches = [graph.losses, graph.answers]
        self._run = self._session.make_callable(fetches, list(inputs.values()))


class _Collector:
    """Puts what a model makes of batches into the order of the instances.

    Args:
        specs: `kind.Kind.answers`.
        count: number of instances.
        lengths: function of indices, returning the instances' numbers of tokens.

    Attributes:
        outputs: `Outputs`, complete when all batches were added.
    """

    def __init__(self, specs, count, lengths):
        self._specs = specs
        self._lengths = lengths
        answers = {
            name: [None] * count if spec.is_padded else np.zeros([count, *spec.shape], spec.dtype)
            for name, spec in specs.items()
        }
        self.outputs = Outputs(answers, np.zeros([count], np.float32))

    def add(self, indices, losses, answers):
        """Takes the outputs of a batch: the instances of some indices."""
        self.outputs.losses[indices] = losses
        for name, spec in self._specs.items():
            if spec.is_padded:
                rows = zip(indices, self._lengths(indices), answers[name])
                for index, length, answer in rows:
                    self.outputs.answers[name][index] = spec.cut(answer, length)
            else:
                self.outputs.answers[name][indices] = answers[name]


def outputs_from_records(config, data, settings, checkpoint, set_type):
    """`Outputs` of a checkpoint by the estimator, from a record file in full batches; for TPU."""
    check_restorable(checkpoint)
    input_fn = data.record_input_fn(set_type, False, settings.predict_batch_size)
    model = create_estimator(model_fn_builder(config, settings, data.kind), settings)
    predictions = model.predict(input_fn, settings.predict_batch_size, checkpoint)
    count = len(data.instances(set_type))
    collector = _Collector(
        data.kind.answers, count, lambda rows: data.encoded(set_type).lengths(rows)
    )
    # Padding examples come last.
    for index, prediction in zip(range(count), predictions):
        answers = {name: prediction[name][np.newaxis] for name in data.kind.answers}
        collector.add([index], prediction["losses"], answers)
    return collector.outputs
