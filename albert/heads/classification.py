"""The classifier on top of the encoder."""

from typing import Any, NamedTuple, Optional

from albert.basics.tf_compat import tf
from albert.heads.encoder import build_encoder
from albert.layers.basic import create_initializer, dropout, layer_norm
from albert.model_files import variables
from albert.model_files.classifier_head import (
    FIRST_TOKEN,
    HEAD_DROPOUT,
    MEAN_WITH_PADDING,
    ClassifierHead,
)

# Fixed in the published recipes, whatever the config says.
HEAD_INITIALIZER_RANGE = 0.02
# Variables that no pre-training checkpoint has.
HEAD_VARIABLES = variables.CLASSIFIER_HEAD


class ClassifierOutputs(NamedTuple):
    """What a classification head computes; tensors, float32.

    Attributes:
        loss: scalar, the mean over the batch; None without labels.
        example_losses: `[batch_size]`; None without labels.
        logits: `[batch_size, num_labels]`.
        probabilities: the same; of a regression its logits.
    """

    loss: Optional[Any]
    example_losses: Optional[Any]
    logits: Any
    probabilities: Any


class ClassificationHead(ClassifierHead):
    """A `ClassifierHead` that builds its graph."""

    __slots__ = ()

    def build(self, config, model, features, is_training=False):
        """`ClassifierOutputs` of the sequences that `model` has encoded.

        Args:
            config, model: model config, and the encoder made of it.
            features: dict; "input_mask", int32 `[batch_size, seq_length]`, and "label_ids", int32
                `[batch_size]` or float32 of a regression, are read.  Without a mask nothing is
                padded, without labels there are no losses.
            is_training: whether the pooled vector has dropout.
        """
        pooled = pool(model, self.pooling, features.get("input_mask"))
        return self.classify(config, pooled, features.get("label_ids"), is_training)

    def classify(self, config, pooled, labels=None, is_training=False):
        """`ClassifierOutputs` of vectors, by cross entropy, or a regression's squared difference.

        Args:
            pooled: float32 `[batch_size, hidden_size]`.
            labels: see `build`.
        """
        weights = tf.get_variable(
            variables.OUTPUT_WEIGHTS,
            [self.num_labels, config.hidden_size],
            initializer=create_initializer(HEAD_INITIALIZER_RANGE),
        )
        bias = tf.get_variable(
            variables.OUTPUT_BIAS, [self.num_labels], initializer=tf.zeros_initializer()
        )
        with tf.variable_scope(variables.CLASSIFIER_LOSS):
            if config.pre_ln:
                # The pre-LN encoder ends without normalization; this is its only compensation.
                pooled = layer_norm(pooled, variables.CLASSIFIER_NORM)
            pooled = dropout(pooled, self.dropout if is_training else 0.0)
            logits = tf.nn.bias_add(tf.matmul(pooled, weights, transpose_b=True), bias)
            probabilities = logits if self.regression else tf.nn.softmax(logits)
            if labels is None:
                return ClassifierOutputs(None, None, logits, probabilities)
            if self.regression:
                losses = tf.square(tf.squeeze(logits, -1) - labels)
            else:
                losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
                    labels=labels, logits=logits
                )
            return ClassifierOutputs(tf.reduce_mean(losses), losses, logits, probabilities)


def pool(model, pooling, input_mask):
    """One vector for each sequence, `[batch_size, hidden_size]`.

    Args:
        pooling: `FIRST_TOKEN`: the pooled output; `MEAN_WITH_PADDING`: mean of the last hidden
            states over all positions, padding too (as the reference's `use_pooled_output=False`);
            `MEAN_OF_TOKENS`: over real tokens.
        input_mask: int32 `[batch_size, seq_length]`; None: all tokens are real.
    """
    if pooling == FIRST_TOKEN:
        return model.get_pooled_output()
    sequence = model.get_sequence_output()
    if pooling == MEAN_WITH_PADDING or input_mask is None:
        return tf.reduce_mean(sequence, axis=1)
    mask = tf.expand_dims(tf.cast(input_mask, tf.float32), -1)
    return tf.reduce_sum(sequence * mask, axis=1) / tf.maximum(tf.reduce_sum(mask, axis=1), 1.0)


def create_model(
    bert_config,
    is_training,
    input_ids,
    input_mask,
    segment_ids,
    labels,
    num_labels,
    use_one_hot_embeddings=False,
    pooling=FIRST_TOKEN,
    head_dropout=HEAD_DROPOUT,
    regression=False,
):
    """Encoder and classification head, with the reference's arguments.

    Args:
        bert_config: config of any family.
        is_training: bool; False switches dropout off.
        input_ids, input_mask, segment_ids: int32 `[batch_size, seq_length]`; a mask of None means
            that nothing is padded.
        labels: int32 `[batch_size]`, float32 for a regression, or None to predict.
        num_labels, pooling, head_dropout, regression: see `ClassifierHead`.

    Returns:
        (loss, per_example_loss, logits, probabilities), see `ClassifierOutputs`.
    """
    head = ClassificationHead(num_labels, pooling, regression, head_dropout)
    features = {
        "input_ids": input_ids,
        "input_mask": input_mask,
        "segment_ids": segment_ids,
        "label_ids": labels,
    }
    model = build_encoder(bert_config, features, is_training, use_one_hot_embeddings)
    return head.build(bert_config, model, features, is_training)
