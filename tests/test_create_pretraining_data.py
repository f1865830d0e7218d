"""Pre-training data against what the reference made of the same texts (golden/data)."""

import builtins
import glob
import gzip
import hashlib
import json
import os
import random
import struct
import subprocess
import sys
from array import array

import numpy as np
import pytest
from absl import flags
from conftest import GOLDEN

import create_pretraining_data
import pretraining_records
import recipe_albert_zh
import word_segmentation
from create_pretraining_data import Settings
from file_utils import InputError, read_bytes, read_json, sha256
from recipe_albert_zh import MaskingVocabulary
from tf_compat import tf
from tokenization import FullTokenizer

VOCAB = os.path.join(GOLDEN, "vocab.txt")
INSTANCE_SETS = sorted(
    os.path.basename(path)[: -len(".json")]
    for path in glob.glob(os.path.join(GOLDEN, "data", "instances", "*.json"))
)
TWO_SENTENCES = "今天天气很好。\n我们去公园散步。\n"


def text_path(name):
    return os.path.join(GOLDEN, "data", "texts", name)


def golden_json(name):
    with gzip.open(os.path.join(GOLDEN, "data", name + ".json.gz"), "rt", encoding="ascii") as file:
        return json.load(file)


def create(inputs, outputs, vocab=VOCAB, **settings):
    return create_pretraining_data.create_pretraining_data(
        str(inputs), str(outputs), str(vocab), Settings(**settings)
    )


def payloads(path):
    """The serialized examples of a TFRecord file."""
    content = read_bytes(str(path))
    result = []
    while content:
        (length,) = struct.unpack("<Q", content[:8])
        result.append(content[12 : 12 + length])
        content = content[16 + length :]
    return result


def features(payload):
    feature_map = tf.train.Example.FromString(payload).features.feature
    return {
        name: feature.float_list.value if name == "masked_lm_weights" else feature.int64_list.value
        for name, feature in feature_map.items()
    }


def write(path, text):
    path.write_bytes(text.encode("utf-8"))
    return path


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


def test_golden_sets_are_there():
    assert len(INSTANCE_SETS) == 16


@pytest.mark.parametrize("name", INSTANCE_SETS)
def test_records_are_the_references(name, tmp_path):
    stem = os.path.join(GOLDEN, "data", "instances", name)
    info = read_json(stem + ".json")
    outputs = [str(tmp_path / ("%d.tfrecord" % i)) for i in range(info["n_output_files"])]
    create(",".join(map(text_path, info["inputs"])), ",".join(outputs), **info["flags"])

    records = [payloads(path) for path in outputs]
    parsed = [features(payload) for file in records for payload in file]
    with np.load(stem + ".npz") as expected:
        assert [len(file) for file in records] == expected["records_per_file"].tolist()
        for key in set(expected.files) - {"records_per_file"}:
            np.testing.assert_array_equal([record[key] for record in parsed], expected[key])
    for path, file, expected in zip(outputs, records, info["files"]):
        assert hashlib.sha256(b"".join(file)).hexdigest() == expected["sha256_payloads_sorted_keys"]
        assert sha256(path) == expected["sha256_tfrecord_file_sorted_keys"]


@pytest.mark.parametrize("trace", golden_json("rng_traces")["traces"])
def test_random_calls_are_the_references(trace, tokenizer):
    settings = Settings(**{key: trace[key] for key in Settings._fields if key in trace})
    path = [text_path(trace["input"])]
    read = list(create_pretraining_data.read_documents(path, tokenizer.tokenize))
    assert read == trace["documents_before_shuffle"]

    rng = RecordingRandom(settings.random_seed)
    encode = recipe_albert_zh.sentence_encoder(tokenizer, settings)
    documents = list(create_pretraining_data.read_documents(path, encode))
    instances = recipe_albert_zh.create_training_instances(
        documents, tokenizer.vocab, settings, rng
    )
    assert rng.calls == trace["calls"]
    assert len(instances) == trace["n_instances"]
    for instance, expected in zip(instances, trace["instances"]):
        tokens = tokenizer.convert_ids_to_tokens(instance.input_ids)
        labels = tokenizer.convert_ids_to_tokens(instance.masked_lm_ids)
        assert tokens == expected["tokens"]
        assert instance.first_segment_length == expected["segment_ids"].count(0)
        assert instance.next_sentence_label == expected["is_random_next"]
        assert instance.masked_lm_positions.tolist() == expected["masked_lm_positions"]
        assert labels == expected["masked_lm_labels"]


