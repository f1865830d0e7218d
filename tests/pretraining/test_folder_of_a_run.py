"""The folder of a pre-training run: complete for fine-tuning, and with google's best checkpoint."""

import glob
import json
import os
from unittest import mock

import pytest

from albert.basics.errors import InputError
from albert.basics.storage import sha256
from albert.basics.tf_compat import tf
from albert.model_files import model_folder
from albert.pretraining import model_files
from albert.pretraining.index import RecordIndex
from helpers.models import rewrite_checkpoint, write_model
from helpers.runs import SMALL_GOOGLE, make_settings, run, save_config, variables_of, weights
from helpers.tasks import read_text, write_lines

VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *map(str, range(45))]


def describe(settings, vocab_file, digest=None, **more):
    """Descriptions beside the records of a run, as create_pretraining_data.py writes them."""
    for path in glob.glob(settings["input_file"]):
        content = {
            "settings": dict(
                max_seq_length=16, max_predictions_per_seq=3, do_permutation=False, **more
            ),
            "vocab_file": vocab_file,
            "vocab_sha256": digest or sha256(vocab_file),
            "vocab_size": 50,
        }
        with open(path + ".json", "w") as handle:
            json.dump(content, handle)
    return dict(settings, input_file=settings["input_file"][:-1] + "[01]")


@pytest.fixture
def vocab_file(tmp_path):
    return write_lines(tmp_path / "words.txt", VOCABULARY)


class Settings:
    vocab_file = spm_model_file = None

    def __init__(self, **given):
        vars(self).update(given)


def test_which_vocabulary(tmp_path, small, vocab_file):
    small = describe(small, vocab_file)
    files = sorted(glob.glob(small["input_file"]))
    assert model_files.find_vocabulary(Settings(), files) == (vocab_file, None, True)
    other = write_lines(tmp_path / "other.txt", VOCABULARY[:-1])
    with pytest.raises(InputError, match="other.txt is not the vocabulary that the records"):
        model_files.find_vocabulary(Settings(vocab_file=other), files)
    with pytest.raises(InputError, match="are both given"):
        model_files.find_vocabulary(Settings(vocab_file=other, spm_model_file=other), files)
    describe(small, vocab_file, digest="0" * 64)
    assert model_files.find_vocabulary(Settings(), files).vocab_file is None
    describe(small, vocab_file, do_lower_case=False)
    assert model_files.find_vocabulary(Settings(), files).do_lower_case is False
    describe(small, str(tmp_path / "gone.txt"), digest="0" * 64)
    assert model_files.find_vocabulary(Settings(), files).vocab_file is None
    for path in glob.glob(str(tmp_path / "*.json")):
        os.remove(path)
    assert model_files.find_vocabulary(Settings(), files).vocab_file is None
    assert model_files.find_vocabulary(Settings(vocab_file=other), files).vocab_file == other


@pytest.mark.slow
def test_a_google_run_is_complete_and_has_a_model_ckpt_best(tmp_path, vocab_file):
    settings = describe(make_settings(tmp_path, 4), vocab_file)
    settings.update(bert_config_file=save_config(tmp_path, SMALL_GOOGLE), save_checkpoints_steps=2)
    run(**settings)
    folder = settings["output_dir"]
    best = model_folder.best_checkpoint(folder)
    found = variables_of(os.path.join(folder, "model.ckpt-best"))
    assert found.keys() == variables_of(best).keys()
    assert found["global_step"] == variables_of(best)["global_step"]
    assert os.path.exists(os.path.join(folder, "model.ckpt-best.meta"))
    for place in (folder, os.path.join(folder, "best")):
        files = model_folder.find_files(place)
        assert files.config_file == os.path.join(place, "albert_config.json")
        assert files.vocab_file == os.path.join(place, "vocab.txt")
    assert sha256(files.vocab_file) == sha256(vocab_file)
    # A kill between the new best checkpoint and its other name; the run goes on.
    os.remove(os.path.join(folder, "model.ckpt-best.index"))
    run(**settings)
    assert os.path.exists(os.path.join(folder, "model.ckpt-best.index"))


def test_a_models_folder_is_not_written_to(tmp_path, small):
    write_model(tmp_path / "published")
    before = sorted(os.listdir(str(tmp_path / "published")))
    with pytest.raises(InputError, match="--output_dir: .* holds a model and no run"):
        run(**dict(small, output_dir=str(tmp_path / "published")))
    assert sorted(os.listdir(str(tmp_path / "published"))) == before


@pytest.mark.parametrize(
    "change",
    [{"input_file": "none*"}, {"init_checkpoint": "none"}, {"max_seq_length": 8}],
)
def test_bad_input_leaves_no_folder(tmp_path, small, change):
    small["output_dir"] = str(tmp_path / "a" / "b")
    with pytest.raises(InputError):
        run(**dict(small, **change))
    assert not (tmp_path / "a").exists()


@pytest.mark.slow
def test_a_moved_run_goes_on_in_its_new_place(tmp_path, small):
    """From float16 under another scope, too."""
    small.update(num_train_steps=2, save_checkpoints_steps=1)
    run(**small)
    first = small["output_dir"]
    absolute = [os.path.join(first, "model.ckpt-%d" % step) for step in range(3)]
    tf.train.update_checkpoint_state(first, absolute[-1], absolute)
    second = str(tmp_path / "second")
    os.rename(first, second)
    assert first in read_text(second, "checkpoint")
    run(**dict(small, output_dir=second, num_train_steps=3, allow_changed_settings=True))
    assert len(weights(second, 3)) == len(weights(second, 2))
    assert first not in read_text(second, "checkpoint")
    half = rewrite_checkpoint(
        os.path.join(second, "model.ckpt-3"),
        tmp_path / "half.ckpt",
        lambda name: None if "global_step" in name else "module/" + name,
        tf.float16,
    )
    third = str(tmp_path / "third")
    run(**dict(small, output_dir=third, init_checkpoint=half, num_train_steps=1))
    for name, value in weights(third, 0).items():
        assert abs(value - weights(second, 3)[name]).max() < 1e-2, name


def test_a_bad_start_is_found_before_the_records_are_read(tmp_path, small):
    prefix, _ = write_model(tmp_path / "model")
    other = rewrite_checkpoint(
        prefix,
        tmp_path / "other.ckpt",
        lambda name: None if name.endswith("word_embeddings") else "net/" + name,
    )
    change = {"init_checkpoint": other, "do_train": True}
    unread = mock.patch.object(RecordIndex, "read", side_effect=AssertionError)
    with unread, pytest.raises(InputError, match="no variable of the encoder .* with 'net/'"):
        run(**dict(small, **change))
    assert not os.path.exists(small["output_dir"])
