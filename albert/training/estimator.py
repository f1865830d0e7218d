"""Training, evaluation and prediction behind one interface on every TensorFlow version.

`BaseEstimator` is the interface; `SessionEstimator` is a plain session loop, and tpu_estimator.py
has TensorFlow's TPUEstimator.  Both keep the same files: ``model.ckpt-N`` and ``checkpoint`` in the
output directory, event files there and in ``eval`` or ``eval_<name>``.
"""

import os
import re
from typing import Any, Callable, Dict, NamedTuple, Optional, Sequence, Tuple

from absl import logging

from albert.basics.errors import InputError
from albert.basics.tf_compat import tf
from albert.model_files import checkpoints
from albert.model_files.stored_variables import readable_prefix
from albert.training.distribution import Distribution
from albert.training.hooks import CheckpointHook, CountRunsHook, check_folder, write_scalars


class ModeKeys:
    """What a model_fn builds; the values are TensorFlow's."""

    TRAIN = "train"
    EVAL = "eval"
    PREDICT = "infer"


class TrainingDiverged(InputError):
    """The loss or a gradient became infinite or NaN; no checkpoint was written after that."""


class Spec(NamedTuple):
    """What a model_fn returns; fields as in TensorFlow's TPUEstimatorSpec.

    Attributes:
        mode: one of `ModeKeys`.
        loss: scalar tensor; for TRAIN and EVAL.
        train_op: op of one step, which increases the global step; for TRAIN.
        eval_metrics: `(metric_fn, tensors)`; `metric_fn(*tensors)` returns
            `{name: (value, update_op)}` as tf.metrics makes them.
        predictions: `{name: tensor}`, first dimension the batch; for PREDICT.
        scaffold_fn: function without arguments that returns a tf.train.Scaffold.
        training_hooks: SessionRunHooks; for TRAIN.
    """

    mode: str
    loss: Any = None
    train_op: Any = None
    eval_metrics: Optional[Tuple[Callable, Sequence]] = None
    predictions: Optional[Dict[str, Any]] = None
    scaffold_fn: Optional[Callable] = None
    training_hooks: Sequence = ()


class EstimatorSettings(NamedTuple):
    """What an estimator goes by; the fields are named as the flags of the training scripts.

    Attributes:
        output_dir: directory of checkpoints and event files.
        train_batch_size, eval_batch_size: examples per step, all TPU cores and workers together;
            input_fn and model_fn find that of this worker in `params["batch_size"]`.
        save_checkpoints_steps: steps between checkpoints.
        keep_checkpoint_max: number of checkpoints kept; 0: all.
        log_every_steps: steps between writing the summaries of the model_fn's own graph.
        seed: graph-level seed, or None.
        use_tpu, tpu_name, tpu_zone, gcp_project, master, num_tpu_cores: where to find the TPU.
        iterations_per_loop: steps per call to the TPU.
    """

    output_dir: str
    train_batch_size: int
    eval_batch_size: int = 8
    save_checkpoints_steps: int = 1000
    keep_checkpoint_max: int = 5
    log_every_steps: int = 100
    seed: Optional[int] = None
    use_tpu: bool = False
    tpu_name: Optional[str] = None
    tpu_zone: Optional[str] = None
    gcp_project: Optional[str] = None
    master: Optional[str] = None
    num_tpu_cores: int = 8
    iterations_per_loop: int = 1000


def estimator_settings(settings):
    """`EstimatorSettings` of the settings of a script, which have more fields.

    What is None there is the default here.
    """
    values = {name: getattr(settings, name) for name in EstimatorSettings._fields}
    return EstimatorSettings(**{name: value for name, value in values.items() if value is not None})


def latest_step(model_dir):
    """Global step of the latest checkpoint in `model_dir`, 0 if there is none.

    Raises:
        InputError: the `checkpoint` file names a checkpoint that is missing or unreadable.
    """
    named = checkpoints.named_checkpoint(model_dir)
    if not named:
        return 0
    return checkpoint_step(checkpoints.resolve_checkpoint(named, flag="output_dir"))


