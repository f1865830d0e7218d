"""Scores of predictions against the reference and scikit-learn's definitions; the files."""

import importlib.util
import json
import os
import struct
import zipfile
from unittest import mock

import numpy as np
import pytest
from fontTools import fontBuilder
from fontTools.pens import ttGlyphPen
from scipy import stats

from albert.basics import figures
from albert.basics.errors import InputError
from albert.finetuning import score_files
from albert.finetuning.classification import metrics, predictions, reports
from albert.finetuning.tasks import registry
from albert.finetuning.tasks.base import InputExample
from helpers.paths import GOLDEN

GOLDEN_TASKS = os.path.join(GOLDEN, "tasks", "golden")
SAMPLES = os.path.join(GOLDEN_TASKS, "output_format_samples")


def read(*parts):
    with open(os.path.join(*parts), encoding="utf-8") as handle:
        return handle.read()


# Scores


@pytest.mark.parametrize("name", ["mrpc", "cola", "cola_all_one_class", "sts-b"])
def test_scores_against_the_reference(name):
    golden = json.loads(read(GOLDEN_TASKS, "heads_google.json"))["metrics"][name]
    processor = registry.get_processor(name.split("_")[0])
    count = len(golden["label_ids"])
    real = np.array(golden.get("is_real_example", [1.0] * count)) > 0
    labels, logits = np.array(golden["label_ids"])[real], np.array(golden["logits"])[real]
    scores = metrics.compute_metrics(processor, labels, logits)
    compared = set(golden["result"]) - {"eval_loss", "pred", "label_ids"}
    assert compared == set(processor.eval_keys)
    assert processor.metric in compared
    for key in compared:
        assert scores[key] == pytest.approx(golden["result"][key], abs=1e-6), key


def test_scores_of_two_labels():
    processor = registry.get_processor("afqmc")
    labels = [1, 1, 1, 0, 0, 0, 0, 0]
    answers = np.array([1, 1, 0, 1, 0, 0, 0, 0])  # TP 2, FN 1, FP 1, TN 4
    scores = metrics.compute_metrics(processor, labels, np.eye(2)[answers])
    expected = {
        "eval_accuracy": 6 / 8,
        "f1": 2 / 3,
        "macro_f1": (2 / 3 + 4 / 5) / 2,
        "matthew_corr": (2 * 4 - 1 * 1) / 15.0,
    }
    assert scores == pytest.approx(expected)
    assert all(type(value) is float for value in scores.values())


def test_scores_of_many_labels():
    processor = registry.get_processor("cmnli")
    outputs = np.eye(3)[[0, 1, 1, 2]]
    scores = metrics.compute_metrics(processor, [0, 1, 2, 2], outputs)
    f1 = [1.0, 2 / 3, 2 / 3]
    assert scores["macro_f1"] == pytest.approx(np.mean(f1))
    assert scores["eval_accuracy"] == 0.75
    assert "f1" not in scores
    report = metrics.class_report(processor, [0, 1, 2, 2], outputs)
    rows = [line.split() for line in report.splitlines()[2:5]]
    assert [row[0] for row in rows] == processor.get_labels()
    assert [float(row[3]) for row in rows] == pytest.approx(f1, abs=5e-5)
    assert [row[4] for row in rows] == ["1", "1", "2"]
    assert "macro avg" in report
    matrix = metrics.confusion_matrix(processor, [0, 1, 2, 2], outputs)
    assert matrix.tolist() == [[1, 0, 0], [0, 1, 0], [0, 1, 1]]


def test_scores_of_a_regression():
    processor = registry.get_processor("sts-b")
    random = np.random.RandomState(1)
    labels = random.randint(0, 6, 50).astype(float)  # with ties
    outputs = (labels + random.normal(size=50)).astype(np.float32).reshape(-1, 1)
    scores = metrics.compute_metrics(processor, labels, outputs)
    assert scores["pearson"] == pytest.approx(stats.pearsonr(labels, outputs[:, 0])[0], abs=1e-6)
    assert scores["spearman"] == pytest.approx(stats.spearmanr(labels, outputs[:, 0])[0])
    assert scores["MSE"] == pytest.approx(np.mean((labels - outputs[:, 0]) ** 2))
    constant = metrics.compute_metrics(processor, labels, np.ones(50))
    assert (constant["pearson"], constant["spearman"]) == (0.0, 0.0)


def test_questions_of_copa():
    processor = registry.get_processor("copa")
    # Compared as numbers: as text 9.9e-05 is larger than 0.12.  Of equals the first.
    outputs = np.float32([[1.0, 9.9e-05], [0.88, 0.12], [0.4, 0.6], [0.4, 0.6]])
    assert metrics.choices(processor, outputs).tolist() == [1, 0]
    scores = metrics.compute_metrics(processor, [0, 1, 0, 1], outputs)
    assert (scores["question_accuracy"], scores["eval_accuracy"]) == (0.5, 0.5)


