"""Tokenization against golden results, and against the rules, spelled out here."""

import base64
import gzip
import json
import os
import pickle
import random
import subprocess
import sys
import unicodedata

import pytest

import tokenization
from albert.basics.errors import InputError

MARKER = "\u2581"


def read_golden(golden, name):
    with gzip.open(os.path.join(golden, "data", name + ".json.gz"), "rt", encoding="utf-8") as file:
        return json.load(file)


@pytest.fixture(scope="module")
def vocab_file(golden):
    return os.path.join(golden, "vocab.txt")


@pytest.fixture(scope="module")
def spm_file(golden):
    return os.path.join(golden, "data", "spm500.model")


@pytest.fixture
def write_vocab(tmp_path):
    def write(content):
        path = str(tmp_path / "vocab.txt")
        with open(path, "wb") as file:
            file.write(content)
        return path

    return write


# The rules, one after the other, one character after the other.


def is_space(character):
    return character in " \t\n\r" or unicodedata.category(character) == "Zs"


def is_control(character):
    return character not in "\t\n\r" and unicodedata.category(character) in ("Cc", "Cf")


def is_ideograph(character):
    return (
        "\u4e00" <= character <= "\u9fff"
        or "\u3400" <= character <= "\u4dbf"
        or "\U00020000" <= character <= "\U0002a6df"
        or "\U0002a700" <= character <= "\U0002b73f"
        or "\U0002b740" <= character <= "\U0002b81f"
        or "\U0002b820" <= character <= "\U0002ceaf"
        or "\uf900" <= character <= "\ufaff"
        or "\U0002f800" <= character <= "\U0002fa1f"
    )


def is_punctuation(character):
    if "!" <= character <= "/" or ":" <= character <= "@":
        return True
    if "[" <= character <= "`" or "{" <= character <= "~":
        return True
    return unicodedata.category(character).startswith("P")


def rule_based_words(text, lower):
    kept = [c for c in text if c not in "\0\ufffd" and not is_control(c)]
    spaced = [" " if is_space(c) else c for c in kept]
    isolated = "".join([" " + c + " " if is_ideograph(c) else c for c in spaced])
    words = []
    for word in isolated.split():
        if lower:
            word = unicodedata.normalize("NFD", word.lower())
            word = "".join([c for c in word if unicodedata.category(c) != "Mn"])
        words.append("".join([" " + c + " " if is_punctuation(c) else c for c in word]))
    return " ".join(words).split()


def rule_based_pieces(word, vocab):
    if len(word) > 200:
        return ["[UNK]"]
    pieces = []
    rest = word
    while rest:
        for end in range(len(rest), 0, -1):
            piece = ("##" if pieces else "") + rest[:end]
            if piece in vocab:
                break
        else:
            return ["[UNK]"]
        pieces.append(piece)
        rest = rest[end:]
    return pieces


def assert_words_follow_rules(tokenizer, text, lower):
    words = rule_based_words(text, lower)
    assert tokenizer.basic_tokenizer.tokenize(text) == words
    return words


def assert_follows_rules(tokenizer, text, lower):
    words = assert_words_follow_rules(tokenizer, text, lower)
    pieces = [piece for word in words for piece in rule_based_pieces(word, tokenizer.vocab)]
    assert tokenizer.tokenize(text) == pieces
    assert tokenizer.encode(text) == [tokenizer.vocab[piece] for piece in pieces]


def depends_on_context(character):
    decomposed = unicodedata.normalize("NFD", character.lower())
    return character == "Σ" or any(map(unicodedata.combining, decomposed))


@pytest.mark.slow
@pytest.mark.parametrize("lower", [True, False])
def test_every_code_point_follows_the_rules(vocab_file, lower):
    tokenizer = tokenization.FullTokenizer(vocab_file, lower)
    for first in range(0, sys.maxunicode + 1, 256):
        characters = list(map(chr, range(first, first + 256)))
        texts = {c: "a%sb %s" % (c, c) for c in characters}
        # One of these could make the tokenizer treat a whole batch in another way.
        alone = [texts.pop(c) for c in characters if depends_on_context(c)]
        # Pieces of words that the vocabulary has no character of would all be [UNK].
        check = assert_follows_rules if first < 0x30000 else assert_words_follow_rules
        for text in [*alone, " ".join(texts.values())]:
            check(tokenizer, text, lower)


