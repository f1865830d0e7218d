"""Text to token ids: BERT's WordPiece and, for Google's English models, SentencePiece.

Results are those of albert_zh and google-research/albert on every input; only
the way there is different: what happens to a character is looked up in a table, and what happens
to a word is remembered.  Unicode properties are those of the running Python
(`unicodedata.unidata_version`); characters assigned later may be classified differently.
"""

import itertools
import os
import re
import unicodedata

from absl import logging

from albert.basics import storage
from albert.basics.errors import InputError

UNK_TOKEN = "[UNK]"
SPECIAL_TOKENS = (UNK_TOKEN, "[CLS]", "[SEP]", "[MASK]")

_MAX_CACHED_WORDS = 1 << 16
_MAX_CACHED_LENGTH = 64
_SPIECE_MARKER = "\u2581"
SPIECE_UNDERLINE = _SPIECE_MARKER.encode("utf-8")  # bytes, as programs know it

# These can be recognized without a table: each is a token of its own and its own lower case and
# NFD form.  The rarer ideographs take the general way.
_COMMON_IDEOGRAPHS = re.compile("([\u4e00-\u9fff]+)")

_IDEOGRAPHS = (
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B820, 0x2CEAF),
    (0x2F800, 0x2FA1F),
)
_ASCII_PUNCTUATION = frozenset("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")

# Whether a checkpoint is lower-cased, by the name of its folder.
_BERT_LOWER_CASE = {
    "uncased_L-24_H-1024_A-16": True,
    "uncased_L-12_H-768_A-12": True,
    "multilingual_L-12_H-768_A-12": True,
    "chinese_L-12_H-768_A-12": True,
    "cased_L-12_H-768_A-12": False,
    "cased_L-24_H-1024_A-16": False,
    "multi_cased_L-12_H-768_A-12": False,
}


def validate_case_matches_checkpoint(do_lower_case, init_checkpoint):
    """Raises InputError if a published BERT checkpoint is used with the wrong case.

    Only paths like ``uncased_L-12_H-768_A-12/bert_model.ckpt`` are known; any other path, None
    included, passes.
    """
    found = re.search(r"([A-Za-z0-9_-]+)/bert_model.ckpt", init_checkpoint or "")
    expected = _BERT_LOWER_CASE.get(found.group(1)) if found else None
    if expected is not None and expected != bool(do_lower_case):
        raise InputError(
            "--do_lower_case is %s, but the checkpoint %s was trained with %s."
            % (bool(do_lower_case), init_checkpoint, expected)
        )


def convert_to_unicode(text):
    """Returns `str` as it is and decodes `bytes` as UTF-8, dropping invalid bytes.

    Raises:
        ValueError: `text` is neither.
    """
    if isinstance(text, str):
        return text
    if isinstance(text, bytes):
        return text.decode("utf-8", "ignore")
    raise ValueError("Unsupported string type: %s; expected str or bytes." % type(text))


printable_text = convert_to_unicode  # they differed on Python 2 only


def load_vocab(vocab_file):
    """Reads a vocabulary: one token per line, stripped; its id is the 0-based line number.

    A byte order mark is skipped.  Of duplicate lines (blank ones included) the last gives the id,
    as in BERT, and a warning is logged; so it is of blank lines at the end, which are no entries.

    Returns:
        Dictionary token -> id, in the order in which tokens first occur.

    Raises:
        InputError: the file cannot be read or is not UTF-8.
    """
    vocab = {}
    duplicates = []
    for index, line in enumerate(storage.read_lines(vocab_file)):
        token = line.strip()
        if token in vocab:
            duplicates.append((token, vocab[token] + 1, index + 1))
        vocab[token] = index
    size = vocabulary_size(vocab)
    duplicates = [found for found in duplicates if found[2] <= size]
    if duplicates:
        logging.warning(
            "%s: %d duplicate lines, first %r (lines %d and %d); the last one gives the id.",
            vocab_file,
            len(duplicates),
            *duplicates[0],
        )
    blank = 1 + max(vocab.values(), default=-1) - size
    if blank:
        logging.warning(
            "%s: %d blank line%s at the end; no token has the id.",
            vocab_file,
            blank,
            "" if blank == 1 else "s",
        )
    return vocab


