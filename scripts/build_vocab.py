"""Builds a WordPiece vocabulary for Chinese text.

The vocabulary of the quick start was made by:

    python scripts/build_vocab.py \
        --input_file=data/news_zh_1.txt,data/lcqmc_sample/train.txt \
        --output_file=albert_config/quickstart/vocab.txt

It is for models trained from scratch; published checkpoints need the vocabulary in their archive.

Layout, one token per line, the 0-based line number being its id:

    [PAD] 0, [unused1]..[unused99] 1-99, [UNK] 100, [CLS] 101, [SEP] 102, [MASK] 103
    punctuation: ASCII, common Chinese, and what the input has besides
    characters in code point order: digits, letters, symbols and letters of other scripts that
        the input has, ideographs (GB 2312, Big5 level 1, and what the input has besides)
    the same characters in the same order, each with "##"
    words and pieces of words of ASCII letters and digits, in the order in which they
        were learned from the input, which is about that of their frequency

So id("##X") - id("X") is the same number for every character X, and no word of the input becomes
[UNK] (but for words above WordPiece's limit of 200 characters).  The result depends on nothing
but the input and the flags.
"""

import collections
import os
import re
import string
import sys
import unicodedata

from absl import flags

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import cli
import file_utils
from tokenization import BasicTokenizer

FLAGS = flags.FLAGS

SPECIAL_TOKENS = (
    ["[PAD]"]
    + ["[unused%d]" % index for index in range(1, 100)]
    + ["[UNK]", "[CLS]", "[SEP]", "[MASK]"]
)
CHINESE_PUNCTUATION = "·—‘’“”…、。〈〉《》「」『』【】〔〕！（），－．：；？"

# A file of this many lines is taken for the vocabulary of the published checkpoints.
PUBLISHED_SIZE = 21128

_ASCII_WORD = re.compile("[0-9A-Za-z]+")


def define_flags(flag_values):
    """Defines the flags of this script."""
    flags.DEFINE_string(
        "input_file", None, "UTF-8 text: comma-separated paths or globs.", flag_values=flag_values
    )
    flags.DEFINE_string("output_file", None, "The vocabulary to write.", flag_values=flag_values)
    flags.DEFINE_integer(
        "vocab_size",
        0,
        "Number of entries, reached by leaving out the pieces learned last; 0 keeps all.",
        lower_bound=0,
        flag_values=flag_values,
    )
    flags.DEFINE_integer(
        "min_count",
        3,
        "How often a word or piece of ASCII letters and digits must occur to become an entry.",
        lower_bound=1,
        flag_values=flag_values,
    )
    flags.DEFINE_bool(
        "do_lower_case",
        True,
        "Lower-case the text and strip accents, as the model's tokenizer then must do, too.",
        flag_values=flag_values,
    )
    flags.mark_flags_as_required(["input_file", "output_file"], flag_values=flag_values)


def count_words(paths, do_lower_case):
    """Counts the words of text files.

    Args:
        paths: list of file names.
        do_lower_case: lower-case the text and strip accents.

    Returns:
        `collections.Counter` of words as a `BasicTokenizer` splits them: each ideograph and each
        punctuation character is a word.

    Raises:
        InputError: a file cannot be read or is not UTF-8.
    """
    tokenizer = BasicTokenizer(do_lower_case)
    words = collections.Counter()
    for path in paths:
        for line in file_utils.read_lines(path):
            words.update(tokenizer.tokenize(line))
    return words


def standard_ideographs():
    """Set of the 6,763 ideographs of GB 2312 and the 5,401 of Big5 level 1."""

    def in_code(character, codec, first, last):
        return first <= int.from_bytes(character.encode(codec, "ignore"), "big") <= last

    return {
        character
        for character in map(chr, range(0x4E00, 0xA000))
        if in_code(character, "gb2312", 0xB0A1, 0xF7FE)
        or in_code(character, "big5", 0xA440, 0xC67E)
    }


def is_punctuation(character):
    """True if a `BasicTokenizer` makes this character a word of its own as punctuation."""
    return character in string.punctuation or unicodedata.category(character).startswith("P")