ALPHABETS = [
    "中文一龥鿿",
    "㐀䶿豈更\U00020000\U0002ceb0\U0002f800",  # rarer ideographs, one that is not isolated
    "aAbBzZ09",
    "ΣσςΑαάΩ\u2126",
    "İıIẞßKÅåǅﬁ",
    ".,:;'’·!?-_`$+=^|~，。“”、：．＇…",
    "≠≮≯\u1fef\u037e\u2329",  # punctuation appears or changes by decomposition
    "\u0301\u0345\u05b0\u064b\u0e38\u3099\u20dd\ufe0f",
    "\u302e\u302f\U0001d165\U0001d166\U0001d16d\U00016ff0",  # sorted by NFD, not dropped
    "\U0001d15e\u0958か゛がガ゜パ가각ힰ",
    " \t\n\r\u00a0\u3000\u2009\u2028\u2029",
    "\0\x01\x0b\x1c\x7f\x85\xad\u200b\u200d\u202e\ufeff\ufffd\U000e0001",
    "\ud800\udfff\ue000\u0378",
    "👍🏽→℃￥#[]",
]


@pytest.mark.slow
@pytest.mark.parametrize("lower", [True, False])
def test_random_strings_follow_the_rules(vocab_file, lower):
    tokenizer = tokenization.FullTokenizer(vocab_file, lower)
    generator = random.Random(20240501)
    everything = "".join(ALPHABETS)
    for _ in range(20000):
        some = "".join(generator.sample(ALPHABETS, 3))
        alphabet = generator.choice((everything, some))
        text = "".join(generator.choice(alphabet) for _ in range(generator.randrange(24)))
        assert_follows_rules(tokenizer, text, lower)


def test_random_code_points_follow_the_rules(vocab_file):
    tokenizer = tokenization.FullTokenizer(vocab_file)
    generator = random.Random(7)
    for limit in (0x250, 0x3100, 0x10000, 0x30000):
        for _ in range(1000):
            text = "".join(chr(generator.randrange(limit)) for _ in range(40))
            assert_follows_rules(tokenizer, text, True)


@pytest.mark.parametrize(
    "text, words",
    [
        ("ΟΔΟΣ ΣΟΦΟΣ.", ["οδος", "σοφος", "."]),
        ("ΟΔΟΣ中", ["οδος", "中"]),
        ("ΟΔΟΣ.Α", ["οδοσ", ".", "α"]),  # within one word the sigma is not final
        ("ΟΔΟΣ\u200bΑ", ["οδοσα"]),
        ("Σ", ["σ"]),
        ("İstanbul", ["istanbul"]),
        ("a≠b", ["a", "=", "b"]),
        ("각", ["\u1100\u1161\u11a8"]),
        ("ガ", ["カ"]),
        ("豈", ["\u8c48"]),
        ("x\u302e\U0001d165\u0301", ["x\U0001d165\u302e"]),
        ("a\u0301 \u0301 b", ["a", "b"]),
        ("[MASK]##x", ["[", "mask", "]", "#", "#", "x"]),
        ("a\u0085b\u001cc", ["abc"]),
        ("a\u2028b\u3000c", ["a", "b", "c"]),
        ("", []),
        (" \u200b\n", []),
    ],
)
def test_lower_cased_words(text, words):
    assert tokenization.BasicTokenizer().tokenize(text) == words


def test_golden_tokens_and_ids(golden, vocab_file):
    tokenizers = {case: tokenization.FullTokenizer(vocab_file, case) for case in (True, False)}
    items = read_golden(golden, "tokenization")["items"]
    assert len(items) == 774
    for item in items:
        tokenizer = tokenizers[item["do_lower_case"]]
        text = item["text"]
        assert tokenizer.basic_tokenizer.tokenize(text) == item["basic"]
        assert tokenizer.tokenize(text) == item["tokens"]
        assert tokenizer.encode(text) == item["ids"]
        assert tokenizer.convert_tokens_to_ids(item["tokens"]) == item["ids"]
        assert tokenizer.convert_ids_to_tokens(item["ids"]) == item["tokens"]