def vocabulary_size(vocab):
    """Number of entries of a vocabulary's file: its lines, without blank ones at the end."""
    return 1 + max((index for token, index in vocab.items() if token), default=-1)


def check_special_tokens(vocab, path, tokens=SPECIAL_TOKENS):
    """Raises InputError if one of `tokens` is not in `vocab`, which was read from `path`.

    SentencePiece models have no ``[UNK]``; for them pass ``tokens=("[CLS]", "[SEP]", "[MASK]")``.
    """
    missing = [token for token in tokens if token not in vocab]
    if missing:
        raise InputError(
            "%s: not a usable vocabulary, %s not found among its %d entries; expected %s."
            % (path, ", ".join(missing), len(vocab), ", ".join(tokens))
        )


def convert_by_vocab(vocab, items):
    """Looks up each item.

    Raises:
        KeyError: an item is not in `vocab`; unknown tokens are not replaced by ``[UNK]``.
    """
    try:
        return [vocab[item] for item in items]
    except KeyError as error:
        raise KeyError(
            "%r is not in the vocabulary of %d entries" % (error.args[0], len(vocab))
        ) from None


def convert_tokens_to_ids(vocab, tokens):
    return convert_by_vocab(vocab, tokens)


def convert_ids_to_tokens(inv_vocab, ids):
    return convert_by_vocab(inv_vocab, ids)


def whitespace_tokenize(text):
    """Splits at Unicode whitespace; an empty text gives an empty list."""
    return text.split()


class _Memo(dict):
    """A dictionary that computes missing values with `function` and remembers them.

    It is emptied when `max_size` keys are reached, which on natural text costs less than keeping
    track of their use, and keys longer than `_MAX_CACHED_LENGTH` are not kept at all.
    """

    def __init__(self, function, max_size=_MAX_CACHED_WORDS):
        super().__init__()
        self._function = function
        self._max_size = max_size

    def __missing__(self, key):
        value = self._function(key)
        if len(key) <= _MAX_CACHED_LENGTH:
            if len(self) >= self._max_size:
                self.clear()
            self[key] = value
        return value


def _is_whitespace(char):
    """Whether a character separates words."""
    return char in (" ", "\t", "\n", "\r") or unicodedata.category(char) == "Zs"


def _is_control(char):
    """Whether a character is dropped; tab and line ends are white space."""
    return char not in ("\t", "\n", "\r") and unicodedata.category(char) in ("Cc", "Cf")


def _is_punctuation(char):
    """Whether a character is a word of its own; all ASCII symbols are."""
    return char in _ASCII_PUNCTUATION or unicodedata.category(char)[0] == "P"


def _is_ideograph(code):
    return any(first <= code <= last for first, last in _IDEOGRAPHS)


def _clean(character):
    """The first two rules: drop controls, unify spaces, isolate ideographs."""
    if _is_control(character) or character == "\ufffd":
        return ""
    if _is_whitespace(character):
        return " "
    return " %s " % character if _is_ideograph(ord(character)) else character


def _strip_marks(text):
    """The text decomposed, without non-spacing marks."""
    decomposed = unicodedata.normalize("NFD", text)
    return "".join(c for c in decomposed if unicodedata.category(c) != "Mn")


def _fold(text):
    """Rule 4: lower case, decompose, drop non-spacing marks."""
    return _strip_marks(text.lower())


def _isolate_punctuation(text):
    """Rule 5."""
    return "".join(" %s " % c if _is_punctuation(c) else c for c in text)


class _CharacterTable(dict):
    """For `str.translate`: code point -> what rules 1 to 5 make of this character alone.

    Filled on demand.  Characters whose folding depends on their neighbours become `CONTEXT`.
    """

    CONTEXT = "\0"  # cannot come from the text: rule 1 drops it

    def __init__(self, do_lower_case):
        super().__init__()
        self._do_lower_case = do_lower_case

    def __missing__(self, code):
        value = self._translate(chr(code))
        self[code] = value
        return value

    def _translate(self, character):
        text = _clean(character)
        if self._do_lower_case:
            text = _fold(text)
            # Final sigma, and marks that NFD sorts but rule 4 keeps.
            if character == "\u03a3" or any(map(unicodedata.combining, text)):
                return self.CONTEXT
        return _isolate_punctuation(text)