def checkpoint_step(prefix):
    """Global step of a checkpoint; by its name if it has none inside, 0 if that has none either."""
    if tf.GraphKeys.GLOBAL_STEP not in checkpoints.read_shapes(prefix):
        suffix = re.search(r"-(\d+)$", prefix)
        return int(suffix.group(1)) if suffix else 0
    return int(tf.train.load_variable(readable_prefix(prefix), tf.GraphKeys.GLOBAL_STEP))


class BaseEstimator:
    """The interface, and what both implementations share.

    In every method `input_fn(params)` returns a tf.data.Dataset of feature dicts and
    `params["batch_size"]` is the batch size.

    Args:
        model_fn: `model_fn(features, labels, mode, params)` that returns a `Spec`; `labels` is
            None, `params["batch_size"]` the batch size.
        settings: `EstimatorSettings`.
        on_save: function of a new checkpoint's prefix and step, called in training when it is
            complete; if it returns true, training stops.  Never called on a TPU.
        before_save: function of the step of a checkpoint that is about to be written; as `on_save`.
        distribution: `distribution.Distribution`, or None.
    """

    use_tpu = False

    def __init__(self, model_fn, settings, on_save=None, before_save=None, distribution=None):
        self.output_dir = settings.output_dir
        self._settings = settings
        self._model_fn = model_fn
        self._distribution = distribution or Distribution()
        self._train_batch_size = settings.train_batch_size // self._distribution.num_workers
        self._on_save = on_save
        self._before_save = before_save
        self._stopped = False  # by on_save
        self._input_problem = None
        self._max_steps = 0
        self._session_config = tf.ConfigProto(allow_soft_placement=True)
        # Its messages would drown the progress lines; errors it logs are raised as well.
        tf.logging.set_verbosity(tf.logging.FATAL)

    def train(self, input_fn, max_steps, hooks=None, input_problem=None):
        """Trains up to global step `max_steps`, from the latest checkpoint in `output_dir` if any.

        Returns at once when that step has been reached.

        Args:
            input_fn: see the class.
            max_steps: global step.
            hooks: more SessionRunHooks.
            input_problem: None, or a function that says what has become of the files that are
                read: None, or a sentence.  Asked at each save and after errors; a checkpoint is
                written before training stops for it.

        Raises:
            TrainingDiverged: the loss or a gradient is not finite.
            InputError: the latest checkpoint is unreadable or does not fit the model, the output
                folder is gone, or there is an input problem.
            worker_cluster.WorkerLost: another worker ended; all must start again.
        """
        checkpoints.adopt_moved_run(self.output_dir)
        (start,) = self._distribution.chief_values([latest_step(self.output_dir)])
        if start >= max_steps:
            self._distribution.part()
            return
        self._stopped = False
        self._input_problem = input_problem
        self._max_steps = max_steps
        had_folder = tf.io.gfile.isdir(self.output_dir)
        counter = CountRunsHook()
        try:
            self._train(input_fn, max_steps, [counter] + list(hooks or []))
        except InputError:
            raise
        except Exception as error:
            self._explain(error, had_folder)
            if not _is_divergence(error):
                raise
            raise TrainingDiverged(
                "training stopped at step %d: the loss or gradient is not finite (try a lower "
                "learning rate or gradient clipping); the last good checkpoint is %s."
                % (start + counter.runs + 1, tf.train.latest_checkpoint(self.output_dir))
            ) from error
        if not self._distribution.is_chief:
            return
        reached = latest_step(self.output_dir)
        stopped = self._stopped or any(getattr(hook, "stopped", False) for hook in hooks or [])
        if reached < max_steps and not stopped:
            logging.warning("the training data ended at step %d of %d.", reached, max_steps)

    def _explain(self, error, had_folder):
        """Raises InputError when files that went away or changed explain an error in training."""
        if had_folder:
            check_folder(self.output_dir)
        problem = self._input_problem and self._input_problem()
        if problem:
            raise self._stopped_by(problem) from error

    def _stopped_by(self, problem):
        return InputError(
            "%s Training has stopped; the last checkpoint is %s."
            % (problem, tf.train.latest_checkpoint(self.output_dir))
        )

    def evaluate(self, input_fn, steps=None, checkpoint_path=None, name=None):
        """Metrics of a checkpoint over `steps` batches, or until the data ends.

        Args:
            input_fn: see the class.
            steps: number of batches; must be given on a TPU.
            checkpoint_path: prefix; the latest checkpoint in `output_dir` if not given.
            name: tells several evaluations apart; event files go to ``eval_<name>``.

        Returns:
            Dict of scalars: the model's metrics, "loss" (plain mean of the batches' losses) and
            "global_step".

        Raises:
            InputError: there is no checkpoint, it does not fit the model, or there are no data.
        """
        checkpoint = self._find_checkpoint(checkpoint_path)
        results, batches = self._evaluate(input_fn, steps, checkpoint, name)
        if not batches:
            raise InputError("the evaluation data hold no example.")
        return results

    def predict(self, input_fn, batch_size, checkpoint_path=None):
        """Generator of one `{name: array}` per example.

        Args:
            input_fn: see the class.
            batch_size: examples per step, all TPU cores together.
            checkpoint_path: as in `evaluate`.

        Raises:
            InputError: there is no checkpoint (raised by the call itself, not by the generator).
        """
        return self._predict(input_fn, batch_size, self._find_checkpoint(checkpoint_path))

    def _find_checkpoint(self, path):
        return checkpoints.resolve_checkpoint(path or self.output_dir, flag="output_dir")

    def _call_model_fn(self, features, mode, params, checkpoint):
        """Calls the model_fn and adds what TensorFlow's and the own session loop need alike.

        Args:
            features: dict of tensors.
            mode: one of `ModeKeys`.
            params: dict with "batch_size".
            checkpoint: prefix that the session will restore, or None.

        Returns:
            `Spec`; off the TPU `training_hooks` include those for summaries and checkpoints.
        """
        spec = self._model_fn(features, None, mode, params)
        if self.use_tpu:  # TPUEstimator has its own checkpoint hook and no summaries
            return spec
        if checkpoint:
            _check_fits(checkpoint)
        if mode != ModeKeys.TRAIN or not self._distribution.is_chief:
            return spec
        scaffold = spec.scaffold_fn() if spec.scaffold_fn else tf.train.Scaffold()
        if not scaffold.saver and not tf.get_collection(tf.GraphKeys.SAVERS):
            saver = tf.train.Saver(
                sharded=True,
                max_to_keep=self._settings.keep_checkpoint_max,
                defer_build=True,
                save_relative_paths=True,  # so that the directory can be moved
            )
            tf.add_to_collection(tf.GraphKeys.SAVERS, saver)
        hooks = list(spec.training_hooks)
        summaries = tf.summary.merge_all()
        if summaries is not None:
            hooks.append(
                tf.train.SummarySaverHook(
                    self._settings.log_every_steps, output_dir=self.output_dir, summary_op=summaries
                )
            )
        hooks.append(
            CheckpointHook(
                self.output_dir,
                self._settings.save_checkpoints_steps,
                scaffold,
                self._saved,
                self._before_save,
                self._input_problem,
                stops_alone=self._distribution.num_workers == 1,
            )
        )
        return spec._replace(scaffold_fn=lambda: scaffold, training_hooks=hooks)

    def _saved(self, prefix, step):
        problem = step < self._max_steps and self._input_problem and self._input_problem()
        if problem:
            raise self._stopped_by(problem)
        self._stopped = bool(self._on_save and self._on_save(prefix, step))
        return self._stopped


