"""Marks of Chinese words: the reference's, and the same whatever cuts the text."""

import builtins
import glob
import os
import random
import sys

import pytest

from albert.basics.errors import InputError
from albert.basics.storage import read_lines
from albert.text import word_segmentation
from helpers.golden import VOCAB, golden_json, text_path
from tokenization import FullTokenizer

CHINESE = [chr(code) for code in range(0x4E00, 0x9FA6)]
# What stands between Chinese words; among it everything that either segmenter treats specially.
OTHER = {
    "letters and digits": list("abcdefgxyzABCXYZ0123456789"),
    "punctuation": list("，。！？；：、“”‘’（）《》【】…—·「」『』,!?;:()[]{}<>/\\|@$^*=~`\"'"),
    "part of jieba's words": list("+#&._%-"),
    "tokens": ["[UNK]", "##ing", "##", "[MASK]"],
    "full width": [chr(code) for code in range(0xFF01, 0xFF5F)],
    "kana and hangul": list("のカタナ한국어ㄱ"),
    "letters of Europe": list("äéßñжЯαω"),
    "symbols": list("→℃①￥✓😀👍"),
    "spaces": list(" \t\u3000\u2028\x85\x0b"),
    "rare ideographs": list("㐀㙍䶮鿎鿏𠀀𫝀\uf900\uf92d"),
}
CHINESE_SET = frozenset(CHINESE)
HAS_RJIEBA = sys.version_info >= (3, 9)  # there is none for Python 3.7


def simple_words(tokens, words):
    """`find_words` by its definition."""
    found = []
    start = 0
    while start < len(tokens):
        length = 1
        if any("\u4e00" <= character <= "\u9fa5" for character in tokens[start]):
            lengths = [n for n in (3, 2) if start + n <= len(tokens)]
            matches = [n for n in lengths if "".join(tokens[start : start + n]) in words]
            length = max(matches, default=1)
        if length > 1:
            found.append((start, start + length))
        start += length
    return found


def dictionary_words():
    jieba = word_segmentation.load_jieba()
    path = os.path.join(os.path.dirname(jieba.__file__), "dict.txt")
    return [line.split(" ")[0] for line in read_lines(path)]


def generated_texts(number, seed, kinds):
    """Texts of dictionary words, single characters and what stands between them."""
    rng = random.Random(seed)
    words = dictionary_words()
    for _ in range(number):
        parts = []
        for _ in range(rng.randint(1, 14)):
            kind = rng.random()
            if kind < 0.5:
                parts.append(rng.choice(words))
            elif kind < 0.75:
                parts.extend(rng.choice(CHINESE) for _ in range(rng.randint(1, 3)))
            else:
                other = OTHER[rng.choice(kinds)]
                parts.extend(rng.choice(other) for _ in range(rng.randint(1, 3)))
        yield "".join(parts)


def project_texts(repo_root):
    paths = glob.glob(os.path.join(repo_root, "data", "**", "*.t[xs][tv]"), recursive=True)
    paths += [text_path(name) for name in ("zh_docs.txt", "zh_tiny.txt", "zh_edge.txt")]
    assert len(paths) > 5
    return [line for path in paths for line in read_lines(path)]


@pytest.fixture(scope="module")
def tokenizer():
    return FullTokenizer(VOCAB)


def test_word_marks_are_the_references():
    for case in golden_json("segments")["items"]:
        everything = case["tokens_out"]  # no marked token is missing in the vocabulary
        assert word_segmentation.get_new_segment(case["tokens_in"], everything) == everything


def test_marked_token_outside_of_the_vocabulary_stays_unmarked():
    tokens = ["阿", "Q", "正", "传"]
    marked = word_segmentation.get_new_segment(tokens, {"##Q", "##传"})
    assert marked[1] == "##Q"
    assert word_segmentation.get_new_segment(tokens, {"##传"}) == ["阿", "Q"] + marked[2:]


def test_words_are_found_as_defined():
    rng = random.Random(5)
    for _ in range(2000):
        tokens = rng.choices(["中", "国", "人", "a", "bc", "##d", "[UNK]"], k=rng.randint(0, 12))
        pool = ["".join(tokens[i : i + rng.randint(1, 4)]) for i in range(len(tokens))]
        words = set(rng.sample(pool, rng.randint(0, len(pool)))) | {"中国", "国人中"}
        found = word_segmentation.find_words(tokens, "".join(tokens), words)
        assert found == simple_words(tokens, words)


def mark(text, tokenizer, segment):
    return word_segmentation.get_new_segment(tokenizer.tokenize(text), tokenizer.vocab, segment)


@pytest.mark.slow
@pytest.mark.skipif(not HAS_RJIEBA, reason="rjieba has no build for this Python")
def test_rjieba_gives_jiebas_marks(tokenizer, repo_root):
    fast, versions = word_segmentation.load_segmenter("auto")
    assert versions == {
        "jieba": word_segmentation.JIEBA_VERSION,
        "rjieba": word_segmentation.RJIEBA_VERSION,
    }
    exact, versions = word_segmentation.load_segmenter("jieba")
    assert list(versions) == ["jieba"]
    texts = project_texts(repo_root)
    texts += generated_texts(6000, 1, sorted(OTHER))
    for text in texts:
        assert mark(text, tokenizer, fast) == mark(text, tokenizer, exact), text
        # Not only where the vocabulary and the tokenizer leave something to mark.
        words = [
            {word for word in cut(text) if 2 <= len(word) <= 3 and word[0] in CHINESE_SET}
            for cut in (fast, exact)
        ]
        assert words[0] == words[1], text


@pytest.mark.skipif(not HAS_RJIEBA, reason="rjieba has no build for this Python")
def test_rjieba_is_not_asked_where_it_differs():
    text = "鿎掌旗女娘一前鿸鿿"
    automatic, _ = word_segmentation.load_segmenter("auto")
    forced, versions = word_segmentation.load_segmenter("rjieba")
    assert versions == {"rjieba": word_segmentation.RJIEBA_VERSION}
    assert automatic(text) == word_segmentation.load_jieba().lcut(text) != forced(text)


@pytest.mark.skipif(not HAS_RJIEBA, reason="rjieba has no build for this Python")
def test_another_version_of_rjieba_is_not_used(monkeypatch):
    monkeypatch.setattr(word_segmentation, "RJIEBA_VERSION", "0.0")
    segment, versions = word_segmentation.load_segmenter("auto")
    assert segment == word_segmentation.load_jieba().lcut
    assert list(versions) == ["jieba"]


def without(*packages):
    original = builtins.__import__

    def import_function(name, *args, **kwargs):
        if name in packages:
            raise ImportError(name)
        return original(name, *args, **kwargs)

    return import_function


def test_missing_packages_are_reported(monkeypatch):
    monkeypatch.setattr(builtins, "__import__", without("rjieba"))
    segment, _ = word_segmentation.load_segmenter("auto")
    assert segment == word_segmentation.load_jieba().lcut
    with pytest.raises(InputError, match="--segmenter=rjieba needs .*pip install rjieba=="):
        word_segmentation.load_segmenter("rjieba")
    monkeypatch.setattr(builtins, "__import__", without("jieba", "rjieba"))
    word_segmentation.load_jieba.cache_clear()
    with pytest.raises(InputError, match="pip install jieba==.*--non_chinese=true"):
        word_segmentation.load_segmenter("auto")
    word_segmentation.load_jieba.cache_clear()
