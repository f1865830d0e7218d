"""Raw text as documents of token ids, held in memory as flat arrays."""

import collections
import itertools
import unicodedata
from array import array
from typing import NamedTuple, Optional

import numpy as np

from albert.basics import storage
from albert.pretraining_data.masking import Text

_ENCODED_AT_ONCE = 1 << 17  # characters
_REPLACEMENT = "\ufffd"


class Span(NamedTuple):
    """A part of a text file, from line border to line border; offsets in bytes."""

    path: str
    start: int = 0
    end: Optional[int] = None  # None: to the end of the file


class Corpus:
    """Documents of sentences of token ids, without an object for each.

    Attributes:
        token_ids, plain_ids, starts: of all tokens, one sentence after the other; see
            `masking.Text`.  The last two are there after `finish`.
        sentence_ends: array: where in `token_ids` each sentence ends.
        document_ends: array: how many sentences there are up to the end of each document.
        held_tokens, held_documents: how many of them were asked for by `text`, wholly or in part,
            in each pass, summed over all `passes`.
    """

    def __init__(self, typecode):
        """`typecode` is of an `array` that can hold any id."""
        self.token_ids = array(typecode)
        self.plain_ids = array(typecode)
        self.starts = b""
        self.sentence_ends = array("q")
        self.document_ends = array("q")
        self.held_tokens = self.held_documents = 0
        self._held = bytearray()  # for each token: whether this pass has asked for it

    def add_document(self, sentences):
        """Appends a document: an iterable of lists of ids; it may be empty."""
        for sentence in sentences:
            self.token_ids.fromlist(sentence)
            self.sentence_ends.append(len(self.token_ids))
        self.document_ends.append(len(self.sentence_ends))

    def finish(self, vocabulary):
        """Looks up all tokens in a `masking.MaskingVocabulary`."""
        typecode = self.token_ids.typecode
        token_ids = np.frombuffer(self.token_ids, typecode)
        self.plain_ids.frombytes(np.array(vocabulary.plain_ids, typecode)[token_ids].tobytes())
        self.starts = np.array(vocabulary.starts, np.uint8)[token_ids].tobytes()

    def passes(self, number):
        """Yields `number` times, and counts after each what was asked for since."""
        for _ in range(number):
            self._held = bytearray(len(self.token_ids))
            yield
            self._count_held()

    def _count_held(self):
        held = np.frombuffer(self._held, np.uint8)
        # Where the documents that have a token begin: as an empty one does, behind the one before.
        ends = np.frombuffer(self.sentence_ends, np.int64)
        last = np.frombuffer(self.document_ends, np.int64)
        last = last[last > np.concatenate([[0], last[:-1]])]
        self.held_tokens += int(np.count_nonzero(held))
        if last.size:
            begins = np.concatenate([[0], ends[last[:-1] - 1]])
            self.held_documents += int(np.count_nonzero(np.maximum.reduceat(held, begins)))

    def __len__(self):
        """Number of documents."""
        return len(self.document_ends)

    def bounds(self, index):
        """Offsets in `token_ids` where the sentences of a document begin, and the last one's end.

        Returns:
            List of one more than the number of sentences; ``[]`` for a document without any.
        """
        first = self.document_ends[index - 1] if index else 0
        ends = self.sentence_ends[first : self.document_ends[index]].tolist()
        if not ends:
            return []
        return [self.sentence_ends[first - 1] if first else 0] + ends

    def text(self, *spans):
        """`masking.Text` of one or two spans (begin, end) of tokens, one after the other."""
        for begin, end in spans:
            self._held[begin:end] = b"\x01" * (end - begin)
        (begin, end), *more = spans
        text = self.token_ids[begin:end], self.plain_ids[begin:end], self.starts[begin:end]
        for begin, end in more:
            text = (
                text[0] + self.token_ids[begin:end],
                text[1] + self.plain_ids[begin:end],
                text[2] + self.starts[begin:end],
            )
        return Text(*text)


