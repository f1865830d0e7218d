"""From a task's files to batches: similar lengths together, each padded to its own longest.

Off the TPU nothing is written to disk.  Examples are encoded the first time they are needed, on the
thread that prepares the batches, while the model trains; later epochs find them encoded.
"""

from typing import Any, NamedTuple, Optional, Tuple

import numpy as np

from albert.basics.tf_compat import tf

# Batches among which similar lengths are put together.
LENGTH_WINDOW = 100
# An epoch has at least so many windows, so that a small data set is still shuffled.
_MIN_WINDOWS = 4


# The arrays


class ArraySpec(NamedTuple):
    """Type and shape of an array that every example has.

    Attributes:
        dtype: numpy's type.
        shape: of one example; None stands for the number of its tokens, which the width of the
            batch takes the place of.  Of a feature only the last size may be None.
    """

    dtype: type
    shape: Tuple[Optional[int], ...] = ()

    @property
    def is_padded(self):
        """Whether the array is as long as the text."""
        return None in self.shape

    def sized(self, width):
        """The shape in a batch of a width, without the batch's own dimension."""
        return [width if size is None else size for size in self.shape]

    def cut(self, values, length):
        """A copy of one example's array without its padding."""
        sizes = (slice(length if size is None else size) for size in self.shape)
        return np.array(values[tuple(sizes)], self.dtype)


# What every example has: ids of tokens, and which of two texts they belong to.
TEXT_FEATURES = {
    "input_ids": ArraySpec(np.int32, (None,)),
    "segment_ids": ArraySpec(np.int32, (None,)),
}
# What batches have besides: 1 for real tokens (an example whose ids have more than one row brings
# its own), and for examples that are no padding.
INPUT_MASK, IS_REAL_EXAMPLE = "input_mask", "is_real_example"


class _Encoded(NamedTuple):
    """An example as it is kept.

    Attributes:
        blocks: arrays, for each kind of padded features one `[number of them, ..., tokens]`.
        values: of the other features.
    """

    blocks: Tuple[Any, ...]
    values: Tuple[Any, ...]

    @property
    def length(self):
        """Number of tokens."""
        return self.blocks[0].shape[-1]


class BatchLayout:
    """How the features of encoded examples become those of a batch.

    Args:
        features: `{name: ArraySpec}`, "input_ids" among them.
    """

    def __init__(self, features):
        self._features = features
        self._padded = {features["input_ids"]: []}  # spec -> names
        self._others = [name for name, spec in features.items() if not spec.is_padded]
        for name, spec in features.items():
            if spec.is_padded:
                self._padded.setdefault(spec, []).append(name)

    def pack(self, values):
        """What `batch` takes of an example's dict of values."""
        blocks = (
            np.array([values[name] for name in names], spec.dtype)
            for spec, names in self._padded.items()
        )
        return _Encoded(tuple(blocks), tuple(values[name] for name in self._others))

    def padding(self, width):
        """Batch of one example that is none, as `batch` has them."""
        batch = self.batch([self.pack(self._zeros(width))], width)
        for name in (INPUT_MASK, IS_REAL_EXAMPLE):
            batch[name] = np.zeros_like(batch[name])
        return batch

    def batch(self, encoded, width=None):
        """Dict of a batch's arrays; padding is 0.

        Args:
            encoded: list of what `pack` returned.
            width: None: that of the longest.
        """
        lengths = np.array([one.length for one in encoded])
        width = width or lengths.max()
        features = {}
        for place, (spec, names) in enumerate(self._padded.items()):
            block = np.zeros([len(encoded), len(names), *spec.sized(width)], spec.dtype)
            for row, one in enumerate(encoded):
                block[row, ..., : one.length] = one.blocks[place]
            for column, name in enumerate(names):
                features[name] = np.ascontiguousarray(block[:, column])
        for place, name in enumerate(self._others):
            values = [one.values[place] for one in encoded]
            features[name] = np.array(values, self._features[name].dtype)
        if INPUT_MASK not in features:
            mask = np.arange(width) < lengths[:, np.newaxis]
            features[INPUT_MASK] = mask.astype(np.int32)
        features[IS_REAL_EXAMPLE] = np.ones([len(encoded)], np.int32)
        return features

    def specs(self):
        """`{name: ArraySpec}` of the features of a batch."""
        return {
            INPUT_MASK: ArraySpec(np.int32, (None,)),
            **self._features,
            IS_REAL_EXAMPLE: ArraySpec(np.int32),
        }

    def _zeros(self, width):
        return {
            name: np.zeros(spec.sized(width), spec.dtype) for name, spec in self._features.items()
        }


class EncodedExamples:
    """The examples of one file, as arrays without padding.

    Args:
        examples: list.
        encode: function of an example, returning a dict of its features: `TEXT_FEATURES`, lists
            of one length, and more, such as labels.
        features: `{name: ArraySpec}` of these.
        pad_to: width of every batch; None: as wide as its longest example.
    """

    def __init__(self, examples, encode, features, pad_to=None):
        self._examples = examples
        self._encode = encode
        self._layout = BatchLayout(features)
        self._encoded = [None] * len(examples)
        self.pad_to = pad_to

    def __len__(self):
        return len(self._examples)

    def lengths(self, indices):
        """Numbers of tokens of some examples, `[number of indices]`."""
        return np.array([self._get(index).length for index in indices])

    def batch(self, indices):
        """Dict of the model's features of some examples, `[number of indices, ...]`.

        Those that `encode` gives, padded to one width; int32 `input_mask`, `[number of indices,
        width]`, and `is_real_example`, `[number of indices]`.
        """
        return self._layout.batch([self._get(index) for index in indices], self.pad_to)

    def specification(self, batch_size=None):
        """Pair of dicts name -> dtype, name -> shape of `batch`."""
        specs = self._layout.specs()
        dtypes = {name: tf.as_dtype(spec.dtype) for name, spec in specs.items()}
        shapes = {
            name: tf.TensorShape([batch_size, *spec.sized(self.pad_to)])
            for name, spec in specs.items()
        }
        return dtypes, shapes

    def _get(self, index):
        if self._encoded[index] is None:
            self._encoded[index] = self._layout.pack(self._encode(self._examples[index]))
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
