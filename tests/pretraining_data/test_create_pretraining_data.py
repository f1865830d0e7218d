"""Pre-training data against what the reference made of the same texts (golden/data)."""

import errno
import glob
import hashlib
import itertools
import os
import random
import subprocess
import sys
from array import array

import numpy as np
import pytest
from absl import flags, logging

import create_pretraining_data
from albert.basics import locks, storage
from albert.basics.errors import InputError
from albert.basics.storage import read_bytes, read_json, sha256
from albert.basics.tf_compat import tf
from albert.pretraining_data import recipe_albert_zh, recipe_google, recipe_roberta, record_encoder
from albert.pretraining_data.corpus import Span, TextCounter, read_corpus, read_documents
from albert.pretraining_data.flags import source_from_flags
from albert.pretraining_data.instances import RECIPES, InstanceMaker, Source
from albert.pretraining_data.settings import (
    ALL_NAMES,
    DEFAULTS,
    MLM_LABELS,
    RecipeSettings,
    make_settings,
)
from albert.pretraining_data.summary import format_summary
from helpers.golden import DATA, VOCAB, features, golden_json, payloads, text_path, write
from tokenization import FullTokenizer

INSTANCE_SETS = sorted(
    os.path.basename(path)[: -len(".json")]
    for path in glob.glob(os.path.join(DATA, "instances", "*.json"))
)
TWO_SENTENCES = "今天天气很好。\n我们去公园散步。\n"


def create(inputs, outputs, vocab=VOCAB, spm=None, **settings):
    source = Source(make_settings(**settings), str(vocab), spm)
    return create_pretraining_data.create_pretraining_data(str(inputs), str(outputs), source)


@pytest.fixture(scope="module")
def tokenizer():
    return FullTokenizer(VOCAB)


class RecordingRandom:
    """Writes down the calls; does not inherit, as that changes how `random.Random` draws."""

    def __init__(self, seed):
        self.calls = []
        self._random = random.Random(seed)

    def shuffle(self, values):
        self.calls.append(["shuffle", len(values)])
        self._random.shuffle(values)

    def random(self):
        self.calls.append(["random", self._random.random()])
        return self.calls[-1][-1]

    def randint(self, low, high):
        self.calls.append(["randint", low, high, self._random.randint(low, high)])
        return self.calls[-1][-1]


# Golden data


RECIPE_OF_SCRIPT = {
    "albert_zh/create_pretraining_data.py": "albert_zh",
    "albert_zh/resources/create_pretraining_data_roberta.py": "roberta",
    "albert/create_pretraining_data.py": "google",
}


def golden_settings(info):
    """SentencePiece model (or None) and settings of a golden file."""
    settings = dict(info["flags"], recipe=RECIPE_OF_SCRIPT[info["script"]])
    spm = settings.pop("spm_model_file", None)
    if info["numpy_seed"] is not None:
        settings["ngram_seed"] = info["numpy_seed"]
    return spm and os.path.join(DATA, spm), settings


def test_golden_sets_are_there():
    assert len(INSTANCE_SETS) == 28


@pytest.mark.parametrize("name", INSTANCE_SETS)
def test_records_are_the_references(name, tmp_path):
    stem = os.path.join(DATA, "instances", name)
    info = read_json(stem + ".json")
    outputs = [str(tmp_path / ("%d.tfrecord" % i)) for i in range(info["n_output_files"])]
    spm, settings = golden_settings(info)
    create(",".join(map(text_path, info["inputs"])), ",".join(outputs), spm=spm, **settings)

    records = [payloads(path) for path in outputs]
    parsed = [features(payload) for file in records for payload in file]
    with np.load(stem + ".npz") as expected:
        assert [len(file) for file in records] == expected["records_per_file"].tolist()
        for key in set(expected.files) - {"records_per_file"}:
            np.testing.assert_array_equal([record[key] for record in parsed], expected[key])
    for path, file, expected in zip(outputs, records, info["files"]):
        assert hashlib.sha256(b"".join(file)).hexdigest() == expected["sha256_payloads_sorted_keys"]
        assert sha256(path) == expected["sha256_tfrecord_file_sorted_keys"]


TRACES = golden_json("rng_traces")["traces"] + golden_json("rng_traces_google")["traces"]