class BasicTokenizer:
    """Splits text into words, punctuation characters and ideographs."""

    def __init__(self, do_lower_case=True):
        """If `do_lower_case`, text is also stripped of accents."""
        self.do_lower_case = do_lower_case

    @property
    def do_lower_case(self):
        """As given; may be changed."""
        return self._do_lower_case

    @do_lower_case.setter
    def do_lower_case(self, value):
        self._do_lower_case = value
        self._table = _CharacterTable(value)

    def tokenize(self, text):
        """Returns a list of `str`; see `convert_to_unicode` for what `text` may be."""
        text = convert_to_unicode(text)
        separated = text.translate(self._table)
        if self._table.CONTEXT in separated:
            words = "".join(map(_clean, text)).split()
            separated = " ".join(_isolate_punctuation(_fold(word)) for word in words)
        return separated.split()

    # Steps of `tokenize` alone, as programs call them.

    def _is_chinese_char(self, cp):
        """Whether a code point is an ideograph; kana, hangul and CJK punctuation are not."""
        return _is_ideograph(cp)

    def _clean_text(self, text):
        """The text without controls, with a space for every white space character."""
        kept = (c for c in text if not (_is_control(c) or c == "\ufffd"))
        return "".join(" " if _is_whitespace(c) else c for c in kept)

    def _tokenize_chinese_chars(self, text):
        """The text with a space on both sides of every ideograph."""
        return "".join(" %s " % c if _is_ideograph(ord(c)) else c for c in text)

    def _run_strip_accents(self, text):
        """The text decomposed, without non-spacing marks."""
        return _strip_marks(text)

    def _run_split_on_punc(self, text):
        """List: every punctuation character, and what is between them."""
        groups = itertools.groupby(enumerate(text), lambda at: _is_punctuation(at[1]) and at[0] + 1)
        return ["".join(character for _, character in group) for _, group in groups]


class WordpieceTokenizer:
    """Splits words into the longest pieces that a vocabulary has, from the left."""

    def __init__(self, vocab, unk_token=UNK_TOKEN, max_input_chars_per_word=200):
        """Longer words than `max_input_chars_per_word` code points become `unk_token`."""
        self.vocab = vocab
        self.unk_token = unk_token
        self.max_input_chars_per_word = max_input_chars_per_word
        self._longest_piece = max(map(len, vocab), default=0)

    def tokenize(self, text):
        """Returns the pieces of all words of a text; usually that of a `BasicTokenizer`."""
        words = whitespace_tokenize(convert_to_unicode(text))
        return [piece for word in words for piece in self.split_word(word)]

    def split_word(self, word):
        """Returns a tuple: the pieces, each but the first marked by ``##``, or `unk_token`."""
        if len(word) > self.max_input_chars_per_word:
            return (self.unk_token,)
        pieces = []
        start = 0
        while start < len(word):
            prefix = "##" if start else ""
            end = min(len(word), start + self._longest_piece)
            while end > start and prefix + word[start:end] not in self.vocab:
                end -= 1
            if end == start:
                return (self.unk_token,)
            pieces.append(prefix + word[start:end])
            start = end
        return tuple(pieces)


class _FastPath:
    """Maps a text to the concatenated `convert_word(word)` of its basic tokens."""

    def __init__(self, basic_tokenizer, convert_word):
        self._basic_tokenizer = basic_tokenizer
        self._convert_word = convert_word
        self._forget()

    def _forget(self):
        self._lower_case = self._basic_tokenizer.do_lower_case
        self._of_word = _Memo(self._convert_word)
        self._of_run = _Memo(self._convert_run)
        self._of_ideograph = _Memo(self._convert_ideograph)

    def __call__(self, text):
        if self._basic_tokenizer.do_lower_case != self._lower_case:
            self._forget()
        # Even parts are runs without common ideographs, odd ones nothing but those.
        parts = _COMMON_IDEOGRAPHS.split(convert_to_unicode(text))
        result = list(self._of_run[parts[0]])
        for index in range(1, len(parts), 2):
            result += map(self._of_ideograph.__getitem__, parts[index])
            result += self._of_run[parts[index + 1]]
        return result

    def _convert_run(self, run):
        words = self._basic_tokenizer.tokenize(run)
        return tuple(itertools.chain.from_iterable(map(self._of_word.__getitem__, words)))

    def _convert_ideograph(self, character):
        (value,) = self._convert_word(character)
        return value


