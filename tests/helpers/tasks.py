"""Small classification tasks, and runs of run_classifier.py on them."""

import json
import os
import re
import subprocess
import sys
from unittest import mock

import numpy as np
import pytest
from absl import flags

import run_classifier
from albert.basics.errors import InputError
from albert.basics.tf_compat import tf
from albert.finetuning import score_files
from helpers import processes
from helpers.paths import GOLDEN, ROOT

VOCAB_FILE = os.path.join(GOLDEN, "vocab.txt")
SENTENCES = (
    "今天天气怎么样 手机屏幕碎了怎么办 如何学习做菜 附近有没有书店 "
    "电脑开不了机 周末去哪里玩 怎么办理退货 火车几点出发"
).split()
# As many entries as the golden models have, so that their checkpoints fit.
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + sorted(set("".join(SENTENCES)))
VOCABULARY += ["[unused%d]" % index for index in range(200 - len(VOCABULARY))]
TINY_CONFIG = {
    "ln_type": "postln",
    "vocab_size": 200,
    "embedding_size": 8,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
    "max_position_embeddings": 64,
    "type_vocab_size": 2,
}


def lcqmc_rows(count, seed=0):
    """Lines `text_a, text_b, label`; equal sentences are similar."""
    random = np.random.RandomState(seed)
    rows = []
    for _ in range(count):
        text_a, text_b = random.choice(SENTENCES, 2, replace=False)
        label = random.randint(2)
        rows.append("\t".join([text_a, text_a if label else text_b, str(label)]))
    return rows


def write_lines(path, lines):
    path.write_bytes("".join(line + "\n" for line in lines).encode("utf-8"))
    return str(path)


def make_task(folder, config=TINY_CONFIG, vocabulary=VOCABULARY):
    """Writes data, config and vocabulary; returns the flags of a run on them."""
    data = folder / "data"
    data.mkdir()
    for seed, (name, count) in enumerate((("train", 40), ("dev", 11), ("test", 7))):
        write_lines(data / (name + ".txt"), ["a\tb\tlabel"] + lcqmc_rows(count, seed))
    (folder / "config.json").write_text(json.dumps(config))
    return {
        "task_name": "lcqmc_pair",
        "data_dir": str(data),
        "output_dir": str(folder / "output"),
        "bert_config_file": str(folder / "config.json"),
        "vocab_file": write_lines(folder / "my_vocab.txt", vocabulary),
        "max_seq_length": 24,
        "train_batch_size": 8,
        "num_train_epochs": 2,
    }


def arguments(settings):
    return ["--%s=%s" % item for item in sorted(settings.items())]


def run(settings, **more):
    """Runs the script's main in this process, without images, which take time."""
    values = flags.FlagValues()
    run_classifier.define_flags(values)
    values(["run_classifier.py"] + arguments(dict(settings, **more)))
    without_images = mock.patch.object(score_files, "can_draw", lambda: False)
    with mock.patch.object(flags, "FLAGS", values), without_images:
        run_classifier.main(["run_classifier.py"])


def fork_script(settings, **more):
    """The script, see helpers/processes.py."""
    script = os.path.join(ROOT, "run_classifier.py")
    return processes.Script([script, *arguments(dict(settings, **more))])


def start_script(settings, **more):
    """The script as a user starts it."""
    return subprocess.Popen(
        [sys.executable, os.path.join(ROOT, "run_classifier.py")]
        + arguments(dict(settings, **more)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=dict(os.environ, PYTHONIOENCODING="utf-8"),
    )


def latest(settings):
    return tf.train.latest_checkpoint(settings["output_dir"])


def read_text(*parts):
    with open(os.path.join(*parts), encoding="utf-8") as handle:
        return handle.read()


def results_of(settings):
    return json.loads(read_text(settings["output_dir"], "results.json"))


def eval_loss(settings):
    """Loss of the last checkpoint in the report."""
    report = read_text(settings["output_dir"], run_classifier.EVAL_FILE)
    return float(re.findall(r"^eval_loss = (.*)$", report, re.M)[-1])


def bad(settings, **more):
    """The message of the run's error, which is one sentence."""
    with pytest.raises(InputError) as error:
        run(dict(settings, do_train=True), **more)
    message = str(error.value)
    assert message.endswith(".")
    assert "\n" not in message
    return message
