"""What BertSim, BertClassifier and BertVector share, and BertClassifier itself."""

import concurrent.futures
import itertools
import os
import shutil
import subprocess
import sys
import threading
import types
from unittest import mock

import numpy as np
import pytest
from absl import flags

import args
import classification
import tokenization
from albert.basics import storage
from albert.basics.errors import InputError
from albert.basics.shadowed import check_module
from albert.finetuning.tasks.registry import TASKS
from albert.inference import defaults, text_files, text_model
from albert.inference.classifiers import BertClassifier, BertSim
from albert.inference.flags import define_model_flags, model_settings
from albert.inference.vectors import BertVector
from albert.model_files import model_folder
from albert.model_files.classifier_head import ClassifierHead
from albert.model_files.configuration import load_config
from albert.text.encoding import encode_pair
from helpers import plain_graph
from helpers.models import CONFIGS, write_model
from helpers.runs import run_main
from helpers.tasks import SENTENCES, VOCAB_FILE, make_task, read_text, run, write_lines

TEXTS = [*SENTENCES, "书", SENTENCES[0] * 5, "不认识 with words", SENTENCES[1] + SENTENCES[2]]
TASK = {
    "task_name": "tnews",
    "labels": ["news", "sport", "culture"],
    "max_seq_length": 20,
    "do_lower_case": True,
    "pooling": "cls",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A classifier of texts with three labels; read only."""
    path = tmp_path_factory.mktemp("classifier")
    write_model(path, num_labels=3, **TASK)
    return str(path)


@pytest.fixture(scope="module")
def model(folder):
    with BertClassifier(model_dir=folder) as classifier:
        yield classifier


def copy_with_task(folder, target, task):
    """The same model in another folder, with another task.json, or (None) without."""
    shutil.copytree(folder, str(target))
    if task is None:
        (target / "task.json").unlink()
    else:
        storage.write_json(str(target / "task.json"), task)
    return str(target)


def encode(folder, texts, max_seq_length=20):
    tokenizer = tokenization.FullTokenizer(os.path.join(folder, "vocab.txt"))
    return [encode_pair(tokenizer, text, None, max_seq_length) for text in texts]


def expected_probabilities(folder, texts, **settings):
    config = load_config(os.path.join(folder, "albert_config.json"))
    checkpoint = os.path.join(folder, "model.ckpt")
    return plain_graph.probabilities(checkpoint, config, encode(folder, texts), **settings)


def assert_close(actual, expected):
    assert actual.dtype == np.float32
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-5)


# Results


@pytest.mark.slow
def test_probabilities_and_labels(folder, model):
    expected = expected_probabilities(folder, TEXTS)
    assert len(set(expected.argmax(1))) > 1  # so that the names below can be wrong
    assert_close(model.predict_proba(TEXTS), expected)
    assert model.labels == TASK["labels"]
    assert model.num_labels == 3
    assert model.predict(TEXTS) == [TASK["labels"][index] for index in expected.argmax(1)]
    assert_close(model.predict_proba(TEXTS[:1]), expected[:1])
    assert model.predict_proba([]).shape == (0, 3)
    assert model.predict([]) == []


def test_length_of_training_is_the_default(folder):
    long_text = SENTENCES[0] * 5
    with BertClassifier(model_dir=folder) as model:
        model.start_model()
        assert model.max_seq_length == TASK["max_seq_length"]
        cut = model.predict_proba([long_text])
        np.testing.assert_array_equal(cut, model.predict_proba([long_text[:18]]))
    with BertClassifier(model_dir=folder, max_seq_length=40) as model:
        assert np.abs(model.predict_proba([long_text]) - cut).max() > 1e-3
        assert model.max_seq_length == 40


@pytest.mark.parametrize(
    "argument,usual,trained,expected",
    [
        (None, None, 20, 20),
        (None, None, None, 64),  # 128, but the model has 64 positions
        (None, None, 100, 64),
        (None, 12, 20, 12),  # a number in args.py is obeyed
        (None, 32, 20, 32),
        (None, 128, 20, 64),
        (40, 12, 20, 40),
        (40, None, None, 40),
    ],
)
def test_one_rule_for_cutting(folder, tmp_path, monkeypatch, argument, usual, trained, expected):
    """Argument, args.py, training, 128: in this order, for all models."""
    task = {name: value for name, value in TASK.items() if name != "max_seq_length"}
    if trained:
        task["max_seq_length"] = trained
    other = copy_with_task(folder, tmp_path / "other", task)
    monkeypatch.setattr(args, "max_seq_len", usual)
    with mock.patch.object(text_model, "create_engine", lambda *_, **__: SlowEngine()):
        for kind in (BertSim, BertClassifier, BertVector):
            model = kind(model_dir=other, max_seq_length=argument)
            assert model.max_seq_length == (argument or usual)
            for _ in range(2):
                model.start_model()
                assert model.max_seq_length == expected
                model.close()


@pytest.mark.slow
def test_128_tokens_where_nothing_is_told(tmp_path):
    config = dict(CONFIGS["postln"], max_position_embeddings=150)
    write_model(tmp_path, config, num_labels=2)
    scores = []
    for settings in ({}, {"max_seq_length": 128}, {"max_seq_length": 129}):
        with BertSim(model_dir=str(tmp_path), **settings) as model:
            scores.append(model.similarity(SENTENCES[0] * 20, SENTENCES[1] * 20))
    assert scores[0] == scores[1]
    assert scores[0] != scores[2]


def test_a_number_in_args_within_a_fixed_length(folder, tmp_path, monkeypatch):
    other = copy_with_task(folder, tmp_path / "other", dict(TASK, pooling="mean"))
    for usual, expected in ((128, 20), (12, 12)):
        monkeypatch.setattr(args, "max_seq_len", usual)
        with BertClassifier(model_dir=other) as model:
            model.start_model()
            assert model.max_seq_length == expected
    monkeypatch.setattr(args, "max_seq_len", 4)
    with pytest.raises(InputError, match="max_seq_length: expected a whole number of at least 5"):
        BertClassifier(model_dir=other)


@pytest.mark.parametrize("pooling,fixed_length", [("mean", 20), ("masked_mean", None)])
def test_poolings(folder, tmp_path, pooling, fixed_length):
    other = copy_with_task(folder, tmp_path / "other", dict(TASK, pooling=pooling))
    expected = expected_probabilities(other, TEXTS, pooling=pooling, fixed_length=fixed_length)
    with BertClassifier(model_dir=other) as model:
        assert_close(model.predict_proba(TEXTS), expected)
        assert_close(model.predict_proba(TEXTS[3:4]), expected[3:4])
    longer = BertClassifier(model_dir=other, max_seq_length=21)
    if fixed_length:
        with pytest.raises(InputError, match="max_seq_length 21 is more than the 20 tokens"):
            longer.start_model()
    else:
        longer.start_model()
        longer.close()


@pytest.mark.slow
def test_a_fine_tuned_folder(tmp_path):
    """From run_classifier.py to the same predictions, label names and cut included."""
    rows = ["%s\t%s" % (text, "good" if index % 2 else "bad") for index, text in enumerate(TEXTS)]
    task = make_task(tmp_path)
    path = write_lines(tmp_path / "custom.tsv", rows)
    task.update(task_name="custom", train_file=path, dev_file=path, test_file=path)
    run(task, do_train=True, do_predict=True, learning_rate=0.01, header="no")
    lines = read_text(task["output_dir"], "test_results.tsv").splitlines()
    expected = np.array([line.split("\t") for line in lines], np.float32)
    with BertClassifier(model_dir=task["output_dir"]) as model:
        assert model.labels == ["bad", "good"]
        assert_close(model.predict_proba(TEXTS), expected)


@pytest.mark.slow
def test_sentencepiece_text_is_normalized_as_in_training(golden, tmp_path):
    """The task `custom` normalizes texts where the vocabulary is one of SentencePiece."""
    config = dict(CONFIGS["google"], vocab_size=500)
    checkpoint, config = write_model(tmp_path, config, 3, **dict(TASK, task_name="custom"))
    (tmp_path / "vocab.txt").unlink()
    shutil.copy(os.path.join(golden, "data", "spm500.model"), str(tmp_path / "spiece.model"))
    texts = ["The  Café", "the cafe", "１２３ apples", "123 apples", "New York", "new york"]
    with BertClassifier(model_dir=str(tmp_path)) as model:
        probabilities = model.predict_proba(texts)
        encoded = [encode_pair(model.tokenizer, text, None, 20) for text in texts[1::2]]
    assert_close(probabilities[::2], probabilities[1::2])
    assert_close(probabilities[1::2], plain_graph.probabilities(checkpoint, config, encoded))
    assert np.ptp(probabilities[::2, 0]) > 1e-2


def files_of(spm_file=None, **task):
    return model_folder.ModelFiles("model.ckpt", "config.json", "vocab.txt", spm_file, task)


@pytest.mark.parametrize(
    "expected,files",
    [
        (False, files_of()),
        (True, files_of("spiece.model")),
        (False, files_of("spiece.model", task_name="lcqmc_pair")),
        (True, files_of("spiece.model", task_name="rte")),
        (False, files_of(task_name="rte")),
        (False, files_of(task_name="a name of --task_module")),
        (True, files_of(task_name="lcqmc_pair", preprocess_text=True)),
        (False, files_of("spiece.model", task_name="rte", preprocess_text=False)),
    ],
)
def test_when_text_is_normalized(expected, files):
    """As `task.json` says; else with SentencePiece, but for tasks that take text as it is."""
    assert model_folder.uses_preprocess_text(files) is expected


@pytest.mark.parametrize("name", sorted(TASKS))
@pytest.mark.parametrize("spm_file", [None, "spiece.model"])
def test_folders_of_before_the_key_are_read_as_their_task_reads_text(name, spm_file):
    task = TASKS[name]()
    task.use_spm = spm_file is not None
    files = files_of(spm_file, task_name=name)
    assert model_folder.uses_preprocess_text(files) is task.uses_preprocess_text


def test_names_of_labels(folder, tmp_path):
    numbered = copy_with_task(folder, tmp_path / "numbered", None)
    with BertClassifier(model_dir=numbered) as model:
        assert model.labels == ["0", "1", "2"]
    other = copy_with_task(folder, tmp_path / "other", dict(TASK, labels=["a", "b"]))
    with pytest.raises(InputError, match=r"has 3 labels, but task.json .* names 2: a, b\."):
        BertClassifier(model_dir=other).start_model()


@pytest.mark.slow
@pytest.mark.parametrize("task", [{}, dict(TASK, labels=[None])])
def test_regression(tmp_path, task):
    write_model(tmp_path, num_labels=1, **task)
    expected = expected_probabilities(str(tmp_path), TEXTS, regression=True)
    assert np.ptp(expected) > 0.1
    with BertClassifier(model_dir=str(tmp_path), max_seq_length=20) as model:
        assert_close(model.predict_proba(TEXTS), expected)
        assert model.predict(TEXTS) == model.predict_proba(TEXTS)[:, 0].tolist()
        assert model.labels == []
        assert model.is_regression


# Iterables of any length


def test_chunks_change_nothing(folder, model):
    many = TEXTS * 12
    expected = np.tile(model.predict_proba(TEXTS), [12, 1])
    with BertClassifier(model_dir=folder, batch_size=1) as small:
        assert len(many) > 4 * text_model.BATCHES_TO_SORT
        assert_close(small.predict_proba(iter(many)), expected)
        assert_close(np.array(list(small.iter_predict_proba(many))), expected)


def test_endless_iterable_is_read_a_chunk_ahead(folder, model):
    taken = itertools.count()
    endless = (TEXTS[next(taken) % len(TEXTS)] for _ in itertools.count())
    with BertClassifier(model_dir=folder, batch_size=2) as small:
        rows = list(itertools.islice(small.iter_predict_proba(endless), 100))
    assert next(taken) == 2 * 2 * text_model.BATCHES_TO_SORT
    assert_close(np.array(rows), np.tile(model.predict_proba(TEXTS), [9, 1])[:100])


def test_the_engine_gets_one_chunk_at_a_time(folder):
    sizes = []

    class Engine:
        output_size = 3

        def run_many(self, encoded):
            sizes.append(len(encoded))
            return np.zeros([len(encoded), 3], np.float32)

        def close(self):
            pass

    model = BertClassifier(model_dir=folder, batch_size=3)
    with mock.patch.object(text_model, "create_engine", lambda *_, **__: Engine()), model:
        assert model.predict_proba(["书"] * 250).shape == (250, 3)
    assert sizes == [96, 96, 58]


# Threads, start and end


def test_several_threads_at_once(folder):
    rounds = [TEXTS[number:] + TEXTS[:number] for number in range(len(TEXTS))] * 3
    rounds += [[text] for text in TEXTS] * 3
    with BertClassifier(model_dir=folder) as model:
        expected = model.predict_proba(TEXTS)
    rows = dict(zip(TEXTS, expected))
    model = BertClassifier(model_dir=folder)
    with model, concurrent.futures.ThreadPoolExecutor(8) as pool:
        results = list(pool.map(model.predict_proba, rounds))
    for texts, result in zip(rounds, results):
        assert_close(result, np.array([rows[text] for text in texts]))


class SlowEngine:
    """Waits inside of a call until it is told to go on."""

    output_size = 3

    def __init__(self):
        self.entered, self.go_on = threading.Event(), threading.Event()
        self.is_closed = False

    def run_one(self, input_ids, segment_ids):
        del input_ids, segment_ids
        self.entered.set()
        assert self.go_on.wait(60)
        assert not self.is_closed
        return np.zeros([3], np.float32)

    def close(self):
        self.is_closed = True


def test_two_threads_start_it_once(folder):
    created = []
    barrier = threading.Barrier(4)

    def create(*_, **__):
        created.append(SlowEngine())
        return created[-1]

    def start(model):
        barrier.wait(60)
        model.start_model()

    with mock.patch.object(text_model, "create_engine", create):
        model = BertClassifier(model_dir=folder)
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            list(pool.map(start, [model] * 4))
        assert len(created) == 1
        model.close()
        model.close()
        assert created[0].is_closed
        model.start_model()
        assert len(created) == 2


def test_close_waits_for_calls_in_progress(folder):
    first, second = SlowEngine(), SlowEngine()
    second.go_on.set()
    with mock.patch.object(text_model, "create_engine", side_effect=[first, second]):
        model = BertClassifier(model_dir=folder)
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            running = pool.submit(model.predict_proba, ["书"])
            assert first.entered.wait(60)
            closing = pool.submit(model.close)
            with pytest.raises(concurrent.futures.TimeoutError):
                closing.result(timeout=0.2)
            assert not first.is_closed
            model.predict_proba(["店"])  # not held up: it has an engine of its own
            first.go_on.set()
            assert running.result(60).shape == (1, 3)
            closing.result(60)
        assert first.is_closed
        assert not second.is_closed
        model.close()


def test_a_failed_call_does_not_keep_the_model_open(folder):
    engine = mock.Mock(output_size=3)
    engine.run_one.side_effect = MemoryError
    model = BertClassifier(model_dir=folder)
    create = mock.patch.object(text_model, "create_engine", return_value=engine)
    with create, pytest.raises(MemoryError), model:
        model.predict_proba(["书"])
    engine.close.assert_called_once_with()


def test_settings_reach_the_engine(folder, monkeypatch):
    monkeypatch.setattr(args, "precision", "bfloat16")
    monkeypatch.setattr(args, "threads", 3)
    given = []

    def create(checkpoint, config, head, precision, threads):
        given.append((checkpoint, config.num_hidden_layers, head, precision, threads))
        return SlowEngine()

    head = ClassifierHead(3, "cls", regression=False, fixed_length=None)
    checkpoint = os.path.join(folder, "model.ckpt")
    with mock.patch.object(text_model, "create_engine", create):
        BertClassifier(model_dir=folder).start_model()
        BertClassifier(model_dir=folder, precision="int8", threads=1).start_model()
    assert given == [(checkpoint, 3, head, "bfloat16", 3), (checkpoint, 3, head, "int8", 1)]


def test_precision_and_threads_are_real(folder, model):
    with BertClassifier(model_dir=folder, threads=1) as one:
        assert_close(one.predict_proba(TEXTS), model.predict_proba(TEXTS))
    with pytest.raises(InputError, match="precision"):
        BertClassifier(model_dir=folder, precision="float31").start_model()


# Files of a model


def test_folder_of_a_published_zip(folder, model, tmp_path):
    """Names differ there."""
    published = tmp_path / "albert_tiny"
    shutil.copytree(folder, str(published))
    (published / "albert_config.json").rename(published / "albert_config_tiny.json")
    (published / "vocab.txt").rename(published / "vocab_chinese.txt")
    with BertClassifier(model_dir=str(published)) as other:
        np.testing.assert_array_equal(other.predict_proba(TEXTS), model.predict_proba(TEXTS))
    (published / "albert_config_old.json").write_text("{}")
    with pytest.raises(InputError, match="several .*: albert_config_old.json, albert_config_tiny"):
        BertClassifier(model_dir=str(published)).start_model()


def test_a_checkpoint_instead_of_a_folder(folder, model, tmp_path, monkeypatch):
    prefix = os.path.join(folder, "model.ckpt")
    expected = model.predict_proba(TEXTS)
    for path in (prefix, prefix + ".index"):
        with BertClassifier(model_dir=path) as other:
            np.testing.assert_array_equal(other.predict_proba(TEXTS), expected)
    for path in (tmp_path / "alone.index", tmp_path / "alone.data-00000-of-00001"):
        shutil.copy(prefix + path.suffix, str(path))
    files = {
        "config_file": os.path.join(folder, "albert_config.json"),
        "vocab_file": os.path.join(folder, "vocab.txt"),
    }
    settings = {"model_dir": str(tmp_path / "alone"), "max_seq_length": 20}
    with BertClassifier(**settings, **files) as other:
        np.testing.assert_array_equal(other.predict_proba(TEXTS), expected)
    monkeypatch.setattr(args, "config_name", "nowhere.json")
    with pytest.raises(InputError, match=r"nowhere\.json: no such file"):
        BertClassifier(**settings).start_model()
    # Files that are named win over those of the folder.
    with pytest.raises(InputError, match=r"elsewhere\.json: no such file"):
        BertClassifier(model_dir=folder, config_file="elsewhere.json").start_model()
    with pytest.raises(InputError, match=r"entries, but .*vocab_size 200"):
        BertClassifier(model_dir=folder, vocab_file=VOCAB_FILE).start_model()


# The script


def assert_lines(text, model, texts):
    """Lines of text, label and probability."""
    rows = [line.split("\t") for line in text.splitlines()]
    assert [row[0] for row in rows] == list(texts)
    assert [row[1] for row in rows] == model.predict(texts)
    best = [float(row[2]) for row in rows]
    np.testing.assert_allclose(best, model.predict_proba(texts).max(1), rtol=0, atol=2e-6)


def test_script_on_texts(folder, model, capsys):
    run_main(classification, "--model_dir=" + folder, *TEXTS[:2])
    assert_lines(capsys.readouterr().out, model, TEXTS[:2])


@pytest.mark.slow
def test_script_from_another_folder(folder, model, tmp_path):
    """As a user starts it, in a process where nothing has set TensorFlow up."""
    done = subprocess.run(
        [sys.executable, classification.__file__, "--model_dir=" + folder, *TEXTS[:2]],
        cwd=str(tmp_path),
        capture_output=True,
        env=dict(os.environ, PYTHONIOENCODING="utf-8"),
    )
    assert done.returncode == 0, done.stderr.decode("utf-8")
    assert_lines(done.stdout.decode("utf-8"), model, TEXTS[:2])


def test_script_on_a_file(folder, model, tmp_path, capsys):
    path = write_lines(tmp_path / "texts.txt", [TEXTS[0], "", *TEXTS[1:], "  "])
    arguments = ["--model_dir=" + folder, "--input_file=" + path, "--batch_size=1", "--threads=2"]
    run_main(classification, *arguments)
    assert_lines(capsys.readouterr().out, model, TEXTS)
    output = tmp_path / "new" / "scores.tsv"
    run_main(classification, *arguments, "--output_file=%s" % output)
    assert_lines(output.read_bytes().decode("utf-8"), model, TEXTS)
    assert capsys.readouterr().out == ""


def test_flags_reach_the_model():
    values = flags.FlagValues()
    define_model_flags(values)
    given = ["--precision=int8", "--threads=3", "--max_seq_length=50", "--batch_size=7"]
    files = ["--model_dir=a", "--bert_config_file=b", "--vocab_file=c"]
    values(["script", *given, *files])
    settings = model_settings(values)
    model = BertSim(**settings.arguments())
    assert (model.precision, model.threads, model.max_seq_length) == ("int8", 3, 50)
    assert (model.batch_size, model.model_dir) == (7, "a")
    assert settings.arguments()["config_file"] == settings.bert_config_file == "b"
    assert settings.arguments()["vocab_file"] == settings.vocab_file == "c"
    for wrong in ("--precision=float31", "--threads=0", "--max_seq_length=4", "--batch_size=0"):
        with pytest.raises(flags.IllegalFlagValueError):
            values(["script", wrong])


def test_nothing_is_written_of_a_bad_file(folder, tmp_path):
    path = tmp_path / "texts.txt"
    path.write_bytes("今天\n".encode() * 3 + b"\xff\xe4\xb9\xa6\n")
    output = tmp_path / "out.tsv"
    arguments = ["--model_dir=" + folder, "--input_file=%s" % path, "--output_file=%s" % output]
    create = mock.patch.object(text_model, "create_engine")
    with create as created, pytest.raises(InputError, match=r"texts\.txt, line 4: invalid UTF-8"):
        run_main(classification, *arguments)
    assert not created.called
    assert not output.exists()
    run_main(classification, *arguments, "--encoding_errors=replace")
    assert len(output.read_bytes().splitlines()) == 4


# Bad input


@pytest.fixture(scope="module")
def classifier_of_one(folder):
    with BertClassifier(model_dir=folder, batch_size=1) as classifier:
        yield classifier


@pytest.fixture(scope="module")
def vectors_of_one(folder):
    with BertVector(model_dir=folder, batch_size=1) as vectors:
        yield vectors


@pytest.mark.parametrize(
    "items,expected",
    [
        ("今天", r"expected a list, or another iterable, found '今天' \(str\)"),
        (None, r"expected a list, or another iterable, found None \(NoneType\)"),
        (["今天", 3], r"texts\[1\]: expected a text, found 3 \(int\)"),
        (["今天", None], r"texts\[1\]: expected a text, found None"),
        (["今天", b"abc"], r"texts\[1\]: expected a text, found b'abc' \(bytes\)"),
        (["今天", ("a", "b")], r"texts\[1\]: expected a text, found \('a', 'b'\) \(tuple\)"),
        (["今天", ""], r"texts\[1\]: expected a text, found an empty one"),
        (["今天", "\u3000 "], r"texts\[1\]: expected a text, found an empty one"),
        (["今天"] * 40 + [0], r"texts\[40\]: expected a text"),
    ],
)
def test_no_text(classifier_of_one, vectors_of_one, items, expected):
    with pytest.raises(InputError, match=expected):
        classifier_of_one.predict_proba(items)
    with pytest.raises(InputError, match=expected):
        vectors_of_one.encode(items)


@pytest.mark.parametrize(
    "settings",
    [{"batch_size": 0}, {"max_seq_length": 4}, {"threads": 0}, {"threads": 1.5}],
)
def test_settings_out_of_range(settings):
    (name,) = settings
    with pytest.raises(InputError, match="%s: expected a whole number of at least" % name):
        BertClassifier(**settings)


def test_more_tokens_than_positions(folder):
    with pytest.raises(InputError, match="max_seq_length 65 is more than the 64 tokens of the mod"):
        BertClassifier(model_dir=folder, max_seq_length=65).start_model()


@pytest.mark.parametrize(
    "lines,expected",
    [
        (["书", "a\tb"], []),
        (["\ttext"], "line 1: expected 'id<TAB>text'"),
        (["1\ttext", "text"], "line 2: expected 'id<TAB>text'"),
        (["1\t "], "line 1: expected a text, found an empty one"),
    ],
)
def test_lines_with_ids(tmp_path, lines, expected):
    path = write_lines(tmp_path / "texts.tsv", lines)
    if not expected:
        assert list(text_files.read_texts(path)) == [("1", "书"), ("2", "a\tb")]
        return
    with pytest.raises(InputError, match=r"texts\.tsv, " + expected):
        list(text_files.read_texts(path, with_ids=True))


def test_no_text_at_all(folder, tmp_path):
    path = write_lines(tmp_path / "texts.txt", ["", " "])
    with pytest.raises(InputError, match=r"texts\.txt: holds no text"):
        run_main(classification, "--model_dir=" + folder, "--input_file=" + path)
    with pytest.raises(InputError, match="expected texts .* or --input_file"):
        run_main(classification, "--model_dir=" + folder)


# Texts without a token, and texts that are cut

NO_TOKEN = ["\u200b\u200d", "\x07\x01", "\ufeff", "\ufffd", "\u0301", " \u2060 \u00ad"]


@pytest.mark.parametrize("text", NO_TOKEN)
def test_a_text_without_a_token_is_none(folder, tmp_path, text):
    message = r"expected a text, found one without a token \("
    for kind in (BertClassifier, BertVector):
        with pytest.raises(InputError, match=r"texts\[1\]: " + message):
            list(kind(model_dir=folder).iter_chunks(["书", text]))
    for pair, which in (((text, "书"), "first"), (("书", text), "second")):
        with pytest.raises(InputError, match=r"pairs\[0\], %s text: %s" % (which, message)):
            BertSim(model_dir=folder).predict_proba([pair])
    path = write_lines(tmp_path / "texts.txt", ["书", "", text])
    if text == "\ufeff":  # files that were put together have such marks: a blank line
        assert [row[1] for row in text_files.read_texts(path)] == ["书"]
    else:
        with pytest.raises(InputError, match="texts.txt, line 3: " + message):
            list(text_files.read_texts(path))
    path = write_lines(tmp_path / "pairs.tsv", ["书\t店", "书\t" + text])
    with pytest.raises(InputError, match="pairs.tsv, line 2: " + message):
        list(text_files.read_pairs(path))


def test_what_is_cut_is_counted(folder, tmp_path):
    texts = ["书", SENTENCES[0] * 5, "店" * 18, "店" * 19]  # 20 tokens, two of them added
    path = write_lines(tmp_path / "texts.txt", texts)
    output = tmp_path / "out.tsv"
    with mock.patch.object(text_model.logging, "warning") as warning:
        with BertClassifier(model_dir=folder) as model:
            model.predict_proba(texts[::2])
            assert not warning.called
            model.predict_proba(texts)
            assert [row[1] for row in model.compute_counted(texts)] == [False, True, False, True]
        expected = "2 of the texts are longer than 20 tokens and were cut, the first is texts[1]."
        (call,) = warning.call_args_list
        assert call[0][0] % call[0][1:] == expected
        files = ["--input_file=" + path, "--output_file=%s" % output]
        run_main(classification, "--model_dir=" + folder, *files)
        assert len(warning.call_args_list) == 2
    known = storage.read_json("%s.json" % output)
    assert known["counts"] == {"texts": 4, "cut": 2}
    assert known["max_seq_length"] == 20


def test_a_length_in_args_that_is_not_that_of_training_is_said(folder, monkeypatch):
    for length, number in ((12, 1), (20, 0), (None, 0)):
        monkeypatch.setattr(args, "max_seq_len", length)
        silent = mock.patch.object(text_model.logging, "warning")
        with silent as warning, BertClassifier(model_dir=folder) as model:
            model.start_model()
        assert len(warning.call_args_list) == number


# Modules of other programs


def test_args_of_another_program(folder, tmp_path, monkeypatch):
    foreign = types.ModuleType("args")
    foreign.__file__ = str(tmp_path / "args.py")
    monkeypatch.setattr(defaults, "args", foreign)
    for name in ("output_dir", "config_name", "vocab_file"):
        assert os.path.normpath(defaults.setting(name)) == os.path.normpath(getattr(args, name))
    for name in ("max_seq_len", "batch_size", "precision", "threads", "layer_indexes", "pooling"):
        assert defaults.setting(name) == getattr(args, name)
    foreign.batch_size = 3
    assert BertClassifier(model_dir=folder).batch_size == 3
    foreign.batch_size = "3"
    with pytest.raises(
        InputError, match=r"args\.py: batch_size is '3'; expected a whole number \("
    ):
        BertClassifier(model_dir=folder)


def test_tokenization_of_another_program():
    foreign = types.ModuleType("tokenization")
    foreign.__file__ = "/somewhere/tokenization.py"
    foreign.FullTokenizer = None
    with pytest.raises(InputError, match=r"^/somewhere/tokenization\.py: .* has no load_vocab;"):
        check_module(foreign, "FullTokenizer", "load_vocab")