def test_wordpiece_takes_the_longest_pieces_or_gives_up_on_the_word():
    vocab = {"[UNK]": 0, "a": 1, "ab": 2, "##c": 3, "##cd": 4, "##a": 5, "##": 6}
    tokenize = tokenization.WordpieceTokenizer(vocab).tokenize
    assert tokenize("abcd  abc a") == ["ab", "##cd", "ab", "##c", "a"]
    assert tokenize("abx x") == ["[UNK]", "[UNK]"]
    assert tokenize("a" * 200) == ["a"] + ["##a"] * 199
    assert tokenize("a" * 201) == ["[UNK]"]
    assert tokenization.WordpieceTokenizer({}, unk_token="?").tokenize("a b") == ["?", "?"]
    assert tokenization.WordpieceTokenizer(vocab, "?", 2).tokenize("aba ab") == ["?", "ab"]


def test_results_do_not_depend_on_what_was_seen_before(vocab_file):
    used = tokenization.FullTokenizer(vocab_file)
    texts = ["End of 2019，完。", "end", "END", "x" * 300, "中" * 300, "ＡＢＣ", "café。cafe"]
    for text in texts * 2:
        fresh = tokenization.FullTokenizer(vocab_file)
        assert used.encode(text) == fresh.encode(text)
        tokens = used.tokenize(text)
        tokens.append("the caller's list is the caller's")
        assert used.tokenize(text) == fresh.tokenize(text)


def test_memo_is_bounded():
    calls = []

    def double(key):
        calls.append(key)
        return 2 * key

    memo = tokenization._Memo(double, max_size=2)
    assert [memo[key] for key in "ababcab"] == ["aa", "bb", "aa", "bb", "cc", "aa", "bb"]
    assert calls == ["a", "b", "c", "a", "b"]
    assert len(memo) <= 2
    long_key = "x" * 1000
    assert memo[long_key] == 2 * long_key
    assert long_key not in memo


class CharacterTokenizer(tokenization.FullTokenizer):
    """A program's own: every character is a token, as taggers of characters want it."""

    def tokenize(self, text):
        return [c if c in self.vocab else "[UNK]" for c in text.lower()]


def test_a_subclass_that_tokenizes_its_own_way(vocab_file, spm_file):
    tokenizer = CharacterTokenizer(vocab_file, do_lower_case=True)
    tokens = ["a", "b", "中", "[UNK]", "1", "2"]
    assert tokenizer.encode("aB中 12") == tokenizer.convert_tokens_to_ids(tokens)
    assert tokenization.FullTokenizer(vocab_file).encode("aB中 12") != tokenizer.encode("aB中 12")
    pieces = CharacterTokenizer(None, spm_model_file=spm_file)
    assert pieces.encode("the") == pieces.convert_tokens_to_ids(["t", "h", "e"])


def test_parts_that_a_program_replaces_or_changes(vocab_file):
    class Characters:
        def tokenize(self, text):
            return list(text)

    tokenizer = tokenization.FullTokenizer(vocab_file)
    text = "aB中国 12"
    usual = tokenizer.tokenize(text)
    tokenizer.basic_tokenizer = Characters()
    tokens = ["a", "[UNK]", "中", "国", "1", "2"]
    assert tokenizer.tokenize(text) == tokens
    assert tokenizer.encode(text) == tokenizer.convert_tokens_to_ids(tokens)
    tokenizer.basic_tokenizer = tokenization.BasicTokenizer()
    assert tokenizer.tokenize(text) == usual
    tokenizer.basic_tokenizer.do_lower_case = False
    assert tokenizer.tokenize(text) == ["[UNK]", *usual[-3:]]
    assert tokenizer.encode(text)[0] == tokenizer.vocab["[UNK]"]
    tokenizer.wordpiece_tokenizer = Characters()
    assert tokenizer.tokenize("中12") == ["中", "1", "2"]
    tokenizer.wordpiece_tokenizer = tokenization.WordpieceTokenizer(tokenizer.vocab)
    assert tokenizer.tokenize(text) == ["[UNK]", *usual[-3:]]


def test_a_subclass_that_looks_up_ids_its_own_way(vocab_file):
    class Shifted(tokenization.FullTokenizer):
        def convert_tokens_to_ids(self, tokens):
            return [1 + index for index in super().convert_tokens_to_ids(tokens)]

    tokenizer = Shifted(vocab_file)
    assert tokenizer.encode("a 中") == tokenizer.convert_tokens_to_ids(["a", "中"])


