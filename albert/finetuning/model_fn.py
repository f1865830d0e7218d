"""The training graph of fine-tuning."""

import numpy as np

import optimization
from albert.basics.errors import InputError
from albert.basics.tf_compat import tf
from albert.heads import classification
from albert.model_files import checkpoints
from albert.training import estimator
from albert.training.gradients import compute_gradients
from albert.training.model_fn import initial_weights, training_spec


def step_counts(num_examples, options):
    """Training steps, and those of them that warm up, rounded down.

    Raises:
        InputError: there is no step.
    """
    num_train_steps = options.num_train_steps or int(
        num_examples / options.train_batch_size * options.num_train_epochs
    )
    if num_train_steps < 1:
        raise InputError(
            "%d training examples, --train_batch_size %d and --num_train_epochs %s make no "
            "step; use a smaller batch or more epochs."
            % (num_examples, options.train_batch_size, options.num_train_epochs)
        )
    num_warmup_steps = options.num_warmup_steps
    if num_warmup_steps is None:
        num_warmup_steps = int(num_train_steps * options.warmup_proportion)
    return num_train_steps, num_warmup_steps


def model_fn_builder(
    config,
    options,
    num_labels,
    num_train_steps,
    num_warmup_steps,
    regression=False,
    class_weights=None,
    recorder=None,
):
    """Makes the `model_fn` of fine-tuning for the estimator: training and prediction.

    Args:
        config: model config.
        options: `{flag: value}`.
        num_labels: 1 for a regression.
        num_train_steps, num_warmup_steps: see `step_counts`; None to predict.
        regression: whether labels are numbers.
        class_weights: `[num_labels]`, factors of the training loss; None: 1.
        recorder: `hooks.MeanRecorder` of the training loss, or None.
    """

    def build(features, is_training):
        return classification.create_model(
            config,
            is_training,
            features["input_ids"],
            features["input_mask"],
            features["segment_ids"],
            features["label_ids"],
            num_labels,
            options.use_tpu,
            options.pooling,
            options.head_dropout,
            regression,
        )

    def compute_scores(features):
        loss, per_example_loss, logits, _ = build(features, True)
        label_ids = features["label_ids"]
        if class_weights is not None:
            weights = tf.gather(tf.constant(class_weights, tf.float32), label_ids)
            loss = tf.reduce_mean(per_example_loss * weights)
        if regression:
            return {"loss": loss}
        hits = tf.equal(tf.argmax(logits, -1, output_type=tf.int32), label_ids)
        return {"loss": loss, "accuracy": tf.reduce_mean(tf.cast(hits, tf.float32))}

    def model_fn(features, labels, mode, params):
        del labels
        if mode == estimator.ModeKeys.PREDICT:
            _, losses, _, probabilities = build(features, False)
            predictions = {"probabilities": probabilities, "losses": losses}
            return estimator.Spec(mode, predictions=predictions)
        scores, gradients = _gradients(compute_scores, features, params["batch_size"], options)
        scaffold_fn = initial_weights(config, options, expected_new=classification.HEAD_VARIABLES)
        rate = optimization.learning_rate_schedule(
            tf.train.get_or_create_global_step(),
            options.learning_rate,
            num_train_steps,
            num_warmup_steps,
        )
        optimizer = optimization.make_optimizer(
            options.optimizer, rate, _learning_rate_factors(options), options.use_tpu
        )
        step = optimization.build_train_op(
            optimizer,
            rate,
            optimizer.compute_gradients(scores["loss"]) if gradients is None else gradients,
            options.reference_clip_norm,
            use_tpu=options.use_tpu,
        )
        spec = training_spec(step, scores, num_train_steps, options, scaffold_fn)
        if recorder is not None:
            hooks = [*spec.training_hooks, recorder.watch(scores["loss"])]
            spec = spec._replace(training_hooks=hooks)
        return spec

    return model_fn


def _gradients(compute_scores, features, batch_size, options):
    """Scores, and gradients unless they are the plain ones of the loss."""
    parts, epsilon = options.gradient_accumulation_steps, options.adversarial_epsilon
    if parts == 1 and not epsilon:
        return compute_scores(features), None
    return compute_gradients(compute_scores, features, batch_size, parts, epsilon)


def _learning_rate_factors(options):
    if options.layerwise_decay == 1.0:
        return None
    names = [checkpoints.variable_name(variable) for variable in tf.trainable_variables()]
    return optimization.layerwise_factors(names, options.layerwise_decay)


def class_weights(label_ids, num_labels):
    """Weights of the classes in the loss that make every class count the same.

    Weight of a class: examples / (classes that occur * examples of the class), scikit-learn's
    "balanced"; the mean over the examples is 1.  A class without examples has weight 0.

    Args:
        label_ids: ints, one for each training example.

    Returns:
        float32 `[num_labels]`.
    """
    counts = np.bincount(np.asarray(label_ids, np.int64), minlength=num_labels)
    if len(counts) > num_labels:
        raise InputError("label id %d; expected less than %d." % (len(counts) - 1, num_labels))
    weights = counts.sum() / (np.count_nonzero(counts) * np.maximum(counts, 1))
    return np.where(counts, weights, 0.0).astype(np.float32)
