"""scripts/build_vocab.py: the layout of a vocabulary and what a tokenizer makes of it."""

import itertools
import json
import os
import random
import re
import subprocess
import sys

import pytest

from albert.basics.errors import InputError
from albert.basics.storage import read_lines
from albert.text import vocabulary, word_counts
from albert.text.piece_learning import learn_pieces
from albert.text.word_counts import WordCounts
from scripts import build_vocab
from tokenization import FullTokenizer

TEXT = "今天在GitHub上看WiFi教程，wifi！\nGPS gps gps 6号线 25℃ é Ω 𠮷 カ가 ¿ [MASK] ##x\n"


def run(repo_root, *arguments):
    return subprocess.run(
        [sys.executable, os.path.join("scripts", "build_vocab.py")] + list(arguments),
        cwd=repo_root,
        capture_output=True,
        text=True,
    )


def build(words, **options):
    return vocabulary.token_list(vocabulary.build_vocab(WordCounts(words), **options))


@pytest.fixture
def text_file(tmp_path):
    path = tmp_path / "text.txt"
    path.write_bytes(TEXT.encode("utf-8"))
    return str(path)


@pytest.fixture
def shipped(repo_root):
    return os.path.join(repo_root, "albert_config", "quickstart", "vocab.txt")


def test_shipped_vocabulary_is_what_the_documented_command_writes(repo_root, shipped, tmp_path):
    command = build_vocab.__doc__.split("python scripts/build_vocab.py", 1)[1].split("\n\n")[0]
    flags = dict(re.findall(r"--(\w+)=(\S+)", command))
    assert os.path.join(repo_root, flags.pop("output_file")) == shipped
    result = run(
        repo_root,
        "--output_file=%s" % (tmp_path / "vocab.txt"),
        *["--%s=%s" % flag for flag in flags.items()],
    )
    assert result.returncode == 0, result.stderr
    with open(shipped, "rb") as handle:
        assert (tmp_path / "vocab.txt").read_bytes() == handle.read()


def test_shipped_vocabulary_covers_the_sample_data(repo_root, shipped):
    tokenizer = FullTokenizer(shipped)
    for path in ("news_zh_1.txt", "lcqmc_sample/train.txt"):
        for line in read_lines(os.path.join(repo_root, "data", path)):
            tokens = tokenizer.tokenize(line)
            assert "[UNK]" not in tokens
            text = "".join(token[2:] if token.startswith("##") else token for token in tokens)
            assert text == "".join(line.lower().split())


def test_shipped_vocabulary_is_not_mistaken_for_the_published_one(shipped):
    tokens = list(read_lines(shipped))
    assert len(tokens) == len(set(tokens)) != vocabulary.PUBLISHED_SIZE


@pytest.mark.parametrize("do_lower_case", [True, False])
def test_layout(text_file, do_lower_case):
    words = word_counts.count_words([text_file], do_lower_case).words
    vocab = build(words, min_count=2, do_lower_case=do_lower_case)
    ids = {token: index for index, token in enumerate(vocab)}
    assert len(ids) == len(vocab)
    assert (ids["[PAD]"], ids["[unused1]"], ids["[unused99]"]) == (0, 1, 99)
    assert [ids[token] for token in ("[UNK]", "[CLS]", "[SEP]", "[MASK]")] == [100, 101, 102, 103]
    for punctuation in "!~，。¿":
        assert 103 < ids[punctuation] < ids["0"]
        assert "##" + punctuation not in ids

    first, last = ids["0"], ids["##0"]
    characters = vocab[first:last]
    assert characters == sorted(characters)
    assert vocab[last : last + len(characters)] == ["##" + character for character in characters]
    assert set("019az℃號号龘𠮷") - set(characters) == {"龘"}
    assert ("A" in ids) == (not do_lower_case)
    learned = vocab[last + len(characters) :]
    assert {"gps", "##ps"} <= set(learned)
    assert ("wifi" in learned) == do_lower_case


