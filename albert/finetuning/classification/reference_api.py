"""Functions of the reference's run_classifier.py as programs call them, over what is here."""

import numpy as np

import optimization
from albert.basics.tf_compat import tf
from albert.finetuning.classification.features import convert_single_example
from albert.heads.classification import HEAD_VARIABLES, create_model
from albert.model_files import checkpoints
from albert.training import estimator
from albert.training.tpu_estimator import tensorflows_spec

_SHUFFLED = 100  # features, in training


def convert_examples_to_features(examples, label_list, max_seq_length, tokenizer):
    """List of `InputFeatures`, see `convert_single_example`."""
    return [
        convert_single_example(index, example, label_list, max_seq_length, tokenizer)
        for index, example in enumerate(examples)
    ]


def input_fn_builder(features, seq_length, is_training, drop_remainder):
    """Makes an `input_fn` for an estimator over features in memory; training repeats and shuffles.

    Args:
        features: list of `InputFeatures`, each of `seq_length` tokens.

    Returns:
        Function of `params` (with "batch_size"), returning a dataset of dicts: int32
        `[batch_size, seq_length]`, and `label_ids` `[batch_size]`, float32 for a regression.
    """
    names = ("input_ids", "input_mask", "segment_ids")
    arrays = {
        name: np.array([getattr(row, name) for row in features], np.int32).reshape(-1, seq_length)
        for name in names
    }
    labels = np.array([row.label_id for row in features])
    arrays["label_ids"] = labels.astype(np.float32 if labels.dtype.kind == "f" else np.int32)

    def input_fn(params):
        dataset = tf.data.Dataset.from_tensor_slices(arrays)
        if is_training:
            dataset = dataset.repeat().shuffle(_SHUFFLED)
        return dataset.batch(params["batch_size"], drop_remainder=drop_remainder)

    return input_fn


def model_fn_builder(
    bert_config,
    num_labels,
    init_checkpoint,
    learning_rate,
    num_train_steps,
    num_warmup_steps,
    use_tpu,
    use_one_hot_embeddings,
):
    """Makes the `model_fn` of a classifier, for `tf.estimator.tpu.TPUEstimator`.

    Args:
        bert_config: config of any family.
        init_checkpoint: prefix or folder, or None.
        learning_rate, num_train_steps, num_warmup_steps: see `optimization.create_optimizer`.

    Returns:
        Function of features, labels, mode and params, returning a `TPUEstimatorSpec`; on a
        TensorFlow without estimators an `albert.training.estimator.Spec` of the same fields.
        Predictions are "probabilities", metrics "eval_accuracy" and "eval_loss".
    """

    def model_fn(features, labels, mode, params):
        del labels, params
        is_training = mode == estimator.ModeKeys.TRAIN
        loss, example_losses, logits, probabilities = create_model(
            bert_config,
            is_training,
            features["input_ids"],
            features["input_mask"],
            features["segment_ids"],
            features.get("label_ids"),
            num_labels,
            use_one_hot_embeddings,
        )
        scaffold_fn = checkpoints.init_from_checkpoint(
            init_checkpoint,
            bert_config,
            "bert_config",
            expected_new=HEAD_VARIABLES,
            use_tpu=use_tpu,
        )
        fields = {"scaffold_fn": scaffold_fn}
        if is_training:
            fields.update(
                loss=loss,
                train_op=optimization.create_optimizer(
                    loss, learning_rate, num_train_steps, num_warmup_steps, use_tpu
                ),
            )
        elif mode == estimator.ModeKeys.EVAL:
            real = tf.ones_like(example_losses)
            if "is_real_example" in features:
                real = tf.cast(features["is_real_example"], tf.float32)
            tensors = [example_losses, features["label_ids"], logits, real]
            fields.update(loss=loss, eval_metrics=(_metrics, tensors))
        else:
            fields.update(predictions={"probabilities": probabilities})
        return tensorflows_spec(estimator.Spec(mode, **fields))

    return model_fn


def _metrics(example_losses, label_ids, logits, is_real_example):
    """`{name: (value, update_op)}`; padding examples do not count."""
    predicted = tf.argmax(logits, axis=-1, output_type=tf.int32)
    return {
        "eval_accuracy": tf.metrics.accuracy(label_ids, predicted, weights=is_real_example),
        "eval_loss": tf.metrics.mean(example_losses, weights=is_real_example),
    }
