"""TensorFlow's TPUEstimator behind the interface of estimator.py."""

import os
import time

from albert.basics import tf_compat
from albert.basics.errors import InputError, reason
from albert.basics.tf_compat import tf
from albert.training.estimator import BaseEstimator
from albert.training.hooks import CountRunsHook

# To find a TPU and to get its first answer; a TensorFlow session waits for it without end.
_ANSWER_SECONDS = 60
# TensorFlow does not let Python handle signals in the meantime, in no thread.
_ATTEMPT_SECONDS = 4


class TpuEstimator(BaseEstimator):
    """TensorFlow's TPUEstimator, which also runs on a CPU or GPU; arguments of `BaseEstimator`."""

    def __init__(self, model_fn, settings, on_save=None, before_save=None, distribution=None):
        super().__init__(model_fn, settings, on_save, before_save, distribution)
        self.use_tpu = settings.use_tpu
        tpu = tf.estimator.tpu
        self._config = _run_config(
            settings.use_tpu,
            cluster=_tpu_cluster(settings),
            master=settings.master,
            model_dir=settings.output_dir,
            tf_random_seed=settings.seed,
            save_checkpoints_steps=settings.save_checkpoints_steps if settings.use_tpu else None,
            save_checkpoints_secs=None,
            save_summary_steps=0,
            keep_checkpoint_max=settings.keep_checkpoint_max,
            log_step_count_steps=None,
            session_config=self._session_config,
            tpu_config=tpu.TPUConfig(
                iterations_per_loop=settings.iterations_per_loop,
                num_shards=settings.num_tpu_cores,
                per_host_input_for_training=tpu.InputPipelineConfig.PER_HOST_V2,
            ),
        )

    def _train(self, input_fn, max_steps, hooks):
        checkpoint = tf.train.latest_checkpoint(self.output_dir)
        self._estimator(checkpoint).train(input_fn, hooks=hooks, max_steps=max_steps)

    def _evaluate(self, input_fn, steps, checkpoint, name):
        counter = CountRunsHook()
        results = self._estimator(checkpoint).evaluate(
            input_fn, steps=steps, hooks=[counter], checkpoint_path=checkpoint, name=name
        )
        return results, counter.runs

    def _predict(self, input_fn, batch_size, checkpoint):
        model = self._estimator(checkpoint, batch_size)
        return model.predict(input_fn, checkpoint_path=checkpoint)

    def _estimator(self, checkpoint, predict_batch_size=None):
        def model_fn(features, labels, mode, params):
            spec = self._call_model_fn(features, mode, params, checkpoint)
            return tensorflows_spec(spec)

        return tf.estimator.tpu.TPUEstimator(
            model_fn,
            config=self._config,
            use_tpu=self.use_tpu,
            train_batch_size=self._train_batch_size,
            eval_batch_size=self._settings.eval_batch_size,
            predict_batch_size=predict_batch_size,
        )


def tensorflows_spec(spec):
    """`estimator.Spec` as TensorFlow's TPUEstimator takes it; as it is where there is none."""
    if not tf_compat.HAS_TF_ESTIMATOR:
        return spec
    return tf.estimator.tpu.TPUEstimatorSpec(**spec._asdict())


def _tpu_cluster(settings):
    """Where the TPU is; None: named by its master, or there is none.

    Raises:
        InputError: there is no TPU of this name, or it does not answer.
    """
    if not settings.use_tpu:
        return None
    if not settings.tpu_name:
        if settings.master:
            _check_answer(settings.master, "master")
        else:
            _check_own_devices()
        return None
    try:
        cluster = tf.distribute.cluster_resolver.TPUClusterResolver(
            settings.tpu_name, zone=settings.tpu_zone, project=settings.gcp_project
        )
        address = cluster.master()
    except Exception as error:  # of packages and networks without number
        raise InputError(
            "--tpu_name: the TPU '%s' is not found (%s: %s)."
            % (settings.tpu_name, type(error).__name__, reason(error))
        ) from error
    _check_answer(address, "tpu_name")
    return cluster


def _check_own_devices():
    """Raises InputError if this machine has no TPU of its own."""
    with tf.Graph().as_default(), tf.Session() as session:
        if any("TPU" in device.device_type for device in session.list_devices()):
            return
    raise InputError(
        "--use_tpu: this machine has no TPU; name one by --tpu_name, or its address by --master."
    )


def _check_answer(address, flag):
    """Raises InputError if nothing answers at the address of a TPU."""
    print("Waiting up to %d s for the TPU at %s." % (_ANSWER_SECONDS, address), flush=True)
    end = time.monotonic() + _ANSWER_SECONDS
    while True:
        seconds = min(_ATTEMPT_SECONDS, _ANSWER_SECONDS)
        config = tf.ConfigProto(operation_timeout_in_ms=int(1000 * seconds))
        try:
            with tf.Graph().as_default(), tf.Session(address, config=config) as session:
                session.list_devices()
            return
        except tf.errors.OpError as error:
            if time.monotonic() > end:
                raise InputError(
                    "--%s: no TPU answers at '%s' (%s, after %d s); is it running, and its address "
                    "right?" % (flag, address, reason(error), _ANSWER_SECONDS)
                ) from error
        time.sleep(0.1)


def _run_config(use_tpu, **arguments):
    """A `RunConfig`; off the TPU it must not look for other processes in TF_CONFIG."""
    variable = None if use_tpu else os.environ.pop("TF_CONFIG", None)
    try:
        return tf.estimator.tpu.RunConfig(**arguments)
    finally:
        if variable is not None:
            os.environ["TF_CONFIG"] = variable
