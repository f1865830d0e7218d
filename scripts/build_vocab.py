"""Builds a WordPiece vocabulary from the user's own text.

The vocabulary of the quick start was made by:

    python scripts/build_vocab.py \\
        --input_file=data/news_zh_1.txt,data/lcqmc_sample/train.txt \\
        --output_file=albert_config/quickstart/vocab.txt

It is for models trained from scratch; published checkpoints need the vocabulary in their archive.

Layout, one token per line, the 0-based line number being its id:

    [PAD] 0, [unused1]..[unused99] 1-99, [UNK] 100, [CLS] 101, [SEP] 102, [MASK] 103; with another
        --num_unused=N: [unusedN] N, [UNK] N+1, and so on
    --reserved_tokens, in their order
    punctuation: ASCII, common Chinese, and what the input has besides
    characters in code point order: digits, letters, symbols and letters of other scripts that
        the input has, ideographs (GB 2312, Big5 level 1, and what the input has besides)
    the same characters in the same order, each with "##"
    words and pieces of words of ASCII letters and digits, in the order in which they
        were learned from the input, which is about that of their frequency
    further [unusedN], if --vocab_size asks for more than all that

So id("##X") - id("X") is the same number for every character X.  With --character_coverage=1 no
word of the input becomes [UNK] (but for words above WordPiece's limit of 200 characters); with
less, words with a character that is left out do.  ASCII, common Chinese punctuation and, unless
--nostandard_ideographs, the ideographs of the two standards are never left out.  The result
depends on nothing but the input and the flags.

The input may be larger than memory: --max_words bounds what is kept of it.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from albert.basics import cli, flag_table, storage
from albert.basics.flag_table import boolean, integer, number, string
from albert.text import vocabulary, word_counts

TABLE = (
    string("input_file", "Text: comma-separated paths or globs.", required=True),
    string("output_file", "The vocabulary to write.", required=True),
    string("report_file", "JSON file for the numbers of the report; none by default."),
    integer(
        "vocab_size",
        "Number of entries, reached by leaving out the pieces learned last or by adding unused "
        "entries at the end; 0 keeps all.",
        0,
        minimum=0,
    ),
    integer(
        "min_count",
        "How often a word or piece of ASCII letters and digits must occur to become an entry.",
        3,
    ),
    boolean(
        "do_lower_case",
        "Lower-case the text and strip accents, as the model's tokenizer then must do, too.",
        True,
    ),
    number(
        "character_coverage",
        "Share of all occurrences of characters that must be covered; the rarest are left out.",
        1.0,
        maximum=1.0,
    ),
    boolean(
        "standard_ideographs",
        "Take all ideographs of GB 2312 and Big5 level 1, also those that the text has not.",
        True,
    ),
    integer("num_unused", "Number of [unusedN] entries after [PAD].", 99, minimum=0),
    string("reserved_tokens", "Comma-separated tokens to put after the special ones."),
    integer(
        "max_words",
        "Bound of the memory for counting: the rarest words are dropped above this many.",
        1000000,
        minimum=200000,  # single characters are never dropped; Unicode has 150,000
    ),
    cli.encoding_errors(),
)


class Settings(flag_table.settings_base(TABLE)):
    """What vocabulary to build of what; a field for each flag."""

    __slots__ = ()


def define_flags(flag_values):
    """Defines the flags of this script."""
    flag_table.define(flag_values, TABLE)


def main(_):
    settings = flag_table.collect(cli.FLAGS, Settings)
    paths = storage.match_files(settings.input_file)
    for flag, path in (
        ("output_file", settings.output_file),
        ("report_file", settings.report_file),
    ):
        if path:
            storage.prepare_output_dir(os.path.dirname(path) or ".", flag)
    options = dict(
        vocab_size=settings.vocab_size,
        min_count=settings.min_count,
        do_lower_case=settings.do_lower_case,
        character_coverage=settings.character_coverage,
        with_standard_ideographs=settings.standard_ideographs,
        num_unused=settings.num_unused,
        reserved_tokens=vocabulary.parse_reserved_tokens(settings.reserved_tokens),
    )
    if settings.vocab_size:  # a size that suits no text is reported before any is read
        vocabulary.build_vocab(word_counts.WordCounts(), **options)
    counts = word_counts.count_words(
        paths, settings.do_lower_case, settings.encoding_errors, settings.max_words
    )
    sections = vocabulary.build_vocab(counts, **options)
    report = vocabulary.make_report(sections, counts)
    with storage.atomic_write(settings.output_file) as handle:
        handle.writelines(token + "\n" for token in vocabulary.token_list(sections))
    if settings.report_file:
        storage.write_json(settings.report_file, report)
    print("Wrote %d entries to %s." % (report["total"], settings.output_file))
    print(vocabulary.format_report(report))


if __name__ == "__main__":
    cli.run(main, define_flags)
