"""What is taken from folders where flags are left out, and which folders are refused."""

import json
import os
import re
import shutil

import pytest

import run_classifier
from albert.basics.errors import InputError
from albert.basics.tf_compat import tf
from albert.finetuning import defaults
from albert.finetuning.flags import FinetuningSettings
from albert.finetuning.tasks.registry import get_processor
from albert.model_files import model_folder
from albert.model_files.configuration import load_config
from helpers.models import CONFIGS, rewrite_checkpoint, write_model
from helpers.tasks import (
    SENTENCES,
    VOCABULARY,
    lcqmc_rows,
    make_task,
    read_text,
    results_of,
    run,
    write_lines,
)

TASK = {
    "task_name": "lcqmc_pair",
    "labels": ["0", "1"],
    "pooling": "masked_mean",
    "preprocess_text": False,
    "max_seq_length": 20,
    "do_lower_case": True,
}


@pytest.fixture
def finished(tmp_path):
    """A folder as training leaves it."""
    folder = tmp_path / "finished"
    prefix, _ = write_model(folder, num_labels=2, **TASK)
    rewrite_checkpoint(prefix, folder / "model.ckpt-5")
    for path in folder.glob("model.ckpt.*"):
        path.unlink()
    tf.train.update_checkpoint_state(str(folder), "model.ckpt-5")
    (folder / "run_settings.json").write_text(json.dumps({"task_name": "lcqmc_pair"}))
    return str(folder)


@pytest.fixture
def new_file(tmp_path):
    return write_lines(tmp_path / "new.tsv", ["a\tb\tlabel", *lcqmc_rows(6)])


def predictions(folder):
    return read_text(str(folder), run_classifier.PREDICT_FILE)


def test_a_finished_folder_is_all_that_prediction_needs(finished, new_file, tmp_path):
    run({"do_predict": True, "output_dir": finished, "test_file": new_file})
    assert len(predictions(finished).splitlines()) == 6
    other = {"output_dir": str(tmp_path / "other"), "init_checkpoint": finished}
    run({"do_predict": True, "test_file": new_file}, **other)
    assert predictions(tmp_path / "other") == predictions(finished)
    used = results_of(other)["settings"]
    assert (used["max_seq_length"], used["pooling"]) == (20, "masked_mean")


def test_a_flag_that_contradicts_names_the_remedy(finished, new_file):
    given = {"do_predict": True, "output_dir": finished, "test_file": new_file}
    message = "trained with max_seq_length 20, but .* 64 .*leave --max_seq_length out or pass --max"
    with pytest.raises(InputError, match=message):
        run(given, max_seq_length=64)
    with pytest.raises(InputError, match="--test_file|new.*no such file"):
        run(given, test_file="new")


def test_columns_and_labels_of_the_users_own_task(finished, tmp_path):
    task = dict(TASK, task_name="custom", labels=["a", "b"])
    for name, content in (
        ("task.json", task),
        ("run_settings.json", {"task_name": "custom", "text_a": "t", "label": "l"}),
    ):
        with open(os.path.join(finished, name), "w") as handle:
            json.dump(content, handle)
    new = write_lines(tmp_path / "new.csv", ["id,t", *("%d,%s" % x for x in enumerate(SENTENCES))])
    run({"do_predict": True, "output_dir": finished, "test_file": new})
    assert len(predictions(finished).splitlines()) == len(SENTENCES)


def test_a_checkpoint_with_another_number_of_labels_is_not_scored(finished, tmp_path):
    settings = make_task(tmp_path)
    del settings["bert_config_file"], settings["vocab_file"]
    settings.update(task_name="custom", labels="0,1,2", init_checkpoint=finished)
    with pytest.raises(InputError, match="labels|has 2 outputs, and the task needs 3"):
        run(settings, do_predict=True, test_file=os.path.join(settings["data_dir"], "test.txt"))


@pytest.mark.parametrize("name, expected", [("postln", 128), ("google", 512)])
def test_the_length_of_the_family(tmp_path, name, expected):
    for positions, length in ((1024, expected), (64, 64)):
        path = tmp_path / "config.json"
        path.write_text(json.dumps(dict(CONFIGS[name], max_position_embeddings=positions)))
        settings = FinetuningSettings(bert_config_file=str(path))
        assert defaults.complete(settings, set(), load_config)[0].max_seq_length == length
        given = defaults.complete(
            settings._replace(max_seq_length=33), {"max_seq_length"}, load_config
        )
        assert given[0].max_seq_length == 33


