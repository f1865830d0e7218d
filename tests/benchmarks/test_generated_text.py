"""benchmarks/generated_text.py: no sentence repeats, lengths as stated, same seed same text."""

import itertools
import math
import os
import statistics
import subprocess
import sys

import pytest

from albert.basics.storage import read_bytes
from benchmarks import generated_text

DOCUMENTS = 1500


@pytest.fixture(scope="module")
def dictionary():
    return generated_text.load_dictionary()


@pytest.fixture(scope="module")
def documents(dictionary):
    return list(itertools.islice(generated_text.documents(dictionary, 1), DOCUMENTS))


@pytest.fixture(scope="module")
def sentences(documents):
    return list(itertools.chain.from_iterable(documents))


def test_no_sentence_repeats(sentences):
    assert len(sentences) > 6 * DOCUMENTS
    assert len(set(sentences)) == len(sentences)


def test_lengths_of_sentences(sentences):
    lengths = list(map(len, sentences))
    assert 27.2 < statistics.mean(lengths) < 27.8
    assert abs(statistics.pstdev(map(math.log, lengths)) - 0.144) < 0.01
    assert min(lengths) >= 16
    # A word, at most of 16 characters, can exceed the 44.
    assert max(lengths) <= 60


def test_sentences_of_documents(documents):
    numbers = list(map(len, documents))
    assert set(numbers) == {6, 7, 8}
    assert 6.5 < statistics.mean(numbers) < 6.7


def test_shares_of_characters(sentences):
    text = "".join(sentences)
    digits = sum("0" <= c <= "9" for c in text)
    latin = sum(c.isalpha() and c < "\x7f" for c in text)
    assert 0.02 < digits / len(text) < 0.04
    assert 0.01 < latin / len(text) < 0.02
    assert {sentence[-1] for sentence in sentences} == {"。", "？"}
    commas_per_sentence = text.count("，") / len(sentences)
    assert 1.2 < commas_per_sentence < 1.6


def test_words_have_the_dictionary_s_frequencies():
    dictionary = generated_text.Dictionary(["猫", "大象"], [3, 4])
    drawn = itertools.islice(generated_text.documents(dictionary), 500)
    text = "".join(itertools.chain.from_iterable(drawn))
    assert 2.7 < text.count("猫") / text.count("大象") < 3.3


def test_seed_decides(dictionary, documents):
    def first_sentences(seed):
        first = itertools.islice(generated_text.documents(dictionary, seed), 20)
        return list(itertools.chain.from_iterable(first))

    assert first_sentences(1) == list(itertools.chain.from_iterable(documents[:20]))
    assert set(first_sentences(2)).isdisjoint(first_sentences(1))


def test_text_is_of_whole_documents_and_grows_at_its_end(tmp_path, documents):
    small, large = str(tmp_path / "small.txt"), str(tmp_path / "large.txt")
    generated_text.write_text(small, 20000)
    generated_text.write_text(large, 40000)
    content = read_bytes(small)
    expected = "".join("\n".join(document) + "\n\n" for document in documents)
    assert expected.encode("utf-8").startswith(content)
    assert content.endswith(b"\n\n")
    last = content[:-2].rfind(b"\n\n") + 2
    assert last < 20000 <= len(content)
    assert read_bytes(large).startswith(content)


def test_script(repo_root, tmp_path):
    output = str(tmp_path / "text.txt")
    script = os.path.join("benchmarks", "generated_text.py")
    result = subprocess.run(
        [sys.executable, script, "--megabytes=1", "--output_file=" + output],
        cwd=repo_root,
        capture_output=True,
        text=True,
    )
    assert (result.returncode, result.stdout) == (0, ""), result.stderr
    assert 10**6 <= os.path.getsize(output) < 10**6 + 2000
