"""Classification tasks: reading and features against the reference, a user's own data."""

import json
import os

import numpy as np
import pytest
from absl import flags

import tokenization
from albert.basics import flag_table
from albert.basics.errors import InputError
from albert.basics.tf_compat import tf
from albert.finetuning.classification.features import (
    convert_single_example,
    encode_example,
    encode_windows,
    file_based_convert_examples_to_features,
    file_based_input_fn_builder,
)
from albert.finetuning.classification.kind import class_weights
from albert.finetuning.flags import TASK_FLAGS
from albert.finetuning.tasks import registry
from albert.finetuning.tasks.base import InputExample, PaddingInputExample
from albert.heads.classification import ClassificationHead
from albert.model_files.configuration import AlbertConfig
from helpers.paths import GOLDEN

DATA = os.path.join(GOLDEN, "tasks", "data")
SPM_FILE = os.path.join(GOLDEN, "tasks", "spm", "tiny.model")
CLUE = ("afqmc", "cmnli", "csl", "iflytek", "tnews", "wsc", "copa", "xnli")
GLUE = "cola mnli mismnli mrpc rte sst-2 sts-b qqp qnli wnli ax".split()
SP_GOOGLE = {
    "cola": "glue/CoLA",
    "mnli": "glue/MNLI",
    "mrpc": "glue/MRPC",
    "xnli": "xnli_google",
    "lcqmc_pair": "lcqmc",
}


def load(name):
    with open(os.path.join(GOLDEN, "tasks", "golden", name + ".json"), encoding="utf-8") as handle:
        return json.load(handle)


@pytest.fixture(scope="module")
def tokenizers():
    return {
        "vocab": tokenization.FullTokenizer(os.path.join(GOLDEN, "vocab.txt")),
        "spm": tokenization.FullTokenizer(None, spm_model_file=SPM_FILE),
    }


def get_processor(task_name, vocabulary="vocab", **options):
    options.update(do_lower_case=True, spm_model_file=vocabulary == "spm" and SPM_FILE)
    return registry.get_processor(task_name, options)


def check_features(processor, data_dir, expected, tokenizer):
    """Compares all sets and lengths of a golden entry; returns the number of examples."""
    labels = processor.get_labels()
    assert labels == expected["labels"]
    compared = 0
    for key in expected:
        if not key.startswith("max_seq_length_"):
            continue
        length = int(key.rpartition("_")[2])
        for set_type, rows in expected[key].items():
            if "error" in rows[0]:  # the reference cannot read this set
                continue
            examples = getattr(processor, "get_%s_examples" % set_type)(data_dir)
            assert len(examples) == len(rows)
            for example, row in zip(examples, rows):
                check_example(example, row, labels, length, tokenizer)
                compared += 1
    return compared


def check_example(example, row, labels, length, tokenizer):
    for key in ("guid", "text_a", "text_b", "label"):
        assert getattr(example, key) == row[key], row
    features = convert_single_example(0, example, labels, length, tokenizer)
    for key in ("input_ids", "input_mask", "segment_ids", "label_id"):
        assert getattr(features, key) == row[key], (key, row)
    encoded = encode_example(example, labels, length, tokenizer)
    count = sum(row["input_mask"])
    assert encoded.input_ids == row["input_ids"][:count]
    assert encoded.segment_ids == row["segment_ids"][:count]
    assert (encoded.label_id, encoded.is_real_example) == (row["label_id"], True)
    assert tokenizer.convert_ids_to_tokens(encoded.input_ids) == row["tokens"]


# Features against the reference


@pytest.mark.parametrize("task_name", CLUE)
def test_clue_features(tokenizers, task_name):
    folder = {"xnli": "xnli_clue"}.get(task_name, task_name)
    expected = load("classify_clue_" + task_name)
    data_dir = os.path.join(DATA, folder)
    assert check_features(get_processor(task_name), data_dir, expected, tokenizers["vocab"]) >= 18


