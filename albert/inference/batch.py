"""Sequences of tokens without padding, as the encoders take them."""

import itertools
from typing import NamedTuple, Optional

import numpy as np

from albert.layers.basic import MASKED_SCORE


class BatchGroup(NamedTuple):
    """Sequences of equal length in a batch.

    Attributes:
        start: row of their first token.
        count: number of sequences.
        length: rows of each.
        bias: what to add to the scores of their keys, float32 `[count, 1, length, 1]`; None where
            they have no padding.
    """

    start: int
    count: int
    length: int
    bias: Optional[np.ndarray]


class PackedBatch:
    """Sequences one behind the other, those of equal length together.

    Attributes:
        input_ids, segment_ids, positions: int64 `[rows]`, of all tokens.
        starts: row of the first token of each sequence.
        groups: list of `BatchGroup`.
    """

    def __init__(self, encoded, fixed_length=None):
        """Takes (input ids, segment ids) pairs, sorted by length.

        Args:
            fixed_length: pad every sequence to this length, for models that were trained to see
                padding.
        """
        lengths = [len(ids) for ids, _ in encoded]
        rows = [fixed_length or length for length in lengths]
        input_ids, segment_ids, positions = [], [], []
        for (ids, segments), size in zip(encoded, rows):
            padding = [0] * (size - len(ids))
            input_ids += [*ids, *padding]
            segment_ids += [*segments, *padding]
            positions += range(size)
        self.input_ids = np.array(input_ids, np.int64)
        self.segment_ids = np.array(segment_ids, np.int64)
        self.positions = np.array(positions, np.int64)
        self.starts = np.array([0, *itertools.accumulate(rows[:-1])])
        self.groups = []
        first = 0
        for index in range(1, len(rows) + 1):
            if index == len(rows) or rows[index] != rows[first]:
                bias = None
                if fixed_length:
                    masked = np.arange(fixed_length) >= np.array(lengths[first:index])[:, None]
                    bias = (masked * np.float32(MASKED_SCORE))[:, None, :, None]
                self.groups.append(BatchGroup(self.starts[first], index - first, rows[first], bias))
                first = index

    # One vector of each sequence, `[sequences, width]`, of `[rows, width]`

    def first_rows(self, hidden):
        """The vectors of the first tokens."""
        return hidden[self.starts]

    def mean_of_rows(self, hidden):
        """Means over all rows: over the tokens, and with `fixed_length` over the padding, too."""
        return self._pool(hidden, np.mean)

    def max_of_rows(self, hidden):
        """Maxima over all rows."""
        return self._pool(hidden, np.max)

    def _pool(self, hidden, function):
        return np.concatenate([function(split(hidden, group), axis=1) for group in self.groups])


def split(hidden, group):
    """The group's rows of `[tokens, width]` as `[count, length, width]`."""
    rows = hidden[group.start : group.start + group.count * group.length]
    return rows.reshape(group.count, group.length, hidden.shape[-1])
