"""The folder of an unfinished run of streaming data creation, in which it can go on.

state.json     settings; how many blocks are in the shards, and how long these are
shard-K        records of the K-th output, block after block
block-N-K      records of block N for output K, not in the shard yet
block-N.json   what was counted in block N; there when the block is finished
lock           held by the process that works here
"""

import collections
import contextlib
import gzip
import json
import os
import shutil
from typing import NamedTuple

import file_utils
from file_utils import InputError

_STATE_FILE = "state.json"
COUNTERS = ("counts", "lengths", "unknown_characters")


class Block(NamedTuple):
    """A part of the corpus and its number in it."""

    number: int
    spans: list

    @property
    def size(self):
        """In bytes."""
        return sum(span.end - span.start for span in self.spans)

    def part(self, folder, output):
        """Where the block's records for an output are until they are in the shard."""
        return os.path.join(folder, "block-%06d-%d" % (self.number, output))

    def counts(self, folder):
        """The file that says that the block is finished, and what is in it."""
        return os.path.join(folder, "block-%06d.json" % self.number)


@contextlib.contextmanager
def only_run(folder):
    """Holds a lock that ends with the process, so that two runs do not write the same files."""
    try:
        import fcntl
    except ImportError:  # not on Windows
        yield
        return
    with open(os.path.join(folder, "lock"), "w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError("%s: another run is working on this output." % folder) from None
        yield


class State:
    """What is in the shards; stored after every block.

    Attributes:
        done: number of this run's blocks that are in the shards.
        records: for each output, the number of its records.
        counters: `collections.Counter`s: counts, lengths, unknown_characters.
    """

    def __init__(self, folder, identity, num_outputs):
        self.folder = folder
        self.done = 0
        self.records = [0] * num_outputs
        self.counters = [collections.Counter() for _ in COUNTERS]
        self._identity = json.loads(json.dumps(identity))
        self._lengths = [0] * num_outputs

    @classmethod
    def load(cls, folder, identity, num_outputs):
        """The state that an unfinished run left, or an empty one.

        Raises:
            InputError: that run had other settings, inputs or outputs.
        """
        state = cls(folder, identity, num_outputs)
        path = os.path.join(folder, _STATE_FILE)
        if os.path.exists(path):
            stored = file_utils.read_json(path)
            state._check_identity(stored["identity"])
            state.done, state.records = stored["done"], stored["records"]
            state._lengths = stored["lengths"]
            state.counters = [collections.Counter(stored[name]) for name in COUNTERS]
        for index, length in enumerate(state._lengths):
            if length:
                state._cut_shard(index, length)
        return state

    def _check_identity(self, stored):
        for name in sorted(set(stored) | set(self._identity)):
            if stored.get(name) != self._identity.get(name):
                raise InputError(
                    "%s: holds an unfinished run with another value of %s (%s, now %s); delete "
                    "the folder, or finish that run first."
                    % (self.folder, name, stored.get(name), self._identity.get(name))
                )

    def shard(self, output):
        """Path of the unfinished records of an output."""
        return os.path.join(self.folder, "shard-%d" % output)

    def _cut_shard(self, output, length):
        """Removes what was appended without being recorded; a published shard is gone."""
        if os.path.exists(self.shard(output)):
            os.truncate(self.shard(output), length)

    def append(self, block):
        """Moves the records of a finished block to the shards."""
        finished = file_utils.read_json(block.counts(self.folder))
        for output in range(len(self.records)):
            with open(self.shard(output), "ab") as shard:
                shard.truncate(self._lengths[output])
                with open(block.part(self.folder, output), "rb") as part:
                    shutil.copyfileobj(part, shard, 1 << 20)
                shard.flush()
                os.fsync(shard.fileno())
                self._lengths[output] = shard.tell()
            self.records[output] += finished["records"][output]
        for counter, name in zip(self.counters, COUNTERS):
            counter.update(finished[name])
        self.done += 1
        self._store()
        self.forget(block)

    def forget(self, block):
        """Removes the files of a block that is in the shards."""
        for output in range(len(self.records)):
            with contextlib.suppress(FileNotFoundError):
                os.remove(block.part(self.folder, output))
        with contextlib.suppress(FileNotFoundError):
            os.remove(block.counts(self.folder))

    def _store(self):
        stored = dict(zip(COUNTERS, self.counters))
        stored.update(
            identity=self._identity, done=self.done, records=self.records, lengths=self._lengths
        )
        file_utils.write_json(os.path.join(self.folder, _STATE_FILE), stored)


def publish(shard, output, compression):
    """Moves a finished shard to its final name; does nothing if that happened before."""
    if not os.path.exists(shard) and file_utils.exists(output):
        return
    if compression == "none":
        file_utils.move(shard, output)
        return
    # Not before: TensorFlow 1.15 reads only the first of several gzip streams in a file.
    packed = shard + ".gz"
    with contextlib.ExitStack() as stack:
        source = stack.enter_context(open(shard, "rb"))
        raw = stack.enter_context(open(packed, "wb"))
        target = stack.enter_context(gzip.GzipFile("", "wb", 6, raw, mtime=0))
        shutil.copyfileobj(source, target, 1 << 20)
    file_utils.move(packed, output)
    os.remove(shard)
