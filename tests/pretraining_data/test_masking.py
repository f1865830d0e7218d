"""Masking against the reference's numbers (golden/data/units.json.gz), and its properties."""

import random
from array import array

import numpy as np
import pytest

from albert.pretraining_data import masking
from albert.pretraining_data.masking import MaskingVocabulary, NgramLengths, Text
from albert.pretraining_data.settings import DEFAULTS, make_settings
from albert.text import word_segmentation
from helpers.golden import VOCAB, golden_json
from tokenization import FullTokenizer

SEPARATORS = ("[CLS]", "[SEP]")


@pytest.fixture(scope="module")
def tokenizer():
    return FullTokenizer(VOCAB)


def masking_vocabulary(tokenizer, non_chinese=False):
    return MaskingVocabulary(
        tokenizer.vocab,
        lambda token: token.startswith("##"),
        None if non_chinese else word_segmentation.remove_mark,
    )


def make_text(token_ids, vocabulary):
    return Text(
        array(vocabulary.typecode, token_ids),
        array(vocabulary.typecode, [vocabulary.plain_ids[index] for index in token_ids]),
        bytes(vocabulary.starts[index] for index in token_ids),
    )


def mask(case, tokenizer, rng, **others):
    """Masks a golden sequence: (tokens, positions, labels), separators included."""
    values = {name: case[name] for name in set(case) & set(DEFAULTS["albert_zh"])}
    settings = make_settings()._replace(**dict(values, **others))  # a probability of 0, too
    vocabulary = masking_vocabulary(tokenizer, settings.non_chinese)
    places = [place for place, token in enumerate(case["tokens"]) if token not in SEPARATORS]
    token_ids = tokenizer.convert_tokens_to_ids([case["tokens"][place] for place in places])
    masked_ids, indices, labels = masking.mask_words(
        make_text(token_ids, vocabulary),
        len(case["tokens"]) - len(places),
        vocabulary,
        settings,
        rng,
    )
    tokens = list(case["tokens"])
    for place, token in zip(places, tokenizer.convert_ids_to_tokens(masked_ids)):
        tokens[place] = token
    labels = tokenizer.convert_ids_to_tokens(labels)
    return tokens, [places[index] for index in indices], labels


# Golden numbers


def test_truncation_is_the_references():
    for case in golden_json("units")["truncate"]:
        rng = random.Random(case["seed"])
        first, second = masking.truncate_seq_pair(
            (0, case["len_a"]), (0, case["len_b"]), case["max"], rng
        )
        assert first[1] - first[0] == case["a_len"]
        assert second[1] - second[0] == case["b_len"]
        assert first[0] == first[1] or first[0] == case["a_first"]
        assert second[0] == second[1] or second[0] == case["b_first"]
        assert rng.random() == case["next_random"]


@pytest.mark.parametrize("case", golden_json("units")["masked_lm"])
def test_masking_is_the_references(case, tokenizer):
    rng = masking.Random(case["seed"])
    tokens, positions, labels = mask(case, tokenizer, rng)
    assert tokens == case["out_tokens"]
    assert positions == case["positions"]
    assert labels == case["labels"]
    assert rng.random() == case["next_random"]


@pytest.mark.parametrize("case", golden_json("units")["masked_lm"][:10])
def test_plain_labels_differ_only_in_marks(case, tokenizer):
    rng = masking.Random(case["seed"])
    _, positions, labels = mask(case, tokenizer, rng, mlm_labels="plain", non_chinese=False)
    tokens = [case["tokens"][position] for position in positions]
    assert labels == [word_segmentation.remove_mark(token) for token in tokens]


# The generators


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 5, 31, 32, 33, 127, 128, 129, 1000])
def test_shuffle_is_the_standard_librarys(size):
    for seed in range(5):
        ours, theirs = masking.Random(seed), random.Random(seed)
        values, expected = list(range(size)), list(range(size))
        ours.shuffle(values)
        theirs.shuffle(expected)
        assert values == expected
        assert ours.getstate() == theirs.getstate()


@pytest.mark.parametrize("favor_shorter", [True, False])
@pytest.mark.parametrize("ngram", [1, 2, 3, 5])
def test_ngram_lengths_are_numpys_choice(ngram, favor_shorter):
    weights = np.array([1.0 / n for n in range(1, ngram + 1)])
    weights /= weights.sum()
    if not favor_shorter:
        weights = weights[::-1]
    state = np.random.RandomState(7)
    expected = [state.choice(np.arange(1, ngram + 1), p=weights) for _ in range(500)]
    lengths = NgramLengths(ngram, favor_shorter, 7)
    assert [lengths.draw() for _ in range(500)] == expected


def test_ngram_weights_are_the_papers():
    lengths = NgramLengths(3, True, 1)
    drawn = np.array([lengths.draw() for _ in range(20000)])
    shares = [(drawn == n).mean() for n in (1, 2, 3)]
    np.testing.assert_allclose(shares, [6 / 11, 3 / 11, 2 / 11], atol=0.015)


# Candidates and spans