def test_ideographs_are_those_of_the_two_standards():
    ideographs = vocabulary.standard_ideographs()
    assert len(ideographs) == 8836
    # First and last of GB 2312's two levels and of Big5's level 1; then the first of its level 2.
    assert set("啊座亍齄一籲乂") - ideographs == {"乂"}
    assert len([c for c in ideographs if c.encode("gb2312", "ignore")]) == 6763
    big5_only = {c for c in ideographs if not c.encode("gb2312", "ignore")}
    assert all(b"\xa4\x40" <= c.encode("big5") <= b"\xc6\x7e" for c in big5_only)


@pytest.mark.parametrize("do_lower_case", [True, False])
def test_no_word_of_the_input_is_unknown(repo_root, text_file, tmp_path, do_lower_case):
    output = str(tmp_path / "new" / "vocab.txt")
    result = run(
        repo_root,
        "--input_file=" + text_file,
        "--output_file=" + output,
        "--do_lower_case=%s" % do_lower_case,
    )
    assert result.returncode == 0, result.stderr
    assert "%d entries" % len(list(read_lines(output))) in result.stdout
    tokenizer = FullTokenizer(output, do_lower_case)
    for line in TEXT.split("\n"):
        assert "[UNK]" not in tokenizer.tokenize(line)
    assert tokenizer.tokenize("繁體字與简体字") == list("繁體字與简体字")
    assert tokenizer.tokenize("\u0416") == ["[UNK]"]


def test_learned_pieces():
    words = {"low": 5, "lower": 2, "newest": 6, "widest": 3, "最": 50, "été": 50, "x": 50}
    # Worked by hand: (##e ##s) and (##s ##t) both occur 9 times, the former sorts first.
    assert learn_pieces(words, min_count=7) == ["##es", "##est", "##ow", "low"]
    assert {"low", "newest"} < set(learn_pieces(words, 5))
    assert "widest" not in learn_pieces(words, 5)


def test_a_word_becomes_an_entry_exactly_when_it_is_frequent_enough():
    words = {"2020": 4, "000000": 4, "banana": 3, "ananas": 4, "a4": 5, "na": 2}
    learned = learn_pieces(words, min_count=4)
    assert [word for word in words if word in learned] == ["2020", "000000", "ananas", "a4"]
    assert len(learned) == len(set(learned))


def test_order_of_words_and_of_hashes_does_not_matter():
    words = {"lower": 2, "newer": 2, "wider": 2, "low": 2, "号": 1, "線": 1}
    expected = build(words, min_count=2)
    assert build(dict(reversed(list(words.items()))), min_count=2) == expected
    code = "from albert.text.vocabulary import learn_pieces; print(learn_pieces(%r, 2))" % words
    for seed in "01":
        printed = subprocess.check_output(
            [sys.executable, "-c", code],
            env=dict(os.environ, PYTHONHASHSEED=seed),
            cwd=os.path.dirname(os.path.dirname(build_vocab.__file__)),
        )
        assert eval(printed) == learn_pieces(words, 2)


def simple_learn_pieces(words, min_count):
    """What `learn_pieces` says it does, without anything that makes it fast."""
    splits = {word: [word[0]] + ["##" + c for c in word[1:]] for word in words}
    learned = []
    while True:
        counts = {}
        for word, split in splits.items():
            for pair in zip(split, split[1:]):
                counts[pair] = counts.get(pair, 0) + words[word]
        left, right = min(counts, key=lambda p: (-counts[p], p)) if counts else ("", "")
        if counts.get((left, right), 0) < min_count:
            return learned
        joined = left + right[2:]
        learned += [joined] if joined not in learned else []
        for split in splits.values():
            index = 0
            while index + 1 < len(split):
                if split[index : index + 2] == [left, right]:
                    split[index : index + 2] = [joined]
                index += 1


