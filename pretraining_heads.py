"""The two pre-training objectives: masked language model (MLM) and sentence order (SOP)."""

import collections

from configuration import BRIGHTMART
from modeling import create_initializer, dense, get_activation, layer_norm
from tf_compat import tf

# loss: scalar; example_loss, logits, log_probs: one row for each prediction or example.
HeadOutput = collections.namedtuple("HeadOutput", "loss example_loss logits log_probs")

# Keeps a batch without any prediction from dividing by zero (spec/model.md 1.2).
_WEIGHT_EPSILON = 1e-5


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


def masked_lm_output(config, model, label_ids, label_weights):
    """MLM loss and predictions; the output layer shares the embedding table.

    Args:
        config, model: the config and its `BertModel`, made with the masked `positions`.
        label_ids: int32 `[batch_size, num_predictions]`.
        label_weights: float32, same shape; 0 for padding.

    Returns:
        `HeadOutput` with example_loss `[batch_size * num_predictions]` and log_probs
        `[batch_size * num_predictions, vocab_size]`.
    """
    brightmart = config.family == BRIGHTMART
    hidden = tf.reshape(model.get_positions_output(), [-1, config.hidden_size])
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
            hidden = tf.matmul(hidden, model.get_embedding_table_2(), transpose_b=True)
        bias = tf.get_variable(
            "output_bias", [config.vocab_size], initializer=tf.zeros_initializer()
        )
        logits = tf.nn.bias_add(
            tf.matmul(hidden, model.get_embedding_table(), transpose_b=True), bias
        )
    example_loss = cross_entropy(logits, tf.reshape(label_ids, [-1]))
    weights = tf.reshape(label_weights, [-1])
    loss = tf.reduce_sum(weights * example_loss) / (tf.reduce_sum(weights) + _WEIGHT_EPSILON)
    return HeadOutput(loss, example_loss, logits, tf.nn.log_softmax(logits))


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
    example_loss = tf.nn.sparse_softmax_cross_entropy_with_logits(
        labels=tf.reshape(labels, [-1]), logits=logits
    )
    return HeadOutput(tf.reduce_mean(example_loss), example_loss, logits, tf.nn.log_softmax(logits))
