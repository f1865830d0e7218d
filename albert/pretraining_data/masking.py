"""Which tokens are masked and by what: whole words, n-grams, permutation.

The order of the random calls here is part of the data format: same input, settings and seed give
the reference's records (docs/reference.md, "Random draws").
"""

import itertools
import random
from array import array
from typing import NamedTuple

import numpy as np

CLS_TOKEN, SEP_TOKEN, MASK_TOKEN = "[CLS]", "[SEP]", "[MASK]"


def continues_word(token):
    """True for WordPiece's tokens that continue a word; marked Chinese tokens are among them."""
    return token.startswith("##")


class Random(random.Random):
    """`random.Random` with a faster `shuffle` that draws the same numbers."""

    def shuffle(self, values):
        """Shuffles a list in place."""
        getrandbits = self.getrandbits
        size = len(values)
        while size > 1:
            bits = size.bit_length()
            power = 1 << (bits - 1)
            for last in range(size - 1, power - 2, -1):
                other = getrandbits(bits)
                while other > last:
                    other = getrandbits(bits)
                values[last], values[other] = values[other], values[last]
            size = power - 1


class MaskingVocabulary:
    """What masking has to know of a vocabulary.

    Attributes:
        cls_id, sep_id, mask_id: ids of the special tokens.
        ids: list of all ids, in the order of the vocabulary's keys.
        plain_ids: list, id -> the id that replaces it in the model's input and in plain labels.
        starts: list, id -> 1 if the token starts a word, 0 if it continues one.
        typecode: type of arrays that can hold any id.
    """

    def __init__(self, vocab, is_continuation, plain_token=None):
        """Builds the tables.

        Args:
            vocab: dictionary token -> id.
            is_continuation: function of a token: whether it continues the word before it.
            plain_token: function of a token: the token that replaces it; None: itself.
        """
        self.cls_id, self.sep_id = vocab[CLS_TOKEN], vocab[SEP_TOKEN]
        self.mask_id = vocab[MASK_TOKEN]
        self.ids = list(vocab.values())
        size = max(self.ids) + 1
        self.typecode = "H" if size <= 1 << 16 else "i"
        self._cls, self._sep = (array(self.typecode, [i]) for i in (self.cls_id, self.sep_id))
        self.plain_ids = list(range(size))
        self.starts = [1] * size
        for token, index in vocab.items():
            if is_continuation(token):
                self.starts[index] = 0
            if plain_token:
                self.plain_ids[index] = vocab.get(plain_token(token), index)

    def mask(self, token_ids, span, rng):
        """Replaces the tokens in `span`, in place: 80% by a mask, 10% not, 10% by anything."""
        random_number = rng.random
        for index in span:
            if random_number() < 0.8:
                token_ids[index] = self.mask_id
            elif random_number() >= 0.5:
                token_ids[index] = self.ids[rng.randint(0, len(self.ids) - 1)]

    def add_separators(self, token_ids, indices, middle):
        """Puts ``[CLS] A [SEP] B [SEP]`` together.

        Args:
            token_ids: array, A and B.
            indices: list of indices in it, ascending.
            middle: length of A.

        Returns:
            Tuple of two arrays (input_ids, positions), positions being where `indices` have gone.
        """
        cls, sep = self._cls, self._sep
        input_ids = cls + token_ids[:middle] + sep + token_ids[middle:] + sep
        return input_ids, array("H", [i + 1 if i < middle else i + 2 for i in indices])


class Text(NamedTuple):
    """The tokens of an instance without ``[CLS]`` and ``[SEP]``, length n.

    Attributes:
        token_ids: array of int; Chinese words are marked.
        plain_ids: array of int: what the model reads of them.
        starts: bytes: 1 where a word starts, else 0.
    """

    token_ids: array
    plain_ids: array
    starts: bytes

    def candidates(self, whole_words):
        """Where the candidates for masking begin, and n: a list of one more than their number.

        A candidate is a word, or a token.  A continuation joins the word before it even if that
        is in another segment; the first token is always the start of a candidate.
        """
        size = len(self.starts)
        if not whole_words:
            return list(range(size + 1))
        begins = list(itertools.compress(range(size), self.starts))
        if size and not self.starts[0]:
            begins.insert(0, 0)
        begins.append(size)
        return begins


