"""What every training script has in common: flags for the estimator, the end of a model_fn."""

from albert.basics.tf_compat import tf
from albert.model_files import checkpoints
from albert.training import estimator, tpu_estimator
from albert.training.hooks import ProgressHook

_SETTINGS = (
    "train_batch_size",
    "eval_batch_size",
    "predict_batch_size",
    "save_checkpoints_steps",
    "keep_checkpoint_max",
    "iterations_per_loop",
    "use_tpu",
    "tpu_name",
    "tpu_zone",
    "gcp_project",
    "master",
    "num_tpu_cores",
)


def initial_weights(config, options, **settings):
    """`checkpoints.init_from_checkpoint` by the flags; None where a run is resumed.

    Args:
        config: model config.
        options: `{flag: value}`.
        settings: further arguments.
    """
    if estimator.latest_step(options.output_dir):
        return None
    return checkpoints.init_from_checkpoint(
        options.init_checkpoint,
        config,
        options.bert_config_file,
        strict=options.strict_init,
        use_tpu=options.use_tpu,
        **settings,
    )


def create_estimator(model_fn, options, on_save=None, **settings):
    """`estimator.create_estimator` with the settings of `options` (`{flag: value}`), and more."""
    own = options._asdict()
    settings.update((name, own[name]) for name in _SETTINGS if name in own)
    return tpu_estimator.create_estimator(
        model_fn,
        options.output_dir,
        random_seed=options.seed,
        save_summary_steps=options.log_every_steps,
        on_save=on_save,
        **settings,
    )


def training_spec(
    loss, step, scores, max_steps, options, scaffold_fn, watch=None, shows_progress=True
):
    """What a `model_fn` returns for training; `scores` go to the console and to TensorBoard.

    Args:
        loss: scalar tensor.
        step: `optimization.TrainOp`.
        scores: `{name: scalar tensor}` in the order of the console line.
        max_steps: step at which training ends.
        options: `{flag: value}` of the script.
        scaffold_fn: from `checkpoints.init_from_checkpoint`.
        watch: `watch.TrainingWatch`, or None.
        shows_progress: False in processes that are to be silent.
    """
    hooks = []
    if options.use_tpu:  # nothing can be fetched from a TPU in between
        watch = None
    elif shows_progress:
        hooks.append(
            ProgressHook(
                scores,
                options.train_batch_size,
                max_steps,
                options.log_every_steps,
                options.output_dir,
                quiet={"learning_rate": step.learning_rate, "gradient_norm": step.gradient_norm},
                **(watch.progress_settings() if watch else {}),
            )
        )
    if watch:
        hooks += watch.hooks(step, options.train_batch_size)
    if step.applied is not None:  # the estimator stops at a loss that is not finite
        loss = tf.where(step.applied, loss, tf.zeros_like(loss))
    return estimator.make_spec(
        estimator.ModeKeys.TRAIN,
        loss=loss,
        train_op=step.train_op,
        scaffold_fn=scaffold_fn,
        training_hooks=hooks,
    )