class FullTokenizer:
    """What models use: text -> tokens -> ids and back.

    Attributes:
        vocab: dictionary token -> id; not to be changed.
        inv_vocab: dictionary id -> token.
        num_entries: of the file, see `vocabulary_size`; `vocab` has less where lines are repeated,
            or above the limit.
        unknown_id: id of what the vocabulary does not know; None if it has no such entry.
    """

    def __init__(self, vocab_file, do_lower_case=True, spm_model_file=None, limit=None):
        """Reads the vocabulary.

        Args:
            vocab_file: WordPiece vocabulary; not opened if `spm_model_file` is given.
            do_lower_case: lower-case text and strip accents; has no effect with SentencePiece,
                where `preprocess_text` does that.
            spm_model_file: SentencePiece model, or None.
            limit: entries from this id on are as if they were not there; None: all are used.

        Raises:
            InputError: a file cannot be used, or the package sentencepiece is missing.
        """
        self.sp_model = None
        if spm_model_file:
            self.sp_model = _load_sentencepiece(spm_model_file)
            ids = range(self.sp_model.GetPieceSize())
            vocab = {self.sp_model.IdToPiece(index): index for index in ids}
            self.num_entries, self.vocab = len(ids), _below(vocab, limit)
            self.unknown_id = self.sp_model.unk_id()
        else:
            vocab = load_vocab(vocab_file)
            self.num_entries, self.vocab = vocabulary_size(vocab), _below(vocab, limit)
            self.unknown_id = self.vocab.get(UNK_TOKEN)
            self._use(BasicTokenizer(do_lower_case), WordpieceTokenizer(self.vocab))
        self.inv_vocab = {index: token for token, index in self.vocab.items()}
        # A program's subclass with methods of its own.
        self._tokenizes_its_own_way = any(
            getattr(type(self), name) is not getattr(FullTokenizer, name)
            for name in ("tokenize", "convert_tokens_to_ids")
        )

    @classmethod
    def from_scratch(cls, vocab_file, do_lower_case, spm_model_file):
        """The same as the class itself; google-research/albert's programs call it so."""
        return cls(vocab_file, do_lower_case, spm_model_file)

    @property
    def basic_tokenizer(self):
        """Splits texts into words, with WordPiece; a program may put its own here."""
        return self._basic_tokenizer

    @basic_tokenizer.setter
    def basic_tokenizer(self, tokenizer):
        self._use(tokenizer, self._wordpiece_tokenizer)

    @property
    def wordpiece_tokenizer(self):
        """Splits words into pieces, with WordPiece; a program may put its own here."""
        return self._wordpiece_tokenizer

    @wordpiece_tokenizer.setter
    def wordpiece_tokenizer(self, tokenizer):
        self._use(self._basic_tokenizer, tokenizer)

    def _use(self, basic, wordpiece):
        """Takes tokenizers, and the fast way where they are the two of this module."""
        self._basic_tokenizer, self._wordpiece_tokenizer = basic, wordpiece
        if type(basic) is BasicTokenizer and type(wordpiece) is WordpieceTokenizer:
            self._tokens = _FastPath(basic, wordpiece.split_word)
            self._ids = _FastPath(basic, self._convert_word)
        else:
            self._tokens, self._ids = self._general_tokens, self._general_ids

    def _general_tokens(self, text):
        words = self._basic_tokenizer.tokenize(text)
        return [piece for word in words for piece in self._wordpiece_tokenizer.tokenize(word)]

    def _general_ids(self, text):
        return self.convert_tokens_to_ids(self._general_tokens(text))

    def tokenize(self, text):
        """Returns a list of `str`.  With SentencePiece, call `preprocess_text` first."""
        if self.sp_model:
            return encode_pieces(self.sp_model, convert_to_unicode(text))
        return self._tokens(text)

    def encode(self, text):
        """Returns ``convert_tokens_to_ids(tokenize(text))``, faster."""
        if self.sp_model or self._tokenizes_its_own_way:
            return self.convert_tokens_to_ids(self.tokenize(text))
        return self._ids(text)

    def convert_tokens_to_ids(self, tokens):
        """Returns a list of `int`; SentencePiece gives unknown tokens the id of ``<unk>``.

        Raises:
            KeyError: WordPiece, and a token is not in the vocabulary.
        """
        if self.sp_model:
            ids = [self.sp_model.PieceToId(convert_to_unicode(token)) for token in tokens]
            if len(self.vocab) < self.num_entries:
                return [index if index < len(self.vocab) else self.unknown_id for index in ids]
            return ids
        return convert_tokens_to_ids(self.vocab, tokens)

    def convert_ids_to_tokens(self, ids):
        """Returns a list of `str`.

        Raises:
            KeyError: WordPiece, and an id is not in the vocabulary.
            IndexError: SentencePiece, and an id is not in the model.
        """
        if self.sp_model:
            return [self.sp_model.IdToPiece(int(index)) for index in ids]
        return convert_ids_to_tokens(self.inv_vocab, ids)

    def _convert_word(self, word):
        pieces = self.wordpiece_tokenizer.split_word(word)
        return tuple(convert_tokens_to_ids(self.vocab, pieces))