@pytest.mark.parametrize(
    "starts, whole_words, expected",
    [
        ([1, 0, 0, 1, 1, 0], True, [0, 3, 4, 6]),
        ([0, 0, 1], True, [0, 2, 3]),  # a continuation at the very start
        ([1, 0, 1], False, [0, 1, 2, 3]),
        ([], True, [0]),
    ],
)
def test_candidates_begin_at_words_or_tokens(starts, whole_words, expected):
    zeros = array("H", [0] * len(starts))
    assert Text(zeros, zeros, bytes(starts)).candidates(whole_words) == expected


def random_candidates(rng):
    begins = [0]
    for _ in range(rng.randint(1, 40)):
        begins.append(begins[-1] + rng.choice([1, 1, 1, 2, 3, 6]))
    order = list(range(len(begins) - 1))
    rng.shuffle(order)
    return begins, order


def test_spans_are_neighbouring_candidates_within_the_limit():
    rng = random.Random(3)
    for seed in range(300):
        begins, order = random_candidates(rng)
        limit, ngram = rng.randint(1, 20), rng.randint(1, 4)
        covered = set(range(rng.randint(0, 5)))
        lengths = NgramLengths(ngram, True, seed)
        spans = list(masking.choose_spans(begins, order, limit, lengths, covered))
        tokens = [index for span in spans for index in span]
        assert len(tokens) <= limit
        assert len(set(tokens)) == len(tokens)
        assert covered.isdisjoint(tokens)
        for span in spans:
            words = begins.index(span.stop) - begins.index(span.start)
            assert 1 <= words <= ngram
        # What was passed over does not fit, or is taken.
        if len(tokens) < limit and ngram == 1:
            left = limit - len(tokens)
            for first in order:
                word = range(begins[first], begins[first + 1])
                taken = not (covered | set(tokens)).isdisjoint(word)
                assert taken or len(word) > left


def test_spans_without_lengths_take_candidates_one_by_one():
    assert list(masking.choose_spans([0, 3, 4, 6], [0, 2, 1], 3)) == [range(0, 3)]
    assert list(masking.choose_spans([0, 3, 4, 6], [0, 2, 1], 4)) == [range(0, 3), range(3, 4)]
    assert list(masking.choose_spans([0, 3], [0], 2)) == []


@pytest.mark.parametrize(
    "length, probability, most, expected",
    [(30, 0.15, 20, 4), (10, 0.15, 20, 2), (128, 0.15, 10, 10), (5, 0.01, 20, 1)],
)
def test_limit_rounds_half_to_even(length, probability, most, expected):
    settings = make_settings(masked_lm_prob=probability, max_predictions_per_seq=most)
    assert masking.prediction_limit(length, settings) == expected


def test_permutation_moves_only_the_given_tokens():
    tokens = list(range(100, 110))
    masking.permute(tokens, [1, 4, 5, 9], masking.Random(0))
    assert sorted(tokens) == list(range(100, 110))
    assert {i for i, token in enumerate(tokens) if token != 100 + i} <= {1, 4, 5, 9}
    assert tokens != list(range(100, 110))


def test_separators_are_put_around_both_segments(tokenizer):
    vocabulary = masking_vocabulary(tokenizer)
    ids = array("H", [7, 8, 9])
    for middle, expected in ((1, [1, 3]), (2, [1, 4]), (0, [2, 4]), (3, [1, 3])):
        input_ids, positions = vocabulary.add_separators(ids, [0, 2], middle)
        assert [input_ids[p] for p in positions] == [7, 9]
        assert input_ids.tolist() == [101, *ids[:middle], 102, *ids[middle:], 102]
        assert len(positions) == len(expected)


# Statistics of many masked words


def test_shares_of_masks_on_generated_words(tokenizer):
    vocabulary = masking_vocabulary(tokenizer)
    settings = make_settings(do_whole_word_mask=True, max_predictions_per_seq=100)
    chinese = [i for t, i in tokenizer.vocab.items() if "\u4e00" <= t <= "\u9fa5"]
    marked = [i for t, i in tokenizer.vocab.items() if word_segmentation.is_marked_chinese(t)]
    rng = masking.Random(11)
    kinds = np.zeros(3)
    masked = total = 0
    for _ in range(600):
        ids = [
            index
            for _ in range(80)
            for index in [rng.choice(chinese)] + rng.sample(marked, rng.choice([0, 0, 1, 2]))
        ]
        text = make_text(ids, vocabulary)
        masked_ids, indices, labels = masking.mask_words(text, 3, vocabulary, settings, rng)
        assert labels.tolist() == [ids[index] for index in indices]
        # All tokens of a word, or none.
        begins = text.candidates(True)
        for begin, end in zip(begins, begins[1:]):
            assert len({index in set(indices) for index in range(begin, end)}) == 1
        for index in indices:
            new = masked_ids[index]
            kinds[0 if new == vocabulary.mask_id else 1 if new == text.plain_ids[index] else 2] += 1
        untouched = set(range(len(ids))) - set(indices)
        assert all(masked_ids[index] == text.plain_ids[index] for index in untouched)
        masked += len(indices)
        total += len(ids) + 3
    # About 10,000 masked tokens: the standard error of a share of 0.1 is 0.003.
    np.testing.assert_allclose(kinds / masked, [0.8, 0.1, 0.1], atol=0.012)
    assert abs(masked / total - 0.15) < 0.003