def test_bytes_are_decoded_and_other_types_refused(vocab_file):
    tokenizer = tokenization.FullTokenizer(vocab_file)
    assert tokenizer.tokenize(b"a\xff \xe4\xb8\xad") == ["a", "中"]
    assert tokenizer.encode(b"a\xff \xe4\xb8\xad") == tokenizer.encode("a 中")
    assert tokenization.printable_text("中".encode()) == "中"
    for value in (None, 5, ["a"]):
        for function in (tokenizer.tokenize, tokenizer.encode, tokenization.convert_to_unicode):
            with pytest.raises(ValueError, match="expected str or bytes"):
                function(value)


def test_golden_vocabularies(golden, write_vocab):
    for case in read_golden(golden, "vocab_misc")["load_vocab"]:
        content = base64.b64decode(case["bytes_base64"])
        expected = [(token.lstrip("\ufeff"), index) for token, index in case["brightmart"]]
        path = write_vocab(content)
        assert list(tokenization.load_vocab(path).items()) == expected
        assert tokenization.FullTokenizer(path).vocab == dict(expected)


def test_line_separator_in_a_vocabulary_does_not_shift_ids(vocab_file):
    vocab = tokenization.load_vocab(vocab_file)
    with open(vocab_file, "rb") as file:
        assert len(vocab) == file.read().count(b"\n") == 14957
    assert vocab["[MASK]"] == 103
    assert {"", "##"} <= set(vocab)  # U+2028 and ## + U+2028, stripped


def test_duplicates_are_reported(write_vocab, caplog):
    tokenization.load_vocab(write_vocab(b"a\nb\n\nc\n"))
    assert not caplog.records
    tokenization.load_vocab(write_vocab(b"a\nb\na\n b\n"))
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "2 duplicate lines, first 'a' (lines 1 and 3)" in record.getMessage()


def test_unusable_vocabularies(write_vocab, tmp_path):
    with pytest.raises(InputError, match="line 2: invalid UTF-8"):
        tokenization.load_vocab(write_vocab(b"a\n\xff\n"))
    with pytest.raises(InputError, match="no such file"):
        tokenization.FullTokenizer(str(tmp_path / "absent.txt"))
    vocab = {"[UNK]": 0, "[CLS]": 1, "[SEP]": 2, "[MASK]": 3}
    tokenization.check_special_tokens(vocab, "v.txt")
    for token in vocab:
        rest = {other: index for other, index in vocab.items() if other != token}
        with pytest.raises(InputError, match=r"^v\.txt: .*\%s not found" % token):
            tokenization.check_special_tokens(rest, "v.txt")


def test_unknown_tokens_and_ids_are_key_errors(vocab_file, write_vocab):
    tokenizer = tokenization.FullTokenizer(vocab_file)
    with pytest.raises(KeyError, match="'不存在的词' is not in the vocabulary of 14957 entries"):
        tokenizer.convert_tokens_to_ids(["中", "不存在的词"])
    with pytest.raises(KeyError, match="14957 is not in the vocabulary"):
        tokenizer.convert_ids_to_tokens([0, 14957])
    without_unk = tokenization.FullTokenizer(write_vocab(b"a\n"))
    assert without_unk.tokenize("a b 中") == ["a", "[UNK]", "[UNK]"]
    for text in ("b", "中"):
        with pytest.raises(KeyError, match=r"'\[UNK\]' is not in the vocabulary of 1 entries"):
            without_unk.encode(text)


def test_case_of_bert_checkpoints(golden):
    for case in read_golden(golden, "vocab_misc")["validate_case"]:
        arguments = case["do_lower_case"], case["init_checkpoint"]
        if case["result"] == "ok":
            tokenization.validate_case_matches_checkpoint(*arguments)
        else:
            with pytest.raises(InputError, match="do_lower_case is %s" % arguments[0]):
                tokenization.validate_case_matches_checkpoint(*arguments)


@pytest.mark.parametrize("spm", [False, True])
def test_tokenizers_can_be_sent_to_other_processes(vocab_file, spm_file, spm):
    tokenizer = tokenization.FullTokenizer(vocab_file, spm_model_file=spm_file if spm else None)
    text = "the 中文 text, 1,234"
    ids = tokenizer.encode(text)
    copy = pickle.loads(pickle.dumps(tokenizer))
    assert copy.encode(text) == ids
    assert copy.tokenize(text) == tokenizer.tokenize(text)


