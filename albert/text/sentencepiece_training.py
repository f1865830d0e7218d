"""SentencePiece models as Google's English ALBERT has one, trained on a sample of a text."""

import io
import random
import re

from absl import logging

from albert.basics import storage
from albert.basics.errors import InputError
from albert.text import word_counts
from tokenization import preprocess_text

PUBLISHED_OPTIONS = {
    "model_type": "unigram",
    "pad_id": 0,
    "unk_id": 1,
    "bos_id": -1,
    "eos_id": -1,
    "control_symbols": ["[CLS]", "[SEP]", "[MASK]"],
    "user_defined_symbols": list('()"-.–£€'),
}

# English: as published.  Chinese: as SentencePiece recommends for languages of many characters.
CHARACTER_COVERAGE = {"en": 0.99995, "zh": 0.9995}


def import_sentencepiece():
    """Returns the package; raises InputError if it is missing."""
    try:
        import sentencepiece
    except ImportError:
        raise InputError(
            "Training needs the package sentencepiece, which is not installed; run "
            "'pip install sentencepiece'."
        ) from None
    return sentencepiece


def read_sentences(paths, do_lower_case=True, errors="strict", task="reading"):
    """Yields the normalized lines of text files that are not blank; see `read_with_progress`."""
    for line in word_counts.read_with_progress(paths, errors, task):
        sentence = preprocess_text(line, lower=do_lower_case)
        if sentence:
            yield sentence


def draw_sample(items, number, size, seed):
    """Yields a random sample of an iterable, in its order (Knuth, TAOCP 2, 3.4.2, algorithm S).

    Args:
        items: iterable.
        number: how many items it has.
        size: how many to draw, each set of so many being equally probable; all if there are fewer.
        seed: of the random numbers.
    """
    generator = random.Random(seed)
    for index, item in enumerate(items):
        if (number - index) * generator.random() < size:
            size -= 1
            yield item


def sample_sentences(paths, sample_size, max_length, do_lower_case, errors, seed):
    """Reads text files once to count their sentences and again to draw a sample.

    Args:
        paths: list of file names.
        sample_size: number of sentences to draw, if there are more.
        max_length: sentences of more bytes are left out.
        do_lower_case, errors: see `read_sentences`.
        seed: of the sample.

    Returns:
        Iterator of `str`; the files have been read to the end once when it is returned.

    Raises:
        InputError: a file cannot be read, or there is no sentence in any.
    """

    def read(task):
        for sentence in read_sentences(paths, do_lower_case, errors, task):
            yield sentence, len(sentence.encode("utf-8")) <= max_length

    usable = too_long = 0
    for _, fits in read("counting lines"):
        usable += fits
        too_long += not fits
    if too_long:
        logging.warning(
            "%d of %d lines have more than %d bytes and are skipped; raise --max_sentence_length "
            "or put one sentence on a line.",
            too_long,
            usable + too_long,
            max_length,
        )
    if not usable:
        raise InputError(
            "--input_file: no line to train on: all are blank or have more than %d bytes "
            "(--max_sentence_length)." % max_length
        )
    logging.info("Training on %d of %d lines.", min(usable, sample_size), usable + too_long)
    sentences = (sentence for sentence, fits in read("drawing lines") if fits)
    return draw_sample(sentences, usable, sample_size, seed)


def train(sentences, vocab_size, character_coverage, num_threads=16, max_sentence_length=4192):
    """Trains a model with the published options.

    Args:
        sentences: iterator of `str`.
        vocab_size: number of pieces.
        character_coverage: share of the occurrences of characters that get a piece.
        num_threads: number of threads.
        max_sentence_length: sentences of more bytes are skipped.

    Returns:
        The model, `bytes`.

    Raises:
        InputError: `vocab_size` does not suit the text, or sentencepiece is missing.
    """
    sentencepiece = import_sentencepiece()
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(sentences),
            model_writer=model,
            vocab_size=vocab_size,
            character_coverage=character_coverage,
            num_threads=num_threads,
            max_sentence_length=max_sentence_length,
            minloglevel=0 if logging.level_debug() else 2,  # 0 all, 2 errors
            **PUBLISHED_OPTIONS,
        )
    except RuntimeError as error:
        raise _explain(error, vocab_size) or error from None
    return model.getvalue()


def _explain(error, vocab_size):
    """Returns an InputError for what SentencePiece says about the size; None for all else."""
    too_high = re.search(r"size too high .*<= (\d+)", str(error))
    if too_high:
        return InputError(
            "--vocab_size is %d, but this text gives only %s pieces; lower it or use more text."
            % (vocab_size, too_high.group(1))
        )
    too_low = re.search(r"smaller than required_chars\. \d+ vs (\d+)", str(error))
    if too_low:
        return InputError(
            "--vocab_size is %d, but the characters of this text and the special pieces are %s; "
            "raise it or lower --character_coverage." % (vocab_size, too_low.group(1))
        )
    return None


def list_pieces(model):
    """The pieces of a model (`bytes`) and their scores, as SentencePiece writes them to .vocab.

    Returns:
        List of pairs of `str`.
    """
    processor = import_sentencepiece().SentencePieceProcessor(model_proto=model)
    return [
        (processor.IdToPiece(index), "%g" % processor.GetScore(index))
        for index in range(processor.GetPieceSize())
    ]


def write_model(model, prefix):
    """Writes PREFIX.model and PREFIX.vocab; both are complete before either replaces an old one."""
    with storage.atomic_write(prefix + ".model", "wb") as model_file, storage.atomic_write(
        prefix + ".vocab"
    ) as vocab_file:
        model_file.write(model)
        vocab_file.writelines("%s\t%s\n" % item for item in list_pieces(model))