@pytest.mark.parametrize("trace", TRACES)
def test_random_calls_are_the_references(trace):
    recipe = RECIPE_OF_SCRIPT.get(trace.get("script"), "albert_zh")
    known = set(DEFAULTS[recipe])
    settings = make_settings(recipe, **{key: trace[key] for key in known & set(trace)})
    spm = trace.get("spm_model_file")
    tokenizer = FullTokenizer(VOCAB, True, spm and os.path.join(DATA, spm))
    recipe = RECIPES[recipe].Recipe(tokenizer, settings)
    spans = [Span(text_path(trace["input"]))]
    read = list(read_documents(spans, recipe.clean_line, tokenizer.tokenize))
    assert read == trace["documents_before_shuffle"]

    rng = RecordingRandom(settings.random_seed)
    corpus = read_corpus(spans, recipe, TextCounter(tokenizer))
    instances = list(recipe.create_instances(corpus, rng, trace.get("numpy_seed")))
    rng.shuffle(instances)
    assert rng.calls == [call for call in trace["calls"] if call[0] != "np_choice"]
    assert len(instances) == len(trace["instances"])
    for instance, expected in zip(instances, trace["instances"]):
        tokens = tokenizer.convert_ids_to_tokens(instance.input_ids)
        labels = tokenizer.convert_ids_to_tokens(instance.masked_lm_ids)
        assert tokens == expected["tokens"]
        assert instance.first_segment_length == expected["segment_ids"].count(0)
        assert instance.next_sentence_label == expected["is_random_next"]
        assert instance.masked_lm_positions.tolist() == expected["masked_lm_positions"]
        assert labels == expected["masked_lm_labels"]
        if spm:
            assert list(instance.token_boundary) == expected["token_boundary"]


@pytest.mark.parametrize("names", sorted(golden_json("rng_traces")["documents"]))
def test_documents_are_the_references(names, tokenizer):
    expected = golden_json("rng_traces")["documents"][names]
    spans = [Span(text_path(name)) for name in names.split("+")]
    documents = list(read_documents(spans, str.strip, tokenizer.tokenize))
    if isinstance(expected[0][0], int):
        documents = [[len(sentence) for sentence in document] for document in documents]
    assert documents == expected


# Properties


def test_plain_labels_leave_inputs_as_they_are(tmp_path):
    ids = {}
    for kind in MLM_LABELS:
        output = tmp_path / kind
        create(text_path("zh_tiny.txt"), output, mlm_labels=kind, masked_lm_prob=1.0)
        records = [features(payload) for payload in payloads(output)]
        ids[kind] = [list(record.pop("masked_lm_ids")) for record in records]
        ids[kind + " rest"] = records
    assert ids["plain rest"] == ids["reference rest"]
    assert ids["plain"] != ids["reference"]


def test_chunks_have_two_sentences_and_lose_only_a_last_one():
    chunks = recipe_albert_zh.split_into_chunks
    assert list(chunks([0, 200, 210, 220], 125)) == [(0, 2)]
    assert list(chunks([200, 210, 220], 125)) == [(0, 2)]
    assert list(chunks([0, 5, 10, 15, 20], 10)) == [(0, 2), (2, 4)]
    assert list(chunks([200, 210], 125)) == []
    assert list(chunks([], 125)) == []


def test_packs_hold_whole_sentences():
    pack = recipe_roberta.pack_sentences
    sentences = [[0] * 4, [1] * 5, [2] * 10, [3] * 9, [4] * 5]
    # The third is too long; the last is no more than half of a pack.
    assert list(pack(sentences, 10)) == [sentences[0] + sentences[1], sentences[3]]
    assert list(pack(sentences[:1] + [[5] * 2], 10)) == [[0] * 4 + [5] * 2]
    assert list(pack([], 10)) == []


@pytest.mark.parametrize(
    "piece, continues",
    [
        ("ing", True),
        ("s,", True),
        ("--", True),
        ("x", True),
        ("\u2581the", False),
        ("<unk>", False),
        (",", False),
        ("'s", False),
        ("1", False),
        ("\u20ac", False),
        ("caf\u00e9", False),
    ],
)
def test_pieces_that_continue_a_word(piece, continues):
    assert recipe_google.is_continuation_piece(piece) is continues


