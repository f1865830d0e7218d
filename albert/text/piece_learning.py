"""Word pieces, learned from the words of a text."""

import collections
import heapq
import itertools
import re

from tqdm import tqdm

# A longer word becomes [UNK] whatever the vocabulary, so nothing is learned from it.
MAX_WORD_LENGTH = 200
_ASCII_WORD = re.compile("[0-9A-Za-z]+")


class _Pairs:
    """Pairs of neighbouring pieces in words, and how often each occurs.

    The most frequent pair comes from a heap of (-count, pair).  Whenever a count grows, an entry
    is added; when it falls, the entry stays, and is corrected once it comes to the top.  So every
    pair that occurs often enough has an entry with at least its count.
    """

    def __init__(self, words, min_count):
        """See `learn_pieces`."""
        self._min_count = min_count
        self._counts = []  # occurrences of each word
        self._splits = []  # its pieces
        self._pair_counts = collections.Counter()
        # Pair -> indices of words: each word that has the pair, and some that had it.
        self._words_of_pair = collections.defaultdict(list)
        inner = {}  # one string object for each character, however many words have it
        for word, count in words.items():
            if len(word) > MAX_WORD_LENGTH or not _ASCII_WORD.fullmatch(word):
                continue
            pieces = [word[0]] + [inner.setdefault(c, "##" + c) for c in word[1:]]
            for pair in zip(pieces, pieces[1:]):
                self._pair_counts[pair] += count
                self._words_of_pair[pair].append(len(self._splits))
            self._counts.append(count)
            self._splits.append(pieces)
        self._heap = []
        for pair in self._pair_counts:
            self._push(pair)

    def _push(self, pair):
        count = self._pair_counts[pair]
        if count >= self._min_count:
            heapq.heappush(self._heap, (-count, pair))

    def most_frequent(self):
        """The most frequent pair, of equals the first in code point order; None if all are rare."""
        while self._heap:
            count, pair = -self._heap[0][0], self._heap[0][1]
            if count == self._pair_counts.get(pair):
                return pair
            heapq.heappop(self._heap)
            if self._pair_counts.get(pair, 0) < count:
                self._push(pair)
        return None

    def join(self, pair):
        """Joins a pair wherever it occurs; returns the new piece."""
        joined = pair[0] + pair[1][2:]
        changes = collections.Counter()
        for word in self._words_of_pair.pop(pair):
            self._join_in_word(word, pair, joined, changes)
        for changed, change in changes.items():
            self._pair_counts[changed] += change
            if change > 0:
                self._push(changed)
            elif not self._pair_counts[changed]:
                del self._pair_counts[changed]
                self._words_of_pair.pop(changed, None)
        return joined

    def _join_in_word(self, word, pair, joined, changes):
        """Joins from the left; adds to `changes` what becomes of the counts of pairs."""
        left, right = pair
        pieces = self._splits[word]
        count = self._counts[word]
        for index in itertools.count():
            if index + 1 >= len(pieces):
                break
            if pieces[index] != left or pieces[index + 1] != right:
                continue
            changes[pair] -= count
            if index:
                changes[pieces[index - 1], left] -= count
                changes[pieces[index - 1], joined] += count
                self._words_of_pair[pieces[index - 1], joined].append(word)
            if index + 2 < len(pieces):
                changes[right, pieces[index + 2]] -= count
                changes[joined, pieces[index + 2]] += count
                self._words_of_pair[joined, pieces[index + 2]].append(word)
            pieces[index : index + 2] = [joined]


def learn_pieces(words, min_count, max_pieces=None):
    """Learns word pieces by byte pair encoding (Sennrich et al. 2016, section 3.2).

    Each word starts as its characters.  The most frequent pair of neighbouring pieces is joined
    wherever it occurs, again and again, until no pair is left that occurs `min_count` times; of
    equally frequent pairs the first in code point order is taken.  So every word that occurs
    `min_count` times becomes a piece.

    Args:
        words: dictionary word -> number of occurrences; only words of ASCII letters and digits,
            of at most 200 characters, are looked at.
        min_count: lowest number of occurrences of a pair that is joined, at least 1.
        max_pieces: stop at this number of pieces; None for no limit.

    Returns:
        List of the joined pieces, ``##`` before those that do not start a word, in the order in
        which they were learned.
    """
    pairs = _Pairs(words, min_count)
    learned = {}  # used as an ordered set: different pairs can join to the same piece
    with tqdm(desc="learning", unit=" pieces", disable=None) as progress:
        while max_pieces is None or len(learned) < max_pieces:
            pair = pairs.most_frequent()
            if pair is None:
                break
            learned[pairs.join(pair)] = None
            progress.update()
    return list(learned)