def learn_pieces(words, min_count):
    """Learns word pieces by byte pair encoding (Sennrich et al. 2016, section 3.2).

    Each word starts as its characters.  The most frequent pair of neighbouring pieces is joined
    wherever it occurs, again and again, until no pair is left that occurs `min_count` times; of
    equally frequent pairs the first in code point order is taken.  So every word that occurs
    `min_count` times becomes a piece.

    Args:
        words: dictionary word -> number of occurrences; only words of ASCII letters and digits
            are looked at.
        min_count: lowest number of occurrences of a pair that is joined.

    Returns:
        List of the joined pieces, ``##`` before those that do not start a word, in the order in
        which they were learned.
    """
    counts = {}
    splits = {}
    pair_counts = collections.Counter()
    words_of_pair = collections.defaultdict(set)

    def add_pairs(word, sign):
        for pair in zip(splits[word], splits[word][1:]):
            pair_counts[pair] += sign * counts[word]
            words_of_pair[pair].add(word)

    for word, count in words.items():
        if _ASCII_WORD.fullmatch(word):
            counts[word] = count
            splits[word] = [word[0]] + ["##" + character for character in word[1:]]
            add_pairs(word, 1)

    learned = {}  # used as an ordered set: different pairs can join to the same piece
    while pair_counts:
        pair = min(pair_counts, key=lambda pair: (-pair_counts[pair], pair))
        if pair_counts[pair] < min_count:
            break
        learned[pair[0] + pair[1][2:]] = None
        for word in words_of_pair.pop(pair):
            add_pairs(word, -1)
            splits[word] = _join(splits[word], pair)
            add_pairs(word, 1)
        del pair_counts[pair]
    return list(learned)


def _join(pieces, pair):
    """Joins each occurrence of `pair` in a list of pieces, from the left."""
    joined = []
    for piece in pieces:
        if joined and (joined[-1], piece) == pair:
            joined[-1] += piece[2:]
        else:
            joined.append(piece)
    return joined


def build_vocab(words, vocab_size=0, min_count=3, do_lower_case=True):
    """Lays out the vocabulary (see the top of this file).

    Args:
        words: dictionary word -> number of occurrences, from `count_words`.
        vocab_size: number of entries; 0 for all there are.
        min_count: see `learn_pieces`.
        do_lower_case: whether upper case letters can be left out.

    Returns:
        List of tokens, all different.

    Raises:
        InputError: `vocab_size` cannot be reached, or the size would be 21128.
    """
    seen = set().union(*words)
    punctuation = set(string.punctuation + CHINESE_PUNCTUATION)
    punctuation |= set(filter(is_punctuation, seen))
    characters = set(string.digits + string.ascii_lowercase)
    if not do_lower_case:
        characters |= set(string.ascii_uppercase)
    characters |= standard_ideographs() | (seen - punctuation)

    basis = SPECIAL_TOKENS + sorted(punctuation) + sorted(characters)
    basis += ["##" + character for character in sorted(characters)]
    vocab = basis + learn_pieces(words, min_count)
    if vocab_size:
        if not len(basis) <= vocab_size <= len(vocab):
            raise file_utils.InputError(
                "--vocab_size is %d; with this text and --min_count=%d it must be from %d (no "
                "learned pieces) to %d." % (vocab_size, min_count, len(basis), len(vocab))
            )
        vocab = vocab[:vocab_size]
    if len(vocab) == PUBLISHED_SIZE:
        raise file_utils.InputError(
            "The vocabulary would have %d entries, like that of the published checkpoints, and "
            "be taken for it; change --vocab_size or --min_count." % PUBLISHED_SIZE
        )
    return vocab


def main(_):
    paths = file_utils.match_files(FLAGS.input_file)
    file_utils.prepare_output_dir(os.path.dirname(FLAGS.output_file) or ".", "output_file")
    words = count_words(paths, FLAGS.do_lower_case)
    vocab = build_vocab(words, FLAGS.vocab_size, FLAGS.min_count, FLAGS.do_lower_case)
    with file_utils.atomic_write(FLAGS.output_file) as handle:
        handle.writelines(token + "\n" for token in vocab)
    print("Wrote %d entries to %s." % (len(vocab), FLAGS.output_file))


if __name__ == "__main__":
    cli.run(main, define_flags)
