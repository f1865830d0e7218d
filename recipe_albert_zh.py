"""The recipe albert_zh: sentence-order pairs and masking of Chinese words (spec/data.md 2).

Same input, settings and seed give the reference's data: the order of the random calls below is
part of the format.  Only `shuffle`, `random` and `randint` of the generator are used.

A document is a list of sentences, a sentence is an array of token ids.
"""

import itertools
from array import array

from tqdm import tqdm

import word_segmentation
from pretraining_records import Instance

# Not counted in the room for text: [CLS] A [SEP] B [SEP].
_SPECIAL_TOKENS = 3


class MaskingVocabulary:
    """What masking has to know of a vocabulary.

    Attributes:
        cls_id, sep_id, mask_id: ids of the special tokens.
        ids: list of all ids, in the order of the vocabulary's keys.
        continuation_ids: ids of all tokens that start with ``##``.
        unmarked_ids: dictionary: id of a marked Chinese token -> id of the unmarked one.
    """

    def __init__(self, vocab):
        self.cls_id = vocab["[CLS]"]
        self.sep_id = vocab["[SEP]"]
        self.mask_id = vocab["[MASK]"]
        self.ids = list(vocab.values())
        mark = word_segmentation.MARK
        self.continuation_ids = frozenset(
            index for token, index in vocab.items() if token.startswith(mark)
        )
        self.unmarked_ids = {
            index: vocab[token[len(mark) :]]
            for token, index in vocab.items()
            if word_segmentation.is_marked_chinese(token) and token[len(mark) :] in vocab
        }


def sentence_encoder(tokenizer, settings):
    """Returns a function: line of text -> array of token ids, Chinese words marked by ``##``.

    Words are marked even without ``--do_whole_word_mask``: the labels need it.
    """
    if settings.non_chinese:
        return lambda line: array("i", tokenizer.encode(line))
    word_segmentation.load_jieba()  # if it is missing, say so now

    def encode(line):
        tokens = word_segmentation.get_new_segment(tokenizer.tokenize(line), tokenizer.vocab)
        return array("i", tokenizer.convert_tokens_to_ids(tokens))

    return encode


def create_training_instances(documents, vocab, settings, rng):
    """Makes the instances of a corpus.

    Args:
        documents: list of documents, none of them empty; it is shuffled in place.
        vocab: dictionary token -> id.
        settings: `create_pretraining_data.Settings`.
        rng: `random.Random`.

    Returns:
        List of `Instance`, shuffled.
    """
    vocabulary = MaskingVocabulary(vocab)
    instances = []
    rng.shuffle(documents)
    rounds = itertools.chain.from_iterable(itertools.repeat(documents, settings.dupe_factor))
    total = len(documents) * settings.dupe_factor
    for document in tqdm(rounds, "instances", total, unit=" documents", disable=None):
        instances.extend(create_instances_from_document(document, vocabulary, settings, rng))
    rng.shuffle(instances)
    return instances


def create_instances_from_document(document, vocabulary, settings, rng):
    """Yields the instances of one pass over a document.

    Args:
        document: list of sentences; a single one yields nothing.
        vocabulary: `MaskingVocabulary`.
        settings: `create_pretraining_data.Settings`.
        rng: `random.Random`.
    """
    room = settings.max_seq_length - _SPECIAL_TOKENS
    target_length = room
    if rng.random() < settings.short_seq_prob:
        target_length = rng.randint(2, room)
    for chunk in split_into_chunks(document, target_length):
        middle = rng.randint(1, len(chunk) - 1)
        first = list(itertools.chain(*chunk[:middle]))
        second = list(itertools.chain(*chunk[middle:]))
        swapped = rng.random() < 0.5
        if swapped:
            first, second = second, first
        first, second = truncate_seq_pair(first, second, room, rng)
        separator = [vocabulary.sep_id]
        token_ids = [vocabulary.cls_id] + first + separator + second + separator
        masked_ids, positions, labels = create_masked_lm_predictions(
            token_ids, vocabulary, settings, rng
        )
        yield Instance(
            input_ids=array("i", masked_ids),
            first_segment_length=len(first) + 2,
            masked_lm_positions=array("i", positions),
            masked_lm_ids=array("i", labels),
            next_sentence_label=int(swapped),
        )


def split_into_chunks(document, target_length):
    """Yields lists of at least two consecutive sentences with `target_length` or more tokens.

    The last list may be shorter.  A sentence that is left alone at the end is dropped.
    """
    chunk = []
    length = 0
    for sentence in document:
        chunk.append(sentence)
        length += len(sentence)
        if length >= target_length and len(chunk) >= 2:
            yield chunk
            chunk = []
            length = 0
    if len(chunk) >= 2:
        yield chunk


def truncate_seq_pair(first, second, max_length, rng):
    """Shortens the longer of two sequences, token by token, until both fit together.

    Each token is taken from the front or from the end at random; of two equally long sequences
    the second loses it.

    Returns:
        The two sequences, cut.
    """
    bounds = [[0, len(first)], [0, len(second)]]
    lengths = [len(first), len(second)]
    while sum(lengths) > max_length:
        longer = 0 if lengths[0] > lengths[1] else 1
        if rng.random() < 0.5:
            bounds[longer][0] += 1
        else:
            bounds[longer][1] -= 1
        lengths[longer] -= 1
    return first[slice(*bounds[0])], second[slice(*bounds[1])]


def create_masked_lm_predictions(token_ids, vocabulary, settings, rng):
    """Masks tokens, or whole words, and removes the marks of Chinese words from the others.

    Of the chosen tokens 80% become ``[MASK]``, 10% stay and 10% become a random entry of the
    vocabulary, each token of a word by itself.

    Args:
        token_ids: list of int, length n: ``[CLS] A [SEP] B [SEP]`` with marked words.
        vocabulary: `MaskingVocabulary`.
        settings: `create_pretraining_data.Settings`.
        rng: `random.Random`.

    Returns:
        Tuple (ids, positions, labels): what the model reads, length n; the masked positions,
        ascending; the original ids there.  These keep the marks of Chinese words, as those that
        the published models were trained on, unless ``mlm_labels`` is "plain".
    """
    candidates = _masking_candidates(token_ids, vocabulary, settings.do_whole_word_mask)
    rng.shuffle(candidates)
    plain_ids = token_ids
    if not settings.non_chinese:
        plain_ids = [vocabulary.unmarked_ids.get(index, index) for index in token_ids]
    expected = max(1, round(len(token_ids) * settings.masked_lm_prob))
    limit = min(settings.max_predictions_per_seq, expected)
    masked_ids = list(plain_ids)
    positions = []
    for candidate in candidates:
        if len(positions) + len(candidate) > limit:
            continue
        for position in candidate:
            if rng.random() < 0.8:
                masked_ids[position] = vocabulary.mask_id
            elif rng.random() >= 0.5:
                masked_ids[position] = vocabulary.ids[rng.randint(0, len(vocabulary.ids) - 1)]
        positions.extend(candidate)
    positions.sort()
    labels = plain_ids if settings.mlm_labels == "plain" else token_ids
    return masked_ids, positions, [labels[position] for position in positions]


def _masking_candidates(token_ids, vocabulary, do_whole_word_mask):
    """Returns lists of the positions that are masked together.

    A continuation at the start of the second segment joins the last word of the first.
    """
    candidates = []
    for position, index in enumerate(token_ids):
        if index in (vocabulary.cls_id, vocabulary.sep_id):
            continue
        if do_whole_word_mask and candidates and index in vocabulary.continuation_ids:
            candidates[-1].append(position)
        else:
            candidates.append([position])
    return candidates
