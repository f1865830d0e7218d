"""The READMEs and docs/: what they tell people to type runs, and what they name is there.

Every block of bash and of Python is run, from top to bottom of each text, in a folder that has the
files a reader has; README.md needs nothing that it did not make itself before.  Numbers that take
hours have small values (`SMALL`), and what cannot be run here is named in `NOT_RUN` with its
reason; its flags are parsed at least.
"""

import ast
import glob
import importlib
import json
import os
import re
import subprocess

import pytest
from absl import flags

from albert.basics import storage
from albert.model_files import model_folder
from helpers import processes, texts
from helpers.models import write_model
from helpers.paths import ROOT
from helpers.records import make_features, write_features
from helpers.tasks import TINY_CONFIG, VOCABULARY, lcqmc_rows, write_lines

ALL = texts.READMES + texts.DOCS
# The README's blocks are those of the other one, see test_the_chinese_readme_has_the_same_blocks.
RUN = [path for path in ("README.md", *texts.DOCS) if texts.blocks(texts.read(path))]

LENGTH, PREDICTIONS = 32, 4
CONFIG = dict(TINY_CONFIG, max_position_embeddings=512, num_hidden_layers=2)
# Values of flags, wherever a command has them.
SMALL = {
    "max_seq_length": LENGTH,
    "max_predictions_per_seq": PREDICTIONS,
    "train_batch_size": 8,
    "gradient_accumulation_steps": 2,
    "num_train_steps": 4,
    "num_warmup_steps": 1,
    "num_train_epochs": 1,
    "num_workers": 1,
    "save_checkpoints_steps": 2,
    "port": 0,
}
# Flags that a script gets besides.
MORE = {
    "run_pretraining.py": ["--max_eval_steps=1"],
    "run_classifier.py": [
        "--train_batch_size=8",
        "--eval_batch_size=64",
        "--predict_batch_size=64",
    ],
    "scripts/train_sentencepiece.py": ["--vocab_size=400"],
}
# What is not run: a pattern of the command, and why.
NOT_RUN = {
    r"^(pip install|tensorboard|tensorflow_model_server) ": "programs of others",
    r"^curl localhost:8501": "asks TensorFlow Serving",
    r"^bash scripts/(quickstart|run_tests|setup_env|compare_optimizers)\.sh": "takes minutes",
    r"^bash scripts/download_pretrained\.sh": "fetches; tests/scripts/test_download_pretrained.py",
    r"^python benchmarks/": "takes minutes",
    r"^pytest ": "runs tests",
    r" --output_dir=clue_output/(?!tnews)\w+_output": "as tnews, which is run",
    r" --distribution=multi_worker": "runs in tests/training/test_multi_worker.py",
    r" --output_dir=(my_base|my_tiny|stage\d|my_domain_model)": "as the sample, which is run",
}
# Names that a snippet takes for granted.
GIVEN = """
import args
args.model_dir = args.output_dir = "albert_lcqmc_checkpoints"
candidates = ["花呗如何还钱", "怎么做蛋糕", "明天下雨吗"]
pairs = [("花呗怎么还款", "花呗如何还钱")]
texts = ["今天股市大涨"]
ids, mask, segments = [[2, 7, 3]], [[1, 1, 1]], [[0, 0, 0]]
"""
# Flags of programs of others.
FOREIGN_FLAGS = (
    "logdir rest_api_port model_name model_base_path kills preload user force-reinstall"
).split()
# Of scripts in bash, and of benchmarks.
OTHER_FLAGS = ("list", "quick", "help", "parts")


def names_of_flags(text):
    """Flags in running text and in commands: `--max_seq_length`, `--port=0`, `--noembed`."""
    return set(re.findall(r"(?<![\w-])--([A-Za-z][\w-]*)", text))


def module_of(script):
    return importlib.import_module(script[: -len(".py")].replace("/", "."))


def flags_of(script):
    """`flags.FlagValues` of a script; None where it has a parser of another kind."""
    module = module_of(script)
    if not hasattr(module, "define_flags"):
        return None
    values = flags.FlagValues()
    module.define_flags(values)
    return values


def scripts():
    """Paths of all Python scripts with a table of flags."""
    paths = [
        os.path.relpath(path, ROOT).replace(os.sep, "/")
        for folder in ("", "scripts")
        for path in glob.glob(os.path.join(ROOT, folder, "*.py"))
    ]
    return sorted(path for path in paths if "cli.run(" in texts.read(path))


@pytest.fixture(scope="module")
def all_flags():
    """Names of all flags of all scripts."""
    names = set(OTHER_FLAGS) | set(FOREIGN_FLAGS) | {"helpfull", "verbosity"}
    for script in scripts():
        values = flags_of(script)
        names.update(values)
        names.update("no" + name for name in values if values[name].boolean)
    return names


@pytest.mark.once
@pytest.mark.parametrize("path", ALL)
def test_flags_that_are_named_exist(path, all_flags):
    unknown = names_of_flags(texts.read(path)) - all_flags
    assert not unknown


