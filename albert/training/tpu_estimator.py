"""TensorFlow's TPUEstimator behind the interface of estimator.py."""

import os

from albert.basics import tf_compat
from albert.basics.errors import InputError
from albert.basics.tf_compat import tf
from albert.training.estimator import BaseEstimator, ModeKeys, SessionEstimator
from albert.training.hooks import CountRunsHook


class TpuEstimator(BaseEstimator):
    """TensorFlow's TPUEstimator, which also runs on a CPU or GPU.

    Args:
        iterations_per_loop, use_tpu, tpu_name, tpu_zone, gcp_project, master, num_tpu_cores: see
            `create_estimator`.
        settings: arguments of `BaseEstimator`.
    """

    def __init__(
        self,
        model_fn,
        model_dir,
        iterations_per_loop=1000,
        use_tpu=False,
        tpu_name=None,
        tpu_zone=None,
        gcp_project=None,
        master=None,
        num_tpu_cores=8,
        **settings,
    ):
        super().__init__(model_fn, model_dir, **settings)
        self.use_tpu = use_tpu
        cluster = None
        if use_tpu and tpu_name:
            cluster = tf.distribute.cluster_resolver.TPUClusterResolver(
                tpu_name, zone=tpu_zone, project=gcp_project
            )
        tpu = tf.estimator.tpu
        self._config = _run_config(
            use_tpu,
            cluster=cluster,
            master=master,
            model_dir=model_dir,
            tf_random_seed=self._random_seed,
            save_checkpoints_steps=self._save_checkpoints_steps if use_tpu else None,
            save_checkpoints_secs=None,
            save_summary_steps=0,
            keep_checkpoint_max=self._keep_checkpoint_max,
            log_step_count_steps=None,
            session_config=self._session_config,
            tpu_config=tpu.TPUConfig(
                iterations_per_loop=iterations_per_loop,
                num_shards=num_tpu_cores,
                per_host_input_for_training=tpu.InputPipelineConfig.PER_HOST_V2,
            ),
        )

    def _train(self, input_fn, max_steps, hooks):
        checkpoint = tf.train.latest_checkpoint(self.model_dir)
        self._estimator(checkpoint).train(input_fn, hooks=hooks, max_steps=max_steps)

    def _evaluate(self, input_fn, steps, checkpoint, name):
        counter = CountRunsHook()
        results = self._estimator(checkpoint).evaluate(
            input_fn, steps=steps, hooks=[counter], checkpoint_path=checkpoint, name=name
        )
        return results, counter.runs

    def _predict(self, input_fn, checkpoint):
        return self._estimator(checkpoint).predict(input_fn, checkpoint_path=checkpoint)

    def _estimator(self, checkpoint):
        def model_fn(features, labels, mode, params):
            spec = self._call_model_fn(features, mode, params, checkpoint)
            return tf.estimator.tpu.TPUEstimatorSpec(**spec._asdict())

        return tf.estimator.tpu.TPUEstimator(
            model_fn,
            config=self._config,
            use_tpu=self.use_tpu,
            train_batch_size=self._batch_sizes[ModeKeys.TRAIN],
            eval_batch_size=self._batch_sizes[ModeKeys.EVAL],
            predict_batch_size=self._batch_sizes[ModeKeys.PREDICT],
        )


def _run_config(use_tpu, **settings):
    """A `RunConfig`; off the TPU it must not look for other processes in TF_CONFIG."""
    variable = None if use_tpu else os.environ.pop("TF_CONFIG", None)
    try:
        return tf.estimator.tpu.RunConfig(**settings)
    finally:
        if variable is not None:
            os.environ["TF_CONFIG"] = variable


def create_estimator(
    model_fn,
    model_dir,
    train_batch_size,
    eval_batch_size=8,
    predict_batch_size=8,
    save_checkpoints_steps=1000,
    keep_checkpoint_max=5,
    iterations_per_loop=1000,
    use_tpu=False,
    tpu_name=None,
    tpu_zone=None,
    gcp_project=None,
    master=None,
    num_tpu_cores=8,
    random_seed=None,
    save_summary_steps=100,
    session_config=None,
    on_save=None,
    before_save=None,
    distribution=None,
):
    """Returns an object with `train`, `evaluate`, `predict` and `model_dir`: see `BaseEstimator`.

    Args:
        model_fn: `model_fn(features, labels, mode, params)` that returns `make_spec(...)`;
            `labels` is None, `params["batch_size"]` the batch size.
        model_dir: directory of checkpoints and event files.
        train_batch_size, eval_batch_size, predict_batch_size: examples per step, all TPU cores
            together; passed on to input_fn and model_fn in `params["batch_size"]`.
        save_checkpoints_steps: steps between checkpoints.
        keep_checkpoint_max: number of checkpoints kept.
        iterations_per_loop: steps per call to the TPU.
        use_tpu, tpu_name, tpu_zone, gcp_project, master, num_tpu_cores: where to find the TPU.
        random_seed: graph-level seed.
        save_summary_steps: steps between writing the summaries of the model_fn's own graph.
        session_config: tf.ConfigProto.
        on_save: function of a new checkpoint's prefix and step, called in training when it is
            complete; if it returns true, training stops.  Never called on a TPU.
        before_save: function of the step of a checkpoint that is about to be written; as `on_save`.
        distribution: `distribution.Distribution`, or None; `params["batch_size"]` is that of this
            worker in training.

    Raises:
        InputError: `use_tpu` on a TensorFlow without TPUEstimator.
    """
    settings = dict(
        train_batch_size=train_batch_size,
        eval_batch_size=eval_batch_size,
        predict_batch_size=predict_batch_size,
        save_checkpoints_steps=save_checkpoints_steps,
        keep_checkpoint_max=keep_checkpoint_max,
        random_seed=random_seed,
        save_summary_steps=save_summary_steps,
        session_config=session_config,
        on_save=on_save,
        before_save=before_save,
        distribution=distribution,
    )
    if distribution is not None and distribution.is_distributed:
        return SessionEstimator(model_fn, model_dir, **settings)
    if not tf_compat.HAS_TF_ESTIMATOR:
        if use_tpu:
            raise InputError(
                "--use_tpu needs TensorFlow 1.15 or 2.x up to 2.15; this one has no TPUEstimator."
            )
        return SessionEstimator(model_fn, model_dir, **settings)
    return TpuEstimator(
        model_fn,
        model_dir,
        iterations_per_loop=iterations_per_loop,
        use_tpu=use_tpu,
        tpu_name=tpu_name,
        tpu_zone=tpu_zone,
        gcp_project=gcp_project,
        master=master,
        num_tpu_cores=num_tpu_cores,
        **settings,
    )
