"""What both training scripts need around their graphs: initial weights, the estimator, its spec."""

from albert.basics import tf_compat
from albert.basics.errors import InputError
from albert.basics.tf_compat import tf
from albert.model_files import checkpoints
from albert.training import estimator
from albert.training.hooks import ProgressHook
from albert.training.tpu_estimator import TpuEstimator


def create_estimator(model_fn, settings, on_save=None, before_save=None, distribution=None):
    """The estimator for the devices that there are; see `estimator.BaseEstimator`.

    Args:
        model_fn, on_save, before_save, distribution: as there.
        settings: those of a script, or `estimator.EstimatorSettings`.

    Raises:
        InputError: `use_tpu` on a TensorFlow without TPUEstimator.
    """
    if distribution is not None and distribution.is_distributed:
        estimator_class = estimator.SessionEstimator
    elif tf_compat.HAS_TF_ESTIMATOR:
        estimator_class = TpuEstimator
    elif settings.use_tpu:
        raise InputError(
            "--use_tpu needs TensorFlow 1.15 or 2.x up to 2.15; this one has no TPUEstimator."
        )
    else:
        estimator_class = estimator.SessionEstimator
    own = estimator.estimator_settings(settings)
    return estimator_class(model_fn, own, on_save, before_save, distribution)


def initial_weights(config, settings, from_group0=False, expected_new=(), on_loading=None):
    """`checkpoints.init_from_checkpoint` by the flags; None where a run is resumed.

    Args:
        config: model config.
        settings: those of a script.
        from_group0, expected_new, on_loading: as there.
    """
    if estimator.latest_step(settings.output_dir):
        return None
    return checkpoints.init_from_checkpoint(
        settings.init_checkpoint,
        config,
        settings.bert_config_file,
        from_group0=from_group0,
        strict=settings.strict_init,
        expected_new=expected_new,
        use_tpu=settings.use_tpu,
        on_loading=on_loading,
    )


def check_start(config, settings):
    """Checks what `initial_weights` will load, before hours are spent on reading the data.

    Raises:
        InputError: see `checkpoints.check_start`.
    """
    starts = settings.do_train and settings.init_checkpoint
    if starts and not estimator.latest_step(settings.output_dir):
        checkpoints.check_start(settings.init_checkpoint, config, settings.bert_config_file)


def training_spec(step, scores, max_steps, settings, scaffold_fn, watch=None, shows_progress=True):
    """What a `model_fn` returns for training; `scores` go to the console and to TensorBoard.

    Args:
        step: `optimization.TrainOp`.
        scores: `{name: scalar tensor}` in the order of the console line, among them "loss".
        max_steps: step at which training ends.
        settings: those of a script.
        scaffold_fn: from `checkpoints.init_from_checkpoint`.
        watch: `watch.TrainingWatch`, or None.
        shows_progress: False in processes that are to be silent.

    Returns:
        `estimator.Spec`.
    """
    hooks = []
    if settings.use_tpu:  # nothing can be fetched from a TPU in between
        watch = None
    elif shows_progress:
        hooks.append(
            ProgressHook(
                scores,
                settings.train_batch_size,
                max_steps,
                settings.log_every_steps,
                settings.output_dir,
                quiet={"learning_rate": step.learning_rate, "gradient_norm": step.gradient_norm},
                **(watch.progress_settings() if watch else {}),
            )
        )
    if watch:
        hooks += watch.hooks(step)
    loss = scores["loss"]
    if step.applied is not None:  # the estimator stops at a loss that is not finite
        loss = tf.where(step.applied, loss, tf.zeros_like(loss))
    return estimator.Spec(
        estimator.ModeKeys.TRAIN,
        loss=loss,
        train_op=step.train_op,
        scaffold_fn=scaffold_fn,
        training_hooks=hooks,
    )
