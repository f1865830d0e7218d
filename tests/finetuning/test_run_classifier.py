"""Fine-tuning: features and heads against the reference's numbers, and whole runs."""

import glob
import json
import os
import re
import shutil
import signal
import time

import numpy as np
import pytest

import run_classifier
import tokenization
from albert.basics.errors import InputError
from albert.basics.tf_compat import tf
from albert.finetuning import score_files
from albert.finetuning.classification.features import (
    file_based_convert_examples_to_features,
    file_based_input_fn_builder,
)
from albert.finetuning.tasks import registry
from albert.finetuning.tasks.base import InputExample
from albert.model_files import checkpoints
from albert.text.encoding import encode_pair, truncate_seq_pair
from helpers.models import (
    golden_config,
)
from helpers.tasks import (
    TINY_CONFIG,
    VOCAB_FILE,
    bad,
    eval_loss,
    fork_script,
    latest,
    lcqmc_rows,
    make_task,
    read_text,
    results_of,
    run,
    start_script,
    write_lines,
)


@pytest.fixture
def task(tmp_path):
    return make_task(tmp_path)


# Features against the reference


@pytest.fixture(scope="module")
def features_golden(golden):
    with open(
        os.path.join(golden, "tasks", "golden", "classify_albert_zh.json"), encoding="utf-8"
    ) as handle:
        return json.load(handle)


@pytest.fixture(scope="module")
def tokenizer():
    return tokenization.FullTokenizer(VOCAB_FILE)


def examples_of(golden, task_name, set_type):
    processor = registry.get_processor(task_name)
    reader = getattr(processor, "get_%s_examples" % set_type)
    return processor, reader(os.path.join(golden, "tasks", "data", task_name))


@pytest.mark.parametrize("length", [40, 16])
@pytest.mark.parametrize("set_type", ["train", "dev", "test"])
@pytest.mark.parametrize("task_name", ["lcqmc", "sentence_pair"])
def test_features(golden, features_golden, tokenizer, task_name, set_type, length):
    processor, examples = examples_of(golden, task_name, set_type)
    labels = features_golden[task_name]["labels"]
    assert processor.get_labels() == labels
    expected = features_golden[task_name]["max_seq_length_%d" % length][set_type]
    assert len(examples) == len(expected)
    for example, row in zip(examples, expected):
        for key in ("guid", "text_a", "text_b", "label"):
            assert getattr(example, key) == row[key]
        features = run_classifier.convert_single_example(0, example, labels, length, tokenizer)
        for key in ("input_ids", "input_mask", "segment_ids", "label_id"):
            assert getattr(features, key) == row[key], (example.guid, key)
        ids = features.input_ids[: sum(features.input_mask)]
        assert tokenizer.convert_ids_to_tokens(ids) == row["tokens"]
        assert features.is_real_example


def test_padding_example(features_golden, tokenizer):
    features = run_classifier.convert_single_example(
        0, run_classifier.PaddingInputExample(), ["0", "1"], 8, tokenizer
    )
    assert vars(features) == features_golden["padding_example_L8"]


def test_records(golden, features_golden, tokenizer, tmp_path):
    _, examples = examples_of(golden, "lcqmc", "dev")
    path = str(tmp_path / "records")
    file_based_convert_examples_to_features(
        [examples[0], run_classifier.PaddingInputExample()], ["0", "1"], 12, tokenizer, path
    )
    assert os.listdir(str(tmp_path)) == ["records"]
    actual = []
    for record in tf.io.tf_record_iterator(path):
        feature = tf.train.Example.FromString(record).features.feature
        actual.append({key: list(feature[key].int64_list.value) for key in feature})
    assert actual == features_golden["tfrecord_L12_dev0_plus_padding"]


def test_a_bad_example_leaves_no_file(tokenizer, tmp_path):
    path = tmp_path / "records"
    path.write_text("old", encoding="utf-8")
    examples = [InputExample("x", "今天", None, label) for label in "02"]
    with pytest.raises(KeyError):
        file_based_convert_examples_to_features(examples, ["0", "1"], 5, tokenizer, str(path))
    assert os.listdir(str(tmp_path)) == ["records"]
    assert path.read_text(encoding="utf-8") == "old"


