"""The recipe roberta: full sentences of one document, no sentence order.

The order of the random calls is part of the format: same input, settings and seed give the
reference's data.
"""

from array import array

from albert.pretraining_data import masking
from albert.pretraining_data.record_encoder import Instance
from albert.text import word_segmentation

# Not counted in the room for text: [CLS] text [SEP].
_SPECIAL_TOKENS = 2
_END_OF_PARAGRAPH = "<eop>"
# What the reference writes for every instance; it has no meaning.
_LABEL = 1


class Recipe:
    """Makes instances of one corpus; see `recipe_albert_zh.Recipe` for what all recipes have.

    In the corpus the sentences are packs: consecutive sentences of a document, as many as fit.
    """

    def __init__(self, tokenizer, settings):
        """Loads the segmenter; raises InputError if it is missing."""
        self._settings = settings
        self._tokenizer = tokenizer
        self._room = settings.max_seq_length - _SPECIAL_TOKENS
        self.longest_line = self._room - 1
        segment, self.software = word_segmentation.load_segmenter(settings.segmenter)
        self._mark = word_segmentation.WordMarker(tokenizer.vocab, segment)
        self.vocabulary = masking.MaskingVocabulary(
            tokenizer.vocab,
            masking.continues_word,
            word_segmentation.remove_mark,
        )

    def clean_line(self, line):
        """The line without the end-of-paragraph marks of some corpora and spaces around it."""
        return line.replace(_END_OF_PARAGRAPH, "").strip()

    def encode(self, texts):
        """Lists of the token ids of sentences, words not marked yet."""
        return list(map(self._tokenizer.encode, texts))

    def prepare_document(self, sentences):
        """List of packs, their Chinese words marked by ``##``."""
        packs = pack_sentences(sentences, self._room)
        return self._mark(list(map(self._tokenizer.convert_ids_to_tokens, packs)))

    def create_instances(self, corpus, rng, ngram_seed, progress=None):
        """Yields the instances of a corpus, not shuffled; see `recipe_albert_zh.Recipe`."""
        del ngram_seed  # words are masked one by one
        order = list(range(len(corpus)))
        rng.shuffle(order)
        for _ in corpus.passes(self._settings.dupe_factor):
            for index in order:
                bounds = corpus.bounds(index)
                for begin, end in zip(bounds, bounds[1:]):
                    yield self._instance(corpus.text((begin, end)), rng)
                if progress:
                    progress()

    def _instance(self, pack, rng):
        vocabulary = self.vocabulary
        masked_ids, indices, labels = masking.mask_words(
            pack, _SPECIAL_TOKENS, vocabulary, self._settings, rng
        )
        ids = array(vocabulary.typecode, [vocabulary.cls_id, *masked_ids, vocabulary.sep_id])
        positions = array("H", [index + 1 for index in indices])
        return Instance(ids, len(ids), positions, labels, _LABEL)


def pack_sentences(sentences, room):
    """Yields consecutive sentences joined, as many as fit into `room` tokens.

    A sentence that does not fit alone is dropped, and so is a last pack of half of `room` or less.
    """
    pack = []
    for sentence in sentences:
        if len(sentence) >= room:
            continue
        if len(pack) + len(sentence) > room:
            yield pack
            pack = []
        pack = pack + sentence
    if len(pack) > room / 2:
        yield pack
