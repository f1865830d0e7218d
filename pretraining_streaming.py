"""Pre-training data from a corpus of any size, block by block, in bounded memory.

    python create_pretraining_data.py --streaming --num_workers=8 --input_file="corpus/*.txt" \\
        --output_file=a.tfrecord,b.tfrecord ...

The text is cut into blocks of whole documents.  Each block is shuffled, repeated and masked by
itself, with generators derived from (seed, block), so the result depends neither on the number of
workers nor on the machine.  Its records go to the output files in turn; so every file holds
records of every block.

An unfinished run leaves the folder FIRST_OUTPUT.unfinished (pretraining_shards.py), in which the
same command goes on.
"""

import collections
import concurrent.futures
import contextlib
import hashlib
import itertools
import multiprocessing
import os
import shutil
import signal
import threading
import time
from typing import NamedTuple, Optional

from absl import flags
from tqdm import tqdm

import file_utils
import pretraining_records
import pretraining_summary
from file_utils import InputError
from pretraining_blocks import split_into_blocks
from pretraining_corpus import file_size
from pretraining_instances import InstanceMaker
from pretraining_shards import Block, State, only_run, publish

flags.disclaim_key_flags()  # they are those of the script that asks for them


class Streaming(NamedTuple):
    """How the work is cut up.

    Only `block_mb`, `num_shards` and `shard_index` have an influence on what is written.
    """

    block_mb: float = 8.0
    num_workers: int = 1
    num_shards: int = 1
    shard_index: int = 0
    temp_dir: Optional[str] = None


def define_flags(flag_values):
    """Defines the flags of streaming; None if not given, as they are errors without it."""
    flags.DEFINE_bool(
        "streaming",
        False,
        "Work in blocks, for a text larger than memory; another random order than without it.",
        flag_values=flag_values,
    )
    flags.DEFINE_float(
        "block_mb",
        None,
        "Megabytes of text in a block: a worker takes about 50 times that in memory, times "
        "--dupe_factor / 10. Default: %g." % Streaming().block_mb,
        lower_bound=0.0,
        flag_values=flag_values,
    )
    flags.DEFINE_integer(
        "num_workers",
        None,
        "Processes. Default: one for each core.",
        lower_bound=1,
        flag_values=flag_values,
    )
    flags.DEFINE_integer(
        "num_shards",
        None,
        "Do only every num_shards-th block, so that machines can share the work.",
        lower_bound=1,
        flag_values=flag_values,
    )
    flags.DEFINE_integer(
        "shard_index",
        None,
        "Which of them: from 0 to num_shards - 1.",
        lower_bound=0,
        flag_values=flag_values,
    )
    flags.DEFINE_string(
        "temp_dir",
        None,
        "Local folder for unfinished files. Default: beside the first output, if that is local.",
        flag_values=flag_values,
    )


def from_flags(flag_values):
    """Returns `Streaming`, or None without --streaming; raises InputError if flags contradict."""
    given = {name: getattr(flag_values, name) for name in Streaming._fields}
    given = {name: value for name, value in given.items() if value is not None}
    if not flag_values.streaming:
        if given:
            raise InputError("--%s belongs to --streaming." % sorted(given)[0])
        return None
    given.setdefault("num_workers", os.cpu_count() or 1)
    streaming = Streaming(**given)
    if streaming.block_mb <= 0:
        raise InputError("--block_mb is %g; expected more than 0." % streaming.block_mb)
    if streaming.shard_index >= streaming.num_shards:
        raise InputError(
            "--shard_index is %d; expected less than --num_shards, which is %d."
            % (streaming.shard_index, streaming.num_shards)
        )
    return streaming


def block_seed(seed, number):
    """Seed of a block's generator, 64 bits, derived from the seed of the run."""
    digest = hashlib.sha256(("%d/%d" % (seed, number)).encode("ascii")).digest()
    return int.from_bytes(digest[:8], "big")