@pytest.mark.parametrize("names", sorted(golden_json("rng_traces")["documents"]))
def test_documents_are_the_references(names, tokenizer):
    expected = golden_json("rng_traces")["documents"][names]
    paths = [text_path(name) for name in names.split("+")]
    documents = list(create_pretraining_data.read_documents(paths, tokenizer.tokenize))
    if isinstance(expected[0][0], int):
        documents = [[len(sentence) for sentence in document] for document in documents]
    assert documents == expected


def test_truncation_is_the_references():
    for case in golden_json("units")["truncate"]:
        rng = random.Random(case["seed"])
        first, second = recipe_albert_zh.truncate_seq_pair(
            range(case["len_a"]), range(case["len_b"]), case["max"], rng
        )
        assert len(first) == case["a_len"]
        assert len(second) == case["b_len"]
        assert not first or first[0] == case["a_first"]
        assert not second or second[0] == case["b_first"]
        assert rng.random() == case["next_random"]


def mask(tokens, tokenizer, settings, rng):
    """`create_masked_lm_predictions` on tokens."""
    ids, positions, labels = recipe_albert_zh.create_masked_lm_predictions(
        tokenizer.convert_tokens_to_ids(tokens), MaskingVocabulary(tokenizer.vocab), settings, rng
    )
    convert = tokenizer.convert_ids_to_tokens
    return convert(ids), positions, convert(labels)


def unit_settings(case, **others):
    values = {key: case[key] for key in Settings._fields if key in case}
    return Settings(**dict(values, **others))


@pytest.mark.parametrize("case", golden_json("units")["masked_lm"])
def test_masking_is_the_references(case, tokenizer):
    rng = random.Random(case["seed"])
    tokens, positions, labels = mask(case["tokens"], tokenizer, unit_settings(case), rng)
    assert tokens == case["out_tokens"]
    assert positions == case["positions"]
    assert labels == case["labels"]
    assert rng.random() == case["next_random"]


def test_word_marks_are_the_references():
    for case in golden_json("segments")["items"]:
        everything = case["tokens_out"]  # no marked token is missing in the vocabulary
        assert word_segmentation.get_new_segment(case["tokens_in"], everything) == everything


# Properties


def test_marked_token_outside_of_the_vocabulary_stays_unmarked():
    tokens = ["阿", "Q", "正", "传"]
    marked = word_segmentation.get_new_segment(tokens, {"##Q", "##传"})
    assert marked[1] == "##Q"
    assert word_segmentation.get_new_segment(tokens, {"##传"}) == ["阿", "Q"] + marked[2:]


@pytest.mark.parametrize("case", golden_json("units")["masked_lm"][:10])
def test_plain_labels_differ_only_in_marks(case, tokenizer):
    settings = unit_settings(case, mlm_labels="plain", non_chinese=False)
    rng = random.Random(case["seed"])
    _, positions, labels = mask(case["tokens"], tokenizer, settings, rng)
    tokens = [case["tokens"][position] for position in positions]
    chinese = [word_segmentation.is_marked_chinese(token) for token in tokens]
    assert labels == [token[2:] if marked else token for token, marked in zip(tokens, chinese)]


def test_plain_labels_leave_inputs_as_they_are(tmp_path):
    ids = {}
    for kind in create_pretraining_data.MLM_LABELS:
        output = tmp_path / kind
        create(text_path("zh_tiny.txt"), output, mlm_labels=kind, masked_lm_prob=1.0)
        records = [features(payload) for payload in payloads(output)]
        ids[kind] = [list(record.pop("masked_lm_ids")) for record in records]
        ids[kind + " rest"] = records
    assert ids["plain rest"] == ids["reference rest"]
    assert ids["plain"] != ids["reference"]


def test_chunks_have_two_sentences_and_lose_only_a_last_one():
    sentences = [[0] * 200, [1] * 10, [2] * 10]
    assert list(recipe_albert_zh.split_into_chunks(sentences, 125)) == [sentences[:2]]
    assert list(recipe_albert_zh.split_into_chunks(sentences[1:], 125)) == [sentences[1:]]
    assert list(recipe_albert_zh.split_into_chunks(sentences[:1], 125)) == []


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
    assert counts == {
        "documents": 2,
        "single_sentence_documents": 1,
        "sentences": 3,
        "tokens": 7 + 8 + 7,
        "unknown_tokens": 0,
        "instances": 3,
        "instance_tokens": 3 * (3 + 7 + 8),
        "masked_tokens": len(labels),
        "marked_labels": marked,
        "swapped_instances": sum(record["next_sentence_labels"][0] for record in parsed),
    }
    for path, records in zip(outputs, (2, 1)):
        description = read_json(path + ".json")
        assert description["records"] == len(payloads(path)) == records
        assert description["counts"] == counts
        assert description["mlm_labels"] == "reference"
        assert description["vocab_sha256"] == sha256(VOCAB)
        assert Settings(**description["settings"]) == Settings(
            dupe_factor=3, random_seed=1, masked_lm_prob=0.5
        )
    summary = create_pretraining_data.format_counts(counts)
    assert "not usable: 1 (50.00%)" in summary
    assert "masked: %d (%.2f%%)" % (len(labels), 100 * len(labels) / 54) in summary