def test_description_has_settings_and_counts(tmp_path):
    text = write(tmp_path / "text", TWO_SENTENCES + "\n孤零零的一句。\n")
    outputs = [str(tmp_path / "a"), str(tmp_path / "b")]
    counts = create(text, ",".join(outputs), dupe_factor=3, random_seed=1, masked_lm_prob=0.5)

    parsed = [features(payload) for path in outputs for payload in payloads(path)]
    tokenizer = FullTokenizer(VOCAB)
    labels = [
        tokenizer.inv_vocab[index]
        for record in parsed
        for index, weight in zip(record["masked_lm_ids"], record["masked_lm_weights"])
        if weight
    ]
    marked = sum(label.startswith("##") for label in labels)
    assert marked > 0
    empty_histogram = {"%d-%d" % (16 * i + 1, 16 * i + 16): 0 for i in range(8)}
    assert counts == {
        "documents": 2,
        "single_sentence_documents": 1,
        "empty_documents": 0,
        "lost_documents": 1,
        "lost_documents_share": 0.5,
        "sentences": 3,
        "long_sentences": 0,
        "lines_without_tokens": 0,
        "invalid_lines": 0,
        "dropped_characters": 0,
        "tokens": 7 + 8 + 7,
        "lost_tokens": 7,
        "lost_tokens_share": 7 / 22,
        "unknown_tokens": 0,
        "instances": 3,
        "instance_tokens": 3 * (3 + 7 + 8),
        "masked_tokens": len(labels),
        "mask_tokens": sum(list(record["input_ids"]).count(103) for record in parsed),
        "marked_labels": marked,
        "swapped_instances": sum(record["next_sentence_labels"][0] for record in parsed),
        "length_histogram": dict(empty_histogram, **{"17-32": 3}),
        "unknown_characters": {},
    }
    for path, records in zip(outputs, (2, 1)):
        description = read_json(path + ".json")
        assert description["records"] == len(payloads(path)) == records
        assert description["counts"] == counts
        assert description["mlm_labels"] == "reference"
        assert description["vocab_sha256"] == sha256(VOCAB)
        assert description["vocab_size"] == len(tokenizer.vocab)
        assert make_settings(**description["settings"]) == make_settings(
            dupe_factor=3, random_seed=1, masked_lm_prob=0.5
        )
    summary = format_summary(counts)
    assert "of one sentence: 1 (50.00%)" in summary
    assert "to predict: %d (%.2f%%)" % (len(labels), 100 * len(labels) / 54) in summary
    assert "17-32         3 ####" in summary


def test_unknown_tokens_are_counted(tmp_path):
    text = write(tmp_path / "text", "\U0001f600\n好\U0001f600\n")
    counts = create(text, tmp_path / "out")
    assert (counts["tokens"], counts["unknown_tokens"]) == (3, 2)
    assert counts["unknown_characters"] == {"\U0001f600": 2}
    summary = format_summary(counts)
    assert "unknown: 2 (66.67%)" in summary
    assert "\U0001f600 (U+1F600) 2" in summary


@pytest.fixture
def warnings(monkeypatch):
    """Sentences of the warnings."""
    found = []
    monkeypatch.setattr(logging, "warning", lambda message, *args: found.append(message % args))
    return found


def distinct_tokens(tokenizer):
    """Iterator of Chinese characters, each with a token of its own."""
    characters = map(chr, range(0x4E00, 0x9FA0))
    return (character for character in characters if character in tokenizer.vocab)


def held_ids(path):
    """Ids of the text in the records, what is masked among them."""
    ids = set()
    for payload in payloads(path):
        record = features(payload)
        seen = dict(enumerate(record["input_ids"]))
        lists = (record["masked_lm_" + name] for name in ("positions", "ids", "weights"))
        seen.update((position, label) for position, label, weight in zip(*lists) if weight)
        ids.update(value for at, value in seen.items() if record["input_mask"][at])
    return ids - {101, 102}


