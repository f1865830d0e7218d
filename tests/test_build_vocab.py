"""scripts/build_vocab.py: the layout of a vocabulary and what a tokenizer makes of it."""

import os
import re
import subprocess
import sys

import pytest

from file_utils import InputError, read_lines
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
    assert len(tokens) == len(set(tokens)) != build_vocab.PUBLISHED_SIZE


@pytest.mark.parametrize("do_lower_case", [True, False])
def test_layout(text_file, do_lower_case):
    words = build_vocab.count_words([text_file], do_lower_case)
    vocab = build_vocab.build_vocab(words, min_count=2, do_lower_case=do_lower_case)
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
    ideographs = build_vocab.standard_ideographs()
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
    assert build_vocab.learn_pieces(words, min_count=7) == ["##es", "##est", "##ow", "low"]
    assert {"low", "newest"} < set(build_vocab.learn_pieces(words, 5))
    assert "widest" not in build_vocab.learn_pieces(words, 5)


def test_a_word_becomes_an_entry_exactly_when_it_is_frequent_enough():
    words = {"2020": 4, "000000": 4, "banana": 3, "ananas": 4, "a4": 5, "na": 2}
    learned = build_vocab.learn_pieces(words, min_count=4)
    assert [word for word in words if word in learned] == ["2020", "000000", "ananas", "a4"]
    assert len(learned) == len(set(learned))


def test_order_of_words_and_of_hashes_does_not_matter():
    words = {"lower": 2, "newer": 2, "wider": 2, "low": 2, "号": 1, "線": 1}
    expected = build_vocab.build_vocab(words, min_count=2)
    assert build_vocab.build_vocab(dict(reversed(list(words.items()))), min_count=2) == expected
    code = "from scripts import build_vocab; print(build_vocab.learn_pieces(%r, 2))" % words
    for seed in "01":
        printed = subprocess.check_output(
            [sys.executable, "-c", code],
            env=dict(os.environ, PYTHONHASHSEED=seed),
            cwd=os.path.dirname(os.path.dirname(build_vocab.__file__)),
        )
        assert eval(printed) == build_vocab.learn_pieces(words, 2)


def test_vocab_size():
    words = {"gps": 4, "wifi": 3}
    complete = build_vocab.build_vocab(words)
    assert set(complete[-5:]) == {"gps", "##ps", "wifi", "##ifi", "##fi"}
    assert build_vocab.build_vocab(words, len(complete) - 2) == complete[:-2]
    assert build_vocab.build_vocab(words, len(complete) - 5) == complete[:-5]
    for size in (len(complete) + 1, len(complete) - 6, 100):
        with pytest.raises(InputError, match=r"--vocab_size is %d.*%d" % (size, len(complete))):
            build_vocab.build_vocab(words, size)


def test_the_published_size_is_refused():
    size = build_vocab.PUBLISHED_SIZE
    basis = len(build_vocab.build_vocab({}))
    words = {chr(0xAC00 + index): 1 for index in range((size - basis) // 2)}
    if (size - basis) % 2:
        words["ab"] = 3
    with pytest.raises(InputError, match="21128"):
        build_vocab.build_vocab(words)
    with pytest.raises(InputError, match="21128"):
        build_vocab.build_vocab(dict(words, cd=3), vocab_size=size)


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
