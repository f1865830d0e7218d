"""The two pre-training objectives: masked language model (MLM) and sentence order (SOP)."""

import collections

from configuration import BRIGHTMART
from modeling import create_initializer, dense, get_activation, get_shape_list, layer_norm
from tf_compat import tf

# loss: scalar; example_loss, logits, log_probs: one row for each prediction or example.
HeadOutput = collections.namedtuple("HeadOutput", "loss example_loss logits log_probs")

# Keeps a batch without any prediction from dividing by zero (spec/model.md 1.2).
_WEIGHT_EPSILON = 1e-5


def gather_positions(sequence, positions):
    """Picks the hidden states at the masked positions.

    Args:
        sequence: `[batch_size, seq_length, hidden_size]`.
        positions: int32 `[batch_size, num_predictions]`.

    Returns:
        `[batch_size * num_predictions, hidden_size]`.
    """
    batch_size, seq_length, width = get_shape_list(sequence, expected_rank=3)
    offsets = tf.reshape(tf.range(batch_size, dtype=tf.int32) * seq_length, [-1, 1])
    flat_positions = tf.reshape(positions + offsets, [-1])
    return tf.gather(tf.reshape(sequence, [-1, width]), flat_positions)


def masked_lm_output(config, model, positions, label_ids, label_weights):
    """MLM loss and predictions; the output layer shares the embedding table.

    Args:
        config, model: the config and its `BertModel`.
        positions, label_ids: int32 `[batch_size, num_predictions]`.
        label_weights: float32, same shape; 0 for padding.

    Returns:
        `HeadOutput` with example_loss `[batch_size * num_predictions]` and log_probs
        `[batch_size * num_predictions, vocab_size]`.
    """
    brightmart = config.family == BRIGHTMART
    hidden = gather_positions(model.get_sequence_output(), positions)
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
    # On a CPU faster than TensorFlow's softmax cross entropy, which shows over a whole vocabulary.
    label_logits = tf.gather(logits, tf.reshape(label_ids, [-1]), batch_dims=1)
    example_loss = tf.reduce_logsumexp(logits, -1) - label_logits
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