@pytest.mark.parametrize("recipe", ["albert_zh", "google", "roberta"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_tokens_that_no_instance_holds_are_counted_exactly(recipe, seed, tmp_path, tokenizer):
    rng = random.Random(seed)
    characters = distinct_tokens(tokenizer)
    documents = [[rng.randint(1, 60) for _ in range(rng.randint(1, 6))] for _ in range(20)]
    content = "\n\n".join(
        "\n".join("".join(itertools.islice(characters, length)) for length in document)
        for document in documents
    )
    path, output = write(tmp_path / "text", content), tmp_path / "out"
    labels = {} if recipe == "google" else {"mlm_labels": "plain"}
    settings = dict(recipe=recipe, max_seq_length=32, dupe_factor=1, random_seed=seed, **labels)
    counts = create(path, output, **settings)
    held = held_ids(output)
    assert counts["tokens"] == sum(map(sum, documents))
    assert counts["lost_tokens"] == counts["tokens"] - len(held) > 0
    assert counts["lost_tokens_share"] == counts["lost_tokens"] / counts["tokens"]
    lost = [not held.intersection(tokenizer.encode(part)) for part in content.split("\n\n")]
    assert counts["lost_documents"] == sum(lost)
    most = 29  # of albert_zh all that fit; roberta leaves a line of 30 out, though it fits
    assert counts["long_sentences"] == sum(length > most for part in documents for length in part)
    assert read_json(str(output) + ".json")["counts"] == counts


def test_what_is_lost_is_the_mean_of_the_passes(tmp_path):
    content = "\n".join("今天天气很好" * (1 + n % 7) for n in range(40))
    path = write(tmp_path / "text", content)
    counts = create(path, tmp_path / "out", max_seq_length=32, dupe_factor=4, non_chinese=True)
    in_text = counts["instance_tokens"] - 3 * counts["instances"]
    assert counts["lost_tokens"] == counts["tokens"] - in_text / 4


def test_a_line_longer_than_an_instance_is_reported(tmp_path, warnings):
    path = write(tmp_path / "text", "今天天气很好" * 100 + "\n我们\n\n公园\n")
    counts = create(path, tmp_path / "out", max_seq_length=32)
    (sentence,) = warnings
    assert sentence.startswith("95.20% of the tokens are in no instance of a pass")
    assert "(575 of 604)" in sentence
    assert "longer than an instance of --max_seq_length=32: 1; documents of a single line: 1;" in (
        sentence
    )
    summary = format_summary(counts)
    assert "  in no instance of a pass: 575 (95.20%)" in summary
    assert "  longer than an instance: 1 (33.33%)" in summary
    assert "  in no instance: 1 (50.00%)" in summary


def test_a_text_that_fits_is_not_warned_about(tmp_path, warnings):
    counts = create(write(tmp_path / "text", TWO_SENTENCES), tmp_path / "out")
    assert (counts["lost_tokens"], counts["lost_documents"], warnings) == (0, 0, [])
    assert "left out" not in format_summary(counts)


def test_what_has_no_token_is_counted(tmp_path):
    content = "今天\u200b天气\ufffd很好。\n\x07\n我们去\u3000公园。\n\n\u200b\u200b\n\n\n"
    (tmp_path / "text").write_bytes(content.encode() + "\n好\n好".encode() + b"\xff\n")
    source = Source(make_settings(), VOCAB, encoding_errors="ignore")
    counts = create_pretraining_data.create_pretraining_data(
        str(tmp_path / "text"), str(tmp_path / "out"), source
    )
    assert (counts["documents"], counts["empty_documents"]) == (2, 1)
    assert (counts["lines_without_tokens"], counts["invalid_lines"]) == (2, 1)
    assert counts["dropped_characters"] == 5
    summary = format_summary(counts)
    assert "documents without a token, left out: 1\n" in summary
    assert "lines with bytes that are not UTF-8, changed by --encoding_errors: 1\n" in summary


def test_a_text_of_long_lines_alone_is_an_error_that_says_so(tmp_path):
    path = write(tmp_path / "text", "\n".join(["今天天气很好" * 20] * 3))
    with pytest.raises(InputError, match="with 3 sentences, 3 of them longer than an instance;"):
        create(path, tmp_path / "out", recipe="roberta", max_seq_length=64)


def random_instance(rng, max_seq_length, max_predictions, boundary):
    length = rng.randint(3, max_seq_length)
    number = rng.randint(0, min(length, max_predictions))
    ids = [rng.choice([0, 1, 127, 128, 16383, 16384, 65535]) for _ in range(length + number)]
    return record_encoder.Instance(
        array("H", ids[:length]),
        rng.randint(2, length),
        array("H", sorted(rng.sample(range(length), number))),
        array("H", ids[length:]),
        rng.randint(0, 1),
        bytes(rng.randint(0, 1) for _ in range(length)) if boundary else None,
    )


@pytest.mark.parametrize("boundary", [False, True])
@pytest.mark.parametrize("max_seq_length, max_predictions", [(5, 1), (64, 20), (512, 102)])
def test_encoded_records_are_what_protocol_buffers_write(max_seq_length, max_predictions, boundary):
    encoder = record_encoder.RecordEncoder(max_seq_length, max_predictions)
    rng = random.Random(max_seq_length)
    for _ in range(50):
        instance = random_instance(rng, max_seq_length, max_predictions, boundary)
        length, first = len(instance.input_ids), instance.first_segment_length
        predictions = len(instance.masked_lm_ids)
        values = {
            "input_ids": (instance.input_ids, max_seq_length),
            "input_mask": ([1] * length, max_seq_length),
            "segment_ids": ([0] * first + [1] * (length - first), max_seq_length),
            "masked_lm_positions": (instance.masked_lm_positions, max_predictions),
            "masked_lm_ids": (instance.masked_lm_ids, max_predictions),
            "masked_lm_weights": ([1.0] * predictions, max_predictions),
            "next_sentence_labels": ([instance.next_sentence_label], 1),
        }
        if boundary:
            values["token_boundary"] = (instance.token_boundary, max_seq_length)
        example = tf.train.Example()
        for name, (given, size) in values.items():
            feature = example.features.feature[name]
            kind = feature.float_list if name == "masked_lm_weights" else feature.int64_list
            kind.value.extend(list(given) + [0] * (size - len(given)))
        assert encoder.encode(instance) == example.SerializeToString(deterministic=True)


@pytest.mark.parametrize(
    "content, warned",
    [("a\rb\n", True), ("a\r\nb\r", False), ("a\r\r\nb\n", False), ("a\r\rb", True)],
)
def test_lone_carriage_returns_are_reported(content, warned, tmp_path, monkeypatch):
    warnings = []
    monkeypatch.setattr(storage.logging, "warning", lambda *args: warnings.append(args))
    path = str(write(tmp_path / "text", content))
    list(storage.read_lines(path))
    assert [path in warning for warning in warnings] == [True] * warned


# Flags and the script


def parse_flags(*arguments):
    flag_values = flags.FlagValues()
    create_pretraining_data.define_flags(flag_values)
    flag_values(["script", "--input_file=a", "--output_file=b", "--vocab_file=c", *arguments])
    return flag_values


@pytest.mark.parametrize("recipe", sorted(DEFAULTS))
def test_flags_have_the_recipes_defaults(recipe):
    source = source_from_flags(parse_flags("--recipe=" + recipe))
    assert source == Source(make_settings(recipe), "c")


def test_settings_are_those_of_the_table():
    assert sorted(RecipeSettings._fields) == sorted(["recipe", *ALL_NAMES])
    for recipe, defaults in DEFAULTS.items():
        settings = make_settings(recipe)
        assert settings.as_dict() == dict(defaults, recipe=recipe)
        left_out = set(ALL_NAMES) - set(defaults)
        unset = RecipeSettings._field_defaults
        assert {name: getattr(settings, name) for name in left_out} == {
            name: unset[name] for name in left_out
        }


@pytest.mark.parametrize(
    "recipe, name, good, bad, expected",
    [
        ("roberta", "mlm_labels", ["plain"], ["##"], "one of reference, plain"),
        ("albert_zh", "segmenter", ["jieba"], ["x"], "one of auto, jieba, rjieba"),
        ("google", "max_seq_length", [5, 65535], [4, 65536], "from 5 to 65535"),
        ("google", "max_predictions_per_seq", [1], [0], "at least 1"),
        ("google", "short_seq_prob", [0, 1.0], [-0.1, 1.1], "from 0 to 1"),
        ("roberta", "dupe_factor", [1], [0], "at least 1"),
        ("albert_zh", "ngram", [1], [0], "at least 1"),
        ("google", "ngram_seed", [0, 2**32 - 1], [-1, 2**32], r"from 0 to 2\*\*32 - 1"),
        ("google", "masked_lm_prob", [0.0, 1.0], [-0.1, 1.1], "from 0 to 1"),
        ("albert_zh", "masked_lm_prob", [1e-9], [0.0, -1, 1.1], "more than 0 and at most 1"),
        ("roberta", "masked_lm_prob", [1], [0, 2, float("nan")], "more than 0 and at most 1"),
        ("albert_zh", "random_seed", [-5, 2**40], [], ""),
    ],
)
def test_each_setting_has_its_limits(recipe, name, good, bad, expected):
    for value in good:
        assert getattr(make_settings(recipe, **{name: value}), name) == value
    for value in bad:
        message = "^--%s is %s; expected %s\\.$" % (name, value, expected)
        with pytest.raises(InputError, match=message):
            make_settings(recipe, **{name: value})


def test_flags_become_settings():
    arguments = ["--ngram=2", "--dupe_factor=3", "--nodo_lower_case", "--masked_lm_prob=0.5"]
    source = source_from_flags(parse_flags(*arguments))
    assert source.settings == make_settings(
        ngram=2, dupe_factor=3, do_lower_case=False, masked_lm_prob=0.5
    )


@pytest.mark.parametrize("argument", ["--recipe=bert", "--mlm_labels=x", "--dupe_factor=two"])
def test_unknown_choices_are_errors(argument):
    with pytest.raises(flags.Error, match=argument[2:8]):
        parse_flags(argument)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (
            ["--recipe=albert_zh", "--do_permutation"],
            "--do_permutation does not belong to --recipe=albert_zh; .* google",
        ),
        (["--recipe=google", "--non_chinese"], "--non_chinese does not belong to --recipe=google"),
        (["--recipe=google", "--segmenter=auto"], "it is a flag of albert_zh and roberta"),
        (["--recipe=roberta", "--ngram=2"], "--ngram does not belong to --recipe=roberta"),
        (
            ["--recipe=albert_zh", "--input_file_mode=rb"],
            "--input_file_mode belongs to --recipe=google",
        ),
        (
            ["--recipe=google", "--input_file_mode=rb", "--encoding_errors=strict"],
            "say the same",
        ),
    ],
)
def test_flags_of_another_recipe_are_errors(arguments, message):
    with pytest.raises(InputError, match=message):
        source_from_flags(parse_flags(*arguments))


