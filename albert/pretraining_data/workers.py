"""The processes that make blocks of pre-training data; they end with the one that started them."""

import concurrent.futures.process
import contextlib
import functools
import hashlib
import multiprocessing
import multiprocessing.forkserver
import os
import signal
import sys
import threading

from albert.basics import storage
from albert.basics.errors import InputError
from albert.pretraining_data import record_encoder, shards
from albert.pretraining_data.instances import InstanceMaker


def block_seed(seed, number):
    """Seed of a block's generator, 64 bits, derived from the seed of the run."""
    digest = hashlib.sha256(("%d/%d" % (seed, number)).encode("ascii")).digest()
    return int.from_bytes(digest[:8], "big")


class Worker:
    """What is done in each process."""

    def __init__(self, maker, folder, num_outputs):
        """Takes a `instances.InstanceMaker`, and where unfinished files are."""
        self._maker = maker
        self._folder = folder
        self._num_outputs = num_outputs

    def make_block(self, block):
        """Writes the records of a `shards.CorpusBlock`, then the file with its counts."""
        seeds = (block_seed(seed, block.number) for seed in self._maker.seeds())
        batch = self._maker.make(block.spans, *seeds)
        parts = [block.part(self._folder, output) for output in range(self._num_outputs)]
        with record_encoder.record_writers(parts) as writers:
            records = record_encoder.write_instances(
                batch.instances, self._maker.encoder, writers, first=block.number
            )
        storage.write_json(
            block.counts(self._folder),
            {
                "records": records,
                "counts": batch.text_counter.counts + batch.instance_counter.counts,
                "lengths": batch.instance_counter.lengths,
                "unknown_characters": batch.text_counter.unknown_characters,
            },
        )

    def compress(self, path):
        """See `shards.compress`."""
        shards.compress(path)


@contextlib.contextmanager
def workers(source, maker, folder, num_outputs, num_workers):
    """Runs processes, or for one worker none but this one.

    Args:
        source: `instances.Source`.
        maker: `instances.InstanceMaker` of it.
        folder: local folder for unfinished files.
        num_outputs: number of files that the records go to.

    Yields:
        Function submit(method, argument): has that method of a `Worker` called, and returns a
        function that waits for its end and raises what it raised.

    Raises:
        InputError: a process ended.
    """
    if num_workers == 1:
        worker = Worker(maker, folder, num_outputs)
        yield lambda method, argument: functools.partial(method, worker, argument)
        return
    context = multiprocessing.get_context(_start_method())
    if context.get_start_method() == "forkserver":
        _start_fork_server(context)
    parent_lives, lifeline = context.Pipe(duplex=False)
    pool = concurrent.futures.ProcessPoolExecutor(
        num_workers, context, _start_worker, (source, folder, num_outputs, parent_lives)
    )
    with parent_lives, lifeline, pool:
        try:
            yield lambda method, argument: pool.submit(_call, method, argument).result
        except BaseException as error:
            lifeline.close()  # ends the processes, whatever they still have to do
            if isinstance(error, (concurrent.futures.process.BrokenProcessPool, MemoryError)):
                raise InputError(
                    "a worker process ended, probably for lack of memory; run the same command "
                    "again with a smaller --num_workers: it continues where it stopped."
                ) from None
            raise


def _start_method():
    """How processes are started: not as forks of this one, whose threads could hold locks.

    The fork server has loaded TensorFlow once for all; that is safe on Linux only.
    """
    return "forkserver" if sys.platform.startswith("linux") else "spawn"


def _start_fork_server(context):
    """Starts the process whose forks the workers are, with the modules that they need.

    It looks for modules in the current folder only, and passes over those that it does not find
    without a word: each worker would then import TensorFlow anew.
    """
    context.set_forkserver_preload([__name__, "albert.basics.tf_compat"])
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)
    try:
        multiprocessing.forkserver.ensure_running()
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before


_worker = None  # of this process, if it is one of a pool


def _start_worker(source, folder, num_outputs, parent_lives):
    global _worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    threading.Thread(target=_end_with_parent, args=(parent_lives,), daemon=True).start()
    _worker = Worker(InstanceMaker(source), folder, num_outputs)


def _end_with_parent(parent_lives):
    """Ends this process when the other end of the pipe is closed, by the parent or its death.

    The id of the parent does not tell: the processes of a fork server have that as their parent,
    and it lives as long as they do.
    """
    with contextlib.suppress(EOFError, OSError):
        parent_lives.recv_bytes()
    os._exit(1)


def _call(method, argument):
    method(_worker, argument)