def test_files_of_a_folder_to_start_from(tmp_path):
    write_model(tmp_path / "model")
    settings = FinetuningSettings(do_train=True, init_checkpoint=str(tmp_path / "model"))
    found, config = defaults.complete(settings, set(), load_config)
    assert found.vocab_file == str(tmp_path / "model" / "vocab.txt")
    assert config.hidden_size == 16
    with pytest.raises(InputError, match="--bert_config_file is required: neither"):
        defaults.complete(FinetuningSettings(), set(), load_config)


def test_files_in_place_of_a_tasks(tmp_path, new_file):
    processor = get_processor("lcqmc", {"test_file": "new.tsv", "dev_file": new_file})
    assert processor.find_file(str(tmp_path), "test") == str(tmp_path / "new.tsv")
    assert processor.find_file("", "dev") == new_file
    assert processor.find_file("data", "train") == os.path.join("data", "train.txt")


# Folders that are refused


def test_a_models_folder_is_not_written_to(tmp_path):
    settings = make_task(tmp_path)
    folder = tmp_path / "published"
    prefix, _ = write_model(folder)
    rewrite_checkpoint(prefix, folder / "albert_model.ckpt")
    before = sorted(os.listdir(str(folder)))
    settings.update(output_dir=str(folder), do_train=True, do_predict=True)
    with pytest.raises(InputError, match="--output_dir: .* holds a model and no run: .*albert_mod"):
        run(settings)
    with pytest.raises(InputError, match="holds a model and no run"):
        run(settings, seeds=2, do_eval=True)
    assert sorted(os.listdir(str(folder))) == before


def test_scores_are_not_written_beside_a_model_that_is_no_classifier(finished, tmp_path):
    settings = make_task(tmp_path)
    folder = tmp_path / "published"
    write_model(folder)
    before = sorted(os.listdir(str(folder)))
    settings.update(output_dir=str(folder), init_checkpoint=finished)
    for action in ("do_eval", "do_predict"):
        with pytest.raises(InputError, match="holds a model that is no classifier, model.ckpt;"):
            run(settings, **{action: True})
    assert sorted(os.listdir(str(folder))) == before


def test_a_classifier_of_another_name_is_pointed_to(tmp_path):
    prefix, _ = write_model(tmp_path / "model", num_labels=2)
    model_folder.check_folder_of_scores(os.path.dirname(prefix))
    message = "no checkpoint of a run in .*not given; train first .*--init_checkpoint=.*model.ckpt"
    with pytest.raises(InputError, match=message):
        model_folder.find_checkpoints(os.path.dirname(prefix))


def test_the_folder_of_several_seeds_names_its_best(tmp_path):
    folder = str(tmp_path)
    model_folder.check_is_one_run(folder, "model_dir")
    with open(os.path.join(folder, "results.json"), "w") as handle:
        json.dump({"seeds": {"best_seed": 7}}, handle)
    best = "holds the runs of several seeds; .* the best is '.*seed_7'"
    for given in (
        FinetuningSettings(output_dir=folder, do_predict=True),
        FinetuningSettings(output_dir="new", init_checkpoint=folder, do_train=True),
    ):
        with pytest.raises(InputError, match=best):
            defaults.complete(given, set(), load_config)
    with pytest.raises(InputError, match="--model_dir: .*" + best):
        model_folder.find_files(folder)


@pytest.mark.parametrize("name", ["model.ckpt", "model.ckpt-best"])
def test_names_of_a_models_checkpoint(tmp_path, name):
    prefix, _ = write_model(tmp_path / "model")
    folder = tmp_path / "folder"
    folder.mkdir()
    rewrite_checkpoint(prefix, folder / name)
    for of_task in (True, False):
        with pytest.raises(InputError, match="holds a model and no run"):
            model_folder.check_output_folder(str(folder), of_task)


