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

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from albert.basics import cli, flag_table, storage
from albert.basics.flag_table import boolean, choice, integer, number, string
from albert.text import sentencepiece_training
from albert.text.sentencepiece_training import CHARACTER_COVERAGE

TABLE = (
    string(
        "input_file", "Text, one sentence a line: comma-separated paths or globs.", required=True
    ),
    string("model_prefix", "Where to write: this name with .model and with .vocab.", required=True),
    integer("vocab_size", "Number of pieces, special ones included.", 30000),
    choice(
        "language",
        sorted(CHARACTER_COVERAGE),
        "Chooses the default of --character_coverage: en %(en)s, zh %(zh)s." % CHARACTER_COVERAGE,
        "en",
    ),
    number(
        "character_coverage",
        "Share of all occurrences of characters that get a piece; the rarest become <unk>.",
        maximum=1.0,
    ),
    boolean("do_lower_case", "Lower-case the text, as for pre-training.", True),
    integer("input_sentence_size", "Number of lines to draw at random, if there are more.", 10**7),
    integer("max_sentence_length", "Longer lines (bytes) are skipped, with a warning.", 4192),
    integer("num_threads", "Number of threads.", 16),
    integer("random_seed", "Seed of the sample.", 12345, minimum=None),
    cli.encoding_errors(),
)


class Settings(flag_table.settings_base(TABLE)):
    """What to train on what; a field for each flag."""

    __slots__ = ()


def define_flags(flag_values):
    """Defines the flags of this script."""
    flag_table.define(flag_values, TABLE)


def main(_):
    settings = flag_table.collect(cli.FLAGS, Settings)
    sentencepiece_training.import_sentencepiece()
    paths = storage.match_files(settings.input_file)
    storage.prepare_output_dir(os.path.dirname(settings.model_prefix) or ".", "model_prefix")
    coverage = settings.character_coverage
    if coverage is None:
        coverage = CHARACTER_COVERAGE[settings.language]
    sentences = sentencepiece_training.sample_sentences(
        paths,
        settings.input_sentence_size,
        settings.max_sentence_length,
        settings.do_lower_case,
        settings.encoding_errors,
        settings.random_seed,
    )
    model = sentencepiece_training.train(
        sentences, settings.vocab_size, coverage, settings.num_threads, settings.max_sentence_length
    )
    sentencepiece_training.write_model(model, settings.model_prefix)
    print("Wrote %d pieces to %s.model and .vocab." % (settings.vocab_size, settings.model_prefix))


if __name__ == "__main__":
    cli.run(main, define_flags)
