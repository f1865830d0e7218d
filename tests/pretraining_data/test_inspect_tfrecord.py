"""scripts/inspect_tfrecord.py: records as text, with masks and labels."""

import json
import os
import re
import subprocess
import sys
from array import array

import pytest

import create_pretraining_data
import tokenization
from albert.basics import storage
from albert.basics.errors import InputError
from albert.basics.tf_compat import tf
from albert.finetuning.classification.features import file_based_convert_examples_to_features
from albert.finetuning.tasks.base import InputExample
from albert.pretraining_data import inspection, record_reader
from albert.pretraining_data.inspection import Vocabulary, inspect
from albert.pretraining_data.instances import Source
from albert.pretraining_data.record_encoder import Instance, RecordEncoder
from albert.pretraining_data.settings import make_settings
from helpers import processes
from helpers.paths import GOLDEN
from helpers.records import write_features

TOKENS = (
    "[PAD] [UNK] [CLS] [SEP] [MASK] 春 天 来 了 ， 小 河 解 ##冻 冻 。 我 在 wi ##fi 网 看 gps "
    "## , ##冻x ##天"
).split()
WORDPIECE = Vocabulary("vocab.txt", dict(enumerate(TOKENS)), False)
PIECES = ["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]", "▁the", "▁cat", "s", "▁", ",", "▁dog"]
SENTENCEPIECE = Vocabulary("spm.model", dict(enumerate(PIECES)), True)
VOCAB = os.path.join(GOLDEN, "vocab.txt")
SPM = os.path.join(GOLDEN, "data", "spm500.model")


def ids(vocabulary, text):
    known = {token: index for index, token in vocabulary.tokens.items()}
    return [known[token] for token in text.split()]


def record(vocabulary, text, first_length, labels=None, label=0, boundary=None):
    """A padded pre-training record; `labels`: position -> label token."""
    labels = labels or {}
    instance = Instance(
        array("i", ids(vocabulary, text)),
        first_length,
        array("i", sorted(labels)),
        array("i", [ids(vocabulary, labels[position])[0] for position in sorted(labels)]),
        label,
        boundary,
    )
    return RecordEncoder(32, 6).encode(instance)


def show(vocabulary, serialized, **options):
    values = inspection.feature_values(tf.train.Example.FromString(serialized))
    return inspection.format_record(3, values, vocabulary, **options)


def text_of(vocabulary, text):
    """The line of a single segment."""
    (line,) = show(vocabulary, record(vocabulary, text, len(text.split())))[1:]
    assert line.startswith("  A: ")
    return line[len("  A: ") :]


# Text


@pytest.mark.parametrize(
    "tokens, expected",
    [
        ("春 天 来 了 ， 小 河", "春天来了，小河"),
        ("我 在 wi ##fi 网 看 gps", "我在wifi网看gps"),
        ("gps gps ## gps , gps", "gps gps ## gps , gps"),
        ("[CLS] 春 天 [UNK] wi [UNK] [SEP]", "[CLS] 春天[UNK] wi [UNK] [SEP]"),
        ("解 ##冻 gps ##冻x", "解冻gps冻x"),
        ("##fi gps", "##fi gps"),
        ("[CLS] ##fi gps [SEP] ##fi", "[CLS] ##fi gps [SEP] ##fi"),
        ("[MASK] 天 gps [MASK]", "[MASK]天gps [MASK]"),
    ],
)
def test_wordpiece_tokens_are_joined(tokens, expected):
    assert text_of(WORDPIECE, tokens) == expected


@pytest.mark.parametrize(
    "tokens, expected",
    [
        ("[CLS] ▁the ▁cat s , ▁dog [SEP]", "[CLS] the cats, dog [SEP]"),
        ("▁the ▁ , s", "the ,s"),
        ("[CLS] s ▁the [SEP]", "[CLS] s the [SEP]"),
    ],
)
def test_sentencepiece_marks_are_spaces(tokens, expected):
    assert text_of(SENTENCEPIECE, tokens) == expected