def test_single_texts_and_unknown_labels(tokenizer):
    texts = [("今天", None), ("今天", ""), ("今天", " \t")]
    encoded = [encode_pair(tokenizer, a, b, 5) for a, b in texts]
    ids = tokenizer.convert_tokens_to_ids(["[CLS]", "今", "天", "[SEP]"])
    assert encoded == [(ids, [0, 0, 0, 0])] * 3
    long_ids, segments = encode_pair(tokenizer, "今天" * 9, None, 5)
    assert (len(long_ids), segments) == (5, [0] * 5)
    example = run_classifier.InputExample("x", "今天", None, "2")
    with pytest.raises(KeyError):
        run_classifier.convert_single_example(0, example, ["0", "1"], 5, tokenizer)


def test_truncation_takes_from_the_longer_list():
    for lengths, max_length, expected in (
        ((5, 3), 6, (3, 3)),
        ((3, 3), 5, (3, 2)),
        ((1, 9), 4, (1, 3)),
    ):
        lists = [list(range(length)) for length in lengths]
        truncate_seq_pair(lists[0], lists[1], max_length)
        assert tuple(lists) == tuple(list(range(length)) for length in expected)


def test_training_order_is_a_function_of_seed_and_step(task, tokenizer, tmp_path):
    processor = registry.get_processor("lcqmc")
    path = str(tmp_path / "records")
    file_based_convert_examples_to_features(
        processor.get_train_examples(task["data_dir"]), ["0", "1"], 16, tokenizer, path
    )

    def batches(count, **settings):
        input_fn = file_based_input_fn_builder(
            path, 16, is_training=True, drop_remainder=True, shuffle_buffer=40, **settings
        )
        with tf.Graph().as_default(), tf.Session() as session:
            tf.set_random_seed(1)
            batch = tf.data.make_one_shot_iterator(input_fn({"batch_size": 8})).get_next()
            return [session.run(batch)["input_ids"].tolist() for _ in range(count)]

    whole = batches(12, seed=5)
    assert whole[:5] != whole[5:10]  # the second epoch has another order
    first, second = (np.sort(np.concatenate(part), axis=0) for part in (whole[:5], whole[5:10]))
    np.testing.assert_array_equal(first, second)
    assert batches(5, seed=5, first_step=7) == whole[7:]
    assert batches(5, seed=6) != whole[:5]


# Reading the task's files


def test_dropped_rows_are_counted(golden):
    processor, examples = examples_of(golden, "lcqmc", "train")
    assert list(processor.malformed.values()) == [[6]]  # a gap in the guids
    assert [example.guid for example in examples][3:5] == ["train-4", "train-6"]
    with pytest.raises(InputError, match=r"train\.txt, line 6: 1 of 7 rows .* at most 1 %\.$"):
        processor.check_rows()


def test_one_bad_row_in_a_hundred_is_only_reported(tmp_path, caplog):
    rows = lcqmc_rows(99)
    write_lines(tmp_path / "train.txt", ["a\tb\tlabel"] + rows + ["no tab"])
    processor = registry.get_processor("LCQMC")
    assert len(processor.get_train_examples(str(tmp_path))) == 99
    processor.check_rows()
    assert "dropped 1 of 100 rows" in caplog.text
    assert "line 101" in caplog.text


def test_missing_header_is_reported(tmp_path, caplog):
    write_lines(tmp_path / "dev.txt", lcqmc_rows(3))
    examples = registry.get_processor("lcqmc").get_dev_examples(str(tmp_path))
    assert [example.guid for example in examples] == ["dev-1", "dev-2"]
    assert "first line is skipped" in caplog.text


# Whole runs


