"""A WordPiece vocabulary of a text's own words; scripts/build_vocab.py says how it is laid out."""

import collections
import re
import string
import unicodedata

from albert.basics.errors import InputError
from albert.text import word_counts
from albert.text.piece_learning import learn_pieces
from tokenization import SPECIAL_TOKENS, UNK_TOKEN, WordpieceTokenizer

PAD_TOKEN = "[PAD]"
CHINESE_PUNCTUATION = "·—‘’“”…、。〈〉《》「」『』【】〔〕！（），－．：；？"

# A file of this many lines is taken for the vocabulary of the published checkpoints.
PUBLISHED_SIZE = 21128

_LISTED_CHARACTERS = 20  # how many of the characters that are left out the report lists


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


def parse_reserved_tokens(value):
    """Splits the value of --reserved_tokens.

    Raises:
        InputError: a token is empty, has whitespace, comes twice, or has its place elsewhere.
    """
    tokens = value.split(",") if value else []
    for index, token in enumerate(tokens):
        if not token or token.split() != [token]:
            problem = "is empty or has whitespace"
        elif token in tokens[:index]:
            problem = "comes twice"
        elif token in (PAD_TOKEN,) + SPECIAL_TOKENS or re.fullmatch(r"\[unused\d+\]", token):
            problem = "is an entry anyway"
        elif len(token) == 1 or (len(token) == 3 and token.startswith("##")):
            problem = "is a single character, which has its place among the characters"
        else:
            continue
        raise InputError("--reserved_tokens: '%s' %s." % (token, problem))
    return tokens


def _choose_characters(counts, do_lower_case, character_coverage, with_standard_ideographs):
    """Returns the punctuation and the other characters of a vocabulary, two sorted lists."""
    found = word_counts.frequent_characters(counts.characters(), character_coverage)
    punctuation = set(string.punctuation + CHINESE_PUNCTUATION)
    punctuation |= set(filter(is_punctuation, found))
    characters = set(string.digits + string.ascii_lowercase)
    if not do_lower_case:
        characters |= set(string.ascii_uppercase)
    if with_standard_ideographs:
        characters |= standard_ideographs()
    characters |= found - punctuation
    return sorted(punctuation), sorted(characters)


def _unused(first, number):
    return ["[unused%d]" % index for index in range(first, first + number)]


def build_vocab(
    counts,
    vocab_size=0,
    min_count=3,
    do_lower_case=True,
    character_coverage=1.0,
    with_standard_ideographs=True,
    num_unused=99,
    reserved_tokens=(),
):
    """Lays out the vocabulary (see the top of scripts/build_vocab.py).

    Args:
        counts: `word_counts.WordCounts`.
        vocab_size: number of entries; 0 for all there are.
        min_count: see `learn_pieces`.
        do_lower_case: whether upper case letters can be left out.
        character_coverage: share of the occurrences of all characters that must be covered.
        with_standard_ideographs: whether to take all of `standard_ideographs`.
        num_unused: number of unused entries after ``[PAD]``.
        reserved_tokens: from `parse_reserved_tokens`.

    Returns:
        List of pairs (kind, list of tokens) in the order of the ids; the tokens are all different.
        Kinds: "special" (two pairs), "unused", "reserved", "punctuation", "characters", "twins",
        "pieces", "padding".

    Raises:
        InputError: `vocab_size` is too small, or the size would be 21128.
    """
    punctuation, characters = _choose_characters(
        counts, do_lower_case, character_coverage, with_standard_ideographs
    )
    sections = [
        ("special", [PAD_TOKEN]),
        ("unused", _unused(1, num_unused)),
        ("special", list(SPECIAL_TOKENS)),
        ("reserved", list(reserved_tokens)),
        ("punctuation", punctuation),
        ("characters", characters),
        ("twins", ["##" + character for character in characters]),
    ]
    size = sum(len(tokens) for _, tokens in sections)
    if vocab_size and vocab_size < size:
        raise InputError(
            "--vocab_size is %d; it must be at least %d, of which %d are for characters and their "
            "twins; a lower --character_coverage or --nostandard_ideographs makes them fewer."
            % (vocab_size, size, 2 * len(characters))
        )
    # Reserved tokens can be learned again, so there may be that many too few without them.
    limit = vocab_size - size + len(reserved_tokens) if vocab_size else None
    reserved = set(reserved_tokens)
    pieces = [
        piece for piece in learn_pieces(counts.words, min_count, limit) if piece not in reserved
    ]
    if vocab_size:
        pieces = pieces[: vocab_size - size]
    size += len(pieces)
    padding = _unused(num_unused + 1, max(0, vocab_size - size))
    if size + len(padding) == PUBLISHED_SIZE:
        raise InputError(
            "The vocabulary would have %d entries, like that of the published checkpoints, and "
            "be taken for it; change --vocab_size or --min_count." % PUBLISHED_SIZE
        )
    return sections + [("pieces", pieces), ("padding", padding)]