@pytest.mark.once
@pytest.mark.parametrize("path", ALL)
def test_links_lead_somewhere(path):
    for target in re.findall(r"\]\(([^)\s]+)\)", texts.without_blocks(texts.read(path))):
        if re.match(r"https?:", target):
            continue
        name, _, anchor = target.partition("#")
        name = os.path.normpath(os.path.join(os.path.dirname(path), name)) if name else path
        assert os.path.exists(os.path.join(ROOT, name)), target
        if anchor:
            headings = [section.heading for section in texts.sections(texts.read(name))]
            assert anchor in map(_anchor, headings), target


def _anchor(heading):
    """As GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


# Both READMEs


@pytest.fixture(scope="module")
def readmes():
    """The `Section`s of README.md and of README.zh-CN.md."""
    return [texts.sections(texts.read(path)) for path in texts.READMES]


@pytest.mark.once
def test_the_chinese_readme_has_the_same_sections(readmes):
    english, chinese = readmes
    assert [section.level for section in chinese] == [section.level for section in english]


@pytest.mark.once
def test_the_chinese_readme_has_the_same_blocks(readmes):
    for english, chinese in zip(*readmes):
        ours, theirs = (
            [(block.language, texts.without_comments(block)) for block in texts.blocks(part.text)]
            for part in (english, chinese)
        )
        assert theirs == ours, chinese.heading


@pytest.mark.once
def test_the_chinese_readme_names_the_same_things(readmes):
    """Flags, files, links, numbers of rows and of points: what a section is about."""
    for english, chinese in zip(*readmes):
        for what in (_code, _links, _rows, _points):
            assert what(chinese.text) == what(english.text), (chinese.heading, what.__name__)


def _code(text):
    return set(re.findall(r"`([^`]+)`", texts.without_blocks(text)))


def _links(text):
    links = re.findall(r"\]\(([^)]+)\)", texts.without_blocks(text))
    return sorted(link for link in links if not link.startswith("README"))


def _rows(text):
    return re.findall(r"^\|", text, re.M)


def _points(text):
    return re.findall(r"^\* ", text, re.M)


@pytest.mark.once
def test_words_of_the_chinese_readme():
    text = texts.read("README.zh-CN.md")
    for word in ("SOP", "断点续训", "掩码", "全词掩码", "句对/秒", "判定依据"):
        assert word in text, word
    for word in ("遮盖", "对数/秒", "由谁决定", "5.0 倍 MB/s"):
        assert word not in text, word


# What is typed


def rename_checkpoint(folder, name):
    """Names the checkpoint of `write_model` as a publisher or a run does."""
    for path in folder.glob("model.ckpt*"):
        path.rename(folder / path.name.replace("model.ckpt", name))
    (folder / "checkpoint").write_text('model_checkpoint_path: "%s"\n' % name)


def make_shop(folder):
    """The files that a reader has: the project's, a published model, and data of his own."""
    model = folder / "pretrained" / "albert_tiny_489k"
    model.parent.mkdir()
    write_model(model, CONFIG)
    rename_checkpoint(model, "albert_model.ckpt")
    (model / model_folder.CONFIG_FILE).unlink()
    write_lines(model / "vocab.txt", VOCABULARY)
    for path in (model, folder / "albert_config"):
        path.mkdir(exist_ok=True)
        storage.write_json(str(path / "albert_config_tiny.json"), CONFIG)
    storage.write_json(str(folder / "albert_config" / "albert_config_base.json"), CONFIG)
    for seed, (name, count) in enumerate((("train", 24), ("dev", 8), ("test", 8))):
        lines = ["text_a\ttext_b\tlabel", *lcqmc_rows(count, seed)]
        lcqmc = folder / "path" / "to" / "lcqmc"
        lcqmc.mkdir(parents=True, exist_ok=True)
        write_lines(lcqmc / (name + ".txt"), lines)
    texts.copy_lines("data/news_zh_1.txt", folder / "data" / "news_zh_1.txt", 40)
    texts.copy_lines("data/news_zh_1.txt", folder / "corpus" / "a.txt", 40)
    texts.copy_lines("data/news_zh_1.txt", folder / "held_out.txt", 20)
    texts.link("data/task_samples", folder / "data" / "task_samples")
    for task in "afqmc tnews iflytek cmnli ocnli cluewsc2020 csl".split():
        texts.link("data/task_samples/" + task, folder / "CLUEdataset" / task)
    for name in ("scripts", "benchmarks", "tests"):
        texts.link(name, folder / name)
    write_lines(folder / "pairs.tsv", ["花呗怎么还款\t花呗如何还钱", "天气怎么样\t怎么做菜"])
    write_lines(folder / "new_pairs.tsv", ["text_a\ttext_b", "今天天气怎么样\t周末去哪里玩"])
    write_lines(folder / "texts.txt", ["今天天气怎么样", "周末去哪里玩"])
    return folder


