"""Small pre-training runs, and what they leave."""

import glob
import os
import re
from unittest import mock

import numpy as np
from absl import flags

import run_pretraining
from albert.basics.tf_compat import tf
from albert.model_files.configuration import AlbertConfig, BertConfig
from albert.pretraining.flags import define_flags
from helpers.models import golden_config, load_npz
from helpers.records import write_features, write_records

SIZES = dict(
    embedding_size=8,
    hidden_size=16,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=32,
    max_position_embeddings=16,
    type_vocab_size=2,
    hidden_dropout_prob=0.0,
    attention_probs_dropout_prob=0.0,
)
SMALL = BertConfig(50, **SIZES)
SMALL_GOOGLE = AlbertConfig(50, **SIZES)
# Flags that fit the records of records.py; few enough steps to run in a second.
SMALL_FLAGS = {
    "max_seq_length": 16,
    "max_predictions_per_seq": 3,
    "train_batch_size": 4,
    "learning_rate": 0.01,
    "num_train_steps": 4,
    "num_warmup_steps": 2,
    "log_every_steps": 1,
}
# Of runs that are killed; kills need room.
STEPS_PER_KILL, SAVE = 15, 10


def save_config(folder, config):
    path = os.path.join(str(folder), "config.json")
    with open(path, "w") as handle:
        handle.write(config.to_json_string())
    return path


def arguments(settings):
    return ["--%s=%s" % item for item in settings.items()]


def parse(**settings):
    values = flags.FlagValues()
    define_flags(values)
    values(["run_pretraining.py", *arguments(settings)])
    return values


def small_run(folder):
    """Flags of a tiny training run on two files of ten records each."""
    for part in range(2):
        write_records(folder / ("tf_%d" % part), range(10 * part, 10 * part + 10))
    return dict(
        SMALL_FLAGS,
        bert_config_file=save_config(folder, SMALL),
        input_file=str(folder / "tf_*"),
        output_dir=str(folder / "output"),
        do_train=True,
    )


def golden_flags(golden, name, tmp_path):
    """Flags for a golden model and its batch, as records in one file."""
    inputs = load_npz(golden, name, "inputs.npz")
    records = [
        {key: np.ravel(values[row]).tolist() for key, values in inputs.items()} for row in range(3)
    ]
    return {
        "albert_config_file": save_config(tmp_path, golden_config(golden, name)),
        "input_file": write_features(tmp_path / "tf_golden", records),
        "output_dir": str(tmp_path / "output"),
        "max_seq_length": 16,
        "max_predictions_per_seq": 4,
    }


def variables_of(prefix):
    reader = tf.train.load_checkpoint(prefix)
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def weights(folder, step, pattern=""):
    variables = variables_of(os.path.join(folder, "model.ckpt-%d" % step))
    return {
        name: value
        for name, value in variables.items()
        if re.search(pattern, name) and not re.search("global_step|_m$|_v$", name)
    }


def checkpoint_steps(model_dir):
    names = glob.glob(os.path.join(str(model_dir), "model.ckpt-*.index"))
    return sorted(int(re.search(r"-(\d+)\.index$", name).group(1)) for name in names)


def scalars(directory):
    """{tag: {step: value}} of all event files in a directory."""
    found = {}
    for path in sorted(glob.glob(os.path.join(str(directory), "events.out.*"))):
        for event in tf.train.summary_iterator(path):
            for value in event.summary.value:
                if value.HasField("simple_value"):
                    found.setdefault(value.tag, {})[event.step] = value.simple_value
    return found


def make_settings(folder, steps):
    """Flags of a run whose curve has a point for every step, with held-out evaluation."""
    write_records(folder / "dev", range(20, 26))
    return dict(
        small_run(folder),
        eval_file=str(folder / "dev"),
        eval_one_pass=True,
        num_train_steps=steps,
        save_checkpoints_steps=SAVE,
        keep_checkpoint_max=2,
        shuffle_buffer=8,
        learning_rate=0.03,
    )


def run(**settings):
    """Runs the script's main() with flags."""
    with mock.patch.object(flags, "FLAGS", parse(**settings)):
        run_pretraining.main(["run_pretraining.py"])


def run_main(script, *argv):
    """Parses the command line `argv` with the flags of a module and calls its main()."""
    values = flags.FlagValues()
    script.define_flags(values)
    positional = values(["script", *argv])
    with mock.patch.object(flags, "FLAGS", values):
        script.main(positional)