@pytest.mark.parametrize(
    "flag",
    ["spm_model_file=m", "random_next_sentence=false", "do_permutation", "input_file_mode=r"],
)
def test_a_flag_that_one_recipe_has_tells_the_recipe(flag, warnings):
    source = source_from_flags(parse_flags("--" + flag, "--ngram=3", "--dupe_factor=10"))
    assert (source.settings.recipe, source.settings.ngram) == ("google", 3)
    name = flag.split("=")[0]
    assert warnings == ["--recipe is not given: it is google, the only one that has --%s." % name]


def test_a_flag_of_several_recipes_does_not_tell_the_recipe(warnings):
    assert source_from_flags(parse_flags("--ngram=3")).settings.recipe == "albert_zh"
    (sentence,) = warnings
    assert "google has --ngram, too; pass --recipe=google" in sentence
    assert source_from_flags(parse_flags("--recipe=albert_zh", "--ngram=3")).settings.ngram == 3
    assert len(warnings) == 1


def test_googles_rb_mode_ignores_invalid_utf8():
    arguments = ["--recipe=google", "--input_file_mode=rb"]
    source = source_from_flags(parse_flags(*arguments))
    assert source.encoding_errors == "ignore"


def test_a_vocabulary_is_needed(tmp_path):
    with pytest.raises(InputError, match="--vocab_file is required"):
        create(text_path("zh_tiny.txt"), tmp_path / "out", vocab="")
    with pytest.raises(InputError, match="--spm_model_file belongs to --recipe=google"):
        create(text_path("zh_tiny.txt"), tmp_path / "out", spm="model")