# Predictions


def predict(tmp_path, task_name, outputs, guids=None, **attributes):
    processor = registry.get_processor(task_name)
    vars(processor).update(attributes)
    guids = guids or ["test-%d" % index for index in range(len(outputs))]
    examples = [InputExample(guid, "a", "b", "0") for guid in guids]
    labels = processor.get_labels()
    folder = str(tmp_path)
    paths = predictions.write_predictions(
        processor, task_name, examples, np.float32(outputs), labels, folder
    )
    assert sorted(os.path.join(folder, name) for name in os.listdir(folder)) == sorted(paths)
    return {os.path.basename(path): read(path) for path in paths}


def test_probabilities_in_the_layout_of_the_reference(tmp_path):
    sample = read(SAMPLES, "run_classifier.lcqmc.test_results.tsv")
    rows = [[float(cell) for cell in line.split("\t")] for line in sample.splitlines()]
    assert predict(tmp_path, "lcqmc_pair", rows) == {"test_results.tsv": sample}


@pytest.mark.parametrize("task_name", ["tnews", "wsc", "copa"])
def test_clue_files_in_the_layout_of_the_reference(tmp_path, task_name):
    sample = read(SAMPLES, "run_classifier_clue.%s.%s_predict.json" % (task_name, task_name))
    labels = registry.get_processor(task_name).get_labels()
    answers = [labels.index(json.loads(line)["label"]) for line in sample.splitlines()]
    files = predict(tmp_path, task_name, np.eye(len(labels))[answers])
    assert files[task_name + "_predict.json"] == sample
    assert ("copa_submit.json" in files) == (task_name == "copa")


def test_first_of_equal_probabilities_is_submitted(tmp_path):
    files = predict(tmp_path, "afqmc", [[0.5, 0.5], [0.2, 0.8]])
    expected = '{"id": 0, "label": "0"}\n{"id": 1, "label": "1"}\n'
    assert files["afqmc_predict.json"] == expected


def test_submission_of_copa(tmp_path):
    rows = [[1.0, 9.9e-05], [0.88, 0.12], [0.4, 0.6], [0.4, 0.6]]
    files = predict(tmp_path, "copa", rows)
    expected = '{"id": 0, "label": "1"}\n{"id": 1, "label": "0"}\n'
    assert files["copa_submit.json"] == expected
    assert len(files["copa_predict.json"].splitlines()) == 4
    os.remove(str(tmp_path / "copa_submit.json"))
    os.remove(str(tmp_path / "copa_predict.json"))
    files = predict(tmp_path, "copa_pair", [[0.9, 0.1], [0.1, 0.9]])
    assert files["copa_pair_predict.json"] == expected


def test_glue_submissions_in_the_layout_of_the_reference(tmp_path):
    sample = read(SAMPLES, "google_run_classifier.sts-b.submit_results.tsv")
    rows = [line.split("\t") for line in sample.splitlines()[1:]]
    values = [float(value) for _, value in rows]
    files = predict(tmp_path, "sts-b", values, [guid for guid, _ in rows])
    assert files["submit_results.tsv"] == sample
    assert files["test_results.tsv"] == "".join("%s\n" % value for _, value in rows)


def test_submission_of_albert_zh_has_no_header(tmp_path):
    sample = read(SAMPLES, "run_classifier_sp_google.mrpc.submit_results.tsv")
    outputs = [[0.1, 0.9]] * 3
    guids = [line.split("\t")[0] for line in sample.splitlines()]
    folder = os.path.join(GOLDEN, "tasks", "data", "glue")
    for data_dir, expected in (
        (os.path.join(folder, "MRPC"), sample),
        (folder, "index\tprediction\n" + sample),
    ):
        processor = registry.get_processor("mrpc")
        examples = processor.get_test_examples(data_dir)
        assert [example.guid for example in examples] == guids
        predictions.write_predictions(
            processor, "mrpc", examples, outputs, ["0", "1"], str(tmp_path)
        )
        assert read(str(tmp_path), "submit_results.tsv") == expected