class NgramLengths:
    """Draws how many words are masked together: n of 1..ngram with weight 1/n.

    (ALBERT paper, section 4.1.)  The draws come from a generator of their own, as the
    reference's do; the reference never seeds it.
    """

    def __init__(self, ngram, favor_shorter, seed):
        """`favor_shorter` False reverses the weights; `seed` is of `numpy.random.RandomState`."""
        weights = 1.0 / np.arange(1, ngram + 1)
        weights /= weights.sum(keepdims=True)
        if not favor_shorter:
            weights = weights[::-1]
        distribution = weights.cumsum()
        self._distribution = distribution / distribution[-1]
        self._state = np.random.RandomState(seed)

    def draw(self):
        """The next number."""
        uniform = self._state.random_sample()
        return 1 + int(np.searchsorted(self._distribution, uniform, side="right"))


def prediction_limit(length, settings):
    """Most tokens to mask in `length` tokens, separators included; rounds half to even."""
    expected = max(1, round(length * settings.masked_lm_prob))
    return min(settings.max_predictions_per_seq, expected)


def choose_spans(begins, order, limit, lengths=None, covered=()):
    """Yields ranges of tokens to mask, until there are `limit` tokens in them.

    Args:
        begins: see `Text.candidates`.
        order: the candidates' numbers in the order in which they are tried.
        limit: most tokens; a candidate that would exceed it is passed over.
        lengths: None, or a `NgramLengths`: each span takes that many candidates, or as many
            fewer as fit.
        covered: tokens that a span must not touch.
    """
    left = limit
    if not (lengths or covered):  # most often, and faster: no candidate can be taken twice
        for first in order:
            if left <= 0:
                return
            begin, end = begins[first], begins[first + 1]
            if end - begin <= left:
                left -= end - begin
                yield range(begin, end)
        return
    chosen = set(covered)
    for first in order:
        if left <= 0:
            return
        begin = begins[first]
        length = lengths.draw() if lengths else 1
        while length:
            end = begins[min(first + length, len(begins) - 1)]
            if end - begin <= left:
                break
            length -= 1
        else:
            continue
        span = range(begin, end)
        if chosen.isdisjoint(span):
            chosen.update(span)
            left -= end - begin
            yield span


def permute(token_ids, indices, rng):
    """Exchanges the tokens at `indices`, ascending, in place, at random."""
    sources = list(indices)
    rng.shuffle(sources)
    moved = [token_ids[source] for source in sources]
    for index, token in zip(indices, moved):
        token_ids[index] = token


def mask_words(text, num_separators, vocabulary, settings, rng, lengths=None):
    """Masks tokens or words as albert_zh does.

    Args:
        text: `Text`, length n.
        num_separators: number of ``[CLS]`` and ``[SEP]``, which count as tokens for the limit.
        vocabulary: `MaskingVocabulary`.
        settings: of these `do_whole_word_mask`, `masked_lm_prob`, `max_predictions_per_seq` and
            `mlm_labels` are read.
        rng: `Random`.
        lengths: None, or a `NgramLengths` to mask n-grams of words.

    Returns:
        Tuple (ids, indices, labels): array of what the model reads, length n; the masked tokens'
        indices, ascending; array of the original ids there.  These keep the marks of Chinese
        words, as those that the published models were trained on, unless ``mlm_labels`` is
        "plain".
    """
    begins = text.candidates(settings.do_whole_word_mask)
    order = list(range(len(begins) - 1))
    rng.shuffle(order)
    masked_ids = text.plain_ids[:]
    limit = prediction_limit(len(masked_ids) + num_separators, settings)
    indices = []
    for span in choose_spans(begins, order, limit, lengths):
        vocabulary.mask(masked_ids, span, rng)
        indices += span
    indices.sort()
    originals = text.plain_ids if settings.mlm_labels == "plain" else text.token_ids
    return masked_ids, indices, array(masked_ids.typecode, [originals[i] for i in indices])


def truncate_seq_pair(first, second, max_length, rng):
    """Shortens the longer of two ranges, token by token, until both fit together.

    Each token is taken from the front or from the end at random; of two equally long ranges the
    second loses it.

    Args:
        first, second: tuples (begin, end).

    Returns:
        The two tuples, cut.
    """
    (begin_a, end_a), (begin_b, end_b) = first, second
    random_number = rng.random
    for _ in itertools.repeat(None, end_a - begin_a + end_b - begin_b - max_length):
        if end_a - begin_a > end_b - begin_b:
            if random_number() < 0.5:
                begin_a += 1
            else:
                end_a -= 1
        elif random_number() < 0.5:
            begin_b += 1
        else:
            end_b -= 1
    return (begin_a, end_a), (begin_b, end_b)
