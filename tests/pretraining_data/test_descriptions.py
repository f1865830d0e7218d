"""OUTPUT.json beside pre-training records: what does not fit is refused before training."""

import json
import os

import pytest
from absl import flags

import create_pretraining_data
import run_pretraining
from albert.basics.errors import InputError
from albert.model_files.configuration import BertConfig
from albert.pretraining_data import descriptions
from albert.pretraining_data.instances import Source
from albert.pretraining_data.settings import make_settings
from helpers.paths import GOLDEN
from helpers.records import write_records
from helpers.runs import SMALL, SMALL_FLAGS, parse, save_config

DIGEST = "0123456789abcdef" * 4
# What the version before streaming wrote.
EARLIER = {
    "counts": {"documents": 2, "instances": 3},
    "input_files": ["data/news.txt"],
    "jieba_version": "0.42.1",
    "mlm_labels": "reference",
    "records": 3,
    "settings": {
        "do_lower_case": True,
        "do_whole_word_mask": True,
        "dupe_factor": 10,
        "masked_lm_prob": 0.1,
        "max_predictions_per_seq": 20,
        "max_seq_length": 128,
        "mlm_labels": "reference",
        "non_chinese": False,
        "random_seed": 12345,
        "recipe": "albert_zh",
        "short_seq_prob": 0.1,
    },
    "vocab_file": "models/vocab.txt",
    "vocab_sha256": DIGEST,
}
CURRENT = dict(EARLIER, vocab_size=50, compression="none", software={"jieba": "0.42.1"})


def describe(path, description):
    (path.parent / (path.name + ".json")).write_text(
        description if isinstance(description, str) else json.dumps(description)
    )
    return str(path)


def changed(description=CURRENT, settings=None, **changes):
    return dict(description, settings=dict(description["settings"], **settings or {}), **changes)


def check(*files, vocab_size=50, max_seq_length=128, max_predictions_per_seq=20):
    return descriptions.check_descriptions(
        files, BertConfig(vocab_size), max_seq_length, max_predictions_per_seq
    )


@pytest.fixture
def messages(monkeypatch):
    """Dictionary level -> list of formatted log messages."""
    found = {"info": [], "warning": []}
    for level, lines in found.items():
        monkeypatch.setattr(
            descriptions.logging,
            level,
            lambda text, *values, lines=lines: lines.append(text % values),
        )
    return found


def test_descriptions_of_both_versions_pass(tmp_path, messages):
    files = [
        describe(tmp_path / "a", CURRENT),
        str(tmp_path / "no_description"),
        describe(tmp_path / "b", EARLIER),
    ]
    described = check(*files)
    assert described == {files[0]: CURRENT, files[2]: EARLIER}
    assert messages == {"info": [], "warning": []}
    assert descriptions.format_descriptions(files, described) == (
        "vocabulary models/vocab.txt (tokens: 50, SHA-256: 0123456789ab), labels: reference; "
        "not known of 1 of 3 files"
    )
    # The version before did not know the size of the vocabulary: nothing to compare.
    assert check(files[2], vocab_size=7) == {files[2]: EARLIER}
    line = descriptions.format_descriptions(files[2:], {files[2]: EARLIER})
    assert "(tokens: not known, SHA-256: 0123456789ab), labels: reference" in line


def test_files_without_descriptions_pass(tmp_path):
    path = str(tmp_path / "tf")
    assert check(path) == {}
    assert "not known" in descriptions.format_descriptions([path], {})


@pytest.mark.parametrize("content", [{}, {"a": 1}, {"settings": 3}, {"settings": {"a": 1}}])
def test_other_json_is_ignored(tmp_path, messages, content):
    path = describe(tmp_path / "tf", content)
    assert check(path) == {}
    assert messages["info"] == [path + ".json: not written by create_pretraining_data.py; ignored."]