BLOCK = (
    r"\*{5} Eval results \S+/model\.ckpt-(\d+) \*{5}\n"
    r"eval_accuracy = (?:\d\.\d+)\n"
    r"eval_loss = (?:\d\.\d+)\n"
    r"global_step = \d+\n"
    r"loss = (?:\d\.\d+)\n"
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The script's own run from training to prediction; read only."""
    folder = tmp_path_factory.mktemp("finished")
    settings = make_task(folder, dict(TINY_CONFIG, vocab_size=14957))
    settings.update(vocab_file=VOCAB_FILE, save_checkpoints_steps=5)
    process = start_script(settings, do_train="true", do_eval="true", do_predict="true")
    output, error = process.communicate()
    assert process.returncode == 0, error.decode("utf-8")
    return settings, output.decode("utf-8")


@pytest.mark.slow
def test_report(finished, golden):
    settings, output = finished
    report = read_text(settings["output_dir"], run_classifier.EVAL_FILE)
    assert read_text(settings["data_dir"], run_classifier.EVAL_FILE) == report
    # The console has each once, and says what it is.
    assert (
        "\neval_loss = %s  (loss, mean over the examples)\n"
        % re.search("^eval_loss = (.*)$", report, re.M).group(1)
        in output
    )
    assert not re.search("^loss = ", output, re.M) and re.search("^loss = ", report, re.M)
    sample = read_text(
        golden,
        "tasks/golden/output_format_samples/run_classifier.lcqmc.eval_results_albert_zh.txt",
    )
    for text, steps in ((sample, ["0", "2", "4", "6"]), (report, ["0", "5", "10"])):
        assert re.fullmatch("(?:%s)+" % BLOCK.replace("(\\d+)", "\\d+"), text)
        assert re.findall(BLOCK, text) == steps
        assert re.findall("global_step = (.*)", text) == steps
    assert "step 10/10  loss " in output


def test_predictions(finished):
    settings, _ = finished
    lines = read_text(settings["output_dir"], run_classifier.PREDICT_FILE).splitlines()
    assert len(lines) == 7
    for line in lines:
        values = [float(value) for value in line.split("\t")]
        assert len(values) == 2
        assert sum(values) == pytest.approx(1.0, abs=1e-6)
        assert line == "\t".join(str(np.float32(value)) for value in values)


def test_output_folder_is_complete(finished):
    settings, _ = finished
    folder = settings["output_dir"]
    for name, flag in (("albert_config.json", "bert_config_file"), ("vocab.txt", "vocab_file")):
        assert read_text(folder, name) == read_text(settings[flag])
    assert json.loads(read_text(folder, "task.json")) == {
        "task_name": "lcqmc_pair",
        "labels": ["0", "1"],
        "preprocess_text": False,
        "max_seq_length": 24,
        "do_lower_case": True,
        "pooling": "cls",
        "table": {
            "columns": {"text_a": 0, "text_b": 1, "label": 2},
            "header": ["a", "b", "label"],
            "width": 3,
        },
    }
    names = set(checkpoints.read_shapes(latest(settings)))
    assert {"output_weights", "output_bias", "global_step", "output_bias/adam_m"} <= names
    files = set(os.listdir(folder))
    assert {"results.json", "best", "dev_misclassified.tsv", "dev_class_report.txt"} <= files
    assert ("dev_learning_curve.png" in files) == score_files.can_draw()
    assert "train.tf_record" not in files


def test_what_was_read_is_told(finished):
    settings, output = finished
    data = results_of(settings)["data"]
    assert [data[name]["examples"] for name in ("train", "dev", "test")] == [40, 11, 7]
    train = data["train"]
    assert (train["rows"], train["dropped"], train["blank_lines"]) == (40, {}, 0)
    assert train["header"] == ["a", "b", "label"]
    assert sum(train["labels"].values()) == 40
    assert (train["texts_cut"], train["share_cut"]) == (0, 0.0)
    told = output[output.index("What was read:\n") :].splitlines()
    assert told[1].startswith("train: 40 examples of %s: tab-separated;" % train["file"])
    assert "  cut at --max_seq_length=24: 0 of 40 texts (0.0 %)" in told


@pytest.fixture
def copy_of_finished(finished, tmp_path):
    settings = dict(finished[0])
    for flag in ("output_dir", "data_dir"):
        settings[flag] = shutil.copytree(settings[flag], str(tmp_path / flag))
    return settings


def test_finished_run_started_again(copy_of_finished, capsys):
    settings = copy_of_finished
    report = read_text(settings["output_dir"], run_classifier.EVAL_FILE)
    before = {name for name in os.listdir(settings["output_dir"]) if "ckpt" in name}
    # Other programs' checkpoints are not this run's, old records are not reused.
    foreign = ["albert_model.ckpt.index", "model.ckpt-best.index", "train.tf_record"]
    for name in foreign:
        with open(os.path.join(settings["output_dir"], name), "w") as handle:
            handle.write("something else")
    run(settings, do_train=True, do_eval=True)
    output = capsys.readouterr().out
    assert "Nothing left to train: %s is at step 10 of 10." % settings["output_dir"] in output
    assert sorted(results_of(settings)["data"]) == ["dev", "test", "train"]  # of both commands
    assert "step 10/10" not in output
    after = {name for name in os.listdir(settings["output_dir"]) if "ckpt" in name}
    assert after == before | set(foreign[:2])
    again = read_text(settings["output_dir"], run_classifier.EVAL_FILE)
    for pattern in ("eval_loss = (.*)", "eval_accuracy = (.*)"):
        expected, actual = (
            [float(value) for value in re.findall(pattern, text)] for text in (report, again)
        )
        np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-6)