def test_unknown_tokens_are_counted(tmp_path):
    text = write(tmp_path / "text", "\U0001f600\n好\U0001f600\n")
    counts = create(text, tmp_path / "out")
    assert (counts["tokens"], counts["unknown_tokens"]) == (3, 2)


def test_instance_without_predictions_can_be_written():
    instance = pretraining_records.Instance(
        array("i", [101, 102, 102]), 2, array("i"), array("i"), 1
    )
    payload = pretraining_records.serialize(pretraining_records.to_features(instance, 4, 2))
    record = {name: list(values) for name, values in features(payload).items()}
    assert record == {
        "input_ids": [101, 102, 102, 0],
        "input_mask": [1, 1, 1, 0],
        "segment_ids": [0, 0, 1, 0],
        "masked_lm_positions": [0, 0],
        "masked_lm_ids": [0, 0],
        "masked_lm_weights": [0.0, 0.0],
        "next_sentence_labels": [1],
    }


@pytest.mark.parametrize(
    "content, warned",
    [("a\rb\n", True), ("a\r\nb\r", False), ("a\r\r\nb\n", False), ("a\r\rb", True)],
)
def test_lone_carriage_returns_are_reported(content, warned, tmp_path, monkeypatch):
    warnings = []
    monkeypatch.setattr(
        create_pretraining_data.logging, "warning", lambda *args: warnings.append(args)
    )
    path = str(write(tmp_path / "text", content))
    list(create_pretraining_data.read_documents([path], list))
    assert [path in warning for warning in warnings] == [True] * warned


# Flags and the script


def test_flags_have_the_settings_defaults():
    flag_values = flags.FlagValues()
    create_pretraining_data.define_flags(flag_values)
    flag_values(["script", "--input_file=a", "--output_file=b", "--vocab_file=c"])
    values = {name: flag_values[name].value for name in Settings._fields}
    assert Settings(**values) == Settings()


@pytest.mark.parametrize(
    "argument", ["--do_permutation=true", "--recipe=bert", "--mlm_labels=x", "--dupe_factor=two"]
)
def test_unknown_flags_and_choices_are_errors(argument):
    flag_values = flags.FlagValues()
    create_pretraining_data.define_flags(flag_values)
    with pytest.raises(flags.Error, match=argument[2:8]):
        flag_values(["script", "--input_file=a", "--output_file=b", "--vocab_file=c", argument])


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
    settings = Settings(**read_json(output + ".json")["settings"])
    assert settings == Settings(
        do_whole_word_mask=True,
        max_seq_length=512,
        max_predictions_per_seq=51,
        masked_lm_prob=0.1,
    )
    create(text_path("zh_tiny.txt"), tmp_path / "again", **settings._asdict())
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

    monkeypatch.setattr(create_pretraining_data, "read_documents", no_work)
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


def test_missing_jieba_is_reported(tokenizer, monkeypatch):
    original = builtins.__import__

    def without_jieba(name, *args, **kwargs):
        if name == "jieba":
            raise ImportError(name)
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_jieba)
    word_segmentation.load_jieba.cache_clear()
    with pytest.raises(InputError, match="pip install jieba==.*--non_chinese=true"):
        recipe_albert_zh.sentence_encoder(tokenizer, Settings())
    encode = recipe_albert_zh.sentence_encoder(tokenizer, Settings(non_chinese=True))
    assert encode("乒乓").tolist() == tokenizer.encode("乒乓")


def test_unfinished_files_are_never_under_their_final_name(tmp_path):
    paths = [str(tmp_path / "a"), str(tmp_path / "b")]
    write(tmp_path / "a", "old")
    instance = pretraining_records.Instance(
        array("i", [101, 102, 102]), 2, array("i"), array("i"), 0
    )
    seen = []

    def instances(fails):
        for _ in range(3):
            yield instance
            seen.append((read_bytes(paths[0]), os.path.exists(paths[1])))
        if fails:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pretraining_records.write_instance_to_example_files(instances(True), 8, 2, paths)
    assert seen == [(b"old", False)] * 3
    assert os.listdir(str(tmp_path)) == ["a"]
    assert read_bytes(paths[0]) == b"old"

    counts = pretraining_records.write_instance_to_example_files(instances(False), 8, 2, paths)
    assert counts == [2, 1]
    assert [len(payloads(path)) for path in paths] == counts
    assert sorted(os.listdir(str(tmp_path))) == ["a", "b"]


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
