"""Functions of create_pretraining_data.py as a program calls them, against the reference's data."""

import hashlib
import os
import random

import pytest

import create_pretraining_data as door
import tokenization
from albert.basics.storage import read_json
from helpers.golden import DATA, VOCAB, payloads, text_path

SETS = {
    "albert_zh/create_pretraining_data.py": "albert_zh",
    "albert/create_pretraining_data.py": "google",
}
ARGUMENTS = (
    "max_seq_length",
    "dupe_factor",
    "short_seq_prob",
    "masked_lm_prob",
    "max_predictions_per_seq",
)
VOCAB_WORDS = ["[CLS]", "[SEP]", "[MASK]", "今", "天", "##天", "气", "##气", "好", "a", "##b"]


def golden_sets(count):
    """Names of the first sets of each recipe."""
    folder = os.path.join(DATA, "instances")
    found = {recipe: [] for recipe in SETS.values()}
    for name in sorted(os.listdir(folder)):
        if name.endswith(".json"):
            script = read_json(os.path.join(folder, name))["script"]
            if script in SETS:
                found[SETS[script]].append(name)
    return [name for names in found.values() for name in names[:count]]


@pytest.mark.parametrize("name", golden_sets(3))
def test_a_program_makes_the_references_records(name, tmp_path):
    info = read_json(os.path.join(DATA, "instances", name))
    flags = dict(info["flags"])
    spm, lower = flags.pop("spm_model_file", None), flags.pop("do_lower_case", True)
    if info["numpy_seed"] is not None:
        flags["ngram_seed"] = info["numpy_seed"]
    spm = spm and os.path.join(DATA, spm)
    tokenizer = tokenization.FullTokenizer(VOCAB, do_lower_case=lower, spm_model_file=spm)
    rng = random.Random(flags.pop("random_seed", 12345))
    recipe = SETS[info["script"]]
    settings = dict(_defaults(recipe), **flags)
    positional = [settings.pop(key) for key in ARGUMENTS]
    instances = door.create_training_instances(
        [text_path(path) for path in info["inputs"]],
        tokenizer,
        *positional,
        rng,
        recipe=recipe,
        do_lower_case=lower,
        **settings,
    )
    assert all(isinstance(instance, door.TrainingInstance) for instance in instances)
    outputs = [str(tmp_path / ("%d.tfrecord" % index)) for index in range(info["n_output_files"])]
    length, predictions = positional[0], positional[-1]
    if settings.get("do_permutation"):
        predictions *= 2
    door.write_instance_to_example_files(instances, tokenizer, length, predictions, outputs)
    for path, expected in zip(outputs, info["files"]):
        content = b"".join(payloads(path))
        assert hashlib.sha256(content).hexdigest() == expected["sha256_payloads_sorted_keys"]


def _defaults(recipe):
    length, copies = {"albert_zh": (128, 10), "google": (512, 40)}[recipe]
    return {
        "max_seq_length": length,
        "dupe_factor": copies,
        "short_seq_prob": 0.1,
        "masked_lm_prob": 0.15,
        "max_predictions_per_seq": 20,
    }


DOCUMENTS = [
    [["a"], ["好"]],
    [["今", "天", "气"], ["好", "a"], ["a", "##b", "好", "天"]],
]


def test_instances_of_a_document():
    def make(**settings):
        return door.create_instances_from_document(
            DOCUMENTS, 1, 12, 0.0, 0.2, 3, VOCAB_WORDS, random.Random(5), **settings
        )

    (instance,) = make(non_chinese=True)
    length = len(instance.tokens)
    assert length == 9 + 3  # the sentences, [CLS] and two [SEP]
    first = instance.tokens.index("[SEP]") + 1
    assert instance.tokens[0] == "[CLS]" and instance.tokens[-1] == "[SEP]"
    assert instance.segment_ids == [0] * first + [1] * (length - first)
    assert len(instance.masked_lm_positions) == 2  # round(12 * 0.2)
    tokens = list(instance.tokens)
    for place, label in zip(instance.masked_lm_positions, instance.masked_lm_labels):
        tokens[place] = label
    halves = [tokens[1 : first - 1], tokens[first:-1]]
    if instance.is_random_next:
        halves.reverse()
    assert halves[0] + halves[1] == [token for sentence in DOCUMENTS[1] for token in sentence]
    assert make(non_chinese=True) == [instance]
    (marked,) = make()  # 今天 and 天气 are words: their second characters are marked in labels
    assert marked.masked_lm_positions == instance.masked_lm_positions


@pytest.mark.parametrize("whole_words", [False, True])
def test_masked_tokens(whole_words):
    tokens = ["[CLS]", "今", "##天", "气", "[SEP]", "a", "##b", "好", "[SEP]"]
    counts = {"[MASK]": 0, "kept": 0, "other": 0}
    for seed in range(200):
        output, positions, labels = door.create_masked_lm_predictions(
            tokens, 0.25, 20, VOCAB_WORDS, random.Random(seed), do_whole_word_mask=whole_words
        )
        assert len(positions) == 2 and positions == sorted(positions)  # round(9 * 0.25)
        assert labels == [tokens[place] for place in positions]
        assert not {0, 4, 8}.intersection(positions)
        if whole_words:
            assert (1 in positions) == (2 in positions) and (5 in positions) == (6 in positions)
        plain = ["天" if token == "##天" else token for token in tokens]
        for place, token in enumerate(output):
            if place not in positions:
                assert token == plain[place]
            else:
                known = "kept" if token == plain[place] else "other"
                counts[token if token == "[MASK]" else known] += 1
    total = sum(counts.values())
    assert abs(counts["[MASK]"] / total - 0.8) < 0.06
    assert abs(counts["kept"] / total - 0.11) < 0.06


def test_pairs_are_shortened_in_place():
    tokens_a, tokens_b = list("abcdef"), list("gh")
    door.truncate_seq_pair(tokens_a, tokens_b, 4, random.Random(1))
    assert (len(tokens_a), tokens_b) == (2, ["g", "h"])
    assert "".join(tokens_a) in "abcdef"
