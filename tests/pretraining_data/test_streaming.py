"""Streaming data creation: the same records however, and however often, it is run."""

import collections
import errno
import glob
import importlib
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import zlib

import pytest
from absl import flags

import create_pretraining_data
from albert.basics import locks, storage, tf_compat
from albert.basics.errors import InputError
from albert.basics.storage import read_bytes, read_json
from albert.basics.tf_compat import tf
from albert.pretraining_data import descriptions as pretraining_descriptions
from albert.pretraining_data import shards as pretraining_shards
from albert.pretraining_data import workers
from albert.pretraining_data.blocks import split_into_blocks
from albert.pretraining_data.instances import Source
from albert.pretraining_data.settings import make_settings
from albert.pretraining_data.streaming import Streaming, from_flags
from albert.pretraining_data.workers import block_seed
from helpers.paths import GOLDEN

VOCAB = os.path.join(GOLDEN, "vocab.txt")
BLOCK_SIZE = 2000
BLOCK_MB = BLOCK_SIZE / 1e6
OUTPUTS = ("a", "b", "c")
SETTINGS = {"non_chinese": True, "dupe_factor": 2, "max_seq_length": 32}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Two text files of more than 14 blocks."""
    folder = tmp_path_factory.mktemp("corpus")
    rng = random.Random(7)
    words = [
        "今天",
        "天气",
        "很好",
        "我们",
        "公园",
        "散步",
        "喜欢",
        "北京",
        "大学",
        "好",
        "的",
        "𠮷",
    ]
    documents = []
    for _ in range(220):
        sentences = [
            "".join(rng.choice(words) for _ in range(rng.randint(2, 8))) + "。"
            for _ in range(rng.randint(1, 9))
        ]
        documents.append("\n".join(sentences))
    for name, part in (("1.txt", documents[:100]), ("2.txt", documents[100:])):
        (folder / name).write_bytes("\n\n".join(part + [""]).encode("utf-8"))
    return str(folder / "*.txt")


def create(inputs, folder, streaming=None, compression="none", outputs=OUTPUTS, **settings):
    """Runs streaming with small blocks; `streaming` are more of its fields."""
    source = Source(make_settings(**dict(SETTINGS, **settings)), VOCAB)
    return create_pretraining_data.create_pretraining_data(
        inputs,
        ",".join(os.path.join(str(folder), name) for name in outputs),
        source,
        compression,
        Streaming(**dict({"block_mb": BLOCK_MB}, **(streaming or {}))),
    )


def contents(folder):
    """Dictionary of the bytes of all files in a folder; a folder in it is an error."""
    return {name: read_bytes(os.path.join(str(folder), name)) for name in os.listdir(str(folder))}


def records(path, compression=""):
    options = tf.io.TFRecordOptions(compression_type=compression)
    return list(tf.io.tf_record_iterator(str(path), options))


def all_records(folder, outputs=OUTPUTS):
    return [record for name in outputs for record in records(os.path.join(str(folder), name))]


def unfinished(folder):
    return os.path.join(str(folder), "a.unfinished")


@pytest.fixture(scope="module")
def expected(corpus, tmp_path_factory):
    """Contents of the outputs of a run that was not interrupted."""
    folder = tmp_path_factory.mktemp("expected")
    create(corpus, folder)
    return contents(folder)


@pytest.fixture
def made(monkeypatch):
    """List of the numbers of the blocks that are made in this process."""
    numbers = []
    make_block = workers.Worker.make_block

    def watched(worker, block):
        make_block(worker, block)
        numbers.append(block.number)

    monkeypatch.setattr(workers.Worker, "make_block", watched)
    return numbers


class Interrupted(BaseException):
    """Ends a run at once."""


def interrupt_after(monkeypatch, appended):
    """Ends the next run in this process after so many blocks."""
    append = pretraining_shards.State.append

    def interrupted(state, block):
        append(state, block)
        if state.done == appended:
            monkeypatch.setattr(pretraining_shards.State, "append", append)
            raise Interrupted

    monkeypatch.setattr(pretraining_shards.State, "append", interrupted)


@pytest.fixture
def started(corpus, tmp_path, monkeypatch):
    """Folder with a run that ended after two blocks."""
    interrupt_after(monkeypatch, 2)
    with pytest.raises(Interrupted):
        create(corpus, tmp_path)
    assert os.listdir(str(tmp_path)) == ["a.unfinished"]
    return tmp_path


# The same records


def test_outputs_are_mixed_from_all_blocks(expected, corpus, tmp_path, made):
    create(corpus, tmp_path)
    assert contents(tmp_path) == expected
    assert made == list(range(len(made)))
    assert len(made) > 14
    assert sorted(expected) == sorted(OUTPUTS + tuple(name + ".json" for name in OUTPUTS))
    numbers = [len(records(tmp_path / name)) for name in OUTPUTS]
    assert [read_json(str(tmp_path / (name + ".json")))["records"] for name in OUTPUTS] == numbers
    assert max(numbers) - min(numbers) <= len(made)


def test_records_of_a_block_go_to_the_outputs_in_turn(tmp_path):
    write_documents(tmp_path / "text", 1)
    summary = create(str(tmp_path / "text"), tmp_path, outputs=("one",))
    assert summary["instances"] > 10
    create(str(tmp_path / "text"), tmp_path)
    in_turn = [records(tmp_path / "one")[output::3] for output in range(3)]
    assert [records(tmp_path / name) for name in OUTPUTS] == in_turn


def write_documents(path, number):
    text = "".join("今天天气很好。\n我们去公园散步。\n好的。\n" for _ in range(12)) + "\n"
    path.write_bytes((text * number).encode("utf-8"))


def test_blocks_have_different_random_numbers(tmp_path):
    write_documents(tmp_path / "text", 2)
    streaming = {"block_mb": os.path.getsize(str(tmp_path / "text")) / 2e6}
    create(str(tmp_path / "text"), tmp_path, streaming, outputs=("one",))
    found = records(tmp_path / "one")
    middle = len(found) // 2
    assert sorted(found[:middle]) != sorted(found[middle:])
    assert len({block_seed(seed, number) for seed in range(20) for number in range(20)}) == 400


@pytest.mark.slow
@pytest.mark.parametrize(
    "num_workers, start_method, settings",
    [(2, "spawn", {}), (3, None, {"non_chinese": False, "do_whole_word_mask": True, "ngram": 2})],
)
def test_workers_make_no_difference(
    num_workers, start_method, settings, corpus, tmp_path, monkeypatch
):
    if start_method:
        monkeypatch.setattr(workers, "_start_method", lambda: start_method)
    folders = [tmp_path / "one", tmp_path / "more"]
    for folder, number in zip(folders, (1, num_workers)):
        folder.mkdir()
        create(corpus, folder, {"num_workers": number}, **settings)
    assert contents(folders[0]) == contents(folders[1])  # the counts of what is lost among them
    assert not multiprocessing.active_children()


def test_all_documents_are_used(corpus, expected, tmp_path):
    source = Source(make_settings(**SETTINGS), VOCAB)
    exact = create_pretraining_data.create_pretraining_data(corpus, str(tmp_path / "a"), source)
    (tmp_path / "streaming").mkdir()
    summary = create(corpus, tmp_path / "streaming")
    names = ["documents", "single_sentence_documents", "sentences", "tokens", "unknown_tokens"]
    for name in [*names, "unknown_characters"]:
        assert summary[name] == exact[name] and summary[name], name
    assert summary["unknown_characters"].keys() == {"𠮷"}
    in_text = summary["instance_tokens"] - 3 * summary["instances"]
    assert summary["lost_tokens"] == summary["tokens"] - in_text / 2 > 0
    assert summary["lost_documents"] == exact["lost_documents"] > 0
    histogram = summary["length_histogram"]
    assert (
        sum(histogram.values()) == summary["instances"] == len(all_records(tmp_path / "streaming"))
    )


def test_shards_of_the_input_are_all_of_it(corpus, expected, tmp_path):
    found = collections.Counter()
    for index in range(3):
        folder = tmp_path / str(index)
        folder.mkdir()
        create(corpus, folder, {"num_shards": 3, "shard_index": index})
        of_shard = all_records(folder)
        assert of_shard
        found.update(of_shard)
    whole = tmp_path / "whole"
    whole.mkdir()
    create(corpus, whole)
    assert found == collections.Counter(all_records(whole))


def test_gzip_holds_the_same_records_in_one_stream(corpus, tmp_path):
    source = Source(make_settings(**SETTINGS), VOCAB)
    for mode, streaming in (("exact", None), ("streaming", Streaming(block_mb=BLOCK_MB))):
        for compression in ("none", "gzip"):
            create_pretraining_data.create_pretraining_data(
                corpus, str(tmp_path / (mode + compression)), source, compression, streaming
            )
        packed = tmp_path / (mode + "gzip")
        stream = zlib.decompressobj(zlib.MAX_WBITS | 16)
        plain = read_bytes(str(tmp_path / (mode + "none")))
        assert stream.decompress(read_bytes(str(packed))) == plain
        assert stream.eof and not stream.unused_data
        assert records(packed, "GZIP") == records(tmp_path / (mode + "none"))
        assert read_json(str(packed) + ".json")["compression"] == "gzip"


def test_paths_with_a_scheme_go_through_tensorflow(corpus, expected, tmp_path):
    folder = "file://%s" % tmp_path
    inputs = ",".join("file://" + path for path in sorted(glob.glob(corpus)))
    with pytest.raises(InputError, match="'file://.*/a' is not local; streaming needs --temp_dir"):
        create(inputs, folder)
    with pytest.raises(InputError, match="--temp_dir: 'file://.*' is not local"):
        create(inputs, folder, {"temp_dir": folder})
    streaming = {"temp_dir": str(tmp_path / "temp")}
    with pytest.raises(InputError, match="file://.*/absent/a: cannot be written"):
        create(inputs, folder + "/absent", streaming)
    with pytest.raises(InputError, match="outputs 1 was file://.*/absent/a; now it is file://"):
        create(inputs, folder, streaming)
    shutil.rmtree(str(tmp_path / "temp"))
    create(inputs, folder, streaming)
    assert [read_bytes(str(tmp_path / name)) for name in OUTPUTS] == [
        expected[name] for name in OUTPUTS
    ]
    assert read_json(str(tmp_path / "a.json"))["input_files"] == inputs.split(",")
    assert os.listdir(str(tmp_path / "temp")) == []


def test_outputs_may_be_on_another_disk(corpus, expected, tmp_path, monkeypatch):
    replace = os.replace

    def as_between_disks(source, target):
        if os.path.dirname(source) != os.path.dirname(target):
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        replace(source, target)

    monkeypatch.setattr(os, "replace", as_between_disks)
    (tmp_path / "out").mkdir()
    create(corpus, tmp_path / "out", {"temp_dir": str(tmp_path / "temp")})
    assert contents(tmp_path / "out") == expected
    assert os.listdir(str(tmp_path / "temp")) == []


# Runs that were killed


DRIVER = """
import os, signal, sys, time