class SessionEstimator(BaseEstimator):
    """Trains, evaluates and predicts with plain sessions; on CPUs and GPUs."""

    def _train(self, input_fn, max_steps, hooks):
        distribution = self._distribution
        checkpoint = tf.train.latest_checkpoint(self.output_dir)
        with tf.Graph().as_default(), distribution.training():
            spec = self._build(input_fn, ModeKeys.TRAIN, self._train_batch_size, checkpoint)
            hooks = [
                tf.train.StopAtStepHook(last_step=max_steps),
                *hooks,
                tf.train.NanTensorHook(spec.loss),
                *spec.training_hooks,
            ]
            # Unlike MonitoredTrainingSession it does not go on by itself when a worker is lost.
            with tf.train.SingularMonitoredSession(
                distribution.training_hooks(hooks),
                spec.scaffold_fn() if spec.scaffold_fn else None,
                distribution.master,
                distribution.session_config or self._session_config,
                self.output_dir,
            ) as session:
                while not session.should_stop():
                    session.run(spec.train_op)

    def _evaluate(self, input_fn, steps, checkpoint, name):
        batches = 0
        with tf.Graph().as_default():
            spec = self._build(input_fn, ModeKeys.EVAL, self._settings.eval_batch_size, checkpoint)
            metrics = {"loss": tf.metrics.mean(spec.loss)}
            if spec.eval_metrics:
                metric_fn, tensors = spec.eval_metrics
                metrics.update(metric_fn(*tensors))
            values = {key: value for key, (value, _) in metrics.items()}
            updates = [update for _, update in metrics.values()]
            values["global_step"] = tf.train.get_global_step()
            with self._restored_session(spec, checkpoint) as session:
                while steps is None or batches < steps:
                    try:
                        session.run(updates)
                    except tf.errors.OutOfRangeError:
                        break
                    batches += 1
                results = session.run(values)
            if batches:
                eval_dir = os.path.join(self.output_dir, "eval_" + name if name else "eval")
                scalars = {key: value for key, value in results.items() if key != "global_step"}
                writer = tf.summary.FileWriterCache.get(eval_dir)
                write_scalars(writer, scalars, results["global_step"])
                writer.flush()
        return results, batches

    def _predict(self, input_fn, batch_size, checkpoint):
        with tf.Graph().as_default():
            spec = self._build(input_fn, ModeKeys.PREDICT, batch_size, checkpoint)
            session = self._restored_session(spec, checkpoint)
        try:
            while True:
                try:
                    batch = session.run(spec.predictions)
                except tf.errors.OutOfRangeError:
                    return
                for row in range(len(next(iter(batch.values())))):
                    yield {name: array[row] for name, array in batch.items()}
        finally:
            session.close()

    def _build(self, input_fn, mode, batch_size, checkpoint):
        """Builds input pipeline and model in the current graph."""
        seed = self._settings.seed
        if seed is not None:
            seed += self._distribution.worker  # each worker drops other elements
        tf.set_random_seed(seed)
        tf.train.create_global_step()
        params = {"batch_size": batch_size}
        with tf.device("/cpu:0"):
            iterator = tf.data.make_initializable_iterator(input_fn(params))
            features = iterator.get_next()
        tf.add_to_collection(tf.GraphKeys.TABLE_INITIALIZERS, iterator.initializer)
        return self._call_model_fn(features, mode, params, checkpoint)

    def _restored_session(self, spec, checkpoint):
        creator = tf.train.ChiefSessionCreator(
            scaffold=spec.scaffold_fn() if spec.scaffold_fn else None,
            checkpoint_filename_with_path=readable_prefix(checkpoint),
            config=self._session_config,
        )
        return creator.create_session()


def _is_divergence(error):
    """True for a NaN loss and for a failed tf.debugging.check_numerics, whatever its message."""
    if isinstance(error, tf.errors.InvalidArgumentError):
        return bool(re.search("Tensor had .*(NaN|Inf)", error.message))
    return isinstance(error, tf.train.NanLossDuringTrainingError)


def _check_fits(checkpoint):
    """Raises InputError if a variable of the current graph cannot be restored."""
    stored = checkpoints.read_shapes(checkpoint)
    problems = []
    for variable in tf.global_variables():
        name, shape = variable.op.name, variable.shape.as_list()
        if name not in stored:
            problems.append("%s %s is not in the checkpoint" % (name, shape))
        elif stored[name] != shape:
            problems.append("%s is %s there, %s in the model" % (name, stored[name], shape))
    if problems:
        more = "; and %d more" % (len(problems) - 3) if len(problems) > 3 else ""
        raise InputError(
            "%s: the checkpoint does not fit the model: %s%s."
            % (checkpoint, "; ".join(problems[:3]), more)
        )