def test_ocnli_and_cluewsc(tokenizers):
    for task_name, folder, name in (
        ("ocnli", "ocnli", "classify_clue_ocnli_via_cmnli"),
        ("cluewsc2020", "wsc", "classify_clue_wsc"),
    ):
        data_dir = os.path.join(DATA, folder)
        assert check_features(get_processor(task_name), data_dir, load(name), tokenizers["vocab"])


@pytest.mark.parametrize("vocabulary", ["vocab", "spm"])
@pytest.mark.parametrize("task_name", GLUE)
def test_glue_features(tokenizers, task_name, vocabulary):
    expected = load("classify_glue_" + vocabulary)[task_name]
    processor = get_processor(task_name, vocabulary)
    data_dir = os.path.join(DATA, "glue")
    assert check_features(processor, data_dir, expected, tokenizers[vocabulary]) >= 3


@pytest.mark.parametrize("vocabulary", ["vocab", "spm"])
@pytest.mark.parametrize("task_name", sorted(SP_GOOGLE))
def test_sp_google_features(tokenizers, task_name, vocabulary):
    expected = load("classify_sp_google_" + vocabulary)[task_name]
    processor = get_processor(task_name, vocabulary)
    if task_name == "lcqmc_pair":  # that program evaluates on the test file
        processor.files = dict(processor.files, dev=processor.files["test"])
    data_dir = os.path.join(DATA, SP_GOOGLE[task_name])
    assert check_features(processor, data_dir, expected, tokenizers[vocabulary]) >= 6


def test_paths_that_the_reference_does_not_use(tokenizers):
    expected = load("classify_clue_unused_paths")
    examples = get_processor("copa_pair").get_train_examples(os.path.join(DATA, "copa"))
    assert [vars(example) for example in examples] == expected["copa_create_examples_one"]
    first, *_ = rows = expected["inews_windows_L20"]
    example = InputExample(*(first[k] for k in ("guid", "text_a", "text_b")), "1")
    windows = encode_windows(example, ["0", "1"], 20, tokenizers["vocab"])
    assert len(windows) == len(rows)
    for window, row in zip(windows, rows):
        count = sum(row["input_mask"])
        assert window.input_ids == row["input_ids"][:count]
        assert window.segment_ids == row["segment_ids"][:count]
        assert window.label_id == row["label_id"]
    with pytest.raises(InputError, match="example train-0: text_a has 4 tokens; .* at most 3"):
        example.guid = "train-0"
        encode_windows(example, ["0", "1"], 7, tokenizers["vocab"])


@pytest.mark.parametrize("task_name", ["mrpc", "sts-b"])
def test_classification_head_of_google(task_name):
    expected = load("heads_google")["classification_" + task_name]
    count = len(expected["variables"]["output_bias"])
    regression = get_processor(task_name).is_regression
    with tf.Graph().as_default(), tf.Session() as session:
        outputs = ClassificationHead(count, regression=regression).classify(
            AlbertConfig(10, hidden_size=6, num_attention_heads=2),
            tf.constant(expected["pooled"]),
            tf.constant(expected["labels"]),
        )
        session.run(tf.global_variables_initializer())
        for variable in tf.trainable_variables():
            variable.load(expected["variables"][variable.op.name], session)
        values = session.run(outputs)
    for key, value in zip(("loss", "per_example_loss", "logits", "probabilities"), values):
        wanted = np.reshape(expected[key], value.shape)
        np.testing.assert_allclose(value, wanted, rtol=0, atol=1e-6, err_msg=key)


