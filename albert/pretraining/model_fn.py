"""The graph of pre-training: losses and scores of a batch, the training step, the evaluation."""

import contextlib

import modeling
import optimization
from albert.basics import tf_compat
from albert.basics.tf_compat import tf
from albert.heads import pretraining
from albert.layers import fusion, products
from albert.model_files import variables
from albert.training import estimator, safety
from albert.training.distribution import Distribution
from albert.training.gradients import LossScale, compute_gradients
from albert.training.model_fn import initial_weights, training_spec

# Names of the sentence metrics in each family's reference; results carry both.
_SOP_METRICS = ("next_sentence", "sentence_order")


def model_fn_builder(config, settings, watch=None, distribution=None):
    """Makes the `model_fn` of pre-training for the estimator.

    Args:
        config: model config.
        settings: `flags.PretrainingSettings`.
        watch: `watch.TrainingWatch` of the training run, or None.
        distribution: `distribution.Distribution`, or None.
    """
    distribution = distribution or Distribution()

    def model_fn(features, labels, mode, params):
        del labels
        if mode != estimator.ModeKeys.TRAIN:  # always in float32
            mlm, sop = _build_heads(config, settings, features, is_training=False)
            return estimator.Spec(
                mode, loss=mlm.loss + sop.loss, eval_metrics=(metric_fn, metric_tensors(mlm, sop))
            )
        loss_scale = LossScale() if settings.precision == "float16" else None
        with _computed_as(settings):
            scores, gradients = _scores_and_gradients(
                config, settings, distribution, features, params["batch_size"], loss_scale
            )
        scaffold_fn = initial_weights(config, settings, from_group0=settings.init_from_group0)
        step = _train_op(settings, scores["loss"], gradients, loss_scale)
        return training_spec(
            step,
            scores,
            settings.num_train_steps,
            settings,
            scaffold_fn,
            watch,
            shows_progress=distribution.is_chief,
        )

    return model_fn


@contextlib.contextmanager
def _computed_as(settings):
    """Applies --precision and --xla to what is built within; fuses what a processor computes."""
    with contextlib.ExitStack() as stack:
        dtype = products.DTYPES[settings.precision]
        stack.enter_context(products.products_in(dtype))
        if settings.xla:
            stack.enter_context(tf.xla.experimental.jit_scope())
        elif tf_compat.HAS_FAST_XLA_ON_CPU and not (settings.use_tpu or tf_compat.num_gpus()):
            stack.enter_context(fusion.allowed())
        yield


def _build_heads(config, settings, features, is_training, count=None):
    """`HeadOutput`s of the masked language model and of sentence order."""
    model = modeling.BertModel(
        config,
        is_training,
        features["input_ids"],
        features["input_mask"],
        features["segment_ids"],
        use_one_hot_embeddings=settings.use_tpu,
        scope=variables.MODEL,  # a second part of the batch shares the variables
        positions=features["masked_lm_positions"],
        recompute_layers=is_training and settings.recompute_layers,
    )
    mlm = pretraining.masked_lm_output(
        config,
        model,
        features["masked_lm_ids"],
        features["masked_lm_weights"],
        count,
        skip_padding=not (settings.use_tpu or settings.xla),
    )
    sop = pretraining.sentence_order_output(config, model, features["next_sentence_labels"])
    return mlm, sop


def _scores_and_gradients(config, settings, distribution, features, batch_size, loss_scale):
    """Scores of the whole batch as a dict, its gradients as a list of (gradient, variable).

    On a TPU the gradients are None: the optimizer must compute them there.

    Args:
        features: this worker's part of the batch.
        batch_size: its size.
        loss_scale: `gradients.LossScale`, or None.
    """
    if settings.use_tpu:
        mlm, sop = _build_heads(config, settings, features, is_training=True)
        return {"loss": mlm.loss + sop.loss}, None
    parts = settings.gradient_accumulation_steps
    # Parts have different numbers of predictions: what counts is the mean over the whole batch's.
    weight = distribution.sum_over_workers(tf.reduce_sum(features["masked_lm_weights"]))
    count = pretraining.prediction_count(weight) / (parts * distribution.num_replicas)

    def compute_scores(part):
        return batch_scores(*_build_heads(config, settings, part, True, count), count)

    def compute_replica(part, size):
        return compute_gradients(
            compute_scores,
            part,
            size,
            parts,
            frozen=settings.freeze,
            loss_scale=None if loss_scale is None else loss_scale.value.read_value(),
        )

    scores, gradients = distribution.mean_over_replicas(compute_replica, features, batch_size)
    return scores, gradients if loss_scale is None else loss_scale.unscale(gradients)


def _train_op(settings, loss, gradients, loss_scale):
    """`optimization.TrainOp` of a step.

    Args:
        loss: scalar tensor.
        gradients: list of (gradient, variable); None: those of the loss.
        loss_scale: `gradients.LossScale`, which learns from the step, or None.
    """
    rate = optimization.learning_rate_schedule(
        tf.train.get_or_create_global_step(),
        settings.learning_rate,
        settings.num_train_steps,
        settings.num_warmup_steps,
        settings.poly_power,
        settings.start_warmup_step,
    )
    optimizer = optimization.make_optimizer(settings.optimizer, rate, use_tpu=settings.use_tpu)
    step = optimization.build_train_op(
        optimizer,
        rate,
        optimizer.compute_gradients(loss) if gradients is None else gradients,
        skip_above=safety.skip_limit(settings),
        use_tpu=settings.use_tpu,
    )
    if loss_scale is None:
        return step
    finite = tf.math.is_finite(step.gradient_norm)
    return step._replace(train_op=tf.group(step.train_op, loss_scale.update(finite)))


def batch_scores(mlm, sop, count):
    """Scalars of one training batch, in the order of the console line.

    Args:
        mlm, sop: `HeadOutput`s.
        count: scalar tensor, what sums over predictions are divided by.
    """
    mlm_hits, sop_hits = _hits(mlm), _hits(sop)
    return {
        "loss": mlm.loss + sop.loss,
        "masked_lm_loss": mlm.loss,
        "sentence_order_loss": sop.loss,
        "masked_lm_accuracy": tf.reduce_sum(mlm_hits * mlm.weights) / count,
        "sentence_order_accuracy": tf.reduce_mean(sop_hits),
    }


def _hits(head):
    predicted = tf.argmax(head.logits, -1, output_type=tf.int32)
    return tf.cast(tf.equal(predicted, head.labels), tf.float32)


def metric_tensors(mlm, sop):
    """Arguments of `metric_fn`: per prediction and per example; a flat list, as TPUs want it."""
    return [
        tf.argmax(mlm.logits, -1, output_type=tf.int32),
        mlm.example_loss,
        mlm.labels,
        mlm.weights,
        tf.argmax(sop.logits, -1, output_type=tf.int32),
        sop.example_loss,
        sop.labels,
    ]


def metric_fn(mlm_predicted, mlm_loss, mlm_ids, mlm_weights, sop_predicted, sop_loss, sop_labels):
    """The metrics of evaluation, `{name: (value, update_op)}`."""
    metrics = {
        "masked_lm_accuracy": tf.metrics.accuracy(mlm_ids, mlm_predicted, weights=mlm_weights),
        "masked_lm_loss": tf.metrics.mean(mlm_loss, weights=mlm_weights),
    }
    accuracy = tf.metrics.accuracy(sop_labels, sop_predicted)
    loss = tf.metrics.mean(sop_loss)
    for name in _SOP_METRICS:
        metrics[name + "_accuracy"] = accuracy
        metrics[name + "_loss"] = loss
    return metrics
