"""scripts/train_sentencepiece.py: the trained model and what a tokenizer makes of it."""

import collections
import os
import subprocess
import sys

import pytest
import sentencepiece

from albert.basics.errors import InputError
from albert.basics.storage import read_bytes, read_lines
from albert.text import sentencepiece_training
from tokenization import FullTokenizer, check_special_tokens, preprocess_text

# Facts of Google's published models.
SPECIAL_PIECES = ["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"] + list('()"-.–£€')


def run(repo_root, *arguments):
    script = os.path.join("scripts", "train_sentencepiece.py")
    return subprocess.run(
        [sys.executable, script] + list(arguments), cwd=repo_root, capture_output=True, text=True
    )


@pytest.fixture(scope="module")
def english(golden):
    """The text that the golden model was trained on."""
    return os.path.join(golden, "data", "texts", "spm_train.txt")


@pytest.fixture(scope="module")
def trained(repo_root, english, tmp_path_factory):
    """Prefix of a model that the script trained on a sample of an English text."""
    prefix = str(tmp_path_factory.mktemp("trained") / "new" / "model")
    result = run(repo_root, *english_flags(english, prefix))
    assert result.returncode == 0, result.stderr
    assert "Wrote 300 pieces" in result.stdout
    return prefix


def english_flags(text, prefix, seed=1):
    return [
        "--input_file=" + text,
        "--model_prefix=" + prefix,
        "--vocab_size=300",
        "--character_coverage=0.985",
        "--input_sentence_size=50",
        "--random_seed=%d" % seed,
    ]


def read_both(prefix):
    return read_bytes(prefix + ".model"), read_bytes(prefix + ".vocab")


def test_golden_model(golden, english):
    """The pieces and scores of SentencePiece 0.2.0; 0.2.2 finds other seed pieces."""
    sentences = sentencepiece_training.read_sentences([english])
    model = sentencepiece_training.train(sentences, 500, 0.985, num_threads=1)
    pieces = sentencepiece_training.list_pieces(model)
    expected = sentencepiece_training.list_pieces(
        read_bytes(os.path.join(golden, "data", "spm500.model"))
    )
    assert len(pieces) == len(expected) == 500
    assert pieces[:13] == expected[:13] == [(piece, "0") for piece in SPECIAL_PIECES]
    # Every character of the text that the golden model has, too.
    assert {p for p, _ in pieces if len(p) == 1} == {p for p, _ in expected if len(p) == 1}
    if sentencepiece.__version__ == "0.2.0":
        assert pieces == expected


def test_trained_model_works_with_the_tokenizer(trained, english):
    tokenizer = FullTokenizer(None, spm_model_file=trained + ".model")
    check_special_tokens(tokenizer.vocab, trained, ("[CLS]", "[SEP]", "[MASK]"))
    assert [tokenizer.inv_vocab[index] for index in range(13)] == SPECIAL_PIECES
    assert len(tokenizer.vocab) == 300
    pieces = []
    for text in map(str.lower, filter(None, read_lines(english))):
        tokens = tokenizer.tokenize(preprocess_text(text, lower=True))
        assert "".join(tokens).replace("▁", "") == text.replace(" ", "")
        ids = tokenizer.convert_tokens_to_ids(tokens)
        if 1 not in ids:
            assert tokenizer.convert_ids_to_tokens(ids) == tokens
            pieces += tokens
    assert len(pieces) > 500
    assert {"▁the", "ing", "."} <= set(pieces)
    # Control pieces are never made from text; user-defined ones always stand alone.
    assert 4 not in tokenizer.encode("the [mask]")
    assert tokenizer.tokenize("a(b")[-2:] == ["(", "b"]


def test_vocab_file_lists_the_model(trained):
    model, vocab = read_both(trained)
    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    lines = vocab.decode("utf-8").split("\n")
    assert lines.pop() == ""
    assert [line.split("\t")[0] for line in lines] == [processor.IdToPiece(i) for i in range(300)]
    for index, line in enumerate(lines):
        score = float(line.split("\t")[1])
        assert score == pytest.approx(processor.GetScore(index), rel=1e-5)


def test_equal_input_gives_equal_files_and_the_seed_chooses_the_sample(
    repo_root, english, trained, tmp_path
):
    for seed in (1, 2):
        result = run(repo_root, *english_flags(english, str(tmp_path / "again"), seed))
        assert result.returncode == 0, result.stderr
        assert (read_both(str(tmp_path / "again")) == read_both(trained)) == (seed == 1)


