"""The two pre-training objectives: masked language model (MLM) and sentence order (SOP)."""

from typing import Any, NamedTuple

from albert.basics.tf_compat import tf
from albert.layers.basic import create_initializer, dense, get_activation, layer_norm
from albert.layers.products import affine, matmul
from albert.model_files.configuration import BRIGHTMART

# Keeps a batch without any prediction from dividing by zero.
_WEIGHT_EPSILON = 1e-5


class HeadOutput(NamedTuple):
    """Tensors of one objective; a row is a prediction or an example.

    Attributes:
        loss: float32 scalar.
        example_loss: float32 `[rows]`.
        logits, log_probs: float32 `[rows, number of classes]`.
        labels: int32 `[rows]`.
        weights: float32 `[rows]`; 0: the row does not count.
    """

    loss: Any
    example_loss: Any
    logits: Any
    log_probs: Any
    labels: Any
    weights: Any


@tf.custom_gradient
def cross_entropy(logits, labels):
    """Negative log-likelihood of `labels`.

    On a CPU about twice as fast as TensorFlow's own, which shows over a whole vocabulary.

    Args:
        logits: float32 `[rows, vocab_size]`.
        labels: int32 `[rows]`.

    Returns:
        float32 `[rows]`.
    """
    label_of_row = tf.stack([tf.range(tf.shape(labels)[0]), labels], axis=1)
    largest = tf.reduce_max(logits, axis=-1, keepdims=True)
    exponentials = tf.exp(logits - largest)
    total = tf.reduce_sum(exponentials, axis=-1, keepdims=True)
    loss = tf.squeeze(tf.log(total) + largest, axis=-1) - tf.gather_nd(logits, label_of_row)

    def gradient(upstream):
        softmax = exponentials * (tf.expand_dims(upstream, -1) / total)
        return tf.tensor_scatter_sub(softmax, label_of_row, upstream), None

    return loss, gradient


def prediction_count(label_weights):
    """What the sum of a batch's MLM losses is divided by: the number of its predictions.

    Args:
        label_weights: float32, any shape; 0 for padding.
    """
    return tf.reduce_sum(label_weights) + _WEIGHT_EPSILON


def masked_lm_output(config, model, label_ids, label_weights, normalizer=None, skip_padding=False):
    """MLM loss and predictions; the output layer shares the embedding table.

    Args:
        config, model: the config and its `BertModel`, made with the masked `positions`.
        label_ids: int32 `[batch_size, num_predictions]`.
        label_weights: float32, same shape; 0 for padding.
        normalizer: what to divide the sum of the losses by; None: `prediction_count` of
            `label_weights`.
        skip_padding: leave predictions of weight 0 out, which saves their way through the
            vocabulary; not on TPU, which wants static shapes.

    Returns:
        `HeadOutput`; its rows are `batch_size * num_predictions`, or those of them that are no
        padding; log_probs are `[rows, vocab_size]`.
    """
    brightmart = config.family == BRIGHTMART
    hidden = tf.reshape(model.get_positions_output(), [-1, config.hidden_size])
    labels, weights = tf.reshape(label_ids, [-1]), tf.reshape(label_weights, [-1])
    if skip_padding:
        rows = tf.squeeze(tf.where(weights > 0.0), axis=1)
        hidden, labels, weights = (tf.gather(values, rows) for values in (hidden, labels, weights))
    with tf.variable_scope("cls/predictions"):
        hidden = dense(
            hidden,
            config.hidden_size if brightmart else config.embedding_size,
            "transform/dense",
            activation=get_activation(config.hidden_act),
            initializer_range=config.initializer_range,
        )
        hidden = layer_norm(hidden, "transform/LayerNorm")
        if brightmart:
            hidden = matmul(hidden, model.get_embedding_table_2(), transpose_b=True)
        bias = tf.get_variable(
            "output_bias", [config.vocab_size], initializer=tf.zeros_initializer()
        )
        logits = affine(hidden, model.get_embedding_table(), bias, transpose_kernel=True)
    example_loss = cross_entropy(logits, labels)
    if normalizer is None:
        normalizer = prediction_count(weights)
    loss = tf.reduce_sum(weights * example_loss) / normalizer
    return HeadOutput(loss, example_loss, logits, tf.nn.log_softmax(logits), labels, weights)


def sentence_order_output(config, model, labels):
    """SOP loss and predictions.

    Args:
        config, model: the config and its `BertModel`.
        labels: int32 `[batch_size]` or `[batch_size, 1]`; 1 where the segments are swapped.

    Returns:
        `HeadOutput` with example_loss `[batch_size]` and log_probs `[batch_size, 2]`.
    """
    with tf.variable_scope("cls/seq_relationship"):
        weights = tf.get_variable(
            "output_weights",
            [2, config.hidden_size],
            initializer=create_initializer(config.initializer_range),
        )
        bias = tf.get_variable("output_bias", [2], initializer=tf.zeros_initializer())
    logits = tf.nn.bias_add(tf.matmul(model.get_pooled_output(), weights, transpose_b=True), bias)
    labels = tf.reshape(labels, [-1])
    example_loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
    loss = tf.reduce_mean(example_loss)
    weights = tf.ones_like(example_loss)
    return HeadOutput(loss, example_loss, logits, tf.nn.log_softmax(logits), labels, weights)
