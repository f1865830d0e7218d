"""The classifier on top of the encoder."""

import modeling
from albert.basics.tf_compat import tf
from albert.layers.basic import create_initializer, dropout, layer_norm
from albert.model_files import variables

# Fixed in the published recipes, whatever the config says.
HEAD_DROPOUT = 0.1
HEAD_INITIALIZER_RANGE = 0.02
# Variables that no pre-training checkpoint has.
HEAD_VARIABLES = variables.CLASSIFIER_HEAD


POOLINGS = ("cls", "mean", "masked_mean")


def pool(model, pooling, input_mask):
    """One vector for each sequence, `[batch_size, hidden_size]`.

    Args:
        pooling: "cls": the pooled output; "mean": mean of the last hidden states over all
            positions, padding too (as the reference's `use_pooled_output=False`);
            "masked_mean": over real tokens.
        input_mask: int32 `[batch_size, seq_length]`; None: all tokens are real.
    """
    if pooling == "cls":
        return model.get_pooled_output()
    sequence = model.get_sequence_output()
    if pooling == "mean" or input_mask is None:
        return tf.reduce_mean(sequence, axis=1)
    mask = tf.expand_dims(tf.cast(input_mask, tf.float32), -1)
    return tf.reduce_sum(sequence * mask, axis=1) / tf.maximum(tf.reduce_sum(mask, axis=1), 1.0)


def classification_head(config, features, labels, num_labels, dropout_prob=0.0, regression=False):
    """Logits and loss: cross entropy, or the squared difference of a regression.

    Args:
        features: `[batch_size, hidden_size]`.
        labels: int32 `[batch_size]`, float32 for a regression, or None to predict.
        num_labels: 1 for a regression.
        regression: whether the label is a number.

    Returns:
        (loss, per_example_loss, logits, probabilities); the losses are None without labels.  The
        "probabilities" of a regression are its logits.
    """
    weights = tf.get_variable(
        variables.OUTPUT_WEIGHTS,
        [num_labels, config.hidden_size],
        initializer=create_initializer(HEAD_INITIALIZER_RANGE),
    )
    bias = tf.get_variable(variables.OUTPUT_BIAS, [num_labels], initializer=tf.zeros_initializer())
    with tf.variable_scope(variables.CLASSIFIER_LOSS):
        if config.pre_ln:
            # The pre-LN encoder ends without normalization; this is its only compensation.
            features = layer_norm(features, variables.CLASSIFIER_NORM)
        features = dropout(features, dropout_prob)
        logits = tf.nn.bias_add(tf.matmul(features, weights, transpose_b=True), bias)
        probabilities = logits if regression else tf.nn.softmax(logits)
        if labels is None:
            return None, None, logits, probabilities
        if regression:
            per_example_loss = tf.square(tf.squeeze(logits, -1) - labels)
        else:
            per_example_loss = tf.nn.sparse_softmax_cross_entropy_with_logits(
                labels=labels, logits=logits
            )
        return tf.reduce_mean(per_example_loss), per_example_loss, logits, probabilities


def create_model(
    bert_config,
    is_training,
    input_ids,
    input_mask,
    segment_ids,
    labels,
    num_labels,
    use_one_hot_embeddings=False,
    pooling="cls",
    head_dropout=HEAD_DROPOUT,
    regression=False,
):
    """Encoder and classification head.

    Args:
        bert_config: config of any family.
        is_training: bool; False switches dropout off.
        input_ids, input_mask, segment_ids: int32 `[batch_size, seq_length]`; a mask of None means
            that nothing is padded.
        labels: int32 `[batch_size]`, float32 for a regression, or None to predict.
        pooling: see `pool`.
        head_dropout: dropout on the pooled vector, in training only.
        regression: see `classification_head`.

    Returns:
        (loss, per_example_loss, logits, probabilities): scalar, `[batch_size]`, and twice
        `[batch_size, num_labels]`.
    """
    model = modeling.BertModel(
        bert_config,
        is_training,
        input_ids,
        input_mask,
        segment_ids,
        use_one_hot_embeddings,
        scope="bert",
    )
    return classification_head(
        bert_config,
        pool(model, pooling, input_mask),
        labels,
        num_labels,
        head_dropout if is_training else 0.0,
        regression,
    )
