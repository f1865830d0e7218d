"""data/task_samples: every task has readable files of the promised size, and runs on them."""

import json
import os
import shutil
from unittest import mock

import pytest
from absl import flags, logging

import run_classifier
from albert.finetuning import score_files
from albert.finetuning.tasks import registry
from helpers.paths import GOLDEN, ROOT
from helpers.tasks import TINY_CONFIG as TINY

SAMPLES = os.path.join(ROOT, "data", "task_samples")
SIZES = {"train": 24, "dev": 8, "test": 6}
TINY_CONFIG = dict(TINY, vocab_size=14957)
CUSTOM = [(kind, regression) for kind in ("tsv", "csv", "jsonl") for regression in (False, True)]


def sample_dir(task_name):
    if task_name in ("lcqmc_pair", "copa_pair"):
        return os.path.join(SAMPLES, task_name[: -len("_pair")])
    folder = os.path.join(SAMPLES, task_name)
    return folder if os.path.isdir(folder) else os.path.join(SAMPLES, "glue")


def custom_options(kind, regression):
    options = {name + "_file": "%s.%s" % (name, kind) for name in SIZES}
    options.update(text_a="review", label="stars" if regression else "opinion")
    return dict(options, regression=regression, data_dir=os.path.join(SAMPLES, "custom"))


def read(processor, data_dir, set_type):
    examples = getattr(processor, "get_%s_examples" % set_type)(data_dir)
    processor.check_rows()
    return examples


def check(processor, data_dir, sets=tuple(SIZES)):
    labels = set(processor.get_labels())
    texts = {}
    with mock.patch.object(logging, "warning") as warning:
        for set_type in sets:
            examples = read(processor, data_dir, set_type)
            assert len(examples) == SIZES[set_type] * processor.group_size
            guids = {example.guid for example in examples}
            assert len(guids) == len(examples)
            texts[set_type] = {(example.text_a, example.text_b) for example in examples}
            if processor.is_regression:
                assert all(isinstance(example.label, float) for example in examples)
            else:
                assert {example.label for example in examples} <= labels
            if set_type == "train" and len(labels) <= 3 and not processor.is_regression:
                assert {example.label for example in examples} == labels
    assert not warning.called
    for first, second in (("train", "dev"), ("train", "test"), ("dev", "test")):
        assert not texts.get(first, set()) & texts.get(second, set())


@pytest.mark.parametrize("task_name", sorted(set(registry.TASKS) - {"custom"}))
def test_samples(task_name):
    sets = ("test",) if task_name == "ax" else tuple(SIZES)
    check(registry.get_processor(task_name), sample_dir(task_name), sets)


def test_samples_of_published_xnli():
    processor = registry.get_processor("xnli")
    check(processor, os.path.join(SAMPLES, "xnli_published"))
    assert processor.test_has_labels


@pytest.mark.parametrize("kind,regression", CUSTOM)
def test_custom_samples(kind, regression):
    processor = registry.get_processor("custom", custom_options(kind, regression))
    check(processor, None)
    assert processor.get_labels() == ([None] if regression else ["好评", "差评"])


def test_every_folder_is_of_a_task():
    folders = {name for name in os.listdir(SAMPLES) if os.path.isdir(os.path.join(SAMPLES, name))}
    tasks = {os.path.basename(sample_dir(name)) for name in registry.TASKS}
    assert folders == tasks | {"xnli_published"}


# Whole runs.  Training differs only in the number of labels, so one task of each is trained; all
# others evaluate and predict with its model.

TRAINED = {"afqmc": 2, "cmnli": 3, "tnews": 15, "iflytek": 119, "sts-b": 1}
# These evaluate during training and draw; the others do not, to save time.
SELECTED = ("afqmc", "sts-b")


