"""Pre-training data from text: time in units of jieba's, gain of a second worker, peak memory.

    python benchmarks/bench_data.py [--parts=speed,streaming,memory]

Recipe albert_zh, instances of 128 tokens, whole-word masking, on generated text in which no
sentence repeats.  See benchmarks/README.md.
"""

import collections
import contextlib
import io
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import contenders
from bench_tokenization import default_vocab
from generated_text import write_text

from albert.basics import cli, flag_table, storage
from albert.basics.errors import InputError
from albert.basics.flag_table import integer, items, string

JIEBA, EXACT_JIEBA, EXACT_AUTO = "jieba.lcut", "--segmenter=jieba", "--segmenter=auto"
PARTS = ("speed", "streaming", "memory")
SCRIPT = os.path.join(contenders.ROOT, "create_pretraining_data.py")
SMALL_TEXT = os.path.join(contenders.ROOT, "data", "news_zh_1.txt")
DUPE_FACTOR = 5  # of the parts speed and streaming
EXACT_MEGABYTES = 20, 60
STREAMING_MEGABYTES = 20, 200
SAMPLING_SECONDS = 0.001

# What a module's functions are for; of others, the caller counts.
STAGES = {
    "tokenization": "tokenizing",
    "word_segmentation": "marking words",
    "storage": "reading, counting",
    "corpus": "reading, counting",
    "recipe_albert_zh": "instances",
    "masking": "instances",
    "instances": "instances",
    "record_encoder": "writing",
    "summary": "writing",
}
SEGMENTING, OTHER = "segmenting", "other"


TABLE = (
    items("parts", "What to measure: of %s." % ", ".join(PARTS), list(PARTS)),
    string("input_file", "UTF-8 text for the part speed; without it one is generated."),
    string("vocab_file", "WordPiece vocabulary; by default that of bench_tokenization.py."),
    integer("megabytes", "Size of the generated text of the part speed.", 5),
    integer("rounds", "Rounds of the part speed.", 5),
    integer("streaming_megabytes", "Text of the part streaming; blocks are of 8 MB.", 80),
    integer("streaming_rounds", "Rounds of the part streaming.", 3),
)


def define_flags(flag_values):
    flag_table.define(flag_values, TABLE)


def make_source(segmenter, vocab_file):
    """What is made of the text in the part speed, as a `instances.Source`."""
    from albert.pretraining_data.instances import Source
    from albert.pretraining_data.settings import make_settings

    settings = make_settings(do_whole_word_mask=True, dupe_factor=DUPE_FACTOR, segmenter=segmenter)
    return Source(settings, vocab_file)


def prepare_jieba(threads, path):
    """jieba.lcut of every line."""
    from albert.text import word_segmentation

    jieba = word_segmentation.load_jieba()
    jieba.initialize()
    lines = [line.strip() for line in storage.read_lines(path)]
    lines = [line for line in lines if line]

    def measure():
        start = time.perf_counter()
        for line in lines:
            jieba.lcut(line)
        return time.perf_counter() - start

    return measure


def prepare_creation(threads, segmenter, path, vocab_file, folder):
    """create_pretraining_data of the text; imports and dictionaries are loaded before."""
    import tqdm

    from albert.pretraining_data.creation import create_pretraining_data
    from albert.text import word_segmentation

    tqdm.tqdm.set_lock(threading.RLock())  # the usual one would outlive the process
    source = make_source(segmenter, vocab_file)
    output = os.path.join(folder, segmenter + ".tfrecord")

    def create(text):
        with contextlib.redirect_stderr(io.StringIO()):  # progress bars
            start = time.perf_counter()
            create_pretraining_data(text, output, source)
            return time.perf_counter() - start

    def measure(by_stage=False):
        if not by_stage:
            return create(path)
        segment, _ = word_segmentation.load_segmenter(segmenter)
        with sampled_stages(segment) as samples:
            seconds = create(path)
        return seconds, samples

    create(SMALL_TEXT)
    return measure