def test_regression_records(tokenizers, tmp_path):
    processor = get_processor("sts-b")
    labels = processor.get_labels()
    examples = processor.get_dev_examples(os.path.join(DATA, "glue"))
    examples.append(PaddingInputExample())
    path = str(tmp_path / "records")
    file_based_convert_examples_to_features(examples, labels, 24, tokenizers["vocab"], path)
    input_fn = file_based_input_fn_builder(path, 24, False, False, regression=1)
    with tf.Graph().as_default(), tf.Session() as session:
        batch = tf.data.make_one_shot_iterator(input_fn({"batch_size": 4})).get_next()
        values = session.run(batch)
    assert values["label_ids"].dtype == np.float32
    np.testing.assert_array_equal(values["label_ids"], np.float32([4.25, 1.5, 3.2, 0.0]))
    assert values["is_real_example"].tolist() == [1, 1, 1, 0]


def test_class_weights():
    weights = class_weights([0, 0, 0, 2], 3)
    np.testing.assert_allclose(weights, [4 / 6, 0.0, 2.0])
    assert weights.dtype == np.float32
    assert weights[[0, 0, 0, 2]].mean() == pytest.approx(1.0)
    with pytest.raises(InputError, match="label id 3; expected less than 3"):
        class_weights([3], 3)


# Layouts and variants