def test_import_loads_neither_tensorflow_nor_sentencepiece(repo_root):
    code = "import sys, tokenization; print({'tensorflow', 'sentencepiece'} & set(sys.modules))"
    output = subprocess.check_output([sys.executable, "-c", code], cwd=repo_root)
    assert output.strip() == b"set()"


def test_golden_sentencepiece(golden, spm_file):
    tokenizer = tokenization.FullTokenizer("not opened", spm_model_file=spm_file)
    data = read_golden(golden, "sentencepiece")
    assert len(data["items"]) == 97
    assert list(tokenizer.vocab.items()) == [(p, i) for i, p in enumerate(data["pieces"])]
    assert tokenizer.inv_vocab == dict(enumerate(data["pieces"]))
    for item in data["items"]:
        text = item["text"]
        for name in ("lower", "cased"):
            expected = item[name]
            prepared = tokenization.preprocess_text(text, lower=name == "lower")
            assert prepared == expected["preprocessed"]
            assert tokenizer.sp_model.EncodeAsPieces(prepared) == expected["plain_pieces"]
            assert tokenizer.tokenize(prepared) == expected["tokens"]
            assert tokenizer.encode(prepared) == expected["ids"]
            assert tokenizer.convert_tokens_to_ids(expected["tokens"]) == expected["ids"]
        assert tokenization.preprocess_text(text, False) == item["preprocess_keep_space"]
        assert tokenizer.tokenize(text) == item["raw"]["tokens"]
        assert tokenizer.encode(text) == item["raw"]["ids"]
        back = tokenizer.convert_ids_to_tokens(item["lower"]["ids"])
        assert back == item["ids_to_tokens_back"]


def test_comma_after_a_digit(spm_file):
    model = tokenization.FullTokenizer(None, spm_model_file=spm_file).sp_model
    encode = tokenization.encode_pieces
    kept = [MARKER, "$", MARKER + "1", ",", "2", "3", "4"]
    assert encode(model, "$1,234") == kept
    assert encode(model, "$1,234", strip_marker=True) == kept[:2] + ["1"] + kept[3:]
    for _ in range(20):
        pieces = encode(model, "the rain stopped", sample=True)
        assert "".join(pieces) == "▁the▁rain▁stopped"


class FakeModel:
    """Knows one text with a number at its start, which the fixture model keeps unmarked."""

    def EncodeAsPieces(self, text):
        return {"1,2": ["▁1,", "2"], "a1,2": ["▁a", "1,", "2"], "1": ["▁", "1"]}[text]


def test_only_a_false_start_mark_is_stripped():
    encode = tokenization.encode_pieces
    assert encode(FakeModel(), "1,2", strip_marker=True) == ["▁", "1", ",", "2"]
    assert encode(FakeModel(), "a1,2", strip_marker=True) == ["▁a", "1", ",", "2"]
    assert encode(FakeModel(), "a1,2") == ["▁a", "▁", "1", ",", "2"]


def test_sentencepiece_unknown_tokens_and_ids(spm_file):
    tokenizer = tokenization.FullTokenizer(None, spm_model_file=spm_file)
    assert tokenizer.convert_tokens_to_ids(["不存在的词", b"[CLS]"]) == [1, 2]
    with pytest.raises(IndexError):
        tokenizer.convert_ids_to_tokens([500])
    tokens = ("[CLS]", "[SEP]", "[MASK]")
    tokenization.check_special_tokens(tokenizer.vocab, spm_file, tokens)
    for keep_space in (True, False):
        with pytest.raises(TypeError):
            tokenization.preprocess_text(b"text", keep_space)


def test_unusable_sentencepiece(spm_file, write_vocab, monkeypatch):
    with pytest.raises(InputError, match="not a SentencePiece model"):
        tokenization.FullTokenizer(None, spm_model_file=write_vocab(b"abc"))
    monkeypatch.setitem(sys.modules, "sentencepiece", None)
    with pytest.raises(InputError, match="needs the package sentencepiece"):
        tokenization.FullTokenizer(None, spm_model_file=spm_file)
