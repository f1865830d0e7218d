"""The folder of an unfinished run of streaming data creation, in which it can go on.

run.json       settings, inputs and outputs
state.json     how many blocks are in the shards, how long these are, what was counted
shard-K        records of the K-th output, block after block; at the end perhaps shard-K.gz
block-N-K      records of block N for output K, not in the shard yet
block-N.json   what was counted in block N; there when the block is finished
run.lock       held by the process that works here

A process that is killed may leave more in a shard than `state.json` says, the files of a block
that is in the shards, and files half written (``*.tmp-PID``): none of them is used.
"""

import collections
import contextlib
import gzip
import itertools
import json
import os
import shutil
from typing import NamedTuple

from albert.basics import storage
from albert.basics.errors import InputError

_RUN_FILE = "run.json"
_STATE_FILE = "state.json"
_COUNTERS = ("counts", "lengths", "unknown_characters")


class CorpusBlock(NamedTuple):
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


class State:
    """What is in the shards; stored after every block.

    Attributes:
        folder: the folder.
        done: number of this run's blocks that are in the shards.
        records: for each output, the number of its records.
        counters: dictionary of "counts", "lengths" and "unknown_characters" of the blocks in the
            shards: each is a `collections.Counter`, its keys strings.
    """

    def __init__(self, folder, run, num_outputs):
        """Takes over what an unfinished run left in the folder.

        Args:
            folder: the folder; this process must be the only one that works there.
            run: dictionary that JSON can hold: all that decides what is written.
            num_outputs: number of outputs.

        Raises:
            InputError: the unfinished run was another one.
        """
        self.folder = folder
        self._check_run(json.loads(json.dumps(run)))
        for path in storage.unfinished_files(folder):
            os.remove(path)
        stored = {"done": 0, "records": [0] * num_outputs, "bytes": [0] * num_outputs}
        if os.path.exists(self._path(_STATE_FILE)):
            stored = storage.read_json(self._path(_STATE_FILE))
        self.done = stored["done"]
        self.records = stored["records"]
        self._bytes = stored["bytes"]
        self.counters = {name: collections.Counter(stored.get(name)) for name in _COUNTERS}

    def _path(self, name):
        return os.path.join(self.folder, name)

    def _check_run(self, run):
        path = self._path(_RUN_FILE)
        if not os.path.exists(path):
            storage.write_json(path, run)
        difference = _first_difference(storage.read_json(path), run)
        if difference:
            raise InputError(
                "%s: holds an unfinished run in which %s was %s; now it is %s. Delete the folder, "
                "or finish that run first." % ((self.folder,) + difference)
            )

    def shard(self, output):
        """Path of the unfinished records of an output."""
        return self._path("shard-%d" % output)

    def is_finished(self, block):
        """True if a block is made, but not in the shards yet."""
        return os.path.exists(block.counts(self.folder))

    def append(self, block):
        """Moves the records of a finished block to the shards."""
        finished = storage.read_json(block.counts(self.folder))
        for output, number in enumerate(finished["records"]):
            self._append_part(block.part(self.folder, output), output)
            self.records[output] += number
        for name, counter in self.counters.items():
            counter.update(finished[name])
        self.done += 1
        stored = dict(self.counters, done=self.done, records=self.records, bytes=self._bytes)
        storage.write_json(self._path(_STATE_FILE), stored)
        self.forget(block)

    def _append_part(self, part, output):
        with open(self.shard(output), "ab") as shard, open(part, "rb") as source:
            if shard.tell() < self._bytes[output]:
                raise InputError(
                    "%s: has %d bytes; expected at least %d. Delete the folder and start again."
                    % (self.shard(output), shard.tell(), self._bytes[output])
                )
            shard.truncate(self._bytes[output])  # what was appended, but not recorded
            shutil.copyfileobj(source, shard, 1 << 20)
            shard.flush()
            os.fsync(shard.fileno())
            self._bytes[output] = os.fstat(shard.fileno()).st_size

    def forget(self, block):
        """Removes the files of a block that is in the shards."""
        parts = [block.part(self.folder, output) for output in range(len(self.records))]
        for path in [*parts, block.counts(self.folder)]:
            with contextlib.suppress(FileNotFoundError):
                os.remove(path)

    def remove_folder(self):
        """Removes all that is unfinished."""
        with contextlib.suppress(FileNotFoundError):
            os.remove(self._path(_STATE_FILE))  # first: nothing may be taken over from now on
        shutil.rmtree(self.folder)


def _first_difference(stored, current, name="the run"):
    """Where two JSON values differ: None, or a tuple (name, what is stored, what is current)."""
    if isinstance(stored, dict) and isinstance(current, dict):
        names = sorted(set(stored) | set(current))
        entries = [(stored.get(key), current.get(key), key) for key in names]
    elif isinstance(stored, list) and isinstance(current, list):
        if len(stored) != len(current):
            return "the number of " + name, len(stored), len(current)
        names = ["%s %d" % (name, number + 1) for number in range(len(stored))]
        entries = zip(stored, current, names)
    else:
        return None if stored == current else (name, stored, current)
    differences = itertools.starmap(_first_difference, entries)
    return next(filter(None, differences), None)


def compress(path):
    """Replaces a file by PATH.gz; does nothing if that happened before.

    All records are one gzip stream: TensorFlow 1.15 reads only the first one of a file.
    """
    if not os.path.exists(path):
        return
    with contextlib.ExitStack() as stack:
        packed = stack.enter_context(storage.atomic_write(path + ".gz", "wb"))
        target = stack.enter_context(gzip.GzipFile("", "wb", 6, packed, mtime=0))
        source = stack.enter_context(open(path, "rb"))
        shutil.copyfileobj(source, target, 1 << 20)
    os.remove(path)


def publish(path, output):
    """Moves a finished file to its final name; does nothing if that happened before."""
    if os.path.exists(path):
        storage.move(path, output)
    elif not storage.exists(output):
        raise InputError("%s: is missing; delete the folder and start again." % path)
