"""Functions of albert_zh's create_pretraining_data.py as programs call them.

Here instances are tokens, as programs know them; the recipe itself works on ids.
"""

from typing import List, NamedTuple, Optional

from albert.pretraining_data import masking, recipe_albert_zh
from albert.pretraining_data.corpus import Corpus, Span, TextCounter, read_corpus
from albert.pretraining_data.instances import RECIPES
from albert.pretraining_data.record_encoder import (
    Instance,
    RecordEncoder,
    record_writers,
    write_instances,
)
from albert.pretraining_data.settings import make_settings
from albert.text import word_segmentation

_SEPARATORS = (masking.CLS_TOKEN, masking.SEP_TOKEN)


class TrainingInstance(NamedTuple):
    """One training example.

    Attributes:
        tokens: ``[CLS] A [SEP] B [SEP]`` with masks applied.
        segment_ids: 0 up to the first ``[SEP]``, then 1.
        masked_lm_positions: ascending.
        masked_lm_labels: the tokens that belong there.
        is_random_next: whether the segments were swapped.
        token_boundary: 1 where a word starts; None where the recipe has none.
    """

    tokens: List[str]
    segment_ids: List[int]
    masked_lm_positions: List[int]
    masked_lm_labels: List[str]
    is_random_next: bool
    token_boundary: Optional[List[int]] = None


class _Words:
    """What a recipe asks of a tokenizer, for text that is tokens already."""

    def __init__(self, vocab_words):
        self.vocab = {word: index for index, word in enumerate(vocab_words)}
        self.words = list(vocab_words)
        self.tokenize = list

    def encode(self, tokens):
        return [self.vocab[token] for token in tokens]


def create_training_instances(
    input_files,
    tokenizer,
    max_seq_length,
    dupe_factor,
    short_seq_prob,
    masked_lm_prob,
    max_predictions_per_seq,
    rng,
    **settings,
):
    """The shuffled instances of text files.

    Args:
        input_files: list of paths; one sentence in a line, a blank line between documents.
        tokenizer: `tokenization.FullTokenizer`.
        rng: `random.Random`.
        settings: others, which are flags of the script, such as `do_whole_word_mask`; `recipe` is
            albert_zh unless given.

    Returns:
        List of `TrainingInstance`.
    """
    settings = make_settings(
        max_seq_length=max_seq_length,
        dupe_factor=dupe_factor,
        short_seq_prob=short_seq_prob,
        masked_lm_prob=masked_lm_prob,
        max_predictions_per_seq=max_predictions_per_seq,
        **settings,
    )
    recipe = RECIPES[settings.recipe].Recipe(tokenizer, settings)
    spans = [Span(path) for path in input_files]
    corpus = read_corpus(spans, recipe, TextCounter(tokenizer))
    instances = list(recipe.create_instances(corpus, rng, settings.ngram_seed or 0))
    rng.shuffle(instances)
    return [_as_tokens(instance, tokenizer.inv_vocab) for instance in instances]


def create_instances_from_document(
    all_documents,
    document_index,
    max_seq_length,
    short_seq_prob,
    masked_lm_prob,
    max_predictions_per_seq,
    vocab_words,
    rng,
    **settings,
):
    """The instances of one pass over a document, by the recipe albert_zh.

    Args:
        all_documents: list of documents: lists of sentences, which are lists of tokens.
        vocab_words: list of all tokens.
        rng: `random.Random`.
        settings: see `create_training_instances`.

    Returns:
        List of `TrainingInstance`.
    """
    settings = make_settings(
        max_seq_length=max_seq_length,
        short_seq_prob=short_seq_prob,
        masked_lm_prob=masked_lm_prob,
        max_predictions_per_seq=max_predictions_per_seq,
        **settings,
    )
    words = _Words(vocab_words)
    recipe = recipe_albert_zh.Recipe(words, settings)
    corpus = Corpus(recipe.vocabulary.typecode)
    corpus.add_document(recipe.encode(all_documents[document_index]))
    corpus.finish(recipe.vocabulary)
    instances = recipe.instances_of_document(corpus, 0, rng, settings.ngram_seed or 0)
    return [_as_tokens(instance, words.words) for instance in instances]


def create_masked_lm_predictions(
    tokens, masked_lm_prob, max_predictions_per_seq, vocab_words, rng, do_whole_word_mask=False
):
    """Masks tokens as the recipe albert_zh does.

    Args:
        tokens: list of tokens with ``[CLS]`` and ``[SEP]``; Chinese words may be marked by ``##``.
        vocab_words: list of all tokens.
        rng: `random.Random`.

    Returns:
        (tokens, positions, labels): what the model reads, the masked positions, ascending, and
        the tokens that were there.
    """
    words = _Words(vocab_words)
    vocabulary = masking.MaskingVocabulary(
        words.vocab, masking.continues_word, word_segmentation.remove_mark
    )
    settings = make_settings(
        masked_lm_prob=masked_lm_prob,
        max_predictions_per_seq=max_predictions_per_seq,
        do_whole_word_mask=do_whole_word_mask,
    )
    places = [place for place, token in enumerate(tokens) if token not in _SEPARATORS]
    corpus = Corpus(vocabulary.typecode)
    corpus.add_document([words.encode(tokens[place] for place in places)])
    corpus.finish(vocabulary)
    masked_ids, indices, labels = masking.mask_words(
        corpus.text((0, len(places))), len(tokens) - len(places), vocabulary, settings, rng
    )
    output = list(tokens)
    for place, masked_id in zip(places, masked_ids):
        output[place] = words.words[masked_id]
    return output, [places[index] for index in indices], [words.words[label] for label in labels]


def truncate_seq_pair(tokens_a, tokens_b, max_num_tokens, rng):
    """Shortens two lists in place until both have `max_num_tokens`; see `masking`'s function."""
    first, second = masking.truncate_seq_pair(
        (0, len(tokens_a)), (0, len(tokens_b)), max_num_tokens, rng
    )
    tokens_a[:], tokens_b[:] = tokens_a[slice(*first)], tokens_b[slice(*second)]


def write_instance_to_example_files(
    instances, tokenizer, max_seq_length, max_predictions_per_seq, output_files
):
    """Writes instances as TFRecords, to each file in turn; the files appear when complete.

    Args:
        instances: iterable of `TrainingInstance`.
        output_files: list of paths.
    """
    encoder = RecordEncoder(
        max_seq_length, max_predictions_per_seq, max(tokenizer.vocab.values()) + 1
    )
    with record_writers(output_files) as writers:
        write_instances((_as_ids(instance, tokenizer) for instance in instances), encoder, writers)


def _as_tokens(instance, words):
    """`TrainingInstance` of an `Instance`; `words`: id -> token."""
    first = instance.first_segment_length
    return TrainingInstance(
        [words[index] for index in instance.input_ids],
        [0] * first + [1] * (len(instance.input_ids) - first),
        list(instance.masked_lm_positions),
        [words[index] for index in instance.masked_lm_ids],
        bool(instance.next_sentence_label),
        None if instance.token_boundary is None else list(instance.token_boundary),
    )


def _as_ids(instance, tokenizer):
    """`Instance` of a `TrainingInstance`."""
    boundary = getattr(instance, "token_boundary", None)
    return Instance(
        tokenizer.convert_tokens_to_ids(instance.tokens),
        list(instance.segment_ids).count(0),
        instance.masked_lm_positions,
        tokenizer.convert_tokens_to_ids(instance.masked_lm_labels),
        int(instance.is_random_next),
        None if boundary is None else bytes(boundary),
    )