@pytest.mark.parametrize("seed", range(40))
def test_pieces_are_those_of_the_simple_algorithm(seed):
    generator = random.Random(seed)
    alphabet = "ab" if seed % 2 else "abcdefg0"
    words = {
        "".join(generator.choices(alphabet, k=generator.randint(1, 9))): generator.randint(1, 6)
        for _ in range(60)
    }
    min_count = generator.randint(1, 4)
    expected = simple_learn_pieces(words, min_count)
    assert len(expected) > 30
    assert learn_pieces(words, min_count) == expected
    assert learn_pieces(words, min_count, max_pieces=17) == expected[:17]


def test_nothing_is_learned_from_words_that_are_always_unknown():
    assert learn_pieces({"a" * 200: 5}, 5)
    assert learn_pieces({"a" * 201: 5}, 5) == []


def test_vocab_size_leaves_out_pieces_or_adds_unused_entries():
    words = {"gps": 4, "wifi": 3}
    complete = build(words)
    assert set(complete[-5:]) == {"gps", "##ps", "wifi", "##ifi", "##fi"}
    for left_out in range(6):
        size = len(complete) - left_out
        assert build(words, vocab_size=size) == complete[:size]
    padded = build(words, vocab_size=len(complete) + 2)
    assert padded == complete + ["[unused100]", "[unused101]"]
    for size in (len(complete) - 6, 100):
        message = r"--vocab_size is %d; it must be at least %d" % (size, len(complete) - 5)
        with pytest.raises(InputError, match=message):
            build(words, vocab_size=size)


