"""The recipe google: sentence order or next sentence, n-gram masking.

The order of the random calls is part of the format: same input, settings and seeds give the
reference's data.
"""

import itertools
from array import array

import tokenization
from albert.pretraining_data import masking
from albert.pretraining_data.record_encoder import Instance

# Not counted in the room for text: [CLS] A [SEP] B [SEP].
_SPECIAL_TOKENS = 3
# A random document that is the current one is drawn again this often.
_DRAWS_OF_DOCUMENT = 10

_LISTED_PUNCTUATION = frozenset('!"#$%&()*+,-./:;?@[\\]^_`{|}~')
_LETTERS_AND_PUNCTUATION = frozenset("abcdefghijklmnopqrstuvwxyz") | _LISTED_PUNCTUATION


def is_continuation_piece(piece):
    """True if a SentencePiece piece does not start a word."""
    return not (
        piece.startswith(("\u2581", "<"))
        or piece in _LISTED_PUNCTUATION
        or not _LETTERS_AND_PUNCTUATION.issuperset(piece.lower())
    )


class Recipe:
    """Makes instances of one corpus; see `recipe_albert_zh.Recipe` for what all recipes have."""

    software = {}

    def __init__(self, tokenizer, settings):
        self._settings = settings
        self._tokenizer = tokenizer
        self._room = self.longest_line = settings.max_seq_length - _SPECIAL_TOKENS
        is_continuation = is_continuation_piece
        if not tokenizer.sp_model:
            is_continuation = masking.continues_word
        self.vocabulary = masking.MaskingVocabulary(tokenizer.vocab, is_continuation)

    def clean_line(self, line):
        """The line without spaces around it; for SentencePiece, normalized."""
        if self._tokenizer.sp_model:
            return tokenization.preprocess_text(line, lower=self._settings.do_lower_case)
        return line.strip()

    def encode(self, texts):
        """Lists of the token ids of sentences."""
        return list(map(self._tokenizer.encode, texts))

    def prepare_document(self, sentences):
        """What is kept of a document in the corpus."""
        return sentences

    def create_instances(self, corpus, rng, ngram_seed, progress=None):
        """Yields the instances of a corpus, not shuffled; see `recipe_albert_zh.Recipe`."""
        settings = self._settings
        lengths = masking.NgramLengths(settings.ngram, settings.favor_shorter_ngram, ngram_seed)
        order = list(range(len(corpus)))
        rng.shuffle(order)
        for _ in corpus.passes(settings.dupe_factor):
            for place in range(len(order)):
                yield from self._instances_of_document(corpus, order, place, rng, lengths)
                if progress:
                    progress()

    def _instances_of_document(self, corpus, order, place, rng, lengths):
        """Yields the instances of one pass over the document at `place` in `order`."""
        settings = self._settings
        bounds = corpus.bounds(order[place])
        target_length = self._room
        if rng.random() < settings.short_seq_prob:
            target_length = rng.randint(2, self._room)
        first = 0
        while first < len(bounds) - 1:
            last = _chunk_end(bounds, first, target_length)
            middle = first + 1
            if last - first >= 2:
                middle = first + rng.randint(1, last - first - 1)
            segment_a = bounds[first], bounds[middle]
            label = 1
            if last - first == 1 or (settings.random_next_sentence and rng.random() < 0.5):
                missing = target_length - (segment_a[1] - segment_a[0])
                segments = segment_a, _random_text(corpus, order, place, missing, rng)
                last = middle  # what was not used is for the next chunk
            elif not settings.random_next_sentence and rng.random() < 0.5:
                segments = (bounds[middle], bounds[last]), segment_a
            else:
                segments = segment_a, (bounds[middle], bounds[last])
                label = 0
            segments = masking.truncate_seq_pair(*segments, self._room, rng)
            yield self._instance(corpus, segments, label, rng, lengths)
            first = last

    def _instance(self, corpus, segments, label, rng, lengths):
        vocabulary = self.vocabulary
        text = corpus.text(*segments)
        masked_ids, indices = self._mask(text, rng, lengths)
        labels = array(vocabulary.typecode, [text.token_ids[index] for index in indices])
        middle = segments[0][1] - segments[0][0]
        input_ids, positions = vocabulary.add_separators(masked_ids, indices, middle)
        boundary = b"\x01".join((b"", text.starts[:middle], text.starts[middle:], b""))
        return Instance(input_ids, middle + 2, positions, labels, label, boundary)

    def _mask(self, text, rng, lengths):
        """Returns what the model reads and the indices of the predicted tokens, ascending."""
        settings = self._settings
        masked_ids = text.plain_ids[:]
        indices = []
        if settings.masked_lm_prob == 0:
            return masked_ids, indices
        begins = text.candidates(settings.do_whole_word_mask)
        limit = masking.prediction_limit(len(masked_ids) + _SPECIAL_TOKENS, settings)
        order = list(range(len(begins) - 1))
        rng.shuffle(order)
        for span in masking.choose_spans(begins, order, limit, lengths):
            self.vocabulary.mask(masked_ids, span, rng)
            indices += span
        rng.shuffle(order)  # even where no permutation follows
        if settings.do_permutation:
            spans = masking.choose_spans(begins, order, limit, lengths, covered=indices)
            moved = sorted(itertools.chain.from_iterable(spans))
            masking.permute(masked_ids, moved, rng)
            indices += moved
        return masked_ids, sorted(indices)


def _chunk_end(bounds, first, target_length):
    """End of the run of sentences from `first` that has `target_length` tokens, or all."""
    for last in range(first + 1, len(bounds)):
        if bounds[last] - bounds[first] >= target_length:
            return last
    return len(bounds) - 1


def _random_text(corpus, order, place, length, rng):
    """Range in the corpus: sentences of another document, until they have `length` tokens."""
    for _ in range(_DRAWS_OF_DOCUMENT):
        other = rng.randint(0, len(order) - 1)
        if other != place:
            break
    bounds = corpus.bounds(order[other])
    first = rng.randint(0, len(bounds) - 2)
    return bounds[first], bounds[_chunk_end(bounds, first, length)]
