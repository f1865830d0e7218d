"""Trains a SentencePiece model, the vocabulary of Google's English ALBERT.

    python scripts/train_sentencepiece.py --input_file="corpus/*.txt" --model_prefix=my_model
    python scripts/train_sentencepiece.py --input_file="corpus/*.txt" --model_prefix=my_model \\
        --language=zh

The options are those of the published models: unigram, 30,000 pieces, a sample of 10 million lines;
<pad> 0, <unk> 1, [CLS] 2, [SEP] 3, [MASK] 4, then ( ) " - . – £ €.  Blank
lines are skipped, the others normalized by `tokenization.preprocess_text`, as for pre-training.

Writes MODEL_PREFIX.model, for --spm_model_file, and MODEL_PREFIX.vocab, for people: a piece and its
logarithmic probability per line.  The result depends on the input, the flags (--num_threads too:
sums of floats are made in another order) and the version of SentencePiece.

The text is read twice, to count the lines and to draw the sample; only the sample is in memory.
"""

import io
import os
import random
import re
import sys

from absl import flags, logging

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from albert.basics import cli, storage
from albert.basics.errors import InputError
from albert.text import word_counts
from tokenization import preprocess_text

FLAGS = flags.FLAGS

PUBLISHED_OPTIONS = {
    "model_type": "unigram",
    "pad_id": 0,
    "unk_id": 1,
    "bos_id": -1,
    "eos_id": -1,
    "control_symbols": ["[CLS]", "[SEP]", "[MASK]"],
    "user_defined_symbols": list('()"-.–£€'),
}

# English: as published.  Chinese: as SentencePiece recommends for languages of many characters.
CHARACTER_COVERAGE = {"en": 0.99995, "zh": 0.9995}


def define_flags(flag_values):
    """Defines the flags of this script."""
    string, integer, boolean = cli.flag_definers(flag_values)
    string("input_file", "Text, one sentence a line: comma-separated paths or globs.")
    string("model_prefix", "Where to write: this name with .model and with .vocab.")
    integer("vocab_size", "Number of pieces, special ones included.", 30000)
    flags.DEFINE_enum(
        "language",
        "en",
        sorted(CHARACTER_COVERAGE),
        "Chooses the default of --character_coverage: en %(en)s, zh %(zh)s." % CHARACTER_COVERAGE,
        flag_values=flag_values,
    )
    flags.DEFINE_float(
        "character_coverage",
        None,
        "Share of all occurrences of characters that get a piece; the rarest become <unk>.",
        lower_bound=0.0,
        upper_bound=1.0,
        flag_values=flag_values,
    )
    boolean("do_lower_case", "Lower-case the text, as for pre-training.", True)
    integer("input_sentence_size", "Number of lines to draw at random, if there are more.", 10**7)
    integer("max_sentence_length", "Longer lines (bytes) are skipped, with a warning.", 4192)
    integer("num_threads", "Number of threads.", 16)
    integer("random_seed", "Seed of the sample.", 12345, minimum=None)
    cli.define_encoding_errors(flag_values)
    flags.mark_flags_as_required(["input_file", "model_prefix"], flag_values=flag_values)


def import_sentencepiece():
    """Returns the package; raises InputError if it is missing."""
    try:
        import sentencepiece
    except ImportError:
        raise InputError(
            "Training needs the package sentencepiece, which is not installed; run "
            "'pip install sentencepiece'."
        ) from None
    return sentencepiece


def read_sentences(paths, do_lower_case=True, errors="strict", task="reading"):
    """Yields the normalized lines of text files that are not blank; see `read_corpus`."""
    for line in word_counts.read_corpus(paths, errors, task):
        sentence = preprocess_text(line, lower=do_lower_case)
        if sentence:
            yield sentence


def draw_sample(items, number, size, seed):
    """Yields a random sample of an iterable, in its order (Knuth, TAOCP 2, 3.4.2, algorithm S).

    Args:
        items: iterable.
        number: how many items it has.
        size: how many to draw, each set of so many being equally probable; all if there are fewer.
        seed: of the random numbers.
    """
    generator = random.Random(seed)
    for index, item in enumerate(items):
        if (number - index) * generator.random() < size:
            size -= 1
            yield item


