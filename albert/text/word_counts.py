"""What a text consists of: its words and characters, counted in bounded memory."""

import collections
import os

from absl import logging
from tqdm import tqdm

from albert.basics import storage
from tokenization import BasicTokenizer


def read_with_progress(paths, errors="strict", task="reading"):
    """Yields the lines of text files, showing the progress in MB/s.

    Args:
        paths: list of file names.
        errors: what to do with invalid UTF-8, see `storage.read_lines`.
        task: what the progress bar says.

    Raises:
        InputError: see `storage.read_lines`.
    """
    # The size of a remote file would cost a request each.
    local = not any(map(storage.is_remote, paths))
    total = sum(map(os.path.getsize, paths)) if local else None
    with tqdm(desc=task, total=total, unit="B", unit_scale=True, disable=None) as progress:
        for path in paths:
            yield from storage.read_lines(path, errors, progress=progress.update)


class WordCounts:
    """Words of a text and how often they occur.

    When there are more than `max_words` different ones, the rarest words of two and more
    characters are dropped until half are left, with a warning.  A dropped word that occurs again
    is counted from zero, so counts of rare words can be too low by some occurrences.  Characters
    are counted exactly.

    Attributes:
        words: `collections.Counter`.
        dropped: occurrences of words that are missing in `words`.
    """

    def __init__(self, words=(), max_words=1000000):
        self.words = collections.Counter(words)
        self.dropped = 0
        self._dropped_characters = collections.Counter()
        self._max_words = max_words

    def add(self, words):
        """Counts a list of words."""
        self.words.update(words)
        if len(self.words) > self._max_words:
            self._drop_rare_words()

    def _drop_rare_words(self):
        counts = {word: count for word, count in self.words.items() if len(word) > 1}
        # Words of one count are treated alike, lest the result depend on their order.
        ranked = sorted(counts.values(), reverse=True)
        rare = ranked[min(self._max_words // 2, len(ranked) - 1)] if ranked else 0
        if not self.dropped:
            logging.warning(
                "The text has more than %d different words (--max_words); the rarest are dropped, "
                "so that the counts of rare words become too low.",
                self._max_words,
            )
        for word, count in counts.items():
            if count <= rare:
                del self.words[word]
                self.dropped += count
                _count_characters(self._dropped_characters, word, count)

    def characters(self):
        """`collections.Counter` of the characters of all words, the dropped ones too."""
        characters = self._dropped_characters.copy()
        for word, count in self.words.items():
            _count_characters(characters, word, count)
        return characters


def _count_characters(counter, word, count):
    for character in word:
        counter[character] += count


def count_words(paths, do_lower_case=True, errors="strict", max_words=1000000):
    """Counts the words of text files.

    Args:
        paths: list of file names.
        do_lower_case: lower-case the text and strip accents.
        errors: what to do with invalid UTF-8, see `storage.read_lines`.
        max_words: see `WordCounts`.

    Returns:
        `WordCounts` of words as a `BasicTokenizer` splits them: each ideograph and each
        punctuation character is a word.

    Raises:
        InputError: a file cannot be read, or (strict) is not UTF-8.
    """
    tokenizer = BasicTokenizer(do_lower_case)
    counts = WordCounts(max_words=max_words)
    for line in read_with_progress(paths, errors, "counting words"):
        counts.add(tokenizer.tokenize(line))
    return counts


def frequent_characters(characters, coverage):
    """The fewest characters that make up a share of a text, as SentencePiece chooses them.

    Args:
        characters: dictionary character -> number of occurrences.
        coverage: share of all occurrences, from 0 to 1.

    Returns:
        Set of the most frequent characters, of equally frequent ones the first in code point order,
        whose occurrences reach `coverage`.
    """
    needed = coverage * sum(characters.values())
    chosen = set()
    reached = 0
    for character, count in sorted(characters.items(), key=lambda item: (-item[1], item[0])):
        if reached >= needed:
            break
        chosen.add(character)
        reached += count
    return chosen
