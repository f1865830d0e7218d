"""The plain TensorFlow graph of a classifier or an encoder: what every faster path must equal."""

import numpy as np

import modeling
from albert.basics.tf_compat import tf
from albert.heads import classification
from albert.model_files.classifier_head import ClassifierHead


def _arrays(encoded, width):
    """Ids, segment ids and mask of (input ids, segment ids) pairs, padded to one width."""
    input_ids, segment_ids, input_mask = np.zeros([3, len(encoded), width], np.int32)
    for row, (ids, segments) in enumerate(encoded):
        input_ids[row, : len(ids)] = ids
        segment_ids[row, : len(ids)] = segments
        input_mask[row, : len(ids)] = 1
    return input_ids, segment_ids, input_mask


def _run(checkpoint, encoded, width, build):
    """Output of `build(input_ids, input_mask, segment_ids)` for all in one padded batch."""
    input_ids, segment_ids, input_mask = _arrays(encoded, width)
    with tf.Graph().as_default(), tf.Session() as session:
        output = build(*map(tf.constant, (input_ids, input_mask, segment_ids)))
        tf.train.Saver(tf.trainable_variables()).restore(session, checkpoint)
        return session.run(output)


def probabilities(checkpoint, config, encoded, **head):
    """Output of a classifier, float32 `[number of encoded, num_labels]`.

    Args:
        encoded: list of (input ids, segment ids), without padding.
        **head: of `ClassifierHead`, but for the number of labels.
    """
    num_labels = tf.train.load_variable(checkpoint, "output_bias").shape[0]
    head = ClassifierHead(num_labels, **head)

    def build(input_ids, input_mask, segment_ids):
        return classification.create_model(
            config,
            False,
            input_ids,
            input_mask,
            segment_ids,
            None,
            head.num_labels,
            pooling=head.pooling,
            regression=head.regression,
        )[-1]

    width = head.fixed_length or max(len(ids) for ids, _ in encoded)
    return _run(checkpoint, encoded, width, build)


def token_vectors(checkpoint, config, encoded, layer_indexes):
    """Outputs of layers, side by side: list of float32 `[tokens, size]`, without padding."""

    def build(input_ids, input_mask, segment_ids):
        model = modeling.BertModel(config, False, input_ids, input_mask, segment_ids, scope="bert")
        layers = model.get_all_encoder_layers()
        return tf.concat([layers[index] for index in layer_indexes], -1)

    width = max(len(ids) for ids, _ in encoded)
    outputs = _run(checkpoint, encoded, width, build)
    return [output[: len(ids)] for output, (ids, _) in zip(outputs, encoded)]


def pooled(tokens, pooling):
    """Sentence vectors, float32 `[number of texts, size]`, of what `token_vectors` returns."""
    pool = {
        "cls": lambda sequence: sequence[0],
        "mean": lambda sequence: sequence.mean(0, dtype=np.float64),
        "max": lambda sequence: sequence.max(0),
    }[pooling]
    return np.array([pool(sequence) for sequence in tokens], np.float32)