def test_clue_archive(tmp_path):
    folders = []
    for task_name in ("cmnli", "tnews", "cluewsc2020", "copa"):
        folder = tmp_path / task_name
        folder.mkdir()
        folders.append(str(folder))
        labels = registry.get_processor(task_name).get_labels()
        predict(folder, task_name, np.eye(len(labels))[[1, 0]])
    path = str(tmp_path / "clue.zip")
    names = predictions.write_clue_zip(folders, path)
    assert names == [t + "_predict.json" for t in ("cluewsc2020", "cmnli", "copa", "tnews")]
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == names
        assert archive.read("tnews_predict.json").decode() == read(folders[1], names[-1])
        assert archive.read("copa_predict.json").decode() == '{"id": 0, "label": "0"}\n'
    names = predictions.write_clue_zip(folders, path, "1.1")
    assert {"tnews11_predict.json", "cluewsc11_predict.json", "cmnli_predict.json"} < set(names)
    with pytest.raises(InputError, match=r"no <task>_predict\.json in .*; run with --do_predict"):
        predictions.write_clue_zip([str(tmp_path)], path)
    with pytest.raises(InputError, match=r"would both be 'tnews_predict\.json'"):
        predictions.write_clue_zip([folders[1], folders[1]], path)


# The report of an evaluation

needs_matplotlib = pytest.mark.skipif(not figures.available(), reason="needs matplotlib")


def png_size(path):
    with open(path, "rb") as handle:
        header = handle.read(24)
    assert header[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">II", header[16:24])


EXAMPLES = [
    InputExample("dev-0", "一\t二", "b", "0"),
    InputExample("dev-1", "三", None, "1"),
    InputExample("dev-2", "四", "b", "0"),
    InputExample("dev-3", "五", "b", "1"),
]
OUTPUTS = np.array([[0.4, 0.6], [0.7, 0.3], [0.9, 0.1], [0.2, 0.8]])
HISTORY = [
    {"step": 0, "scores": {"eval_accuracy": 0.5, "eval_loss": 0.7, "global_step": 0}},
    {
        "step": 10,
        "scores": {"eval_accuracy": 0.7, "eval_loss": 0.5, "f1": 0.1, "global_step": 10},
    },
]


def report(tmp_path, processor, examples=EXAMPLES, outputs=OUTPUTS, history=HISTORY):
    """What an evaluation leaves: the kind's report, and the learning curve."""
    paths = reports.write_report(processor, examples, outputs, str(tmp_path))
    paths += score_files.write_learning_curve(history, str(tmp_path), "dev_")
    assert all(os.path.dirname(path) == str(tmp_path) for path in paths)
    assert sorted(map(os.path.basename, paths)) == sorted(os.listdir(str(tmp_path)))
    return set(map(os.path.basename, paths))


def test_evaluation_report(tmp_path):
    assert report(tmp_path, registry.get_processor("afqmc")) == {
        "dev_misclassified.tsv",
        "dev_class_report.txt",
        "dev_confusion_matrix.png",
        "dev_learning_curve.png",
    }
    assert read(str(tmp_path), "dev_misclassified.tsv").splitlines() == [
        "guid\tlabel\tpredicted\tprobability\ttext_a\ttext_b",
        "dev-1\t1\t0\t0.7000\t三\t",
        "dev-0\t0\t1\t0.6000\t一 二\tb",
    ]
    assert "0.5000" in read(str(tmp_path), "dev_class_report.txt")
    for name in ("dev_confusion_matrix.png", "dev_learning_curve.png"):
        assert min(png_size(str(tmp_path / name))) > 200


def drawn(axes):
    """`{label: (xs, ys)}` of a panel."""
    return {
        line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in axes.lines
    }


@needs_matplotlib
def test_learning_curve_has_each_quantity_once():
    history = [
        {"step": step, "scores": {"MSE": loss, "eval_loss": loss, "loss": loss, "train_loss": 1.0}}
        for step, loss in ((2, 0.9), (4, 0.8))
    ]
    entries = [{"step": step, "set": "train", "loss": 2.0 - step / 4} for step in (1, 2, 3, 4)]
    scores, losses = score_files.draw_learning_curve(history, entries).axes
    assert drawn(scores) == {}
    assert drawn(losses) == {
        "eval_loss": ([2, 4], [0.9, 0.8]),
        "train_loss": ([1, 2, 3, 4], [1.75, 1.5, 1.25, 1.0]),
    }
    # A folder of before, without the file of metrics.
    losses = score_files.draw_learning_curve(history, []).axes[1]
    assert drawn(losses)["train_loss"] == ([2, 4], [1.0, 1.0])
    # Legends stand to the right of the panel.
    assert losses.get_legend().get_bbox_to_anchor().x0 > losses.get_window_extent().x1


def test_report_of_a_regression(tmp_path):
    processor = registry.get_processor("sts-b")
    examples = [InputExample("dev-0", "a", "b", 1.0)]
    assert report(tmp_path, processor, examples, [0.5]) == {"dev_learning_curve.png"}