def create(inputs, outputs, source, maker, compression, streaming, description):
    """Writes the records of a corpus; see `create_pretraining_data` for the arguments.

    Returns:
        Dictionary of what was counted.
    """
    folder = _unfinished_folder(outputs, streaming)
    block_size = int(streaming.block_mb * 1e6)
    blocks = itertools.islice(
        map(Block._make, enumerate(split_into_blocks(inputs, block_size, source.separate_files))),
        streaming.shard_index,
        None,
        streaming.num_shards,
    )
    description = dict(
        description,
        streaming={
            name: getattr(streaming, name) for name in ("block_mb", "num_shards", "shard_index")
        },
    )
    identity = dict(
        description,
        outputs=outputs,
        input_files=[[path, file_size(path), _modification_time(path)] for path in inputs],
    )
    file_utils.prepare_output_dir(folder, "output_file")
    with only_run(folder), pretraining_records.report_disk_errors(folder):
        state = State.load(folder, identity, len(outputs))
        with _workers(source, maker, folder, len(outputs), streaming.num_workers) as submit:
            total = sum(map(file_size, inputs)) // streaming.num_shards
            _append_blocks(blocks, state, submit, streaming.num_workers, total)
        counts, lengths, unknown_characters = state.counters
        pretraining_summary.check_not_empty(counts["instances"], counts)
        for index, output in enumerate(outputs):
            publish(state.shard(index), output, compression)
        summary = pretraining_summary.describe(
            counts,
            {int(length): number for length, number in lengths.items()},
            unknown_characters,
            source.settings.max_seq_length,
        )
        pretraining_summary.write_descriptions(description, outputs, state.records, summary)
    shutil.rmtree(folder)
    return summary


def _unfinished_folder(outputs, streaming):
    if streaming.temp_dir:
        name = os.path.basename(outputs[0].rstrip("/"))
        return os.path.join(streaming.temp_dir, name + ".unfinished")
    if file_utils.is_remote(outputs[0]):
        raise InputError(
            "--output_file: '%s' is not local; streaming needs --temp_dir, a local folder for "
            "unfinished files." % outputs[0]
        )
    return outputs[0] + ".unfinished"


def _modification_time(path):
    return 0 if file_utils.is_remote(path) else os.stat(path).st_mtime_ns


def _append_blocks(blocks, state, submit, num_workers, total_bytes):
    """Has the blocks made that are not finished, and appends all of them in their order."""
    pending = collections.deque()
    with tqdm(total=total_bytes, unit="B", unit_scale=True, disable=None) as bar:

        def append_oldest():
            block, result = pending.popleft()
            result()
            state.append(block)
            bar.update(block.size)

        done = state.done
        for index, block in enumerate(blocks):
            if index < done:
                state.forget(block)
                bar.update(block.size)
                continue
            finished = os.path.exists(block.counts(state.folder))
            pending.append((block, _nothing if finished else submit(block)))
            if len(pending) > num_workers:
                append_oldest()
        while pending:
            append_oldest()


def _nothing():
    pass


class _Worker:
    """Makes blocks."""

    def __init__(self, maker, folder, num_outputs):
        self._maker = maker
        self._folder = folder
        self._num_outputs = num_outputs

    def make_block(self, block):
        """Writes a block's records and then the file with its counts."""
        seeds = (block_seed(seed, block.number) for seed in self._maker.seeds())
        batch = self._maker.make(block.spans, *seeds)
        parts = [block.part(self._folder, output) for output in range(self._num_outputs)]
        with pretraining_records.record_writers(parts) as writers:
            records = pretraining_records.write_instances(
                batch.instances, self._maker.encoder, writers, first=block.number
            )
        file_utils.write_json(
            block.counts(self._folder),
            {
                "records": records,
                "counts": batch.text_counter.counts + batch.instance_counter.counts,
                "lengths": batch.instance_counter.lengths,
                "unknown_characters": batch.text_counter.unknown_characters,
            },
        )


_worker = None  # of this process, if it is one of a pool


def _start_worker(source, folder, num_outputs):
    global _worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends the pool
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    _worker = _Worker(InstanceMaker(source), folder, num_outputs)


def _end_with_parent(parent):
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _make_block(block):
    _worker.make_block(block)


@contextlib.contextmanager
def _workers(source, maker, folder, num_outputs, num_workers):
    """Yields a function: block -> function that returns when the block is made."""
    if num_workers == 1:
        worker = _Worker(maker, folder, num_outputs)
        yield lambda block: lambda: worker.make_block(block)
        return
    with _process_pool(source, folder, num_outputs, num_workers) as pool:
        try:
            yield lambda block: pool.submit(_make_block, block).result
        except concurrent.futures.process.BrokenProcessPool:
            raise InputError(
                "a worker process was killed, probably for lack of memory; run the same command "
                "again with a smaller --num_workers: it continues where it stopped."
            ) from None


def _process_pool(source, folder, num_outputs, num_workers):
    # A fork of this process, which has threads, could hang.
    method = "spawn"
    if "forkserver" in multiprocessing.get_all_start_methods():
        method = "forkserver"
    context = multiprocessing.get_context(method)
    if method == "forkserver":
        context.set_forkserver_preload([__name__])
    return concurrent.futures.ProcessPoolExecutor(
        num_workers, context, _start_worker, (source, folder, num_outputs)
    )
