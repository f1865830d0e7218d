"""The order of training: every epoch complete, and entered at any record."""

import numpy as np
import pytest

from albert.basics.tf_compat import tf
from albert.pretraining.input import _entry, training_records
from albert.pretraining.record_files import RecordFile

# Numbers of records; files are read four at a time.
SIZES = [7, 1, 12, 3, 3, 9]
EPOCH = sum(SIZES)


@pytest.fixture
def files(tmp_path):
    found, first = [], 0
    for number, size in enumerate(SIZES):
        path = str(tmp_path / ("tf_%d" % number))
        with tf.io.TFRecordWriter(path) as writer:
            for identity in range(first, first + size):
                writer.write(b"%d" % identity)
        first += size
        found.append(RecordFile(path, "", size))
    return found


def read(files, count, shuffle_buffer=1, seed=1, first_record=0, shard=(1, 0)):
    with tf.Graph().as_default(), tf.Session() as session:
        records = training_records(files, shuffle_buffer, seed, first_record)
        records = records.shard(*shard).batch(count)
        batch = session.run(tf.data.make_one_shot_iterator(records).get_next())
    return [int(record) for record in batch]


@pytest.mark.parametrize("shuffle_buffer", [4, 1000])
def test_every_epoch_has_every_record_once_in_an_order_of_its_own(files, shuffle_buffer):
    order = np.reshape(read(files, 3 * EPOCH, shuffle_buffer), [3, EPOCH])
    for epoch in order:
        assert sorted(epoch) == list(range(EPOCH))
    assert len({tuple(epoch) for epoch in order}) == 3
    # Negative and large numbers are seeds, too.
    for seed in (-1, 1 << 40):
        other = read(files, EPOCH, shuffle_buffer, seed)
        assert sorted(other) == list(range(EPOCH)) and other != list(order[0])


@pytest.mark.slow
@pytest.mark.parametrize("shuffle_buffer", [1, 10])
def test_the_sequence_can_be_entered_at_any_record(files, shuffle_buffer):
    whole = read(files, 3 * EPOCH, shuffle_buffer)
    for first in (1, 13, 24, EPOCH, 2 * EPOCH - 1):
        found = read(files, EPOCH, shuffle_buffer, first_record=first)
        assert found == whole[first : first + EPOCH], first


def test_place_of_every_record():
    """`_entry` against reading in turn, one record after the other."""
    random = np.random.RandomState(0)
    for _ in range(20):
        counts = random.randint(1, 9, random.randint(1, 11))
        expected = []
        for group in range(-(-len(counts) // 4)):
            lanes = counts[4 * group : 4 * group + 4]
            for level in range(max(lanes)):
                alive = sum(lanes > level)
                expected += [(group, level, more) for more in range(alive)]
        assert [_entry(counts, n) for n in range(sum(counts))] == expected


def test_files_before_the_entry_are_not_read(files):
    whole = read(files, EPOCH)
    ends = np.cumsum(SIZES)
    first_group = set(np.searchsorted(ends, whole[:4], side="right"))
    assert len(first_group) == 4  # they are read in turn
    missing = [
        file._replace(path="/missing") if number in first_group else file
        for number, file in enumerate(files)
    ]
    rest = EPOCH - sum(SIZES[number] for number in first_group)
    assert read(missing, rest, first_record=EPOCH - rest) == whole[-rest:]


def test_workers_share_every_batch(files):
    batch = 6
    whole = np.reshape(read(files, 5 * batch, 10), [5, batch])
    parts = [np.reshape(read(files, 5 * batch // 2, 10, shard=(2, n)), [5, -1]) for n in (0, 1)]
    np.testing.assert_array_equal(np.sort(np.hstack(parts)), np.sort(whole))
    # Also after resuming.
    later = read(files, batch // 2, 10, first_record=4 * batch, shard=(2, 1))
    assert later == list(parts[1][4])
