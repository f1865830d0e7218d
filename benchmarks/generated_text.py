"""Chinese text of any size in which no sentence repeats, for measuring speed and memory.

    python benchmarks/generated_text.py --megabytes=5 --output_file=text.txt

A text that is a small one repeated would flatter whatever remembers what it has seen.  Here the
words are drawn from jieba's dictionary by the frequencies that it gives, which has the shares of
frequent, rare and long words of real text, but no meaning.  The rest is as measured in
data/news_zh_1.txt (170 documents, 1,120 sentences):

    characters in a sentence    lognormal, mean of the logarithms 3.28, their standard deviation
                                0.144, from 16 to 44: mean 26.9, 5/50/95 % 21/27/33
    sentences in a document     6 in 71 documents, 7 in 98, 8 in one: mean 6.6
    punctuation                 a comma behind 10 % of the words; a sentence ends with a full stop,
                                0.5 % with a question mark

Characters of a sentence include its punctuation; the last word may exceed the drawn number, which
makes the mean 27.5.  Only numbers and Latin words are more frequent than there, where they are
1 % of the words: here 3 %, five of six of them numbers.

One sentence per line, a blank line behind each document.  Same size and seed, same text.
"""

import itertools
import os
import random
import sys
from typing import NamedTuple

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)

from albert.basics import cli, flag_table, storage
from albert.basics.flag_table import integer, string
from albert.text import word_segmentation

LOG_LENGTH = 3.28, 0.144  # mean and standard deviation
LENGTHS = 16, 44
SENTENCES = (6, 7, 8)
SENTENCES_WEIGHTS = (71, 98, 1)
COMMA_SHARE = 0.10
QUESTION_SHARE = 0.005
FOREIGN_SHARE = 0.03
NUMBER_SHARE = 5 / 6  # of the foreign words

_SYLLABLES = [c + v for c in "bcdfghjklmnprstvwz" for v in "aeiou"]
_WORDS_AT_ONCE = 10000


class Dictionary(NamedTuple):
    """Words and the sums of their frequencies up to and including each."""

    words: list
    cumulative_frequencies: list


def load_dictionary():
    """Reads the dictionary of the installed jieba; raises InputError if there is none."""
    folder = os.path.dirname(word_segmentation.load_jieba().__file__)
    words, frequencies = [], []
    for line in storage.read_lines(os.path.join(folder, "dict.txt")):
        word, frequency = line.split(" ")[:2]
        words.append(word)
        frequencies.append(int(frequency))
    return Dictionary(words, list(itertools.accumulate(frequencies)))


def _foreign_word(rng):
    """A number of one to four digits, or a Latin word of one to four syllables."""
    if rng.random() < NUMBER_SHARE:
        return str(rng.randrange(10 ** rng.randint(1, 4)))
    word = "".join(rng.choices(_SYLLABLES, k=rng.randint(1, 4)))
    return word.capitalize() if rng.random() < 0.5 else word


def _words(dictionary, rng):
    """Yields words, foreign ones among them, without end."""
    words, sums = dictionary
    while True:
        drawn = rng.choices(words, cum_weights=sums, k=_WORDS_AT_ONCE)
        for word in drawn:
            yield _foreign_word(rng) if rng.random() < FOREIGN_SHARE else word


def _sentence(words, rng):
    """A sentence of about the drawn length: its last word may exceed it."""
    shortest, longest = LENGTHS
    length = 0
    while not shortest <= length <= longest:
        length = round(rng.lognormvariate(*LOG_LENGTH))
    parts = []
    left = length - 1  # its end
    for word in words:
        parts.append(word)
        left -= len(word)
        if left <= 0:
            break
        if rng.random() < COMMA_SHARE:
            parts.append("，")
            left -= 1
    parts.append("？" if rng.random() < QUESTION_SHARE else "。")
    return "".join(parts)


def documents(dictionary, seed=1):
    """Yields documents without end: lists of sentences."""
    rng = random.Random(seed)
    words = _words(dictionary, rng)
    while True:
        (number,) = rng.choices(SENTENCES, SENTENCES_WEIGHTS)
        yield [_sentence(words, rng) for _ in range(number)]


def write_text(path, size, seed=1):
    """Writes whole documents until there are at least `size` bytes."""
    written = 0
    with storage.atomic_write(path, "wb") as handle:
        for document in documents(load_dictionary(), seed):
            if written >= size:
                break
            content = ("\n".join(document) + "\n\n").encode("utf-8")
            handle.write(content)
            written += len(content)


TABLE = (
    string("output_file", "File to write.", required=True),
    integer("megabytes", "At least this many millions of bytes are written.", 5),
    integer("seed", "Another seed, another text.", 1, minimum=None),
)


def define_flags(flag_values):
    flag_table.define(flag_values, TABLE)


def main(_):
    write_text(cli.FLAGS.output_file, cli.FLAGS.megabytes * 10**6, cli.FLAGS.seed)


if __name__ == "__main__":
    cli.run(main, define_flags)
