"""Speed of text -> ids: FullTokenizer against Hugging Face tokenizers, both on one thread.

    python benchmarks/bench_tokenization.py [--input FILE] [--vocab FILE]

Needs the package tokenizers.  Two cases, each the median of interleaved runs:

* cold: a new tokenizer reads the input once.  The pace at which a corpus starts.
* warm: the same tokenizer reads it again, repeated to 2 MB.  The upper bound: it has seen
  every word.  A corpus lies between the two.
"""

import os
import platform
import statistics
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)

import tokenization
from albert.basics import cli, flag_table, storage
from albert.basics.errors import InputError
from albert.basics.flag_table import integer, string

WARM_BYTES = 2 * 10**6
OURS = "FullTokenizer"


TABLE = (
    string(
        "input",
        "UTF-8 text, one sentence per line.",
        os.path.join(ROOT, "data", "news_zh_1.txt"),
    ),
    string(
        "vocab",
        "WordPiece vocabulary; default: albert_config/quickstart/vocab.txt if it exists, else "
        "tests/golden/vocab.txt.",
    ),
    integer("runs", "Runs of which the median counts.", 7),
)


def define_flags(flag_values):
    flag_table.define(flag_values, TABLE)


def import_tokenizers():
    """Returns the package tokenizers, limited to one thread."""
    os.environ["RAYON_NUM_THREADS"] = "1"
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    try:
        import tokenizers
    except ImportError:
        raise InputError(
            "this benchmark needs the package tokenizers, which is not installed; "
            "run 'pip install tokenizers'."
        ) from None
    return tokenizers


def default_vocab():
    quickstart = os.path.join(ROOT, "albert_config", "quickstart", "vocab.txt")
    if os.path.exists(quickstart):
        return quickstart
    return os.path.join(ROOT, "tests", "golden", "vocab.txt")


def processor_name():
    """Model name as Linux gives it, else what Python knows."""
    if os.path.exists("/proc/cpuinfo"):
        for line in storage.read_lines("/proc/cpuinfo"):
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def our_encoder(vocab_file):
    """Dictionary with one entry: name -> function of a list of lines, to a list of id lists."""
    encode = tokenization.FullTokenizer(vocab_file).encode
    return {OURS: lambda lines: [encode(line) for line in lines]}


def their_encoders(vocab_file):
    """The same for each way to call Hugging Face tokenizers with the same options."""
    tokenizers = import_tokenizers()
    vocab = tokenization.load_vocab(vocab_file)
    tokenizer = tokenizers.BertWordPieceTokenizer(
        vocab,
        clean_text=True,
        handle_chinese_chars=True,
        strip_accents=True,
        lowercase=True,
    )
    tokenizer.model = tokenizers.models.WordPiece(
        vocab, unk_token="[UNK]", max_input_chars_per_word=200
    )

    def encode(lines):
        return [tokenizer.encode(line, add_special_tokens=False).ids for line in lines]

    def encode_batch(lines):
        encodings = tokenizer.encode_batch(lines, add_special_tokens=False)
        return [encoding.ids for encoding in encodings]

    return {"tokenizers encode": encode, "tokenizers encode_batch": encode_batch}


def median_seconds(encoders_of_run, lines, runs):
    """Times every encoder in turn, `runs` times.

    Args:
        encoders_of_run: function that returns a dictionary name -> encoder; called before each
            run, outside the measured time.
        lines: list of `str`.
        runs: number of runs.

    Returns:
        Dictionary name -> seconds.
    """
    seconds = {}
    for _ in range(runs):
        for name, encode in encoders_of_run().items():
            start = time.perf_counter()
            encode(lines)
            seconds.setdefault(name, []).append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def report(title, seconds, lines):
    """Prints MB/s (10**6 bytes of UTF-8, line ends not counted) and the ratio to the faster."""
    megabytes = sum(len(line.encode("utf-8")) for line in lines) / 1e6
    print("%s, %.3f MB:" % (title, megabytes))
    for name, value in seconds.items():
        print("  %-24s %7.2f MB/s" % (name, megabytes / value))
    fastest = min(value for name, value in seconds.items() if name != OURS)
    print("  ratio to the faster one  %7.2f" % (fastest / seconds[OURS]))


def main(_):
    tokenizers = import_tokenizers()
    options = cli.FLAGS
    vocab_file = options.vocab or default_vocab()
    lines = [line for line in storage.read_lines(options.input) if line.strip()]
    if not lines:
        raise InputError("--input: %s holds no text." % options.input)
    print("%s, %d CPUs, %s" % (processor_name(), os.cpu_count(), platform.system()))
    print("Python %s, tokenizers %s" % (platform.python_version(), tokenizers.__version__))
    print("text %s, vocabulary %s" % (options.input, vocab_file))

    def new_encoders():
        return dict(our_encoder(vocab_file), **their_encoders(vocab_file))

    encoders = new_encoders()
    results = [encode(lines) for encode in encoders.values()]
    same = sum(all(ids == other[0] for ids in other) for other in zip(*results))
    print("same ids: %d of %d lines (%.2f%%)" % (same, len(lines), 100.0 * same / len(lines)))

    report("cold", median_seconds(new_encoders, lines, options.runs), lines)
    repeated = lines * -(-WARM_BYTES // sum(len(line.encode("utf-8")) for line in lines))
    report("warm", median_seconds(lambda: encoders, repeated, options.runs), repeated)


if __name__ == "__main__":
    cli.run(main, define_flags)