class TextCounter:
    """Counts what is read, and what of it gets lost.

    Attributes:
        counts: `collections.Counter` of documents, sentences, tokens and so on.
        unknown_characters: `collections.Counter` of the characters that are unknown by themselves.
    """

    def __init__(self, tokenizer, longest_line=float("inf")):
        """Takes a `tokenization.FullTokenizer`, and see `recipe_albert_zh.Recipe`."""
        self.counts = collections.Counter()
        self.unknown_characters = collections.Counter()
        self._unknown_id = tokenizer.unknown_id
        self._known = _KnownCharacters(tokenizer)
        self._drops_controls = not tokenizer.sp_model
        self._longest_line = longest_line

    def count_invalid_line(self):
        """Counts a line with bytes that are not UTF-8."""
        self.counts["invalid_lines"] += 1

    def count_sentence(self, text, ids):
        """Counts what is unknown or dropped in a sentence, given its text and its ids."""
        if self._unknown_id in ids:
            self.counts["unknown_tokens"] += ids.count(self._unknown_id)
            self.unknown_characters.update(text.translate(self._known))
        if not ids:
            self.counts["lines_without_tokens"] += 1
        # Few texts have any; to ask for each character would take a tenth of the time.
        if self._drops_controls and not (text.isprintable() and _REPLACEMENT not in text):
            self.counts["dropped_characters"] += sum(map(_is_dropped, text))

    def count_document(self, sentences):
        """Counts a document by its sentences, lists of ids; there may be none."""
        if not sentences:
            self.counts["empty_documents"] += 1
            return
        lengths = list(map(len, sentences))
        self.counts["documents"] += 1
        self.counts["sentences"] += len(sentences)
        self.counts["tokens"] += sum(lengths)
        self.counts["single_sentence_documents"] += len(sentences) == 1
        if max(lengths) > self._longest_line:
            self.counts["long_sentences"] += sum(map(self._longest_line.__lt__, lengths))

    def count_lost(self, corpus, passes):
        """Counts what none of the instances of a pass over a `Corpus` holds, of all passes."""
        self.counts["lost_tokens"] += self.counts["tokens"] * passes - corpus.held_tokens
        self.counts["lost_documents"] += self.counts["documents"] * passes - corpus.held_documents


def _is_dropped(character):
    """True for what a WordPiece tokenizer drops: no letter, sign or space."""
    if character in "\t\n\r":
        return False
    return character == _REPLACEMENT or unicodedata.category(character) in ("Cc", "Cf")


class _KnownCharacters(dict):
    """For `str.translate`: removes what has a token of its own, and white space."""

    def __init__(self, tokenizer):
        super().__init__()
        self._tokenizer = tokenizer

    def __missing__(self, code):
        known = self._tokenizer.unknown_id not in self._tokenizer.encode(chr(code))
        self[code] = None if known else code
        return self[code]


def read_documents(
    spans,
    clean_line,
    encode,
    errors="strict",
    separate_files=False,
    progress=None,
    on_invalid=None,
):
    """Yields documents: lists of at least one sentence.

    A line that `clean_line` leaves empty ends a document; the end of a file does not.

    Args:
        spans: list of `Span`, read one after the other.
        clean_line: function: line -> its text.
        encode: function: text, not empty -> sentence; empty sentences are left out.
        errors: what to do with invalid UTF-8, see `storage.read_lines`.
        separate_files: the end of a file ends a document, too.
        progress: None, or a function that is told the number of bytes of each piece read.
        on_invalid: see `storage.read_lines`.
    """
    document = []
    path = None
    for span in spans:
        if separate_files and document and span.path != path:
            yield document
            document = []
        path = span.path
        part = {"start": span.start, "end": span.end, "progress": progress}
        for line in storage.read_lines(path, errors, on_invalid=on_invalid, **part):
            text = clean_line(line)
            if text:
                sentence = encode(text)
                if sentence:
                    document.append(sentence)
            elif document:
                yield document
                document = []
    if document:
        yield document


def read_corpus(spans, recipe, counter, errors="strict", separate_files=False, progress=None):
    """Reads text into a `Corpus`.

    Args:
        spans, errors, separate_files, progress: see `read_documents`.
        recipe: what cleans and encodes lines, see `recipe_albert_zh.Recipe`.
        counter: `TextCounter`.
    """
    corpus = Corpus(recipe.vocabulary.typecode)
    documents = read_documents(
        spans,
        recipe.clean_line,
        str,
        errors,
        separate_files,
        progress,
        counter.count_invalid_line,
    )
    for group in _groups(documents, lambda texts: sum(map(len, texts))):
        for document in _encode_documents(group, recipe, counter):
            counter.count_document(document)
            if document:
                corpus.add_document(recipe.prepare_document(document))
    corpus.finish(recipe.vocabulary)
    return corpus


def _groups(items, size):
    """Yields lists of consecutive items, of about `_ENCODED_AT_ONCE` by the function `size`."""
    group, total = [], 0
    for item in items:
        group.append(item)
        total += size(item)
        if total >= _ENCODED_AT_ONCE:
            yield group
            group, total = [], 0
    yield group


def _encode_documents(documents, recipe, counter):
    """Yields lists of the ids of sentences that are not empty, given lists of their texts."""
    texts = list(itertools.chain.from_iterable(documents))
    sentences = []
    for group in _groups(texts, len):
        sentences += recipe.encode(group)
    for text, ids in zip(texts, sentences):
        counter.count_sentence(text, ids)
    left = iter(sentences)
    for document in documents:
        yield [ids for ids in itertools.islice(left, len(document)) if ids]
