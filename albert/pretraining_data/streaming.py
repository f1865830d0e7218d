"""Pre-training data from a corpus of any size, block by block, in bounded memory.

    python create_pretraining_data.py --streaming --num_workers=8 --input_file="corpus/*.txt" \\
        --output_file=a.tfrecord,b.tfrecord ...

The text is cut into blocks of whole documents (blocks.py).  Each block is shuffled,
repeated and masked by itself, with generators derived from (seed, block), so the result depends
neither on the number of workers (workers.py) nor on the machine.  Its records go to
the output files in turn; so every file holds records of every block.

An unfinished run leaves the folder FIRST_OUTPUT.unfinished (shards.py), in which the
same command goes on.
"""

import collections
import itertools
import os

from tqdm import tqdm

from albert.basics import flag_table, locks, storage
from albert.basics.errors import InputError
from albert.basics.flag_table import boolean, integer, number, string
from albert.basics.machine import available_cores
from albert.basics.storage import file_size
from albert.pretraining_data import descriptions, record_encoder
from albert.pretraining_data.blocks import split_into_blocks
from albert.pretraining_data.shards import CorpusBlock, State, publish
from albert.pretraining_data.summary import check_not_empty, describe
from albert.pretraining_data.workers import Worker, workers

_MEGABYTE = 10**6

_BLOCK_MB = 8.0
_TABLE = (
    number(
        "block_mb",
        "Megabytes of text in a block. For each, a worker takes about 2 MB of memory for each pass "
        "of --dupe_factor, and 300 MB in any case. Default: %g." % _BLOCK_MB,
        _BLOCK_MB,
    ),
    integer("num_workers", "Processes. Default: one for each core.", 1),
    integer(
        "num_shards",
        "Do only every num_shards-th block, so that machines can share the work.",
        1,
    ),
    integer("shard_index", "Which of them: from 0 to num_shards - 1.", 0, minimum=0),
    string(
        "temp_dir",
        "Local folder for unfinished files. Default: beside the first output, if that is local.",
    ),
)

# Without defaults, as to give one without --streaming is an error.
STREAMING_FLAGS = (
    boolean(
        "streaming",
        "Work in blocks, for a text larger than memory; another random order than without it.",
    ),
    *flag_table.without_defaults(_TABLE),
)


class Streaming(flag_table.settings_base(_TABLE)):
    """How the work is cut up; a field for each row of the table.

    Only `block_mb`, `num_shards` and `shard_index` have an influence on what is written.
    """

    __slots__ = ()


def from_flags(flag_values):
    """Returns `Streaming`, or None without --streaming, when its flags raise an InputError."""
    values = flag_table.collect(flag_values, Streaming)._asdict()
    given = {name: value for name, value in values.items() if value is not None}
    if flag_values.streaming:
        given.setdefault("num_workers", available_cores())
        return Streaming(**given)
    if given:
        raise InputError("--%s belongs to --streaming." % sorted(given)[0])
    return None


def check_streaming(streaming):
    """Raises InputError if a value is out of range."""
    if streaming.block_mb * _MEGABYTE < 1:
        raise InputError("--block_mb is %g; expected at least one byte." % streaming.block_mb)
    if not 0 <= streaming.shard_index < streaming.num_shards:
        raise InputError(
            "--shard_index is %d; expected at least 0 and less than --num_shards, which is %d."
            % (streaming.shard_index, streaming.num_shards)
        )
    if streaming.temp_dir and storage.is_remote(streaming.temp_dir):
        raise InputError("--temp_dir: '%s' is not local." % streaming.temp_dir)
    for flag, value in zip(_TABLE, streaming):
        flag_table.check(flag, value)


def create(inputs, outputs, source, maker, compression, streaming, description):
    """Writes the records of a corpus; see `create_pretraining_data` for the arguments.

    Returns:
        Dictionary of what was counted.
    """
    check_streaming(streaming)
    numbers = {name: getattr(streaming, name) for name in ("block_mb", "num_shards", "shard_index")}
    description = dict(description, streaming=numbers)
    folder = _unfinished_folder(outputs, streaming)
    flag = "temp_dir" if streaming.temp_dir else "output_file"
    with locks.only_writer(folder, flag), record_encoder.report_disk_errors(folder):
        run = dict(description, outputs=outputs, input_files=list(map(_file_version, inputs)))
        state = State(folder, run, len(outputs))
        with workers(source, maker, folder, len(outputs), streaming.num_workers) as submit:
            _append_blocks(inputs, source.separate_files, streaming, state, submit)
            _check_not_empty(state, streaming)
            _publish(state, outputs, compression, submit)
        summary = describe(
            state.counters["counts"],
            {int(length): number for length, number in state.counters["lengths"].items()},
            state.counters["unknown_characters"],
            source.settings,
        )
        descriptions.write_descriptions(description, outputs, state.records, summary)
        state.remove_folder()
    return summary


def _unfinished_folder(outputs, streaming):
    """Creates the folder for unfinished files; returns its path."""
    parent, name = os.path.split(outputs[0])
    if streaming.temp_dir:
        parent = streaming.temp_dir
    elif storage.is_remote(outputs[0]):
        raise InputError(
            "--output_file: '%s' is not local; streaming needs --temp_dir, a local folder for "
            "unfinished files." % outputs[0]
        )
    folder = os.path.join(parent, name + ".unfinished")
    storage.prepare_output_dir(folder, "temp_dir" if streaming.temp_dir else "output_file")
    return folder


def _file_version(path):
    """Names a file as it is now."""
    size, modified = storage.file_status(path)
    return "%s (%d bytes, modified at %d)" % (path, size, modified)


def _append_blocks(inputs, separate_files, streaming, state, submit):
    """Has the blocks made that are not finished, and appends all of them in their order."""
    block_size = int(streaming.block_mb * _MEGABYTE)
    blocks = map(
        CorpusBlock, itertools.count(), split_into_blocks(inputs, block_size, separate_files)
    )
    blocks = itertools.islice(blocks, streaming.shard_index, None, streaming.num_shards)
    total = sum(map(file_size, inputs)) // streaming.num_shards
    done = state.done
    pending = collections.deque()
    with tqdm(total=total, unit="B", unit_scale=True, disable=None) as bar:

        def append_oldest():
            block, wait = pending.popleft()
            wait()
            state.append(block)
            bar.update(block.size)

        for index, block in enumerate(blocks):
            if index < done:
                state.forget(block)
                bar.update(block.size)
                continue
            wait = _nothing if state.is_finished(block) else submit(Worker.make_block, block)
            pending.append((block, wait))
            if len(pending) > 2 * streaming.num_workers:  # so that none waits for a slow block
                append_oldest()
        while pending:
            append_oldest()


def _nothing():
    pass


def _check_not_empty(state, streaming):
    counts = state.counters["counts"]
    if counts["instances"]:
        return
    state.remove_folder()
    if streaming.shard_index and not state.done:
        raise InputError(
            "--shard_index is %d, but the text has no more than so many blocks of --block_mb=%g; "
            "pass a smaller --num_shards or --block_mb."
            % (streaming.shard_index, streaming.block_mb)
        )
    check_not_empty(0, counts)


def _publish(state, outputs, compression, submit):
    """Moves the shards to their final names."""
    shards = list(map(state.shard, range(len(outputs))))
    if compression == "gzip":
        for wait in [submit(Worker.compress, shard) for shard in shards]:
            wait()
        shards = [shard + ".gz" for shard in shards]
    for shard, output in zip(shards, outputs):
        with record_encoder.report_disk_errors(output):
            publish(shard, output)