def token_list(sections):
    """The tokens of `build_vocab` in the order of their ids."""
    return [token for _, tokens in sections for token in tokens]


def make_report(sections, counts):
    """Measures what a vocabulary makes of the text that was counted.

    Args:
        sections: from `build_vocab`.
        counts: `word_counts.WordCounts`.

    Returns:
        Dictionary for JSON:
            entries: kind -> number of entries; total: their sum; special_ids: token -> id.
            characters: occurrences in the text, without whitespace.
            characters_without_entry: those that have no entry, and their share (..._share).
            left_out: the most frequent of these, pairs [character, occurrences].
            tokens: number of tokens that the text becomes.
            unknown_tokens: how many of them are [UNK], and their share (..._share).
            words_not_counted: occurrences of rare words that were dropped while counting; their
                tokens are not among the tokens, but their characters among the characters.
    """
    tokens = token_list(sections)
    ids = {token: index for index, token in enumerate(tokens)}
    entries = collections.Counter()
    for kind, members in sections:
        entries[kind] += len(members)

    characters = counts.characters()
    left_out = [item for item in characters.items() if item[0] not in ids]
    left_out.sort(key=lambda item: (-item[1], item[0]))
    total_characters = sum(characters.values())
    without_entry = sum(count for _, count in left_out)

    tokenizer = WordpieceTokenizer(ids)
    total_tokens = unknown_tokens = 0
    for word, count in counts.words.items():
        pieces = tokenizer.split_word(word)
        total_tokens += count * len(pieces)
        unknown_tokens += count * (UNK_TOKEN in pieces)
    return {
        "total": len(tokens),
        "entries": dict(entries),
        "special_ids": {token: ids[token] for token in (PAD_TOKEN,) + SPECIAL_TOKENS},
        "characters": total_characters,
        "characters_without_entry": without_entry,
        "characters_without_entry_share": without_entry / max(1, total_characters),
        "left_out": [list(item) for item in left_out[:_LISTED_CHARACTERS]],
        "tokens": total_tokens,
        "unknown_tokens": unknown_tokens,
        "unknown_tokens_share": unknown_tokens / max(1, total_tokens),
        "words_not_counted": counts.dropped,
    }


def format_report(report):
    """The report as text for people."""
    lines = ["entries: %s" % ", ".join("%d %s" % (n, k) for k, n in report["entries"].items() if n)]
    lines.append("ids: %s" % ", ".join("%s %d" % item for item in report["special_ids"].items()))
    for number, of, name in (
        ("characters_without_entry", "characters", "have no entry"),
        ("unknown_tokens", "tokens", "are [UNK]"),
    ):
        share = 100 * report[number + "_share"]
        lines.append(
            "%s: %d, of which %d (%.4g%%) %s" % (of, report[of], report[number], share, name)
        )
    if report["left_out"]:
        listed = ", ".join("%s U+%04X %d" % (c, ord(c), count) for c, count in report["left_out"])
        lines.append("most frequent characters left out: " + listed)
    if report["words_not_counted"]:
        lines.append("words dropped while counting: %d" % report["words_not_counted"])
    return "\n".join(lines)
