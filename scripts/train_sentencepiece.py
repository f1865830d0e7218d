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

import os
import sys

from absl import flags

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from albert.basics import cli, storage
from albert.text import sentencepiece_training

FLAGS = flags.FLAGS


def define_flags(flag_values):
    """Defines the flags of this script."""
    string, integer, boolean = cli.flag_definers(flag_values)
    string("input_file", "Text, one sentence a line: comma-separated paths or globs.")
    string("model_prefix", "Where to write: this name with .model and with .vocab.")
    integer("vocab_size", "Number of pieces, special ones included.", 30000)
    flags.DEFINE_enum(
        "language",
        "en",
        sorted(sentencepiece_training.CHARACTER_COVERAGE),
        "Chooses the default of --character_coverage: en %(en)s, zh %(zh)s."
        % sentencepiece_training.CHARACTER_COVERAGE,
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


def main(_):
    sentencepiece_training.import_sentencepiece()
    paths = storage.match_files(FLAGS.input_file)
    storage.prepare_output_dir(os.path.dirname(FLAGS.model_prefix) or ".", "model_prefix")
    coverage = FLAGS.character_coverage
    if coverage is None:
        coverage = sentencepiece_training.CHARACTER_COVERAGE[FLAGS.language]
    sentences = sentencepiece_training.sample_sentences(
        paths,
        FLAGS.input_sentence_size,
        FLAGS.max_sentence_length,
        FLAGS.do_lower_case,
        FLAGS.encoding_errors,
        FLAGS.random_seed,
    )
    model = sentencepiece_training.train(
        sentences, FLAGS.vocab_size, coverage, FLAGS.num_threads, FLAGS.max_sentence_length
    )
    sentencepiece_training.write_model(model, FLAGS.model_prefix)
    print("Wrote %d pieces to %s.model and .vocab." % (FLAGS.vocab_size, FLAGS.model_prefix))


if __name__ == "__main__":
    cli.run(main, define_flags)
