"""From a task's files to batches: similar lengths together, each padded to its own longest.

Off the TPU nothing is written to disk.  Examples are encoded the first time they are needed, on the
thread that prepares the batches, while the model trains; later epochs find them encoded.
"""

import collections

import numpy as np

from albert.basics.tf_compat import tf

# Batches among which similar lengths are put together.
LENGTH_WINDOW = 100
# An epoch has at least so many windows, so that a small data set is still shuffled.
_MIN_WINDOWS = 4


# The arrays


# Rows of `tokens`: ids, segment ids.
_Encoded = collections.namedtuple("_Encoded", ["tokens", "label_id"])


class EncodedExamples:
    """The examples of one file, as int32 arrays without padding.

    Args:
        examples: list.
        encode: function of an example, returning an object with `input_ids` and `segment_ids`
            (lists of one length) and `label_id`.
        label_dtype: of the label ids, np.int32, or np.float32 for a regression.
        pad_to: width of every batch; None: as wide as its longest example.
    """

    def __init__(self, examples, encode, label_dtype=np.int32, pad_to=None):
        self._examples = examples
        self._encode = encode
        self._encoded = [None] * len(examples)
        self.label_dtype = label_dtype
        self.pad_to = pad_to

    def __len__(self):
        return len(self._examples)

    def lengths(self, indices):
        """Numbers of tokens of some examples, `[number of indices]`."""
        return np.array([self._get(index).tokens.shape[1] for index in indices])

    def batch(self, indices):
        """Dict of the model's features of some examples.

        `input_ids`, `input_mask`, `segment_ids`: int32 `[number of indices, width]`; `label_ids`
        and `is_real_example`: `[number of indices]`.
        """
        encoded = [self._get(index) for index in indices]
        lengths = np.array([one.tokens.shape[1] for one in encoded])
        width = self.pad_to or lengths.max()
        tokens = np.zeros([len(encoded), 2, width], np.int32)
        for row, one in enumerate(encoded):
            tokens[row, :, : one.tokens.shape[1]] = one.tokens
        return {
            "input_ids": np.ascontiguousarray(tokens[:, 0]),
            "input_mask": (np.arange(width) < lengths[:, np.newaxis]).astype(np.int32),
            "segment_ids": np.ascontiguousarray(tokens[:, 1]),
            "label_ids": np.array([one.label_id for one in encoded], self.label_dtype),
            "is_real_example": np.ones([len(encoded)], np.int32),
        }

    def specification(self, batch_size=None):
        """Pair of dicts name -> dtype, name -> shape of `batch`."""
        sequence, scalar = [batch_size, self.pad_to], [batch_size]
        shapes = {
            "input_ids": sequence,
            "input_mask": sequence,
            "segment_ids": sequence,
            "label_ids": scalar,
            "is_real_example": scalar,
        }
        dtypes = dict.fromkeys(shapes, tf.int32)
        dtypes["label_ids"] = tf.as_dtype(self.label_dtype)
        return dtypes, {name: tf.TensorShape(shape) for name, shape in shapes.items()}

    def _get(self, index):
        if self._encoded[index] is None:
            encoded = self._encode(self._examples[index])
            tokens = np.array([encoded.input_ids, encoded.segment_ids], np.int32)
            self._encoded[index] = _Encoded(tokens, encoded.label_id)
        return self._encoded[index]


# The order


def input_fn_builder(encoded, seed=0, first_step=0, shuffle_buffer=0, length_window=LENGTH_WINDOW):
    """Makes an `input_fn` for training; arguments as of `training_batches`."""

    def input_fn(params):
        batch_size = params["batch_size"]

        def batches():
            order = training_batches(
                encoded, batch_size, seed, first_step, shuffle_buffer, length_window
            )
            for indices in order:
                yield encoded.batch(indices)

        dtypes, shapes = encoded.specification(batch_size)
        return tf.data.Dataset.from_generator(batches, dtypes, shapes).prefetch(2)

    return input_fn


def training_batches(
    encoded, batch_size, seed=0, first_step=0, shuffle_buffer=0, length_window=LENGTH_WINDOW
):
    """Endless generator of batches, as arrays of `batch_size` indices; for training.

    Every epoch is shuffled anew.  What does not fill a batch at its end goes into the first ones of
    the next epoch, so that every example is used equally often.  Within windows of
    `length_window` batches the examples are sorted by length, those of equal length at random, and
    the batches of a window come in random order.

    The order is a function of `seed`, `batch_size`, the number of examples, their lengths and the
    last two arguments.

    Args:
        encoded: object with `__len__` and `lengths(indices)`.
        batch_size: int.
        seed: int.
        first_step: number of batches to leave out, for a run that is resumed.
        shuffle_buffer: shuffle only among so many examples, as tf.data does; 0: among all.
        length_window: batches to a window, limited to a quarter of an epoch; 1 sorts nothing.
    """
    count = len(encoded)
    window = max(1, min(length_window, count // (_MIN_WINDOWS * batch_size)))
    epoch = (first_step * batch_size) // count
    while True:
        begin, end = (
            number * count // batch_size * batch_size for number in (epoch, epoch + 1)
        )  # places in the endless sequence of epochs
        order = _stretch(begin, end, count, seed, shuffle_buffer)
        for start in range(0, len(order), window * batch_size):
            first_batch = (begin + start) // batch_size
            in_window = order[start : start + window * batch_size]
            skipped = max(0, first_step - first_batch)
            if skipped * batch_size < len(in_window):
                batches = _window_batches(in_window, encoded, batch_size, window, seed, first_batch)
                yield from batches[skipped:]
        epoch += 1


def scoring_batches(encoded, batch_size):
    """List of batches as arrays of indices, each example once; for evaluation and prediction.

    Similar lengths are together, the longest first: what does not fit into memory fails at once.
    """
    order = np.argsort(-encoded.lengths(range(len(encoded))), kind="stable")
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]


def _stretch(begin, end, count, seed, shuffle_buffer):
    """Indices at the places `begin` to `end` of the sequence of all epochs."""
    if begin == end:
        return np.zeros([0], np.int64)
    first = begin // count
    epochs = [
        _permutation(count, _random(seed, epoch), shuffle_buffer)
        for epoch in range(first, -(-end // count))
    ]
    return np.concatenate(epochs)[begin - first * count : end - first * count]


def _window_batches(indices, encoded, batch_size, window, seed, first_batch):
    """List of the batches of one window."""
    if window == 1:
        return [indices]
    indices = indices[np.argsort(encoded.lengths(indices), kind="stable")]
    batches = np.split(indices, len(indices) // batch_size)
    return [batches[place] for place in _random(seed, first_batch, 1).permutation(len(batches))]


def _permutation(count, random, shuffle_buffer):
    if not 0 < shuffle_buffer < count:
        return random.permutation(count)
    waiting = list(range(shuffle_buffer))
    order = []
    for index in range(shuffle_buffer, count):
        place = random.randint(shuffle_buffer)
        order.append(waiting[place])
        waiting[place] = index
    return np.array(order + [waiting[place] for place in random.permutation(shuffle_buffer)])


def _random(*numbers):
    return np.random.RandomState([number & 0xFFFFFFFF for number in numbers])