def test_runs_are_told_apart(finished, tmp_path):
    model_folder.check_output_folder(finished, of_task=True)
    with pytest.raises(InputError, match="holds a run of fine-tuning; .*as --init_checkpoint"):
        model_folder.check_output_folder(finished, of_task=False)
    shutil.copytree(finished, os.path.join(finished, "best"))
    best = os.path.join(finished, "best")
    os.remove(os.path.join(best, "run_settings.json"))
    with open(os.path.join(best, "best.json"), "w") as handle:
        json.dump({"step": 5}, handle)
    with pytest.raises(InputError, match="holds the best checkpoint of the run in"):
        model_folder.check_output_folder(best, of_task=True)
    for free in (tmp_path / "new", tmp_path):
        model_folder.check_output_folder(str(free), of_task=True)


def test_bad_data_leave_no_folder(tmp_path):
    settings = make_task(tmp_path)
    settings.update(output_dir=str(tmp_path / "a" / "b"), do_train=True)
    write_lines(tmp_path / "data" / "train.txt", ["a\tb\tlabel", "x\ty\t7"])
    with pytest.raises(InputError, match="label '7'"):
        run(settings)
    assert not (tmp_path / "a").exists()


# Starting from a classifier


@pytest.mark.slow
def test_training_from_a_classifier_of_another_task(finished, tmp_path, caplog):
    settings = make_task(tmp_path)
    del settings["bert_config_file"], settings["vocab_file"]
    settings.update(init_checkpoint=finished, num_train_steps=1, eval_during_training=False)
    with caplog.at_level("INFO", logger="absl"):
        run(settings, do_train=True)
        assert "its head has the size of this task's and is trained further" in caplog.text
        assert results_of(settings)["init_checkpoint"]["not_loaded"] == []
        caplog.clear()
        custom = dict(
            settings,
            task_name="custom",
            train_file="train.txt",
            labels="0,1,2",
            output_dir=str(tmp_path / "three"),
        )
        run(custom, do_train=True)
        assert "the head starts anew" in caplog.text
    assert results_of(custom)["init_checkpoint"] == {
        "checkpoint": os.path.join(finished, "model.ckpt-5"),
        "loaded": 24,
        "not_loaded": ["output_weights", "output_bias"],
    }


# Vocabularies


def _with_vocabulary(source, target, lines, **task):
    shutil.copytree(str(source), str(target))
    write_lines(target / "vocab.txt", lines)
    (target / "task.json").write_text(json.dumps(dict(TASK, pooling="cls", **task)))
    return model_folder.find_files(str(target))


@pytest.mark.parametrize(
    "lines, warning",
    [
        (VOCABULARY, None),
        ([*VOCABULARY, ""], "1 blank line at the end"),
        ([*VOCABULARY[:-1], VOCABULARY[10]], "duplicate lines, first .*the last one gives the id"),
        (VOCABULARY[:150], "has 150 entries, but .* vocab_size 200; the rows above"),
    ],
)
def test_vocabularies_that_fit(tmp_path, caplog, lines, warning):
    write_model(tmp_path / "model", num_labels=2)
    files = _with_vocabulary(tmp_path / "model", tmp_path / "copy", lines)
    config = load_config(files.config_file)
    with caplog.at_level("WARNING", logger="absl"):
        used = model_folder.load_tokenizer(files, config)
        trained = model_folder.create_tokenizer(config, "config.json", files.vocab_file)
    assert used.vocab == trained.vocab
    if warning is None:
        assert caplog.text == ""
    else:
        assert re.search(warning, caplog.text)


def test_a_vocabulary_that_is_too_large(tmp_path):
    write_model(tmp_path / "model", num_labels=2)
    lines = [*VOCABULARY, "天气", "新"]
    files = _with_vocabulary(tmp_path / "model", tmp_path / "refused", lines)
    config = load_config(files.config_file)
    with pytest.raises(InputError, match="has 202 entries") as error:
        model_folder.load_tokenizer(files, config)
    assert "--allow_vocab_mismatch" not in str(error.value)
    with pytest.raises(InputError, match="--allow_vocab_mismatch if you know better"):
        model_folder.create_tokenizer(config, "config.json", files.vocab_file)
    files = _with_vocabulary(
        tmp_path / "model", tmp_path / "allowed", lines, allow_vocab_mismatch=True
    )
    used = model_folder.load_tokenizer(files, config)
    assert max(used.encode("今天天气新")) < config.vocab_size