def _below(vocab, limit):
    if limit is None:
        return vocab
    return {token: index for token, index in vocab.items() if index < limit}


def _load_sentencepiece(path):
    try:
        import sentencepiece
    except ImportError:
        raise InputError(
            "--spm_model_file=%s needs the package sentencepiece, which is not installed; "
            "run 'pip install sentencepiece'." % path
        ) from None
    # Seeding itself, for sampling, crashes the process if TensorFlow 1.15 was imported earlier.
    sentencepiece.set_random_generator_seed(int.from_bytes(os.urandom(4), "little"))
    model = sentencepiece.SentencePieceProcessor()
    serialized = storage.read_bytes(path)
    try:
        model.LoadFromSerializedProto(serialized)
    except RuntimeError as error:
        raise InputError("%s: not a SentencePiece model (%s)." % (path, error)) from None
    return model


def preprocess_text(inputs, remove_space=True, lower=False):
    """Normalizes text for SentencePiece.

    Args:
        inputs: `str`.
        remove_space: strip, and make every run of whitespace one space.
        lower: convert to lower case, after everything else.

    Returns:
        The text in NFKD without combining characters.
    """
    text = " ".join(inputs.split()) if remove_space else inputs
    decomposed = unicodedata.normalize("NFKD", text)
    text = "".join(c for c in decomposed if not unicodedata.combining(c))
    return text.lower() if lower else text


def encode_pieces(sp_model, text, return_unicode=True, sample=False, strip_marker=False):
    """Splits text by a SentencePiece model, with the comma after a digit as a piece of its own.

    Google's models were trained on pieces in which a number separated from its comma is marked as
    the start of a word even inside a word: ``$1,234`` gives ``▁ $ ▁1 , 2 3 4``.

    Args:
        sp_model: `sentencepiece.SentencePieceProcessor`.
        text: `str`.
        return_unicode: no effect, pieces are `str`; kept for callers of the original function.
        sample: draw one of the 64 best segmentations, with smoothing 0.1.
        strip_marker: remove that false start mark, as Hugging Face's tokenizers do.

    Returns:
        List of `str`.
    """
    del return_unicode
    if sample:
        pieces = sp_model.SampleEncodeAsPieces(text, 64, 0.1)
    else:
        pieces = sp_model.EncodeAsPieces(text)
    result = []
    for piece in pieces:
        if not (len(piece) > 1 and piece[-1] == "," and piece[-2].isdigit()):
            result.append(piece)
            continue
        number = sp_model.EncodeAsPieces(piece[:-1].replace(_SPIECE_MARKER, ""))
        if strip_marker and piece[0] != _SPIECE_MARKER and number[0][0] == _SPIECE_MARKER:
            number[:1] = [number[0][1:]] if len(number[0]) > 1 else []
        result += number + [","]
    return result


def encode_ids(sp_model, text, sample=False):
    """Ids of `encode_pieces`."""
    return [sp_model.PieceToId(piece) for piece in encode_pieces(sp_model, text, sample=sample)]