@pytest.mark.slow
def test_script_has_the_published_settings(tmp_path, repo_root):
    output = str(tmp_path / "out.tfrecord")
    script = os.path.join(repo_root, "scripts", "create_pretrain_data.sh")
    environment = dict(os.environ, PYTHON=sys.executable, TF_CPP_MIN_LOG_LEVEL="2")
    done = subprocess.run(
        ["bash", script, text_path("zh_tiny.txt"), output, VOCAB],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "instances: 20" in done.stdout
    assert "prefix dict" not in done.stderr  # jieba's messages
    settings = make_settings(**read_json(output + ".json")["settings"])
    assert settings == make_settings(
        do_whole_word_mask=True,
        max_seq_length=512,
        max_predictions_per_seq=51,
        masked_lm_prob=0.1,
    )
    create(text_path("zh_tiny.txt"), tmp_path / "again", **settings.as_dict())
    assert sha256(output) == sha256(str(tmp_path / "again"))


# Failures


@pytest.mark.parametrize(
    "name, value",
    [
        ("recipe", "bert"),
        ("mlm_labels", "x"),
        ("max_seq_length", 4),
        ("max_predictions_per_seq", 0),
        ("masked_lm_prob", 0.0),
        ("masked_lm_prob", 1.5),
        ("masked_lm_prob", float("nan")),
        ("short_seq_prob", -0.1),
        ("short_seq_prob", 1.1),
        ("dupe_factor", 0),
    ],
)
def test_values_out_of_range_are_errors(name, value, tmp_path):
    with pytest.raises(InputError, match="--%s is %s; expected" % (name, value)):
        create(text_path("zh_tiny.txt"), tmp_path / "out", **{name: value})
    assert os.listdir(str(tmp_path)) == []


def test_smallest_length_works(tmp_path):
    create(text_path("zh_tiny.txt"), tmp_path / "out", max_seq_length=5, short_seq_prob=1.0)
    assert {len(features(record)["input_ids"]) for record in payloads(tmp_path / "out")} == {5}


@pytest.mark.parametrize("name", ["absent.txt", "absent-*.txt", "absent/*.txt", ""])
def test_input_that_matches_nothing_is_an_error(name, tmp_path):
    pattern = text_path("zh_tiny.txt") + "," + name
    with pytest.raises(
        InputError, match=r"--input_file: no file matches '%s'" % name.replace("*", ".")
    ):
        create(pattern, tmp_path / "out")
    assert os.listdir(str(tmp_path)) == []


def test_invalid_utf8_names_file_and_line(tmp_path):
    with pytest.raises(InputError, match=r"zh_invalid_utf8\.txt, line 2: invalid UTF-8"):
        create(text_path("zh_tiny.txt") + "," + text_path("zh_invalid_utf8.txt"), tmp_path / "out")
    assert os.listdir(str(tmp_path)) == []


def test_outputs_are_checked_before_the_work(tmp_path, monkeypatch):
    def no_work(*_):
        raise AssertionError("text was read")

    monkeypatch.setattr(InstanceMaker, "make", no_work)
    text = str(write(tmp_path / "text", TWO_SENTENCES))
    out = str(tmp_path / "out")
    for outputs, message in [
        (str(tmp_path / "absent" / "out"), "absent' of .* is missing"),
        (str(tmp_path), "is not the name of a file"),
        (out + ",", "'' is not the name of a file"),
        (text, "is an input"),
        (out + "," + out, "is named twice"),
    ]:
        with pytest.raises(InputError, match=message):
            create(text, outputs)
    assert os.listdir(str(tmp_path)) == ["text"]


def test_one_process_at_a_time_writes_an_output(tmp_path):
    """Others may write beside it, and in a folder with the signs of patterns."""
    folder = tmp_path / "out[1], new"
    folder.mkdir()
    text = write(folder / "text", TWO_SENTENCES)
    with locks.only_writer_of_file(str(folder / "b")):
        before = os.listdir(str(folder))
        with pytest.raises(
            InputError, match=r"--output_file: '.*b' is in use: process %d " % os.getpid()
        ):
            create(text, "%s,%s" % (folder / "a", folder / "b"))
        assert os.listdir(str(folder)) == before
        create(text, folder / "a")
    assert sorted(os.listdir(str(folder))) == ["a", "a.json", "text"]


@pytest.mark.parametrize("content", ["", "\n\n", "一句。\n\n又一句。\n", "\u200b\n一句。"])
def test_text_without_two_sentences_in_a_document_is_an_error(content, tmp_path):
    text = write(tmp_path / "text", content)
    with pytest.raises(InputError, match="at least one document must have two sentences"):
        create(text, tmp_path / "out")
    assert os.listdir(str(tmp_path)) == ["text"]


def test_vocabulary_without_special_tokens_is_an_error(tmp_path):
    vocab = write(tmp_path / "vocab", "[UNK]\n[CLS]\n[SEP]\n一\n")
    with pytest.raises(InputError, match=r"\[MASK\] not found"):
        create(text_path("zh_tiny.txt"), tmp_path / "out", vocab)


def test_unfinished_files_are_never_under_their_final_name(tmp_path):
    paths = [str(tmp_path / "a"), str(tmp_path / "b")]
    write(tmp_path / "a", "old")
    with pytest.raises(KeyboardInterrupt), record_encoder.record_writers(paths) as writers:
        writers[0].write(b"new")
        writers[0].flush()
        assert read_bytes(paths[0]) == b"old" and not os.path.exists(paths[1])
        raise KeyboardInterrupt
    assert os.listdir(str(tmp_path)) == ["a"]
    assert read_bytes(paths[0]) == b"old"

    instance = random_instance(random.Random(0), 8, 2, False)
    encoder = record_encoder.RecordEncoder(8, 2)
    with record_encoder.record_writers(paths) as writers:
        counts = record_encoder.write_instances([instance] * 4, encoder, writers, first=1)
    assert counts == [2, 2]
    with record_encoder.record_writers(paths, "gzip") as writers:
        counts = record_encoder.write_instances([instance] * 3, encoder, writers, first=1)
    assert counts == [1, 2]
    assert [payloads(path) for path in paths] == [[encoder.encode(instance)] * n for n in counts]
    assert sorted(os.listdir(str(tmp_path))) == ["a", "b"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_full_disk_is_reported(number, tmp_path):
    message = "a, .*b: cannot be written .%s" % os.strerror(number)
    paths = [str(tmp_path / "a"), str(tmp_path / "b")]
    with pytest.raises(InputError, match=message), record_encoder.record_writers(paths):
        raise OSError(number, os.strerror(number))
    paths = [str(tmp_path / "absent" / "a")]
    message = "absent/a: cannot be written"
    with pytest.raises(InputError, match=message), record_encoder.record_writers(paths):
        pass
    assert os.listdir(str(tmp_path)) == []


def test_encoding_errors_can_be_dropped_or_replaced(tmp_path):
    content = "今天天气很好。\n我们".encode() + b"\xff" + "去公园散步。\n".encode()
    (tmp_path / "text").write_bytes(content)
    records = []
    for errors in ("replace", "ignore"):
        source = Source(make_settings(random_seed=4), VOCAB, encoding_errors=errors)
        create_pretraining_data.create_pretraining_data(
            str(tmp_path / "text"), str(tmp_path / errors), source
        )
        records.append(payloads(tmp_path / errors))
    (tmp_path / "text").write_bytes(content.replace(b"\xff", b""))
    create(tmp_path / "text", tmp_path / "clean", random_seed=4)
    # U+FFFD is dropped by the tokenizer, so both give the text without the bad byte.
    assert records[0] == records[1] == payloads(tmp_path / "clean")


def test_files_can_be_kept_apart(tmp_path):
    paths = [write(tmp_path / str(n), "今天天气很好。\n我们去公园。") for n in (1, 2)]
    inputs = ",".join(map(str, paths))
    assert create(inputs, tmp_path / "joined")["documents"] == 1
    source = Source(make_settings(), VOCAB, separate_files=True)
    summary = create_pretraining_data.create_pretraining_data(
        inputs, str(tmp_path / "apart"), source
    )
    assert summary["documents"] == 2


# Chinese n-grams


def test_ngrams_of_chinese_words_mask_neighbours(tmp_path):
    shares = {}
    for ngram in (1, 3):
        create(
            text_path("zh_docs.txt"),
            tmp_path / str(ngram),
            do_whole_word_mask=True,
            ngram=ngram,
            dupe_factor=5,
        )
        records = [features(payload) for payload in payloads(tmp_path / str(ngram))]
        neighbours = total = 0
        for record in records:
            number = int(sum(record["masked_lm_weights"]))
            positions = list(record["masked_lm_positions"])[:number]
            labels = dict(zip(positions, record["masked_lm_ids"]))
            assert number <= max(1, round(0.15 * sum(record["input_mask"])))
            neighbours += sum(position + 1 in labels for position in positions)
            total += number
            assert {101, 102}.isdisjoint(labels.values())
        shares[ngram] = neighbours / total
    assert shares[3] > shares[1] + 0.1


def test_ngram_one_is_the_references_masking(tmp_path):
    create(text_path("zh_tiny.txt"), tmp_path / "a", do_whole_word_mask=True)
    create(text_path("zh_tiny.txt"), tmp_path / "b", do_whole_word_mask=True, ngram=1)
    create(text_path("zh_tiny.txt"), tmp_path / "c", do_whole_word_mask=True, ngram=2)
    assert sha256(str(tmp_path / "a")) == sha256(str(tmp_path / "b"))
    assert sha256(str(tmp_path / "a")) != sha256(str(tmp_path / "c"))


def test_swaps_are_half(tmp_path):
    summary = create(text_path("zh_docs.txt"), tmp_path / "out", dupe_factor=40, max_seq_length=64)
    assert summary["instances"] > 2000
    # Three standard errors of a share of one half.
    assert abs(summary["swapped_instances"] / summary["instances"] - 0.5) < 0.035


def test_imports_do_nothing(repo_root):
    code = (
        "import sys, create_pretraining_data; from absl import flags; "
        "assert 'jieba' not in sys.modules; assert 'vocab_file' not in flags.FLAGS"
    )
    environment = dict(os.environ, TF_CPP_MIN_LOG_LEVEL="2")
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=repo_root, env=environment, stdout=subprocess.PIPE
    )
    assert (done.returncode, done.stdout) == (0, b"")