def add_what_others_made(folder):
    """What the README's commands, and those of the other texts, have made."""
    task = dict(labels=["0", "1"], max_seq_length=LENGTH, task_name="lcqmc_pair")
    (folder / "clue_output").mkdir()
    for name in ("albert_lcqmc_checkpoints", "clue_output/tnews_output"):
        write_model(folder / name, CONFIG, 2, **task)
        rename_checkpoint(folder / name, "model.ckpt-5")
        storage.write_json(str(folder / name / "run_settings.json"), {"task_name": "lcqmc_pair"})
    records = [make_features(number, len(VOCABULARY), LENGTH, PREDICTIONS) for number in range(8)]
    for name in ("news", "held_out", "128/a", "512/a"):
        path = folder / "data" / (name + ".tfrecord")
        path.parent.mkdir(exist_ok=True)
        write_features(path, records)
    write_features(folder / "my_domain.tfrecord", records)
    animals = folder / "animals"
    animals.mkdir()
    for name in ("train", "dev", "test"):
        write_lines(animals / (name + ".txt"), ["it barks\tdog", "it purrs\tcat"] * 4)


def small(arguments):
    """Arguments with the values of `SMALL`."""
    found = []
    for argument in arguments:
        match = re.match(r"--(\w+)=", argument)
        name = match and match.group(1)
        found.append("--%s=%s" % (name, SMALL[name]) if name in SMALL else argument)
    return found


class Reader:
    """Types what a text says, from top to bottom, in a folder of his own."""

    def __init__(self, folder, notes):
        self.folder = folder
        self.notes = notes
        self.address = None
        self.service = None

    def read(self, path):
        for block in texts.blocks(texts.read(path)):
            try:
                if block.language == "python":
                    self.run_snippet(block)
                elif block.language == "bash":
                    for command in self.notes.commands(block, self.folder):
                        self.type(command)
                else:
                    raise AssertionError("a block of no language that can be run")
            except AssertionError as error:
                raise AssertionError("%s:%d %s" % (path, block.line, error)) from error

    def run_snippet(self, block):
        match = re.match(r"# (\w+\.py)\n", block.content)
        if match:  # a file of the reader's
            (self.folder / match.group(1)).write_text(block.content, encoding="utf-8")
            return
        program = self.folder / "program.py"
        program.write_text(GIVEN + block.content, encoding="utf-8")
        self.run_script([str(program)])

    def type(self, command):
        line = " ".join(command)
        script = command[1] if len(command) > 1 else ""
        if command[0] == "python":
            script = os.path.relpath(script, ROOT) if os.path.isabs(script) else script
            script = re.sub(r"^scripts/\.\./", "", script)
            line = " ".join(["python", script, *command[2:]])
            assert os.path.isfile(os.path.join(ROOT, script)), script
        if any(re.search(pattern, line) for pattern in NOT_RUN):
            if script.endswith(".py") and "define_flags" in texts.read(script):
                flags_of(script)([script, *command[2:]])
            return
        if command[0] == "curl":
            self.ask(command)
        elif script == "serve.py":
            self.serve(small(command[2:]))
        else:
            assert command[0] == "python", line
            more = MORE.get(script, [])
            self.run_script([os.path.join(ROOT, script), *small(command[2:]), *more])

    def run_script(self, arguments):
        result = processes.run(arguments, cwd=self.folder)
        assert result.returncode == 0, "\n".join([*arguments, result.stdout, result.stderr])

    def serve(self, arguments):
        self.stop()
        script = os.path.join(ROOT, "serve.py")
        self.service = processes.Script(
            [script, "--port=0", *arguments], self.folder, text=True, stderr=subprocess.STDOUT
        )
        seen = ""
        for line in self.service.stdout:
            seen += line
            match = re.search(r"http://[\d.]+:\d+", line)
            if match:
                self.address = match.group()
                return
        raise AssertionError(seen)

    def ask(self, command):
        command = [word.replace("http://127.0.0.1:8000", self.address or "?") for word in command]
        options = ["--silent", "--show-error", "--fail", "--noproxy", "*"]
        answer = subprocess.run(
            ["curl", *options, *command[1:]], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        assert answer.returncode == 0, " ".join(command) + answer.stdout.decode("utf-8")
        assert answer.stdout

    def stop(self):
        if self.service:
            self.service.terminate()
            self.service.stdout.read()
            self.service.wait(30)
            self.service = None


@pytest.mark.once
@pytest.mark.slow
@pytest.mark.parametrize("path", RUN)
def test_what_is_typed_runs(path, tmp_path):
    folder = tmp_path / "project"
    folder.mkdir()
    make_shop(folder)
    if path != "README.md":
        add_what_others_made(folder)
    reader = Reader(folder, texts.Notes(tmp_path / "notes"))
    try:
        reader.read(path)
    finally:
        reader.stop()
    if path == "README.md":
        results = json.loads((folder / "albert_lcqmc_checkpoints" / "results.json").read_text())
        assert {"dev", "test_examples", "prediction_files"} <= set(results)
        assert "eval_accuracy" in results["dev"]


@pytest.mark.once
@pytest.mark.parametrize("path", ALL)
def test_snippets_are_python(path):
    for block in texts.blocks(texts.read(path)):
        if block.language == "python":
            ast.parse(block.content)