sys.path.insert(0, os.environ["ROOT"])

import create_pretraining_data
from albert.basics import cli
from albert.pretraining_data import record_encoder, shards

# Also run in the workers.
moment, number = os.environ["KILL_AT"].split()
write_instances, forget = record_encoder.write_instances, shards.State.forget

def kill_while_a_part_is_written(instances, encoder, writers, first):
    if moment == "part" and first == int(number):
        instances = list(instances)
        write_instances(instances[:10], encoder, writers)
        for writer in writers:
            writer.flush()
        os.kill(int(os.environ["RUN"]), signal.SIGKILL)
        time.sleep(600)
    return write_instances(instances, encoder, writers, first)

def kill_after_a_block(state, block):
    if moment == "state" and state.done == int(number):
        os.kill(os.getpid(), signal.SIGKILL)
    forget(state, block)

record_encoder.write_instances = kill_while_a_part_is_written
shards.State.forget = kill_after_a_block

if __name__ == "__main__":
    os.environ["RUN"] = str(os.getpid())
    cli.run(create_pretraining_data.main, create_pretraining_data.define_flags)
"""


def run_and_be_killed(corpus, folder, moment, num_workers, repo_root):
    """Runs the script, kills it at a moment; returns when all of its processes ended."""
    driver = os.path.join(str(folder), "driver.py")
    with open(driver, "w") as handle:
        handle.write(DRIVER)
    arguments = {
        "input_file": corpus,
        "output_file": ",".join(os.path.join(str(folder), name) for name in OUTPUTS),
        "vocab_file": VOCAB,
        "block_mb": BLOCK_MB,
        "num_workers": num_workers,
    }
    arguments.update(SETTINGS)
    command = ["--%s=%s" % argument for argument in arguments.items()]
    run = subprocess.Popen(
        [sys.executable, driver, "--streaming", *command],
        env=dict(os.environ, ROOT=repo_root, KILL_AT=moment, TF_CPP_MIN_LOG_LEVEL="3"),
        cwd=repo_root,
        start_new_session=True,
    )
    assert run.wait(timeout=120) == -signal.SIGKILL
    os.remove(driver)
    deadline = time.time() + 60
    while living_processes(run.pid):
        assert time.time() < deadline, "workers go on after the run was killed"
        time.sleep(0.1)


def living_processes(session):
    """Ids of the processes of a session that did not end."""
    found = []
    for path in glob.glob("/proc/[0-9]*/stat"):
        try:
            fields = read_bytes(path).rsplit(b")", 1)[1].split()
        except InputError:  # it has just ended
            continue
        if int(fields[3]) == session and fields[0] not in (b"Z", b"X"):
            found.append(path)
    return found


@pytest.mark.slow
def test_killed_runs_go_on(corpus, expected, tmp_path, made, repo_root):
    folder = unfinished(tmp_path)
    state_file = os.path.join(folder, "state.json")

    run_and_be_killed(corpus, tmp_path, "part 7", 2, repo_root)
    assert os.listdir(str(tmp_path)) == ["a.unfinished"]
    half_written = glob.glob(os.path.join(folder, "block-000007-*.tmp-*"))
    assert len(half_written) == len(OUTPUTS)
    assert all(os.path.getsize(path) for path in half_written)
    assert 3 <= read_json(state_file)["done"] <= 7

    run_and_be_killed(corpus, tmp_path, "state 9", 1, repo_root)
    assert os.listdir(str(tmp_path)) == ["a.unfinished"]
    assert read_json(state_file)["done"] == 9
    assert not set(half_written) & set(os.listdir(folder))
    assert os.path.exists(os.path.join(folder, "block-000008.json"))  # not removed any more
    # While a worker had block 7, others may have finished some of the next, but not block 12.
    missing = [
        number
        for number in range(9, len(list(split_into_blocks(sorted(glob.glob(corpus)), BLOCK_SIZE))))
        if not os.path.exists(os.path.join(folder, "block-%06d.json" % number))
    ]
    assert missing

    create(corpus, tmp_path)
    assert contents(tmp_path) == expected
    assert made == missing


def test_finished_blocks_are_not_made_again(started, corpus, expected, made):
    create(corpus, started)
    assert contents(started) == expected
    assert made == list(range(2, made[-1] + 1))


def test_what_a_killed_run_may_leave_is_not_used(started, corpus, expected, made, monkeypatch):
    folder = unfinished(started)
    for name in (
        "block-000001-0",  # in the shards already
        "block-000001.json",
        "block-000002-0",  # not finished
        "block-000002-1.tmp-1",
        "block-000002.json.tmp-1",
        "state.json.tmp-1",
        "shard-0.gz.tmp-1",
    ):
        with open(os.path.join(folder, name), "wb") as handle:
            handle.write(b"{}")
    for output in range(len(OUTPUTS)):  # appended, but not recorded
        with open(os.path.join(folder, "shard-%d" % output), "ab") as handle:
            handle.write(b"more" * (output + 1))
    interrupt_after(monkeypatch, 3)
    with pytest.raises(Interrupted):
        create(corpus, started)
    shards = ["shard-%d" % output for output in range(len(OUTPUTS))]
    assert sorted(os.listdir(folder)) == sorted([*shards, "run.json", "state.json"])
    create(corpus, started)
    assert contents(started) == expected
    assert made[0] == 2


def test_finished_blocks_are_used_whether_appended_or_not(
    corpus, expected, tmp_path, made, monkeypatch
):
    def no_append(state, block):
        raise Interrupted

    with monkeypatch.context() as context:
        context.setattr(pretraining_shards.State, "append", no_append)
        with pytest.raises(Interrupted):
            create(corpus, tmp_path)
    assert made == [0]
    create(corpus, tmp_path)
    assert contents(tmp_path) == expected
    assert made == list(range(len(made)))


@pytest.mark.parametrize(
    "compression, owner, name, call, done",
    [
        ("gzip", pretraining_shards, "compress", 2, []),
        ("gzip", storage, "move", 2, ["a"]),
        ("none", storage, "move", 3, ["a", "b"]),
        ("none", pretraining_descriptions, "write_descriptions", 1, ["a", "b", "c"]),
    ],
)
def test_runs_interrupted_at_the_end_go_on(
    compression, owner, name, call, done, corpus, tmp_path, made, monkeypatch
):
    folders = [tmp_path / "whole", tmp_path / "interrupted"]
    for folder in folders:
        folder.mkdir()
    create(corpus, folders[0], compression=compression)
    function = getattr(owner, name)
    calls = []

    def interrupted(*arguments):
        calls.append(arguments)
        if len(calls) == call:
            raise Interrupted
        return function(*arguments)

    with monkeypatch.context() as context:
        context.setattr(owner, name, interrupted)
        with pytest.raises(Interrupted):
            create(corpus, folders[1], compression=compression)
    assert sorted(os.listdir(str(folders[1]))) == sorted([*done, "a.unfinished"])
    if name == "move" and compression == "gzip":
        left = ["run.json", "shard-1.gz", "shard-2.gz", "state.json"]
        assert sorted(os.listdir(unfinished(folders[1]))) == left
    del made[:]
    create(corpus, folders[1], compression=compression)
    assert contents(folders[1]) == contents(folders[0])
    assert not made


def test_the_fork_server_finds_what_it_shall_load(monkeypatch, tmp_path):
    loaded = []

    class Context:
        def get_start_method(self):
            return "forkserver"

        def set_forkserver_preload(self, names):
            loaded.extend(names)

        def Pipe(self, duplex):
            raise Interrupted

    monkeypatch.setattr(workers.multiprocessing, "get_context", lambda method: Context())
    with pytest.raises(Interrupted), workers.workers(None, None, str(tmp_path), 1, 2):
        pass
    assert workers.__name__ in loaded and tf_compat.__name__ in loaded
    for name in loaded:
        importlib.import_module(name)  # a wrong name would be ignored, and workers start slowly


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="no fork server is used")
def test_workers_have_tensorflow_wherever_the_script_is_started(tmp_path, repo_root):
    program = (
        "import multiprocessing, sys; sys.path.insert(0, %r); "
        "from albert.pretraining_data import workers; "
        "context = multiprocessing.get_context('forkserver'); "
        "workers._start_fork_server(context); "
        "code = 'import sys; sys.exit(int(\"tensorflow\" in sys.modules))'; "
        "process = context.Process(target=exec, args=(code,)); "
        "process.start(); process.join(); print(process.exitcode)" % repo_root
    )
    output = subprocess.check_output([sys.executable, "-c", program], cwd=str(tmp_path))
    assert output.split() == [b"1"]


# Failures


def test_a_run_with_other_settings_does_not_go_on(started, corpus, tmp_path):
    def check(what, was, now, inputs=corpus, **arguments):
        message = "a.unfinished: holds an unfinished run in which %s was %s; now it is %s. Delete"
        with pytest.raises(InputError, match=message % (what, was, now)):
            create(inputs, started, **arguments)

    first, second = sorted(glob.glob(corpus))
    check("dupe_factor", 2, 3, dupe_factor=3)
    check("random_seed", 12345, 1, random_seed=1)
    check("block_mb", 0.002, 0.003, streaming={"block_mb": 0.003})
    check("num_shards", 1, 2, streaming={"num_shards": 2})
    check("compression", "none", "gzip", compression="gzip")
    check("the number of outputs", 3, 2, outputs=("a", "b"))
    check("outputs 3", ".*/c", ".*/d", outputs=("a", "b", "d"))
    check("the number of input_files", 2, 1, inputs=first)
    check("input_files 1", ".*1.txt .*", ".*2.txt .*", inputs=second + "," + first)
    copies = []
    for path in (first, second):
        copies.append(str(tmp_path / os.path.basename(path)))
        (tmp_path / os.path.basename(path)).write_bytes(read_bytes(path))
    check("input_files 1", first + ".*", copies[0] + ".*", inputs=",".join(copies))


def test_a_run_with_changed_text_does_not_go_on(tmp_path, monkeypatch):
    write_documents(tmp_path / "text", 9)
    interrupt_after(monkeypatch, 1)
    with pytest.raises(Interrupted):
        create(str(tmp_path / "text"), tmp_path)
    size = os.path.getsize(str(tmp_path / "text"))
    write_documents(tmp_path / "text", 10)
    message = r"input_files 1 was .*text \(%d bytes.*\); now it is .*text \(%d bytes"
    with pytest.raises(InputError, match=message % (size, size / 9 * 10)):
        create(str(tmp_path / "text"), tmp_path)


def test_shards_that_lost_records_are_errors(started, corpus):
    shard = os.path.join(unfinished(started), "shard-1")
    size = os.path.getsize(shard)
    os.truncate(shard, size - 1)
    message = r"shard-1: has %d bytes; expected at least %d\. Delete the folder" % (size - 1, size)
    with pytest.raises(InputError, match=message):
        create(corpus, started)


def test_two_runs_at_a_time_are_an_error(started, corpus, expected):
    error = pytest.raises(InputError, match="a.unfinished' is in use: process %d " % os.getpid())
    with locks.only_writer(unfinished(started)), error:
        create(corpus, started)
    create(corpus, started)
    assert contents(started) == expected


def test_a_file_system_without_locks_is_reported(started, corpus, expected, monkeypatch):
    import fcntl

    def no_lock(handle, operation):
        raise OSError(errno.ENOSYS, "Function not implemented")

    warnings = []
    monkeypatch.setattr(locks.logging, "warning", lambda *args: warnings.append(args))
    monkeypatch.setattr(fcntl, "flock", no_lock)
    create(corpus, started)
    assert contents(started) == expected
    assert ["has no locks" in warning[0] for warning in warnings].count(True) == 1


@pytest.mark.parametrize("num_workers", [1, 2])
def test_text_that_is_not_utf8_names_its_line(num_workers, corpus, tmp_path):
    first, second = sorted(glob.glob(corpus))
    lines = read_bytes(second).split(b"\n")
    number = len(lines) // 2
    assert lines[number]
    lines[number] = b"\xff" + lines[number]
    bad = tmp_path / "bad.txt"
    bad.write_bytes(b"\n".join(lines))
    message = r"bad\.txt, line %d: invalid UTF-8 \(byte 0xff at column 1\)" % (number + 1)
    with pytest.raises(InputError, match=message):
        create(first + "," + str(bad), tmp_path, {"num_workers": num_workers})
    assert not multiprocessing.active_children()
    assert sorted(os.listdir(str(tmp_path))) == ["a.unfinished", "bad.txt"]
    done = read_json(os.path.join(unfinished(tmp_path), "state.json"))["done"]
    assert done >= 4


def test_a_worker_that_dies_is_reported(corpus, expected, tmp_path, monkeypatch):
    append = pretraining_shards.State.append

    def kill_a_worker(state, block):
        if state.done == 1:
            os.kill(multiprocessing.active_children()[0].pid, signal.SIGKILL)
        append(state, block)

    with monkeypatch.context() as context:
        context.setattr(pretraining_shards.State, "append", kill_a_worker)
        with pytest.raises(InputError, match="a worker process ended, probably for lack of memory"):
            create(corpus, tmp_path, {"num_workers": 2})
    assert not multiprocessing.active_children()
    assert read_json(os.path.join(unfinished(tmp_path), "state.json"))["done"] >= 2
    create(corpus, tmp_path)
    assert contents(tmp_path) == expected


@pytest.mark.parametrize("file", ["block-000003-1", "block-000003.json", "state.json"])
def test_a_full_disk_is_reported_and_the_run_can_go_on(
    file, started, corpus, expected, made, monkeypatch
):
    append = pretraining_shards.State.append

    def fill_disk(state, block):
        if state.done == 2:
            temporary = "%s.tmp-%d" % (file, os.getpid())
            os.symlink("/dev/full", os.path.join(state.folder, temporary))
        append(state, block)

    with monkeypatch.context() as context:
        context.setattr(pretraining_shards.State, "append", fill_disk)
        with pytest.raises(InputError, match=r"cannot be written \(.*No space left on device\)\.$"):
            create(corpus, started)
    assert os.listdir(str(started)) == ["a.unfinished"]
    del made[:]
    create(corpus, started)
    assert contents(started) == expected
    assert made[0] >= 3


def test_a_full_disk_at_the_end_is_reported(started, corpus, expected, monkeypatch):
    def no_space(source, target):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as context:
        context.setattr(storage, "move", no_space)
        with pytest.raises(InputError, match=r"/a: cannot be written \(No space left on device\)"):
            create(corpus, started)
    create(corpus, started)
    assert contents(started) == expected


@pytest.mark.parametrize("content", ["", "一句。\n\n" * 1000])
def test_text_without_instances_leaves_nothing(content, tmp_path):
    text = tmp_path / "text"
    text.write_bytes(content.encode("utf-8"))
    with pytest.raises(InputError, match="at least one document must have two sentences"):
        create(str(text), tmp_path)
    assert os.listdir(str(tmp_path)) == ["text"]


def test_more_shards_than_blocks_are_an_error(corpus, tmp_path):
    with pytest.raises(InputError, match="--shard_index is 98, but the text has no more than so"):
        create(corpus, tmp_path, {"num_shards": 99, "shard_index": 98})
    assert os.listdir(str(tmp_path)) == []


@pytest.mark.parametrize(
    "streaming, message",
    [
        ({"block_mb": 1e-7}, "--block_mb is 1e-07; expected at least one byte"),
        ({"num_workers": 0}, "--num_workers is 0; expected at least 1"),
        ({"num_shards": 2, "shard_index": 2}, "--shard_index is 2; expected .* less than .* 2"),
        ({"shard_index": -1}, "--shard_index is -1; expected at least 0"),
    ],
)
def test_values_out_of_range_are_errors(streaming, message, corpus, tmp_path):
    with pytest.raises(InputError, match=message):
        create(corpus, tmp_path, streaming)
    assert os.listdir(str(tmp_path)) == []


def test_flags_become_streaming():
    def parse(*arguments):
        flag_values = flags.FlagValues()
        create_pretraining_data.define_flags(flag_values)
        flag_values(["script", "--input_file=a", "--output_file=b", *arguments])
        return from_flags(flag_values)

    assert parse() is None
    assert parse("--streaming", "--num_workers=3") == Streaming(num_workers=3)
    assert parse("--streaming").num_workers >= 1
    arguments = ["--block_mb=2", "--num_workers=5", "--num_shards=4", "--shard_index=3"]
    assert parse("--streaming", *arguments, "--temp_dir=x") == Streaming(2.0, 5, 4, 3, "x")
    for argument in arguments:
        with pytest.raises(InputError, match="%s belongs to --streaming" % argument.split("=")[0]):
            parse(argument)