def test_report_without_matplotlib(tmp_path, caplog):
    processor = registry.get_processor("afqmc")
    with mock.patch.object(importlib.util, "find_spec", return_value=None):
        for _ in range(2):
            names = report(tmp_path, processor)
    assert names == {"dev_misclassified.tsv", "dev_class_report.txt"}
    assert caplog.text.count("pip install matplotlib") == 1


def make_font(path, characters):
    """Writes a font with a square for each character, under a name that tells nothing."""
    pen = ttGlyphPen.TTGlyphPen(None)
    for place, point in enumerate([(0, 0), (0, 900), (900, 900), (900, 0)]):
        (pen.lineTo if place else pen.moveTo)(point)
    pen.closePath()
    square = pen.glyph()
    characters += "lp"  # by which matplotlib measures the height of a line
    names = {ord(character): "u%04X" % ord(character) for character in characters}
    glyphs = [".notdef", *sorted(set(names.values()))]
    builder = fontBuilder.FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder(glyphs)
    builder.setupCharacterMap(names)
    builder.setupGlyf(dict.fromkeys(glyphs, square))
    builder.setupHorizontalMetrics(dict.fromkeys(glyphs, (1000, 0)))
    builder.setupHorizontalHeader(ascent=900, descent=-100)
    builder.setupNameTable({"familyName": "Plain", "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    builder.save(str(path))
    return str(path)


CHINESE = ["体育", "财经", "x$y$ é"]


@pytest.fixture
def fonts(monkeypatch):
    """Set of the paths of the fonts that are installed, besides matplotlib's own."""
    installed = set()
    monkeypatch.setattr(figures, "_font_files", lambda: installed)
    figures._find_font.cache_clear()
    yield installed
    figures._find_font.cache_clear()


@needs_matplotlib
def test_a_font_is_found_by_its_characters(tmp_path, fonts):
    (tmp_path / "broken.ttf").write_bytes(b"no font")
    fonts.add(str(tmp_path / "broken.ttf"))
    fonts.add(make_font(tmp_path / "NotoSansCJK-Regular.ttf", "体育"))
    assert figures.font_for(CHINESE) is None
    figures._find_font.cache_clear()
    for name in ("a-bold.ttf", "LastResort.ttf", "a.ttf"):
        fonts.add(make_font(tmp_path / name, "".join(CHINESE)))
    assert figures.font_for(CHINESE).get_file() == str(tmp_path / "a.ttf")
    assert figures.font_for(["体", "育\u200b \t"]).get_file().endswith("NotoSansCJK-Regular.ttf")
    # matplotlib's own font does where it can.
    assert figures.font_for(["x", "é", "Ж"]).get_file() is None


def tick_labels(figure):
    """Names at the x axis, and the files of their fonts."""
    texts = figure.axes[0].get_xticklabels()
    files = {text.get_fontproperties().get_file() for text in texts}
    return [text.get_text() for text in texts], files


@needs_matplotlib
def test_confusion_matrix_with_chinese_labels(tmp_path, recwarn, fonts):
    path = make_font(tmp_path / "some.ttf", "".join(CHINESE))
    fonts.add(path)
    figure, has_names = reports.draw_confusion_matrix(np.eye(3, dtype=int), CHINESE)
    assert has_names
    assert tick_labels(figure) == ([*CHINESE[:2], r"x\$y\$ é"], {path})
    figures.save(figure, str(tmp_path / "matrix.png"))
    assert min(png_size(str(tmp_path / "matrix.png"))) > 200
    assert not [w for w in recwarn if "missing" in str(w.message)]


@needs_matplotlib
def test_without_a_font_labels_are_numbered(tmp_path, recwarn, fonts, caplog):
    assert not fonts
    processor = mock.Mock(is_regression=False, group_size=1)
    processor.get_labels.return_value = ["体育", "财经"]
    examples = [InputExample("dev-0", "一", None, "体育")]
    names = report(tmp_path, processor, examples, np.array([[0.4, 0.6]]))
    assert "dev_confusion_matrix.txt" in names
    assert read(str(tmp_path), "dev_confusion_matrix.txt") == "0\t体育\n1\t财经\n"
    assert caplog.text.count("install one, such as the package fonts-noto-cjk") == 1
    assert not [w for w in recwarn if "missing" in str(w.message)]
    figure, has_names = reports.draw_confusion_matrix(np.eye(3, dtype=int), CHINESE)
    assert (tick_labels(figure)[0], has_names) == (["0", "1", "2"], False)


def test_confusion_matrix_of_many_labels(tmp_path):
    path = str(tmp_path / "matrix.png")
    labels = registry.get_processor("iflytek").get_labels()
    figure, has_names = reports.draw_confusion_matrix(np.zeros([119, 119], int), labels)
    assert not has_names
    figures.save(figure, path)
    assert max(png_size(path)) < 4000