@pytest.mark.slow
def test_other_settings_are_refused(copy_of_finished):
    settings = copy_of_finished
    with pytest.raises(InputError) as error:
        run(settings, do_train=True, learning_rate=0.5, num_train_epochs=3)
    message = str(error.value)
    assert "learning_rate was 5e-05 and is now 0.5" in message
    assert "num_train_epochs was 2.0 and is now 3.0" in message
    with open(os.path.join(settings["data_dir"], "train.txt"), "a", encoding="utf-8") as handle:
        handle.write(lcqmc_rows(1)[0] + "\n")
    with pytest.raises(InputError, match="data_sha256"):
        run(settings, do_train=True)
    run(settings, do_train=True, num_train_epochs=2.4, allow_changed_settings=True)
    assert latest(settings).endswith("model.ckpt-12")


def test_trained_classifier_as_init_checkpoint(copy_of_finished, tmp_path):
    settings = copy_of_finished
    expected = read_text(settings["output_dir"], run_classifier.PREDICT_FILE).split()
    loss = results_of(settings)["dev"]["eval_loss"]
    best = os.path.join(settings["output_dir"], "best")
    settings.update(init_checkpoint=best, output_dir=str(tmp_path / "new"))
    run(settings, do_eval=True, do_predict=True, predict_batch_size=3)
    actual = read_text(settings["output_dir"], run_classifier.PREDICT_FILE).split()
    np.testing.assert_allclose(
        np.array(actual, float), np.array(expected, float), rtol=0, atol=1e-6
    )
    assert eval_loss(settings) == pytest.approx(loss, abs=1e-6)


def test_report_where_data_dir_cannot_be_written(copy_of_finished, caplog):
    settings = copy_of_finished
    in_the_way = os.path.join(settings["data_dir"], run_classifier.EVAL_FILE)
    os.remove(in_the_way)
    os.makedirs(os.path.join(in_the_way, "x"))
    for path in glob.glob(os.path.join(settings["output_dir"], "model.ckpt-[05].*")):
        os.remove(path)
    run(settings, do_eval=True)
    assert "not written" in caplog.text
    assert np.isfinite(eval_loss(settings))