def write(path, *lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("".join(line + "\n" for line in lines).encode("utf-8"))
    return str(path)


def test_published_xnli_has_test_labels(tmp_path):
    row = "\t".join(["zh", "neutral", "", "", "", "", "前提", "假设", "1"])
    write(tmp_path / "xnli.test.tsv", "header", row.replace("zh", "en"), row)
    processor = get_processor("xnli")
    (example,) = processor.get_test_examples(str(tmp_path))
    assert vars(example) == dict(guid="test-2", text_a="前提", text_b="假设", label="neutral")
    assert processor.test_has_labels
    processor.check_rows()
    assert processor.num_rows == {str(tmp_path / "xnli.test.tsv"): 2}


def test_ocnli_file_of_the_archive(tmp_path):
    line = json.dumps({"sentence1": "a", "sentence2": "b", "label": "neutral"})
    write(tmp_path / "train.50k.json", line)
    assert len(get_processor("ocnli").get_train_examples(str(tmp_path))) == 1
    write(tmp_path / "train.json", line, line)
    assert len(get_processor("ocnli").get_train_examples(str(tmp_path))) == 2


def test_text_of_glue_depends_on_the_layout(tmp_path):
    """google-research/albert normalizes only with SentencePiece, albert_zh always."""
    row = "x\t1\t\tCafé，Ａ"
    in_folder = write(tmp_path / "CoLA" / "train.tsv", row)

    def text(**options):
        return get_processor("cola", **options).get_train_examples(str(tmp_path))[0].text_a

    assert text() == "Café，Ａ"
    assert text(vocabulary="spm") == "cafe,a"
    assert text(normalize_text=True) == "cafe,a"
    os.rename(in_folder, str(tmp_path / "train.tsv"))
    assert text() == "cafe,a"
    write(tmp_path / "SST-2" / "train.tsv", "sentence\tlabel", "Café\t1")
    os.rename(str(tmp_path / "SST-2" / "train.tsv"), str(tmp_path / "train.tsv"))
    assert get_processor("sst-2").get_train_examples(str(tmp_path))[0].text_a == "Café"


def test_labels_may_be_numbers_or_truth_values(tmp_path):
    pair = {"sentence1": "a", "sentence2": "b", "label": 1}
    write(tmp_path / "train.json", json.dumps(pair))
    assert get_processor("afqmc").get_train_examples(str(tmp_path))[0].label == "1"
    target = {"span1_text": "小", "span1_index": 0, "span2_text": "它", "span2_index": 1}
    write(tmp_path / "train.json", json.dumps({"text": "小它", "target": target, "label": True}))
    (example,) = get_processor("wsc").get_train_examples(str(tmp_path))
    assert (example.label, example.text_a) == ("true", "_小_[它]")


def test_ids_that_are_no_running_numbers(tmp_path, caplog):
    lines = [json.dumps({"id": index, "sentence": "a"}) for index in (0, "1", 5, 7)]
    write(tmp_path / "test.json", *lines)
    assert len(get_processor("tnews").get_test_examples(str(tmp_path))) == 4
    assert caplog.text.count("predictions are numbered from 0") == 1
    assert "test.json, line 3: id 5;" in caplog.text


def test_wsc_spans_that_start_together(tmp_path):
    target = {"span1_text": "小猫", "span1_index": 1, "span2_text": "小", "span2_index": 1}
    write(tmp_path / "dev.json", json.dumps({"text": "这小猫", "target": target, "label": "true"}))
    (example,) = get_processor("wsc").get_dev_examples(str(tmp_path))
    assert example.text_a == "这[小_]猫_"


def test_list_of_tasks():
    text = registry.list_tasks()
    names = [line for line in text.splitlines() if line and not line.startswith(" ")]
    assert names == sorted(registry.TASKS)
    assert set(CLUE + tuple(GLUE)) | {"lcqmc", "sentence_pair", "ocnli", "custom"} <= set(names)
    entry = text[text.index("\nsts-b\n") :].split("\n\n")[0]
    assert "train train.tsv; dev dev.tsv; test test.tsv, in STS-B/" in entry
    assert "guid 0, text_a 7, text_b 8, label last; test: guid 0, text_a 7, text_b 8;" in entry
    assert "pearson" in entry
    assert "0, ..., 118 (119)" in text
    assert "test test.txt (with labels)\n" in text[text.index("\nlcqmc\n") :].split("\n\n")[0]
    assert text.count("(with labels)") == 3  # lcqmc, lcqmc_pair, sentence_pair


# Bad files


def test_half_of_a_surrogate_pair(tmp_path):
    """A truncated emoji; a whole one stays."""
    pair = {"sentence1": "你\ud83d", "sentence2": "\U0001f600", "label": "0"}
    write(tmp_path / "train.json", json.dumps(pair))
    (example,) = get_processor("afqmc").get_train_examples(str(tmp_path))
    assert (example.text_a, example.text_b) == ("你\ufffd", "\U0001f600")


GOOD_WSC = {"span1_text": "a", "span1_index": 0, "span2_text": "b", "span2_index": 1}
BAD_LINES = [
    ("afqmc", "{'a': 1}", r"line 2: not valid JSON \(.*\); expected a JSON object"),
    ("afqmc", "[1]", r"line 2: a JSON list; expected an object"),
    ("afqmc", "[" * 100000, r"line 2: not valid JSON \(.*\); expected a JSON object"),
    ("afqmc", {"sentence1": "a", "label": "0"}, "no field 'sentence2'; expected a string"),
    ("afqmc", {"sentence1": 1, "sentence2": "b", "label": "0"}, "'sentence1' is 1; expected a str"),
    ("afqmc", {"sentence1": "a", "sentence2": "b"}, "no field 'label'; expected a string"),
    ("afqmc", {"sentence1": "a", "sentence2": "b", "label": "2"}, "label '2'; expected .* 0, 1"),
    ("afqmc", {"sentence1": "a", "sentence2": "b", "label": []}, r"'label' is \[\]; expected"),
    ("tnews", {"sentence": "a", "label": "105"}, "label '105'; expected one of 100, 101"),
    ("iflytek", {"sentence": "a", "label": "119"}, r"18, 19, \.\.\. \(119 labels\)"),
    ("csl", {"keyword": "a", "abst": "b", "label": "0"}, "'keyword' is \"a\"; expected a list"),
    ("csl", {"keyword": [1], "abst": "b", "label": "0"}, "'keyword' holds something else"),
    ("copa", {"premise": "a", "question": "why", "label": 0}, "question 'why'; expected cause"),
    ("copa", {"premise": "a", "question": "cause", "label": 2}, "label '2'; expected"),
    ("wsc", {"text": "ab", "target": [], "label": "true"}, r"'target' is \[\]; expected an object"),
    (
        "wsc",
        {"text": "ab", "target": dict(GOOD_WSC, span2_index=-1), "label": "true"},
        "span2_text",
    ),
    ("wsc", {"text": "ab", "target": dict(GOOD_WSC, span1_index=1), "label": "true"}, "'a' is not"),
]


@pytest.mark.parametrize("task_name,line,message", BAD_LINES)
def test_bad_json_lines(tmp_path, task_name, line, message):
    with open(os.path.join(DATA, task_name, "train.json"), encoding="utf-8") as handle:
        good = handle.readline().rstrip("\n")
    line = line if isinstance(line, str) else json.dumps(line)
    write(tmp_path / "train.json", good, line, good)
    with pytest.raises(InputError, match=message) as error:
        get_processor(task_name).get_train_examples(str(tmp_path))
    assert "train.json, line 2: " in str(error.value)


def test_bad_glue_files(tmp_path):
    row = "0\t1\t2\t3\t4\t5\t6\tone\ttwo\t%s"
    write(tmp_path / "STS-B" / "train.tsv", "header", row % "4.5", row % "nan")
    with pytest.raises(InputError, match=r"train\.tsv, line 3: label 'nan'; expected a number\."):
        get_processor("sts-b").get_train_examples(str(tmp_path))
    write(tmp_path / "RTE" / "dev.tsv", "index\ts1\ts2\tlabel", "0\ta\tentailment")
    processor = get_processor("rte")
    assert processor.get_dev_examples(str(tmp_path)) == []
    with pytest.raises(InputError, match=r"dev\.tsv: no usable row\."):
        processor.check_rows()
    with pytest.raises(InputError, match=r"QQP.test\.tsv: no such file\."):
        get_processor("qqp").get_test_examples(str(tmp_path))
    with pytest.raises(InputError, match="--task_name=ax has no train file; .*=mnli"):
        get_processor("ax").get_train_examples(str(tmp_path))


def test_unknown_task():
    with pytest.raises(InputError, match="no task 'nothing'; expected one of afqmc, ax, "):
        registry.get_processor("nothing")
    with pytest.raises(InputError, match="no task ''"):
        registry.get_processor(None)


# The user's own data


def parse(*arguments):
    """Options as a script gets them."""
    values = flags.FlagValues()
    flag_table.define(values, TASK_FLAGS)
    values(["script", *arguments])
    return values.flag_values_dict()


def custom(*arguments):
    return registry.get_processor("custom", parse(*arguments))


def as_tuples(examples):
    return [(e.guid, e.text_a, e.text_b, e.label) for e in examples]


NAMES = ["--text_a=question", "--text_b=answer", "--label=class"]
PAIRS = [("天 气", "晴,天", "好"), ('说"你好"', "再见", "坏"), ("第三", "句", "好")]
EXPECTED = [("train-%d" % index, *pair) for index, pair in enumerate(PAIRS)]


def pair_lines(kind, with_header=True):
    """The same three examples, columns id, class, question, answer."""
    names = ["id", "class", "question", "answer"]
    rows = [[str(i), label, a, b] for i, (a, b, label) in enumerate(PAIRS)]
    if kind == "jsonl":
        return [json.dumps(dict(zip(names, row))) for row in rows]
    rows = [names] * with_header + rows
    if kind == "tsv":
        return ["\t".join(row) for row in rows]
    return [",".join('"%s"' % cell.replace('"', '""') for cell in row) for row in rows]


@pytest.mark.parametrize("kind", ["tsv", "csv", "jsonl"])
def test_custom_columns_by_name(tmp_path, kind):
    path = write(tmp_path / ("train." + kind), *pair_lines(kind))
    processor = custom("--train_file=" + path, *NAMES)
    assert processor.get_labels() == ["坏", "好"]
    assert as_tuples(processor.get_train_examples(None)) == EXPECTED
    assert processor.num_rows == {path: 3}
    assert (processor.metric, processor.needs_data_dir) == ("eval_accuracy", False)


@pytest.mark.parametrize("kind", ["tsv", "csv"])
@pytest.mark.parametrize("with_header", [True, False])
def test_custom_columns_by_number(tmp_path, caplog, kind, with_header):
    write(tmp_path / ("train." + kind), *pair_lines(kind, with_header))
    processor = custom(
        "--train_file=train." + kind,
        "--text_a=2",
        "--text_b=3",
        "--label=1",
        "--labels=坏,好",
    )
    assert as_tuples(processor.get_train_examples(str(tmp_path))) == EXPECTED
    assert ("taken as a header" in caplog.text) == with_header


def test_header_is_detected_without_known_labels(tmp_path, caplog):
    lines = ["正文\t类别"] + ["文本%d\t%s" % (index, "甲乙"[index % 2]) for index in range(6)]
    path = write(tmp_path / "train.tsv", *lines)
    dev = write(tmp_path / "dev.txt", *lines[:3])
    processor = custom("--train_file=" + path, "--dev_file=" + dev)
    assert processor.get_labels() == ["乙", "甲"]
    assert len(processor.get_train_examples(None)) == 6
    assert "(no other line has the label '类别'; --header=no if it is one)" in caplog.text
    assert as_tuples(processor.get_dev_examples(None))[0] == ("dev-0", "文本0", None, "甲")
    processor = custom("--train_file=" + path, "--header=no")
    assert processor.get_labels() == ["乙", "甲", "类别"]
    numbers = write(tmp_path / "numbers.tsv", *("文本\t%d" % (index % 3) for index in range(2, 9)))
    processor = custom("--train_file=" + numbers)
    assert processor.get_labels() == ["0", "1", "2"]
    assert len(processor.get_train_examples(None)) == 7
    assert len(custom("--train_file=" + numbers, "--header=yes").get_train_examples(None)) == 6


def test_labels_are_ordered_as_numbers_if_they_are(tmp_path):
    path = write(tmp_path / "train.tsv", *("文本\t%d" % (index % 12) for index in range(36)))
    assert custom("--train_file=" + path).get_labels() == list(map(str, range(12)))


def test_custom_regression(tmp_path):
    lines = ["text,score", "一般,2.5", '"好,很好",4']
    path = write(tmp_path / "train.csv", *lines)
    processor = custom("--train_file=" + path, "--test_file=" + path, "--regression")
    assert processor.get_labels() == [None]
    assert (processor.is_regression, processor.metric) == (True, "pearson")
    expected = [("train-0", "一般", None, 2.5), ("train-1", "好,很好", None, 4.0)]
    assert as_tuples(processor.get_train_examples(None)) == expected
    assert [e.label for e in processor.get_test_examples(None)] == [2.5, 4.0]
    assert processor.test_has_labels
    write(tmp_path / "train.csv", *lines, "x,many")
    with pytest.raises(InputError, match=r"train\.csv, line 4: label 'many'; expected a number\."):
        processor.get_train_examples(None)


def test_custom_test_files_need_no_label(tmp_path):
    test_file = write(tmp_path / "test.tsv", "甲一\t乙一", "甲二\t乙二")
    arguments = ["--test_file=" + test_file, "--text_b=1", "--labels=0,1"]
    processor = custom(*arguments)
    expected = [("test-0", "甲一", "乙一", "0"), ("test-1", "甲二", "乙二", "0")]
    assert as_tuples(processor.get_test_examples(None)) == expected
    assert not processor.test_has_labels
    write(tmp_path / "test.tsv", "甲一\t乙一\t1", "甲二\t乙二\t0")
    assert [e.label for e in processor.get_test_examples(None)] == ["1", "0"]
    assert processor.test_has_labels
    write(tmp_path / "test.tsv", "question\tanswer", "甲\t乙")
    names = ["--text_a=question", "--text_b=answer", "--label=class"]
    processor = custom("--test_file=" + test_file, *names, "--labels=0,1")
    assert as_tuples(processor.get_test_examples(None)) == [("test-0", "甲", "乙", "0")]
    lines = write(tmp_path / "test.jsonl", json.dumps({"question": "甲", "answer": "乙"}))
    processor = custom("--test_file=" + lines, *names, "--labels=0,1")
    assert as_tuples(processor.get_test_examples(None)) == [("test-0", "甲", "乙", "0")]


def test_custom_labels_of_an_earlier_run(tmp_path):
    path = write(tmp_path / "dev.tsv", "甲\tb", "乙\ta")
    write(tmp_path / "output" / "task.json", json.dumps({"labels": ["b", "a"]}))
    options = parse("--dev_file=" + path)
    processor = registry.get_processor("custom", dict(options, output_dir=str(tmp_path / "output")))
    assert processor.get_labels() == ["b", "a"]
    assert [e.label for e in processor.get_dev_examples(None)] == ["b", "a"]
    processor = registry.get_processor("custom", dict(options, output_dir=str(tmp_path)))
    with pytest.raises(InputError, match="--labels is required"):
        processor.get_labels()


def test_custom_csv_with_line_breaks_and_byte_order_mark(tmp_path):
    path = write(tmp_path / "train.csv", "\ufefftext,label", '"一\n二",a', "三,b", "", "")
    processor = custom("--train_file=" + path, "--text_a=text", "--label=label")
    expected = [("train-0", "一\n二", None, "a"), ("train-1", "三", None, "b")]
    assert as_tuples(processor.get_train_examples(None)) == expected


def test_custom_text_is_prepared_for_sentencepiece(tmp_path):
    path = write(tmp_path / "train.tsv", "Ａ\t0", "Ｂ\t1")
    options = dict(parse("--train_file=" + path), spm_model_file="m", do_lower_case=True)
    processor = registry.get_processor("custom", options)
    assert [e.text_a for e in processor.get_train_examples(None)] == ["a", "b"]


BAD_CUSTOM = [
    ("x.tsv", ["a\tb", "c\td"], ["--label=class"], "line 1: no column 'class' .* are a, b"),
    ("x.tsv", ["a\t0", "b\t2"], ["--labels=0,1"], r"x\.tsv, line 2: label '2'; .* 0, 1"),
    ("x.csv", ["a,0", "b,2"], ["--labels=0,1"], r"x\.csv, line 2: label '2'; .* 0, 1"),
    ("x.csv", ["a,0", '"b,1'], [], r"x\.csv, line 2: .*; expected comma-separated values"),
    ("x.tsv", ["a,0", "c,0"], [], r"x\.tsv, line 1: 1 tab-separated columns; expected one for"),
    ("x.csv", ["a", "c"], [], r"x\.csv, line 1: 1 comma-separated columns; expected one"),
    ("x.csv", ["a,0", "c,0"], [], r"one label at most \('0'\); expected two or more"),
    ("x.tsv", ["a\t%d" % n for n in range(20)], [], "20 different labels in 20 rows; check"),
    ("x.tsv", [], ["--labels=0,1"], r"x\.tsv: no example\."),
    ("x.jsonl", ['{"t": "a", "l": "0"}'], ["--label=l"], "--text_a is required; .* are t, l"),
    ("x.jsonl", ['{"t": "a"}'], ["--text_a=t", "--label=l"], "line 1: no field 'l'"),
    ("x.jsonl", ['{"t": "a", "l": "0"}', "?"], ["--text_a=t", "--label=l"], "line 2: not valid"),
    ("x.json", ["["], ["--text_a=t", "--label=l"], r"x\.json, line 1: not valid JSON"),
    ("x.xls", ["a"], [], r"'.*x\.xls'; expected a file name that ends in \.tsv, "),
    ("x.tsv", ["a\t0"], ["--labels=0,0"], "--labels=0,0: expected two or more labels"),
    ("x.tsv", ["a\t0"], ["--labels=0,1", "--regression"], "--labels names classes"),
    ("x.tsv", ["a\tb"], ["--text_a=a", "--header=no"], "columns are given by number"),
]


@pytest.mark.parametrize("name,lines,arguments,message", BAD_CUSTOM)
def test_bad_custom_data(tmp_path, name, lines, arguments, message):
    path = write(tmp_path / name, *lines)
    with pytest.raises(InputError, match=message):
        processor = custom("--train_file=" + path, *arguments)
        processor.get_labels()
        processor.get_train_examples(None)


@pytest.mark.parametrize("kind", ["tsv", "csv", "jsonl"])
def test_bad_bytes_and_empty_files(tmp_path, kind):
    arguments = [*NAMES, "--labels=好,坏"]
    path = write(tmp_path / ("train." + kind), *pair_lines(kind))
    processor = custom("--train_file=" + path, *arguments)
    assert len(processor.get_train_examples(None)) == 3
    with open(path, "ab") as handle:
        handle.write(b"\xff\n")
    line = 4 if kind == "jsonl" else 5
    with pytest.raises(InputError, match=r"train\.%s, line %d: invalid UTF-8" % (kind, line)):
        processor.get_train_examples(None)
    write(tmp_path / ("train." + kind), *(pair_lines(kind)[:1] if kind != "jsonl" else []))
    with pytest.raises(InputError, match=r"train\.%s: no example\." % kind):
        processor.get_train_examples(None)


def test_custom_rows_that_lack_a_column(tmp_path):
    path = write(tmp_path / "x.csv", *["a,0", "b,1"] * 60, "c")
    processor = custom("--train_file=" + path)
    assert processor.get_labels() == ["0", "1"]
    assert len(processor.get_train_examples(None)) == 120
    assert processor.malformed == {path: [121]}
    processor.check_rows()


def test_missing_custom_files(tmp_path):
    with pytest.raises(InputError, match="--train_file: no such file: 'nowhere.tsv'"):
        custom("--train_file=nowhere.tsv").get_labels()
    with pytest.raises(InputError, match="--labels is required where there is no --train_file"):
        custom().get_labels()
    with pytest.raises(InputError, match="--dev_file is required"):
        custom().get_dev_examples(None)


MODULE = """
from run_classifier import DataProcessor, InputExample

class Mine(DataProcessor):
    def get_train_examples(self, data_dir):
        return [InputExample("train-0", "text", None, "yes")]

    def get_labels(self):
        return ["no", "yes"]
"""


def test_task_module(tmp_path):
    path = write(tmp_path / "mine.py", MODULE)
    processor = registry.get_processor("Mine", {"task_module": path})
    assert processor.get_labels() == ["no", "yes"]
    assert processor.get_train_examples("")[0].label == "yes"
    assert processor.metric == "eval_accuracy"
    write(tmp_path / "mine.py", MODULE + "class Two(Mine):\n    pass\n")
    with pytest.raises(InputError, match="has 2 subclasses of DataProcessor; expected one, or a"):
        registry.get_processor("mine", {"task_module": path})
    write(tmp_path / "mine.py", MODULE + "class Two(Mine):\n    pass\nTASKS = {'two': Two}\n")
    assert type(registry.get_processor("two", {"task_module": path})).__name__ == "Two"
    with pytest.raises(InputError, match="no task 'mine'; expected one of two"):
        registry.get_processor("mine", {"task_module": path})


def test_bad_task_modules(tmp_path):
    for name, content, message in (
        ("syntax.py", "class", r"cannot be imported \(.*syntax\.py, line 1\)"),
        ("imports.py", "import no_such_module", "cannot be imported .*no_such_module"),
        ("text.txt", "", "is no Python file"),
    ):
        path = write(tmp_path / name, content)
        with pytest.raises(InputError, match=message):
            registry.get_processor("mine", {"task_module": path})
    with pytest.raises(InputError, match="--task_module: no such file: 'nowhere.py'"):
        registry.get_processor("mine", {"task_module": "nowhere.py"})