def test_predictions_are_shown_with_their_labels():
    serialized = record(
        WORDPIECE,
        "[CLS] 春 [MASK] [MASK] 了 [SEP] 小 河 解 冻 gps 。 [SEP]",
        6,
        {2: "天", 3: "来", 8: "解", 9: "##冻", 10: "##fi", 11: "看"},
        label=1,
    )
    assert show(WORDPIECE, serialized) == [
        "record 3: 13 tokens, 6 predictions, next_sentence_labels 1",
        "  A: [CLS] 春[MASK→天][MASK→来]了 [SEP]",
        # A kept token is one without the mark of its label, too.
        "  B: 小河[解=解][冻=##冻][gps→##fi][。→看] [SEP]",
    ]


def test_spaces_beside_predictions_are_those_of_the_text():
    serialized = record(
        WORDPIECE, "gps [MASK] gps 天 wi [MASK] gps", 7, {1: "gps", 3: "gps", 5: "##fi"}
    )
    assert show(WORDPIECE, serialized)[1] == "  A: gps [MASK→gps] gps [天→gps] wi[MASK→##fi] gps"
    serialized = record(
        SENTENCEPIECE, "▁the [MASK] [MASK] ▁dog s", 5, {1: "▁cat", 2: "s", 3: ",", 4: "s"}
    )
    assert show(SENTENCEPIECE, serialized)[1] == "  A: the [MASK→▁cat][MASK→s][▁dog→,][s=s]"


def test_only_chinese_labels_lose_their_mark_when_compared():
    serialized = record(WORDPIECE, "gps 冻 天", 3, {1: "天", 2: "##天"})
    assert show(WORDPIECE, serialized)[1] == "  A: gps[冻→天][天=##天]"
    vocabulary = Vocabulary("v", {0: "[PAD]", 1: "x", 2: "##x"}, False)
    assert show(vocabulary, record(vocabulary, "x x", 2, {1: "##x"}))[1] == "  A: x[x→##x]"


def test_boundaries_mark_the_starts_of_words():
    serialized = record(
        WORDPIECE,
        "[CLS] wi ##fi gps [SEP] 春 [MASK] [SEP]",
        5,
        {6: "##天"},
        boundary=bytes([1, 1, 0, 1, 1, 1, 0, 1]),
    )
    plain = ["  A: [CLS] wifi gps [SEP]", "  B: 春[MASK→##天] [SEP]"]
    assert show(WORDPIECE, serialized)[1:] == plain
    assert show(WORDPIECE, serialized, boundaries=True)[1:] == [
        "  A: |[CLS] |wifi |gps |[SEP]",
        "  B: |春[MASK→##天] |[SEP]",
    ]


# Other records


def test_fine_tuning_records(tmp_path):
    tokenizer = tokenization.FullTokenizer(VOCAB)
    path = str(tmp_path / "train.tf_record")
    examples = [
        InputExample("1", "春天来了，WiFi", "小河", "b"),
        InputExample("2", "春天", None, "a"),
    ]
    file_based_convert_examples_to_features(examples, ["a", "b"], 32, tokenizer, path)
    length = len(tokenizer.tokenize("春天来了，WiFi小河")) + 3
    assert list(inspect(path, 5, vocab_file=VOCAB)) == [
        "record 0: %d tokens, is_real_example 1, label_ids 1" % length,
        "  A: [CLS] 春天来了，wifi [SEP]",
        "  B: 小河 [SEP]",
        "record 1: 4 tokens, is_real_example 1, label_ids 0",
        "  A: [CLS] 春天 [SEP]",
    ]


def test_records_of_any_features(tmp_path):
    path = write_features(tmp_path / "tf", [{"b": [3], "a": [1, 2, 0], "none": []}])
    assert list(inspect(path, 5)) == ["record 0: b 3", "  a: 1 2 0", "  none: "]
    features = {"input_ids": [5, 6, 0, 0], "tags": [1, 0, 0, 0], "more": [1, 2]}
    path = write_features(tmp_path / "tf", [features])
    example = next(record_reader.read_examples(path))
    lines = show(WORDPIECE, example.SerializeToString())
    # What has a value for each token is cut like these, without a mask at the last id but 0.
    assert lines == ["record 3: 2 tokens", "  A: 春天", "  more: 1 2", "  tags: 1 0"]