@contextlib.contextmanager
def sampled_stages(segment):
    """Yields a `collections.Counter`: stage -> how often the process was found in it.

    Looks at the stack every millisecond; a profiler that sees every call would slow down the
    stages with many small functions most.

    Args:
        segment: function that cuts text into words.
    """
    samples = collections.Counter()

    def sample(_, frame):
        stage = None
        while frame and not stage:
            if frame.f_code is getattr(segment, "__code__", None):
                stage = SEGMENTING
            else:
                name = os.path.splitext(os.path.basename(frame.f_code.co_filename))[0]
                stage = STAGES.get(name)
            frame = frame.f_back
        samples[stage or OTHER] += 1

    before = signal.signal(signal.SIGALRM, sample)
    signal.setitimer(signal.ITIMER_REAL, SAMPLING_SECONDS, SAMPLING_SECONDS)
    try:
        yield samples
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def measure_speed(folder, path, vocab_file, rounds):
    """Prints what exact mode takes in units of one pass of jieba over the same text."""
    megabytes = os.path.getsize(path) / 1e6
    print("\nspeed     %.1f MB, dupe_factor %d; %d rounds" % (megabytes, DUPE_FACTOR, rounds))
    workers = {JIEBA: contenders.Contender(prepare_jieba, 1, path)}
    for name in (EXACT_JIEBA, EXACT_AUTO):
        segmenter = name.split("=")[1]
        workers[name] = contenders.Contender(
            prepare_creation, 1, segmenter, path, vocab_file, folder
        )
    results = contenders.take_turns(workers, rounds)
    unit = statistics.median(results[JIEBA])
    for name, seconds in results.items():
        print(
            "%-18s%s s, median (range); ratio %.2f"
            % (name, contenders.median_and_range(seconds), statistics.median(seconds) / unit)
        )
    for name in (EXACT_JIEBA, EXACT_AUTO):
        print_stages(name, *workers[name](True))
    for worker in workers.values():
        worker.stop()


def print_stages(name, seconds, samples):
    """Prints the stages of a run that took `seconds`, the longest first."""
    print("%s, one more run by stage, %.2f s:" % (name, seconds))
    total = sum(samples.values())
    for stage, number in samples.most_common():
        share = number / total
        print("  %-18s%6.2f s %5.1f %%" % (stage, share * seconds, 100 * share))


def run_script(text, vocab_file, folder, *arguments):
    """Runs create_pretraining_data.py in a process of its own.

    Returns:
        Tuple (seconds, peak): of the whole process; the most bytes that it, or one of its
        workers, held in memory, as `resource.getrusage` gives it.

    Raises:
        InputError: it failed.
    """
    command = [
        sys.executable,
        SCRIPT,
        "--input_file=" + text,
        "--output_file=" + os.path.join(folder, "records.tfrecord"),
        "--vocab_file=" + vocab_file,
        "--do_whole_word_mask",
        *arguments,
    ]
    with tempfile.TemporaryFile() as messages:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=messages, stderr=messages)
        _, status, usage = os.wait4(process.pid, 0)  # getrusage of this process alone
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            messages.seek(0)
            raise InputError(
                "'%s' failed: %s" % (" ".join(command), messages.read().decode("utf-8", "replace"))
            )
    unit = 1 if sys.platform == "darwin" else 1024
    return seconds, usage.ru_maxrss * unit


def measure_streaming(folder, path, vocab_file, rounds):
    """Prints what two workers gain."""
    megabytes = os.path.getsize(path) / 1e6
    print("\nstreaming %.1f MB, dupe_factor %d; %d rounds" % (megabytes, DUPE_FACTOR, rounds))

    def run(num_workers, text=path, *more):
        options = ["--streaming", "--num_workers=%d" % num_workers, *more]
        return run_script(text, vocab_file, folder, "--dupe_factor=%d" % DUPE_FACTOR, *options)[0]

    # Blocks so small that both workers have to start.
    small = SMALL_TEXT, "--block_mb=%g" % (os.path.getsize(SMALL_TEXT) / 2e6)
    cases = {
        "1 worker": lambda: run(1),
        "2 workers": lambda: run(2),
        "1 worker, start-up": lambda: run(1, *small),
        "2 workers, start-up": lambda: run(2, *small),
    }
    results = contenders.take_turns(cases, rounds)
    medians = {name: statistics.median(seconds) for name, seconds in results.items()}
    for name, seconds in results.items():
        print("%-20s%s s, median (range)" % (name, contenders.median_and_range(seconds)))
    one, two, start_one, start_two = medians.values()
    print("ratio               %.2f" % (one / two))
    print("ratio, less start-up %.2f" % ((one - start_one) / (two - start_two)))


