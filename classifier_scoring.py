"""A classifier's outputs for many examples, from any number of checkpoints."""

import collections

import numpy as np

import checkpoint_utils
import classifier_input
import classifier_model
from tf_compat import tf

# In the order of the examples: float32 `[number of examples, num_labels]` (probabilities, or the
# values of a regression) and the losses, float32 `[number of examples]`.
Outputs = collections.namedtuple("Outputs", ["probabilities", "losses"])


class Scorer:
    """Builds the model once, when first used; changing the checkpoint takes a moment.

    Args:
        config: model config.
        options: `{flag: value}`: "pooling", "bert_config_file".
        num_labels: 1 for a regression.
        regression: whether labels are numbers.
    """

    def __init__(self, config, options, num_labels, regression=False):
        self._config = config
        self._options = options
        self._num_labels = num_labels
        self._regression = regression
        self._session = None

    def score(self, checkpoint, encoded, batch_size):
        """`Outputs` of `classifier_input.EncodedExamples`.

        Raises:
            InputError: the checkpoint does not fit the model, or cannot be read.
        """
        if self._session is None:
            self._build(encoded)
        checkpoint_utils.check_shapes(
            self._variables, checkpoint, self._options["bert_config_file"]
        )
        self._saver.restore(self._session, checkpoint)
        outputs = Outputs(
            np.zeros([len(encoded), self._num_labels], np.float32),
            np.zeros([len(encoded)], np.float32),
        )
        for indices in classifier_input.scoring_batches(encoded, batch_size):
            batch = encoded.batch(indices)
            results = self._run(*(batch[name] for name in self._inputs))
            outputs.probabilities[indices], outputs.losses[indices] = results
        return outputs

    def close(self):
        """Frees the session."""
        if self._session is not None:
            self._session.close()
            self._session = None

    def _build(self, encoded):
        with tf.Graph().as_default():
            dtypes, shapes = encoded.specification()
            inputs = {
                name: tf.placeholder(dtypes[name], shapes[name], name)
                for name in dtypes
                if name != "is_real_example"
            }
            _, losses, _, probabilities = classifier_model.create_model(
                self._config,
                False,
                inputs["input_ids"],
                inputs["input_mask"],
                inputs["segment_ids"],
                inputs["label_ids"],
                self._num_labels,
                pooling=self._options["pooling"],
                regression=self._regression,
            )
            self._variables = tf.trainable_variables()
            self._saver = tf.train.Saver(self._variables)
            # Training may hold the same GPU.
            gpu_options = tf.GPUOptions(allow_growth=True)
            self._session = tf.Session(
                config=tf.ConfigProto(allow_soft_placement=True, gpu_options=gpu_options)
            )
        self._inputs = list(inputs)
        self._run = self._session.make_callable([probabilities, losses], list(inputs.values()))


def batch_mean_loss(losses, batch_size):
    """Mean over the batches, in the order of the file, of their mean losses.

    What TensorFlow's estimator calls `loss`; it differs from the mean of all when the last batch
    is short (spec/tasks.md 0.5).
    """
    return float(
        np.mean(
            [
                np.mean(losses[start : start + batch_size])
                for start in range(0, len(losses), batch_size)
            ]
        )
    )