@pytest.mark.slow
def test_killed_run_continues(tmp_path):
    """Without dropout the run ends as if it had never been killed."""
    settings = make_task(tmp_path)
    settings.update(
        num_train_epochs=30,
        learning_rate=1e-3,
        head_dropout=0,
        save_checkpoints_steps=20,
        keep_checkpoint_max=1,
    )
    whole = dict(settings, output_dir=str(tmp_path / "whole"))
    run(whole, do_train=True, do_eval=True)

    process = fork_script(settings, do_train=True)
    try:
        later_checkpoint = os.path.join(settings["output_dir"], "model.ckpt-[1-9]*.index")
        while not glob.glob(later_checkpoint):
            assert process.poll() is None, process.stderr.read().decode("utf-8")
            time.sleep(0.005)
        os.kill(process.pid, signal.SIGKILL)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert int(latest(settings).split("-")[-1]) < 150
    run(settings, do_train=True, do_eval=True)
    for finished_run in (settings, whole):
        assert latest(finished_run).endswith("model.ckpt-150")
    assert eval_loss(settings) == pytest.approx(eval_loss(whole), abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bm_preln", "google_g1", "google_fast"])
def test_every_family_fine_tunes(golden, tmp_path, name):
    task = make_task(tmp_path, golden_config(golden, name).to_dict())
    checkpoint = os.path.join(golden, "model", name, "model.ckpt")
    run(task, do_train=True, init_checkpoint=checkpoint, strict_init=True, num_train_epochs=0.4)
    first, last = (os.path.join(task["output_dir"], "model.ckpt-%d" % step) for step in (0, 2))
    assert latest(task) == last
    shapes = checkpoints.read_shapes(last)
    assert ("loss/LayerNorm/gamma" in shapes) == (name == "bm_preln")
    assert not any(key.startswith("cls/") for key in shapes)
    encoder = [key for key in shapes if key.startswith("bert/") and "/adam_" not in key]
    for key in encoder:
        start = tf.train.load_variable(first, key)
        np.testing.assert_array_equal(start, tf.train.load_variable(checkpoint, key), err_msg=key)
        if not key.endswith("/key/bias"):  # adds the same to all scores: no gradient
            assert (tf.train.load_variable(last, key) != start).any(), key


# Bad input


@pytest.mark.parametrize(
    "change,expected",
    [
        ({"data_dir": "nowhere"}, "--data_dir: no such directory: 'nowhere'"),
        ({"data_dir": ""}, "--data_dir is required"),
        ({"learning_rate": "nan"}, "--learning_rate is nan; expected a number"),
        ({"num_train_epochs": "inf"}, "--num_train_epochs is inf; expected a number"),
        ({"bert_config_file": ""}, "--bert_config_file is required"),
        ({"bert_config_file": "no.json"}, r"no\.json: no such file"),
        ({"vocab_file": "no.txt"}, r"no\.txt: no such file"),
        ({"task_name": "mnlli"}, "--task_name: no task 'mnlli'; expected one of .*lcqmc, "),
        ({"max_seq_length": 65}, r"--max_seq_length is 65.*config\.json.* 64"),
        ({"num_train_epochs": 0.1}, "40 training examples, .*make no step"),
        ({"train_batch_size": 81}, "40 training examples, --train_batch_size 81 .*make no step"),
        ({"init_checkpoint": "no.ckpt"}, r"--init_checkpoint: no checkpoint at 'no\.ckpt'"),
        ({"do_train": False}, "nothing to do"),
        ({"do_train": False, "do_predict": True}, "no checkpoint in .*train first"),
        ({"do_train": False, "do_eval": True}, "no checkpoint in .*train first"),
        ({"vocab_file": VOCAB_FILE}, r"vocab\.txt has 14957 entries, but .*config\.json.* 200"),
    ],
)
def test_bad_flags(task, change, expected):
    assert re.search(expected, bad(task, **change))


@pytest.mark.parametrize(
    "line,expected",
    [
        (lcqmc_rows(1)[0][:-1] + "2", r"train\.txt, line 42: label '2'; expected one of 0, 1"),
        ("no tab", r"train\.txt, line 42: 1 of 41 rows lack a column"),
        (b"\xe4\xbd\ta\t1", r"train\.txt, line 42: invalid UTF-8"),
    ],
)
def test_bad_rows(task, line, expected):
    line = line if isinstance(line, bytes) else line.encode("utf-8")
    with open(os.path.join(task["data_dir"], "train.txt"), "ab") as handle:
        handle.write(line + b"\n")
    assert re.search(expected, bad(task))


@pytest.mark.parametrize("rows", [[], ["no tab"] * 3])
def test_no_usable_row(task, tmp_path, rows):
    write_lines(tmp_path / "data" / "train.txt", ["a\tb\tlabel"] + rows)
    assert re.search(r"train\.txt: no usable row", bad(task))


def test_missing_file(task, tmp_path):
    (tmp_path / "data" / "train.txt").unlink()
    assert re.search(r"train\.txt: no such file", bad(task))


def test_output_dir_is_a_file(task, tmp_path):
    (tmp_path / "output").write_text("")
    assert re.search("--output_dir: cannot write to the directory", bad(task))


@pytest.mark.parametrize(
    "text,expected",
    [
        (json.dumps(dict(TINY_CONFIG, num_hidden_groups=1)), r"config\.json: .*both"),
        (json.dumps(dict(TINY_CONFIG, ln_type="prenl")), r"config\.json: .*'ln_type' is 'prenl'"),
        ('{"vocab_size": 200,}', r"config\.json: not valid JSON"),
    ],
)
def test_bad_config(task, tmp_path, text, expected):
    (tmp_path / "config.json").write_text(text)
    assert re.search(expected, bad(task))


@pytest.mark.slow
def test_checkpoint_of_another_family(golden, task):
    checkpoint = os.path.join(golden, "model", "google_g1", "model.ckpt")
    message = bad(task, init_checkpoint=checkpoint)
    assert checkpoint in message
    assert task["bert_config_file"] in message
    # The failed attempt binds nobody: it goes on with other settings.
    run(task, do_train=True, num_train_epochs=0.2)
    assert latest(task).endswith("model.ckpt-1")


@pytest.mark.slow
def test_exit_status(task):
    missing = fork_script(task, do_train=True, data_dir="nowhere")
    unknown = fork_script(task, do_train=True, no_such_flag=1)
    output, error = (stream.decode("utf-8") for stream in missing.communicate())
    assert (missing.returncode, output) == (2, "")
    assert "error: --data_dir: no such directory: 'nowhere'.\n" in error
    assert "Traceback" not in error
    output, error = (stream.decode("utf-8") for stream in unknown.communicate())
    assert unknown.returncode != 0
    assert "no_such_flag" in error
    assert "Traceback" not in error