def run(folder, task_name, **more):
    """Runs the script's main in this process; returns name -> path of what is in output_dir."""
    config = folder / "config.json"
    config.write_text(json.dumps(TINY_CONFIG))
    output_dir = str(folder / "output")
    options = {
        "task_name": task_name,
        "bert_config_file": str(config),
        "vocab_file": os.path.join(GOLDEN, "vocab.txt"),
        "output_dir": output_dir,
        "max_seq_length": 32,
        "train_batch_size": 8,
        "num_train_steps": 2,
        "do_eval": True,
        "do_predict": True,
        "allow_changed_settings": True,  # the model of a task with other labels
    }
    options.update(more)
    values = flags.FlagValues()
    run_classifier.define_flags(values)
    values(["run_classifier.py"] + ["--%s=%s" % item for item in options.items()])
    plots = mock.patch.object(score_files, "can_draw", return_value=task_name in SELECTED)
    with plots, mock.patch.object(flags, "FLAGS", values):
        run_classifier.main(["run_classifier.py"])
    return {name: os.path.join(output_dir, name) for name in os.listdir(output_dir)}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Task -> files of its trained model's folder."""
    files = {}
    for task_name in TRAINED:
        folder = tmp_path_factory.mktemp("trained")
        data_dir = copy_of(folder, task_name)
        files[task_name] = run(
            folder,
            task_name,
            do_train=True,
            eval_during_training=task_name in SELECTED,
            data_dir=data_dir,
        )
    return files


def model_for(trained, processor):
    """Folder of a model with as many outputs as the task has labels."""
    count = len(processor.get_labels())
    (task_name,) = (name for name in TRAINED if TRAINED[name] == count)
    return os.path.dirname(trained[task_name]["results.json"])


def copy_of(folder, task_name):
    """Copy of a task's folder: an evaluation also leaves its report there."""
    return shutil.copytree(sample_dir(task_name), str(folder / "data"))


def count_lines(path):
    with open(path, encoding="utf-8") as handle:
        return len(handle.readlines())


def check_outputs(files, processor, task_name):
    with open(files["results.json"], encoding="utf-8") as handle:
        results = json.load(handle)
    assert results["metric"] == processor.metric
    assert set(processor.eval_keys) <= set(results["dev"])
    examples = SIZES["test"] * processor.group_size
    assert count_lines(files["test_results.tsv"]) == examples
    assert ("dev_misclassified.tsv" in files) != processor.is_regression
    assert ("dev_learning_curve.png" in files) == (task_name in SELECTED)
    assert (task_name + "_predict.json" in files) == processor.predict_json
    if processor.predict_json:
        assert count_lines(files[task_name + "_predict.json"]) == examples
    if processor.submit_header:
        assert count_lines(files["submit_results.tsv"]) == examples + 1


@pytest.mark.slow
@pytest.mark.parametrize("task_name", sorted(set(registry.TASKS) - {"custom", "ax"}))
def test_run(tmp_path, trained, task_name):
    processor = registry.get_processor(task_name)
    if task_name in TRAINED:
        files = trained[task_name]
        assert "best" in files
    else:
        model = model_for(trained, processor)
        data_dir = copy_of(tmp_path, task_name)
        files = run(tmp_path, task_name, data_dir=data_dir, init_checkpoint=model)
    check_outputs(files, processor, task_name)


def test_diagnostics_with_a_model_of_mnli(tmp_path, trained):
    model = model_for(trained, registry.get_processor("ax"))
    data_dir = sample_dir("ax")
    files = run(tmp_path, "ax", do_eval=False, data_dir=data_dir, init_checkpoint=model)
    assert count_lines(files["submit_results.tsv"]) == SIZES["test"] + 1


@pytest.mark.parametrize("kind,regression", CUSTOM[::3])
def test_run_of_custom_data(tmp_path, trained, kind, regression):
    shutil.copytree(os.path.join(SAMPLES, "custom"), str(tmp_path / "data"))
    options = dict(custom_options(kind, regression), data_dir=str(tmp_path / "data"))
    processor = registry.get_processor("custom", options)
    files = run(tmp_path, "custom", init_checkpoint=model_for(trained, processor), **options)
    check_outputs(files, processor, "custom")