def test_number_of_unused_entries():
    vocab = build({"gps": 4}, num_unused=2, min_count=5)
    assert vocab[:7] == ["[PAD]", "[unused1]", "[unused2]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    assert build({"gps": 4}, num_unused=0, min_count=5)[:2] == ["[PAD]", "[UNK]"]
    padded = build({"gps": 4}, num_unused=2, min_count=5, vocab_size=len(vocab) + 1)
    assert padded == vocab + ["[unused3]"]


def test_reserved_tokens_come_after_the_special_ones_and_once():
    words = {"gps": 4, "wifi": 3}
    reserved = vocabulary.parse_reserved_tokens("<S>,wifi,##ps")
    vocab = build(words, reserved_tokens=reserved)
    assert vocab[103:107] == ["[MASK]", "<S>", "wifi", "##ps"]
    plain = build(words)
    assert vocab[107:] == [t for t in plain[104:] if t not in ("wifi", "##ps")]
    for size in range(len(vocab) - 3, len(vocab) + 1):  # each learned piece still has its turn
        assert build(words, reserved_tokens=reserved, vocab_size=size) == vocab[:size]


@pytest.mark.parametrize(
    "value, message",
    [
        ("a1,,b1", "'' is empty"),
        ("a b", "'a b' is empty or has whitespace"),
        ("ab,cd,ab", "'ab' comes twice"),
        ("[CLS]", "'[CLS]' is an entry anyway"),
        ("[PAD]", "'[PAD]' is an entry anyway"),
        ("[unused7]", "'[unused7]' is an entry anyway"),
        ("。", "'。' is a single character"),
        ("##中", "'##中' is a single character"),
    ],
)
def test_unusable_reserved_tokens(value, message):
    with pytest.raises(InputError, match=re.escape("--reserved_tokens: " + message)):
        vocabulary.parse_reserved_tokens(value)
    assert vocabulary.parse_reserved_tokens(None) == []


def test_frequent_characters_reach_the_share_and_no_fewer_do():
    characters = {"a": 50, "b": 30, "d": 8, "c": 8, "e": 3, "f": 1}
    expected = {0: "", 0.3: "a", 0.5: "a", 0.51: "ab", 0.85: "abc", 0.9: "abcd", 0.995: "abcdef"}
    for coverage, chosen in expected.items():
        assert word_counts.frequent_characters(characters, coverage) == set(chosen)
    assert word_counts.frequent_characters({}, 1.0) == set()

    generator = random.Random(3)
    for _ in range(50):
        characters = {chr(0x4E00 + i): generator.randint(1, 9) for i in range(30)}
        coverage = generator.random()
        needed = coverage * sum(characters.values())
        chosen = word_counts.frequent_characters(characters, coverage)
        counts = [characters[c] for c in chosen]
        assert sum(counts) >= needed > sum(counts) - min(counts)
        left_out = [characters[c] for c in set(characters) - chosen]
        assert min(counts) >= max(left_out, default=0)


def test_character_coverage_and_standard_ideographs():
    words = {"的": 950, "号": 30, "カ": 11, "龘": 5, "¿": 3, "é": 1}
    options = dict(do_lower_case=False)
    everything = set(build(words, **options))
    assert set(words) <= everything
    assert everything - set(build(words, character_coverage=0.99, **options)) == {
        "龘", "##龘", "¿", "é", "##é",
    }  # fmt: skip
    ideographs = vocabulary.standard_ideographs()
    small = build(words, character_coverage=0.95, with_standard_ideographs=False, **options)
    assert ideographs & set(small) == {"的"}
    assert set("Az0!，。") | {"##的"} <= set(small)  # never left out
    whole = set(build(words, with_standard_ideographs=False, **options))
    assert whole & (ideographs | set(words)) == set(words)


def test_the_published_size_is_refused():
    size = vocabulary.PUBLISHED_SIZE
    basis = len(build({}))
    words = {chr(0xAC00 + index): 1 for index in range((size - basis) // 2)}
    if (size - basis) % 2:
        words["ab"] = 3
    with pytest.raises(InputError, match="21128"):
        build(words)
    with pytest.raises(InputError, match="21128"):
        build(dict(words, cd=3), vocab_size=size)
    with pytest.raises(InputError, match="21128"):
        build({}, vocab_size=size)


def test_rare_words_are_dropped_above_the_bound_and_characters_counted_all_the_same():
    generator = random.Random(5)
    lines = []
    for _ in range(300):
        frequent = generator.choices(["gps", "wifi", "号", "，"], k=10)
        lines.append(frequent + ["w%d" % generator.randint(0, 999) for _ in range(5)])
    exact, bounded = WordCounts(), WordCounts(max_words=100)
    most = 0
    for line in lines:
        exact.add(line)
        bounded.add(line)
        most = max(most, len(bounded.words))
    assert len(exact.words) > 500
    assert most <= 100
    for word in ("gps", "wifi", "号", "，"):
        assert bounded.words[word] == exact.words[word]
    assert exact.dropped == 0
    assert bounded.dropped == sum(exact.words.values()) - sum(bounded.words.values()) > 0
    assert bounded.characters() == exact.characters()


def test_single_characters_are_never_dropped():
    counts = WordCounts(max_words=3)
    for _ in range(2):
        counts.add(list("一二三四五六") + ["ab"])
    assert set(counts.words) == set("一二三四五六")
    assert counts.dropped == 2


@pytest.mark.parametrize("coverage", [1.0, 0.97, 0.8])
def test_report_counts_what_the_tokenizer_does(tmp_path, golden, coverage):
    text = os.path.join(golden, "data", "texts", "zh_docs.txt")
    counts = word_counts.count_words([text])
    sections = vocabulary.build_vocab(
        counts, with_standard_ideographs=False, character_coverage=coverage
    )
    report = vocabulary.make_report(sections, counts)
    path = tmp_path / "vocab.txt"
    vocab = vocabulary.token_list(sections)
    path.write_bytes("".join(token + "\n" for token in vocab).encode("utf-8"))

    tokenizer = FullTokenizer(str(path))
    tokens = [token for line in read_lines(text) for token in tokenizer.tokenize(line)]
    assert report["tokens"] == len(tokens)
    assert report["unknown_tokens"] == tokens.count("[UNK]")
    words = itertools.chain.from_iterable(map(tokenizer.basic_tokenizer.tokenize, read_lines(text)))
    characters = "".join(words)
    assert report["characters"] == len(characters)
    left_out = [character for character in characters if character not in tokenizer.vocab]
    assert report["characters_without_entry"] == len(left_out)
    assert report["characters_without_entry_share"] == len(left_out) / len(characters)
    assert len(left_out) <= (1 - coverage) * len(characters)
    assert bool(report["left_out"]) == (coverage < 1)
    too_long = 2  # words of the text, which are unknown with any vocabulary
    assert (report["unknown_tokens"] > too_long) == (coverage < 1)
    for character, count in report["left_out"]:
        assert count == left_out.count(character)
    assert report["total"] == sum(report["entries"].values()) == len(vocab)
    assert report["special_ids"] == {
        "[PAD]": 0, "[UNK]": 100, "[CLS]": 101, "[SEP]": 102, "[MASK]": 103,
    }  # fmt: skip


def test_all_flags_of_the_script_together(repo_root, text_file, tmp_path):
    more = tmp_path / "more.txt"
    more.write_bytes("号\n".encode() * 100 + b"gps\n\xff wifi\n")
    output, report_file = tmp_path / "vocab.txt", tmp_path / "reports" / "report.json"
    result = run(
        repo_root,
        "--input_file=%s,%s" % (text_file, more),
        "--output_file=%s" % output,
        "--report_file=%s" % report_file,
        "--vocab_size=1000",
        "--num_unused=3",
        "--reserved_tokens=<S>,<T>",
        "--nostandard_ideographs",
        "--character_coverage=0.9",
        "--encoding_errors=replace",
        "--max_words=200000",
    )
    assert result.returncode == 0, result.stderr
    vocab = list(read_lines(str(output)))
    assert len(vocab) == 1000
    assert vocab[3:10] == ["[unused3]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "<S>", "<T>"]
    assert {"号", "gps"} < set(vocab)
    assert "教" not in vocab
    report = json.loads(report_file.read_text(encoding="utf-8"))
    assert report["total"] == 1000
    assert report["entries"]["reserved"] == 2
    assert vocab[-1] == "[unused%d]" % (3 + report["entries"]["padding"])
    assert report["special_ids"]["[MASK]"] == 7
    assert 0 < report["characters_without_entry_share"] < 0.1
    assert "[UNK] 4, [CLS] 5" in result.stdout
    assert "left out: " in result.stdout
    assert "have no entry" in result.stdout


@pytest.mark.parametrize("errors, words", [("replace", {"b": 1}), ("ignore", {"b": 1})])
def test_invalid_utf8_can_be_passed_over(tmp_path, errors, words):
    path = tmp_path / "text.txt"
    path.write_bytes(b"\xff b")
    assert word_counts.count_words([str(path)], errors=errors).words == words


@pytest.mark.parametrize(
    "flag, message",
    [
        ("--vocab_size=100", "--vocab_size is 100; it must be at least"),
        ("--vocab_size=21128", "21128"),
        ("--reserved_tokens=a b", "--reserved_tokens: 'a b'"),
    ],
)
def test_bad_flags_are_reported_before_the_text_is_read(repo_root, tmp_path, flag, message):
    source = tmp_path / "bad.txt"
    source.write_bytes(b"\xff\n")
    output = tmp_path / "vocab.txt"
    result = run(repo_root, "--input_file=%s" % source, "--output_file=%s" % output, flag)
    assert result.returncode == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert not output.exists()


@pytest.mark.parametrize(
    "content, message",
    [
        (None, "--input_file: no file matches"),
        (b"\xe4\xb8\xad\n\xe4\xb8", "bad.txt, line 2: invalid UTF-8"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_the_old_file(repo_root, tmp_path, content, message):
    source, output = tmp_path / "bad.txt", tmp_path / "vocab.txt"
    output.write_text("old\n")
    if content is not None:
        source.write_bytes(content)
    result = run(repo_root, "--input_file=%s" % source, "--output_file=%s" % output)
    assert result.returncode == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert output.read_text() == "old\n"


def test_both_files_are_required(repo_root):
    result = run(repo_root, "--min_count=2")
    assert result.returncode != 0
    assert "--input_file" in result.stderr
    assert "--output_file" in result.stderr