def test_inner_zeros_and_other_segments_are_shown():
    example = tf.train.Example()
    for name, values in (("input_ids", [5, 0, 6, 0]), ("segment_ids", [0, 0, 7, 0])):
        example.features.feature[name].int64_list.value.extend(values)
    lines = show(WORDPIECE, example.SerializeToString())
    assert lines[1:] == ["  A: 春[PAD]", "  segment 7: 天"]


# Files


def create(path, recipe, text, compression="none", vocab_file=VOCAB, spm_model_file=None):
    settings = make_settings(recipe, max_seq_length=64, dupe_factor=2, masked_lm_prob=0.3)
    text = os.path.join(GOLDEN, "data", "texts", text)
    source = Source(settings, vocab_file, spm_model_file)
    create_pretraining_data.create_pretraining_data(text, str(path), source, compression)
    return str(path)


def restored(lines):
    """The lines without records' heads, every prediction replaced by its label."""
    prediction = r"\[(?:\[\w+\]|[^]→=]+)[→=]([^]]+)\]"
    return [re.sub(prediction, r"\1", line) for line in lines if line.startswith("  ")]


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_labels_restore_the_text(tmp_path, compression):
    path = create(tmp_path / "tf", "albert_zh", "zh_tiny.txt", compression)
    with open(path + ".json", encoding="utf-8") as handle:
        description = json.load(handle)
    lines = list(inspect(path, 1000))
    heads = [line for line in lines if line.startswith("record")]
    assert len(heads) == description["records"]
    numbers = [re.match(r"record \d+: (\d+) tokens, (\d+) predictions", head) for head in heads]
    counts = description["counts"]
    assert sum(int(number.group(1)) for number in numbers) == counts["instance_tokens"]
    assert sum(int(number.group(2)) for number in numbers) == counts["masked_tokens"]
    assert sum(line.count("[MASK→") for line in lines) == counts["mask_tokens"]
    labels = sum(int(head[-1]) for head in heads)
    assert labels == counts["swapped_instances"]
    text_file = os.path.join(GOLDEN, "data", "texts", "zh_tiny.txt")
    text = "".join(storage.read_lines(text_file)).replace("\n", "")
    for line in restored(lines):
        segment = re.sub(r"\[CLS\]|\[SEP\]|##| ", "", line.split(":", 1)[1])
        assert segment and segment in text


def test_sentencepiece_data_of_the_google_recipe(tmp_path):
    path = create(tmp_path / "tf", "google", "en_spm_docs.txt", spm_model_file=SPM)
    found = list(inspect(path, 2, boundaries=True))
    assert all("|[SEP]" in line for line in found if line.startswith("  "))
    assert list(inspect(path, 2, boundaries=True, spm_model_file=SPM)) == found
    text_file = os.path.join(GOLDEN, "data", "texts", "en_spm_docs.txt")
    text = tokenization.preprocess_text(" ".join(storage.read_lines(text_file)), lower=True)
    segments = restored(inspect(path, 1000))
    for segment in segments:
        segment = re.sub(r"\[CLS\]|\[SEP\]|[ ▁]", "", segment.split(":", 1)[1])
        assert segment and segment in text.replace(" ", "")


def test_part_of_a_file(tmp_path):
    path = create(tmp_path / "tf", "albert_zh", "zh_tiny.txt")
    lines = list(inspect(path, 1000))
    heads = [number for number, line in enumerate(lines) if line.startswith("record")]
    assert len(heads) > 3
    assert list(inspect(path, 2, start=1)) == lines[heads[1] : heads[3]]
    assert list(inspect(path, 1, start=2)) == lines[heads[2] : heads[3]]


# Failures


def test_the_vocabulary_must_be_known(tmp_path):
    path = write_features(tmp_path / "tf", [{"input_ids": [1]}])
    with pytest.raises(InputError, match=r"tf: its vocabulary is not known.*pass --vocab_file"):
        list(inspect(path, 1))
    with pytest.raises(InputError, match="both given"):
        list(inspect(path, 1, vocab_file=VOCAB, spm_model_file=SPM))
    with pytest.raises(InputError, match="absent.txt: no such file"):
        list(inspect(path, 1, vocab_file=str(tmp_path / "absent.txt")))


