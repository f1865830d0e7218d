"""Chinese words marked in a sequence of tokens, for whole-word masking."""

import functools
import itertools
import logging
import re
import warnings

from absl import logging as absl_logging

from albert.basics.errors import InputError

SEGMENTERS = ("auto", "jieba", "rjieba")
JIEBA_VERSION = "0.42.1"
RJIEBA_VERSION = "0.2.2"  # the one that was compared with jieba
MARK = "##"

_CHINESE = re.compile("[\u4e00-\u9fa5]")
_LONGEST_WORD = 3  # in tokens; longer words stay unmarked

# Where rjieba does not give jieba's words: it takes these ideographs for Chinese, jieba does not.
_JIEBA_ONLY = re.compile("[\u3400-\u4dbf\u9fa6-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")


@functools.lru_cache(maxsize=None)
def load_jieba():
    """Returns the module jieba, with its log messages off.

    Raises:
        InputError: it is not installed.
    """
    try:
        with warnings.catch_warnings():  # its regular expressions are not raw strings
            warnings.simplefilter("ignore", SyntaxWarning)
            import jieba
    except ImportError:
        raise InputError(
            "Marking Chinese words needs the package jieba, which is not installed; run "
            "'pip install jieba==%s', or pass --non_chinese=true for text that is not Chinese."
            % JIEBA_VERSION
        ) from None
    jieba.setLogLevel(logging.WARNING)
    if jieba.__version__ != JIEBA_VERSION:
        absl_logging.warning(
            "jieba is version %s; data equal to the reference's needs %s.",
            jieba.__version__,
            JIEBA_VERSION,
        )
    return jieba


def _import_rjieba():
    """The module rjieba, or None if it is missing."""
    try:
        import rjieba
    except ImportError:
        return None
    return rjieba


def _rjieba_version():
    from importlib import metadata  # not in Python 3.7, for which there is no rjieba

    return metadata.version("rjieba")


def load_segmenter(name="auto"):
    """Loads what cuts text into words.

    Args:
        name: "jieba"; "rjieba", the same in Rust and ten times as fast; or "auto": rjieba if the
            version that was compared with jieba is installed, but jieba for the texts on which
            they differ, so that the marks are always jieba's.

    Returns:
        Tuple (segment, description): a function of a text that returns the list of its words;
        dictionary of package name -> version.

    Raises:
        InputError: a package is missing.
    """
    rjieba = None if name == "jieba" else _import_rjieba()
    if name == "rjieba":
        if not rjieba:
            raise InputError(
                "--segmenter=rjieba needs the package rjieba, which is not installed; run "
                "'pip install rjieba==%s', or leave the flag out to use jieba." % RJIEBA_VERSION
            )
        return rjieba.cut, {"rjieba": _rjieba_version()}
    jieba = load_jieba()
    description = {"jieba": jieba.__version__}
    if not rjieba:
        return jieba.lcut, description
    if _rjieba_version() != RJIEBA_VERSION:
        absl_logging.info(
            "rjieba is version %s, only %s was compared with jieba; jieba is used.",
            _rjieba_version(),
            RJIEBA_VERSION,
        )
        return jieba.lcut, description
    description["rjieba"] = RJIEBA_VERSION
    differs, fast, exact = _JIEBA_ONLY.search, rjieba.cut, jieba.lcut
    return lambda text: exact(text) if differs(text) else fast(text), description


def is_marked_chinese(token):
    """True for ``##`` directly followed by a character of U+4E00..U+9FA5."""
    return token.startswith(MARK) and bool(_CHINESE.match(token, len(MARK)))


def remove_mark(token):
    """A marked Chinese token without its mark, any other token as it is."""
    return token[len(MARK) :] if is_marked_chinese(token) else token


def find_words(tokens, text, words):
    """Lists the Chinese words in a sequence of tokens, from the left.

    A word is two or three tokens that together are in `words`, at whatever place the segmenter
    found it; the longer one is taken.

    Args:
        tokens: list of `str`, none of them empty.
        text: the tokens joined.
        words: set of `str`.

    Returns:
        List of (begin, end).
    """
    size = len(tokens)
    if size == len(text):
        offsets = list(range(size + 2))
    else:
        offsets = [0, *itertools.accumulate(map(len, tokens)), len(text)]
    found = []
    start = 0
    while start < size - 1:
        # At the end both candidates are the last two tokens.
        begin = offsets[start]
        if text[begin : offsets[start + _LONGEST_WORD]] in words:
            end = min(start + _LONGEST_WORD, size)
        elif text[begin : offsets[start + 2]] in words:
            end = start + 2
        else:
            start += 1
            continue
        if _CHINESE.search(tokens[start]):
            found.append((start, end))
            start = end
        else:
            start += 1
    return found


def get_new_segment(tokens, vocab, segment=None):
    """Marks every token of a Chinese word but its first by ``##``.

    A word is up to three tokens that together are one of the words into which the sentence is
    cut, at whatever place it is cut.  Longer words stay unmarked.

    Args:
        tokens: list of `str`, one sentence.
        vocab: container of the known tokens; one that has no marked form in it stays unmarked.
        segment: function of a text: list of its words; None: jieba's.

    Returns:
        List of `str` of the same length.
    """
    segment = segment or load_jieba().lcut
    text = "".join(tokens)
    result = list(tokens)
    for position in _places_of_marks(tokens, text, set(segment(text))):
        marked = MARK + tokens[position]
        if marked in vocab:
            result[position] = marked
    return result


def _places_of_marks(tokens, text, words):
    """All tokens of the words but the first; arguments as of `find_words`."""
    for begin, end in find_words(tokens, text, words):
        yield from range(begin + 1, end)


class WordMarker:
    """`get_new_segment` from tokens to ids, for many sentences at once.

    jieba's dictionary does not fit into the processor's caches together with what tokenizes and
    marks; working in turns, on thousands of sentences each, saves a tenth of the time.
    """

    def __init__(self, vocab, segment):
        """Takes a dictionary token -> id, and what cuts a text into words."""
        self._segment = segment
        self._ids = vocab
        self._marked_ids = {token: vocab.get(MARK + token, vocab[token]) for token in vocab}

    def __call__(self, sentences):
        """Lists of the ids of sentences, marked, given lists of their tokens."""
        texts = ["".join(tokens) for tokens in sentences]
        segment = self._segment
        words = [set(segment(text)) for text in texts]
        return list(map(self._mark, sentences, texts, words))

    def _mark(self, tokens, text, words):
        ids = [self._ids[token] for token in tokens]
        for position in _places_of_marks(tokens, text, words):
            ids[position] = self._marked_ids[tokens[position]]
        return ids