def test_chinese(repo_root, tmp_path):
    text = os.path.join(repo_root, "data", "news_zh_1.txt")
    prefix = str(tmp_path / "chinese")
    flags = ["--input_file=" + text, "--model_prefix=" + prefix, "--vocab_size=2500"]
    result = run(repo_root, "--language=zh", *flags)
    assert result.returncode == 0, result.stderr
    tokenizer = FullTokenizer(None, spm_model_file=prefix + ".model")
    ids = [i for t in read_lines(text) for i in tokenizer.encode(preprocess_text(t, lower=True))]
    assert 0 < ids.count(1) < 0.002 * len(ids)  # characters beyond the coverage of 0.9995
    assert [piece for piece in tokenizer.vocab if len(piece) >= 3 and "\u4e00" < piece < "\u9fff"]


def test_sample_is_uniform_and_in_order():
    for size in (0, 1, 4, 10, 20):
        sample = list(sentencepiece_training.draw_sample(range(10), 10, size, seed=7))
        assert len(sample) == min(size, 10)
        assert sample == sorted(set(sample))
    samples = collections.Counter(
        tuple(sentencepiece_training.draw_sample("abcd", 4, 2, seed)) for seed in range(3000)
    )
    assert len(samples) == 6
    # 500 expected of each; the standard deviation is 20.
    assert all(400 < count < 600 for count in samples.values())


def test_sentences_are_normalized_counted_and_sampled(tmp_path, caplog):
    path = tmp_path / "text.txt"
    path.write_bytes("Ａ  é\n\n \t\n{0}\nb\n{0}b\n".format("x" * 10).encode())
    draw = sentencepiece_training.sample_sentences
    assert list(draw([str(path)], 9, 11, True, "strict", 1)) == [
        "a e",
        "x" * 10,
        "b",
        "x" * 10 + "b",
    ]
    assert next(draw([str(path)], 9, 11, False, "strict", 1)) == "A e"
    assert len(list(draw([str(path)], 2, 11, True, "strict", 1))) == 2
    assert "bytes" not in caplog.text
    assert list(draw([str(path)], 9, 9, True, "strict", 1)) == ["a e", "b"]
    assert "2 of 4 lines have more than 9 bytes" in caplog.text
    with pytest.raises(InputError, match=r"no line to train on.*more than 0 bytes"):
        draw([str(path)], 9, 0, True, "strict", 1)
    path.write_bytes(b"a \xff b\n")
    assert list(draw([str(path)], 9, 9, True, "ignore", 1)) == ["a b"]


@pytest.mark.parametrize(
    "flags, content, message",
    [
        (["--vocab_size=5000"], b"a line of text, and more of it.\n", "--vocab_size is 5000, but"),
        (["--vocab_size=15"], b"a line of text, and more of it.\n", "--vocab_size is 15, but"),
        ([], b"\n \n", "--input_file: no line to train on"),
        ([], b"good\nbad \xe4\xb8\n", "text.txt, line 2: invalid UTF-8"),
        ([], None, "--input_file: no file matches"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_the_old_files(
    repo_root, tmp_path, flags, content, message
):
    if content is not None:
        (tmp_path / "text.txt").write_bytes(content)
    for suffix in ("model", "vocab"):
        (tmp_path / ("old." + suffix)).write_bytes(b"old")
    before = sorted(os.listdir(str(tmp_path)))
    result = run(
        repo_root,
        "--input_file=%s" % (tmp_path / "text.txt"),
        "--model_prefix=%s" % (tmp_path / "old"),
        "--verbosity=-1",
        *flags,
    )
    assert result.returncode == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert read_both(str(tmp_path / "old")) == (b"old", b"old")
    assert sorted(os.listdir(str(tmp_path))) == before


def test_size_that_is_advised_works(english):
    def train(size):
        sentences = sentencepiece_training.read_sentences([english])
        return sentencepiece_training.train(sentences, size, 0.985)

    with pytest.raises(InputError, match=r"is 9000, but this text gives only \d+ pieces") as caught:
        train(9000)
    highest = int(str(caught.value).split("only ")[1].split()[0])
    assert len(sentencepiece_training.list_pieces(train(highest))) == highest
    with pytest.raises(InputError, match="is 197, but .* are 198; raise it"):
        train(197)
    assert len(sentencepiece_training.list_pieces(train(198))) == 198


def test_missing_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "sentencepiece", None)
    with pytest.raises(InputError, match="needs the package sentencepiece"):
        sentencepiece_training.train(iter(["a"]), 20, 1.0)