def test_the_vocabulary_must_be_that_of_the_records(tmp_path):
    vocab = tmp_path / "vocab.txt"
    vocab.write_bytes(storage.read_bytes(VOCAB))
    path = create(tmp_path / "tf", "albert_zh", "zh_tiny.txt", vocab_file=str(vocab))
    expected = list(inspect(path, 2))
    assert list(inspect(path, 2, vocab_file=VOCAB)) == expected  # its content counts
    with vocab.open("ab") as handle:
        handle.write(b"another\n")
    for options in ({}, {"vocab_file": str(vocab)}):
        with pytest.raises(InputError, match=r"vocab\.txt is not .*in .*tf\.json"):
            list(inspect(path, 2, **options))
    vocab.unlink()
    with pytest.raises(InputError, match=r"tf\.json names the vocabulary '.*', which is missing"):
        list(inspect(path, 2))


@pytest.mark.parametrize("key", ["input_ids", "masked_lm_ids"])
def test_ids_outside_the_vocabulary(tmp_path, key):
    features = {
        "input_ids": [2, 3],
        "masked_lm_positions": [1],
        "masked_lm_ids": [4],
        "masked_lm_weights": [1.0],
    }
    bad = dict(features, **{key: [1 << 20] * len(features[key])})
    path = write_features(tmp_path / "tf", [features, bad])
    message = r"tf, record 1: token id 1048576 is not in the vocabulary .*vocab\.txt of \d+ tokens"
    with pytest.raises(InputError, match=message):
        list(inspect(path, 2, vocab_file=VOCAB))


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"masked_lm_positions": [2]}, "masked position 2 is beyond its 2 tokens"),
        ({"masked_lm_positions": [1, 1]}, "masked_lm_positions, .* have different lengths"),
        ({"segment_ids": [0]}, "'segment_ids' has 1 values, but 'input_ids' has 3"),
        ({"input_mask": [1] * 4}, "'input_mask' has 4 values, but 'input_ids' has 3"),
    ],
)
def test_records_that_contradict_themselves(tmp_path, changes, message):
    features = {
        "input_ids": [2, 3, 0],
        "masked_lm_positions": [1],
        "masked_lm_ids": [4],
        "masked_lm_weights": [1.0],
    }
    path = write_features(tmp_path / "tf", [dict(features, **changes)])
    with pytest.raises(InputError, match="tf, record 0: " + message):
        list(inspect(path, 1, vocab_file=VOCAB))


def test_files_that_cannot_be_shown(tmp_path):
    text = tmp_path / "text"
    text.write_text("a line of text\n" * 10)
    with pytest.raises(InputError, match="text: not a readable TFRecord"):
        list(inspect(str(text), 1))
    with pytest.raises(InputError, match="empty: holds no record"):
        list(inspect(write_features(tmp_path / "empty", []), 1))
    path = write_features(tmp_path / "tf", [{"a": [1]}, {"a": [2]}])
    assert list(inspect(path, 9, start=1)) == ["record 1: a 2"]
    with pytest.raises(InputError, match=r"--start is 2, but .*tf has 2 records"):
        list(inspect(path, 1, start=2))
    with pytest.raises(InputError, match="tf, record 0: no feature 'token_boundary'"):
        list(inspect(path, 1, boundaries=True))


# The script


def command(repo_root, *arguments):
    script = os.path.join(repo_root, "scripts", "inspect_tfrecord.py")
    return [sys.executable, script, *arguments]


@pytest.mark.slow
def test_script_and_a_reader_that_stops_early(tmp_path, repo_root):
    # More than a pipe holds, so that the script is still writing when the pipe is closed.
    path = write_features(tmp_path / "tf", [{"a": list(range(2000))}] * 100)
    process = subprocess.Popen(
        command(repo_root, path, "--records=100"), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout.readline() == b"record 0: \n"
    process.stdout.close()
    errors = process.stderr.read().decode()
    process.stderr.close()
    assert process.wait() == 0
    assert "Traceback" not in errors and "BrokenPipe" not in errors


@pytest.mark.slow
def test_script_reports_errors(tmp_path, repo_root):
    path = create(tmp_path / "tf", "albert_zh", "zh_tiny.txt")
    for arguments, message in (
        ([path, "--start=1000"], "error: --start is 1000, but"),
        ([], "error: found 0 arguments; expected one"),
    ):
        done = processes.run(command(repo_root, *arguments)[1:])
        assert done.returncode == 2
        assert message in done.stderr
