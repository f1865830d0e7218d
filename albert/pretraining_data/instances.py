"""From spans of text to the shuffled instances of a recipe."""

import contextlib
import gc
from typing import NamedTuple, Optional

import tokenization
from albert.pretraining_data import (
    masking,
    recipe_albert_zh,
    recipe_google,
    recipe_roberta,
    record_encoder,
    summary,
)
from albert.pretraining_data.corpus import TextCounter, read_corpus
from albert.pretraining_data.settings import RecipeSettings

# Each recipe is a module with a class `Recipe`.
RECIPES = {"albert_zh": recipe_albert_zh, "google": recipe_google, "roberta": recipe_roberta}


class Source(NamedTuple):
    """How text is read and what is made of it."""

    settings: RecipeSettings
    vocab_file: Optional[str]
    spm_model_file: Optional[str] = None  # if given, `vocab_file` is not read
    encoding_errors: str = "strict"
    separate_files: bool = False


class InstanceBatch(NamedTuple):
    """What was made of some text.

    Attributes:
        instances: iterator of `Instance`, shuffled; it must be read to its end once.
        text_counter: `corpus.TextCounter`.
        instance_counter: `summary.InstanceCounter`, complete after `instances`.
        number: how many instances there are.
    """

    instances: object
    text_counter: TextCounter
    instance_counter: summary.InstanceCounter
    number: int


@contextlib.contextmanager
def _no_garbage_collection():
    """Nothing that is made here has cycles; looking for them takes up to a quarter of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


class InstanceMaker:
    """Makes instances from text; reads the vocabulary once.

    Attributes:
        tokenizer: `tokenization.FullTokenizer`.
        encoder: `record_encoder.RecordEncoder` for the instances.
        software: dictionary of package name -> version that the result depends on.
    """

    def __init__(self, source):
        """Takes a `Source`; raises InputError if the vocabulary or a package is not usable."""
        settings = source.settings
        self._source = source
        self.tokenizer = tokenization.FullTokenizer(
            source.vocab_file, settings.do_lower_case, source.spm_model_file
        )
        special_tokens = tokenization.SPECIAL_TOKENS
        if source.spm_model_file:
            special_tokens = special_tokens[1:]
        tokenization.check_special_tokens(
            self.tokenizer.vocab, source.spm_model_file or source.vocab_file, special_tokens
        )
        self._recipe = RECIPES[settings.recipe].Recipe(self.tokenizer, settings)
        self.software = self._recipe.software
        self.encoder = record_encoder.RecordEncoder(
            settings.max_seq_length,
            settings.max_predictions,
            max(self.tokenizer.vocab.values()) + 1,
        )

    def seeds(self):
        """The seeds of a run: of everything random but the lengths of n-grams, and of these."""
        settings = self._source.settings
        if settings.ngram_seed is None:
            return settings.random_seed, settings.random_seed
        return settings.random_seed, settings.ngram_seed

    @_no_garbage_collection()
    def make(self, spans, seed, ngram_seed, watch_bytes=None, watch_documents=None):
        """Reads text and makes its instances.

        Args:
            spans: list of `corpus.Span`.
            seed: of everything random but the lengths of n-grams.
            ngram_seed: of these.
            watch_bytes: None, or a function that is told the number of bytes of each piece read.
            watch_documents: None, or a function that is told the number of documents to pass over
                once these are known, and returns a function that is called after each.

        Returns:
            `InstanceBatch`.
        """
        settings, recipe = self._source.settings, self._recipe
        text_counter = TextCounter(self.tokenizer, recipe.longest_line)
        corpus = read_corpus(
            spans,
            recipe,
            text_counter,
            self._source.encoding_errors,
            self._source.separate_files,
            watch_bytes,
        )
        progress = None
        if watch_documents:
            progress = watch_documents(len(corpus) * settings.dupe_factor)
        rng = masking.Random(seed)
        instances = list(recipe.create_instances(corpus, rng, ngram_seed % 2**32, progress))
        rng.shuffle(instances)
        text_counter.count_lost(corpus, settings.dupe_factor)
        counter = summary.InstanceCounter(self.tokenizer.vocab, recipe.vocabulary.mask_id)
        return InstanceBatch(counter.watch(instances), text_counter, counter, len(instances))
