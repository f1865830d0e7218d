"""The recipe albert_zh: sentence-order pairs and masking of Chinese words.

The order of the random calls is part of the format: same input, settings and seed give the
reference's data.
"""

from albert.pretraining_data import masking
from albert.pretraining_data.record_encoder import Instance
from albert.text import word_segmentation

# Not counted in the room for text: [CLS] A [SEP] B [SEP].
_SPECIAL_TOKENS = 3


class Recipe:
    """Makes instances of one corpus.

    Attributes:
        vocabulary: `masking.MaskingVocabulary`.
        software: dictionary of package name -> version that the result depends on.
        longest_line: in tokens; of a longer one an instance holds a part, or nothing.
    """

    def __init__(self, tokenizer, settings):
        """Loads the segmenter; raises InputError if it is missing."""
        self._settings = settings
        self._tokenizer = tokenizer
        self._mark, self.software = None, {}
        plain_token = None
        if not settings.non_chinese:
            segment, self.software = word_segmentation.load_segmenter(settings.segmenter)
            self._mark = word_segmentation.WordMarker(tokenizer.vocab, segment)
            plain_token = word_segmentation.remove_mark
        self.vocabulary = masking.MaskingVocabulary(
            tokenizer.vocab, masking.continues_word, plain_token
        )
        self._room = self.longest_line = settings.max_seq_length - _SPECIAL_TOKENS

    clean_line = staticmethod(str.strip)

    def encode(self, texts):
        """Lists of the token ids of sentences, Chinese words marked by ``##``.

        Words are marked even without ``--do_whole_word_mask``: the labels need it.
        """
        if not self._mark:
            return list(map(self._tokenizer.encode, texts))
        return self._mark(list(map(self._tokenizer.tokenize, texts)))

    def prepare_document(self, sentences):
        """What is kept of a document in the corpus."""
        return sentences

    def create_instances(self, corpus, rng, ngram_seed, progress=None):
        """Yields the instances of a corpus, not shuffled.

        Args:
            corpus: `corpus.Corpus`.
            rng: `masking.Random`; it shuffles the order of the documents first.
            ngram_seed: seed of the lengths of n-grams.
            progress: None, or a function called after each document of each pass.
        """
        settings, lengths = self._settings, self._ngram_lengths(ngram_seed)
        order = list(range(len(corpus)))
        rng.shuffle(order)
        for _ in corpus.passes(settings.dupe_factor):
            for index in order:
                yield from self._instances_of_document(corpus, corpus.bounds(index), rng, lengths)
                if progress:
                    progress()

    def instances_of_document(self, corpus, index, rng, ngram_seed):
        """Yields the instances of one pass over one document; arguments as above."""
        lengths = self._ngram_lengths(ngram_seed)
        return self._instances_of_document(corpus, corpus.bounds(index), rng, lengths)

    def _ngram_lengths(self, seed):
        settings = self._settings
        if settings.ngram == 1:
            return None
        return masking.NgramLengths(settings.ngram, settings.favor_shorter_ngram, seed)

    def _instances_of_document(self, corpus, bounds, rng, lengths):
        """Yields the instances of one pass over a document; one sentence yields nothing."""
        room = self._room
        target_length = room
        if rng.random() < self._settings.short_seq_prob:
            target_length = rng.randint(2, room)
        for first, last in split_into_chunks(bounds, target_length):
            middle = bounds[first + rng.randint(1, last - first - 1)]
            segments = (bounds[first], middle), (middle, bounds[last])
            swapped = rng.random() < 0.5
            if swapped:
                segments = segments[::-1]
            segments = masking.truncate_seq_pair(*segments, room, rng)
            yield self._instance(corpus, segments, int(swapped), rng, lengths)

    def _instance(self, corpus, segments, label, rng, lengths):
        masked_ids, indices, labels = masking.mask_words(
            corpus.text(*segments), _SPECIAL_TOKENS, self.vocabulary, self._settings, rng, lengths
        )
        begin, end = segments[0]
        input_ids, positions = self.vocabulary.add_separators(masked_ids, indices, end - begin)
        return Instance(input_ids, end - begin + 2, positions, labels, label)


def split_into_chunks(bounds, target_length):
    """Yields (first, last) of runs of at least two sentences with `target_length` or more tokens.

    The last run may be shorter.  A sentence that is left alone at the end is dropped.

    Args:
        bounds: see `corpus.Corpus.bounds`.
        target_length: in tokens.
    """
    first = 0
    for last in range(2, len(bounds)):
        if last - first >= 2 and bounds[last] - bounds[first] >= target_length:
            yield first, last
            first = last
    if len(bounds) - 1 - first >= 2:
        yield first, len(bounds) - 1