def sample_sentences(paths, sample_size, max_length, do_lower_case, errors, seed):
    """Reads text files once to count their sentences and again to draw a sample.

    Args:
        paths: list of file names.
        sample_size: number of sentences to draw, if there are more.
        max_length: sentences of more bytes are left out.
        do_lower_case, errors: see `read_sentences`.
        seed: of the sample.

    Returns:
        Iterator of `str`; the files have been read to the end once when it is returned.

    Raises:
        InputError: a file cannot be read, or there is no sentence in any.
    """

    def read(task):
        for sentence in read_sentences(paths, do_lower_case, errors, task):
            yield sentence, len(sentence.encode("utf-8")) <= max_length

    usable = too_long = 0
    for _, fits in read("counting lines"):
        usable += fits
        too_long += not fits
    if too_long:
        logging.warning(
            "%d of %d lines have more than %d bytes and are skipped; raise --max_sentence_length "
            "or put one sentence on a line.",
            too_long,
            usable + too_long,
            max_length,
        )
    if not usable:
        raise InputError(
            "--input_file: no line to train on: all are blank or have more than %d bytes "
            "(--max_sentence_length)." % max_length
        )
    logging.info("Training on %d of %d lines.", min(usable, sample_size), usable + too_long)
    sentences = (sentence for sentence, fits in read("drawing lines") if fits)
    return draw_sample(sentences, usable, sample_size, seed)


def train(sentences, vocab_size, character_coverage, num_threads=16, max_sentence_length=4192):
    """Trains a model with the published options.

    Args:
        sentences: iterator of `str`.
        vocab_size: number of pieces.
        character_coverage: share of the occurrences of characters that get a piece.
        num_threads: number of threads.
        max_sentence_length: sentences of more bytes are skipped.

    Returns:
        The model, `bytes`.

    Raises:
        InputError: `vocab_size` does not suit the text, or sentencepiece is missing.
    """
    sentencepiece = import_sentencepiece()
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(sentences),
            model_writer=model,
            vocab_size=vocab_size,
            character_coverage=character_coverage,
            num_threads=num_threads,
            max_sentence_length=max_sentence_length,
            minloglevel=0 if logging.level_debug() else 2,  # 0 all, 2 errors
            **PUBLISHED_OPTIONS,
        )
    except RuntimeError as error:
        raise _explain(error, vocab_size) or error from None
    return model.getvalue()


def _explain(error, vocab_size):
    """Returns an InputError for what SentencePiece says about the size; None for all else."""
    too_high = re.search(r"size too high .*<= (\d+)", str(error))
    if too_high:
        return InputError(
            "--vocab_size is %d, but this text gives only %s pieces; lower it or use more text."
            % (vocab_size, too_high.group(1))
        )
    too_low = re.search(r"smaller than required_chars\. \d+ vs (\d+)", str(error))
    if too_low:
        return InputError(
            "--vocab_size is %d, but the characters of this text and the special pieces are %s; "
            "raise it or lower --character_coverage." % (vocab_size, too_low.group(1))
        )
    return None


def list_pieces(model):
    """The pieces of a model (`bytes`) and their scores, as SentencePiece writes them to .vocab.

    Returns:
        List of pairs of `str`.
    """
    processor = import_sentencepiece().SentencePieceProcessor(model_proto=model)
    return [
        (processor.IdToPiece(index), "%g" % processor.GetScore(index))
        for index in range(processor.GetPieceSize())
    ]


def write_model(model, prefix):
    """Writes PREFIX.model and PREFIX.vocab; both are complete before either replaces an old one."""
    with storage.atomic_write(prefix + ".model", "wb") as model_file, storage.atomic_write(
        prefix + ".vocab"
    ) as vocab_file:
        model_file.write(model)
        vocab_file.writelines("%s\t%s\n" % item for item in list_pieces(model))


def main(_):
    import_sentencepiece()
    paths = storage.match_files(FLAGS.input_file)
    storage.prepare_output_dir(os.path.dirname(FLAGS.model_prefix) or ".", "model_prefix")
    coverage = FLAGS.character_coverage
    if coverage is None:
        coverage = CHARACTER_COVERAGE[FLAGS.language]
    sentences = sample_sentences(
        paths,
        FLAGS.input_sentence_size,
        FLAGS.max_sentence_length,
        FLAGS.do_lower_case,
        FLAGS.encoding_errors,
        FLAGS.random_seed,
    )
    model = train(
        sentences, FLAGS.vocab_size, coverage, FLAGS.num_threads, FLAGS.max_sentence_length
    )
    write_model(model, FLAGS.model_prefix)
    print("Wrote %d pieces to %s.model and .vocab." % (FLAGS.vocab_size, FLAGS.model_prefix))


if __name__ == "__main__":
    cli.run(main, define_flags)