@pytest.mark.parametrize("content", ["{", "", "[1]", "\u00e9"])
def test_unreadable_json_is_refused(tmp_path, content):
    path = tmp_path / "tf"
    (tmp_path / "tf.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(InputError, match=r"tf\.json: "):
        check(str(path))


@pytest.mark.parametrize(
    "flag, value, message",
    [
        ("max_seq_length", 64, "max_seq_length of the records is 128; expected 64"),
        ("max_predictions_per_seq", 21, "max_predictions_per_seq of .* is 20; expected 21"),
    ],
)
@pytest.mark.parametrize("description", [EARLIER, CURRENT])
def test_other_lengths_are_refused(tmp_path, flag, value, message, description):
    path = describe(tmp_path / "tf", description)
    with pytest.raises(InputError, match=r"tf\.json: %s \(--%s\)" % (message, flag)):
        check(path, **{flag: value})


def test_permutation_doubles_the_predictions(tmp_path):
    path = describe(tmp_path / "tf", changed(settings={"do_permutation": True}))
    check(path, max_predictions_per_seq=40)
    with pytest.raises(InputError, match=r"is 40 \(20, doubled by do_permutation\); expected 20"):
        check(path)


def test_empty_files_are_refused(tmp_path):
    path = describe(tmp_path / "tf", changed(records=0))
    with pytest.raises(InputError, match=r"tf\.json says that the file holds no record"):
        check(path)


def test_larger_vocabularies_are_refused(tmp_path):
    path = describe(tmp_path / "tf", CURRENT)
    with pytest.raises(InputError, match=r"models/vocab\.txt has 50 .* vocab_size is 49;"):
        check(path, vocab_size=49)


def test_smaller_vocabularies_give_one_warning(tmp_path, messages):
    files = [describe(tmp_path / name, CURRENT) for name in "abc"]
    assert len(check(*files, vocab_size=51)) == 3
    (warning,) = messages["warning"]
    assert "a: its vocabulary models/vocab.txt has 50 tokens" in warning
    assert "vocab_size is 51" in warning


@pytest.mark.parametrize(
    "changes, message",
    [
        (
            {"vocab_sha256": "f" * 64, "vocab_file": "other.txt"},
            r"a was made with the vocabulary models/vocab\.txt \(SHA-256 0123456789ab\), but "
            r".*c with the vocabulary other\.txt \(SHA-256 ffffffffffff\)",
        ),
        ({"mlm_labels": "plain"}, "a was made with --mlm_labels=reference, but .*c with .*=plain"),
    ],
)
def test_files_of_different_kinds_are_refused(tmp_path, changes, message):
    files = [
        describe(tmp_path / "a", EARLIER),
        describe(tmp_path / "b", CURRENT),
        describe(tmp_path / "c", changed(**changes)),
    ]
    check(*files[:2])
    check(*files[2:])
    with pytest.raises(InputError, match=message):
        check(*files)


def test_vocabulary_is_compared_by_content_not_by_name(tmp_path):
    files = [
        describe(tmp_path / "a", CURRENT),
        describe(tmp_path / "b", changed(vocab_file="copy/of/vocab.txt")),
    ]
    assert len(check(*files)) == 2


def test_files_that_are_made_now_pass(tmp_path):
    texts = os.path.join(GOLDEN, "data", "texts")
    path = str(tmp_path / "tf")
    settings = make_settings(
        "google",
        max_seq_length=32,
        max_predictions_per_seq=4,
        dupe_factor=1,
        do_permutation=True,
    )
    create_pretraining_data.create_pretraining_data(
        os.path.join(texts, "en_tiny.txt"),
        path,
        Source(settings, os.path.join(GOLDEN, "vocab.txt")),
        "gzip",
    )
    with open(path + ".json", encoding="utf-8") as handle:
        size = json.load(handle)["vocab_size"]
    sizes = dict(vocab_size=size, max_seq_length=32)
    assert list(check(path, max_predictions_per_seq=8, **sizes)) == [path]
    with pytest.raises(InputError, match="is 8 .* expected 4"):
        check(path, max_predictions_per_seq=4, **sizes)
    with pytest.raises(InputError, match="vocab_size is %d" % (size - 1)):
        check(path, max_predictions_per_seq=8, max_seq_length=32, vocab_size=size - 1)


# In run_pretraining.py


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Function of nothing: runs the script on two files of ten records, one of them compressed."""
    write_records(tmp_path / "a.tfrecord", range(10))
    write_records(tmp_path / "b.tfrecord", range(10, 20), "GZIP")
    values = parse(
        bert_config_file=save_config(tmp_path, SMALL),
        input_file=str(tmp_path / "*.tfrecord"),
        output_dir=str(tmp_path / "output"),
        do_train=True,
        do_eval=True,
        eval_one_pass=True,
        **SMALL_FLAGS,
    )
    monkeypatch.setattr(flags, "FLAGS", values)
    return lambda: run_pretraining.main(["run_pretraining.py"])


@pytest.mark.slow
def test_script_says_what_it_trains_on(tmp_path, run, capsys):
    lengths = {"max_seq_length": 16, "max_predictions_per_seq": 3}
    describe(tmp_path / "b.tfrecord", changed(settings=lengths))
    run()
    lines = capsys.readouterr().out.splitlines()
    expected = "--input_file: vocabulary models/vocab.txt (tokens: 50, SHA-256: 0123456789ab)"
    assert sum(line.startswith(expected) for line in lines) == 2  # in training and in evaluation
    assert "masked_lm_accuracy" in (tmp_path / "output" / "eval_results.txt").read_text()


def test_script_stops_before_training(tmp_path, run):
    describe(tmp_path / "b.tfrecord", CURRENT)
    with pytest.raises(InputError, match="max_seq_length of the records is 128; expected 16"):
        run()
    assert not (tmp_path / "output").exists()
