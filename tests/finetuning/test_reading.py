"""How tasks read users' tables: headers, missing labels, shifted cells, what is told of it."""

import json

import pytest
from absl import flags

from albert.basics import flag_table
from albert.basics.errors import InputError
from albert.finetuning.flags import TASK_FLAGS, FinetuningSettings
from albert.finetuning.task_data import TaskData
from albert.finetuning.tasks import data_report, labels, registry
from albert.model_files.configuration import config_from_dict
from helpers.tasks import TINY_CONFIG, VOCABULARY


def write(path, *lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("".join(line + "\n" for line in lines).encode("utf-8"))
    return str(path)


def custom(*arguments):
    values = flags.FlagValues()
    flag_table.define(values, TASK_FLAGS)
    values(["script", *arguments])
    return registry.get_processor("custom", values.flag_values_dict())


def read(processor, set_type, data_dir=None):
    """(text_a, text_b, label) of each example; files with bad rows are refused."""
    examples = processor.get_examples(data_dir, set_type)
    processor.check_rows()
    return [(example.text_a, example.text_b, example.label) for example in examples]


CHINESE = ["句子\t类别"] + ["第%d句\t%s" % (number, "甲乙"[number % 2]) for number in range(6)]
BOTH = [("很好", None, "甲"), ("不好", None, "乙")]
NO_LABEL = [("很好", None, "乙"), ("不好", None, "乙")]


@pytest.mark.parametrize(
    "name,lines,expected",
    [
        ("x.tsv", ["句子", "很好", "不好"], NO_LABEL),
        ("x.tsv", ["编号\t句子", "1\t很好", "2\t不好"], NO_LABEL),
        ("x.tsv", ["类别\t句子", "甲\t很好", "乙\t不好"], BOTH),
        ("x.csv", ["\ufeff", '"编号"," 句子 ","类别"', '1,"很好",甲', "2,不好,乙"], BOTH),
        ("x.csv", ["编号\t类别\t句子", "1\t甲\t很好", "2\t乙\t不好"], BOTH),
        ("x.tsv", ["很好", "不好"], NO_LABEL),
        ("x.tsv", ["很好\t甲", "不好\t乙"], BOTH),
    ],
)
def test_columns_are_found_by_the_names_of_the_training_file(tmp_path, name, lines, expected):
    processor = custom(
        "--train_file=" + write(tmp_path / "train.tsv", *CHINESE),
        "--test_file=" + write(tmp_path / name, *lines),
    )
    assert read(processor, "test") == expected
    assert processor.test_has_labels == (expected is BOTH)
    assert (processor.reports["test"].header is None) == (lines[0].split("\t")[0] == "很好")


def test_a_file_without_the_header_of_the_training_file_is_told(tmp_path, caplog):
    train = write(tmp_path / "train.tsv", *CHINESE)
    test = write(tmp_path / "test.tsv", "很好", "不好")
    assert len(read(custom("--train_file=" + train, "--test_file=" + test), "test")) == 2
    assert "none of the names of the training file's header (句子, 类别): 很好" in caplog.text


@pytest.mark.parametrize(
    "set_type,lines,message",
    [
        (
            "dev",
            ["句子\t编号\t时间", "很好\t1\t2"],
            "line 1: no column '类别' .* the columns are 句子, 编号, 时间",
        ),
        ("dev", ["1\t很好\t甲"], "line 1: 3 tab-separated columns, but the training file has 2"),
        ("test", ["1\t很好", "2\t不好"], "line 1: '很好': column 1, .* has no label of the task"),
        ("test", ["类别\t文本", "甲\t很好"], "line 1: no column '句子' "),
        ("test", ["句子\t句子", "很好\t甲"], "line 1: 2 columns are named '句子'"),
        ("test", ["甲", "乙"], "column 0, read as text_a, holds labels only"),
    ],
)
def test_columns_do_not_shift_in_silence(tmp_path, set_type, lines, message):
    processor = custom(
        "--train_file=" + write(tmp_path / "train.tsv", *CHINESE),
        "--%s_file=%s" % (set_type, write(tmp_path / "x.tsv", *lines)),
    )
    with pytest.raises(InputError, match=message):
        read(processor, set_type)


def test_renamed_columns_in_the_same_places(tmp_path, caplog):
    train = write(tmp_path / "train.tsv", *CHINESE)
    dev = write(tmp_path / "dev.tsv", "文本\t类别", "很好\t甲")
    assert read(custom("--train_file=" + train, "--dev_file=" + dev), "dev") == BOTH[:1]
    assert "column '文本' is taken as text_a, which is '句子' in the training file" in caplog.text


def test_a_finished_folder_knows_the_header_of_its_training_file(tmp_path):
    processor = custom("--train_file=" + write(tmp_path / "train.tsv", *CHINESE))
    assert read(processor, "train")
    task = dict(processor.task_entries(), labels=processor.get_labels())
    write(tmp_path / "output" / "task.json", json.dumps(task))

    def new(*lines, **options):
        path = write(tmp_path / "new.tsv", *lines)
        options.update(test_file=path, output_dir=str(tmp_path / "output"))
        return read(registry.get_processor("custom", options), "test")

    assert new("编号\t句子", "1\t很好", "2\t不好") == NO_LABEL
    assert new("句子", "很好", "不好") == new("很好", "不好") == NO_LABEL
    with pytest.raises(InputError, match="column 1, .* has no label of the task"):
        new("1\t很好", "2\t不好")
    assert new("1\t很好", "2\t不好", text_a="1") == NO_LABEL  # as the user says
    assert new("x\t句子", "很好\t1", "不好\t2", text_a="0") == NO_LABEL
    for place in ("", "model.ckpt-5"):  # predictions go elsewhere
        options = dict(output_dir=str(tmp_path), init_checkpoint=str(tmp_path / "output" / place))
        path = write(tmp_path / "new.tsv", "编号\t句子", "1\t很好", "2\t不好")
        processor = registry.get_processor("custom", dict(options, test_file=path))
        assert read(processor, "test") == NO_LABEL


def test_a_finished_folder_knows_the_columns_of_a_training_file_without_header(tmp_path):
    processor = custom("--train_file=" + write(tmp_path / "train.tsv", *CHINESE[1:]))
    assert read(processor, "train")
    task = dict(processor.task_entries(), labels=processor.get_labels())
    write(tmp_path / "output" / "task.json", json.dumps(task))

    def new(*lines):
        path = write(tmp_path / "x.tsv", *lines)
        options = dict(test_file=path, output_dir=str(tmp_path / "output"))
        return read(registry.get_processor("custom", options), "test")

    assert new("很好", "不好") == NO_LABEL
    assert new("很好\t甲", "不好\t乙") == BOTH
    with pytest.raises(InputError, match="column 1, .* has no label of the task"):
        new("1\t很好", "2\t不好")
    with pytest.raises(InputError, match="3 tab-separated columns, but the training file has 2"):
        new("1\t很好\t甲", "2\t不好\t乙")


PAIR_HEADERS = {
    "lcqmc": ("train.txt", "test.txt", "text_a\ttext_b\tlabel", "甲\t乙\t1"),
    "sentence_pair": ("train_0827.tsv", "test_0827.tsv", "label\ttext_a\ttext_b", "1\t甲\t乙"),
}


@pytest.mark.parametrize("task_name", sorted(PAIR_HEADERS))
def test_pairs_without_labels_are_predicted(tmp_path, task_name):
    train, test, header, row = PAIR_HEADERS[task_name]
    for lines, expected in (
        (["text_a\ttext_b", "丙\t丁", "", "戊\t己"], [("丙", "丁", "0"), ("戊", "己", "0")]),
        (["text_a\ttext_b\t", "丙\t丁\t"], [("丙", "丁", "0")]),
        ([header, row.replace("1", "-1"), row.replace("1", "")], [("甲", "乙", "0")] * 2),
    ):
        write(tmp_path / test, *lines)
        processor = registry.get_processor(task_name)
        assert read(processor, "test", str(tmp_path)) == expected
        assert not processor.test_has_labels
        assert processor.reports["test"].unlabelled
    write(tmp_path / train, header, row)
    write(tmp_path / test, "id\ttext_b\ttext_a", "1\t丁\t丙")
    processor = registry.get_processor(task_name)
    assert read(processor, "test", str(tmp_path)) == [("丙", "丁", "0")]
    write(tmp_path / test, header, row)
    assert read(processor, "test", str(tmp_path)) == [("甲", "乙", "1")]
    assert processor.test_has_labels


def test_a_finished_folder_knows_the_header_of_its_tasks_file(tmp_path, caplog):
    write(tmp_path / "data" / "train.txt", "问\t答\t标签", "甲\t乙\t1", "丙\t丁\t0")
    processor = registry.get_processor("lcqmc")
    assert read(processor, "train", str(tmp_path / "data"))
    write(tmp_path / "finished" / "task.json", json.dumps(processor.task_entries()))

    def new(*lines):
        options = dict(test_file=write(tmp_path / "new.tsv", *lines))
        options.update(init_checkpoint=str(tmp_path / "finished" / "model.ckpt-5"))
        return read(registry.get_processor("lcqmc", options), "test", "")

    assert new("编号\t答\t问", "7\t己\t戊") == [("戊", "己", "0")]
    assert not caplog.records
    assert new("甲\t乙", "戊\t己") == [("戊", "己", "0")]
    assert "has none of the names of the training file's header (问, 答, 标签)" in caplog.text


def test_a_header_that_seems_to_be_missing_is_told(tmp_path, caplog):
    write(tmp_path / "train.txt", "text_a\ttext_b\tlabel", "甲\t乙\t1")
    write(tmp_path / "test.txt", "丙\t丁", "戊\t己")
    processor = registry.get_processor("lcqmc")
    assert read(processor, "test", str(tmp_path)) == [("戊", "己", "0")]
    assert "has none of the names of the training file's header" in caplog.text


def test_unknown_labels_of_a_test_file(tmp_path, caplog):
    names = ["--text_a=t", "--label=l", "--labels=0,1"]
    path = write(tmp_path / "x.tsv", "t\tl", "甲\t-1", "乙\t1")
    processor = custom("--test_file=" + path, *names)
    assert read(processor, "test") == [("甲", None, "0"), ("乙", None, "0")]
    assert "read as a file without labels (1 of 2 rows have the label '-1')" in caplog.text
    with pytest.raises(InputError, match=r"x\.tsv, line 2: label '-1'; expected one of 0, 1"):
        read(custom("--dev_file=" + path, *names), "dev")
    write(tmp_path / "x.tsv", "t\tl", "甲\t1", "乙\t2")  # is no sign of anything unknown
    with pytest.raises(InputError, match=r"x\.tsv, line 3: label '2'; expected one of 0, 1"):
        read(custom("--test_file=" + path, *names), "test")
    processor = custom("--test_file=" + path, "--text_a=t", "--label=l", "--regression")
    assert [label for _, _, label in read(processor, "test")] == [1.0, 2.0]
    write(tmp_path / "x.tsv", "t\tl", "甲\t-1", "乙\t-1")
    assert [label for _, _, label in read(processor, "test")] == [0.0, 0.0]
    write(tmp_path / "x.tsv", "t\tl", "甲", "乙")  # the label's column has a name and no cells
    assert len(read(custom("--test_file=" + path, *names), "test")) == 2
    path = write(tmp_path / "x.jsonl", json.dumps({"t": "甲", "l": None}), "")
    assert read(custom("--test_file=" + path, *names), "test") == [("甲", None, "0")]


def test_a_first_line_whose_label_is_missing_is_no_header(tmp_path, caplog):
    rows = ["文%d\t%s" % (number, "甲乙"[number % 2]) for number in range(6)]
    train = write(tmp_path / "train.tsv", *rows)
    for unknown in ("", " ", "?", "-1.0"):
        path = write(tmp_path / "x.tsv", "首\t" + unknown, *rows)
        processor = custom("--train_file=" + train, "--test_file=" + path, "--dev_file=" + path)
        assert read(processor, "test")[0][0] == "首"
        with pytest.raises(InputError, match=r"x\.tsv, line 1: "):
            read(processor, "dev")
    path = write(tmp_path / "x.tsv", "首\tnan", "文\t1")
    with pytest.raises(InputError, match=r"x\.tsv, line 1: label 'nan'; expected a number"):
        read(custom("--train_file=" + path, "--regression"), "train")
    write(tmp_path / "x.tsv", "编号\t文", "1\t甲文", "2\t乙文")
    numbers = ["--text_a=1", "--label=2"]
    train = write(tmp_path / "train.tsv", *("%d\t%s" % item for item in enumerate(rows)))
    assert len(read(custom("--train_file=" + train, "--test_file=" + path, *numbers), "test")) == 3
    assert "has no number where all other lines have one; --header=yes if" in caplog.text


# Labels


def test_labels_that_look_the_same_are_told():
    report = data_report.SetReport("x.tsv", "tab-separated")
    report.labels.update({"1": 30, "01": 30, "\uff11": 30, "Yes": 30, "yes": 30, "10": 30})
    assert report.warnings() == []
    report.finds_labels = True
    (warning,) = report.warnings()
    assert warning.endswith("different classes: 1, 01, \uff11, Yes, yes.")


def test_labels_in_quotes_name_the_reason(tmp_path):
    write(tmp_path / "train.txt", '"a"\t"b"\t"label"', '"甲"\t"乙"\t"1"')
    with pytest.raises(InputError, match="expected one of 0, 1 .only .csv files have quoted cells"):
        registry.get_processor("lcqmc").get_train_examples(str(tmp_path))


def test_labels_that_are_the_same():
    assert labels.match(" 1\u3000", ["0", "1"]) == "1"
    assert labels.match("1.0", ["0", "1"]) == "1"
    assert labels.match("0", ["0.0", "1.0"]) == "0.0"
    assert labels.match("TRUE", ["False", "True"]) == "True"
    for value in ("1.5", "2.0", "A", "", "1 0"):
        assert labels.match(value, ["0", "1", "a"]) is None
    assert labels.of_found(["0", "1", "1.0", " 1", "10", "2.0"]) == ["0", "1", "2", "10"]
    assert labels.of_found(["0.0", "1.0"]) == ["0.0", "1.0"]
    assert labels.of_found(["v1", "1.0", "1", "2.0"]) == ["1", "2.0", "v1"]
    assert labels.of_found(["TRUE", "True", "False"]) == ["false", "true"]
    assert labels.of_found(["TRUE", "FALSE"]) == ["FALSE", "TRUE"]
    assert labels.of_found(["-1", "0.0", "1"]) == ["-1", "0", "1"]
    assert labels.rare({"a": 50, "b": 2, "c": 3, "d": 1}) == ["b", "d"]
    assert labels.rare({"a": 3, "b": 1}) == []


def test_labels_in_tables_and_json(tmp_path):
    rows = [("一", "1"), ("二", " 0"), ("三", "1.0"), ("四", "\u00a01\u3000"), ("五", "0")]
    expected = [("一", None, "1"), ("二", None, "0"), ("三", None, "1"), ("四", None, "1")]
    expected.append(("五", None, "0"))
    path = write(tmp_path / "x.csv", "text,label", *map(",".join, rows))
    processor = custom("--train_file=" + path)
    assert (processor.get_labels(), read(processor, "train")) == (["0", "1"], expected)
    values = [1, 0.0, 1.0, "1.0", " 0"]
    lines = [json.dumps({"t": t, "l": value}) for (t, _), value in zip(rows, values)]
    path = write(tmp_path / "x.jsonl", "\ufeff" + lines[0], "", *lines[1:], " ")
    processor = custom("--train_file=" + path, "--text_a=t", "--label=l")
    assert (processor.get_labels(), read(processor, "train")) == (["0", "1"], expected)


@pytest.mark.parametrize(
    "name,lines,message",
    [
        ("x.csv", ["text,label", "好,1", "", "坏,", "真,0"], "line 4: an empty label"),
        ("x.csv", ["text,label", "好,1", "坏, ", "真,0"], "line 3: an empty label"),
        ("x.jsonl", ['{"text": "a", "label": ""}'], "line 1: an empty label"),
        ("x.jsonl", ['{"text": "a", "label": null}'], "line 1: field 'label' is null"),
        ("x.jsonl", ["", '{"text": "a", "label": NaN}'], "line 2: field 'label' is nan"),
        (
            "x.csv",
            ["text,label", *["好,1", "坏,0"] * 9, "好,真的,1"],
            "line 20: 1 of 19 rows have m",
        ),
        ("x.csv", [*["好,1", "坏,0"] * 9, "好,真的,1"], "line 19: .*double quotes around it"),
        ("x.tsv", ["text\tlabel", '"一', '二"\t1', "三\t0", "四\t1"], "line 2: .*only .csv files"),
        ("x.tsv", ["text\tlabel", '"一\t二"\t1', "三\t0", "四\t1"], "line 2: .*only .csv files"),
        ("x.csv", ["text;label", "好;1", "坏;0"], "line 1: .* seem to be semicolon-separated"),
    ],
)
def test_cells_that_are_no_labels(tmp_path, name, lines, message):
    names = ["--text_a=text", "--label=label"] if lines[0] != "好,1" else []
    path = write(tmp_path / name, *lines)
    if "semicolon" in message:
        names = []
    processor = custom("--train_file=" + path, *names)
    with pytest.raises(InputError, match=r"%s.*, %s" % (name[:1], message)):
        processor.get_labels()
        read(processor, "train")


def test_column_numbers_above_those_of_the_file(tmp_path):
    for name, cells in (
        ("x.csv", "1\t甲\t乙\t1"),
        ("x.csv", "1,甲,乙,1"),
        ("x.tsv", "1\t甲\t乙\t1"),
    ):
        path = write(tmp_path / name, cells, cells.replace("1", "0"))
        numbers = ["--text_a=1", "--text_b=2", "--label=3"]
        assert len(read(custom("--train_file=" + path, *numbers), "train")) == 2
        with pytest.raises(InputError, match="line 1: 4 .* columns, numbered from 0, .*--text_b=4"):
            custom("--train_file=" + path, "--text_b=4").get_labels()


# What is told


def test_a_program_is_told_of_dropped_rows_once(tmp_path, caplog):
    write(tmp_path / "train.txt", "a\tb\tlabel", "甲\t乙\t1", "短", "甲\t乙\t0")
    processor = registry.get_processor("lcqmc")
    for _ in range(2):
        assert len(processor.get_train_examples(str(tmp_path))) == 2
    assert caplog.text.count("dropped 1 of 3 rows that lack a column (first: line 3)") == 1


def test_tables_of_a_programs_own_task(tmp_path):
    path = write(tmp_path / "x.tsv", '\ufeff"甲\t乙"\t"1"', "", '丙\t"0"')
    read_tsv = registry.DataProcessor._read_tsv
    assert read_tsv(path) == [['"甲', '乙"', '"1"'], ["丙", '"0"']]
    assert read_tsv(input_file=path, quotechar=None) == read_tsv(path)
    assert read_tsv(path, quotechar='"') == [["甲\t乙", "1"], ["丙", "0"]]
    write(tmp_path / "x.tsv", '"甲\t1')
    with pytest.raises(InputError, match=r"x\.tsv, line 1: "):
        read_tsv(path, '"')


def test_notes_of_what_was_read(tmp_path, caplog):
    lines = ["text\tlabel", *["文\t%d" % (number % 2) for number in range(300)], "短", "", "文\t错"]
    path = write(tmp_path / "x.tsv", *lines)
    processor = custom("--train_file=" + path)
    examples = processor.get_train_examples(None)
    processor.check_rows()
    notes = processor.reports["train"]
    notes.labels.update(example.label for example in examples)
    content = notes.content()
    assert content["file"] == path
    assert (content["format"], content["header"]) == ("tab-separated", ["text", "label"])
    assert (content["rows"], content["blank_lines"]) == (302, 1)
    assert content["dropped"] == {"lacks a column": 1}
    assert content["labels"] == {"0": 150, "1": 150, "错": 1}
    assert content["rare_labels"] == ["错"]
    assert "occur once or twice in 302 rows: '错' (1)" in notes.warnings()[0]
    told = "tab-separated; the first line is the header (text, label); 302 rows; blank lines left"
    assert told + " out: 1; " in notes.describe()
    assert "lacks a column (first: line 302)" in notes.describe()


def test_texts_of_which_a_model_sees_nothing_are_counted(tmp_path, caplog):
    vocab_file = write(tmp_path / "vocab.txt", *VOCABULARY)
    rows = [("今天", "周末"), ("", "周末"), ("\u200b", "周末"), ("今天", ""), ("今天", "\x01")]
    path = write(tmp_path / "x.tsv", "a\tb\tlabel", *("%s\t%s\t1" % row for row in rows))
    processor = custom("--train_file=" + path, "--text_a=a", "--text_b=b", "--labels=0,1")
    settings = FinetuningSettings(vocab_file=vocab_file, max_seq_length=20)
    data = TaskData(processor, config_from_dict(TINY_CONFIG), settings)
    assert len(data.examples("train")) == len(rows)
    assert data.report()["train"]["empty_texts"] == 4
    assert "x.tsv: examples with an empty text: 4." in caplog.text
    assert any("examples with an empty text: 4." in line for line in data.describe())


def test_files_that_were_put_together(tmp_path):
    part = ["\ufeffclass,text", *["1,甲", "0,乙"] * 3]
    path = write(tmp_path / "x.csv", *part, *part, "\ufeff1,丙")
    processor = custom("--train_file=" + path, "--text_a=text", "--label=class")
    assert processor.get_labels() == ["0", "1"]
    assert len(read(processor, "train")) == 13
    assert processor.reports["train"].content()["dropped"] == {"is the header again": 1}


def test_rows_that_a_task_leaves_out_are_counted(tmp_path):
    pairs = [{"sentence1": "a", "sentence2": "b", "label": label} for label in "-n-"]
    pairs[1]["label"] = "neutral"
    write(tmp_path / "train.json", *map(json.dumps, pairs))
    processor = registry.get_processor("ocnli")
    assert len(processor.get_train_examples(str(tmp_path))) == 1
    assert processor.reports["train"].content()["dropped"] == {"the label is '-'": 2}
    row = "\t".join(["zh", "neutral", "", "", "", "", "前提", "假设"])
    write(
        tmp_path / "xnli.dev.tsv", "header", row.replace("zh", "en"), row, row.replace("zh", "fr")
    )
    processor = registry.get_processor("xnli")
    assert len(read(processor, "dev", str(tmp_path))) == 1
    assert processor.reports["dev"].dropped == {"is in another language than zh": [2, 4]}


def test_cells_behind_the_header(tmp_path, caplog):
    """A few rows are wrong; if most have more, as in the reference what is behind is ignored."""
    rows = ["甲\t乙\t1"] * 200
    write(tmp_path / "train.txt", "a\tb\tlabel", *rows, "甲\t乙\t1\tx", "甲\t乙\t0\t ")
    processor = registry.get_processor("lcqmc")
    assert len(read(processor, "train", str(tmp_path))) == 201
    assert "dropped 1 of 202 rows that have more cells than the header" in caplog.text
    write(tmp_path / "train.txt", "a\tb\tlabel", *["甲\t乙\t1\tx"] * 3)
    assert len(read(processor, "train", str(tmp_path))) == 3
    assert "most rows have 4 cells and the header 3" in caplog.text


def test_a_missing_file_and_what_is_there(tmp_path):
    write(tmp_path / "train.3k.json", "{}")
    message = r"train\.json: no such file, nor train\.50k\.json; its folder has train\.3k\.json\.$"
    with pytest.raises(InputError, match=message):
        registry.get_processor("ocnli").get_train_examples(str(tmp_path))
    with pytest.raises(InputError, match=r"train\.txt: no such file; its folder has train\.3k"):
        registry.get_processor("lcqmc").get_train_examples(str(tmp_path))
    for number in range(30):
        write(tmp_path / ("a%02d" % number), "")
    with pytest.raises(InputError, match=r"a18, a19 and 11 more\.$"):
        registry.get_processor("lcqmc").get_train_examples(str(tmp_path))