def measure_memory(folder, vocab_file):
    """Prints the most memory that the script holds."""
    print("\nmemory    dupe_factor 1, 1 worker; peak of the process; MB are 10**6 bytes")

    def peak(text, *options):
        return run_script(text, vocab_file, folder, "--dupe_factor=1", *options)[1]

    fixed = peak(SMALL_TEXT)
    print("start-up          %7.1f MB (on %.1f MB of text)" % (fixed / 1e6, size_mb(SMALL_TEXT)))
    for mode, sizes, options in (
        ("exact", EXACT_MEGABYTES, []),
        ("streaming", STREAMING_MEGABYTES, ["--streaming", "--num_workers=1"]),
    ):
        peaks = []
        for megabytes in sizes:
            with generated(folder, megabytes) as text:
                peaks.append(peak(text, *options))
            print(
                "%-10s%4d MB: %7.1f MB, %.1f bytes per byte of text"
                % (mode, megabytes, peaks[-1] / 1e6, peaks[-1] / 1e6 / megabytes)
            )
        slope = (peaks[1] - peaks[0]) / 1e6 / (sizes[1] - sizes[0])
        print(
            "%-10sfrom %d to %d MB: %.1f bytes more per byte of text; ratio of the peaks %.2f"
            % (mode, *sizes, slope, peaks[1] / peaks[0])
        )


def size_mb(path):
    return os.path.getsize(path) / 1e6


@contextlib.contextmanager
def generated(folder, megabytes):
    """Yields the path of a generated text, which is removed after use."""
    path = os.path.join(folder, "text-%d.txt" % megabytes)
    write_text(path, megabytes * 10**6)
    try:
        yield path
    finally:
        os.remove(path)


def check_options(options):
    """Raises InputError before anything is measured if it could not be."""
    unknown = sorted(set(options.parts) - set(PARTS))
    if unknown or not options.parts:
        raise InputError(
            "--parts is '%s'; expected one or more of %s, separated by commas."
            % (",".join(options.parts), ", ".join(PARTS))
        )
    for path in filter(None, (options.input_file, options.vocab_file)):
        storage.match_files(path)


def main(_):
    options = cli.FLAGS
    contenders.silence_warnings()
    check_options(options)
    from albert.text import word_segmentation

    _, software = word_segmentation.load_segmenter("auto")
    if "rjieba" not in software:
        raise InputError(
            "this benchmark needs rjieba %s; run 'pip install rjieba==%s'."
            % (word_segmentation.RJIEBA_VERSION, word_segmentation.RJIEBA_VERSION)
        )
    vocab_file = options.vocab_file or default_vocab()
    print(contenders.describe(1, ["tensorflow", "numpy", "jieba", "rjieba"]))
    print("work      recipe albert_zh, sequence 128, whole-word masking")
    print("vocabulary %s" % os.path.relpath(vocab_file, contenders.ROOT))
    with tempfile.TemporaryDirectory() as folder:
        if "speed" in options.parts:
            if options.input_file:
                measure_speed(folder, options.input_file, vocab_file, options.rounds)
            else:
                with generated(folder, options.megabytes) as path:
                    measure_speed(folder, path, vocab_file, options.rounds)
        if "streaming" in options.parts:
            with generated(folder, options.streaming_megabytes) as path:
                measure_streaming(folder, path, vocab_file, options.streaming_rounds)
        if "memory" in options.parts:
            measure_memory(folder, vocab_file)


if __name__ == "__main__":
    cli.run(main, define_flags)
