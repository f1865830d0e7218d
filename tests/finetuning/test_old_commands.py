"""Commands of albert_zh and google-research/albert: their flags, their places, their settings."""

import os
import re
import subprocess

import pytest
from absl import flags

from albert.basics.errors import InputError
from albert.basics.tf_compat import tf
from albert.finetuning.classification.reports import usual_learning_rate
from albert.finetuning.flags import define_flags, own_settings
from albert.model_files.configuration import BertConfig
from helpers.paths import ROOT
from helpers.tasks import bad, make_task, run


def settings_of(*arguments):
    values = flags.FlagValues()
    define_flags(values)
    values(["run_classifier.py", *arguments])
    return own_settings(values)


@pytest.mark.parametrize("given", ["--use_pooled_output=false", "--nouse_pooled_output"])
def test_use_pooled_output(given):
    assert settings_of(given).pooling == "mean"
    assert settings_of("--use_pooled_output").pooling == "cls"
    with pytest.raises(InputError, match="is --pooling=mean, not masked_mean; choose one"):
        settings_of(given, "--pooling=masked_mean")


def test_cached_dir_changes_nothing():
    changed = settings_of("--cached_dir=somewhere")
    assert changed._replace(cached_dir=None) == settings_of()


@pytest.mark.parametrize(
    "given, remedy",
    [
        ("--albert_hub_module_handle=https://tfhub.dev/google/albert_base/1", "--init_checkpoint"),
        ("--threshold_to_export=0.5", "compare its probabilities with the threshold"),
        ("--export_dir=served", "--output_dir is required"),
    ],
)
def test_what_to_use_instead(given, remedy):
    with pytest.raises(InputError, match=remedy) as error:
        settings_of(given)
    message = str(error.value)
    assert message.endswith(".")
    assert "\n" not in message


@pytest.mark.slow
def test_export_dir(tmp_path, capsys):
    task = make_task(tmp_path)
    run(task, do_train=True, export_dir=str(tmp_path / "first"))
    assert os.listdir(str(tmp_path / "first")) == ["1"]
    capsys.readouterr()
    run(task, export_dir=str(tmp_path / "first"))  # a finished run, and nothing else to do
    written = str(tmp_path / "first" / "2")
    output = capsys.readouterr().out
    assert "written: %s\n" % written in output
    best = re.search("checkpoint: (.*)", output).group(1)
    assert os.path.dirname(best) == os.path.join(task["output_dir"], "best")
    latest = dict(task, select_checkpoint="latest")
    run(latest, export_dir=str(tmp_path / "latest"))
    prefix = re.search("checkpoint: (.*)", capsys.readouterr().out).group(1)
    assert prefix == tf.train.latest_checkpoint(task["output_dir"])
    with tf.Graph().as_default(), tf.Session() as session:
        meta_graph = tf.saved_model.load(session, ["serve"], written)
    assert "probabilities" in meta_graph.signature_def["serving_default"].outputs


def test_export_dir_needs_one_run(tmp_path):
    task = make_task(tmp_path)
    assert "by scripts/export_saved_model.py" in bad(task, seeds=2, export_dir="served")
    assert "is no folder of this machine" in bad(task, export_dir="gs://bucket/served")


@pytest.mark.once
@pytest.mark.parametrize(
    "name", ["create_pretrain_data.sh", "run_classifier_lcqmc.sh", "run_classifier_clue.sh"]
)
def test_the_place_of_a_script_in_albert_zh(name, tmp_path):
    """`./NAME` in the root, and from anywhere, is scripts/NAME: the same words and status."""

    def outcome(command):
        result = subprocess.run(command, cwd=str(tmp_path), capture_output=True, text=True)
        return result.returncode, result.stdout, result.stderr

    arguments = ["nowhere", "a", "b", "c"] if name == "create_pretrain_data.sh" else ["nowhere"]
    expected = outcome(["bash", os.path.join(ROOT, "scripts", name), *arguments])
    assert expected[0] == 2
    assert outcome([os.path.join(ROOT, name), *arguments]) == expected


@pytest.mark.once
@pytest.mark.parametrize(
    "width, rate", [(312, "1e-4"), (384, "1e-4"), (768, "3e-5"), (1024, "2e-5"), (2048, "1e-5")]
)
def test_one_table_of_learning_rates(width, rate, tmp_path):
    """The scripts, the advice in the log, and the README say the same."""
    config = BertConfig(100, hidden_size=width, num_attention_heads=1)
    assert usual_learning_rate(config).split()[0] == rate
    path = tmp_path / "config.json"
    path.write_text(config.to_json_string())
    command = 'source "$1" && usual_learning_rate "$2"'
    script = os.path.join(ROOT, "scripts", "arguments.sh")
    arguments = ["bash", "-c", command, "-", script, str(path)]
    assert subprocess.check_output(arguments, universal_newlines=True).strip() == rate
    size = {312: "tiny, small", 384: "tiny, small", 768: "base", 1024: "large"}.get(width, "xlarge")
    with open(os.path.join(ROOT, "README.md"), encoding="utf-8") as handle:
        rows = re.findall(r"^\| ([\w, ]+) \| (\de-\d)\b", handle.read(), re.M)
    assert [found for sizes, found in rows if sizes.startswith(size)] == [rate]
