"""The two pre-training objectives: masked language model (MLM) and sentence order (SOP)."""

from typing import Any, NamedTuple

import modeling
from albert.basics.tf_compat import tf
from albert.layers.basic import create_initializer, dense, get_activation, layer_norm
from albert.layers.products import affine, matmul
from albert.layers.shapes import get_shape_list
from albert.model_files import variables

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
    hidden = tf.reshape(model.get_positions_output(), [-1, config.hidden_size])
    labels, weights = tf.reshape(label_ids, [-1]), tf.reshape(label_weights, [-1])
    if skip_padding:
        rows = tf.squeeze(tf.where(weights > 0.0), axis=1)
        hidden, labels, weights = (tf.gather(values, rows) for values in (hidden, labels, weights))
    return _masked_lm(
        config,
        hidden,
        config.embedding_width,
        model.get_embedding_table(),
        model.get_embedding_table_2() if config.projects_words else None,
        labels,
        weights,
        normalizer,
    )


def _masked_lm(config, hidden, width, table, projection, labels, weights, normalizer=None):
    """`HeadOutput` of the masked language model at some positions.

    Args:
        hidden: float32 `[rows, hidden_size]`.
        width: of the transformed hidden states.
        table: `[vocab_size, embedding_size]`.
        projection: `[embedding_size, width]` of a brightmart model, or None.
        labels, weights: `[rows]`.
        normalizer: see `masked_lm_output`.
    """
    with tf.variable_scope(variables.MASKED_LM):
        hidden = dense(
            hidden,
            width,
            variables.MASKED_LM_DENSE,
            activation=get_activation(config.hidden_act),
            initializer_range=config.initializer_range,
        )
        hidden = layer_norm(hidden, variables.MASKED_LM_NORM)
        if projection is not None:
            hidden = matmul(hidden, projection, transpose_b=True)
        bias = tf.get_variable(
            variables.OUTPUT_BIAS, [config.vocab_size], initializer=tf.zeros_initializer()
        )
        logits = affine(hidden, table, bias, transpose_kernel=True)
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
    return _sentence_order(config, model.get_pooled_output(), labels)


def _sentence_order(config, pooled, labels):
    """`sentence_order_output` of vectors, `[batch_size, hidden_size]`."""
    with tf.variable_scope(variables.SENTENCE_ORDER):
        weights = tf.get_variable(
            variables.OUTPUT_WEIGHTS,
            [2, config.hidden_size],
            initializer=create_initializer(config.initializer_range),
        )
        bias = tf.get_variable(variables.OUTPUT_BIAS, [2], initializer=tf.zeros_initializer())
    logits = tf.nn.bias_add(tf.matmul(pooled, weights, transpose_b=True), bias)
    labels = tf.reshape(labels, [-1])
    example_loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
    loss = tf.reduce_mean(example_loss)
    weights = tf.ones_like(example_loss)
    return HeadOutput(loss, example_loss, logits, tf.nn.log_softmax(logits), labels, weights)


# The functions of the reference scripts run_pretraining.py: tensors in, tensors out.


def gather_indexes(sequence_tensor, positions):
    """The vectors at `positions` of every sequence, one below the other.

    Args:
        sequence_tensor: `[batch_size, seq_length, width]`.
        positions: int32 `[batch_size, num_positions]`.

    Returns:
        `[batch_size * num_positions, width]`.
    """
    picked = modeling.gather_positions(sequence_tensor, positions)
    return tf.reshape(picked, [-1, get_shape_list(sequence_tensor)[-1]])


def get_masked_lm_output(bert_config, input_tensor, output_weights, *arguments, **named):
    """MLM loss and predictions, called as in any of the references:

        get_masked_lm_output(bert_config, input_tensor, output_weights,
                             positions, label_ids, label_weights)
        get_masked_lm_output(bert_config, input_tensor, output_weights, project_weights,
                             positions, label_ids, label_weights)

    Args:
        bert_config: config of any family.
        input_tensor: float32 `[batch_size, seq_length, hidden_size]`.
        output_weights: the embedding table, `[vocab_size, embedding_size]`.
        project_weights: `get_embedding_table_2()` of a brightmart model (albert_zh).
        positions, label_ids, label_weights: `[batch_size, num_predictions]`.

    Returns:
        (loss, per_example_loss, log_probs): a scalar, `[batch_size * num_predictions]` and
        `[batch_size * num_predictions, vocab_size]`.
    """
    function = _get_masked_lm_output
    if len(arguments) + len(named) > 3:
        function = _get_projected_masked_lm_output
    output = function(bert_config, input_tensor, output_weights, *arguments, **named)
    return output.loss, output.example_loss, output.log_probs


def _get_masked_lm_output(
    bert_config, input_tensor, output_weights, positions, label_ids, label_weights
):
    width = get_shape_list(output_weights)[-1]
    hidden = gather_indexes(input_tensor, positions)
    labels = tf.cast(tf.reshape(label_ids, [-1]), tf.int32)
    weights = tf.reshape(label_weights, [-1])
    return _masked_lm(bert_config, hidden, width, output_weights, None, labels, weights)


def _get_projected_masked_lm_output(
    bert_config,
    input_tensor,
    output_weights,
    project_weights,
    positions,
    label_ids,
    label_weights,
):
    hidden = gather_indexes(input_tensor, positions)
    labels = tf.cast(tf.reshape(label_ids, [-1]), tf.int32)
    weights = tf.reshape(label_weights, [-1])
    width = bert_config.hidden_size
    return _masked_lm(bert_config, hidden, width, output_weights, project_weights, labels, weights)


def get_next_sentence_output(bert_config, input_tensor, labels):
    """Loss of the sentence order (or the next sentence) and predictions.

    Args:
        bert_config: config of any family.
        input_tensor: float32 `[batch_size, hidden_size]`, the pooled output.
        labels: int32 `[batch_size]` or `[batch_size, 1]`.

    Returns:
        (loss, per_example_loss, log_probs): a scalar, `[batch_size]` and `[batch_size, 2]`.
    """
    output = _sentence_order(bert_config, input_tensor, labels)
    return output.loss, output.example_loss, output.log_probs


def get_sentence_order_output(albert_config, input_tensor, labels):
    """`get_next_sentence_output` under its name in google-research/albert."""
    return get_next_sentence_output(albert_config, input_tensor, labels)
