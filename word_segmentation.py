"""Chinese words marked in a sequence of tokens, for whole-word masking (spec/data.md 2.5)."""

import functools
import logging
import re
import warnings

from absl import logging as absl_logging

import file_utils

JIEBA_VERSION = "0.42.1"
MARK = "##"

_CHINESE = re.compile("[\u4e00-\u9fa5]")
_LONGEST_WORD = 3  # in tokens; longer words stay unmarked


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
        raise file_utils.InputError(
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


def is_marked_chinese(token):
    """True for ``##`` directly followed by a character of U+4E00..U+9FA5."""
    return token.startswith(MARK) and bool(_CHINESE.match(token, len(MARK)))


def get_new_segment(tokens, vocab):
    """Marks every token of a Chinese word but its first by ``##``.

    A word is up to three tokens that together are one of the words into which jieba cuts the
    sentence, at whatever place it cuts it.  Longer words stay unmarked.

    Args:
        tokens: list of `str`, one sentence.
        vocab: container of the known tokens; one that has no marked form in it stays unmarked.

    Returns:
        List of `str` of the same length.
    """
    words = set(load_jieba().lcut("".join(tokens)))
    result = []
    while len(result) < len(tokens):
        start = len(result)
        length = _word_length(tokens[start : start + _LONGEST_WORD], words)
        result.append(tokens[start])
        for token in tokens[start + 1 : start + length]:
            marked = MARK + token
            result.append(marked if marked in vocab else token)
    return result


def _word_length(tokens, words):
    """How many of `tokens`, from the first, are the longest of `words`; 1 if there is none."""
    if not _CHINESE.search(tokens[0]):
        return 1
    for length in range(len(tokens), 1, -1):
        if "".join(tokens[:length]) in words:
            return length
    return 1
